"""Sweeps of constants of the scores and of what decides between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from common import (  # isort: skip
    DECODERS, RESULTS, Row, area_under_curve, crop_of, decoder, pictures_of_side, read_rows, shipped_profile,
    tpr_at_fpr,
)  # fmt: skip

from latent_tracer.core import InvalidImageError, quantise, verdict_from_profile
from latent_tracer.core.scores import decoder_grid
from latent_tracer.core.scores.grid_contrast import Looks
from latent_tracer.core.scores.spectral_ratio import SpectralRatio
from torch import Tensor

from sweeps import Sweep, current, each, given, own, remembered, share


def looks_sweep() -> Sweep:
    """The first looks between -0.25 and -0.03 of five decoders, of which the three that follow are known."""
    rows = read_rows(RESULTS / "first-looks-rows.jsonl")
    others = {jpeg: [r["first"] for r in rows if not r["belongs"] and (r["condition"] != "clean") == jpeg]
              for jpeg in (False, True)}  # fmt: skip
    ours = [r["first"] for r in rows if r["belongs"]]

    def bound(value: float, jpeg: bool) -> Row:
        return {"others decided by one look": sum(v <= value for v in others[jpeg]), "of": len(others[jpeg]),
                "belonging that need three": share(v > value for v in ours)}  # fmt: skip

    values = (-0.08, -0.1, -0.12, -0.15, -0.18, -0.22)
    yield from given("scores.grid_contrast.CLEARLY_BELONGING", values, "first-looks", lambda v: bound(v, False))
    yield from given("scores.grid_contrast.CLEARLY_BELONGING_JPEG", values, "first-looks", lambda v: bound(v, True))
    yield from given("scores.grid_contrast.CLEARLY_NOT", (-0.09, -0.07, -0.05, -0.03), "first-looks", lambda v: {
        "belonging ended by one look": sum(f >= v for f in ours), "of": len(ours),
        "others that need three": share(f < v for side in others.values() for f in side)})  # fmt: skip


def evidence_sweep() -> Sweep:
    """Photographs of 128², and what holds nothing: one colour, a ramp, noise of one level, and what decoders make."""
    pictures = pictures_of_side(128, 8)
    flat = [torch.full((1, 3, 128, 128), 0.5), torch.linspace(0.2, 0.8, 128).expand(1, 3, 128, 128)]
    flat += [quantise(0.5 + torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) / 255)]

    def first_look(autoencoder: Any, image: Tensor) -> float:
        return Looks(autoencoder, image).first()

    def measure(name: str, score: Callable[[Any, Tensor], Any]) -> Row:
        def refused(images: list[Tensor]) -> str:
            count = 0
            for image in images:
                try:
                    score(remembered(name), image)
                except InvalidImageError:
                    count += 1
            return f"{count} of {len(images)}"

        with torch.no_grad():
            empty = [*flat, *(quantise(decoder(name).decode(decoder(name).encode(one))) for one in flat)]
        return {"empty refused": refused(empty),
                "photographs refused": refused([crop_of(p, 128, 8) for p in pictures]),
                "own pictures refused": refused([own(name, p, 128) for p in pictures])}  # fmt: skip

    for name in ("demo-a", "taesd"):
        for score, values in ((first_look, (0.0, 0.02, 0.05, 0.1, 0.2)), (SpectralRatio(), (0.0, 0.1, 0.3, 1.0))):
            constant = "spectral_ratio" if isinstance(score, SpectralRatio) else "residuals"
            yield from each(f"scores.{constant}.LEAST_EVIDENCE", values, name, partial(measure, name, score))


def contrast_sweep() -> Sweep:
    """Three looks at 128² pictures: how far the nearest other one lies from the highest belonging one."""
    pictures = pictures_of_side(128, 8)

    def measure(name: str) -> Row:
        def score(image: Tensor) -> float:
            looks = Looks(remembered(name), image)
            return looks.mean_of_three(looks.first())

        ours = [score(own(name, picture, 128)) for picture in pictures]
        others = [score(crop_of(picture, 128, 8)) for picture in pictures]
        spread = float(np.std(ours) + np.std(others))
        return {"highest belonging": round(max(ours), 3), "lowest other": round(min(others), 3),
                "distance of means, in spreads": round((np.mean(others) - np.mean(ours)) / spread, 2)}  # fmt: skip

    for name in ("demo-a", "taesd"):
        for constant, values in (
            ("LARGEST_LOG_RATIO", (0.25, 0.5, 1, 2, 8)),
            ("NOISE_LEVELS", (1, 3, 10, 30, 100)),
        ):
            yield from each(f"scores.residuals.{constant}", values, name, partial(measure, name))


def ratio_sweep() -> Sweep:
    """The score of strong JPEG anew from its parts, which ``altered-192-rows.jsonl`` holds."""
    score, used = "grid-contrast-and-ratio", current("scores.contrast_and_ratio.RATIO_WEIGHT")
    rows = [row for row in read_rows(RESULTS / "altered-192-rows.jsonl") if score in row["methods"]]

    def measure(condition: str, weight: float) -> Row:
        shares, areas = [], []
        for name in DECODERS:
            sides: dict[bool, list[float]] = {True: [], False: []}
            for row in rows:
                if (row["inspected"], row["condition"]) == (name, condition):
                    log_t = float(np.log(np.clip(row["methods"]["double-reconstruction"][0], 0.01, 100)))
                    sides[row["belongs"]].append(row["methods"][score][0] + (weight - used) * log_t)
            ours, others = np.array(sides[True]), np.array(sides[False])
            shares.append(tpr_at_fpr(ours, others))
            areas.append(area_under_curve(ours, others))
        return {"mean TPR at 1 % FPR": share(shares), "least": round(min(shares), 3), "mean AUC": share(areas)}

    for condition in ("jpeg-75", "jpeg-30"):
        weights = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
        yield from given("scores.contrast_and_ratio.RATIO_WEIGHT", weights, condition, partial(measure, condition))


def grid_sweep() -> Sweep:
    """The period that is measured of decoders whose period is 8."""

    def measure(name: str) -> Row:
        try:
            return {"period": decoder_grid.measure_grid(remembered(name)).period}
        except decoder_grid.NoGridError:
            return {"period": "none found"}

    for name in ("demo-a", "demo-b", "taesd", "taef2"):
        for constant, values in (("HIDDEN", (-0.05, -0.1, -0.15, -0.2, -0.3)), ("NEAR", (0.0, 0.08, 0.16))):
            yield from each(f"scores.decoder_grid.{constant}", values, name, partial(measure, name))


def rough_sweep() -> Sweep:
    """Scores in bfloat16 of ``precision-rows.jsonl``, at a distance taken from the other half of the pictures."""
    rows = read_rows(RESULTS / "precision-rows.jsonl")

    def measure(factor: float) -> Row:
        beyond, changed, decided = [], 0, []
        for name in DECODERS:
            part, profile = [r for r in rows if r["inspected"] == name], shipped_profile(name)
            off = {id(r): min(abs(c - r["exact"]) for c in r["candidates"]) for r in part}
            names = sorted({r["picture"] for r in part})
            for fold in (0, 1):
                half = set(names[fold::2])
                distance = factor * max(off[id(r)] for r in part if r["picture"] not in half)
                for row in (r for r in part if r["picture"] in half):
                    values = min(row["candidates"]) - distance, max(row["candidates"]) + distance, row["exact"]
                    low, high, exact = (verdict_from_profile(value, profile).answer for value in values)
                    beyond.append(off[id(row)] > distance)
                    decided.append(low == high)
                    changed += low == high != exact
        return {"further images beyond the distance": share(beyond), "decided in bfloat16": share(decided),
                "verdicts changed": changed}  # fmt: skip

    yield from given("scores.rough_score.DISTANCE_FACTOR", (0.5, 1.0, 1.5, 2.0, 3.0, 5.0), "five decoders", measure)
