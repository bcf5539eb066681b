"""The verdict card: one large word, the figures behind it, and its limits."""

from __future__ import annotations

import math

from PIL import Image

from ...profiles import Profile
from ...profiles.thresholds import shown_rate
from ...verdicts.verdict import Verdict
from .style import COLOURS, FAINT, GRID, INK, MARGIN, WIDTH, blank, font, shortened, wrapped

FACTS = 460


def verdict_card(
    verdict: Verdict, model: str, profile: Profile | None = None, facts: dict[str, str] | None = None
) -> Image.Image:
    """1200 pixels wide. ``model`` is the inspected one; ``facts`` are shown after those of the verdict."""
    left = WIDTH - FACTS - 5 * MARGIN
    said = verdict.sentence.removeprefix("Inconclusive: ")
    sentence = wrapped(said[:1].upper() + said[1:], 24, left)
    limits = wrapped(f"Limits: {verdict.limits}", 19, WIDTH - 3 * MARGIN)
    table = card_facts(verdict, model, profile) | (facts or {})
    body = max(104 + 32 * len(sentence), 24 + 34 * len(table))
    picture, draw = blank(WIDTH, body + 26 * len(limits) + 32)
    colour = COLOURS[verdict.answer]
    draw.rectangle((0, 0, 12, picture.height), fill=colour)
    size = 68 if verdict.answer != "non-belonging" else 62
    draw.text(
        (MARGIN + 12, 12), verdict.answer.upper(), font=font(size), fill=colour, stroke_width=1, stroke_fill=colour
    )
    for row, line in enumerate(sentence):
        draw.text((MARGIN + 12, 100 + 32 * row), line, font=font(24), fill=INK)
    edge = WIDTH - MARGIN - FACTS
    draw.line((edge - MARGIN, 22, edge - MARGIN, body - 4), fill=GRID, width=2)
    for row, (name, value) in enumerate(table.items()):
        draw.text((edge, 20 + 34 * row), name, font=font(21), fill=FAINT)
        room = FACTS - font(21).getlength(name) - 16
        draw.text((WIDTH - MARGIN, 20 + 34 * row), shortened(value, 21, room), font=font(21), fill=INK, anchor="ra")
    for row, line in enumerate(limits):
        draw.text((MARGIN + 12, body + 16 + 26 * row), line, font=font(19), fill=FAINT)
    return picture


def _rate(rate: float | None, bound: float | None) -> str:
    return shown_rate(rate) if bound is None else f"{shown_rate(rate)}, at most {shown_rate(bound)}"


def card_facts(verdict: Verdict, model: str, profile: Profile | None) -> dict[str, str]:
    """Name and value of what an answer must not be read without."""
    facts = {
        "inspected model": model,
        "p-value": "none" if verdict.p_value is None else f"{verdict.p_value:.3g}",
    }
    # The rate that matters for the answer.
    if verdict.answer == "non-belonging":
        facts |= {"p-value": "none" if verdict.belonging_p_value is None else f"{verdict.belonging_p_value:.3g}"}
        facts["false-negative rate"] = _rate(verdict.fnr, verdict.fnr_bound)
    else:
        facts["false-positive rate"] = _rate(verdict.fpr, verdict.fpr_bound)
    if verdict.calibration:
        facts["whose calibration"] = verdict.calibration
    facts["condition"] = verdict.condition
    score = f"{verdict.score:.4g}" if math.isfinite(verdict.score) else "none"
    if profile is not None:
        facts |= {"score": f"{profile.score} {score}", "calibrated on": profile.calibrated_on}
    else:
        name = "loss" if verdict.stage == "inversion" else "score"
        facts |= {name: score, "calibration": "none" if verdict.fpr is None else "given"}
    return facts
