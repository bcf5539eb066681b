"""Convolutions whose weights are frozen need not keep their input for the backward pass.

The gradient with respect to a convolution's input depends on weights and output gradient alone; the input matters only
for the gradient of the weights, which an inversion never asks for. PyTorch keeps it all the same: in a residual block
of a Stable Diffusion decoder that is a third of everything kept. Inside :func:`frozen_convolutions` only its shape is
kept, and gradients are the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = {torch.conv2d: 2, torch.conv3d: 3}


@contextmanager
def frozen_convolutions(module: nn.Module) -> Iterator[int]:
    """Let the frozen 2-D and 3-D convolutions of ``module`` keep shapes only; yields how many modules that may concern.

    Only this instance is changed, and restored on the way out. Nested use changes nothing more. Modules may cast their
    weights on the way: what counts is the convolution they end in.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Conv3d) and "forward" not in vars(m)]
    for layer in layers:
        layer.forward = _keeping_shapes(layer.forward)  # type: ignore[method-assign]
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _keeping_shapes(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        # Entered anew by every call: backward passes recompute blocks in threads of their own.
        with _FrozenConvolutionMode():
            return forward(*inputs, **options)

    return run


class _FrozenConvolutionMode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            settings = _settings(_CONVOLUTIONS[func], *args, **kwargs)
            if settings is not None:
                return _ShapeOnlyConvolution.apply(func, *settings)  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)


def _settings(
    dimensions: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...] | None:
    """The arguments with every number per dimension, or ``None`` where an ordinary convolution must run."""
    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    if trained or isinstance(padding, str) or not input.requires_grad or input.ndim != dimensions + 2:
        return None
    numbers = ([n] * dimensions if isinstance(n, int) else list(n) for n in (stride, padding, dilation))
    return (input, weight, bias, *numbers, groups)


class _ShapeOnlyConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        convolution: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.dtype = input.shape, input.dtype
        ctx.settings = (stride, padding, dilation, [0] * len(stride), groups)
        return convolution(input, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, no_output_padding, groups = ctx.settings
        # Only its shape is read. Autocast may have computed in another type than it was given.
        placeholder = gradient.new_empty(1).expand(ctx.shape)
        found = torch.ops.aten.convolution_backward(
            gradient, placeholder, weight.to(gradient.dtype), None, stride, padding, dilation, False,
            no_output_padding, groups, (True, False, False),
        )[0]  # fmt: skip
        return None, found.to(ctx.dtype), None, None, None, None, None, None
