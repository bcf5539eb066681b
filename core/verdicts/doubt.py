"""What a picture has been through, as far as its own pixels show: grounds to doubt an answer about its origin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import InvalidSettingError
from ..images.conditions import CLEAN, CONDITIONS, LOSSY, NO_JPEG, USUAL, jpeg_quality_of
from ..images.jpeg import jpeg_quality
from ..images.lossy_past import few_colours, was_lossy
from ..images.regularity import JPEG_BLOCK, different_blocks, grid_strength
from ..profiles import JPEG_TOLERANCE, Limit, Profile, measured_limit

# Pictures from five decoders had up to 0.11, JPEG of quality 10 and mosaics 0.7 and more (localisation-whole-rows and
# histories-rows, swept in benchmarks/results/constants.md).
STRONG_GRID = 0.3
# Of the strongest that calibration saw on belonging images: a decoder may leave an edge along its cells. No rate
# hangs on it: five shipped profiles stay below STRONG_GRID with it; the two of the demo come to 0.64 and 0.77.
GRID_FACTOR = 1.5
# What JPEG adds to it per step of quality below 100 (benchmarks/results/constants.md).
GRID_OF_JPEG = 0.02
JPEG = "JPEG"


@dataclass(frozen=True)
class History:
    """``jpeg_quality``: of a JPEG file the picture once was, where one shows. ``grid``: strength of its own grid, see
    :func:`grid_strength`. ``different_blocks`` of ``telling_blocks`` 8×8 blocks that are not flat. ``was_lossy``: it
    was once a lossy file of another kind. ``colours``: how many, where most were taken away.
    """

    jpeg_quality: int | None = None
    grid: float = 0.0
    different_blocks: int = 0
    telling_blocks: int = 0
    was_lossy: bool = False
    colours: int | None = None

    @classmethod
    def of(cls, image: Tensor) -> History:
        """Read the pixels of ``image`` ``[1,3,H,W]`` in [0,1]."""
        return cls(
            jpeg_quality(image),
            grid_strength(image),
            *different_blocks(image),
            was_lossy=was_lossy(image),
            colours=few_colours(image),
        )

    @property
    def findings(self) -> tuple[str, ...]:
        """What shows, in a few words each."""
        found = []
        if self.jpeg_quality is not None:
            found.append(f"once a JPEG file of about quality {self.jpeg_quality}")
        elif self.was_lossy:
            found.append("once a lossy file (WebP, AVIF, video or a fine JPEG)")
        if self.colours is not None:
            found.append(f"reduced to {self.colours} colours")
        if self.grid > STRONG_GRID:
            found.append("a regular grid of its own")
        if self.repeats:
            found.append("repeats itself")
        return tuple(found)

    @property
    def repeats(self) -> bool:
        return 2 * self.different_blocks < self.telling_blocks

    @property
    def side_without_repeats(self) -> float:
        """Side in pixels of a square picture that holds as many different blocks."""
        return JPEG_BLOCK * math.sqrt(self.different_blocks)


def doubt_about(answer: str, history: History, profile: Profile, file_format: str = "") -> str | None:
    """Why ``answer`` under ``profile`` cannot stand for a picture with this ``history``, or ``None`` if it can.

    ``file_format``: Pillow's name of the file's, where that is known.

    A yes falls where nothing like this picture was among the others of the calibration; a no, where the trace is weaker
    than in the belonging images of the calibration.
    """
    if history.repeats and history.side_without_repeats < profile.image_sizes[0] / 2:
        return (
            f"the picture repeats itself: of {history.telling_blocks} blocks of 8×8 pixels {history.different_blocks}"
            " differ, too few to judge by."
        )
    quality = history.jpeg_quality
    if answer == "belonging":
        roughest = roughest_jpeg(profile)
        if quality is not None and quality < roughest - JPEG_TOLERANCE:
            covered = "no JPEG files were" if roughest == NO_JPEG else f"none below quality {roughest} was"
            return (
                f"the picture was once a JPEG file of about quality {quality}, whose blocks can pass for a decoder's"
                f" trace, and {covered} among the other images of this calibration."
            )
        # What JPEG of the profile's own condition adds was measured with it.
        own_quality = min(100, jpeg_quality_of(profile.condition))
        if history.grid > strongest_grid(profile) + GRID_OF_JPEG * max(0, own_quality - (quality or own_quality)):
            return (
                "the picture has a regular grid of its own (block edges, a mosaic, ruled lines, an enlargement), which"
                " can pass for a decoder's trace."
            )
    if answer != "non-belonging":
        return None
    # A rough profile serves for milder files as well: their trace is the stronger one.
    mildest = jpeg_quality_of(profile.condition) - 2 * JPEG_TOLERANCE
    if quality is not None and quality < mildest:
        return (
            f"the picture was once a JPEG file of about quality {quality}, which weakens a trace, and the profile holds"
            f" for {profile.condition} images: {calibrate_for(quality)}"
        )
    # How much another format lost does not show: a profile for JPEG files says nothing of it.
    is_covered = profile.condition in LOSSY and (file_format == JPEG or jpeg_quality_of(profile.condition) == NO_JPEG)
    if quality is None and history.was_lossy and not is_covered:
        return (
            "the picture was once a lossy file (WebP, AVIF, video or a fine JPEG), which weakens a trace, and the"
            f" profile holds for {profile.condition} images: trace the picture as it was before."
        )
    if history.colours is not None:
        return f"the picture was reduced to {history.colours} colours, which takes a trace away: trace it as it was."
    return None


def stored_quality(history: History, profile: Profile, lossy: bool) -> int | None:
    """The JPEG quality as which a decoder's own version of the picture is stored, to be like it; ``None`` for no JPEG.

    Of a ``lossy`` file, or what was one, whose quality does not show, that of the condition of ``profile``.
    """
    quality = history.jpeg_quality
    if quality is None and (lossy or history.was_lossy):
        quality = jpeg_quality_of(profile.condition)
    return None if quality == NO_JPEG else quality


def profile_for(history: History, profiles: Sequence[Profile], file_format: str = "") -> Profile:
    """The profile of the condition nearest to what the picture went through, rather a rougher one than a milder one.

    A trace is stronger after mild JPEG than a profile for rough JPEG expects, which spoils neither of its answers; a
    profile for milder JPEG could give no answer but yes. ``file_format``: Pillow's name of the file's, where that is
    known; of a lossy one whose quality does not show, a profile for such files counts as nearer than any other. Raises
    :class:`InvalidSettingError` for none.
    """
    if not profiles:
        raise InvalidSettingError("No profile was given to choose from: calibrate first.")
    quality = NO_JPEG if history.jpeg_quality is None else history.jpeg_quality
    such_files = f"{file_format.lower()}-" if history.jpeg_quality is None and file_format else ""

    def distance(profile: Profile) -> tuple[bool, bool, int, bool]:
        above = jpeg_quality_of(profile.condition) - quality
        is_other = not profile.condition.startswith(such_files)
        return is_other, above > 2 * JPEG_TOLERANCE, abs(above), profile.condition != CLEAN

    return min(profiles, key=distance)


def calibrate_for(quality: int) -> str:
    """The end of a sentence: what makes a profile that gives an answer about JPEG files of ``quality``."""
    if quality >= min(map(jpeg_quality_of, USUAL)) - 2 * JPEG_TOLERANCE:
        return "calibrate for JPEG files (latent-tracer calibrate and Calibrate Trace do, unless told otherwise)."
    condition = condition_for(quality)
    return f"calibrate for {condition} (latent-tracer calibrate --condition {condition}, or so in Calibrate Trace)."


def condition_for(quality: int) -> str:
    """The mildest JPEG condition that is no milder than ``quality``, or the roughest there is."""
    qualities = sorted({jpeg_quality_of(condition) for condition in CONDITIONS} - {NO_JPEG})
    return f"jpeg-{max((one for one in qualities if one <= quality + JPEG_TOLERANCE), default=qualities[0])}"


def roughest_jpeg(profile: Profile) -> int:
    """The lowest JPEG quality among the non-belonging images of ``profile``, :data:`NO_JPEG` for none."""
    return min(jpeg_quality_of(source.history) for source in profile.others)


def strongest_grid(profile: Profile) -> float:
    """The strength of a picture's own grid up to which a yes under ``profile`` stands."""
    held = profile.limits.own_grid
    return STRONG_GRID if held is None else max(STRONG_GRID, held.value)


def fit_grid(strengths: Sequence[float]) -> Limit | None:
    """A profile's limit from the grid strengths of its belonging samples, ``None`` without any."""
    return measured_limit("own_grid", GRID_FACTOR * max(strengths), len(strengths)) if strengths else None


def with_own_grid(profile: Profile, strengths: Sequence[float]) -> Profile:
    """``profile`` for a decoder whose own pictures have grids of these ``strengths``, see :func:`fit_grid`."""
    return replace(profile, limits=replace(profile.limits, own_grid=fit_grid(strengths)))
