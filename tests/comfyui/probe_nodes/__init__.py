"""Test nodes for ComfyUI: inputs that no core node produces, and exact views of what the pack leaves behind.

Linked into the test server's ``custom_nodes`` only. Imported by ComfyUI, never by the tests.
"""

import hashlib
import json

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.sd
import comfy.supported_models
import torch


class ProbeVAE:
    """Things that may arrive on a VAE socket and cannot be traced."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"kind": (["nothing", "checkpoint without VAE", "audio", "text"],)}}

    RETURN_TYPES = ("VAE",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, kind):
        if kind == "nothing":
            return (None,)
        if kind == "text":
            return ("taesd",)
        # One key is how ComfyUI recognises Stable Audio's VAE; the rest of its weights does not matter here.
        return (comfy.sd.VAE(sd={"decoder.layers.1.layers.0.beta": torch.zeros(2048)} if kind == "audio" else {}),)


class ProbeImage:
    """Images that a broken node may hand on."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"kind": (["NaN", "empty", "grey", "out of range", "no tensor"],)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, kind):
        image = torch.full((1, 64, 64, 3), 0.5)
        image[:, 16:48, 16:48] = 0.25
        if kind == "NaN":
            image[0, 5, 5, 1] = float("nan")
        elif kind == "empty":
            image = image[:, :0, :0]
        elif kind == "grey":
            image = image[..., :1]
        elif kind == "out of range":
            image = image * 255
        return ("pixels" if kind == "no tensor" else image,)


class ProbeLatent:
    """Latents that no image of 64×64 pixels can start from."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"kind": (["NaN", "video", "no tensor"],), "channels": ("INT", {"default": 4})}}

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, kind, channels):
        if kind == "no tensor":
            return ({},)
        samples = torch.zeros(1, channels, 8, 8)
        return ({"samples": samples / 0 if kind == "NaN" else samples[:, :, None].repeat(1, 1, 3, 1, 1)},)


class Latents(comfy.latent_formats.LatentFormat):
    """Latents as wide as those of the decoders that come with the pack; a model's own unit is twice theirs."""

    scale_factor = 2.0

    def __init__(self, channels):
        self.latent_channels = channels


class ProbeOneStep:
    """A very small diffusion model with random weights, as Load Checkpoint gives one: what it makes in one step."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 1}), "channels": ("INT", {"default": 8})}}

    RETURN_TYPES = ("MODEL", "CONDITIONING")
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, seed, channels):
        source = torch.Generator().manual_seed(seed)
        config = comfy.supported_models.SD15(
            {
                "image_size": 32, "in_channels": channels, "out_channels": channels, "model_channels": 64,
                "num_res_blocks": [1, 1], "channel_mult": [1, 2], "transformer_depth": [1, 0],
                "transformer_depth_output": [1, 1, 0, 0], "transformer_depth_middle": 1, "context_dim": 16,
                "use_spatial_transformer": True, "use_linear_in_transformer": False, "adm_in_channels": None,
                "use_temporal_attention": False, "legacy": False, "dtype": torch.float32,
            }
        )  # fmt: skip
        config.latent_format = Latents(channels)
        config.inpaint_model = lambda: False
        # The only kind whose prediction is no sum with the noise: with random weights it stays in the latents' range.
        config.model_type = lambda *_: comfy.model_base.ModelType.V_PREDICTION
        model = config.get_model({})
        for name, value in model.diffusion_model.named_parameters():
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape, generator=source) * value[0].numel() ** -0.5)
            else:
                value.fill_(1.0 if name.endswith("weight") else 0.0)
        patcher = comfy.model_patcher.CoreModelPatcher(
            model,
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
        return patcher, [[torch.randn(1, 4, 16, generator=source), {}]]


class ProbeConditioning:
    """A prompt as a text encoder gives one, of random numbers."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"width": ("INT", {"default": 16})}}

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, width):
        return ([[torch.randn(1, 4, width, generator=torch.Generator().manual_seed(1)), {}]],)


class ProbePatch:
    """Changes one weight of a model as a LoRA does: by a patch that is applied when the model is loaded."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"model": ("MODEL",)}}

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, model):
        patched = model.clone()
        key = "diffusion_model.out.2.weight"
        change = torch.randn(model.model_state_dict()[key].shape, generator=torch.Generator().manual_seed(9)) * 0.02
        assert patched.add_patches({key: (change,)}, 1.0)
        return (patched,)


class ProbeNoise:
    """The noise that KSampler draws from ``seed``, as a LATENT."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 1}), "side": ("INT", {"default": 4})}}

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "make"
    CATEGORY = "_probe"

    def make(self, seed, side):
        return ({"samples": comfy.sample.prepare_noise(torch.zeros(1, 8, side, side), seed)},)


class ProbeModelDigest:
    """Exact digest of a model's weights, and any gradient left on it. Never cached."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"model": ("MODEL",)}}

    RETURN_TYPES = ()
    FUNCTION = "show"
    OUTPUT_NODE = True
    CATEGORY = "_probe"

    @classmethod
    def IS_CHANGED(cls, **_):  # noqa: N802
        return float("nan")

    def show(self, model):
        weights = model.model.diffusion_model.state_dict()
        gradients = sum(value.grad is not None for value in model.model.diffusion_model.parameters())
        facts = {"weights": digest(*(value for _, value in sorted(weights.items()))), "gradients": gradients}
        return {"ui": {"text": [json.dumps(facts)]}}


class ProbeDigest:
    """Exact digests of a VAE's weights and of an image, and any gradient left on the VAE. Never cached."""

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}, "optional": {"vae": ("VAE",), "image": ("IMAGE",), "latents": ("LATENT",)}}

    RETURN_TYPES = ()
    FUNCTION = "show"
    OUTPUT_NODE = True
    CATEGORY = "_probe"

    @classmethod
    def IS_CHANGED(cls, **_):  # noqa: N802
        return float("nan")

    def show(self, vae=None, image=None, latents=None):
        facts = {}
        if vae is not None:
            parameters = list(vae.first_stage_model.parameters())
            facts["object"] = id(vae)
            facts["weights"] = digest(*(value for _, value in sorted(vae.first_stage_model.state_dict().items())))
            facts["gradients"] = sum(value.grad is not None for value in parameters)
            facts["dtypes"] = sorted({str(value.dtype) for value in parameters})
        if image is not None:
            facts |= {"image": digest(image), "shape": list(image.shape)}
        if latents is not None:
            facts |= {"latents": digest(latents["samples"]), "latent_shape": list(latents["samples"].shape)}
        return {"ui": {"text": [json.dumps(facts)]}}


def digest(*tensors):
    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


NODE_CLASS_MAPPINGS = {
    "ProbeVAE": ProbeVAE,
    "ProbeImage": ProbeImage,
    "ProbeLatent": ProbeLatent,
    "ProbeDigest": ProbeDigest,
    "ProbeOneStep": ProbeOneStep,
    "ProbeConditioning": ProbeConditioning,
    "ProbePatch": ProbePatch,
    "ProbeNoise": ProbeNoise,
    "ProbeModelDigest": ProbeModelDigest,
}
