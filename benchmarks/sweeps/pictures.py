"""Sweeps of constants by which a picture's past and its copies are told; no decoder runs."""

from __future__ import annotations

from functools import cache

import torch
from common import RESULTS, Row, all_pictures, crop_of, pictures_of_side, read_rows
from latent_tracer.core import alter, quantise, synthetic_photograph
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.images.regularity import grid_strength
from latent_tracer.core.images.same_picture import thumbnails
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sweeps import Sweep, current, each, given, moved, share


def doubt_sweep() -> Sweep:
    """Grids of the pictures in ``histories-rows.jsonl`` and of decoders' own in ``localisation-whole-rows.jsonl``."""
    made, whole = read_rows(RESULTS / "histories-rows.jsonl"), read_rows(RESULTS / "localisation-whole-rows.jsonl")
    passing = [r for r in made if r["by_score"] == "belonging"]
    rough = [r for r in made if r["history"].startswith("JPEG ") and r["history"].count(" ") == 1]

    def strong(limit: float) -> Row:
        return {"passed by their score": len(passing), "the grid stops": sum(r["grid"] > limit for r in passing),
                "belonging pictures stopped": share(r["grid"] > limit for r in whole)}  # fmt: skip

    def of_jpeg(slope: float) -> Row:
        limit = current("verdicts.doubt.STRONG_GRID")
        return {"JPEG 5 to 25 taken for a grid": share(
            r["grid"] > limit + slope * (100 - (r["jpeg_quality"] or 100)) for r in rough)}  # fmt: skip

    yield from given("verdicts.doubt.STRONG_GRID", (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0), "rows", strong)
    yield from given("verdicts.doubt.GRID_OF_JPEG", (0.0, 0.01, 0.02, 0.04), "rows", of_jpeg)
    pictures = pictures_of_side(192, 8)

    def floor() -> Row:
        plain = [crop_of(name, 192) for name in pictures]
        mosaics = [avg_pool2d(image, 8).repeat_interleave(8, 2).repeat_interleave(8, 3) for image in plain]
        return {"photographs, at most": round(max(map(grid_strength, plain)), 2),
                "mosaics of 8, at least": round(min(map(grid_strength, mosaics)), 2)}  # fmt: skip

    yield from each("images.regularity.FLOOR", (0.05, 0.5, 2.0, 8.0), "8 photographs", floor)


def jpeg_sweep() -> Sweep:
    """The quality read off 64² crops: of photographs, drawn and posterised ones, and out of files of 30, 75, 90, 95."""
    names = [name for name in pictures_of_side(192, 8) if name.startswith("real/kodak")]
    parts = [crop_of(name, 192)[..., top : top + 64, top : top + 64] for name in names for top in (0, 64, 128)]
    drawn = [quantise(synthetic_photograph(seed, 64)) for seed in range(12)]
    plain = [*parts, *drawn, *((7 * image).round() / 7 for image in parts + drawn)]
    stored = [(quality, alter(image, f"jpeg-{quality}")) for image in parts for quality in (30, 75, 90, 95)]

    def measure() -> Row:
        found = [(quality, jpeg_quality(image)) for quality, image in stored]
        return {"read where there was none": sum(jpeg_quality(image) is not None for image in plain),
                "of": len(plain), "files missed": sum(seen is None for _, seen in found), "of files": len(found),
                "off by more than 2": sum(abs((seen or quality) - quality) > 2 for quality, seen in found)}  # fmt: skip

    for name, values in (("SHARE", (0.3, 0.5, 0.7, 0.9)), ("STANDARD_ERRORS", (2.0, 4.0, 6.0, 9.0)),
                         ("MULTIPLES", (1, 4, 16)), ("FREQUENCIES", (1, 2, 4))):  # fmt: skip
        yield from each(f"images.jpeg.{name}", values, "48 and 48 crops", measure)


def same_sweep() -> Sweep:
    """Central 512² of all pictures of the data folder against each other, and 20 of them against altered copies."""
    names = all_pictures()

    def likeness(first: Tensor, second: Tensor) -> float:
        return float(torch.maximum((first[:1] @ second.T).max(), (first @ second[:1].T).max()))

    @cache
    def central(name: str) -> Tensor:
        return crop_of(name, 512)

    @cache
    def copies(name: str) -> list[Tensor]:
        image = central(name)
        cut = image[..., image.shape[-2] // 25 :, image.shape[-1] // 25 :]
        return [alter(image, "jpeg-30"), alter(image, "resize-0.5"), (1.1 * image).clamp(0, 1), cut]

    @cache
    def found(coarse: float) -> tuple[list[float], list[float]]:
        with moved("images.same_picture.COARSE", coarse):
            whole = [thumbnails(central(name)) for name in names]
            altered = [[thumbnails(one) for one in copies(name)] for name in names[:20]]
        different = [likeness(whole[a], whole[b]) for a in range(len(names)) for b in range(a)]
        return different, [likeness(one, whole[k]) for k, part in enumerate(altered) for one in part]

    def measure(coarse: float, same: float) -> Row:
        different, alike = found(coarse)
        return {"copies, at least": round(min(alike), 3),
                "pairs taken for the same": sum(v >= same for v in different), "of pairs": len(different),
                "copies missed": sum(v < same for v in alike), "of copies": len(alike)}  # fmt: skip

    coarse, same = current("images.same_picture.COARSE"), current("images.same_picture.SAME")
    values, on = (0.6, 0.8, 0.9, 0.95, 0.98), "72 pictures"
    yield from given("images.same_picture.SAME", values, on, lambda value: measure(coarse, value))
    yield from given("images.same_picture.COARSE", (1.0, 3.0, 7.0), on, lambda value: measure(value, same))
