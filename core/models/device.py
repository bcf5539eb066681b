"""The device that models run on, tried before anything is loaded onto it."""

from __future__ import annotations

import torch

from ..errors import InvalidSettingError
from ..storage.safe_text import clean_text
from .weight_files import shortened


def usable_device(spec: str | torch.device) -> torch.device:
    """The device called ``spec``, on which one small sum came out right.

    Raises :class:`InvalidSettingError`, which tells which devices there are, for any other.
    """
    try:
        device = torch.device(spec)
        total = float((torch.ones(2, device=device) + 1).sum().cpu())
        reason = "" if total == 4 else f"it adds 2 and 2 to {total:g}"
    except Exception as error:  # each backend raises what it likes, also for what is not installed
        reason = shortened(error).rstrip(".")
    if reason:
        raise InvalidSettingError(
            f"The device {clean_text(str(spec), 60)!r} cannot be used ({reason}): choose one of"
            f" {', '.join(available_devices())}."
        )
    return device


def available_devices() -> list[str]:
    """The names of the devices that torch sees here, the processor first."""
    backends = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": getattr(torch, "xpu", None)}
    return ["cpu", *(name for name, backend in backends.items() if backend is not None and backend.is_available())]
