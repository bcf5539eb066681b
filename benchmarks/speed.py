"""What does a verdict cost, and what does it buy? The paper's loop, its peers and ours, side by side in one run.

    python benchmarks/speed.py --quick               # some minutes
    python benchmarks/speed.py --json speed.json     # resumable: interrupt and repeat at will

Each method scores the same images: pictures decoded by the inspected decoder, those of another decoder, and the
pictures themselves. Seconds are medians per image, one image at a time; passes and peak memory are counted. Methods:

    paper          LatentTracer's loop as released: Adam, 100 steps, fp32
    fast           our inversion
    gradient-free  Hong et al., NeurIPS 2024, 20 steps
    aeroblade      one reconstruction, mean square
    aedr           double reconstruction
    cascade        our score: grid contrast, in bfloat16 where that decides; one look, three where one does not
    cascade-exact  the same without bfloat16
    trace          the default command's whole cost per picture: reading the PNG, its history, score, verdict and row
    trace-exact    the same where nothing runs in bfloat16, as on most processors

Inversions run at the first of ``--sizes`` only. ``--batches`` scores batches of several images: cost per image must
not depend on their number.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from attribution import Case, image_of

from common import (  # isort: skip
    DECODERS, Row, Rows, all_pictures, area_under_curve, crop_of, decoders, parser_of, require_data, rows_of,
    shipped_profile, table, tpr_at_fpr, write_json,
)  # fmt: skip
from latent_tracer.core import (  # isort: skip
    ROUNDING_FLOOR, ModuleAutoencoder, Picture, Scored, Tracer, invert, to_picture,
)  # fmt: skip
from latent_tracer.core.inversion.memory import PeakMemory
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.core.scores.double_reconstruction import DoubleReconstruction
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.reconstruction import Reconstruction
from latent_tracer.core.scores.rough_score import score_as_exact_as_needed
from latent_tracer.core.verdicts.doubt import History
from rich.progress import track
from torch import Tensor

CHEAP = {"aeroblade": Reconstruction(), "aedr": DoubleReconstruction(), "cascade-exact": GridContrast()}
CASCADE, TRACE, TRACE_EXACT = "cascade", "trace", "trace-exact"
INVERSIONS = {"paper": "adam-paper", "fast": "lbfgs-whitened", "gradient-free": "gradient-free"}
METHODS = (*INVERSIONS, *CHEAP, CASCADE, TRACE, TRACE_EXACT)


def measure(method: str, autoencoder: ModuleAutoencoder, image: Tensor) -> dict[str, Any]:
    """Score, seconds, passes and peak bytes of one image; loss history where there is one."""
    if method in (TRACE, TRACE_EXACT):
        return measure_trace(autoencoder, image, exact=method == TRACE_EXACT)
    began, processor = time.perf_counter(), time.process_time()
    if method in INVERSIONS:
        shown: list[tuple[float, float]] = []
        inversion = invert(
            autoencoder,
            image,
            solver=INVERSIONS[method],
            on_step=lambda step: shown.append((step.loss, time.perf_counter() - began)),
        )
        passes, value, peak = inversion.passes[0], float(inversion.loss[0]), inversion.peak_bytes[0]
        extra: dict[str, Any] = {"stage": inversion.stopped_by[0], "history": inversion.loss_history[0]}
        extra["reached_at"] = times_of(inversion.loss_history[0], shown)
    else:
        with PeakMemory(autoencoder.device) as memory:
            scored = verdict_score(autoencoder, image) if method == CASCADE else CHEAP[method](autoencoder, image)
        passes, value, peak, extra = scored.passes, scored.value, memory.peak, {"stage": scored.stage}
    seconds = time.perf_counter() - began
    return {"value": value, "seconds": seconds, "processor": time.process_time() - processor,
            "encoder_passes": passes.encoder, "decoder_passes": passes.decoder,
            "backward_passes": passes.backward, "peak": peak, **extra}  # fmt: skip


def measure_trace(autoencoder: ModuleAutoencoder, image: Tensor, exact: bool) -> dict[str, Any]:
    """As :func:`measure`, for what ``latent-tracer trace`` does with one PNG file once the model is loaded."""
    tracer = Tracer(autoencoder)
    if exact:
        no_distance = [replace(one, limits=replace(one.limits, low_precision=None)) for one in tracer.profiles]
        tracer.profiles = tuple(no_distance)
    grid_of(autoencoder)  # measured once per process, like the loading
    stored = io.BytesIO()
    to_picture(image).save(stored, "PNG")
    began, processor = time.perf_counter(), time.process_time()
    traced = tracer.trace(Picture.read("picture.png", stored.getvalue()))
    tracer.row(traced)
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    passes = traced.passes
    return {"value": traced.verdict.score, "seconds": seconds, "processor": processor,
            "encoder_passes": passes.encoder, "decoder_passes": passes.decoder, "backward_passes": passes.backward,
            "peak": traced.peak_bytes, "stage": traced.verdict.stage}  # fmt: skip


def verdict_score(autoencoder: ModuleAutoencoder, image: Tensor) -> Scored:
    """The score as a verdict under the decoder's shipped profile takes it, after a look at the picture's history."""
    profile = shipped_profile(autoencoder.name)
    return score_as_exact_as_needed(profile.like(History.of(image).jpeg_quality), GridContrast(), autoencoder, image)


def measure_batches(
    autoencoder: ModuleAutoencoder, images: list[Tensor], counts: list[int], steps: int = 10
) -> list[dict[str, Any]]:
    """Seconds per image of verdicts and of a short inversion, by the number of images given at once."""
    rows = []
    for count in counts:
        batch = torch.cat([images[k % len(images)] for k in range(count)])
        began = time.perf_counter()
        for k in range(count):
            verdict_score(autoencoder, batch[k : k + 1])
        middle = time.perf_counter()
        inversion = invert(autoencoder, batch, steps=steps)
        ended = time.perf_counter()
        peak = max(inversion.peak_bytes)
        for method, seconds in ((CASCADE, middle - began), (f"fast, {steps} steps", ended - middle)):
            rows.append({"method": method, "decoder": autoencoder.name, "size": batch.shape[-1], "batch": count,
                         "seconds_per_image": round(seconds / count, 3), "peak_bytes": peak})  # fmt: skip
    return rows


def times_of(history: tuple[float, ...], shown: list[tuple[float, float]]) -> list[float]:
    """Seconds at which each evaluation of ``history`` was made; those in low precision are shown without counting."""
    times: list[float] = []
    for loss, seconds in shown:
        if len(times) < len(history) and loss == history[len(times)]:
            times.append(seconds)
    return times


def images_of(number: int, picture: str, inspected: str, models: dict[str, ModuleAutoencoder], size: int) -> list[Any]:
    """(source, belongs, image): the decoder's own version, plain and from latents with 10 % noise, another decoder's
    in turn, and the picture itself."""
    others = [name for name in models if name != inspected]
    sources = ("plain", "noise", others[number % len(others)], "picture")
    cases = [Case(inspected, picture, "real" if s == "picture" else s, "round") for s in sources]
    return [(s, c.belongs, image_of(c, models, size)) for s, c in zip(sources, cases, strict=True)]


def summarise(rows: list[Row]) -> list[Row]:
    summary: list[Row] = []
    for decoder, size in sorted({(row["decoder"], row["size"]) for row in rows}):
        part = [row for row in rows if (row["decoder"], row["size"]) == (decoder, size)]
        for method in METHODS:
            own = [row for row in part if row["method"] == method]
            if not own:
                continue
            belonging = np.array([row["value"] for row in own if row["belongs"]])
            others = np.array([row["value"] for row in own if not row["belongs"]])
            summary.append({
                "method": method, "decoder": decoder, "size": size, "batch": 1,
                "seconds_per_image": round(float(np.median([row["seconds"] for row in own])), 4),
                "processor_seconds": round(float(np.median([row.get("processor", np.nan) for row in own])), 4),
                "mean_processor_seconds": round(float(np.mean([row.get("processor", np.nan) for row in own])), 4),
                "encoder_passes": float(np.median([row["encoder_passes"] for row in own])),
                "decoder_passes": float(np.median([row["decoder_passes"] for row in own])),
                "backward_passes": float(np.median([row["backward_passes"] for row in own])),
                "mean_encoder_passes": float(np.mean([row["encoder_passes"] for row in own])),
                "peak_bytes": int(np.max([row["peak"] for row in own])),
                "auc": round(area_under_curve(belonging, others), 4),
                "tpr_at_1_fpr": round(tpr_at_fpr(belonging, others), 4),
                "images": len(own), **against_paper(method, part),
            })  # fmt: skip
    double = {(row["decoder"], row["size"]): row for row in summary if row["method"] == "aedr"}
    for row in summary:
        aedr = double.get((row["decoder"], row["size"]))
        row["cost_over_aedr"] = round(row["seconds_per_image"] / aedr["seconds_per_image"], 3) if aedr else None
        # Of processor time: what else the machine does is left out.
        for kind in ("processor_seconds", "mean_processor_seconds"):
            share = row[kind] / aedr[kind] if aedr else np.nan
            row[f"{kind}_over_aedr"] = round(float(share), 3) if np.isfinite(share) else None
    return summary


def against_paper(method: str, part: list[dict[str, Any]]) -> dict[str, Any]:
    """For inversions: share of belonging images that end within 3 times the quantiser's floor, share that end no worse
    than the paper's loop, the median of their loss over its, and the median share of its time after which they have
    reached its loss (``None`` where fewer than half ever do)."""
    if method not in INVERSIONS:
        return {}
    paper = {(row["picture"], row["source"]): row for row in part if row["method"] == "paper" and row["belongs"]}
    shares, wins, ratios, floor = [], [], [], []
    for row in part:
        if row["method"] != method or not row["belongs"]:
            continue
        floor.append(row["value"] <= 3 * ROUNDING_FLOOR)
        goal = paper.get((row["picture"], row["source"]))
        if goal is None:
            continue
        ratios.append(row["value"] / goal["value"])
        history = np.minimum.accumulate(row["history"])
        reached = np.flatnonzero(history <= goal["value"])
        share = row["reached_at"][reached[0]] / goal["seconds"] if len(reached) else np.inf
        shares.append(float(share))
        wins.append(row["value"] <= goal["value"])
    median = float(np.median(shares)) if shares else np.inf
    return {
        "share_at_floor": round(float(np.mean(floor)), 3) if floor else None,
        "loss_over_paper": round(float(np.median(ratios)), 3) if ratios else None,
        "no_worse_than_paper": round(float(np.mean(wins)), 3) if wins else None,
        "share_of_paper_time_to_its_loss": round(median, 3) if np.isfinite(median) else None,
    }


COLUMNS = (
    "method", "decoder", "size", "seconds_per_image", "cost_over_aedr", "processor_seconds_over_aedr",
    "mean_processor_seconds_over_aedr", "encoder_passes", "decoder_passes", "backward_passes", "peak_bytes", "auc",
    "tpr_at_1_fpr", "images", "share_at_floor", "loss_over_paper", "no_worse_than_paper",
    "share_of_paper_time_to_its_loss",
)  # fmt: skip


def main() -> None:
    parser = parser_of(__doc__, "3 pictures of 64², two decoders", pictures=8, decoders=DECODERS)
    parser.add_argument(
        "--sizes", default="128,256", help="sides of the central crops, cheap methods only beyond the first"
    )
    parser.add_argument("--methods", default="", help="measure only these")
    parser.add_argument("--batches", default="", help="numbers of images, such as 1,2,4,8: measures only these")
    args = parser.parse_args()
    if args.quick:
        args.pictures, args.sizes, args.decoders = 3, "64", "taesd,taef1"
    require_data()
    if args.batches:
        model = decoders(args.decoders.split(",")[:1]).popitem()[1]
        side = int(args.sizes.split(",")[0])
        images = [crop_of(picture, side) for picture in all_pictures()[: args.pictures]]
        for row in measure_batches(model, images, [int(count) for count in args.batches.split(",")]):
            print(row, flush=True)
        return
    rows = rows_of(args, "speed", ("decoder", "size", "picture", "source", "method"))
    if not args.report_only:
        run(args, rows)
    summary = summarise(rows)
    print(table(summary, COLUMNS))
    write_json(args.json, summary)


def run(args: argparse.Namespace, rows: Rows) -> None:
    names = args.decoders.split(",")
    models = decoders(names if args.quick else DECODERS)
    sizes = [int(size) for size in args.sizes.split(",")]
    jobs = [(size, number, picture, name) for size in sizes
            for number, picture in enumerate(all_pictures()[: args.pictures]) for name in names]  # fmt: skip
    for size, number, picture, name in track(jobs, description="measuring"):
        methods = METHODS if size == sizes[0] else (*CHEAP, CASCADE, TRACE, TRACE_EXACT)
        if args.methods:
            methods = tuple(args.methods.split(","))
        if min(crop_of(picture, size).shape[-2:]) < size:
            continue  # smaller than the crop
        for source, belongs, image in images_of(number, picture, name, models, size):
            for method in methods:
                if rows.lacks(name, size, picture, source, method):
                    rows.add({"decoder": name, "size": size, "picture": picture, "source": source, "belongs": belongs,
                              "method": method, **measure(method, models[name], image)})  # fmt: skip


if __name__ == "__main__":
    main()
