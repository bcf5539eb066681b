"""Which models made a picture, by the graph that ComfyUI stores with it: ``prompt`` as executed, ``workflow`` as drawn.

Every walk is linear in the nodes and links of the graph, whatever it looks like.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..storage.safe_text import clean_text
from .claims_of_programs import BAKED_VAES

MAX_NODES = 10_000
MAX_CLAIMS = 8
# Names of node classes are short; searching longer ones takes time that grows with their square.
LONGEST_CLASS = 200
_SAMPLER_FIELDS = ("scheduler", "steps", "cfg", "denoise", "seed", "noise_seed")
# Core's decoders, those of packs, and samplers of packs that decode by themselves.
_DECODES = re.compile(r"vae.?decode|decode.*vae|ksampler.*(efficient|pipe)|easy k?sampler", re.IGNORECASE)
# What changes pixels after they were decoded, in a way that can hide a trace.
_ALTERS = re.compile(
    r"upscale|resize|scale|crop|rotate|flip|mirror|stitch|composite|outpaint|image.?pad|pad.?image", re.IGNORECASE
)
# Nodes whose names say so of something else: of latents, of masks alone, of models.
_NO_PICTURE = re.compile(r"latent|loader|condition|^(?!.*image).*mask", re.IGNORECASE)
_VAE_INPUTS = ("vae", "optional_vae", "pipe", "optional_pipe")
_MODEL_FIELDS = ("ckpt_name", "unet_name", "base_ckpt_name")


@dataclass(frozen=True)
class GraphClaims:
    """Cleaned names: see :class:`Claims`."""

    checkpoints: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    alterations: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.vaes or self.samplers)


def claims_of_prompt(prompt: Any) -> GraphClaims:
    """From the API format, ``{id: {"class_type", "inputs"}}``: what stands upstream of the nodes that save."""
    nodes = _prompt_nodes(prompt)
    savers = [number for number, node in nodes.items() if re.search("save|preview", _class(node), re.IGNORECASE)]
    checkpoints: list[str] = []
    samplers: list[str] = []
    vaes: list[str] = []
    nearest = _nearest_vaes(nodes)
    last = _decoders_nearest(nodes, savers or list(nodes))
    for node in _upstream(nodes, savers or list(nodes)):
        inputs = node["inputs"]
        for field in _MODEL_FIELDS:
            _collect(checkpoints, inputs.get(field))
        if isinstance(inputs.get("sampler_name"), str):
            settings = [f"{name} {inputs[name]}" for name in _SAMPLER_FIELDS if _is_setting(inputs.get(name))]
            _collect(samplers, ", ".join([inputs["sampler_name"], *settings]))
        if _DECODES.search(_class(node)) and id(node) in last:
            links = (_link(nodes, inputs.get(name)) for name in _VAE_INPUTS)
            _collect(vaes, next((nearest[link] for link in links if link in nearest), None))
    return GraphClaims(tuple(checkpoints), tuple(vaes), tuple(samplers), _alterations(nodes, savers))


def _decoders_nearest(nodes: dict[str, dict[str, Any]], savers: Sequence[str]) -> set[int]:
    """The nodes that decoded the pictures saved: none behind another one, whose picture was encoded anew."""
    return {
        id(node)
        for node in _upstream(nodes, savers, lambda node: _DECODES.search(_class(node)) is not None)
        if _DECODES.search(_class(node))
    }


def _alterations(nodes: dict[str, dict[str, Any]], savers: Sequence[str]) -> tuple[str, ...]:
    """The nodes between decoders and ``savers`` that resize, cut or turn."""
    found: list[str] = []
    for node in _upstream(nodes, savers, lambda node: _DECODES.search(_class(node)) is not None):
        kind = _class(node)
        if _ALTERS.search(kind) and not _NO_PICTURE.search(kind):
            _collect(found, kind)
    return tuple(found)


def loaded_vae_names(prompt: Any, node: str, name: str = "vae") -> tuple[str, ...]:
    """The file that the input ``name`` of ``node`` is loaded from, in a prompt of one's own; empty where unknown."""
    nodes = _prompt_nodes(prompt)
    inputs = nodes.get(node, {"inputs": {}})["inputs"]
    source = _link(nodes, inputs.get(name))
    return tuple(clean_text(found) for found in (_nearest_vaes(nodes).get(source or ""),) if found)


def claims_of_workflow(workflow: Any) -> GraphClaims:
    """From the drawn graph, whose widgets have positions but no names: core's loaders and sampler only."""
    entries = workflow.get("nodes") if isinstance(workflow, dict) else None
    checkpoints: list[str] = []
    samplers: list[str] = []
    vaes: list[str] = []
    for entry in (entries if isinstance(entries, list) else [])[:MAX_NODES]:
        if not isinstance(entry, dict) or entry.get("mode", 0) != 0:  # 2 is muted, 4 is bypassed
            continue
        kind, values = entry.get("type"), entry.get("widgets_values")
        if not isinstance(values, list) or not values:
            continue
        if kind in ("CheckpointLoaderSimple", "UNETLoader"):
            _collect(checkpoints, values[0])
        elif kind == "VAELoader":
            _collect(vaes, values[0])
        elif kind == "KSampler" and len(values) > 5:  # seed, its control, steps, cfg, sampler, scheduler, denoise
            settings = [
                f"{name} {values[at]}" for name, at in (("scheduler", 5), ("steps", 2)) if _is_setting(values[at])
            ]
            if isinstance(values[4], str):
                _collect(samplers, ", ".join([values[4], *settings]))
    return GraphClaims(tuple(checkpoints), tuple(vaes), tuple(samplers))


def _prompt_nodes(prompt: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(prompt, Mapping):
        return {}
    whole = {
        str(number): node
        for number, node in list(prompt.items())[:MAX_NODES]
        if isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping)
    }
    return {number: {"class_type": node.get("class_type"), "inputs": node["inputs"]} for number, node in whole.items()}


def _class(node: Mapping[str, Any]) -> str:
    return node["class_type"][:LONGEST_CLASS] if isinstance(node["class_type"], str) else ""


def _upstream(
    nodes: dict[str, dict[str, Any]], starts: Sequence[str], is_end: Callable[[dict[str, Any]], bool] = lambda _: False
) -> Iterator[dict[str, Any]]:
    """``starts`` and all nodes they depend on, nearest first, none behind one that ``is_end``; loops end."""
    waiting, seen = deque(starts), set(starts)
    while waiting:
        node = nodes[waiting.popleft()]
        yield node
        if is_end(node):
            continue
        for value in node["inputs"].values():
            source = _link(nodes, value)
            if source is not None and source not in seen:
                seen.add(source)
                waiting.append(source)


def _nearest_vaes(nodes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """By node: the file that the nearest loader upstream of it, or the node itself, takes a VAE from.

    One walk downstream from all loaders at once: as many steps as there are links, for all nodes together.
    """
    nearest = {number: name for number, node in nodes.items() if (name := _own_vae(node["inputs"]))}
    users: dict[str, list[str]] = {}
    for number, node in nodes.items():
        for value in node["inputs"].values():
            source = _link(nodes, value)
            if source is not None:
                users.setdefault(source, []).append(number)
    waiting = deque(nearest)
    while waiting:
        source = waiting.popleft()
        for user in users.get(source, ()):
            if user not in nearest:
                nearest[user] = nearest[source]
                waiting.append(user)
    return nearest


def _own_vae(inputs: Mapping[str, Any]) -> str:
    """The VAE that a loader names, or the checkpoint where it takes the one in there."""
    named = (inputs.get(field) for field in ("vae_name", "ckpt_name"))
    return next((name for name in named if isinstance(name, str) and name.lower() not in BAKED_VAES), "")


def _link(nodes: dict[str, dict[str, Any]], value: Any) -> str | None:
    """The source of a link ``[node, output]``, if there is such a node."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) and str(value[0]) in nodes:
        return str(value[0])
    return None


def _is_setting(value: Any) -> bool:
    return (isinstance(value, str) and len(value) <= 40) or type(value) in (int, float)


def _collect(names: list[str], value: Any) -> None:
    if isinstance(value, str) and value and len(names) < MAX_CLAIMS and value not in names:
        cleaned = clean_text(value)
        if cleaned not in names:
            names.append(cleaned)
