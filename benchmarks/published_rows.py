"""Do our threshold rules reproduce what AEDR's authors published for Stable Diffusion 1.5?

The rows (both losses of 500 belonging images and of 500 of Stable Diffusion 2.1, and the homogeneity of each image) are
the authors' and not part of this project: give the folder of a checkout of their repository, wangchao0708/AEDR.

    python benchmarks/published_rows.py path/to/AEDR --json published-rows.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import Row, area_under_curve, table, tpr_at_fpr, write_json
from latent_tracer.core import fit_threshold

ALPHA = 0.05
# The threshold on t times homogeneity that the authors' README passes on to their accuracy script. They sum the
# density on a grid that ends one standard deviation beyond the data; the exact distribution function differs by 6e-5.
PUBLISHED_KDE = 1.0364583773111364


def scores(folder: Path, model: str) -> dict[str, np.ndarray]:
    """The three scores ``[500]`` of ``model``'s images under Stable Diffusion 1.5, from the files of ``folder``."""
    first, second = np.loadtxt(folder / "Result" / f"SD1.5_{model}_l2.txt").T
    homogeneity = np.loadtxt(folder / "GLCM" / f"{model}.txt")
    return {"reconstruction": first, "double-reconstruction": first / second,
            "double-reconstruction-homogeneity": first / second * homogeneity}  # fmt: skip


def summarise(folder: Path) -> list[Row]:
    belonging, others = scores(folder, "SD1.5"), scores(folder, "SD2.1")
    rows: list[Row] = []
    for method, known in belonging.items():
        foreign = others[method]
        for rule in ("kde", "grubbs", "quantile"):
            threshold = fit_threshold(known, rule=rule, alpha=ALPHA).value
            rows.append({
                "method": method, "rule": rule, "threshold": round(threshold, 6),
                "true_positive_rate": float((known <= threshold).mean()),
                "false_positive_rate": float((foreign <= threshold).mean()),
                "auc": round(area_under_curve(known, foreign), 4),
                "tpr_at_1_fpr": round(tpr_at_fpr(known, foreign), 4),
            })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a checkout of the authors' repository")
    parser.add_argument("--quick", action="store_true", help="as every benchmark; this one takes a second")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not (args.folder / "Result").is_dir():
        raise SystemExit(f"No folder Result in {args.folder}: give a checkout of the authors' repository.")
    rows = summarise(args.folder)
    print(table(rows))
    ours = next(r["threshold"] for r in rows if r["method"].endswith("homogeneity") and r["rule"] == "kde")
    print(f"\nTheir KDE threshold of the last score: {PUBLISHED_KDE:.6f}, ours {ours:.6f}.")
    write_json(args.json, {"alpha": ALPHA, "published_kde": PUBLISHED_KDE, "rows": rows})


if __name__ == "__main__":
    main()
