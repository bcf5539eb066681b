"""Do the constants of the core stand well? Each is moved to worse neighbours, everything else left as it is.

    python benchmarks/constants.py                  # minutes of one core; interrupt and repeat at will
    python benchmarks/constants.py --only map,jpeg  # some of the sweeps
    python benchmarks/constants.py --report-only    # results/constants.md from results/constants-rows.jsonl

Sweeps of networks run on the two decoders that ship and, where the data folder is, on others. Small sweeps: they show
whether a value lies in a range that does, not that it is the best.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import RESULTS, Rows, made_by, table
from latent_tracer.core.storage.atomic import write_text
from sweeps import Sweep, current
from sweeps.decoders import fingerprint_sweep, map_sweep, memory_sweep, solver_sweep
from sweeps.pictures import doubt_sweep, jpeg_sweep, same_sweep
from sweeps.scores import contrast_sweep, evidence_sweep, grid_sweep, looks_sweep, ratio_sweep, rough_sweep

ROWS = RESULTS / "constants-rows.jsonl"


SWEEPS: dict[str, Callable[[], Sweep]] = {
    "looks": looks_sweep, "rough": rough_sweep, "ratio": ratio_sweep, "doubt": doubt_sweep, "memory": memory_sweep,
    "contrast": contrast_sweep, "evidence": evidence_sweep, "map": map_sweep, "jpeg": jpeg_sweep, "grid": grid_sweep,
    "same": same_sweep, "fingerprint": fingerprint_sweep, "solver": solver_sweep,
}  # fmt: skip


def report(rows: Rows, made: str) -> str:
    """One section per sweep, one table per constant; values that the core has now are bold."""
    text = ["# What the core's constants rest on", "", made]
    for sweep, function in SWEEPS.items():
        part = [row for row in rows if row["sweep"] == sweep]
        for name in dict.fromkeys(row["constant"] for row in part):
            here, shown = [row for row in part if row["constant"] == name], []
            text += [f"## `{name}`", "", function.__doc__ or "", ""]
            columns = [c for c in here[0] if c not in ("sweep", "constant")]
            for row in here:
                mark = "**" if row["value"] == current(name) else ""
                shown.append(row | {"value": f"{mark}{row['value']:g}{mark}"})
            text += [table(shown, columns), ""]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SWEEPS), help="names of sweeps, with commas between")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(ROWS, ("constant", "value", "on"))
    for sweep in [] if args.report_only else args.only.split(","):
        for constant, value, on, measure in SWEEPS[sweep]():
            if rows.lacks(constant, value, on):
                rows.add({"sweep": sweep, "constant": constant, "value": value, "on": on, **measure()})
    text = report(rows, made_by(f"`{ROWS.name}`"))
    write_text(RESULTS / "constants.md", text)
    print(text)


if __name__ == "__main__":
    main()
