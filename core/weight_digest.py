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

import torch
from torch import Tensor, nn

#: What to say of a profile or another file whose digest :func:`is_old_digest`.
OLD_DIGEST = "was made with a release that did not tell biases or the order of layers apart"
_DIGEST = re.compile(r"[0-9a-f]{40}(-[0-9a-f]{40}){0,2}")
_OLD = re.compile(r"[0-9a-f]{32}")


def weight_fingerprint(state: Mapping[str, Tensor]) -> str:
    """The digest of tensors that come without their module: the place of each is its place in ``state``.

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
    exact, through_half, through_bfloat = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    stored_in_half = True
    for tensor in tensors:
        if tensor.ndim == 0:
            continue
        value = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        value = value.detach().cpu()
        kind = "float" if value.is_floating_point() else "int"
        header = f"{kind}{_canonical_shape(tensor.shape)}".encode()
        if kind == "int":
            words = (value.long(),) * 3
        else:
            value = value.float()
            value = value.masked_fill(value.isnan(), torch.nan)  # one of the many bit patterns
            words = (value, _canonical(value), _canonical(value.bfloat16()))
            short = (value.bfloat16() == value) | (_half(value) == value) | value.isnan()
            stored_in_half = stored_in_half and bool(short.all())
        for whole, part in zip((exact, through_half, through_bfloat), words, strict=True):
            whole.update(header + hashlib.sha256(_bytes(part)).digest())
    chosen = [through_half] if stored_in_half else [exact, through_half, through_bfloat]
    return "-".join(whole.hexdigest()[:40] for whole in chosen)


def equivalent_digests(fingerprint: str) -> frozenset[str]:
    """The 40-digit digests under which the weights named ``fingerprint``, or a cast of them, are known.

    Empty for a text that is no digest of this release.
    """
    return frozenset(fingerprint.split("-")) if _DIGEST.fullmatch(fingerprint) else frozenset()


def same_weights(first: str, second: str) -> bool:
    """Do two fingerprints name the same weights, or one a float16 or bfloat16 copy of the other?"""
    return first == second or bool(equivalent_digests(first) & equivalent_digests(second))


def is_old_digest(fingerprint: str) -> bool:
    """Is this a digest of earlier releases, which did not tell biases or the order of layers apart?"""
    return _OLD.fullmatch(fingerprint) is not None


def old_digest(state: Mapping[str, Tensor]) -> str:
    """The digest of earlier releases: only to recognise what cannot be made again, such as a basis of marks in use."""
    digests = [
        hashlib.sha256(_bytes(value.detach().cpu().bfloat16())).digest()
        for value in state.values()
        if value.ndim >= 2 and value.is_floating_point()
    ]
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:32]


def _canonical_shape(shape: torch.Size) -> list[int]:
    sides = list(shape)
    while sides and sides[-1] == 1:
        sides.pop()
    while sides and sides[0] == 1:
        sides.pop(0)
    return sides


def _half(value: Tensor) -> Tensor:
    """``value`` rounded to float16, finite values no further than its largest, as float32."""
    largest = torch.finfo(torch.float16).max
    return torch.where(value.isinf(), value, value.clamp(-largest, largest)).half().float()


def _canonical(value: Tensor) -> Tensor:
    # 65504 rounds up to 65536 in bfloat16: a bfloat16 copy of it is cut to 65504 first and ends there again.
    return _half(value.float()).bfloat16()


def _bytes(value: Tensor) -> bytes:
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[value.element_size()]
    return bytes(value.contiguous().flatten().view(words).numpy().tobytes())
