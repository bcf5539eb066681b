"""What a profile file may hold, at the bounds of every field, in both formats; and what is said of any other."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from latent_tracer.core.errors import InvalidProfileError
from latent_tracer.core.profiles import (
    MADE_HERE,
    Grid,
    Limit,
    Limits,
    Profile,
    Source,
    digest_of,
    load_profile,
    parse_profile,
    save_profile,
)

FULL = Profile(
    *("0123456789abcdef", "Prüfling", "inversion", {"steps": 9}, "blur-0.5", (1, 1), "nine photographs"),
    belonging=(Source("decoded", (0.1, 0.25)), Source("generated", (0.2,))),
    others=(
        Source("photograph", (1.5, 2.0), (0, 10**12), "jpeg-75"),
        Source("decoder", (1.25,), (2,), "clean", ("my-vae, jpeg-75",), "u"),
        Source("generated", (1.75, 2.5), (0, 1), "clean", ("a", "b")),
        Source("other", (3.0,)),
    ),
    pictures_given=9,
    pictures_counted=8,
    grid=Grid(1, 0),
    guarantee=0.5,
    limits=Limits(Limit(1000.0, 1, 1e-9), Limit(0.5, 10**9, 1.0), Limit(10.5, 3)),
    notes=("n",),
)
BARE = replace(
    FULL, pictures_given=None, pictures_counted=None, grid=None, guarantee=None, limits=Limits(), notes=(),
    belonging=FULL.belonging[:1], others=FULL.others[:1],
)  # fmt: skip
OLD = {
    "fingerprint": "0123456789abcdef",
    "autoencoder": "Prüfling",
    "score": "inversion",
    "score_settings": {"steps": 9},
    "quantiser": "auto",
    "decode_path": "pillow",
    "condition": "blur-0.5",
    "image_sizes": [1, 1],
    "calibrated_on": "x",
    "belonging_scores": [0.1, 0.3, 0.2, 0.4, 0.25],
    "non_belonging_scores": [1.0, 2.0, 3.0],
    "non_belonging_sources": ["photograph", "decoded by b", "photograph"],
    "fpr": 0.05,
    "fnr": 0.02,
    "thresholds": {
        "kde": {"anything": None},
        "localisation": {"value": 1000.0, "n": 1, "alpha": 1e-9, "rule": "quantile"},
        "low-precision": {"value": 0.5, "n": 10**9, "alpha": 1.0},
        "own-grid": {"value": 10.5, "n": 3},
    },
    "error_rates": {},
    "notes": ["n"],
}


def record(profile=FULL):
    return json.loads(profile.to_json())


def old_record(**changes):
    return {"format": "latent-tracer-profile", "version": 1, **copy.deepcopy(OLD), **changes}


def signed(content):
    return {**content, "digest": digest_of(content)}


def at(path, value, whole=None):
    """The record in which one place, such as ``limits.own_grid.n``, holds ``value``; its digest fits."""
    whole = record() if whole is None else copy.deepcopy(whole)
    holder = whole
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    for step in steps:
        holder = holder[step]
    holder[last] = value
    return signed(whole)


def refusal(read, *arguments):
    with pytest.raises(InvalidProfileError) as refused:
        read(*arguments)
    return str(refused.value)


# --- format 2 ---


@pytest.mark.parametrize("written", [FULL, BARE], ids=["full", "bare"])
def test_what_is_written_is_read(written):
    assert parse_profile(record(written), "x") == written


RIGHT = [
    *(("grid.period", value) for value in (1, 4096)),
    *(("grid.phase", value) for value in (0, 4095)),
    *(("guarantee", value) for value in (0.5, 0.9999, None)),
    *(("limits.own_grid.value", value) for value in (0.0, 0.5, 10.5)),
    *(("limits.own_grid.n", value) for value in (1, 10**9)),
    *(("limits.own_grid.rate", value) for value in (1e-9, 1.0, None)),
    *((f"limits.{name}", None) for name in ("localisation", "low_precision", "own_grid")),
    *((f"pictures_{name}", None) for name in ("given", "counted")),
    *(("image_sizes", value) for value in ([1, 1], [1, 2])),
]


@pytest.mark.parametrize(("path", "value"), RIGHT)
def test_a_value_at_its_bounds_is_read(path, value):
    changed = at(path, value)
    assert record(parse_profile(changed, "x")) == changed


WRONG = [
    *(("grid.period", value) for value in (0, 4097)),
    *(("grid.phase", value) for value in (-1, 4096)),
    *(("guarantee", value) for value in (0.49, 0.99991, 1.0)),
    *(("limits.own_grid.value", value) for value in (-0.1, 10.6)),
    *(("limits.own_grid.n", value) for value in (0, 10**9 + 1)),
    *(("limits.own_grid.rate", value) for value in (5e-10, 1.1)),
    *(("image_sizes", value) for value in ([0, 5], [2, 1], [64, 64, 64], [64])),
    *((f"image_sizes.{place}", "64") for place in (0, 1)),
    *(("others.0.kind", value) for value in ("perturbed", "XXphotographXX")),
    *(("belonging.0.kind", value) for value in ("photograph", "other")),
    *(("others.0.decoders", ["a", "a"]), ("belonging.1.decoders", ["a"])),
    *((f"others.{place}.decoders", []) for place in (1, 2)),
    *((name, value) for name in ("fpr", "fnr") for value in (0, 0.5)),
    *((name, None) for name in ("notes", "limits", "belonging", "others", "score_settings", "fingerprint")),
    *((name, None) for name in ("autoencoder", "score", "condition", "calibrated_on")),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_value_beyond_its_bounds_is_named(path, value):
    named = path.removesuffix(".0").removesuffix(".1") if path.startswith("image_sizes") else path
    for number in range(4):
        named = named.replace(f".{number}.", f"[{number}].")
    sentence = f"x holds a missing or impossible value ({named}): calibrate again."
    assert refusal(parse_profile, at(path, value), "x") == sentence


@pytest.mark.parametrize("place", ["", "grid", "limits", "limits.own_grid", "others.0"])
def test_fields_that_lack_or_are_added_are_named(place):
    start, named = place and f"{place}.", place and f"{place.replace('.0', '[0]')}."
    added = refusal(parse_profile, at(f"{start}surprise", 1), "x")
    assert added == f"x lacks or adds fields ({named}surprise): calibrate again."


@pytest.mark.parametrize(("name", "value"), [("pictures", [0]), ("decoders", ["a", "b", "c"]), ("pictures", [0, 1, 2])])
def test_every_score_has_its_picture_and_decoder(name, value):
    assert refusal(parse_profile, at(f"others.2.{name}", value), "x") == (
        "x does not name the picture and decoder of every score in others[2]: calibrate again."
    )


def test_what_is_no_profile_of_this_release():
    for other in (None, [], [record()], {}, {**record(), "format": "other"}, "latent-tracer-profile"):
        assert refusal(parse_profile, other, "x") == (
            "x is not a Latent Tracer profile: choose a file that calibrate wrote."
        )
    for version, shown in (
        (0, "0"),
        (4, "4"),
        (10**30, "1" + "0" * 19 + "…"),
        (1.0, "1.0"),
        (True, "True"),
        (None, "None"),
    ):
        assert refusal(parse_profile, at("version", version), "x") == (
            f"x has profile version {shown}, this release reads 1 to 3: update it, or calibrate again."
        )
    assert refusal(parse_profile, {**record(), "digest": "0" * 64}, "x") == (
        "x was changed or damaged after it was written: calibrate again."
    )
    swapped = replace(BARE, belonging=(Source("decoded", (7.0, 8.0)),))
    assert refusal(parse_profile, record(swapped), "x").startswith("x contradicts itself (belonging pictures (median")


def test_a_profile_is_nested_six_deep_at_most():
    # The list of notes lies one deep itself.
    nested = json.loads("[" * 5 + "]" * 5)
    assert "impossible value (notes)" in refusal(parse_profile, at("notes", nested), "x")
    assert refusal(parse_profile, at("notes", [nested]), "x") == "x is nested deeper than any profile: calibrate again."
    assert "deeper" in refusal(parse_profile, at("score_settings", {"a": {"b": [[[{}]]]}}), "x")


def test_a_profile_holds_so_many_scores_at_most():
    scores = [float(k) for k in range(1, 100_001)]
    whole = record(BARE)
    whole["others"] = [
        {
            **whole["others"][0],
            "scores": scores[: len(scores) - less],
            "pictures": [0] * (len(scores) - less),
            "history": h,
        }
        for less, h in ((0, "clean"), (2, "jpeg-75"))
    ]
    assert len(parse_profile(signed(whole), "x").non_belonging_scores) == 200_000 - 2
    whole["belonging"][0]["scores"].append(0.3)
    whole["belonging"][0]["pictures"].append(2)
    assert refusal(parse_profile, signed(whole), "x") == "x holds more than 200000 scores: calibrate again."


# --- files ---


def test_a_file_of_twenty_mebibytes_is_read_and_a_larger_one_is_not(tmp_path):
    path = tmp_path / "p.json"
    text = FULL.to_json()
    path.write_text(text + " " * (20 * 2**20 - len(text)))
    assert path.stat().st_size == 20 * 2**20 and load_profile(path) == FULL
    with path.open("a") as file:
        file.write(" ")
    assert refusal(load_profile, path) == f"{path} is larger than 20 MiB: it is no profile."
    assert refusal(load_profile, tmp_path / "q") == f"There is no profile at {tmp_path / 'q'}: calibrate first."
    path.write_text("no")
    assert refusal(load_profile, str(path)).startswith(f"{path} is no readable JSON profile (Expecting value")


def test_a_key_that_occurs_twice_is_named(tmp_path):
    path = tmp_path / "p.json"
    for key in ("fpr", "k" * 60):
        path.write_text(FULL.to_json().replace('"fpr": 0.01', f'"fpr": 0.01, "{key}": 1, "{key}": 2'))
        assert refusal(load_profile, path) == (
            f"{path} is no readable JSON profile (the key '{key[:50]}' occurs twice): calibrate again."
        )
    path.write_text(FULL.to_json().replace("1.25", "NaN"))
    assert refusal(load_profile, path).endswith("profile (NaN is no JSON number): calibrate again.")


def test_only_what_was_made_here_is_remembered_when_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "home"))
    save_profile(FULL, tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").calibration == "handed over" and not (tmp_path / "home").exists()
    save_profile(replace(FULL, calibration=MADE_HERE), tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").calibration == "made on this machine"
    swapped = replace(BARE, belonging=(Source("decoded", (7.0, 8.0)),))
    assert refusal(save_profile, swapped, tmp_path / "q.json").startswith("The new profile contradicts itself (")
    assert refusal(save_profile, FULL, tmp_path / "p.json" / "q.json").endswith("choose another folder.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "p.json"]


# --- format 1 ---


def test_a_profile_of_format_1_as_far_as_it_tells():
    assert parse_profile(signed(old_record()), "x") == Profile(
        *("0123456789abcdef", "Prüfling", "inversion", {"steps": 9}, "blur-0.5", (1, 1), "x"),
        # The three highest are taken for different pictures, whatever their order.
        belonging=(Source("decoded", (0.1, 0.3, 0.2, 0.4, 0.25), (1, 1, 0, 0, 2), "blur-0.5"),),
        others=(
            Source("photograph", (1.0, 3.0), (), "blur-0.5"),
            Source("decoder", (2.0,), (), "blur-0.5", ("b",)),
        ),
        fpr=0.05,
        fnr=0.02,
        limits=Limits(Limit(1000.0, 1, 1e-9), Limit(0.5, 10**9, 1.0), Limit(10.5, 3)),
        notes=(
            "n",
            "its format 1 does not tell which scores show the same picture, nor the decoder's grid: every belonging"
            " picture is taken to stand there twice, in the way that counts most against an answer; calibrate again for"
            " exact rates",
        ),
    )


def test_images_of_a_generator_were_drawn_one_by_one():
    drawn = parse_profile(signed(old_record(score_settings={"starts": 3})), "x")
    assert drawn.belonging[0].pictures == (4, 1, 3, 0, 2)


@pytest.mark.parametrize(
    ("label", "source"),
    [
        ("photograph", ("photograph", "blur-0.5", (), "")),
        ("picture", ("photograph", "blur-0.5", (), "")),
        ("photograph, jpeg-75", ("photograph", "jpeg-75", (), "")),
        ("picture, jpeg-30 under taesd", ("photograph", "jpeg-30", (), "taesd")),
        ("another decoder", ("decoder", "blur-0.5", ("another decoder",) * 3, "")),
        ("another decoder under taesd", ("decoder", "blur-0.5", ("another decoder",) * 3, "taesd")),
        ("decoded by my-vae, jpeg-75", ("decoder", "blur-0.5", ("my-vae, jpeg-75",) * 3, "")),
        ("generated by a under b", ("generated", "blur-0.5", ("a under b",) * 3, "")),
        ("photograph, of nothing", ("other", "blur-0.5", ("photograph, of nothing",) * 3, "")),
        ("mystery", ("other", "blur-0.5", ("mystery",) * 3, "")),
        ("mystery, jpeg-75", ("other", "blur-0.5", ("mystery, jpeg-75",) * 3, "")),
    ],
)
def test_the_roles_that_format_1_gave_by_labels(label, source):
    (read,) = parse_profile(signed(old_record(non_belonging_sources=[label] * 3)), "x").others
    assert (read.kind, read.history, read.decoders, read.under) == source
    assert (read.scores, read.pictures) == ((1.0, 2.0, 3.0), (0, 1, 2))


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_limit_of_format_1_at_its_bounds(value):
    assert parse_profile(at("thresholds.own-grid.value", value, old_record()), "x").limits.own_grid == Limit(value, 3)
    assert parse_profile(signed(old_record(thresholds={})), "x").limits == Limits()


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("thresholds.own-grid.value", 10.6, "thresholds.own-grid.value"),
        ("thresholds.own-grid.value", -0.1, "thresholds.own-grid.value"),
        ("thresholds.own-grid.n", 0, "thresholds.own-grid.n"),
        ("thresholds.own-grid.n", 10**9 + 1, "thresholds.own-grid.n"),
        ("thresholds.localisation.alpha", 5e-10, "thresholds.localisation.alpha"),
        ("thresholds.localisation.alpha", 1.1, "thresholds.localisation.alpha"),
        ("thresholds.own-grid", {"value": 0.5}, "thresholds.own_grid"),
        ("thresholds.own-grid", {"n": 5, "rule": "x"}, "thresholds.own_grid"),
        ("thresholds.own-grid", 3, "thresholds.own-grid"),
        ("thresholds", [], "thresholds"),
        ("error_rates", None, "error_rates"),
        ("image_sizes", [0, 5], "image_sizes"),
        ("belonging_scores", [], "belonging_scores"),
        ("non_belonging_scores", [None], "non_belonging_scores"),
        ("non_belonging_sources", [1, 2, 3], "non_belonging_sources"),
    ],
)
def test_an_impossible_value_in_format_1_is_named(path, value, named):
    sentence = f"x holds a missing or impossible value ({named}): calibrate again."
    assert refusal(parse_profile, at(path, value, old_record()), "x") == sentence


def test_labels_of_format_1_that_do_not_fit_its_scores():
    for labels in (["photograph"] * 2, ["photograph"] * 4):
        assert refusal(parse_profile, at("non_belonging_sources", labels, old_record()), "x") == (
            "x does not name the source of every score (non_belonging_sources): calibrate again."
        )
    assert refusal(parse_profile, signed(old_record(surprise=1)), "x") == (
        "x lacks or adds fields (surprise): calibrate again."
    )


def test_what_format_1_labels_in_no_known_way_can_be_written_and_read_again(tmp_path):
    labels = ["photograph", "of my own", "of theirs"]
    old = parse_profile(signed(old_record(non_belonging_sources=labels)), "here")
    assert [source.kind for source in old.others] == ["photograph", "other", "other"]
    save_profile(old, tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").others == old.others
