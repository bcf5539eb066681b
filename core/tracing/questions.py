"""What is asked before a no, of a picture that shows no trace as it lies: could there have been one, and is it gone?

Each question leaves the no as it is, or withholds it with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import LatentTracerError
from ..images.canvas import content_box
from ..images.quantiser import ROUNDING_FLOOR
from ..images.regularity import repeated_pattern
from ..inversion.floor_blocks import FloorBlocks
from ..inversion.latents import Inversion, invert
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..scores.contrast_map import map_where_promising
from ..scores.found import SIGN_EVIDENCE
from ..scores.placement import Placement
from ..scores.search import seen_if_reduced
from ..scores.windows import windows_of
from ..verdicts.own_part import OWN_PART, own_part
from ..verdicts.verdict import Verdict

# Of a picture in which hardly a block tells more than its neighbours do, an inverted loss of so many times the 8-bit
# floor says no more than that it is smooth: pictures of empty latents end at 1 to 8, blurred ones from elsewhere at 1
# to 58 (benchmarks/results/floor-blocks.md). There a no would be as little worth. Of a picture with detail the mean
# says too little: a photograph of a brick wall came to 20 (benchmarks/results/attribution-256-rows.jsonl).
NEAR_THE_FLOOR, SMOOTH_SHARE = 60.0, 0.1
# So many blocks at the floor are no chance, and this share of those that tell, for a large picture has many: of sharp
# pictures from elsewhere none of 2,001 was, of blurred ones, where few blocks count, 5 of 164 (the same report).
EXPLAINED_BLOCKS, EXPLAINED_SHARE = 3, 0.01
# A pattern that repeats as the cells do, this much, is a decoder's own writing where its latent is empty or smooth,
# which no score can tell from another's: of forty pictures of smooth latents of five decoders the least had 0.09, of
# 72 photographs and generated pictures the most 0.05.
CELL_PATTERN = 0.08
# A part of its own shows by more than this share of its excess in a rough map: half of a picture by 0.7 to 1 of it. A
# weak trace of the whole shows by evidence below this.
ROUGH_SHARE, ROUGH_EVIDENCE = 0.55, -0.7
# A weak trace has less evidence than chance leaves, and a contrast of more than this share of the decoder's own
# version's: another decoder's had up to 0.17 of it. Or it scores as few others do, by their rate.
WEAK_SHARE, WEAK_LEVEL, WEAK_TRACE = 0.2, 0.05, "perhaps a weak trace of this decoder"
# By how much less, as a natural logarithm, a picture's finest detail may be than that of the decoder's own version: of
# 24 generated pictures the most had 0.39, of 33 photographs 0.26, of own ones that were blurred by a pixel or more the
# least 0.6 (benchmarks/results/retouched.md).
SMOOTHER = 0.5
# JPEG after a resize takes what the resize left. A JPEG file gets its no only where the decoder's own version of it,
# reduced so and stored alike, would show so much that own pictures, which show a third of their control's and more
# (.36 after ×0.6: benchmarks/results/signs.md), would give a sign.
REDUCED, VISIBLE = 2 / 3, SIGN_EVIDENCE / 0.36
# Before a no, one window of so many latent cells is inverted by so many steps.
INVERTED_CELLS, STEPS = 16, 12


@dataclass(frozen=True)
class Checked:
    """A ``verdict`` after these questions, the ``passes`` they took, and the ``placement`` that a yes rests on."""

    verdict: Verdict
    passes: Passes
    placement: Placement | None = None


def ask_pattern(no: Verdict, pixels: Tensor, period: int) -> Checked:
    """Does it repeat as the cells do?"""
    if repeated_pattern(pixels, period) <= CELL_PATTERN:
        return Checked(no, Passes())
    finding = f"a pattern that repeats every {period} pixels"
    reason = (
        f"it shows {finding}, as this decoder's cells do where it has little to say, and there its own pictures"
        f" show no more of a trace (score {no.score:.3g})."
    )
    return Checked(withheld(no, reason, finding), Passes())


def ask_map(
    no: Verdict,
    autoencoder: Autoencoder,
    placed: Tensor,
    window: int | None,
    quality: int | None = None,
    is_contrast: bool = True,
) -> Checked:
    """Did the decoder make a part of it? Does the whole show a trace that is too weak for a yes?

    ``is_contrast``: whether scores are, so that a share of the control's is known.
    """
    contrasts = map_where_promising(
        autoencoder,
        placed,
        window,
        lambda rough: own_part(rough).excess > ROUGH_SHARE * OWN_PART or rough.evidence() < ROUGH_EVIDENCE,
    )
    own = own_part(contrasts)
    if own.part is not None:
        finding = f"a part {own.words} shows this decoder's trace"
        reason = (
            f"as a whole it shows no trace of this decoder (score {no.score:.3g}), but {finding}"
            f" ({own.excess:.1f} standard errors beyond the rest): trace that part alone, cut out on whole cells."
        )
        return Checked(withheld(no, reason, finding), contrasts.passes)
    evidence, share = contrasts.evidence(), contrasts.contrast() / (no.power or -math.inf) if is_contrast else 1.0
    # The blocks of a JPEG file can give as much.
    if quality is None and evidence < SIGN_EVIDENCE and share > WEAK_SHARE:
        known = f" ({share:.0%} of what the decoder's own version shows)" if is_contrast else ""
        reason = (
            f"it shows {WEAK_TRACE}, too little for a yes (score {no.score:.3g}) and more than most other pictures"
            f" do{known}, as this decoder's own do that were retouched, blurred or given grain since: trace it as it"
            " was before."
        )
        return Checked(withheld(no, reason, WEAK_TRACE), contrasts.passes)
    return Checked(no, contrasts.passes)


def ask_reduced(
    no: Verdict, autoencoder: Autoencoder, placed: Tensor, window: int | None, quality: int | None
) -> Checked:
    """Would a trace be left if the picture had been resized before it became a JPEG file of ``quality``?"""
    if quality is None:
        return Checked(no, Passes())
    evidence, passes = seen_if_reduced(autoencoder, placed, REDUCED, quality, window)
    if evidence < VISIBLE:
        return Checked(no, passes)
    past = "was once a JPEG file of about" if no.jpeg_quality == quality else "is out of a lossy file, perhaps of"
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), but it {past} quality {quality}, and had it been"
        " reduced to two thirds before, even this decoder's own version of it would show too little (evidence"
        f" {evidence:.2g}): trace it as it was before."
    )
    return Checked(withheld(no, reason), passes)


def ask_chance(no: Verdict) -> Checked:
    """Do so few others score as low that chance is a poor explanation?"""
    if no.p_value is None or no.p_value > WEAK_LEVEL:
        return Checked(no, Passes())
    reason = (
        f"its score {no.score:.3g} is too high for a yes, but only {no.p_value:.1%} of other pictures score as low, and"
        " this decoder's own do that were retouched, blurred or given grain since: trace it as it was before."
    )
    return Checked(withheld(no, reason, WEAK_TRACE), Passes())


def ask_smoothness(no: Verdict, smoother: float) -> Checked:
    """Is it ``smoother`` than the decoder writes (see :class:`.Control`)?"""
    if smoother < SMOOTHER:
        return Checked(no, Passes())
    finding = "smoother than this decoder writes"
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), but it is {finding}: its finest detail has"
        f" {math.exp(-smoother):.0%} of the energy of the decoder's own version, as after blurring, denoising or"
        " enlarging, which take a trace away: trace it as it was before, unless it was soft from the start."
    )
    return Checked(withheld(no, reason, finding), Passes())


def ask_fills_cells(no: Verdict, pixels: Tensor, cell: int) -> Checked:
    """Could it, or what lies on its canvas, be as a decoder writes it, in whole cells?

    If not, it was cut or resized after whatever decoder made it. The search tried one of the two at a time.
    """
    box, (tall, wide) = content_box(pixels), pixels.shape[-2:]
    # Bars on two opposite sides, or a frame, are no part of what a decoder wrote.
    is_framed = box is not None and (
        (box.top > 0 and box.top + box.height < tall) or (box.left > 0 and box.left + box.width < wide)
    )
    shapes = [] if is_framed else [(tall, wide)]
    shapes += [] if box is None else [(box.height, box.width)]
    if any(height % cell == 0 and width % cell == 0 for height, width in shapes):
        return Checked(no, Passes())
    height, width = shapes[-1]
    finding = f"its {width}×{height} pixels fill no whole cells of {cell}"
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), neither as it lies nor cut, turned or resized back,"
        f" one at a time; but {finding}: whoever made it, it was cut or resized since, and what went through both could"
        " not be seen. Trace it as it was before."
    )
    return Checked(withheld(no, reason, finding), Passes())


def ask_inverted(no: Verdict, autoencoder: Autoencoder, placed: Tensor) -> Checked:
    """Does an inversion explain it?"""
    found = _inverted_window(autoencoder, placed)
    if found is None:
        return Checked(no, Passes())
    return Checked(contradicted(no, float(found.loss[0]), found.floor_blocks[0]), found.passes[0])


def ask_altered(no: Verdict, alterations: Sequence[str]) -> Checked:
    """Does its own graph say that it is no longer as it was decoded?"""
    if not alterations:
        return Checked(no, Passes())
    named = ", ".join(alterations)
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), but the file's own graph says that it went"
        f" through {named} after it was decoded: trace it as it was before."
    )
    return Checked(withheld(no, reason, f"the file's own graph says: {named} after decoding"), Passes())


def _inverted_window(autoencoder: Autoencoder, image: Tensor) -> Inversion | None:
    """A short inversion of the window of most detail, ``None`` where it cannot be run.

    Of a decoder without a gradient, or where a backward pass does not fit, the other questions have to do.
    """
    cell = autoencoder.spatial_ratio
    side = min(INVERTED_CELLS * cell, *(length // cell * cell for length in image.shape[-2:]))
    window = windows_of(image, cell, side)[0].cut(image)[..., :side, :side]
    try:
        return invert(autoencoder, window, steps=STEPS)
    except (LatentTracerError, MemoryError, RuntimeError):  # torch's own errors are RuntimeErrors
        return None


def contradicted(verdict: Verdict, loss: float, blocks: FloorBlocks | None = None) -> Verdict:
    """``verdict`` after an inversion that ended with ``loss``: a no falls where the decoder explains some ``blocks`` of
    the picture wholly, or all of one that is too smooth to tell whose it is."""
    if verdict.answer != "non-belonging" or verdict.threshold is not None:
        return verdict
    explained, telling = (0, 0) if blocks is None else (int(blocks.at_floor.sum()), int(blocks.telling.sum()))
    if explained >= max(EXPLAINED_BLOCKS, EXPLAINED_SHARE * telling):
        reason = (
            f"its score {verdict.score:.3g} shows no trace, but the inversion explains {explained} blocks with detail"
            " down to the 8-bit floor, as it explains hardly anything but this decoder's own work: trace that part by"
            " itself."
        )
        return withheld(verdict, reason, f"{explained} blocks explained down to the 8-bit floor")
    is_smooth = blocks is None or telling < SMOOTH_SHARE * blocks.telling.numel()
    if loss > NEAR_THE_FLOOR * ROUNDING_FLOOR or not is_smooth:
        return verdict
    reason = (
        f"its score {verdict.score:.3g} shows no trace, but the picture is smooth, and the inversion explains it down"
        f" to {loss / ROUNDING_FLOOR:.1f} times the 8-bit floor: so it would if this decoder had made it."
    )
    return withheld(verdict, reason)


def withheld(verdict: Verdict, reason: str, *findings: str) -> Verdict:
    """No answer where there was a no, for that ``reason``; ``findings`` are added to the picture's state."""
    return replace(verdict, answer="inconclusive", basis=reason, state=(*verdict.state, *findings))
