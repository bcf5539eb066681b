"""Pictures that share passes: the tracer is the same, the batch beneath it is not noticed beyond the last bits."""

from __future__ import annotations

import math

import pytest
import torch
from latent_tracer.core import Tracer, load_autoencoder, synthetic_photograph
from latent_tracer.core.files.picture import Picture
from latent_tracer.core.tracing.gathered import Gathering


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


class Counting:
    """An autoencoder that notes how many pictures each pass had, and refuses some."""

    def __init__(self, inner, refused=None):
        self.inner, self.batches, self.refused = inner, [], refused

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode(self, images):
        self.batches.append(len(images))
        if self.refused is not None and any(torch.equal(one, self.refused[0]) for one in images):
            raise RuntimeError("this one is refused")
        return self.inner.encode(images)

    def decode(self, latents):
        return self.inner.decode(latents)


def pictures(sides):
    return [Picture.of(synthetic_photograph(seed, side), str(seed)) for seed, side in enumerate(sides)]


def test_answers_are_those_of_one_by_one_within_the_stated_distance(demo):
    some = pictures([96, 96, 96, 64, 96, 160])
    alone = [Tracer(demo).trace(one, checks_refusal=False) for one in some]
    gathering, counting = Gathering(), Counting(demo)
    tracer = Tracer(gathering.shared(counting), name="demo-a")
    ended = gathering.run([lambda one=one: tracer.trace(one, checks_refusal=False) for one in some])
    for one, end in zip(alone, ended, strict=True):
        shared = end.get()
        assert shared.verdict.answer == one.verdict.answer and shared.passes == one.passes
        assert shared.verdict.score == pytest.approx(one.verdict.score, abs=1e-4, nan_ok=True)
        assert end.seconds > 0
    assert max(counting.batches) == 4, "the four of one size went through together"


def test_what_one_picture_causes_is_told_of_it_alone(demo):
    some = pictures([64, 64, 64])
    gathering = Gathering()
    network = gathering.shared(Counting(demo, some[1].pixels))

    def encoded(one):
        with torch.no_grad():
            return network.encode(one.pixels)

    ended = gathering.run([lambda one=one: encoded(one) for one in some])
    with pytest.raises(RuntimeError, match="this one is refused"):
        ended[1].get()
    for index in (0, 2):
        assert torch.allclose(ended[index].get(), demo.encode(some[index].pixels), atol=1e-5)


def test_networks_are_not_mixed_and_gradients_go_alone(demo):
    other = load_autoencoder("demo-b")
    some = pictures([64, 64])
    gathering = Gathering()
    counts = [Counting(demo), Counting(other)]
    networks = [gathering.shared(one) for one in counts]

    def work(picture):
        with torch.no_grad():
            made = [one.encode(picture.pixels) for one in networks]
        with torch.enable_grad():
            latents = networks[0].encode(picture.pixels.clone().requires_grad_())
        return [*made, latents]

    ended = [one.get() for one in gathering.run([lambda one=one: work(one) for one in some])]
    assert counts[1].batches == [2] and sorted(counts[0].batches) == [1, 1, 2]
    for picture, (first, second, third) in zip(some, ended, strict=True):
        assert torch.allclose(first, demo.encode(picture.pixels), atol=1e-5)
        assert torch.allclose(second, other.encode(picture.pixels), atol=1e-5)
        assert third.requires_grad


def test_a_low_precision_pass_keeps_its_precision_in_a_batch(demo):
    gathering = Gathering()
    network = gathering.shared(demo)

    def rough(picture):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return network.encode(picture.pixels)

    def exact(picture):
        with torch.no_grad():
            return network.encode(picture.pixels)

    some = pictures([64, 64])
    ended = gathering.run([lambda: rough(some[0]), lambda: exact(some[0]), lambda: rough(some[1])])
    kinds = [one.get().dtype for one in ended]
    assert kinds == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_outside_of_a_run_it_is_the_autoencoder(demo):
    network = Gathering().shared(demo)
    image = synthetic_photograph(3, 64)
    assert torch.equal(network.encode(image), demo.encode(image)) and network.name == demo.name
    assert demo.fingerprint == network.fingerprint
    assert math.isfinite(network.latent_spread)
