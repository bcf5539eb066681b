"""Core nodes between the VAE or the picture and the trace: the device of a VAE, deep and float files."""

from __future__ import annotations

from pathlib import Path

import pytest
from latent_tracer.core import synthetic_photograph, to_picture

from .client import Client
from .conftest import available, png
from .prompts import decoded, node
from .workflow import Prompt


def asked(vae: list[object], image: list[object]) -> Prompt:
    return {
        "trace": node("LatentTracerTraceImage", vae=vae, image=image),
        "answers": node("PreviewAny", source=["trace", 1]),
    }


@pytest.fixture(scope="module")
def photograph(client: Client) -> str:
    return client.upload_image("photograph-192.png", png(to_picture(synthetic_photograph(17, 192))))


def test_a_vae_put_on_a_device_keeps_its_answer_and_its_name(client: Client, photograph: str) -> None:
    vae = available("demo-a.safetensors", client)
    prompt = decoded(vae, photograph) | {"device": node("SelectVAEDevice", vae=["vae", 0], device="default")}
    run = client.succeed(prompt | asked(["device", 0], ["decoded", 0]))
    straight = client.succeed(prompt | asked(["vae", 0], ["decoded", 0]))
    assert run.text("answers") == "belonging"
    # Its name and its rates; further down the times differ.
    assert run.text("trace").splitlines()[:3] == straight.text("trace").splitlines()[:3]
    assert run.text("trace").startswith("Made by demo-a")


@pytest.mark.parametrize("settings", [
    {"format": "png", "format.bit_depth": "16-bit", "format.input_color_space": "sRGB"},
    {"format": "exr", "format.bit_depth": "32-bit float", "format.input_color_space": "sRGB"},
])  # fmt: skip
def test_deep_files_of_save_image_advanced_are_traced_or_refused_in_words(
    settings: dict[str, str], client: Client, photograph: str, base_directory: Path
) -> None:
    if "SaveImageAdvanced" not in client.object_info:
        pytest.skip("this ComfyUI has no Save Image (Advanced)")
    vae = available("demo-a.safetensors", client)
    save = node("SaveImageAdvanced", images=["decoded", 0], filename_prefix="deep/of", **settings)
    client.succeed(decoded(vae, photograph) | {"deep": save})
    (written,) = (base_directory / "output" / "deep").glob(f"*.{settings['format']}")
    folder = base_directory / "input" / f"deep {settings['format']}"
    folder.mkdir(exist_ok=True)
    written.rename(folder / written.name)
    run = client.run({
        "vae": node("VAELoader", vae_name=vae),
        "folder": node("LatentTracerLoadImages", folder=folder.name),
    } | asked(["vae", 0], ["folder", 0]))  # fmt: skip
    if settings["format"] == "png":
        assert run.text("answers") == "belonging", run.text("trace")
    else:
        assert run.error is not None
        assert "\n" not in run.error["exception_message"].strip()
        assert "exr" in run.error["exception_message"].lower()


def test_what_is_not_rounded_to_eight_bits_is_judged_as_well(client: Client, photograph: str) -> None:
    vae = available("demo-a.safetensors", client)
    # What a decode hands on is float and was never stored.
    assert client.succeed(decoded(vae, photograph) | asked(["vae", 0], ["decoded", 0])).text("answers") == "belonging"
