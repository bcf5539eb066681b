"""``latent-tracer calibrate --generator``: measure one generator's calibrated losses and keep them as a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..core import CalibratedLoss, Generator, Profile, calibrate_origin, load_generator
from ..core.calibration import CalibrationStep
from .console import progress_bar, say, show
from .origin import check_complexity


def calibrate_generator(
    generator: str,
    photographs: list[Tensor],
    generated: list[Tensor],
    others: list[str],
    output: Path,
    *,
    belonging: int,
    complexity: str,
    starts: int,
    solver: str | None,
    steps: int | None,
    condition: str,
    fpr: float,
    fnr: float,
    seed: int,
    device: str,
) -> int:
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

        profile = calibrate_origin(
            score,
            photographs,
            others=siblings,
            belonging=belonging,
            generated=generated,
            condition=condition,
            fpr=fpr,
            fnr=fnr,
            seed=seed,
            calibrated_on=f"{len(photographs)} photographs and {len(siblings)} other generators",
            on_image=advance,
        )
    profile.save(output)
    show(summary(profile, output))
    if profile.stated_fpr > fpr:
        say(f"So few images that do not belong support {profile.stated_fpr:.1%} at best, not {fpr:.1%}: add more.")
    return 0


def summary(profile: Profile, output: Path) -> str:
    """One line: what was calibrated, and the error rates that go with it."""
    rates = profile.error_rates
    low, high = rates["interval_95"]
    return (
        f"{output}: generator {profile.autoencoder}, condition {profile.condition}, false-positive rate"
        f" {profile.stated_fpr:.1%}; accepts {rates['true_positive_rate']:.1%} of belonging samples (95 % interval"
        f" {low:.1%} to {high:.1%})."
    )
