"""Bounded memory for the backward pass: recompute a decoder's blocks instead of keeping their activations.

Block checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost") without editing the decoder:
while a block is recomputed only its own activations live, and between blocks only their inputs. Gradients are the same
numbers, for one more forward pass. Whether that is needed is measured, not guessed: one small decode tells how many
bytes per pixel autograd keeps.
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from ..errors import NotEnoughMemoryError
from ..models.autoencoder import Autoencoder
from .frozen_convolution import frozen_convolutions

# Of the free memory: the rest is for what a backward pass holds besides (1.23 times the estimate in all,
# benchmarks/results/constants.md), for convolution workspaces and whoever shares the device.
SHARE_OF_FREE = 0.6
# Cells per side of the picture by which that is estimated: it grows with the pixels (benchmarks/results/memory.md).
PROBE_CELLS = 16
# More than any known decoder keeps (Stable Diffusion's: 15 KiB in fp32, benchmarks/results/memory.md): images this
# rules out need no probe.
MOST_BYTES_PER_PIXEL = 64 * 1024


class LiveTensors(TorchDispatchMode):
    """Bytes of the tensors made inside the block and still alive: ``now``, and at most (``peak``), views not counted.

    Counts what operations return; workspaces inside an operation are not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors_in(result):
            key = _storage_key(tensor)
            # Views and in-place results share the storage of what was given, which may be older than this count.
            if key not in self._known and all(key != _storage_key(one) for one in _tensors_in((args, kwargs))):
                self._add(tensor, key)
        return result

    def _add(self, tensor: Tensor, key: int) -> None:
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self._known[key] = weakref.ref(storage, lambda _: self._let_go(key, size))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _let_go(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self.now -= size


def _tensors_in(value: Any) -> Iterator[Tensor]:
    """Those in what an operation is given or returns; every operation is asked, so this must cost little."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors_in(one)
    elif isinstance(value, dict):
        yield from _tensors_in(tuple(value.values()))


def _storage_key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The smallest modules that hold several layers and a forward of their own: residual and attention blocks,
    whatever they are called. Plain sequences are looked into, not taken."""
    found: list[nn.Module] = []
    for child in module.children():
        inner = blocks_of(child)
        layers = sum(1 for leaf in child.modules() if list(leaf.parameters(recurse=False)))
        if inner:
            found += inner
        elif layers >= 2 and not isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            found.append(child)
    return found


@contextmanager
def block_checkpointing(module: nn.Module) -> Iterator[int]:
    """Recompute the blocks of ``module`` in backward passes made of what runs inside; yields how many there are.

    Only this instance is changed, and restored on the way out. Nested use changes nothing more.
    """
    blocks = [block for block in blocks_of(module) if "forward" not in vars(block)]
    for block in blocks:
        block.forward = _recomputed(block.forward)
    try:
        yield len(blocks)
    finally:
        for block in blocks:
            del block.forward


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False, **options)

    return run


def kept_bytes_per_pixel(autoencoder: Autoencoder) -> float:
    """What autograd keeps of one decode, per pixel of the image, measured on 16×16 latent cells."""
    shape = (1, autoencoder.latent_channels, PROBE_CELLS, PROBE_CELLS)
    with torch.inference_mode(False), torch.enable_grad(), LiveTensors() as live:
        latents = torch.zeros(shape, device=autoencoder.device, dtype=autoencoder.dtype).requires_grad_()
        decoded = autoencoder.decode(latents)
        kept = live.now
    del decoded
    return kept / (PROBE_CELLS * autoencoder.spatial_ratio) ** 2


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on ``device``, or ``None`` where nobody tells."""
    if device.type == "cuda":
        # What torch holds in reserve can be had, too.
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.type == "cpu" and os.path.exists("/proc/meminfo"):
        with open("/proc/meminfo", encoding="ascii") as stream:
            return _available(dict(line.split(":", 1) for line in stream if ":" in line))
    return None


def _available(fields: Mapping[str, str]) -> int | None:
    value = fields.get("MemAvailable", "").split()
    return int(value[0]) * 1024 if value else None


def is_tight(autoencoder: Autoencoder, height: int, width: int, free: int | None) -> bool:
    """Whether a differentiable decode of ``height``×``width`` pixels would take more than its share of ``free``."""
    if free is None or MOST_BYTES_PER_PIXEL * height * width < SHARE_OF_FREE * free:
        return False
    return kept_bytes_per_pixel(autoencoder) * height * width > SHARE_OF_FREE * free


@contextmanager
def bounded(autoencoder: Autoencoder, height: int, width: int, always: bool = False) -> Iterator[bool]:
    """Block checkpointing inside the block if free memory is tight, or ``always``; yields whether it is on.

    Inputs of frozen convolutions are never kept, for that costs nothing. Only for autoencoders that own a torch
    ``module``; for others nothing changes.
    """
    module = getattr(autoencoder, "module", None)
    if not isinstance(module, nn.Module):
        yield False
        return
    with frozen_convolutions(module):
        wanted = always or is_tight(autoencoder, height, width, free_memory(autoencoder.device))
        with block_checkpointing(module) if wanted else nullcontext():
            yield wanted


class PeakMemory:
    """Bytes needed at most inside the block beyond those in use before: by CUDA's own count, else of live tensors."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._live = LiveTensors()
        self.peak = 0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._live.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: Any) -> None:
        if self._device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self._device) - self._before
        else:
            self._live.__exit__(*failure)  # type: ignore[no-untyped-call]
            self.peak = self._live.peak


def let_go(device: torch.device | None = None) -> None:
    """Give back what a failed attempt held; called once its exception is gone, for the traceback keeps its tensors."""
    gc.collect()
    if device is None or device.type == "cuda":
        torch.cuda.empty_cache()  # does nothing where CUDA was never used


def out_of_memory_error(autoencoder: Autoencoder, height: int, width: int) -> NotEnoughMemoryError:
    """The one sentence, with numbers, for a user whose memory does not suffice even with checkpointing."""
    return NotEnoughMemoryError(
        f"Inverting {width}×{height} pixels with {autoencoder.name} ran out of memory twice, the second time with"
        f" recomputed blocks{_available_on(autoencoder.device)}: close other programs, or trace a smaller crop."
    )


def out_of_memory_sentence(doing: str, autoencoder: Autoencoder, image: Tensor) -> str:
    """The same for what keeps nothing for a backward pass; the smallest windows of ``image`` ``[1,3,H,W]`` failed."""
    height, width = image.shape[-2:]
    return (
        f"{doing} {width}×{height} pixels with {autoencoder.name} ran out of memory even in the smallest windows"
        f"{_available_on(autoencoder.device)}: close other programs, or use a device with more memory."
    )


def _available_on(device: torch.device) -> str:
    free = free_memory(device)
    return "" if free is None else f", {free / 2**30:.1f} GiB are free on {device}"
