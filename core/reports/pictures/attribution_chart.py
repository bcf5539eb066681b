"""Which candidate made the picture: one bar of evidence each, and the mark it has to reach."""

from __future__ import annotations

import math

from PIL import Image

from ...profiles.thresholds import shown_rate
from ...verdicts.attribution import Attribution
from .style import COLOURS, FAINT, GRID, INK, MARGIN, SURFACE, WIDTH, ZONES, blank, font, shortened, wrapped

ROW, NAME, ANSWER = 84, 270, 250


def attribution_chart(result: Attribution) -> Image.Image:
    """1200 pixels wide. A bar grows with -log10 of the p-value: the rarer such a score is among pictures the candidate
    did not make. To be attributed the picture's bar must reach its mark, and no other candidate may explain it too.
    """
    reason = wrapped(result.reason[:1].upper() + result.reason[1:], 24, WIDTH - 3 * MARGIN)
    rate = f"A picture of none of them is attributed to one at a rate of at most {shown_rate(result.fpr)}."
    header = 104 + 32 * len(reason) + 40
    picture, draw = blank(WIDTH, header + ROW * len(result.candidates) + 66)
    word = result.vae or ("TIE" if result.tied else "NONE")
    colour = COLOURS["belonging" if result.vae else "inconclusive"]
    draw.rectangle((0, 0, 12, header - 24), fill=colour)
    title = shortened(word, 64, WIDTH - 3 * MARGIN)
    draw.text((MARGIN + 12, 12), title, font=font(64), fill=colour, stroke_width=1, stroke_fill=colour)
    for row, line in enumerate(reason):
        draw.text((MARGIN + 12, 98 + 32 * row), line, font=font(24), fill=INK)
    draw.text((MARGIN + 12, 100 + 32 * len(reason)), rate, font=font(20), fill=FAINT)
    left, right = MARGIN + NAME, WIDTH - MARGIN - ANSWER
    levels = [one.level for one in result.candidates] + [one.verdict.p_value or 1 for one in result.candidates]
    deepest = max(1.0, 1.15 * -math.log10(min(levels)))

    def x(p_value: float) -> float:
        return left + min(1.0, -math.log10(p_value) / deepest) * (right - left)

    candidates = sorted(result.candidates, key=lambda one: one.name)
    for row, candidate in enumerate(candidates):
        top = header + ROW * row
        verdict = candidate.verdict
        shade = COLOURS[verdict.answer]
        draw.rectangle((MARGIN, top, WIDTH - MARGIN, top + ROW - 12), fill=SURFACE)
        draw.rectangle((x(candidate.level), top, right, top + ROW - 12), fill=ZONES["belonging"])
        draw.text(
            (MARGIN + 14, top + 36), shortened(candidate.name, 24, NAME - 28), font=font(24), fill=INK, anchor="lm"
        )
        p_value = 1.0 if verdict.p_value is None else verdict.p_value
        draw.rectangle((left, top + 16, max(left + 3, x(p_value)), top + ROW - 28), fill=shade)
        draw.line((x(candidate.level), top, x(candidate.level), top + ROW - 12), fill=INK, width=3)
        draw.text((right + 14, top + 20), verdict.answer, font=font(24), fill=shade, anchor="lm")
        draw.text((right + 14, top + 52), f"p = {p_value:.3g}", font=font(20), fill=FAINT, anchor="lm")
    base = header + ROW * len(candidates)
    for decade in range(math.floor(deepest) + 1):
        at = left + decade / deepest * (right - left)
        draw.line((at, base - 6, at, base), fill=GRID, width=2)
        draw.text((at, base + 4), f"{10.0**-decade:g}", font=font(18), fill=FAINT, anchor="ma")
    draw.text((left, base + 30), "p-value; the white mark must be reached", font=font(20), fill=FAINT)
    return picture
