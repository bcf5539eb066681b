"""Calibrate the two embedded autoencoders on the free photographs, and write the profiles that ship with them.

python tools/build_demo_profiles.py
"""

from __future__ import annotations

import os
from pathlib import Path

from latent_tracer.core import calibrate, load_autoencoder, load_image, make_score
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles import save_profile
from latent_tracer.core.profiles.table import found_among_belonging
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES
from rich.progress import track

# Shown in the demo, and therefore not calibrated on.
DEMO_PICTURES = ("coffee", "chelsea")
SIZE = 160


def main() -> None:
    data = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"))
    files = sorted(p for p in (data / "images").rglob("*") if p.suffix in {".png", ".jpg"})
    photographs = []
    for path in track(files, description="reading"):
        if path.stem in DEMO_PICTURES:
            continue
        pixels = load_image(path).pixels
        top, left = ((side - SIZE) // 2 for side in pixels.shape[-2:])
        photographs.append(pixels[..., top : top + SIZE, left : left + SIZE])
    autoencoders = [load_autoencoder(name) for name in EMBEDDED]
    for autoencoder in autoencoders:
        profile = calibrate(
            autoencoder,
            make_score(),
            photographs,
            others=autoencoders,
            calibrated_on=f"free photographs and generated pictures, central {SIZE}² crops",
        )
        save_profile(profile, PROFILES / f"{autoencoder.name}.profile.json")
        print(autoencoder.name, found_among_belonging(profile), profile.stated_fpr)


if __name__ == "__main__":
    main()
