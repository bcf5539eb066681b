"""Which family made a picture: the score through proxies, its calibration file, the answers and the command."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import run
from demo_families import OTHERS, OWN, families, proxies_in
from latent_tracer.core import (
    InvalidImageError,
    InvalidProfileError,
    InvalidSettingError,
    Picture,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.models.tiny_pairs import tiny_pairs
from latent_tracer.core.profiles.families import (
    Families,
    FamilyProxy,
    load_families,
    parse_families,
    shipped_families,
)
from latent_tracer.core.reports.family_report import write_family_report
from latent_tracer.core.scores.family_score import (
    BANDS,
    LEAST_TILES,
    PHASES,
    SETTINGS,
    FamilyScore,
    family_score,
    of_tiles,
    tile_sums,
)
from latent_tracer.core.tracing.family import check_families, which_family
from latent_tracer.core.verdicts.doubt import History
from latent_tracer.core.verdicts.family import Shown, family_record, judge_family

GOLDEN = Path(__file__).parent / "golden" / "families.json"
FIELDS = [
    *("image", "family", "p_value", "fpr", "scores", "basis"),
    *("answer", "fpr_bound", "fnr", "missing", "claims"),
]

TWO = families((("A", "one", "1" * 40), ("B", "two", "2" * 40)))


def shown(first: float, second: float, error: float = 0.01) -> list[Shown]:
    scores = [FamilyScore(contrast, error, 100, Passes()) for contrast in (first, second)]
    return [Shown(known, known.proxy, score) for known, score in zip(TWO.proxies, scores, strict=True)]


@pytest.fixture(scope="module")
def demos() -> dict[str, Any]:
    return {name: load_autoencoder(name) for name in EMBEDDED}


@pytest.fixture(scope="module")
def of_demos(demos: dict[str, Any]) -> Families:
    return families(tuple((name[-1].upper(), name, one.fingerprint) for name, one in demos.items()))


@pytest.fixture(scope="module")
def made(demos: dict[str, Any]) -> Picture:
    with torch.no_grad():
        pixels = demos["demo-a"].decode(demos["demo-a"].encode(synthetic_photograph(seed=3, size=192)))
    return Picture.of(quantise(pixels))


def test_a_picture_is_found_under_the_proxy_that_made_it_and_under_no_other(
    demos: dict[str, Any], of_demos: Families, made: Picture
) -> None:
    told: list[tuple[int, int]] = []
    opened = [lambda one=one: nullcontext(one) for one in demos.values()]
    found, photograph = which_family(
        opened, [made, Picture.of(synthetic_photograph(3, 192))], of_demos, lambda *at: told.append(at)
    )
    assert (found.answer, found.family) == ("family", "A")
    by_proxy = {one.proxy: one for one in found.scores}
    assert by_proxy["demo-a"].p_value == 1 / (OTHERS + OWN + 1)
    assert (by_proxy["demo-a"].contrast or 0) < 2 * (by_proxy["demo-b"].contrast or 0)
    assert photograph.family is None
    passes = 2 * 2 * 2 * (1 + len(PHASES))
    assert told[-1][0] == told[-1][1] >= passes


def test_the_score_is_the_same_every_time(demos: dict[str, Any], made: Picture) -> None:
    first, again = (family_score(demos["demo-b"], made.pixels) for _ in range(2))
    assert dataclasses.replace(first, passes=again.passes) == again
    assert first.passes.encoder == first.passes.decoder == 1 + len(PHASES)


def test_windows_stand_for_the_picture_within_their_errors(demos: dict[str, Any], made: Picture) -> None:
    whole, parts = family_score(demos["demo-a"], made.pixels), family_score(demos["demo-a"], made.pixels, window=96)
    assert parts.contrast == pytest.approx(whole.contrast, abs=4 * (whole.error + parts.error))


@pytest.mark.parametrize("image", [torch.full((1, 3, 192, 192), 0.5), synthetic_photograph(1, 48)])
def test_what_is_flat_or_too_small_is_refused(demos: dict[str, Any], image: torch.Tensor) -> None:
    with pytest.raises(InvalidImageError, match="flat|small"):
        family_score(demos["demo-a"], image)


def test_the_error_is_that_of_the_mean_over_tiles() -> None:
    """Of independent tiles it is what the mean scatters by; weights count, and what is left at the ends as well."""
    draw = torch.Generator().manual_seed(0)
    means = []
    for _ in range(300):
        contrast = torch.randn(20, 21, generator=draw).double()
        weight = torch.rand(20, 21, generator=draw).double()
        tiles = tile_sums(contrast * weight, weight)
        assert tiles.sum(0).tolist() == pytest.approx([float((contrast * weight).sum()), float(weight.sum())])
        score = of_tiles(tiles, Passes())
        means.append(score.contrast)
    assert len(tiles) == score.tiles == 30
    assert score.error == pytest.approx(np.std(means), rel=0.3)
    with pytest.raises(InvalidImageError):
        of_tiles(tiles[: LEAST_TILES - 1], Passes())


def test_one_family_none_and_cannot_tell() -> None:
    clean = History()
    found = judge_family(shown(-0.1, 0.0), TWO, clean)
    assert (found.answer, found.family) == ("family", "A")
    n = OTHERS + OWN
    assert found.p_value == 2 / (n + 1) and found.fpr == pytest.approx(2 * 2 / (n + 1))
    assert found.fpr < (found.fpr_bound or 0) < 4 * found.fpr
    none = judge_family(shown(0.02, 0.0), TWO, clean)
    assert (none.answer, none.family) == ("none", None) and none.fnr == pytest.approx(2 / (OWN + 1))
    small = judge_family(shown(0.02, 0.0, error=0.06), TWO, clean)
    assert small.answer == "cannot tell" and "small" in small.basis
    assert judge_family(shown(-0.1, -0.21), TWO, clean).family == "B"
    both = judge_family(shown(-0.1, -0.19), TWO, clean)
    assert both.answer == "cannot tell" and "B and A" in both.basis
    weak = judge_family(shown(0.02, -0.0185), TWO, clean)
    assert weak.answer == "cannot tell" and "perhaps a weak trace of B shows" in weak.basis


def test_the_family_that_is_named_is_that_of_the_evidence_with_its_own_p_value() -> None:
    """A contrast says little where the picture's error is large, and families differ in how many others are known."""
    first, second = shown(-0.1, 0.0)[0], shown(0.0, -0.15, error=0.05)[1]
    found = judge_family([first, second], TWO, History())
    by_proxy = {one.proxy: one for one in found.scores}
    assert found.family == "A" and found.p_value == 2 * (by_proxy["one"].p_value or 0)


@pytest.mark.parametrize(
    ("history", "lossy", "words"),
    [(History(jpeg_quality=75), False, "JPEG"), (History(was_lossy=True), False, "lossy"), (History(), True, "lossy")],
)
def test_what_was_altered_is_neither_of_a_family_nor_of_none(history: History, lossy: bool, words: str) -> None:
    for scores in (shown(-0.1, 0.0), shown(0.02, 0.0)):
        verdict = judge_family(scores, TWO, history, lossy=lossy)
        assert verdict.answer == "cannot tell" and verdict.family is None and words in verdict.basis


def test_none_is_said_only_of_whole_cells_and_with_every_proxy_there() -> None:
    assert "whole latent cells" in judge_family(shown(0.02, 0.0), TWO, History(), whole_cells=False).basis
    alone = judge_family(shown(0.02, 0.0)[:1], TWO, History())
    assert alone.answer == "cannot tell" and alone.missing == ("B",) and "B are missing" in alone.basis
    assert judge_family([], TWO, History()).answer == "cannot tell"


def test_a_preview_of_a_proxy_is_called_its_own_work() -> None:
    strong = dataclasses.replace(TWO, own_work=-0.25)
    verdict = judge_family(shown(-0.4, 0.0), strong, History())
    assert verdict.answer == "cannot tell" and verdict.family is None and "preview" in verdict.basis


def test_a_proxy_that_shows_nothing_is_asked_for_no_family_and_costs_the_others_nothing() -> None:
    still = dataclasses.replace(TWO.proxies[1], contrasts=TWO.proxies[1].errors)
    both = dataclasses.replace(TWO, proxies=(TWO.proxies[0], still))
    assert both.shows(both.proxies[0]) and not both.shows(still)
    verdict = judge_family(
        [Shown(k, k.proxy, one.score) for k, one in zip(both.proxies, shown(-0.1, 0.0), strict=True)], both, History()
    )
    assert verdict.family == "A" and [one.shows for one in verdict.scores] == [True, False]
    assert verdict.p_value == 1 / (OTHERS + OWN + 1)


def test_evidence_counts_what_does_not_shrink_with_the_picture() -> None:
    proxy = TWO.proxies[0]
    assert TWO.evidence(proxy, -0.1, 0.0) == pytest.approx(-25.0)
    assert TWO.evidence(proxy, -0.03, 0.003) == pytest.approx(-0.03 / math.hypot(0.003, 0.004))


def weighted(weights: tuple[float, ...]) -> Families:
    """:data:`TWO`, whose proxies weigh two bands: the contrast in the first, noise of the picture in both."""
    noise = np.random.default_rng(0).normal(0, 0.08, len(TWO.pictures)).tolist()
    known = []
    for proxy in TWO.proxies:
        new = dataclasses.replace(proxy, weights=weights)
        evidence = tuple(
            TWO.evidence(new, 0.0, 0.01, ((contrast + both, 0.01), (both, 0.01)))
            for contrast, both in zip(proxy.contrasts, noise, strict=True)
        )
        known.append(dataclasses.replace(new, evidence=evidence))
    return dataclasses.replace(TWO, proxies=tuple(known))


def test_bands_without_a_trace_take_out_what_the_content_does_to_those_with_it() -> None:
    alone, weighed = weighted((1.0, 0.0)), weighted((1.0, -1.0))
    assert alone.share_found(alone.proxies[0]) < 0.5 < 0.99 < weighed.share_found(weighed.proxies[0])
    first, bands, scale = weighed.proxies[0], ((-0.07, 0.01), (0.03, 0.01)), math.hypot(0.01, 0.004)
    assert weighed.evidence(first, 9.0, 9.0, bands) == pytest.approx(-0.1 / scale)
    score = FamilyScore(0.0, 0.01, 100, Passes(), bands)
    verdict = judge_family([Shown(first, first.proxy, score)], weighed, History())
    assert verdict.family == "A" and verdict.scores[0].evidence == pytest.approx(-0.1 / scale)


def test_a_calibration_with_weights_reads_back_and_one_that_lacks_a_picture_is_refused() -> None:
    given = weighted((1.0, -1.0))
    assert parse_families(json.loads(given.to_json()), "it") == given
    assert json.loads(TWO.to_json())["version"] == 1 and json.loads(given.to_json())["version"] == 2
    short = dataclasses.replace(given.proxies[0], evidence=given.proxies[0].evidence[1:])
    with pytest.raises(InvalidProfileError, match="evidence of every picture"):
        parse_families(json.loads(dataclasses.replace(given, proxies=(short, given.proxies[1])).to_json()), "it")


def test_each_band_is_scored_by_itself_and_three_of_them_are_the_contrast(demos: dict[str, Any], made: Picture) -> None:
    found = family_score(demos["demo-a"], made.pixels)
    grey = family_score(demos["demo-a"], made.pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous())
    assert len(found.bands) == len(grey.bands) == 9
    assert min(found.bands[k][0] for k in BANDS) <= found.contrast <= max(found.bands[k][0] for k in BANDS)
    assert grey.bands[-1] == (0.0, 0.0), "grey has no chroma"


def test_a_calibration_reads_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "families.json").write_text(TWO.to_json())
    assert load_families(tmp_path / "families.json") == TWO


def test_a_calibration_that_was_written_once_is_read_for_ever() -> None:
    """If this fails, do not touch the file: it would break those of every user."""
    golden = load_families(GOLDEN)
    assert [(one.family, one.proxy) for one in golden.proxies] == [("A", "one"), ("B", "two")]
    assert golden.own_p_value(golden.proxies[0], -0.069, 0.01) == pytest.approx(24 / 41)
    assert golden == TWO


def changed(**fields: Any) -> dict[str, Any]:
    return json.loads(TWO.to_json()) | fields


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (changed(version=3), "version 3"),
        (changed(version="1"), "version 1"),
        (changed(format="latent-tracer-profile"), "is not a calibration of families"),
        ([], "is not a calibration of families"),
        (changed(fpr=0.5), "changed or damaged"),
    ],
)
def test_a_newer_foreign_or_damaged_calibration_is_refused(record: Any, words: str) -> None:
    with pytest.raises(InvalidProfileError, match=words):
        parse_families(record, "it")


@pytest.mark.parametrize(
    "proxies",
    [
        (dataclasses.replace(TWO.proxies[0], contrasts=(0.1,)),),
        (dataclasses.replace(TWO.proxies[0], errors=(0.0,) * len(TWO.pictures)),),
    ],
)
def test_scores_that_do_not_fit_their_pictures_are_refused(proxies: tuple[FamilyProxy, ...]) -> None:
    written = dataclasses.replace(TWO, proxies=proxies).to_json()
    with pytest.raises(InvalidProfileError, match="contrast and an error of every picture"):
        parse_families(json.loads(written), "it")


def test_what_ships_knows_the_proxies_by_their_weights_and_lists_its_pictures() -> None:
    known = shipped_families()
    assert {"SD1/SD2", "SDXL"} <= {one.family for one in known.proxies}
    assert len({picture.sha256 for picture in known.pictures}) == len(known.pictures)
    assert all(len(picture.sha256) == 64 and picture.source for picture in known.pictures)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two demo decoders under the names of tiny autoencoders' files."""
    return proxies_in(tmp_path_factory.mktemp("vae_approx"))


def test_the_command_answers_in_the_promised_fields(
    proxies: Path, of_demos: Families, made: Picture, tmp_path: Path
) -> None:
    (tmp_path / "families.json").write_text(of_demos.to_json())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    to_picture(made.pixels).save(pictures / "made.png")
    (pictures / "broken.png").write_bytes(b"\x89PNG")
    done = run("family", pictures, "--proxies", proxies, "--calibration", tmp_path / "families.json", "--json")
    assert done.returncode == 2 and "broken.png" in done.stderr
    broken, found = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(found) == FIELDS and found["image"] == str(pictures / "made.png")
    assert (found["family"], found["answer"]) == ("A", "family")
    assert list(found["scores"]["demo-b"]) == [
        "family",
        "shows",
        "contrast",
        "deviation",
        "evidence",
        "p_value",
        "error",
    ]
    assert broken["family"] is None and broken["error"]
    said = run("family", pictures / "made.png", "--proxies", proxies, "--calibration", tmp_path / "families.json")
    assert said.returncode == 0 and "Made by a VAE of the A family" in said.stdout


def test_a_proxy_given_twice_counts_once(demos: dict[str, Any], of_demos: Families, made: Picture) -> None:
    first, second = demos.values()
    once, twice = (
        which_family([lambda one=one: nullcontext(one) for one in given], [made], of_demos)[0]
        for given in ((first, second), (first, first, second))
    )
    assert once == twice and twice.family == "A"


def test_what_cannot_be_read_or_repeats_another_costs_no_answer(
    proxies: Path, of_demos: Families, made: Picture, tmp_path: Path
) -> None:
    (tmp_path / "families.json").write_text(of_demos.to_json())
    to_picture(made.pixels).save(tmp_path / "made.png")
    folder = tmp_path / "vae_approx"
    shutil.copytree(proxies, folder)
    for part in ("encoder", "decoder"):
        shutil.copy(folder / f"demo-a_{part}.safetensors", folder / f"same_{part}.safetensors")
        (folder / f"damaged_{part}.safetensors").write_bytes(b"no weights")
    command = ("family", tmp_path / "made.png", "--proxies", folder, "--calibration", tmp_path / "families.json")
    done = run(*command)
    assert done.returncode == 0 and "Made by a VAE of the A family" in done.stdout
    assert "has the weights of" in done.stderr and "damaged" in done.stderr
    # What cannot be written is told before the work.
    (tmp_path / "notes.txt").write_text("mine")
    refused = run(*command, "--report", tmp_path / "notes.txt")
    assert refused.returncode == 2 and not refused.stdout and (tmp_path / "notes.txt").read_text() == "mine"


def test_a_calibration_of_another_score_is_refused_before_any_picture() -> None:
    for other in (
        dataclasses.replace(TWO, score_settings={"places": 9}),
        dataclasses.replace(TWO, score_settings={"places": 8, "of a later release": 1}),
        weighted((1.0, -1.0)),
    ):
        with pytest.raises(InvalidProfileError, match="another family score"):
            check_families(other)
    check_families(TWO)
    check_families(shipped_families())


def test_a_larger_picture_is_no_surer_than_the_largest_that_others_were_scored_at(
    demos: dict[str, Any], made: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = family_score(demos["demo-a"], made.pixels)
    monkeypatch.setattr("latent_tracer.core.scores.family_score.MOST_TILES", usual.tiles / 4)
    larger = family_score(demos["demo-a"], made.pixels)
    assert larger.contrast == usual.contrast and larger.error == pytest.approx(2 * usual.error)
    assert [one[1] for one in larger.bands] == pytest.approx([2 * one[1] for one in usual.bands])


def test_a_report_says_how_many_pictures_are_still_to_be_asked(tmp_path: Path) -> None:
    assert write_family_report(tmp_path, [], {}, pending=3) == "0 pictures: none; 3 more are still to be asked"


def test_a_cancelled_run_replaces_no_report_of_more_pictures(tmp_path: Path) -> None:
    failed = [{"image": f"{number}.png", "family": None, "error": "is broken"} for number in range(3)]
    write_family_report(tmp_path, failed, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "the earlier report, of more pictures, stays" in write_family_report(tmp_path, failed[:2], {}, pending=1)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "stays" not in write_family_report(tmp_path, failed[:1], {})


def test_a_report_shows_every_picture_with_its_answer_and_what_it_claims(
    proxies: Path, of_demos: Families, made: Picture, tmp_path: Path
) -> None:
    (tmp_path / "families.json").write_text(of_demos.to_json())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    to_picture(made.pixels).save(pictures / "made.png")
    (pictures / "broken.png").write_bytes(b"\x89PNG")
    command = ("family", pictures, "--proxies", proxies, "--calibration", tmp_path / "families.json")
    done = run(*command, "--report", tmp_path / "report")
    assert done.returncode == 2 and "2 pictures: 1 A, 1 not asked" in done.stdout
    page = (tmp_path / "report" / "family.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 3 and "data:image/jpeg" in page and "never a checkpoint" in page
    assert "the file claims nothing" in page and "broken.png" in page
    rows = list(csv.DictReader((tmp_path / "report" / "family.csv").open(newline="", encoding="utf-8-sig")))
    assert list(rows[0]) == [*FIELDS, "error"]
    found = {Path(row["image"]).name: row for row in rows}
    assert found["made.png"]["family"] == "A" and json.loads(found["made.png"]["scores"])["demo-a"]["evidence"] < -2
    assert found["broken.png"]["error"] and not found["broken.png"]["answer"]


def test_what_strangers_wrote_is_shown_in_a_report_and_runs_nowhere(tmp_path: Path) -> None:
    hostile = "=<b>1\x1b[31m"
    row = {"image": hostile, "family": None, "answer": "none", "claims": hostile, "basis": hostile, "scores": {}}
    assert write_family_report(tmp_path, [row], {"proxies": hostile}) == "1 pictures: 1 none"
    page = (tmp_path / "family.html").read_text(encoding="utf-8")
    assert page.count("=&lt;b&gt;1\\x1b[31m") == 4 and "<b>" not in page
    assert "default-src 'none'" in page and page.count("<script>") == 1
    (cells,) = csv.DictReader((tmp_path / "family.csv").open(newline="", encoding="utf-8-sig"))
    assert cells["image"] == cells["claims"] == "'=<b>1\\x1b[31m"


def test_a_folder_without_proxies_is_one_sentence(tmp_path: Path, proxies: Path) -> None:
    with pytest.raises(InvalidSettingError, match="no pair"):
        tiny_pairs(tmp_path)
    with pytest.raises(InvalidSettingError, match="no folder"):
        tiny_pairs(tmp_path / "missing")
    to_picture(synthetic_photograph(1, 64)).save(tmp_path / "picture.png")
    done = run("family", tmp_path / "picture.png", "--proxies", proxies)
    assert done.returncode == 2 and "stands for a family" in done.stderr and not done.stdout
    assert len(done.stderr.strip().splitlines()[-1]) < 300


def test_records_hold_only_what_json_can_say() -> None:
    record = family_record("it", judge_family([Shown(TWO.proxies[0], "one", None, "flat")], TWO, History()))
    assert json.loads(json.dumps(record, allow_nan=False)) == record and record["scores"]["one"]["error"] == "flat"


def test_a_calibration_of_another_score_is_refused_and_the_one_that_ships_is_of_this_one():
    assert shipped_families().score_settings.items() >= SETTINGS.items()
    other = dataclasses.replace(TWO, score_settings={**TWO.score_settings, "tile": 8})
    with pytest.raises(InvalidProfileError, match="another family score"):
        which_family([], [], other)
