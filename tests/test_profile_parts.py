"""The parts a profile is made of, at the values where each changes: fields, sources, limits, contradictions, the table.

What a whole file may hold is in ``test_profile_files.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from latent_tracer.core.profiles import Limit, Limits, Profile, Source, measured_limit
from latent_tracer.core.profiles.consistency import contradiction
from latent_tracer.core.profiles.fields import Fields, Wrong
from latent_tracer.core.profiles.limits import LARGEST
from latent_tracer.core.profiles.source import BELONGING_KINDS, OTHER_KINDS
from latent_tracer.core.profiles.table import HEADINGS, SourceRow, found_among_belonging, source_table

NAN, LONG = float("nan"), "x" * 2000
ABOVE = math.nextafter(1e300, math.inf)

# --- fields ---

READ = {
    "text": ((), ["", LONG], [LONG + "x", 3, None, ["a"]]),
    "number": ((-2, 3), [-2, 3, 0.5], [-2.1, 3.1, True, "1", NAN, None, 10**400, -(10**400)]),
    "whole": ((-2, 3), [-2, 3], [-3, 4, 1.0, True, None, "1"]),
    "count": ((), [0, 10**9], [-1, 10**9 + 1, 0.5, None, True]),
    "rate": ((), [1e-12, 0.499999], [0, 0.0, 0.5, -1.0, 0.75, 1, 1.0, True, "x", NAN]),
    "numbers": (
        (),
        [[1, 2.5], [-1e300, 1e300]],
        [[], [1, ABOVE], [-ABOVE], [-1.5e300], [1.5e300], [True], ["1"], [NAN], [None], 3, None, "ab"],
    ),
    "wholes": ((), [[], [0, 10**12]], [[-1], [10**12 + 1], [1.0], [True], ["1"], 3, {}]),
    "texts": ((), [[], ["a", LONG], ["a"] * 200_000], [["a"] * 200_001, [LONG + "x"], [3], [None], "ab"]),
    "scalars": (
        (),
        [{}, {"a": "x", "b": True, "c": -1e300, "d": 1e300, "e": 3}, {str(k): k for k in range(100)}],
        [{str(k): k for k in range(101)}, [], None, "x"],
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_a_field_of_its_kind_is_read_and_another_is_named(kind):
    bounds, right, wrong = READ[kind]
    for value in right:
        read = getattr(Fields({"x": value}, ""), kind)("x", *bounds)
        assert read == (tuple(value) if isinstance(value, list) else value)
    for value in wrong:
        for place, name in (("", "x"), ("others[3]", "others[3].x")):
            with pytest.raises(Wrong) as caught:
                getattr(Fields({"x": value}, place), kind)("x", *bounds)
            assert str(caught.value) == f"holds a missing or impossible value ({name})"


@pytest.mark.parametrize("value", [1.5e300, -1.5e300, ABOVE, None, [1], NAN, LONG + "x"])
def test_a_setting_of_no_use_is_named(value):
    with pytest.raises(Wrong, match=r"\(x\.a\)$"):
        Fields({"x": {"b": 1, "a": value}}, "").scalars("x")


def test_what_may_be_left_out():
    held = Fields({"none": None, "five": 5, "table": {"a": 3}}, "")
    assert held.count("none", optional=True) is None and held.count("five", optional=True) == 5
    assert held.table_or_none("none") is None and held.value("five") == 5
    for table in (held.table("table"), held.table_or_none("table")):
        assert table.whole("a", 3, 3) == 3
        with pytest.raises(Wrong, match=r"\(table\.a\)$"):
            table.text("a")
    for read, name in ((held.table, "none"), (held.table, "five"), (held.table_or_none, "five")):
        with pytest.raises(Wrong, match=rf"^holds a missing or impossible value \({name}\)$"):
            read(name)


def test_a_list_of_objects():
    first, second = Fields({"x": [{"a": 1}, {"a": "b"}]}, "").tables("x")
    assert (first.place, second.place, second.text("a")) == ("x[0]", "x[1]", "b")
    for value in ([], [1], [{}, 1], None, {}):
        with pytest.raises(Wrong, match=r"value \(x\)$"):
            Fields({"x": value}, "").tables("x")


def test_fields_that_lack_or_are_added_are_named_up_to_ten():
    held = {"a": 1, "y" * 60: 2, **{f"f{k}": k for k in range(9)}}
    Fields(held, "p").only(*held)
    with pytest.raises(Wrong) as caught:
        Fields(held, "").only("a", "b")
    names = ["b", *(f"f{k}" for k in range(9))]
    assert str(caught.value) == f"lacks or adds fields ({', '.join(names)})"
    with pytest.raises(Wrong, match=rf"^lacks or adds fields \(p.b, p.{'y' * 50}\)$"):
        Fields({"y" * 60: 2}, "p").only("b")


# --- limits and sources ---


def test_a_limit_within_what_can_be_measured():
    assert LARGEST == {"localisation": 1000.0, "low_precision": 1000.0, "own_grid": 10.5}
    assert measured_limit("own_grid", 10.5, 3) == Limit(10.5, 3, None) == Limit(10.5, 3)
    assert measured_limit("localisation", 0.0, 9, 0.05) == Limit(0.0, 9, 0.05)
    assert [measured_limit("own_grid", value, 3) for value in (10.6, -0.1, NAN)] == [None] * 3
    assert Limits() == Limits(None, None, None)


def test_a_source_of_which_only_the_scores_were_said():
    plain = Source("photograph", (3.0, 1.0))
    assert plain == Source("photograph", (3.0, 1.0), (0, 1), "clean", (), "")
    assert plain.identity == ("photograph", "clean", frozenset(), "")
    assert BELONGING_KINDS == ("decoded", "perturbed", "generated")
    assert OTHER_KINDS == ("photograph", "decoder", "generated", "other")


def test_versions_of_a_picture_count_once():
    versions = Source("decoder", (3.0, 1.0, 2.0, 5.0), (7, 7, 4, 4), "jpeg-75", ("a", "b", "a", "a"), "u")
    assert versions.lowest.tolist() == [1.0, 2.0] and versions.highest.tolist() == [3.0, 5.0]
    assert versions.lowest is versions.lowest and versions.highest is versions.highest
    assert versions.identity == ("decoder", "jpeg-75", frozenset("ab"), "u")
    part = versions.where([True, False, False, True])
    assert part == Source("decoder", (3.0, 5.0), (7, 4), "jpeg-75", ("a", "a"), "u")
    with pytest.raises(ValueError, match="zip"):
        _ = Source("decoded", (1.0, 2.0), (0,)).lowest


@pytest.mark.parametrize(
    ("kind", "decoders", "under", "name"),
    [
        ("photograph", (), "", "photographs, h"),
        ("decoder", ("a", "a"), "", "decoded by a, h"),
        ("decoder", ("a", "b"), "u", "decoded by other decoders, h under u"),
        ("decoder", (), "", "decoded, h"),
        ("generated", ("a", "a"), "", "generated by a, h"),
        ("generated", (), "", "generated, h"),
        ("decoded", (), "", "decoded, h"),
        ("other", ("a", "b"), "", "other, h"),
    ],
)
def test_the_name_of_a_source(kind, decoders, under, name):
    assert Source(kind, (1.0, 2.0), (), "h", decoders, under).name == name


# --- contradictions ---


def own(*scores, pictures=()):
    return Source("decoded", tuple(map(float, scores)), pictures)


def photographs(*scores, pictures=(), history="clean"):
    return Source("photograph", tuple(map(float, scores)), pictures, history)


def profile(belonging, others, **fields):
    return Profile(
        "0" * 16, "d", "s", {}, "clean", (8, 8), "c", belonging, others, **{"fpr": 0.05, "fnr": 0.05} | fields
    )


SANE = profile((own(0, 1),), (photographs(5, 6),))
# Belonging scores spread over 1 around 0.5, those of others over 1 around m: 10 000 times their sum is 20 000.
FAR = {m: profile((own(0, 1),), (photographs(m - 0.5, m - 0.5, m, m + 0.5, m + 0.5),)) for m in (20000.5, 20001.5)}


@pytest.mark.parametrize(
    ("doubtful", "said"),
    [
        (SANE, ""),
        (profile((own(0, 1),), (photographs(*[7] * 5),)), "all 5 scores of the source photographs, clean are equal"),
        (profile((own(*[1] * 6),), (photographs(5, 6),)), "all 6 scores of the source decoded, clean are equal"),
        (profile((own(0, 1),), (photographs(*[7] * 4),)), ""),
        (profile((own(0, 1),), (photographs(7, 7, 7, 8, 8),)), ""),
        (profile((own(0, 1),), (photographs(*[7] * 5, pictures=(0, 0, 1, 2, 3)),)), ""),
        (replace(SANE, others=(photographs(5, 6), photographs(8, 9))), "two of its sources are the same"),
        (replace(SANE, belonging=(own(0, 1), own(0.5))), "two of its sources are the same"),
        (replace(SANE, others=(photographs(5, 6), photographs(8, 9, history="jpeg-75"))), ""),
        (replace(SANE, pictures_given=7, pictures_counted=8), "8 pictures counted of 7 given"),
        (replace(SANE, pictures_given=8, pictures_counted=8), ""),
        (replace(SANE, pictures_given=None, pictures_counted=8), ""),
        (replace(SANE, pictures_given=8, pictures_counted=None), ""),
        (
            profile((own(5, 6, 7),), (photographs(6, 6.004),)),
            "",
        ),
        (
            profile((own(5, 6, 7),), (photographs(8, 9), photographs(5, 6, 7, history="jpeg-30"))),
            "belonging pictures (median 6) do not score below those of the source photographs, jpeg-30 (median 6), so"
            " this score cannot tell them apart",
        ),
        (FAR[20000.5], ""),
        (FAR[20001.5], "belonging pictures and those of the source photographs, clean lie impossibly far apart"),
        (profile((own(0, 1),), (photographs(30000, 30000, 30001, 30001),)), ""),
    ],
)
def test_what_contradicts_itself(doubtful, said):
    assert contradiction(doubtful) == said


# --- the table of sources ---


def counts(known):
    return {row.source: (row.accepted, row.n, row.belongs) for row in source_table(known)}


def test_a_row_in_words():
    assert HEADINGS == ("source", "pictures", "stated rate", "called belonging (95 % interval)")
    row = SourceRow("photographs, clean", False, 20, 1 / 21, 5, (0.1, 0.5))
    assert row.cells == ("photographs, clean", "20", "4.8 %", "5 (25 %; 10 % to 50 %)")
    assert replace(row, stated=None).cells[2] == ""


def test_scores_at_the_thresholds_of_the_others():
    # Without itself, the highest belonging score is as high as its twin; the lowest of the others is no lower.
    known = profile((own(*range(19), 18),), (photographs(5, 5, *range(100, 118)),))
    assert counts(known) == {"own: decoded, clean": (5, 20, True), "photographs, clean": (0, 20, False)}
    apart = profile((own(*range(19), 18),), (photographs(*range(100, 120)),))
    assert counts(apart)["own: decoded, clean"] == (20, 20, True)
    (mine, others) = source_table(apart)
    assert mine.stated is None and others.stated == 1 / 21
    assert others.interval == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))


def test_of_several_versions_one_refused_counts_for_belonging_and_one_accepted_for_others():
    twice = tuple(range(20)) * 2
    # Every second version of a belonging picture lies above the lowest photographs, and of those a version below.
    belonging, others = (
        own(*range(20), *[200] * 10, *range(10), pictures=twice),
        photographs(*[100] * 40, pictures=twice),
    )
    row = found_among_belonging(profile((belonging,), (others,)))
    assert (row.source, row.belongs, row.accepted, row.n, row.stated) == ("own pictures", True, 10, 20, None)
    assert counts(profile((belonging,), (others,)))["own: decoded, clean"] == (10, 20, True)
    mixed = photographs(*range(-20, 0), *[100] * 20, pictures=twice)
    assert counts(profile((own(*range(200)),), (mixed,)))["photographs, clean"] == (1, 20, False)


def test_a_source_of_one_picture_is_never_accepted():
    assert counts(profile((own(*range(20)),), (photographs(-5),)))["photographs, clean"] == (0, 1, False)
    assert counts(profile((own(1),), (photographs(5, 6, 7),)))["own: decoded, clean"] == (0, 1, True)


def test_a_decoder_left_out_is_judged_by_what_else_is_known():
    twin = Source(
        "decoder",
        (*map(float, range(10)), *[300.0] * 10, 0.5),
        (*range(10), *range(10), 10),
        "clean",
        ("twin",) * 20 + ("b",),
    )
    known = profile((own(*range(30)),), (photographs(*range(100, 120)), twin))
    rows = {row.source: row for row in source_table(known)}
    assert list(rows) == [
        *(
            "own: decoded, clean",
            "photographs, clean",
            "decoded by other decoders, clean",
            "twin, left out",
            "b, left out",
        ),
    ]
    left_out = rows["twin, left out"]
    assert (left_out.accepted, left_out.n, left_out.belongs, left_out.stated) == (1, 10, False, known.stated_fpr)
    # Without the other decoder nothing but the photographs is left.
    alone = profile((own(*range(30)),), (photographs(*range(100, 120)), twin.where([True] * 20 + [False])))
    assert counts(alone)["twin, left out"] == (10, 10, False)
    assert list(counts(profile((own(*range(30)),), (twin.where([True] * 20 + [False]),)))) == [
        *("own: decoded, clean", "decoded by twin, clean"),
    ]


def test_a_source_is_judged_like_an_image_of_its_history():
    clean, rough = photographs(*range(-50, -30)), photographs(*range(-90, -70), history="jpeg-30")
    mild = photographs(*range(100, 120), history="jpeg-75")
    known = replace(profile((own(*range(20)),), (clean, rough, mild)), condition="jpeg-75")
    # Belonging pictures are compared with the photographs of their own history: the others would excuse all of them.
    assert counts(known)["own: decoded, clean"] == (19, 20, True) and found_among_belonging(known).accepted == 19
    # Clean ones with all: below those of quality 30 there is none.
    assert counts(known)["photographs, clean"] == (0, 20, False)
    assert counts(known)["photographs, jpeg-30"] == (1, 20, False)
