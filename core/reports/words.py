"""A trace and its verdict in words."""

from __future__ import annotations

from ..images.quantiser import ROUNDING_FLOOR
from ..tracing.traced import Traced


def trace_report(traced: Traced, place: tuple[int, int] = (1, 1)) -> str:
    """Several lines of plain text about one picture: answer first, then figures, notes and limits.

    ``place``: its number in a batch and how many there are.
    """
    verdict, passes = traced.verdict, traced.passes
    which = "" if place[1] == 1 else f"image {place[0]} of {place[1]}, "
    lines = [
        f"{verdict.answer.upper()}: {verdict.sentence.removeprefix('Inconclusive: ')}",
        f"{which}inspected model: {traced.model} ({traced.fingerprint[:16]})",
        f"assumed condition: {verdict.condition}; decided by: {verdict.stage}",
        *_history(traced),
        *_inversion(traced),
        f"{passes.encoder} encoder, {passes.decoder} decoder and {passes.backward} backward passes,"
        f" {traced.seconds:.1f} s, {traced.peak_bytes / 2**20:.0f} MiB at most",
        *[f"note: {note}" for note in dict.fromkeys((*traced.picture.facts.notes, *traced.notes))],
        f"limits: {verdict.limits}",
    ]
    return "\n".join(lines)


def _history(traced: Traced) -> list[str]:
    quality = traced.verdict.jpeg_quality
    return [] if quality is None else [f"history: the pixels show a JPEG file of about quality {quality}"]


def _inversion(traced: Traced) -> list[str]:
    inversion = traced.inversion
    if inversion is None:
        return []
    loss, initial = float(inversion.loss[0]), float(inversion.initial_loss[0])
    return [
        f"inversion by {inversion.solver}, stopped by {inversion.stopped_by[0]}: loss {loss:.4g}"
        f" ({loss / ROUNDING_FLOOR:.1f} × the 8-bit floor), at the encoder's start {initial:.4g};"
        f" stored by: {inversion.quantiser[0]}; crop: {inversion.crop}"
    ]
