"""How a constant of the core is moved and something measured at each value, everything else left as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from common import DECODERS, Remembering, Row, crop_of, decoder
from latent_tracer.core import quantise
from latent_tracer.core.scores import decoder_grid
from torch import Tensor

Sweep = Iterator[tuple[str, float, str, Callable[[], Row]]]


def current(name: str) -> float:
    """The value that the core has now of the constant ``name``, such as ``scores.residuals.LEAST_EVIDENCE``."""
    module, _, constant = name.rpartition(".")
    return float(getattr(import_module(f"latent_tracer.core.{module}"), constant))


@contextmanager
def moved(name: str, value: float) -> Iterator[None]:
    module, _, constant = name.rpartition(".")
    with patch.object(import_module(f"latent_tracer.core.{module}"), constant, value):
        yield


def each(name: str, values: tuple[float, ...], on: str, measure: Callable[[], Row]) -> Sweep:
    """``measure`` at every value of the constant."""

    if on in ("demo-a", "demo-b", *DECODERS):
        remembered(on)

    def at(value: float) -> Row:
        with moved(name, value):
            return measure()

    for value in values:
        yield name, value, on, lambda value=value: at(value)


def given(name: str, values: tuple[float, ...], on: str, measure: Callable[[float], Row]) -> Sweep:
    """``measure`` of every value, for constants that rows can be held against."""
    for value in values:
        yield name, value, on, lambda value=value: measure(value)


@cache
def remembered(name: str) -> Remembering:
    decoder_grid.grid_of(decoder(name))  # before any constant is moved: scores take the grid from memory
    return Remembering(decoder(name))


@cache
def own(name: str, picture: str, size: int, multiple: int = 8) -> Tensor:
    with torch.no_grad():
        return quantise(decoder(name).decode(decoder(name).encode(crop_of(picture, size, multiple))))


def share(of: Any) -> float:
    return round(float(np.mean(list(of))), 4)
