"""``latent-tracer profile``: what a calibration holds, and how far it can be believed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..core import Profile, load_profiles
from ..core.calibration.estimate import listed
from ..core.profiles.table import HEADINGS, source_table
from ..core.profiles.thresholds import shown_rate
from ..core.profiles.trust import calibration_words
from ..core.storage.safe_text import clean_text
from .console import emit_json, show

profile = typer.Typer(no_args_is_help=True, help="Look into a calibration.")


@profile.command("show")
def show_profile(
    file: Annotated[Path, typer.Argument(help="A profile that calibrate wrote, or that somebody handed over.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each condition.")] = False,
) -> int:
    """What the profile was calibrated on, whose it is, its error rates, and how each source fares under it."""
    profiles = load_profiles(file)
    if len(profiles) > 1 and not as_json:
        held = listed([clean_text(one.condition) for one in profiles])
        show(f"{file} holds {len(profiles)} conditions: {held}; a picture's pixels tell which one it is judged by.\n")
    for known in profiles:
        _show(known, file, as_json)
    return 0


def _show(known: Profile, file: Path, as_json: bool) -> None:
    rows = source_table(known)
    if as_json:
        emit_json(
            {
                "file": str(file),
                "calibration": known.calibration,
                "autoencoder": known.autoencoder,
                "fingerprint": known.fingerprint,
                "condition": known.condition,
                "fpr": known.stated_fpr,
                "fpr_bound": known.fpr_bound,
                "fnr": known.stated_fnr,
                "fnr_bound": known.fnr_bound,
                "pictures_given": known.pictures_given,
                "pictures_counted": known.pictures_counted,
                "sources": [dataclasses.asdict(row) for row in rows],
            }
        )
        return
    table = [[clean_text(cell) for cell in line] for line in (HEADINGS, *(row.cells for row in rows))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
    show("\n".join([*facts(known, file), *(line.rstrip() for line in lines)]))


def facts(known: Profile, file: Path) -> list[str]:
    """What is said above the table."""
    counted = "not told by format 1" if known.pictures_counted is None else f"{known.pictures_counted} counted"
    given = "" if known.pictures_given is None else f" of {known.pictures_given} given"
    asked = f"asked for {shown_rate(known.fpr)}" + (
        "" if known.guarantee is None else f" with {100 * known.guarantee:g} % confidence"
    )
    lines = [
        f"{file}: {clean_text(known.autoencoder)} ({clean_text(known.fingerprint[:8])}), {clean_text(known.score)},"
        f" condition {clean_text(known.condition)}",
        f"{calibration_words(known.calibration)}; calibrated on {clean_text(known.calibrated_on)}",
        f"pictures: {counted}{given}, {known.image_sizes[0]} to {known.image_sizes[1]} pixels a side",
        f"a yes is wrong for {shown_rate(known.stated_fpr, known.fpr_bound)} ({asked})",
        f"a no is wrong for {shown_rate(known.stated_fnr, known.fnr_bound)}",
        *(f"note: {clean_text(note, 500)}" for note in known.notes),
        *filter(None, [known.shortfall]),
    ]
    return [*lines, ""]
