"""A picture on a canvas: bars above and below, a page around it, a screenshot's margin."""

from __future__ import annotations

from torch import Tensor

from .part import Part

# Levels of 8 bit within which a line is of one colour: what a fine JPEG or WebP file leaves of a flat margin.
ONE_COLOUR = 6.0


def content_box(image: Tensor) -> Part | None:
    """What an ``image`` ``[1,3,H,W]`` in [0,1] shows inside a margin of one colour a side.

    ``None`` where no side has a margin, and where nothing else is in the picture.
    """
    levels = 255 * image[0].float()
    top, left, bottom, right = 0, 0, *levels.shape[-2:]
    while True:
        inside = levels[:, top:bottom, left:right]
        above, below = _margin(inside), _margin(inside.flip(1))
        if above + below >= bottom - top:
            return None
        inside = inside[:, above : bottom - top - below]
        before, behind = _margin(inside.mT), _margin(inside.flip(2).mT)
        if before + behind >= right - left:
            return None
        top, bottom, left, right = top + above, bottom - below, left + before, right - behind
        # A margin within a margin: where bars of two colours meet, one pair hides the other.
        if not above + below + before + behind:
            break
    box = Part(top, left, bottom - top, right - left)
    return None if (box.height, box.width) == tuple(levels.shape[-2:]) else box


def _margin(levels: Tensor) -> int:
    """How many rows of ``levels`` ``[3,h,w]``, from the first on, are of the first one's one colour."""
    colour = levels[:, :1].median(-1, keepdim=True).values
    plain = ((levels - colour).abs() <= ONE_COLOUR).all(0).all(-1)
    return len(plain) if bool(plain.all()) else int((~plain).int().argmax())
