"""Latent fingerprints: basis, embedding, reading, evidence, register."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from latent_tracer.core import (
    InvalidImageError,
    InvalidLatentError,
    InvalidSettingError,
    ModuleAutoencoder,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.fingerprints import (
    FingerprintBasis,
    InvalidBasisError,
    InvalidRegisterError,
    InvalidSecretError,
    Key,
    Register,
    Secret,
    attribute_user,
    build_basis,
    embed,
    load_basis,
    load_register,
    load_secret,
    measure_change,
    parse_key,
    read,
    secret_from_environment,
    write_new_secret,
)
from latent_tracer.core.fingerprints import convolutional_code as code
from latent_tracer.core.fingerprints.basis import check_not_taken
from latent_tracer.core.fingerprints.carrier import make_carrier
from latent_tracer.core.fingerprints.codebook import coded_bits, free_codewords, inverse_rate, key_codewords
from latent_tracer.core.fingerprints.evidence import log_tail
from latent_tracer.core.fingerprints.patches import add_patches, to_patches
from latent_tracer.core.fingerprints.quality import structural_similarity
from latent_tracer.core.fingerprints.read import decode_readouts, readouts
from latent_tracer.core.inversion.objective import Passes
from peers.gaussian_shading import read_shaded_noise, shaded_noise
from peers.paper_rule import embed_by_paper_rule, read_by_paper_rule
from peers.spread_spectrum import embed_spread_spectrum, read_spread_spectrum
from torch import Tensor

KEY = parse_key("0123456789abcdef")
SECRET = Secret(b"a secret of more than sixteen characters")


@cache
def photograph(seed: int, size: int = 192) -> Tensor:
    return synthetic_photograph(seed, size)


@pytest.fixture
def demo(linear: Callable[..., ModuleAutoencoder]) -> ModuleAutoencoder:
    """Linear, so that a pass costs nothing, with an encoder that is a little wrong."""
    return linear([6.0, 5.0, 4.0, 3.0], encoder_error=0.05)


_MADE: dict[str, FingerprintBasis] = {}


@pytest.fixture
def basis(demo: ModuleAutoencoder) -> FingerprintBasis:
    """Of the same autoencoder every time, so it is built once."""
    if demo.fingerprint not in _MADE:
        _MADE[demo.fingerprint] = build_basis(demo, [photograph(seed) for seed in range(50, 56)])
    return _MADE[demo.fingerprint]


@pytest.fixture
def unmarked(demo: ModuleAutoencoder) -> Tensor:
    """Latents of a picture that the basis has not seen, away from black and white."""
    with torch.no_grad():
        return demo.encode(0.2 + 0.6 * photograph(7, 256))


@pytest.fixture
def marked(demo: ModuleAutoencoder, basis: FingerprintBasis, unmarked: Tensor) -> Tensor:
    """The picture of those latents with KEY under SECRET, as 8 bit."""
    with torch.no_grad():
        return quantise(demo.decode(embed(unmarked, basis, KEY, secret=SECRET)))


# --- the code ---


def test_codeword_by_hand() -> None:
    """One set bit: each output stream repeats its generator, newest bit first, around the message."""
    message = np.zeros(16, np.uint8)
    message[0] = 1
    streams = (1 - code.encode(message, 2)).reshape(16, 2).astype(int) // 2
    for stream, generator in zip(streams.T, code.GENERATORS[2], strict=True):
        taps = [generator >> delay & 1 for delay in range(code.CONSTRAINT)]
        assert stream.tolist() == taps + [0] * (16 - code.CONSTRAINT)


@pytest.mark.parametrize(("rate", "length", "least"), [(2, 72, 12), (3, 56, 18), (4, 40, 24)])
def test_free_distance(rate: int, length: int, least: int) -> None:
    """Known free distances of these codes: no short message comes closer to the zero codeword."""
    messages = np.zeros((255, length), np.uint8)
    messages[:, :8] = np.unpackbits(np.arange(1, 256, dtype=np.uint8)[:, None], axis=1)
    weights = (code.encode(messages, rate) < 0).sum(1)
    assert weights.min() == least


@pytest.mark.parametrize("rate", [2, 3, 4])
def test_noisy_messages_are_decoded(rate: int) -> None:
    generator = np.random.default_rng(rate)
    messages = generator.integers(0, 2, (40, 72), np.uint8)
    codewords = code.encode(messages, rate)
    noisy = codewords + generator.normal(0, 0.55 * math.sqrt(rate / 2), codewords.shape)
    assert ((noisy > 0) != (codewords > 0)).mean() > 0.02
    assert np.array_equal(code.decode(noisy, rate), messages)


def test_decoding_is_maximum_likelihood() -> None:
    """Against every codeword of a short message."""
    generator = np.random.default_rng(3)
    everything = np.unpackbits(np.arange(1 << 14, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 2:]
    codewords = code.encode(everything, 2)
    values = codewords[generator.integers(0, 1 << 14, 50)] + generator.normal(0, 0.6, (50, 28))
    best = (values @ codewords.T).max(1)
    found = (code.encode(code.decode(values, 2), 2) * values).sum(1)
    assert (found >= best - 1e-4).mean() >= 0.9


@pytest.mark.parametrize(("rate", "distance"), [(2, 12), (3, 18), (4, 24)])
def test_reliability_of_a_clean_codeword_is_the_free_distance(rate: int, distance: int) -> None:
    messages = np.random.default_rng(4).integers(0, 2, (3, 48), np.uint8)
    assert np.allclose(code.reliabilities(code.encode(messages, rate), rate), distance)


def test_unreliable_bits_are_those_that_are_wrong() -> None:
    """At a noise where decoding fails now and then, wrong bits are among the least reliable."""
    generator = np.random.default_rng(5)
    messages = generator.integers(0, 2, (60, 72), np.uint8)
    values = code.encode(messages, 2) + generator.normal(0, 0.95, (60, 144))
    wrong = code.decode(values, 2) != messages
    odds = code.reliabilities(2 * values / 0.95**2, 2)
    assert 0.002 < wrong.mean() < 0.2
    assert np.median(odds[wrong]) < 0.5 * np.median(odds[~wrong])


@pytest.mark.parametrize("bits", [32, 36, 48, 64, 128, 256])
def test_codewords_form_a_group(bits: int) -> None:
    key = Key("5a" * (bits // 8) + "c" * (bits % 8 // 4))
    assert len(key) == bits
    codewords = key_codewords([key]) * free_codewords(bits)
    assert codewords.shape == (256, coded_bits(bits))
    assert len({tuple(row) for row in codewords.tolist()}) == 256
    decoded = code.decode(codewords[::32].numpy(), inverse_rate(bits))
    assert all(np.array_equal(message[:bits], key.bits) for message in decoded)
    assert [int(np.packbits(message[bits:])[0]) for message in decoded] == list(range(0, 256, 32))


# --- evidence ---


def test_bound_holds_for_random_signs() -> None:
    """At every level, random signs exceed the bound no more often than it says."""
    generator = torch.Generator().manual_seed(0)
    magnitudes = torch.randn(40, generator=generator).abs()
    signs = 1 - 2.0 * torch.randint(0, 2, (50_000, 40), generator=generator)
    bounds = log_tail(magnitudes, signs @ magnitudes).exp()
    for level in (0.5, 0.1, 0.01, 1e-3):
        assert (bounds <= level).double().mean() <= level
    assert (bounds <= 0.1).double().mean() > 0.01  # a bound, but not an empty one


def test_bound_reaches_two_to_the_minus_n() -> None:
    values = torch.rand(30, generator=torch.Generator().manual_seed(1)) + 0.5
    assert float(log_tail(values, values.sum()[None])[0]) == pytest.approx(-30 * math.log(2), abs=0.05)
    assert float(log_tail(torch.zeros(5), torch.zeros(1))[0]) == 0


def test_read_outs_of_an_unmarked_picture_have_random_signs(basis: FingerprintBasis, unmarked: Tensor) -> None:
    """The null hypothesis itself, over secrets that have nothing to do with the picture."""
    length = coded_bits(64)
    patches = (to_patches(unmarked, basis.side) - basis.readout_mean) @ basis.readers
    values = torch.cat(
        [make_carrier(basis, 32, 32, length, f"seed {number}".encode()).collect(patches) for number in range(200)]
    )
    positive = (values > 0).double()
    assert abs(float(positive.mean()) - 0.5) < 4 * 0.5 / math.sqrt(positive.numel())
    assert float((positive.mean(0) - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(200)
    neighbours = (values[:, 1:] * values[:, :-1] > 0).double().mean()
    assert abs(float(neighbours) - 0.5) < 0.02


# --- embedding and reading ---


def test_key_is_read_in_one_encoder_pass(demo: ModuleAutoencoder, basis: FingerprintBasis, marked: Tensor) -> None:
    reading = read(demo, marked, basis, secret=SECRET)
    assert reading.key == KEY
    assert (reading.passes.encoder, reading.passes.decoder, reading.refined) == (1, 0, False)
    assert reading.p_value < 1e-9
    assert len(reading.bit_confidence) == 64
    assert min(reading.bit_confidence) > 0.9


def test_unmarked_picture_has_no_key(demo: ModuleAutoencoder, basis: FingerprintBasis, unmarked: Tensor) -> None:
    with torch.no_grad():
        image = quantise(demo.decode(unmarked))
    reading = read(demo, image, basis, secret=SECRET, refining_steps=2)
    assert reading.key is None
    assert reading.refined or reading.trials == 2
    assert reading.passes.decoder > 0
    assert reading.p_value > 1e-3
    assert max(reading.bit_confidence) < 0.9


def test_wrong_secret_reads_no_key(demo: ModuleAutoencoder, basis: FingerprintBasis, marked: Tensor) -> None:
    other = Secret(b"another secret, as long as the first one")
    assert read(demo, marked, basis, secret=other, refining_steps=0).key is None
    assert read(demo, marked, basis, refining_steps=0).key is None


def test_stronger_means_surer_and_more_change(
    demo: ModuleAutoencoder, basis: FingerprintBasis, unmarked: Tensor
) -> None:
    with torch.no_grad():
        plain = quantise(demo.decode(unmarked))
        pictures = [quantise(demo.decode(embed(unmarked, basis, KEY, strength=s))) for s in (0.5, 1.0, 2.0)]
    margins = [read(demo, picture, basis, refining_steps=0).margin for picture in pictures]
    changes = [measure_change(picture, plain) for picture in pictures]
    assert margins == sorted(margins)
    assert [c.psnr for c in changes] == sorted((c.psnr for c in changes), reverse=True)
    assert [c.ssim for c in changes] == sorted((c.ssim for c in changes), reverse=True)


@pytest.mark.parametrize("bits", [32, 128])
def test_other_key_lengths(demo: ModuleAutoencoder, basis: FingerprintBasis, bits: int) -> None:
    key = SECRET.user_key("somebody", bits)
    with torch.no_grad():
        latents = demo.encode(0.2 + 0.6 * photograph(8, 320))
        picture = quantise(demo.decode(embed(latents, basis, key, strength=1.5)))
    assert read(demo, picture, basis, key_bits=bits, refining_steps=0).key == key


@pytest.mark.parametrize(("version", "least"), [(1, 1.5 - 1e-3), (2, 1.3)])
def test_target_is_reached_in_the_latent(basis: FingerprintBasis, unmarked: Tensor, version: int, least: float) -> None:
    """Gain and response 1: what the reader sees of the moved latent is the margin, or more, on every bit's side. The
    content to which a mark is bound feels it a little.
    """
    ideal = dataclasses.replace(
        basis,
        gain=torch.ones_like(basis.gain),
        response=torch.ones_like(basis.response),
        readout_mean=basis.mean,
        version=version,
    )
    moved = embed(unmarked, ideal, KEY)
    values = readouts(moved, ideal, 64, None)[0]
    reading = decode_readouts(values, 64, 1e-6, Passes())
    assert reading.key == KEY
    pilots = len(values) - coded_bits(64)
    variants = key_codewords([KEY], pilots) * free_codewords(64, pilots)
    agreeing = (values * variants)[(values * variants).sum(1).argmax()]
    assert float(agreeing.min()) > least


def test_batch_equals_single_images_and_keeps_type(basis: FingerprintBasis, unmarked: Tensor) -> None:
    batch = torch.cat([unmarked, 0.5 * unmarked.flip(3)]).half()
    together = embed(batch, basis, KEY)
    assert together.dtype == torch.float16
    for index in range(2):
        alone = embed(batch[index : index + 1], basis, KEY)
        assert torch.allclose(alone.float(), together[index : index + 1].float(), atol=2e-3)
    assert torch.equal(embed(batch, basis, KEY), together)


def test_sizes_that_are_no_whole_patches(demo: ModuleAutoencoder, basis: FingerprintBasis) -> None:
    latents = torch.randn(1, 4, 30, 41, generator=torch.Generator().manual_seed(2)) * demo.latent_spread
    moved = embed(latents, basis, KEY)
    assert torch.equal(moved[..., 28:, :], latents[..., 28:, :])
    assert not torch.equal(moved[..., :28, :40], latents[..., :28, :40])
    restored = add_patches(latents, to_patches(moved - latents, 4), 4)
    assert torch.allclose(restored, moved, atol=1e-6)


def test_eight_large_latents_in_twenty_milliseconds(basis: FingerprintBasis) -> None:
    latents = torch.randn(8, 4, 64, 64, generator=torch.Generator().manual_seed(3))
    embed(latents, basis, KEY)
    # One thread, and the least of several: other programs may hold the processor.
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(20):
            began = time.process_time()
            embed(latents, basis, KEY)
            seconds.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) < 0.020


@pytest.mark.parametrize("strength", [0.0, -1.0, 11.0, math.nan, math.inf])
def test_absurd_strength_is_refused(basis: FingerprintBasis, unmarked: Tensor, strength: float) -> None:
    with pytest.raises(InvalidSettingError, match="must be above 0 and at most 10"):
        embed(unmarked, basis, KEY, strength=strength)


def test_unfit_latents_are_refused(basis: FingerprintBasis, unmarked: Tensor) -> None:
    with pytest.raises(InvalidLatentError, match="has 16 channels"):
        embed(torch.zeros(1, 16, 32, 32), basis, KEY)
    with pytest.raises(InvalidLatentError, match="4 dimensions"):
        embed(torch.zeros(4, 32, 32), basis, KEY)
    with pytest.raises(InvalidLatentError, match="NaN"):
        embed(torch.full((1, 4, 32, 32), math.nan), basis, KEY)
    with pytest.raises(InvalidLatentError, match=r"needs 176: use a shorter key, or a picture of at least 28×28 cells"):
        embed(unmarked[..., :16, :16], basis, KEY)
    with pytest.raises(InvalidLatentError, match="needs 560"):
        embed(unmarked, basis, SECRET.user_key("u", 256))


def test_unfit_pictures_are_refused(
    linear: Callable[..., ModuleAutoencoder], demo: ModuleAutoencoder, basis: FingerprintBasis, marked: Tensor
) -> None:
    with pytest.raises(InvalidBasisError, match="not on SmallOther"):
        other = linear([2.0, 2.0, 2.0, 2.0])
        other.name = "SmallOther"
        read(other, marked, basis)
    with pytest.raises(InvalidImageError, match="one picture"):
        read(demo, torch.cat([marked, marked]), basis)
    with pytest.raises(InvalidLatentError, match="room for"):
        read(demo, marked[..., :64, :64], basis)
    with pytest.raises(InvalidSettingError, match="between 0 and 1"):
        read(demo, marked, basis, rate=0.0)


# --- the basis ---


def test_basis_finds_the_known_directions(linear: Callable[..., ModuleAutoencoder]) -> None:
    """A linear decoder and sampled latents: variances, gain 1, noise of the 8-bit rounding, cost of the singular
    values, all known.
    """
    autoencoder = linear([6.0, 3.0, 2.0, 1.0], encoder_error=0.0)
    generator = torch.Generator().manual_seed(4)
    scales = torch.tensor([0.02, 0.05, 0.1, 0.2]).view(1, 4, 1, 1)
    made = build_basis(autoencoder, latents=[scales * torch.randn(1, 4, 32, 32, generator=generator) for _ in range(6)])
    assert made.images == 6
    assert torch.allclose(made.directions.T @ made.directions, torch.eye(64), atol=1e-4)
    expected = scales.flatten().square().repeat_interleave(16).sort().values
    assert torch.allclose(made.variance, expected, rtol=0.6)
    assert torch.equal(made.variance, made.variance.sort().values)
    largest = made.variance > 0.02
    assert made.gain[largest].mean() == pytest.approx(1.0, abs=0.05)
    module = autoencoder.module
    with torch.no_grad():
        singular = torch.linalg.svdvals(module.matrix.double()).square()
    assert float(made.image_cost.double().mean()) == pytest.approx(float(singular.mean()), rel=0.1)


def test_chosen_directions_survive_better_than_most(basis: FingerprintBasis) -> None:
    assert len(basis.chosen) == 16
    assert basis.response[basis.chosen].min() >= 0.5 * basis.response.median()
    rest = torch.ones(len(basis.variance), dtype=torch.bool)
    rest[basis.chosen] = False
    price = basis.image_cost * basis.noise / basis.response**2
    assert price[basis.chosen].mean() < price[rest].mean()
    assert basis.variance[basis.chosen].mean() < basis.variance[rest].mean()


def test_directions_that_do_not_answer_are_not_chosen(basis: FingerprintBasis) -> None:
    """However quiet and cheap a direction is: what the encoder ignores carries nothing."""
    response, noise = basis.response.clone(), basis.noise.clone()
    dead = basis.chosen[:4]
    response[dead], noise[dead] = 0.2 * float(response.median()), 1e-9
    assert not set(dead.tolist()) & set(dataclasses.replace(basis, response=response, noise=noise).chosen.tolist())


def test_basis_comes_back_from_its_file(basis: FingerprintBasis, tmp_path: Path, unmarked: Tensor) -> None:
    basis.save(tmp_path / "basis.safetensors")
    again = load_basis(tmp_path / "basis.safetensors")
    assert torch.equal(embed(unmarked, again, KEY), embed(unmarked, basis, KEY))
    assert again.fingerprint == basis.fingerprint
    assert not list(tmp_path.glob("*.part"))


def test_build_is_deterministic(demo: ModuleAutoencoder) -> None:
    pictures = [photograph(seed) for seed in range(50, 54)]
    first, second = build_basis(demo, pictures), build_basis(demo, pictures)
    assert torch.equal(first.directions, second.directions)
    assert torch.equal(first.noise, second.noise)


def test_an_icon_among_photographs_costs_nobody_the_basis(demo: ModuleAutoencoder) -> None:
    pictures = [photograph(seed) for seed in range(50, 54)]
    made = build_basis(demo, [pictures[0], photograph(60)[..., :16, :16], *pictures[1:], photograph(61)[..., :24, :]])
    assert made.images == 4 and torch.equal(made.directions, build_basis(demo, pictures).directions)


def test_a_basis_is_replaced_by_itself_alone(basis: FingerprintBasis, demo: ModuleAutoencoder, tmp_path: Path) -> None:
    path = tmp_path / "my-vae.safetensors"
    check_not_taken(path, demo.fingerprint, 3)
    basis.save(path)
    check_not_taken(path, basis.fingerprint, basis.images, basis)
    with pytest.raises(InvalidSettingError, match="could no longer be read"):
        check_not_taken(path, basis.fingerprint, basis.images, dataclasses.replace(basis, mean=basis.mean + 1))
    with pytest.raises(InvalidSettingError, match="another VAE's basis"):
        check_not_taken(path, "0" * 64, basis.images)
    newer = path.read_bytes().replace(b'"version":"2"', b'"version":"9"')
    for content in (newer, b"somebody else's file"):
        path.write_bytes(content)
        with pytest.raises(InvalidSettingError, match="is no basis that this release reads: choose another name"):
            check_not_taken(path, basis.fingerprint, basis.images, basis)


@pytest.mark.parametrize("shape", [(1, 4, 3, 3), (1, 4, 3, 50), (2, 4, 50, 2)])
def test_what_is_smaller_than_a_patch_is_one_sentence(
    basis: FingerprintBasis, demo: ModuleAutoencoder, shape: tuple[int, ...]
) -> None:
    latents = torch.zeros(shape)
    for version in (1, 2):
        with pytest.raises(InvalidLatentError, match=r"smaller than one patch of 4×4|has room for"):
            embed(latents, dataclasses.replace(basis, version=version), KEY)
        with pytest.raises(InvalidLatentError, match=r"smaller than one patch of 4×4|has room for"):
            picture = torch.zeros(1, 3, *(8 * side for side in shape[2:]))
            read(demo, picture, dataclasses.replace(basis, version=version))


def test_too_few_pictures_for_a_basis(demo: ModuleAutoencoder) -> None:
    with pytest.raises(InvalidSettingError, match="needs 128: use more or larger pictures"):
        build_basis(demo, [photograph(50)[..., :128, :128]])
    with pytest.raises(InvalidSettingError, match="0 pictures give 0 patches"):
        build_basis(demo, [photograph(50)[..., :24, :24]])
    with pytest.raises(InvalidLatentError, match="do not fit"):
        build_basis(demo, latents=[torch.zeros(1, 3, 8, 8)])


def test_damaged_bases_are_refused(basis: FingerprintBasis, tmp_path: Path) -> None:
    path = tmp_path / "basis.safetensors"
    with pytest.raises(InvalidBasisError, match="There is no fingerprint basis"):
        load_basis(path)
    path.write_bytes(b"not a basis")
    with pytest.raises(InvalidBasisError, match="no readable basis"):
        load_basis(path)
    dataclasses.replace(basis, noise=-basis.noise).save(path)
    with pytest.raises(InvalidBasisError, match="impossible values"):
        load_basis(path)
    dataclasses.replace(basis, variance=basis.variance[:3]).save(path)
    with pytest.raises(InvalidBasisError, match="impossible values"):
        load_basis(path)
    basis.save(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"version":"2"', b'"version":"3"'))
    with pytest.raises(InvalidBasisError, match="basis version 3, this release reads 1 to 2"):
        load_basis(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidBasisError, match="no readable basis"):
        load_basis(path)


# --- keys, secrets, register ---


def test_keys_and_secrets_show_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "0123" not in repr(KEY) + str(KEY)
    assert "characters" not in repr(SECRET) + str(SECRET)
    for text in ("not hexadecimal 0badc0de", "0badc0d", "0badc0de" * 9):
        with pytest.raises(InvalidSettingError) as caught:
            parse_key(text)
        assert "0badc0d" not in str(caught.value)
    with pytest.raises(InvalidSecretError) as refused:
        Secret(b"tooshort0badc0")
    assert "0badc0" not in str(refused.value)
    with pytest.raises(InvalidSecretError):
        Secret(b"a" * 64)
    assert parse_key(" 0x0123456789ABCDEF\n") == KEY


def test_a_reading_shows_no_key(demo: ModuleAutoencoder, basis: FingerprintBasis, marked: Tensor) -> None:
    assert KEY.hexadecimal not in repr(read(demo, marked, basis, secret=SECRET))


def test_secret_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "owner.secret"
    write_new_secret(path)
    assert path.stat().st_mode & 0o077 == 0
    assert load_secret(path).user_key("a") == load_secret(path).user_key("a")
    with pytest.raises(InvalidSettingError, match="never overwritten"):
        write_new_secret(path)
    with pytest.raises(InvalidSecretError, match="cannot be read"):
        load_secret(tmp_path / "missing")
    monkeypatch.delenv("LATENT_TRACER_SECRET", raising=False)
    with pytest.raises(InvalidSecretError, match="is not set"):
        secret_from_environment()
    monkeypatch.setenv("LATENT_TRACER_SECRET", path.read_text())
    assert secret_from_environment().user_key("a") == load_secret(path).user_key("a")


def test_user_keys_differ(tmp_path: Path) -> None:
    names = [f"user {number}" for number in range(500)]
    keys = {SECRET.user_key(name).hexadecimal for name in names}
    assert len(keys) == 500
    assert SECRET.user_key("a", 32) != SECRET.user_key("a")
    assert Secret(b"another secret, as long as the first one").user_key("a") != SECRET.user_key("a")


def test_register_names_the_user(
    demo: ModuleAutoencoder, basis: FingerprintBasis, unmarked: Tensor, tmp_path: Path
) -> None:
    register = Register.create(SECRET).add([f"user {number}" for number in range(300)])
    register.save(tmp_path / "register.json")
    register = load_register(tmp_path / "register.json")
    text = (tmp_path / "register.json").read_text()
    assert all(key.hexadecimal not in text for key in register.keys(SECRET))
    with torch.no_grad():
        image = quantise(demo.decode(embed(unmarked, basis, SECRET.user_key("user 123"), secret=SECRET)))
        plain = quantise(demo.decode(unmarked))
        stranger = quantise(demo.decode(embed(unmarked, basis, SECRET.user_key("nobody"), secret=SECRET)))
    found = attribute_user(read(demo, image, basis, secret=SECRET), register, SECRET)
    assert (found.user, found.users) == ("user 123", 300)
    assert found.p_value < 1e-9
    unmarked_reading = read(demo, plain, basis, secret=SECRET, refining_steps=0)
    nobody = attribute_user(unmarked_reading, register, SECRET)
    assert nobody.user is None
    assert nobody.p_value > 1e-6
    assert attribute_user(read(demo, stranger, basis, secret=SECRET), register, SECRET).user is None
    with pytest.raises(InvalidSecretError, match="not the one this register was made with"):
        attribute_user(unmarked_reading, register, Secret(b"another secret, as long as the first one"))
    with pytest.raises(InvalidSettingError, match="register is empty"):
        attribute_user(unmarked_reading, Register.create(SECRET), SECRET)
    with pytest.raises(InvalidSettingError, match="register has 32"):
        attribute_user(unmarked_reading, Register.create(SECRET, 32).add(["a"]), SECRET)


def test_no_false_attribution_among_ten_thousand_users(basis: FingerprintBasis, unmarked: Tensor) -> None:
    generator = np.random.default_rng(5)
    codewords = key_codewords([Key(generator.bytes(8).hex()) for _ in range(10_000)])
    patches = (to_patches(unmarked, basis.side) - basis.readout_mean) @ basis.readers
    trials = math.log(10_000 * 256)
    for number in range(20):
        values = make_carrier(basis, 32, 32, coded_bits(64), f"wrong {number}".encode()).collect(patches)[0]
        best = (codewords @ (values[None] * free_codewords(64)).T).max()
        assert float(log_tail(values, best[None])[0]) + trials > math.log(1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "reads 1 to 2"),
        ({"format": "other"}, "not a fingerprint register"),
        ({"users": ["a", "a"]}, "impossible values"),
        ({"users": [3]}, "impossible values"),
        ({"key_bits": 31}, "cannot be used"),
        ({"check": "zz" * 16}, "impossible values"),
    ],
)
def test_damaged_registers_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "register.json"
    path.write_text(json.dumps({**Register.create(SECRET).record, **change}))
    with pytest.raises(InvalidRegisterError, match=message):
        load_register(path)


def test_registers_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidRegisterError, match="There is no register"):
        load_register(tmp_path / "missing.json")
    (tmp_path / "register.json").write_text("{")
    with pytest.raises(InvalidRegisterError, match="no readable JSON"):
        load_register(tmp_path / "register.json")
    for name in ("", " ", "a" * 201, "line\nbreak"):
        with pytest.raises(InvalidRegisterError, match="cannot be used"):
            Register.create(SECRET).add([name])


# --- peers and quality ---


def test_paper_rule_writes_and_reads(demo: ModuleAutoencoder, basis: FingerprintBasis, unmarked: Tensor) -> None:
    with torch.no_grad():
        image = quantise(demo.decode(embed_by_paper_rule(unmarked, basis, KEY, strength=8.0)))
    bits = read_by_paper_rule(demo, image, basis, 64, strength=8.0).round().numpy()
    assert (bits == KEY.bits).mean() > 0.8
    refined = read_by_paper_rule(demo, image, basis, 64, strength=8.0, steps=3).round().numpy()
    assert (refined == KEY.bits).mean() > 0.8
    weak = read_by_paper_rule(demo, quantise(demo.decode(unmarked)), basis, 64).round().numpy()
    assert 0.2 < (weak == KEY.bits).mean() < 0.8


def test_spread_spectrum_and_shaded_noise() -> None:
    latents = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(6))
    moved = embed_spread_spectrum(latents, KEY, 1.0)
    assert (moved - latents).abs().mean() == pytest.approx(1.0, abs=1e-5)
    assert ((read_spread_spectrum(moved, 64)[0] < 0).numpy() == KEY.bits).all()
    noise = shaded_noise((1, 4, 32, 32), KEY, seed=1)
    assert ((read_shaded_noise(noise, 64, seed=1) < 0).numpy() == KEY.bits).all()
    assert float(noise.mean()) == pytest.approx(0, abs=0.06)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)


def test_similarity_matches_scikit_image(marked: Tensor) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    other = (marked + 0.03 * torch.randn(marked.shape, generator=torch.Generator().manual_seed(8))).clamp(0, 1)
    expected = metrics.structural_similarity(
        marked[0].double().numpy(), other[0].double().numpy(), channel_axis=0, data_range=1.0,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert structural_similarity(marked, other) == pytest.approx(expected, abs=2e-3)
    same = measure_change(marked, marked)
    assert (same.psnr, same.ssim) == (math.inf, pytest.approx(1.0))
    with pytest.raises(InvalidImageError, match="same size"):
        measure_change(marked, marked[..., :64])
