"""Draw the table of `speed.py`: what each method costs, in units of AEDR's time, against how well it separates.

python benchmarks/speed_plot.py speed.json plot.png [attribution-192.json attribution-256.json …]

Times take few pictures, separation takes many: it comes from the first table of `attribution.py` that knows a method.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from latent_tracer.core.reports.pictures.style import CANVAS, FAINT, GRID, INK, font
from latent_tracer.core.storage.atomic import write_picture
from PIL import Image, ImageDraw

COLOURS = {"paper": "#e69f00", "fast": "#56b4e9", "gradient-free": "#cc79a7", "aeroblade": "#f0e442",
           "aedr": "#d55e00", "cascade": "#009e73", "cascade-exact": "#0072b2"}  # fmt: skip
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1400, 760, 110, 40, 130, 90
DECADES = (-1, 3)
# What attribution.py calls the methods of speed.py.
SEPARATION_OF = {"fast": "inversion", "aeroblade": "reconstruction", "aedr": "double-reconstruction",
                 "cascade": "grid-contrast", "cascade-exact": "grid-contrast"}  # fmt: skip


def draw(table: list[dict[str, Any]]) -> Image.Image:
    """A small dot per decoder, a large one for the mean over decoders (geometric for the cost)."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), CANVAS)
    canvas = ImageDraw.Draw(picture)

    def place(cost: float, tpr: float) -> tuple[float, float]:
        across = (math.log10(cost) - DECADES[0]) / (DECADES[1] - DECADES[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (1 - tpr) * (HEIGHT - TOP - BOTTOM)

    for decade in range(DECADES[0], DECADES[1] + 1):
        x = place(10.0**decade, 1)[0]
        canvas.line((x, TOP, x, HEIGHT - BOTTOM), fill=GRID, width=1)
        canvas.text((x - 16, HEIGHT - BOTTOM + 10), f"{10.0**decade:g}", font=font(20), fill=FAINT)
    for tpr in np.arange(0, 1.01, 0.2):
        y = place(1, tpr)[1]
        canvas.line((LEFT, y, WIDTH - RIGHT, y), fill=GRID, width=1)
        canvas.text((LEFT - 56, y - 12), f"{tpr:.1f}", font=font(20), fill=FAINT)
    decoders = sorted({row["decoder"] for row in table})
    title = f"TPR at 1 % FPR against time per image, AEDR = 1; {', '.join(decoders)}"
    canvas.text((20, 16), title, font=font(24), fill=INK)
    present = {row["method"] for row in table}
    shown = {method: colour for method, colour in COLOURS.items() if method in present}
    for number, (method, colour) in enumerate(shown.items()):
        rows = [row for row in table if row["method"] == method and row["cost_over_aedr"]]
        if not rows:
            continue
        left = 30 + number * 195
        canvas.ellipse((left, 74, left + 14, 88), fill=colour)
        canvas.text((left + 22, 68), method, font=font(21), fill=INK)
        for row in rows:
            x, y = place(row["cost_over_aedr"], row["tpr_at_1_fpr"])
            canvas.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        mean = math.exp(float(np.mean([math.log(row["cost_over_aedr"]) for row in rows])))
        x, y = place(mean, float(np.mean([row["tpr_at_1_fpr"] for row in rows])))
        canvas.ellipse((x - 11, y - 11, x + 11, y + 11), fill=colour, outline=INK, width=2)
    canvas.text((LEFT, HEIGHT - 44), "time per image over AEDR's, one thread", font=font(20), fill=FAINT)
    return picture


def main() -> None:
    table = json.loads(Path(sys.argv[1]).read_text())
    largest_set = max({row["size"] for row in table}, key=lambda size: sum(row["size"] == size for row in table))
    rows = [row for row in table if row["size"] == largest_set]
    if len(sys.argv) > 3:
        rows = with_separation(rows, [json.loads(Path(path).read_text()) for path in sys.argv[3:]])
    write_picture(Path(sys.argv[2]), draw(rows))


def with_separation(rows: list[dict[str, Any]], tables: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """``rows`` with the separation that ``tables`` of attribution.py measured; methods they lack are left out."""
    measured: dict[tuple[str, str], float] = {}
    for table in tables:
        for entry in table:
            if entry["condition"] == "clean":
                measured.setdefault((entry["method"], entry["inspected"]), entry["tpr_at_1_fpr"])
    keys = [(SEPARATION_OF.get(row["method"], ""), row["decoder"]) for row in rows]
    return [{**row, "tpr_at_1_fpr": measured[key]} for row, key in zip(rows, keys, strict=True) if key in measured]


if __name__ == "__main__":
    main()
