"""Thumbnails of the example workflows, from what the nodes really answer about an embedded autoencoder.

ComfyUI's template browser shows them as squares of 240 to 280 pixels, and its own label lies over the left half of
their upper edge. They are drawn at twice that size, with words of 20 pixels and more.
"""

from __future__ import annotations

from draw_tiles import GAP, Tile, fingerprint, foreign, inversion, origin, put_tiles, signed_cat, signed_cat_basis
from drawn_from import DrawnFrom
from latent_tracer.core import to_picture
from latent_tracer.core.reports.pictures import amplified, score_distribution
from latent_tracer.core.reports.pictures.style import COLOURS, FAINT, INK, SURFACE, blank, fit, font
from PIL import Image, ImageDraw

SIDE, EDGE, TOP = 512, 24, 78
ROOM = SIDE - 2 * EDGE
TILE = 178


def canvas(title: str, colour: str = INK) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture, draw = blank(SIDE, SIDE)
    size = next(size for size in range(36, 12, -1) if font(size).getlength(title) <= 0.44 * SIDE)
    draw.text((SIDE - EDGE, TOP / 2), title, font=font(size), fill=colour, anchor="rm")
    return picture, draw


def four(title: str, tiles: list[Tile], colour: str = INK) -> Image.Image:
    picture, draw = canvas(title, colour)
    put_tiles(picture, draw, tiles, ((SIDE - 2 * TILE - GAP) // 2, TOP))
    return picture


def trace_image(source: DrawnFrom) -> Image.Image:
    traced = source.traced(source.made())
    assert traced.scored is not None and traced.scored.shown is not None
    shown, verdict = traced.scored.shown, traced.verdict
    difference, factor = amplified(shown.reconstruction - shown.original)
    picture, draw = canvas(verdict.answer.upper(), COLOURS[verdict.answer])
    side = (ROOM - 2 * GAP) // 3
    tiles = (("image", shown.original), ("decoded", shown.reconstruction), (f"residual x {factor:g}", difference))
    for column, (label, pixels) in enumerate(tiles):
        left = EDGE + column * (side + GAP)
        picture.paste(fit(to_picture(pixels), side), (left, TOP))
        draw.text((left, TOP + side + 2), label, font=font(20), fill=FAINT)
    top = TOP + side + 36
    picture.paste(score_distribution(source.profile(), verdict.score, ROOM, SIDE - EDGE - top), (EDGE, top))
    return picture


def calibrate_and_trace(source: DrawnFrom) -> Image.Image:
    """How the calibration images scored, and where the traced image falls."""
    picture, _ = canvas("CALIBRATE")
    verdict = source.traced(source.made()).verdict
    picture.paste(score_distribution(source.profile(), verdict.score, ROOM, SIDE - EDGE - TOP), (EDGE, TOP))
    return picture


def trace_step_by_step(source: DrawnFrom) -> Image.Image:
    return four("STEP BY STEP", inversion(source, TILE))


def origin_of_image(source: DrawnFrom) -> Image.Image:
    return four("WHICH ORIGIN?", origin(source, TILE))


def sign_and_read(source: DrawnFrom) -> Image.Image:
    tiles = fingerprint(source, TILE)
    return four("SIGNED" if signed_cat()[2].key is not None else "NO KEY", tiles)


def find_the_edit(source: DrawnFrom) -> Image.Image:
    return four("WHICH PART?", foreign(source, TILE), COLOURS["non-belonging"])


def trace_own_output(source: DrawnFrom) -> Image.Image:
    """Before and after the decoder, with the answer about each."""
    picture, draw = canvas("YOUR OUTPUT")
    side = (ROOM - GAP) // 2
    top = TOP + 20
    for column, (pixels, label) in enumerate(((source.photograph(), "before VAE"), (source.made(), "after VAE"))):
        verdict = source.traced(pixels).verdict
        left, colour = EDGE + column * (side + GAP), COLOURS[verdict.answer]
        picture.paste(fit(to_picture(pixels), side), (left, top))
        draw.text((left + side / 2, top + side + 30), label, font=font(26), fill=FAINT, anchor="mm")
        draw.rectangle((left, top + side + 62, left + side, top + side + 130), fill=SURFACE)
        draw.rectangle((left, top + side + 62, left + 8, top + side + 130), fill=colour)
        draw.text((left + side / 2 + 4, top + side + 96), verdict.answer, font=font(29), fill=colour, anchor="mm")
    return picture


def trace_folder(source: DrawnFrom) -> Image.Image:
    """Rows of a report: pictures, some of them this VAE's own, and the answer about each."""
    picture, draw = canvas("A FOLDER")
    height = (SIDE - EDGE - TOP - 24) // 4
    names = ("coffee", "chelsea")
    pictures = [pixels for name in names for pixels in (source.made(name), source.photograph(name))]
    for row, pixels in enumerate(pictures):
        verdict = source.traced(pixels).verdict
        top, colour = TOP + row * (height + 8), COLOURS[verdict.answer]
        draw.rectangle((EDGE, top, SIDE - EDGE, top + height), fill=SURFACE)
        picture.paste(fit(to_picture(pixels), height - 12), (EDGE + 6, top + 6))
        left = EDGE + height + 12
        draw.text((left, top + height / 2 - 16), f"{row + 1:04}.png", font=font(24), fill=INK, anchor="lm")
        draw.text((left, top + height / 2 + 17), f"p = {verdict.p_value:.2g}", font=font(22), fill=FAINT, anchor="lm")
        draw.text((SIDE - EDGE - 14, top + height / 2), verdict.answer, font=font(29), fill=colour, anchor="rm")
    return picture


def which_vae(source: DrawnFrom) -> Image.Image:
    picture, draw = canvas("WHICH VAE?")
    side, height = 196, 62
    picture.paste(fit(to_picture(source.made()), side), ((SIDE - side) // 2, TOP))
    top = TOP + side + GAP
    for name in ("demo-a", "demo-b"):
        answer = source.traced(source.made(), name).verdict.answer
        draw.rectangle((EDGE, top, SIDE - EDGE, top + height), fill=SURFACE)
        draw.rectangle((EDGE, top, EDGE + 8, top + height), fill=COLOURS[answer])
        draw.text((EDGE + 24, top + height / 2), name, font=font(29), fill=INK, anchor="lm")
        draw.text((SIDE - EDGE - 16, top + height / 2), answer, font=font(29), fill=COLOURS[answer], anchor="rm")
        top += height + 10
    draw.rectangle((EDGE, top, SIDE - EDGE, top + height - 8), outline=SURFACE, width=2)
    draw.text((SIDE / 2, top + height / 2 - 4), "... or none of them", font=font(26), fill=FAINT, anchor="mm")
    return picture


def build_fingerprint_basis(source: DrawnFrom) -> Image.Image:
    """How much of a change along each direction comes back from the picture; the chosen directions stand out."""
    source.tracer()
    basis = signed_cat_basis()
    picture, draw = canvas("MEASURE A BASIS")
    response, chosen = basis.response / basis.response.max(), set(basis.chosen.tolist())
    order, height = basis.variance.argsort().tolist(), SIDE - EDGE - TOP - 70
    for column, index in enumerate(order):
        left, right = (EDGE + ROOM * edge / len(order) for edge in (column, column + 1))
        top = TOP + height * (1 - max(0.0, float(response[index])))
        colour = COLOURS["belonging"] if index in chosen else SURFACE
        draw.rectangle((left, top, max(left, right - 0.5), TOP + height), fill=colour)
    draw.text((EDGE, TOP + height + 8), "low variance", font=font(22), fill=FAINT)
    draw.text((SIDE - EDGE, TOP + height + 8), "high variance", font=font(22), fill=FAINT, anchor="ra")
    draw.text((EDGE, TOP + height + 38), "height: what survives; blue: chosen", font=font(22), fill=FAINT)
    return picture


def trace_app(source: DrawnFrom) -> Image.Image:
    """A picture in, an answer out."""
    picture, draw = canvas("THE APP")
    verdict = source.traced(source.made()).verdict
    side, colour = 300, COLOURS[verdict.answer]
    left = (SIDE - side) // 2
    picture.paste(fit(to_picture(source.made()), side), (left, TOP))
    draw.rectangle((left, TOP + side + 14, left + side, TOP + side + 96), fill=SURFACE)
    draw.rectangle((left, TOP + side + 14, left + 10, TOP + side + 96), fill=colour)
    draw.text((SIDE / 2 + 5, TOP + side + 55), verdict.answer, font=font(40), fill=colour, anchor="mm")
    return picture


THUMBNAILS = {
    "1_trace_what_I_just_made": trace_own_output,
    "trace_image.app": trace_app,
    **{
        draw.__name__: draw
        for draw in (
            build_fingerprint_basis, calibrate_and_trace, find_the_edit, origin_of_image, sign_and_read, trace_folder,
            trace_image, trace_step_by_step, which_vae,
        )
    },
}  # fmt: skip
