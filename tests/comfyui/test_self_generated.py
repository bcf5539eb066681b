"""Pictures that the server generates and traces in one prompt: a whole, very small checkpoint with random weights.

Its VAE is TAEF1, so that the answers can be right or wrong; everything before it is FLUX in miniature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from latent_tracer.core import synthetic_photograph, to_picture
from safetensors.torch import load_file, save_file

from .client import Client
from .conftest import Server, png
from .prompts import node
from .test_tracing import picture
from .workflow import Prompt

NAME, HIDDEN, MLP, CONTEXT = "tiny-flux.safetensors", 128, 512, 16
SCALE, SHIFT = 0.3611, 0.1159
#: What twenty traces may leave behind: the allocator's own slack, and no copy of a VAE (5 MB) each time.
MOST_GROWTH_MIB = 60


def shapes() -> dict[str, tuple[int, ...]]:
    """The weights of FLUX.1 schnell with one block of each kind, one head, and a prompt of ``CONTEXT`` numbers."""
    linear = {
        "img_in": (HIDDEN, 64), "txt_in": (HIDDEN, CONTEXT), "time_in.in_layer": (HIDDEN, 256),
        "time_in.out_layer": (HIDDEN, HIDDEN), "final_layer.linear": (64, HIDDEN),
        "final_layer.adaLN_modulation.1": (2 * HIDDEN, HIDDEN), "single_blocks.0.linear1": (3 * HIDDEN + MLP, HIDDEN),
        "single_blocks.0.linear2": (HIDDEN, HIDDEN + MLP), "single_blocks.0.modulation.lin": (3 * HIDDEN, HIDDEN),
    }  # fmt: skip
    found: dict[str, tuple[int, ...]] = {}
    for stream in ("img", "txt"):
        block = f"double_blocks.0.{stream}"
        linear |= {
            f"{block}_mod.lin": (6 * HIDDEN, HIDDEN), f"{block}_attn.qkv": (3 * HIDDEN, HIDDEN),
            f"{block}_attn.proj": (HIDDEN, HIDDEN), f"{block}_mlp.0": (MLP, HIDDEN), f"{block}_mlp.2": (HIDDEN, MLP),
        }  # fmt: skip
        found |= {f"{block}_attn.norm.{one}_norm.scale": (HIDDEN,) for one in ("query", "key")}
    found |= {f"single_blocks.0.norm.{one}_norm.scale": (HIDDEN,) for one in ("query", "key")}
    for name, shape in linear.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found


def write_checkpoint(path: Path, weights: Path) -> None:
    source = torch.Generator().manual_seed(3)
    state = {}
    for name, shape in shapes().items():
        value = torch.ones(shape) if name.endswith("scale") else torch.zeros(shape)
        if len(shape) > 1:
            value = torch.randn(shape, generator=source) * shape[1] ** -0.5
        state[f"model.diffusion_model.{name}"] = value
    for part in ("encoder", "decoder"):
        loaded = load_file(weights / f"taef1_{part}.safetensors")
        state |= {f"vae.taesd_{part}.{key}": value.float() for key, value in loaded.items()}
    state |= {"vae.vae_scale": torch.tensor(SCALE), "vae.vae_shift": torch.tensor(SHIFT)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)


@pytest.fixture(scope="module")
def checkpoint(base_directory: Path, data: Path, client: Client) -> str:
    write_checkpoint(base_directory / "models" / "checkpoints" / NAME, data / "weights")
    for side in (192, 256, 384):
        client.upload_image(f"drawn-{side}.png", png(to_picture(synthetic_photograph(91, side))))
    return NAME


def generated(seed: int = 1, count: int = 1, side: int = 256, decode: str = "VAEDecode", **settings: Any) -> Prompt:
    """``decoded`` by the checkpoint's VAE, from two steps of its model that begin at a drawn picture's latent: random
    weights lead away from latents that look like anything.
    """
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=NAME),
        "prompt": node("ProbeConditioning", width=CONTEXT),
        "drawn": node("LoadImage", image=f"drawn-{side}.png"),
        "encoded": node("VAEEncode", pixels=["drawn", 0], vae=["checkpoint", 2]),
        "repeated": node("RepeatLatentBatch", samples=["encoded", 0], amount=count),
        "sampled": node(
            "KSampler", model=["checkpoint", 0], seed=seed, steps=2, cfg=1.0, sampler_name="euler",
            scheduler="simple", positive=["prompt", 0], negative=["prompt", 0], denoise=0.2,
            latent_image=["repeated", 0],
        ),
        "decoded": node(decode, samples=["sampled", 0], vae=["checkpoint", 2], **settings),
    }  # fmt: skip


def asked(vae: list[Any], loader: dict[str, Any] | None = None) -> Prompt:
    return ({} if loader is None else {"vae": loader}) | {
        "trace": node("LatentTracerTraceImage", vae=vae, image=["decoded", 0]),
        "answers": node("PreviewAny", source=["trace", 1]),
    }


OWN, LOADED = asked(["checkpoint", 2]), asked(["vae", 0], node("VAELoader", vae_name="taef1"))


def test_the_checkpoints_own_vae_is_named_and_recognised(client: Client, checkpoint: str) -> None:
    run = client.succeed(generated(1) | OWN)
    assert run.text("answers") == "belonging", run.text("trace")
    assert run.text("trace").startswith("Made by tiny-flux: yes\n")
    assert picture(client, run.images("trace")[0]).width == 800


def test_the_same_vae_from_its_own_loader_answers_the_same(client: Client, checkpoint: str) -> None:
    run = client.succeed(generated(1) | LOADED)
    assert run.text("answers") == "belonging" and run.text("trace").startswith("Made by taef1: yes\n")


def test_each_of_a_batch_of_four_is_answered(client: Client, checkpoint: str) -> None:
    run = client.succeed(generated(2, count=4) | OWN)
    assert run.texts("answers") == ["belonging"] * 4
    assert len(run.images("trace")) == 4


def test_a_tiled_decode_is_no_foreign_picture(client: Client, checkpoint: str) -> None:
    tiles = {"tile_size": 256, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}
    run = client.succeed(generated(3, side=384, decode="VAEDecodeTiled", **tiles) | OWN)
    assert run.text("answers") == "belonging", run.text("trace")


def test_five_prompts_that_wait_are_all_answered_and_nothing_is_loaded_twice(
    client: Client, server: Server, checkpoint: str
) -> None:
    client.succeed(generated(10) | OWN)
    start = len(server.log)
    queued = [client.queue(generated(seed) | OWN) for seed in range(11, 16)]
    assert [client.wait(one).text("answers") for one in queued] == ["belonging"] * 5
    # The model may be loaded once more at most, for the first of them.
    assert len(re.findall(r"Requested to load Flux", server.log[start:])) <= 1


def test_twenty_runs_leave_nothing_behind(client: Client, server: Server, checkpoint: str) -> None:
    def resident() -> float:
        status = Path(f"/proc/{server.process.pid}/status")
        if not status.exists():
            pytest.skip("needs /proc")
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]

    for seed in range(20, 24):
        client.succeed(generated(seed, side=192) | OWN)
    before = resident()
    for seed in range(24, 44):
        client.succeed(generated(seed, side=192) | OWN)
    assert resident() - before < MOST_GROWTH_MIB


# --lowvram and --cpu exclude each other.
@pytest.fixture(params=["--fp16-vae", "--bf16-vae"])
def other_client(
    request: pytest.FixtureRequest, comfyui: Path, base_directory: Path, checkpoint: str
) -> Iterator[Client]:
    """A server of its own, started with one more option."""
    running = Server(comfyui, base_directory, request.param)
    try:
        client = Client(f"http://127.0.0.1:{running.port}")
        running.wait_until_ready(client)
        yield client
    finally:
        running.stop()


def test_other_precisions_answer_the_same(other_client: Client) -> None:
    run = other_client.succeed(generated(1) | OWN)
    assert run.text("answers") == "belonging", run.text("trace")


def test_a_photograph_beside_it_is_not_called_so(
    client: Client, checkpoint: str, photographs: Callable[..., str]
) -> None:
    prompt = generated(1) | OWN | {"image": node("LoadImage", image=photographs(3, 128, 128))}
    prompt["trace"]["inputs"]["image"] = ["image", 0]
    assert client.succeed(prompt).text("answers") != "belonging"
