"""What a picture's metadata claims about its making, and whether its pixels agree.

ComfyUI stores the graph that made a picture in the file: ``prompt`` as it was executed, ``workflow`` as it was drawn.
Anyone can write anything there. It is parsed as data, shown with every name cleaned, compared with the verdict, and
never trusted, never executed, never used as a path.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .picture_metadata import read_texts
from .safe_text import clean_text
from .verdict import Answer

MAX_JSON_CHARACTERS = 8 * 1024 * 1024
MAX_NODES = 10_000
MAX_CLAIMS = 8
Comparison = Literal["agree", "disagree", "undecided", "no claim"]
_SAMPLER_FIELDS = ("scheduler", "steps", "cfg", "denoise", "seed", "noise_seed")
_MODEL_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$")


@dataclass(frozen=True)
class Claims:
    """Cleaned names from the metadata. ``vaes`` are those that decoded the picture, by the file or the checkpoint they
    came from; nearest to the saved picture first. ``notes``: what could not be read, and why.
    """

    checkpoints: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.vaes or self.samplers)

    @property
    def sentence(self) -> str:
        """All claims in one line, or that there are none."""
        parts = (("checkpoint", self.checkpoints), ("VAE", self.vaes), ("sampler", self.samplers))
        named = "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts if names)
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"the file's {self.source} claims {named}{notes}" if named else f"the file claims nothing{notes}"


@dataclass(frozen=True)
class Agreement:
    """Whether the claims and the pixels agree, and in one sentence why."""

    comparison: Comparison
    reason: str


def read_claims(content: bytes) -> Claims:
    """The claims in the bytes of a picture file; never raises, whatever the bytes are."""
    found = read_texts(content)
    notes = list(found.notes)
    for keyword, collect in (("prompt", claims_of_prompt), ("workflow", claims_of_workflow)):
        if keyword not in found.texts:
            continue
        graph, problem = parse_json(found.texts[keyword])
        if problem:
            notes.append(f"its {keyword} {problem}")
            continue
        claims = collect(graph)
        if claims:
            return Claims(claims.checkpoints, claims.vaes, claims.samplers, keyword, tuple(notes))
        notes.append(f"its {keyword} names no model that we know how to read")
    return Claims(notes=tuple(notes))


def parse_json(text: str) -> tuple[Any, str]:
    """The parsed ``text`` and "", or ``None`` and why it was not parsed."""
    if len(text) > MAX_JSON_CHARACTERS:
        return None, f"has more than {MAX_JSON_CHARACTERS // 2**20} Mi characters and was not read"
    try:
        # NaN is what ComfyUI writes for nodes that always run; a number of thousands of digits is an attack.
        return json.loads(text, parse_constant=lambda _: None, parse_int=_short_int), ""
    except RecursionError:
        return None, "is nested too deeply and was not read"
    except ValueError:
        return None, "is no valid JSON"


def _short_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= 20 else None


def claims_of_prompt(prompt: Any) -> Claims:
    """From the API format, ``{id: {"class_type", "inputs"}}``: what stands upstream of the nodes that save."""
    nodes = _prompt_nodes(prompt)
    savers = [number for number, node in nodes.items() if re.search("save|preview", _class(node), re.IGNORECASE)]
    checkpoints: list[str] = []
    samplers: list[str] = []
    vaes: list[str] = []
    for node in _upstream(nodes, savers or list(nodes)):
        inputs = node["inputs"]
        _collect(checkpoints, inputs.get("ckpt_name"))
        _collect(checkpoints, inputs.get("unet_name"))
        if isinstance(inputs.get("sampler_name"), str):
            settings = [f"{name} {inputs[name]}" for name in _SAMPLER_FIELDS if _is_setting(inputs.get(name))]
            _collect(samplers, ", ".join([inputs["sampler_name"], *settings]))
        if _class(node).startswith("VAEDecode"):
            _collect(vaes, next(_loaded_vaes(nodes, inputs.get("vae")), None))
    return Claims(tuple(checkpoints), tuple(vaes), tuple(samplers), "prompt")


def loaded_vae_names(prompt: Any, node: str, name: str = "vae") -> tuple[str, ...]:
    """The file that the input ``name`` of ``node`` is loaded from, in a prompt of one's own; empty where unknown."""
    nodes = _prompt_nodes(prompt)
    inputs = nodes.get(node, {"inputs": {}})["inputs"]
    return tuple(clean_text(found) for found in _loaded_vaes(nodes, inputs.get(name)))[:1]


def claims_of_workflow(workflow: Any) -> Claims:
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
    return Claims(tuple(checkpoints), tuple(vaes), tuple(samplers), "workflow")


def compare(claims: Claims, inspected: Sequence[str], answer: Answer | None) -> Agreement:
    """Do the ``claims`` and the ``answer`` about the autoencoder that goes by the names ``inspected`` agree?

    A name is no proof of the weights behind it: only a claim of the very name inspected can agree or disagree.
    """
    if not claims.vaes:
        return Agreement("no claim", "the metadata name no VAE that decoded the picture.")
    if answer is None or answer == "inconclusive":
        return Agreement("undecided", "the pixels are inconclusive, they neither support nor refute the metadata.")
    claimed = {_model_name(name) for name in claims.vaes}
    shown = " and ".join(claims.vaes)
    matching = claimed & {_model_name(name) for name in inspected}
    if not matching:
        does = "belongs" if answer == "belonging" else "does not belong"
        return Agreement(
            "undecided",
            f"the metadata name {shown}, the picture {does} to the inspected model, which goes by another name"
            " (the same weights may go by both): inspect the one that is named.",
        )
    if answer == "belonging":
        return Agreement("agree", f"the metadata name {shown}, and the picture belongs to it.")
    if len(claimed) > 1:
        return Agreement("undecided", f"the metadata name {shown}; the picture does not belong to one of them.")
    return Agreement(
        "disagree",
        f"the metadata name {shown}, but the picture does not belong to it: the metadata or the pixels were changed,"
        " or other weights went by that name.",
    )


def _model_name(name: str) -> str:
    """What two spellings of one file have in common: folder, case and extension do not count."""
    return _MODEL_SUFFIX.sub("", re.split(r"[/\\]", name)[-1].strip().lower())


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
    return node["class_type"] if isinstance(node["class_type"], str) else ""


def _upstream(nodes: dict[str, dict[str, Any]], starts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """``starts`` and all nodes they depend on, nearest first; loops end."""
    waiting, seen = deque(starts), set(starts)
    while waiting:
        node = nodes[waiting.popleft()]
        yield node
        for value in node["inputs"].values():
            source = _link(nodes, value)
            if source is not None and source not in seen:
                seen.add(source)
                waiting.append(source)


def _loaded_vaes(nodes: dict[str, dict[str, Any]], link: Any) -> Iterator[str]:
    source = _link(nodes, link)
    for node in _upstream(nodes, [source] if source is not None else []):
        for name in ("vae_name", "ckpt_name"):
            if isinstance(node["inputs"].get(name), str):
                yield node["inputs"][name]


def _link(nodes: dict[str, dict[str, Any]], value: Any) -> str | None:
    """The source of a link ``[node, output]``, if there is such a node."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) and str(value[0]) in nodes:
        return str(value[0])
    return None


def _is_setting(value: Any) -> bool:
    return (isinstance(value, str) and len(value) <= 40) or type(value) in (int, float)


def _collect(names: list[str], value: Any) -> None:
    if isinstance(value, str) and value and len(names) < MAX_CLAIMS:
        cleaned = clean_text(value)
        if cleaned not in names:
            names.append(cleaned)
