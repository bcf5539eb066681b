"""The profiles that ship with this program, measured by this project on free pictures."""

from __future__ import annotations

import functools

from ..models.weight_digest import same_weights
from .file import load_profile
from .profile import Profile
from .trust import EMBEDDED


def builtin_profile(digest: str) -> Profile | None:
    """The profile that ships for the decoder with these weights, or ``None``.

    A calibration of one's own comes closer to one's images.
    """
    return next((profile for profile in _shipped() if same_weights(profile.fingerprint, digest)), None)


@functools.cache
def _shipped() -> tuple[Profile, ...]:
    return tuple(load_profile(path) for path in sorted(EMBEDDED.glob("*.profile.json")))


@functools.cache
def default_profile() -> Profile:
    """What serves until a decoder is calibrated: other images' scores under several decoders, each its own source.

    Its digest is that of no decoder, so no verdict of its own can rest on it.
    """
    return load_profile(EMBEDDED / "default.json")


def was_measured_on(profile: Profile, digest: str) -> bool:
    """Whether the decoder with these weights is one of the several whose own pictures ``profile`` holds."""
    known = builtin_profile(digest)
    return known is not None and known.autoencoder in {source.under for source in profile.belonging}


@functools.cache
def placement_profile() -> Profile:
    """Evidence at a placement that a search would find, of other pictures and of several decoders' own.

    Its scores are :meth:`latent_tracer.core.scores.contrast_map.ContrastMap.evidence`, its digest that of no decoder.
    """
    return load_profile(EMBEDDED / "placed.json")
