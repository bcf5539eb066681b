"""A short slice of `make fuzz`, always the same one, and that fuzzing notices what it is there to notice."""

import mmap
import os
import time

import fuzz
import pytest
from fuzz_kinds import KINDS, Kind
from latent_tracer.core import InvalidImageError

# A few seconds for all kinds together; what costs more is asked less often.
INPUTS = 120


@pytest.mark.parametrize("kind", KINDS)
def test_files_changed_at_random_end_in_an_answer_or_one_of_our_sentences(kind):
    if kind in ("weights", "configs"):
        pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
    inputs = [*fuzz.kept(kind), *(fuzz.made(KINDS[kind], number) for number in range(INPUTS // KINDS[kind].cost))]
    for content, name in inputs:
        result = fuzz.judged(KINDS[kind], content, name)
        assert not result["failure"], (name, content[:200], result["failure"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_made_from_its_number_alone(kind):
    if kind in ("weights", "configs"):
        pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
    some = [fuzz.made(KINDS[kind], number) for number in range(40, 60)]
    assert some == [fuzz.made(KINDS[kind], number) for number in range(40, 60)]
    assert len({content for content, _ in some}) > 10


def raising(error):
    def call(content, name):
        raise error

    return Kind(lambda: {"a": b"a"}, call)


def doing(act):
    return Kind(lambda: {"a": b"a"}, lambda content, name: act())


def test_what_is_no_sentence_of_ours_is_a_failure(monkeypatch):
    assert not fuzz.judged(raising(InvalidImageError("a.png is no picture: give one.")), b"", "a")["failure"]
    for error in (ValueError("x"), MemoryError(), RecursionError(), InvalidImageError("x" * 3000), BaseException()):
        assert fuzz.judged(raising(error), b"", "a")["failure"], error
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    started = time.process_time()

    def work():
        while time.process_time() - started < 0.1:
            pass

    assert fuzz.judged(doing(work), b"", "a")["failure"].endswith(" s")


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peaks are measured as Linux does")
def test_memory_is_a_failure_even_when_it_was_given_back(monkeypatch):
    monkeypatch.setattr(fuzz, "BYTES", 50_000_000)

    def fill():
        # Pages of its own: what an earlier test gave back to the allocator is still held, and would be used again.
        with mmap.mmap(-1, 80_000_000) as pages:
            for at in range(0, len(pages), mmap.PAGESIZE):
                pages[at] = 1

    assert fuzz.judged(doing(fill), b"", "a")["failure"]
    assert not fuzz.judged(doing(lambda: None), b"", "a")["failure"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a batch is a process of its own, by fork")
def test_a_process_that_dies_or_hangs_names_the_input_that_did_it(monkeypatch):
    monkeypatch.setattr(fuzz, "PATIENCE", 3)
    calls = []

    def at_the_third(act):
        calls.append(None)
        if len(calls) == 3:
            act()

    for act in (lambda: os._exit(3), lambda: time.sleep(60)):
        calls.clear()
        monkeypatch.setitem(fuzz.KINDS, "test", doing(lambda act=act: at_the_third(act)))
        results, dead = fuzz.run_batch("test", 10, 5)
        assert [one["number"] for one in results] == [10, 11] and dead == 12
    monkeypatch.setitem(fuzz.KINDS, "test", doing(lambda: None))
    results, dead = fuzz.run_batch("test", 0, 5)
    assert len(results) == 5 and dead == -1
