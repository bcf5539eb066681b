"""Tables of ``benchmarks/origin.py``, from its raw rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import made_by, write_json
from latent_tracer.core import Profile, verdict_from_losses, verdict_from_profile
from latent_tracer.core.images.quantiser import ROUNDING_FLOOR
from latent_tracer.core.profiles import Source
from latent_tracer.core.profiles.thresholds import rate_interval
from latent_tracer.core.storage.atomic import write_text

CALIBRATION = 20
ALPHA = 0.05


@dataclass(frozen=True)
class Scored:
    """One image under one inspected generator."""

    inspected: str
    source: str
    number: int
    score: float

    @property
    def belongs(self) -> bool:
        return self.source == self.inspected


@dataclass
class Counts:
    """The paper's table; ``undecided`` are answers of inconclusive, which count as no success."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    undecided: int = 0

    def add(self, belongs: bool, answer: str) -> None:
        if answer == "inconclusive":
            self.undecided += 1
        elif answer == "belonging":
            self.tp, self.fp = self.tp + belongs, self.fp + (not belongs)
        else:
            self.fn, self.tn = self.fn + belongs, self.tn + (not belongs)

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.fn + self.tn + self.undecided

    @property
    def accuracy(self) -> float:
        return (self.tp + self.tn) / self.total

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = vars(self), vars(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


def scores_of(rows: Iterable[dict[str, Any]], stage: str, score: Callable[[dict[str, Any]], float]) -> list[Scored]:
    found = []
    for row in rows:
        if row["stage"] == stage:
            inspected, source, number = row["key"].split("/")
            found.append(Scored(inspected, source, int(number), score(row)))
    return found


def profile_of(calibration: Sequence[Scored]) -> Profile:
    """A profile as ``calibrate --generator`` makes it, from scores that were computed before."""

    def source(name: str, kind: str) -> Source:
        part = [entry for entry in calibration if entry.source == name]
        return Source(
            kind,
            tuple(entry.score for entry in part),
            tuple(entry.number for entry in part),
            decoders=(name,) * len(part),
        )

    inspected = calibration[0].inspected
    others = sorted({entry.source for entry in calibration} - {inspected})
    return Profile(
        "benchmark", "benchmark", "ronan", {}, "clean", (32, 32), "benchmark", (source(inspected, "generated"),),
        tuple(source(name, "photograph" if name == "real" else "generated") for name in others), fpr=ALPHA, fnr=ALPHA,
    )  # fmt: skip


def answers(profile: Profile, score: float) -> dict[str, str]:
    """By conformal p-values, and by the paper's test."""
    return {
        "conformal": verdict_from_profile(score, profile).answer,
        "Grubbs": verdict_from_losses(score, profile.belonging_scores, ALPHA).answer,
    }


def split_counts(scores: Sequence[Scored]) -> dict[str, dict[str, Counts]]:
    """rule -> what it is compared with -> counts; numbers below :data:`CALIBRATION` calibrate, others are judged."""
    counts: dict[str, dict[str, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for inspected in sorted({entry.inspected for entry in scores}):
        mine = [entry for entry in scores if entry.inspected == inspected]
        profile = profile_of([entry for entry in mine if entry.number < CALIBRATION])
        for entry in mine:
            if entry.number >= CALIBRATION:
                tally(counts, entry, answers(profile, entry.score))
    return counts


def leave_one_out_counts(scores: Sequence[Scored]) -> dict[str, dict[str, Counts]]:
    """As :func:`split_counts`, but each image is judged by a profile of all the others of its inspected generator."""
    counts: dict[str, dict[str, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for inspected in sorted({entry.inspected for entry in scores}):
        mine = [entry for entry in scores if entry.inspected == inspected]
        for entry in mine:
            profile = profile_of([other for other in mine if other is not entry])
            tally(counts, entry, answers(profile, entry.score))
    return counts


def tally(counts: dict[str, dict[str, Counts]], entry: Scored, answer_of: dict[str, str]) -> None:
    for rule, answer in answer_of.items():
        for against in ("other generators", "real"):
            if entry.belongs or (entry.source == "real") == (against == "real"):
                counts[rule][against].add(entry.belongs, answer)


def auc(scores: Sequence[Scored], against: str) -> float:
    """How often a belonging image scores below one of ``against``, within each inspected generator."""
    wins, pairs = 0.0, 0
    for inspected in {entry.inspected for entry in scores}:
        own = [e.score for e in scores if e.inspected == inspected and e.belongs]
        foreign = [
            e.score for e in scores
            if e.inspected == inspected and not e.belongs and (e.source == "real") == (against == "real")
        ]  # fmt: skip
        for value in own:
            wins += sum(value < other for other in foreign) + 0.5 * sum(value == other for other in foreign)
        pairs += len(own) * len(foreign)
    return wins / pairs if pairs else float("nan")


def table(name: str, scores: Sequence[Scored], counts: dict[str, dict[str, Counts]]) -> list[str]:
    lines = []
    for rule, by_comparison in counts.items():
        for against, c in by_comparison.items():
            low, high = rate_interval(c.tp + c.tn, c.total)
            lines.append(
                f"| {name} | {rule} | {against} | {c.tp} | {c.fp} | {c.fn} | {c.tn} | {c.undecided} |"
                f" {c.accuracy:.1%} ({low:.0%}–{high:.0%}) | {auc(scores, against):.4f} |"
            )
    return lines


HEAD = [
    "| score | rule | against | TP | FP | FN | TN | inconclusive | accuracy (95 %) | AUC |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def spread(scores: Sequence[Scored]) -> list[str]:
    lines = ["| inspected | images of | n | smallest | median | largest |", "|---|---|---|---|---|---|"]
    for inspected in sorted({entry.inspected for entry in scores}):
        for source in sorted({entry.source for entry in scores}):
            values = [e.score for e in scores if (e.inspected, e.source) == (inspected, source)]
            if values:
                lines.append(
                    f"| {inspected} | {source} | {len(values)} | {min(values):.3g} | {np.median(values):.3g} |"
                    f" {max(values):.3g} |"
                )
    return lines


def mean_seconds(rows: Sequence[dict[str, Any]], stage: str, own: bool | None = None) -> float:
    values = []
    for row in rows:
        if row["stage"] == stage:
            inspected, source, _ = row["key"].split("/")
            if own is None or own == (inspected == source):
                values.append(row["seconds"])
    return float(np.mean(values)) if values else float("nan")


def write_report(rows: list[dict[str, Any]], folder: Path) -> None:
    entropy = {row["key"]: row["entropy"] for row in rows if row["stage"] == "lm"}
    ours = {
        "ours, L/C (entropy)": scores_of(rows, "lm", lambda row: row["loss"] / row["entropy"]),
        "ours, L": scores_of(rows, "lm", lambda row: row["loss"]),
    }
    control = scores_of(rows, "control", lambda row: row["loss"] / max(row["control"], ROUNDING_FLOOR))
    adam_keys = {row["key"] for row in rows if row["stage"] == "adam" and row["key"] in entropy}
    both = [row for row in rows if row["key"] in adam_keys and row["stage"] in ("adam", "lm")]
    side_by_side = {
        "Adam 1500, L/C (entropy)": scores_of(both, "adam", lambda row: row["loss"] / entropy[row["key"]]),
        "Adam 1500, L": scores_of(both, "adam", lambda row: row["loss"]),
        "ours, L/C (entropy)": scores_of(both, "lm", lambda row: row["loss"] / row["entropy"]),
        "ours, L": scores_of(both, "lm", lambda row: row["loss"]),
    }
    text = [
        "# Origin attribution between generators of one architecture",
        "",
        made_by("`origin-rows.jsonl`"),
        "DCGAN at 32×32: `faces` is the published face generator, `photographs-1` and `-2` were trained by"
        " `tools/train_dcgan.py` (2000 steps) on the same photographs from seeds 1 and 2. Images are stored as 8 bit."
        " Real images are crops of pictures that neither was trained on. Losses in units of the 8-bit floor, 1.28e-6.",
        "",
        "## Our solver (Levenberg–Marquardt, 2 random starts), all three as inspected generator",
        "",
        f"Numbers 0–{CALIBRATION - 1} of each source calibrate at a stated false-positive rate of 5 %, the others are"
        " judged. `conformal` is the verdict's rule, `Grubbs` (level 0.05) the paper's.",
        "",
        *HEAD,
    ]
    for name, scores in ours.items():
        text += table(name, scores, split_counts(scores))
    text += ["", "Losses behind it:", ""]
    text += spread([replace(entry, score=entry.score / ROUNDING_FLOOR) for entry in ours["ours, L"]])
    if adam_keys:
        text += [
            "",
            "## The paper's 1500 Adam steps (one random start) beside ours, on the same images",
            "",
            f"{len(adam_keys)} images; Adam is slow, so not all. Each image is judged by a profile of all the others of"
            " its inspected generator (leave one out).",
            "",
            *HEAD,
        ]
        for name, scores in side_by_side.items():
            text += table(name, scores, leave_one_out_counts(scores))
        text += ["", "Losses behind it (Adam):", ""]
        text += spread([replace(entry, score=entry.score / ROUNDING_FLOOR) for entry in side_by_side["Adam 1500, L"]])
        alone = [row["seconds"] for row in rows if row["stage"] == "adam-alone"]
        text += [
            "",
            f"Seconds per image on one busy core: ours {mean_seconds(rows, 'lm', True):.2f} for belonging images and"
            f" {mean_seconds(rows, 'lm', False):.2f} for others; Adam {mean_seconds(rows, 'adam'):.1f} in batches of 20"
            f" and {np.mean(alone) if alone else float('nan'):.1f} alone.",
        ]
    if control:
        matching = {(e.source, e.number) for e in control}
        plain = [e for e in ours["ours, L/C (entropy)"] if e.inspected == "faces" and (e.source, e.number) in matching]
        bare = [e for e in ours["ours, L"] if e.inspected == "faces" and (e.source, e.number) in matching]
        text += [
            "",
            "## Complexity: entropy, the regenerated control, and none",
            "",
            f"`faces` inspected with our solver, {len(control)} images, leave one out. The control divides by the loss"
            " that an independent inversion of the regenerated image G(z*) ends with; it doubles the cost.",
            "",
            *HEAD,
        ]
        for name, scores in (("L / entropy", plain), ("L / regenerated control", control), ("L", bare)):
            text += table(name, scores, leave_one_out_counts(scores))
        text += ["", "L / control behind it:", "", *spread(control)]
    text += vae_section(rows)
    write_text(folder / "origin.md", "\n".join(text) + "\n")
    summary = {
        name: {
            rule: {against: vars(c) | {"accuracy": c.accuracy} for against, c in by.items()} for rule, by in k.items()
        }
        for name, k in ((name, split_counts(scores)) for name, scores in ours.items())
    }
    write_json(folder / "origin.json", summary)
    print("\n".join(text))


def vae_section(rows: Sequence[dict[str, Any]]) -> list[str]:
    """RONAN's case study: random starts against the encoder's."""
    groups: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["stage"] == "vae":
            way, kind, _ = row["key"].split("/")
            groups[way][kind].append(row)
    if not groups:
        return []
    text = [
        "",
        "## A VAE decoder: from a random latent, and from its encoder",
        "",
        "taesd's decoder at 64×64: crops of photographs it decoded (belonging), the same as decoded by taesdxl, and as"
        " they are (real). AUC: how often a belonging image is left with the smaller loss.",
        "",
        "| start and solver | images of | n | smallest | median | largest | AUC, L | AUC, L/C | s/image |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way, kinds in groups.items():
        own = kinds.get("belonging", [])
        for kind, members in kinds.items():
            losses = [row["loss"] / ROUNDING_FLOOR for row in members]
            figures = ["", ""]
            if kind != "belonging" and own:
                figures = [
                    f"{np.mean([a(x) < a(y) for x in own for y in members]):.2f}"
                    for a in (lambda row: row["loss"], lambda row: row["loss"] / row["entropy"])
                ]
            text.append(
                f"| {way} | {kind} | {len(losses)} | {min(losses):.3g} | {np.median(losses):.3g} | {max(losses):.3g} |"
                f" {figures[0]} | {figures[1]} | {np.mean([row['seconds'] for row in members]):.1f} |"
            )
    return text
