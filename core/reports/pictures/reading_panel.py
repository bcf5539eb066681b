"""The picture about a reading: the image beside the certainty of each key bit. It shows no bit's value."""

from __future__ import annotations

import math
import textwrap

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...fingerprints.read import Reading
from ...fingerprints.register import UserAttribution
from ...images.tensors import to_picture

PANEL, MARGIN = 320, 24
CANVAS, SURFACE, INK, FAINT = "#14171c", "#1e232b", "#f2f4f7", "#9aa4b2"
CERTAIN, UNCERTAIN = (86, 180, 233), (230, 159, 0)


def reading_picture(image: Tensor, reading: Reading, owner: UserAttribution | None = None) -> Image.Image:
    """``image`` ``[1,3,H,W]`` and one cell per bit, from orange (a coin toss) to blue (certain)."""
    title = "no key" if reading.key is None else f"a key of {reading.key_bits} bits"
    if owner is not None:
        title += f", user: {(owner.user or 'none')[:60]}"
    lines = textwrap.wrap(f"{title}; p <= {reading.p_value:.2g} for an unmarked picture", 80)
    top = MARGIN + 22 * len(lines) + 8
    picture = Image.new("RGB", (3 * MARGIN + 2 * PANEL, top + PANEL + MARGIN), CANVAS)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + 22 * row), line, font=ImageFont.load_default(16), fill=INK)
    small = to_picture(image)
    small.thumbnail((PANEL, PANEL))
    picture.paste(small, (MARGIN, top))
    left, columns = 2 * MARGIN + PANEL, math.ceil(math.sqrt(reading.key_bits))
    draw.rectangle((left, top, left + PANEL, top + PANEL), fill=SURFACE)
    size = PANEL / columns
    for number, confidence in enumerate(reading.bit_confidence):
        x, y = left + number % columns * size, top + number // columns * size
        share = min(1.0, max(0.0, 2 * confidence - 1))
        colour = tuple(round(a + share * (b - a)) for a, b in zip(UNCERTAIN, CERTAIN, strict=True))
        draw.rectangle((x + 1, y + 1, x + size - 1, y + size - 1), fill=colour)
    draw.text((left, top + PANEL + 4), "certainty of each bit", font=ImageFont.load_default(12), fill=FAINT)
    return picture
