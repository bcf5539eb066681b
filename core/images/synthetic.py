"""Pictures with the statistics of photographs, drawn from a seed: no file, no licence, the same on every machine.

The dead-leaves model (Lee, Mumford & Huang, IJCV 2001): opaque discs with power-law radii falling on top of each other
give edges, occlusion and a natural 1/f spectrum. Soft shading and a little grain inside the discs make up for their
flatness.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def synthetic_photograph(seed: int, size: int = 256, leaves: int = 250) -> Tensor:
    """One picture ``[1,3,size,size]`` float32 in [0,1]; deterministic in its arguments on every platform."""
    rng = np.random.default_rng(seed)
    # Drawn at twice the size and averaged down, so that edges are as soft as a lens makes them.
    side = 2 * size
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    picture = np.broadcast_to(rng.uniform(0.2, 0.8, 3).astype(np.float32), (side, side, 3)).copy()
    for radius in np.sort(0.02 / (1 - rng.uniform(0, 0.996, leaves)) ** 0.5)[::-1]:
        centre = rng.uniform(-0.1, 1.1, 2)
        colour = rng.uniform(0, 1) * 0.7 + rng.uniform(0, 0.3, 3)
        slope = rng.normal(0, 0.25, 2) / max(radius, 0.05)
        texture = rng.uniform(0, 0.06) * (rng.uniform() < 0.5)
        frequency, phase = rng.uniform(20, 200), rng.uniform(0, 6.28)
        low = np.clip(((centre - radius) * side).astype(int), 0, side)
        high = np.clip(((centre + radius) * side).astype(int) + 1, 0, side)
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        down, right = rows[window] - centre[0], columns[window] - centre[1]
        inside = down**2 + right**2 < radius**2
        shade = slope[0] * down + slope[1] * right + texture * np.sin(frequency * (down + 0.6 * right) * 6.28 + phase)
        picture[window][inside] = (colour + shade[..., None])[inside].astype(np.float32)
    picture = picture.reshape(size, 2, size, 2, 3).mean((1, 3))
    picture += rng.normal(0, 0.008, picture.shape)
    stored = np.round(np.clip(picture, 0, 1) * 255).astype(np.float32) / 255
    return torch.from_numpy(stored).permute(2, 0, 1)[None]
