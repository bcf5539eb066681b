"""Own pictures that were blurred, sharpened, given grain or toned since: is any denied? And are others still?

    python benchmarks/retouched.py --quick
    python benchmarks/retouched.py --pictures 4 --rows benchmarks/results/retouched-rows.jsonl     # resumable
    python benchmarks/retouched.py --kinds own                                       # or photograph, another

What is asked before a no of these pictures, as they lie: the score under the shipped profile, the evidence of the whole
and its share of the decoder's own version's contrast, that version under the picture's noise, and by how much less fine
detail the picture has. *Withheld* names the first of these questions (refusal.py, questions.py) that withholds the no
of the score; the others are left out, among them the search for another placement, which takes most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from latent_tracer.core import quantise, to_picture, to_tensor
from latent_tracer.core.images.tensors import whole_cells
from latent_tracer.core.scores import make_score
from latent_tracer.core.scores.contrast_map import contrast_map
from latent_tracer.core.scores.control import regenerated_control
from latent_tracer.core.scores.found import SIGN_EVIDENCE
from latent_tracer.core.tracing.questions import SMOOTHER, WEAK_LEVEL, WEAK_SHARE
from latent_tracer.core.tracing.refusal import MUCH_NOISE, NOISY_SHARE
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from rich.progress import track
from torch import Tensor

from common import (  # isort: skip
    DECODERS, RESULTS, Row, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, rows_of,
    shipped_profile, write_json,
)  # fmt: skip
from latent_tracer.core.storage.atomic import write_text  # isort: skip

Alteration = Callable[[Image.Image], Image.Image]


def noise(deviation: float, grey: bool = False, seed: int = 0) -> Alteration:
    def added(picture: Image.Image) -> Image.Image:
        pixels = np.asarray(picture) / 255
        drawn = np.random.default_rng(seed).normal(0, deviation, pixels.shape[:2] if grey else pixels.shape)
        pixels = pixels + (drawn[..., None] if grey else drawn)
        return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))

    return added


def blur(deviation: float) -> Alteration:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(deviation))


RETOUCHES: dict[str, Alteration] = {
    "as made": lambda picture: picture,
    "noise of 5 levels": noise(0.02),
    "noise of 10 levels": noise(0.04),
    "noise of 20 levels": noise(0.08),
    "grey grain of 13 levels": noise(0.05, grey=True),
    "blurred by 0.7": blur(0.7),
    "blurred by 1": blur(1),
    "blurred by 2": blur(2),
    "median of 3×3": lambda picture: picture.filter(ImageFilter.MedianFilter(3)),
    "sharpened": lambda picture: picture.filter(ImageFilter.UnsharpMask(2, 150, 3)),
    "sharpened much": lambda picture: picture.filter(ImageFilter.UnsharpMask(1, 300, 0)),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.4),
    "more colour": lambda picture: ImageEnhance.Color(picture).enhance(1.5),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "16 levels": lambda picture: ImageOps.posterize(picture, 4),
    "half its size and back": lambda picture: picture.resize((picture.width // 2, picture.height // 2)).resize(
        picture.size
    ),
}
KINDS = ("own", "photograph", "another")


@torch.no_grad()
def made(name: str, kind: str, picture: str, number: int, size: int) -> Tensor:
    """``[1,3,size,size]`` in whole levels, before it is retouched."""
    pixels = whole_cells(crop_of(picture, size, 16), 16)
    if kind == "photograph":
        return quantise(pixels)
    others = [one for one in DECODERS if one != name]
    maker = decoder(name if kind == "own" else others[number % len(others)])
    return quantise(maker.decode(maker.encode(pixels)).clamp(0, 1))


@torch.no_grad()
def measure(name: str, kind: str, retouch: str, picture: str, number: int, size: int) -> Row:
    model, profile = decoder(name), shipped_profile(name)
    score = make_score(profile.score)
    image = made(name, kind, picture, number, size)
    if kind == "own":
        image = to_tensor(RETOUCHES[retouch](to_picture(image)))
    value = score(model, image).value
    control = regenerated_control(score, model, image)
    contrasts = contrast_map(model, image)
    share = contrasts.contrast() / (control.value or -1)
    answer = "yes" if profile.accepts(value) else "no" if profile.refuses(value) else "open"
    return {
        "decoder": name, "kind": kind, "retouch": retouch, "picture": picture, "size": size, "score": value,
        "answer": answer, "evidence": round(contrasts.evidence(), 3), "share": round(share, 3),
        "control": round(control.value, 4), "noise": round(255 * control.noise, 2),
        "smoother": round(control.smoother, 3),
    }  # fmt: skip


def withheld_by(row: Row) -> str:
    """The first question that withholds the no of a ``row``, empty for none."""
    profile = shipped_profile(row["decoder"])
    reasons = {
        "control": not profile.accepts(row["control"] * (NOISY_SHARE if row["noise"] >= 255 * MUCH_NOISE else 1)),
        "few score so": profile.p_value(row["score"]) <= WEAK_LEVEL,
        "weak trace": row["evidence"] < SIGN_EVIDENCE and row["share"] > WEAK_SHARE,
        "smoother": row["smoother"] >= SMOOTHER,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def report(rows: list[Row]) -> str:
    lines = []
    for kind, retouch in dict.fromkeys((row["kind"], row["retouch"]) for row in rows):
        part = [row for row in rows if (row["kind"], row["retouch"]) == (kind, retouch)]
        answers = Counter(row["answer"] for row in part)
        withheld = Counter(withheld_by(row) for row in part if row["answer"] == "no")
        left = withheld.pop("", 0)
        ranges = [[row[name] for row in part] for name in ("evidence", "share", "smoother", "noise")]
        lines.append([
            f"{kind}, {retouch}" if kind == "own" else kind, len(part), answers["yes"], answers["open"],
            ", ".join(f"{count} {why}" for why, count in sorted(withheld.items())), left,
            *(f"{min(values):.2g} to {max(values):.2g}" for values in ranges),
        ])  # fmt: skip
    head = ["pictures", "n", "yes", "open", "no of the score withheld", "no", "evidence", "share of the control",
            "smoother", "noise, levels"]  # fmt: skip
    return (
        f"# Retouched since\n\n{made_by('retouched-rows.jsonl')}\nA no is withheld where the decoder's own version"
        f" under the picture's noise is not recognised (from {255 * MUCH_NOISE:.0f} levels on with {NOISY_SHARE} of its"
        f" score), where at most {WEAK_LEVEL:.0%} of others score as low, where"
        f" the evidence is below {SIGN_EVIDENCE} and the contrast more than {WEAK_SHARE} of the control's, and where"
        f" the finest detail is less than that version's by {SMOOTHER} (natural logarithm).\n\n"
        f"{cells_table(head, lines)}\n"
    )


def main() -> None:
    parser = parser_of(__doc__, "two pictures of one decoder", pictures=4, size=256, decoders=DECODERS)
    parser.add_argument("--kinds", default=",".join(KINDS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.decoders.split(",")[: 1 if args.quick else None]
    rows = rows_of(args, "retouched", ("decoder", "kind", "retouch", "picture", "size"))
    if not args.report_only:
        pictures = pictures_of_side(args.size, 2 if args.quick else args.pictures)
        photographs = [one for one in pictures_of_side(args.size) if one.startswith("real") and one.endswith(".png")]
        wanted = [
            (name, kind, retouch, picture, number)
            for number in range(len(pictures))
            for name in names
            for kind in args.kinds.split(",")
            for picture in (pictures[number] if kind != "photograph" else photographs[number % len(photographs)],)
            for retouch in (RETOUCHES if kind == "own" else ("as made",))
        ]
        for name, kind, retouch, picture, number in track(wanted, description="Retouched"):
            if rows.lacks(name, kind, retouch, picture, args.size):
                rows.add(measure(name, kind, retouch, picture, number, args.size))
    write_json(args.json, list(rows))
    if args.quick:
        print(report(rows))
    else:
        write_text(RESULTS / "retouched.md", report(rows))


if __name__ == "__main__":
    main()
