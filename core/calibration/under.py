"""What calibration measures of one sample under one condition, and what each condition keeps of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InvalidImageError
from ..images.conditions import CLEAN, HISTORIES, RESIZES, alter
from ..images.regularity import grid_strength
from ..inversion.memory import out_of_memory_sentence
from ..models.autoencoder import Autoencoder
from ..profiles import Limits
from ..scores.grid_contrast import GridContrast
from ..scores.protocol import Score, on_cells
from ..scores.rough_score import fit_roughness, roughness_of
from ..scores.windows import within_memory
from ..verdicts.doubt import fit_grid
from ..verdicts.localisation import fit_localisation, locate_foreign
from .scores import CollectedScores, Sample

# Samples whose map of foreign regions should be empty; the perturbed ones would only repeat their pictures.
WHOLLY_BELONGING = ("decoded", "generated")


@dataclass(frozen=True)
class Measured:
    """``value``: the score, NaN where there is none; ``sides`` (height, width) in pixels of what it judged; of a
    belonging sample ``grid``, the strength of its own; ``difference``: to the score in bfloat16, ``excess``: of the
    map of foreign regions, each ``None`` where it does not exist or was not asked for."""

    value: float = math.nan
    sides: tuple[int, int] = (0, 0)
    grid: float | None = None
    difference: float | None = None
    excess: float | None = None


@dataclass
class Under(CollectedScores):
    """One condition with its ``score``, and all that was measured ``under`` it."""

    score: Score | None = None
    histories: tuple[str, ...] = ()
    grids: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    excesses: list[float] = field(default_factory=list)

    def alterations(self, sample: Sample) -> tuple[str, ...]:
        """What happens to the pixels of ``sample`` before they are scored."""
        steps = [sample.history] if sample.history else []
        # Scores that undo a resize put the grid of an earlier JPEG back in place as well.
        if not sample.history or self.condition in RESIZES:
            steps.append(self.condition)
        return tuple(steps)

    def key(self, sample: Sample) -> str:
        """The same where the same would be measured: under two conditions, and in a run that is taken up again."""
        assert self.score is not None and sample.pixels is not None
        steps = [step for step in self.alterations(sample) if step != CLEAN]
        said = [self.score.name, self.score.settings, steps, sample.kind, sample.belongs]
        content = sample.pixels.detach().cpu().contiguous().numpy().tobytes()
        return hashlib.sha256(json.dumps([*said, list(sample.pixels.shape)]).encode() + content).hexdigest()

    def measure(self, autoencoder: Autoencoder, sample: Sample) -> Measured:
        """Score ``sample``; one that cannot be scored (flat, too small once altered) has a value of NaN."""
        score, altered = self.score, sample.pixels
        assert score is not None and altered is not None
        try:
            for alteration in self.alterations(sample):
                altered = alter(altered, alteration)
            cropped = on_cells(score, altered, autoencoder.spatial_ratio)
            value = within_memory(
                lambda window: score(autoencoder, cropped, window).value,
                lambda: out_of_memory_sentence("Calibrating on", autoencoder, cropped),
            )[0]
            difference = roughness_of(score, autoencoder, cropped, value)
        except InvalidImageError:
            return Measured()
        excess = None
        if score.name == GridContrast.name and sample.belongs and sample.kind in WHOLLY_BELONGING:
            # A map needs more detail than the score did: a picture without one still calibrates the score.
            with contextlib.suppress(InvalidImageError):
                excess = locate_foreign(autoencoder, cropped).largest_excess
        grid = grid_strength(altered) if sample.belongs else None
        return Measured(value, (cropped.shape[-2], cropped.shape[-1]), grid, difference, excess)

    def keep(self, measured: Measured) -> None:
        """Everything but the score itself, which is added with its sample."""
        if measured.grid is not None:
            self.grids.append(measured.grid)
        if measured.difference is not None and math.isfinite(measured.difference):
            self.differences.append(measured.difference)
        if measured.excess is not None:
            self.excesses.append(measured.excess)

    @property
    def limits(self) -> Limits:
        return Limits(fit_localisation(self.excesses), fit_roughness(self.differences), fit_grid(self.grids))


def histories_of(condition: str, histories: Sequence[str] = HISTORIES) -> list[str]:
    """What each photograph counts as non-belonging after once more, beside ``condition``."""
    if histories and condition != CLEAN and condition not in RESIZES:
        histories = [CLEAN, *histories]
    return [history for history in histories if history != condition]
