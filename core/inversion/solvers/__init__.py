"""Latent inversion solvers, one per module, behind the :class:`Solver` protocol."""

from __future__ import annotations

from ...errors import InvalidSettingError
from .adam_paper import AdamPaper
from .gradient_free import GradientFree
from .protocol import EXACT, FLOOR, Search, Solver, Stopped
from .spectral_lbfgs import SpectralLBFGS
from .whitened_lbfgs import WhitenedLBFGS

SOLVERS: dict[str, type[Solver]] = {
    "adam-paper": AdamPaper,
    "lbfgs-whitened": WhitenedLBFGS,
    "gradient-free": GradientFree,
    "lbfgs-spectral": SpectralLBFGS,
}
DEFAULT_SOLVER = "lbfgs-whitened"

__all__ = [
    "DEFAULT_SOLVER",
    "EXACT",
    "FLOOR",
    "SOLVERS",
    "AdamPaper",
    "GradientFree",
    "Search",
    "Solver",
    "SpectralLBFGS",
    "Stopped",
    "WhitenedLBFGS",
    "make_solver",
]


def make_solver(name: str = DEFAULT_SOLVER, steps: int | None = None) -> Solver:
    """The solver called ``name``; ``steps`` replaces its own number of steps.

    Raises :class:`InvalidSettingError` for an unknown name or fewer than one step.
    """
    if name not in SOLVERS:
        raise InvalidSettingError(f"Unknown solver {name!r}: choose one of {', '.join(SOLVERS)}.")
    if steps is not None and steps < 1:
        raise InvalidSettingError(f"Inversion needs at least 1 step, got {steps}: set steps to 1 or more.")
    return SOLVERS[name]() if steps is None else SOLVERS[name](steps=steps)
