"""Do the constants of the core stand well? Each is moved to worse neighbours, everything else left as it is.

    python benchmarks/constants.py                  # minutes of one core; interrupt and repeat at will
    python benchmarks/constants.py --only map,jpeg  # some of the sweeps
    python benchmarks/constants.py --report-only    # results/constants.md from results/constants-rows.jsonl

Sweeps of networks run on the two decoders that ship and, where the data folder is, on others. Small sweeps: they show
whether a value lies in a range that does, not that it is the best.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from common import (  # isort: skip
    DECODERS, RESULTS, Remembering, Row, Rows, all_pictures, area_under_curve, crop_of, decoder, made_by,
    pictures_of_side, pixels_of, read_rows, shipped_profile, table, tpr_at_fpr,
)  # fmt: skip
from latent_tracer.core import (  # isort: skip
    ROUNDING_FLOOR, InvalidImageError, alter, invert, locate_foreign, quantise, verdict_from_profile,
)  # fmt: skip
from latent_tracer.core.fingerprints import Key, build_basis, embed, measure_change, read
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.images.regularity import grid_strength
from latent_tracer.core.images.same_picture import thumbnails
from latent_tracer.core.inversion.memory import PeakMemory, kept_bytes_per_pixel
from latent_tracer.core.inversion.objective import Objective
from latent_tracer.core.scores import decoder_grid
from latent_tracer.core.scores.grid_contrast import Looks
from latent_tracer.core.scores.spectral_ratio import SpectralRatio
from latent_tracer.core.storage.atomic import write_text
from torch import Tensor
from torch.nn.functional import avg_pool2d

ROWS = RESULTS / "constants-rows.jsonl"
Sweep = Iterator[tuple[str, float, str, Callable[[], Row]]]


def current(name: str) -> float:
    """The value that the core has now of the constant ``name``, such as ``scores.residuals.LEAST_EVIDENCE``."""
    module, _, constant = name.rpartition(".")
    return float(getattr(import_module(f"latent_tracer.core.{module}"), constant))


@contextmanager
def moved(name: str, value: float) -> Iterator[None]:
    module, _, constant = name.rpartition(".")
    with patch.object(import_module(f"latent_tracer.core.{module}"), constant, value):
        yield


def each(name: str, values: tuple[float, ...], on: str, measure: Callable[[], Row]) -> Sweep:
    """``measure`` at every value of the constant."""

    if on in ("demo-a", "demo-b", *DECODERS):
        remembered(on)

    def at(value: float) -> Row:
        with moved(name, value):
            return measure()

    for value in values:
        yield name, value, on, lambda value=value: at(value)


def given(name: str, values: tuple[float, ...], on: str, measure: Callable[[float], Row]) -> Sweep:
    """``measure`` of every value, for constants that rows can be held against."""
    for value in values:
        yield name, value, on, lambda value=value: measure(value)


@cache
def remembered(name: str) -> Remembering:
    decoder_grid.grid_of(decoder(name))  # before any constant is moved: scores take the grid from memory
    return Remembering(decoder(name))


@cache
def own(name: str, picture: str, size: int, multiple: int = 8) -> Tensor:
    with torch.no_grad():
        return quantise(decoder(name).decode(decoder(name).encode(crop_of(picture, size, multiple))))


def share(of: Any) -> float:
    return round(float(np.mean(list(of))), 4)


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
    for name in ("demo-a", "demo-b", "taesd", "taef2"):
        for constant, values in (("HIDDEN", (-0.05, -0.1, -0.15, -0.2, -0.3)), ("NEAR", (0.0, 0.08, 0.16))):
            measure = partial(decoder_grid.measure_grid, remembered(name))
            yield from each(f"scores.decoder_grid.{constant}", values, name, lambda m=measure: {"period": m().period})


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
    """The quality read off 192² crops of pictures, as they are and out of files of quality 30, 75, 90 and 95."""
    pictures = [crop_of(p, 192) for p in pictures_of_side(192, 8) if p.startswith("real/kodak")]
    stored = [(quality, alter(image, f"jpeg-{quality}")) for image in pictures for quality in (30, 75, 90, 95)]

    def measure() -> Row:
        found = [(quality, jpeg_quality(image)) for quality, image in stored]
        right = [abs(seen - quality) for quality, seen in found if seen is not None]
        return {"read in pictures that never were one": sum(jpeg_quality(image) is not None for image in pictures),
                "of": len(pictures), "files missed": sum(seen is None for _, seen in found), "of files": len(found),
                "off by more than 2": sum(error > 2 for error in right)}  # fmt: skip

    for name, values in (("SHARE", (0.3, 0.5, 0.7, 0.9)), ("STANDARD_ERRORS", (2.0, 4.0, 6.0, 9.0)),
                         ("MULTIPLES", (1, 4, 16)), ("FREQUENCIES", (1, 2, 4))):  # fmt: skip
        yield from each(f"images.jpeg.{name}", values, "Kodak", measure)


def same_sweep() -> Sweep:
    """All pictures of the data folder against each other, and 20 of them against what re-encoding makes of them."""
    names = all_pictures()

    def likeness(first: Tensor, second: Tensor) -> float:
        return float(torch.maximum((first[:1] @ second.T).max(), (first @ second[:1].T).max()))

    def copies(image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        cut = image[..., height // 25 : -height // 25, width // 25 : -width // 25]
        return [alter(image, "jpeg-30"), alter(image, "resize-0.5"), (1.1 * image).clamp(0, 1), cut]

    @cache
    def found(coarse: float) -> tuple[list[float], list[float]]:
        with moved("images.same_picture.COARSE", coarse):
            whole = [thumbnails(pixels_of(name)[..., :1024, :1024]) for name in names]
            altered = [[thumbnails(one) for one in copies(pixels_of(name)[..., :512, :512])] for name in names[:20]]
            first = [thumbnails(pixels_of(name)[..., :512, :512]) for name in names[:20]]
        different = [likeness(whole[a], whole[b]) for a in range(len(names)) for b in range(a)]
        return different, [likeness(one, first[k]) for k, part in enumerate(altered) for one in part]

    def measure(coarse: float, same: float) -> Row:
        different, alike = found(coarse)
        return {"different pictures, at most": round(max(different), 3), "copies, at least": round(min(alike), 3),
                "different taken for the same": sum(v >= same for v in different), "of pairs": len(different),
                "copies missed": sum(v < same for v in alike), "of copies": len(alike)}  # fmt: skip

    coarse, same = current("images.same_picture.COARSE"), current("images.same_picture.SAME")
    values, on = (0.6, 0.8, 0.9, 0.95, 0.98), "72 pictures"
    yield from given("images.same_picture.SAME", values, on, lambda value: measure(coarse, value))
    yield from given("images.same_picture.COARSE", (1.0, 3.0, 7.0), on, lambda value: measure(value, same))


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
    """Twenty steps on two 64² pictures that the decoder made."""
    pictures = pictures_of_side(64, 2)

    def lbfgs() -> Row:
        found = [invert(decoder("demo-a"), own("demo-a", p, 64), steps=20) for p in pictures]
        return {"loss over the 8-bit floor": round(np.mean([float(i.loss[0]) for i in found]) / ROUNDING_FLOOR, 1)}

    yield from each("inversion.solvers.curvature.RIDGE", (0.0002, 0.02, 2.0), "demo-a", lbfgs)
    yield from each("inversion.solvers.whitened_lbfgs.SHRINK_STEP", (0.1, 0.3, 0.7), "demo-a", lbfgs)


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


SWEEPS: dict[str, Callable[[], Sweep]] = {
    "looks": looks_sweep, "rough": rough_sweep, "ratio": ratio_sweep, "doubt": doubt_sweep, "memory": memory_sweep,
    "contrast": contrast_sweep, "evidence": evidence_sweep, "map": map_sweep, "jpeg": jpeg_sweep, "grid": grid_sweep,
    "same": same_sweep, "fingerprint": fingerprint_sweep, "solver": solver_sweep,
}  # fmt: skip


def report(rows: Rows, made: str) -> str:
    """One section per sweep, one table per constant; values that the core has now are bold."""
    text = ["# What the core's constants rest on", "", made]
    for sweep, function in SWEEPS.items():
        part = [row for row in rows if row["sweep"] == sweep]
        for name in dict.fromkeys(row["constant"] for row in part):
            here, shown = [row for row in part if row["constant"] == name], []
            text += [f"## `{name}`", "", function.__doc__ or "", ""]
            columns = [c for c in here[0] if c not in ("sweep", "constant")]
            for row in here:
                mark = "**" if row["value"] == current(name) else ""
                shown.append(row | {"value": f"{mark}{row['value']:g}{mark}"})
            text += [table(shown, columns), ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SWEEPS), help="names of sweeps, with commas between")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(ROWS, ("constant", "value", "on"))
    for sweep in [] if args.report_only else args.only.split(","):
        for constant, value, on, measure in SWEEPS[sweep]():
            if rows.lacks(constant, value, on):
                rows.add({"sweep": sweep, "constant": constant, "value": value, "on": on, **measure()})
    text = report(rows, made_by(f"`{ROWS.name}`"))
    write_text(RESULTS / "constants.md", text)
    print(text)


if __name__ == "__main__":
    main()
