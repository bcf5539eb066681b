"""The texts of the nodes in other languages say as much as the English ones."""

import json
import re
from pathlib import Path

import pytest

LOCALES = Path(__file__).resolve().parent.parent / "locales"
# What ComfyUI's frontend 1.49 offers; texts in another language nobody can choose.
OFFERED = {"en", "zh", "zh-TW", "ru", "ja", "ko", "fr", "es", "ar", "tr", "pt-BR", "fa", "he"}
LANGUAGES = sorted(path.parent.name for path in LOCALES.glob("*/nodeDefs.json"))


def read(language, name="nodeDefs.json"):
    return json.loads((LOCALES / language / name).read_text(encoding="utf-8"))


def leaves(tree, path=()):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def test_there_is_english_and_another_language_and_all_can_be_chosen():
    assert "en" in LANGUAGES and len(LANGUAGES) >= 2
    assert set(LANGUAGES) <= OFFERED


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_and_none_is_empty(language):
    english, other = dict(leaves(read("en"))), dict(leaves(read(language)))
    assert other.keys() == english.keys()
    assert all(isinstance(text, str) and text.strip() for text in other.values())
    assert dict(leaves(read(language, "main.json"))).keys() == dict(leaves(read("en", "main.json"))).keys()
    if language != "en":
        sentences = [path for path, text in english.items() if path[-1] in ("tooltip", "description")]
        assert not [path for path in sentences if other[path] == english[path]]


def test_help_pages_in_other_languages_name_the_same_sockets():
    pages = sorted((LOCALES.parent / "web" / "docs").glob("*/*.md"))
    assert pages and {page.stem for page in pages} <= OFFERED - {"en"}
    for page in pages:
        english, other = (path.read_text(encoding="utf-8") for path in (page.parent.with_suffix(".md"), page))
        named = set(re.findall(r"^\| (`\w+`) \|", english, re.MULTILINE))
        assert named == set(re.findall(r"^\| (`\w+`) \|", other, re.MULTILINE)), page
        assert other.startswith(f"# {read(page.stem)[page.parent.name]['display_name']}\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_and_file_names_survive_translation(language):
    english, other = dict(leaves(read("en"))), dict(leaves(read(language)))
    for path, text in english.items():
        for token in re.findall(r"\d+|models/\w+|output/[\w-]+|adam-\w+", text):
            assert token in other[path], path
