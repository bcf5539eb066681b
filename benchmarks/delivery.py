"""The same picture, delivered otherwise: what is answered, how often wrongly, and what that costs, beside the peers.

    python benchmarks/delivery.py --quick
    python benchmarks/delivery.py --pictures 24 --size 512 --rows benchmarks/results/delivery-rows.jsonl   # resumable
    python benchmarks/delivery.py --only "×0.75 Lanczos;mirrored" ...       # some rows of the table
    python benchmarks/delivery.py --without-peers ...                       # inversions take most of the time

Each picture is passed through each decoder, delivered in forty ways (deliveries.py), and traced as a user's file is.
Photographs and other decoders' pictures, in turn, go through the same deliveries and come as they were. Contradictions:
a picture that got a yes in one delivery and a no in another. AEDR's ratio, AEROBLADE's error as MSE, the loss of an
inversion of thirty steps and the wavelet slope judge the delivered pixels as they lie, cut to whole cells; they have no
threshold of their own, so they are given one that 1 % of the others of the same delivery pass.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from latent_tracer.core import Picture, Tracer, quantise, to_picture
from latent_tracer.core.images.tensors import whole_cells
from latent_tracer.core.inversion.latents import invert
from latent_tracer.core.models.autoencoder import Autoencoder
from latent_tracer.core.profiles import builtin_profile
from latent_tracer.core.profiles.thresholds import rate_interval
from latent_tracer.core.scores.double_reconstruction import DoubleReconstruction
from latent_tracer.core.scores.reconstruction import Reconstruction
from peers.wavelet_slope import STEPS, wavelet_slope
from rich.progress import track
from torch import Tensor

from common import (  # isort: skip
    DECODERS, Row, area_under_curve, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, rows_of,
    tpr_at_fpr, write_json,
)  # fmt: skip
from deliveries import DELIVERIES, deliver

PEERS = ("AEDR", "AEROBLADE-MSE", "inversion", "wavelet slope")
KINDS = ("own", "other")
ANSWERS = ("belonging", "inconclusive", "non-belonging")


@torch.no_grad()
def made(name: str, kind: str, picture: str, number: int, size: int) -> Tensor:
    """``[1,3,size,size]`` as it was made, in whole levels; others are photographs and other decoders' in turn."""
    pixels = whole_cells(crop_of(picture, size, 16), 16)
    others = [one for one in DECODERS if one != name]
    maker = decoder(name if kind == "own" else others[number // 2 % len(others)])
    return pixels if kind == "other" and number % 2 else quantise(maker.decode(maker.encode(pixels)))


def by_peers(model: Autoencoder, pixels: Tensor) -> dict[str, list[float]]:
    """Score, lower for own pictures, and passes of the networks that each peer takes."""
    cell = max(16, model.spatial_ratio)
    height, width = (side // cell * cell for side in pixels.shape[-2:])
    pixels = pixels[..., :height, :width]
    scored = {}
    for name, score in (("AEDR", DoubleReconstruction()), ("AEROBLADE-MSE", Reconstruction())):
        with torch.no_grad():
            result = score(model, pixels)
        scored[name] = [result.value, result.passes.encoder + result.passes.decoder]
    inversion = invert(model, pixels, steps=STEPS)
    slope, passes = wavelet_slope(model, pixels)
    for name, value, spent in (
        ("inversion", float(inversion.loss[0]), inversion.passes[0]),
        ("wavelet slope", slope, passes),
    ):
        scored[name] = [value, spent.encoder + spent.decoder + 2 * spent.backward]
    return scored


def measure(name: str, kind: str, picture: str, number: int, size: int, delivery: str, peers: bool) -> Row:
    model = decoder(name)
    with tempfile.TemporaryDirectory() as folder:
        path = deliver(to_picture(made(name, kind, picture, number, size)), delivery, Path(folder))
        read = Picture.read(path)
    tracer = Tracer(model, builtin_profile(model.fingerprint))
    began = time.process_time()
    traced = tracer.trace(read)
    seconds = time.process_time() - began
    verdict, passes = traced.verdict, traced.passes
    return {
        "decoder": name, "kind": kind, "picture": picture, "size": size, "delivery": delivery,
        "answer": verdict.answer, "p_value": verdict.p_value, "fpr": verdict.fpr, "stage": verdict.stage,
        "state": list(verdict.state), "basis": verdict.basis, "seconds": round(seconds, 2),
        "passes": passes.encoder + passes.decoder + 2 * passes.backward,
        "peers": by_peers(model, read.pixels) if peers else {},
    }  # fmt: skip


def rate(part: list[Row]) -> str:
    """Share of yeses and its 95 % interval."""
    yes = sum(row["answer"] == "belonging" for row in part)
    low, high = rate_interval(yes, max(1, len(part)))
    return f"{yes} of {len(part)} ({low:.0%} to {high:.0%})"


def answers_table(rows: list[Row]) -> str:
    """Answers of each delivery and decoder, wrong yeses, and the middle cost of both kinds."""
    names = [name for name in DECODERS if any(row["decoder"] == name for row in rows)]
    lines = []
    for delivery in DELIVERIES:
        part = [row for row in rows if row["delivery"] == delivery]
        if not part:
            continue
        own, others = ([row for row in part if row["kind"] == kind] for kind in KINDS)
        cells = [
            " / ".join(str(sum(row["answer"] == one for row in own if row["decoder"] == name)) for one in ANSWERS)
            for name in names
        ]
        stated = [row["fpr"] for row in own if row["answer"] == "belonging"]
        cost = [f"{np.median([row['passes'] for row in one]):.0f}" if one else "" for one in (own, others)]
        seconds = [f"{np.median([row['seconds'] for row in one]):.0f}" if one else "" for one in (own, others)]
        lines.append([
            delivery, *cells, rate(own), rate(others), f"{np.mean(stated):.1%}" if stated else "",
            str(sum(row["answer"] == "non-belonging" for row in own)), " / ".join(cost), " / ".join(seconds),
        ])  # fmt: skip
    head = [
        "delivery (own: yes / open / no)", *names, "own yes", "others' yes", "stated", "wrong no",
        "passes: own / other", "CPU seconds",
    ]  # fmt: skip
    return cells_table(head, lines)


def peers_table(rows: list[Row]) -> str:
    """AUC and TPR at 1 % FPR of each peer's score, own against others of the same delivery; ours by its p-value."""
    lines = []
    for delivery in DELIVERIES:
        part = [row for row in rows if row["delivery"] == delivery and row["peers"]]
        if {row["kind"] for row in part} != set(KINDS):
            continue
        cells = []
        for peer in ("this", *PEERS):
            own, others = (
                np.array([_value(row, peer) for row in part if row["kind"] == kind], dtype=float) for kind in KINDS
            )
            cells.append(f"{area_under_curve(own, others):.2f}, {tpr_at_fpr(own, others):.2f}")
        lines.append([delivery, str(len(part)), *cells])
    if not lines:
        return ""
    spent = [f"{np.median([row['peers'][peer][1] for row in rows if row['peers']]):.0f}" for peer in PEERS]
    ours = f"{np.median([row['passes'] for row in rows if row['peers']]):.0f}"
    lines.append(["passes, median (a backward one counts as two)", "", ours, *spent])
    return cells_table(["AUC, TPR at 1 % FPR", "rows", "this", *PEERS], lines)


def _value(row: Row, peer: str) -> float:
    if peer != "this":
        return float(row["peers"][peer][0])
    return 1.0 if row["p_value"] is None else float(row["p_value"])


def contradictions(rows: list[Row]) -> str:
    found = defaultdict(set)
    for row in rows:
        found[row["decoder"], row["kind"], row["picture"]].add(row["answer"])
    own = {key: answers for key, answers in found.items() if key[1] == "own"}
    bad = [key for key, answers in own.items() if {"belonging", "non-belonging"} <= answers]
    return (
        f"Contradictions (a yes in one delivery, a no in another): {len(bad)} of {len(own)} own pictures. {bad or ''}"
    )


def main() -> None:
    parser = parser_of(__doc__, "two pictures of 256², one decoder", pictures=24, size=512, decoders=DECODERS)
    parser.add_argument("--only", default=";".join(DELIVERIES), help="deliveries, with ';' between them")
    parser.add_argument("--without-peers", action="store_true")
    args = parser.parse_args()
    names = ["taesd"] if args.quick else args.decoders.split(",")
    size, count = (256, 2) if args.quick else (args.size, args.pictures)
    only = args.only.split(";")
    if args.quick:
        only = ["as made", "JPEG 90", "mirrored"]
    if unknown := set(only) - set(DELIVERIES):
        raise SystemExit(f"No such delivery: {', '.join(unknown)}.")
    rows = rows_of(args, "delivery", ("decoder", "kind", "picture", "size", "delivery"))
    # One decoder after the other for each picture, so that a run that is broken off has a little of everything.
    jobs = [
        (name, kind, picture, number, delivery)
        for number, picture in enumerate(pictures_of_side(size, count))
        for delivery in only
        for name in names
        for kind in KINDS
    ]
    for name, kind, picture, number, delivery in track([] if args.report_only else jobs, "delivering"):
        if rows.lacks(name, kind, picture, size, delivery):
            rows.add(measure(name, kind, picture, number, size, delivery, not args.without_peers))
    part = [row for row in rows if row["size"] == size]
    tables = f"{answers_table(part)}\n\n{contradictions(part)}\n\n{peers_table(part)}"
    print(f"# The same picture, delivered otherwise\n\n{made_by(str(rows.path.name))}\n{tables}")
    write_json(args.json, part)


if __name__ == "__main__":
    main()
