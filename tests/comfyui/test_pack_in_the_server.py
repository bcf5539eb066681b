"""What ComfyUI sees of the pack when it starts."""

from __future__ import annotations

import io
import itertools
import json
import re
from typing import Any

import pytest
from PIL import Image

from .client import Client
from .conftest import EMBEDDED, PACK, PACK_NAME, Server
from .workflow import to_prompt, with_defaults

NODE_IDS = sorted(
    node_id
    for module in (PACK / "nodes").glob("*.py")
    for node_id in re.findall(r'node_id="(\w+)"', module.read_text(encoding="utf-8"))
)
WORKFLOWS = sorted(path.stem for path in (PACK / "workflows").glob("*.json"))


def saved(name: str) -> dict[str, Any]:
    return json.loads((PACK / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_pack_loads_without_warnings(server: Server, client: Client) -> None:
    # What other tests provoke later is not a complaint about loading.
    log = server.log.split("Starting server")[0]
    assert re.search(rf"seconds: .*{PACK_NAME}", log)
    assert "IMPORT FAILED" not in log
    complaints = [line for line in log.splitlines() if PACK_NAME in line and re.search("warn|error|fail", line, re.I)]
    assert not complaints


def test_every_node_is_registered_and_no_other(client: Client) -> None:
    module = f"custom_nodes.{PACK_NAME}"
    registered = [name for name, info in client.object_info.items() if info["python_module"] == module]
    assert sorted(registered) == NODE_IDS


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_every_input_and_output_has_a_tooltip(node_id: str, client: Client) -> None:
    info = client.object_info[node_id]
    inputs = info["input"].get("required", {}) | info["input"].get("optional", {})
    assert inputs
    without = [name for name, (_, *config) in inputs.items() if not (config and config[0].get("tooltip"))]
    assert not without
    assert len(info["output_tooltips"]) == len(info["output"])
    assert all(info["output_tooltips"])
    assert info["description"]


def test_load_vae_offers_the_embedded_decoders_after_a_users_own(client: Client) -> None:
    offered = client.choices("VAELoader", "vae_name")
    ours = sorted(path.name for path in EMBEDDED.glob("*.safetensors"))
    assert len(ours) == 2 and [name for name in offered if name in ours] == ours
    files = [name for name in offered if name.endswith(".safetensors")]
    assert files[-2:] == ours
    # ComfyUI saves and downloads into the first folder of a kind: never one of ours.
    for folders in client.get_json("/internal/folder_paths").values():
        assert not folders or not str(folders[0]).startswith(str(PACK))


def test_the_block_is_offered_as_a_blueprint(client: Client) -> None:
    offered = client.get_json("/global_subgraphs")
    ours = [key for key, entry in offered.items() if entry["info"]["node_pack"] == f"custom_nodes.{PACK_NAME}"]
    assert [offered[key]["name"] for key in ours] == ["Trace what I just made"]
    block = json.loads(client.get_json(f"/global_subgraphs/{ours[0]}")["data"])
    assert block["definitions"]["subgraphs"][0]["id"] == block["nodes"][0]["type"]


def test_example_workflows_are_offered_as_templates(client: Client) -> None:
    assert sorted(client.get_json("/api/workflow_templates")[PACK_NAME]) == WORKFLOWS
    assert WORKFLOWS
    for name in WORKFLOWS:
        assert client.get_json(f"/api/workflow_templates/{PACK_NAME}/{name}.json") == saved(name)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_template_has_a_thumbnail(name: str, client: Client) -> None:
    data = client.get(f"/api/workflow_templates/{PACK_NAME}/{name}.jpg")
    assert len(data) < 60_000
    with Image.open(io.BytesIO(data)) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert thumbnail.size == (512, 512)
        assert len(thumbnail.convert("RGB").resize((64, 64)).getcolors(64 * 64)) > 100


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_help_page_is_served_and_names_every_socket(node_id: str, client: Client) -> None:
    page = client.get(f"/extensions/{PACK_NAME}/docs/{node_id}.md").decode()
    info = client.object_info[node_id]
    assert page.startswith(f"# {info['display_name']}\n")
    names = [*info["input"].get("required", {}), *info["input"].get("optional", {}), *info["output_name"]]
    # Numbered sockets are described together.
    missing = {re.sub(r"_\d$", "_1", name) for name in names if f"`{re.sub(r'_[0-9]$', '_1', name)}`" not in page}
    assert not missing


def test_example_workflows_show_every_node(client: Client) -> None:
    used = {node["type"] for name in WORKFLOWS for node in saved(name)["nodes"]}
    assert set(NODE_IDS) <= used


@pytest.mark.parametrize("name", WORKFLOWS)
def test_saved_workflow_has_a_note_and_nothing_overlaps(name: str) -> None:
    nodes = saved(name)["nodes"]
    assert any(node["type"] == "MarkdownNote" for node in nodes)
    boxes = [(*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1]) for node in nodes]
    # A node's title bar is 30 pixels above its position.
    for (left, top, right, bottom), (l2, t2, r2, b2) in itertools.combinations(boxes, 2):
        assert right <= l2 or r2 <= left or bottom <= t2 - 30 or b2 <= top - 30


@pytest.mark.parametrize("name", WORKFLOWS)
def test_groups_hold_their_nodes_whole(name: str) -> None:
    """Nothing hangs over an edge, the bar above a node included; only the note stands outside."""
    workflow = saved(name)
    outside = []
    for node in workflow["nodes"]:
        left, top, (width, height) = node["pos"][0], node["pos"][1] - 30, node["size"]
        whole = any(
            x <= left and y + 40 <= top and left + width <= x + w and top + 30 + height <= y + h
            for x, y, w, h in (group["bounding"] for group in workflow["groups"])
        )
        outside += [] if whole else [node["type"]]
    assert outside == ["MarkdownNote"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_templates_name_only_what_the_pack_or_comfyui_brings(name: str) -> None:
    brought = {"example.png", "pixel_space", ""}  # ComfyUI's own picture; nothing chosen yet
    for node in saved(name)["nodes"]:
        if node["type"] == "LoadImage":
            assert node["widgets_values"][0] in brought
        elif node["type"] == "VAELoader":
            assert (EMBEDDED / node["widgets_values"][0]).is_file()
        elif node["type"] == "LatentTracerLoadImages":
            folder = node["widgets_values"][0].removeprefix("latent-tracer examples/")
            assert any((PACK / "workflows/examples/pictures" / folder).iterdir())
        elif node["type"] in ("LatentTracerLoadProfile", "LatentTracerLoadFingerprintBasis"):
            assert list((PACK / "workflows/examples").glob(f"*/{node['widgets_values'][0]}"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_saved_workflow_is_the_same_prompt_as_its_api_copy(name: str, client: Client) -> None:
    copy = json.loads((PACK / "workflows/api" / f"{name}.json").read_text(encoding="utf-8"))
    prompt = to_prompt(saved(name), client.object_info)
    # Load Image for one's own picture, empty and not connected, is of no use to scripts.
    prompt = {number: node for number, node in prompt.items() if node["inputs"].get("image") != ""}
    assert with_defaults(prompt, client.object_info) == with_defaults(copy, client.object_info)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_saved_workflow_uses_only_core_nodes_beside_ours(name: str, client: Client) -> None:
    for node in to_prompt(saved(name), client.object_info).values():
        module = client.object_info[node["class_type"]]["python_module"]
        assert module in ("nodes", f"custom_nodes.{PACK_NAME}") or module.startswith("comfy_extras."), module


def test_misplaced_widget_value_is_noticed(client: Client) -> None:
    """The conversion really checks positions: a value too many, too few or of another kind is refused."""
    for change in (lambda values: values[1:], lambda values: [*values, 1], lambda values: values[::-1]):
        workflow = saved("trace_step_by_step")
        node = next(node for node in workflow["nodes"] if node["type"] == "LatentTracerInvert")
        node["widgets_values"] = change(node["widgets_values"])
        with pytest.raises(ValueError, match="LatentTracerInvert"):
            to_prompt(workflow, client.object_info)
