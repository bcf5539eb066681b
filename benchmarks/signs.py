"""Signs of another placement: what the search finds of own pictures resized since, and of pictures as they were made.

    python benchmarks/signs.py --quick
    python benchmarks/signs.py --pictures 8 --rows benchmarks/results/signs-rows.jsonl        # resumable

A sign takes back a no. Own pictures of 512² are reduced to half and to 0.6, mirrored and reduced to three quarters, and
enlarged 2.5 times, and reduced and stored as JPEG; of each the search should find where it was made. Photographs and
other decoders' pictures, in turn, come as they are, of 256² and 512², and as JPEG files: a sign in one of them costs a
right no.
"""

from __future__ import annotations

import time

import torch
from common import DECODERS, Row, cells_table, decoder, made_by, parser_of, pictures_of_side, rows_of, write_json
from deliveries import DELIVERIES, Alteration, mirrored, resized, stored
from delivery import made
from latent_tracer.core import to_picture, to_tensor
from latent_tracer.core.scores.search import search_placements
from rich.progress import track

WAYS = {
    "×0.5 bicubic": DELIVERIES["×0.5 bicubic"][0],
    "×0.6 Lanczos": (resized(0.6, "Lanczos"),),
    "mirrored, ×0.75": (mirrored, resized(0.75, "bicubic")),
    "×2.5 bilinear": DELIVERIES["×2.5 bilinear"][0],
    "×0.62 Lanczos, JPEG 85": (resized(0.62, "Lanczos"), stored("JPEG", 85)),
    "×0.75 Lanczos, JPEG 90": (resized(0.75, "Lanczos"), stored("JPEG", 90)),
}
OTHERS: dict[str, tuple[int, tuple[Alteration, ...]]] = {
    "others of 256²": (256, ()),
    "others of 512²": (512, ()),
    "others of 384², JPEG 85": (384, (stored("JPEG", 85),)),
}


def measure(name: str, picture: str, number: int, way: str) -> Row:
    side, others_way = OTHERS.get(way, (512, ()))
    image = made(name, "own" if way in WAYS else "other", picture, number, side)
    delivered = to_picture(image)
    for alter in WAYS.get(way, others_way):
        delivered = alter(delivered)
    began = time.process_time()
    with torch.no_grad():
        found = search_placements(decoder(name), to_tensor(delivered))
    placement = None if found is None else found.placement
    right = way in WAYS and placement is not None and placement.size == tuple(image.shape[-2:])
    return {
        "decoder": name, "picture": picture, "way": way, "size": side,
        "placement": "" if placement is None else placement.words,
        "right": right and placement.mirrored == way.startswith("mirrored"),
        "score": 0.0 if found is None else round(found.score, 5),
        "strength": 0.0 if found is None else round(found.strength, 3),
        "evidence": 0.0 if found is None else round(found.evidence, 3),
        "was_reduced": found is not None and found.was_reduced, "is_sign": found is not None and found.is_sign,
        "looks": 0 if found is None else found.looks, "seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    lines = []
    for way in (*WAYS, *OTHERS):
        part = [row for row in rows if row["way"] == way]
        if not part:
            continue
        found = sum(row["right"] for row in part)
        reduced = [row["strength"] for row in part if row["was_reduced"]]
        as_large = [row["score"] for row in part if not row["was_reduced"]]
        lines.append([
            way, str(len(part)), str(found) if way in WAYS else "", str(sum(row["is_sign"] for row in part)),
            f"{min(reduced):.2f} to {max(reduced):.2f}" if reduced else "",
            f"{min(as_large):.3f} to {max(as_large):.3f}" if as_large else "",
            f"{sorted(row['seconds'] for row in part)[len(part) // 2]:.0f}",
        ])  # fmt: skip
    head = [
        "pictures", "n", "found where made", "a sign", "evidence where reduced since", "contrast elsewhere",
        "CPU seconds, median",
    ]  # fmt: skip
    return cells_table(head, lines)


def main() -> None:
    parser = parser_of(__doc__, "one picture, one decoder", pictures=8, decoders=DECODERS)
    args = parser.parse_args()
    names = ["taesd"] if args.quick else args.decoders.split(",")
    rows = rows_of(args, "signs", ("decoder", "picture", "way"))
    jobs = [
        (name, picture, number, way)
        for number, picture in enumerate(pictures_of_side(512, 1 if args.quick else args.pictures))
        for name in names
        for way in (*WAYS, *OTHERS)
    ]
    for job in track([] if args.report_only else jobs, "searching"):
        name, picture, _, way = job
        if rows.lacks(name, picture, way):
            rows.add(measure(*job))
    print(f"# Signs of another placement\n\n{made_by(str(rows.path.name))}\n{summary(list(rows))}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
