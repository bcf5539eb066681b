"""Are the printed error rates true? Simulated calibrations with known rates, and random splits on real decoders.

    python benchmarks/rates.py                                     # minutes
    python benchmarks/rates.py --quick                             # a tenth of the calibrations: within a minute

A simulated calibration draws scores of pictures, each with a level of its own that all its versions share, and fits a
profile; how often further pictures get a wrong yes or a wrong no under it is then known exactly but for a large sample.
"On average" must hold for the mean over calibrations, the bound in 95 % of them, for every source at once. A split
calibrates on half of the pictures behind a shipped profile and judges the other half.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import DECODERS, cells_table, made_by, shipped_profile
from latent_tracer.core.profiles import Profile, Source
from latent_tracer.core.profiles.thresholds import rate_interval, shown_rate
from latent_tracer.core.storage.atomic import write_text
from latent_tracer.core.verdicts.doubt import History
from latent_tracer.core.verdicts.verdict import verdict_from_profile
from numpy.typing import NDArray
from rich.progress import track

SAMPLE = 200_000
Scores = NDArray[np.float64]
Random = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Population:
    """What scores of one source are drawn from: ``mean`` + shared picture level + own noise, maybe heavy-tailed, maybe
    rounded to ``step`` (ties).
    """

    kind: str
    mean: float
    history: str = "clean"
    shared: float = 0.8  # standard deviation of what all versions of a picture have in common
    tails: bool = False
    step: float = 0.0

    def draw(self, levels: Scores, rng: Random) -> Scores:
        own = rng.standard_t(3, len(levels)) if self.tails else rng.standard_normal(len(levels))
        scores = self.mean + self.shared * levels + np.sqrt(1 - self.shared**2) * own
        return np.round(scores / self.step) * self.step if self.step else scores


@dataclasses.dataclass(frozen=True)
class Scenario:
    """``n`` independent pictures in ``copies`` each. ``seen``: of what JPEG quality an image's pixels show, by its
    history; a reading fails at ``misread``, independently of the score.
    """

    name: str
    n: int
    belonging: tuple[Population, ...]
    others: tuple[Population, ...]
    copies: int = 1
    fpr: float = 0.01
    guarantee: float | None = None
    condition: str = "clean"
    seen: tuple[tuple[str, int], ...] = ()
    misread: float = 0.0


OWN = (Population("decoded", -4.0), Population("perturbed", -3.9))
SEVERAL = (
    Population("photograph", 1.0),
    Population("decoder", 0.8, tails=True),
    Population("photograph", 0.6, "jpeg-75"),
    Population("photograph", 0.9, "jpeg-30", tails=True),
)
TIED = tuple(dataclasses.replace(one, step=0.5) for one in SEVERAL)
BY_PIXELS = tuple(
    dataclasses.replace(one, history="jpeg-75" if one.history == "clean" else "clean") for one in SEVERAL[:3]
) + (SEVERAL[3],)
SCENARIOS = (
    Scenario("one source", 70, OWN, (Population("photograph", 1.0),)),
    Scenario("one source", 299, OWN, (Population("photograph", 1.0),)),
    Scenario("several sources", 70, OWN, SEVERAL),
    Scenario("several sources", 150, OWN, SEVERAL, fpr=0.05),
    Scenario("ties", 99, tuple(dataclasses.replace(one, step=0.5) for one in OWN), TIED),
    Scenario("five copies of each", 20, OWN, SEVERAL, copies=5),
    Scenario("sources chosen by pixels", 70, OWN, BY_PIXELS, condition="jpeg-75", misread=0.1,
             seen=(("jpeg-75", 75), ("jpeg-30", 30))),
    Scenario("belonging near the others", 70, (Population("decoded", -0.5), Population("perturbed", 0.0)), SEVERAL),
    Scenario("guaranteed with 95 %", 299, OWN, SEVERAL, guarantee=0.95),
)  # fmt: skip


def calibration(scenario: Scenario, rng: Random) -> Profile:
    """A profile as calibrate would have made it, with every copy's score under its picture's number."""
    pictures = np.repeat(np.arange(scenario.n), scenario.copies)
    levels = rng.standard_normal(scenario.n)[pictures]

    def sources(populations: tuple[Population, ...]) -> tuple[Source, ...]:
        return tuple(
            Source(one.kind, tuple(one.draw(levels, rng).tolist()), tuple(pictures.tolist()), one.history)
            for one in populations
        )

    return Profile(
        "f", "simulated", "s", {}, scenario.condition, (64, 64), "draws", sources(scenario.belonging),
        sources(scenario.others), fpr=scenario.fpr, fnr=scenario.fpr, guarantee=scenario.guarantee,
    )  # fmt: skip


def judged_as(profile: Profile, population: Population, scenario: Scenario) -> list[tuple[float, Profile]]:
    """(probability, profile) of how an image of ``population`` is judged, by what its pixels may show."""
    shown = dict(scenario.seen).get(population.history)
    if shown is None:
        return [(1.0, profile)]
    return [(1 - scenario.misread, profile.like(shown)), (scenario.misread, profile)]


def simulate(scenario: Scenario, calibrations: int) -> dict[str, Any]:
    """Rates of wrong answers over many calibrations, against what each of them stated."""
    rng = np.random.default_rng([ord(c) for c in f"{scenario.name} {scenario.n}"])

    @functools.cache
    def sample(population: Population) -> Scores:
        return np.sort(population.draw(rng.standard_normal(SAMPLE), rng))

    yes, no = [], []
    for _ in range(calibrations):
        profile = calibration(scenario, rng)
        rates = []
        for population in scenario.others:
            drawn = sample(population)
            part = 0.0
            for probability, judge in judged_as(profile, population, scenario):
                below = np.searchsorted(drawn, judge.acceptance_threshold)
                fitting = np.searchsorted(drawn, judge.refusal_threshold, "right")
                part += probability * min(below, fitting) / SAMPLE
            rates.append(part)
        yes.append((rates, profile.stated_fpr, profile.fpr_bound))
        above = [1 - np.searchsorted(sample(one), profile.refusal_threshold, "right") / SAMPLE
                 for one in scenario.belonging]  # fmt: skip
        no.append((above, profile.stated_fnr, profile.fnr_bound))
    return {"scenario": scenario.name, "n": scenario.n} | summary("yes", yes) | summary("no", no)


def summary(answer: str, found: list[tuple[list[float], float, float]]) -> dict[str, Any]:
    """Means by source, the worst of them, and how often the bound held for all sources at once."""
    rates = np.array([one for one, _, _ in found])
    kept = sum(max(one) <= bound for one, _, bound in found)
    return {
        f"stated {answer}": found[0][1],
        f"observed {answer}": float(rates.mean(0).max()),
        f"bound {answer}": found[0][2],
        f"kept {answer}": kept / len(found),
        f"interval {answer}": rate_interval(kept, len(found)),
    }


def split(profile: Profile, rng: Random) -> tuple[Profile, Profile]:
    """Two profiles of half of the pictures each, all versions of a picture together."""
    numbers = sorted({picture for source in profile.others for picture in source.pictures})
    first = set(rng.permutation(numbers)[: len(numbers) // 2].tolist())

    def half(wanted: bool) -> Profile:
        def part(sources: tuple[Source, ...]) -> tuple[Source, ...]:
            return tuple(one.where([(picture in first) == wanted for picture in one.pictures]) for one in sources)

        return dataclasses.replace(profile, belonging=part(profile.belonging), others=part(profile.others))

    return half(True), half(False)


def split_rates(decoder: str, splits: int) -> dict[str, Any]:
    """Wrong answers on the half that was not calibrated on, by source the worst, over ``splits`` random splits."""
    profile = shipped_profile(decoder)
    rng = np.random.default_rng(0)
    counts: dict[tuple[str, str], list[int]] = {}
    kept = {"belonging": 0, "non-belonging": 0}
    for _ in range(splits):
        known, unseen = split(profile, rng)
        for answer, sources, bound in (
            ("belonging", unseen.others, known.fpr_bound),
            ("non-belonging", unseen.belonging, known.fnr_bound),
        ):
            shares = []
            for source in sources:
                quality = {"jpeg-75": 75, "jpeg-30": 30}.get(source.history)
                seen = History(quality, 0.0, 500, 500)
                wrong = sum(verdict_from_profile(s, known, history=seen).answer == answer for s in source.scores)
                count = counts.setdefault((answer, source.name), [0, 0])
                count[0], count[1] = count[0] + wrong, count[1] + len(source.scores)
                shares.append(wrong / len(source.scores))
            kept[answer] += max(shares) <= bound
    worst = {answer: max(wrong / n for (one, _), (wrong, n) in counts.items() if one == answer) for answer in kept}
    return {
        "decoder": decoder, "calibrated on": len(known.others[0].lowest), "judged": len(unseen.others[0].lowest),
        "stated yes": known.stated_fpr, "observed yes": worst["belonging"], "bound yes": known.fpr_bound,
        "kept yes": kept["belonging"] / splits,
        "stated no": known.stated_fnr, "observed no": worst["non-belonging"], "bound no": known.fnr_bound,
        "kept no": kept["non-belonging"] / splits,
    }  # fmt: skip


def table(rows: list[dict[str, Any]], first: tuple[str, ...]) -> str:
    heads = (*first, *(f"{one}, wrong {answer}" for answer in ("yes", "no")
                       for one in ("stated", "observed", "95 % bound", "bound kept")))  # fmt: skip
    lines = []
    for row in rows:
        cells = [str(row[name]) for name in first]
        for answer in ("yes", "no"):
            kept = f"{100 * row[f'kept {answer}']:.1f} %"
            if f"interval {answer}" in row:
                low, high = row[f"interval {answer}"]
                kept += f" ({100 * low:.1f} to {100 * high:.1f})"
            cells += [*(shown_rate(row[f"{one} {answer}"]) for one in ("stated", "observed", "bound")), kept]
        lines.append(cells)
    return cells_table(heads, lines)


def report(progress: Callable[..., Any], calibrations: int, splits: int) -> str:
    simulated = [simulate(one, calibrations) for one in progress(SCENARIOS, description="simulating")]
    real = [split_rates(name, splits) for name in progress(DECODERS, description="splitting")]
    return f"""# Are the stated error rates true?

{made_by("simulated scores and those in the shipped profiles")}
{calibrations} simulated calibrations each, {splits} random splits each. Rates are those of the worst source: stated on
average over calibrations, observed as the mean over them, bound with 95 % confidence given one.
"Bound kept": share of calibrations whose true rates keep it for every source at once; with one source and no ties the
bound is exact, so 95 % is what is to be expected there, within the interval of so many calibrations.

{table(simulated, ("scenario", "n"))}

On the shipped decoders' own scores, all versions of a picture on one side. Of so few judged pictures the observed rate
of one split is coarse (a single mistake in 35 is 2.9 %); "bound kept" counts splits whose worst source stays below.

{table(real, ("decoder", "calibrated on", "judged"))}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 calibrations, 5 splits")
    parser.add_argument("--calibrations", type=int, default=1000)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--markdown", type=Path, help="write the report here, as results/rates.md was")
    args = parser.parse_args()
    text = report(track, *((100, 5) if args.quick else (args.calibrations, args.splits)))
    print(text)
    if args.markdown:
        write_text(args.markdown, text)


if __name__ == "__main__":
    main()
