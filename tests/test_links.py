"""Every link of README, docs/, help pages and results leads somewhere, and every page is reached.

Links to headings are those that both GitHub and the built pages give them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "web/docs/*.md", "benchmarks/**/*.md", "tests/golden/*.md")
    for path in REPOSITORY.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:benchmarks|cli|core|docs|nodes|tests|tools|web|workflows)/[\w./-]+)`")
WRITTEN_LATER = ("tests/comfyui/browser/screenshots",)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def prose_of(page: str) -> str:
    return FENCED.sub("", (REPOSITORY / page).read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The name of a heading in links: what is neither letter, digit, dash nor underscore goes, spaces become dashes."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def headings_of(page: str) -> list[str]:
    return [slug(heading) for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)]


def broken_links(page: str) -> list[str]:
    broken = []
    for link in LINK.findall(prose_of(page)):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, heading = link.partition("#")
        target = (REPOSITORY / page).parent.joinpath(path).resolve() if path else REPOSITORY / page
        is_there = target.is_file() and target.is_relative_to(REPOSITORY)
        if not is_there or (heading and heading not in headings_of(target.relative_to(REPOSITORY).as_posix())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert not broken_links(page)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])  # which tells of what was
def test_files_that_pages_name_exist(page: str) -> None:
    missing = [name for name in NAMED.findall(prose_of(page)) if not (REPOSITORY / name).exists()]
    assert not set(missing) - set(WRITTEN_LATER)


def test_a_broken_link_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.REPOSITORY", tmp_path)
    (tmp_path / "a.md").write_text(
        "# A `b` of 8.5 %\n[x](gone.md) [y](#a-b-of-85-) [z](#a) [w](../out.md)\n```\n[v](v.md)\n```\n", "utf-8"
    )
    assert broken_links("a.md") == ["gone.md", "#a", "../out.md"]


def test_the_pages_are_there_at_all() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/method.md", "web/docs/LatentTracerTraceImage.md"} < {
        *PAGES
    }


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("web/docs/")])
def test_help_pages_show_only_what_comfyui_serves_with_them(page: str) -> None:
    assert all("/" not in link for link in LINK.findall(prose_of(page)))


def test_the_built_pages_have_every_page_and_no_other() -> None:
    navigation = (
        (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2].partition("\nplugins:")[0]
    )
    named = re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE)
    outside = ("benchmarks/", "tests/")  # reached from the figures; for those who test
    assert sorted(named) == sorted(page for page in PAGES if not page.startswith(outside))


def test_every_figure_names_the_file_it_comes_from() -> None:
    rows = re.findall(r"^\| (?!---|claim|condition)(.+?) \|$", prose_of("docs/figures.md"), re.MULTILINE)
    assert len(rows) > 20
    assert all(re.search(r"\]\(\.\./benchmarks/results/[\w.-]+\.md(#[\w-]+)?\)$", row) for row in rows)


def test_the_papers_cited_are_those_of_the_method() -> None:
    papers = re.compile(r"arXiv[: ](\d{4}\.\d{5})")
    cited = papers.findall((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert len(cited) == 3 and sorted(cited) == sorted(papers.findall(prose_of("docs/method.md")))
