"""Does the default profile hold for a decoder it was not made from? Leave one decoder out, on `attribution.py`'s rows.

python benchmarks/default_profile.py benchmarks/results/attribution-192-rows.jsonl
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import cells_table, read_rows
from latent_tracer.core.profiles.thresholds import lower_p_value, rate_interval
from latent_tracer.core.scores import DEFAULT_SCORE


def main() -> None:
    rows = [row for path in sys.argv[1:] for row in read_rows(Path(path))]
    others: dict[str, dict[str, list[float]]] = {}
    belonging: dict[str, list[float]] = {}
    for row in rows:
        value = row["methods"][DEFAULT_SCORE][0]
        if row["belongs"]:
            belonging.setdefault(row["inspected"], []).append(value)
            continue
        kind = "picture" if row["source"] in ("real", "generated", "history") else "another decoder"
        others.setdefault(row["inspected"], {}).setdefault(f"{kind}, {row['condition']}", []).append(value)
    lines = []
    for inspected in others:
        fitted = [scores for name in others if name != inspected for scores in others[name].values()]
        rate = max(0.01, 1 / (min(map(len, fitted)) + 1))

        def accepted(score: float, fitted: list[list[float]] = fitted, rate: float = rate) -> bool:
            return max(lower_p_value(score, scores) for scores in fitted) <= rate

        tested = [score for scores in others[inspected].values() for score in scores]
        wrong, right = sum(map(accepted, tested)), sum(map(accepted, belonging[inspected]))
        low, high = rate_interval(wrong, len(tested))
        observed = f"{wrong / len(tested):.2%} ({low:.2%} to {high:.2%})"
        found = f"{right} of {len(belonging[inspected])}"
        lines.append((inspected, f"{rate:.2%}", f"{wrong} of {len(tested)}", observed, found))
    heads = ("left out", "stated rate", "others called belonging", "observed (95 %)", "belonging found")
    print(cells_table(heads, lines))


if __name__ == "__main__":
    main()
