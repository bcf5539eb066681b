"""What a newcomer does: open the template browser, load an example, press Run, look, and open the help."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from ..test_pack_in_the_server import PACK_NAME, WORKFLOWS, saved
from .conftest import NO_PLAYWRIGHT, SCREENSHOTS

NotYetError = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).TimeoutError
pytestmark = pytest.mark.browser

RUN_SECONDS = 1200
# Nodes that must show a picture, or a text, once they ran.
UNANSWERED = """() => app.graph.nodes.filter(node => {
  const pictures = ['LatentTracerTraceImage', 'LatentTracerVerdict', 'LatentTracerAttributeImage',
    'LatentTracerFindForeignRegions', 'LatentTracerOriginVerdict', 'LatentTracerReadFingerprint'];
  if (pictures.includes(node.type)) return !(node.imgs?.[0]?.naturalWidth >= 300);
  return node.type === 'PreviewAny' && !node.widgets?.some(widget => String(widget.value ?? '').trim().length > 3);
}).map(node => `${node.id} ${node.type}`)"""

# Nodes that lie over another, or out of their group, once their results are drawn.
OVERLAPS = """() => {
  const nodes = app.graph.nodes.filter(node => node.mode === 0).map(node => [node, node.getBounding()]);
  const over = nodes.flatMap(([one, a], k) => nodes.slice(k + 1).filter(([, b]) =>
    a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3]
  ).map(([other]) => `${one.title} lies over ${other.title}`));
  const groups = app.graph.groups.map(group => [group, group.boundingRect ?? group._bounding]);
  const out = nodes.flatMap(([node, a]) => groups.filter(([, g]) =>
    a[0] > g[0] && a[0] < g[0] + g[2] && a[1] > g[1] && a[1] < g[1] + g[3] && a[1] + a[3] > g[1] + g[3] + 1
  ).map(([group]) => `${node.title} hangs out of ${group.title}`));
  return [...over, ...out];
}"""

COMPLAINTS = """() => app.graph.nodes.flatMap(node => [
  ...(node.has_errors ? [`${node.type} is marked as wrong`] : []),
  ...(LiteGraph.registered_node_types[node.type] ? [] : [`${node.type} is missing`]),
  ...(node.widgets ?? []).filter(widget => widget.type === 'combo').flatMap(widget => {
    const values = typeof widget.options.values === 'function' ? widget.options.values() : widget.options.values;
    // Load Image for one's own picture begins empty, and is not connected.
    const known = !Array.isArray(values) || values.includes(widget.value) || widget.value === '';
    return known ? [] : [`${node.type}.${widget.name}: ${widget.value}`];
  }),
])"""


def open_our_templates(page: Any) -> None:
    pack = page.get_by_text(PACK_NAME, exact=True).first
    page.wait_for_timeout(1500)
    for _ in range(20):
        if pack.is_visible():
            break
        # For a new user the browser opens by itself, maybe just now, and then covers the button.
        with contextlib.suppress(NotYetError):
            page.get_by_text("Templates", exact=True).first.click(timeout=5000)
        page.wait_for_timeout(1000)
    pack.click()


def open_template(page: Any, name: str) -> None:
    """As a person does, by clicks: Templates, our pack, the card."""
    open_our_templates(page)
    page.locator(f"[data-testid='template-workflow-{name}']").click()
    count = len(saved(name)["nodes"])
    page.wait_for_function("count => app.graph.nodes.length === count", arg=count)
    page.wait_for_timeout(3000)
    with contextlib.suppress(NotYetError):  # the first app that somebody opens offers a tour
        page.get_by_role("button", name="Skip", exact=True).click(timeout=3000 if name.endswith(".app") else 1)


def test_template_browser_lists_every_workflow_with_its_thumbnail(page: Any) -> None:
    open_our_templates(page)
    for name in WORKFLOWS:
        card = page.locator(f"[data-testid='template-workflow-{name}']")
        card.wait_for()
        image = card.locator("img").first
        image.scroll_into_view_if_needed()
        assert image.evaluate("async image => (await image.decode(), image.naturalWidth)") == 512
    page.screenshot(path=SCREENSHOTS / "templates.png")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_template_opens_runs_and_answers_on_a_bare_install(name: str, page: Any) -> None:
    open_template(page, name)
    assert not page.evaluate(COMPLAINTS)
    assert not page.get_by_text("Missing", exact=False).first.is_visible()
    page.screenshot(path=SCREENSHOTS / f"{name} opened.png")
    press_run(page, is_app=name.endswith(".app"))
    if name.endswith(".app"):
        shown = page.locator("img[src*='/view'][src*='type=temp']").first
        shown.wait_for()
        assert shown.evaluate("async image => (await image.decode(), image.naturalWidth)") >= 300
    else:
        assert not page.evaluate(UNANSWERED)
        assert not page.evaluate(OVERLAPS)
    page.keyboard.press(".")
    page.wait_for_timeout(2500)
    page.screenshot(path=SCREENSHOTS / f"{name} finished.png")


@pytest.mark.parametrize("name", ["1_trace_what_I_just_made", "trace_folder"])
def test_template_answers_with_a_real_decoder(name: str, stocked_page: Any) -> None:
    open_template(stocked_page, name)
    choose = """() => { const node = app.graph.nodes.find(node => node.type === 'VAELoader');
                        node.widgets[0].value = 'taesd'; }"""
    stocked_page.evaluate(choose)
    assert not stocked_page.evaluate(COMPLAINTS)
    press_run(stocked_page)
    assert not stocked_page.evaluate(UNANSWERED)
    stocked_page.screenshot(path=SCREENSHOTS / f"{name} with taesd.png")


def press_run(page: Any, is_app: bool = False) -> None:
    """As a person does, and wait for the end of what runs."""
    page.evaluate(
        """() => { window.ended = null;
                   for (const name of ['execution_success', 'execution_error', 'execution_interrupted'])
                     app.api.addEventListener(name, () => { window.ended ??= name; }); }"""
    )
    if is_app:
        page.get_by_role("button", name="Run", exact=True).last.click()
        page.wait_for_function("() => window.ended", timeout=1000 * RUN_SECONDS)
        assert page.evaluate("() => window.ended") == "execution_success"
        return
    page.locator("[data-testid=queue-button]").click()
    page.wait_for_function("() => window.ended", timeout=1000 * RUN_SECONDS)
    assert page.evaluate("() => window.ended") == "execution_success"
    # Pictures are fetched after the end.
    with contextlib.suppress(NotYetError):
        page.wait_for_function(f"() => ({UNANSWERED})().length === 0", timeout=60_000)


@pytest.mark.parametrize("node_type", ["LatentTracerTraceImage", "LatentTracerLoadImages"])
def test_help_page_opens_from_the_node(node_type: str, page: Any) -> None:
    open_template(page, "trace_folder")
    page.evaluate("type => app.canvas.selectNode(app.graph.nodes.find(node => node.type === type), false)", node_type)
    page.locator("[data-testid=info-button]").click()
    title = page.evaluate("type => LiteGraph.registered_node_types[type].title", node_type)
    page.get_by_role("heading", name=title).first.wait_for()
    page.get_by_role("heading", name="Outputs").first.wait_for()
    page.wait_for_timeout(1000)
    pictures = page.locator("img[src*='/docs/']")
    widths = [pictures.nth(i).evaluate("image => image.naturalWidth") for i in range(pictures.count())]
    assert all(widths), "a picture of the help page is missing"
    page.screenshot(path=SCREENSHOTS / f"help {node_type}.png")


def test_search_finds_the_node_by_what_a_person_would_type(page: Any) -> None:
    for words in ("is this AI", "which model", "provenance"):
        found = page.evaluate(
            """words => Object.values(LiteGraph.registered_node_types).filter(
                 node => (node.nodeData?.search_aliases ?? []).includes(words)).map(node => node.nodeData.name)""",
            words,
        )
        assert any(name.startswith("LatentTracer") for name in found), words


def test_report_page_sorts_without_a_server_and_runs_nothing_of_what_it_shows(chromium: Any, tmp_path: Path) -> None:
    from latent_tracer.core import synthetic_photograph
    from latent_tracer.core.reports.folder_report import write_report
    from latent_tracer.core.tracing.row import TraceRow, thumbnail

    attack = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    small = thumbnail(synthetic_photograph(1, 64))
    rows = [
        TraceRow("b.png", "0" * 64, 5, "PNG", 64, 64, False, (), "m", "f", "belonging", 0.5, 0.004, 0.01, "clean",
                 "score 0.5 is low", None, ("sd15.safetensors",), ("taesd",), ("euler",), "the file claims VAE taesd",
                 "agree", "the metadata name taesd, and the picture belongs to it.", small),
        TraceRow(f"a {attack}.png", verdict="non-belonging", score=12.0, p_value=0.5, claims=attack, thumbnail=small),
        TraceRow("c.png", verdict="inconclusive", score=3.0, p_value=0.04, agreement=attack, agreement_reason=attack),
        TraceRow("d.png", error=attack),
    ]  # fmt: skip
    write_report(tmp_path, rows, {"inspected model": attack})
    page = chromium.new_page(viewport={"width": 1500, "height": 800})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_timeout(500)
    assert [url for url in requests if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
    assert page.evaluate("window.hacked") is None

    def order() -> list[str]:
        return [text[0] for text in page.locator("tbody tr td:nth-child(2)").all_inner_texts()]

    def head_of(name: str) -> Any:  # its name grows an arrow once it is clicked
        return page.locator("th button", has_text=name)

    assert order() == list("bacd")
    for head, ascending in (("score", "bcad"), ("p-value", "bcad"), ("file", "abcd"), ("verdict", "bcad")):
        head_of(head).click()
        assert order() == list(ascending), head
    head_of("score").click()
    head_of("score").click()
    assert order() == list("acbd")
    assert page.locator("tbody img").first.evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=SCREENSHOTS / "report.png", full_page=True)
    page.close()
