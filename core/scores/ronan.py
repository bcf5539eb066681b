"""RONAN's calibrated loss A = L/C (NeurIPS 2023, section 3): what remains, measured by how hard the image is.

A simple image is reconstructed well by any generator, so its loss L is divided by a complexity C. The paper's C is the
two-dimensional entropy of the grey image. The alternative measured here asks the generator itself: x' = G(z*) belongs
by construction and looks like x, so the loss L' that an independent inversion of x' ends with is what belonging costs
for such an image (the regenerated control; the idea of AEDR, AAAI 2026, carried over to random starts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from ..images.entropy import two_dimensional_entropy
from ..images.quantiser import ROUNDING_FLOOR, Quantiser, quantise
from ..images.tensors import to_picture
from ..inversion.inputs import STARTS, InputInversion, invert_inputs, make_input_solver
from ..inversion.latents import Step
from ..inversion.objective import Passes
from ..models.generator import Generator
from .protocol import Scored, Setting, check_single

Complexity = Literal["entropy", "regenerated", "none"]
#: Names this family of scores in profiles; profiles of autoencoders carry other names.
RONAN = "ronan"


def image_entropy(image: Tensor) -> float:
    """Two-dimensional entropy in bits of one image ``[1,3,H,W]`` in [0,1], by its 8-bit luma (ITU-R 601).

    Raises :class:`InvalidImageError` for a flat image: its complexity is zero, and any generator explains it.
    """
    entropy = two_dimensional_entropy(np.asarray(to_picture(image).convert("L")))
    if entropy <= 0:
        raise InvalidImageError("The image is flat: it has no complexity, and nothing in it tells where it came from.")
    return entropy


def score_settings(
    complexity: Complexity, solver: str, steps: int, starts: int, seed: int, prior: str
) -> dict[str, Setting]:
    """What a score depends on besides the weights, as profiles keep it."""
    return {
        "complexity": complexity,
        "solver": solver,
        "steps": steps,
        "starts": starts,
        "seed": seed,
        "prior": prior,
    }


def calibrated_loss(inversion: InputInversion, index: int = 0, complexity: Complexity = "entropy") -> float:
    """A = L/C of image ``index``, where C needs no generator: the entropy, or 1 for ``none``.

    Raises :class:`InvalidImageError` for a flat image, :class:`InvalidSettingError` for the regenerated control.
    """
    loss = float(inversion.loss[index])
    if complexity == "none":
        return loss
    if complexity != "entropy":
        raise InvalidSettingError(f"The complexity {complexity!r} needs the generator itself: choose entropy or none.")
    return loss / image_entropy(inversion.images[index : index + 1])


class CalibratedLoss:
    """A score of images under a generator, lower for belonging ones; its settings make profiles comparable.

    ``complexity``: ``entropy`` as in the paper, ``regenerated`` for the generator's own control image (twice the
    cost), ``none`` for the bare loss. ``solver`` and ``steps`` ``None``: the fastest that fits, at its own length.
    """

    name = RONAN

    def __init__(
        self,
        generator: Generator,
        *,
        complexity: Complexity = "entropy",
        starts: int = STARTS,
        seed: int = 0,
        solver: str | None = None,
        steps: int | None = None,
    ) -> None:
        if complexity not in get_args(Complexity):
            raise InvalidSettingError(
                f"Unknown complexity {complexity!r}: choose one of {', '.join(get_args(Complexity))}."
            )
        if starts < 1:
            raise InvalidSettingError(f"Inversion needs at least 1 start, got {starts}.")
        method = make_input_solver(generator, solver, steps)
        self.generator = generator
        self.complexity: Complexity = complexity
        self.starts, self.seed, self.solver, self.steps = starts, seed, method.name, method.steps
        self.settings = score_settings(complexity, method.name, method.steps, starts, seed, generator.prior)

    def invert(
        self, image: Tensor, quantiser: Quantiser = "auto", on_step: Callable[[Step], None] | None = None
    ) -> InputInversion:
        """The inversion behind the score, for images ``[B,3,H,W]`` in [0,1]."""
        return self._invert(image, self.seed, quantiser, on_step)

    def __call__(
        self, image: Tensor, quantiser: Quantiser = "auto", on_step: Callable[[Step], None] | None = None
    ) -> Scored:
        """Score one image ``[1,3,H,W]`` in [0,1]. Raises :class:`InvalidImageError` for a batch or a flat image."""
        image = check_single(image)
        if self.complexity != "none":
            image_entropy(image)  # refuse a flat image before the search, not after it
        return self.of(self.invert(image, quantiser, on_step), on_step=on_step)

    def of(self, inversion: InputInversion, index: int = 0, on_step: Callable[[Step], None] | None = None) -> Scored:
        """The score of image ``index`` of an inversion that was made with these settings."""
        loss, passes = float(inversion.loss[index]), inversion.passes[index]
        if self.complexity == "regenerated":
            divisor, control = self._control(inversion, index, on_step)
            return Scored(loss / divisor, passes + control, "input inversion", inversion)
        return Scored(calibrated_loss(inversion, index, self.complexity), passes, "input inversion", inversion)

    def _control(
        self, inversion: InputInversion, index: int, on_step: Callable[[Step], None] | None
    ) -> tuple[float, Passes]:
        """L' of the regenerated image, from other starts than its original had; never below the storage floor."""
        stored = inversion.quantiser[index]
        regenerated = quantise(inversion.reconstruction[index : index + 1], stored)
        control = self._invert(regenerated, self.seed + 1, stored, on_step)
        return max(float(control.loss[0]), ROUNDING_FLOOR), control.passes[0]

    def _invert(
        self, image: Tensor, seed: int, quantiser: Quantiser, on_step: Callable[[Step], None] | None
    ) -> InputInversion:
        return invert_inputs(
            self.generator,
            image,
            starts=self.starts,
            seed=seed,
            solver=self.solver,
            steps=self.steps,
            quantiser=quantiser,
            on_step=on_step,
        )


def inversion_settings(inversion: InputInversion, complexity: Complexity) -> dict[str, Setting]:
    """The score settings that an inversion was made with."""
    starts = len(inversion.start_losses[0]) if inversion.start_losses else 0
    return score_settings(complexity, inversion.solver, inversion.steps, starts, inversion.seed, inversion.prior)
