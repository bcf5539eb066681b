"""Pictures that explain an answer, drawn with Pillow and its built-in font: light on a dark canvas."""

from .attribution_chart import attribution_chart
from .loss_curve import loss_curve
from .note_card import note_card
from .score_distribution import score_distribution
from .trace_panel import amplified, picture_tensor, trace_picture
from .verdict_card import verdict_card

__all__ = [
    "amplified",
    "attribution_chart",
    "loss_curve",
    "note_card",
    "picture_tensor",
    "score_distribution",
    "trace_picture",
    "verdict_card",
]
