"""Draw the pictures of the help pages that show what a node really does with an embedded autoencoder.

python tools/draw_help_pictures.py
"""

from __future__ import annotations

from pathlib import Path

from latent_tracer.core.storage.atomic import write_picture
from workflow_thumbnails import find_the_edit, origin_of_image, sign_and_read, trace_step_by_step

PAGES = Path(__file__).resolve().parent.parent / "web" / "docs"
PICTURES = {
    "foreign": find_the_edit,
    "fingerprint": sign_and_read,
    "origin": origin_of_image,
    "inversion": trace_step_by_step,
}


def main() -> None:
    for name, draw in PICTURES.items():
        write_picture(PAGES / f"{name}.jpg", draw(), quality=88)
        print(name)


if __name__ == "__main__":
    main()
