"""Prompts that the tests share, with readable node ids; ``Client`` fills in what they leave open."""

from __future__ import annotations

from typing import Any

from .workflow import Prompt

Link = list[Any]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def sources(decoder: str, image: str) -> Prompt:
    """``vae`` and ``image`` from files."""
    return {"vae": node("VAELoader", vae_name=decoder), "image": node("LoadImage", image=image)}


def traced(vae: Link, image: Link, steps: int = 3, settings: dict[str, Any] | None = None, **verdict: Any) -> Prompt:
    """``invert``, ``verdict`` and ``score`` of an image; ``settings`` go to Invert Latent."""
    return {
        "invert": node("LatentTracerInvert", vae=vae, image=image, steps=steps, **(settings or {})),
        "verdict": node("LatentTracerVerdict", trace=["invert", 0], **verdict),
        "score": node("PreviewAny", source=["verdict", 2]),
    }


def trace(decoder: str, image: str, steps: int = 3, **verdict: Any) -> Prompt:
    return sources(decoder, image) | traced(["vae", 0], ["image", 0], steps, **verdict)
