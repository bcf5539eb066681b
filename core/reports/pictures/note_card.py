"""A result that is words alone, as a picture: a node's text is drawn by the frontend on no node but core's preview."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ...verdicts.verdict import Answer
from .style import COLOURS, FAINT, INK, MARGIN, SURFACE, WIDTH, blank, font, shortened, wrapped

TITLE, TEXT, MOST_LINES = 40, 26, 14


def note_card(
    title: str, lines: Sequence[str], counts: Sequence[tuple[str, int, Answer | None]] = (), width: int = WIDTH
) -> Image.Image:
    """RGB, ``width`` pixels wide: a title, a bar for each of ``counts`` (word, number, the answer whose colour it has),
    and ``lines``, of which those beyond the fourteenth are only counted."""
    room = width - 2 * MARGIN
    titles = wrapped(title, TITLE, room)
    said = [part for line in lines for part in (wrapped(line, TEXT, room) or [""])]
    if len(said) > MOST_LINES:
        said = [*said[: MOST_LINES - 1], f"... {len(said) - MOST_LINES + 1} more lines in the report output"]
    row, bar = round(1.35 * TEXT), 44
    above = 20 + 48 * len(titles) + 8
    picture, draw = blank(width, above + bar * len(counts) + (10 if counts else 0) + row * len(said) + 16)
    for number, line in enumerate(titles):
        draw.text((MARGIN, 20 + 48 * number), line, font=font(TITLE), fill=INK)
    words = max((font(TEXT).getlength(word) for word, _, _ in counts), default=0) + 16
    most = max((count for _, count, _ in counts), default=0)
    for number, (word, count, answer) in enumerate(counts):
        top, colour = above + bar * number, FAINT if answer is None else COLOURS[answer]
        draw.text((MARGIN, top + bar / 2), shortened(word, TEXT, room / 2), font=font(TEXT), fill=INK, anchor="lm")
        start, end = MARGIN + words, width - MARGIN - 90
        draw.rectangle((start, top + 8, end, top + bar - 8), fill=SURFACE)
        if count:
            draw.rectangle((start, top + 8, start + max(4, (end - start) * count / most), top + bar - 8), fill=colour)
        draw.text((width - MARGIN, top + bar / 2), str(count), font=font(TEXT), fill=INK, anchor="rm")
    top = above + bar * len(counts) + (10 if counts else 0)
    for number, line in enumerate(said):
        draw.text((MARGIN, top + row * number), line, font=font(TEXT), fill=FAINT)
    return picture
