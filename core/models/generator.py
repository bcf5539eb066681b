"""The inspected model of RONAN (NeurIPS 2023): any deterministic, differentiable function from an input to an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol, get_args, runtime_checkable
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ..errors import InvalidSettingError, UnsupportedGeneratorError
from .weight_digest import module_digest

Prior = Literal["normal", "uniform"]
#: Nothing of an 8-bit picture can tell outputs apart that differ by less (in [0,1]).
SAME = 0.1 / 255


@runtime_checkable
class Generator(Protocol):
    """White-box access to one generator, all that input inversion needs.

    Inputs are ``[n, *input_shape]``; images are ``[n,3,H,W]`` in [0,1], of one size. The same input must give the same
    image, whatever else is in the batch.
    """

    name: str

    def sample_inputs(self, n: int, seed: int = 0) -> Tensor:
        """``n`` inputs as the generator expects them, drawn from ``seed``; the first k do not depend on ``n``."""

    def generate(self, inputs: Tensor) -> Tensor:
        """Differentiable images of ``inputs``, *not* clamped to [0,1]."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of every image."""

    @property
    def prior(self) -> str:
        """What inputs are drawn from, in words; part of what a profile depends on."""

    @property
    def fingerprint(self) -> str:
        """The digest of the weights, by the name it has in files; see
        :func:`~latent_tracer.core.models.weight_digest.digest_in_order`."""

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...


@runtime_checkable
class EncodingGenerator(Generator, Protocol):
    """A generator that can also guess an input: the autoencoder of the main job is one."""

    def encode(self, images: Tensor) -> Tensor:
        """Inputs ``[n, *input_shape]`` from which inversion of ``images`` ``[n,3,H,W]`` can start."""


class ModuleGenerator:
    """A :class:`Generator` around a torch module that this object owns, such as the generator of a GAN.

    ``module`` maps ``[n, *input_shape]`` to images ``[n,3,H,W]`` or grey ``[n,1,H,W]`` in ``output_range``; without
    one, the range is [-1,1] if any of eight sampled images has values below -0.05, and [0,1] otherwise. Inputs are
    drawn from N(0,1) or U(-1,1). The module is frozen and put in evaluation mode. Raises
    :class:`UnsupportedGeneratorError` where it takes no such inputs.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        input_shape: tuple[int, ...],
        *,
        prior: Prior = "normal",
        output_range: tuple[float, float] | None = None,
        function: Callable[[Tensor], Tensor] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        if prior not in get_args(Prior):
            raise InvalidSettingError(f"Unknown prior {prior!r}: choose one of {', '.join(get_args(Prior))}.")
        if not input_shape or any(side < 1 for side in input_shape):
            raise InvalidSettingError(f"The input shape {input_shape} needs one side or more, all positive.")
        if output_range is not None and not output_range[0] < output_range[1]:
            raise InvalidSettingError(f"The output range {output_range} must rise.")
        self.name = name
        self.module = module.eval()
        for parameter in module.parameters():  # one by one: TorchScript modules have no requires_grad_
            parameter.requires_grad_(False)
        self.input_shape = input_shape
        self._prior = prior
        self._function = function or module
        first = next(iter([*module.parameters(), *module.buffers()]), torch.zeros(()))
        self.device, self.dtype = first.device, first.dtype if first.is_floating_point() else torch.float32
        with torch.no_grad():
            probe = self._raw(self.sample_inputs(8))
        self.fingerprint = fingerprint or module_digest(module, lambda: self._raw(self.sample_inputs(1)))
        # NaN compares false with everything: a broken generator is named by check_generator, not here.
        self.output_range = output_range or ((-1.0, 1.0) if float(probe.min()) < -0.05 else (0.0, 1.0))
        self.image_size: tuple[int, int] = (probe.shape[-2], probe.shape[-1])

    def sample_inputs(self, n: int, seed: int = 0) -> Tensor:
        inputs = draw(n, self.input_shape, self._prior, seed)
        return inputs.to(self.device, self.dtype)

    def generate(self, inputs: Tensor) -> Tensor:
        low, high = self.output_range
        return (self._raw(inputs) - low) / (high - low)

    @property
    def prior(self) -> str:
        return "N(0,1)" if self._prior == "normal" else "U(-1,1)"

    def _raw(self, inputs: Tensor) -> Tensor:
        try:
            images = self._function(inputs.to(self.device, self.dtype))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnsupportedGeneratorError(
                f"The generator {self.name} does not accept inputs of shape {tuple(inputs.shape)}: give the input"
                " shape it was"
                f" trained with ({reason})."
            ) from error
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] not in (1, 3):
            shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise UnsupportedGeneratorError(
                f"The generator {self.name} returns {shape} for {len(inputs)} inputs: a generator must return RGB"
                " [n,3,H,W] or grey"
                " [n,1,H,W] images."
            )
        return images.expand(-1, 3, -1, -1)


def draw(n: int, shape: tuple[int, ...], prior: Prior, seed: int) -> Tensor:
    """``[n, *shape]`` float32 on the CPU; input k is drawn from its own seed, so that it does not depend on ``n``."""
    inputs = []
    for number in range(n):
        # Seeds of different k and seed must not meet: golden-ratio hashing spreads them over 63 bits.
        own = (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 1) % (1 << 63)
        source = torch.Generator().manual_seed(own)
        if prior == "normal":
            inputs.append(torch.randn(shape, generator=source))
        else:
            inputs.append(torch.rand(shape, generator=source) * 2 - 1)
    return torch.stack(inputs) if inputs else torch.zeros(0, *shape)


_CHECKED: WeakSet[Generator] = WeakSet()


def check_generator(generator: Generator) -> None:
    """Raise :class:`UnsupportedGeneratorError` unless ``generator`` can be inverted; asked once per object.

    Refused are generators whose images have the wrong shape or range, hold NaN, change from call to call, do not
    depend on the input, or have no gradient.
    """
    if generator in _CHECKED:
        return
    with torch.inference_mode(False):
        inputs = generator.sample_inputs(3, seed=1).clone()
        images = _generate_at(generator, inputs, 1)
        _check_images(generator, images)
        if not torch.allclose(images, _generate_at(generator, inputs, 2), atol=SAME, rtol=0):
            raise UnsupportedGeneratorError(
                f"The generator {generator.name} is stochastic: two calls with one input give different images. Fix"
                " its noise, or"
                " make it part of the input."
            )
        if max(float((images[0] - other).abs().max()) for other in images[1:]) < SAME:
            raise UnsupportedGeneratorError(
                f"The generator {generator.name} ignores its input: different inputs give the same image, so there"
                " is nothing to"
                " invert. Give the generator's real input."
            )
        _check_gradient(generator, inputs[:1])
    _CHECKED.add(generator)


def _generate_at(generator: Generator, inputs: Tensor, seed: int) -> Tensor:
    """Images without gradient, with torch's own random numbers at ``seed``, which are left as they were."""
    devices = [generator.device] if generator.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return generator.generate(inputs)


def _check_images(generator: Generator, images: Tensor) -> None:
    expected = (3, 3, *generator.image_size)
    if tuple(images.shape) != expected:
        raise UnsupportedGeneratorError(
            f"The generator {generator.name} returns shape {tuple(images.shape)} for 3 inputs, expected {expected}:"
            " a generator must"
            " return RGB images [n,3,H,W] of one size."
        )
    if not torch.isfinite(images).all():
        raise UnsupportedGeneratorError(
            f"The generator {generator.name} returns NaN or infinite values: its weights may be damaged, load it again."
        )
    low, high = float(images.min()), float(images.max())
    if low < -2 or high > 3:
        raise UnsupportedGeneratorError(
            f"The generator {generator.name} returns values that span [{low:.3g}, {high:.3g}] once scaled to [0,1]:"
            " declare its true"
            " output range."
        )


def _check_gradient(generator: Generator, inputs: Tensor) -> None:
    with torch.enable_grad():
        variable = inputs.detach().clone().requires_grad_()
        loss = generator.generate(variable).square().mean()
        gradient = torch.autograd.grad(loss, variable, allow_unused=True)[0] if loss.requires_grad else None
    if gradient is None or not math.isfinite(float(gradient.abs().sum())) or not gradient.abs().sum() > 0:
        raise UnsupportedGeneratorError(
            f"The generator {generator.name} has no usable gradient with respect to its input: inversion needs a"
            " differentiable"
            " generator (no detach, no rounding, no no_grad inside)."
        )
