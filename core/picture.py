"""The picture that explains a verdict: original | reconstruction | amplified residual | loss curve, drawn with Pillow.

Light on a dark canvas; the colours are Okabe and Ito's, which stay apart for colour-blind readers.
"""

from __future__ import annotations

import math
import textwrap

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .images import to_picture
from .inversion import Inversion
from .quantiser import ROUNDING_FLOOR, residual
from .verdict import Answer, Verdict

PANEL = 320
MARGIN = 24
CANVAS, SURFACE, INK, FAINT = "#14171c", "#1e232b", "#f2f4f7", "#9aa4b2"
COLOURS: dict[Answer, str] = {"belonging": "#56b4e9", "non-belonging": "#e69f00", "inconclusive": "#c9c9c9"}
CURVE, FLOOR_LINE = "#f0e442", "#009e73"


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


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


def trace_picture(inversion: Inversion, index: int, verdict: Verdict) -> Image.Image:
    """One RGB picture about image ``index`` of an inversion; about 1420×560 pixels."""
    difference, factor = amplified_residual(inversion, index)
    panels = (
        ("original", fit(to_picture(inversion.images[index]))),
        ("reconstruction D(z*)", fit(to_picture(inversion.reconstruction[index]))),
        (f"residual x {factor:g}", fit(to_picture(difference))),
        ("loss per step", loss_curve(inversion.loss_history[index], verdict)),
    )
    # Pillow's built-in font has no multiplication sign.
    sentence = verdict.sentence.replace("×", "x")
    lines = textwrap.wrap(sentence, 150) + textwrap.wrap("Limits: " + verdict.limits, 150)
    header = 84
    width = MARGIN + len(panels) * (PANEL + MARGIN)
    height = header + PANEL + 40 + 24 * len(lines) + MARGIN
    canvas = Image.new("RGB", (width, height), CANVAS)
    draw = ImageDraw.Draw(canvas)
    colour = COLOURS[verdict.answer]
    draw.rectangle((0, 0, 10, header - 12), fill=colour)
    draw.text((MARGIN, 14), verdict.answer.upper(), font=font(40), fill=colour)
    draw.text((width - MARGIN, 18), f"inspected model: {inversion.autoencoder}", font=font(20), fill=INK, anchor="ra")
    facts = (
        f"loss {inversion.loss[index]:.3g} after {inversion.passes[index].decoder} decoder passes, {inversion.solver}"
    )
    draw.text((width - MARGIN, 46), facts, font=font(16), fill=FAINT, anchor="ra")
    for column, (title, panel) in enumerate(panels):
        left = MARGIN + column * (PANEL + MARGIN)
        canvas.paste(panel, (left, header))
        draw.text((left, header + PANEL + 6), title, font=font(18), fill=FAINT)
    for row, line in enumerate(lines):
        draw.text((MARGIN, header + PANEL + 44 + 24 * row), line, font=font(17), fill=INK if row == 0 else FAINT)
    return canvas


def fit(picture: Image.Image) -> Image.Image:
    """``picture`` inside a PANEL² tile; small pictures are enlarged without smoothing, so that pixels stay visible."""
    scale = PANEL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    tile = Image.new("RGB", (PANEL, PANEL), SURFACE)
    tile.paste(picture.resize(size, method), ((PANEL - size[0]) // 2, (PANEL - size[1]) // 2))
    return tile


def loss_curve(history: tuple[float, ...], verdict: Verdict) -> Image.Image:
    """The loss of every step on a logarithmic scale, with the rounding floor and, where it is a loss, the threshold."""
    tile = Image.new("RGB", (PANEL, PANEL), SURFACE)
    draw = ImageDraw.Draw(tile)
    left, right, top, bottom = 46, PANEL - 12, 14, PANEL - 30
    values = [max(loss, 1e-9) for loss in history if math.isfinite(loss)]
    threshold = verdict.threshold if verdict.score in history else None
    shown = [*values, ROUNDING_FLOOR] + ([threshold] if threshold else [])
    low, high = math.floor(math.log10(min(shown))), math.ceil(math.log10(max(shown)))
    high = max(high, low + 1)

    def y(loss: float) -> float:
        return bottom - (math.log10(loss) - low) / (high - low) * (bottom - top)

    for decade in range(low, high + 1):
        draw.line((left, y(10.0**decade), right, y(10.0**decade)), fill="#343b47")
        draw.text((left - 6, y(10.0**decade)), f"1e{decade}", font=font(13), fill=FAINT, anchor="rm")
    for level, label, colour in ((ROUNDING_FLOOR, "8-bit floor", FLOOR_LINE), (threshold, "threshold", INK)):
        if level:
            draw.line((left, y(level), right, y(level)), fill=colour, width=2)
            draw.text((right, y(level) - 3), label, font=font(14), fill=colour, anchor="rb")
    step = (right - left) / max(1, len(values) - 1)
    points = [(left + i * step, y(loss)) for i, loss in enumerate(values)]
    if len(points) > 1:
        draw.line(points, fill=CURVE, width=3, joint="curve")
    elif points:
        draw.ellipse((points[0][0] - 4, points[0][1] - 4, points[0][0] + 4, points[0][1] + 4), fill=CURVE)
    draw.text(((left + right) / 2, PANEL - 8), f"{len(history)} evaluations", font=font(14), fill=FAINT, anchor="mb")
    return tile


def picture_tensor(picture: Image.Image) -> Tensor:
    """A Pillow picture as ``[1,H,W,3]`` float32 in [0,1], the layout of ComfyUI's IMAGE."""
    data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.reshape(1, picture.height, picture.width, 3).float() / 255
