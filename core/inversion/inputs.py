"""Input inversion from random starts (RONAN, NeurIPS 2023, section 3): z* = argmin_z L(G(z), x), z from the prior.

The counterpart of :mod:`latent_tracer.core.inversion.latents` for generators without an encoder. Which random start
ends where is luck, so every image gets several, the same ones, drawn from a seed.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidImageError, InvalidLatentError, InvalidSettingError, UnsupportedGeneratorError
from ..images.quantiser import ROUNDING_FLOOR, Quantiser, check_quantiser
from ..images.tensors import ALPHA_NOTE, Crop, check_images
from ..models.generator import EncodingGenerator, Generator, check_generator
from .latents import Inversion, Step
from .objective import Evaluation, Objective, Passes
from .solvers import Search, Solver, Stopped, WhitenedLBFGS
from .solvers.adam_ronan import AdamRonan
from .solvers.levenberg_marquardt import LARGEST_INPUT, LevenbergMarquardt

# With two, all 120 belonging images of benchmarks/results/origin.md reached the floor; four leave room for others.
STARTS = 4
#: A start that explains an image this well leaves nothing for further starts to find: belonging images end
#: between 0.97 and 2 times the floor, others above 200 (benchmarks/results/origin.md).
LOSS_TARGET = 2 * ROUNDING_FLOOR
INPUT_SOLVERS = ("levenberg-marquardt", "lbfgs-whitened", "adam-ronan")
#: Steps of limited-memory BFGS from a random start; from an encoder's it needs far fewer
#: (benchmarks/results/origin.md, the VAE's decoder).
LBFGS_STEPS = 200


@dataclass(frozen=True)
class InputInversion(Inversion):
    """An :class:`Inversion` whose latents are inputs ``[B, *input_shape]``; the best of several starts counts.

    start_losses: for every image the loss that each start ended with, in the order of the starts; ``inf`` for those
    left out because an earlier one had reached the target. ``loss_history`` is that of the best start.
    """

    start_losses: tuple[tuple[float, ...], ...] = ()
    prior: str = ""
    seed: int = 0
    steps: int = 0


class AsDecoder:
    """A generator in the shape that solvers know: latents ``[n,C,h,w]``, whatever the inputs' own shape is.

    It has no encoder: :meth:`encode` raises :class:`UnsupportedGeneratorError`.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.name = generator.name
        self.fingerprint = generator.fingerprint
        shape = generator.input_shape
        # Trailing dimensions are space, the first is channels; a plain vector has one cell.
        self.shape = (shape[0], *(shape[1:] if len(shape) == 3 else (math.prod(shape[1:]), 1)))
        self.spatial_ratio = 1
        self.latent_channels = shape[0]
        self.latent_spread = float(generator.sample_inputs(16).float().square().mean().sqrt())
        self.device, self.dtype = generator.device, generator.dtype

    def decode(self, latents: Tensor) -> Tensor:
        return self.generator.generate(latents.reshape(-1, *self.generator.input_shape))

    def encode(self, images: Tensor) -> Tensor:
        raise UnsupportedGeneratorError(f"The generator {self.name} has no encoder: start its inversion at random.")


def default_solver(generator: Generator) -> str:
    """Levenberg–Marquardt where the whole Jacobian is affordable, limited-memory BFGS where it is not."""
    return "levenberg-marquardt" if math.prod(generator.input_shape) <= LARGEST_INPUT else "lbfgs-whitened"


def make_input_solver(generator: Generator, name: str | None = None, steps: int | None = None) -> Solver | AdamRonan:
    """The solver called ``name`` (``None``: what fits the generator); ``steps`` replaces its own number.

    Raises :class:`InvalidSettingError` for an unknown name, fewer than one step, or a Jacobian too large.
    """
    name = name or default_solver(generator)
    if name not in INPUT_SOLVERS:
        raise InvalidSettingError(f"Unknown solver {name!r}: choose one of {', '.join(INPUT_SOLVERS)}.")
    if steps is not None and steps < 1:
        raise InvalidSettingError(f"Inversion needs at least 1 step, got {steps}: set steps to 1 or more.")
    if name == "lbfgs-whitened":
        return WhitenedLBFGS(steps=steps or LBFGS_STEPS)
    if name == "adam-ronan":
        return AdamRonan(steps=steps or AdamRonan().steps)
    inputs = math.prod(generator.input_shape)
    if inputs > LARGEST_INPUT:
        raise InvalidSettingError(
            f"levenberg-marquardt needs the whole Jacobian, and {generator.name} has {inputs} inputs (at most"
            f" {LARGEST_INPUT}): choose lbfgs-whitened."
        )
    return LevenbergMarquardt(steps=steps or LevenbergMarquardt().steps)


def invert_inputs(
    generator: Generator,
    images: Tensor,
    *,
    starts: int = STARTS,
    seed: int = 0,
    solver: str | None = None,
    steps: int | None = None,
    initial_inputs: Tensor | None = None,
    from_encoder: bool = False,
    quantiser: Quantiser = "auto",
    loss_target: float = LOSS_TARGET,
    on_step: Callable[[Step], None] | None = None,
) -> InputInversion:
    """Search inputs of ``generator`` whose images are ``images`` ``[B,3,H,W]`` in [0,1], of the generator's size.

    The ``starts`` inputs come from the generator's prior by ``seed``, the same for every image, so that an image's
    result depends on nothing else. ``adam-ronan`` moves all starts at once as one batch; the other solvers take one
    after the other and stop at the first that reaches ``loss_target``. ``initial_inputs`` ``[K, *input_shape]``
    replaces the random starts, ``from_encoder`` takes the generator's own guess as the only start. ``on_step`` cancels
    by raising. Deterministic on the CPU and, with deterministic kernels requested here, on CUDA.

    Raises :class:`InvalidImageError`, :class:`InvalidLatentError`, :class:`InvalidSettingError`, or
    :class:`UnsupportedGeneratorError` for a generator that cannot be inverted.
    """
    if starts < 1:
        raise InvalidSettingError(f"Inversion needs at least 1 start, got {starts}.")
    check_generator(generator)
    method = make_input_solver(generator, solver, steps)
    quantiser = check_quantiser(quantiser)
    checked = check_size(check_images(images), generator)
    if from_encoder and not isinstance(generator, EncodingGenerator):
        raise UnsupportedGeneratorError(
            f"The generator {generator.name} has no encoder: start its inversion at random."
        )
    if initial_inputs is not None:
        check_inputs(initial_inputs, generator)
    results = []
    for index in range(len(checked)):
        with (
            torch.inference_mode(False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            image = checked[index : index + 1].clone()
            decoder = AsDecoder(generator)
            if from_encoder and isinstance(generator, EncodingGenerator):
                begin = generator.encode(image)
            else:
                begin = initial_inputs if initial_inputs is not None else generator.sample_inputs(starts, seed)
            begin = begin.to(generator.device, generator.dtype).detach().clone().reshape(-1, *decoder.shape)
            report = _Report(on_step, index + 1, len(checked), method, len(begin))
            results.append(_invert_one(decoder, image, begin, method, quantiser, loss_target, report))
    height, width = checked.shape[-2:]
    notes = [ALPHA_NOTE] if images.shape[1] == 4 else []
    for index, result in enumerate(results):
        if any(not math.isfinite(loss) for loss in result.history):
            notes.append(f"image {index + 1}: the generator returned NaN or infinite values during the search")
    shape = generator.input_shape
    return InputInversion(
        autoencoder=generator.name,
        fingerprint=generator.fingerprint,
        solver=method.name,
        images=checked.cpu(),
        crop=Crop(0, 0, width, height, width, height),
        initial_latents=torch.cat([r.start for r in results]).reshape(-1, *shape),
        initial_reconstruction=torch.cat([r.first.decoded.cpu() for r in results]),
        initial_loss=torch.tensor([r.first.loss for r in results]),
        latents=torch.cat([r.best.latents.cpu() for r in results]).reshape(-1, *shape),
        reconstruction=torch.cat([r.best.decoded.cpu() for r in results]),
        loss=torch.tensor([r.best.loss for r in results]),
        loss_history=tuple(tuple(r.history) for r in results),
        quantiser=tuple(r.quantiser for r in results),
        passes=tuple(r.passes for r in results),
        seconds=tuple(r.seconds for r in results),
        stopped_by=tuple(r.stopped_by for r in results),
        notes=tuple(notes),
        floor_blocks=(None,) * len(results),  # blocks are of decoders that are local
        start_losses=tuple(r.start_losses for r in results),
        prior=generator.prior,
        seed=seed,
        steps=method.steps,
    )


def check_size(images: Tensor, generator: Generator) -> Tensor:
    """Return ``images`` ``[B,3,H,W]`` if they have the generator's size, else raise :class:`InvalidImageError`.

    Resampled or cropped ones would prove nothing.
    """
    height, width = images.shape[-2:]
    if (height, width) != tuple(generator.image_size):
        made_height, made_width = generator.image_size
        raise InvalidImageError(
            f"The image is {width}×{height} pixels, {generator.name} makes {made_width}×{made_height}: an image of"
            " another size did not come out of it unchanged; give the original, not resized."
        )
    return images


def check_inputs(inputs: Tensor, generator: Generator) -> None:
    """Raise :class:`InvalidLatentError` unless ``inputs`` are finite and ``[starts, *input_shape]``."""
    if inputs.ndim < 2 or len(inputs) < 1 or tuple(inputs.shape[1:]) != tuple(generator.input_shape):
        raise InvalidLatentError(
            f"The initial inputs have shape {tuple(inputs.shape)}, {generator.name} needs"
            f" (starts, {', '.join(map(str, generator.input_shape))})."
        )
    if not torch.isfinite(inputs).all():
        raise InvalidLatentError("The initial inputs contain NaN or infinite values: draw them again.")


@dataclass(frozen=True)
class _Result:
    start: Tensor
    first: Evaluation
    best: Evaluation
    history: list[float]
    start_losses: tuple[float, ...]
    quantiser: Quantiser
    passes: Passes
    seconds: float
    stopped_by: str


class _Report:
    """Progress over all starts of one image."""

    def __init__(
        self,
        on_step: Callable[[Step], None] | None,
        image: int,
        images: int,
        solver: Solver | AdamRonan,
        starts: int,
    ) -> None:
        self.on_step = on_step
        self.image, self.images, self.steps = image, images, solver.steps
        self.total = solver.steps * (1 if isinstance(solver, AdamRonan) else starts)

    def of_start(self, number: int) -> Callable[[int, Evaluation], None] | None:
        on_step = self.on_step
        if on_step is None:
            return None
        done = number * self.steps
        # Refused trials count as evaluations too: the bar stays within the share of its start.
        return lambda step, e: on_step(
            Step(self.image, self.images, done + min(step, self.steps), self.total, e.loss, e.decoded)
        )


def _invert_one(
    decoder: AsDecoder,
    image: Tensor,
    starts: Tensor,
    solver: Solver | AdamRonan,
    quantiser: Quantiser,
    loss_target: float,
    report: _Report,
) -> _Result:
    began = time.perf_counter()
    objective = Objective(decoder, image, quantiser)
    losses = [math.inf] * len(starts)
    searches: list[Search] = []
    if isinstance(solver, AdamRonan):
        search = Search(steps=solver.steps, on_step=report.of_start(0))
        losses = solver.minimise_starts(objective, starts, search).tolist()
        searches.append(search)
    else:
        for number, start in enumerate(starts.split(1)):
            search = Search(steps=solver.steps, loss_target=loss_target, on_step=report.of_start(number))
            with contextlib.suppress(Stopped):
                solver.minimise(objective, start, decoder.latent_spread, search)
            searches.append(search)
            losses[number] = search.best.loss
            if search.best.loss <= loss_target:
                break
    # A NaN is never the best.
    chosen = min(range(len(searches)), key=lambda k: (not math.isfinite(searches[k].best.loss), searches[k].best.loss))
    search = searches[chosen]
    best = search.best
    if not math.isfinite(best.loss):
        raise UnsupportedGeneratorError(
            f"The generator {decoder.name} returns NaN or infinite values for this image's inputs: its weights may"
            " be damaged, load"
            " it again."
        )
    number = min(range(len(losses)), key=lambda k: losses[k]) if isinstance(solver, AdamRonan) else chosen
    start = starts[number : number + 1]
    return _Result(
        start=start.cpu(),
        first=objective.evaluate(start, with_gradient=False),
        best=best,
        history=search.history,
        start_losses=tuple(losses),
        quantiser=objective.quantiser(best.decoded),
        passes=objective.passes,
        seconds=time.perf_counter() - began,
        stopped_by=search.stopped_by,
    )
