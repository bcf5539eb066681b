"""Errors a user can cause. Each message is one sentence: what was wrong, where, and what to do."""

from __future__ import annotations

import unicodedata
from typing import Any

import torch

PACKAGE = "latent_tracer"
# Control, format (bidirectional overrides, zero width), surrogate, private and unassigned characters; line separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """``text`` with every character that a terminal or a reader would obey instead of show written as an escape."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class LatentTracerError(ValueError):
    """Base of every error caused by an input or a setting rather than by a defect.

    Messages quote names that strangers gave, and end in terminals: they are made :func:`visible`.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(visible(message))

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.__module__ = _public_module(cls.__module__)


def _public_module(module: str) -> str:
    """ComfyUI calls a pack's modules by the path of their folder, and shows that with every error."""
    return PACKAGE if "/" in module or "\\" in module else module


LatentTracerError.__module__ = _public_module(LatentTracerError.__module__)


class InvalidImageError(LatentTracerError):
    """A picture that cannot be traced: unreadable, empty, NaN, too small, not RGB."""


class InvalidLatentError(LatentTracerError):
    """A latent that does not fit the autoencoder or the image."""


class InvalidSettingError(LatentTracerError):
    """A setting outside its range."""


class UnknownAutoencoderError(LatentTracerError):
    """A file or folder in which no supported autoencoder was recognised."""


class UnsupportedAutoencoderError(LatentTracerError):
    """A model that was recognised but cannot be inspected (audio, pixel space, encoder missing …)."""


class UnsupportedGeneratorError(LatentTracerError):
    """A generator that cannot be inspected: stochastic, constant, not differentiable, of wrong shape or range …"""


class InvalidProfileError(LatentTracerError):
    """A profile that cannot be used: damaged, altered, contradictory, newer, or made for another decoder or score."""


class NotEnoughMemoryError(UnsupportedAutoencoderError):
    """Not even the smallest windows, or the recomputed blocks of an inversion, fit into memory."""


# Of allocators that raise a plain RuntimeError: the processor's, and Apple's graphics'.
_SIGNS = ("DefaultCPUAllocator", "MPS backend out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device, or the processor's allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in _SIGNS)
