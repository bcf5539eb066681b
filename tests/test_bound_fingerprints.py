"""Bound marks: nobody can move them to another picture, they are found again, and every look is paid for."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from latent_tracer.core import ModuleAutoencoder, NotEnoughMemoryError, quantise, synthetic_photograph
from latent_tracer.core.fingerprints import (
    FingerprintBasis,
    Register,
    Secret,
    attribute_user,
    build_basis,
    embed,
    read,
)
from latent_tracer.core.fingerprints.carrier import bound_carrier, grid_of, make_layout, read_patches, tile_of
from latent_tracer.core.fingerprints.codebook import PILOTS, coded_bits
from latent_tracer.core.fingerprints.content import Content, content_of, waves
from latent_tracer.core.fingerprints.patches import add_patches, to_patches
from latent_tracer.core.fingerprints.placed import TURNS, PlacedReader
from latent_tracer.core.fingerprints.read import KINDS, SHARES, decode_readouts, readouts
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores.placement import MAX_SIZES, Placement
from torch import Tensor

SECRET = Secret(b"a secret of more than sixteen characters")
OTHER = Secret(b"another secret, as long as the first one")
USERS = Register.create(SECRET).add(["alice", "bob"])


@cache
def photograph(seed: int, size: int = 256) -> Tensor:
    return 0.2 + 0.6 * synthetic_photograph(seed, size)


@pytest.fixture
def demo(linear: Callable[..., ModuleAutoencoder]) -> ModuleAutoencoder:
    return linear([6.0, 5.0, 4.0, 3.0], encoder_error=0.05)


_MADE: dict[str, FingerprintBasis] = {}


@pytest.fixture
def basis(demo: ModuleAutoencoder) -> FingerprintBasis:
    if demo.fingerprint not in _MADE:
        _MADE[demo.fingerprint] = build_basis(demo, [synthetic_photograph(seed, 192) for seed in range(50, 56)])
    return _MADE[demo.fingerprint]


def signed(demo: ModuleAutoencoder, basis: FingerprintBasis, picture: Tensor, strength: float = 1.0) -> Tensor:
    with torch.no_grad():
        moved = embed(demo.encode(picture), basis, SECRET.user_key("bob"), secret=SECRET, strength=strength)
        return quantise(demo.decode(moved))


def round_trip(demo: ModuleAutoencoder, picture: Tensor) -> Tensor:
    with torch.no_grad():
        return quantise(demo.decode(demo.encode(picture)))


def user_of(demo: ModuleAutoencoder, basis: FingerprintBasis, picture: Tensor, users: Register = USERS) -> str | None:
    reading = read(demo, picture, basis, secret=SECRET, refining_steps=0, search=False)
    return attribute_user(reading, users, SECRET).user


# --- nobody can move it ---


@pytest.mark.parametrize("version", [1, 2])
def test_only_movable_marks_can_be_moved(demo: ModuleAutoencoder, basis: FingerprintBasis, version: int) -> None:
    """The components of a signed picture, by the basis alone, and the difference of a before/after pair without it."""
    basis = replace(basis, version=version)
    users = replace(USERS, version=version)
    victim = signed(demo, basis, photograph(7))
    assert user_of(demo, basis, victim, users) == "bob"
    chosen = basis.directions[:, basis.chosen]
    named = []
    for seed in (8, 9, 10, 11):
        with torch.no_grad():
            own, stolen = demo.encode(round_trip(demo, photograph(seed))), demo.encode(victim)
            change = (to_patches(stolen, basis.side) - to_patches(own, basis.side)) @ chosen @ chosen.T
            copied = quantise(demo.decode(add_patches(own, change, basis.side)))
        pair = quantise(round_trip(demo, photograph(seed)) + 2 * (victim - round_trip(demo, photograph(7))))
        named += [user_of(demo, basis, copied, users), user_of(demo, basis, pair, users)]
    assert named == ["bob"] * 8 if version == 1 else not any(named)


def test_waves_agree_as_the_distance_of_contents_says() -> None:
    """The mean over keys of the product of two waves is exp(-|d|²/2)."""
    generator = torch.Generator().manual_seed(0)
    frequencies, phases = torch.randn(1, 20_000, 6, generator=generator), 2 * math.pi * torch.rand(1, 20_000)
    for distance in (0.0, 0.3, 1.0, 3.0):
        first = Content(torch.zeros(1, 1, 6), torch.ones(1, 1))
        other = Content(torch.full((1, 1, 6), distance / math.sqrt(6)), torch.ones(1, 1))
        product = waves(first, frequencies, phases) * waves(other, frequencies, phases)
        assert float(product.mean()) == pytest.approx(math.exp(-(distance**2) / 2), abs=0.03)


def test_a_plain_patch_carries_nothing() -> None:
    """It is the same in many pictures: whatever is written there could be moved."""
    readers = torch.linalg.qr(torch.randn(64, 8, generator=torch.Generator().manual_seed(1)))[0]
    plain = torch.full((1, 16, 64), 3.0)
    assert float(content_of(plain, (4, 4), 4, readers).distinct.max()) < 1e-3
    busy = 20 * torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(2))
    assert float(content_of(busy, (4, 4), 4, readers).distinct.min()) > 0.9


def test_formats_share_no_carrier() -> None:
    """What is known of the movable carrier of a secret tells nothing of its bound one."""
    from latent_tracer.core.fingerprints.keys import carrier_seed

    seeds = {carrier_seed(secret, bound) for secret in (None, SECRET, OTHER) for bound in (False, True)}
    assert len(seeds) == 6


# --- the bound ---


def test_read_outs_of_a_strange_picture_have_random_signs(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    with torch.no_grad():
        latents = demo.encode(signed(demo, basis, photograph(7)))
    projections, content = read_patches(latents, basis)
    length, grid = coded_bits(64, PILOTS), grid_of(latents, basis)
    values = torch.cat(
        [bound_carrier(basis, content, grid, length, f"seed {k}".encode()).collect(projections) for k in range(200)]
    )
    positive = (values > 0).double()
    assert abs(float(positive.mean()) - 0.5) < 4 * 0.5 / math.sqrt(positive.numel())
    assert float((positive.mean(0) - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(200)
    readings = [decode_readouts(one, 64, 1e-6, Passes()) for one in values]
    assert all(reading.key is None for reading in readings)
    assert sum(reading.p_value <= 0.05 for reading in readings) <= 20


def test_all_looks_together_spend_the_rate_once(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    ratio = demo.spatial_ratio
    looks = list(PlacedReader(demo, round_trip(demo, photograph(7)), basis, 64, b"seed").looks())
    kinds = {look.trials for look in looks}
    assert kinds == {TURNS, MAX_SIZES, ratio**2 * basis.side**2 * 64}
    assert sum(1 for look in looks if look.trials == TURNS) == TURNS
    assert sum(1 for look in looks if look.trials == MAX_SIZES) <= MAX_SIZES
    # The first look, then one share for each kind.
    assert 1 / SHARES + KINDS / (SHARES * KINDS) == 1


def test_a_single_look_is_not_charged_for_others(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    image = signed(demo, basis, photograph(7))
    alone = read(demo, image, basis, secret=SECRET, refining_steps=0, search=False)
    first = read(demo, image, basis, secret=SECRET)
    assert (alone.trials, first.trials) == (1, 2)
    assert first.p_value == pytest.approx(2 * alone.p_value)


# --- found again ---


def turned(image: Tensor) -> Tensor:
    return torch.rot90(image, 1, (-2, -1))


@pytest.mark.parametrize(
    ("change", "placement"),
    [
        (lambda image: image.flip(-1), Placement(mirrored=True)),
        (turned, Placement(turns=1)),
        (lambda image: image[..., 5:, 3:], Placement(top=27, left=29)),
        (lambda image: image[..., 5:249, 4:252], Placement(top=27, left=28)),
    ],
    ids=["mirrored", "turned", "cut", "cropped"],
)
def test_a_mark_is_found_again(
    demo: ModuleAutoencoder,
    basis: FingerprintBasis,
    change: Callable[[Tensor], Tensor],
    placement: Placement,
) -> None:
    # What a cut takes away was the picture's own part of each bit as well, here most of it.
    image = change(signed(demo, basis, photograph(7), strength=8.0))
    reading = read(demo, image, basis, secret=SECRET, refining_steps=0)
    assert (reading.key, reading.placement) == (SECRET.user_key("bob"), placement)
    assert attribute_user(reading, USERS, SECRET).user == "bob"
    assert read(demo, image, basis, secret=SECRET, refining_steps=0, search=False).key is None


def test_no_placement_shows_a_mark_of_another_secret(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    reading = read(demo, signed(demo, basis, photograph(7))[..., 5:, 3:], basis, secret=OTHER, refining_steps=0)
    assert reading.key is None and reading.p_value > 1e-3


def test_a_look_at_a_larger_size_takes_no_more_memory_than_the_picture_or_a_megapixel(
    demo: ModuleAutoencoder, basis: FingerprintBasis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was reduced is enlarged again; of a large one a part is read, that begins with a whole tile."""
    seen: list[int] = []
    encode = demo.encode

    def counted(images: Tensor) -> Tensor:
        seen.append(images.shape[-2] * images.shape[-1])
        return encode(images)

    monkeypatch.setattr(demo, "encode", counted)
    monkeypatch.setattr("latent_tracer.core.fingerprints.placed.LARGEST", 300 * 300)
    picture = signed(demo, basis, photograph(7, 512), strength=8.0)
    reader = PlacedReader(demo, picture[..., :256, :256], basis, 64, b"seed")
    assert len(list(reader.whole(Placement(size=(1024, 512)), 1))) == 1
    assert 0.8 * 300 * 300 < seen[-1] <= 300 * 300
    part = reader.middle(torch.arange(1024 * 512).view(1, 1, 1024, 512))
    assert int(part[0, 0, 0, 0]) % 512 % 256 == 0 and int(part[0, 0, 0, 0]) // 512 % 256 == 0
    # Enough of the mark is left in it.
    half = torch.nn.functional.interpolate(picture, size=(480, 480), mode="bicubic", antialias=True).clamp(0, 1)
    found = read(demo, quantise(half), basis, secret=SECRET, refining_steps=0)
    assert found.key == SECRET.user_key("bob") and found.placement == Placement(size=(512, 512))


def test_a_look_that_does_not_fit_costs_nobody_the_others(
    demo: ModuleAutoencoder, basis: FingerprintBasis, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = demo.encode

    def short(images: Tensor) -> Tensor:
        if images.shape[-1] > 280:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return encode(images)

    def nowhere(*_: object, **__: object) -> None:
        raise NotEnoughMemoryError("Inverting ran out of memory twice.")

    mirrored = signed(demo, basis, photograph(7), strength=8.0).flip(-1)
    monkeypatch.setattr(demo, "encode", short)
    monkeypatch.setattr(sys.modules[read.__module__], "invert", nowhere)
    assert read(demo, mirrored, basis, secret=SECRET, refining_steps=0).key == SECRET.user_key("bob")
    strange = read(demo, round_trip(demo, photograph(8)), basis, secret=SECRET, refining_steps=3)
    assert strange.key is None and strange.left_out > 5
    assert sum(1 / look.trials for look in strange.looks) <= 1 and strange.looks[0].placement is None

    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("a defect")

    monkeypatch.setattr(demo, "encode", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        list(PlacedReader(demo, mirrored, basis, 64, b"seed").looks())


def test_tiles_start_where_they_are_told(basis: FingerprintBasis) -> None:
    assert tile_of((2, 3), (7, 6)).tolist() == [62, 63, 56, 6, 7, 0]
    layout = make_layout(16, 4, 176, b"seed")
    assert layout.frequencies.shape == (64, 16, 12) and float(layout.frequencies.std()) == pytest.approx(1, abs=0.03)
    assert layout.bit.unique().numel() == 176 and set(layout.sign.unique().tolist()) == {-1.0, 1.0}


# --- with the decoder at hand ---


def test_what_the_decoder_makes_of_a_mark_is_corrected(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    """Here it answers half as much as the basis says."""
    wrong = replace(basis, response=2 * basis.response)
    readings = []
    with torch.no_grad():
        latents, key = demo.encode(photograph(7)), SECRET.user_key("bob")
        for autoencoder in (None, demo):
            moved = embed(latents, wrong, key, secret=SECRET, autoencoder=autoencoder)
            values = readouts(demo.encode(quantise(demo.decode(moved))), wrong, 64, SECRET)[0]
            readings.append(decode_readouts(values, 64, 1e-6, Passes()))
    assert readings[1].key == key and readings[1].log_p_value < readings[0].log_p_value - 1


# --- formats ---


def test_a_register_of_format_2_takes_bound_marks_only(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    movable = replace(basis, version=1)
    image = signed(demo, movable, photograph(7))
    reading = read(demo, image, movable, secret=SECRET, refining_steps=0)
    assert reading.key == SECRET.user_key("bob") and not reading.bound
    refused = attribute_user(reading, USERS, SECRET)
    assert refused.user is None and "takes bound marks only" in refused.reason
    named = attribute_user(reading, replace(USERS, version=1), SECRET)
    assert named.user == "bob" and "may have been moved here from another picture" in named.reason
    assert "can be moved" in movable.words and "can be moved" not in basis.words
