"""The table of separation after alterations, from the rows of ``attribution.py``.

python benchmarks/altered_report.py ROWS --inverted INVERTED_ROWS --json altered.json > altered.md
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from attribution import OFF_GRID, summarise
from common import DECODERS, cells_table, read_rows, write_json
from latent_tracer.core.images.conditions import CLEAN, CONDITIONS
from latent_tracer.core.scores import default_score
from latent_tracer.core.scores.any_grid import AnyGrid

Cells = dict[tuple[str, str], dict[str, dict[str, Any]]]
PEERS = {
    "reconstruction": "AEROBLADE (MSE)",
    "double-reconstruction": "AEDR t",
    "double-reconstruction-homogeneity": "AEDR t·H",
    "grid-contrast": "grid contrast",
}
INVERTED = {
    "reconstruction": "encode-decode loss",
    "inversion": "inverted loss",
    "inversion-gain": "inverted / initial",
    "double-reconstruction": "AEDR t",
    "grid-contrast": "grid contrast",
}


def by_cell(table: list[dict[str, Any]]) -> Cells:
    cells: Cells = {}
    for row in table:
        cells.setdefault((row["condition"], row["inspected"]), {})[row["method"]] = row
    return cells


def separation(cell: dict[str, dict[str, Any]], method: str) -> str:
    row = cell.get(method)
    return f"{row['tpr_at_1_fpr']:.2f} ({row['auc']:.3f})" if row else ""


def table_of(cells: Cells, methods: dict[str, str], own: bool) -> str:
    """One line per condition and decoder: TPR at 1 % FPR (AUC) of ``methods``, and of the condition's ``own`` score."""
    heads = ["condition", "inspected", "images", *methods.values()]
    if own:
        heads += ["score of the condition", "its observed FPR at stated", "TPR there", "its s/image"]
    lines = []
    for condition in CONDITIONS:
        for inspected in DECODERS:
            cell = cells.get((condition, inspected))
            if condition == CLEAN or not cell or not set(methods) <= set(cell):
                continue
            any_method = cell["grid-contrast"]
            images = f"{any_method['belonging']} + {any_method['non_belonging']}"
            columns = [condition, inspected, images, *(separation(cell, method) for method in methods)]
            if own:
                name = AnyGrid.name if condition in OFF_GRID else default_score(condition)
                row = cell[name]
                rates = f"{row['observed_fpr']:.2f} at {row['stated_fpr']:.2f}"
                columns += [
                    separation(cell, name),
                    rates,
                    f"{row['observed_tpr']:.2f}",
                    f"{row['seconds_per_image']:.1f}",
                ]
            lines.append(columns)
    return cells_table(heads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="rows of attribution.py under altered conditions")
    parser.add_argument("--inverted", type=Path, help="rows that hold inversions, for a second table")
    parser.add_argument("--json", type=Path, help="write the table as JSON")
    args = parser.parse_args()
    table = summarise(read_rows(args.rows))
    print(table_of(by_cell(table), PEERS, own=True))
    if args.inverted:
        print("\n" + table_of(by_cell(summarise(read_rows(args.inverted))), INVERTED, own=False))
    write_json(args.json, table)


if __name__ == "__main__":
    main()
