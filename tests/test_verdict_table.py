"""Every branch from a score to an answer, word for word: these sentences are what people act on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict, replace

import pytest
from latent_tracer.core import (
    LIMITS,
    InvalidSettingError,
    Profile,
    Verdict,
    verdict_from_losses,
    verdict_from_threshold,
)
from latent_tracer.core.profiles import HANDED_OVER, MADE_HERE, SHIPPED, Source
from latent_tracer.core.verdicts.doubt import History
from latent_tracer.core.verdicts.uncalibrated import default_bound, for_cells, like_its_own
from latent_tracer.core.verdicts.verdict import (
    decoders_of,
    verdict_from_default_profile,
    verdict_from_profile,
)
from scipy import stats


def scores(*limits: int) -> tuple[float, ...]:
    return tuple(map(float, range(*limits)))


# Belonging scores 0 … 99, others 80 … 179; a gap in which neither lies under APART.
KNOWN = Profile(
    fingerprint="f",
    autoencoder="a",
    score="s",
    score_settings={},
    condition="clean",
    image_sizes=(64, 512),
    calibrated_on="a test",
    belonging=(Source("decoded", scores(100)),),
    others=(Source("photograph", scores(80, 180)),),
    fpr=0.05,
    fnr=0.03,
)
APART = replace(KNOWN, others=(Source("photograph", scores(180, 280)),))
COVERING = replace(KNOWN, others=(*KNOWN.others, Source("photograph", scores(80, 180), history="jpeg-75")))
JPEG = replace(COVERING, condition="jpeg-75")
FPR, FNR = 5 / 101, 3 / 101
FPR_BOUND, FNR_BOUND = (float(stats.beta.ppf(0.95, rank, 101 - rank)) for rank in (5, 3))
YES = "score -1 is lower than that of 99.01 % of the other images, whatever their source"
NO = "score 200 is higher than that of 99.01 % of belonging images"
BETWEEN = "12 % of other images score as low and 11 % of belonging images as high as this one, neither is rare enough."
NEITHER = "score 150 is rarely as low among other images and rarely as high among belonging ones, it fits neither."
LOSSY = (
    "the file format is lossy (JPEG, WebP …) and the profile holds for clean images: calibrate for such files"
    " (latent-tracer calibrate does for JPEG unless told otherwise, for WebP with --condition webp-90)."
)
SMALL = "its shortest side is 63 pixels, the profile was calibrated on 64 and more: calibrate on images of this size."
ONCE_JPEG = (
    "the picture was once a JPEG file of about quality 50, whose blocks can pass for a decoder's trace, and no JPEG"
    " files were among the other images of this calibration."
)
WEAKENED = (
    "the picture was once a JPEG file of about quality 50, which weakens a trace, and the profile holds for clean"
    " images: calibrate for jpeg-30 (latent-tracer calibrate --condition jpeg-30, or so in Calibrate Trace)."
)
FEW = "nobody calibrated this decoder, and it recognises 3 of 8 pictures, too few for an answer without a calibration:"
OWN_JPEG = ("once a JPEG file of about quality 50",)


def judged(answer, score, basis, p_value, belonging_p_value, **changes):
    """All nineteen fields of a verdict under KNOWN."""
    verdict = Verdict(
        answer=answer,
        score=score,
        basis=basis,
        threshold=None,
        p_value=p_value,
        fpr=FPR,
        condition="clean",
        stage="double reconstruction",
        limits=LIMITS,
        subject="decoder",
        jpeg_quality=None,
        fnr=FNR,
        fpr_bound=FPR_BOUND,
        fnr_bound=FNR_BOUND,
        belonging_p_value=belonging_p_value,
        calibration="handed over",
        power=None,
        state=(),
        fpr_basis="this decoder",
    )
    return replace(verdict, **changes)


LOW, HIGH = (1 / 101, 1.0), (1.0, 1 / 101)
IN_JPEG = {"condition": "jpeg-75"}
CASES = {
    "yes": (-1, KNOWN, {}, judged("belonging", -1, YES, *LOW)),
    "no": (200, KNOWN, {}, judged("non-belonging", 200, NO, *HIGH)),
    "between": (90, KNOWN, {}, judged("inconclusive", 90, BETWEEN, 12 / 101, 11 / 101)),
    "neither": (150, APART, {}, judged("inconclusive", 150, NEITHER, 1 / 101, 1 / 101)),
    "small": (-1, KNOWN, {"shortest_side": 63}, judged("inconclusive", -1, SMALL, *LOW)),
    "small and lossy": (-1, KNOWN, {"shortest_side": 63, "lossy": True}, judged("inconclusive", -1, SMALL, *LOW)),
    "just large enough": (-1, KNOWN, {"shortest_side": 64}, judged("belonging", -1, YES, *LOW)),
    "larger than any": (200, KNOWN, {"shortest_side": 513}, judged("non-belonging", 200, NO, *HIGH)),
    "lossy yes": (-1, KNOWN, {"lossy": True}, judged("inconclusive", -1, LOSSY, *LOW)),
    "lossy no": (200, KNOWN, {"lossy": True}, judged("inconclusive", 200, LOSSY, *HIGH)),
    "lossy between": (90, COVERING, {"lossy": True}, judged("inconclusive", 90, LOSSY, 12 / 101, 11 / 101)),
    "lossy yes, covered": (-1, COVERING, {"lossy": True}, judged("belonging", -1, YES, *LOW)),
    "lossy no, covered": (200, COVERING, {"lossy": True}, judged("inconclusive", 200, LOSSY, *HIGH)),
    "lossy no under JPEG": (200, JPEG, {"lossy": True}, judged("non-belonging", 200, NO, *HIGH, **IN_JPEG)),
    "lossy yes under JPEG": (-1, JPEG, {"lossy": True}, judged("belonging", -1, YES, *LOW, **IN_JPEG)),
    "untouched": (200, KNOWN, {"history": History()}, judged("non-belonging", 200, NO, *HIGH)),
    "once JPEG, yes": (
        *(-1, KNOWN, {"history": History(50)}),
        judged("inconclusive", -1, ONCE_JPEG, *LOW, jpeg_quality=50, state=OWN_JPEG),
    ),
    "once JPEG, no": (
        *(200, KNOWN, {"history": History(50)}),
        judged("inconclusive", 200, WEAKENED, *HIGH, jpeg_quality=50, state=OWN_JPEG),
    ),
    "stage": (-1, KNOWN, {"stage": "inversion"}, judged("belonging", -1, YES, *LOW, stage="inversion")),
    "shipped": (
        *(-1, replace(KNOWN, calibration=SHIPPED), {}),
        judged("belonging", -1, YES, *LOW, calibration="shipped"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_verdict_under_the_decoders_own_profile(case):
    score, profile, arguments, verdict = CASES[case]
    assert asdict(verdict_from_profile(score, profile, **arguments)) == asdict(verdict)
    # What nobody calibrated gets the same answer where it recognises its own work, and says whose rates those are.
    arguments = {"stage": "double reconstruction", **arguments}
    recognised = verdict_from_default_profile(score, profile, is_recognised=True, check="8 of 8 pictures", **arguments)
    assert recognised == replace(verdict, fpr_basis="other decoders", calibration="1 other decoders")
    # And none where it does not.
    silent = verdict_from_default_profile(score, profile, is_recognised=False, check="3 of 8 pictures", **arguments)
    assert silent == Verdict(
        "inconclusive",
        score,
        f"{FEW} calibrate it on photographs.",
        p_value=verdict.p_value,
        condition=verdict.condition,
        stage=verdict.stage,
        jpeg_quality=verdict.jpeg_quality,
        state=verdict.state,
    )


def test_under_a_jpeg_profile_only_pictures_of_like_files_count():
    milder = Source("photograph", scores(10, 110), history="jpeg-95")
    profile = replace(JPEG, others=(*KNOWN.others, milder, Source("photograph", scores(80, 180), history="jpeg-75")))
    assert verdict_from_profile(20, profile).p_value == 12 / 101
    assert verdict_from_profile(20, profile, history=History(75)).p_value == 1 / 101


def test_a_default_profile_counts_its_decoders():
    more = replace(KNOWN, belonging=(*KNOWN.belonging, Source("decoded", (1.0,)), Source("generated", (2.0,))))
    assert decoders_of(more) == 2
    assert verdict_from_default_profile(-1, more, "s", is_recognised=True, check="").calibration == "2 other decoders"


def test_a_default_profiles_yes_is_like_the_decoders_own_work():
    """Half as low at least as what its own typically score; nothing is asked where that is above the threshold."""
    bound = KNOWN.acceptance_threshold

    def answer(score, own):
        verdict = verdict_from_default_profile(score, KNOWN, "s", is_recognised=True, check="")
        return like_its_own(verdict, KNOWN, own).answer

    assert answer(bound - 1, 2 * bound + 10) == "belonging" and answer(1000, -100.0) == "non-belonging"
    assert answer(-50.0, -100.0) == "inconclusive" and answer(-50.5, -100.0) == "belonging"
    coarse = [for_cells(KNOWN, cell).image_sizes for cell in (8, 16, 32, 64)]
    least, most = KNOWN.image_sizes
    assert coarse == [(least, most)] * 2 + [(2 * least, max(most, 2 * least)), (4 * least, max(most, 4 * least))]
    assert default_bound(KNOWN, -100.0) == -50.0 and default_bound(KNOWN, 2 * bound + 10) == bound


def test_a_verdict_of_nothing_but_an_answer_claims_nothing_else():
    assert asdict(Verdict("belonging", 1.0, "why")) == {
        "answer": "belonging",
        "score": 1.0,
        "basis": "why",
        "threshold": None,
        "p_value": None,
        "fpr": None,
        "condition": "clean 8-bit",
        "stage": "inversion",
        "limits": "This names the decoder, not the checkpoint: models that share a VAE cannot be told apart, a photo"
        " passed through this VAE does belong to it, and resizing, off-grid crops or JPEG weaken the trace.",
        "subject": "decoder",
        "jpeg_quality": None,
        "fnr": None,
        "fpr_bound": None,
        "fnr_bound": None,
        "belonging_p_value": None,
        "calibration": "",
        "power": None,
        "state": (),
        "fpr_basis": "",
    }
    assert len(dataclasses.fields(Verdict)) == 19


RATES = {"p_value": 0.0123456, "belonging_p_value": 0.98765, "fpr": 0.01, "fpr_bound": 0.03, "fnr": 0.05}
YES_RATES = "false-positive rate 1.0 % on average, with 95 % confidence at most 3.0 %"
SENTENCES = [
    (("belonging", {}), "The image belongs to this decoder (why; false-positive rate not measured)."),
    (("non-belonging", {}), "The image does not belong to this decoder (why; false-negative rate not measured)."),
    (("inconclusive", RATES), "Inconclusive: why"),
    (("belonging", RATES), f"The image belongs to this decoder (why; {YES_RATES}, p = 0.0123)."),
    (
        ("non-belonging", RATES),
        "The image does not belong to this decoder (why; false-negative rate 5.0 %, p = 0.988).",
    ),
    (
        ("non-belonging", {"fnr": 0.05, "fnr_bound": 0.1, "subject": "generator"}),
        "The image does not belong to this generator (why; false-negative rate 5.0 % on average, with 95 % confidence"
        " at most 10 %).",
    ),
    (
        ("belonging", {**RATES, "calibration": HANDED_OVER}),
        f"The image belongs to this decoder (why; {YES_RATES}, p = 0.0123; calibration handed over, as true as whoever"
        " made it).",
    ),
    (
        ("belonging", {"calibration": MADE_HERE, "fpr_basis": "this decoder"}),
        "The image belongs to this decoder (why; false-positive rate not measured; calibration made on this machine).",
    ),
    (
        ("belonging", {**RATES, "calibration": "5 other decoders", "fpr_basis": "other decoders"}),
        f"The image belongs to this decoder (why; {YES_RATES}, p = 0.0123; measured on 5 other decoders, not on this"
        " one).",
    ),
]


@pytest.mark.parametrize(("said", "sentence"), SENTENCES)
def test_a_sentence(said, sentence):
    answer, fields = said
    assert Verdict(answer, 1.0, "why", **fields).sentence == sentence


def test_the_rate_that_matters_is_that_of_the_answer():
    words = {answer: Verdict(answer, 1.0, "why", **RATES).rate_words for answer in ("belonging", "inconclusive")}
    assert words == {"belonging": YES_RATES, "inconclusive": YES_RATES}
    assert Verdict("non-belonging", 1.0, "why", **RATES).rate_words == "false-negative rate 5.0 %"


@pytest.mark.parametrize(
    ("loss", "answer"),
    [(0.001234, "belonging"), (0.00199, "belonging"), (0.002, "non-belonging"), (0.3, "non-belonging")],
)
def test_a_given_threshold(loss, answer):
    basis = f"loss {loss:.3g} against the given threshold 0.002"
    assert verdict_from_threshold(loss, 0.002) == Verdict(answer, loss, basis, 0.002)
    no_threshold = Verdict("inconclusive", loss, "no calibration for this decoder, give a threshold or a profile.")
    assert verdict_from_threshold(loss, None) == no_threshold


def test_grubbs():
    # Equal losses: the threshold is theirs, and a loss at it is an outlier.
    for loss, answer in ((0.5, "belonging"), (1.0, "non-belonging"), (1.5, "non-belonging")):
        basis = "Grubbs test at 0.05 on 4 belonging losses, threshold 1"
        assert verdict_from_losses(loss, [1.0] * 4) == Verdict(answer, loss, basis, 1.0)
    assert verdict_from_losses(2.0, [1.0] * 3, 0.125).basis == "Grubbs test at 0.125 on 3 belonging losses, threshold 1"


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.inf, math.nan])
def test_an_impossible_threshold(threshold):
    with pytest.raises(InvalidSettingError, match=f"^The threshold must be a positive number, got {threshold}.$"):
        verdict_from_threshold(0.1, threshold)


def test_a_score_that_is_no_number():
    for decide in (
        lambda: verdict_from_threshold(math.nan, 1.0),
        lambda: verdict_from_losses(math.nan, [1.0] * 3),
        lambda: verdict_from_profile(math.nan, KNOWN),
    ):
        with pytest.raises(InvalidSettingError, match="^The score is nan, no verdict can rest on it: trace"):
            decide()
