"""The one road from a picture to an answer: what every face of the program asks for, and only displays.

A :class:`Tracer` is an inspected model with its calibrations. ``trace`` answers from the score's own passes; what the
inversion adds to the picture of the answer is asked for by ``explain``, afterwards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError, LatentTracerError, NotEnoughMemoryError, is_out_of_memory
from ..files.picture import FileFacts, Picture
from ..images.quantiser import Quantiser
from ..images.tensors import Crop, check_images, whole_cells
from ..inversion.latents import Inversion, Step, invert
from ..inversion.memory import PeakMemory, out_of_memory_sentence
from ..inversion.solvers import DEFAULT_SOLVER
from ..models.autoencoder import Autoencoder
from ..profiles import InvalidProfileError, Profile, builtin_profile, default_profile, placement_profile
from ..scores import make_score, on_cells
from ..scores.contrast_map import ContrastMap, contrast_map
from ..scores.decoder_grid import NoGridError, grid_of
from ..scores.grid_contrast import GridContrast
from ..scores.own_check import own_check
from ..scores.protocol import Scored
from ..scores.rough_score import score_as_exact_as_needed
from ..scores.windows import WHOLE_PIXELS, WINDOWS, within_memory
from ..storage.safe_text import clean_text
from ..verdicts.attribution import Judged
from ..verdicts.doubt import History, profile_for, stored_quality, with_own_grid
from ..verdicts.uncalibrated import default_bound, for_cells, like_its_own
from ..verdicts.verdict import Verdict, verdict_from_default_profile, verdict_from_profile, verdict_from_threshold
from .questions import contradicted
from .refusal import checked, looks_further
from .row import TraceRow, traced_row
from .traced import Traced
from .watched import OnPass, passes_told

# One look, of every window: what most pictures take.
USUAL_PASSES = 4
# Both networks, of what is asked before a no.
USUAL_SEARCH = 400


class Tracer:
    """An inspected model with the calibrations that answer for it.

    ``profiles``: one for each condition; ``None``: the one that ships for these weights, if there is one. Without any
    the default profile of other decoders answers, and says so. ``threshold``: instead, the inverted loss below
    which a picture belongs (LatentTracer's own rule), at the price of an inversion each. ``name``: what the user calls
    the model; ``known_as``: by what names a picture's metadata may call it. ``solver``, ``steps`` and ``quantiser`` are
    those of inversions. Raises :class:`InvalidProfileError` for a profile of other weights or settings, and two for one
    condition, :class:`InvalidSettingError` for profiles and a threshold at once, and one that is not positive.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        profiles: Profile | Sequence[Profile] | None = None,
        *,
        threshold: float | None = None,
        name: str = "",
        known_as: Sequence[str] = (),
        solver: str = DEFAULT_SOLVER,
        steps: int | None = None,
        quantiser: Quantiser = "auto",
    ) -> None:
        self.autoencoder = autoencoder
        self.name = name or autoencoder.name
        self.known_as = tuple(known_as) or (self.name,)
        self.threshold = threshold
        self.solver, self.steps, self.quantiser = solver, steps, quantiser
        self.is_builtin = profiles is None and threshold is None
        if threshold is not None:
            verdict_from_threshold(0.0, threshold)  # raises for a threshold that is none
            if profiles:
                raise InvalidSettingError("Give either a profile or a threshold: they answer for different scores.")
        if self.is_builtin:
            profiles = list(filter(None, [builtin_profile(autoencoder.fingerprint)]))
        given = [profiles] if isinstance(profiles, Profile) else list(profiles or [])
        for profile in given:
            score = make_score(profile.score)
            profile.check(autoencoder.fingerprint, score.name, dict(score.settings))
        conditions = [profile.condition for profile in given]
        for condition in conditions:
            if conditions.count(condition) > 1:
                raise InvalidProfileError(
                    f"Two of the profiles are for the condition {condition}: give one profile for each condition."
                )
        self.profiles = tuple(given)

    def trace(
        self,
        picture: Picture,
        on_pass: OnPass | None = None,
        history: History | None = None,
        checks_refusal: bool = True,
    ) -> Traced:
        """Judge one picture. ``on_pass`` cancels by raising; ``history``: where the pixels were already asked.

        ``checks_refusal``: before a no, look whether a yes could have been seen (:mod:`.refusal`); without, a no says
        only that the picture shows no trace as it is.

        A picture that holds nothing to judge by (one colour, too small), and a decoder without a grid, are inconclusive
        with the reason. Sides beyond the last whole latent cell are not looked at. Raises
        :class:`InvalidProfileError` for a profile made on another grid, :class:`NotEnoughMemoryError` where not even
        the smallest windows fit, and with a threshold what :func:`invert` raises.
        """
        began = time.perf_counter()
        traced = Traced(picture, self.name, self.autoencoder.fingerprint, _NOT_YET, 0.0, 0)
        with (
            PeakMemory(self.autoencoder.device) as memory,
            passes_told(self.autoencoder, on_pass, expected_passes(picture)) as told,
        ):
            if self.threshold is None:
                traced = self._judged(*told, traced, history, checks_refusal)
            else:
                tell = None if on_pass is None else _steps_told(on_pass)
                inversion = self._inversion(picture, self.steps, tell)
                verdict = verdict_from_threshold(float(inversion.loss[0]), self.threshold)
                traced = replace(traced, verdict=verdict, inversion=inversion)
        return replace(traced, seconds=time.perf_counter() - began, peak_bytes=memory.peak)

    def explain(
        self, traced: Traced, steps: int | None = None, on_step: Callable[[Step], None] | None = None
    ) -> Inversion:
        """The inversion behind the picture of an answer. Raises as :func:`invert` does."""
        return traced.inversion or self._inversion(traced.picture, steps or self.steps, on_step)

    def explained(
        self, traced: Traced, steps: int | None = None, on_step: Callable[[Step], None] | None = None
    ) -> Traced:
        """``traced`` with its explanation, or with a note on why there is none.

        The answer stands, but for a no that the inversion contradicts: that becomes inconclusive.
        """
        if traced.inversion is not None:
            return traced
        began = time.perf_counter()
        try:
            inversion = self.explain(traced, steps, on_step)
        except (LatentTracerError, MemoryError, RuntimeError) as error:  # torch's own errors are RuntimeErrors
            note = f"there is no explanation, the inversion failed: {clean_text(str(error), 500)}"
            return replace(traced, notes=(*traced.notes, note), is_complete=not _may_pass(error))
        return replace(
            traced,
            verdict=contradicted(traced.verdict, float(inversion.loss[0]), inversion.floor_blocks[0]),
            inversion=inversion,
            seconds=traced.seconds + time.perf_counter() - began,
            peak_bytes=max(traced.peak_bytes, *inversion.peak_bytes),
            notes=tuple(dict.fromkeys((*traced.notes, *inversion.notes))),
        )

    def judged(
        self,
        picture: Picture,
        on_pass: OnPass | None = None,
        history: History | None = None,
        checks_refusal: bool = True,
    ) -> Judged:
        """This model's answer as one candidate of an attribution; ``checks_refusal`` as for :meth:`trace`.

        Raises :class:`InvalidProfileError` without a profile, and as :meth:`trace` does.
        """
        if not self.profiles:
            raise InvalidProfileError(
                f"No profile fits {self.name} ({self.autoencoder.fingerprint[:8]}) and none ships for it: calibrate it"
                " first."
            )
        traced = self.trace(picture, on_pass, history, checks_refusal)
        contrasts = None if traced.verdict.answer == "non-belonging" else self._contrasts(traced)
        return Judged(self.name, traced.verdict, traced.profile or self.profiles[0], traced.history, contrasts)

    def _contrasts(self, traced: Traced) -> ContrastMap | None:
        """Where ``traced``'s picture shows the trace, to be held against another candidate's; ``None`` where no places
        were compared, or those of another placement."""
        score = None if traced.profile is None or traced.scored is None else make_score(self.profiles[0].score)
        if score is None or not score.needs_grid or traced.placement is not None:
            return None
        placed = on_cells(score, check_images(traced.picture.pixels), self.autoencoder.spatial_ratio)
        found, _ = within_memory(
            lambda window: contrast_map(self.autoencoder, placed, window),
            lambda: out_of_memory_sentence("Comparing candidates on", self.autoencoder, placed),
        )
        return found

    def row(self, traced: Traced) -> TraceRow:
        """The line of a report about ``traced``."""
        return traced_row(traced, self.known_as)

    def _inversion(self, picture: Picture, steps: int | None, on_step: Callable[[Step], None] | None) -> Inversion:
        # Cut at the corner, as for the answer: a crop about the centre could leave the decoder's grid.
        placed = whole_cells(picture.pixels, self.autoencoder.spatial_ratio)
        inversion = invert(
            self.autoencoder, placed, solver=self.solver, steps=steps, quantiser=self.quantiser, on_step=on_step
        )
        (height, width), (whole_height, whole_width) = placed.shape[-2:], picture.pixels.shape[-2:]
        return replace(inversion, crop=Crop(0, 0, width, height, whole_width, whole_height))

    def _judged(
        self,
        autoencoder: Autoencoder,
        expect: Callable[[int], None],
        traced: Traced,
        history: History | None,
        checks_refusal: bool,
    ) -> Traced:
        """By the score of the profile whose condition is nearest to what the pixels show, or the default profile's."""
        profile = self.profiles[0] if self.profiles else default_profile()
        facts = traced.picture.facts
        try:
            pixels = check_images(traced.picture.pixels)
            history = history or History.of(pixels)
            if self.profiles:
                profile = profile_for(history, self.profiles, facts.format)
            score = make_score(profile.score)
            placed = on_cells(score, pixels, autoencoder.spatial_ratio)
            if score.needs_grid:
                grid = grid_of(self.autoencoder)
                if self.profiles:
                    profile.check(autoencoder.fingerprint, score.name, dict(score.settings), grid)
            like = profile.like(history.jpeg_quality)
            scored, side = within_memory(
                lambda window: score_as_exact_as_needed(like, score, autoencoder, placed, window),
                lambda: out_of_memory_sentence("Judging", autoencoder, placed),
            )
        except (InvalidImageError, NoGridError) as error:
            verdict = Verdict("inconclusive", math.nan, str(error), condition=profile.condition, stage="not scored")
            return replace(traced, verdict=verdict, history=history)
        verdict, notes, bound = self._verdict(scored, profile, placed, facts, history)
        placement = None
        if checks_refusal and looks_further(verdict, score, history):
            expect(USUAL_SEARCH)
            open_, quality = verdict, stored_quality(history, profile, facts.lossy)
            found, _ = within_memory(
                lambda window: checked(
                    open_,
                    profile,
                    score,
                    autoencoder,
                    pixels,
                    placed,
                    bound,
                    window or side,
                    facts.claims.alterations,
                    quality,
                ),
                lambda: out_of_memory_sentence("Looking for other placements", autoencoder, placed),
            )
            scored = replace(scored, passes=scored.passes + found.passes)
            verdict, placement = found.verdict, found.placement
        if side is not None:
            notes.append(f"memory is tight: windows of {side} pixels stand for the picture")
        if placed.shape != pixels.shape:
            rest = f"{pixels.shape[-1] - placed.shape[-1]} columns and {pixels.shape[-2] - placed.shape[-2]} rows"
            notes.append(f"{rest} of pixels, right and below, fill no latent cell and were not looked at")
        return replace(
            traced,
            verdict=verdict,
            history=history,
            profile=profile if placement is None else placement_profile(),
            scored=scored,
            notes=tuple(notes),
            placement=placement,
        )

    def _verdict(
        self, scored: Scored, profile: Profile, placed: Tensor, facts: FileFacts, history: History
    ) -> tuple[Verdict, list[str], float]:
        """The answer by a profile of this decoder, else by the default profile, notes, and what a contrast lies below
        for a yes at another placement, whatever score the answer is by."""
        side = min(placed.shape[-2:])
        if self.profiles:
            verdict = verdict_from_profile(
                scored.value, profile, scored.stage, shortest_side=side, lossy=facts.lossy, history=history,
                file_format=facts.format,
            )  # fmt: skip
            contrasts = [one for one in self.profiles if one.score == GridContrast.name]
            if profile not in contrasts:
                return verdict, [], profile_for(history, contrasts).acceptance_threshold if contrasts else -math.inf
            return verdict, [], profile.acceptance_threshold
        check, _ = within_memory(
            lambda _: own_check(self.autoencoder, profile),
            lambda: out_of_memory_sentence("Checking the decoder on its own pictures", self.autoencoder, placed),
        )
        profile = for_cells(profile, self.autoencoder.spatial_ratio)
        # A rough decoder leaves a grid in what it makes, which speaks against a yes only where the score is not as low.
        verdict = verdict_from_default_profile(
            scored.value,
            with_own_grid(profile, check.grids) if scored.value <= check.weakest else profile,
            scored.stage,
            is_recognised=check.passed,
            check=check.words,
            shortest_side=side,
            lossy=facts.lossy,
            history=history,
        )
        verdict = like_its_own(verdict, profile, check.typical)
        return verdict, [check.advice], default_bound(profile, check.typical)


def _may_pass(error: Exception) -> bool:
    """Whether another run may succeed."""
    return isinstance(error, NotEnoughMemoryError) or is_out_of_memory(error)


_NOT_YET = Verdict("inconclusive", math.nan, "not judged yet")


def expected_passes(picture: Picture) -> int:
    """Of both networks, for an answer to most pictures of that size."""
    return USUAL_PASSES * (1 if math.prod(picture.pixels.shape[-2:]) <= WHOLE_PIXELS else WINDOWS)


def _steps_told(on_pass: OnPass) -> Callable[[Step], None]:
    """For a judgement by inversion, whose steps are its progress."""
    return lambda step: on_pass(step.step, step.steps)
