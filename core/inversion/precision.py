"""Where bfloat16 pays: on processors with matrix units for it, a pass costs a fifth of one in fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, autocast


def bfloat16_pays(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices much faster than fp32 ones.

    Asked of the hardware and never timed, so that the same machine always takes the same path.
    """
    if device.type == "cpu":
        ask = getattr(torch.cpu, "get_capabilities", None)  # absent from older releases of torch
        return ask is not None and bool(ask().get("amx_bf16", False))
    if device.type == "cuda":
        return torch.version.hip is None and torch.cuda.get_device_capability(device)[0] >= 8
    return False


def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether ``device`` runs a pass in bfloat16 in half the time or less: enough where looks only rank."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if device.type == "cpu" and ask is not None and ask().get("avx512_bf16", False):
        return True
    return bfloat16_pays(device)


def low_precision_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Convolutions and matrix products inside run in bfloat16; results need ``.float()``."""
    return autocast(device.type, torch.bfloat16)


def channels_last(tensor: Tensor) -> Tensor:
    """``tensor`` ``[B,C,H,W]`` in the layout that bfloat16 convolutions run natively; others as they are."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
