"""Save Trace Report: all traced pictures as CSV, JSON and one HTML page."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..core import InvalidSettingError
from ..core.calibration.estimate import shown_time
from ..core.profiles.thresholds import shown_rate
from ..core.reports.folder_report import PAGE_NAME, write_report
from ..core.reports.plain import SHORT_ANSWERS
from ..core.storage.safe_text import clean_text
from ..core.tracing.row import TraceRow, shown_name
from ..core.verdicts.verdict import Answer
from .folder_sockets import RowSocket, UnreadableSocket
from .outcome import told
from .sockets import CATEGORY

FOLDER = "latent-tracer"
MAX_NAME_BYTES = 100
MOST_PROBLEMS = 5


def new_report_folder(name: str) -> Path:
    """A new, numbered folder for the report called ``name`` under ComfyUI's output; nothing is ever overwritten."""
    if not re.fullmatch(r"\w[\w .()+-]*", name) or ".." in name or len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidSettingError(
            f"The name {clean_text(name, 50)!r} cannot name a report: use letters, digits, spaces, dots, dashes and"
            " underscores."
        )
    output = os.path.realpath(folder_paths.get_output_directory())
    parent = os.path.realpath(os.path.join(output, FOLDER))
    if os.path.commonpath((output, parent)) != output:
        raise InvalidSettingError(f"output/{FOLDER} is a link that leads elsewhere: remove it.")
    for number in range(1, 100_000):
        path = Path(parent, f"{name}_{number:05}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InvalidSettingError(f"output/{FOLDER} cannot be written ({error.strerror}): allow it.") from None
        return path
    raise InvalidSettingError(f"There are too many reports called {name!r}: choose another name.")


class SaveTraceReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerSaveReport",
            display_name="Save Trace Report",
            category=CATEGORY,
            description="All traced pictures in one table: CSV, JSON, and a page that sorts without a server.",
            search_aliases=["trace report", "csv", "html report", "provenance report", "batch verdicts"],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                RowSocket.Input("row", tooltip="From Trace Image; every picture of the folder becomes a line."),
                UnreadableSocket.Input(
                    "unreadable",
                    optional=True,
                    tooltip="From Load Images to Trace: files that could not be read are lines too.",
                ),
                io.String.Input(
                    "name",
                    default="report",
                    tooltip="The report is saved under output/latent-tracer in a new folder of this name and a number.",
                ),
            ],
            outputs=[
                io.String.Output("summary", tooltip="How many of each answer."),
                io.String.Output("path", tooltip="The page's place under ComfyUI's output."),
            ],
        )

    @classmethod
    def execute(
        cls, row: list[Any], name: list[str], unreadable: list[tuple[TraceRow, ...]] | None = None
    ) -> io.NodeOutput:
        rows = [one for entry in row for one in (entry if isinstance(entry, tuple) else (entry,))]
        failed = [one for rows_of_folder in unreadable or [] for one in rows_of_folder]
        if not rows or not all(isinstance(one, TraceRow) for one in (*rows, *failed)):
            raise InvalidSettingError("The row input holds no traced picture: connect the row output of Trace Image.")
        everything = sorted([*rows, *failed], key=lambda one: one.name)
        folder = new_report_folder(name[0])
        line = write_report(folder, everything, settings_of(rows))
        place = f"{FOLDER}/{folder.name}/{PAGE_NAME}"
        report = "\n".join([*problems(everything), time_words(rows), line, f"saved as output/{place}"])
        return io.NodeOutput(
            line, place, ui=told(cls, f"Report on {len(everything)} pictures", report, counts(everything))
        )


def counts(rows: list[TraceRow]) -> list[tuple[str, int, Answer | None]]:
    """How many got each answer, for the node's picture."""
    answers: tuple[Answer, ...] = ("belonging", "non-belonging", "inconclusive")
    found: list[tuple[str, int, Answer | None]] = [
        (f"{SHORT_ANSWERS[answer]} ({answer})", sum(row.verdict == answer for row in rows), answer)
        for answer in answers
    ]
    return [*found, ("not traced", sum(row.verdict is None for row in rows), None)]


def problems(rows: list[TraceRow]) -> list[str]:
    """The files without an answer, and why."""
    failed = [row for row in rows if row.verdict is None]
    shown = [f"not traced: {shown_name(row)}: {clean_text(row.error, 200)}" for row in failed[:MOST_PROBLEMS]]
    return [*shown, f"and {len(failed) - MOST_PROBLEMS} more"] if len(failed) > MOST_PROBLEMS else shown


def time_words(rows: list[TraceRow]) -> str:
    return f"traced in {shown_time(sum(row.seconds or 0 for row in rows))}"


def settings_of(rows: list[TraceRow]) -> dict[str, str]:
    """What the rows have in common, each value once."""
    shown = {
        "inspected model": (row.model for row in rows),
        "fingerprint": (row.fingerprint[:16] for row in rows),
        "condition": (row.condition for row in rows),
        "stated false-positive rate": (shown_rate(row.fpr) for row in rows),
    }
    return {name: ", ".join(dict.fromkeys(filter(None, values))) for name, values in shown.items()}
