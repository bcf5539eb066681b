"""A picture on a canvas: bars above and below, a page around it, a screenshot's margin."""

from __future__ import annotations

from torch import Tensor

from .part import Part

# Lines that are looked at together: a picture is large, a margin seldom.
TOGETHER = 64
# Levels of 8 bit within which a line is of one colour: what a fine JPEG or WebP file leaves of a flat margin.
ONE_COLOUR = 6.0


def content_box(image: Tensor) -> Part | None:
    """What an ``image`` ``[1,3,H,W]`` in [0,1] shows inside a margin of one colour a side.

    ``None`` where no side has a margin, and where nothing else is in the picture.
    """
    pixels = image[0].float()
    top, left, bottom, right = 0, 0, *pixels.shape[-2:]
    while True:
        inside = pixels[:, top:bottom, left:right]
        above, below = _margin(inside), _margin(inside, from_end=True)
        if above + below >= bottom - top:
            return None
        inside = inside[:, above : bottom - top - below]
        before, behind = _margin(inside.mT), _margin(inside.mT, from_end=True)
        if before + behind >= right - left:
            return None
        top, bottom, left, right = top + above, bottom - below, left + before, right - behind
        # A margin within a margin: where bars of two colours meet, one pair hides the other.
        if not above + below + before + behind:
            break
    box = Part(top, left, bottom - top, right - left)
    return None if (box.height, box.width) == tuple(pixels.shape[-2:]) else box


def _margin(pixels: Tensor, from_end: bool = False) -> int:
    """How many lines of ``pixels`` ``[3,h,w]`` in [0,1], from the first or last on, are of its one colour."""
    lines = pixels.shape[1]
    colour = None
    for done in range(0, lines, TOGETHER):
        upto = min(done + TOGETHER, lines)
        some = pixels[:, lines - upto : lines - done].flip(1) if from_end else pixels[:, done:upto]
        levels = 255 * some
        colour = levels[:, :1].median(-1, keepdim=True).values if colour is None else colour
        plain = ((levels - colour).abs() <= ONE_COLOUR).all(0).all(-1)
        if not bool(plain.all()):
            return done + int((~plain).int().argmax())
    return lines
