"""A part of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Part:
    """In pixels from the picture's top left corner."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: Tensor) -> Tensor:
        """That part of ``image`` ``[…,H,W]``; a view."""
        return image[..., self.top : self.top + self.height, self.left : self.left + self.width]
