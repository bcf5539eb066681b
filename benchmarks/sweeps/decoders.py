"""Sweeps of constants of the map, of memory, of inversion and of fingerprints."""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from common import RESULTS, Row, area_under_curve, crop_of, decoder, pictures_of_side, read_rows
from latent_tracer.core import ROUNDING_FLOOR, alter, invert, locate_foreign, quantise
from latent_tracer.core.fingerprints import Key, build_basis, embed, measure_change, read
from latent_tracer.core.inversion.memory import PeakMemory, kept_bytes_per_pixel
from latent_tracer.core.inversion.objective import Objective

from sweeps import Sweep, current, each, given, moved, own, remembered, share


def map_sweep() -> Sweep:
    """Patches of 64² of the photograph in 192² pictures that the decoder made, and the same pictures without one."""
    pictures = pictures_of_side(192, 4)
    truth = torch.zeros(192, 192, dtype=torch.bool)
    truth[96:160, 40:104] = True

    def measure(name: str) -> Row:
        auc, overlap, whole = [], [], []
        for picture in pictures:
            made = own(name, picture, 192)
            found = locate_foreign(remembered(name), torch.where(truth, crop_of(picture, 192, 8), made))
            ranks = found.excess[::4, ::4].flatten().numpy(), truth[::4, ::4].flatten().numpy()
            auc.append(area_under_curve(-ranks[0][ranks[1]], -ranks[0][~ranks[1]]))
            overlap.append(float((found.mask & truth).sum() / (found.mask | truth).sum()))
            whole.append(locate_foreign(remembered(name), made).largest_excess)
        return {"pixel AUC": share(auc), "least AUC": round(min(auc), 3), "IoU": share(overlap),
                "largest excess of whole pictures": round(max(whole), 1)}  # fmt: skip

    for name in ("demo-a", "taesd"):
        for constant, values in (
            ("SMOOTHING", (1.2, 1.8, 2.7, 4, 6)),
            ("REFERENCE_QUANTILE", (0.05, 0.25, 0.5, 0.75)),
        ):
            yield from each(f"verdicts.localisation.{constant}", values, name, partial(measure, name))
    whole, patched = (
        read_rows(RESULTS / "localisation-whole-rows.jsonl"),
        read_rows(RESULTS / "localisation-rows.jsonl"),
    )
    patched = [row for row in patched if row["patch"]]

    def masked(limit: float) -> Row:
        return {"whole pictures with a mask": share(row["largest_excess"] > limit for row in whole),
                "patched pictures with one": share(row["largest_excess"] > limit for row in patched)}  # fmt: skip

    yield from given("verdicts.localisation.UNCALIBRATED_THRESHOLD", (4, 6, 8, 10, 13), "rows", masked)


def memory_sweep() -> Sweep:
    """What a step really takes, workspaces not counted, where the estimate just fills its share of the free memory."""

    @cache
    def ratio(name: str) -> float:
        found = []
        for side in (64, 128, 192):
            noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            objective = Objective(decoder(name), noise)
            with torch.no_grad():
                latents = decoder(name).encode(objective.image)
            with PeakMemory(decoder(name).device) as memory:
                objective.evaluate(latents)
            found.append(memory.peak / (kept_bytes_per_pixel(decoder(name)) * side**2))
        return max(found)

    def measure(name: str, value: float) -> Row:
        return {"peak over estimate": round(ratio(name), 2), "of the free memory": round(value * ratio(name), 2)}

    for name in ("demo-a", "taesd", "taef2"):
        yield from given("inversion.memory.SHARE_OF_FREE", (0.4, 0.5, 0.6, 0.8, 1.0), name, partial(measure, name))


def solver_sweep() -> Sweep:
    """Fifteen steps on two 64² pictures that the decoder made."""
    pictures = pictures_of_side(64, 2)

    def lbfgs() -> Row:
        found = [invert(decoder("demo-a"), own("demo-a", p, 64), steps=15) for p in pictures]
        return {"loss over the 8-bit floor": round(np.mean([float(i.loss[0]) for i in found]) / ROUNDING_FLOOR, 1)}

    yield from each("inversion.solvers.curvature.RIDGE", (0.0002, 0.02, 2.0), "demo-a", lbfgs)
    yield from each("inversion.solvers.descent.SHRINK_STEP", (0.1, 0.3, 0.7), "demo-a", lbfgs)


def fingerprint_sweep() -> Sweep:
    """Keys of 64 bits in three 256² pictures, read after JPEG 75; a basis from four others."""
    pictures = pictures_of_side(256, 7)
    key = Key("0123456789abcdef")

    @cache
    def basis(probe: float) -> Any:
        with moved("fingerprints.survival.PROBE", probe):
            return build_basis(decoder("demo-a"), [crop_of(p, 256) for p in pictures[3:]])

    def measure(probe: float = current("fingerprints.survival.PROBE")) -> Row:
        used, right, changes, evidence = dataclasses.replace(basis(probe)), 0, [], []
        for picture in pictures[:3]:
            with torch.no_grad():
                latents = remembered("demo-a").encode(crop_of(picture, 256))
                plain = quantise(remembered("demo-a").decode(latents))
                marked = quantise(decoder("demo-a").decode(embed(latents, used, key)))
            reading = read(decoder("demo-a"), alter(marked, "jpeg-75"), used, key_bits=64, refining_steps=0)
            right += reading.key == key
            evidence.append(reading.log_p_value / np.log(10))
            changes.append(measure_change(marked, plain).psnr)
        return {"keys right": f"{right} of 3", "mean log10 p": round(float(np.mean(evidence)), 1),
                "mean PSNR": round(float(np.mean(changes)), 2)}  # fmt: skip

    yield from each("fingerprints.basis.CHOSEN_SHARE", (2, 8, 32), "demo-a", measure)
    yield from each("fingerprints.basis.TYPICAL_MARGIN", (0.2, 2.0, 20.0), "demo-a", measure)
    yield from each("fingerprints.basis.LEAST_ANSWER", (0.0, 0.5, 0.9), "demo-a", measure)
    yield from given("fingerprints.survival.PROBE", (0.03, 0.1, 0.3), "demo-a", measure)
