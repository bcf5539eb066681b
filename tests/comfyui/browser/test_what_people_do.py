"""What people do with a graph once it runs: save and come back, drag a picture in, bypass, group, work in two tabs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..client import Client
from ..conftest import Server
from .conftest import NO_PLAYWRIGHT, SCREENSHOTS, opened
from .test_in_the_browser import COMPLAINTS, UNANSWERED, press_run

pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)
pytestmark = pytest.mark.browser

BUILD = """() => {
  app.graph.clear();
  const add = (type, x, y) => {
    const node = LiteGraph.createNode(type); node.pos = [x, y]; app.graph.add(node); return node;
  };
  const set = (node, name, value) => { node.widgets.find(widget => widget.name === name).value = value; };
  const vae = add('VAELoader', 50, 100), image = add('LoadImage', 50, 250);
  const encode = add('VAEEncode', 400, 250), decode = add('VAEDecode', 650, 250);
  const trace = add('LatentTracerTraceImage', 900, 100), save = add('SaveImage', 900, 700);
  set(vae, 'vae_name', 'zz-latent-tracer-demo-a.safetensors');
  set(image, 'image', 'small.png');
  image.connect(0, encode, 'pixels'); vae.connect(0, encode, 'vae');
  encode.connect(0, decode, 'samples'); vae.connect(0, decode, 'vae');
  decode.connect(0, trace, 'image'); vae.connect(0, trace, 'vae');
  decode.connect(0, save, 'images');
}"""
ONE = "type => app.graph.nodes.find(node => node.type === type)"


@pytest.fixture
def small(bare_server: Server) -> str:
    from latent_tracer.core import synthetic_photograph, to_picture

    to_picture(synthetic_photograph(12, 192)).save(bare_server.base / "input" / "small.png")
    return "small.png"


@pytest.fixture
def graph(small: str, page: Any) -> Any:
    """A page with decode and trace by the pack's own decoder, of a picture of 192²."""
    build(page)
    return page


def build(page: Any) -> None:
    close_templates(page)
    page.evaluate(BUILD)
    assert not page.evaluate(COMPLAINTS)


def close_templates(page: Any) -> None:
    page.wait_for_timeout(3000)
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)


def said(page: Any, server: Server, trace: str = "LatentTracerTraceImage") -> list[str]:
    """Headline and rates that the last prompt's trace node left in the server's history."""
    client = Client(f"http://127.0.0.1:{server.port}")
    entry = list(client.get_json("/history").values())[-1]
    (number,) = [key for key, value in entry["prompt"][2].items() if value["class_type"] == trace]
    return str(entry["outputs"][number]["text"][0]).splitlines()[:3]


def test_two_tabs_each_get_their_own_answer(graph: Any, chromium: Any, bare_server: Server) -> None:
    other = opened(chromium, bare_server)
    try:
        build(other)
        press_run(graph)
        assert not graph.evaluate(UNANSWERED)
        press_run(other)
        assert not other.evaluate(UNANSWERED)
        assert not graph.evaluate(UNANSWERED)
    finally:
        other.context.close()


def test_a_picture_dragged_back_brings_the_graph_and_is_traced_again(graph: Any, bare_server: Server) -> None:
    press_run(graph)
    before = said(graph, bare_server)
    saved = max((bare_server.base / "output").glob("*.png"), key=lambda path: path.stat().st_mtime)
    graph.evaluate("() => app.graph.clear()")
    graph.evaluate(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], 'dragged.png', {type: 'image/png'}));
          app.canvasEl.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        list(saved.read_bytes()),
    )
    graph.wait_for_function("() => app.graph.nodes.length === 6")
    graph.wait_for_timeout(1000)
    assert not graph.evaluate(COMPLAINTS)
    press_run(graph)
    assert said(graph, bare_server) == before


def test_a_saved_graph_runs_after_a_restart_and_says_the_same(
    graph: Any, chromium: Any, comfyui: Path, bare_server: Server
) -> None:
    press_run(graph)
    before, workflow = said(graph, bare_server), graph.evaluate("() => app.graph.serialize()")
    restarted = Server(comfyui, bare_server.base, "--reserve-vram", "0")
    try:
        restarted.wait_until_ready(Client(f"http://127.0.0.1:{restarted.port}"))
        page = opened(chromium, restarted)
        close_templates(page)
        page.evaluate("workflow => app.loadGraphData(workflow)", json.loads(json.dumps(workflow)))
        page.wait_for_function("() => app.graph.nodes.length === 6")
        assert not page.evaluate(COMPLAINTS)
        press_run(page)
        assert not page.evaluate(UNANSWERED)
        assert said(page, restarted) == before
        page.context.close()
    finally:
        restarted.stop()


def bypassed(page: Any) -> None:
    page.evaluate(f"() => {{ ({ONE})('LatentTracerTraceImage').mode = 4; }}")


def muted(page: Any) -> None:
    page.evaluate(f"() => {{ ({ONE})('LatentTracerTraceImage').mode = 2; }}")


@pytest.mark.parametrize("without", [bypassed, muted])
def test_what_hangs_on_the_trace_runs_without_it(without: Callable[[Any], None], graph: Any) -> None:
    without(graph)
    press_run(graph)
    assert graph.evaluate(f"() => ({ONE})('SaveImage').imgs?.[0]?.naturalWidth >= 100")
    assert not graph.evaluate(f"() => ({ONE})('LatentTracerTraceImage').imgs?.length")


def test_reroutes_keep_the_answer_and_the_name(graph: Any, bare_server: Server) -> None:
    press_run(graph)
    before = said(graph, bare_server)
    graph.evaluate(
        f"""() => {{
          const find = {ONE};
          for (const [from, input] of [['VAELoader', 'vae'], ['VAEDecode', 'image']]) {{
            const reroute = LiteGraph.createNode('Reroute'); app.graph.add(reroute);
            find(from).connect(0, reroute, 0); reroute.connect(0, find('LatentTracerTraceImage'), input);
          }}
        }}"""
    )
    press_run(graph)
    assert said(graph, bare_server) == before


def test_as_a_subgraph_it_answers_with_the_same_name(graph: Any, bare_server: Server) -> None:
    press_run(graph)
    before = said(graph, bare_server)
    graph.evaluate(
        f"""() => {{
          const find = {ONE};
          app.canvas.graph.convertToSubgraph(new Set([find('VAEDecode'), find('LatentTracerTraceImage')]));
        }}"""
    )
    assert graph.evaluate("() => app.graph.nodes.length") == 5
    graph.evaluate("() => { window.kept = app.graph.nodes.map(node => node.type); }")
    run_without_looking(graph)
    assert said(graph, bare_server) == before
    graph.screenshot(path=SCREENSHOTS / "subgraph.png")


def test_the_trace_runs_alone_when_only_it_is_asked_for(graph: Any, bare_server: Server) -> None:
    written = len(list((bare_server.base / "output").glob("*.png")))
    run_without_looking(graph, f"() => app.queuePrompt(0, 1, [String(({ONE})('LatentTracerTraceImage').id)])")
    assert not graph.evaluate(UNANSWERED)
    assert len(list((bare_server.base / "output").glob("*.png"))) == written


def run_without_looking(page: Any, start: str = "() => app.queuePrompt(0)") -> None:
    page.evaluate(
        """() => { window.ended = null;
                   for (const name of ['execution_success', 'execution_error', 'execution_interrupted'])
                     app.api.addEventListener(name, () => { window.ended ??= name; }); }"""
    )
    page.evaluate(start)
    page.wait_for_function("() => window.ended", timeout=600_000)
    assert page.evaluate("() => window.ended") == "execution_success"
    page.wait_for_timeout(1500)
