"""The pictures by their names; each is drawn in its own module under ``core/pictures``."""

from .pictures import (
    amplified,
    attribution_chart,
    loss_curve,
    picture_tensor,
    score_distribution,
    trace_picture,
    verdict_card,
)

__all__ = [
    "amplified",
    "attribution_chart",
    "loss_curve",
    "picture_tensor",
    "score_distribution",
    "trace_picture",
    "verdict_card",
]
