"""A no is given only where a yes could have been seen: what is asked before.

One of the questions, whether the picture lies otherwise than it was made, may find a yes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import InvalidImageError
from ..images.conditions import LOSSY
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles import Profile, placement_profile, was_measured_on
from ..scores.control import regenerated_control
from ..scores.decoder_grid import grid_of
from ..scores.found import Found
from ..scores.grid_contrast import GridContrast
from ..scores.protocol import Score
from ..scores.search import search_placements
from ..verdicts.doubt import History
from ..verdicts.placed import verdict_at_placement
from ..verdicts.verdict import Verdict
from .questions import (
    Checked,
    ask_altered,
    ask_chance,
    ask_fills_cells,
    ask_inverted,
    ask_map,
    ask_pattern,
    ask_reduced,
    ask_smoothness,
    withheld,
)

# Share of the contrast that carries a yes for a picture as it lies: what one must show that was resized, which weakens
# its own trace and another decoder's alike (benchmarks/results/placed.md).
RESIZED_SHARE = 0.6
# Under so much noise, in [0,1], a picture of its own shows about this share of what the decoder's version of it shows
# that is given the noise last (benchmarks/results/retouched.md). Of 8 textured photographs one came to so much.
MUCH_NOISE, NOISY_SHARE = 6 / 255, 0.5
# What a no means where nothing else was looked at.
AS_IT_IS = "no trace in the picture as it is now; a resized or cropped copy would show none either"


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
    quality: int | None = None,
) -> Checked:
    """A ``verdict`` that :func:`looks_further`: what is left of a no, with the reason, or a yes at another placement.

    ``pixels`` ``[1,3,H,W]``: the picture; ``placed``: its whole latent cells, which were scored; ``bound``: what a
    contrast lies below for a yes; ``quality``: of the JPEG file that the picture was, or is taken to have been. First
    the regenerated control; then, for scores that compare places on the grid, the
    search for another placement; then a pattern that repeats as the cells do, a score that few others have,
    whether JPEG left anything of a resize before it, a part of its own or a weak trace of the whole, less fine detail
    than the decoder writes, sides that fill no whole cells, a short inversion of one window, and the ``alterations``
    that the file's metadata own up to.
    """
    if verdict.answer == "inconclusive":
        found = search_placements(autoencoder, pixels, window)
        return _elsewhere(verdict, profile, autoencoder.fingerprint, bound, pixels, found)
    compares = compares_placements(score)
    held = min(bound, profile.acceptance_threshold) if score.name == GridContrast.name else math.inf
    asked, smoother = _control(verdict, profile, score, autoencoder, placed, window, quality, held)
    passes, looks = asked.passes, 0
    if asked.verdict.answer == verdict.answer and compares:
        verdict = asked.verdict  # with its power
        found = search_placements(autoencoder, pixels, window)
        asked = _elsewhere(verdict, profile, autoencoder.fingerprint, bound, pixels, found)
        passes, looks = passes + asked.passes, 0 if found is None else found.looks
    period = grid_of(autoencoder).period if score.needs_grid else autoencoder.spatial_ratio
    questions: tuple[Callable[[Verdict], Checked], ...] = (
        lambda no: ask_pattern(no, pixels, period),
        ask_chance,
    )
    if compares:
        questions += (
            lambda no: ask_reduced(no, autoencoder, placed, window, quality),
            lambda no: ask_map(no, autoencoder, placed, window, quality, score.name == GridContrast.name),
            lambda no: ask_smoothness(no, smoother),
            lambda no: ask_fills_cells(no, pixels, autoencoder.spatial_ratio),
        )
    questions += (lambda no: ask_inverted(no, autoencoder, placed), lambda no: ask_altered(no, alterations))
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
    if quality is not None:
        searched += (
            ", though a picture that was retouched, or reduced to less than two thirds, before it became a JPEG file"
            " may show none"
        )
    elif profile.condition in LOSSY:
        searched += f", though a picture that lost more than {profile.condition} takes may show none"
    basis = f"{no.basis}, and {searched}" if looks else f"{no.basis}: {AS_IT_IS}"
    return Checked(replace(no, basis=basis), passes)


def _control(
    no: Verdict,
    profile: Profile,
    score: Score,
    autoencoder: Autoencoder,
    placed: Tensor,
    window: int | None,
    quality: int | None,
    bound: float,
) -> tuple[Checked, float]:
    """Is even the decoder's own version of the picture, with the noise of this one, not recognised, by all that a yes
    takes, ``bound`` too? And how much smoother the picture is than that version."""
    try:
        control = regenerated_control(score, autoencoder, placed, quality, window)
    except InvalidImageError as error:
        reason = f"the decoder's own version of this picture cannot be judged: {error}"
        return Checked(withheld(no, reason), Passes()), 0.0
    no, is_noisy = replace(no, power=control.value), control.noise >= MUCH_NOISE
    # Of other scores no share is known that a noisy picture keeps.
    kept = (NOISY_SHARE if score.name == GridContrast.name else None) if is_noisy else 1.0
    if kept is not None and profile.accepts(kept * control.value) and kept * control.value <= bound:
        return Checked(no, control.passes), control.smoother
    findings = [f"noise, or as fine a texture, of about {255 * control.noise:.0f} levels"] if is_noisy else []
    held = f"it holds too little detail{' beside its ' + findings[0] if findings else ''}"
    noisy, how = (", with its noise,", "hardly") if is_noisy else ("", "not")
    reason = (
        f"even this decoder's own version of the picture{noisy} is {how} recognised (score {control.value:.3g}), so"
        f" that this one shows no trace ({no.score:.3g}) says nothing: {held}."
    )
    return Checked(withheld(no, reason, *findings), control.passes), control.smoother


def _elsewhere(
    verdict: Verdict, profile: Profile, digest: str, bound: float, pixels: Tensor, found: Found | None
) -> Checked:
    """A yes where the picture was ``found`` to lie, or no answer where it may lie; else ``verdict`` itself."""
    if found is None:
        return Checked(verdict, Passes())
    words, held = found.placement.words, replace(placement_profile(), limits=profile.limits)
    made = found.placement.undo(pixels)
    # What other decoders leave on the same grid differs from decoder to decoder: a rough one takes more for its own.
    share = RESIZED_SHARE if found.placement.size else 1.0
    carries = held.accepts(found.evidence) and found.unseen < share * bound
    yes = None
    # Smaller pictures than the profile's were not measured there either.
    if carries and min(made.shape[-2:]) >= profile.image_sizes[0]:
        history = History.of(made)
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
    return Checked(withheld(verdict, reason, f"a trace may show where the picture is taken as {words}"), found.passes)
