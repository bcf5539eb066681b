"""Whether what a file's metadata claim and what its pixels show agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..files.provenance import Claims
from ..verdicts.verdict import Answer

Comparison = Literal["agree", "disagree", "undecided", "no claim"]
_MODEL_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$")


@dataclass(frozen=True)
class Agreement:
    """Whether the claims and the pixels agree, and in one sentence why."""

    comparison: Comparison
    reason: str


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
