"""Adapters: what can be inspected as a generator, one kind per module."""

from __future__ import annotations

from .autoencoder import AutoencoderGenerator
from .dcgan import DCGAN32
from .loading import load_generator
from .one_step import OneStep, load_one_step

__all__ = ["DCGAN32", "AutoencoderGenerator", "OneStep", "load_generator", "load_one_step"]
