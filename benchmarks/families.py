"""An answer for a VAE that nobody calibrated: does the default profile hold for a family that it was not made from?

    python benchmarks/test_beds.py            # once: train the test beds, of which those that are there are asked
    python benchmarks/families.py --quick
    python benchmarks/families.py --json benchmarks/results/families.json         # resumable

The default profile rests on five tiny decoders (TAESD and its kind). The test beds are of the architectures of real
VAEs: AutoencoderKL, with packed latents, vector-quantised, of 16 pixels a cell, causal. Own pictures of each bed, and
photographs, generated pictures and what the tiny decoders and the other beds made of them, are traced as by a user who
never calibrated. ``--size``: the side of the central crops. Searches before a no are left out: wrong yeses and what is
found do not depend on them.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import test_beds
import torch
from latent_tracer.core import ModuleAutoencoder, Picture, Tracer, quantise
from latent_tracer.core.profiles.thresholds import rate_interval
from rich.progress import track

from common import (  # isort: skip
    DECODERS, Row, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, rows_of, write_json,
)  # fmt: skip


@cache
def maker(name: str) -> ModuleAutoencoder:
    return test_beds.load_bed(name) if name in test_beds.BEDS else decoder(name)


@torch.no_grad()
def measure(tracer: Tracer, picture: str, kind: str, size: int) -> Row:
    """``kind``: "own", "picture", or the tiny decoder or the other test bed that made it."""
    pixels = crop_of(picture, size, 16)
    height, width = (side // 32 * 32 for side in pixels.shape[-2:])
    pixels = pixels[..., :height, :width]
    if kind != "picture":
        model = tracer.autoencoder if kind == "own" else maker(kind)
        pixels = quantise(model.decode(model.encode(pixels)).clamp(0, 1))
    verdict = tracer.trace(Picture.of(pixels), checks_refusal=False).verdict
    return {
        "bed": tracer.name, "picture": picture, "kind": kind, "size": size, "answer": verdict.answer,
        "score": verdict.score, "fpr": verdict.fpr, "basis": verdict.basis,
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    lines = []
    for bed, size in dict.fromkeys((row["bed"], row["size"]) for row in rows):
        part = [row for row in rows if (row["bed"], row["size"]) == (bed, size)]
        own = [row for row in part if row["kind"] == "own"]
        others = [row for row in part if row["kind"] != "own"]
        held_out = sum(any(name in row["picture"] for name in test_beds.HELD_OUT) for row in own)
        answers = Counter(row["answer"] for row in own)
        wrong = sum(row["answer"] == "belonging" for row in others)
        low, high = rate_interval(wrong, max(len(others), 1))
        rate = [f"{wrong} of {len(others)}", f"{low:.2%} to {high:.2%}"] if others else ["", ""]
        stated = max((row["fpr"] for row in part if row["fpr"] is not None), default=None)
        lowest = f"{min(row['score'] for row in others):.3f}" if others else ""
        lines.append([
            bed, f"{size}²", " / ".join(str(answers[one]) for one in ("belonging", "inconclusive", "non-belonging")),
            held_out, *rate,
            "" if stated is None else f"{stated:.2%}", f"{max(row['score'] for row in own):.3f}", lowest,
        ])  # fmt: skip
    head = [
        "family", "size", "own: yes / inconclusive / no", "of them from pictures held out", "wrong yes", "95 %",
        "stated", "weakest own score", "lowest other score",
    ]  # fmt: skip
    return cells_table(head, lines)


def main() -> None:
    parser = parser_of(__doc__, "one bed, two pictures of 192²", pictures=50, size=256)
    parser.add_argument("--beds", default=",".join(test_beds.BEDS))
    parser.add_argument("--own-only", action="store_true", help="leave out the others")
    args = parser.parse_args()
    names = [name for name in args.beds.split(",") if (test_beds.FOLDER / f"{name}.safetensors").is_file()]
    if not names:
        raise SystemExit("No test bed is trained: run benchmarks/test_beds.py first.")
    size, count = (192, 2) if args.quick else (args.size, args.pictures)
    rows = rows_of(args, "families", ("bed", "picture", "kind", "size"))
    # Pictures that no bed was trained on come first.
    chosen = sorted(pictures_of_side(size), key=lambda one: not any(name in one for name in test_beds.HELD_OUT))[:count]
    for name in [] if args.report_only else names[: 1 if args.quick else None]:
        tracer = Tracer(test_beds.load_bed(name), (), name=name)
        for number, picture in enumerate(track(chosen, name)):
            others = [one for one in names if one != name]
            makers = [DECODERS[(number + k) % len(DECODERS)] for k in (0, 2)]
            makers += [others[number % len(others)]] if others else []
            for kind in ("own",) if args.own_only else ("own", "picture", *makers):
                if rows.lacks(name, picture, kind, size):
                    rows.add(measure(tracer, picture, kind, size))
    print(f"# An answer for every VAE\n\n{made_by(str(rows.path.name))}\n{summary(list(rows))}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
