"""Which Family on the server: through the tiny autoencoders in vae_approx, or with a word on which are missing."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .client import Client
from .conftest import available, png
from .prompts import decoded, node
from .workflow import Prompt

SIDE = 256


def which_family(image: str) -> Prompt:
    return {
        "image": node("LoadImage", image=image),
        "which": node("LatentTracerWhichFamily", image=["image", 0]),
        "answer": node("PreviewAny", source=["which", 0]),
        "family": node("PreviewAny", source=["which", 1]),
    }


def test_a_photograph_is_of_no_family_and_a_preview_is_the_proxys_own_work(data: Path, client: Client) -> None:
    decoder = available("taesd", client)
    with Image.open(data / "images" / "real" / "kodak" / "kodim05.png") as whole:
        photograph = client.upload_image("family-photograph.png", png(whole.convert("RGB").crop((0, 0, SIDE, SIDE))))
    run = client.succeed(which_family(photograph))
    assert run.text("answer") in ("none", "cannot tell") and run.text("family") == "", run.text("which")
    saved = client.view(client.succeed(decoded(decoder, photograph)).images("save")[0])
    run = client.succeed(which_family(client.upload_image("family-preview.png", saved)))
    assert run.text("answer") == "cannot tell" and "preview" in run.text("which"), run.text("which")
