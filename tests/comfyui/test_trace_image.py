"""Trace Image answers from the score's own passes, explains only on demand, and can be watched and cancelled."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from latent_tracer.core import synthetic_photograph, to_picture

from .client import Client, Events, Run
from .conftest import available, png
from .prompts import node, trace_image
from .test_tracing import picture
from .workflow import Prompt

Photographs = Callable[..., str]
DecodedBy = Callable[..., str]
ProfileOf = Callable[[str], str]


@pytest.fixture(scope="module")
def demo(client: Client) -> str:
    return available("demo-a.safetensors", client)


def watched(client: Client, prompt: Prompt, stop: Callable[[list[Any]], bool]) -> tuple[list[Any], Run, float]:
    """What the server tells of node ``trace``: (value, max) of its bar and texts, in order. Interrupts once ``stop``
    says so of them; the last is how long the run then took to end."""
    seen: list[Any] = []
    stopped_at = 0.0
    with Events(client.url) as events:
        prompt_id = client.queue(prompt, events.client_id)
        while True:
            event = events.next()
            if isinstance(event, bytes):
                # Four bytes of event kind (3: text), four of the length of the node's id, the id, the text.
                if event[:4] == b"\0\0\0\3":
                    seen.append(event[8 + int.from_bytes(event[4:8], "big") :].decode())
            elif event["type"] == "progress" and event["data"]["node"] == "trace":
                seen.append((event["data"]["value"], event["data"]["max"]))
            elif event["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                break
            if not stopped_at and stop(seen):
                stopped_at = time.monotonic()
                client.interrupt()
    return seen, client.wait(prompt_id, 60), time.monotonic() - stopped_at


def never(seen: list[Any]) -> bool:
    return False


@pytest.fixture(scope="module")
def large(client: Client) -> str:
    """A picture above the size up to which pictures are judged whole."""
    return client.upload_image("large.png", png(to_picture(synthetic_photograph(43, 960)).crop((0, 0, 960, 704))))


def test_by_default_no_inversion_runs(demo: str, client: Client, decoded_by: DecodedBy, profile_of: ProfileOf) -> None:
    image, profile = decoded_by(demo, 41, 96, 96), profile_of(demo)
    run = client.succeed(trace_image(demo, image, profile))
    assert run.text("answers") == "belonging"
    report = run.text("trace")
    assert "inversion" not in report
    assert " 0 backward passes" in report
    # The steps of an inversion that nobody asked for.
    again = client.succeed(trace_image(demo, image, profile, steps=900)).text("trace")
    assert re.sub(r"[\d.]+ s,|\d+ MiB", "", again) == re.sub(r"[\d.]+ s,|\d+ MiB", "", report)


def test_the_answer_is_there_before_its_explanation_and_the_same(
    demo: str, client: Client, decoded_by: DecodedBy, profile_of: ProfileOf
) -> None:
    image, profile = decoded_by(demo, 42, 96, 96), profile_of(demo)
    plain = client.succeed(trace_image(demo, image, profile))
    seen, run, _ = watched(client, trace_image(demo, image, profile, explain=True, steps=7), never)
    assert run.text("trace").splitlines()[:4] == plain.text("trace").splitlines()[:4]
    assert re.search(r"^inversion by .*: loss ", run.text("trace"), re.MULTILINE)
    assert not re.search(r" 0 backward passes", run.text("trace"))
    told = seen.index("Made by demo-a: yes")
    assert all(total != 7 for _, total in seen[:told])
    assert (7, 7) in seen[told:]
    # A fourth tile: the loss per step.
    cards = [picture(client, one.images("trace")[0]) for one in (plain, run)]
    assert cards[0].tobytes() != cards[1].tobytes()


def test_a_large_picture_is_judged_by_windows_and_the_bar_moves(demo: str, client: Client, large: str) -> None:
    seen, run, _ = watched(client, trace_image(demo, large), never)
    assert "at 6 windows of 320×320" in run.text("trace")
    bar = [entry for entry in seen if not isinstance(entry, str)]
    values = [value / total for value, total in bar]
    assert values == sorted(set(values))
    assert values[-1] == 1
    assert sum(value < 0.9 for value in values) > 3


def test_interrupt_stops_the_judging_and_the_next_prompt_works(
    demo: str, client: Client, large: str, photographs: Photographs, profile_of: ProfileOf
) -> None:
    profile = profile_of(demo)
    prompt = trace_image(demo, large, profile)
    prompt["many"] = node("RepeatImageBatch", image=["image", 0], amount=20)
    prompt["trace"]["inputs"]["image"] = ["many", 0]
    seen, run, seconds = watched(client, prompt, lambda seen: len(seen) >= 3)
    assert run.interrupted is not None
    assert run.interrupted["node_type"] == "LatentTracerTraceImage"
    assert run.error is None
    # One pass takes about a second; the rest is for a machine that is busy with other things.
    assert seconds < 15
    assert max(value / total for value, total in seen) < 0.5
    assert client.succeed(trace_image(demo, photographs(44, 96, 96), profile)).text("answers")
