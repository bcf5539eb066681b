"""Which family of models made a picture, through the tiny autoencoders that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from ..errors import InvalidImageError, InvalidProfileError
from ..files.picture import Picture
from ..images.tensors import whole_cells
from ..inversion.memory import out_of_memory_sentence
from ..models.autoencoder import Autoencoder
from ..profiles.families import Families, shipped_families
from ..scores.decoder_grid import NoGridError
from ..scores.family_score import PHASES, SETTINGS, family_score
from ..scores.spectral import BAND_WEIGHTS
from ..scores.windows import within_memory
from ..verdicts.doubt import History
from ..verdicts.family import FamilyVerdict, Shown, judge_family
from .watched import OnPass, watched

# Cells of every proxy are whole in multiples of this many pixels, which are also the sides that generators make.
CELL = 8


def held(autoencoder: Autoencoder) -> Callable[[], AbstractContextManager[Autoencoder]]:
    """What opens one that stays in memory."""
    return lambda: nullcontext(autoencoder)


def check_families(families: Families) -> None:
    """Raise :class:`InvalidProfileError` for a calibration of another score than :func:`family_score`."""
    bands = {len(one.weights) for one in families.proxies} - {0}
    # Its side is about the pictures that were scored; one that is not here belongs to a later score.
    other = any(SETTINGS.get(name) != value for name, value in families.score_settings.items() if name != "side")
    if other or bands - {len(BAND_WEIGHTS)}:
        raise InvalidProfileError("This calibration of families is of another family score: use the one that ships.")


def which_family(
    proxies: Sequence[Callable[[], AbstractContextManager[Autoencoder]]],
    pictures: Sequence[Picture],
    families: Families | None = None,
    on_pass: OnPass | None = None,
) -> list[FamilyVerdict]:
    """The answer about each of ``pictures``, with one of ``proxies`` in memory at a time, each opened once.

    ``families``: the calibration, ``None`` for the one that ships; proxies that it does not know are passed over, and
    of two with the same weights the second. ``on_pass`` cancels by raising. Raises :class:`InvalidProfileError` for a
    calibration of another score, :class:`NotEnoughMemoryError` where not even the smallest windows fit, and what
    opening a proxy raises.
    """
    families = shipped_families() if families is None else families
    check_families(families)
    asked: set[str] = set()
    shown: list[list[Shown]] = [[] for _ in pictures]
    done = 0
    expected = len(proxies) * len(pictures) * 2 * (1 + len(PHASES))

    def told() -> None:
        nonlocal done
        done += 1
        if on_pass is not None:
            on_pass(done, max(done, expected))

    for opened in proxies:
        with opened() as proxy:
            known = families.of(proxy.fingerprint)
            if known is None or known.digest in asked:
                continue
            asked.add(known.digest)
            for picture, found in zip(pictures, shown, strict=True):
                found.append(_shown(watched(proxy, told), picture, Shown(known, proxy.name, None)))
    return [_judged(picture, found, families) for picture, found in zip(pictures, shown, strict=True)]


def _shown(proxy: Autoencoder, picture: Picture, shown: Shown) -> Shown:
    """``shown`` with the score of ``picture`` through ``proxy``, or with the reason why there is none."""
    try:
        image = whole_cells(picture.pixels, proxy.spatial_ratio)
        score, _ = within_memory(
            lambda window: family_score(proxy, image, window),
            lambda: out_of_memory_sentence("Asking for a family", proxy, image),
        )
        return replace(shown, score=score)
    except (InvalidImageError, NoGridError) as error:
        return replace(shown, reason=str(error))


def _judged(picture: Picture, shown: Sequence[Shown], families: Families) -> FamilyVerdict:
    whole = all(side % CELL == 0 for side in picture.pixels.shape[-2:])
    history = History.of(picture.pixels)
    return judge_family(shown, families, history, lossy=picture.facts.lossy, whole_cells=whole)
