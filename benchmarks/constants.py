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

# What the tables show, in a sentence each.
READINGS = {
    "scores.grid_contrast.CLEARLY_BELONGING": "A higher bound decides others wrongly, a lower one costs looks.",
    "scores.grid_contrast.CLEARLY_BELONGING_JPEG": "-0.15 lets one other picture by, -0.18 none.",
    "scores.grid_contrast.CLEARLY_NOT": "Everything from -0.09 up ends no belonging picture; the rows reach no higher"
    " than -0.03. A lower bound only costs looks, a caution towards decoders with a weaker trace.",
    "scores.rough_score.DISTANCE_FACTOR": "Below 1.5 verdicts change; above 2 only time is lost.",
    "scores.contrast_and_ratio.RATIO_WEIGHT": "0.05 to 0.2 do about as well; from 0.5 on much is lost.",
    "verdicts.doubt.STRONG_GRID": "From 0.2 to 1 no belonging picture is stopped; a lower value stops more of what"
    " passes. What is left is stopped by the other grounds for doubt (`histories.md`). 0.3 leaves room for the next"
    " decoder's cell edges, at the price of one picture against 0.2.",
    "verdicts.doubt.GRID_OF_JPEG": "With less, plain rough JPEG is called a grid: doubted all the same, but with the"
    " wrong reason.",
    "images.regularity.FLOOR": "It does not matter between 0.05 and 2: photographs and mosaics stay far apart.",
    "inversion.memory.SHARE_OF_FREE": "At 0.8 nothing is left for workspaces, at 0.4 a third more lies idle.",
    "scores.residuals.LARGEST_LOG_RATIO": "It does not matter much: less separates the demo's decoder better, whose"
    " trace is stronger than real ones', and makes no difference on TAESD.",
    "scores.residuals.NOISE_LEVELS": "It does not matter between 3 and 30.",
    "scores.residuals.LEAST_EVIDENCE": "One colour alone is refused from 0.02 to 0.05, where it does not matter; from"
    " 0.1 on a ramp or what a decoder made of one colour is refused too. No photograph is, up to 0.2.",
    "scores.spectral_ratio.LEAST_EVIDENCE": "It does not matter between 0.1 and 0.3.",
    "verdicts.localisation.SMOOTHING": "On TAESD both neighbours find less of a patch; the demo's decoder, with its"
    " stronger trace, would take less smoothing.",
    "verdicts.localisation.REFERENCE_QUANTILE": "A trade: for a small patch under TAESD less would find more, and flag"
    " more whole pictures; more would find less, and allow larger patches.",
    "verdicts.localisation.UNCALIBRATED_THRESHOLD": "6 flags two in five whole pictures; 10 misses one patch in ten.",
    "images.jpeg.SHARE": "0.3 reads wrong qualities, 0.9 misses files; between it does not matter.",
    "images.jpeg.STANDARD_ERRORS": "At 2 posterised or drawn pictures pass for JPEG; from 4 to 9 it does not matter.",
    "images.jpeg.MULTIPLES": "It does not matter on these pictures: a guard for flatter ones.",
    "images.jpeg.FREQUENCIES": "It does not matter on these pictures: a guard for flatter ones.",
    "scores.decoder_grid.HIDDEN": "From -0.05 to -0.2 it does not matter; at -0.3 TAESD's grid is not found and TAEF2's"
    " is taken for half of it.",
    "scores.decoder_grid.NEAR": "It does not matter on these decoders: a second opinion for those with a weaker trace.",
    "images.same_picture.SAME": "The folder holds one picture four times: six pairs. 0.8 takes a stereo pair for one"
    " picture, 0.95 misses more copies. Missed is a crop of a brick wall.",
    "images.same_picture.COARSE": "It does not matter between 3 and 7.",
    "inversion.solvers.curvature.RIDGE": "It does not matter on the demo's decoder, whose channels are much alike.",
    "inversion.solvers.descent.SHRINK_STEP": "Both neighbours end higher.",
    "fingerprints.basis.CHOSEN_SHARE": "Of 128 directions 8 and 32 choose alike: 16 are the least. 2 changes the"
    " picture more.",
    "fingerprints.basis.TYPICAL_MARGIN": "Both neighbours change the picture more, for a little more evidence.",
    "fingerprints.survival.PROBE": "A trade of evidence against change; all three do.",
    "fingerprints.basis.LEAST_ANSWER": "At 0 directions carry keys that the encoder does not answer; 0.9 does as well.",
}

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
            text += [table(shown, columns), "", READINGS[name], ""]
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
