"""The picture that explains a verdict: card, original | reconstruction | residual | loss curve, distribution."""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Tensor

from ..images import to_picture
from ..inversion import Inversion
from ..profile import Profile
from ..quantiser import residual
from ..verdict import Verdict
from .loss_curve import loss_curve
from .score_distribution import score_distribution
from .style import FAINT, MARGIN, WIDTH, blank, fit, font
from .verdict_card import verdict_card

PANEL = (WIDTH - 5 * MARGIN) // 4


def amplified_residual(inversion: Inversion, index: int) -> tuple[Tensor, float]:
    """Residual around mid-grey ``[3,H,W]`` and the factor that brings its 99.5th percentile to full contrast."""
    part = slice(index, index + 1)
    reconstruction = inversion.reconstruction[part]
    difference = residual(reconstruction, inversion.images[part], inversion.quantiser[index])[0]
    magnitude = difference.abs().flatten()
    rank = max(1, math.ceil(0.995 * magnitude.numel()))
    scale = magnitude.kthvalue(rank).values.item()
    factor = 2.0 ** max(0, math.floor(math.log2(0.5 / max(scale, 1 / 1024))))
    return (0.5 + difference * factor).clamp(0, 1), factor


def trace_picture(
    inversion: Inversion,
    index: int,
    verdict: Verdict,
    profile: Profile | None = None,
    facts: dict[str, str] | None = None,
) -> Image.Image:
    """One RGB picture, 1200 pixels wide, about image ``index`` of an inversion; with a ``profile`` the scores of its
    calibration images too. ``facts`` are further lines of the card.
    """
    difference, factor = amplified_residual(inversion, index)
    panels = (
        ("original", fit(to_picture(inversion.images[index]), PANEL)),
        ("reconstruction D(z*)", fit(to_picture(inversion.reconstruction[index]), PANEL)),
        (f"residual x {factor:g}", fit(to_picture(difference), PANEL)),
        ("loss per step", loss_curve(inversion.loss_history[index], verdict, PANEL)),
    )
    cost = {"inversion": f"loss {inversion.loss[index]:.3g}, {inversion.passes[index].decoder} passes"}
    card = verdict_card(verdict, inversion.autoencoder, profile, cost | (facts or {}))
    # A picture that could not be scored has no place among the profile's.
    placed = profile.like(verdict.jpeg_quality) if profile is not None and math.isfinite(verdict.score) else None
    chart = None if placed is None else score_distribution(placed, verdict.score)
    below = card.height + 8 + PANEL + 44
    picture, draw = blank(WIDTH, below + (0 if chart is None else chart.height + 40) + MARGIN - 12)
    picture.paste(card, (0, 0))
    for column, (title, panel) in enumerate(panels):
        left = MARGIN + column * (PANEL + MARGIN)
        picture.paste(panel, (left, card.height + 8))
        draw.text((left, card.height + 8 + PANEL + 8), title, font=font(21), fill=FAINT)
    if chart is not None and profile is not None:
        picture.paste(chart, (MARGIN, below))
        title = f"{profile.score} score: pictures made by this decoder lie left, others right"
        draw.text((MARGIN, below + chart.height + 6), title, font=font(21), fill=FAINT)
    return picture


def picture_tensor(picture: Image.Image) -> Tensor:
    """A Pillow picture as ``[1,H,W,3]`` float32 in [0,1], the layout of ComfyUI's IMAGE."""
    data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.reshape(1, picture.height, picture.width, 3).float() / 255
