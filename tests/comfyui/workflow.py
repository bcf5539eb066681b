"""From a saved workflow to a prompt, as the browser does it: widget values are saved by position, without names.

Getting the names back from ``/object_info`` is what proves that the saved positions are still right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Prompt = dict[str, dict[str, Any]]

# Drawn by the browser, unknown to the server.
BROWSER_NODES = {"MarkdownNote", "Note"}
WIDGET_TYPES = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}
UPLOADS = ("image_upload", "video_upload", "audio_upload", "upload")
SEED_CONTROLS = {"fixed", "increment", "decrement", "randomize"}


def inputs_of(info: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any], bool]]:
    """Name, type, configuration and whether it is required, of every visible input in the order of the node."""
    for section in ("required", "optional"):
        for name, (kind, *config) in info["input"].get(section, {}).items():
            yield name, kind, config[0] if config else {}, section == "required"


def is_widget(kind: Any, config: dict[str, Any]) -> bool:
    return (isinstance(kind, list) or kind == "COMBO" or kind in WIDGET_TYPES) and not config.get("forceInput")


def options_of(kind: Any, config: dict[str, Any]) -> list[Any] | None:
    if isinstance(kind, list):
        return kind
    return list(config["options"]) if kind == "COMBO" and "options" in config else None


def with_defaults(prompt: Prompt, object_info: dict[str, Any]) -> Prompt:
    """``prompt`` with every required widget that it leaves open at its default, as the browser would send it."""
    complete: Prompt = {}
    for number, node in prompt.items():
        inputs = dict(node["inputs"])
        for name, kind, config, required in inputs_of(object_info.get(node["class_type"], {"input": {}})):
            if not required or name in inputs or not is_widget(kind, config):
                continue
            options = options_of(kind, config)
            if "default" in config or options:
                inputs[name] = config.get("default", options[0] if options else None)
        complete[number] = {"class_type": node["class_type"], "inputs": inputs}
    return complete


def to_prompt(workflow: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """The prompt of a saved workflow (version 0.4, no subgraphs). Raises :class:`ValueError` where it does not fit."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt: Prompt = {}
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind in BROWSER_NODES:
            continue
        if kind not in object_info:
            raise ValueError(f"The server has no node {kind}.")
        if node.get("mode", 0) != 0:
            raise ValueError(f"{kind} is muted or bypassed.")
        inputs = named_widgets(kind, object_info[kind], node.get("widgets_values", []))
        known = {name for name, *_ in inputs_of(object_info[kind])}
        for entry in node["inputs"]:
            if entry["name"] not in known:
                raise ValueError(f"{kind} has no input {entry['name']}.")
            if entry.get("link") is not None:
                inputs[entry["name"]] = links[entry["link"]]
        prompt[str(node["id"])] = {"class_type": kind, "inputs": inputs}
    for number, node in prompt.items():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                check_link(object_info, prompt[value[0]]["class_type"], value[1], node["class_type"], name, number)
    return prompt


def named_widgets(kind: str, info: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """Saved values under the names of the widgets at their positions."""
    remaining = list(values)
    named: dict[str, Any] = {}
    for name, type_, config, _ in inputs_of(info):
        if not is_widget(type_, config):
            continue
        if not remaining:
            raise ValueError(f"{kind} was saved without a value for {name}.")
        value = remaining.pop(0)
        options, python_type = options_of(type_, config), WIDGET_TYPES.get(type_) if isinstance(type_, str) else None
        uploaded = any(config.get(upload) for upload in UPLOADS)
        # What a loader offers are the user's own files: checked when it runs, not against this server's.
        if options is not None and all(isinstance(option, str) for option in options):
            fits = isinstance(value, str) and (uploaded or value in options or "Load" in kind)
        else:
            fits = python_type is None or (
                isinstance(value, python_type) and (type_ == "BOOLEAN") == (value is True or value is False)
            )
        if not fits:
            raise ValueError(f"{kind}.{name} was saved as {value!r}, which is no {type_}.")
        named[name] = value
        has_control = config.get("control_after_generate") or name in ("seed", "noise_seed")
        if uploaded or (has_control and remaining and remaining[0] in SEED_CONTROLS):
            remaining.pop(0)
    if remaining:
        raise ValueError(f"{kind} was saved with values for which it has no widget: {remaining}.")
    return named


def check_link(object_info: dict[str, Any], source: str, output: int, target: str, name: str, number: str) -> None:
    offered = object_info[source]["output"][output]
    wanted = next(kind for input_name, kind, *_ in inputs_of(object_info[target]) if input_name == name)
    if isinstance(wanted, str) and wanted != "*" and offered != "*" and offered not in wanted.split(","):
        raise ValueError(f"Node {number}: {target}.{name} wants {wanted}, {source} gives {offered}.")
