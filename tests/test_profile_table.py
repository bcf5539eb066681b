"""What a profile counts, accepts and says, figure for figure and word for word."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest
from latent_tracer.core.errors import InvalidProfileError
from latent_tracer.core.profiles import JPEG_TOLERANCE, Grid, Limits, Profile, Source, digest_of
from scipy import stats


def pictures(n: int, kind: str = "photograph", **fields) -> Source:
    return Source(kind, tuple(map(float, range(n))), **fields)


def profile(belonging, others, **fields) -> Profile:
    return Profile(
        "0123456789abcdef", "Prüfling", "s", {"steps": 9}, "clean", (64, 512), "x", belonging, others, **fields
    )


OWN, OTHERS = (pictures(99, "decoded"),), (pictures(99),)
PLAIN = profile(OWN, OTHERS)


def test_a_profile_of_which_no_more_was_said():
    given = dict.fromkeys(("pictures_given", "pictures_counted", "grid", "guarantee"))
    assert profile(OWN, OTHERS, **given, fpr=0.01, fnr=0.01, limits=Limits(), notes=()) == PLAIN
    assert PLAIN.calibration == "handed over" and replace(PLAIN, calibration="shipped") == PLAIN
    assert JPEG_TOLERANCE == 2


def test_scores_are_those_of_all_sources():
    both = profile((*OWN, pictures(2, "perturbed")), (pictures(1), pictures(3, history="jpeg-75")))
    assert both.belonging_scores == (*map(float, range(99)), 0.0, 1.0)
    assert both.non_belonging_scores == (0.0, 0.0, 1.0, 2.0)


def test_rates_are_those_of_the_weakest_source():
    few = profile((*OWN, pictures(9, "generated")), (*OTHERS, pictures(19, history="jpeg-75")), fpr=0.05, fnr=0.1)
    assert (few.stated_fpr, few.stated_fnr) == (5 / 100, 1 / 10)
    assert few.fpr_bound == pytest.approx(stats.beta.ppf(0.95, 1, 19)) and few.fnr_bound == pytest.approx(
        1 - 0.05 ** (1 / 9)
    )
    assert few.smallest_p_value == 1 / 20
    assert (
        few.p_value(1.0) == 3 / 20
        and few.belonging_p_value(90.0) == 10 / 100
        and few.belonging_p_value(8.0) == 92 / 100
    )
    # The fifth lowest of 99 is 4, the lowest of 19 is 0; the tenth highest of 99 is 89, the highest of 9 is 8.
    assert (few.acceptance_threshold, few.refusal_threshold) == (0.0, 89.0)
    assert [few.accepts(score) for score in (-0.1, 0.0)] == [True, False]
    assert [few.refuses(score) for score in (89.0, 89.1)] == [False, True]


SHORT = "{} support a false-{} rate of {}, not {}: that takes {}."
SHORTFALLS = [
    (99, "decoded", 99, {}, ""),
    (99, "decoded", 98, {}, ("98 independent pictures", "positive", "1.0 % on average", "1.0 %", 99)),
    (98, "decoded", 98, {}, ("98 independent pictures", "positive", "1.0 % on average", "1.0 %", 99)),
    (49, "decoded", 99, {}, ("49 belonging pictures", "negative", "2.0 % on average", "1.0 %", 99)),
    (49, "generated", 99, {}, ("49 really generated pictures", "negative", "2.0 % on average", "1.0 %", 99)),
    (4, "decoded", 99, {"fnr": 0.2}, ""),
    (99, "decoded", 4, {"fpr": 0.2}, ""),
    (
        *(99, "decoded", 99, {"guarantee": 0.95}),
        ("99 independent pictures", "positive", "3.0 % with 95 % confidence", "1.0 %", 299),
    ),
    (
        *(9, "generated", 99, {"guarantee": 0.5, "fnr": 0.05}),
        ("9 really generated pictures", "negative", "7.4 % with 50 % confidence", "5.0 %", 14),
    ),
]


@pytest.mark.parametrize(("own", "kind", "others", "fields", "said"), SHORTFALLS)
def test_what_too_few_pictures_cannot_support(own, kind, others, fields, said):
    known = profile((pictures(500, "perturbed"), pictures(own, kind)), (pictures(500), pictures(others)), **fields)
    assert known.shortfall == (said and SHORT.format(*said))


def test_the_source_with_the_fewest_pictures_is_the_one_named():
    # By pictures, not by scores nor by their order.
    versions = Source("generated", tuple(map(float, range(60))), tuple(range(30)) * 2)
    for belonging in ((versions, pictures(49, "decoded")), (pictures(49, "decoded"), versions)):
        assert profile(belonging, OTHERS).shortfall.startswith("30 really generated pictures support a false-negative")


def histories(condition, jpeg, *others):
    sources = tuple(pictures(3, history=history) for history in others)
    return [s.history for s in replace(profile(OWN, sources), condition=condition).like(jpeg).others]


@pytest.mark.parametrize(
    ("jpeg", "kept"),
    [
        (None, ["clean", "jpeg-95", "jpeg-75", "jpeg-30"]),
        (98, ["clean", "jpeg-95"]),
        (97, ["jpeg-95"]),
        (93, ["jpeg-95"]),
        (92, ["jpeg-95", "jpeg-75"]),
        (78, ["jpeg-95", "jpeg-75"]),
        (77, ["jpeg-75"]),
        (75, ["jpeg-75"]),
        (73, ["jpeg-75"]),
        (72, ["jpeg-75", "jpeg-30"]),
        (32, ["jpeg-30"]),
        (27, ["jpeg-30"]),
        (5, ["jpeg-30"]),
    ],
)
def test_the_others_that_a_jpeg_file_is_compared_with(jpeg, kept):
    everything = ("clean", "jpeg-95", "jpeg-75", "jpeg-30")
    assert histories("jpeg-75", jpeg, *everything) == kept
    assert histories("clean", jpeg, *everything) == histories("blur-0.5", jpeg, *everything) == [*everything]


def test_where_nothing_is_rougher_or_milder_the_nearest_counts():
    assert histories("jpeg-75", 50, "clean", "jpeg-75") == ["jpeg-75"]
    assert histories("jpeg-75", 90, "jpeg-75", "jpeg-30") == ["jpeg-75"]
    assert PLAIN.like(75) is PLAIN


def test_pictures_out_of_lossy_files():
    covers = {
        h: profile(OWN, (*OTHERS, pictures(2, history=h))).covers_lossy_files for h in ("clean", "webp-90", "jpeg-30")
    }
    assert covers == {"clean": False, "webp-90": True, "jpeg-30": True}
    # Only those that do not belong.
    assert not profile((*OWN, pictures(2, "perturbed", history="jpeg-30")), OTHERS).covers_lossy_files


CHECKS = [
    (
        ("f" * 16, "s", {"steps": 9}),
        "The profile was calibrated for Prüfling (01234567), not for this decoder (ffffffff): calibrate this one, or"
        " load the profile's own VAE.",
    ),
    (
        ("0123456789abcdef", "t", {"steps": 9}),
        "The profile holds s scores with {'steps': 9}, not t with {'steps': 9}: use its score or calibrate again.",
    ),
    (
        ("0123456789abcdef", "s", {"steps": 8}),
        "The profile holds s scores with {'steps': 9}, not s with {'steps': 8}: use its score or calibrate again.",
    ),
    (
        ("0123456789abcdef", "s", {"steps": 9}, Grid(16, 3)),
        "The profile was calibrated on a grid of 8 pixels from 1 on, this decoder's has 16 from 3 on: calibrate again.",
    ),
]


@pytest.mark.parametrize(("asked", "sentence"), CHECKS)
def test_a_profile_of_something_else(asked, sentence):
    known = replace(PLAIN, grid=Grid(8, 1))
    known.check("0123456789abcdef", "s", {"steps": 9}, Grid(8, 1))
    known.check("0123456789abcdef", "s", {"steps": 9})
    PLAIN.check("0123456789abcdef", "s", {"steps": 9}, Grid(8, 1))
    with pytest.raises(InvalidProfileError) as refused:
        known.check(*asked)
    assert str(refused.value) == sentence
    with pytest.raises(InvalidProfileError, match="^The profile was made with an earlier release, whose weight"):
        replace(PLAIN, fingerprint="0" * 32).check("0" * 32, "s", {"steps": 9})


def test_the_file():
    small = profile((pictures(1, "decoded"),), (pictures(1),), notes=("ü",))
    record = json.loads(small.to_json())
    assert list(record) == ["format", "version", *(f.name for f in dataclasses.fields(Profile))][:-1] + ["digest"]
    assert (record["format"], record["version"]) == ("latent-tracer-profile", 2)
    assert small.to_json().startswith('{\n "format": "latent-tracer-profile",\n "version": 2,\n "fingerprint": "0123')
    assert small.to_json().endswith('"\n}\n') and '"notes": [\n  "\\u00fc"\n ]' in small.to_json()
    # Over the content alone, whatever the order.
    assert record["digest"] == digest_of(dict(reversed(record.items()))) == digest_of(small.content())
    assert digest_of({"b": 1, "a": "ü"}) == "9e638ba662cf35927d64a82a7a37816af709b246653acb28cd8cebbb17fb51aa"
    with pytest.raises(ValueError, match="JSON compliant"):
        profile((Source("decoded", (float("nan"),)),), OTHERS).to_json()
