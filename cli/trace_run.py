"""What ``latent-tracer trace`` shows of its pictures, files and whole folders alike, and writes as a report."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress

from ..core import InvalidSettingError, Picture, Step, Traced, Tracer
from ..core.errors import visible
from ..core.files.folder import FolderListing, list_folder
from ..core.files.picture import PictureFile, UnreadableFile
from ..core.profiles.thresholds import shown_rate
from ..core.reports.folder_report import PAGE_NAME, write_report
from ..core.reports.folder_trace import Outcome, reason_of, trace_files
from ..core.reports.journal import Journal, settings_digest
from ..core.reports.pictures import trace_picture
from ..core.reports.words import explanation, trace_report
from ..core.storage.atomic import write_picture
from ..core.storage.safe_text import clean_text
from ..core.tracing.row import TraceRow, shown_name
from ..version import VERSION
from .console import emit_json, progress_bar, say, show

JOURNAL_NAME = "journal.jsonl"


def list_inputs(inputs: list[Path], leave_out: list[Path]) -> FolderListing:
    """Files as given, and the pictures in folders; with several inputs each name tells which one it came from."""
    listing = FolderListing(())
    for path in inputs:
        if not os.path.isdir(path):  # unlike Path's, no place without access ends the run
            listing += FolderListing((PictureFile(path, str(path)),))
            continue
        try:
            found = list_folder(path, leave_out=leave_out)
        except InvalidSettingError as error:
            if len(inputs) == 1:
                raise
            # One folder without pictures must not cost the others their answers.
            found = FolderListing((), (UnreadableFile(str(path), str(error).removeprefix(f"{visible(str(path))} ")),))
        if len(inputs) > 1:
            files = tuple(PictureFile(file.path, str(path / file.name)) for file in found.files)
            found = FolderListing(files, found.refused, found.other_files)
        listing += found
    return listing


def picture_name(name: str) -> str:
    """One flat, distinct file name for the explaining picture of ``name`` in a folder."""
    flat = "".join(c if c.isalnum() or c in "-_.@ " else "_" for c in name.replace(os.sep, "__"))
    # Bytes, not characters, are what file systems bound.
    flat = flat.encode(errors="replace")[-120:].decode(errors="ignore")
    return f"{flat}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}_trace.png"


class TraceRun:
    """One run of a tracer over pictures. ``vae``: as it was given; ``steps`` of explanations, ``None`` for none;
    ``pictures``: the folder for drawings, if any."""

    def __init__(self, tracer: Tracer, vae: str, steps: int | None, pictures: Path | None, as_json: bool) -> None:
        self.tracer = tracer
        self.vae = vae
        self.steps = steps
        self.pictures = pictures
        self.as_json = as_json
        self._names: dict[str, str] = {}
        self._unfinished = self._undrawn = 0

    def __call__(self, inputs: list[Path], report: Path | None) -> int:
        """Trace everything under ``inputs``; the exit code is 2 if anything could not be traced or drawn."""
        listing = list_inputs(inputs, [folder for folder in (report, self.pictures) if folder is not None])
        stems, given = Counter(file.path.stem for file in listing.files), set(inputs)
        self._names = {
            file.name: f"{file.path.stem}_trace.png"
            for file in listing.files
            if file.path in given and stems[file.path.stem] == 1 and len(os.fsencode(file.path.stem)) < 200
        }
        total = len(listing.files) + len(listing.refused)
        rows: list[TraceRow] = []
        if report is None:
            self._trace(listing, rows, None)
        else:
            with Journal(report / JOURNAL_NAME, settings_digest(self._settings())) as journal:
                before = frozenset(journal.finished)
                try:
                    self._trace(listing, rows, journal)
                finally:
                    pending = total - len(rows) + self._unfinished
                    line = write_report(report, rows, self._shown_settings(), pending=pending)
                    earlier = sum(row.digest in before for row in rows)
                    if earlier:
                        say(f"{earlier} of {total} had been finished before.")
                    if not self.as_json:
                        show(f"{line}\n{report / PAGE_NAME}")
        if listing.other_files:
            say(f"{listing.other_files} files without a picture's extension were passed over.")
        return 2 if self._undrawn or any(row.verdict is None for row in rows) else 0

    def _trace(self, listing: FolderListing, rows: list[TraceRow], journal: Journal | None) -> None:
        """Show every outcome as it comes, and add its row to ``rows``; an answer is never lost to a cancel."""
        begun: Outcome | None = None
        finish = None
        with progress_bar(len(listing.files), "tracing") as (progress, task):
            if self.steps is not None or self.pictures is not None:
                finish = partial(self._finish, progress)

            def judge(picture: Picture) -> Traced:
                progress.update(task, description=clean_text(picture.facts.name[-40:]))
                place = picture.facts.position - 1

                def advance(done: int, expected: int) -> None:
                    progress.update(task, completed=place + done / (expected + 1))

                return self.tracer.trace(picture, advance)

            outcomes = trace_files(listing, judge, self.tracer, finish=finish, journal=journal)
            try:
                for outcome in outcomes:
                    if not outcome.final:
                        begun = outcome
                        self._show_answer(outcome, journal)
                        continue
                    if begun is None:
                        self._show_answer(outcome, journal)
                    elif journal is None and outcome.traced is not None and not begun.row.explained:
                        self._show_explanation(outcome.traced)
                    begun = None
                    self._emit(outcome)
                    rows.append(outcome.row)
                    progress.update(task, completed=len(rows))
            finally:
                if begun is not None:  # cancelled while it was being explained
                    self._unfinished = 1
                    self._emit(begun)
                    rows.append(begun.row)

    def _finish(self, progress: Progress, traced: Traced) -> Traced:
        """The explanation and the drawing that were asked for; the answer is out before."""
        name = traced.picture.facts.name
        if self.steps is not None and traced.inversion is None:
            task = progress.add_task("explaining", total=self.steps)

            def advance(step: Step) -> None:
                progress.update(task, completed=step.step, total=step.steps)

            try:
                traced = self.tracer.explained(traced, self.steps, advance)
            finally:
                progress.remove_task(task)
            if traced.inversion is None:
                say(f"latent-tracer: {visible(name)}: {traced.notes[-1]}")
        if self.pictures is not None:
            try:
                write_picture(self.pictures / self._names.get(name, picture_name(name)), trace_picture(traced))
            except Exception as error:  # the answer stands, and so does the explanation
                self._undrawn += 1
                note = f"there is no drawing of it: {reason_of(error, name)}"
                say(f"latent-tracer: {visible(name)}: {note}")
                traced = replace(traced, notes=(*traced.notes, note), is_complete=False)
        return traced

    def _show_answer(self, outcome: Outcome, journal: Journal | None) -> None:
        if outcome.row.verdict is None:
            lead = "not traced" if journal is not None else "latent-tracer"
            say(f"{lead}: {shown_name(outcome.row)} {outcome.row.error}")
        elif not self.as_json and journal is None and outcome.traced is not None:
            show(f"{visible(outcome.row.name)}\n{trace_report(outcome.traced)}\n")

    def _show_explanation(self, traced: Traced) -> None:
        if not self.as_json and traced.inversion is not None:
            show("\n".join(["explained afterwards:", *explanation(traced)[1:], ""]))

    def _emit(self, outcome: Outcome) -> None:
        if self.as_json:
            file = outcome.file
            image = str(file.path) if isinstance(file, PictureFile) else file.name
            emit_json(outcome.row.to_json(image, self.vae))

    def _settings(self) -> dict[str, Any]:
        """Everything that a row depends on beside its file."""
        tracer = self.tracer
        profiles = " ".join(hashlib.sha256(one.to_json().encode()).hexdigest() for one in tracer.profiles)
        return {
            "release": VERSION,
            "model": tracer.autoencoder.fingerprint,
            "name": self.vae,
            "profile": profiles or None,
            "threshold": tracer.threshold,
            "solver": tracer.solver,
            "steps": self.steps,
            "quantiser": tracer.quantiser,
            "pictures": self.pictures is not None,
        }

    def _shown_settings(self) -> dict[str, str]:
        tracer, profiles = self.tracer, self.tracer.profiles
        shown = {"inspected model": self.vae, "fingerprint": tracer.autoencoder.fingerprint[:16]}
        if profiles:
            shown |= {
                "score": ", ".join(one.score for one in profiles),
                "condition": ", ".join(one.condition for one in profiles),
                "false-positive rate": ", ".join(shown_rate(one.stated_fpr, one.fpr_bound) for one in profiles),
                "false-negative rate": ", ".join(shown_rate(one.stated_fnr, one.fnr_bound) for one in profiles),
                "calibrated on": ", ".join(dict.fromkeys(one.calibrated_on for one in profiles)),
                "whose calibration": ", ".join(dict.fromkeys(one.calibration for one in profiles)),
            }
        elif tracer.threshold is not None:
            shown["threshold of the loss"] = f"{tracer.threshold:g} (false-positive rate not measured)"
        else:
            shown["calibration"] = "none: rates were measured on other decoders"
        return shown
