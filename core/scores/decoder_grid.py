"""The grid that a decoder writes its pixels on, measured on the decoder itself.

The latent's shape does not tell it. A VAE that packs 2×2 cells into the channels of one has 16 pixels a cell and a
period of 8; a shift by its "half a cell" would lie on the grid again, and hide every trace. What counts is the smallest
shift of a picture after which the autoencoder reconstructs its own work as well as before. That is what is looked for:
a picture that the decoder made, crops of it, and the grid contrast between them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InvalidImageError, NotEnoughMemoryError, UnsupportedAutoencoderError, is_out_of_memory
from ..images.quantiser import quantise
from ..images.synthetic import synthetic_photograph
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles.grid import Grid
from .residuals import compared_pixels, grid_contrast, residual_energies
from .spectral import band_energies

# Cells of the picture that is looked at, and how many more are decoded around it: along the border of what was decoded
# at once a decoder writes other pixels.
CELLS, BORDER = 16, 2
LEAST_SIDE, LARGEST_SIDE = 128, 320
# A shift of the decoder's own picture hides its trace where the contrast between both crops lies below this. Of seven
# decoders shifts off the grid gave -0.24 to -0.92, shifts along it -0.12 and more. Near it three looks decide
# (benchmarks/results/constants.md).
HIDDEN, NEAR = -0.15, 0.08


class NoGridError(UnsupportedAutoencoderError):
    """A decoder whose own pictures look alike on every grid: nothing can be said by where its cells lie."""


_measured: dict[tuple[str, int], Grid | str] = {}


def grid_of(autoencoder: Autoencoder) -> Grid:
    """The grid of ``autoencoder``, measured once per process and set of weights.

    Raises :class:`NoGridError` where none can be measured: a decoder that follows every shift or none, adds noise by
    position, or whose global layers drown its grid; :class:`NotEnoughMemoryError` where memory does not suffice.
    """
    key = (autoencoder.fingerprint, autoencoder.spatial_ratio)
    if key not in _measured:
        try:
            _measured[key] = measure_grid(autoencoder)
        except NoGridError as error:
            _measured[key] = str(error)
    found = _measured[key]
    if isinstance(found, str):
        raise NoGridError(found)
    return found


def measure_grid(autoencoder: Autoencoder) -> Grid:
    """:func:`grid_of`, measured anew: six passes of each network through a picture of 16 cells, seldom more.

    The period divides the pixels of a latent cell, for a shift by a whole cell only moves the cells. Prime by prime it
    is divided as long as a shift by the smaller one does not hide the trace. Raises as :func:`grid_of`.
    """
    ratio = autoencoder.spatial_ratio
    try:
        shifted = _own_picture(autoencoder)
        period = ratio
        for prime in _primes(ratio):
            while period % prime == 0 and not _hides(shifted, period // prime):
                period //= prime
        phase = 0 if period > 1 and _hides(shifted, period // 2) else _best_phase(shifted, period)
    except InvalidImageError as error:
        raise NoGridError(f"{_name(autoencoder)}: {error}") from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        side = _side(ratio) + 2 * BORDER * ratio
        raise NotEnoughMemoryError(
            f"Measuring the latent grid of {autoencoder.name} on {side}×{side} pixels ran out of memory: close other"
            " programs, or use a device with more memory."
        ) from None
    if phase is None:
        raise NoGridError(
            f"{_name(autoencoder)}, which reconstructs pictures of its own as well at any other place as where it wrote"
            " them: it follows every shift, or its noise or global layers drown the grid."
        )
    return Grid(period, phase)


def _name(autoencoder: Autoencoder) -> str:
    return f"No latent grid can be measured for {autoencoder.name}"


def _side(ratio: int) -> int:
    """Side in pixels of the picture that is looked at."""
    return min(max(CELLS * ratio, LEAST_SIDE), max(LARGEST_SIDE, 8 * ratio)) // ratio * ratio


def _primes(number: int) -> list[int]:
    return [p for p in range(2, number + 1) if number % p == 0 and all(p % smaller for smaller in range(2, p))]


def _own_picture(autoencoder: Autoencoder) -> Callable[[tuple[int, int], tuple[int, int]], float]:
    """The contrast between two offsets (rows, columns) within one cell on a picture that ``autoencoder`` made.

    Raises :class:`NoGridError` where that is NaN or infinite.
    """
    ratio = autoencoder.spatial_ratio
    side = _side(ratio)
    border = BORDER * ratio
    with torch.no_grad():
        photograph = synthetic_photograph(seed=0, size=side + 2 * border)
        made = autoencoder.decode(autoencoder.encode(photograph))
    if not torch.isfinite(made).all():
        raise NoGridError(f"{_name(autoencoder)}, which decodes to NaN or infinite values: load the VAE again.")
    own = quantise(made[..., border : border + side, border : border + side]).to(autoencoder.dtype)
    picture = band_energies(compared_pixels(own, ratio))[0]
    energies: dict[tuple[int, int], Tensor] = {}

    def at(offset: tuple[int, int]) -> Tensor:
        if offset not in energies:
            energies[offset] = residual_energies(autoencoder, own, offset, Passes())
        return energies[offset]

    return lambda first, second: grid_contrast(at(first), at(second), picture)


def _hides(contrast: Callable[[tuple[int, int], tuple[int, int]], float], shift: int) -> bool:
    """Whether a shift by ``shift`` pixels hides the trace: one look down and across, two more where that is unclear."""
    value = contrast((0, 0), (shift, shift))
    if abs(value - HIDDEN) < NEAR:
        value = (value + contrast((0, 0), (shift, 0)) + contrast((0, 0), (0, shift))) / 3
    return value < HIDDEN


def _best_phase(contrast: Callable[[tuple[int, int], tuple[int, int]], float], period: int) -> int | None:
    """The diagonal offset at which the decoder's picture is reconstructed best, ``None`` if none stands out."""
    if period == 1:
        return None
    half = period // 2
    values = [contrast((phase, phase), ((phase + half) % period,) * 2) for phase in range(period)]
    best = min(range(period), key=values.__getitem__)
    return best if values[best] < HIDDEN else None
