"""Write ``workflows/examples``: what the templates run on where nothing but the pack is installed.

    python tools/build_examples.py

Pictures: drawn ones, and what the embedded decoders make of them. Beside them lie a copy of a profile that ships, a
fingerprint basis, and a secret that everybody knows.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from draw_help_pages import claim_of
from latent_tracer.core import load_autoencoder, quantise, synthetic_photograph, to_picture
from latent_tracer.core.fingerprints import build_basis
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

EXAMPLES = Path(__file__).resolve().parent.parent / "workflows" / "examples"
SIDE, DRAWN, SEED = 512, 24, 7100
SECRET = "public example secret: protects nothing, make your own"


@torch.no_grad()
def made(pixels: Tensor, by: str) -> Tensor:
    decoder = load_autoencoder(by)
    return quantise(decoder.decode(decoder.encode(pixels)).cpu())


def save(pixels: Tensor, place: str, claim: str | None = None) -> None:
    path = EXAMPLES / "pictures" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo() if claim is None else claim_of(EMBEDDED[claim].name)
    options = {"quality": 92, "subsampling": 0} if path.suffix == ".jpg" else {"pnginfo": info, "optimize": True}
    to_picture(pixels).save(path, **options)


def main() -> None:
    shutil.rmtree(EXAMPLES, ignore_errors=True)
    drawn = [synthetic_photograph(SEED + number, 256) for number in range(DRAWN)]
    for number, pixels in enumerate(drawn, start=1):
        save(pixels, f"drawn/{number:02}.jpg")
    small = [synthetic_photograph(SEED + 100 + number, 64) for number in range(6)]
    for number, pixels in enumerate(small[:5], start=1):
        save(pixels, f"small/{number}.png")
    save(made(small[5], "demo-a"), "small, made by demo-a/6.png", claim="demo-a")
    first, second = (synthetic_photograph(SEED + 200 + number, SIDE) for number in range(2))
    save(first, "picture/drawing.png")
    save(made(first, "demo-a"), "made by demo-a/drawing.png", claim="demo-a")
    edited = made(second, "demo-a")
    edited[..., 160:352, 128:320] = first[..., 160:352, 128:320]
    save(edited, "edited/drawing.png", claim="demo-a")
    for number, pixels in enumerate(drawn[:2], start=1):
        save(pixels, f"mixed/drawing {number}.png")
        save(made(pixels, "demo-a"), f"mixed/drawing {number}, demo-a.png", claim="demo-a")
    save(made(drawn[0], "demo-b"), "mixed/drawing 1, demo-b.png", claim="demo-b")
    for name in ("latent_trace", "latent_fingerprints"):
        (EXAMPLES / name).mkdir()
    shutil.copy(PROFILES / "demo-a.profile.json", EXAMPLES / "latent_trace" / "zz-latent-tracer-demo-a.json")
    basis = build_basis(load_autoencoder("demo-a"), drawn)
    basis.save(EXAMPLES / "latent_fingerprints" / "zz-latent-tracer-demo-a.safetensors")
    secret = EXAMPLES / "latent_fingerprints" / "zz-latent-tracer-example.secret"
    secret.write_text(SECRET + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
