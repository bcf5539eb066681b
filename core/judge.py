"""One picture, one profile, one verdict: what every face of the program asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .autoencoder import Autoencoder
from .errors import InvalidImageError
from .history import History, profile_for
from .profile import Profile, default_profile
from .rough_score import score_for
from .scores import make_score, on_cells
from .verdict import Verdict, verdict_from_default_profile, verdict_from_profile


def judge(
    autoencoder: Autoencoder, image: Tensor, profile: Profile | Sequence[Profile] | None, *, lossy: bool = False
) -> Verdict:
    """Score ``image`` ``[1,3,H,W]`` in [0,1] by the profile's own score and judge it.

    Sides off the latent grid are cut, where the score does not find the grid itself.
    Of several profiles the one decides whose condition is nearest to what the pixels show of the picture's history.
    Without a profile the answer is inconclusive and the default profile, made under other decoders, gives a p-value.
    A picture that holds nothing to judge by (one colour, too small for the score) is inconclusive, with the reason and
    the score NaN. ``lossy``: the file format lost something, see :func:`verdict_from_profile`. What the pixels show of
    the picture's history can take an answer back, see :mod:`latent_tracer.core.history`.
    """
    known = default_profile()
    try:
        history = History.of(image)
        if profile is not None:
            known = profile if isinstance(profile, Profile) else profile_for(history, profile)
        score = make_score(known.score)
        image = on_cells(score, image, autoencoder.spatial_ratio)
        scored = score_for(known.like(history.jpeg_quality), score, autoencoder, image)
    except InvalidImageError as error:
        return Verdict("inconclusive", math.nan, str(error), condition=known.condition, stage="not scored")
    verdict_from = verdict_from_profile if profile is not None else verdict_from_default_profile
    return verdict_from(
        scored.value, known, scored.stage, shortest_side=min(image.shape[-2:]), lossy=lossy, history=history
    )
