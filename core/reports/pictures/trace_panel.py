"""The picture that explains a verdict: card, original | reconstruction | residual | loss curve, distribution."""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Tensor

from ...files.orientation import upright
from ...images.quantiser import residual
from ...images.tensors import to_picture
from ...tracing.traced import Traced
from .loss_curve import loss_curve
from .score_distribution import score_distribution
from .style import FAINT, MARGIN, NARROW, WIDTH, blank, fit, font, wrapped
from .verdict_card import verdict_card


def trace_picture(traced: Traced, facts: dict[str, str] | None = None, width: int = WIDTH) -> Image.Image:
    """One RGB picture, ``width`` pixels wide, about one traced picture, shown upright: the verdict's card, the picture,
    its reconstruction and their difference (of the inversion, else of the score's own first pass), the loss per step
    where there was an inversion, and the scores of the calibration images. ``facts`` are further lines of the card.
    """
    verdict, profile = traced.verdict, traced.profile
    tiles = _tiles(traced)
    columns = max(3, len(tiles)) if width >= NARROW or len(tiles) == 3 else 2
    side = min((width - MARGIN) // columns - MARGIN, 376)
    cost = {} if traced.inversion is None else {"inversion": f"loss {traced.inversion.loss[0]:.3g}"}
    card = verdict_card(verdict, traced.model, profile, cost | (facts or {}), width)
    # A picture that could not be scored has no place among the profile's.
    placed = profile.like(verdict.jpeg_quality) if profile is not None and math.isfinite(verdict.score) else None
    chart = None if placed is None else score_distribution(placed, verdict.score, width - 2 * MARGIN)
    titles = [wrapped(title, 21, side) for title, _ in tiles]
    step = side + 16 + 28 * max(map(len, titles))
    below = card.height + 8 + step * math.ceil(len(tiles) / columns)
    said = f"{profile.score if profile else ''} score: pictures made by this decoder lie left, others right"
    lines = [] if chart is None else wrapped(said, 21, width - 2 * MARGIN)
    picture, draw = blank(width, below + (0 if chart is None else chart.height + 12 + 28 * len(lines)) + MARGIN - 12)
    picture.paste(card, (0, 0))
    for place, (_, tile) in enumerate(tiles):
        left = MARGIN + place % columns * (side + MARGIN)
        top = card.height + 8 + place // columns * step
        shown = fit(tile, side) if isinstance(tile, Image.Image) else loss_curve(tile, verdict, side)
        picture.paste(shown, (left, top))
        for row, line in enumerate(titles[place]):
            draw.text((left, top + side + 8 + 28 * row), line, font=font(21), fill=FAINT)
    if chart is not None:
        picture.paste(chart, (MARGIN, below))
        for row, line in enumerate(lines):
            draw.text((MARGIN, below + chart.height + 6 + 28 * row), line, font=font(21), fill=FAINT)
    return picture


def _tiles(traced: Traced) -> list[tuple[str, Image.Image | tuple[float, ...]]]:
    """Titles and pictures side by side; losses stand for their curve."""
    turn = traced.picture.facts.orientation
    inversion, shown = traced.inversion, None if traced.scored is None else traced.scored.shown

    def tile(pixels: Tensor) -> Image.Image:
        return to_picture(upright(pixels, turn))

    if inversion is not None:
        difference, factor = amplified(
            residual(inversion.reconstruction[:1], inversion.images[:1], inversion.quantiser[0])
        )
        return [
            ("original", tile(inversion.images[:1])),
            ("reconstruction D(z*)", tile(inversion.reconstruction[:1])),
            (f"residual x {factor:g}", tile(difference)),
            ("loss per step", inversion.loss_history[0]),
        ]
    if shown is None:
        return [("original", tile(_reduced(traced.picture.pixels)))]
    difference, factor = amplified(shown.reconstruction - shown.original)
    sides = zip(traced.picture.pixels.shape[-2:], shown.original.shape[-2:], strict=True)
    whole = all(length < part + 128 for length, part in sides)
    return [
        ("original" if whole else f"original, part at ({shown.left}, {shown.top})", tile(shown.original)),
        ("first reconstruction D(E(x))", tile(shown.reconstruction)),
        (f"residual x {factor:g}", tile(difference)),
    ]


def _reduced(pixels: Tensor) -> Tensor:
    stride = max(1, min(pixels.shape[-2:]) // 1024)
    return pixels[..., ::stride, ::stride]


def amplified(difference: Tensor) -> tuple[Tensor, float]:
    """A residual ``[1,3,H,W]`` around mid-grey and the factor that brings its 99.5th percentile to full contrast."""
    magnitude = difference.abs().flatten()
    rank = max(1, math.ceil(0.995 * magnitude.numel()))
    scale = magnitude.kthvalue(rank).values.item()
    factor = 2.0 ** max(0, math.floor(math.log2(0.5 / max(scale, 1 / 1024))))
    return (0.5 + difference * factor).clamp(0, 1), factor


def picture_tensor(picture: Image.Image) -> Tensor:
    """A Pillow picture as ``[1,H,W,3]`` float32 in [0,1], the layout of ComfyUI's IMAGE."""
    data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.reshape(1, picture.height, picture.width, 3).float() / 255
