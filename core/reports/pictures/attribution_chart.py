"""Which candidate made the picture: the answer in words, then one bar of evidence each and the mark it has to reach."""

from __future__ import annotations

import math

from PIL import Image

from ...profiles.thresholds import shown_rate
from ...verdicts.attribution import Attribution
from ..plain import SHORT_ANSWERS, plain_attribution
from .style import COLOURS, FAINT, GRID, INK, MARGIN, SURFACE, WIDTH, ZONES, blank, font, shortened
from .verdict_card import card_details, card_head, stacked

ROW, NAME = 104, 26


def attribution_chart(result: Attribution, width: int = WIDTH) -> Image.Image:
    """RGB, ``width`` pixels wide. A bar grows with -log10 of the p-value: the rarer such a score is among pictures the
    candidate did not make. To be attributed the picture's bar must reach its mark, and no other candidate may explain
    it too.
    """
    about = {"why": result.reason, "error rate": f"at most {shown_rate(result.fpr)} of pictures of none of them"}
    limits = result.candidates[0].verdict.limits
    return stacked(
        [card_head(plain_attribution(result), width), _bars(result, width), card_details(about, limits, width)]
    )


def _bars(result: Attribution, width: int) -> Image.Image:
    picture, draw = blank(width, ROW * len(result.candidates) + 76)
    left, right = MARGIN + 14, width - MARGIN - 14
    levels = [one.level for one in result.candidates] + [one.verdict.p_value or 1 for one in result.candidates]
    deepest = max(1.0, 1.15 * -math.log10(min(levels)))

    def x(p_value: float) -> float:
        return left + min(1.0, -math.log10(p_value) / deepest) * (right - left)

    candidates = sorted(result.candidates, key=lambda one: one.name)
    for row, candidate in enumerate(candidates):
        top = ROW * row
        verdict = candidate.verdict
        shade = COLOURS[verdict.answer]
        draw.rectangle((MARGIN, top, width - MARGIN, top + ROW - 12), fill=SURFACE)
        p_value = 1.0 if verdict.p_value is None else verdict.p_value
        said = f"p = {p_value:.3g}"
        answer = right - font(20).getlength(said) - 18
        draw.text((right, top + 24), said, font=font(20), fill=FAINT, anchor="rm")
        word = SHORT_ANSWERS[verdict.answer]
        draw.text((answer, top + 24), word, font=font(NAME), fill=shade, anchor="rm")
        name = shortened(candidate.name, NAME, answer - font(NAME).getlength(word) - left - 14)
        draw.text((left, top + 24), name, font=font(NAME), fill=INK, anchor="lm")
        draw.rectangle((x(candidate.level), top + 48, right, top + ROW - 18), fill=ZONES["belonging"])
        draw.rectangle((left, top + 52, max(left + 3, x(p_value)), top + ROW - 22), fill=shade)
        draw.line((x(candidate.level), top + 46, x(candidate.level), top + ROW - 16), fill=INK, width=3)
    base = ROW * len(candidates)
    for decade in range(math.floor(deepest) + 1):
        at = left + decade / deepest * (right - left)
        draw.line((at, base - 6, at, base), fill=GRID, width=2)
        draw.text((at, base + 2), f"{10.0**-decade:g}", font=font(20), fill=FAINT, anchor="ma")
    caption = shortened("longer bar: rarer among other pictures; it must reach the white mark", 22, right - left)
    draw.text((left, base + 32), caption, font=font(22), fill=FAINT)
    return picture
