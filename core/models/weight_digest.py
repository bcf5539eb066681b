"""A digest that identifies weights: every tensor, with its shape and its place in the computation.

The place is the order in which one run of the network first calls the modules that own tensors: it is the same
whatever the keys are called and however a file orders them, and the same in ComfyUI's and diffusers' code. Modules
that the run does not call (and everything inside TorchScript) follow in the order in which the network defines them.

Left out are tensors without a dimension: counters, and the latent scale and shift that ComfyUI adds to TAESD, which
choose the unit of the latents and not what the decoder can draw. Leading and trailing sides of 1 do not count: a 1×1
convolution is a linear layer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_DIGEST = re.compile(r"[0-9a-f]{40}((-[0-9a-f]{40}){2})?")
_OLD = re.compile(r"[0-9a-f]{32}")


def weight_digest(state: Mapping[str, Tensor]) -> str:
    """The digest of tensors ``[…]`` that come without their module: the place of each is its place in ``state``.

    It equals the digest of a module with these weights where the module defines its layers in the order in which it
    calls them. Renaming does not change it, reordering does. See :func:`digest_in_order` for the form.
    """
    return digest_in_order(state.values())


def module_digest(module: nn.Module, run: Callable[[], object]) -> str:
    """The digest of ``module``, all parts of which ``run`` calls at least once. See :func:`digest_in_order`."""
    return digest_in_order(tensors_in_order(module, run))


def tensors_in_order(module: nn.Module, run: Callable[[], object]) -> list[Tensor]:
    """All tensors of ``module``'s state dict, those of modules that ``run`` calls first, in the order of first call."""
    by_owner: dict[str, list[Tensor]] = {}
    for key, value in module.state_dict().items():
        if isinstance(value, Tensor):  # a module's "extra state" can be anything
            by_owner.setdefault(key.rpartition(".")[0], []).append(value)
    order: dict[str, None] = {}  # a set that keeps its order
    handles = [
        part.register_forward_pre_hook(lambda *_, name=name: order.setdefault(name))
        for name, part in module.named_modules(remove_duplicate=False)
        if name in by_owner and not isinstance(part, torch.jit.ScriptModule)  # which take no hooks
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return [tensor for name in order | dict.fromkeys(by_owner) for tensor in by_owner[name]]


def digest_in_order(tensors: Iterable[Tensor]) -> str:
    """Hex digest of a sequence of tensors: 40 digits, or three times 40 with hyphens between.

    Weights that were stored as bfloat16 or float16 have one digest, the same for their float32, bfloat16 and float16
    copies. Values are hashed as bfloat16 after rounding to float16 (and no further than its largest number), which
    every one of those casts leaves as it is. A change that a cast to bfloat16 undoes is therefore not seen.

    Other float32 weights have three: of the exact values, of their float16 and of their bfloat16 copy.
    :func:`same_weights` recognises either copy by it, but not one copy by the other: from the rounded values alone
    nothing tells that both came from the same file. Nor can it hold for values beyond 65504, which a cast to float16
    makes infinite. NaN and infinite values have a digest of their own.
    """
    placed = [tensor.detach().cpu() for tensor in tensors if tensor.ndim]
    casts = [_through_half] if all(map(_is_stored_in_half, placed)) else [_exact, _through_half, _through_bfloat]
    return "-".join(_hash(placed, cast) for cast in casts)


def equivalent_digests(digest: str) -> frozenset[str]:
    """The 40-digit digests under which the weights of ``digest``, or a cast of them, are known.

    Empty for a text that is no digest of this release.
    """
    return frozenset(digest.split("-")) if _DIGEST.fullmatch(digest) else frozenset()


def same_weights(first: str, second: str) -> bool:
    """Do two digests name the same weights, or one a float16 or bfloat16 copy of the other?"""
    return first == second or bool(equivalent_digests(first) & equivalent_digests(second))


def is_old_digest(digest: str) -> bool:
    """Is this a digest of earlier releases, which did not tell biases or the order of layers apart?"""
    return _OLD.fullmatch(digest) is not None


def old_digest(state: Mapping[str, Tensor]) -> str:
    """The digest of earlier releases: only to recognise what cannot be made again, such as a basis of marks in use."""
    digests = [
        hashlib.sha256(_bytes(value.detach().cpu().bfloat16())).digest()
        for value in state.values()
        if value.ndim >= 2 and value.is_floating_point()
    ]
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:32]


def _hash(tensors: list[Tensor], cast: Callable[[Tensor], Tensor]) -> str:
    whole = hashlib.sha256()
    for tensor in tensors:
        kind = "float" if tensor.is_floating_point() or tensor.is_complex() else "int"
        values = tensor.long() if kind == "int" else cast(_floats(tensor))
        whole.update(f"{kind}{_canonical_shape(tensor.shape)}".encode())
        whole.update(hashlib.sha256(_bytes(values)).digest())
    return whole.hexdigest()[:40]


def _floats(tensor: Tensor) -> Tensor:
    values = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).float()
    # One of NaN's many bit patterns. A look at the extremes is much faster than a mask.
    return values.masked_fill(values.isnan(), torch.nan) if _extremes(values) is None else values


def _extremes(values: Tensor) -> tuple[float, float] | None:
    """The least and the greatest of ``values``, ``None`` where one is NaN."""
    if not values.numel():
        return 0.0, 0.0
    least, greatest = values.aminmax()
    return None if least.isnan() else (float(least), float(greatest))


def _is_stored_in_half(tensor: Tensor) -> bool:
    """Is every value one that bfloat16 or float16 can hold?"""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.dtype in (torch.bfloat16, torch.float16):
        return True
    values = _floats(tensor)
    if torch.equal(values.bfloat16().float(), values):
        return True
    return bool(((values.bfloat16() == values) | (_half(values) == values) | values.isnan()).all())


def _exact(values: Tensor) -> Tensor:
    return values


def _through_half(values: Tensor) -> Tensor:
    # 65504 rounds up to 65536 in bfloat16: a bfloat16 copy of it is cut to 65504 first and ends there again.
    return _half(values).bfloat16()


def _through_bfloat(values: Tensor) -> Tensor:
    return _through_half(values.bfloat16().float())


def _half(values: Tensor) -> Tensor:
    """``values`` rounded to float16, finite ones no further than its largest, as float32."""
    largest = torch.finfo(torch.float16).max
    extremes = _extremes(values)
    if extremes is None or extremes[0] < -largest or extremes[1] > largest:
        values = torch.where(values.isinf(), values, values.clamp(-largest, largest))
    return values.half().float()


def _canonical_shape(shape: torch.Size) -> list[int]:
    sides = list(shape)
    while sides and sides[-1] == 1:
        sides.pop()
    while sides and sides[0] == 1:
        sides.pop(0)
    return sides


def _bytes(values: Tensor) -> memoryview:
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    buffer: Any = values.contiguous().flatten().view(words).numpy()
    return memoryview(buffer)
