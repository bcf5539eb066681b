"""Profiles on disk: what comes back is what was written, or a refusal with its reason; never anything between."""

import contextlib
import copy
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import (
    InvalidProfileError,
    InvalidSettingError,
    Profile,
    builtin_profile,
    load_autoencoder,
    load_profile,
    load_profiles,
)
from latent_tracer.core.profiles import (
    MADE_HERE,
    VERSION,
    Grid,
    Limit,
    Limits,
    Source,
    default_profile,
    digest_of,
    parse_profile,
    save_profile,
    save_profiles,
)
from latent_tracer.core.profiles.table import found_among_belonging, source_table
from latent_tracer.core.profiles.trust import EMBEDDED

PROFILE = Profile(
    fingerprint="0123456789abcdef",
    autoencoder="Prüfling",
    score="inversion",
    score_settings={"solver": "adam-paper", "steps": 100},
    condition="clean",
    image_sizes=(64, 512),
    calibrated_on="nine photographs",
    belonging=(Source("decoded", (0.1, 0.25)), Source("perturbed", (1 / 3,), (7,))),
    others=(
        Source("photograph", (1.5, 2.0, 3.75)),
        Source("decoder", (1.25,), (2,), "clean", ("my-vae, jpeg-75",)),
        Source("photograph", (1.75, 2.5), (0, 1), "jpeg-75"),
    ),
    pictures_given=9,
    pictures_counted=8,
    grid=Grid(8, 0),
    fpr=0.05,
    fnr=0.02,
    guarantee=0.95,
    limits=Limits(Limit(9.5, 19, 0.05), None, Limit(0.75, 3)),
    notes=("written for a test",),
)
RECORD = json.loads(PROFILE.to_json())
OWN = (PROFILE.fingerprint, PROFILE.score, dict(PROFILE.score_settings))
SIMPLE = dataclasses.replace(PROFILE, guarantee=None)


def others(*scores):
    return (Source("photograph", tuple(map(float, scores))),)


def own(*scores):
    return (Source("decoded", tuple(map(float, scores))),)


def signed(record):
    """``record`` with a digest that fits its content, as a buggy or hostile writer would leave it."""
    return {**record, "digest": digest_of(record)}


def changed(**fields):
    return signed({**copy.deepcopy(RECORD), **fields})


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_profile_survives_the_disk_unchanged(tmp_path):
    path = tmp_path / "new" / "folder" / "profile.json"
    save_profile(PROFILE, path)
    assert load_profile(path) == load_profile(str(path)) == PROFILE
    save_profile(PROFILE, path)
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]
    load_profile(path).check(*OWN)


@given(
    belonging=st.lists(st.floats(-1e200, 0) | st.integers(-9, 0), min_size=1, max_size=4),
    foreign=st.lists(st.floats(1e-9, 1e200), min_size=1, max_size=4),
    text=st.text(max_size=8),
)
def test_any_scores_and_texts_survive_bit_for_bit(belonging, foreign, text):
    profile = dataclasses.replace(
        PROFILE,
        autoencoder=text,
        belonging=(Source("generated", tuple(belonging)),),
        others=(Source("decoder", tuple(foreign), decoders=(text,) * len(foreign)),),
    )
    assert parse_profile(json.loads(profile.to_json()), "memory") == profile


def test_scores_that_are_no_numbers_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_profile(dataclasses.replace(PROFILE, belonging=own(float("nan"))), tmp_path / "profile.json")
    with pytest.raises(InvalidProfileError, match="The new profile contradicts itself .* cannot tell them apart"):
        save_profile(dataclasses.replace(PROFILE, belonging=own(7)), tmp_path / "profile.json")
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


@pytest.mark.parametrize("version", [VERSION + 2, 99, 0, -1, None, "1", 1.0, True, [1]])
def test_another_version_is_refused_and_named(version):
    with pytest.raises(InvalidProfileError, match="profile version .*update it"):
        parse_profile(changed(version=version), "x.json")


def test_an_edited_profile_is_refused(tmp_path):
    path = tmp_path / "profile.json"
    for old, new in (
        ('"fpr": 0.05', '"fpr": 0.0001'),
        ("1.75", "1.6"),
        ("Pr\\u00fcfling", "Other"),
        ('"condition": "clean"', '"condition": "jpeg-90"'),
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


def at(*path, value):
    """A record in which one place holds ``value``, with a digest that fits."""
    return signed(mutated(RECORD, path, value))


NAN, HUGE = float("nan"), 10**400
HOSTILE = {
    "no scores": at("belonging", 0, "scores", value=[]),
    "no sources": at("others", value=[]),
    "text for a score": at("others", 0, "scores", value=[1.5, "2.0", 3.75]),
    "truth for a score": at("others", 0, "scores", value=[1.5, True, 3.75]),
    "NaN score": at("belonging", 0, "scores", value=[0.1, NAN]),
    "infinite score": at("belonging", 0, "scores", value=[0.1, float("inf")]),
    "score beyond floats": at("belonging", 0, "scores", value=[0.1, HUGE]),
    "fewer pictures than scores": at("others", 0, "pictures", value=[0, 1]),
    "more decoders than scores": at("others", 1, "decoders", value=["a", "b"]),
    "photographs by a decoder": at("others", 0, "decoders", value=["a", "a", "a"]),
    "a decoder's versions by nobody": at("others", 1, "decoders", value=[]),
    "unknown kind": at("others", 0, "kind", value="alien"),
    "kind of the other side": at("others", 0, "kind", value="perturbed"),
    "negative picture": at("others", 0, "pictures", value=[0, 1, -1]),
    "list for a text": at("autoencoder", value=["a"]),
    "endless text": at("calibrated_on", value="x" * 100_000),
    "rate of .999": at("fpr", value=0.999),
    "rate of one half": at("fnr", value=0.5),
    "rate zero": at("fpr", value=0),
    "NaN rate": at("fpr", value=NAN),
    "rate as text": at("fpr", value="0.05"),
    "certain guarantee": at("guarantee", value=1.0),
    "own-grid limit 1e9": at("limits", "own_grid", "value", value=1e9),
    "NaN limit": at("limits", "localisation", "value", value=NAN),
    "infinite limit": at("limits", "localisation", "value", value=float("inf")),
    "negative distance": at("limits", "low_precision", value={"value": -1.0, "n": 20, "rate": None}),
    "limit of nothing": at("limits", "own_grid", "n", value=0),
    "limit as a number": at("limits", "own_grid", value=0.5),
    "further limit": at("limits", "surprise", value=None),
    "sizes the wrong way": at("image_sizes", value=[512, 64]),
    "three sizes": at("image_sizes", value=[64, 64, 64]),
    "size zero": at("image_sizes", value=[0, 64]),
    "grid of no pixels": at("grid", "period", value=0),
    "nested settings": at("score_settings", "steps", value={"a": 1}),
    "NaN setting": at("score_settings", "steps", value=NAN),
    "a number among notes": at("notes", value=[1]),
    "a source as a list": at("others", 0, value=[1, 2]),
    "further field": signed({**RECORD, "surprise": 1}),
    "nested 90 deep": signed({**RECORD, "notes": json.loads("[" * 90 + "]" * 90)}),
}
CONTRADICTING = {
    "swapped score lists": (own(1.5, 2.0), others(0.1, 0.2)),
    "medians alike": (own(1, 2, 3), others(0, 2, 4)),
    "one source below": (own(1, 2, 3), (*others(5, 6), Source("photograph", (0.5, 0.6), history="jpeg-30"))),
    "all others' scores at 10": (own(1, 2, 3), others(*[10] * 20)),
    "all belonging scores alike": (own(*[1] * 20), others(5, 6, 7, 8, 9)),
    "impossibly far apart": (own(1, 1.001), others(1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 4)),
    "two sources alike": (own(1, 2), (*others(5, 6), *others(7, 8))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_profile_is_refused_in_one_sentence(name):
    with pytest.raises(InvalidProfileError) as refused:
        parse_profile(HOSTILE[name], "x.json")
    said = str(refused.value)
    assert said.startswith("x.json ") and said.endswith("calibrate again.") and said.count(". ") == 0
    assert len(said) < 300


@pytest.mark.parametrize("name", CONTRADICTING)
def test_a_profile_that_contradicts_itself_is_refused_and_never_written(name, tmp_path):
    belonging, foreign = CONTRADICTING[name]
    profile = dataclasses.replace(SIMPLE, belonging=belonging, others=foreign)
    with pytest.raises(InvalidProfileError, match=r"^x.json contradicts itself \(.*\): calibrate again.$"):
        parse_profile(json.loads(profile.to_json()), "x.json")
    with pytest.raises(InvalidProfileError, match="contradicts itself"):
        save_profile(profile, tmp_path / "p.json")
    with pytest.raises(InvalidProfileError, match="8 pictures counted of 7 given"):
        parse_profile(changed(pictures_given=7), "x.json")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"fpr": 0.05,', '"fpr": 0.05, "fpr": 0.4,', "the key 'fpr' occurs twice"),
        ('"phase": 0', '"phase": 0, "phase": 0', "the key 'phase' occurs twice"),
        ("3.75", "NaN", "NaN is no JSON number"),
        ("3.75", "-Infinity", "-Infinity is no JSON number"),
    ],
)
def test_json_that_says_two_things_or_none_is_refused(tmp_path, old, new, reason):
    path = tmp_path / "p.json"
    assert PROFILE.to_json().count(old) == 1
    path.write_text(PROFILE.to_json().replace(old, new))
    with pytest.raises(InvalidProfileError, match=f"no readable JSON profile .{reason}"):
        load_profile(path)


def test_a_file_of_absurd_size_is_not_even_parsed(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b" " * (20 * 2**20 + 1))
    with pytest.raises(InvalidProfileError, match="larger than 20 MiB"):
        load_profile(path)
    many = [float(k) for k in range(200_001)]
    with pytest.raises(InvalidProfileError, match="impossible value .*scores|more than 200000 scores"):
        parse_profile(changed(others=[{**RECORD["others"][0], "scores": many, "pictures": list(range(200_001))}]), "x")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


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
    assert 0 < profile.stated_fpr < profile.fpr_bound <= 1 and 0 < profile.stated_fnr < profile.fnr_bound <= 1
    assert source_table(profile)
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


def test_another_grid_than_the_profiles_own_is_refused():
    PROFILE.check(*OWN, Grid(8, 0))
    PROFILE.check(*OWN, None)
    dataclasses.replace(PROFILE, grid=None).check(*OWN, Grid(16, 0))
    with pytest.raises(InvalidProfileError, match="a grid of 8 pixels from 0 on, this decoder's has 16 from 0 on"):
        PROFILE.check(*OWN, Grid(16, 0))


@pytest.mark.parametrize(
    ("n", "asked", "stated"),
    [(4, 0.01, 0.2), (99, 0.01, 0.01), (98, 0.01, 1 / 99), (9, 0.3, 0.3), (150, 0.01, 1 / 151)],
)
def test_few_images_never_support_a_small_rate(n, asked, stated):
    profile = dataclasses.replace(SIMPLE, belonging=own(*range(n)), others=others(*range(n)), fpr=asked, fnr=asked)
    assert profile.stated_fpr == profile.stated_fnr == pytest.approx(stated)
    assert profile.accepts(-1e9) and profile.refuses(1e9)
    assert profile.p_value(-1e9) == profile.belonging_p_value(1e9) == profile.smallest_p_value == 1 / (n + 1)


@pytest.mark.parametrize(("n", "bound"), [(70, 0.0419), (99, 0.0298), (299, 0.0209)])
def test_the_bound_is_the_beta_quantile_of_one_calibration(n, bound):
    profile = dataclasses.replace(SIMPLE, belonging=own(*range(n)), others=others(*range(n)), fpr=0.01, fnr=0.01)
    assert profile.fpr_bound == profile.fnr_bound == pytest.approx(bound, abs=1e-4)


def test_a_score_that_is_no_number_has_no_p_value():
    for score in (float("nan"), float("-inf"), float("inf")):
        with pytest.raises(InvalidSettingError, match="no p-value"):
            PROFILE.p_value(score)
        with pytest.raises(InvalidSettingError, match="no p-value"):
            PROFILE.belonging_p_value(score)


def test_an_easy_source_does_not_excuse_a_hard_one():
    photographs, hard = tuple(map(float, range(100, 200))), tuple(map(float, range(0, 200, 2)))
    both = dataclasses.replace(
        SIMPLE,
        others=(Source("photograph", photographs), Source("decoder", hard, decoders=("another",) * 100)),
        fpr=0.02,
    )
    # Five of the other decoder's hundred images score this low, though only 2.5 % of all images do.
    assert both.p_value(9) == pytest.approx(6 / 101)
    assert both.stated_fpr == pytest.approx(2 / 101)
    assert [both.accepts(score) for score in (1.9, 2.0, 9)] == [True, False, False]


# --- the table of sources ---------------------------------------------------------------------------------------------


def test_every_source_is_judged_without_the_picture_in_question():
    known = dataclasses.replace(SIMPLE, belonging=own(*range(20)), others=others(*range(100, 120)), fpr=0.05, fnr=0.05)
    mine, photographs = source_table(known)
    # The highest belonging picture is above all others of them, the lowest photograph below all others of its kind but
    # far from any belonging one.
    assert (mine.belongs, mine.n, mine.accepted, mine.stated) == (True, 20, 19, None)
    assert (photographs.belongs, photographs.n, photographs.accepted) == (False, 20, 0)
    assert photographs.stated == pytest.approx(1 / 21) and photographs.interval[0] == 0 < photographs.interval[1] < 0.2
    assert found_among_belonging(known).accepted == 19
    assert photographs.cells[0] == "photographs, clean" and photographs.cells[1:3] == ("20", "4.8 %")


def test_a_left_out_decoder_that_looks_like_the_own_one_shows_in_the_table():
    twin = Source("decoder", tuple(k + 0.5 for k in range(20)), decoders=("twin",) * 20)
    known = dataclasses.replace(
        SIMPLE, belonging=own(*range(20)), others=(*others(*range(100, 120)), twin), fpr=0.05, fnr=0.05
    )
    rows = {row.source: row for row in source_table(known)}
    # Known, nothing but the score below all of its others passes; unknown, all but the highest would.
    assert rows["decoded by twin, clean"].accepted <= 1
    assert rows["twin, left out"].accepted >= 18 and rows["twin, left out"].stated == known.stated_fpr
    assert rows["own: decoded, clean"].accepted <= 1


def test_a_decoder_is_a_decoder_whatever_its_name():
    named = dataclasses.replace(SIMPLE, others=(Source("decoder", (5.0, 6.0), decoders=("my-vae, jpeg-75",) * 2),))
    assert not named.covers_lossy_files
    assert named.like(75) is named
    again = parse_profile(json.loads(named.to_json()), "memory")
    assert again.others[0].kind == "decoder" and again.others[0].history == "clean"


# --- formats of the past ----------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "profiles"


def test_a_profile_of_format_1_is_read_as_far_as_it_tells():
    old = load_profile(GOLDEN / "format-1.json")
    assert (old.autoencoder, old.fingerprint[:8], old.condition) == ("demo-a", "9aa302d8", "clean")
    assert [(s.kind, s.history, set(s.decoders), len(s.scores)) for s in old.others] == [
        ("photograph", "clean", set(), 70),
        ("decoder", "clean", {"demo-b"}, 70),
        ("photograph", "jpeg-75", set(), 70),
        ("photograph", "jpeg-30", set(), 70),
    ]
    # Two versions of each of seventy photographs stood behind 140 belonging scores: the seventy highest count.
    (mine,) = old.belonging
    assert len(mine.scores) == 140 and list(mine.highest) == sorted(mine.scores)[70:]
    assert old.stated_fnr == old.stated_fpr == pytest.approx(1 / 71)
    assert old.limits.own_grid == Limit(0.7668160885137829, 140)
    assert old.limits.localisation == Limit(26.296363830566406, 70, 0.05)
    assert (old.grid, old.pictures_given, old.guarantee) == (None, None, None)
    assert "format 1 does not tell" in old.notes[-1]
    assert old.p_value(-1) == pytest.approx(1 / 71) and old.belonging_p_value(0.5) == pytest.approx(1 / 71)
    # What it cannot say it does not say when it is written again.
    assert parse_profile(json.loads(old.to_json()), "again") == old


def test_roles_of_format_1_come_from_the_labels_it_wrote_and_from_no_decoders_name():
    record = json.loads((GOLDEN / "format-1.json").read_text())
    record["non_belonging_sources"] = [
        {"decoded by demo-b": "decoded by my-vae, jpeg-75"}.get(label, label)
        for label in record["non_belonging_sources"]
    ]
    named = parse_profile(signed(record), "x.json").others[1]
    assert (named.kind, named.history, set(named.decoders)) == ("decoder", "clean", {"my-vae, jpeg-75"})
    record["non_belonging_sources"] = ["mystery"] * 280
    assert parse_profile(signed(record), "x.json").others[0].kind == "other"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("swapped", lambda r: r.update(belonging_scores=r["non_belonging_scores"][:140])),
        ("labels", lambda r: r.update(non_belonging_sources=["photograph"])),
        ("rate", lambda r: r.update(fpr=0.999)),
        ("limit", lambda r: r["thresholds"]["own-grid"].update(value=1e9)),
        ("limit", lambda r: r["thresholds"].update({"low-precision": {"value": "0.1", "n": 20}})),
        ("field", lambda r: r.update(surprise=1)),
    ],
)
def test_hostile_profiles_of_format_1_are_refused_too(name, change):
    record = json.loads((GOLDEN / "format-1.json").read_text())
    change(record)
    with pytest.raises(InvalidProfileError, match="^x.json .*calibrate again.$"):
        parse_profile(signed(record), "x.json")


def test_format_2_is_read_and_written_byte_for_byte():
    text = (GOLDEN / "format-2.json").read_text(encoding="utf-8")
    assert load_profile(GOLDEN / "format-2.json") == PROFILE
    assert PROFILE.to_json() == text


def test_format_3_is_read_and_written_byte_for_byte(tmp_path):
    both = (PROFILE, dataclasses.replace(PROFILE, condition="jpeg-90"))
    assert load_profiles(GOLDEN / "format-3.json") == both
    save_profiles(both, tmp_path / "p.json")
    assert (tmp_path / "p.json").read_bytes() == (GOLDEN / "format-3.json").read_bytes()


# --- whose calibration it is ------------------------------------------------------------------------------------------


def test_a_profile_is_made_here_only_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "one"))
    path = tmp_path / "p.json"
    save_profile(dataclasses.replace(PROFILE, calibration=MADE_HERE), path)
    assert load_profile(path).calibration == "made on this machine"
    # The same file elsewhere, and another's scores here.
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "two"))
    assert load_profile(path).calibration == "handed over"
    save_profile(load_profile(path), path)
    assert load_profile(path).calibration == "handed over" and not (tmp_path / "two").exists()
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "one"))
    save_profile(dataclasses.replace(PROFILE, calibrated_on="a rumour"), tmp_path / "q.json")
    assert load_profile(tmp_path / "q.json").calibration == "handed over"
    assert load_profile(path).calibration == "made on this machine"
    ledger = (tmp_path / "one" / "profiles-made-here.txt").read_text()
    save_profile(load_profile(path), path)
    assert (tmp_path / "one" / "profiles-made-here.txt").read_text() == ledger and ledger.count("\n") == 1


def test_a_state_folder_that_cannot_be_written_makes_profiles_handed_over_and_fails_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "file"))
    save_profile(dataclasses.replace(PROFILE, calibration=MADE_HERE), tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").calibration == "handed over"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "profiles-made-here.txt").write_bytes(b"\xff\x00" * 50)
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "home"))
    assert load_profile(tmp_path / "p.json").calibration == "handed over"


def test_what_ships_is_known_by_content_not_by_place(tmp_path):
    shipped = builtin_profile(load_autoencoder("demo-a").fingerprint)
    assert shipped.calibration == default_profile().calibration == "shipped"
    save_profile(shipped, tmp_path / "copy.json")
    assert load_profile(tmp_path / "copy.json").calibration == "shipped"
    save_profile(dataclasses.replace(shipped, fpr=0.02), tmp_path / "changed.json")
    assert load_profile(tmp_path / "changed.json").calibration == "handed over"


@pytest.mark.parametrize("name", ["default", "demo-a", "demo-b", "taesd", "taesdxl", "taesd3", "taef1", "taef2"])
def test_every_profile_that_ships_counts_its_pictures_and_finds_its_own(name):
    shipped = load_profile(EMBEDDED / ("default.json" if name == "default" else f"{name}.profile.json"))
    assert shipped.calibration == "shipped" and shipped.guarantee is None
    assert 67 <= shipped.pictures_counted < shipped.pictures_given <= 72
    assert len(shipped.others[0].lowest) == shipped.pictures_counted
    assert shipped.stated_fpr == pytest.approx(1 / (shipped.pictures_counted + 1))
    assert {source.kind for source in shipped.others} == {"photograph", "decoder"}
    if name != "default":
        assert shipped.grid is not None and shipped.limits.localisation is not None
        # Each version of a picture has to be found, without knowing the picture: taef1 finds 65 of 69.
        assert found_among_belonging(shipped).accepted >= 0.94 * shipped.pictures_counted
