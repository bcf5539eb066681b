"""Build a basis: principal components of latent patches, and how each direction survives decode -> 8 bit -> encode.

Everything is accumulated as D×D sums of products, one picture at a time: memory does not grow with the number of
pictures nor with their size (D = 16 × channels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import InvalidLatentError, InvalidSettingError
from ..images.conditions import alter
from ..images.quantiser import quantise
from ..images.tensors import check_images, crop_to_grid
from ..models.autoencoder import Autoencoder
from .basis import PATCH_SIDE, FingerprintBasis
from .patches import to_patches

# Latent cells per side that are used of a picture: more pictures tell more than more of each.
LARGEST_CELLS = 32
# The condition besides plain storage under which noise is measured: the mildest that most pictures on the web met.
STORED_AS = "jpeg-75"
# Standard deviation of the small change whose response is measured, in units of the latent's spread
# (benchmarks/results/constants.md).
PROBE = 0.1
# Backward passes are dear and the decoder's metric varies little between pictures; so does the response.
METRIC_IMAGES, METRIC_PROBES, RESPONSE_IMAGES = 6, 2, 16
# A response below this fraction of the median says that estimation failed, not that the direction is costless. No
# chosen direction lies there: LEAST_ANSWER leaves them out.
LEAST_RESPONSE = 0.2


@dataclass
class _Moments:
    """Sums of products of two aligned sets of patches ``[n,D]``."""

    count: int = 0
    first: Tensor = field(default_factory=lambda: torch.zeros(()))
    second: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))
    products: Tensor = field(default_factory=lambda: torch.zeros(()))
    other_squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, patches: Tensor, others: Tensor) -> None:
        self.count += len(patches)
        self.first = self.first + patches.sum(0)
        self.second = self.second + others.sum(0)
        self.squares = self.squares + patches.T @ patches
        self.products = self.products + patches.T @ others
        self.other_squares = self.other_squares + others.T @ others

    def covariances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Covariance of the first set, cross-covariance, covariance of the second; each ``[D,D]``."""
        mean, other = self.first / self.count, self.second / self.count
        return (
            self.squares / self.count - torch.outer(mean, mean),
            self.products / self.count - torch.outer(mean, other),
            self.other_squares / self.count - torch.outer(other, other),
        )


def build_basis(
    autoencoder: Autoencoder,
    images: Iterable[Tensor] = (),
    *,
    latents: Iterable[Tensor] = (),
    seed: int = 0,
    on_image: Callable[[int], None] | None = None,
) -> FingerprintBasis:
    """Measure a basis on pictures ``[B,3,H,W]`` in [0,1], on sampled latents ``[B,C,h,w]``, or on both.

    Of each picture the central 32² latent cells are used, of one that holds no patch nothing. ``on_image`` gets the
    number of pictures done and cancels by raising. Costs three encoder passes and one decoder pass a picture, one of
    each more for the first sixteen, and two backward passes for the first six. Raises :class:`InvalidSettingError` for
    too few pictures, :class:`InvalidImageError`, :class:`InvalidLatentError`.
    """
    side, channels = PATCH_SIDE, autoencoder.latent_channels
    dimensions = channels * side**2
    plain, stored, response = _Moments(), _Moments(), _Moments()
    metric, metric_count, done = torch.zeros(dimensions, dimensions, dtype=torch.float64), 0, 0
    generator = torch.Generator().manual_seed(seed)
    for latent in _latents_of(autoencoder, images, latents):
        with torch.no_grad():
            picture = quantise(autoencoder.decode(latent).float().cpu())
            read = autoencoder.encode(picture)
            read_stored = autoencoder.encode(alter(picture, STORED_AS))
            if done < RESPONSE_IMAGES:
                change = PROBE * autoencoder.latent_spread * torch.randn(latent.shape, generator=generator)
                changed = latent + change.to(latent)
                moved = autoencoder.encode(quantise(autoencoder.decode(changed).float().cpu())) - read
                response.add(_patches(change, side), _patches(moved, side))
        plain.add(_patches(latent, side), _patches(read, side))
        stored.add(_patches(latent, side), _patches(read_stored, side))
        if done < METRIC_IMAGES:
            for pulled in _metric_probes(autoencoder, latent, generator):
                rows = _patches(pulled, side)
                metric, metric_count = metric + rows.T @ rows, metric_count + len(rows)
        done += 1
        if on_image is not None:
            on_image(done)
    # Twice as many patches as dimensions: fewer do not determine a covariance.
    if plain.count < 2 * dimensions:
        raise InvalidSettingError(
            f"{done} pictures give {plain.count} patches, a basis of {dimensions} directions needs {2 * dimensions}:"
            " use more or larger pictures."
        )
    covariance, cross, _ = plain.covariances()
    variance, directions = torch.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary; fix it, so that a rebuilt basis is the same.
    directions = directions * torch.sign(directions.gather(0, directions.abs().argmax(0)[None]))
    variance = variance.clamp(min=1e-12 * float(variance[-1]))
    noise = (_residual(plain, directions, variance) + _residual(stored, directions, variance)) / 2
    probed, answered, _ = response.covariances()
    answer = _along(answered, directions) / _along(probed, directions)
    return FingerprintBasis(
        fingerprint=autoencoder.fingerprint,
        autoencoder=autoencoder.name,
        channels=channels,
        side=side,
        images=done,
        mean=(plain.first / plain.count).float(),
        readout_mean=((plain.second / plain.count + stored.second / stored.count) / 2).float(),
        directions=directions.float(),
        variance=variance.float(),
        gain=(_along(cross, directions) / variance).float(),
        response=answer.clamp(min=LEAST_RESPONSE * float(answer.median().clamp(min=1e-3))).float(),
        noise=noise.clamp(min=1e-6 * float(noise.mean())).float(),
        image_cost=_along(metric / metric_count, directions).clamp(min=1e-12).float(),
    )


def _latents_of(autoencoder: Autoencoder, images: Iterable[Tensor], latents: Iterable[Tensor]) -> Iterable[Tensor]:
    """Latents ``[1,C,h,w]``, one after another."""
    ratio = autoencoder.spatial_ratio
    for batch in images:
        checked = check_images(batch)
        height, width = (min(size, LARGEST_CELLS * ratio) for size in checked.shape[-2:])
        top, left = (checked.shape[-2] - height) // 2, (checked.shape[-1] - width) // 2
        if min(height, width) < PATCH_SIDE * ratio:
            continue  # an icon among photographs costs nobody the basis
        central, _ = crop_to_grid(checked[..., top : top + height, left : left + width], ratio)
        for image in central.split(1):
            with torch.no_grad():
                yield autoencoder.encode(image)
    for batch in latents:
        if batch.ndim != 4 or batch.shape[1] != autoencoder.latent_channels or not torch.isfinite(batch).all():
            raise InvalidLatentError(
                f"Latents of shape {tuple(batch.shape)} do not fit {autoencoder.name} with"
                f" {autoencoder.latent_channels} channels: sample them for this VAE."
            )
        yield from batch.to(autoencoder.device, autoencoder.dtype).split(1)


def _metric_probes(autoencoder: Autoencoder, latent: Tensor, generator: torch.Generator) -> Iterable[Tensor]:
    """J'w for white noise w: the mean of (J'w)(J'w)' is J'J, the decoder's metric on latents."""
    with torch.enable_grad():
        variable = latent.detach().clone().requires_grad_()
        decoded = autoencoder.decode(variable)
        for probe in range(METRIC_PROBES):
            noise = torch.randn(decoded.shape, generator=generator).to(decoded)
            yield torch.autograd.grad(decoded, variable, noise, retain_graph=probe < METRIC_PROBES - 1)[0]


def _patches(latents: Tensor, side: int) -> Tensor:
    return to_patches(latents.detach().cpu().double(), side)[0]


def _along(matrix: Tensor, directions: Tensor) -> Tensor:
    """v'Mv for each column v."""
    return (directions * (matrix @ directions)).sum(0)


def _residual(moments: _Moments, directions: Tensor, variance: Tensor) -> Tensor:
    """Variance of the read-out along each direction that regression on the latent's own coordinate leaves."""
    _, cross, read = moments.covariances()
    return (_along(read, directions) - _along(cross, directions) ** 2 / variance).clamp(min=0)
