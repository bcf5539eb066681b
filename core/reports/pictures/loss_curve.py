"""The loss of every step of an inversion."""

from __future__ import annotations

import itertools
import math

from PIL import Image

from ...images.quantiser import ROUNDING_FLOOR
from ...verdicts.verdict import Verdict
from .style import CURVE, FAINT, FLOOR_LINE, GRID, INK, SURFACE, blank, font


def loss_curve(history: tuple[float, ...], verdict: Verdict, side: int = 270, is_eight_bit: bool = True) -> Image.Image:
    """On a logarithmic scale, with the rounding floor of a picture that ``is_eight_bit`` and, where the score is a
    loss, the threshold."""
    tile, draw = blank(side, side, SURFACE)
    face = font(20 if side >= 240 else 16)
    left, right, top, bottom = 60, side - 12, 16, side - 38
    values = [max(loss, 1e-9) for loss in history if math.isfinite(loss)]
    threshold = verdict.threshold if verdict.score in history else None
    rounding_floor = ROUNDING_FLOOR if is_eight_bit else None
    levels = ((rounding_floor, "8-bit floor", FLOOR_LINE), (threshold, "threshold", INK))
    shown = [*values, *(level for level, _, _ in levels if level)] or [1.0]
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    high = max(high, low + 1)

    def y(loss: float) -> float:
        return bottom - (math.log10(loss) - low) / (high - low) * (bottom - top)

    every = math.ceil(24 * (high - low) / (bottom - top))  # so that no number touches the next
    for decade in range(low, high + 1):
        draw.line((left, y(10.0**decade), right, y(10.0**decade)), fill=GRID)
        if (high - decade) % every == 0:
            draw.text((left - 8, y(10.0**decade)), f"1e{decade}", font=face, fill=FAINT, anchor="rm")
    step = (right - left) / max(1, len(values) - 1)
    points = [(left + i * step, y(loss)) for i, loss in enumerate(values)]
    curve = _between(points)
    cost = f"{len(history)} evaluations"
    below = (min((left + right) / 2, side - 8 - face.getlength(cost) / 2), side - 6)
    draw.text(below, cost, font=face, fill=FAINT, anchor="mb")
    words = [draw.textbbox(below, cost, font=face, anchor="mb")]
    for level, label, colour in levels:
        if level:
            draw.line((left, y(level), right, y(level)), fill=colour, width=2)
            places = [
                draw.textbbox((x, y(level) + gap), label, font=face, anchor=anchor)
                for gap, vertical in ((-5, "b"), (5, "t"))
                for x, anchor in ((left + 6, f"l{vertical}"), (right - 4, f"r{vertical}"))
            ]
            place = min(places, key=lambda box: (_meets(box, words), sum(_is_in(box, point) for point in curve)))
            draw.text(place[:2], label, font=face, fill=colour, anchor="lt")
            words.append(place)
    if len(points) > 1:
        draw.line(points, fill=CURVE, width=3, joint="curve")
    elif points:
        draw.ellipse((points[0][0] - 4, points[0][1] - 4, points[0][0] + 4, points[0][1] + 4), fill=CURVE)
    return tile


def _between(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a curve, close enough together that none passes a word unseen."""
    parts = max(1, 1000 // max(1, len(points)))
    return points + [
        (a + (c - a) * part / parts, b + (d - b) * part / parts)
        for (a, b), (c, d) in itertools.pairwise(points)
        for part in range(1, parts)
    ]


def _meets(box: tuple[float, ...], others: list[tuple[float, float, float, float]]) -> bool:
    return any(box[0] < c and a < box[2] and box[1] < d and b < box[3] for a, b, c, d in others)


def _is_in(box: tuple[float, ...], point: tuple[float, float]) -> bool:
    left, top, right, bottom = box
    return left - 3 <= point[0] <= right + 3 and top - 3 <= point[1] <= bottom + 3
