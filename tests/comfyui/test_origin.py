"""Invert Generator Input and Origin Verdict on a running server: a decoder alone, and a one-step model before it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from .client import Client
from .prompts import calibration, node, trace_image
from .test_wrong_inputs import sentence
from .workflow import Prompt

Photographs = Callable[..., str]
DEMO = "demo-a.safetensors"
SIDE = 16
#: Less than the defaults: the tests ask for the right answer, not for the smallest loss.
SETTINGS: dict[str, Any] = {"starts": 1, "steps": 25}


def one_step(seed: int = 1, channels: int = 8) -> Prompt:
    """``vae``, ``model`` (output 0) and its ``prompt`` (output 1)."""
    return {
        "vae": node("VAELoader", vae_name=DEMO),
        "model": node("ProbeOneStep", seed=seed, channels=channels),
    }


def made(seed: int, count: int = 1, model: str = "model", suffix: str = "") -> Prompt:
    """Images that core's KSampler makes in one step, as node ``made``."""
    return {
        f"empty{suffix}": node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=count),
        f"sampled{suffix}": node(
            "KSampler", model=[model, 0], seed=seed, steps=1, cfg=1.0, sampler_name="euler", scheduler="normal",
            positive=["model", 1], negative=["model", 1], latent_image=[f"empty{suffix}", 0], denoise=1.0,
        ),
        f"made{suffix}": node("VAEDecode", samples=[f"sampled{suffix}", 0], vae=["vae", 0]),
    }  # fmt: skip


def inverted(image: str, model: str = "model", **settings: Any) -> dict[str, Any]:
    """Invert Generator Input of an image node, by the one-step model."""
    inputs = {"vae": ["vae", 0], "image": [image, 0], "model": [model, 0], "positive": ["model", 1]}
    return node("LatentTracerInvertInput", **inputs, **{**SETTINGS, **settings})


def losses(report: str) -> list[float]:
    """The loss of every image, in the order of the report."""
    return [float(value) for value in re.findall(r"; loss ([\d.e+-]+), by start", report)]


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "with a LoRA"])
def test_one_step_from_the_true_noise_is_what_ksampler_made(patched: bool, client: Client) -> None:
    """The differentiable clone is the same function as the core sampler and VAE, patches included."""
    prompt = one_step()
    model = "model"
    if patched:
        model = "patched"
        prompt["patched"] = node("ProbePatch", model=["model", 0])
    prompt |= made(seed=5, model=model) | {
        "noise": node("ProbeNoise", seed=5, side=SIDE // 8),
        "before": node("ProbeModelDigest", model=[model, 0]),
        "invert": inverted("made", model, initial_inputs=["noise", 0], steps=1, quantiser="none"),
        "verdict": node("LatentTracerOriginVerdict", trace=["invert", 0]),
    }
    run = client.succeed(prompt)
    report = run.text("verdict")
    assert report.startswith("INCONCLUSIVE")
    assert "no calibration for this generator" in report
    assert losses(report)[0] < 1e-9  # nothing was searched: the start already is the image
    # The sampler leaves a LoRA in the weights: from the second run on they must stay what they are.
    settled = client.succeed(prompt)
    after = client.succeed(prompt)
    assert json.loads(settled.text("before")) == json.loads(after.text("before"))
    assert json.loads(after.text("before"))["gradients"] == 0


def test_a_patch_changes_the_generator(client: Client) -> None:
    """Otherwise the test above would not notice a clone without patches."""
    prompt = one_step() | made(seed=5)
    prompt |= {
        "patched": node("ProbePatch", model=["model", 0]),
        "noise": node("ProbeNoise", seed=5, side=SIDE // 8),
        "invert": inverted("made", "patched", initial_inputs=["noise", 0], steps=1, quantiser="none"),
        "verdict": node("LatentTracerOriginVerdict", trace=["invert", 0]),
    }
    assert losses(client.succeed(prompt).text("verdict"))[0] > 1e-5


@pytest.fixture(scope="module")
def judged(client: Client, photographs: Photographs) -> Any:
    """A verdict on one image of the model and one photograph, by a profile made in the graph and saved."""
    prompt = one_step() | made(seed=40, count=6) | made(seed=90, suffix=" under test")
    for seed in range(5):
        prompt[f"photograph {seed}"] = node("LoadImage", image=photographs(60 + seed, SIDE, SIDE))
    prompt["others 0"] = prompt.pop("photograph 0")
    for seed in range(1, 5):
        prompt[f"others {seed}"] = node(
            "ImageBatch", image1=[f"others {seed - 1}", 0], image2=[f"photograph {seed}", 0]
        )
    prompt |= {
        "photograph under test": node("LoadImage", image=photographs(77, SIDE, SIDE)),
        "both": node("ImageBatch", image1=["made under test", 0], image2=["photograph under test", 0]),
        "belonging trace": inverted("made"),
        "others trace": inverted("others 4"),
        "invert": inverted("both"),
        "verdict": node(
            "LatentTracerOriginVerdict", trace=["invert", 0], belonging=["belonging trace", 0],
            others=["others trace", 0], fpr=0.2, save_as="one step",
        ),
        "answers": node("PreviewAny", source=["verdict", 1]),
    }  # fmt: skip
    return client.succeed(prompt)


def test_random_starts_tell_the_models_images_from_photographs(judged: Any) -> None:
    report = judged.text("verdict")
    own, photograph = losses(report)
    assert own < photograph / 5
    first, second = report.split("\n\n")
    # So few images calibrate here that one own image in seven is also a rare one of its kind: then it stays open.
    assert first.startswith("BELONGING") or "rarely as low among other images" in first
    assert "false-positive rate 17 % on average" in first or not first.startswith("BELONGING")
    assert second.startswith("NON-BELONGING")
    assert "this generator" in second and "Grubbs test at 0.05" in second
    assert len(judged.images("verdict")) == 2


def test_a_saved_profile_serves_the_same_generator_and_settings_only(
    judged: Any, client: Client, photographs: Photographs
) -> None:
    assert judged
    prompt = one_step() | made(seed=91)
    prompt |= {
        "profile": node("LatentTracerLoadProfile", profile_name="one step.json"),
        "invert": inverted("made"),
        "verdict": node("LatentTracerOriginVerdict", trace=["invert", 0], profile=["profile", 0]),
    }
    assert client.succeed(prompt).text("verdict").startswith("BELONGING")
    other_settings = prompt | {"invert": inverted("made", starts=2)}
    assert "use its score or calibrate again" in sentence(client.fail(other_settings), "InvalidProfileError")
    other_model = prompt | one_step(seed=2)
    assert "not for one-step model" in sentence(client.fail(other_model), "InvalidProfileError")
    traced = trace_image(DEMO, photographs(78, SIDE, SIDE), "one step.json")
    assert "Scores called 'ronan' are those of a generator" in sentence(client.fail(traced), "InvalidSettingError")


def decoder_only(image: str, **settings: Any) -> Prompt:
    return {
        "vae": node("VAELoader", vae_name=DEMO),
        "image": node("LoadImage", image=image),
        "invert": node("LatentTracerInvertInput", vae=["vae", 0], image=["image", 0], **{**SETTINGS, **settings}),
        "verdict": node("LatentTracerOriginVerdict", trace=["invert", 0]),
        "latents": node("ProbeDigest", latents=["invert", 1], image=["invert", 2]),
    }


def test_a_decoder_alone_is_inverted_from_random_latents(client: Client, photographs: Photographs) -> None:
    run = client.succeed(decoder_only(photographs(79, 48, SIDE), steps=5))
    assert "from N(0,spread), seed 0" in run.text("verdict")
    facts = json.loads(run.text("latents"))
    assert facts["latent_shape"] == [1, 8, SIDE // 8, 6] and facts["shape"] == [1, SIDE, 48, 3]


def test_a_profile_of_an_autoencoder_is_refused(client: Client, folder: str, photographs: Photographs) -> None:
    prompt = decoder_only(photographs(79, 48, SIDE), steps=5)
    client.succeed(calibration(DEMO, folder, "of the whole vae", fpr=0.2))
    prompt["profile"] = node("LatentTracerLoadProfile", profile_name="of the whole vae.json")
    prompt["verdict"]["inputs"]["profile"] = ["profile", 0]
    assert "scores of an autoencoder" in sentence(client.fail(prompt), "InvalidProfileError")


def test_image_off_the_latent_grid_is_named(client: Client, photographs: Photographs) -> None:
    said = sentence(client.fail(decoder_only(photographs(80, 35, 32))), "InvalidSettingError")
    assert "multiples of 8, not 35×32" in said


def test_models_that_are_no_one_step_generator_are_refused(client: Client) -> None:
    base = one_step() | made(seed=7)

    def refused(change: Prompt, **inputs: Any) -> str:
        invert = inverted("made")
        invert["inputs"] |= inputs
        verdict = node("LatentTracerOriginVerdict", trace=["invert", 0])
        return sentence(
            client.fail(base | change | {"invert": invert, "verdict": verdict}), "UnsupportedGeneratorError"
        )

    steps = {"sigmas": node("BasicScheduler", model=["model", 0], scheduler="normal", steps=3, denoise=1.0)}
    assert "describe 3 steps" in refused(steps, sigmas=["sigmas", 0])
    patched = {"freeu": node("FreeU", model=["model", 0], b1=1.1, b2=1.2, s1=0.9, s2=0.2)}
    assert "Other nodes changed how the model runs" in refused(patched, model=["freeu", 0])
    narrow = {"narrow": node("ProbeOneStep", seed=1, channels=4)}
    assert "latents of 4 channels, the VAE decodes 8" in refused(narrow, model=["narrow", 0])
    two = {"two": node("ConditioningCombine", conditioning_1=["model", 1], conditioning_2=["model", 1])}
    assert "several prompts" in refused(two, positive=["two", 0])


def test_one_step_of_sigmas_is_the_default(client: Client) -> None:
    prompt = one_step() | made(seed=5) | {"noise": node("ProbeNoise", seed=5, side=SIDE // 8)}
    prompt["sigmas"] = node("BasicScheduler", model=["model", 0], scheduler="normal", steps=1, denoise=1.0)
    prompt["invert"] = inverted("made", initial_inputs=["noise", 0], steps=1, quantiser="none", sigmas=["sigmas", 0])
    prompt["verdict"] = node("LatentTracerOriginVerdict", trace=["invert", 0])
    assert losses(client.succeed(prompt).text("verdict"))[0] < 1e-9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"belonging": ["invert", 0]}, "needs images of both kinds"),
        ({"save_as": "nothing"}, "no profile to save"),
        ({"belonging": ["invert", 0], "others": ["invert", 0]}, "Only 1 belonging and 1 other"),
    ],
    ids=["one kind", "nothing to save", "too few"],
)
def test_calibrations_that_could_state_no_rate_are_refused(
    given: dict[str, Any], message: str, client: Client, photographs: Photographs
) -> None:
    prompt = decoder_only(photographs(79, 48, SIDE), steps=5)
    prompt["verdict"]["inputs"] |= given
    assert message in sentence(client.fail(prompt), "InvalidSettingError")
