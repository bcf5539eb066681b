"""What all pictures share: a dark canvas, Okabe and Ito's colours (they stay apart for colour-blind readers), text."""

from __future__ import annotations

import re

from PIL import Image, ImageDraw, ImageFont

from ...storage.safe_text import clean_text
from ...verdicts.verdict import Answer

MARGIN = 24
#: Nodes and help pages show a card 300 to 400 pixels wide: words of 30 pixels have 11 to 15 there.
WIDTH = 800
#: Below this width, in pixels, four tiles stand two by two.
NARROW = 700
CANVAS, SURFACE, INK, FAINT, GRID = "#14171c", "#1e232b", "#f2f4f7", "#9aa4b2", "#343b47"
COLOURS: dict[Answer, str] = {"belonging": "#56b4e9", "non-belonging": "#e69f00", "inconclusive": "#c9c9c9"}
# The same, faint enough to lie under ink: where a score would get each answer.
ZONES: dict[Answer, str] = {"belonging": "#1d3442", "non-belonging": "#3d3218", "inconclusive": "#2a2e36"}
CURVE, FLOOR_LINE = "#f0e442", "#009e73"
# What Pillow's built-in font lacks.
_SUBSTITUTES = str.maketrans(
    {
        "×": "x",
        "…": "...",
        "–": "-",
        "—": "-",
        "\u2264": "<=",
        "\u2265": ">=",
        "’": "'",
        "\u2011": "-",
        "²": "^2",
        "·": "-",
    }
)


Face = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> Face:
    return ImageFont.load_default(size)


def printable(text: str, limit: int = 1000) -> str:
    """``text`` as the built-in font can show it, with whatever is invisible written out."""
    return clean_text(text.translate(_SUBSTITUTES), limit)


def wrapped(text: str, size: int, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` pixels at font ``size``; a word longer than that is broken.

    A per cent sign stays with its number, and a number with what it is the value of.
    """
    face = font(size)
    lines: list[str] = []
    line = ""
    for word in re.findall(r"\S+(?: %\S*| = \S+)*", " ".join(printable(text).split())):
        while face.getlength(word) > width:
            fitting = max(n for n in range(1, len(word) + 1) if n == 1 or face.getlength(word[:n]) <= width)
            lines += [line] if line else []
            lines, line, word = [*lines, word[:fitting]], "", word[fitting:]
        longer = f"{line} {word}" if line else word
        if line and face.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def shortened(text: str, size: int, width: float) -> str:
    """``text`` on one line of at most ``width`` pixels; the middle gives way, both ends of a file name matter."""
    face, text = font(size), printable(text)
    if face.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and face.getlength(text[: kept - kept // 2] + "..." + text[len(text) - kept // 2 :]) > width:
        kept -= 1
    return text[: kept - kept // 2] + "..." + text[len(text) - kept // 2 :]


def blank(width: int, height: int, colour: str = CANVAS) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), colour)
    return picture, ImageDraw.Draw(picture)


def fit(picture: Image.Image, side: int) -> Image.Image:
    """``picture`` inside a ``side``² tile; small ones are enlarged without smoothing, so that pixels stay visible."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (side, side), SURFACE)
    tile.paste(picture.resize(size, method), ((side - size[0]) // 2, (side - size[1]) // 2))
    return tile
