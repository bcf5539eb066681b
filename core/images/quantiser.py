"""What 8-bit storage did to a decoded image, as an explicit model.

A decoder's output is real-valued; the picture on disk is not. Most software stores ``round(255·v)``; ComfyUI's
``SaveImage`` stores ``floor(255·v)``. Seen from a latent, a stored value is therefore an interval, and the residual is
measured to its middle. Stored 0 and 255 also swallow everything beyond, so there the residual is one-sided: a decoder
that overshoots a saturated pixel reproduces it. (methods.md §7; the one-sided residual replaces LatentTracer's clamp.)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import InvalidSettingError

Quantiser = Literal["auto", "round", "floor", "none"]
LEVELS = 255
# Mean squared distance of a uniformly distributed value to the middle of its interval, in units of [0,1].
ROUNDING_FLOOR = 1 / (12 * LEVELS**2)


def check_quantiser(name: str) -> Quantiser:
    """Return ``name`` if it names a quantiser; raises :class:`InvalidSettingError` otherwise."""
    for quantiser in get_args(Quantiser):
        if name == quantiser:
            return quantiser
    raise InvalidSettingError(f"Unknown quantiser {name!r}: choose one of {', '.join(get_args(Quantiser))}.")


def quantise(images: Tensor, quantiser: Quantiser = "round") -> Tensor:
    """Store real-valued ``images`` (any range, any shape) as 8 bit and read them back: float in [0,1]."""
    scaled = images.clamp(0, 1) * LEVELS
    if quantiser == "none":
        return images.clamp(0, 1)
    return (scaled.floor() if quantiser == "floor" else scaled.round()) / LEVELS


def is_eight_bit(images: Tensor, tolerance: float = 2e-3) -> Tensor:
    """``[B]`` bool: does every value of ``images`` ``[B,3,H,W]`` lie within ``tolerance`` levels of the 8-bit grid?"""
    scaled = images.float() * LEVELS
    return ((scaled - scaled.round()).abs() < tolerance).flatten(1).all(1)


def residual(decoded: Tensor, images: Tensor, quantiser: Quantiser) -> Tensor:
    """Signed distance of ``decoded`` to what could have been stored as ``images``; both ``[B,3,H,W]``, float.

    ``round``: distance to the stored value. ``floor``: distance to the middle of ``[v, v + 1/255)``, and to 1 for a
    stored 255, which only a value of at least 1 produces. ``none``: distance to the value itself, for images that were
    never stored. In each case overshooting a saturated value costs nothing.
    """
    target = torch.where(images >= 1, images, images + 0.5 / LEVELS) if quantiser == "floor" else images
    difference = decoded - target
    difference = torch.where(images <= 0, difference.clamp(min=0), difference)
    return torch.where(images >= 1, difference.clamp(max=0), difference)


def mean_squared_residual(decoded: Tensor, images: Tensor, quantiser: Quantiser) -> Tensor:
    """``[B]``: the reconstruction loss of each image, the mean of the squared :func:`residual`."""
    return residual(decoded, images, quantiser).square().flatten(1).mean(1)


def swallowed(decoded: Tensor, images: Tensor) -> Tensor:
    """Bool like ``images`` ``[B,3,H,W]``: values stored as 0 or 255 of which ``decoded``, unclamped, lies beyond. They
    add nothing to a residual, whatever is decoded."""
    return ((images <= 0) & (decoded <= 0)) | ((images >= 1) & (decoded >= 1))


def beyond_interval(decoded: Tensor, images: Tensor, quantiser: Quantiser, half_width: float) -> Tensor:
    """By how many levels ``decoded`` misses the intervals that were stored as ``images``; both ``[B,3,H,W]``, signed.

    Zero within ``half_width`` levels of an interval's middle (one half is the whole interval). ``floor``: the interval
    is ``[v, v + 1)`` levels, else ``v ± 1/2``.
    """
    middle = images + 0.5 / LEVELS if quantiser == "floor" else images
    missed = (decoded - middle) * LEVELS
    missed = torch.where(images <= 0, missed.clamp(min=0), missed)
    missed = torch.where(images >= 1, missed.clamp(max=0), missed)
    return missed - missed.clamp(-half_width, half_width)
