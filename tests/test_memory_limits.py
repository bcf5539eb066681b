"""Where memory counts as tight, what is asked of the system, and what is told when it does not suffice."""

from __future__ import annotations

import gc
import io
import os
from types import SimpleNamespace

import pytest
import torch
from latent_tracer.core import load_autoencoder
from latent_tracer.core.errors import is_out_of_memory
from latent_tracer.core.inversion import memory as memory_module
from latent_tracer.core.inversion.frozen_convolution import frozen_convolutions
from latent_tracer.core.inversion.memory import (
    LiveTensors,
    PeakMemory,
    block_checkpointing,
    blocks_of,
    bounded,
    free_memory,
    is_tight,
    kept_bytes_per_pixel,
    let_go,
    out_of_memory_error,
    out_of_memory_sentence,
)
from torch import nn
from torch.nn import Linear

# Of what is free, six tenths may be taken; no known decoder keeps more than 64 KiB per pixel.
SHARE, MOST = 0.6, 64 * 1024


@pytest.fixture
def probes(monkeypatch):
    """The decoders that were probed; each keeps 1000 bytes per pixel."""
    asked: list[object] = []
    monkeypatch.setattr(memory_module, "kept_bytes_per_pixel", lambda autoencoder: asked.append(autoencoder) or 1000.0)
    return asked


def test_memory_is_tight_when_a_decode_takes_more_than_its_share(probes):
    needed = 1000 * 200 * 300
    assert not is_tight("model", 200, 300, int(needed / SHARE) + 2)
    assert is_tight("model", 200, 300, int(needed / SHARE) - 2)
    assert not is_tight("model", 200, 300, 10**8)  # exactly its share
    assert len(probes) == 3
    assert not is_tight("model", 200, 300, None)


def test_a_decoder_is_probed_only_where_one_could_take_that_much(probes):
    free = MOST * 200 * 300 / SHARE
    assert not is_tight("model", 200, 300, int(free * 1.0005)) and not probes
    assert not is_tight("model", 200, 300, int(free * 0.9995)) and probes == ["model"]
    assert int(free) == free and not is_tight("model", 200, 300, int(free)) and len(probes) == 2


def test_what_autograd_keeps_is_measured_on_sixteen_by_sixteen_cells():
    shapes = []

    def decode(latents):
        shapes.append(tuple(latents.shape))
        assert latents.requires_grad and torch.is_grad_enabled()
        return torch.zeros(1000, dtype=torch.float64)

    cells = SimpleNamespace(
        latent_channels=4, spatial_ratio=8, device=torch.device("cpu"), dtype=torch.float32, decode=decode
    )
    with torch.inference_mode():
        assert kept_bytes_per_pixel(cells) == (4 * 16 * 16 * 4 + 8000) / (16 * 8) ** 2
    assert shapes == [(1, 4, 16, 16)]


def test_the_limit_really_switches_recomputing_on(monkeypatch):
    autoencoder = load_autoencoder("demo-a")
    with frozen_convolutions(autoencoder.module):  # as bounded does
        kept = kept_bytes_per_pixel(autoencoder)
    assert 100 < kept < MOST
    for factor, expected in ((0.99, True), (1.01, False)):
        monkeypatch.setattr(memory_module, "free_memory", lambda device, f=factor: int(f * kept * 64 * 64 / SHARE))
        with bounded(autoencoder, 64, 64) as wanted:
            assert wanted is expected
    with bounded(autoencoder, 64, 64, always=True) as wanted:
        assert wanted
    with bounded(SimpleNamespace(module=None), 64, 64, always=True) as wanted:
        assert wanted is False


def test_free_memory_is_what_the_system_calls_available(monkeypatch):
    table = "MemTotal: 900 kB\nMemFree:   5 kB\nnonsense\nOdd: a: b\nMemAvailable:     123 kB\n"

    def opened(path, encoding):
        assert (path, encoding) == ("/proc/meminfo", "ascii")
        return io.StringIO(table)

    monkeypatch.setattr(os.path, "exists", lambda path: path == "/proc/meminfo")
    monkeypatch.setattr("builtins.open", opened)
    assert free_memory(torch.device("cpu")) == 123 * 1024
    assert free_memory(torch.device("meta")) is None
    table = "MemTotal: 900 kB\n"
    assert free_memory(torch.device("cpu")) is None
    table = "MemAvailable:\n"
    assert free_memory(torch.device("cpu")) is None
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    assert free_memory(torch.device("cpu")) is None


def test_on_a_graphics_card_what_torch_holds_in_reserve_is_free(monkeypatch):
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(cuda, "memory_allocated", lambda device: 30)
    monkeypatch.setattr(cuda, "mem_get_info", lambda device: (500, 900))
    assert free_memory(torch.device("cuda")) == 540
    monkeypatch.setattr(cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda device: 100)
    with PeakMemory(torch.device("cuda")) as measured:
        assert measured.peak == 0
    assert measured.peak == 70


def test_tensors_older_than_the_count_are_not_in_it():
    older = torch.zeros(1000)
    with LiveTensors() as live:
        assert (live.now, live.peak) == (0, 0)
        view = older[10:]
        view += 1
        older += 1
    assert (live.now, live.peak) == (0, 0) and float(view[0]) == 2


def test_peak_memory_counts_what_lives_at_the_same_time():
    with PeakMemory(torch.device("cpu")) as measured:
        first = torch.zeros(1000)
        del first
        second, third = torch.zeros(500), torch.zeros(600)
    assert measured.peak == 4400 and len(second) + len(third) == 1100


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 6.10 GB, max allowed: 9.07 GB)."), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_want_of_memory_is_recognised(error, expected):
    assert is_out_of_memory(error) is expected


def test_the_sentence_says_how_much_is_free(monkeypatch):
    model = SimpleNamespace(name="big", device=torch.device("cpu"))
    monkeypatch.setattr(memory_module, "free_memory", lambda device: 3 * 2**29)
    assert str(out_of_memory_error(model, 64, 96)) == (
        "Inverting 96×64 pixels with big ran out of memory twice, the second time with recomputed blocks, 1.5 GiB are"
        " free on cpu: close other programs, or trace a smaller crop."
    )
    monkeypatch.setattr(memory_module, "free_memory", lambda device: None)
    assert "recomputed blocks: close" in str(out_of_memory_error(model, 64, 96))
    assert out_of_memory_sentence("Encoding", model, torch.zeros(1, 3, 64, 96)) == (
        "Encoding 96×64 pixels with big ran out of memory even in the smallest windows: close other programs, or use a"
        " device with more memory."
    )


@pytest.mark.parametrize(("device", "emptied"), [(None, 1), ("cuda", 1), ("cpu", 0)])
def test_what_a_failed_attempt_held_is_given_back(monkeypatch, device, emptied):
    calls = []
    monkeypatch.setattr(gc, "collect", lambda: calls.append("collected"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
    let_go(device and torch.device(device))
    assert calls == ["collected"] + ["emptied"] * emptied


class Block(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        for number, layer in enumerate(layers):
            self.add_module(str(number), layer)


def test_a_block_holds_two_layers_or_more_and_is_no_plain_sequence():
    two, lone = Block(Linear(1, 1), Linear(1, 1)), Block(nn.Sequential(Linear(1, 1)))
    module = nn.Sequential(two, lone, nn.Sequential(Linear(1, 1), Linear(1, 1)), Block(lone, Block(two)))
    assert blocks_of(module) == [two, two]


class Counted(Block):
    """Counts how often it runs."""

    runs = 0

    def forward(self, values, *, factor):
        self.runs += 1
        return factor * self._modules["1"](self._modules["0"](values)).exp()


def test_a_block_runs_again_for_gradients_only_and_asks_for_no_random_state(monkeypatch):
    block = Counted(Linear(1, 1), Linear(1, 1))
    module = nn.ModuleList([block])
    monkeypatch.setattr(torch, "get_rng_state", lambda: pytest.fail("that takes time on a graphics card"))
    values = torch.ones(1, requires_grad=True)
    block(values, factor=2).backward()
    plain, block.runs = values.grad.clone(), 0
    with block_checkpointing(module) as blocks, block_checkpointing(module) as inner:
        assert (blocks, inner) == (1, 0)
        with torch.no_grad():
            block(values, factor=2)
        assert block.runs == 1
        values.grad = None
        block(values, factor=2).backward()
    assert block.runs == 3 and torch.equal(values.grad, plain)
    assert "forward" not in vars(block)
