"""The map of foreign regions: the picture darkened, what does not look like the rest lit up in orange."""

from __future__ import annotations

import torch
from torch import Tensor

from ...verdicts.localisation import ForeignMap

DIMMED = 0.35
#: Okabe and Ito's orange, as everywhere for what does not belong.
FOREIGN = (0.902, 0.624, 0.0)


def heat_map(image: Tensor, found: ForeignMap) -> Tensor:
    """``image`` ``[1,3,H,W]`` in [0,1] under its map: dim grey, orange under the mask alone, brighter the farther the
    excess lies above the threshold (full at twice of it); the mask's edge is drawn white."""
    grey = image.detach().cpu().float().mean(1, keepdim=True)[0]
    beyond = (found.excess.cpu() / max(found.threshold, 1e-6) - 1).clamp(0, 1)
    # What is no region in words is none in the picture.
    strength = torch.where(found.mask.cpu(), 0.5 + 0.5 * beyond, torch.zeros(()))[None]
    colour = torch.tensor(FOREIGN)[:, None, None]
    shown = DIMMED * grey * (1 - strength) + strength * colour * (0.35 + 0.65 * grey)
    return torch.where(_edge(found.mask), torch.ones(()), shown)[None].clamp(0, 1)


def _edge(mask: Tensor) -> Tensor:
    """Two pixels on the inner side of the mask's border."""
    inside = mask.float()[None, None]
    eroded = -torch.nn.functional.max_pool2d(-inside, 5, stride=1, padding=2)
    return (inside > eroded)[0]
