"""Autoencoders from files: every supported layout decodes alike, everything else is refused by name."""

from __future__ import annotations

import json
import re
import sys

import pytest
import torch
from latent_tracer.core import (
    UnknownAutoencoderError,
    UnsupportedAutoencoderError,
    invert,
    load_autoencoder,
    same_weights,
)
from safetensors.torch import save_file

diffusers = pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")


def random_kl(latent_channels=4, quant_convs=True, attention=True, widths=(32, 64)):
    torch.manual_seed(latent_channels)
    module = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=2,
        block_out_channels=widths,
        latent_channels=latent_channels,
        use_quant_conv=quant_convs,
        use_post_quant_conv=quant_convs,
        mid_block_add_attention=attention,
    )
    return module.eval().requires_grad_(False)


def random_tiny(latent_channels=4):
    torch.manual_seed(latent_channels)
    return diffusers.AutoencoderTiny(latent_channels=latent_channels).eval().requires_grad_(False)


def ldm_key(key: str, stages: int) -> str:
    """diffusers' name of a KL weight -> the name in CompVis' latent-diffusion, which ComfyUI and checkpoints use."""
    side, *path = key.split(".")
    match path:
        case ["down_blocks", stage, "resnets", block, *rest]:
            path = ["down", stage, "block", block, *rest]
        case ["down_blocks", stage, "downsamplers", "0", *rest]:
            path = ["down", stage, "downsample", *rest]
        case ["up_blocks", stage, "resnets", block, *rest]:
            path = ["up", str(stages - 1 - int(stage)), "block", block, *rest]
        case ["up_blocks", stage, "upsamplers", "0", *rest]:
            path = ["up", str(stages - 1 - int(stage)), "upsample", *rest]
        case ["mid_block", "resnets", block, *rest]:
            path = ["mid", f"block_{int(block) + 1}", *rest]
        case ["mid_block", "attentions", "0", layer, *rest]:
            names = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
            path = ["mid", "attn_1", names[layer], rest[-1]]
        case ["conv_norm_out", *rest]:
            path = ["norm_out", *rest]
    return ".".join([side, *path]).replace("conv_shortcut", "nin_shortcut")


def as_ldm(module) -> dict[str, torch.Tensor]:
    stages = len(module.config.block_out_channels)
    renamed = {ldm_key(key, stages): value for key, value in module.state_dict().items()}
    return {
        key: value[:, :, None, None].contiguous() if ".attn_1." in key and value.ndim == 2 else value
        for key, value in renamed.items()
    }


def as_old_diffusers(module) -> dict[str, torch.Tensor]:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return {
        re.sub(r"attentions\.0\.(to_[qkv]|to_out\.0)\.", lambda m: f"attentions.0.{old[m[1]]}.", key): value
        for key, value in module.state_dict().items()
    }


def as_taesd(module) -> dict[str, torch.Tensor]:
    """AutoencoderTiny's weights as TAESD's author names them; the decoder's list starts with a parameterless clamp."""
    renamed = {}
    for key, value in module.state_dict().items():
        side, _, index, *rest = key.split(".")
        renamed[f"taesd_{side}.{int(index) + (side == 'decoder')}." + ".".join(rest)] = value
    return renamed


def save(state, path):
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def assert_is(autoencoder, module) -> None:
    """Same functions as diffusers' own ``module``, on a picture that shows transposed axes."""
    images = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, module.config.latent_channels, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoded = module.encode(2 * images - 1)
        encoded = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        assert torch.allclose(autoencoder.encode(images), encoded, atol=1e-5)
        assert torch.allclose(autoencoder.decode(latents), (module.decode(latents).sample + 1) / 2, atol=1e-5)


@pytest.fixture(scope="module")
def kl():
    return random_kl()


@pytest.fixture(scope="module")
def tiny():
    return random_tiny()


def test_ldm_names_are_those_of_the_published_checkpoints(kl):
    """The test's own renaming, against keys copied from the key list of SD1.5's VAE."""
    assert {
        "encoder.down.0.downsample.conv.weight",
        "encoder.down.1.block.0.nin_shortcut.weight",
        "encoder.mid.attn_1.proj_out.bias",
        "encoder.norm_out.weight",
        "decoder.up.1.upsample.conv.bias",
        "decoder.up.0.block.2.norm1.weight",
        "decoder.mid.block_2.conv2.weight",
        "quant_conv.weight",
    } <= as_ldm(kl).keys()


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
@pytest.mark.parametrize("layout", [as_ldm, lambda module: module.state_dict()], ids=["ldm", "diffusers"])
def test_kl_files_of_either_layout_and_prefix_decode_alike(tmp_path, kl, layout, prefix):
    state = {prefix + key: value for key, value in layout(kl).items()}
    if prefix:
        state["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(4, 4)
    autoencoder = load_autoencoder(save(state, tmp_path / "kl.safetensors"))

    assert_is(autoencoder, kl)
    assert autoencoder.name == "kl"
    assert autoencoder.fingerprint == load_autoencoder(save(kl.state_dict(), tmp_path / "own.safetensors")).fingerprint


@pytest.mark.parametrize(
    "settings",
    [
        {"latent_channels": 16, "quant_convs": False},  # SD3, Flux
        {"attention": False},
        {"widths": (32, 32, 64)},  # stages of equal width: only their order tells them apart
    ],
    ids=["flux", "no attention", "three stages"],
)
def test_kl_variants_are_read_off_the_shapes(tmp_path, settings):
    module = random_kl(**settings)
    from_ldm = load_autoencoder(save(as_ldm(module), tmp_path / "ldm.safetensors"))
    from_diffusers = load_autoencoder(save(module.state_dict(), tmp_path / "diffusers.safetensors"))

    assert_is(from_ldm, module)
    assert_is(from_diffusers, module)
    assert from_ldm.fingerprint == from_diffusers.fingerprint


def test_old_attention_names_load(tmp_path, kl):
    state = as_old_diffusers(kl)
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in state
    assert_is(load_autoencoder(save(state, tmp_path / "old.safetensors")), kl)


def test_a_half_precision_file_is_traced_in_float32(tmp_path, kl):
    stored = {key: value.bfloat16() for key, value in as_ldm(kl).items()}
    autoencoder = load_autoencoder(save(stored, tmp_path / "bf16.safetensors"))

    assert autoencoder.dtype == torch.float32
    whole = load_autoencoder(save(kl.state_dict(), tmp_path / "fp32.safetensors")).fingerprint
    assert same_weights(autoencoder.fingerprint, whole)


def test_a_taesd_pair_is_named_by_its_prefix_and_equals_the_single_file(tmp_path):
    for channels in (4, 16):
        module = random_tiny(channels)
        state = as_taesd(module)
        for side in ("encoder", "decoder"):
            part = {k.removeprefix(f"taesd_{side}."): v for k, v in state.items() if k.startswith(f"taesd_{side}.")}
            save(part, tmp_path / f"tiny{channels}_{side}.safetensors")
        pair = load_autoencoder(tmp_path / f"tiny{channels}")
        single = load_autoencoder(save(state, tmp_path / "single.safetensors"))

        assert_is(pair, module)
        assert_is(single, module)
        assert pair.name == f"tiny{channels}"
        in_diffusers_layout = load_autoencoder(save(module.state_dict(), tmp_path / "diffusers.safetensors"))

        assert_is(in_diffusers_layout, module)
        assert pair.fingerprint == single.fingerprint == in_diffusers_layout.fingerprint
        assert (pair.spatial_ratio, pair.latent_channels) == (8, channels)


def test_diffusers_folders_load_new_and_old_and_inside_a_pipeline(tmp_path, kl, tiny):
    kl.save_pretrained(tmp_path / "kl")
    tiny.save_pretrained(tmp_path / "pipeline" / "vae")
    kl.save_pretrained(tmp_path / "old")
    save(as_old_diffusers(kl), tmp_path / "old" / "diffusion_pytorch_model.safetensors")

    assert_is(load_autoencoder(tmp_path / "kl"), kl)
    assert_is(load_autoencoder(tmp_path / "old"), kl)
    assert_is(load_autoencoder(tmp_path / "pipeline"), tiny)


def test_a_vq_model_starts_at_its_codes_and_decodes_without_quantising_again(tmp_path):
    torch.manual_seed(0)
    module = diffusers.VQModel(block_out_channels=(32,), num_vq_embeddings=7, latent_channels=3).eval()
    module.save_pretrained(tmp_path / "movq")
    autoencoder = load_autoencoder(tmp_path)

    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        codes = autoencoder.encode(images).permute(0, 2, 3, 1).reshape(-1, 3)
        distances = (codes[:, None] - module.quantize.embedding.weight).abs().amax(-1).amin(1)
        assert distances.max() < 1e-6
        expected = (module.decode(latents, force_not_quantize=True).sample + 1) / 2
        assert torch.allclose(autoencoder.decode(latents), expected, atol=1e-5)


def test_an_autoencoder_loaded_in_inference_mode_can_be_inverted_there(tmp_path, tiny):
    """ComfyUI's loaders and nodes all run in inference mode."""
    path = save(as_taesd(tiny), tmp_path / "tiny.safetensors")
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = invert(load_autoencoder(path), images, steps=2)
    with torch.inference_mode():
        inversion = invert(load_autoencoder(path), images.clone(), steps=2)

    assert inversion.loss_history == expected.loss_history


@pytest.mark.parametrize("layout", ["kl", "tiny", "folder"])
def test_without_diffusers_the_extra_is_named(tmp_path, monkeypatch, kl, tiny, layout):
    path = tmp_path / "vae.safetensors"
    if layout == "folder":
        path = tmp_path
        tiny.save_pretrained(path)
    else:
        save(as_ldm(kl) if layout == "kl" else as_taesd(tiny), path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UnsupportedAutoencoderError, match=r"pip install 'latent-tracer\[cli\]'"):
        load_autoencoder(path)


def refusal(spec) -> str:
    """The message with which ``spec`` is refused; it always names the input."""
    with pytest.raises(UnknownAutoencoderError) as caught:
        load_autoencoder(spec)
    message = str(caught.value)
    assert str(spec) in message
    return message


def test_a_decoder_alone_is_recognised_as_such(tmp_path, kl, tiny):
    for name, state in {"kl": as_ldm(kl), "tiny": as_taesd(tiny)}.items():
        part = {key: value for key, value in state.items() if "decoder." in key}
        message = refusal(save(part, tmp_path / f"{name}.safetensors"))
        assert "a decoder without its encoder" in message
        assert f"found {len(part)} tensors under" in message


def test_a_video_vae_is_recognised_as_such(tmp_path, kl):
    video = {k: v[:, :, None].repeat(1, 1, 3, 1, 1) if v.ndim == 4 else v for k, v in as_ldm(kl).items()}
    assert "three-dimensional convolutions of a video VAE" in refusal(save(video, tmp_path / "video.safetensors"))


def test_a_diffusion_model_is_recognised_as_such(tmp_path):
    state = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4, 3, 3)}
    message = refusal(save(state, tmp_path / "unet.safetensors"))
    assert "a diffusion model without its VAE" in message
    assert "1 tensors under model.diffusion_model" in message


def test_something_else_is_described_by_its_tensors(tmp_path):
    message = refusal(save({"lora_down.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors"))
    assert "found 1 tensors under lora_down.weight" in message
    assert "supported are" in message
    assert "found no tensors at all" in refusal(save({}, tmp_path / "none.safetensors"))


@pytest.mark.parametrize("damage", ["shape", "missing", "unexpected"])
def test_weights_that_do_not_fit_their_architecture_are_refused(tmp_path, kl, tiny, damage):
    for name, state in {"kl-comfyui": as_ldm(kl), "taesd": as_taesd(tiny)}.items():
        key = next(
            key for key in reversed(state) if key.endswith("conv.2.weight" if name == "taesd" else "conv2.weight")
        )
        if damage == "shape":
            state[key] = torch.zeros(5, 5, 3, 3)
        elif damage == "missing":
            del state[key]
        else:
            state[key.replace("weight", "extra")] = torch.zeros(2)
        message = refusal(save(state, tmp_path / f"{name}.safetensors"))
        assert f"looks like a {name} autoencoder but its weights do not fit" in message


def test_a_missing_path_names_what_was_looked_for(tmp_path, tiny):
    assert "nowhere_encoder.safetensors" in refusal(tmp_path / "nowhere")
    part = {k.removeprefix("taesd_encoder."): v for k, v in as_taesd(tiny).items() if "encoder" in k}
    save(part, tmp_path / "lonely_encoder.safetensors")
    assert "nor lonely_decoder.safetensors" in refusal(tmp_path / "lonely")


def test_folders_that_hold_no_supported_autoencoder_are_refused(tmp_path, tiny):
    assert "has no config.json" in refusal(tmp_path)

    config = tmp_path / "config.json"
    config.write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    assert "holds a UNet2DConditionModel; supported diffusers classes are AutoencoderKL" in refusal(tmp_path)
    for content in ("{", "[]", "\N{SNOWMAN}"):
        config.write_text(content, encoding="utf-8")
        assert "is not a diffusers configuration" in refusal(tmp_path)

    config.write_text(json.dumps({"_class_name": "AutoencoderTiny"}))
    assert "cannot be loaded" in refusal(tmp_path)


@pytest.mark.parametrize("damage", ["shape", "missing", "truncated"])
def test_a_diffusers_folder_with_other_weights_is_refused(tmp_path, tiny, damage):
    tiny.save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    state = tiny.state_dict()
    if damage == "shape":
        state["decoder.layers.0.weight"] = torch.zeros(64, 5, 3, 3)
    elif damage == "missing":
        del state["decoder.layers.0.weight"]
    save(state, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:50_000])
    assert "cannot be loaded" in refusal(tmp_path)
