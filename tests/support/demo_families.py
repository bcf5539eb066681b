"""A calibration of families whose proxies are the two demo decoders, and these under the names of proxies' files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.families import NO_FAMILY, Families, FamilyProxy, KnownPicture
from safetensors.torch import load_file, save_file

OTHERS, OWN = 199, 40


def families(proxies: tuple[tuple[str, str, str], ...], own: float = -0.1, own_work: float = -9.0) -> Families:
    """A calibration in which each ``(family, proxy, digest)`` has own pictures around ``own``, others around zero."""
    pictures = [KnownPicture(f"{k:064x}", NO_FAMILY, "", "camera") for k in range(OTHERS)]
    for family, _, _ in proxies:
        pictures += [KnownPicture(f"{family}-{k}", family, "model", "source") for k in range(OWN)]
    known = []
    for family, proxy, digest in proxies:
        spread = iter(np.linspace(-0.02, 0.02, len(pictures)).tolist())
        contrasts = tuple(next(spread) + (own if picture.family == family else 0.0) for picture in pictures)
        known.append(FamilyProxy(family, proxy, digest, contrasts, (0.01,) * len(pictures)))
    return Families("a test", {"places": 8}, 0.004, own_work, 0.02, 0.05, tuple(pictures), tuple(known))


def proxies_in(folder: Path) -> Path:
    """``folder`` with the two demo decoders under the names of tiny autoencoders' files."""
    for name, path in EMBEDDED.items():
        weights = load_file(path)
        for part in ("encoder", "decoder"):
            own = {key.partition(".")[2]: value for key, value in weights.items() if key.startswith(f"taesd_{part}.")}
            save_file(own, folder / f"{name}_{part}.safetensors")
    return folder
