"""The eight EXIF orientations: how a stored picture is turned to stand upright, and back (CIPA DC-008, tag 0x0112).

Scores look at the grid the pixels were decoded on, so pixels are judged as stored and turned only to be shown.
"""

from __future__ import annotations

from torch import Tensor

# By orientation: whether rows and columns change places, and then which of the two axes are reversed.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    1: (False, ()),
    2: (False, (-1,)),
    3: (False, (-2, -1)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-2, -1)),
    8: (True, (-2,)),
}
ORIENTATIONS = tuple(_TURNS)


def upright(pixels: Tensor, orientation: int) -> Tensor:
    """Stored ``pixels`` ``[…,H,W]`` as they are to be seen; ``orientation`` is one of :data:`ORIENTATIONS`."""
    transposed, reversed_axes = _TURNS[orientation]
    turned = pixels.transpose(-2, -1) if transposed else pixels
    # A flip along no axis would be a copy of the whole picture.
    return turned.flip(reversed_axes) if reversed_axes else turned


def stored(pixels: Tensor, orientation: int) -> Tensor:
    """The inverse of :func:`upright`: ``pixels`` ``[…,H,W]`` that stand upright, as the file holds them."""
    transposed, reversed_axes = _TURNS[orientation]
    turned = pixels.flip(reversed_axes) if reversed_axes else pixels
    return turned.transpose(-2, -1) if transposed else turned
