"""Files that are not what they seem: each is named for what it is, in one sentence, before anything is allocated."""

from __future__ import annotations

import json
import os
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
import safetensors
import torch
from latent_tracer.core import LatentTracerError, UnsupportedGeneratorError, load_autoencoder, load_generator
from latent_tracer.core.models.weight_files import MOST_TENSORS, WeightFileError, fill, open_weights
from safetensors.torch import save_file
from torch import nn
from torch.nn import BatchNorm2d, Conv2d, Linear

diffusers = pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
# Older releases refuse the same headers without the parser's own words.
SAYS_WHY = int(safetensors.__version__.split(".")[0]) > 0 or int(safetensors.__version__.split(".")[1]) >= 6
for _name in ("AutoencoderKL", "AutoencoderTiny", "VQModel", "UNet2DModel"):
    getattr(diffusers, _name)  # imported on first use, which takes seconds
WEIGHTS = "diffusion_pytorch_model"


def refusal(spec, load=load_autoencoder) -> str:
    """The one sentence with which ``spec`` is refused, within a moment of computing: 1.1 s on a slow, busy machine."""
    started = time.process_time()
    with pytest.raises(LatentTracerError) as caught:
        load(spec)
    assert time.process_time() - started < 3
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 700 + len(str(spec))
    return message


def written(path: Path, header: object, data: bytes = b"") -> Path:
    """A .safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def hollow(*shape: int) -> dict[str, object]:
    """A header's entry of a tensor without values."""
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 0]}


@pytest.fixture(scope="module")
def kl():
    torch.manual_seed(0)
    stages = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    module = diffusers.AutoencoderKL(**stages, block_out_channels=(32, 32), layers_per_block=2)
    return module.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"abc", "no header"),
        (bytes(100), "no header"),
        (b"not weights at all, but long enough to have a header", "not a readable .safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "run git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>" + bytes(99), "a web page"),
        (b'{"error": "Repository not found"}', "a JSON text"),
        (b"PK\x03\x04" + bytes(99), "a PyTorch checkpoint"),
        (b"\x80\x02}q\x00" + bytes(range(99)), "a PyTorch checkpoint"),
        (b"GGUF" + b"\x03\x00\x00\x00" * 9, "a GGUF file"),
        (struct.pack("<Q", 50) + b'{"a":', "ends within its header"),
        (struct.pack("<Q", 3) + b"{]}", "invalid JSON" if SAYS_WHY else "InvalidHeader"),
        (struct.pack("<Q", 2**63) + b"{]}", "ends within its header"),
    ],
)
@pytest.mark.parametrize("load", [load_autoencoder, load_generator])
def test_what_is_no_safetensors_file_is_named(tmp_path, content, what, load):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    message = refusal(path, load)
    assert what in message and str(path) in message


def test_pickled_checkpoints_are_named_whatever_their_suffix(tmp_path):
    for name in ("vae.pth", "model.ckpt", "named.safetensors"):
        torch.save({"weight": torch.zeros(3)}, tmp_path / name)
        assert "can run code when it is opened: get the .safetensors instead" in refusal(tmp_path / name)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "taesd_encoder.pth")
    assert "taesd_encoder.pth is a PyTorch checkpoint" in refusal(tmp_path / "taesd")


def test_a_file_cut_off_anywhere_says_so(tmp_path, kl):
    path = tmp_path / "kl.safetensors"
    save_file(kl.state_dict(), path)
    content = path.read_bytes()
    for length in (9, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "cut off" in refusal(path)


def test_headers_without_measure_are_refused(tmp_path):
    nested = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert ("recursion limit" if SAYS_WHY else "InvalidHeader") in refusal(
        written(tmp_path / "nested.safetensors", nested)
    )
    many = {f"k{number}": hollow(0) for number in range(MOST_TENSORS + 1)}
    assert f"no model has more than {MOST_TENSORS}" in refusal(written(tmp_path / "many.safetensors", many))
    path = written(tmp_path / "long.safetensors", b'{"a"' + b" " * (17 << 20) + b":1}")
    assert "a header of 17 MB" in refusal(path)
    strange = {"a\x1b[31m\u202e": hollow(0), "b" * 9000: hollow(0)}
    message = refusal(written(tmp_path / "names.safetensors", strange))
    assert "\x1b" not in message and "\u202e" not in message


KL = {
    "encoder.conv_in.weight": hollow(0, 3, 3, 3),
    "decoder.conv_in.weight": hollow(0, 4, 3, 3),
    "decoder.conv_out.weight": hollow(3, 0, 3, 3),
    "decoder.up_blocks.0.resnets.0.conv1.weight": hollow(0, 3),
    "encoder.down_blocks.0.resnets.0.conv2.weight": hollow(8192, 0, 3, 3),
}
TINY = {"taesd_decoder.1.weight": hollow(0, 4, 3, 3), "taesd_encoder.0.weight": hollow(0)}


@pytest.mark.parametrize(
    "header",
    [
        KL,
        KL | {"encoder.down_blocks.99999999.x": hollow(0)},
        KL | {"encoder.down_blocks.0.resnets.99999999.x": hollow(0)},
        KL | {"encoder.down_blocks.\u0663.x": hollow(0), "decoder.up.²3.x": hollow(0)},
        KL | {"encoder.down_blocks.0.resnets.0.conv2.weight": hollow(2**62, 0, 3, 3)},
        KL | {"encoder.down_blocks.0.resnets.0.conv2.weight": hollow(0, 0, 3, 3)},
        KL | {"encoder.down_blocks.0.resnets.0.conv2.weight": hollow(0)},
        KL | {"encoder.conv_in.weight": hollow(0)},
        KL | {"decoder.conv_in.weight": hollow(0, 2**40, 3, 3)},
        KL | {"decoder.mid_block.attentions.0.query.weight": hollow(0),
              "decoder.mid_block.attentions.0.to_q.weight": hollow(0)},
        TINY,
        TINY | {"taesd_decoder.1.weight": hollow(0)},
        TINY | {"taesd_decoder.1.weight": hollow(0, 2**40, 3, 3)},
        TINY | {"taesd_decoder.x.weight": hollow(0), "taesd_decoder.": hollow(0)},
        TINY | {"taesd_decoder.99.pool.0.weight": hollow(0)},
        TINY | {"taesd_decoder.2.pool.0.weight": hollow(0)},
        TINY | {"decoder.layers.0.weight": hollow(0)},
    ],
)  # fmt: skip
def test_odd_names_and_shapes_are_refused_before_anything_is_allocated(tmp_path, header):
    assert "do not fit that architecture" in refusal(written(tmp_path / "bomb.safetensors", header))


def test_a_shape_bomb_takes_milliseconds_and_no_memory(tmp_path):
    """8,192 channels announced by a tensor without values: 4.4 GB of network once built."""
    path = written(tmp_path / "bomb.safetensors", KL)
    tracemalloc.start()
    before, started = _resident(), time.process_time()
    refusal(path)
    assert time.process_time() - started < 0.5
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
    assert _resident() - before < 64 << 20


def _resident() -> int:
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0


@pytest.mark.parametrize("spec", ["a" * 5000, "\u6587" * 300, "~nobody_of_that_name/vae", "a\0b", "/", "", "a/" * 3000])
def test_odd_paths_are_refused(spec):
    refusal(spec)
    refusal(spec, load_generator)
    refusal(f"vae:{spec}?size=64x64", load_generator)


@pytest.fixture
def folder(tmp_path, kl):
    kl.save_pretrained(tmp_path)
    return tmp_path


def reconfigure(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in (config | changes).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))


def test_a_configuration_that_leaves_out_layers_is_refused_with_the_weights_left_over(folder):
    """diffusers' default has one layer fewer: its own loader drops a quarter of the parameters."""
    reconfigure(folder, layers_per_block=...)
    assert "nothing takes its decoder.up_blocks.0.resnets.2.conv1.bias" in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"layers_per_block": 10**9},
        {"layers_per_block": 64},
        {"layers_per_block": None},
        {"layers_per_block": "2"},
        {"layers_per_block": [2, 2]},
        {"block_out_channels": [10**9, 32]},
        {"block_out_channels": [32] * 1000},
        {"block_out_channels": [65536, 65536]},
        {"block_out_channels": 10**30},
        {"block_out_channels": "abc"},
        {"block_out_channels": []},
        {"block_out_channels": [0, 0]},
        {"block_out_channels": [[32], [32]]},
        {"act_fn": "none of these"},
        {"act_fn": None},
        {"act_fn": "x" * 100_000},
        {"down_block_types": 5},
        {"down_block_types": ["CrossAttnDownBlock2D"] * 2},
        {"down_block_types": ["DownBlock2D"] * 2},
        {"norm_num_groups": 0},
        {"norm_num_groups": 7},
        {"latent_channels": {"a": 1}},
        {"latent_channels": -1},
        {"latent_channels": True},
        {"in_channels": 4},
        {"use_quant_conv": False},
        {"_class_name": "VQModel"},
        {"_class_name": "AutoencoderTiny"},
        {"_class_name": ["AutoencoderKL"]},
        {"_class_name": None},
    ],
)
def test_configurations_of_wrong_types_and_sizes_are_refused(folder, changes):
    reconfigure(folder, **changes)
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 5000, '{"a": ' + "9" * 5000 + "}", " " * (2 << 20), "[]", "{", '"\ud800"', "NaN"]
)
def test_texts_that_are_no_configuration_are_refused(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert "is not a diffusers configuration" in refusal(folder)


@pytest.mark.parametrize("variant", ["fp16", "bf16", "non_ema"])
def test_a_folder_with_one_variant_of_its_weights_loads(folder, variant, kl):
    whole = load_autoencoder(folder).fingerprint
    os.replace(folder / f"{WEIGHTS}.safetensors", folder / f"{WEIGHTS}.{variant}.safetensors")
    assert load_autoencoder(folder).fingerprint == whole


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe as POSIX has them")
def test_a_pipe_among_the_weights_is_refused_and_not_waited_for(folder):
    (folder / f"{WEIGHTS}.safetensors").unlink()
    os.mkfifo(folder / f"{WEIGHTS}.safetensors")
    assert "is no ordinary file" in refusal(folder)


def test_of_several_variants_the_plain_one_is_meant_then_fp16(folder, kl):
    whole = load_autoencoder(folder).fingerprint
    for variant in ("fp16", "bf16"):
        (folder / f"{WEIGHTS}.{variant}.safetensors").write_bytes(b"never read")
    assert load_autoencoder(folder).fingerprint == whole
    save_file(kl.state_dict(), folder / f"{WEIGHTS}.fp16.safetensors")
    (folder / f"{WEIGHTS}.safetensors").unlink()
    assert load_autoencoder(folder).fingerprint == whole
    for variant, replacement in (("fp16", "a"), ("bf16", "b")):
        os.replace(folder / f"{WEIGHTS}.{variant}.safetensors", folder / f"{WEIGHTS}.{replacement}.safetensors")
    assert "give the file that is meant" in refusal(folder)


def test_a_folder_without_its_weights_says_what_it_has(folder):
    path = folder / f"{WEIGHTS}.safetensors"
    os.replace(path, folder / f"{WEIGHTS}-00001-of-00002.safetensors")
    assert "split over several files" in refusal(folder)
    (folder / f"{WEIGHTS}-00001-of-00002.safetensors").unlink()
    assert f"holds no {WEIGHTS}.safetensors: download it too" in refusal(folder)
    (folder / f"{WEIGHTS}.bin").write_bytes(b"PK\x03\x04")
    assert f"{WEIGHTS}.bin, a PyTorch checkpoint" in refusal(folder)


def test_what_training_leaves_beside_a_kl_autoencoder_is_passed_over(tmp_path, kl):
    save_file(kl.state_dict(), tmp_path / "kl.safetensors")
    left = {"loss.logvar": torch.zeros(2), "model_ema.decay": torch.zeros(())}
    save_file(kl.state_dict() | left, tmp_path / "left.safetensors")
    first, second = (load_autoencoder(tmp_path / f"{name}.safetensors") for name in ("kl", "left"))
    assert first.fingerprint == second.fingerprint
    save_file(kl.state_dict() | {"bn.running_mean": torch.zeros(2)}, tmp_path / "more.safetensors")
    assert "nothing takes its bn.running_mean" in refusal(tmp_path / "more.safetensors")


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = BatchNorm2d(2)
        self.mix = Linear(2, 2)


def test_a_network_is_filled_whole_or_not_at_all(tmp_path):
    module = Normalised()
    state = module.state_dict()
    path = tmp_path / "weights.safetensors"
    reshaped = {"mix.weight": state["mix.weight"][:, :, None, None].contiguous().half()}
    save_file({key: value for key, value in state.items() if "num_batches" not in key} | reshaped, path)
    filled = fill(Normalised, open_weights(path)).state_dict()
    assert filled.keys() == state.keys() and all(value.device.type == "cpu" for value in filled.values())
    assert torch.equal(filled["mix.weight"], state["mix.weight"].half().float())

    for change, reason in (
        ({"mix.weight": torch.zeros(2, 2, dtype=torch.int8)}, "mix.weight holds I8 values"),
        ({"mix.weight": torch.zeros(1, 2, 2)}, r"mix.weight has the shape \[1, 2, 2\], not \[2, 2\]"),
        ({"more": torch.zeros(1)}, "nothing takes its more"),
    ):
        save_file(state | change, path)
        with pytest.raises(WeightFileError, match=reason):
            fill(Normalised, open_weights(path))


def test_weights_that_vanish_or_change_between_header_and_reading_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(Conv2d(3, 3, 1).state_dict(), path)
    stored = open_weights(path)
    save_file({"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}, path)
    with pytest.raises(WeightFileError, match="changed while it was read"):
        fill(lambda: Conv2d(3, 3, 1), stored)
    path.unlink()
    with pytest.raises(WeightFileError, match="can no longer be read"):
        fill(lambda: Conv2d(3, 3, 1), stored)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("unet", {"layers_per_block": 10**9}),
        ("unet", {"layers_per_block": 3}),
        ("unet", {"sample_size": 10**6}),
        ("unet", {"sample_size": 2000}),
        ("unet", {"sample_size": None}),
        ("unet", {"sample_size": 1.5}),
        ("unet", {"sample_size": "ab"}),
        ("unet", {"attention_head_dim": 0, "add_attention": True}),
        ("scheduler", {"num_train_timesteps": 10**12}),
        ("scheduler", {"beta_schedule": "none of these"}),
        ("scheduler", {"num_train_timesteps": "a"}),
        ("scheduler", ...),
        ("unet", ...),
    ],
)
def test_one_step_folders_of_wrong_types_and_sizes_are_refused(tmp_path, file, changes):
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler(clip_sample=False)).save_pretrained(tmp_path)
    path = tmp_path / file / ("config.json" if file == "unet" else "scheduler_config.json")
    path.write_text("[" * 99_999 if changes is ... else json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UnsupportedGeneratorError):
        load_generator(tmp_path)
