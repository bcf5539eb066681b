"""The loss of every step of an inversion."""

from __future__ import annotations

import math

from PIL import Image

from ...images.quantiser import ROUNDING_FLOOR
from ...verdicts.verdict import Verdict
from .style import CURVE, FAINT, FLOOR_LINE, GRID, INK, SURFACE, blank, font


def loss_curve(history: tuple[float, ...], verdict: Verdict, side: int = 270) -> Image.Image:
    """On a logarithmic scale, with the rounding floor and, where the score is a loss, the threshold."""
    tile, draw = blank(side, side, SURFACE)
    left, right, top, bottom = 56, side - 12, 16, side - 36
    values = [max(loss, 1e-9) for loss in history if math.isfinite(loss)]
    threshold = verdict.threshold if verdict.score in history else None
    shown = [*values, ROUNDING_FLOOR] + ([threshold] if threshold else [])
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    high = max(high, low + 1)

    def y(loss: float) -> float:
        return bottom - (math.log10(loss) - low) / (high - low) * (bottom - top)

    for decade in range(low, high + 1):
        draw.line((left, y(10.0**decade), right, y(10.0**decade)), fill=GRID)
        draw.text((left - 8, y(10.0**decade)), f"1e{decade}", font=font(17), fill=FAINT, anchor="rm")
    for level, label, colour in ((ROUNDING_FLOOR, "8-bit floor", FLOOR_LINE), (threshold, "threshold", INK)):
        if level:
            draw.line((left, y(level), right, y(level)), fill=colour, width=2)
            draw.text((left + 6, y(level) - 4), label, font=font(18), fill=colour, anchor="lb")
    step = (right - left) / max(1, len(values) - 1)
    points = [(left + i * step, y(loss)) for i, loss in enumerate(values)]
    if len(points) > 1:
        draw.line(points, fill=CURVE, width=3, joint="curve")
    elif points:
        draw.ellipse((points[0][0] - 4, points[0][1] - 4, points[0][0] + 4, points[0][1] + 4), fill=CURVE)
    draw.text(((left + right) / 2, side - 8), f"{len(history)} evaluations", font=font(17), fill=FAINT, anchor="mb")
    return tile
