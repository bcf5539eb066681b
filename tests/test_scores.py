"""Every score against a slow or independent reference, its cost, and what it must never do."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import (
    SCORES,
    InvalidImageError,
    InvalidSettingError,
    invert,
    load_autoencoder,
    make_score,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.inversion.objective import Objective
from latent_tracer.core.scores.double_reconstruction import homogeneity
from latent_tracer.core.scores.inversion import InversionLoss
from latent_tracer.core.scores.spectral import (
    BAND_WEIGHTS,
    CHROMA_BANDS,
    LUMA_BANDS,
    ROUNDING_ENERGY,
    TO_YCBCR,
    band_energies,
    band_weights,
    dct_matrix,
    spectral_log_ratio,
)

# How many of the 64 coefficients of a block lie in each band.
BAND_SIZES = [
    sum(low <= u + v < high for u in range(8) for v in range(8)) for low, high in (*LUMA_BANDS, *CHROMA_BANDS)
]


@pytest.fixture(scope="module")
def demos():
    return {name: load_autoencoder(name) for name in ("demo-a", "demo-b")}


@torch.no_grad()
def decoded_by(autoencoder, image, quantiser="round"):
    return quantise(autoencoder.decode(autoencoder.encode(image)), quantiser)


@torch.no_grad()
def twice(autoencoder, image):
    first = autoencoder.decode(autoencoder.encode(image)).clamp(0, 1)
    return first, autoencoder.decode(autoencoder.encode(first)).clamp(0, 1)


def basis(u, v):
    """The 8×8 picture of one DCT coefficient of size 1, written out."""
    wave = [
        [math.sqrt((1 if k == 0 else 2) / 8) * math.cos(math.pi * k * (2 * i + 1) / 16) for i in range(8)]
        for k in (u, v)
    ]
    return torch.tensor([[wave[0][i] * wave[1][j] for j in range(8)] for i in range(8)])


# --- reconstruction, double reconstruction, inversion ----------------------------------------------------------------


def test_reconstruction_is_the_mean_square_to_the_stored_values(linear, photographs):
    autoencoder = linear([3.0, 2.0, 1.0])
    image = quantise(photographs())
    first, _ = twice(autoencoder, image)
    rounded, floored = (float(((first - image - half) ** 2).mean()) for half in (0, 0.5 / 255))
    for quantiser, expected in (("round", rounded), ("floor", floored)):
        assert float(Objective(autoencoder, image, quantiser).loss(first)) == pytest.approx(expected, rel=1e-5)
    assert rounded != pytest.approx(floored, rel=1e-4)
    score = make_score("reconstruction")
    assert score(autoencoder, image).value == pytest.approx(min(rounded, floored), rel=1e-5)
    # Whichever of the two fits counts: half a level above the reconstruction, the picture was stored by flooring.
    shifted = quantise(autoencoder.decode(autoencoder.encode(image)).detach(), "floor")
    again, _ = twice(autoencoder, shifted)
    losses = [float(((again - shifted - half) ** 2).mean()) for half in (0, 0.5 / 255)]
    assert score(autoencoder, shifted).value == pytest.approx(min(losses), rel=1e-5)


def test_double_reconstruction_is_the_ratio_of_two_losses(convolutional, photographs):
    autoencoder, image = convolutional(), quantise(photographs())
    first, second = (picture.double().numpy() for picture in twice(autoencoder, image))
    expected = np.mean((first - image.double().numpy()) ** 2) / np.mean((second - first) ** 2)
    assert make_score("double-reconstruction")(autoencoder, image).value == pytest.approx(expected, rel=1e-4)


def test_the_homogeneity_variant_multiplies_by_the_homogeneity_of_the_picture(convolutional, photographs):
    autoencoder, image = convolutional(), quantise(photographs())
    plain, weighted = (
        make_score(name)(autoencoder, image).value
        for name in ("double-reconstruction", "double-reconstruction-homogeneity")
    )
    assert weighted == pytest.approx(plain * homogeneity(image))


@pytest.mark.parametrize("seed", range(3))
def test_homogeneity_equals_a_co_occurrence_loop_and_scikit_image(seed):
    image = synthetic_photograph(seed, 24)[..., :20]
    red, green, blue = image[0].double().numpy()
    levels = np.minimum((32 * (0.299 * red + 0.587 * green + 0.114 * blue)).astype(np.uint8), 31)
    total, pairs = 0.0, 0
    for row in levels.astype(int):
        for left, right in zip(row[:-1], row[1:], strict=True):
            total, pairs = total + 2 / (1 + (left - right) ** 2), pairs + 2
    assert homogeneity(image) == pytest.approx(total / pairs, rel=1e-6)
    feature = pytest.importorskip("skimage.feature")
    matrix = feature.graycomatrix(levels, [1], [0], levels=32, symmetric=True, normed=True)
    assert homogeneity(image) == pytest.approx(feature.graycoprops(matrix, "homogeneity")[0, 0], rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_homogeneity_of_a_flat_picture_is_one(value):
    assert homogeneity(torch.full((1, 3, 8, 8), value)) == 1


def test_a_picture_that_survives_the_second_pass_unchanged_has_a_finite_ratio(linear):
    autoencoder = linear([2.0, 1.0], encoder_error=0.0)
    with torch.no_grad():
        image = autoencoder.decode(0.05 * torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert 0 <= make_score("double-reconstruction")(autoencoder, image).value < 1e4


def test_the_inversion_score_is_the_loss_of_the_papers_own_loop(convolutional, photographs):
    autoencoder, image = convolutional(), quantise(photographs())
    scored = InversionLoss(steps=7)(autoencoder, image)
    inversion = invert(autoencoder, image, solver="adam-paper", steps=7)
    assert scored.value == float(inversion.loss[0])
    assert scored.inversion is not None and torch.equal(scored.inversion.latents, inversion.latents)
    assert scored.value <= make_score("reconstruction")(autoencoder, image).value * (1 + 1e-5)
    assert InversionLoss(steps=7).settings == {"solver": "adam-paper", "steps": 7}


# --- what holds for all of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("reconstruction", 1, 1),
        ("double-reconstruction", 2, 2),
        ("double-reconstruction-homogeneity", 2, 2),
        ("spectral-ratio", 2, 2),
    ],
)
def test_a_score_counts_the_passes_it_makes(convolutional, photographs, name, encoder, decoder):
    autoencoder = convolutional()
    made = {"encode": 0, "decode": 0}

    def counted(kind, function):
        def call(tensor):
            made[kind] += 1
            return function(tensor)

        return call

    image = quantise(photographs())
    assert autoencoder.spatial_ratio == 8  # measured by a pass of its own, once
    autoencoder._encode = counted("encode", autoencoder._encode)
    autoencoder._decode = counted("decode", autoencoder._decode)
    passes = make_score(name)(autoencoder, image).passes
    assert (passes.encoder, passes.decoder, passes.backward) == (encoder, decoder, 0)
    assert made == {"encode": encoder, "decode": decoder}


def test_the_inversion_score_counts_a_decode_and_a_gradient_for_every_step(convolutional, photographs):
    passes = InversionLoss(steps=5)(convolutional(), quantise(photographs())).passes
    assert passes.encoder == 1
    assert 5 <= passes.decoder <= 6 and 4 <= passes.backward <= 6


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_deterministic_name_themselves_and_judge_one_image_only(convolutional, photographs, name):
    autoencoder = convolutional()
    score = InversionLoss(steps=3) if name == "inversion" else make_score(name)
    image = quantise(photographs(2, 48, 56))
    before = image.clone()
    assert score.name == name
    assert score(autoencoder, image[:1]).value == score(autoencoder, image[:1]).value
    assert torch.equal(image, before)
    for wrong in (image, image[0], image[:0], image[:1, :1]):
        with pytest.raises(InvalidImageError, match="one RGB image"):
            score(autoencoder, wrong)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_picture_with_nan_gets_no_score(convolutional, photographs, name, value):
    image = quantise(photographs())
    image[0, 1, 3, 3] = value
    with pytest.raises(InvalidImageError, match="NaN or infinite"):
        make_score(name)(convolutional(), image)


@pytest.mark.parametrize("name", SCORES)
def test_scores_work_where_gradients_are_off(convolutional, photographs, name):
    autoencoder = convolutional()
    score = InversionLoss(steps=3) if name == "inversion" else make_score(name)
    image = quantise(photographs(1, 48, 48))
    expected = score(autoencoder, image).value
    with torch.inference_mode():
        assert score(autoencoder, image.clone()).value == expected


def test_an_unknown_score_is_named_with_the_known_ones():
    with pytest.raises(InvalidSettingError, match="'magic'.*spectral-ratio"):
        make_score("magic")


# --- the spectral ratio -----------------------------------------------------------------------------------------------


def test_the_transform_is_orthonormal():
    assert torch.allclose(dct_matrix() @ dct_matrix().T, torch.eye(8), atol=1e-6)
    assert torch.allclose(dct_matrix().T @ torch.eye(8)[2], basis(2, 0)[:, 0] * math.sqrt(8), atol=1e-6)


@given(seed=st.integers(0, 1000), height=st.integers(1, 3), width=st.integers(1, 3))
def test_bands_together_hold_the_energy_of_the_picture(seed, height, width):
    residual = torch.randn(2, 3, 8 * height, 8 * width, generator=torch.Generator().manual_seed(seed))
    energies = band_energies(residual)
    assert energies.shape == (2, height, width, 9)
    totals = (energies * torch.tensor(BAND_SIZES)).sum((1, 2))
    luma, blue, red = torch.einsum("dc,bchw->dbhw", TO_YCBCR, residual).square().sum((2, 3))
    assert sum(BAND_SIZES[:5]) == sum(BAND_SIZES[5:]) == 64
    assert torch.allclose(totals[:, :5].sum(1), luma, rtol=1e-4)
    assert torch.allclose(totals[:, 5:].sum(1), (blue + red) / 2, rtol=1e-4)


@given(st.integers(0, 7), st.integers(0, 7))
def test_a_single_frequency_lands_in_its_band_alone(u, v):
    grey = basis(u, v).expand(1, 3, 8, 8)
    energies = band_energies(grey)[0, 0, 0] * torch.tensor(BAND_SIZES)
    expected = torch.tensor([float(low <= u + v < high) for low, high in LUMA_BANDS] + [0.0] * 4)
    assert torch.allclose(energies, expected, atol=1e-5)
    # The colour that has no luma and lies on the blue axis alone.
    colour = torch.linalg.inv(TO_YCBCR) @ torch.tensor([0.0, 1.0, 0.0])
    energies = band_energies((colour[:, None, None] * basis(u, v))[None])[0, 0, 0] * torch.tensor(BAND_SIZES)
    expected = torch.tensor([0.0] * 5 + [0.5 * (low <= u + v < high) for low, high in CHROMA_BANDS])
    assert torch.allclose(energies, expected, atol=1e-5)


def test_blocks_stay_apart_and_what_exceeds_the_last_whole_block_is_left_out():
    residual = torch.zeros(1, 3, 21, 30)
    residual[0, :, 8:16, 16:24] = basis(3, 1)
    residual[0, :, 16:] = residual[0, :, :, 24:] = 7
    energies = band_energies(residual)
    assert energies.shape == (1, 2, 3, 9)
    assert (energies.sum(-1) > 1e-4).nonzero().tolist() == [[0, 1, 2]]


def test_rounding_noise_has_the_energy_it_is_credited_with():
    noise = (torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) - 0.5) / 255
    assert float(band_energies(noise).mean()) == pytest.approx(ROUNDING_ENERGY, rel=0.3)


def test_a_picture_smaller_than_a_block_is_refused():
    with pytest.raises(InvalidImageError, match="5×16 pixels"):
        band_energies(torch.zeros(1, 3, 16, 5))


def random_energies(seed):
    return 1e-3 * torch.rand(1, 4, 4, 9, generator=torch.Generator().manual_seed(seed)) + 1e-4


def test_equal_residuals_give_zero_and_exchanging_them_about_changes_the_sign():
    control, picture = random_energies(0), random_energies(1)
    assert float(spectral_log_ratio(control, control, picture)) == 0
    assert float(spectral_log_ratio(2 * control, control, picture)) > 0
    assert float(spectral_log_ratio(control / 2, control, picture)) < 0


@pytest.mark.parametrize("factor", [4.0, 100.0])
def test_far_above_rounding_noise_the_ratio_is_the_logarithm_and_does_not_depend_on_contrast(factor):
    control, picture = random_energies(0), random_energies(1)
    value = float(spectral_log_ratio(factor * control, control, picture))
    assert value == pytest.approx(math.log(factor), abs=0.02)
    louder = float(spectral_log_ratio(1000 * factor * control, 1000 * control, 1000 * picture))
    assert louder == pytest.approx(value, abs=0.02)


def test_a_band_in_which_the_picture_is_empty_does_not_count():
    control, picture = random_energies(0), random_energies(1)
    picture[..., 5:] = 0  # a greyscale picture
    energies = 3 * control
    energies[..., 5:] = 1e-9 * control[..., 5:]  # whose chroma any decoder explains
    assert float(spectral_log_ratio(energies, control, picture)) == pytest.approx(math.log(3), abs=0.05)
    assert torch.equal(band_weights(control, picture)[0, 5:], torch.zeros(4))


def test_constant_terms_never_count():
    control, picture = random_energies(0), random_energies(1)
    energies = control.clone()
    energies[..., 0], energies[..., 5] = 1e3, 1e-9
    assert float(spectral_log_ratio(energies, control, picture)) == 0
    assert BAND_WEIGHTS[0] == BAND_WEIGHTS[5] == 0


@pytest.mark.parametrize("made_by", ["demo-a", "demo-b"])
@pytest.mark.parametrize("stored", ["round", "floor"])
def test_the_spectral_ratio_is_lower_for_a_decoders_own_pictures(demos, made_by, stored):
    score, maker = make_score("spectral-ratio"), demos[made_by]
    other = demos["demo-b" if made_by == "demo-a" else "demo-a"]
    own, photographs, foreign = [], [], []
    for seed in range(2):
        photograph = synthetic_photograph(200 + seed, 64)
        own.append(score(maker, decoded_by(maker, photograph, stored)).value)
        photographs.append(score(maker, photograph).value)
        foreign.append(score(maker, decoded_by(other, photograph, stored)).value)
    assert max(own) < min(photographs)
    assert max(own) < min(foreign)


@pytest.mark.parametrize("name", ["demo-a", "demo-b"])
def test_greyscale_photographs_do_not_look_belonging_for_want_of_chroma(demos, name):
    score = make_score("spectral-ratio")
    for seed in range(3):
        photograph = synthetic_photograph(300 + seed, 64)
        grey = quantise(photograph.mean(1, keepdim=True).expand(1, 3, 64, 64))
        own = score(demos[name], decoded_by(demos[name], grey)).value
        assert score(demos[name], grey).value > max(own, 0.0) + 0.5


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (128 / 255,) * 3, (1, 0, 0)])
def test_a_flat_picture_is_refused_by_the_spectral_ratio_instead_of_looking_belonging(demos, colour):
    flat = torch.tensor(colour).float()[None, :, None, None].expand(1, 3, 64, 64).clone()
    for autoencoder in demos.values():
        with pytest.raises(InvalidImageError, match="flat"):
            make_score("spectral-ratio")(autoencoder, flat)
        for name in ("reconstruction", "double-reconstruction", "double-reconstruction-homogeneity"):
            assert math.isfinite(make_score(name)(autoencoder, flat).value)


def test_what_a_decoder_makes_of_a_flat_picture_holds_enough_to_be_scored(demos):
    for autoencoder in demos.values():
        image = decoded_by(autoencoder, torch.full((1, 3, 64, 64), 128 / 255))
        assert math.isfinite(make_score("spectral-ratio")(autoencoder, image).value)
