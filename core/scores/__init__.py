"""Scores: image -> number, lower for belonging images; one per module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..errors import InvalidSettingError
from ..images.conditions import RESIZES
from .any_grid import AnyGrid
from .contrast_and_ratio import ContrastAndRatio
from .double_reconstruction import DoubleReconstruction
from .grid_contrast import GridContrast
from .inversion import InversionLoss
from .protocol import Score, Scored, on_cells
from .reconstruction import Reconstruction
from .resized import Resized
from .spectral_ratio import SpectralRatio

# Conditions that move a picture off every grid of whole pixels, and the scores that put it back.
_RESIZED = {condition: f"grid-contrast-resized-{factor:g}" for condition, factor in RESIZES.items()}
# Conditions under which some other score than the default tells best.
_OF_CONDITION = {**_RESIZED, "jpeg-75": ContrastAndRatio.name, "jpeg-30": ContrastAndRatio.name}
SCORES: dict[str, Callable[[], Score]] = {
    "grid-contrast": GridContrast,
    "spectral-ratio": SpectralRatio,
    "reconstruction": Reconstruction,
    "double-reconstruction": DoubleReconstruction,
    "double-reconstruction-homogeneity": lambda: DoubleReconstruction(homogeneity=True),
    "inversion": InversionLoss,
    "grid-contrast-any-grid": AnyGrid,
    **{name: partial(Resized, RESIZES[condition]) for condition, name in _RESIZED.items()},
    ContrastAndRatio.name: ContrastAndRatio,
}
DEFAULT_SCORE = "grid-contrast"

__all__ = ["DEFAULT_SCORE", "SCORES", "Score", "Scored", "default_score", "make_score", "on_cells"]


def default_score(condition: str) -> str:
    """The name of the score that pictures in ``condition`` are best judged by."""
    return _OF_CONDITION.get(condition, DEFAULT_SCORE)


def make_score(name: str = DEFAULT_SCORE) -> Score:
    """The score called ``name`` with its standard settings; raises :class:`InvalidSettingError` if there is none."""
    if name == "ronan":
        raise InvalidSettingError(
            "Scores called 'ronan' are those of a generator inverted from random starts: judge them with"
            " `latent-tracer origin"
            " --generator` or the Origin Verdict node, not with a trace of a VAE."
        )
    if name not in SCORES:
        raise InvalidSettingError(f"Unknown score {name!r}: choose one of {', '.join(SCORES)}.")
    return SCORES[name]()
