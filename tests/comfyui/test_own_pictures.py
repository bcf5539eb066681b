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
ALL = bool(os.environ.get("LATENT_TRACER_ALL_PICTURES"))
COUNT = len(PICTURES) if ALL else 2


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
    # Beside its maker one that is nearest of kin.
    kin = {"taesd": "taesdxl", "taesdxl": "taesd", "taesd3": "taef1", "taef1": "taef2", "taef2": "taef1"}[name]
    run = client.succeed(trace_image(decoder, own) | attribution(own, [(kin, None), (name, None)]))
    record_property(own, run.text("trace").splitlines()[0])
    assert run.text("answers") == "belonging", run.text("trace")
    assert "the one that ships for this VAE was used" in run.text("trace")
    assert run.text("answer") == "2", run.text("attribute")
    if name == DECODERS[0] or ALL:  # the others' noes to photographs are asked for by the attribution below
        other = client.succeed(trace_image(decoder, photograph))
        record_property(photograph, other.text("trace").splitlines()[0])
        assert other.text("answers") == "non-belonging", other.text("trace")


def test_photograph_is_attributed_to_none(photograph: str, client: Client) -> None:
    candidates: list[tuple[str, str | None]] = [
        (available(name, client), None) for name in DECODERS[1 : None if ALL else 3]
    ]
    run = client.succeed(attribution(photograph, candidates))
    assert run.text("answer") == "0", run.text("attribute")
