"""Fine-tuned decoders of one family: wrong answers under the original's profile, and attribution by pairs.

    python benchmarks/relatives.py --quick
    python benchmarks/relatives.py --json benchmarks/results/relatives.json        # resumable, weights as well

The decoder of each family (its encoder is left alone) is trained on by 20, 100 and 1,000 steps on photographs that are
not asked about. Every picture is made by the original and by each of them. Asked are the answer of the original's own
profile, and which of two decoders the pairs of blocks prefer (:mod:`latent_tracer.core.verdicts.paired`).
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import torch
from latent_tracer.core import ModuleAutoencoder, Picture, Tracer, builtin_profile, load_autoencoder, quantise
from latent_tracer.core.scores.contrast_map import contrast_map
from latent_tracer.core.storage.atomic import write_bytes
from latent_tracer.core.verdicts.attribution import PAIR_LEVEL, PAIR_MARGIN
from latent_tracer.core.verdicts.paired import paired
from rich.progress import track
from safetensors.torch import load_file, save
from torch import Tensor

from common import (  # isort: skip
    DATA, PARTIAL, Row, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, pixels_of, rows_of,
    write_json,
)  # fmt: skip

STEPS = (20, 100, 1000)
CROP, BATCH, RATE, SEED = 64, 4, 1e-4, 3
# Pictures from this place of the list on teach, those before are asked about.
TAUGHT_FROM = 40


def relatives(name: str, steps: tuple[int, ...]) -> dict[int, ModuleAutoencoder]:
    """The original as 0 and its fine-tuned relatives by their steps, trained once and kept."""
    folder = PARTIAL / "relatives"
    missing = [count for count in steps if not (folder / f"{name}-{count}.safetensors").is_file()]
    if missing:
        train(name, tuple(missing), folder)
    found = {0: decoder(name)}
    for count in steps:
        found[count] = load_autoencoder(DATA / "weights" / name)
        found[count].module.load_state_dict(load_file(folder / f"{name}-{count}.safetensors"))
    return found


def train(name: str, steps: tuple[int, ...], folder: Path) -> None:
    """AdamW on random crops, mean square and a tenth of the absolute error; states after each of ``steps`` are kept."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = load_autoencoder(DATA / "weights" / name)
    parameters = [p.requires_grad_() for key, p in model.module.named_parameters() if not key.startswith("encoder")]
    optimizer = torch.optim.AdamW(parameters, lr=RATE)
    pictures = [pixels_of(one) for one in pictures_of_side(256)[TAUGHT_FROM:]]

    def crop() -> Tensor:
        image = pictures[int(torch.randint(len(pictures), (1,), generator=generator))]
        top, left = (int(torch.randint(side - CROP + 1, (1,), generator=generator)) for side in image.shape[-2:])
        return image[..., top : top + CROP, left : left + CROP]

    for step in track(range(1, max(steps) + 1), f"training relatives of {name}"):
        images = torch.cat([crop() for _ in range(BATCH)])
        with torch.no_grad():
            latents = model.encode(images)
        error = model.decode(latents) - images
        loss = error.square().mean() + 0.1 * error.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in steps:
            state = {key: value.detach().contiguous().clone() for key, value in model.module.state_dict().items()}
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / f"{name}-{step}.safetensors", save(state))


def measure(name: str, picture: str, size: int, models: dict[int, ModuleAutoencoder]) -> list[Row]:
    pixels = crop_of(picture, size, 16)
    height, width = (side // 16 * 16 for side in pixels.shape[-2:])
    pixels = pixels[..., :height, :width]
    profile = builtin_profile(models[0].fingerprint)
    rows = []
    for maker, model in models.items():
        with torch.no_grad():
            image = quantise(model.decode(model.encode(pixels)))
        verdict = Tracer(models[0], profile).trace(Picture.of(image), checks_refusal=False).verdict
        maps = {count: contrast_map(one, image) for count, one in models.items()}
        pairs = {}
        for one, other in combinations(models, 2):
            if maker in (one, other):
                found = paired(maps[one], maps[other])
                pairs[f"{one}-{other}"] = None if found is None else [found.difference, found.p_value, found.groups]
        rows.append({
            "decoder": name, "picture": picture, "size": size, "maker": maker, "answer": verdict.answer,
            "score": verdict.score, "pairs": pairs,
        })  # fmt: skip
    return rows


def summary(rows: list[Row]) -> str:
    lines = []
    for name in dict.fromkeys(row["decoder"] for row in rows):
        profile = builtin_profile(decoder(name).fingerprint)
        assert profile is not None
        for maker in sorted({row["maker"] for row in rows}):
            part = [row for row in rows if (row["decoder"], row["maker"]) == (name, maker)]
            answers = Counter(row["answer"] for row in part)
            with_it = ""
            if maker and len(part) > 1:
                # As a source of the profile it lowers the threshold to its lowest picture; each is asked about as if it
                # had not been there.
                scores = sorted(row["score"] for row in part)
                own = [row["score"] for row in rows if (row["decoder"], row["maker"]) == (name, 0)]
                threshold = profile.acceptance_threshold
                wrong = int(scores[0] < min(threshold, scores[1]))
                right = sum(score < min(threshold, scores[0]) for score in own)
                with_it = f"{wrong} of {len(part)}, {right} of {len(own)}"
            outcomes: Counter[str] = Counter()
            for row in part:
                for names, pair in row["pairs"].items():
                    first = names.split("-")[0] == str(maker)
                    won = pair is not None and pair[1] < PAIR_LEVEL and abs(pair[0]) > PAIR_MARGIN
                    outcomes["tied" if not won else "right" if (pair[0] < 0) == first else "wrong"] += 1
            pairs = " / ".join(str(outcomes[one]) for one in ("right", "tied", "wrong"))
            three = " / ".join(str(answers[one]) for one in ("belonging", "inconclusive", "non-belonging"))
            lines.append([name, maker or "the original", three, with_it, pairs])
    head = [
        "family", "made by (steps)", "the original's profile: yes / inconclusive / no",
        "with the relative in it: yes to it, to own", "pairs: right / tied / wrong",
    ]  # fmt: skip
    return cells_table(head, lines)


def main() -> None:
    parser = parser_of(
        __doc__, "two pictures of 192², TAESD after 20 steps", pictures=30, size=256, decoders=("taesd", "taef1")
    )
    args = parser.parse_args()
    names = ["taesd"] if args.quick else args.decoders.split(",")
    size, count, steps = (192, 2, STEPS[:1]) if args.quick else (args.size, args.pictures, STEPS)
    rows = rows_of(args, "relatives", ("decoder", "picture", "size", "maker"))
    for name in [] if args.report_only else names:
        models = relatives(name, steps)
        for picture in track(pictures_of_side(256, count), name):
            if rows.lacks(name, picture, size, steps[-1]):
                for row in measure(name, picture, size, models):
                    rows.add(row)
    print(f"# Relatives\n\n{made_by(str(rows.path.name))}\n{summary(rows)}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
