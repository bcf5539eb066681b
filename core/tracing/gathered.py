"""Passes of several pictures gathered into batches, beneath whatever asks for them.

Each picture is traced in a thread of its own, of which one runs at a time. A thread that asks for a pass waits until
all of them ask or are done; then equal requests (network, shape, precision) go through it as one batch. The road from a
picture to its answer knows nothing of it. On a GPU small pictures fill the device only together; on the processor a
batch pays little and changes the last bits (benchmarks/results/corpus.md), so there each picture goes alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, autocast

from ..errors import is_out_of_memory
from ..inversion.memory import let_go
from ..models.autoencoder import Autoencoder

T = TypeVar("T")
Network = Callable[[Tensor], Tensor]


@dataclass
class Ended(Generic[T]):
    """How one picture ended: its ``result``, or the ``error`` it raised; ``seconds`` are its own and its share of what
    it had with others."""

    result: T | None = None
    error: BaseException | None = None
    seconds: float = 0.0

    def get(self) -> T:
        """The result; raises the error."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


@dataclass
class _Request:
    network: Network
    name: tuple[str, int]
    given: Tensor
    asker: _Asker
    mode: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        kind = self.given.device.type
        # Both are settings of the thread that asks; the one that runs the batch takes them over.
        self.mode = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), torch.is_inference_mode_enabled())

    @property
    def key(self) -> tuple[Any, ...]:
        is_last = self.given.is_contiguous(memory_format=torch.channels_last) and not self.given.is_contiguous()
        return *self.name, self.given.shape, self.given.dtype, self.given.device, is_last, self.mode


@dataclass
class _Asker:
    """One thread: the pass it waits for, what came of it, and the seconds that count as its own."""

    request: _Request | None = None
    made: Tensor | None = None
    failure: Exception | None = None
    seconds: float = 0.0
    since: float = 0.0

    def go(self) -> None:
        self.since = time.perf_counter()

    def rest(self) -> None:
        self.seconds += time.perf_counter() - self.since


class Gathered:
    """An autoencoder whose forward passes inside :meth:`Gathering.run` are shared by the pictures that run there.

    Passes that need a gradient, and those of other threads, go through alone.
    """

    def __init__(self, autoencoder: Autoencoder, gathering: Gathering) -> None:
        self._autoencoder = autoencoder
        self._gathering = gathering

    def __getattr__(self, name: str) -> Any:
        return getattr(self._autoencoder, name)

    def encode(self, images: Tensor) -> Tensor:
        return self._gathering.ask(self._autoencoder.encode, ("encode", id(self._autoencoder)), images)

    def decode(self, latents: Tensor) -> Tensor:
        return self._gathering.ask(self._autoencoder.decode, ("decode", id(self._autoencoder)), latents)


class Gathering:
    """Where pictures meet. :meth:`shared` autoencoders, several for an attribution, are given to tracers."""

    def __init__(self) -> None:
        self._baton = threading.Condition()
        self._askers: dict[int, _Asker] = {}

    def shared(self, autoencoder: Autoencoder) -> Autoencoder:
        """``autoencoder``, with its passes gathered here."""
        proxy: Any = Gathered(autoencoder, self)
        return proxy

    def run(self, works: Sequence[Callable[[], T]]) -> list[Ended[T]]:
        """What each of ``works`` returned or raised, in their order. All of them are started at once."""
        ended: list[Ended[T]] = [Ended() for _ in works]
        begun = threading.Barrier(len(works) + 1)

        def live(work: Callable[[], T], end: Ended[T]) -> None:
            asker = _Asker()
            with self._baton:
                self._askers[threading.get_ident()] = asker
            begun.wait()  # so that the first does not take itself for the only one
            with self._baton:
                asker.go()
                try:
                    end.result = work()
                except BaseException as error:  # handed to whoever asks for the result
                    end.error = error
                asker.rest()
                end.seconds = asker.seconds
                del self._askers[threading.get_ident()]
                self._serve_if_all_wait()

        threads = [threading.Thread(target=live, args=pair) for pair in zip(works, ended, strict=True)]
        for thread in threads:
            thread.start()
        begun.wait()
        for thread in threads:
            thread.join()
        return ended

    def ask(self, network: Network, name: tuple[str, int], given: Tensor) -> Tensor:
        """``network(given)``, ``[B,…]``; ``name`` tells which network it is."""
        asker = self._askers.get(threading.get_ident())
        if asker is None or torch.is_grad_enabled():
            return network(given)
        asker.request = _Request(network, name, given, asker)
        asker.rest()
        self._serve_if_all_wait()
        while asker.request is not None:
            self._baton.wait()
        asker.go()
        made, failure, asker.made, asker.failure = asker.made, asker.failure, None, None
        if failure is not None:
            raise failure
        assert made is not None
        return made

    def _serve_if_all_wait(self) -> None:
        requests = [asker.request for asker in self._askers.values() if asker.request is not None]
        if not requests or len(requests) < len(self._askers):
            return
        groups: dict[tuple[Any, ...], list[_Request]] = {}
        for request in requests:
            groups.setdefault(request.key, []).append(request)
        for group in groups.values():
            self._serve(group)
        self._baton.notify_all()

    def _serve(self, group: list[_Request]) -> None:
        began = time.perf_counter()
        is_autocast, dtype, is_inference = group[0].mode
        kind = group[0].given.device.type
        tight = False
        with torch.inference_mode(is_inference), torch.no_grad(), autocast(kind, dtype, enabled=is_autocast):
            try:
                made = group[0].network(torch.cat([one.given for one in group]))
                for one, part in zip(group, made.split([len(one.given) for one in group]), strict=True):
                    one.asker.made = part if len(group) == 1 else part.clone()
            except Exception as error:
                if len(group) == 1:
                    group[0].asker.failure = error
                tight = is_out_of_memory(error)
        if len(group) > 1 and any(one.asker.made is None for one in group):
            if tight:
                let_go()
            for one in group:  # so that what one of them causes is told of it alone
                one.asker.made = None
                self._serve([one])
            return
        for one in group:
            one.asker.request = None
            one.asker.seconds += (time.perf_counter() - began) / len(group)
