"""The picture about a reading: the image beside the certainty of each key bit. It shows no bit's value."""

from __future__ import annotations

import math

from PIL import Image
from torch import Tensor

from ...fingerprints.read import Reading
from ...fingerprints.register import UserAttribution
from ...images.tensors import to_picture
from ..reading import found_words
from .style import FAINT, INK, MARGIN, SURFACE, blank, fit, font, wrapped

PANEL = 320
CERTAIN, UNCERTAIN = (86, 180, 233), (230, 159, 0)


def reading_picture(image: Tensor, reading: Reading, owner: UserAttribution | None = None) -> Image.Image:
    """``image`` ``[1,3,H,W]`` in [0,1] and one cell per bit, from orange (a coin toss) to blue (certain)."""
    title = found_words(reading)
    if owner is not None:
        title += f", user: {(owner.user or 'none')[:60]}"
    width = 3 * MARGIN + 2 * PANEL
    lines = wrapped(f"{title}; p <= {reading.p_value:.2g} for an unmarked picture", 21, width - 2 * MARGIN)
    top = MARGIN + 28 * len(lines) + 8
    picture, draw = blank(width, top + PANEL + 44)
    for row, line in enumerate(lines):
        draw.text((MARGIN, MARGIN - 6 + 28 * row), line, font=font(21), fill=INK)
    tiles = (("image", fit(to_picture(image), PANEL)), ("certainty of each bit", certainty_tile(reading, PANEL)))
    for column, (label, tile) in enumerate(tiles):
        left = MARGIN + column * (PANEL + MARGIN)
        picture.paste(tile, (left, top))
        draw.text((left, top + PANEL + 6), label, font=font(21), fill=FAINT)
    return picture


def certainty_tile(reading: Reading, side: int) -> Image.Image:
    """A square of ``side`` pixels with one cell per bit."""
    tile, draw = blank(side, side, SURFACE)
    columns = math.ceil(math.sqrt(reading.key_bits))
    size = side / columns
    for number, confidence in enumerate(reading.bit_confidence):
        x, y = number % columns * size, number // columns * size
        share = min(1.0, max(0.0, 2 * confidence - 1))
        colour = tuple(round(a + share * (b - a)) for a, b in zip(UNCERTAIN, CERTAIN, strict=True))
        draw.rectangle((x + 1, y + 1, x + size - 2, y + size - 2), fill=colour)
    return tile
