"""A no is given only where a yes could have been seen: what is asked before, from the cheapest to the dearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import InvalidImageError, LatentTracerError
from ..images.quantiser import ROUNDING_FLOOR
from ..images.regularity import repeated_pattern
from ..inversion.latents import invert
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles import Profile
from ..scores.control import control_score
from ..scores.decoder_grid import grid_of
from ..scores.protocol import Score
from ..scores.search import search_placements
from ..scores.windows import windows_of
from ..verdicts.verdict import Verdict

# An inverted loss of so many times the 8-bit floor is what the decoder's own pictures come to, whatever their latents.
# The two photographs that were tried stayed above 230, pictures of empty latents ended at 1 to 8; no benchmark has it.
NEAR_THE_FLOOR = 60.0
# A pattern that repeats as the cells do, this much, is a decoder's own writing where its latent is empty or smooth,
# which no score can tell from another's: of forty pictures of smooth latents of five decoders the least had 0.09, of
# 72 photographs and generated pictures the most 0.05.
CELL_PATTERN = 0.08
# What a no means where nothing else was looked at.
AS_IT_IS = "no trace in the picture as it is now; a resized or cropped copy would show none either"
# Before a no, one window of so many latent cells is inverted by so many steps.
INVERTED_CELLS, STEPS = 16, 12


def checked_refusal(
    verdict: Verdict,
    profile: Profile,
    score: Score,
    autoencoder: Autoencoder,
    pixels: Tensor,
    placed: Tensor,
    window: int | None = None,
    alterations: Sequence[str] = (),
) -> tuple[Verdict, Passes]:
    """A non-belonging ``verdict``, or inconclusive with the reason, and the passes that the question took.

    ``pixels`` ``[1,3,H,W]``: the picture; ``placed``: its whole latent cells, which were scored. First the regenerated
    control, a pattern that repeats as the cells do, and a short inversion of one window; then, for scores that compare
    places on the grid, the search for another placement; last the ``alterations`` that the file's metadata own up to.
    """
    try:
        control = control_score(score, autoencoder, placed, verdict.jpeg_quality, window)
    except InvalidImageError as error:
        return _withheld(verdict, f"the decoder's own version of this picture cannot be judged: {error}"), Passes()
    passes = control.passes
    verdict = replace(verdict, power=control.value)
    if not profile.accepts(control.value):
        reason = (
            f"even this decoder's own version of the picture is not recognised (score {control.value:.3g}), so that"
            f" this one shows no trace ({verdict.score:.3g}) says nothing: it holds too little detail."
        )
        return _withheld(verdict, reason), passes
    finds_cells = getattr(score, "finds_cells", False)
    period = grid_of(autoencoder).period if score.needs_grid else autoencoder.spatial_ratio
    if repeated_pattern(pixels, period) > CELL_PATTERN:
        finding = f"a pattern that repeats every {period} pixels"
        reason = (
            f"it shows {finding}, as this decoder's cells do where it has little to say, and there its own pictures"
            f" show no more of a trace (score {verdict.score:.3g})."
        )
        return replace(_withheld(verdict, reason), state=(*verdict.state, finding)), passes
    loss, spent = _inverted_loss(autoencoder, placed)
    passes += spent
    contrary = contradicted(verdict, loss)
    if contrary.answer == "inconclusive":
        return contrary, passes
    if not score.needs_grid or finds_cells:
        return replace(verdict, basis=f"{verdict.basis}: {AS_IT_IS}"), passes
    found = search_placements(autoencoder, pixels, window)
    passes += found.passes if found else Passes()
    if found is not None and found.is_sign:
        reason = (
            f"as the picture lies it shows no trace of this decoder (score {verdict.score:.3g}), but taken as"
            f" {found.placement.words} it does ({found.score:.3g}, the lowest of {found.looks} placements; how often"
            " other pictures come so low was not calibrated): trace it as it was before."
        )
        state = (*verdict.state, f"a trace shows where the picture is taken as {found.placement.words}")
        return replace(_withheld(verdict, reason), state=state), passes
    if alterations:
        named = ", ".join(alterations)
        reason = (
            f"it shows no trace of this decoder (score {verdict.score:.3g}), but the file's own graph says that it went"
            f" through {named} after it was decoded: trace it as it was before."
        )
        state = (*verdict.state, f"the file's own graph says: {named} after decoding")
        return replace(_withheld(verdict, reason), state=state), passes
    if found is None:
        return replace(verdict, basis=f"{verdict.basis}: {AS_IT_IS}"), passes
    searched = (
        f"{verdict.basis}, and under {found.looks} other placements none shows a trace (one change at a time was tried)"
    )
    return replace(verdict, basis=searched), passes


def _inverted_loss(autoencoder: Autoencoder, image: Tensor) -> tuple[float, Passes]:
    """The loss that a short inversion of the window of most detail ends with; infinite where it cannot be run.

    Of a decoder without a gradient, or where a backward pass does not fit, the other questions have to do.
    """
    cell = autoencoder.spatial_ratio
    side = min(INVERTED_CELLS * cell, *(length // cell * cell for length in image.shape[-2:]))
    window = windows_of(image, cell, side)[0].cut(image)[..., :side, :side]
    try:
        inversion = invert(autoencoder, window, steps=STEPS)
    except (LatentTracerError, MemoryError, RuntimeError):  # torch's own errors are RuntimeErrors
        return math.inf, Passes()
    return float(inversion.loss[0]), inversion.passes[0]


def contradicted(verdict: Verdict, loss: float) -> Verdict:
    """``verdict`` after an inversion that ended with ``loss``: a no falls where the decoder explains the picture."""
    if verdict.answer != "non-belonging" or verdict.threshold is not None or loss > NEAR_THE_FLOOR * ROUNDING_FLOOR:
        return verdict
    reason = (
        f"its score {verdict.score:.3g} shows no trace, but the inversion explains the picture down to"
        f" {loss / ROUNDING_FLOOR:.1f} times the 8-bit floor, as it explains this decoder's own."
    )
    return _withheld(verdict, reason)


def _withheld(verdict: Verdict, reason: str) -> Verdict:
    return replace(verdict, answer="inconclusive", basis=reason)
