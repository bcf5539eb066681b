"""How far do the solvers of latent inversion come, at what cost? The paper's loop, its peer and ours, side by side.

    python benchmarks/inversion.py --quick        # some minutes
    python benchmarks/inversion.py                # resumable: interrupt and repeat at will

Own pictures are decoded by the inspected decoder from the latents of pictures with 10 % noise and stored as 8 bit, by
rounding or truncation in turn. All solvers run in fp32. Cost is counted in evaluations, a decoder and a backward pass
each: probes count as what they are, an encoder pass of the gradient-free method as a backward pass.

Certificates are asked for on own pictures, and on pictures from elsewhere by which one might be wrong: the photograph,
other decoders' versions of it, and both blurred until they are smooth, a gradient.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from common import (  # isort: skip
    DECODERS, RESULTS, Row, Rows, all_pictures, crop_of, decoders, made_by, parser_of, require_data, rows_of, table,
    write_json,
)  # fmt: skip
from latent_tracer.core import ROUNDING_FLOOR, ModuleAutoencoder, invert, quantise
from latent_tracer.core.inversion.certificate import telling_values
from latent_tracer.core.inversion.solvers import (
    AdamPaper,
    GradientFree,
    Solver,
    SpectralLBFGS,
    WhitenedLBFGS,
)
from latent_tracer.core.storage.atomic import write_text
from rich.progress import track
from torch import Tensor

MARKS = (20, 40, 60, 100)
ELSEWHERE = ("photograph", "photograph, blurred", "other decoder", "other decoder, blurred", "gradient")
METHODS = ("adam-paper", "lbfgs-whitened", "lbfgs-spectral, 4 probes", "lbfgs-spectral, 8 probes", "gradient-free")


def solver_of(method: str, steps: int) -> tuple[Solver, float]:
    """The solver, and what its probes cost in evaluations."""
    if method == "adam-paper":
        return AdamPaper(steps=steps), 0
    if method == "gradient-free":
        return GradientFree(steps=min(20, steps)), 0
    if method == "lbfgs-whitened":
        return WhitenedLBFGS(steps=steps, low_precision_steps=0), 1.5
    probes = int(method.split()[1])
    return SpectralLBFGS(steps=steps, probes=probes), (1 + probes) / 2


def own_picture(autoencoder: ModuleAutoencoder, picture: str, number: int, size: int) -> Tensor:
    latents = autoencoder.encode(crop_of(picture, size, 8))
    seed = int(hashlib.sha256(picture.encode()).hexdigest()[:8], 16)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    decoded = autoencoder.decode(latents + 0.1 * latents.std() * noise)
    return quantise(decoded, "floor" if number % 2 else "round")


def picture_from_elsewhere(kind: str, other: ModuleAutoencoder, picture: str, size: int) -> Tensor:
    image = crop_of(picture, size, 8)
    if kind == "gradient":
        side = torch.linspace(0.15, 0.85, size)
        return quantise((side[:, None] + side) / 2 * torch.tensor([1.0, 0.9, 0.8]).view(1, 3, 1, 1))
    if kind.startswith("other"):
        image = other.decode(other.encode(image))
    return quantise(blurred(image) if kind.endswith("blurred") else image)


def blurred(images: Tensor, deviation: float = 3.0) -> Tensor:
    taps = torch.exp(-0.5 * (torch.arange(-9.0, 10.0) / deviation).square())
    row = (taps / taps.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = F.pad(images, (9, 9, 9, 9), mode="replicate")
    return F.conv2d(F.conv2d(padded, row, groups=3), row.transpose(2, 3), groups=3)


def measure(autoencoder: ModuleAutoencoder, image: Tensor, method: str, steps: int) -> dict[str, Any]:
    solver, probes = solver_of(method, steps)
    began = time.process_time()
    found = invert(autoencoder, image, solver=solver)
    passes = found.passes[0]
    best = np.minimum.accumulate(found.loss_history[0]) / ROUNDING_FLOOR
    blocks = found.floor_blocks[0]
    return {"floors": [round(float(loss), 4) for loss in best], "probes_cost": probes,
            "reproduced": found.reproduced[0], "certified": found.certified[0], "stopped_by": found.stopped_by[0],
            "blocks_at_floor": int(blocks.at_floor.sum()), "blocks": int(blocks.telling.sum()),
            "telling": telling_values(found.images), "values": found.images.numel(),
            "latent_values": found.latents.numel(), "encoder_passes": passes.encoder,
            "decoder_passes": passes.decoder, "backward_passes": passes.backward,
            "processor_seconds": round(time.process_time() - began, 2)}  # fmt: skip


def after(row: Row, evaluations: int) -> float | None:
    """The least loss, in units of the floor, after so many evaluations' worth of passes; what it ended with, where the
    search was over before by a rule of its own, and nothing where it was not allowed so many."""
    count = int(evaluations - row["probes_cost"])
    if count > len(row["floors"]) and row["stopped_by"] == "steps" and row["method"] != "gradient-free":
        # Probes are all that a search of so many steps may lack.
        count = len(row["floors"]) if len(row["floors"]) + row["probes_cost"] >= evaluations else -1
    return None if count < 0 else row["floors"][min(count, len(row["floors"])) - 1]


def summarise(rows: list[Row]) -> list[Row]:
    summary = []
    own = [row for row in rows if row["source"] == "own"]
    for name in [d for d in DECODERS if any(row["decoder"] == d for row in own)]:
        for method in METHODS:
            part = [row for row in own if (row["decoder"], row["method"]) == (name, method)]
            if not part:
                continue
            line: Row = {"decoder": name, "method": method, "pictures": len(part)}
            for mark in MARKS:
                losses = [loss for loss in (after(row, mark) for row in part) if loss is not None]
                line[f"after {mark}"] = f"{np.median(losses):.3g}" if len(losses) == len(part) else ""
            line["within 3 ×"] = f"{sum(row['floors'][-1] <= 3 for row in part)} of {len(part)}"
            line["reproduced"] = f"{np.median([row['reproduced'] for row in part]):.4f}"
            line["certified"] = f"{sum(row['certified'] for row in part)} of {len(part)}"
            line["blocks at the floor"] = blocks_at_floor(part)
            line["processor s"] = f"{np.median([row['processor_seconds'] for row in part]):.0f}"
            summary.append(line)
    return summary


def blocks_at_floor(rows: list[Row]) -> str:
    """Of the blocks with detail, of all pictures together; rows from before there was such a thing are left out."""
    counted = [row for row in rows if "blocks" in row]
    return f"{sum(r['blocks_at_floor'] for r in counted)} of {sum(r['blocks'] for r in counted)}" if counted else ""


def summarise_elsewhere(rows: list[Row]) -> list[Row]:
    summary = []
    for source in ("own", *ELSEWHERE):
        part = [row for row in rows if row["source"] == source and row["method"].startswith("lbfgs-spectral")]
        if part:
            reproduced = [row["reproduced"] for row in part]
            telling = [row["telling"] / row["values"] for row in part]
            per_latent = [row["telling"] / row["latent_values"] for row in part]
            summary.append({
                "source": source, "inversions": len(part), "least loss": f"{min(r['floors'][-1] for r in part):.3g}",
                "reproduced, median": f"{np.median(reproduced):.4f}", "most": f"{max(reproduced):.4f}",
                "telling values": f"{min(telling):.3f} to {max(telling):.3f}",
                "per latent value": f"{min(per_latent):.2f} to {max(per_latent):.2f}",
                "certified": sum(row["certified"] for row in part), "blocks at the floor": blocks_at_floor(part),
            })  # fmt: skip
    return summary


def main() -> None:
    parser = parser_of(__doc__, "2 pictures of 64², two decoders", pictures=8, size=256, decoders=DECODERS)
    parser.add_argument("--steps", type=int, default=100, help="evaluations, without probes")
    parser.add_argument("--certify-steps", type=int, default=0, help="of further searches on own pictures, 8 probes")
    parser.add_argument("--elsewhere-steps", type=int, help="of pictures from elsewhere (default: --steps)")
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    args = parser.parse_args()
    if args.quick:
        args.pictures, args.size, args.steps, args.decoders = 2, 64, 30, "taesd,taef2"
    require_data()
    rows = rows_of(args, "inversion", ("decoder", "size", "picture", "source", "method", "steps"))
    if not args.report_only:
        run(args, rows)
    usual = [row for row in rows if row["steps"] <= args.steps]
    long = [row for row in rows if row["steps"] > args.steps]
    text = f"{table(summarise(usual))}\n\n{table(summarise_elsewhere(usual))}\n"
    text += f"\n{table(summarise(long))}\n" if long else ""
    print(text)
    write_json(args.json, summarise(rows))
    if not args.quick and args.rows and args.rows.parent == RESULTS:
        write_text(RESULTS / "partial" / "inversion.md", f"{made_by(f'`{args.rows.name}`')}\n{text}")


def run(args: argparse.Namespace, rows: Rows) -> None:
    names = args.decoders.split(",")
    models = decoders(names)
    jobs: list[tuple[int, str, str, str, str, int]] = []
    for number, picture in enumerate(all_pictures()[: args.pictures]):
        for name in names:
            jobs += [(number, picture, name, "own", method, args.steps) for method in args.methods.split(";")]
            if args.certify_steps:
                jobs.append((number, picture, name, "own", METHODS[3], args.certify_steps))
        for name in names:
            jobs += [
                (number, picture, name, kind, METHODS[2], args.elsewhere_steps or args.steps) for kind in ELSEWHERE
            ]
    for number, picture, name, source, method, steps in track(jobs, description="measuring"):
        if not rows.lacks(name, args.size, picture, source, method, steps):
            continue
        if source == "own":
            image = own_picture(models[name], picture, number, args.size)
        else:
            others = [models[other] for other in names if other != name]
            image = picture_from_elsewhere(source, others[number % len(others)], picture, args.size)
        rows.add({"decoder": name, "size": args.size, "picture": picture, "source": source, "method": method,
                  "steps": steps, **measure(models[name], image, method, steps)})  # fmt: skip


if __name__ == "__main__":
    with torch.no_grad():
        main()
