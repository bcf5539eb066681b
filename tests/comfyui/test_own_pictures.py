"""What a decoder made on the server belongs to it there, and photographs do not: the whole way through real nodes.

Photographs are encoded, decoded and saved by core's nodes, then loaded, traced and attributed. A few of them; with
LATENT_TRACER_ALL_PICTURES=1 eight for each decoder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .client import Client
from .conftest import available, png
from .prompts import attribution, decoded, trace_image

DECODERS = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
SIDE = 256
PICTURES = (
    "kodak/kodim01.png", "kodak/kodim07.png", "kodak/kodim05.png", "kodak/kodim08.png",
    "kodak/kodim13.png", "kodak/kodim15.png", "scikit-image/chelsea.png", "scikit-image/astronaut.png",
)  # fmt: skip
COUNT = len(PICTURES) if os.environ.get("LATENT_TRACER_ALL_PICTURES") else 2


@pytest.fixture(scope="module", params=PICTURES[:COUNT])
def photograph(request: pytest.FixtureRequest, data: Path, client: Client) -> str:
    """The central 256² of a photograph, uploaded."""
    with Image.open(data / "images" / "real" / request.param) as whole:
        left, top = ((side - SIDE) // 2 for side in whole.size)
        cut = whole.convert("RGB").crop((left, top, left + SIDE, top + SIDE))
    return client.upload_image(f"cut-{Path(request.param).name}", png(cut))


@pytest.mark.parametrize("name", DECODERS)
def test_own_picture_belongs_and_the_photograph_does_not(
    name: str, photograph: str, client: Client, record_property: Callable[[str, object], None]
) -> None:
    decoder = available(name, client)
    saved = client.view(client.succeed(decoded(decoder, photograph)).images("save")[0])
    own = client.upload_image(f"own-{name}-{photograph}", saved)
    # Among all the others, the maker never first. Four fit.
    others = [other for other in DECODERS if other != name][:3]
    candidates = [(other, None) for other in (others[0], name, *others[1:])]
    answers = {}
    for image in (own, photograph):
        traced, which = client.succeed(trace_image(decoder, image)), client.succeed(attribution(image, candidates))
        answers[image] = (traced.text("answers"), which.text("answer"))
        record_property(image, traced.text("trace").splitlines()[0])
        record_property(f"{image} attributed", which.text("attribute").splitlines()[0])
    assert answers == {own: ("belonging", "2"), photograph: ("non-belonging", "0")}
    assert "the one that ships for this VAE was used" in traced.text("trace")
