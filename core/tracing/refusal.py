"""A no is given only where a yes could have been seen: what is asked before.

One of the questions, whether the picture lies otherwise than it was made, may find a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import InvalidImageError, LatentTracerError
from ..images.canvas import content_box
from ..images.quantiser import ROUNDING_FLOOR
from ..images.regularity import repeated_pattern
from ..inversion.floor_blocks import FloorBlocks
from ..inversion.latents import Inversion, invert
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles import Profile, placement_profile, was_measured_on
from ..scores.contrast_map import map_where_promising
from ..scores.control import control_score
from ..scores.decoder_grid import grid_of
from ..scores.found import SIGN_EVIDENCE, Found
from ..scores.placement import Placement
from ..scores.protocol import Score
from ..scores.search import search_placements, seen_if_reduced
from ..scores.windows import windows_of
from ..verdicts.doubt import History
from ..verdicts.own_part import OWN_PART, own_part
from ..verdicts.placed import verdict_at_placement
from ..verdicts.verdict import Verdict

# An inverted loss of so many times the 8-bit floor is what the decoder's own pictures come to, whatever their latents.
# The two photographs that were tried stayed above 230, pictures of empty latents ended at 1 to 8; no benchmark has it.
NEAR_THE_FLOOR = 60.0
# So many blocks at the floor are no chance: of sharp pictures from elsewhere none had one, of blurred ones, where few
# blocks count, 5 of 164 (benchmarks/results/floor-blocks.md).
EXPLAINED_BLOCKS = 3
# A pattern that repeats as the cells do, this much, is a decoder's own writing where its latent is empty or smooth,
# which no score can tell from another's: of forty pictures of smooth latents of five decoders the least had 0.09, of
# 72 photographs and generated pictures the most 0.05.
CELL_PATTERN = 0.08
# Share of the contrast that carries a yes for a picture as it lies: what one must show that was resized, which weakens
# its own trace and another decoder's alike (benchmarks/results/placed.md).
RESIZED_SHARE = 0.6
# JPEG after a resize takes what the resize left. A JPEG file gets its no only where the decoder's own version of it,
# reduced so and stored alike, would show twice the evidence of a sign: own pictures show half of their control's and
# more (benchmarks/results/signs.md).
REDUCED, VISIBLE = 2 / 3, 2 * SIGN_EVIDENCE
# What a no means where nothing else was looked at.
AS_IT_IS = "no trace in the picture as it is now; a resized or cropped copy would show none either"
# A part of its own shows by more than this share of its excess in a rough map: half of a picture by 0.7 to 1 of it.
ROUGH_SHARE = 0.55
# Before a no, one window of so many latent cells is inverted by so many steps.
INVERTED_CELLS, STEPS = 16, 12


@dataclass(frozen=True)
class Checked:
    """A ``verdict`` after these questions, the ``passes`` they took, and the ``placement`` that a yes rests on."""

    verdict: Verdict
    passes: Passes
    placement: Placement | None = None


def looks_further(verdict: Verdict, score: Score, history: History) -> bool:
    """Whether another placement of the picture could change ``verdict``: for a no, and where a lossy file took so much
    of the trace that there is no answer."""
    if verdict.answer != "inconclusive":
        return verdict.answer == "non-belonging"
    is_lossy = history.jpeg_quality is not None or history.was_lossy
    return verdict.fpr is not None and is_lossy and not history.repeats and compares_placements(score)


def compares_placements(score: Score) -> bool:
    return score.needs_grid and not getattr(score, "finds_cells", False)


def checked(
    verdict: Verdict,
    profile: Profile,
    score: Score,
    autoencoder: Autoencoder,
    pixels: Tensor,
    placed: Tensor,
    bound: float,
    window: int | None = None,
    alterations: Sequence[str] = (),
) -> Checked:
    """A ``verdict`` that :func:`looks_further`: what is left of a no, with the reason, or a yes at another placement.

    ``pixels`` ``[1,3,H,W]``: the picture; ``placed``: its whole latent cells, which were scored; ``bound``: what a
    score lies below for a yes. First the regenerated control; then, for scores that compare places on the grid, the
    search for another placement; then a pattern that repeats as the cells do, whether JPEG left anything of a resize
    before it, a part of its own, sides that fill no whole cells, a short inversion of one window, and the
    ``alterations`` that the file's metadata own up to.
    """
    if verdict.answer == "inconclusive":
        found = search_placements(autoencoder, pixels, window)
        return _elsewhere(verdict, profile, autoencoder.fingerprint, bound, pixels, found)
    compares = compares_placements(score)
    asked = _control(verdict, profile, score, autoencoder, placed, window)
    passes, looks = asked.passes, 0
    if asked.verdict.answer == verdict.answer and compares:
        verdict = asked.verdict  # with its power
        found = search_placements(autoencoder, pixels, window)
        asked = _elsewhere(verdict, profile, autoencoder.fingerprint, bound, pixels, found)
        passes, looks = passes + asked.passes, 0 if found is None else found.looks
    questions: tuple[Callable[[Verdict], Checked], ...] = (
        lambda no: _pattern(no, pixels, grid_of(autoencoder).period if score.needs_grid else autoencoder.spatial_ratio),
        lambda no: _reduced_before(no, autoencoder, placed, window) if compares else Checked(no, Passes()),
        lambda no: _own_part(no, autoencoder, placed, window) if compares else Checked(no, Passes()),
        lambda no: _fills_cells(no, pixels, autoencoder.spatial_ratio) if compares else Checked(no, Passes()),
        lambda no: _inverted(no, autoencoder, placed),
        lambda no: _altered(no, alterations),
    )
    for ask in questions:
        if asked.verdict.answer != "non-belonging":
            return replace(asked, passes=passes)
        asked = ask(asked.verdict)
        passes += asked.passes
    if asked.verdict.answer != "non-belonging":
        return replace(asked, passes=passes)
    no = asked.verdict
    searched = (
        f"under {looks} other placements none shows a trace (one change at a time, or mirrored and resized; one reduced"
        " to a third would show none)"
    )
    if no.jpeg_quality is not None:
        searched += ", though a picture that was reduced to less than two thirds before it became a JPEG file may not"
    basis = f"{no.basis}, and {searched}" if looks else f"{no.basis}: {AS_IT_IS}"
    return Checked(replace(no, basis=basis), passes)


def _control(
    no: Verdict, profile: Profile, score: Score, autoencoder: Autoencoder, placed: Tensor, window: int | None
) -> Checked:
    """Is even the decoder's own version of the picture not recognised?"""
    try:
        control = control_score(score, autoencoder, placed, no.jpeg_quality, window)
    except InvalidImageError as error:
        reason = f"the decoder's own version of this picture cannot be judged: {error}"
        return Checked(_withheld(no, reason), Passes())
    no = replace(no, power=control.value)
    if profile.accepts(control.value):
        return Checked(no, control.passes)
    reason = (
        f"even this decoder's own version of the picture is not recognised (score {control.value:.3g}), so that"
        f" this one shows no trace ({no.score:.3g}) says nothing: it holds too little detail."
    )
    return Checked(_withheld(no, reason), control.passes)


def _pattern(no: Verdict, pixels: Tensor, period: int) -> Checked:
    """Does it repeat as the cells do?"""
    if repeated_pattern(pixels, period) <= CELL_PATTERN:
        return Checked(no, Passes())
    finding = f"a pattern that repeats every {period} pixels"
    reason = (
        f"it shows {finding}, as this decoder's cells do where it has little to say, and there its own pictures"
        f" show no more of a trace (score {no.score:.3g})."
    )
    return Checked(_withheld(no, reason, finding), Passes())


def _reduced_before(no: Verdict, autoencoder: Autoencoder, placed: Tensor, window: int | None) -> Checked:
    """Would a trace be left if the picture had been resized before it became a JPEG file?"""
    if no.jpeg_quality is None:
        return Checked(no, Passes())
    evidence, passes = seen_if_reduced(autoencoder, placed, REDUCED, window)
    if evidence < VISIBLE:
        return Checked(no, passes)
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), but it was once a JPEG file of about quality"
        f" {no.jpeg_quality}, and had it been reduced to two thirds before, even this decoder's own version of it would"
        f" show none (evidence {evidence:.2g}): trace it as it was before."
    )
    return Checked(_withheld(no, reason), passes)


def _own_part(no: Verdict, autoencoder: Autoencoder, placed: Tensor, window: int | None) -> Checked:
    """Did the decoder make a part of it?"""
    contrasts = map_where_promising(
        autoencoder, placed, window, lambda rough: own_part(rough).excess > ROUGH_SHARE * OWN_PART
    )
    own = own_part(contrasts)
    if own.part is None:
        return Checked(no, contrasts.passes)
    finding = f"a part {own.words} shows this decoder's trace"
    reason = (
        f"as a whole it shows no trace of this decoder (score {no.score:.3g}), but {finding}"
        f" ({own.excess:.1f} standard errors beyond the rest): trace that part alone, cut out on whole cells."
    )
    return Checked(_withheld(no, reason, finding), contrasts.passes)


def _fills_cells(no: Verdict, pixels: Tensor, cell: int) -> Checked:
    """Could it, or what lies on its canvas, be as a decoder writes it, in whole cells?

    If not, it was cut or resized after whatever decoder made it. The search tried one of the two at a time.
    """
    box = content_box(pixels)
    shapes = [tuple(pixels.shape[-2:]), *([] if box is None else [(box.height, box.width)])]
    if any(height % cell == 0 and width % cell == 0 for height, width in shapes):
        return Checked(no, Passes())
    height, width = shapes[-1]
    finding = f"its {width}×{height} pixels fill no whole cells of {cell}"
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), neither as it lies nor cut, turned or resized back,"
        f" one at a time; but {finding}: whoever made it, it was cut or resized since, and what went through both could"
        " not be seen. Trace it as it was before."
    )
    return Checked(_withheld(no, reason, finding), Passes())


def _inverted(no: Verdict, autoencoder: Autoencoder, placed: Tensor) -> Checked:
    """Does an inversion explain it?"""
    found = _inverted_window(autoencoder, placed)
    if found is None:
        return Checked(no, Passes())
    return Checked(contradicted(no, float(found.loss[0]), found.floor_blocks[0]), found.passes[0])


def _altered(no: Verdict, alterations: Sequence[str]) -> Checked:
    """Does its own graph say that it is no longer as it was decoded?"""
    if not alterations:
        return Checked(no, Passes())
    named = ", ".join(alterations)
    reason = (
        f"it shows no trace of this decoder (score {no.score:.3g}), but the file's own graph says that it went"
        f" through {named} after it was decoded: trace it as it was before."
    )
    return Checked(_withheld(no, reason, f"the file's own graph says: {named} after decoding"), Passes())


def _elsewhere(
    verdict: Verdict, profile: Profile, digest: str, bound: float, pixels: Tensor, found: Found | None
) -> Checked:
    """A yes where the picture was ``found`` to lie, or no answer where it may lie; else ``verdict`` itself."""
    if found is None:
        return Checked(verdict, Passes())
    words, held = found.placement.words, replace(placement_profile(), limits=profile.limits)
    # What other decoders leave on the same grid differs from decoder to decoder: a rough one takes more for its own.
    share = RESIZED_SHARE if found.placement.size else 1.0
    carries = held.accepts(found.evidence) and found.unseen < share * bound
    yes = None
    if carries:
        history = History.of(found.placement.undo(pixels))
        on_others = not was_measured_on(held, digest)
        yes = verdict_at_placement(verdict, found.evidence, found.tests, held, history, words, on_others)
    if yes is not None:
        return Checked(yes, found.passes, found.placement)
    if verdict.answer == "inconclusive" or not (found.is_sign or carries):
        return Checked(verdict, found.passes)
    own = f", where this decoder's own version of it would have {found.control:.3g}" if found.control < 0 else ""
    reason = (
        f"as the picture lies it shows no trace of this decoder (score {verdict.score:.3g}), but taken as {words} it"
        f" may ({found.score:.3g}, the lowest of {found.looks} placements{own}, in pixels of which too few are left to"
        " say how often others come so low): trace it as it was before."
    )
    return Checked(_withheld(verdict, reason, f"a trace may show where the picture is taken as {words}"), found.passes)


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
    """``verdict`` after an inversion that ended with ``loss``: a no falls where the decoder explains the picture, or
    some ``blocks`` of it wholly."""
    if verdict.answer != "non-belonging" or verdict.threshold is not None:
        return verdict
    explained = 0 if blocks is None else int(blocks.at_floor.sum())
    if explained >= EXPLAINED_BLOCKS:
        reason = (
            f"its score {verdict.score:.3g} shows no trace, but the inversion explains {explained} blocks with detail"
            " down to the 8-bit floor, as it explains this decoder's own work alone: trace that part by itself."
        )
        return _withheld(verdict, reason, f"{explained} blocks explained down to the 8-bit floor")
    if loss > NEAR_THE_FLOOR * ROUNDING_FLOOR:
        return verdict
    reason = (
        f"its score {verdict.score:.3g} shows no trace, but the inversion explains the picture down to"
        f" {loss / ROUNDING_FLOOR:.1f} times the 8-bit floor, as it explains this decoder's own."
    )
    return _withheld(verdict, reason)


def _withheld(verdict: Verdict, reason: str, *findings: str) -> Verdict:
    return replace(verdict, answer="inconclusive", basis=reason, state=(*verdict.state, *findings))
