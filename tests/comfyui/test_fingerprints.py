"""Build, load, embed and read fingerprints on a running server, through the PNG that Save Image wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import synthetic_photograph, to_picture
from latent_tracer.core.fingerprints import Register, load_secret
from PIL import Image

from .client import Client
from .conftest import available, png
from .prompts import node
from .workflow import Prompt

SECRET_TEXT = "f00dfeed" * 2 + "0123456789abcdef"


def sentence(error: dict[str, Any]) -> str:
    message = error["exception_message"].strip()
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.fixture(scope="module")
def demo(client: Client) -> str:
    return available("demo-a.safetensors", client)


@pytest.fixture(scope="module")
def files(base_directory: Path, client: Client) -> Path:
    """The folder with a secret and a register of two users."""
    folder = base_directory / "models" / "latent_fingerprints"
    (folder / "studio.secret").write_text(SECRET_TEXT)
    register = Register.create(load_secret(folder / "studio.secret")).add(["alice", "bob"])
    register.save(folder / "users.json")
    return folder


@pytest.fixture(scope="module")
def basis(demo: str, client: Client, files: Path, base_directory: Path) -> str:
    pictures = base_directory / "input" / "basis-pictures"
    pictures.mkdir()
    for seed in range(50, 66):
        to_picture(synthetic_photograph(seed, 128)).save(pictures / f"{seed}.png")
    report = client.succeed({
        "vae": node("VAELoader", vae_name=demo),
        "folder": node("LoadImageDataSetFromFolder", folder="basis-pictures"),
        "build": node(
            "LatentTracerBuildFingerprintBasis", vae=["vae", 0], images=["folder", 0], name="demo"
        ),
    }).text("build")  # fmt: skip
    assert "saved as demo.safetensors: 16 pictures, 16 of 128 directions chosen" in report
    return "demo.safetensors"


def loaded(decoder: str, basis: str, image: str) -> Prompt:
    return {
        "vae": node("VAELoader", vae_name=decoder),
        "basis": node("LatentTracerLoadFingerprintBasis", basis_name=basis),
        "image": node("LoadImage", image=image),
    }


def embedding(decoder: str, basis: str, image: str, **settings: Any) -> Prompt:
    inputs = {"user": "alice", "secret": "studio.secret", "strength": 2.0, **settings}
    return loaded(decoder, basis, image) | {
        "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "embed": node(
            "LatentTracerEmbedFingerprint", latent=["encoded", 0], basis=["basis", 0], vae=["vae", 0], **inputs
        ),
        "decoded": node("VAEDecode", samples=["embed", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decoded", 0], filename_prefix="signed"),
    }


def reading(decoder: str, basis: str, image: str, **settings: Any) -> Prompt:
    inputs = {"secret": "studio.secret", "register": "users.json", "steps": 0, **settings}
    return loaded(decoder, basis, image) | {
        "read": node("LatentTracerReadFingerprint", vae=["vae", 0], image=["image", 0], basis=["basis", 0], **inputs),
        "key": node("PreviewAny", source=["read", 0]),
        "user": node("PreviewAny", source=["read", 4]),
    }


@pytest.fixture(scope="module")
def photograph(client: Client) -> str:
    return client.upload_image("sign-me.png", png(to_picture(synthetic_photograph(7, 224))))


@pytest.fixture(scope="module")
def signed(demo: str, client: Client, basis: str, photograph: str) -> tuple[str, str, bytes]:
    """Uploaded name and report of a picture signed for alice, and its bytes."""
    run = client.succeed(embedding(demo, basis, photograph))
    content = client.view(run.images("save")[0])
    return client.upload_image("signed.png", content), run.text("embed"), content


def test_saved_picture_names_its_user(
    demo: str, client: Client, basis: str, signed: tuple[str, str, bytes], files: Path
) -> None:
    name, report, _ = signed
    assert "64 bits of user 'alice' in 1 latents" in report
    assert "marked against unmarked" in report
    run = client.succeed(reading(demo, basis, name))
    key = load_secret(files / "studio.secret").user_key("alice").hexadecimal
    assert run.text("key") == key
    assert run.text("user") == "alice"
    assert "A KEY of 64 bits" in run.text("read")
    assert "user: alice of 2 registered" in run.text("read")
    assert key not in run.text("read")


def test_unsigned_picture_and_wrong_secret_give_no_key(
    demo: str, client: Client, basis: str, photograph: str, signed: tuple[str, str, bytes], files: Path
) -> None:
    run = client.succeed(reading(demo, basis, photograph))
    assert "NO KEY" in run.text("read")
    assert (run.text("key"), run.text("user")) == ("", "")
    (files / "other.secret").write_text("another secret of enough characters")
    wrong = client.succeed(reading(demo, basis, signed[0], secret="other.secret", register="none"))
    assert "NO KEY" in wrong.text("read")
    error = client.fail(reading(demo, basis, signed[0], secret="other.secret"))
    assert "not the one this register was made with" in sentence(error)


def test_one_bad_picture_of_a_batch_costs_the_others_nothing(
    demo: str, client: Client, basis: str, signed: tuple[str, str, bytes]
) -> None:
    prompt = reading(demo, basis, signed[0]) | {
        "nothing": node("ProbeImage", kind="NaN"),
        "batch": node("ImageBatch", image1=["image", 0], image2=["nothing", 0]),
    }
    prompt["read"]["inputs"]["image"] = ["batch", 0]
    said = client.succeed(prompt).text("read")
    assert "image 1: A KEY of 64 bits" in said and "image 2: not read (The image contains NaN" in said


def test_neither_key_nor_secret_is_saved_or_logged(
    client: Client, basis: str, signed: tuple[str, str, bytes], files: Path, server: Any, tmp_path: Path
) -> None:
    """What Save Image writes into a PNG, and what the server logs."""
    path = tmp_path / "signed.png"
    path.write_bytes(signed[2])
    metadata = json.dumps(dict(Image.open(path).info))
    assert "studio.secret" in metadata and "alice" in metadata
    key = load_secret(files / "studio.secret").user_key("alice").hexadecimal
    for hidden in (key, SECRET_TEXT, SECRET_TEXT[:16]):
        assert hidden not in metadata
        assert hidden.encode() not in signed[2]
        assert hidden not in server.log
        assert hidden not in signed[1]


def test_errors_are_sentences(
    demo: str, client: Client, basis: str, photograph: str, photographs: Callable[..., str]
) -> None:
    assert "must be above 0" in sentence(client.fail(embedding(demo, basis, photograph, strength=0.0)))
    assert "has room for" in sentence(client.fail(embedding(demo, basis, photographs(1, 64, 64))))
    assert "smaller than one patch" in sentence(client.fail(embedding(demo, basis, photographs(1, 24, 64))))
    assert "A user name of 0 characters" in sentence(client.fail(embedding(demo, basis, photograph, user="")))
    error = client.fail(embedding(demo, basis, photograph, secret="missing.secret"))
    assert "There is no 'missing.secret'" in sentence(error)
    assert error["exception_type"] == "latent_tracer.InvalidSecretError"
    unset = embedding(demo, basis, photograph, secret="environment variable LATENT_TRACER_SECRET")
    assert "is not set" in sentence(client.fail(unset))
    other = available("demo-b.safetensors", client)
    assert "load its own VAE" in sentence(client.fail(reading(other, basis, photograph)))
    again = {
        "vae": node("VAELoader", vae_name=demo),
        "image": node("LoadImage", image=photograph),
        "build": node("LatentTracerBuildFingerprintBasis", vae=["vae", 0], images=["image", 0], name="demo"),
    }
    assert "choose another name" in sentence(client.fail(again))
