"""Write the example workflows: for each, the UI file that ComfyUI's template browser loads and an API copy for scripts.

One description makes both, so that they cannot drift apart.

    python tools/build_workflows.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows"


@dataclass
class Node:
    """One node: ``inputs`` maps a name to (source node, output index, type); ``widgets`` name to value, in order."""

    type: str
    position: tuple[int, int]
    size: tuple[int, int]
    outputs: list[tuple[str, str]] = field(default_factory=list)
    inputs: dict[str, tuple[Node, int, str]] = field(default_factory=dict)
    widgets: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    colour: str | None = None


def note(text: str, position: tuple[int, int], size: tuple[int, int]) -> Node:
    return Node("MarkdownNote", position, size, widgets={"text": text}, title="What to expect", colour="#432")


def ui_workflow(nodes: list[Node], groups: list[dict[str, Any]]) -> dict[str, Any]:
    ids = {id(node): number for number, node in enumerate(nodes, start=1)}
    links: list[list[Any]] = []
    outgoing: dict[tuple[int, int], list[int]] = {}
    serialised = []
    for node in nodes:
        inputs: list[dict[str, Any]] = []
        for slot, (name, (source, output, kind)) in enumerate(node.inputs.items()):
            number = len(links) + 1
            links.append([number, ids[id(source)], output, ids[id(node)], slot, kind])
            outgoing.setdefault((ids[id(source)], output), []).append(number)
            inputs.append({"name": name, "type": kind, "link": number})
        entry: dict[str, Any] = {
            "id": ids[id(node)],
            "type": node.type,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {},
            "order": ids[id(node)] - 1,
            "mode": 0,
            "inputs": inputs,
            "properties": {} if node.type == "MarkdownNote" else {"Node name for S&R": node.type},
            "widgets_values": list(node.widgets.values()),
        }
        if node.title:
            entry["title"] = node.title
        if node.colour:
            entry |= {"color": node.colour, "bgcolor": "#653"}
        serialised.append(entry)
    for node, entry in zip(nodes, serialised, strict=True):
        entry["outputs"] = [
            {"name": name, "type": kind, "links": outgoing.get((entry["id"], slot))}
            for slot, (name, kind) in enumerate(node.outputs)
        ]
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": serialised,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.8, "offset": [0, 0]}},
        "version": 0.4,
    }


def api_workflow(nodes: list[Node]) -> dict[str, Any]:
    ids = {id(node): str(number) for number, node in enumerate(nodes, start=1)}
    prompt = {}
    for node in nodes:
        if node.type == "MarkdownNote":
            continue
        # What only the frontend knows (upload buttons, seed control) stays out of the API copy.
        inputs = {name: value for name, value in node.widgets.items() if not name.startswith("_")}
        inputs |= {name: [ids[id(source)], output] for name, (source, output, _) in node.inputs.items()}
        prompt[ids[id(node)]] = {"class_type": node.type, "inputs": inputs}
    return prompt


def group(title: str, box: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"title": title, "bounding": list(box), "color": "#3f789e", "font_size": 24, "flags": {}}


def load_image(position: tuple[int, int], name: str = "example.png") -> Node:
    return Node(
        "LoadImage", position, (300, 330), [("IMAGE", "IMAGE"), ("MASK", "MASK")],
        widgets={"image": name, "_upload": "image"},
    )  # fmt: skip


def load_vae(position: tuple[int, int], name: str = "taesd") -> Node:
    return Node("VAELoader", position, (300, 80), [("VAE", "VAE")], widgets={"vae_name": name})


def trace_step_by_step() -> tuple[list[Node], list[dict[str, Any]]]:
    vae, image = load_vae((40, 120)), load_image((40, 260))
    encode = Node(
        "LatentTracerEncode", (420, 120), (300, 80), [("initial_latents", "LATENT"), ("first_reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE")},
    )  # fmt: skip
    invert = Node(
        "LatentTracerInvert",
        (800, 120),
        (320, 200),
        [("trace", "LATENT_TRACE"), ("latents", "LATENT"), ("reconstruction", "IMAGE")],
        {"vae": (vae, 0, "VAE"), "image": (image, 0, "IMAGE"), "initial_latents": (encode, 0, "LATENT")},
        {"solver": "adam-paper", "steps": 100, "quantiser": "auto"},
    )
    verdict = Node(
        "LatentTracerVerdict",
        (1200, 120),
        (760, 620),
        [("belongs", "BOOLEAN"), ("verdict", "STRING"), ("score", "FLOAT"), ("report", "STRING"), ("picture", "IMAGE")],
        {"trace": (invert, 0, "LATENT_TRACE")},
        {"threshold": 0.0, "belonging_losses": "", "alpha": 0.05},
    )
    text = note(
        "# Trace an image, step by step\n\nDid this picture come out of the VAE that is loaded here?\n\n1. Choose the"
        " VAE and the image, **as it was saved** (not resized).\n2. *Encode for Trace* starts at E(x).\n3. *Invert"
        " Latent* searches the latent that decodes to the image.\n4. *Trace Verdict* answers, with a picture. Without a"
        " threshold it stays **inconclusive** on purpose: a bare loss is no evidence.",
        (40, 660),
        (680, 260),
    )
    groups = [
        group("1 What to compare", (20, 50, 340, 560)),
        group("2 Encoder start", (400, 50, 340, 180)),
        group("3 Inversion", (780, 50, 360, 300)),
        group("4 Verdict", (1180, 50, 800, 710)),
    ]
    return [vae, image, encode, invert, verdict, text], groups


EXAMPLES = {"trace_step_by_step": trace_step_by_step}


def main() -> None:
    (WORKFLOWS / "api").mkdir(parents=True, exist_ok=True)
    for name, build in EXAMPLES.items():
        nodes, groups = build()
        (WORKFLOWS / f"{name}.json").write_text(json.dumps(ui_workflow(nodes, groups), indent=1) + "\n")
        (WORKFLOWS / "api" / f"{name}.json").write_text(json.dumps(api_workflow(nodes), indent=1) + "\n")


if __name__ == "__main__":
    main()
