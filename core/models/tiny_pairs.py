"""Tiny autoencoders in a folder, by the names under which ComfyUI keeps those of its previews."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidSettingError
from ..storage.safe_text import clean_text

ENCODER, DECODER = "_encoder.safetensors", "_decoder.safetensors"


def tiny_pairs(folder: str | Path) -> list[Path]:
    """The common prefixes of pairs of encoder and decoder in ``folder``, which :func:`load_autoencoder` takes.

    Raises :class:`InvalidSettingError` for none.
    """
    folder = Path(folder)
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InvalidSettingError(
            f"{clean_text(str(folder))} is no folder that can be read ({error.strerror}): give that of the proxies."
        ) from None
    starts = [name.removesuffix(ENCODER) for name in names if name.endswith(ENCODER)]
    pairs = [folder / start for start in starts if f"{start}{DECODER}" in names]
    if not pairs:
        raise InvalidSettingError(
            f"There is no pair NAME{ENCODER} and NAME{DECODER} in {clean_text(str(folder))}: give the folder of TAESD"
            " and its relatives, as ComfyUI's models/vae_approx."
        )
    return pairs
