"""Generators: adapters, loading by specification, and what cannot be inspected."""

import json

import pytest
import torch
from latent_tracer.core import (
    AutoencoderGenerator,
    EncodingGenerator,
    Generator,
    InvalidSettingError,
    ModuleGenerator,
    UnsupportedGeneratorError,
    check_generator,
    load_generator,
    weight_digest,
)
from latent_tracer.core.models.dcgan import DCGAN32
from latent_tracer.core.models.generator import draw
from safetensors.torch import save_file
from torch import nn
from torch.nn import Linear


class Small(nn.Module):
    """Five inputs to a 12×8 picture; ``fault`` breaks one promise of a generator."""

    def __init__(self, fault="", channels=3):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.first = Linear(5, 16)
            self.last = Linear(16, channels * 12 * 8)
        self.fault = fault
        self.channels = channels

    def forward(self, inputs):
        if self.fault == "ignores":
            inputs = torch.zeros_like(inputs)
        images = torch.tanh(self.last(torch.tanh(self.first(inputs)))).view(-1, self.channels, 12, 8)
        if self.fault == "noise":
            images = images + 0.1 * torch.randn_like(images)
        if self.fault == "NaN":
            images = images / 0
        if self.fault == "bytes":
            images = 127.5 * (images + 1)
        if self.fault == "detached":
            images = images.detach()
        if self.fault == "rounded":
            images = (images * 127.5).round() / 127.5
        if self.fault == "one image":
            images = images[:1]
        if self.fault == "flat":
            images = images.flatten(1)
        if self.fault == "depth":
            images = images[:, :2]
        return images


def small(**arguments):
    return ModuleGenerator("small", Small(**arguments), (5,))


def test_a_module_becomes_a_generator_of_images_in_the_unit_range():
    generator = small()
    assert isinstance(generator, Generator) and not isinstance(generator, EncodingGenerator)
    assert generator.output_range == (-1.0, 1.0)
    assert generator.image_size == (12, 8)
    images = generator.generate(generator.sample_inputs(3))
    assert images.shape == (3, 3, 12, 8)
    assert 0 <= images.min() < images.max() <= 1
    assert not any(parameter.requires_grad for parameter in generator.module.parameters())
    assert generator.fingerprint == weight_digest(generator.module.state_dict())
    check_generator(generator)


def test_grey_images_become_three_equal_channels():
    generator = small(channels=1)
    image = generator.generate(generator.sample_inputs(1))
    assert image.shape == (1, 3, 12, 8)
    assert torch.equal(image[:, 0], image[:, 2])
    check_generator(generator)


def test_an_output_that_is_never_negative_counts_as_the_unit_range():
    generator = ModuleGenerator("sigmoid", nn.Sequential(Small(), nn.Sigmoid()), (5,))
    assert generator.output_range == (0.0, 1.0)
    declared = ModuleGenerator("declared", Small(), (5,), output_range=(-2, 2))
    assert 0.25 <= declared.generate(declared.sample_inputs(4)).min() <= 0.75


def test_inputs_repeat_by_seed_and_do_not_depend_on_how_many_are_drawn():
    generator = small()
    assert torch.equal(generator.sample_inputs(5, seed=3)[:2], generator.sample_inputs(2, seed=3))
    assert not torch.equal(generator.sample_inputs(2, seed=3), generator.sample_inputs(2, seed=4))
    uniform = draw(2000, (1,), "uniform", 0)
    assert -1 <= uniform.min() < -0.99 and 0.99 < uniform.max() <= 1
    assert draw(4000, (1,), "normal", 0).std() == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("noise", "is stochastic"),
        ("ignores", "ignores its input"),
        ("NaN", "NaN or infinite"),
        ("bytes", "output range"),
        ("detached", "no usable gradient"),
        ("rounded", "no usable gradient"),
        ("one image", r"\(1, 3, 12, 8\)"),
        ("flat", r"\(8, 288\)"),
        ("depth", r"\(8, 2, 12, 8\)"),
    ],
)
def test_what_cannot_be_inverted_is_refused_with_the_reason(fault, message):
    with pytest.raises(UnsupportedGeneratorError, match=message):
        check_generator(small(fault=fault))


def test_the_check_leaves_the_random_numbers_of_torch_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_generator(small())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": ()}, "input shape"),
        ({"input_shape": (0,)}, "input shape"),
        ({"input_shape": (5,), "prior": "magic"}, "magic"),
        ({"input_shape": (5,), "output_range": (1, 1)}, "output range"),
    ],
)
def test_wrong_settings_are_named(arguments, message):
    with pytest.raises(InvalidSettingError, match=message):
        ModuleGenerator("small", Small(), **arguments)


def test_a_wrong_input_shape_is_named():
    with pytest.raises(UnsupportedGeneratorError, match=r"does not accept inputs of shape \(8, 6\)"):
        ModuleGenerator("small", Small(), (6,))


def test_an_autoencoder_is_the_generator_that_has_an_encoder(convolutional, photographs):
    autoencoder = convolutional()
    generator = AutoencoderGenerator(autoencoder, 32, 40)
    assert isinstance(generator, EncodingGenerator)
    check_generator(generator)
    assert generator.input_shape == (4, 4, 5) and generator.image_size == (32, 40)
    assert generator.fingerprint == autoencoder.fingerprint
    image = photographs(1, 32, 40)
    assert torch.equal(generator.encode(image), autoencoder.encode(image))
    spread = generator.sample_inputs(16).std()
    assert spread == pytest.approx(autoencoder.latent_spread, rel=0.1)
    with pytest.raises(InvalidSettingError, match="multiples of 8, not 33×32"):
        AutoencoderGenerator(autoencoder, 32, 33)


def dcgan(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DCGAN32()


def test_the_face_generator_of_the_data_folder_loads_by_its_keys(data_folder):
    generator = load_generator(data_folder / "weights" / "dcgan_celeba32.safetensors")
    assert (generator.image_size, generator.input_shape, generator.prior) == ((32, 32), (100,), "U(-1,1)")
    images = generator.generate(generator.sample_inputs(64))
    assert images.std(0).mean() > 0.1  # faces differ


def test_dcgan_files_load_and_are_told_apart(tmp_path):
    first, second = dcgan(1), dcgan(2)
    save_file(first.state_dict(), tmp_path / "first.safetensors")
    save_file(second.state_dict(), tmp_path / "second.safetensors")
    loaded = load_generator(tmp_path / "first.safetensors")
    inputs = loaded.sample_inputs(2)
    assert torch.allclose(loaded.generate(inputs), (first.eval()(inputs) + 1) / 2, atol=1e-6)
    assert loaded.fingerprint != load_generator(tmp_path / "second.safetensors").fingerprint


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_files_are_the_traced_function(tmp_path):
    module = Small().eval()
    path = tmp_path / "small.pt"
    torch.jit.trace(module, torch.zeros(1, 5), check_trace=False).save(str(path))
    generator = load_generator(f"{path}?input=5&prior=uniform&range=-1:1")
    inputs = generator.sample_inputs(3)
    assert torch.allclose(generator.generate(inputs), (module(inputs) + 1) / 2, atol=1e-6)
    assert generator.prior == "U(-1,1)"
    assert generator.fingerprint == weight_digest(module.state_dict())


@pytest.mark.parametrize("scheduler", ["CMStochasticIterativeScheduler", "DDIMScheduler"])
def test_a_one_step_pipeline_folder_gives_what_the_pipeline_gives(tmp_path, scheduler):
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path / "pipeline"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = diffusers.UNet2DModel(
            sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
            resnet_time_scale_shift="scale_shift" if scheduler.startswith("CM") else "default",
        )  # fmt: skip
    if scheduler.startswith("CM"):
        pipeline = diffusers.ConsistencyModelPipeline(unet, diffusers.CMStochasticIterativeScheduler())
    else:
        pipeline = diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler(clip_sample=False))
    pipeline.save_pretrained(folder)
    generator = load_generator(folder)
    assert generator.input_shape == (3, 8, 8)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler.startswith("CM"):
        noise = generator.sample_inputs(1)
        expected = pipeline(num_inference_steps=1, latents=noise, output_type="pt").images
    else:  # this pipeline draws its own noise
        source = torch.Generator().manual_seed(3)
        noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        expected = torch.from_numpy(pipeline(num_inference_steps=1, generator=source, output_type="np").images).permute(
            0, 3, 1, 2
        )
    assert torch.allclose(generator.generate(noise).clamp(0, 1), expected, atol=1e-5)


def test_a_conditional_or_multi_step_pipeline_is_refused(tmp_path):
    folder = tmp_path / "pipeline"
    folder.mkdir()
    index = {"scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UnsupportedGeneratorError, match="EulerAncestral"):
        load_generator(folder)
    with pytest.raises(UnsupportedGeneratorError, match=r"model_index\.json"):
        load_generator(tmp_path)


def test_a_decoder_is_loaded_for_the_size_asked_for():
    generator = load_generator("vae:demo-a?size=48x32")
    assert generator.image_size == (32, 48)
    assert load_generator("vae:demo-a", image_size=(32, 48)).fingerprint == generator.fingerprint


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.safetensors", "no generator at nowhere.safetensors"),
        ("vae:demo-a", "add \\?size="),
        ("vae:demo-a?size=48", "WIDTHxHEIGHT"),
        ("vae:demo-a?size=axb", "positive whole numbers"),
        ("vae:demo-a?colour=red", "no option 'colour'"),
        ("vae:demo-a?size=50x50", "multiples of 8"),
        ("{folder}/text.pt?input=5", "no TorchScript file"),
        ("{folder}/pickled.pt?input=5", "pickled weights are not loaded"),
        ("{folder}/text.pt", "does not say what its input is"),
        ("{folder}/text.safetensors", "not a readable .safetensors"),
        ("{folder}/other.safetensors", "found keys such as a.weight"),
        ("{folder}/misfit.safetensors", "do not fit that architecture"),
    ],
)
def test_specifications_that_name_no_generator(tmp_path, spec, message):
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("no weights")
    torch.save(dcgan(1).state_dict(), tmp_path / "pickled.pt")
    save_file({"a.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    save_file({"generator_deconv.0.0.weight": torch.zeros(2, 2)}, tmp_path / "misfit.safetensors")
    with pytest.raises((UnsupportedGeneratorError, InvalidSettingError), match=message):
        load_generator(spec.format(folder=tmp_path))
