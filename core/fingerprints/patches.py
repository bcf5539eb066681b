"""Latents as patches of cells, so that one basis serves every image size."""

from __future__ import annotations

from torch import Tensor


def to_patches(latents: Tensor, side: int) -> Tensor:
    """``[B,C,h,w]`` as ``[B,P,C·side²]``, P = floor(h/side)·floor(w/side) patches by rows; a remainder is left out."""
    batch, channels, height, width = latents.shape
    rows, columns = height // side, width // side
    whole = latents[..., : rows * side, : columns * side]
    split = whole.reshape(batch, channels, rows, side, columns, side)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * side * side)


def add_patches(latents: Tensor, changes: Tensor, side: int) -> Tensor:
    """``latents`` ``[B,C,h,w]`` plus ``changes`` ``[B,P,C·side²]``; the remainder stays as it is."""
    batch, channels, height, width = latents.shape
    rows, columns = height // side, width // side
    split = changes.reshape(batch, rows, columns, channels, side, side).permute(0, 3, 1, 4, 2, 5)
    moved = latents.clone()
    moved[..., : rows * side, : columns * side] += split.reshape(batch, channels, rows * side, columns * side)
    return moved
