"""The differentiable clone against independent computations, with ComfyUI's own Python under inference mode."""

from __future__ import annotations

from typing import Any

import pytest
from latent_tracer.core import load_autoencoder

TAESD_SHAPES = {
    "taesd": [1, 4, 8, 12],
    "taesdxl": [1, 4, 8, 12],
    "taesd3": [1, 16, 8, 12],
    "taef1": [1, 16, 8, 12],
    "taef2": [1, 128, 4, 6],
}
EVERY_VAE = [*TAESD_SHAPES, "random_kl", "random_wan"]


@pytest.fixture(params=EVERY_VAE)
def facts(request: pytest.FixtureRequest, measurements: dict[str, Any]) -> dict[str, Any]:
    if request.param not in measurements:
        pytest.skip(f"this ComfyUI does not load {request.param}")
    return {"name": request.param, **measurements[request.param]}


def test_gradients_equal_those_of_an_ordinary_module(facts: dict[str, Any]) -> None:
    assert facts["gradient_size"] > 0
    assert facts["gradient_difference"] < 1e-4


def test_decoding_equals_an_ordinary_module_beyond_the_range_too(facts: dict[str, Any]) -> None:
    assert facts["reference_difference"] < 1e-5


def test_some_decoded_values_lie_outside_the_range(measurements: dict[str, Any]) -> None:
    """Else the test above would say nothing about the missing clamp."""
    assert measurements["taesd"]["outside_range"] > 0


def test_clamped_decoding_equals_the_vae(facts: dict[str, Any]) -> None:
    assert facts["decode_difference"] < 1e-6
    assert facts["encode_difference"] < 1e-6


def test_inversion_lowers_the_loss(facts: dict[str, Any]) -> None:
    assert len(facts["losses"]) == 4
    assert min(facts["losses"][1:]) < facts["losses"][0]


def test_latents_of_the_node_are_those_the_vae_decodes(facts: dict[str, Any]) -> None:
    frames = [1] if facts["name"] == "random_wan" else []
    batch, channels, height, width = facts["latent_shape"]
    assert facts["node_latent_shape"] == facts["comfy_latent_shape"] == [batch, channels, *frames, height, width]
    ratio = facts["spatial_ratio"]
    assert facts["node_image_shape"] == [1, height * ratio, width * ratio, 3]
    assert facts["node_decode_difference"] < 1e-6


def test_latent_cells_are_those_of_the_vae(facts: dict[str, Any]) -> None:
    assert facts["spatial_ratio"] == (16 if facts["name"] == "taef2" else 8)
    assert facts["latent_shape"] == TAESD_SHAPES.get(facts["name"], facts["latent_shape"])
    assert facts["dtype"] == "torch.float32"


@pytest.mark.parametrize("name", TAESD_SHAPES)
def test_grid_is_measured_on_the_decoder_and_not_on_its_packed_latents(name: str, measurements: dict[str, Any]) -> None:
    """TAEF2's latents are packed 2×2: 16 pixels a cell, and yet it writes the same pattern every 8."""
    if name not in measurements:
        pytest.skip(f"this ComfyUI does not load {name}")
    assert measurements[name]["grid"] == [8, 0]


@pytest.mark.parametrize("name", TAESD_SHAPES)
def test_verdict_asks_for_the_memory_of_its_forward_passes_only(name: str, measurements: dict[str, Any]) -> None:
    if name not in measurements:
        pytest.skip(f"this ComfyUI does not load {name}")
    asked = measurements[name]["requests"]
    (verdict,) = asked["verdict"]
    assert asked["attribution"] == [verdict]
    # An explanation comes after the answer, and with a request of its own.
    first, backward = asked["explained"]
    assert first == verdict
    assert backward > 2 * verdict
    assert verdict > asked["peak"] > 0


def test_verdict_on_a_large_picture_leaves_the_diffusion_model_where_it_is(measurements: dict[str, Any]) -> None:
    """With a VAE of Stable Diffusion's size, which was asked 21 GiB for at 1024²."""
    asked = measurements["random_kl"]["requests_at_1024"]
    assert asked["forward"] < 3 * 2**30
    assert asked["backward"] > 2.4 * asked["comfyui"] > 20 * 2**30


def test_shared_vae_is_untouched(facts: dict[str, Any]) -> None:
    assert facts["weights_unchanged"]
    assert facts["gradients_left"] == 0


def test_nothing_stays_in_memory(facts: dict[str, Any]) -> None:
    assert not facts["module_alive"]


def test_inference_mode_is_back_afterwards(facts: dict[str, Any]) -> None:
    assert facts["inference_mode"]


def test_fingerprint_survives_bfloat16(facts: dict[str, Any]) -> None:
    if "bfloat16" not in facts:
        pytest.skip("not measured for this VAE")
    assert facts["bfloat16"] == [facts["fingerprint"], "torch.bfloat16"]


def test_fingerprint_is_that_of_the_file_loaded_without_comfyui(
    facts: dict[str, Any], measurements: dict[str, Any], data: Any
) -> None:
    pytest.importorskip("diffusers", reason="loading a file outside ComfyUI needs diffusers")
    if facts["name"] == "random_wan":
        pytest.skip("diffusers' layout of this VAE is not supported outside ComfyUI")
    spec = data / "weights" / facts["name"]
    if facts["name"] == "random_kl":
        spec = measurements["folder"] / "random_kl.safetensors"
    assert load_autoencoder(spec).fingerprint == facts["fingerprint"]


def test_fingerprints_tell_the_decoders_apart(measurements: dict[str, Any]) -> None:
    fingerprints = [measurements[name]["fingerprint"] for name in EVERY_VAE if name in measurements]
    assert len(set(fingerprints)) == len(fingerprints)


def test_pictures_of_different_heights_make_one_batch(measurements: dict[str, Any]) -> None:
    assert measurements["stacked_pictures"] == [[0.5, 0.5, 0.5], [1, 2, 3]]
