"""The verdict card: one large word, the figures behind it, and its limits."""

from __future__ import annotations

import math

from PIL import Image

from ...profiles import Profile
from ...profiles.thresholds import shown_rate
from ...verdicts.verdict import Verdict
from .style import COLOURS, FAINT, GRID, INK, MARGIN, NARROW, WIDTH, blank, font, shortened, wrapped

FACTS, LINE = 460, 34
# A fact has room for so many lines.
MOST_LINES = 3


def verdict_card(
    verdict: Verdict,
    model: str,
    profile: Profile | None = None,
    facts: dict[str, str] | None = None,
    width: int = WIDTH,
) -> Image.Image:
    """RGB, ``width`` pixels wide. ``model`` is the inspected one; ``facts`` are shown after those of the verdict."""
    beside = width >= NARROW
    left = width - FACTS - 5 * MARGIN if beside else width - 3 * MARGIN
    said = verdict.sentence.removeprefix("Inconclusive: ")
    sentence = wrapped(said[:1].upper() + said[1:], 24, left)
    limits = wrapped(f"Limits: {verdict.limits}", 19, width - 3 * MARGIN)
    edge = width - MARGIN - FACTS if beside else MARGIN + 12
    table = [
        (name, _value_lines(value, width - MARGIN - edge - font(21).getlength(name) - 16))
        for name, value in (card_facts(verdict, model, profile) | (facts or {})).items()
    ]
    said_to, first = 104 + 32 * len(sentence), 20
    if not beside:
        first += said_to
    body = max(said_to, first + 4 + LINE * sum(len(lines) for _, lines in table))
    picture, draw = blank(width, body + 26 * len(limits) + 32)
    colour = COLOURS[verdict.answer]
    draw.rectangle((0, 0, 12, picture.height), fill=colour)
    size = 68 if verdict.answer != "non-belonging" else 62
    draw.text(
        (MARGIN + 12, 12), verdict.answer.upper(), font=font(size), fill=colour, stroke_width=1, stroke_fill=colour
    )
    for row, line in enumerate(sentence):
        draw.text((MARGIN + 12, 100 + 32 * row), line, font=font(24), fill=INK)
    divider = (edge - MARGIN, 22, edge - MARGIN, body - 4) if beside else (edge, first - 8, width - MARGIN, first - 8)
    draw.line(divider, fill=GRID, width=2)
    top = first
    for name, lines in table:
        draw.text((edge, top), name, font=font(21), fill=FAINT)
        for line in lines:
            draw.text((width - MARGIN, top), line, font=font(21), fill=INK, anchor="ra")
            top += LINE
    for row, line in enumerate(limits):
        draw.text((MARGIN + 12, body + 16 + 26 * row), line, font=font(19), fill=FAINT)
    return picture


def _value_lines(value: str, room: float) -> list[str]:
    """At least one; what exceeds the last is shortened."""
    lines = wrapped(value, 21, room) or [""]
    return [*lines[: MOST_LINES - 1], shortened(" ".join(lines[MOST_LINES - 1 :]), 21, room)][: len(lines)]


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
