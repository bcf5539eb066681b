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


def decoded(decoder: str, image: str) -> Prompt:
    """``image`` through a VAE and saved by ComfyUI, as node ``save``."""
    return sources(decoder, image) | {
        "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "decoded": node("VAEDecode", samples=["encoded", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decoded", 0], filename_prefix="decoded"),
    }


def calibration(decoder: str, folder: str, name: str, condition: str | None = "clean", **settings: Any) -> Prompt:
    """``calibrate`` on the pictures of a folder, as a list of mixed sizes; ``None`` leaves the condition as a new node
    has it."""
    if condition is not None:
        settings["condition"] = condition
    return {
        "vae": node("VAELoader", vae_name=decoder),
        "folder": node("LoadImageDataSetFromFolder", folder=folder),
        "calibrate": node("LatentTracerCalibrate", vae=["vae", 0], photographs=["folder", 0], name=name, **settings),
    }


def trace_image(decoder: str, image: str, profile: str | None = None, **settings: Any) -> Prompt:
    """``trace`` by Trace Image, with the ``profile`` of that file name, and its verdict as ``answers``."""
    prompt = sources(decoder, image) | {
        "trace": node("LatentTracerTraceImage", vae=["vae", 0], image=["image", 0], **settings),
        "answers": node("PreviewAny", source=["trace", 1]),
        "belongs": node("PreviewAny", source=["trace", 0]),
    }
    if profile is not None:
        prompt["profile"] = node("LatentTracerLoadProfile", profile_name=profile)
        prompt["trace"]["inputs"]["profile"] = ["profile", 0]
    return prompt


def attribution(image: str, candidates: list[tuple[str, str | None]]) -> Prompt:
    """``attribute`` among (decoder, profile file) and its ``answer``, the number of the candidate."""
    inputs: dict[str, Any] = {"image": ["image", 0]}
    prompt: Prompt = {"image": node("LoadImage", image=image)}
    for number, (decoder, profile) in enumerate(candidates, start=1):
        prompt[f"vae {number}"] = node("VAELoader", vae_name=decoder)
        inputs[f"vae_{number}"] = [f"vae {number}", 0]
        if profile is not None:
            prompt[f"profile {number}"] = node("LatentTracerLoadProfile", profile_name=profile)
            inputs[f"profile_{number}"] = [f"profile {number}", 0]
    prompt["attribute"] = node("LatentTracerAttributeImage", **inputs)
    prompt["answer"] = node("PreviewAny", source=["attribute", 0])
    return prompt
