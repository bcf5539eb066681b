"""The conditions that a bare calibration covers: what they cost, and what a no to a JPEG file is worth.

    python benchmarks/usual_conditions.py --quick
    python benchmarks/usual_conditions.py --pictures 4 --decoders taesd        # resumable

Cost: passes of both networks and processor seconds for each of the first two photographs of a calibration, with each
list of conditions, and the passes that would have been made had samples not shared them.

A no to a JPEG file: JPEG takes what a resize before it left, so it is withheld where the decoder's own version of the
picture, reduced to two thirds and stored alike, shows too little evidence (``core/tracing/refusal.py``). Own pictures
are delivered reduced and as JPEG; others as JPEG files in the size they had. For each: that evidence, and for own
pictures whether the search sees the sign of another placement, which takes back a no as well. An own picture that has
the evidence and no sign, and whose sides fill whole cells, would be refused.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from common import Row, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, rows_of, write_json
from deliveries import DELIVERIES, stored
from delivery import made
from latent_tracer.core import calibrate_conditions, make_score, to_picture, to_tensor
from latent_tracer.core.calibration import latents
from latent_tracer.core.calibration.pictures import MIN_IMAGES
from latent_tracer.core.calibration.scores import CalibrationStep
from latent_tracer.core.calibration.shared_passes import SharedPasses
from latent_tracer.core.images.conditions import USUAL
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.images.tensors import whole_cells
from latent_tracer.core.models.weight_digest import same_weights
from latent_tracer.core.scores import default_score
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.core.scores.search import search_placements, seen_if_reduced
from latent_tracer.core.tracing.questions import REDUCED, VISIBLE

PHOTOGRAPHS, SIDE = 2, 64
LISTS = (("clean",), ("clean", "jpeg-90"), USUAL, (*USUAL, "webp-90"))
OWN = ("messenger: ×0.703, JPEG 80", "×0.62 Lanczos, JPEG 85", "×0.5 bicubic, JPEG 85", "×0.75 Lanczos, JPEG 90",
       "×0.9 bicubic, JPEG 90")  # fmt: skip
OTHERS = {"JPEG 90": 90, "JPEG 75": 75}


class EnoughError(Exception):
    """So many photographs were measured."""


def cost(name: str, conditions: tuple[str, ...], side: int) -> Row:
    model = decoder(name)
    photographs = [crop_of(one, side, 16) for one in pictures_of_side(side, MIN_IMAGES)]
    seen: list[SharedPasses] = []

    def counting(autoencoder: Any) -> tuple[Any, Any]:
        seen.append(SharedPasses(autoencoder))
        return seen[0], seen[0].forget

    def stop(step: CalibrationStep) -> None:
        if step.photographs == PHOTOGRAPHS:
            raise EnoughError

    demos = map(decoder, ("demo-a", "demo-b"))
    others = [other for other in demos if not same_weights(other.fingerprint, model.fingerprint)]
    scores = {one: make_score(default_score(one)) for one in conditions}
    grid_of(model)  # asked for once
    original, latents.shared_passes = latents.shared_passes, counting
    began = time.process_time()
    try:
        with contextlib.suppress(EnoughError):
            calibrate_conditions(model, scores, photographs, others=others, on_image=stop)
    finally:
        latents.shared_passes = original
    seconds = time.process_time() - began
    return {
        "what": "cost", "decoder": name, "picture": ", ".join(conditions), "way": str(side),
        "made": seen[0].made / PHOTOGRAPHS, "spared": seen[0].spared / PHOTOGRAPHS,
        "seconds": round(seconds / PHOTOGRAPHS, 2),
    }  # fmt: skip


@torch.no_grad()
def refusal(name: str, picture: str, number: int, way: str, side: int) -> Row:
    model, is_own = decoder(name), way in OWN
    delivered = to_picture(made(name, "own" if is_own else "other", picture, number, side))
    alterations, storage = DELIVERIES[way] if is_own else ((), ("JPEG", {"quality": OTHERS[way]}))
    for alter in alterations:
        delivered = alter(delivered)
    image = to_tensor(stored("JPEG", storage[1]["quality"])(delivered))
    placed = whole_cells(image, model.spatial_ratio)
    began = time.process_time()
    evidence, _ = seen_if_reduced(model, placed, REDUCED, jpeg_quality(placed))
    found = search_placements(model, image) if is_own and evidence < VISIBLE else None
    return {
        "what": "own" if is_own else "other", "decoder": name, "picture": picture, "way": way,
        "size": side, "quality": jpeg_quality(image), "evidence": round(evidence, 3),
        "sign": None if found is None else bool(found.is_sign), "cells": placed.shape == image.shape,
        "seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    costs = [
        [row["decoder"], f"{row['way']}²", row["picture"], f"{row['made']:.0f}", f"{row['made'] + row['spared']:.0f}",
         f"{row['seconds']:.1f}"]
        for row in rows if row["what"] == "cost"
    ]  # fmt: skip
    head = ["decoder", "pictures", "conditions", "passes a photograph", "unshared", "processor seconds a photograph"]
    text = f"## Cost\n\n{cells_table(head, costs)}\n"
    lines = []
    for way in (*OWN, *OTHERS):
        part = [row for row in rows if row["way"] == way and row["what"] != "cost"]
        if part:
            evidence = sorted(row["evidence"] for row in part)
            visible = [row for row in part if row["evidence"] < VISIBLE and row["cells"]]
            signs = [row for row in visible if row["sign"]]
            lines.append([
                f"{'own' if way in OWN else 'others'}, {way}", str(len(part)),
                f"{evidence[0]:.1f} to {evidence[-1]:.1f}",
                str(len(part) - len(visible)), str(len(signs)) if way in OWN else "", str(len(visible) - len(signs)),
            ])  # fmt: skip
    head = [
        "pictures",
        "n",
        "evidence if reduced",
        "no withheld for it or its sides",
        "a sign is seen",
        "a no may stand",
    ]
    rule = (
        f"A no may stand where that evidence is below {VISIBLE}, the sides fill whole cells and no sign is seen: wrong,"
        " of an own picture.\n"
    )
    return f"{text}\n## A no to a JPEG file\n\n{rule}\n{cells_table(head, lines)}"


def main() -> None:
    parser = parser_of(__doc__, "small pictures of one decoder", pictures=4, size=512, decoders=("taesd",))
    args = parser.parse_args()
    names = ["demo-a"] if args.quick else args.decoders.split(",")
    rows = rows_of(args, "usual-conditions", ("what", "decoder", "picture", "way"))
    if not args.report_only:
        for name in ("demo-a", *names):
            for conditions in LISTS:
                if rows.lacks("cost", name, ", ".join(conditions), str(SIDE)):
                    rows.add(cost(name, conditions, SIDE))
        side = 192 if args.quick else args.size
        for number, picture in enumerate(pictures_of_side(side, 1 if args.quick else args.pictures)):
            for name in names:
                for way in (*OWN, *OTHERS):
                    if rows.lacks("own" if way in OWN else "other", name, picture, way):
                        rows.add(refusal(name, picture, number, way, side))
    print(f"# What a bare calibration covers\n\n{made_by(str(rows.path.name))}\n{summary(list(rows))}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
