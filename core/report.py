"""A trace and its verdict in words."""

from __future__ import annotations

from .inversion import Inversion
from .quantiser import ROUNDING_FLOOR
from .verdict import Verdict


def trace_report(inversion: Inversion, index: int, verdict: Verdict) -> str:
    """Several lines of plain text about image ``index``: answer first, then figures, notes and limits."""
    loss, initial = float(inversion.loss[index]), float(inversion.initial_loss[index])
    passes = inversion.passes[index]
    lines = [
        f"{verdict.answer.upper()}: {verdict.sentence}",
        f"image {index + 1} of {len(inversion)}, inspected model: {inversion.autoencoder} ({inversion.fingerprint})",
        f"assumed condition: {verdict.condition}; stored by: {inversion.quantiser[index]}; crop: {inversion.crop}",
        *_history(verdict),
        f"loss {loss:.4g} ({loss / ROUNDING_FLOOR:.1f} × the 8-bit floor), at the encoder's start {initial:.4g}",
        f"{inversion.solver}: {passes.encoder} encoder, {passes.decoder} decoder and {passes.backward} backward passes,"
        f" {inversion.seconds[index]:.1f} s{_peak(inversion, index)}, stopped by {inversion.stopped_by[index]}",
        *[f"note: {note}" for note in inversion.notes],
        f"limits: {verdict.limits}",
    ]
    return "\n".join(lines)


def _history(verdict: Verdict) -> list[str]:
    quality = verdict.jpeg_quality
    return [] if quality is None else [f"history: the pixels show a JPEG file of about quality {quality}"]


def _peak(inversion: Inversion, index: int) -> str:
    return f", {inversion.peak_bytes[index] / 2**20:.0f} MiB at most" if inversion.peak_bytes else ""
