"""``latent-tracer trace … --report``: whole folders, resumable, with a report for people and programs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..core import (
    InvalidSettingError,
    ModuleAutoencoder,
    Profile,
    Verdict,
    crop_to_grid,
    invert,
    judge,
    verdict_from_threshold,
)
from ..core.atomic import write_picture
from ..core.folder import FolderListing, list_folder
from ..core.folder_report import PAGE_NAME, write_report
from ..core.folder_trace import trace_files
from ..core.journal import Journal, settings_digest
from ..core.picture import trace_picture
from ..core.picture_file import Picture, PictureFile
from ..core.quantiser import Quantiser
from ..core.trace_row import TraceRow, shown_name, traced_row
from .console import emit_json, progress_bar, say, show

JOURNAL_NAME = "journal.jsonl"


def list_inputs(inputs: list[Path], leave_out: list[Path]) -> FolderListing:
    """Files as given, and the pictures in folders; with several inputs each name tells which one it came from."""
    listing = FolderListing(())
    for path in inputs:
        if not path.is_dir():
            listing += FolderListing((PictureFile(path, str(path) if len(inputs) > 1 else path.name),))
            continue
        found = list_folder(path, leave_out=leave_out)
        if len(inputs) > 1:
            files = tuple(PictureFile(file.path, str(path / file.name)) for file in found.files)
            found = FolderListing(files, found.refused, found.other_files)
        listing += found
    return listing


def picture_name(name: str) -> str:
    """One flat, distinct file name for the explaining picture of ``name`` in a folder."""
    flat = "".join(c if c.isalnum() or c in "-_.@ " else "_" for c in name.replace(os.sep, "__"))[-120:]
    return f"{flat}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}_trace.png"


def distinct_profiles(profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """``profiles`` if each is for another condition; raises :class:`InvalidSettingError` otherwise."""
    conditions = [profile.condition for profile in profiles]
    for condition in conditions:
        if conditions.count(condition) > 1:
            raise InvalidSettingError(
                f"Two of the profiles are for the condition {condition}: give one profile for each condition."
            )
    return tuple(profiles)


def profile_behind(verdict: Verdict, profiles: Sequence[Profile]) -> Profile | None:
    """The profile that ``verdict`` rests on, if it was one of these."""
    return next((profile for profile in profiles if profile.condition == verdict.condition), None)


class FolderTracer:
    """Makes the row of one picture: by the profile's score where there is one, else by the inverted loss."""

    def __init__(
        self,
        autoencoder: ModuleAutoencoder,
        vae: str,
        profiles: tuple[Profile, ...],
        threshold: float | None,
        solver: str,
        steps: int | None,
        quantiser: Quantiser,
        pictures: Path | None,
    ) -> None:
        self.autoencoder = autoencoder
        self.vae = vae
        self.profiles = profiles
        self.threshold = threshold
        self.solver = solver
        self.steps = steps
        self.quantiser = quantiser
        self.pictures = pictures

    def settings(self) -> dict[str, Any]:
        """Everything that a row depends on beside its file."""
        return {
            "release": __version__,
            "model": self.autoencoder.fingerprint,
            "name": self.vae,
            "profile": " ".join(hashlib.sha256(one.to_json().encode()).hexdigest() for one in self.profiles) or None,
            "threshold": self.threshold,
            "solver": self.solver,
            "steps": self.steps,
            "quantiser": self.quantiser,
            "pictures": self.pictures is not None,
        }

    def shown_settings(self) -> dict[str, str]:
        shown = {"inspected model": self.vae, "fingerprint": self.autoencoder.fingerprint[:16]}
        if self.profiles:
            shown |= {
                "score": ", ".join(one.score for one in self.profiles),
                "condition": ", ".join(one.condition for one in self.profiles),
                "stated false-positive rate": ", ".join(f"{one.stated_fpr:.2%}" for one in self.profiles),
                "calibrated on": ", ".join(dict.fromkeys(one.calibrated_on for one in self.profiles)),
            }
        elif self.threshold is not None:
            shown["threshold of the loss"] = f"{self.threshold:g} (false-positive rate not measured)"
        else:
            shown["calibration"] = "none: every answer is inconclusive"
        return shown

    def __call__(self, picture: Picture) -> TraceRow:
        pixels, facts = picture.pixels, picture.facts
        _, crop = crop_to_grid(pixels, self.autoencoder.spatial_ratio)
        inversion = None
        if not self.profiles or self.pictures is not None:
            inversion = invert(self.autoencoder, pixels, solver=self.solver, steps=self.steps, quantiser=self.quantiser)
        if self.threshold is None:
            verdict = judge(self.autoencoder, pixels, self.profiles or None, lossy=facts.lossy)
        else:
            assert inversion is not None
            verdict = verdict_from_threshold(float(inversion.loss[0]), self.threshold)
        if inversion is not None and self.pictures is not None:
            profile = profile_behind(verdict, self.profiles)
            write_picture(self.pictures / picture_name(facts.name), trace_picture(inversion, 0, verdict, profile))
        return traced_row(
            facts,
            picture.upright,
            verdict,
            model=self.autoencoder.name,
            fingerprint=self.autoencoder.fingerprint,
            inspected=(self.vae,),
            loss=None if inversion is None else float(inversion.loss[0]),
            notes=() if crop.is_whole else (f"cropped to the latent grid: {crop}",),
        )


def trace_with_report(inputs: list[Path], report: Path, tracer: FolderTracer, as_json: bool) -> int:
    """Trace everything under ``inputs`` and write the report, also when cancelled; the next run goes on from there."""
    listing = list_inputs(inputs, [report, *([tracer.pictures] if tracer.pictures else [])])
    total = len(listing.files) + len(listing.refused)
    rows: list[TraceRow] = []
    resumed = 0
    with Journal(report / JOURNAL_NAME, settings_digest(tracer.settings())) as journal:
        earlier = set(journal.finished)
        try:
            with progress_bar(total, "tracing") as (progress, task):
                for row, _ in trace_files(listing, journal, tracer):
                    rows.append(row)
                    resumed += row.digest in earlier
                    progress.advance(task)
                    if as_json:
                        record = row.to_record()
                        del record["thumbnail"]
                        emit_json(record)
        finally:
            line = write_report(report, rows, tracer.shown_settings(), pending=total - len(rows))
            if resumed:
                say(f"{resumed} of {total} had been finished before.")
            if listing.other_files:
                say(f"{listing.other_files} files without a picture's extension were passed over.")
            for row in rows:
                if row.verdict is None:
                    say(f"not traced: {shown_name(row)} {row.error}")
            if not as_json:
                show(f"{line}\n{report / PAGE_NAME}")
    return 2 if any(row.verdict is None for row in rows) else 0
