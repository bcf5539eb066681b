"""Pictures cannot age: what README, help pages and thumbnails show is what today's program draws.

``docs/pictures.json`` says what each was drawn from. Nothing is drawn here but the cheapest one.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import PIL
import pytest
from PIL import Image, ImageChops

from .conftest import REPOSITORY

REMEDY = "run: python tools/draw_pictures.py (look at what it draws, and commit the pictures with docs/pictures.json)"
CHEAPEST = "web/docs/distribution.png"
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *(REPOSITORY / "web/docs").glob("*.md"),
]
SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)|<img[^>]*?src=\"([^\"]+)\"[^>]*>")


@pytest.fixture(scope="module")
def tools():
    """The modules in ``tools/`` that draw."""
    pytest.importorskip("skimage", reason="the demo's photographs come with scikit-image")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "tools"))
        import draw_pictures
        import drawn_from

        yield draw_pictures, drawn_from


@pytest.fixture(scope="module")
def manifest(tools) -> dict:
    return json.loads(tools[0].MANIFEST.read_text(encoding="utf-8"))


def pictures_shown() -> dict[str, set[str]]:
    """Pictures below the repository that a page shows, with their alternative texts.

    Charts of measurements are drawn by their benchmark from its rows, vector graphics are drawn by hand.
    """
    shown: dict[str, set[str]] = {}
    for page in PAGES:
        for words, path, source in SHOWN.findall(page.read_text(encoding="utf-8")):
            target = path or source
            if "://" in target or target.endswith(".svg"):
                continue
            name = (page.parent / target).resolve().relative_to(REPOSITORY.resolve()).as_posix()
            if not name.startswith("benchmarks/results/"):
                shown.setdefault(name, set()).add(words)
    return shown


def test_every_picture_is_drawn_from_what_ships_today(tools, manifest):
    assert manifest["format"] == tools[0].FORMAT and manifest["version"] == 1
    aged = list(tools[1].stale(manifest["pictures"]))
    assert not aged, "\n".join([*aged, REMEDY])


def test_the_manifest_knows_every_picture_and_no_other(tools, manifest):
    known = set(manifest["pictures"])
    thumbnails = {f"workflows/{path.stem}.jpg" for path in (REPOSITORY / "workflows").glob("*.json")}
    lying = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("docs", "web", "workflows")
        for kind in ("png", "jpg", "jpeg", "webp", "gif")
        for path in (REPOSITORY / folder).rglob(f"*.{kind}")
        if "examples" not in path.parts  # what templates run on: tests/test_examples.py
    }
    assert known == set(tools[0].DRAWINGS), REMEDY
    assert set(pictures_shown()) | thumbnails == known == lying, REMEDY


def test_alternative_texts_describe_and_name_no_number_that_could_age():
    for name, texts in pictures_shown().items():
        assert all(len(words) > 15 and not re.search(r"\d", words) for words in texts), (name, texts)


@pytest.mark.parametrize("change", ["score", "profile", "weights", "layout", "photograph", "file", "missing"])
def test_a_change_of_what_a_picture_rests_on_is_noticed(tools, manifest, change):
    name = CHEAPEST
    record = copy.deepcopy(manifest["pictures"][name])
    if change in ("score", "profile", "weights"):
        record["models"]["demo-a"][change] = "another"
    elif change == "photograph":
        record["photographs"]["coffee"] = "another"
    elif change == "missing":
        name = "docs/nowhere.png"
    else:
        record[{"layout": "layout", "file": "sha256"}[change]] = "another"
    assert len(list(tools[1].stale({name: record}))) == 1


def test_the_layout_digest_follows_the_code_and_not_its_comments(tools, monkeypatch, tmp_path):
    _, drawn_from = tools
    sources = {path.relative_to(REPOSITORY).as_posix() for path in drawn_from.layout_sources()}
    needed = {
        "core/reports/pictures/verdict_card.py", "core/reports/pictures/style.py", "core/reports/page.py",
        "core/verdicts/verdict.py", "core/profiles/thresholds.py", "tools/draw_thumbnails.py", "tools/draw_tiles.py",
    }  # fmt: skip
    assert needed <= sources
    for name in sources:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    monkeypatch.setattr(drawn_from, "REPOSITORY", tmp_path)
    monkeypatch.setattr(drawn_from, "layout_sources", lambda: sorted(tmp_path / name for name in sources))
    digest = drawn_from.layout_digest.__wrapped__
    before, card = digest(), tmp_path / "core/reports/pictures/verdict_card.py"
    text = card.read_text(encoding="utf-8")
    card.write_text(
        text.replace('"""The verdict card', '# New.\n"""A verdict card', 1), encoding="utf-8", newline="\r\n"
    )
    assert digest() == before
    card.write_text(text.replace("font(42)", "font(43)", 1), encoding="utf-8")
    assert digest() != before


def test_the_cheapest_drawing_has_the_same_pixels_and_numbers_today(tools, manifest):
    known = manifest["pictures"][CHEAPEST]
    picture, record = tools[0].draw(CHEAPEST)
    assert {key: known[key] for key in record} == record, REMEDY
    if known["drawn by"]["Pillow"] != PIL.__version__:
        pytest.skip(f"drawn with Pillow {known['drawn by']['Pillow']}, whose letters may differ from this one's")
    with Image.open(REPOSITORY / CHEAPEST) as drawn:
        assert drawn.size == picture.size
        assert ImageChops.difference(drawn.convert("RGB"), picture).getbbox() is None, REMEDY


def test_pictures_show_scores_where_their_answers_lie(tools, manifest):
    """Belonging far below, others around nought: what anyone would notice first about an old picture."""
    answers = [said for record in manifest["pictures"].values() for said in record["shown"]]
    by_score = [said for said in answers if "loss" not in said.get("sentence", "")]
    belonging = [float(said["score"]) for said in by_score if said["answer"] == "belonging"]
    others = [float(said["score"]) for said in by_score if said["answer"] == "non-belonging"]
    assert len(belonging) >= 8 and len(others) >= 4
    assert all(-1.0 < score < -0.55 for score in belonging) and all(-0.36 < score < 0.2 for score in others)


def test_thumbnails_are_squares_that_a_page_of_them_can_load_at_once(manifest):
    for name, record in manifest["pictures"].items():
        if Path(name).parent.name == "workflows":
            assert (record["width"], record["height"]) == (512, 512) and record["bytes"] < 60_000, name
