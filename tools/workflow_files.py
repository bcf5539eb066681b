"""Graphs described once, and the files ComfyUI takes: a saved workflow, a prompt for scripts, a subgraph blueprint.

Columns of nodes from left to right: places and the boxes of groups follow from the nodes' sizes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

#: The bar above a node, the bar of a group, and the room between a group and its nodes, in pixels.
TITLE, HEADING, EDGE = 30, 44, 20


@dataclass(eq=False)
class Node:
    """One node: ``inputs`` maps a name to (source node, output index, type); ``widgets`` name to value, in order."""

    type: str
    size: tuple[int, int]
    outputs: list[tuple[str, str]] = field(default_factory=list)
    inputs: dict[str, tuple[Node, int, str]] = field(default_factory=dict)
    widgets: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    position: tuple[int, int] = (0, 0)

    @property
    def is_note(self) -> bool:
        return self.type == "MarkdownNote"


@dataclass
class Layout:
    """A graph in columns of groups (title, nodes from top to bottom); the note lies above the first ``note_over``.

    ``app``: what app mode asks for, (node, widget) each, and the nodes whose results it shows.
    """

    note: str
    columns: list[list[tuple[str, list[Node]]]]
    note_over: int = 1
    app: tuple[list[tuple[Node, str]], list[Node]] | None = None

    def __post_init__(self) -> None:
        widths = [max(node.size[0] for _, nodes in column for node in nodes) + 2 * EDGE for column in self.columns]
        width = sum(widths[: self.note_over]) + (self.note_over - 1) * EDGE
        # Running text is drawn tiny; headings of the second rank are read, 7.6 pixels a character and 19 a line.
        lines = [line if line.startswith("#") else f"## {line}" for line in self.note.splitlines() if line]
        height = 60 + sum(19 * (1 + int(len(line) * 7.6 / (width - 30))) + 14 for line in lines)
        text = "\n\n".join(lines)
        self.note_node = Node("MarkdownNote", (width, height), widgets={"text": text}, title="Read me first")
        self.note_node.position = (0, TITLE)
        self.groups: list[dict[str, Any]] = []
        left = 0
        for number, (column, width) in enumerate(zip(self.columns, widths, strict=True)):
            top = TITLE + height + EDGE if number < self.note_over else 0
            for title, nodes in column:
                at = top + HEADING
                for node in nodes:
                    node.position = (left + EDGE, at + TITLE)
                    at += TITLE + node.size[1] + EDGE
                self.groups.append(box(title, (left, top, width, at - top)))
                top = at + EDGE
            left += width + EDGE

    @property
    def nodes(self) -> list[Node]:
        """In the order of their numbers; what feeds another node comes before it."""
        found: list[Node] = []

        def visit(node: Node) -> None:
            for source, _, _ in node.inputs.values():
                visit(source)
            if node not in found:
                found.append(node)

        for column in self.columns:
            for _, nodes in column:
                for node in nodes:
                    visit(node)
        return [*found, self.note_node]


def box(title: str, bounding: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"title": title, "bounding": list(bounding), "color": "#3f789e", "font_size": 24, "flags": {}}


def serialised(nodes: list[Node]) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """The nodes, and their links as (number, source, output, target, input, type)."""
    ids = {node: number for number, node in enumerate(nodes, start=1)}
    links: list[list[Any]] = []
    entries = []
    for node in nodes:
        inputs: list[dict[str, Any]] = []
        for slot, (name, (source, output, kind)) in enumerate(node.inputs.items()):
            links.append([len(links) + 1, ids[source], output, ids[node], slot, kind])
            inputs.append({"name": name, "type": kind, "link": len(links)})
        entry: dict[str, Any] = {
            "id": ids[node],
            "type": node.type,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {},
            "order": ids[node] - 1,
            "mode": 0,
            "inputs": inputs,
            "properties": {} if node.is_note else {"Node name for S&R": node.type},
            "widgets_values": list(node.widgets.values()),
        }
        if node.title:
            entry["title"] = node.title
        if node.is_note:
            entry |= {"color": "#432", "bgcolor": "#653"}
        entries.append(entry)
    for node, entry in zip(nodes, entries, strict=True):
        entry["outputs"] = [
            {
                "name": name,
                "type": kind,
                "links": [link[0] for link in links if link[1:3] == [entry["id"], slot]] or None,
            }
            for slot, (name, kind) in enumerate(node.outputs)
        ]
    return entries, links


def ui_workflow(layout: Layout) -> dict[str, Any]:
    nodes = layout.nodes
    entries, links = serialised(nodes)
    extra: dict[str, Any] = {}  # without a view of its own the whole is brought into sight
    if layout.app is not None:
        asked, shown = layout.app
        ids = {node: number for number, node in enumerate(nodes, start=1)}
        extra["linearData"] = {
            "inputs": [[str(ids[node]), widget] for node, widget in asked],
            "outputs": [str(ids[node]) for node in shown],
        }
        extra["linearMode"] = True
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": entries,
        "links": links,
        "groups": layout.groups,
        "config": {},
        "extra": extra,
        "version": 0.4,
    }


def api_workflow(layout: Layout) -> dict[str, Any]:
    nodes = layout.nodes
    ids = {node: str(number) for number, node in enumerate(nodes, start=1)}
    wired = {source for node in nodes for source, _, _ in node.inputs.values()}
    prompt = {}
    for node in nodes:
        if node.is_note or (node.outputs and node not in wired and node.type == "LoadImage"):
            continue
        # What only the frontend knows (upload buttons, seed control) stays out of the API copy.
        inputs = {name: value for name, value in node.widgets.items() if not name.startswith("_")}
        inputs |= {name: [ids[source], output] for name, (source, output, _) in node.inputs.items()}
        prompt[ids[node]] = {"class_type": node.type, "inputs": inputs}
    return prompt


def blueprint(
    name: str, layout: Layout, given: list[tuple[str, Node, str]], returned: list[tuple[str, Node, int]], about: str
) -> dict[str, Any]:
    """The graph of ``layout``, without its note, as one block: ``given`` names (input, node, its input or widget),
    ``returned`` (output, node, output index)."""
    nodes = [node for node in layout.nodes if not node.is_note]
    entries, links = serialised(nodes)
    ids = {node: number for number, node in enumerate(nodes, start=1)}
    inner = [
        dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
        for link in links
    ]
    seed = uuid.uuid5(uuid.NAMESPACE_URL, f"latent-tracer/{name}")

    def number() -> int:
        return len(inner) + 1

    inputs, outputs, proxies = [], [], []
    for label, node, target in given:
        entry = entries[ids[node] - 1]
        if target in node.widgets:
            proxies.append([str(ids[node]), target])
            continue
        kind = label.upper()
        entry["inputs"].append({"name": target, "type": kind, "link": number()})
        link = {"origin_id": -10, "origin_slot": len(inputs), "target_id": ids[node]}
        inner.append({"id": number(), **link, "target_slot": len(entry["inputs"]) - 1, "type": kind})
        inputs.append({"id": str(uuid.uuid5(seed, label)), "name": label, "type": kind, "linkIds": [len(inner)]})
    for slot, (label, node, output) in enumerate(returned):
        socket = entries[ids[node] - 1]["outputs"][output]
        socket["links"] = [*(socket["links"] or []), number()]
        link = {"origin_id": ids[node], "origin_slot": output, "target_id": -20, "target_slot": slot}
        inner.append({"id": number(), **link, "type": socket["type"]})
        outputs.append(
            {"id": str(uuid.uuid5(seed, f"to {label}")), "name": label, "type": socket["type"], "linkIds": [len(inner)]}
        )
    right = max(node.position[0] + node.size[0] for node in nodes)
    for place, sockets in ((300, inputs), (right + 120, outputs)):
        for row, socket in enumerate(sockets):
            socket["pos"] = [place, 100 + 20 * row]
    definition = {
        "id": str(seed),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": len(nodes), "lastLinkId": len(inner), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": name,
        "inputNode": {"id": -10, "bounding": [180, 80, 120, 40 + 20 * len(inputs)]},
        "outputNode": {"id": -20, "bounding": [right + 100, 80, 120, 40 + 20 * len(outputs)]},
        "inputs": inputs,
        "outputs": outputs,
        "widgets": [],
        "nodes": entries,
        "groups": [],
        "links": inner,
        "extra": {},
        "category": "image/provenance",
        "description": about,
    }
    block = {
        "id": len(nodes) + 1,
        "type": str(seed),
        "pos": [0, 0],
        "size": [420, 110],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": one["name"], "type": one["type"], "link": None} for one in inputs],
        "outputs": [{"name": one["name"], "type": one["type"], "links": []} for one in outputs],
        "title": name,
        "properties": {"proxyWidgets": proxies},
        "widgets_values": [],
    }
    return {
        "revision": 0,
        "last_node_id": len(nodes) + 1,
        "last_link_id": 0,
        "nodes": [block],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
    }
