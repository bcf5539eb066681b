"""Test nodes for ComfyUI: inputs that no core node produces, and exact views of what the pack leaves behind.

Linked into the test server's ``custom_nodes`` only. Imported by ComfyUI, never by the tests.
"""

import hashlib
import json

import comfy.sd
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
}
