"""A wrong input gets one sentence that names it and the remedy, as the first thing the user reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .client import Client, PromptRejectedError
from .conftest import DECODERS
from .prompts import node, sources, trace, traced
from .workflow import Prompt

Photographs = Callable[..., str]


def sentence(error: dict[str, Any], kind: str) -> str:
    """The message of an error of ours, checked to be a sentence and not a stack trace."""
    # Not where ComfyUI lies.
    assert error["exception_type"] == f"latent_tracer.{kind}", (error["exception_type"], error["exception_message"])
    message = error["exception_message"].strip()
    assert "\n" not in message
    assert "Traceback" not in message
    assert message[0].isupper() or message.startswith(("belonging_losses", "pixel_space"))
    return message


def both_nodes(vae: Prompt, image: Prompt) -> list[Prompt]:
    """The prompt through Invert Latent, and the one through Encode for Trace alone."""
    start = vae | image
    encode = {
        "encode": node("LatentTracerEncode", vae=["vae", 0], image=["image", 0]),
        "save": node("PreviewImage", images=["encode", 1]),
    }
    return [start | traced(["vae", 0], ["image", 0]), start | encode]


@pytest.mark.parametrize(
    ("vae", "message"),
    [
        (node("VAELoader", vae_name="pixel_space"), "pixel_space is the identity"),
        (node("ProbeVAE", kind="nothing"), "No VAE is connected"),
        (node("ProbeVAE", kind="checkpoint without VAE"), "contains no valid VAE"),
        (node("ProbeVAE", kind="audio"), "audio"),
        (node("ProbeVAE", kind="text"), "holds a str, not a VAE"),
    ],
    ids=["pixel space", "nothing", "checkpoint without VAE", "audio", "text"],
)
def test_vae_that_cannot_be_traced(vae: dict[str, Any], message: str, client: Client, photographs: Photographs) -> None:
    image = {"image": node("LoadImage", image=photographs(1))}
    for prompt in both_nodes({"vae": vae}, image):
        said = sentence(client.fail(prompt), "UnsupportedAutoencoderError")
        assert message in said
        assert "connect an image VAE" in said


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("NaN", "NaN or infinite values"),
        ("empty", "empty"),
        ("grey", "1 channels: only RGB"),
        ("out of range", "scale it to the range [0, 1]"),
        ("no tensor", "connect an IMAGE"),
    ],
)
def test_image_that_cannot_be_traced(kind: str, message: str, any_decoder: str, client: Client) -> None:
    vae = {"vae": node("VAELoader", vae_name=any_decoder)}
    for prompt in both_nodes(vae, {"image": node("ProbeImage", kind=kind)}):
        assert message in sentence(client.fail(prompt), "InvalidImageError")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 64), (64, 5)])
def test_image_smaller_than_one_latent_cell(
    width: int, height: int, any_decoder: str, client: Client, photographs: Photographs
) -> None:
    start = sources(any_decoder, photographs(1, width, height))
    for prompt in both_nodes({"vae": start["vae"]}, {"image": start["image"]}):
        said = sentence(client.fail(prompt), "InvalidImageError")
        assert f"The image is {width}×{height} pixels, smaller than one latent cell" in said


def test_latent_of_another_vae(taesd3: str, client: Client, photographs: Photographs) -> None:
    prompt = sources(taesd3, photographs(1)) | {
        "other": node("VAELoader", vae_name="taesd"),
        "foreign": node("LatentTracerEncode", vae=["other", 0], image=["image", 0]),
        **traced(["vae", 0], ["image", 0], settings={"initial_latents": ["foreign", 0]}),
    }
    said = sentence(client.fail(prompt), "InvalidLatentError")
    assert "(1, 4, 8, 8)" in said
    assert "(1, 16, 8, 8)" in said
    assert "encode them with this same VAE" in said


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("NaN", "NaN or infinite values"),
        ("video", "3 frames: trace single images"),
        ("no tensor", "holds no image latent"),
    ],
)
def test_latent_that_cannot_be_a_start(
    kind: str, message: str, taesd: str, client: Client, photographs: Photographs
) -> None:
    prompt = sources(taesd, photographs(1)) | {
        "start": node("ProbeLatent", kind=kind, channels=4),
        **traced(["vae", 0], ["image", 0], settings={"initial_latents": ["start", 0]}),
    }
    assert message in sentence(client.fail(prompt), "InvalidLatentError")


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ("1e-5, about 2e-5", "belonging_losses must be numbers separated by commas"),
        ("-1 2 3", "belonging_losses must not be negative"),
        ("1e-5", "at least 3 belonging losses"),
        ("nan 1e-5 2e-5", "finite numbers"),
    ],
)
def test_losses_that_are_no_losses(
    losses: str, message: str, any_decoder: str, client: Client, photographs: Photographs
) -> None:
    error = client.fail(trace(any_decoder, photographs(1), belonging_losses=losses))
    assert error["node_type"] == "LatentTracerVerdict"
    assert message in sentence(error, "InvalidSettingError")


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("steps", -5), ("solver", "guessing"), ("quantiser", "ceiling")]
)
def test_setting_outside_its_range_is_refused_by_name(
    name: str, value: Any, any_decoder: str, client: Client, photographs: Photographs
) -> None:
    prompt = trace(any_decoder, photographs(1))
    prompt["invert"]["inputs"][name] = value
    with pytest.raises(PromptRejectedError) as refused:
        client.queue(prompt)
    (error,) = refused.value.node_errors["invert"]["errors"]
    assert error["extra_info"]["input_name"] == name


@pytest.mark.parametrize("value", ["a\0b", 7, {"__value__": ["a", "b", "c"]}, {"a": 1}, "../..", "x" * 5000, True])
@pytest.mark.parametrize(
    ("class_type", "name"),
    [
        ("LatentTracerLoadImages", "folder"),
        ("LatentTracerLoadProfile", "profile_name"),
        ("LatentTracerLoadFingerprintBasis", "basis_name"),
    ],
)
def test_whatever_an_api_prompt_holds_for_a_name_is_one_sentence(
    class_type: str, name: str, value: Any, client: Client
) -> None:
    prompt = {"asked": node(class_type, **{name: value}), "shown": node("PreviewAny", source=["asked", 0])}
    said = sentence(client.fail(prompt), "InvalidProfileError" if "Profile" in class_type else "InvalidSettingError")
    assert "Traceback" not in said and len(said) < 400


@pytest.mark.parametrize(
    ("class_type", "name"),
    [
        ("LatentTracerLoadImages", "folder"),
        ("LatentTracerLoadProfile", "profile_name"),
        ("LatentTracerLoadFingerprintBasis", "basis_name"),
    ],
)
def test_no_name_at_all_is_one_sentence(class_type: str, name: str, client: Client) -> None:
    prompt = {"asked": node(class_type, **{name: None}), "shown": node("PreviewAny", source=["asked", 0])}
    error = client.fail(prompt)
    assert sentence(error, "InvalidProfileError" if "Profile" in class_type else "InvalidSettingError")


def test_one_picture_of_a_batch_that_cannot_be_judged_costs_the_others_nothing(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    prompt = sources(any_decoder, photographs(1)) | {
        "nothing": node("ProbeImage", kind="NaN"),
        "batch": node("ImageBatch", image1=["image", 0], image2=["nothing", 0]),
        "trace": node("LatentTracerTraceImage", vae=["vae", 0], image=["batch", 0]),
        "reasons": node("PreviewAny", source=["trace", 3]),
        "attribute": node("LatentTracerAttributeImage", vae_1=["vae", 0], image=["batch", 0]),
        "made_by": node("PreviewAny", source=["attribute", 1]),
    }
    run = client.succeed(prompt)
    first, second = run.text("reasons").split("image 2 of 2", 1)
    assert "NaN or infinite values" not in first and "NaN or infinite values" in second
    assert "image 2: not judged (The image contains NaN" in run.text("made_by")


def test_something_else_than_a_trace_is_refused(any_decoder: str, client: Client, photographs: Photographs) -> None:
    prompt = sources(any_decoder, photographs(1)) | {"verdict": node("LatentTracerVerdict", trace=["image", 0])}
    with pytest.raises(PromptRejectedError) as refused:
        client.queue(prompt)
    assert refused.value.node_errors["verdict"]["errors"][0]["extra_info"]["input_name"] == "trace"


def test_server_still_traces_after_all_that(client: Client, any_decoder: str, photographs: Photographs) -> None:
    assert any_decoder in DECODERS
    assert client.succeed(trace(any_decoder, photographs(1))).text("score")
