"""RONAN: input inversion from random starts, the calibrated loss, profiles and verdicts of generators."""

import dataclasses
import json

import pytest
import torch
from latent_tracer.core import (
    ROUNDING_FLOOR,
    AutoencoderGenerator,
    CalibratedLoss,
    InvalidImageError,
    InvalidLatentError,
    InvalidProfileError,
    InvalidSettingError,
    ModuleGenerator,
    UnsupportedGeneratorError,
    calibrate,
    calibrate_origin,
    check_inversion_profile,
    check_origin_profile,
    grubbs_critical,
    image_entropy,
    invert,
    invert_inputs,
    judge_origin,
    load_profile,
    make_score,
    origin_report,
    profile_from_inversions,
    quantise,
    score_for,
    synthetic_photograph,
)
from latent_tracer.core.calibration.origin import made_image
from latent_tracer.core.inversion.inputs import LOSS_TARGET
from latent_tracer.core.profiles import save_profile
from latent_tracer.core.profiles.table import found_among_belonging
from torch import Tensor, nn
from torch.nn import Linear

SIDE = 16


class Curved(nn.Module):
    """Six inputs to a 16² picture in [-1,1] through two layers: a small nonlinear range inside 768 dimensions."""

    def __init__(self, seed: int, inputs: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = Linear(inputs, 24)
            self.last = Linear(24, 3 * SIDE * SIDE)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(2 * self.last(torch.nn.functional.leaky_relu(self.first(inputs), 0.2))).view(
            -1, 3, SIDE, SIDE
        )


def curved(seed: int) -> ModuleGenerator:
    return ModuleGenerator(f"curved-{seed}", Curved(seed), (6,))


@pytest.fixture(scope="module")
def generator():
    return curved(1)


@pytest.fixture(scope="module")
def other():
    return curved(2)


def photographs(count, side=SIDE):
    return [synthetic_photograph(seed=200 + k, size=64)[..., :side, :side] for k in range(count)]


@pytest.fixture(scope="module")
def profile(generator, other):
    score = CalibratedLoss(generator, starts=2)
    return calibrate_origin(score, photographs(20), others=[other], belonging=20, fpr=0.05, fnr=0.05)


@pytest.mark.parametrize("solver", ["levenberg-marquardt", "lbfgs-whitened", "adam-ronan"])
def test_random_starts_find_the_input_of_a_belonging_image(generator, solver):
    image = made_image(generator, 0)
    found = invert_inputs(generator, image, solver=solver, starts=3, steps=400 if solver == "adam-ronan" else None)
    assert float(found.loss[0]) < 4 * ROUNDING_FLOOR
    assert torch.allclose(found.reconstruction, generator.generate(found.latents), atol=1e-6)
    assert found.latents.shape == (1, 6)
    assert float(found.loss[0]) == min(found.start_losses[0])
    assert found.initial_loss[0] > 100 * found.loss[0]


@pytest.mark.parametrize("solver", ["levenberg-marquardt", "lbfgs-whitened", "adam-ronan"])
def test_what_another_generator_made_is_not_explained(generator, other, solver):
    found = invert_inputs(generator, made_image(other, 0), solver=solver, starts=2, steps=60)
    assert float(found.loss[0]) > 100 * ROUNDING_FLOOR
    assert all(loss < float("inf") for loss in found.start_losses[0])  # no start was given up


def test_a_linear_generator_is_inverted_to_its_least_squares_solution():
    linear = nn.Sequential(Linear(4, 3 * 64), nn.Unflatten(1, (3, 8, 8)))
    with torch.no_grad():
        linear[0].weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
        linear[0].bias.fill_(0.5)
    image = 0.2 + 0.6 * torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    generator = ModuleGenerator("linear", linear, (4,), output_range=(0, 1))
    found = invert_inputs(generator, image, starts=1, quantiser="none")
    matrix, target = linear[0].weight.double(), image.flatten().double() - 0.5
    expected = torch.linalg.lstsq(matrix, target[:, None]).solution[:, 0]
    assert torch.allclose(found.latents[0].double(), expected, atol=1e-4)


def test_inversion_repeats_and_an_image_does_not_depend_on_its_neighbours(generator, other):
    images = torch.cat([made_image(generator, 0), made_image(other, 1)])
    together = invert_inputs(generator, images, starts=2)
    again = invert_inputs(generator, images, starts=2)
    alone = invert_inputs(generator, images[1:], starts=2)
    assert torch.equal(together.latents, again.latents)
    assert torch.equal(together.latents[1:], alone.latents)
    assert together.start_losses[1:] == alone.start_losses
    assert not torch.equal(
        invert_inputs(generator, images[1:], starts=1, seed=7).initial_latents, alone.initial_latents
    )


def test_further_starts_are_left_out_once_one_explains_the_image(generator):
    found = invert_inputs(generator, made_image(generator, 3), starts=5)
    first = next(k for k, loss in enumerate(found.start_losses[0]) if loss <= LOSS_TARGET)
    assert all(loss == float("inf") for loss in found.start_losses[0][first + 1 :])
    assert first < 4


def test_more_starts_never_end_worse(generator, other):
    image = made_image(other, 2)
    losses = [float(invert_inputs(generator, image, starts=k).loss[0]) for k in (1, 2, 4)]
    assert losses == sorted(losses, reverse=True)


def test_given_inputs_replace_random_starts(generator):
    true = generator.sample_inputs(1, seed=9)
    image = quantise(generator.generate(true)).detach()
    found = invert_inputs(generator, image, initial_inputs=true)
    assert len(found.loss_history[0]) == 1 and found.stopped_by == ("loss target",)
    with pytest.raises(InvalidLatentError, match=r"\(1, 7\)"):
        invert_inputs(generator, image, initial_inputs=torch.zeros(1, 7))
    with pytest.raises(InvalidLatentError, match="NaN"):
        invert_inputs(generator, image, initial_inputs=torch.full((1, 6), torch.nan))


def test_the_encoder_start_of_an_autoencoder_is_the_inversion_of_the_main_job(convolutional):
    autoencoder = convolutional()
    with torch.no_grad():
        image = quantise(autoencoder.decode(autoencoder.encode(synthetic_photograph(0, 32))))
    generator = AutoencoderGenerator(autoencoder, 32, 32)
    found = invert_inputs(generator, image, from_encoder=True, solver="lbfgs-whitened", steps=25, loss_target=0.0)
    main = invert(autoencoder, image, solver="lbfgs-whitened", steps=25)
    assert float(found.initial_loss[0]) == pytest.approx(float(main.initial_loss[0]), rel=1e-5)
    assert float(found.loss[0]) == pytest.approx(float(main.loss[0]), rel=0.2)


def test_progress_covers_every_start_and_an_error_in_it_cancels(generator, other):
    steps = []
    invert_inputs(generator, made_image(other, 0), starts=3, steps=5, on_step=steps.append)
    positions = [step.step for step in steps]
    assert positions == sorted(positions) and positions[-1] <= steps[0].steps == 15
    assert steps[0].decoded.shape == (1, 3, SIDE, SIDE)

    def cancel(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert_inputs(generator, made_image(other, 0), on_step=cancel)


def test_inversion_works_inside_inference_mode(generator):
    image = made_image(generator, 0)
    expected = invert_inputs(generator, image, starts=1)
    for solver in ("levenberg-marquardt", "adam-ronan"):
        with torch.inference_mode():
            found = invert_inputs(generator, image.clone(), starts=1, solver=solver, steps=20)
        assert found.loss[0] < found.initial_loss[0]
    with torch.inference_mode():
        assert torch.equal(invert_inputs(generator, image.clone(), starts=1).latents, expected.latents)


def test_images_and_settings_that_do_not_fit_are_named(generator):
    good = made_image(generator, 0)
    with pytest.raises(InvalidImageError, match="32×16 pixels, curved-1 makes 16×16"):
        invert_inputs(generator, torch.zeros(1, 3, 16, 32))
    with pytest.raises(InvalidImageError, match="NaN"):
        invert_inputs(generator, good * torch.nan)
    with pytest.raises(InvalidSettingError, match="at least 1 start"):
        invert_inputs(generator, good, starts=0)
    with pytest.raises(InvalidSettingError, match="magic"):
        invert_inputs(generator, good, solver="magic")
    with pytest.raises(InvalidSettingError, match="at least 1 step"):
        invert_inputs(generator, good, steps=0)
    with pytest.raises(UnsupportedGeneratorError, match="no encoder"):
        invert_inputs(generator, good, from_encoder=True)


def test_the_jacobian_is_refused_where_it_is_too_large_and_not_chosen_there(convolutional):
    generator = AutoencoderGenerator(convolutional(), 160, 160)  # 4·20·20 latents
    assert CalibratedLoss(generator).solver == "lbfgs-whitened"
    with pytest.raises(InvalidSettingError, match="1600 inputs"):
        CalibratedLoss(generator, solver="levenberg-marquardt")


def test_a_generator_that_turns_to_nan_far_away_is_reported(generator):
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Curved(1)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.inner(inputs) / (inputs.abs().amax(1) < 3.5).float()[:, None, None, None]

    breaking = ModuleGenerator("breaking", Breaks(), (6,))
    with pytest.raises(UnsupportedGeneratorError, match="NaN or infinite values for this image"):
        invert_inputs(breaking, made_image(generator, 0), initial_inputs=torch.full((1, 6), 9.0))
    found = invert_inputs(breaking, made_image(generator, 0), initial_inputs=torch.tensor([[9.0] * 6, [0.1] * 6]))
    assert torch.isfinite(found.loss).all() and found.start_losses[0][1] < 1


def test_the_calibrated_loss_is_the_loss_over_the_entropy(generator, other):
    image = made_image(other, 0)
    bare = CalibratedLoss(generator, complexity="none", starts=1)(image)
    calibrated = CalibratedLoss(generator, starts=1)(image)
    assert calibrated.value == pytest.approx(bare.value / image_entropy(image))
    # The control belongs: what it costs is about the storage floor, so the ratio is the loss in floors.
    control = CalibratedLoss(generator, complexity="regenerated", starts=2)
    assert control(image).value > 50
    assert control(made_image(generator, 1)).value < 4
    assert control(image).passes.decoder > calibrated.passes.decoder


def test_flat_images_are_refused_before_any_search(generator):
    flat = torch.full((1, 3, SIDE, SIDE), 0.5)
    for complexity in ("entropy", "regenerated"):
        with pytest.raises(InvalidImageError, match="flat"):
            CalibratedLoss(generator, complexity=complexity)(flat, on_step=lambda step: pytest.fail("searched"))


def test_wrong_score_settings_are_named(generator):
    with pytest.raises(InvalidSettingError, match="magic"):
        CalibratedLoss(generator, complexity="magic")
    with pytest.raises(InvalidSettingError, match="at least 1 start"):
        CalibratedLoss(generator, starts=0)


def test_a_calibrated_generator_knows_its_own_images(generator, other, profile):
    score = score_for(generator, profile)
    assert profile.fpr == 0.05 and profile.stated_fpr == 1 / (len(profile.others[0].lowest) + 1)
    assert [(source.kind, set(source.decoders)) for source in profile.others] == [
        ("photograph", set()),
        ("generated", {"curved-2"}),
    ]
    found = found_among_belonging(profile)
    assert found.accepted >= found.n - 1
    for number in (1000, 1001, 1002):
        image = made_image(generator, number)
        judged = judge_origin(score(image).value, profile, image)
        assert judged.verdict.answer == "belonging"
        assert judged.verdict.p_value <= judged.verdict.fpr <= 0.05 < judged.verdict.fpr_bound
        assert judged.grubbs is not None and judged.grubbs.answer == "belonging" and judged.grubbs.fpr is None
    for image in (made_image(other, 1000), photographs(22)[-1]):
        judged = judge_origin(score(image).value, profile, image)
        assert judged.verdict.answer == "non-belonging"
        assert judged.grubbs is not None and judged.grubbs.answer == "non-belonging"
        assert "does not belong to this generator" in judged.verdict.sentence


def test_the_papers_rule_is_grubbs_critical_value_above_the_mean(generator, profile):
    scores = torch.tensor(profile.belonging_scores, dtype=torch.float64)
    image = made_image(generator, 0)
    threshold = float(scores.mean() + grubbs_critical(20, 0.05) * scores.std())
    just_below, just_above = (judge_origin(threshold * f, profile, image).grubbs for f in (0.999, 1.001))
    assert (just_below.answer, just_above.answer) == ("belonging", "non-belonging")


def test_without_a_profile_there_is_no_yes(generator):
    image = made_image(generator, 0)
    judged = judge_origin(1e-9, None, image)
    assert judged.verdict.answer == "inconclusive" and judged.grubbs is None
    assert "no calibration for this generator" in judged.verdict.sentence


def test_lossy_files_stay_inconclusive(generator, profile):
    image = made_image(generator, 0)
    assert judge_origin(1e-12, profile, image, lossy=True).verdict.answer == "inconclusive"


def test_profiles_survive_their_file_and_are_refused_where_they_do_not_apply(generator, other, profile, tmp_path):
    save_profile(profile, tmp_path / "p.json")
    loaded = load_profile(tmp_path / "p.json")
    assert loaded == profile
    check_origin_profile(loaded, CalibratedLoss(generator, starts=2))
    with pytest.raises(InvalidProfileError, match="calibrated for the generator curved-1 .* not for curved-2"):
        score_for(other, loaded)
    with pytest.raises(InvalidProfileError, match="not ronan with"):
        check_origin_profile(loaded, CalibratedLoss(generator, starts=3))
    with pytest.raises(InvalidProfileError, match="do not fit curved-1"):
        score_for(generator, dataclasses.replace(loaded, score_settings=loaded.score_settings | {"solver": "magic"}))
    record = json.loads((tmp_path / "p.json").read_text())
    assert (record["version"], record["score"], record["fingerprint"]) == (2, "ronan", generator.fingerprint)


def test_profiles_of_autoencoders_and_of_generators_are_not_mixed_up(generator, convolutional, profile):
    autoencoder = convolutional()
    traced = calibrate(
        autoencoder, make_score("reconstruction"), [synthetic_photograph(k, 32) for k in range(5)], fpr=0.2, fnr=0.2
    )
    decoder = AutoencoderGenerator(autoencoder, 32, 32)
    assert traced.fingerprint == decoder.fingerprint  # the same weights: only the score tells them apart
    with pytest.raises(InvalidProfileError, match="reconstruction scores of an autoencoder"):
        score_for(decoder, traced)
    with pytest.raises(InvalidSettingError, match="Scores called 'ronan' are those of a generator"):
        make_score(profile.score)


def test_inversions_already_made_become_a_profile_that_fits_them_only(generator, other):
    belonging = invert_inputs(generator, torch.cat([made_image(generator, k) for k in range(6)]), starts=2)
    others = invert_inputs(generator, torch.cat([*photographs(5), torch.zeros(1, 3, SIDE, SIDE)]), starts=2)
    made = profile_from_inversions(belonging, others, fpr=0.2, fnr=0.2)
    assert (len(made.belonging_scores), len(made.non_belonging_scores)) == (6, 5)
    assert "1 of 12" in made.notes[0]
    # The same scores as a calibration with these settings computes, so its profile serves both.
    score = score_for(generator, made)
    assert score(made_image(generator, 2)).value == pytest.approx(made.belonging_scores[2])
    assert check_inversion_profile(made, belonging) == "entropy"
    with pytest.raises(InvalidProfileError, match="not ronan with"):
        check_inversion_profile(made, invert_inputs(generator, made_image(generator, 0), starts=1))
    with pytest.raises(InvalidProfileError, match="not for curved-2"):
        check_inversion_profile(made, invert_inputs(other, made_image(generator, 0), starts=2))
    with pytest.raises(InvalidSettingError, match="different generators or settings"):
        profile_from_inversions(belonging, invert_inputs(generator, photographs(5)[0], starts=1))
    with pytest.raises(InvalidSettingError, match="Only 6 belonging and 1 other"):
        profile_from_inversions(belonging, invert_inputs(generator, photographs(5)[0], starts=2))


def test_copies_given_in_a_graph_support_no_smaller_rate(generator):
    once = [torch.cat([made_image(generator, k) for k in range(6)]), torch.cat(list(photographs(5)))]
    single, repeated = (
        profile_from_inversions(*(invert_inputs(generator, images.repeat(times, 1, 1, 1), starts=1) for images in once))
        for times in (1, 4)
    )
    assert len(repeated.non_belonging_scores) == len(single.non_belonging_scores) == 5
    assert repeated.stated_fpr == single.stated_fpr and "33 pictures repeat others" in repeated.notes[-1]
    assert repeated.calibrated_on == "6 belonging and 5 other images given in a graph"


def test_the_stated_rate_is_what_the_smallest_source_supports(generator, other):
    score = CalibratedLoss(generator, starts=1, steps=3)
    made = calibrate_origin(score, photographs(6), others=[other], belonging=5, fpr=0.01, fnr=0.1)
    assert made.stated_fpr == pytest.approx(1 / 7)
    assert [len(source.scores) for source in made.others] == [6, 6]


def test_pictures_too_small_or_flat_are_left_out_and_noted(generator):
    score = CalibratedLoss(generator, starts=1, steps=2)
    pictures = [*photographs(5), torch.zeros(1, 3, SIDE, SIDE), torch.rand(1, 3, SIDE - 1, 40)]
    made = calibrate_origin(score, pictures, belonging=5, fpr=0.2, fnr=0.2)
    assert len(made.non_belonging_scores) == 5
    assert "1 of 11 samples could not be scored and were left out" in made.notes
    assert "1 pictures could not be used and were left out" in made.notes
    assert (made.pictures_given, made.pictures_counted) == (7, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"photographs": []}, "Nothing that the generator did not make"),
        ({"photographs": photographs(3)}, "at least 5 readable photographs, got 3"),
        ({"photographs": photographs(5), "belonging": 2}, "at least 5 belonging images"),
        ({"photographs": photographs(5), "fpr": 0}, "fpr"),
        ({"photographs": photographs(5), "condition": "resize-0.5"}, "changes the image size"),
        ({"photographs": photographs(5), "condition": "fax"}, "fax"),
    ],
)
def test_calibrations_that_could_state_no_rate_are_refused(generator, arguments, message):
    score = CalibratedLoss(generator, starts=1, steps=1)
    with pytest.raises(InvalidSettingError, match=message):
        calibrate_origin(score, arguments.pop("photographs"), **{"belonging": 5, **arguments})


def test_a_sibling_that_is_the_same_generator_is_no_other(generator):
    with pytest.raises(InvalidSettingError, match="Nothing that the generator did not make"):
        calibrate_origin(CalibratedLoss(generator, starts=1, steps=1), [], others=[curved(1)], belonging=5)


def test_the_report_names_every_figure(generator, other, profile):
    score = score_for(generator, profile)
    image = made_image(other, 1000)
    scored = score(image)
    text = origin_report(scored.inversion, 0, judge_origin(scored.value, profile, image))
    for part in ("NON-BELONGING", "curved-1", generator.fingerprint, "Grubbs test at 0.05", "N(0,1)", "limits: "):
        assert part in text
