"""What lossy files other than JPEG, and palettes, leave in the pixels.

Lossy formats store luma and chroma in whole levels. Turned into RGB and rounded again, each pixel's luma still lies
near a whole level, of the full range (JPEG, AVIF) or of 16 to 235 (WebP, video); that of colours which never were luma
and chroma lies anywhere. Any change of size or brightness afterwards wipes that out. A fine quantiser leaves it as
well, and takes nothing that matters: so luma of the full range counts where fine chroma is gone, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor

from .regularity import JPEG_BLOCK
from .tensors import telling_part

MAX_SIDE = 512
# Luma of ITU-R BT.601 and BT.709, and each again in the range of video.
LUMA = np.array([[0.299, 0.587, 0.114], [0.2126, 0.7152, 0.0722]])
LUMA = np.concatenate([LUMA, LUMA * 219 / 255])
CHROMA = np.array([[-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
# |mean of exp(2 pi i luma)|: 0.41 to 0.56 in 36 pictures out of JPEG, WebP and AVIF files of any quality, 0.22 and less
# in 60 that never were one. Measured while this was built; benchmarks/power.py shows what it does to answers.
LATTICE = 0.3
# Share of blocks whose finest chroma does not exceed rounding noise: 0.25 and more after AVIF of quality 60 to 90, 0.09
# and less in photographs whose JPEG file was too fine to matter.
FINE_CHROMA_LOST = 0.12
# Energy of 8-bit rounding in a chroma coefficient, in levels; a block is empty below twice that.
ROUNDING = 1 / 12 * float((CHROMA**2).sum(1).mean())
# A palette: fewer colours than this, in a picture of at least so many pixels.
FEW_COLOURS, ENOUGH_PIXELS = 512, 4096
# Different colours that are needed to tell.
LEAST_COLOURS = 1000


def was_lossy(image: Tensor) -> bool:
    """Whether the pixels of ``image`` ``[1,3,H,W]`` in [0,1] were once stored by a format that took fine chroma away.

    False where they do not tell: grey pictures, and any that were resized or recoloured since.
    """
    levels = _levels(image)
    full, limited = lattice(levels)
    return limited > LATTICE or full > LATTICE and fine_chroma_lost(levels) >= FINE_CHROMA_LOST


def few_colours(image: Tensor) -> int | None:
    """How many colours ``image`` ``[1,3,H,W]`` holds, where they are so few that most were taken away; else ``None``.

    A grey picture cannot have more than 256, so it counts as one of few colours below a quarter of those.
    """
    levels = _levels(image)
    if levels[0].size < ENOUGH_PIXELS:
        return None
    limit = FEW_COLOURS if (levels != levels[:1]).any() else 64
    found = len(np.unique(_packed(levels)))
    return found if found <= limit else None


def lattice(levels: NDArray[np.uint8]) -> tuple[float, float]:
    """How near to whole levels of full and of limited range the luma of ``levels`` ``[3,H,W]`` lies, each 0 … 1.

    The absolute mean of exp(2 pi i luma), for the standard that fits best.
    """
    # Each colour once: a canvas around the picture must not outweigh it.
    colours = np.unique(_packed(levels))
    pixels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255]).astype(np.float64)
    # Clipping moves luma, and grey is its own luma whatever it was stored as.
    pixels = pixels[:, (pixels > 0).all(0) & (pixels < 255).all(0) & (np.ptp(pixels, 0) > 0)]
    if pixels.shape[1] < LEAST_COLOURS:
        return 0.0, 0.0
    near = np.abs(np.exp(2j * np.pi * (LUMA @ pixels)).mean(1))
    return float(near[:2].max()), float(near[2:].max())


def fine_chroma_lost(levels: NDArray[np.uint8]) -> float:
    """Share of 8×8 blocks of ``levels`` ``[3,H,W]`` whose diagonal chroma frequencies hold rounding noise alone."""
    rows, columns = (side // JPEG_BLOCK for side in levels.shape[-2:])
    chroma = np.tensordot(
        CHROMA, levels[:, : rows * JPEG_BLOCK, : columns * JPEG_BLOCK].astype(np.float64), axes=(1, 0)
    )
    blocks = (
        chroma.reshape(2, rows, JPEG_BLOCK, columns, JPEG_BLOCK)
        .transpose(1, 3, 0, 2, 4)
        .reshape(-1, 2, JPEG_BLOCK, JPEG_BLOCK)
    )
    if not len(blocks):
        return 0.0
    energy = dctn(blocks, axes=(2, 3), norm="ortho") ** 2
    frequency = np.add.outer(np.arange(JPEG_BLOCK), np.arange(JPEG_BLOCK))
    coarse = energy[..., (frequency > 0) & (frequency < 3)].mean((1, 2))
    fine = energy[..., frequency >= 6].mean((1, 2))
    # Only where there is colour at all can its finest part be missing.
    telling = coarse > 4 * ROUNDING
    return float((fine[telling] < 2 * ROUNDING).mean()) if telling.any() else 0.0


def _packed(levels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """One number ``[H,W]`` for each colour of ``levels`` ``[3,H,W]``."""
    red, green, blue = levels.astype(np.uint32)
    packed: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return packed


def _levels(image: Tensor) -> NDArray[np.uint8]:
    pixels = (255 * telling_part(image, MAX_SIDE, JPEG_BLOCK)[0]).round().clamp(0, 255)
    levels: NDArray[np.uint8] = pixels.byte().numpy(force=True)
    return levels
