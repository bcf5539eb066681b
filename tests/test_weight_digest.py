"""The digest names a network's weights: all of them, each in its place, whatever file they came from."""

from __future__ import annotations

import pytest
import torch
from latent_tracer.core import (
    ModuleAutoencoder,
    equivalent_digests,
    is_old_digest,
    load_autoencoder,
    same_weights,
    weight_digest,
)
from latent_tracer.core.models.weight_digest import module_digest, old_digest, tensors_in_order
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import Conv2d, Linear

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"in.weight": (8, 3, 3, 3), "attention.q.weight": (8, 8), "out.weight": (3, 8, 1, 1), "out.bias": (3,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def cast(state, dtype):
    return {key: value.to(dtype) for key, value in state.items()}


# Values that a cast must not change or tell apart: subnormal, too small, and at the end of float16.
HARD = torch.tensor([0.0, -0.0, 1e-8, -3e-8, 2.0**-24, 7e-6, 6.1e-5, 1 / 3, 65408.0, 65504.0, -65504.0])


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_stored_in_half_a_word_have_one_digest_in_every_type(state, stored):
    published = cast(state | {"hard": HARD.clamp(-65280, 65280) if stored is torch.bfloat16 else HARD}, stored)
    digests = {weight_digest(cast(published, dtype)) for dtype in (*DTYPES, torch.float64)}
    assert len(digests) == 1
    assert len(digests.pop()) == 40


def test_every_float16_and_every_bfloat16_number_keeps_its_digest_in_the_other_types():
    """All 65,536 of each, a tensor for each range of exponents; only what overflows in float16 is left out."""
    words = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        values = words.view(dtype)
        values = values[values.float().abs() < 65520]
        for part in values.float().sort().values.to(dtype).split(1024):
            assert len({weight_digest({"": part.to(other)}) for other in DTYPES}) == 1


def test_weights_stored_in_float32_are_recognised_in_either_cast(state):
    whole = weight_digest(state)
    half, bfloat = (weight_digest(cast(state, dtype)) for dtype in (torch.float16, torch.bfloat16))
    assert len({whole, half, bfloat}) == 3
    assert same_weights(whole, half) and same_weights(bfloat, whole) and same_weights(whole, whole)
    assert not same_weights(half, bfloat)  # as the docstring says
    assert {half, bfloat} < equivalent_digests(whole) and len(equivalent_digests(whole)) == 3


def test_other_texts_are_no_digests(state):
    digest = weight_digest(state)
    for text in ("", "f", digest.upper(), "-".join([digest[:40]] * 2), digest[:40] + "-", digest[:40] + "\n"):
        assert not equivalent_digests(text)
        assert not same_weights(text, digest)
    assert same_weights("f", "f")


def test_renaming_and_the_memory_layout_do_not_matter(state):
    renamed = {f"first_stage_model.{k}": v for k, v in state.items()}
    strided = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()}
    assert weight_digest(renamed) == weight_digest(strided) == weight_digest(state)


def test_a_linear_layer_equals_its_one_by_one_convolution(state):
    reshaped = state | {"attention.q.weight": state["attention.q.weight"][:, :, None, None]}
    assert weight_digest(reshaped) == weight_digest(state)


def test_other_shapes_of_the_same_values_are_others(state):
    transposed = state | {"in.weight": state["in.weight"].reshape(3, 8, 3, 3)}
    assert not same_weights(weight_digest(transposed), weight_digest(state))


@pytest.mark.parametrize("name", ["in.weight", "attention.q.weight", "out.weight", "out.bias"])
@pytest.mark.parametrize("change", [lambda v: v * 1.02, lambda v: v * torch.nan, lambda v: v * torch.inf])
def test_one_changed_value_changes_it(state, name, change):
    changed = state[name].clone()
    changed.view(-1)[-1] = change(changed.view(-1)[-1])
    assert not same_weights(weight_digest(state | {name: changed}), weight_digest(state))


def test_damaged_values_are_told_apart_but_not_their_bit_patterns():
    nan, other_nan = (torch.tensor([bits], dtype=torch.int32).view(torch.float32) for bits in (0x7FC00000, 0x7F800001))
    values = [nan, torch.tensor([torch.inf]), -torch.tensor([torch.inf]), torch.tensor([0.0])]
    assert len({weight_digest({"": value}) for value in values}) == 4
    assert weight_digest({"": other_nan}) == weight_digest({"": nan})
    for value in values:
        assert len({weight_digest({"": value.to(dtype)}) for dtype in DTYPES}) == 1


def test_integers_count_and_units_do_not(state):
    digest = weight_digest(state)
    assert weight_digest(state | {"vae_scale": torch.tensor(0.3), "steps": torch.tensor(7)}) == digest
    first, second = (weight_digest(state | {"index": torch.tensor(values)}) for values in ([1, 2], [2, 1]))
    assert len({digest, first, second}) == 3


class CallsBackwards(nn.Module):
    """Defines its layers in one order and calls them in the other."""

    def __init__(self, layers):
        super().__init__()
        self.third, self.second, self.first = (layers[name] for name in ("third", "second", "first"))
        self.unused = Linear(2, 2)
        nn.init.eye_(self.unused.weight), nn.init.zeros_(self.unused.bias)

    def forward(self, values):
        return self.third(self.second(self.first(self.first(values))))


class Plain(nn.Sequential):
    """The same function with its layers in order."""

    def __init__(self, layers):
        super().__init__(layers["first"], layers["second"], layers["third"])
        self.unused = Linear(2, 2)
        nn.init.eye_(self.unused.weight), nn.init.zeros_(self.unused.bias)

    def forward(self, values):
        return self[2](self[1](self[0](self[0](values))))


def three_layers(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {name: Linear(2, 2) for name in ("first", "second", "third")}


def test_the_place_is_that_of_the_first_call_and_not_of_the_definition():
    layers = three_layers()
    inputs = torch.zeros(1, 2)
    backwards, plain = CallsBackwards(layers), Plain(layers)
    assert module_digest(backwards, lambda: backwards(inputs)) == module_digest(plain, lambda: plain(inputs))
    order = tensors_in_order(backwards, lambda: backwards(inputs))
    names = ("first", "second", "third")
    expected = [value for name in names for value in (layers[name].weight, layers[name].bias)]
    expected += [backwards.unused.weight, backwards.unused.bias]
    assert all(torch.equal(ours, value) for ours, value in zip(order, expected, strict=True))
    assert not any(part._forward_pre_hooks for part in backwards.modules())

    exchanged = CallsBackwards(layers | {"first": layers["second"], "second": layers["first"]})
    assert module_digest(exchanged, lambda: exchanged(inputs)) != module_digest(plain, lambda: plain(inputs))


@pytest.fixture(scope="module")
def taesd(data_folder):
    pair = {
        f"taesd_{part}.{key}": value
        for part in ("encoder", "decoder")
        for key, value in load_file(data_folder / "weights" / f"taesd_{part}.safetensors").items()
    }
    return pair


def digest_of(state, folder):
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "taesd.safetensors")
    return load_autoencoder(folder / "taesd.safetensors").fingerprint


def test_taesd_has_one_digest_in_every_file(taesd, data_folder, tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
    pair = load_autoencoder(data_folder / "weights" / "taesd")
    digests = {pair.fingerprint}
    for dtype in DTYPES:
        digests.add(digest_of(cast(taesd, dtype), tmp_path))
    scale = {"vae_scale": torch.tensor(0.3), "vae_shift": torch.tensor(0.1)}
    digests.add(digest_of({f"vae.{key}": value for key, value in (taesd | scale).items()}, tmp_path))
    digests.add(digest_of(dict(reversed(taesd.items())), tmp_path))
    module = diffusers.AutoencoderTiny()
    module.load_state_dict(pair.module.state_dict())
    digests.add(digest_of(module.state_dict(), tmp_path))
    module.save_pretrained(tmp_path / "folder")
    module.half().save_pretrained(tmp_path / "fp16", variant="fp16")
    digests |= {load_autoencoder(tmp_path / folder).fingerprint for folder in ("folder", "fp16")}
    assert len(digests) == 1


def test_taesd_with_anything_changed_has_another_digest(taesd, tmp_path):
    pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
    biases = [key for key in taesd if key.endswith("bias") and key.startswith("taesd_decoder")]
    first, second = "taesd_decoder.3.conv.2", "taesd_decoder.4.conv.2"
    layers = {
        f"{a}.{part}": taesd[f"{b}.{part}"] for a, b in ((first, second), (second, first)) for part in ("weight",)
    }
    exchanged_biases = {f"{first}.bias": taesd[f"{second}.bias"], f"{second}.bias": taesd[f"{first}.bias"]}
    encoder = "taesd_encoder.3.conv.0.bias"
    step = taesd[biases[5]].float().clone()
    step[3] *= 1 + 2**-7  # to the next bfloat16 number
    changes = {
        "none": {},
        "layers exchanged": layers,
        "biases exchanged": exchanged_biases,
        "both exchanged": layers | exchanged_biases,
        "other biases": {key: taesd[key] + 0.1 for key in biases},
        "NaN biases": {key: taesd[key] * torch.nan for key in biases},
        "one infinite": {biases[0]: taesd[biases[0]] * torch.inf},
        "one step in one bias": {biases[5]: step},
        "an encoder bias": {encoder: taesd[encoder] * 1.1},
    }
    digests = [digest_of(cast(taesd | change, torch.float32), tmp_path) for change in changes.values()]
    assert not any(same_weights(a, b) for number, a in enumerate(digests) for b in digests[:number])


def test_a_change_below_bfloat16_shows_in_the_exact_digest_only(taesd, tmp_path):
    """A part in a thousand is lost in a bfloat16 copy, so that copy is TAESD; the float32 file is told apart."""
    pytest.importorskip("diffusers", reason="loading outside ComfyUI needs diffusers")
    name = "taesd_decoder.8.conv.0.bias"
    whole = cast(taesd, torch.float32)
    changed = whole | {name: whole[name] * 1.001}
    assert not torch.equal(changed[name], whole[name])
    published, near = digest_of(whole, tmp_path), digest_of(changed, tmp_path)
    assert near != published and near.split("-")[2] == published
    assert digest_of(cast(changed, torch.bfloat16), tmp_path) == published


def test_weights_read_without_a_call_still_count(linear):
    """The modules of some networks only hold tensors: those count in the order of their definition."""
    autoencoder = linear([1.0, 0.5])
    assert autoencoder.fingerprint == weight_digest(autoencoder.module.state_dict())
    module = autoencoder.module
    module.matrix.data[0, 0] += 1
    again = ModuleAutoencoder("again", module, module.encode, module.decode)
    assert again.fingerprint != autoencoder.fingerprint


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_network_keeps_the_order_of_its_definition():
    layers = three_layers()
    plain = nn.Sequential(*layers.values()).eval()
    inputs = torch.zeros(1, 2)
    scripted = torch.jit.trace(plain, inputs, check_trace=False)
    assert module_digest(scripted, lambda: scripted(inputs)) == module_digest(plain, lambda: plain(inputs))


def test_the_run_leaves_no_hooks_when_it_fails():
    module = Conv2d(3, 3, 1)

    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        tensors_in_order(module, fail)
    assert not module._forward_pre_hooks


def test_it_is_a_fixed_name_for_fixed_weights():
    """Profiles and bases saved by an earlier version must still be found."""
    weights = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.tensor([-0.5, 0.25, 1.5])}
    assert weight_digest(weights) == "e29c1c01666d689210cc62010ddeb805e5111d88"
    exact, half, bfloat = weight_digest({"weight": weights["weight"] + 1 / 3}).split("-")
    assert exact == "7164913b621215edbe88b1175666d37552d4c79f"
    assert half == bfloat == "d673ee4d85807378e84656aae96ab2d4a8c2210d"
    assert old_digest(weights) == "73bea4eaa1ef8cf179fc4b3298357078"


def test_digests_of_earlier_releases_are_recognised(state):
    assert is_old_digest(old_digest(state))
    for text in (weight_digest(state), weight_digest(cast(state, torch.float16)), "f", "", "f" * 33):
        assert not is_old_digest(text)
