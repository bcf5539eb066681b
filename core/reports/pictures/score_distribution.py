"""How the calibration images scored, which score gets which answer, and where this picture stands among them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ...profiles import Profile
from ...verdicts.verdict import Answer
from ..plain import SHORT_ANSWERS
from .style import COLOURS, FAINT, INK, SURFACE, WIDTH, ZONES, Face, blank, font, shortened

BINS = 72
LEFT, RIGHT = 16, 16


def score_distribution(
    profile: Profile,
    score: float,
    width: int = WIDTH - 48,
    height: int = 250,
    owner: str = "this VAE",
    is_withheld: bool = False,
) -> Image.Image:
    """Two histograms over one axis, the pictures that ``owner`` made above and others below; the background is the
    answer that a score gets, a line marks ``score``. Of a picture whose answer ``is_withheld``, whatever its score,
    no background says yes or no.
    """
    picture, draw = blank(width, height, SURFACE)
    size = max(20, round(width / 29))
    face = font(size)
    roof, floor_strip = round(1.75 * size) + 10, round(1.5 * size)
    everything = (*profile.belonging_scores, *profile.non_belonging_scores)
    low, high = min(everything), max(everything)
    span = (high - low) or max(abs(high), 1e-12)
    # A picture far off must not squeeze the others into one column: it is drawn at the edge, and said to be off.
    shown = min(max(score, low - 0.25 * span), high + 0.25 * span)
    low, high = min(low, shown) - 0.03 * span, max(high, shown) + 0.03 * span
    inner, base = width - LEFT - RIGHT, height - floor_strip

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * inner

    accepted, refused = decision_bounds(profile)
    edges = [low, min(max(accepted, low), high), max(min(refused, high), low), high]
    if edges[1] > edges[2]:  # the calibration sets overlap: what fits both, or neither, is inconclusive
        edges[1], edges[2] = edges[2], edges[1]
    order: tuple[Answer, ...] = ("belonging", "inconclusive", "non-belonging")
    for answer, start, end in zip(order, edges[:-1], edges[1:], strict=True):
        draw.rectangle((x(start), roof, x(end), base), fill=ZONES["inconclusive" if is_withheld else answer])
    half = (base - roof) / 2
    heaps = (
        (_made_by(owner, len(profile.belonging_scores)), COLOURS["belonging"], profile.belonging_scores, roof + half),
        (f"other pictures ({len(profile.non_belonging_scores)})", COLOURS["non-belonging"],
         profile.non_belonging_scores, base - 2),
    )  # fmt: skip
    columns = [histogram(scores, low, high) for _, _, scores, _ in heaps]
    step = inner / BINS
    for (_, colour, _, floor), counts in zip(heaps, columns, strict=True):
        for column, count in enumerate(counts):
            if count:
                top = floor - max(3, count / max(counts) * max(8, half - 1.3 * size - 6))
                draw.rectangle((LEFT + column * step + 1, top, LEFT + (column + 1) * step - 1, floor), fill=colour)
    said = "this picture" if shown == score else f"this picture, off the scale: {score:.3g}"
    taken = _mark(draw, x(shown), said, width, base, roof, face)
    for (text, colour, _, floor), counts in zip(heaps, columns, strict=True):
        # Over its own heap, and over the mark where the two meet.
        text = shortened(text, size, inner - 24)
        reach = face.getlength(text) / 2 + 8
        centre = LEFT + (sum(column * count for column, count in enumerate(counts)) / sum(counts) + 0.5) * step
        place = (min(max(centre, LEFT + reach), width - RIGHT - reach), floor - half + 0.65 * size + 2)
        left, above, right, below = draw.textbbox(place, text, font=face, anchor="mm")
        draw.rectangle((left - 6, above - 4, right + 6, below + 4), fill=SURFACE)
        draw.text(place, text, font=face, fill=colour, anchor="mm")
    zones: tuple[tuple[Answer, float, float, bool], ...] = (
        ("belonging", x(edges[0]), x(edges[1]), True),
        ("non-belonging", x(edges[2]), x(edges[3]), False),
    )
    for answer, start, end, is_left in zones:
        # In the outer corner of its zone, or the inner one where the mark's label stands.
        word, places = SHORT_ANSWERS[answer], ((start + 4, "lt"), (end - 4, "rt"))
        for at, anchor in places if is_left else places[::-1]:
            left, _, right, _ = draw.textbbox((at, 10), word, font=face, anchor=anchor)
            if not is_withheld and right - left < end - start and (right + 8 < taken[0] or left - 8 > taken[1]):
                draw.text((at, 10), word, font=face, fill=COLOURS[answer], anchor=anchor)
                break
    draw.line((LEFT, base, width - RIGHT, base), fill=FAINT)
    for tick in ticks(low, high):
        draw.line((x(tick), base, x(tick), base + 6), fill=FAINT)
        draw.text((x(tick), base + 9), f"{tick:g}", font=font(max(16, size - 6)), fill=FAINT, anchor="ma")
    return picture


def _made_by(owner: str, count: int) -> str:
    return f"made by {owner} ({count})"


def _mark(
    draw: ImageDraw.ImageDraw, at: float, label: str, width: int, base: float, roof: float, face: Face
) -> tuple[float, float]:
    """The line at the picture's score with its label; from where to where the label reaches."""
    draw.line((at, roof - 12, at, base), fill=INK, width=3)
    draw.polygon(((at - 10, roof - 14), (at + 10, roof - 14), (at, roof - 1)), fill=INK)
    half = face.getlength(label) / 2
    centre = min(max(at, half + 10), width - half - 10)
    draw.text((centre, roof - 18), label, font=face, fill=INK, anchor="mb")
    return centre - half, centre + half


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
