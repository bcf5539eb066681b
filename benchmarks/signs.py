"""Signs of another placement: what own pictures show where they were made, and others where the search finds most.

    python benchmarks/signs.py --quick
    python benchmarks/signs.py --pictures 8 --rows benchmarks/results/signs-rows.jsonl        # resumable

A sign takes back a no. It has evidence, and its contrast is a share of the control: of what the decoder's own version
of the picture shows after the same delivery. Own pictures are delivered and looked at where they were made, without a
search (whether it gets there: power.py). Photographs and other decoders' pictures, in turn, come as they are, and the
search looks for what is lowest in them: a sign in one of them costs a right no.
"""

from __future__ import annotations

import time

import torch
from common import DECODERS, Row, cells_table, decoder, made_by, parser_of, pictures_of_side, rows_of, write_json
from deliveries import DELIVERIES, Alteration, mirrored, resized, stored
from delivery import made
from latent_tracer.core import to_picture, to_tensor
from latent_tracer.core.scores.found import SIGN_EVIDENCE, SIGN_SHARE, Found
from latent_tracer.core.scores.placement import Placement
from latent_tracer.core.scores.search import _Search
from rich.progress import track

# Side in pixels as it was made, alterations.
WAYS: dict[str, tuple[int, tuple[Alteration, ...]]] = {
    "×0.35 of 512²": (512, DELIVERIES["×0.35 Lanczos"][0]),
    "×0.5 of 512²": (512, DELIVERIES["×0.5 bicubic"][0]),
    "×0.6": (256, (resized(0.6, "Lanczos"),)),
    "×0.75": (256, DELIVERIES["×0.75 Lanczos"][0]),
    "×0.9": (256, DELIVERIES["×0.9 bicubic"][0]),
    "×1.5": (256, DELIVERIES["×1.5 bicubic"][0]),
    "mirrored": (256, (mirrored,)),
    "cut at (3,5)": (256, (lambda picture: picture.crop((3, 5, *picture.size)),)),
    "×0.75, JPEG 90": (256, (resized(0.75, "Lanczos"), stored("JPEG", 90))),
    "×0.9, JPEG 90": (256, (resized(0.9, "bicubic"), stored("JPEG", 90))),
    "×1.5, JPEG 90": (256, (resized(1.5, "bicubic"), stored("JPEG", 90))),
}
OTHERS = {"others of 256²": 256, "others of 512²": 512}


def placement_of(way: str, side: int) -> Placement:
    if way.startswith("cut"):
        return Placement(top=3, left=5)
    return Placement(way == "mirrored", size=(side, side) if way.startswith("×") else None)


@torch.no_grad()
def measure(name: str, picture: str, number: int, way: str) -> Row:
    side, alterations = WAYS.get(way, (OTHERS.get(way), ()))
    delivered = to_picture(made(name, "own" if way in WAYS else "other", picture, number, side))
    for alter in alterations:
        delivered = alter(delivered)
    search = _Search(decoder(name), to_tensor(delivered), None)
    began = time.process_time()
    if way in WAYS:
        placement = placement_of(way, side)
        search.score(placement, is_test=False)
        score, strength = search.scores[placement], search.strengths[placement]
    else:
        found = search.run()
        placement, score, strength = found.placement, found.score, found.strength
    seconds = time.process_time() - began
    return {
        "decoder": name, "picture": picture, "way": way, "placement": placement.words, "score": round(score, 5),
        "strength": round(strength, 3), "control": round(search.control(placement).contrast(), 5),
        "scale": round(search.scale(placement), 4), "seconds": round(seconds, 1),
    }  # fmt: skip


def is_sign(row: Row) -> bool:
    figures = {name: row[name] for name in ("score", "strength", "control", "scale")}
    return Found(Placement(), looks=1, passes=None, **figures).is_sign


def summary(rows: list[Row]) -> str:
    lines = []
    for way in (*WAYS, *OTHERS):
        part = [row for row in rows if row["way"] == way]
        if not part:
            continue
        shares = sorted(row["score"] / row["control"] for row in part)
        evidence = sorted(row["strength"] for row in part)
        seconds = sorted(row["seconds"] for row in part if row["seconds"])
        lines.append([
            way, str(len(part)), str(sum(map(is_sign, part))), f"{evidence[0]:.2f} to {evidence[-1]:.2f}",
            f"{shares[0]:.2f} to {shares[-1]:.2f}",
            f"{seconds[len(seconds) // 2]:.0f}" if seconds else "",
        ])  # fmt: skip
    head = ["pictures", "n", "a sign", "evidence", "share of the control", "CPU seconds, median"]
    rule = (
        f"A sign has evidence below {SIGN_EVIDENCE} and a share of more than {SIGN_SHARE} times the scale"
        " (1 where it was not reduced).\n\n"
    )
    return rule + cells_table(head, lines)


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
