"""How the calibration images scored, which score gets which answer, and where this picture stands among them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ...profiles import Profile
from ...verdicts.verdict import Answer
from .style import COLOURS, FAINT, INK, SURFACE, WIDTH, ZONES, blank, font

BINS = 72
LEFT, RIGHT, TOP, AXIS = 16, 16, 56, 44


def score_distribution(profile: Profile, score: float, width: int = WIDTH - 48, height: int = 300) -> Image.Image:
    """Two histograms over one axis, belonging above and other images below; the background is the answer that a score
    gets, a line marks ``score``.
    """
    picture, draw = blank(width, height, SURFACE)
    everything = (*profile.belonging_scores, *profile.non_belonging_scores)
    low, high = min(everything), max(everything)
    span = (high - low) or max(abs(high), 1e-12)
    # A picture far off must not squeeze the others into one column: it is drawn at the edge, and said to be off.
    shown = min(max(score, low - 0.25 * span), high + 0.25 * span)
    low, high = min(low, shown) - 0.03 * span, max(high, shown) + 0.03 * span
    inner, base = width - LEFT - RIGHT, height - AXIS

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * inner

    accepted, refused = decision_bounds(profile)
    edges = [low, min(max(accepted, low), high), max(min(refused, high), low), high]
    if edges[1] > edges[2]:  # the calibration sets overlap: what fits both, or neither, is inconclusive
        edges[1], edges[2] = edges[2], edges[1]
    order: tuple[Answer, ...] = ("belonging", "inconclusive", "non-belonging")
    for answer, start, end in zip(order, edges[:-1], edges[1:], strict=True):
        draw.rectangle((x(start), TOP, x(end), base), fill=ZONES[answer])
    middle = TOP + (base - TOP) / 2
    heaps = (
        ("this decoder's own pictures", COLOURS["belonging"], profile.belonging_scores, middle - 4),
        ("other pictures", COLOURS["non-belonging"], profile.non_belonging_scores, base - 2),
    )
    columns = [histogram(scores, low, high) for _, _, scores, _ in heaps]
    step = inner / BINS
    for (_, colour, _, floor), counts in zip(heaps, columns, strict=True):
        for column, count in enumerate(counts):
            if count:
                top = floor - max(3, count / max(counts) * (middle - TOP - 40))
                draw.rectangle((LEFT + column * step + 1, top, LEFT + (column + 1) * step - 1, floor), fill=colour)
    _mark(
        draw, x(shown), "this picture" if shown == score else f"this picture, off the scale: {score:.3g}", width, base
    )
    for (label, colour, scores, floor), counts in zip(heaps, columns, strict=True):
        # Over its own heap, and over the mark where the two meet.
        text = f"{label} ({len(scores)})"
        half = font(21).getlength(text) / 2 + 8
        centre = LEFT + (sum(column * count for column, count in enumerate(counts)) / sum(counts) + 0.5) * step
        place = (min(max(centre, LEFT + half), width - RIGHT - half), floor - (middle - TOP) + 20)
        left, above, right, below = draw.textbbox(place, text, font=font(21), anchor="mm")
        draw.rectangle((left - 6, above - 6, right + 6, below + 6), fill=SURFACE)
        draw.text(place, text, font=font(21), fill=colour, anchor="mm")
    draw.line((LEFT, base, width - RIGHT, base), fill=FAINT)
    for tick in ticks(low, high):
        draw.line((x(tick), base, x(tick), base + 6), fill=FAINT)
        draw.text((x(tick), base + 10), f"{tick:g}", font=font(18), fill=FAINT, anchor="ma")
    return picture


def _mark(draw: ImageDraw.ImageDraw, at: float, label: str, width: int, base: float) -> None:
    draw.line((at, TOP - 12, at, base), fill=INK, width=3)
    draw.polygon(((at - 9, TOP - 14), (at + 9, TOP - 14), (at, TOP - 2)), fill=INK)
    half = font(23).getlength(label) / 2
    centre = min(max(at, half + 10), width - half - 10)
    draw.text((centre, TOP - 20), label, font=font(23), fill=INK, anchor="mb")


def decision_bounds(profile: Profile) -> tuple[float, float]:
    """The score up to which other images are rare enough, and the score from which belonging ones are."""
    return profile.acceptance_threshold, profile.refusal_threshold


def histogram(scores: Sequence[float], low: float, high: float) -> list[int]:
    counts = [0] * BINS
    for score in scores:
        counts[min(BINS - 1, max(0, int((score - low) / (high - low) * BINS)))] += 1
    return counts


def ticks(low: float, high: float) -> list[float]:
    """Round numbers inside the range, about six of them."""
    raw = (high - low) / 6
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next((factor for factor in (1, 2, 5) if factor * step >= raw), 10)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]
