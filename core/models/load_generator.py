"""Load a generator from local files by a short specification; never from the network, never by unpickling."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch

from ..errors import UnsupportedGeneratorError
from ..storage.safe_text import clean_text
from .autoencoder_generator import AutoencoderGenerator
from .dcgan import INPUTS, dcgan32_from, is_dcgan32
from .device import usable_device
from .generator import Generator, ModuleGenerator, check_generator
from .loading import load_autoencoder
from .one_step import load_one_step
from .weight_files import WeightFileError, open_weights, shortened

SUPPORTED = (
    "vae:AUTOENCODER (its decoder from random latents; AUTOENCODER as for trace --vae, ?size=WIDTHxHEIGHT),"
    " a TorchScript file NAME.pt?input=100 (also input=16x4x4, prior=uniform, range=-1:1), a .safetensors file of the"
    " 32×32 DCGAN, or a diffusers folder of an unconditional one-step pipeline"
)
_OPTIONS = {"vae": {"size"}, "script": {"input", "prior", "range"}, "other": set[str]()}


def load_generator(
    spec: str | Path, *, image_size: tuple[int, int] | None = None, device: str | torch.device = "cpu"
) -> Generator:
    """Load and check the generator that ``spec`` names, in float32 on ``device``.

    ``image_size`` (height, width): for decoders, which have none of their own, where ``spec`` gives none. TorchScript
    files carry their own program: open only those you trust. Raises :class:`UnsupportedGeneratorError` with what was
    found instead, :class:`InvalidSettingError` for a device that cannot be used.
    """
    place = usable_device(device)
    text, _, query = str(spec).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    try:
        Path(text).expanduser().is_file()
    except (OSError, RuntimeError) as error:  # names that are too long, homes that do not exist
        raise UnsupportedGeneratorError(f"{text} cannot be opened ({shortened(error)}): check its name.") from None
    with torch.inference_mode(False):
        generator = _load(text, options, image_size, place)
        check_generator(generator)
    return generator


def _load(text: str, options: dict[str, str], image_size: tuple[int, int] | None, device: torch.device) -> Generator:
    path = Path(text).expanduser()
    if text.startswith("vae:"):
        _check_options(text, options, "vae")
        height, width = _size(text, options["size"]) if "size" in options else image_size or (0, 0)
        if not height:
            raise UnsupportedGeneratorError(f"{text} decodes images of any size: add ?size=WIDTHxHEIGHT.")
        return AutoencoderGenerator(load_autoencoder(text.removeprefix("vae:"), device), height, width)
    if path.suffix in (".pt", ".ts", ".torchscript") and path.is_file():
        _check_options(text, options, "script")
        return _torchscript(path, options, device)
    _check_options(text, options, "other")
    if path.is_dir():
        generator = load_one_step(path, path.name)
    elif path.is_file():
        generator = _safetensors(path)
    else:
        raise UnsupportedGeneratorError(f"There is no generator at {text}; supported are {SUPPORTED}.")
    generator.module.to(device)
    generator.device = device
    return generator


def _safetensors(path: Path) -> ModuleGenerator:
    try:
        state = open_weights(path)
    except WeightFileError as error:
        raise UnsupportedGeneratorError(str(error)) from None
    if not is_dcgan32(state):
        raise UnsupportedGeneratorError(
            f"No supported generator in {path}: found keys such as"
            f" {clean_text(', '.join(sorted(state)[:2]), 80) or 'none'}; supported are {SUPPORTED}."
        )
    return ModuleGenerator(
        path.stem, dcgan32_from(state, str(path)), (INPUTS,), prior="uniform", output_range=(-1.0, 1.0)
    )


def _torchscript(path: Path, options: dict[str, str], device: torch.device) -> ModuleGenerator:
    if "input" not in options:
        raise UnsupportedGeneratorError(f"{path} does not say what its input is: add ?input=100 or ?input=16x4x4.")
    shape = _sides(str(path), "input", options["input"])
    settings: dict[str, Any] = {"prior": options.get("prior", "normal")}
    if "range" in options:
        try:
            low, high = (float(bound) for bound in options["range"].split(":"))
        except ValueError:
            raise UnsupportedGeneratorError(f"{path}: range={options['range']} is none, give e.g. -1:1.") from None
        settings["output_range"] = (low, high)
    try:
        module = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise UnsupportedGeneratorError(
            f"{path} is no TorchScript file ({shortened(error)}): pickled weights are not loaded; export the generator"
            " with torch.jit.trace or torch.jit.script."
        ) from None
    return ModuleGenerator(path.stem, module.float(), shape, **settings)


def _check_options(text: str, options: dict[str, str], kind: str) -> None:
    unknown = sorted(set(options) - _OPTIONS[kind])
    if unknown:
        taken = ", ".join(sorted(_OPTIONS[kind])) or "none"
        raise UnsupportedGeneratorError(f"{text} takes no option {unknown[0]!r} (known here: {taken}).")


def _size(text: str, value: str) -> tuple[int, int]:
    sides = _sides(text, "size", value)
    if len(sides) != 2:
        raise UnsupportedGeneratorError(f"{text}: size={value} is no WIDTHxHEIGHT, for example 128x128.")
    return sides[1], sides[0]


def _sides(text: str, option: str, value: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(side) for side in value.split("x"))
    except ValueError:
        sides = ()
    if not sides or min(sides) < 1:
        raise UnsupportedGeneratorError(f"{text}: {option}={value} holds no positive whole numbers, as in 16x4x4.")
    return sides
