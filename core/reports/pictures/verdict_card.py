"""The verdict card: a headline with a sign, how often it is wrong, what to do next; figures and limits small below."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from ...profiles import Profile
from ...profiles.thresholds import shown_rate
from ...storage.safe_text import clean_text
from ...verdicts.verdict import Answer, Verdict
from ..plain import PlainAnswer, plain_verdict
from .style import CANVAS, COLOURS, FAINT, GRID, INK, MARGIN, WIDTH, blank, font, shortened, wrapped

HEADLINE, TEXT, SMALL = 56, 30, 20
RADIUS = 32
# What a sentence and a fact may take at most.
MOST_LINES, MOST_LETTERS = 3, 160


def verdict_card(
    verdict: Verdict,
    model: str,
    profile: Profile | None = None,
    facts: dict[str, str] | None = None,
    width: int = WIDTH,
) -> Image.Image:
    """RGB, ``width`` pixels wide. ``model`` is the inspected one; ``facts`` are shown after those of the verdict."""
    return stacked(
        [
            card_head(plain_verdict(verdict, model), width),
            card_details(card_facts(verdict, model, profile) | (facts or {}), verdict.limits, width),
        ]
    )


def card_head(plain: PlainAnswer, width: int = WIDTH, further: str = "") -> Image.Image:
    """What is understood in three seconds. The sign tells the answers apart without their colours; a ``further``
    sentence stands below the certainty."""
    left, colour = MARGIN + 2 * RADIUS + 20, COLOURS[plain.answer]
    room = width - left - MARGIN
    size, title = _headline(plain.headline, room)
    body = width - 2 * MARGIN
    lines = [(line, INK) for line in _limited(plain.certainty, TEXT, body, 5)]
    lines += [(line, INK) for line in _limited(further, TEXT, body, MOST_LINES)]
    lines += [(line, FAINT) for line in _limited(f"Next: {plain.advice}", TEXT, body, MOST_LINES)]
    step, row = round(1.12 * size), round(1.3 * TEXT)
    above = 24 + max(2 * RADIUS, step * len(title)) + 14
    picture, draw = blank(width, above + row * len(lines) + 12)
    draw.rectangle((0, 0, width, 8), fill=colour)
    _sign(draw, plain.answer, (MARGIN + RADIUS, 24 + max(2 * RADIUS, step * len(title)) // 2))
    top = 24 + (max(2 * RADIUS, step * len(title)) - step * len(title)) / 2
    for number, line in enumerate(title):
        place = (left, top + step * (number + 0.5))
        draw.text(place, line, font=font(size), fill=colour, stroke_width=1, stroke_fill=colour, anchor="lm")
    for number, (line, ink) in enumerate(lines):
        draw.text((MARGIN, above + row * number), line, font=font(TEXT), fill=ink)
    return picture


def card_details(facts: dict[str, str], limits: str, width: int = WIDTH) -> Image.Image:
    """Names with their values, then the limits, small: for who wants to know."""
    step, room = round(1.35 * SMALL), width - 2 * MARGIN
    said = "; ".join(f"{name}: {clean_text(value, MOST_LETTERS)}" for name, value in facts.items() if value)
    lines = [(line, INK) for line in wrapped(said, SMALL, room)]
    lines += [(line, FAINT) for line in wrapped(f"Limits: {limits}", SMALL, room)]
    picture, draw = blank(width, 18 + step * len(lines) + 12)
    draw.line((MARGIN, 6, width - MARGIN, 6), fill=GRID, width=2)
    for number, (line, ink) in enumerate(lines):
        draw.text((MARGIN, 18 + step * number), line, font=font(SMALL), fill=ink)
    return picture


def stacked(parts: list[Image.Image]) -> Image.Image:
    """Pictures of one width, one below the other."""
    picture, _ = blank(parts[0].width, sum(part.height for part in parts))
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    return picture


def _headline(text: str, room: float) -> tuple[int, list[str]]:
    """Font size and one or two lines; a long file name gives way in its middle, not the words around it."""
    for size in range(HEADLINE, 35, -4):
        lines = wrapped(text, size, room)
        if len(lines) == 1 or (len(lines) == 2 and size <= 44 and all(len(line) > 4 for line in lines)):
            return size, lines
    words = text.split(" ")
    longest = max(range(len(words)), key=lambda number: len(words[number]))
    for kept in range(len(words[longest]), 8, -1):
        name = words[longest]
        words_now = [*words[:longest], name[: kept - kept // 2] + "..." + name[len(name) - kept // 2 :]]
        lines = wrapped(" ".join([*words_now, *words[longest + 1 :]]), 36, room)
        if len(lines) <= 2:
            return 36, lines
    return 36, _limited(text, 36, room, 2)


def _limited(text: str, size: int, room: float, most: int) -> list[str]:
    """Wrapped; what exceeds the last of ``most`` lines is shortened."""
    lines = wrapped(text, size, room)
    return [*lines[: most - 1], shortened(" ".join(lines[most - 1 :]), size, room)][: len(lines)]


def _sign(draw: ImageDraw.ImageDraw, answer: Answer, centre: tuple[float, float]) -> None:
    """A disc with a tick, a ring with a cross, or a ring with a question mark."""
    x, y = centre
    colour, canvas = COLOURS[answer], CANVAS
    around = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
    if answer == "belonging":
        draw.ellipse(around, fill=colour)
        draw.line(((x - 15, y + 1), (x - 4, y + 13), (x + 16, y - 12)), fill=canvas, width=8, joint="curve")
        return
    draw.ellipse(around, outline=colour, width=6)
    if answer == "non-belonging":
        draw.line((x - 12, y - 12, x + 12, y + 12), fill=colour, width=7)
        draw.line((x - 12, y + 12, x + 12, y - 12), fill=colour, width=7)
    else:
        draw.text((x, y), "?", font=font(42), fill=colour, stroke_width=1, stroke_fill=colour, anchor="mm")


def _rate(rate: float | None, bound: float | None) -> str:
    return shown_rate(rate) if bound is None else f"{shown_rate(rate)}, at most {shown_rate(bound)}"


def card_facts(verdict: Verdict, model: str, profile: Profile | None) -> dict[str, str]:
    """Name and value of what an answer must not be read without."""
    facts = {"answer": verdict.answer, "model": model}
    # The rate that matters for the answer.
    if verdict.answer == "non-belonging":
        p_value, rate = verdict.belonging_p_value, ("false-negative rate", _rate(verdict.fnr, verdict.fnr_bound))
    else:
        p_value, rate = verdict.p_value, ("false-positive rate", _rate(verdict.fpr, verdict.fpr_bound))
    if p_value is not None:
        facts["p-value"] = f"{p_value:.3g}"
    if verdict.fpr is not None:
        facts |= dict([rate])
    if math.isfinite(verdict.score):
        value = f"{verdict.score:.4g}"
        if profile is not None:
            facts["score"] = f"{profile.score} {value}"
        else:
            facts["loss" if verdict.stage == "inversion" else "score"] = value
    facts["condition"] = verdict.condition
    if verdict.calibration:
        facts["whose calibration"] = verdict.calibration
    if profile is not None:
        facts["calibrated on"] = profile.calibrated_on
    return facts
