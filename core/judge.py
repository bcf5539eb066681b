"""One picture, one profile, one verdict: what every face of the program asks for."""

from __future__ import annotations

import math

from torch import Tensor

from .autoencoder import Autoencoder
from .errors import InvalidImageError
from .profile import Profile
from .scores import make_score
from .verdict import Verdict, verdict_from_profile


def judge(autoencoder: Autoencoder, image: Tensor, profile: Profile, *, lossy: bool = False) -> Verdict:
    """Score ``image`` ``[1,3,H,W]`` in [0,1], on the latent grid, by the profile's own score and judge it.

    A picture that holds nothing to judge by (one colour, too small for the score) is inconclusive, with the reason and
    the score NaN. ``lossy``: the file format lost something, see :func:`verdict_from_profile`.
    """
    try:
        scored = make_score(profile.score)(autoencoder, image)
    except InvalidImageError as error:
        return Verdict("inconclusive", math.nan, str(error), condition=profile.condition, stage="not scored")
    return verdict_from_profile(scored.value, profile, scored.stage, shortest_side=min(image.shape[-2:]), lossy=lossy)
