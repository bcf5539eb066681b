"""Which part of a picture did the decoder not make? The grid contrast, block by block.

Where the decoder wrote the pixels, the residual on its grid lies below that beside it (:mod:`..scores.grid_contrast`);
where something was pasted or painted in afterwards, both are alike. The contrast of one 8×8 block is noise; averaged
over a neighbourhood and held against the picture's own best part it draws a map.

The largest excess anywhere in the map is one number per picture. Its distribution over pictures that wholly belong
gives the threshold, so the stated false-alarm rate is that of a whole picture, not of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..images.conditions import LOSSY, NO_JPEG, jpeg_quality_of
from ..inversion.memory import out_of_memory_sentence
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles import JPEG_TOLERANCE, Limit, Profile, measured_limit
from ..profiles.thresholds import quantile_threshold
from ..scores.contrast_map import looks_of
from ..scores.protocol import check_single
from ..scores.spectral import DCT_BLOCK
from ..scores.windows import SIDE, WHOLE_PIXELS, within_memory
from .doubt import History, profile_for

# Standard deviation of the smoothing in blocks: a neighbourhood of about 90 blocks, 76 pixels across
# (benchmarks/results/constants.md, as the next two).
SMOOTHING = 2.7
# The part of the picture that is taken for belonging: a foreign region may cover up to two thirds of it.
REFERENCE_QUANTILE = 0.25
# For a decoder that nobody calibrated: of wholly belonging pictures of five decoders one in eight goes beyond it, and
# every patch of 128² does.
UNCALIBRATED_THRESHOLD = 8.0
SHIPPED_SIDE, CALIBRATED_SIDE = 256, 512


@dataclass(frozen=True)
class ForeignMap:
    """What of one picture ``[H,W]`` does not look like the rest.

    contrast: smoothed grid contrast, about 0 where foreign. excess: standard errors above the picture's own belonging
    part. mask: excess above ``threshold``. ``false_alarm_rate``: how often a wholly belonging picture has any mask at
    all, ``None`` where that was not measured. ``visible``: where the picture held enough detail to tell.

    ``is_own``: the reverse, of :func:`.own_part.locate_own`: ``mask`` is what the decoder made, in a picture that it
    did not make as a whole, and the rate is that of pictures without such a part.
    """

    contrast: Tensor
    excess: Tensor
    mask: Tensor
    visible: Tensor
    threshold: float
    false_alarm_rate: float | None
    passes: Passes
    is_own: bool = False

    @property
    def share(self) -> float:
        """Share of the picture's area under the mask."""
        return float(self.mask.float().mean())

    @property
    def sentence(self) -> str:
        """What was found, with its false-alarm rate and the limit that matters most."""
        pictures = "pictures of which it made no part" if self.is_own else "wholly belonging pictures"
        rate = (
            f"how often {pictures} show a region was not measured" + ("" if self.is_own else ", calibrate first")
            if self.false_alarm_rate is None
            else f"{self.false_alarm_rate:.1%} of {pictures} show any region"
        )
        hidden = 1 - float(self.visible.float().mean())
        looks = "shows this decoder's trace" if self.is_own else "does not look like this decoder's work"
        found = f"{self.share:.1%} of the picture {looks}" if self.mask.any() else "no region stands out from the rest"
        limit = (
            "one that wholly belongs shows no region: ask for a verdict first."
            if self.is_own
            else "that the rest belongs is for a verdict to say."
        )
        return (
            f"{found} (largest excess {self.largest_excess:.1f} against a threshold of {self.threshold:.1f}; {rate})."
            f" {hidden:.0%} of the picture is too smooth to tell. This compares the picture with itself: {limit}"
        )

    @property
    def largest_excess(self) -> float:
        return float(self.excess.max())


def locate_foreign(autoencoder: Autoencoder, image: Tensor, profile: Profile | None = None) -> ForeignMap:
    """Map what of ``image`` ``[1,3,H,W]`` in [0,1], on the latent grid, this decoder did not make.

    Meaningful only if a good part of the picture does belong: ask for a verdict, too. The threshold is the profile's
    where it holds one. Raises :class:`InvalidImageError` for a flat or too small picture.
    """
    threshold, rate = threshold_of(profile)
    # The more neighbourhoods, the likelier one stands out: of larger pictures than were measured the rate says nothing.
    if profile is not None and image.shape[-2] * image.shape[-1] > mapped_pixels(profile):
        rate = None
    return region_map(autoencoder, image, REFERENCE_QUANTILE, threshold, rate)


def region_map(
    autoencoder: Autoencoder,
    image: Tensor,
    quantile: float,
    threshold: float,
    rate: float | None,
    is_own: bool = False,
) -> ForeignMap:
    """The map of ``image`` ``[1,3,H,W]``: what lies above the contrast of that ``quantile`` of its evidence, or below
    for ``is_own``, by ``threshold`` standard errors. Raises as :func:`locate_foreign`."""
    image = check_single(image)
    tiled = image.shape[-2] * image.shape[-1] > WHOLE_PIXELS
    return within_memory(
        lambda side: _map(autoencoder, image, side or (SIDE if tiled else None), quantile, threshold, rate, is_own),
        lambda: out_of_memory_sentence("Mapping", autoencoder, image),
    )[0]


def _map(
    autoencoder: Autoencoder,
    image: Tensor,
    side: int | None,
    quantile: float,
    threshold: float,
    rate: float | None,
    is_own: bool = False,
) -> ForeignMap:
    """The map from tiles whose compared parts are ``side`` pixels each way, or from the whole at once."""
    passes = Passes()
    ratio, whole = autoencoder.spatial_ratio, image.shape[-2:]
    contrast, weight = looks_of(autoencoder, image, passes, side)
    smoothed, error = smooth(contrast, weight)
    excess = (smoothed - weighted_quantile(smoothed, weight, quantile)) / error * (-1 if is_own else 1)
    # Less than a fifth of the mean weight is the blur of what lies beside it; only what is said of the map hangs on it.
    return ForeignMap(
        contrast=to_pixels(smoothed, ratio, whole),
        excess=to_pixels(excess, ratio, whole),
        mask=to_pixels(excess, ratio, whole) > threshold,
        visible=to_pixels((weight > 0.2 * weight.mean()).float(), ratio, whole) > 0.5,
        threshold=threshold,
        false_alarm_rate=rate,
        passes=passes,
        is_own=is_own,
    )


def smooth(contrast: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted Gaussian mean of block contrasts ``[h,w]``, and its standard error there.

    A block's own scatter is taken from how far blocks lie from their neighbourhood, robustly (median).
    """
    mass = _blur(weight, SMOOTHING)
    # Flat all around: nothing there can stand out, however far from the rest.
    empty = mass <= 1e-6 * weight.mean()
    mass = mass.clamp_min(1e-12)
    smoothed = _blur(weight * contrast, SMOOTHING) / mass
    scatter = 1.4826 * weighted_quantile((contrast - smoothed).abs(), weight, 0.5)
    # Variance of a weighted mean of independent blocks: sum of squared weights over the square of their sum.
    narrow = SMOOTHING / math.sqrt(2)
    squares = _blur(weight.square(), narrow) / (4 * math.pi * SMOOTHING**2)
    error = max(scatter, 1e-6) * squares.sqrt() / mass + 1e-9
    return smoothed, error.masked_fill(empty, math.inf)


def _blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian mean over ``[h,w]``; beyond the border there is nothing, and it counts as nothing."""
    # The same for every sigma: a mean reaches no farther than the error that is stated for it.
    reach = math.ceil(3 * SMOOTHING)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(values)
    rows = F.conv2d(values[None, None], kernel[:, None][None, None], padding=(reach, 0))
    return F.conv2d(rows, kernel[None][None, None], padding=(0, reach))[0, 0]


def weighted_quantile(values: Tensor, weights: Tensor, share: float) -> float:
    """The smallest of ``values`` with at least ``share`` (0 to 1) of the total weight at or below it.

    ``weights`` are not negative and have the shape of ``values``, ``[…]``.
    """
    # On the CPU: some devices have no float64.
    values, weights = values.flatten().cpu(), weights.flatten().cpu()
    order = values.argsort()
    mass = weights[order].double().cumsum(0)
    position = int(torch.searchsorted(mass, share * mass[-1]).clamp(max=len(mass) - 1))
    return float(values[order[position]])


def to_pixels(blocks: Tensor, ratio: int, whole: Sequence[int]) -> Tensor:
    """Block values ``[h,w]`` as pixels ``[H,W]`` of the whole picture; its border takes the nearest block's value."""
    pixels = blocks.repeat_interleave(DCT_BLOCK, 0).repeat_interleave(DCT_BLOCK, 1)
    rows = (torch.arange(whole[0]) - ratio).clamp(0, pixels.shape[0] - 1)
    columns = (torch.arange(whole[1]) - ratio).clamp(0, pixels.shape[1] - 1)
    return pixels.cpu()[rows][:, columns]


def profile_of_map(profiles: Sequence[Profile], image: Tensor) -> Profile | None:
    """Of ``profiles`` of several conditions that hold a threshold of maps, the one that fits what the pixels of
    ``image`` ``[1,3,H,W]`` went through; ``None`` where none does: rougher JPEG than was measured leaves other maps."""
    holding = [one for one in profiles if one.limits.localisation is not None]
    if not holding:
        return None
    history = History.of(image)
    profile = profile_for(history, holding)
    if history.was_lossy and history.jpeg_quality is None and profile.condition not in LOSSY:
        return None
    quality = NO_JPEG if history.jpeg_quality is None else history.jpeg_quality
    return profile if quality >= jpeg_quality_of(profile.condition) - 2 * JPEG_TOLERANCE else None


def mapped_pixels(profile: Profile) -> int:
    """Up to how many pixels a picture may have for the rate of ``profile``'s threshold: those that ship were measured
    at 256², those of one's own on the photographs of the calibration, of which the middle 512² are used."""
    return max(SHIPPED_SIDE, min(CALIBRATED_SIDE, profile.image_sizes[1])) ** 2


def threshold_of(profile: Profile | None) -> tuple[float, float | None]:
    """(threshold, false-alarm rate per picture) that ``profile`` holds, or the uncalibrated one with ``None``."""
    held = None if profile is None else profile.limits.localisation
    return (UNCALIBRATED_THRESHOLD, None) if held is None else (held.value, held.rate)


def fit_localisation(largest: Sequence[float], alpha: float = 0.05) -> Limit | None:
    """A profile's limit from the ``largest`` excess of each picture that wholly belongs, ``None`` without any.

    ``alpha`` is the false-alarm rate per picture, 1/(n+1) where n pictures cannot show so little (split conformal).
    """
    if not largest:
        return None
    rate = max(alpha, 1 / (len(largest) + 1))
    return measured_limit("localisation", quantile_threshold(list(largest), rate), len(largest), rate)
