"""Draw how the evidence of family_score.py grows with pixels: own pictures and others, from 128² to whole pictures.

python benchmarks/family_plot.py ROWS family-growth.png
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from common import RESULTS, Row, read_rows
from family_evidence import is_own, is_whole, of_contrast, usable
from family_score import OF_PROXY, SIDES, WHOLE
from family_tables import contrasts_of
from latent_tracer.core.reports.pictures.style import CANVAS, FAINT, GRID, INK, font
from latent_tracer.core.storage.atomic import write_picture
from PIL import Image, ImageDraw

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, GAP = 1500, 720, 90, 30, 110, 90, 90
OWN, OTHERS = "#56b4e9", "#e69f00"
ENDS, LOWEST, HIGHEST = (7.0, 11.0), -24.0, 6.0  # log2 of the side; evidence
LEAST = 5  # pictures behind a median


def draw(rows: list[Row]) -> Image.Image:
    """A panel for each proxy: medians with quartiles by side, a ring for each whole picture."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), CANVAS)
    proxies = [proxy for proxy in OF_PROXY if all(map(len, contrasts_of(rows, proxy, SIDES[0])))]
    wide = (WIDTH - LEFT - RIGHT - GAP * (len(proxies) - 1)) / len(proxies)
    for number, proxy in enumerate(proxies):
        panel(ImageDraw.Draw(picture, "RGBA"), rows, proxy, LEFT + number * (wide + GAP), wide)
    return picture


def panel(canvas: ImageDraw.ImageDraw, rows: list[Row], proxy: str, left: float, wide: float) -> None:
    def place(side: float, value: float) -> tuple[float, float]:
        across = (math.log2(side) - ENDS[0]) / (ENDS[1] - ENDS[0])
        down = (HIGHEST - min(max(value, LOWEST), HIGHEST)) / (HIGHEST - LOWEST)
        return left + across * wide, TOP + down * (HEIGHT - TOP - BOTTOM)

    canvas.text((left, 16), f"{OF_PROXY[proxy]} through {proxy}", font=font(26), fill=INK)
    for value in range(int(LOWEST), int(HIGHEST) + 1, 3):
        y = place(128, value)[1]
        canvas.line((left, y, left + wide, y), fill=INK if value == 0 else GRID, width=1)
        canvas.text((left - 46, y - 12), str(value), font=font(19), fill=FAINT)
    for side in (128, 256, 512, 1024, 2048):
        x = place(side, 0)[0]
        canvas.line((x, TOP, x, HEIGHT - BOTTOM), fill=GRID, width=1)
        canvas.text((x - 22, HEIGHT - BOTTOM + 10), str(side), font=font(19), fill=FAINT)
    for number, (name, colour, some) in enumerate((("own pictures", OWN, 0), ("others", OTHERS, 1))):
        canvas.ellipse((left + number * 210, 66, left + number * 210 + 14, 80), fill=colour)
        canvas.text((left + number * 210 + 22, 58), name, font=font(21), fill=INK)
        for row in rows:
            if row["proxy"] != proxy or is_own(row) is (some == 1) or not is_whole(row):
                continue
            x, y = place(math.sqrt(row["height"] * row["width"]), of_contrast(row, WHOLE))
            canvas.ellipse((x - 4, y - 4, x + 4, y + 4), outline=colour, width=2)
        middle = []
        for side in SIDES:
            values = contrasts_of(rows, proxy, side)[some]
            if len(values) < LEAST:
                continue
            low, half, high = np.quantile(values, (0.25, 0.5, 0.75))
            middle.append(place(side, half))
            canvas.line((*place(side, low), *place(side, high)), fill=colour, width=3)
        canvas.line(middle, fill=colour, width=3)
        for x, y in middle:
            canvas.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    canvas.text(
        (left, HEIGHT - 42),
        "evidence in deviations by side: median, quartiles; rings: whole pictures",
        font=font(17),
        fill=FAINT,
    )


def main() -> None:
    rows, target = (
        Path(one) for one in (*sys.argv[1:], *("family-score-rows.jsonl", "family-growth.png")[len(sys.argv) - 1 :])
    )
    write_picture(RESULTS / target, draw(usable(read_rows(RESULTS / rows))))


if __name__ == "__main__":
    main()
