"""Draw the scores of `attribution.py`'s rows: one strip per inspected decoder and score, a dot per image.

python benchmarks/attribution_plot.py rows.jsonl plot.png
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from latent_tracer.core.reports.pictures.style import CANVAS, COLOURS, FAINT, GRID, INK, font
from latent_tracer.core.storage.atomic import write_picture
from PIL import Image, ImageDraw

# Logarithms of what is a loss or a ratio; each method keeps its own axis.
METHODS = {
    "reconstruction": ("one reconstruction (AEROBLADE, MSE)", math.log),
    "double-reconstruction": ("AEDR's ratio t", math.log),
    "grid-contrast": ("grid contrast (default)", float),
}
WIDTH, STRIP, TOP, LEFT = 1500, 84, 110, 130
COLUMN = (WIDTH - LEFT - 20) // len(METHODS)


def draw(rows: list[dict[str, Any]]) -> Image.Image:
    """Belonging images above the line of a strip, all others below it."""
    decoders = sorted({row["inspected"] for row in rows})
    picture = Image.new("RGB", (WIDTH, TOP + STRIP * len(decoders) + 50), CANVAS)
    canvas = ImageDraw.Draw(picture)
    pictures = len({row["picture"] for row in rows})
    canvas.text((20, 14), f"Scores of {len(rows)} images of {pictures} pictures", font=font(26), fill=INK)
    for name, left, answer in (("belonging", 640, "belonging"), ("all others", 820, "non-belonging")):
        canvas.ellipse((left, 24, left + 12, 36), fill=COLOURS[answer])  # type: ignore[index]
        canvas.text((left + 20, 16), name, font=font(22), fill=INK)
    for column, (method, (title, scale)) in enumerate(METHODS.items()):
        start = LEFT + column * COLUMN
        canvas.text((start + 8, 66), title, font=font(22), fill=INK)
        for line, decoder in enumerate(decoders):
            own = [r for r in rows if r["inspected"] == decoder and method in r["methods"]]
            values = [(scale(r["methods"][method][0]), r["belongs"]) for r in own]
            middle = TOP + line * STRIP + STRIP // 2
            canvas.line((start + 8, middle, start + COLUMN - 24, middle), fill=GRID, width=2)
            if column == 0:
                canvas.text((20, middle - 14), decoder, font=font(22), fill=FAINT)
            low, high = min(v for v, _ in values), max(v for v, _ in values)
            for number, (value, belongs) in enumerate(values):
                x = start + 14 + (value - low) / max(high - low, 1e-9) * (COLUMN - 44)
                y = middle + (-1 if belongs else 1) * (10 + number * 7 % 22)
                colour = COLOURS["belonging" if belongs else "non-belonging"]
                canvas.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
    note = "Each strip has its own axis from the lowest to the highest score; lower means belonging."
    canvas.text((20, picture.height - 38), note, font=font(20), fill=FAINT)
    return picture


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    write_picture(Path(sys.argv[2]), draw([row for row in rows if row["condition"] == "clean"]))


if __name__ == "__main__":
    main()
