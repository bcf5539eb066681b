"""``latent-tracer calibrate --generator``: measure one generator's calibrated losses and keep them as a profile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core import CalibratedLoss, Generator, Profile, calibrate_origin, load_generator
from ..core.calibration.pictures import GivenPicture
from ..core.calibration.scores import CalibrationStep
from .console import progress_bar
from .origin import check_complexity


def calibrate_generator(
    generator: str,
    photographs: Iterable[GivenPicture],
    generated: Iterable[GivenPicture],
    others: list[str],
    *,
    belonging: int,
    complexity: str,
    starts: int,
    solver: str | None,
    steps: int | None,
    condition: str,
    fpr: float,
    fnr: float,
    guarantee: float | None,
    seed: int,
    device: str,
) -> Profile:
    """Images that the generator makes belong; photographs and what other generators make do not."""
    inspected = load_generator(generator, device=device)
    siblings: list[Generator] = [
        load_generator(name, image_size=inspected.image_size, device=device) for name in others
    ]
    score = CalibratedLoss(
        inspected, complexity=check_complexity(complexity), starts=starts, solver=solver, steps=steps, seed=seed
    )
    with progress_bar(1, "calibrating") as (progress, task):

        def advance(step: CalibrationStep, progress: Any = progress, task: Any = task) -> None:
            progress.update(task, completed=step.done, total=step.total)

        return calibrate_origin(
            score,
            photographs,
            others=siblings,
            belonging=belonging,
            generated=generated,
            condition=condition,
            fpr=fpr,
            fnr=fnr,
            guarantee=guarantee,
            seed=seed,
            on_image=advance,
        )
