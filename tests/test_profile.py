"""Profiles on disk: what comes back is what was written, or a refusal with its reason; never anything between."""

import contextlib
import copy
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import InvalidProfileError, InvalidSettingError, Profile, load_profile
from latent_tracer.core.profile import VERSION, _digest, measured_error_rates, parse_profile

PROFILE = Profile(
    fingerprint="0123456789abcdef",
    autoencoder="Prüfling",
    score="inversion",
    score_settings={"solver": "adam-paper", "steps": 100},
    quantiser="auto",
    decode_path="pillow",
    condition="clean",
    image_sizes=(64, 512),
    calibrated_on="nine photographs",
    belonging_scores=(0.1, 0.25, 1 / 3),
    non_belonging_scores=(1.5, 2.0, 1e-300, 3.75),
    non_belonging_sources=("photograph", "photograph", "decoded by other", "photograph"),
    fpr=0.05,
    fnr=0.02,
    thresholds={"kde": {"value": 0.5}},
    error_rates={"true_positive_rate": 1.0},
    notes=("written for a test",),
)
RECORD = json.loads(PROFILE.to_json())
OWN = (PROFILE.fingerprint, PROFILE.score, dict(PROFILE.score_settings))


def signed(record):
    """``record`` with a digest that fits its content, as a buggy or hostile writer would leave it."""
    content = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
    return {**record, "digest": _digest(content)}


def changed(**fields):
    return signed({**copy.deepcopy(RECORD), **fields})


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_profile_survives_the_disk_unchanged(tmp_path):
    path = tmp_path / "new" / "folder" / "profile.json"
    PROFILE.save(path)
    assert load_profile(path) == load_profile(str(path)) == PROFILE
    PROFILE.save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]
    load_profile(path).check(*OWN)


@given(
    belonging=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9), min_size=1, max_size=5),
    others=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    text=st.text(max_size=8),
)
def test_any_scores_and_texts_survive_bit_for_bit(belonging, others, text):
    profile = dataclasses.replace(
        PROFILE,
        autoencoder=text,
        belonging_scores=tuple(belonging),
        non_belonging_scores=tuple(others),
        non_belonging_sources=(text,) * len(others),
    )
    assert parse_profile(json.loads(profile.to_json()), "memory") == profile


def test_scores_that_are_no_numbers_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        dataclasses.replace(PROFILE, belonging_scores=(float("nan"),)).save(tmp_path / "profile.json")
    assert list(tmp_path.iterdir()) == []


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(InvalidProfileError, match="There is no profile at .*missing.json: calibrate first"):
        load_profile(tmp_path / "missing.json")
    with pytest.raises(InvalidProfileError, match="no readable JSON profile"):
        load_profile(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, -3])
def test_a_truncated_profile_is_refused(tmp_path, kept):
    text = PROFILE.to_json()
    path = tmp_path / "profile.json"
    path.write_text(text[: int(kept * len(text)) if isinstance(kept, float) else kept])
    with pytest.raises(InvalidProfileError, match="no readable JSON profile"):
        load_profile(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not a profile",
        b"\x89PNG\r\n\x1a\n\xff\xfe",
        b"[" * 100_000,
        b'{"format": ' + b"9" * 5000 + b"}",
        b'{"a": 1',
    ],
)
def test_a_file_that_is_no_json_is_refused(tmp_path, content):
    path = tmp_path / "profile.json"
    path.write_bytes(content)
    with pytest.raises(InvalidProfileError, match="no readable JSON profile"):
        load_profile(path)


@pytest.mark.parametrize("record", [None, 3, "profile", [], [RECORD], {}, {"format": "other"}, {"3": {"inputs": {}}}])
def test_other_json_is_no_profile(record):
    with pytest.raises(InvalidProfileError, match="is not a Latent Tracer profile"):
        parse_profile(record, "x.json")


@pytest.mark.parametrize("version", [VERSION + 1, 99, 0, -1, None, "1", 1.0, True, [1]])
def test_another_version_is_refused_and_named(version):
    with pytest.raises(InvalidProfileError, match="profile version .*update it"):
        parse_profile(changed(version=version), "x.json")


def test_an_edited_profile_is_refused(tmp_path):
    path = tmp_path / "profile.json"
    for old, new in (
        ('"fpr": 0.05', '"fpr": 0.0001'),
        ("1.5", "1.6"),
        ("Pr\\u00fcfling", "Other"),
        ("clean", "jpeg-90"),
    ):
        text = PROFILE.to_json()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        with pytest.raises(InvalidProfileError, match="changed or damaged"):
            load_profile(path)


def test_reformatting_is_no_edit(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(dict(reversed(RECORD.items())), indent=4, ensure_ascii=False), encoding="utf-8")
    assert load_profile(path) == PROFILE


def test_missing_and_added_fields_are_named():
    lacking = {key: value for key, value in RECORD.items() if key != "condition"}
    with pytest.raises(InvalidProfileError, match=r"\(condition\)"):
        parse_profile(signed(lacking), "x.json")
    with pytest.raises(InvalidProfileError, match=r"\(surprise\)"):
        parse_profile(changed(surprise=1), "x.json")
    with pytest.raises(InvalidProfileError, match="changed or damaged"):
        parse_profile({key: value for key, value in RECORD.items() if key != "digest"}, "x.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("belonging_scores", bad) for bad in ([], None, 0.5, {"0": 0.5}, "12", ["0.1"], [True], [None], [[0.1]])),
        *(("belonging_scores", [0.1, bad]) for bad in (float("nan"), float("inf"), 10**400)),
        *(("non_belonging_scores", bad) for bad in ([], {}, ["a"] * 4, [1.5, 2.0, float("nan"), 3.0])),
        *(("non_belonging_sources", bad) for bad in ([], ["photograph"], "four", [1, 2, 3, 4], None)),
        *(("image_sizes", bad) for bad in ([], [64], [64, 512, 3], [512, 64], [0, 64], ["64", "512"], {}, 64)),
        *(("fpr", bad) for bad in (0, 1, 1.5, -0.1, "0.05", None, True, float("nan"), [0.05])),
        *(("fnr", bad) for bad in (0, 1, {}, float("inf"))),
        *((text, bad) for text in ("fingerprint", "score", "condition", "autoencoder") for bad in (None, 3, [], {})),
        *(("score_settings", bad) for bad in (None, [], "steps", 3)),
        *(("notes", bad) for bad in (None, "text", [1], {"a": "b"})),
        *(("thresholds", bad) for bad in (None, [], 0.5)),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_even_where_the_digest_fits(field, value):
    with pytest.raises(
        InvalidProfileError, match="non_belonging_sources|source of every" if "sources" in field else field
    ):
        parse_profile(changed(**{field: value}), "x.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


def mutated(record, path, value):
    if not path:
        return value
    record = copy.deepcopy(record)
    holder = record
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return record


@given(path=st.sampled_from(list(places(RECORD))), value=json_values)
def test_any_change_of_a_profile_is_refused_or_no_change(path, value):
    try:
        profile = parse_profile(mutated(RECORD, path, value), "x.json")
    except InvalidProfileError as error:
        assert "x.json" in str(error)
    else:
        assert profile == PROFILE


@given(path=st.sampled_from([place for place in places(RECORD) if place]), value=json_values)
def test_a_change_with_a_fitting_digest_is_refused_or_gives_a_usable_profile(path, value):
    record = mutated(RECORD, path, value)
    try:
        profile = parse_profile(record if path == ("digest",) else signed(record), "x.json")
    except InvalidProfileError:
        return
    assert 0 < profile.p_value(0.2) <= 1 and 0 < profile.belonging_p_value(0.2) <= 1
    assert 0 < profile.stated_fpr < 1 and 0 < profile.stated_fnr < 1
    assert parse_profile(json.loads(profile.to_json()), "again") == profile


@given(st.data())
def test_any_damaged_byte_is_refused_or_harmless(tmp_path_factory, data):
    content = bytearray(PROFILE.to_json().encode())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(bytes(content))
    with contextlib.suppress(InvalidProfileError):
        assert load_profile(path) == PROFILE


# --- what a profile may be used for -----------------------------------------------------------------------------------


def test_a_profile_serves_its_own_decoder_score_and_settings_only():
    PROFILE.check(*OWN)
    fingerprint, score, settings = OWN
    with pytest.raises(
        InvalidProfileError, match=r"calibrated for Prüfling \(01234567\), not for this decoder \(ffff\)"
    ):
        PROFILE.check("ffff", score, settings)
    with pytest.raises(InvalidProfileError, match="holds inversion scores.*not spectral-ratio"):
        PROFILE.check(fingerprint, "spectral-ratio", settings)
    for other in ({}, {**settings, "steps": 99}, {**settings, "more": 1}):
        with pytest.raises(InvalidProfileError, match="holds inversion scores with"):
            PROFILE.check(fingerprint, score, other)


@pytest.mark.parametrize(
    ("n", "asked", "stated"), [(4, 0.01, 0.2), (99, 0.01, 0.01), (98, 0.01, 1 / 99), (9, 0.3, 0.3)]
)
def test_few_images_never_support_a_small_rate(n, asked, stated):
    scores = tuple(float(number) for number in range(n))
    profile = dataclasses.replace(
        PROFILE,
        belonging_scores=scores,
        non_belonging_scores=scores,
        non_belonging_sources=("photograph",) * n,
        fpr=asked,
        fnr=asked,
    )
    assert profile.stated_fpr == profile.stated_fnr == stated
    assert profile.p_value(-1e9) <= profile.stated_fpr
    assert profile.p_value(-1e9) == profile.belonging_p_value(1e9) == 1 / (n + 1)


def test_a_score_that_is_no_number_has_no_p_value():
    for score in (float("nan"), float("-inf"), float("inf")):
        with pytest.raises(InvalidSettingError, match="no p-value"):
            PROFILE.p_value(score)
        with pytest.raises(InvalidSettingError, match="no p-value"):
            PROFILE.belonging_p_value(score)


def test_measured_rates_count_accepted_belonging_images_with_their_interval():
    profile = dataclasses.replace(
        PROFILE,
        non_belonging_scores=tuple(range(1, 20)),
        non_belonging_sources=("photograph",) * 19,
        belonging_scores=(0.0, 0.5, 1.0, 2.0),
        fpr=0.05,
    )
    rates = measured_error_rates(profile)
    assert (rates["true_positive_rate"], rates["n"]) == (0.5, 4)
    low, high = rates["interval_95"]
    assert 0 < low < 0.5 < high < 1


def test_an_easy_source_does_not_excuse_a_hard_one():
    photographs, other_decoder = tuple(range(100, 200)), tuple(range(0, 200, 2))
    both = dataclasses.replace(
        PROFILE,
        non_belonging_scores=photographs + other_decoder,
        non_belonging_sources=("photograph",) * 100 + ("decoded by another",) * 100,
        fpr=0.01,
    )
    # Five of the other decoder's hundred images score this low, though only 2.5 % of all images do.
    assert both.p_value(9) == pytest.approx(6 / 101)
    assert both.stated_fpr == pytest.approx(0.01)
