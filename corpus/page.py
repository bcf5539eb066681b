"""The page of a corpus: everything inline, no script, nothing loaded from anywhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.reports.page import STYLE, document, text
from ..core.verdicts.family import FAMILY_LIMITS
from ..core.verdicts.verdict import LIMITS
from .summary import BINS, LISTED, Reason, Summary, most_frequent

STYLE_HERE = (
    STYLE
    + """
h2 { font-size: 19px; margin: 28px 0 6px; }
table { width: auto; max-width: 100%; } th { padding: 8px 10px; position: static; }
svg { width: 100%; max-width: 900px; height: auto; background: #1e232b; }
rect.belonging { fill: #56b4e9; } rect.non-belonging { fill: #e69f00; } rect.inconclusive { fill: #c9c9c9; }
svg text { fill: #f2f4f7; font: 13px system-ui, sans-serif; }
"""
)
WIDTH, HEIGHT, ROOF, FLOOR = 900, 110, 22, 20
ORDER = ("belonging", "inconclusive", "non-belonging")


def corpus_page(summary: Summary, settings: Mapping[str, Any], line: str) -> str:
    """The whole page about ``summary``; ``settings`` are shown in their order, ``line`` sums it up."""
    limits = FAMILY_LIMITS if summary.kind == "family" else LIMITS
    return document("Corpus report", line, settings, "".join(_sections(summary)), limits, style=STYLE_HERE)


def _sections(summary: Summary) -> Iterable[str]:
    counts = summary.counts
    answers = sorted(counts.answers.items(), key=lambda one: (-one[1], one[0]))
    yield _section("Answers", ("answer", "pictures", "share"), [
        (answer, count, f"{100 * count / max(1, counts.rows):.2f} %") for answer, count in answers
    ])  # fmt: skip
    if summary.profiles:
        rows = sorted(summary.profiles.items(), key=lambda one: (-one[1], one[0]))[:200]
        yield _section(
            "By profile",
            ("condition", "calibration", "rates measured on", "answer", "pictures"),
            [(*key, count) for key, count in rows],
        )
    for answer in (*ORDER, *sorted(set(summary.histograms) - set(ORDER))):
        if answer in summary.histograms:
            heading = "<h2>Scores</h2>\n" if answer == next(one for one in ORDER if one in summary.histograms) else ""
            yield heading + _histogram(summary, answer)
    if summary.certain:
        yield _section("Lowest scores among those that belong", ("score", "p-value", "picture"), [
            (f"{score:.4g}", "" if p is None else f"{p:.3g}", image) for score, p, image in summary.certain
        ])  # fmt: skip
    if any(summary.agreements):
        yield _section("Do metadata agree?", ("agreement", "pictures"), sorted(summary.agreements.items()))
    if summary.claimed:
        said = sorted(summary.claimed.items(), key=lambda one: (-one[1], one[0]))[:LISTED]
        yield _section("What metadata claim", ("metadata, which anyone can write", "answer", "pictures"), [
            (*key, count) for key, count in said
        ])  # fmt: skip
    yield from _reasons("Why no family can be told", summary.untold)
    yield from _reasons("Errors", summary.reasons)
    cost: list[tuple[str, str]] = [("seconds of workers", f"{counts.seconds:.0f}")]
    if counts.pixels:
        passes = f"{summary.encoder_passes} encoder, {summary.decoder_passes} decoder"
        each = f"{counts.seconds / counts.pixels * 1e6:.3g}"
        cost += [("megapixels", f"{counts.pixels / 1e6:.1f}"), ("seconds per megapixel", each), ("passes", passes)]
    yield _section("Cost", ("", ""), cost)


def _reasons(title: str, reasons: dict[str, Reason]) -> Iterable[str]:
    if reasons:
        yield _section(title, ("pictures", "reason", "for example"), [
            (reason.count, words, reason.example) for words, reason in most_frequent(reasons)
        ])  # fmt: skip


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th scope=col>{text(one)}</th>" for one in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{text(cell, 500)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h2>{text(title)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _histogram(summary: Summary, answer: str) -> str:
    heights = summary.histograms[answer]
    step, top = WIDTH / BINS, max(1, int(heights.max()))
    kind = answer if answer in ORDER else "inconclusive"
    inner = HEIGHT - ROOF - FLOOR
    bars = "".join(
        f'<rect class={kind} x="{k * step + 1:.1f}" y="{HEIGHT - FLOOR - inner * height / top:.1f}"'
        f' width="{step - 2:.1f}" height="{inner * height / top:.1f}"/>'
        for k, height in enumerate(heights.tolist())
        if height
    )
    ends = (
        f'<text x="4" y="{HEIGHT - 5}">{summary.low:.3g}</text>'
        f'<text x="{WIDTH - 4}" y="{HEIGHT - 5}" text-anchor="end">{summary.high:.3g}</text>'
    )
    label = f"{html.escape(answer)}: {int(heights.sum())} scores, at most {top} in a bar"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{bars}'
        f'<text x="4" y="15">{label}</text>{ends}</svg>\n'
    )
