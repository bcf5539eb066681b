"""Devices: impossible ones are one sentence, the others are asked only for what all of them can compute."""

import pytest
import torch
from latent_tracer.core import (
    SCORES,
    SOLVERS,
    AutoencoderGenerator,
    InvalidSettingError,
    ModuleAutoencoder,
    Picture,
    Tracer,
    invert,
    invert_inputs,
    load_autoencoder,
    load_generator,
    locate_foreign,
    make_score,
    quantise,
)
from latent_tracer.core.fingerprints import build_basis, embed, measure_change, parse_key, read
from latent_tracer.core.images.synthetic import synthetic_photograph
from latent_tracer.core.inversion.inputs import INPUT_SOLVERS
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

# A device that the processor plays: torch keeps the index in the name and forgets it in the tensors.
ELSEWHERE = torch.device("cpu", 7)


class Remote(Tensor):
    """A tensor that lies on :data:`ELSEWHERE`."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class NoFloat64(TorchFunctionMode):
    """Like a graphics card of Apple's: no float64 there, and nothing is computed between there and the processor."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        leaves = tree_leaves((args, kwargs))
        remote = [one for one in leaves if isinstance(one, Remote)]
        if name == "__get__" and remote and function.__self__ is Tensor.device:
            return ELSEWHERE
        goes_there = any(isinstance(one, torch.device) and one == ELSEWHERE for one in leaves)
        if name == "cpu" or (name == "to" and not goes_there and self._names_processor(args[1:], kwargs)):
            return function(*args, **kwargs).as_subclass(Tensor)
        if name == "numpy" and remote and not kwargs.get("force"):
            raise TypeError("a tensor elsewhere has no numbers here: cpu() first")
        if name != "to" and not name.startswith(("__getitem__", "__setitem__")):
            local = [one for one in leaves if isinstance(one, Tensor) and not isinstance(one, Remote) and one.ndim]
            assert not (remote and local), f"{name}: some here, some elsewhere"
        result = function(*args, **kwargs)
        return tree_map(self._there, result) if goes_there or remote else result

    @staticmethod
    def _names_processor(args, kwargs):
        named = [*args, *kwargs.values()]
        return any(one == "cpu" or one == torch.device("cpu") for one in named if isinstance(one, (str, torch.device)))

    @staticmethod
    def _there(one):
        if not isinstance(one, Tensor):
            return one
        if one.dtype == torch.float64:
            raise TypeError("float64 on a device that has none")
        if isinstance(one, Remote):
            return one
        leaf = one.requires_grad and one.is_leaf  # a view of one would be none
        return one.detach().as_subclass(Remote).requires_grad_() if leaf else one.as_subclass(Remote)


class Elsewhere(ModuleAutoencoder):
    """An autoencoder on :data:`ELSEWHERE`."""

    device = ELSEWHERE

    def encode(self, images):
        return self._there(super().encode, images)

    def decode(self, latents):
        return self._there(super().decode, latents)

    def _there(self, function, values):
        values = values.to(ELSEWHERE, torch.float32).as_subclass(Tensor)
        with torch._C.DisableTorchFunction():
            result = function(values)
        return result.as_subclass(Remote)


@pytest.fixture
def elsewhere(convolutional):
    known = convolutional()
    autoencoder = Elsewhere("elsewhere", known.module, known._encode, known._decode)
    assert autoencoder.spatial_ratio == 8 and autoencoder.fingerprint  # measured before, as on every device
    with NoFloat64():
        yield autoencoder


def test_the_device_that_is_played_refuses_what_it_lacks(elsewhere):
    decoded = elsewhere.decode(torch.zeros(1, 4, 2, 2))
    assert isinstance(decoded + 1, Remote) and decoded.device == ELSEWHERE and not isinstance(decoded.cpu(), Remote)
    for wrong in (
        lambda: decoded.double(),
        lambda: decoded.sum(dtype=torch.float64),
        lambda: decoded.to(torch.float64),
        lambda: torch.zeros(3, dtype=torch.float64, device=decoded.device),
        lambda: torch.zeros(3, dtype=torch.float64).to(decoded.device),
        lambda: decoded.numpy(),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(AssertionError, match="some here"):
        decoded + torch.zeros(3, 1, 1)
    assert decoded.cpu().double().sum(dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_computed_without_float64_on_the_device(elsewhere, name):
    picture = quantise(synthetic_photograph(seed=1, size=128))
    assert torch.isfinite(torch.tensor(make_score(name)(elsewhere, picture).value))


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_searches_without_float64_on_the_device(elsewhere, solver, photographs):
    found = invert(elsewhere, quantise(photographs(1, 32, 32)), solver=solver, steps=4)
    assert found.loss[0] <= found.initial_loss[0]


@pytest.mark.parametrize("solver", INPUT_SOLVERS)
def test_every_solver_of_inputs_searches_without_float64_on_the_device(elsewhere, solver, photographs):
    generator = AutoencoderGenerator(elsewhere, 16, 16)
    found = invert_inputs(generator, quantise(photographs(1, 16, 16)), solver=solver, steps=3, starts=2)
    assert torch.isfinite(torch.as_tensor(found.loss)).all()


def test_a_picture_is_judged_and_mapped_without_float64_on_the_device(elsewhere):
    picture = quantise(synthetic_photograph(seed=2, size=128))
    assert Tracer(elsewhere).trace(Picture.of(picture)).verdict.answer
    assert locate_foreign(elsewhere, picture).mask.shape[-1] == 128


def test_fingerprints_are_written_and_read_without_float64_on_the_device(elsewhere):
    pictures = [synthetic_photograph(seed=seed, size=256) for seed in range(3)]
    basis = build_basis(elsewhere, pictures)
    latents = elsewhere.encode(pictures[0])
    marked = elsewhere.decode(embed(latents, basis, parse_key("0123456789abcdef"))).clamp(0, 1)
    assert measure_change(marked, elsewhere.decode(latents)).psnr > 0
    assert 0 <= read(elsewhere, quantise(marked.cpu()), basis, refining_steps=2).p_value <= 1


NO_DEVICES = ("", "xla", "nonsense", "cuda:99", "mps:9", "meta", "vulkan", "hpu", "cpu:x", "\x1b[2J")


@pytest.mark.parametrize("name", NO_DEVICES)
@pytest.mark.parametrize("load", [load_autoencoder, load_generator])
def test_a_device_that_cannot_be_used_is_one_sentence_that_names_those_that_can(name, load):
    with pytest.raises(InvalidSettingError) as raised:
        load("vae:demo-a?size=32x32" if load is load_generator else "demo-a", device=name)
    said = str(raised.value)
    assert said.startswith("The device '") and "): choose one of cpu" in said and " cannot be used (" in said
    assert said.isprintable() and len(said) < 400
