"""The report of family_score.py's rows, and the calibration of families that ships.

    python benchmarks/family_report.py ROWS [--peers ROWS] [--periods ROWS]
    python benchmarks/family_report.py ROWS --calibration core/embedded/families.json

Nothing is chosen on the picture that is asked about: its threshold comes from pictures of other models and sources.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common import RESULTS, Row, decoder, made_by, read_rows
from family_evidence import (
    FNR,
    FPR,
    LARGEST,
    SYSTEMATIC,
    delivered,
    evidence,
    is_own,
    is_whole,
    scored,
    usable,
    weights_of,
)  # fmt: skip
from family_score import CENTRAL, OF_PROXY
from family_tables import (
    by_model,
    growth,
    of_delivered,
    of_peers,
    of_periods,
    proxies_of,
    scatter,
    separation,
    windows,
)  # fmt: skip
from latent_tracer.core import same_weights
from latent_tracer.core.profiles.families import NO_FAMILY, Families, FamilyProxy, KnownPicture
from latent_tracer.core.scores.family_score import SETTINGS
from latent_tracer.core.storage.atomic import write_text

# What a proxy's own pictures are below: six had -0.32 to -0.53, of a family's own none has less than -0.2.
OWN_WORK = -0.25


def calibration(rows: list[Row]) -> Families:
    """The calibration of the pictures that every proxy has scored, each at its largest."""
    proxies = proxies_of(rows)
    seen = [row["picture"] for row in rows]
    rows = [row for row in rows if seen.count(row["picture"]) == len(proxies)]
    first = [row for row in rows if row["proxy"] == proxies[0]]
    of_picture = {(row["proxy"], row["picture"]): row for row in rows}
    pictures = tuple(KnownPicture(row["picture"], row["family"], row["model"], row["source"]) for row in first)
    known = []
    for proxy in proxies:
        mine = [of_picture[proxy, picture.sha256] for picture in pictures]
        contrasts, errors = zip(*filter(None, (scored(row, LARGEST) for row in mine)), strict=True)
        weights = weights_of([row for row in mine if is_own(row)], [row for row in mine if not is_own(row)])
        known.append(
            FamilyProxy(
                OF_PROXY[proxy], proxy, decoder(proxy).fingerprint, contrasts, errors,
                tuple(round(float(one), 4) for one in weights),
                tuple(round(evidence(row, LARGEST), 3) for row in mine),
            )
        )  # fmt: skip
        assert same_weights(known[-1].digest, decoder(proxy).fingerprint)
    made = {picture.model for picture in pictures if picture.model}
    photographs = sum(picture.family == NO_FAMILY and not picture.model for picture in pictures)
    about = f"{len(pictures) - photographs} pictures that {len(made)} models made and {photographs} photographs"
    settings = {**SETTINGS, "side": LARGEST}
    return Families(about, settings, SYSTEMATIC, OWN_WORK, FPR, FNR, pictures, tuple(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="?", default=RESULTS / "family-score-rows.jsonl")
    parser.add_argument("--peers", type=Path, help="rows of the peers")
    parser.add_argument("--periods", type=Path, help="rows of family_periods.py")
    parser.add_argument("--calibration", type=Path, help="write the calibration of families")
    parser.add_argument("--report", type=Path, default=RESULTS / "family-score.md")
    args = parser.parse_args()
    measured = read_rows(args.rows)
    rows = usable(measured)
    if args.calibration:
        write_text(args.calibration, calibration(rows).to_json())
    pictures = {row["picture"]: row for row in rows}.values()
    photographs = sum(row["kind"] == "real" for row in pictures)
    models = len({row["model"] for row in pictures if row["model"]})
    sources = [f"`{path.name}`" for path in (args.rows, args.peers, args.periods) if path]
    sent = delivered(measured, rows)
    whole = sum(map(is_whole, rows))
    parts = [
        "# Which family of models made a picture\n",
        made_by(" and ".join(sources)),
        f"{len(pictures) - photographs} pictures that {models} models made, {photographs} photographs, as PNG; evidence"
        f" in deviations, with {SYSTEMATIC} beside each picture's own error.\n",
        "## Separation\n\nFound and wrong at 1 % for all proxies together, or at the least that so many pictures can"
        " state; each threshold is from pictures of other models and sources. Where that least is the"
        " lowest of n, one of n is wrong by construction. Intervals: 95 %. Weights of bands are from"
        " these too, but for the first line of each family, in which three bands count alike.\n",
        separation(rows),
        f"\nOf whole pictures larger than {CENTRAL}²: {whole} rows. Where others were measured whole too, the"
        " threshold of whole pictures comes from all others, each at its largest.\n",
        "\n## How evidence grows with pixels\n\nBy three bands that count alike: every row has these of every side.\n\n"
        "![evidence by pixels](family-growth.png)\n",
        growth(rows),
        "\n## What does not shrink\n\nDeviation of the evidence of pictures that do not belong, by three bands that"
        f" count alike, were each of these beside the picture's own error. It should not grow with the picture:"
        f" {SYSTEMATIC} ships. Last, by all bands with that.\n",
        scatter(rows),
        *(["\n## Which pixels of a large picture\n\nSix windows of 320² with most detail stand for pictures above 0.64"
           " megapixels in other scores; by three bands that count alike.\n", windows(rows)] if whole else []),
        *(["\n## Delivered\n\nThe whole picture, JPEG as 4:2:0, then the central 512²; found and wrong by the threshold"
           " of pictures as they were made. *Resized back*: to the sides it was made with, as a search that finds how"
           " the picture lies would.\n", of_delivered(rows, sent)] if sent else []),
        *(["\n## Peers through the same proxies\n\nOf the same central 512².\n", of_peers(rows, read_rows(args.peers))]
          if args.peers else []),
        *(["\n## Periodic artefacts, without any proxy\n\nAUC of peaks at periods of 2, 4 and 8 pixels in the energy of"
           " the high-pass residual along rows and columns, central 512².\n", of_periods(read_rows(args.periods), rows)]
          if args.periods else []),
        "\n## Every picture\n\nEvidence at the largest that was measured: `*` marks a whole picture.\n",
        by_model(rows),
    ]  # fmt: skip
    write_text(args.report, "\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
