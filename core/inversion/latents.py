"""Latent inversion with encoder-based initialisation (LatentTracer, ICML 2024, section 4).

z0 = E(x);  z* = argmin_z MSE(D(z), x);  the smallest loss seen is the reconstruction loss of x under this decoder.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import InvalidLatentError, UnsupportedAutoencoderError, is_out_of_memory
from ..images.quantiser import Quantiser, check_quantiser
from ..images.tensors import ALPHA_NOTE, Crop, check_images, crop_to_grid
from ..models.autoencoder import Autoencoder
from .certificate import why_no_certificate
from .floor_blocks import FloorBlocks, floor_blocks
from .memory import PeakMemory, bounded, let_go, out_of_memory_error
from .objective import Evaluation, Objective, Passes
from .solvers import DEFAULT_SOLVER, EXACT, FLOOR, Search, Solver, Stopped, make_solver


@dataclass(frozen=True)
class Step:
    """Progress of an inversion, given to ``on_step``: image and step counted from 1; ``decoded`` is ``[1,3,H,W]``."""

    image: int
    images: int
    step: int
    steps: int
    loss: float
    decoded: Tensor


@dataclass(frozen=True)
class Inversion:
    """What an inversion found. All tensors are on the CPU; B images were traced, each on its own.

    images: the traced part of each image, ``[B,3,H,W]``. initial_latents, latents: ``[B,C,h,w]``, E(x) and z*.
    reconstruction: D(z*), unclamped. initial_loss, loss: ``[B]``, of E(x) and z*: the smallest that was seen, or, at
    the 8-bit floor, that of the latent which reproduces most values. loss_history: a tuple per image, entry 0 at E(x).
    """

    autoencoder: str
    fingerprint: str
    solver: str
    images: Tensor
    crop: Crop
    initial_latents: Tensor
    initial_reconstruction: Tensor
    initial_loss: Tensor
    latents: Tensor
    reconstruction: Tensor
    loss: Tensor
    loss_history: tuple[tuple[float, ...], ...]
    quantiser: tuple[Quantiser, ...]
    passes: tuple[Passes, ...]
    seconds: tuple[float, ...]
    stopped_by: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    peak_bytes: tuple[int, ...] = ()  # memory each image's search took at most, beyond weights and the image
    reproduced: tuple[float | None, ...] = ()  # share of the stored values that D(z*) becomes; None unless 8 bit
    certified: tuple[bool, ...] = ()  # all of them, and that means something (:mod:`.certificate`)
    floor_blocks: tuple[FloorBlocks | None, ...] = ()  # None unless 8 bit
    whole: Tensor | None = None  # [B,3,H,W]: the images before they were cropped, None where nothing was cut off

    @property
    def decoder_passes(self) -> tuple[int, ...]:
        return tuple(passes.decoder for passes in self.passes)

    def __len__(self) -> int:
        return len(self.loss)

    def alone(self, index: int) -> Inversion:
        """What was found for image ``index``."""
        part = slice(index, index + 1)
        return replace(
            self, **{name: getattr(self, name)[part] for name in _PER_IMAGE if getattr(self, name, None) is not None}
        )


_PER_IMAGE = (
    *("images", "initial_latents", "initial_reconstruction", "initial_loss", "latents", "reconstruction", "loss"),
    *("loss_history", "quantiser", "passes", "seconds", "stopped_by", "peak_bytes", "start_losses"),
    *("reproduced", "certified", "floor_blocks", "whole"),
)


def invert(
    autoencoder: Autoencoder,
    images: Tensor,
    *,
    initial_latents: Tensor | None = None,
    solver: str | Solver = DEFAULT_SOLVER,
    steps: int | None = None,
    quantiser: Quantiser = "auto",
    loss_target: float = 0.0,
    least_progress: float = 0.0,
    decided: Callable[[Evaluation], bool] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Inversion:
    """Invert ``autoencoder``'s decoder for each of ``images`` ``[B,3,H,W]`` in [0,1].

    Sides off the latent grid are centre-cropped, nothing is resampled. ``initial_latents`` ``[B,C,h,w]`` replaces
    E(x). ``steps`` replaces the solver's own number. ``on_step`` cancels by raising. ``decided``, ``loss_target`` and
    ``least_progress`` (share of the loss won in ten evaluations) end an image early; so does a latent that reproduces
    every stored pixel. Images are independent: a batch gives bit for bit what its images give alone. Deterministic on
    the CPU and, with deterministic kernels requested here, on CUDA.

    Gradients are computed whatever the caller's mode: inside ``torch.inference_mode`` too, where ComfyUI runs its
    nodes, as long as the autoencoder's own weights are ordinary tensors.

    Raises :class:`InvalidImageError`, :class:`InvalidLatentError` or :class:`InvalidSettingError`.
    """
    method = make_solver(solver, steps) if isinstance(solver, str) else solver
    quantiser = check_quantiser(quantiser)
    checked = check_images(images)
    cropped, crop = crop_to_grid(checked, autoencoder.spatial_ratio)
    if initial_latents is not None:
        check_latents(initial_latents, autoencoder, cropped)
    results = []
    for index in range(len(cropped)):
        search = Search(
            steps=method.steps,
            loss_target=loss_target,
            least_progress=least_progress,
            decided=decided,
            on_step=_reporter(on_step, index, len(cropped), method.steps),
        )
        with (
            torch.inference_mode(False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            # Clones made here are ordinary tensors even when the caller's are inference tensors.
            image = cropped[index : index + 1].clone()
            start = None if initial_latents is None else initial_latents[index : index + 1].clone()
            results.append(_invert_within_memory(autoencoder, image, start, method, quantiser, search))
    notes = [ALPHA_NOTE] if images.shape[1] == 4 else []
    notes += [] if crop.is_whole else [f"the image was cropped to the latent grid: {crop}"]
    if any(result.recomputed for result in results):
        notes.append("memory is tight: the decoder's blocks were recomputed instead of kept, which takes longer")
    for index, result in enumerate(results):
        if len(result.history) > 1 and result.loss >= result.initial_loss and result.stopped_by not in (EXACT, FLOOR):
            notes.append(f"image {index + 1}: no step improved on the encoder's start, its loss is that of the start")
        if result.stopped_by == EXACT:
            notes.append(f"image {index + 1}: a latent was found that reproduces every stored pixel bit for bit")
            if result.no_certificate:
                notes.append(f"image {index + 1}: no certificate is issued for it, {result.no_certificate}")
        if any(not math.isfinite(loss) for loss in result.history):
            notes.append(f"image {index + 1}: the decoder returned NaN or infinite values during the search")
    return Inversion(
        autoencoder=autoencoder.name,
        fingerprint=autoencoder.fingerprint,
        solver=method.name,
        images=cropped.cpu(),
        crop=crop,
        initial_latents=torch.cat([r.start for r in results]),
        initial_reconstruction=torch.cat([r.initial_reconstruction for r in results]),
        initial_loss=torch.tensor([r.initial_loss for r in results]),
        latents=torch.cat([r.latents for r in results]),
        reconstruction=torch.cat([r.reconstruction for r in results]),
        loss=torch.tensor([r.loss for r in results]),
        loss_history=tuple(tuple(r.history) for r in results),
        quantiser=tuple(r.quantiser for r in results),
        passes=tuple(r.passes for r in results),
        seconds=tuple(r.seconds for r in results),
        stopped_by=tuple(r.stopped_by for r in results),
        notes=tuple(notes),
        peak_bytes=tuple(r.peak_bytes for r in results),
        reproduced=tuple(r.reproduced for r in results),
        certified=tuple(r.reproduced == 1 and not r.no_certificate for r in results),
        floor_blocks=tuple(r.floor_blocks for r in results),
        whole=None if crop.is_whole else checked.cpu(),
    )


def check_latents(latents: Tensor, autoencoder: Autoencoder, cropped: Tensor) -> None:
    """Raise :class:`InvalidLatentError` unless ``latents`` are finite and shaped as E(``cropped`` ``[B,3,H,W]``)."""
    ratio = autoencoder.spatial_ratio
    batch, _, height, width = cropped.shape
    expected = (batch, autoencoder.latent_channels, height // ratio, width // ratio)
    if tuple(latents.shape) != expected:
        raise InvalidLatentError(
            f"The initial latents have shape {tuple(latents.shape)}, but {autoencoder.name} needs {expected} for these"
            " images: encode them with this same VAE."
        )
    if not torch.isfinite(latents).all():
        raise InvalidLatentError("The initial latents contain NaN or infinite values: encode the image again.")


@dataclass(frozen=True)
class _Result:
    start: Tensor
    initial_reconstruction: Tensor
    initial_loss: float
    latents: Tensor
    reconstruction: Tensor
    loss: float
    history: list[float]
    quantiser: Quantiser
    passes: Passes
    seconds: float
    stopped_by: str
    reproduced: float | None
    no_certificate: str
    floor_blocks: FloorBlocks | None
    peak_bytes: int = 0
    recomputed: bool = False


def _invert_within_memory(
    autoencoder: Autoencoder, image: Tensor, start: Tensor | None, solver: Solver, quantiser: Quantiser, search: Search
) -> _Result:
    """:func:`_invert_one`, with the decoder's blocks recomputed where memory is tight, or on one retry without."""
    height, width = image.shape[-2:]
    for always in (False, True):
        attempt = replace(search, history=[])
        try:
            with bounded(autoencoder, height, width, always) as recomputed, PeakMemory(autoencoder.device) as memory:
                result = _invert_one(autoencoder, image, start, solver, quantiser, attempt)
            return replace(result, peak_bytes=memory.peak, recomputed=recomputed)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler: there the failed attempt's tensors still hang on the traceback.
        let_go(autoencoder.device)
    raise out_of_memory_error(autoencoder, height, width)


def _invert_one(
    autoencoder: Autoencoder, image: Tensor, start: Tensor | None, solver: Solver, quantiser: Quantiser, search: Search
) -> _Result:
    began = time.perf_counter()
    objective = Objective(autoencoder, image, quantiser)
    if start is None:
        start = objective.encode(objective.image)
    start = start.to(autoencoder.device, autoencoder.dtype).detach().clone()
    first: list[Evaluation] = []
    report = search.on_step

    def keep_first(step: int, evaluation: Evaluation) -> None:
        if not first:
            first.append(Evaluation(start, evaluation.loss, evaluation.decoded, None))
        if report is not None:
            report(step, evaluation)

    search.on_step = keep_first
    search.is_exact = lambda evaluation: objective.is_exact(evaluation.decoded)
    with contextlib.suppress(Stopped):
        solver.minimise(objective, start, autoencoder.latent_spread, search)
    best = search.best
    if not math.isfinite(best.loss):
        raise UnsupportedAutoencoderError(
            f"{autoencoder.name} decodes this image's latents to NaN or infinite values: its weights may be damaged,"
            " load the VAE again."
        )
    quantiser = objective.quantiser(best.decoded)
    at_floor = floor_blocks(image.cpu(), best.decoded.cpu(), quantiser) if objective.is_stored else None
    return _Result(
        start=start.cpu(),
        initial_reconstruction=first[0].decoded.cpu(),
        initial_loss=first[0].loss,
        latents=best.latents.cpu(),
        reconstruction=best.decoded.cpu(),
        loss=best.loss,
        history=search.history,
        quantiser=quantiser,
        passes=objective.passes,
        seconds=time.perf_counter() - began,
        stopped_by=search.stopped_by,
        reproduced=objective.reproduced(best.decoded) / image.numel() if objective.is_stored else None,
        no_certificate=why_no_certificate(image, start.numel()),
        floor_blocks=at_floor,
    )


def _reporter(
    on_step: Callable[[Step], None] | None, index: int, images: int, steps: int
) -> Callable[[int, Evaluation], None] | None:
    if on_step is None:
        return None
    return lambda step, e: on_step(Step(index + 1, images, step, steps, e.loss, e.decoded))
