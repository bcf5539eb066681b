"""Which candidate made the picture: one bar of evidence each, and the mark it has to reach."""

from __future__ import annotations

import math

from PIL import Image

from ...profiles.thresholds import shown_rate
from ...verdicts.attribution import Attribution
from .style import COLOURS, FAINT, GRID, INK, MARGIN, SURFACE, WIDTH, ZONES, blank, font, printable, shortened, wrapped

ROW = 96


def attribution_chart(result: Attribution, width: int = WIDTH) -> Image.Image:
    """RGB, ``width`` pixels wide. A bar grows with -log10 of the p-value: the rarer such a score is among pictures the
    candidate did not make. To be attributed the picture's bar must reach its mark, and no other candidate may explain
    it too.
    """
    reason = wrapped(result.reason[:1].upper() + result.reason[1:], 24, width - 3 * MARGIN)
    rate = f"A picture of none of them is attributed to one at a rate of at most {shown_rate(result.fpr)}."
    rates = wrapped(rate, 20, width - 3 * MARGIN)
    header = 104 + 32 * len(reason) + 28 * len(rates) + 12
    picture, draw = blank(width, header + ROW * len(result.candidates) + 66)
    word = result.vae or ("TIE" if result.tied else "NONE")
    colour = COLOURS["belonging" if result.vae else "inconclusive"]
    draw.rectangle((0, 0, 12, header - 24), fill=colour)
    room = width - 3 * MARGIN
    size = next((size for size in range(64, 35, -4) if font(size).getlength(printable(word)) <= room), 36)
    title = shortened(word, size, room)
    draw.text((MARGIN + 12, 48), title, font=font(size), fill=colour, stroke_width=1, stroke_fill=colour, anchor="lm")
    for row, line in enumerate(reason):
        draw.text((MARGIN + 12, 98 + 32 * row), line, font=font(24), fill=INK)
    for row, line in enumerate(rates):
        draw.text((MARGIN + 12, 102 + 32 * len(reason) + 28 * row), line, font=font(20), fill=FAINT)
    left, right = MARGIN + 14, width - MARGIN - 14
    levels = [one.level for one in result.candidates] + [one.verdict.p_value or 1 for one in result.candidates]
    deepest = max(1.0, 1.15 * -math.log10(min(levels)))

    def x(p_value: float) -> float:
        return left + min(1.0, -math.log10(p_value) / deepest) * (right - left)

    candidates = sorted(result.candidates, key=lambda one: one.name)
    for row, candidate in enumerate(candidates):
        top = header + ROW * row
        verdict = candidate.verdict
        shade = COLOURS[verdict.answer]
        draw.rectangle((MARGIN, top, width - MARGIN, top + ROW - 12), fill=SURFACE)
        p_value = 1.0 if verdict.p_value is None else verdict.p_value
        said = f"p = {p_value:.3g}"
        answer = right - font(22).getlength(said) - 14
        draw.text((right, top + 22), said, font=font(22), fill=FAINT, anchor="rm")
        draw.text((answer, top + 22), verdict.answer, font=font(24), fill=shade, anchor="rm")
        name = shortened(candidate.name, 24, answer - font(24).getlength(verdict.answer) - left - 14)
        draw.text((left, top + 22), name, font=font(24), fill=INK, anchor="lm")
        draw.rectangle((x(candidate.level), top + 42, right, top + ROW - 16), fill=ZONES["belonging"])
        draw.rectangle((left, top + 46, max(left + 3, x(p_value)), top + ROW - 20), fill=shade)
        draw.line((x(candidate.level), top + 40, x(candidate.level), top + ROW - 14), fill=INK, width=3)
    base = header + ROW * len(candidates)
    for decade in range(math.floor(deepest) + 1):
        at = left + decade / deepest * (right - left)
        draw.line((at, base - 6, at, base), fill=GRID, width=2)
        draw.text((at, base + 4), f"{10.0**-decade:g}", font=font(20), fill=FAINT, anchor="ma")
    draw.text((left, base + 30), "p-value; the white mark must be reached", font=font(20), fill=FAINT)
    return picture
