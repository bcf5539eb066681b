"""Weights in .safetensors files that nobody vouches for: the header is judged first, tensors are read when they fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import LatentTracerError
from ..storage.safe_text import clean_text

State = dict[str, Tensor]

# The largest image models have a few thousand tensors and headers of some hundred kilobytes.
MOST_HEADER_BYTES = 16 << 20
MOST_TENSORS = 20_000
# In float32 4 GB; the largest image VAE has a twentieth of it.
MOST_VALUES = 1_000_000_000
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}
_ASK_AGAIN = "download or copy it again"
PICKLED = "a PyTorch checkpoint (.pth, .ckpt, .bin), which can run code when it is opened: get the .safetensors instead"
# How files begin that are often taken for weights, what they are, and what to get instead.
_STRANGERS = (
    (b"version https://git-lfs", "the placeholder of git-lfs, not the weights: run git lfs pull or download the file"),
    (b"<", "a web page, not the weights: the download saved a page (a login or an error), download the file itself"),
    (b"{", "a JSON text, not the weights: if a server's answer was saved instead of them, download the file itself"),
    *((start, PICKLED) for start in (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")),
    (b"GGUF", "a GGUF file of quantised weights: get the .safetensors"),
    (b"\x89HDF", "an HDF5 file: get the .safetensors"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
)
#: What building or running a network raises for settings or shapes that make no sense.
MISFITS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, ArithmeticError)


class WeightFileError(LatentTracerError):
    """Weights that cannot be read, or that do not fit their network."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet."""

    path: Path
    key: str
    shape: tuple[int, ...]
    kind: str


def open_weights(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a .safetensors file by name, from its header alone.

    Raises :class:`WeightFileError`, which says what the file is and what to get instead.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise WeightFileError(f"{path} is no ordinary file: give the path of a .safetensors file.")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightFileError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    if not size:
        raise WeightFileError(f"{path} is empty: {_ASK_AGAIN}.")
    header = int.from_bytes(start[:8], "little")
    for beginning, what in _STRANGERS:
        # A header of such a length could begin alike, but only in a file that is long enough for it.
        if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(beginning) and header > min(size, MOST_HEADER_BYTES):
            raise WeightFileError(f"{path} is {what}.")
    broken = f"{path} is not a readable .safetensors file"
    if len(start) < 9 or start[8:9] != b"{":
        raise WeightFileError(f"{broken} (no header): {_ASK_AGAIN}.")
    if 8 + header > size:
        raise WeightFileError(f"{broken} (it ends within its header, it was cut off): {_ASK_AGAIN}.")
    if header > MOST_HEADER_BYTES:
        raise WeightFileError(f"{broken} (a header of {header >> 20} MB, no model has one): {_ASK_AGAIN}.")
    try:
        with safe_open(path, "pt") as stored:
            keys = list(stored.keys())
            if len(keys) > MOST_TENSORS:
                raise WeightFileError(f"{path} holds {len(keys)} tensors, no model has more than {MOST_TENSORS}.")
            parts = {key: stored.get_slice(key) for key in keys}
            return {key: StoredTensor(path, key, tuple(p.get_shape()), p.get_dtype()) for key, p in parts.items()}
    except SafetensorError as error:
        cut = "incomplete" in str(error).lower()
        reason = "it is not as long as its header says, it was cut off" if cut else clean_text(str(error), 150)
        raise WeightFileError(f"{broken} ({reason}): {_ASK_AGAIN}.") from None
    except OSError as error:
        raise WeightFileError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None


def fill(build: Callable[[], nn.Module], stored: Mapping[str, StoredTensor]) -> nn.Module:
    """The network that ``build`` makes, holding exactly the tensors ``stored`` in float32 on the CPU.

    Names and shapes are compared before anything is allocated; only trailing sides of 1 may differ, as between a 1×1
    convolution and a linear layer. Raises :class:`WeightFileError` with the reason, which does not name the file.
    """
    try:
        with torch.device("meta"):
            module = build()
        wanted = module.state_dict()
    except MISFITS as error:
        raise WeightFileError(f"no such network can be built ({shortened(error)})") from None
    # Batch normalisation counts its training steps; old files lack the counter and nothing reads it.
    counters = {key for key in wanted if key.endswith(".num_batches_tracked")}
    if unexpected := stored.keys() - wanted.keys():
        raise WeightFileError(f"nothing takes its {_names(unexpected)}")
    if missing := wanted.keys() - stored.keys() - counters:
        raise WeightFileError(f"it lacks {_names(missing)}")
    for key, tensor in wanted.items():
        if key in stored and _essential(stored[key].shape) != _essential(tensor.shape):
            shown = f"{list(stored[key].shape)}, not {list(tensor.shape)}"
            raise WeightFileError(f"{clean_text(key, 80)} has the shape {clean_text(shown, 80)}")
        if key in stored and key not in counters and stored[key].kind not in _FLOATS:
            raise WeightFileError(f"{clean_text(key, 80)} holds {stored[key].kind} values: get weights that are floats")
    if (total := sum(math.prod(tensor.shape) for tensor in wanted.values())) > MOST_VALUES:
        raise WeightFileError(f"{total} values are more than the {MOST_VALUES} of the largest network supported")
    state = _read({key: stored[key] for key in wanted.keys() - counters})
    state = {key: value.reshape(wanted[key].shape) for key, value in state.items()}
    state |= {key: torch.zeros((), dtype=torch.int64) for key in counters}
    module.load_state_dict(state, assign=True)
    return module


def _read(stored: Mapping[str, StoredTensor]) -> State:
    state = {}
    try:
        for path in {tensor.path for tensor in stored.values()}:
            with safe_open(path, "pt") as file:
                for key, tensor in stored.items():
                    if tensor.path == path:
                        # A copy: the file may change on the disk while its weights are in use.
                        state[key] = file.get_tensor(tensor.key).to(torch.float32, copy=True)
                        if tuple(state[key].shape) != tensor.shape:
                            raise WeightFileError("it changed while it was read")
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"it can no longer be read ({shortened(error)})") from None
    return state


def shortened(error: BaseException) -> str:
    """A library's error on one line that nothing in it can break out of."""
    return clean_text(" ".join(str(error).split()) or type(error).__name__, 200)


def _names(keys: Iterable[str]) -> str:
    ordered = sorted(keys)
    return ", ".join(clean_text(key, 80) for key in ordered[:3]) + (", …" if len(ordered) > 3 else "")


def _essential(shape: Any) -> tuple[int, ...]:
    sides = tuple(shape)
    while sides and sides[-1] == 1:
        sides = sides[:-1]
    return sides
