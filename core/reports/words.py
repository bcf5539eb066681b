"""A trace and its verdict in words."""

from __future__ import annotations

from ..images.quantiser import ROUNDING_FLOOR
from ..inversion.latents import Inversion
from ..tracing.traced import Traced
from .plain import plain_verdict


def trace_report(traced: Traced, place: tuple[int, int] = (1, 1)) -> str:
    """Several lines of plain text about one picture: the answer in plain words, how often it is wrong and what to do
    next, then the same with its figures, notes and limits.

    ``place``: its number in a batch and how many there are.
    """
    plain = plain_verdict(traced.verdict, traced.model)
    which = "" if place[1] == 1 else f"image {place[0]} of {place[1]}: "
    lines = [
        f"{which}{plain.headline}",
        plain.certainty,
        f"Next: {plain.advice}",
        traced.verdict.line,
        f"inspected model: {traced.model} ({traced.fingerprint[:16]})",
        *explanation(traced),
        f"limits: {traced.verdict.limits}",
    ]
    return "\n".join(lines)


def explanation(traced: Traced) -> list[str]:
    """What the answer was decided by, at what cost, and notes."""
    verdict, passes = traced.verdict, traced.passes
    return [
        f"assumed condition: {verdict.condition}; decided by: {verdict.stage}",
        *_history(traced),
        *_inversion(traced),
        f"{passes.encoder} encoder, {passes.decoder} decoder and {passes.backward} backward passes,"
        f" {traced.seconds:.1f} s, {traced.peak_bytes / 2**20:.0f} MiB at most",
        *[f"note: {note}" for note in dict.fromkeys((*traced.picture.facts.notes, *traced.notes))],
    ]


def _history(traced: Traced) -> list[str]:
    quality = traced.verdict.jpeg_quality
    return [] if quality is None else [f"history: the pixels show a JPEG file of about quality {quality}"]


def _inversion(traced: Traced) -> list[str]:
    inversion = traced.inversion
    if inversion is None:
        return []
    loss, initial = float(inversion.loss[0]), float(inversion.initial_loss[0])
    # A picture with more than 8 bits, or straight from the decoder, has no such floor.
    eight_bit = inversion.quantiser[0] != "none"
    floor = f" ({loss / ROUNDING_FLOOR:.1f} × the 8-bit floor)" if eight_bit else ""
    return [
        f"inversion by {inversion.solver}, stopped by {inversion.stopped_by[0]}: loss {loss:.4g}{floor},"
        f" at the encoder's start {initial:.4g}; stored by: {inversion.quantiser[0]}; crop: {inversion.crop}",
        *_reproduced(inversion),
    ]


def _reproduced(inversion: Inversion) -> list[str]:
    share = next(iter(inversion.reproduced), None)
    if share is None:
        return []
    values = inversion.images[0].numel()
    text = f"stored values reproduced: {round(share * values):,} of {values:,}"
    if inversion.certified[0]:
        text += "; certificate: this decoder can write exactly these pixels"
    return [text, *_at_floor(inversion)]


def _at_floor(inversion: Inversion) -> list[str]:
    blocks = inversion.floor_blocks[0]
    if blocks is None or blocks.share is None:
        return []
    found, telling = int(blocks.at_floor.sum()), int(blocks.telling.sum())
    return [f"blocks explained down to the 8-bit floor: {found:,} of {telling:,} with detail"]
