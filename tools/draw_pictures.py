"""Draw every picture of README, help pages and the workflows' thumbnails, and write what each was drawn from.

    python tools/draw_pictures.py [FILE ...]

Without files all are drawn. ``docs/pictures.json`` holds, for each file, the models with the digests of their weights
and profiles, the photographs, a digest of the code that lays it out, the answers it shows, and the file's own digest.
``tests/test_drawn_pictures.py`` fails when one of them is no longer today's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL
import torch
from draw_help_pages import HELP_PAGES, readme
from draw_thumbnails import THUMBNAILS
from drawn_from import REPOSITORY, DrawnFrom, file_record, layout_digest
from latent_tracer.core.storage.atomic import write_picture, write_text
from PIL import Image

MANIFEST = REPOSITORY / "docs" / "pictures.json"
FORMAT = "latent-tracer-drawn-pictures"

DRAWINGS: dict[str, Callable[[DrawnFrom], Image.Image]] = {
    "docs/trace.png": readme,
    **{f"web/docs/{name}": draw for name, draw in HELP_PAGES.items()},
    **{f"workflows/{name}.jpg": draw for name, draw in THUMBNAILS.items()},
}


def draw(name: str) -> tuple[Image.Image, dict[str, Any]]:
    """The picture of that path below the repository, and the record of what it was drawn from."""
    source = DrawnFrom()
    picture = DRAWINGS[name](source)
    return picture, {"width": picture.width, "height": picture.height, **source.record()}


def save(path: Path, picture: Image.Image) -> None:
    """JPEG without chroma subsampling, which would blur coloured text; PNG as small as it gets."""
    if path.suffix == ".jpg":
        write_picture(path, picture, quality=82, subsampling=0, optimize=True)
    else:
        write_picture(path, picture, optimize=True)


def main() -> None:
    names = sys.argv[1:] or list(DRAWINGS)
    unknown = [name for name in names if name not in DRAWINGS]
    if unknown:
        raise SystemExit(f"No drawing is called {unknown[0]}: give one of {', '.join(DRAWINGS)}.")
    layout_digest()  # of the code that is loaded, whatever is edited while it draws
    known = json.loads(MANIFEST.read_text(encoding="utf-8"))["pictures"] if MANIFEST.exists() else {}
    drawn_by = {"torch": torch.__version__, "Pillow": PIL.__version__}
    for name in names:
        picture, record = draw(name)
        save(REPOSITORY / name, picture)
        known[name] = {**file_record(REPOSITORY / name), **record, "drawn by": drawn_by}
        print(f"{name}: {picture.width}x{picture.height}, {known[name]['bytes']} bytes", flush=True)
        pictures = {name: known[name] for name in DRAWINGS if name in known}
        manifest = {"format": FORMAT, "version": 1, "pictures": pictures}
        write_text(MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
