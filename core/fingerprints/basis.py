"""A fingerprint basis: principal directions of latent patches, and what becomes of each on the way through an image.

Latent fingerprints (Nie et al., ICML 2023, section 3.2) write a key along the principal directions of the latent that
vary least. Variance alone does not tell whether a direction survives decoding, 8-bit storage and encoding, nor how much
it changes the picture; a basis therefore carries both, measured (see :mod:`.survival`).
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import InvalidSettingError, LatentTracerError
from ..models.autoencoder import Autoencoder, ModuleAutoencoder
from ..models.weight_digest import is_old_digest, old_digest, same_weights
from ..models.weight_files import WeightFileError, open_weights, shortened
from ..storage.atomic import write_bytes
from ..storage.safe_text import clean_text
from .content import DIRECTIONS

FORMAT = "latent-tracer-fingerprint-basis"
# Format 1: a carrier that is the same in every picture, and can therefore be moved from one to another. Format 2: the
# same measurements, a carrier bound to the content of each picture (content.py).
VERSION, BOUND = 2, 2
# Cells per side of a patch: 4×4 cells of 16 channels are 256 dimensions, still estimated from a few dozen pictures.
PATCH_SIDE = 4
# A fraction of the directions carries a key. More of them cost more change in the picture, fewer are more visible
# (benchmarks/results/constants.md, as the next and TYPICAL_MARGIN).
CHOSEN_SHARE, CHOSEN_LEAST = 8, 16
# Directions that answer less than this share of the median's response are left out.
LEAST_ANSWER = 0.5
# By how much the unit of content grows with the picture's own part of a read-out (variance, in that of the noise). With
# content.LENGTH, changed waves then add about the noise's own variance; with twice as much two pictures out of taesd
# agreed to 0.3 and a mark added threefold moved, with this to 0.17 at most and none did.
WIDER = 0.3
# Of a whole file: directions of 4,000 dimensions are 16 million values; the largest VAE has patches of 2,048.
MOST_VALUES = 17_000_000
# The squared read-out margin, in noise variances, at which directions are compared.
TYPICAL_MARGIN = 2.0


class InvalidBasisError(LatentTracerError):
    """A basis that cannot be used: unreadable, newer, damaged, or of another VAE."""


@dataclass(frozen=True, eq=False)
class FingerprintBasis:
    """Directions of patches ``[D]``, D = channels·side², in ascending order of variance; all float32 on the CPU.

    mean, readout_mean: ``[D]``, mean patch of latents and of their read-out E(stored D(z)). directions: ``[D,D]``,
    orthonormal columns. Per direction ``[D]``: variance of latents; gain, regression of the read-out on the latent;
    response of the read-out to a small change of the latent; noise, variance of the read-out around that regression
    (mean of plain 8-bit storage and JPEG q75); image_cost, change of the picture (sum of squares) per unit².
    """

    fingerprint: str
    autoencoder: str
    channels: int
    side: int
    images: int
    mean: Tensor
    readout_mean: Tensor
    directions: Tensor
    variance: Tensor
    gain: Tensor
    response: Tensor
    noise: Tensor
    image_cost: Tensor
    version: int = VERSION

    @property
    def bound(self) -> bool:
        """Whether marks on this basis are bound to their pictures."""
        return self.version >= BOUND

    @property
    def words(self) -> str:
        """How much was measured, and what marks on it are worth."""
        text = f"{self.images} pictures, {len(self.chosen)} of {len(self.variance)} directions chosen"
        return text if self.bound else text + "; format 1: its marks can be moved to other pictures"

    @cached_property
    def chosen(self) -> Tensor:
        """Indices ``[K]`` of directions that carry keys, best first: low variance *and* surviving, per visible change.

        To place a bit beyond its decision by a margin t, the expected change of the picture is about
        cost·(t²·noise + variance/2·gain²)/response²: the host's own value is in the way half of the time.
        """
        price = self.image_cost * (TYPICAL_MARGIN * self.noise + 0.5 * self.gain**2 * self.variance)
        # A direction that the encoder hardly answers carries nothing, however cheap it looks.
        price = torch.where(self.response < LEAST_ANSWER * self.response.median(), torch.inf, price)
        count = max(CHOSEN_LEAST, len(self.variance) // CHOSEN_SHARE)
        return torch.argsort(price / self.response**2, stable=True)[: min(count, len(self.variance))]

    @cached_property
    def readers(self) -> Tensor:
        """``[D,m]``: a patch of the read-out projects on these in units of the noise's standard deviation."""
        return self.directions[:, self.chosen] / self.noise[self.chosen].sqrt()

    @cached_property
    def predictors(self) -> Tensor:
        """``[D,m]``: a patch of the *latent* projects on these to what :attr:`readers` will read of it."""
        return self.readers * self.gain[self.chosen]

    @cached_property
    def writers(self) -> Tensor:
        """``[m,D]``: the change of a latent patch that moves one read-out by one standard deviation of the noise."""
        scale = self.noise[self.chosen].sqrt() / self.response[self.chosen]
        return (self.directions[:, self.chosen] * scale).T.contiguous()

    @cached_property
    def costs(self) -> Tensor:
        """``[m]``: change of the picture (sum of squares) by each of :attr:`writers`."""
        chosen = self.chosen
        return self.image_cost[chosen] * self.noise[chosen] / self.response[chosen] ** 2

    @cached_property
    def content(self) -> Tensor:
        """Indices ``[q]`` of the directions that tell a picture's content, surest first; none of them is chosen."""
        clear = self.gain.square() * self.variance / self.noise
        clear[self.chosen] = 0
        return torch.argsort(clear, descending=True, stable=True)[:DIRECTIONS]

    @cached_property
    def content_readers(self) -> Tensor:
        """``[D,q]``: a patch of the read-out projects on these in units of the noise's standard deviation.

        In larger ones where keys are read with little noise: a wave that changes by a share moves a read-out by that
        share of the picture's own value, which must stay below the noise.
        """
        chosen = self.chosen
        host = float((self.gain[chosen].square() * self.variance[chosen] / self.noise[chosen]).mean())
        unit = (self.noise[self.content] * max(1.0, WIDER * host)).sqrt()
        return self.directions[:, self.content] / unit

    @cached_property
    def content_predictors(self) -> Tensor:
        """``[D,q]``: a patch of the *latent* projects on these to what :attr:`content_readers` will read of it."""
        return self.content_readers * self.gain[self.content]

    def check(self, autoencoder: Autoencoder) -> None:
        """Raise :class:`InvalidBasisError` unless the basis was measured on this autoencoder or a cast of it.

        A basis of an earlier release goes by the digest of that release: it cannot be measured again with the same
        directions, and pictures are in the world that only it can read. Biases and the order of layers then go
        unchecked.
        """
        if is_old_digest(self.fingerprint) and isinstance(autoencoder, ModuleAutoencoder):
            fits = self.fingerprint == old_digest(autoencoder.module.state_dict())
        else:
            fits = same_weights(self.fingerprint, autoencoder.fingerprint)
        if not fits:
            raise InvalidBasisError(
                f"The basis was measured on {self.autoencoder} ({self.fingerprint[:8]}), not on {autoencoder.name}"
                f" ({autoencoder.fingerprint[:8]}): load its own VAE, or build a basis for this one."
            )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        about = {name: getattr(self, name) for name in ("fingerprint", "autoencoder", "channels", "side", "images")}
        metadata = {"format": FORMAT, "version": str(self.version), "about": json.dumps(about)}
        write_bytes(Path(path), save(tensors, metadata))


_TENSORS = tuple(entry.name for entry in fields(FingerprintBasis) if entry.type == "Tensor")


def load_basis(path: str | Path) -> FingerprintBasis:
    """Read a basis; raises :class:`InvalidBasisError` with the reason when it cannot be trusted."""
    path = Path(path)
    try:
        if not path.is_file():
            raise InvalidBasisError(f"There is no fingerprint basis at {path}: build one first.")
        size = sum(math.prod(tensor.shape) for tensor in open_weights(path).values())
        if size > MOST_VALUES:
            raise InvalidBasisError(
                f"{path} holds {size} values, no basis has more than {MOST_VALUES}: build it again."
            )
        with torch.inference_mode(False), safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InvalidBasisError(f"{path} is not a fingerprint basis: choose a file that Build Basis wrote.")
            version = metadata.get("version", "")
            if not version.isdecimal() or not 1 <= int(version) <= VERSION:
                raise InvalidBasisError(
                    f"{path} has basis version {clean_text(version, 20)}, this release reads 1 to {VERSION}: update it."
                )
            about = json.loads(metadata.get("about", "{}"))
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a dict
    except InvalidBasisError:
        raise
    except WeightFileError as error:
        raise InvalidBasisError(f"{path} is no readable basis: {error}") from None
    # Text that is no JSON, or nested without end; numbers without end; types that torch does not know.
    except (SafetensorError, OSError, ValueError, RecursionError, TypeError, KeyError, RuntimeError) as error:
        raise InvalidBasisError(f"{path} is no readable basis ({shortened(error)}): build it again.") from None
    return _checked(about, tensors, int(version), path)


def check_not_taken(path: str | Path, fingerprint: str, images: int, measured: FingerprintBasis | None = None) -> None:
    """Raise :class:`InvalidSettingError` if ``path`` holds what the new basis would replace: of a basis, what it marked
    could not be read. The same one, measured again on this VAE (``fingerprint``) from so many ``images``, replaces
    nothing.
    """
    if not os.path.lexists(path):
        return
    name = os.path.basename(path)
    try:
        existing = load_basis(path)
    except InvalidBasisError:
        raise InvalidSettingError(
            f"{name} exists and is no basis that this release reads: choose another name."
        ) from None
    if not same_weights(existing.fingerprint, fingerprint):
        raise InvalidSettingError(
            f"The name {name} is taken by another VAE's basis ({existing.fingerprint[:8]}): choose another name."
        )
    if existing.images != images or (measured is not None and not same_basis(existing, measured)):
        raise InvalidSettingError(
            f"{name} exists and pictures marked with it could no longer be read: choose another name, or use it as it"
            " is."
        )


def same_basis(one: FingerprintBasis, other: FingerprintBasis) -> bool:
    """Whether both write and read alike, to the last bit."""
    # The carriers of two formats have nothing in common.
    return one.version == other.version and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in _TENSORS
    )


def _checked(about: Any, tensors: dict[str, Tensor], version: int, path: Path) -> FingerprintBasis:
    kinds = {"fingerprint": str, "autoencoder": str, "channels": int, "side": int, "images": int}
    sound = isinstance(about, dict) and all(type(about.get(name)) is kind for name, kind in kinds.items())
    sound = sound and set(about) == set(kinds) and set(tensors) == set(_TENSORS)
    if sound:
        size = about["channels"] * about["side"] ** 2
        sound = min(about["channels"], about["side"], about["images"]) > 0 and all(
            value.dtype == torch.float32
            and tuple(value.shape) == ((size, size) if name == "directions" else (size,))
            and bool(torch.isfinite(value).all())
            for name, value in tensors.items()
        )
    sound = sound and all(bool((tensors[name] > 0).all()) for name in ("noise", "response", "image_cost"))
    if not sound:
        raise InvalidBasisError(f"{path} holds missing or impossible values: build it again.")
    fields_of: dict[str, Any] = {**about, **tensors, "version": version}
    return FingerprintBasis(**fields_of)
