"""What thumbnails and help pages have in common: labelled tiles, and the small scenes they show."""

from __future__ import annotations

from functools import cache

import torch
from drawn_from import DrawnFrom
from latent_tracer.core import (
    AutoencoderGenerator,
    ForeignMap,
    Inversion,
    invert_inputs,
    locate_foreign,
    quantise,
    synthetic_photograph,
    to_picture,
    verdict_from_threshold,
)
from latent_tracer.core.fingerprints import FingerprintBasis, Reading, build_basis, embed, parse_key, read
from latent_tracer.core.reports.pictures import amplified, loss_curve
from latent_tracer.core.reports.pictures.foreign_map import heat_map
from latent_tracer.core.reports.pictures.reading_panel import certainty_tile
from latent_tracer.core.reports.pictures.style import FAINT, blank, fit, font
from PIL import Image, ImageDraw
from torch import Tensor

#: A title, and the picture of the given side in pixels.
Tile = tuple[str, Image.Image]
GAP, LABEL, STEPS = 16, 22, 20


def put_tiles(picture: Image.Image, draw: ImageDraw.ImageDraw, tiles: list[Tile], corner: tuple[int, int]) -> None:
    """Tiles in two columns from ``corner`` on, each over its label."""
    for index, (label, tile) in enumerate(tiles):
        left = corner[0] + (tile.width + GAP) * (index % 2)
        top = corner[1] + (tile.height + LABEL + GAP) * (index // 2)
        picture.paste(tile, (left, top))
        draw.text((left, top + tile.height + 4), label, font=font(LABEL), fill=FAINT)


def four_tiles(tiles: list[Tile]) -> Image.Image:
    """A picture of four tiles of one size."""
    side = tiles[0][1].width
    picture, draw = blank(2 * side + 3 * GAP, 2 * (side + LABEL + GAP) + GAP)
    put_tiles(picture, draw, tiles, (GAP, GAP))
    return picture


@cache
def inversion_of_coffee() -> Inversion:
    """As ``latent-tracer demo`` explains its first picture."""
    source = DrawnFrom()
    return source.tracer().explain(source.traced(source.made()), STEPS)


def inversion(source: DrawnFrom, side: int) -> list[Tile]:
    """A picture of demo-a's, where its inversion starts and ends, and the loss on the way."""
    source.made()
    trace = inversion_of_coffee()
    verdict = verdict_from_threshold(float(trace.loss[0]), None)
    return [
        ("1 image", fit(to_picture(trace.images), side)),
        ("2 encoder's start", fit(to_picture(trace.initial_reconstruction), side)),
        ("3 inversion", fit(to_picture(trace.reconstruction), side)),
        ("4 loss per step", loss_curve(trace.loss_history[0], verdict, side)),
    ]


def origin(source: DrawnFrom, side: int) -> list[Tile]:
    """A decoder inverted from one random latent: what the search starts with and where it ends."""
    part = source.made()[..., 96:160, 128:192]
    generator = AutoencoderGenerator(source.tracer().autoencoder, 64, 64)
    trace = invert_inputs(generator, part, starts=1, solver="lbfgs-whitened", steps=120)
    verdict = verdict_from_threshold(float(trace.loss[0]), None)
    return [
        ("image", fit(to_picture(trace.images), side)),
        ("random start", fit(to_picture(trace.initial_reconstruction), side)),
        ("inverted input", fit(to_picture(trace.reconstruction), side)),
        ("loss per step", loss_curve(trace.loss_history[0], verdict, side)),
    ]


@cache
def signed_cat_basis() -> FingerprintBasis:
    """The smallest basis that works."""
    pictures = [synthetic_photograph(seed, 128) for seed in range(50, 66)]
    return build_basis(DrawnFrom().tracer().autoencoder, pictures)


@cache
def signed_cat() -> tuple[Tensor, Tensor, Reading]:
    """Without and with a key, ``[1,3,256,256]``, and what is read."""
    source = DrawnFrom()
    autoencoder = source.tracer().autoencoder
    basis = signed_cat_basis()
    with torch.no_grad():
        latents = autoencoder.encode(source.photograph("chelsea"))
        marked = embed(latents, basis, parse_key("0123456789abcdef"))
        signed = quantise(autoencoder.decode(marked).cpu())
    return source.made("chelsea"), signed, read(autoencoder, signed, basis)


def fingerprint(source: DrawnFrom, side: int) -> list[Tile]:
    """A picture without and with a key, what changed, and how certain each bit is."""
    source.made("chelsea")
    plain, signed, reading = signed_cat()
    difference, factor = amplified(signed - plain)
    return [
        ("without a key", fit(to_picture(plain), side)),
        ("with a key", fit(to_picture(signed), side)),
        (f"difference x {factor:g}", fit(to_picture(difference), side)),
        ("certainty of bits", certainty_tile(reading, side)),
    ]


@cache
def edited_cat() -> tuple[Tensor, ForeignMap]:
    """A picture of demo-a's with a patch of the photograph behind it, and the map of it."""
    source = DrawnFrom()
    edited, photograph = source.made("chelsea").clone(), source.photograph("chelsea")
    patch = (..., slice(72, 184), slice(56, 168))
    edited[patch] = photograph[patch]
    return edited, locate_foreign(source.tracer().autoencoder, edited, source.profile())


def foreign(source: DrawnFrom, side: int) -> list[Tile]:
    source.made("chelsea")
    edited, found = edited_cat()
    mask = found.mask.float().expand(1, 3, *found.mask.shape)
    return [
        ("edited", fit(to_picture(edited), side)),
        ("heat map", fit(to_picture(heat_map(edited, found)), side)),
        ("mask", fit(to_picture(mask), side)),
        ("before the edit", fit(to_picture(source.made("chelsea")), side)),
    ]
