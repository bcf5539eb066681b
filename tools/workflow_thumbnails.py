"""Thumbnails of the example workflows, drawn from what the nodes really answer about an embedded autoencoder."""

from __future__ import annotations

from functools import cache

import torch
from latent_tracer.core import (
    AutoencoderGenerator,
    Inversion,
    Picture,
    Profile,
    Traced,
    Tracer,
    Verdict,
    invert,
    invert_inputs,
    load_autoencoder,
    locate_foreign,
    quantise,
    synthetic_photograph,
    to_picture,
    verdict_from_threshold,
)
from latent_tracer.core.fingerprints import build_basis, embed, parse_key, read
from latent_tracer.core.reports.pictures import amplified, loss_curve, score_distribution
from latent_tracer.core.reports.pictures.foreign_map import heat_map
from latent_tracer.core.reports.pictures.style import CANVAS, COLOURS, FAINT, INK, SURFACE, fit, font
from PIL import Image, ImageDraw
from torch import Tensor

SIDE, TILE, EDGE = 512, 200, 24
TOP = SIDE - EDGE - 2 * TILE - 16


@cache
def tracer(name: str) -> Tracer:
    """With the profile that ships."""
    return Tracer(load_autoencoder(name))


def profile_of(name: str) -> Profile:
    (profile,) = tracer(name).profiles
    return profile


@cache
def made_by_a() -> Tensor:
    """An 8-bit picture that demo-a decoded."""
    autoencoder = tracer("demo-a").autoencoder
    with torch.no_grad():
        return quantise(autoencoder.decode(autoencoder.encode(synthetic_photograph(7))).cpu())


def verdict_by(name: str, image: Tensor) -> Verdict:
    return tracer(name).trace(Picture.of(image)).verdict


@cache
def traced_by_a() -> Traced:
    return tracer("demo-a").trace(Picture.of(made_by_a()))


@cache
def inversion_by_a() -> Inversion:
    return invert(tracer("demo-a").autoencoder, made_by_a(), steps=30)


def canvas(title: str, colour: str = INK) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (SIDE, SIDE), CANVAS)
    draw = ImageDraw.Draw(picture)
    # The template browser lays its own label over the upper left corner.
    size = next((size for size in range(34, 12, -2) if font(size).getlength(title) <= 0.52 * SIDE), 12)
    draw.text((SIDE - EDGE, TOP / 2), title, font=font(size), fill=colour, anchor="rm")
    return picture, draw


def four_tiles(title: str, colour: str, tiles: list[tuple[str, Image.Image]]) -> Image.Image:
    picture, draw = canvas(title, colour)
    for index, (label, tile) in enumerate(tiles):
        left = SIDE // 2 - TILE - 8 + (TILE + 16) * (index % 2)
        top = TOP + (TILE + 16) * (index // 2)
        picture.paste(tile.resize((TILE, TILE), Image.Resampling.LANCZOS), (left, top))
        draw.rectangle((left, top + TILE - 24, left + TILE - 1, top + TILE - 1), fill=CANVAS)
        draw.text((left + 6, top + TILE - 12), label, font=font(16), fill=FAINT, anchor="lm")
    return picture


def trace_image() -> Image.Image:
    traced, profile = traced_by_a(), profile_of("demo-a")
    verdict = traced.verdict
    assert traced.scored is not None and traced.scored.shown is not None
    shown = traced.scored.shown
    difference, factor = amplified(shown.reconstruction - shown.original)
    tiles = [
        ("image", fit(to_picture(shown.original), TILE)),
        ("reconstruction", fit(to_picture(shown.reconstruction), TILE)),
        (f"residual x {factor:g}", fit(to_picture(difference), TILE)),
        ("score", score_distribution(profile, verdict.score, 2 * TILE, 2 * TILE)),
    ]
    return four_tiles(verdict.answer.upper(), COLOURS[verdict.answer], tiles)


def trace_step_by_step() -> Image.Image:
    trace, verdict = inversion_by_a(), verdict_by("demo-a", made_by_a())
    tiles = [
        ("1 image", fit(to_picture(trace.images[0]), TILE)),
        ("2 encoder start", fit(to_picture(trace.initial_reconstruction[0]), TILE)),
        ("3 inversion", fit(to_picture(trace.reconstruction[0]), TILE)),
        ("4 loss per step", loss_curve(trace.loss_history[0], verdict, TILE)),
    ]
    return four_tiles("STEP BY STEP", INK, tiles)


def calibrate_and_trace() -> Image.Image:
    """Calibration scores as two heaps of dots, and where the traced image falls."""
    profile = profile_of("demo-a")
    picture, draw = canvas("CALIBRATE, TRACE")
    score = verdict_by("demo-a", made_by_a()).score
    heaps = (("this VAE's pictures", "belonging"), ("other pictures", "non-belonging"))
    scores = (profile.belonging_scores, profile.non_belonging_scores)
    low, high = min(*scores[0], score), max(scores[1])
    left, right = EDGE + 12, SIDE - EDGE - 12

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    draw.rectangle((EDGE, TOP, SIDE - EDGE, SIDE - EDGE), fill=SURFACE)
    for row, ((label, answer), values) in enumerate(zip(heaps, scores, strict=True)):
        base = TOP + 190 + 190 * row
        columns = [round(x(value) / 8) for value in sorted(values)]
        # The label stands above the highest heap.
        unit = min(5.0, 120 / max(map(columns.count, columns)))
        colour = COLOURS["belonging" if answer == "belonging" else "non-belonging"]
        for index, column in enumerate(columns):
            top = base - unit * (columns[:index].count(column) + 1)
            draw.ellipse((column * 8 - 2, top - 2, column * 8 + 2, top + 2), fill=colour)
        draw.text((right, base - 150), label, font=font(20), fill=colour, anchor="rm")
    draw.line((x(score), TOP + 30, x(score), SIDE - EDGE - 8), fill=INK, width=2)
    draw.text((x(score) + 8, TOP + 225), "this image", font=font(18), fill=INK, anchor="lm")
    return picture


def trace_own_output() -> Image.Image:
    """Before and after the decoder, with the answer about each."""
    verdicts = verdict_by("demo-a", synthetic_photograph(7)), verdict_by("demo-a", made_by_a())
    picture, draw = canvas("TRACE YOUR OUTPUT")
    side = 226
    for column, (image, verdict, label) in enumerate(
        zip((synthetic_photograph(7), made_by_a()), verdicts, ("before the VAE", "after the VAE"), strict=True)
    ):
        left = EDGE + column * (SIDE - 2 * EDGE - side)
        picture.paste(to_picture(image).resize((side, side), Image.Resampling.LANCZOS), (left, TOP))
        colour = COLOURS[verdict.answer]
        draw.text((left + side / 2, TOP + side + 26), label, font=font(22), fill=FAINT, anchor="mm")
        draw.rectangle((left, TOP + side + 50, left + side, TOP + side + 106), fill=SURFACE)
        draw.rectangle((left, TOP + side + 50, left + 8, TOP + side + 106), fill=colour)
        draw.text((left + side / 2 + 4, TOP + side + 78), verdict.answer, font=font(26), fill=colour, anchor="mm")
    return picture


def trace_folder() -> Image.Image:
    """Rows of a report: pictures, some of them this VAE's own, and the answer about each."""
    autoencoder = tracer("demo-a").autoencoder
    picture, draw = canvas("TRACE A FOLDER")
    height = 92
    for row, seed in enumerate((11, 12, 13, 14)):
        image = synthetic_photograph(seed)
        if row % 2 == 0:
            with torch.no_grad():
                image = quantise(autoencoder.decode(autoencoder.encode(image)).cpu())
        verdict = verdict_by("demo-a", image)
        top, colour = TOP + row * (height + 8), COLOURS[verdict.answer]
        draw.rectangle((EDGE, top, SIDE - EDGE, top + height), fill=SURFACE)
        small = to_picture(image).resize((height - 12, height - 12), Image.Resampling.LANCZOS)
        picture.paste(small, (EDGE + 6, top + 6))
        draw.text((EDGE + height + 12, top + 30), f"{seed:04}.png", font=font(22), fill=INK, anchor="lm")
        draw.text((EDGE + height + 12, top + 62), f"p = {verdict.p_value:.3g}", font=font(20), fill=FAINT, anchor="lm")
        draw.text((SIDE - EDGE - 16, top + height / 2), verdict.answer, font=font(26), fill=colour, anchor="rm")
    return picture


def which_vae() -> Image.Image:
    picture, draw = canvas("WHICH VAE?")
    picture.paste(to_picture(made_by_a()).resize((TILE, TILE)), ((SIDE - TILE) // 2, TOP))
    answers = [(name, verdict_by(name, made_by_a())) for name in ("demo-a", "demo-b")]
    for row, (name, verdict) in enumerate(answers):
        top = TOP + TILE + 16 + 64 * row
        colour = COLOURS[verdict.answer]
        draw.rectangle((EDGE, top, SIDE - EDGE, top + 54), fill=SURFACE)
        draw.rectangle((EDGE, top, EDGE + 8, top + 54), fill=colour)
        draw.text((EDGE + 24, top + 27), name, font=font(24), fill=INK, anchor="lm")
        draw.text((SIDE - EDGE - 16, top + 27), verdict.answer, font=font(24), fill=colour, anchor="rm")
    top = TOP + TILE + 16 + 64 * len(answers)
    draw.rectangle((EDGE, top, SIDE - EDGE, top + 54), outline=SURFACE, width=2)
    draw.text((SIDE / 2, top + 27), "... or none of them", font=font(22), fill=FAINT, anchor="mm")
    return picture


def origin_of_image() -> Image.Image:
    """A decoder inverted from one random latent: what the search starts with and where it ends."""
    autoencoder = tracer("demo-a").autoencoder
    generator = AutoencoderGenerator(autoencoder, 64, 64)
    trace = invert_inputs(generator, made_by_a()[..., 96:160, 96:160], starts=1, solver="lbfgs-whitened", steps=120)
    verdict = verdict_from_threshold(float(trace.loss[0]), None)
    tiles = [
        ("image", fit(to_picture(trace.images[0]), TILE)),
        ("random start", fit(to_picture(trace.initial_reconstruction[0]), TILE)),
        ("inverted input", fit(to_picture(trace.reconstruction[0]), TILE)),
        ("loss per step", loss_curve(trace.loss_history[0], verdict, TILE)),
    ]
    return four_tiles("WHICH ORIGIN?", INK, tiles)


def sign_and_read() -> Image.Image:
    """A signed picture, its difference, and how certain each bit of the key is, on the smallest basis that works."""
    autoencoder = tracer("demo-a").autoencoder
    basis = build_basis(autoencoder, [synthetic_photograph(seed, 128) for seed in range(50, 66)])
    key = parse_key("0123456789abcdef")
    with torch.no_grad():
        latents = autoencoder.encode(synthetic_photograph(7))
        plain, signed = (
            quantise(autoencoder.decode(one).cpu()) for one in (latents, embed(latents, basis, key, strength=1.5))
        )
    reading = read(autoencoder, signed, basis)
    certainty = Image.new("RGB", (8, 8))
    for number, confidence in enumerate(reading.bit_confidence):
        share = 2 * confidence - 1
        certainty.putpixel((number % 8, number // 8), (int(230 - 144 * share), int(159 + 21 * share), int(233 * share)))
    tiles = [
        ("unsigned", to_picture(plain)),
        ("signed", to_picture(signed)),
        ("difference x 4", to_picture(0.5 + 4 * (signed - plain))),
        ("certainty of bits", certainty.resize((TILE, TILE), Image.Resampling.NEAREST)),
    ]
    return four_tiles("SIGNED" if reading.key == key else "NO KEY", INK, tiles)


def find_the_edit() -> Image.Image:
    """A picture of demo-a's with a patch of the photograph behind it, and the map of it."""
    autoencoder, profile = tracer("demo-a").autoencoder, profile_of("demo-a")
    photograph, edited = synthetic_photograph(7), made_by_a().clone()
    side = edited.shape[-1]
    patch = slice(side // 4, side // 4 + side * 3 // 8)
    edited[..., patch, patch] = photograph[..., patch, patch]
    found = locate_foreign(autoencoder, edited, profile)
    mask = to_picture(found.mask.float().expand(1, 3, side, side))
    tiles = [
        ("edited", to_picture(edited)), ("foreign", to_picture(heat_map(edited, found))),
        ("mask", mask), ("before", to_picture(made_by_a())),
    ]  # fmt: skip
    return four_tiles("WHICH PART?", COLOURS["non-belonging"], tiles)


THUMBNAILS = {
    "find_the_edit": find_the_edit,
    "trace_own_output": trace_own_output,
    "trace_folder": trace_folder,
    "trace_image": trace_image,
    "trace_step_by_step": trace_step_by_step,
    "calibrate_and_trace": calibrate_and_trace,
    "which_vae": which_vae,
    "origin_of_image": origin_of_image,
    "sign_and_read": sign_and_read,
}
