"""Errors a user can cause. Each message is one sentence: what was wrong, where, and what to do."""

from __future__ import annotations


class LatentTracerError(ValueError):
    """Base of every error caused by an input or a setting rather than by a defect."""


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
