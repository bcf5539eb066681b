"""The picture that explains a verdict: headline, distribution, original, reconstruction, residual, loss, blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from PIL import Image, ImageColor
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ...files.orientation import upright
from ...images.quantiser import residual
from ...images.tensors import to_picture
from ...inversion.floor_blocks import BLOCK
from ...inversion.latents import Inversion
from ...models.weight_digest import same_weights
from ...profiles import Profile
from ...tracing.traced import Traced
from ...verdicts.verdict import SEVERAL_DECODERS, Verdict, decoders_of
from ..plain import plain_verdict, short_name
from .loss_curve import loss_curve
from .score_distribution import score_distribution
from .style import COLOURS, FAINT, MARGIN, NARROW, WIDTH, blank, fit, font, wrapped
from .verdict_card import card_details, card_facts, card_head, stacked


def trace_picture(
    traced: Traced, facts: dict[str, str] | None = None, width: int = WIDTH, further: str = ""
) -> Image.Image:
    """One RGB picture, ``width`` pixels wide, about one traced picture, shown upright: the verdict's headline, the
    scores of the calibration images, the picture, its reconstruction and their difference (of the inversion, else of
    the score's own first pass), the loss per step where there was an inversion, and figures. ``facts`` are further
    ones of those, ``further`` a sentence under the headline.
    """
    verdict, profile = traced.verdict, traced.profile
    parts = [card_head(plain_verdict(verdict, traced.model), width, further)]
    # A picture that could not be scored has no place among the profile's.
    if profile is not None and math.isfinite(verdict.score):
        parts.append(_chart(verdict, profile.like(verdict.jpeg_quality), traced.model, traced.fingerprint, width))
    parts.append(_row_of_tiles(traced, width))
    cost = {} if traced.inversion is None else {"inversion": f"loss {traced.inversion.loss[0]:.3g}"}
    about = card_facts(verdict, traced.model, profile) | cost | (facts or {})
    return stacked([*parts, card_details(about, verdict.limits, width)])


def _chart(verdict: Verdict, profile: Profile, model: str, fingerprint: str, width: int) -> Image.Image:
    is_own = same_weights(profile.fingerprint, fingerprint)
    others = "" if verdict.fpr_basis == SEVERAL_DECODERS and not verdict.is_borrowed else "other "
    owner = short_name(model) if is_own else f"{decoders_of(profile)} {others}decoders"
    accepted, refused = profile.accepts(verdict.score), profile.refuses(verdict.score)
    is_withheld = verdict.answer == "inconclusive" and accepted != refused
    size = width - 2 * MARGIN, round(0.31 * width)
    chart = score_distribution(profile, verdict.score, *size, owner, is_withheld)
    picture, _ = blank(width, chart.height + 12)
    picture.paste(chart, (MARGIN, 0))
    return picture


def _row_of_tiles(traced: Traced, width: int) -> Image.Image:
    tiles = _tiles(traced)
    # Five in one row would be too small for the words of a curve.
    columns = 2 if len(tiles) > 3 and width < NARROW else 4 if len(tiles) == 4 else 3
    side = (width - MARGIN) // columns - MARGIN
    titles = [wrapped(title, 20, side) for title, _ in tiles]
    is_eight_bit = traced.inversion is None or traced.inversion.quantiser[0] != "none"
    step = side + 14 + 26 * max(map(len, titles))
    picture, draw = blank(width, step * math.ceil(len(tiles) / columns))
    for place, (_, tile) in enumerate(tiles):
        left, top = MARGIN + place % columns * (side + MARGIN), place // columns * step
        if isinstance(tile, tuple):
            tile = loss_curve(tile, traced.verdict, side, is_eight_bit)
        picture.paste(fit(tile, side), (left, top))
        for row, line in enumerate(titles[place]):
            draw.text((left, top + side + 6 + 26 * row), line, font=font(20), fill=FAINT)
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
            *_floor_tile(inversion, tile),
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


def _floor_tile(
    inversion: Inversion, tile: Callable[[Tensor], Image.Image]
) -> list[tuple[str, Image.Image | tuple[float, ...]]]:
    """The picture in grey, the blocks that are explained down to the floor in blue, those without detail darker."""
    blocks = inversion.floor_blocks[0]
    if blocks is None or blocks.share is None:
        return []
    grey = inversion.images[:1].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    height, width = grey.shape[-2:]
    at_floor, telling = (
        interpolate(mask[None, None].float(), scale_factor=BLOCK, mode="nearest")
        for mask in (blocks.at_floor, blocks.telling)
    )
    right, below = width - at_floor.shape[-1], height - at_floor.shape[-2]
    at_floor, telling = (pad(mask, (0, right, 0, below)) for mask in (at_floor, telling))
    blue = torch.tensor(ImageColor.getrgb(COLOURS["belonging"])).view(1, 3, 1, 1) / 255
    shown = grey * (0.25 + 0.35 * telling)
    return [(f"at the 8-bit floor: {blocks.share:.0%}", tile(shown + 0.7 * at_floor * (blue - shown)))]


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
