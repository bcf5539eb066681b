"""Scores of images under one decoder, by the profile that fits it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..core import (
    Autoencoder,
    InvalidImageError,
    InvalidProfileError,
    Profile,
    Scored,
    builtin_profile,
    make_score,
)
from ..core.scores import on_cells
from .comfy_adapter import split


def check_profile_socket(profile: object) -> None:
    """Raise :class:`InvalidProfileError` if something else than a profile, or nothing, is connected."""
    if profile is not None and not isinstance(profile, Profile):
        raise InvalidProfileError(
            f"The profile input holds a {type(profile).__name__}, not a profile: connect Calibrate Trace or"
            " Load Trace Profile."
        )


def fitting_profile(autoencoder: Autoencoder, given: Profile | None) -> Profile | None:
    """``given``, checked to be this decoder's, or the one that ships for it, or ``None``."""
    profile = given or builtin_profile(autoencoder.fingerprint)
    if profile is not None:
        score = make_score(profile.score)
        profile.check(autoencoder.fingerprint, score.name, dict(score.settings))
    return profile


def score_images(
    autoencoder: Autoencoder, images: Tensor, profile: Profile, on_image: Callable[[], None] | None = None
) -> list[Scored]:
    """One score per image ``[B,3,H,W]`` in [0,1], each on its own; sides off the latent grid are cropped."""
    score = make_score(profile.score)
    scored = []
    for number, image in enumerate(split(on_cells(score, images, autoencoder.spatial_ratio)), start=1):
        try:
            scored.append(score(autoencoder, image))
        except InvalidImageError as error:
            raise InvalidImageError(f"Image {number} of {len(images)}: {error}") from None
        if on_image is not None:
            on_image()
    return scored
