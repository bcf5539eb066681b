"""Find Foreign Regions on a running server: the pasted patch is where the mask is."""

from __future__ import annotations

import numpy as np
import pytest
from latent_tracer.core import synthetic_photograph, to_picture

from .client import Client, Run
from .conftest import png
from .prompts import decoded, node, sources
from .test_tracing import picture

SIDE, PATCH = 224, slice(72, 168)


@pytest.fixture(scope="module")
def composite(client: Client) -> str:
    """A picture that demo-a decoded on the server, with a square of the photograph pasted in."""
    photograph = to_picture(synthetic_photograph(61, SIDE))
    made = client.succeed(
        sources("demo-a.safetensors", client.upload_image("whole.png", png(photograph)))
        | {
            "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
            "decoded": node("VAEDecode", samples=["encoded", 0], vae=["vae", 0]),
            "save": node("SaveImage", images=["decoded", 0], filename_prefix="own"),
        }
    )
    own = picture(client, made.images("save")[0]).convert("RGB")
    box = (PATCH.start, PATCH.start, PATCH.stop, PATCH.stop)
    own.paste(photograph.crop(box), box[:2])
    return client.upload_image("composite.png", png(own))


def patch() -> np.ndarray:
    truth = np.zeros((SIDE, SIDE), dtype=bool)
    truth[PATCH, PATCH] = True
    return truth


def mask_of_the_patch(client: Client, run: Run) -> np.ndarray:
    """``[SIDE,SIDE]``: the mask that the prompt showed, which lies on the patch."""
    mask = np.asarray(picture(client, run.images("mask")[0]).convert("L")) > 127
    assert (mask & patch()).sum() / (mask | patch()).sum() > 0.4
    return mask


def test_the_mask_lies_on_the_pasted_patch_and_core_nodes_take_it(client: Client, composite: str) -> None:
    prompt = sources("demo-a.safetensors", composite) | {
        "find": node("LatentTracerFindForeignRegions", vae=["vae", 0], image=["image", 0]),
        "as image": node("MaskToImage", mask=["find", 1]),
        "mask": node("PreviewImage", images=["as image", 0]),
        "map": node("PreviewImage", images=["find", 0]),
        "share": node("PreviewAny", source=["find", 2]),
    }
    run = client.succeed(prompt)
    mask, truth = mask_of_the_patch(client, run), patch()
    assert float(run.text("share")) == pytest.approx(mask.mean(), abs=0.01)
    assert "does not look like this decoder's work" in run.text("find")
    assert picture(client, run.images("find")[0]).width == 800
    heat = np.asarray(picture(client, run.images("map")[0]).convert("RGB")).astype(int)
    redder = heat[..., 0] - heat[..., 2]
    assert redder[truth].mean() > redder[~truth].mean() + 40


def test_the_reverse_finds_what_alone_the_vae_made_and_paints_it_blue(client: Client) -> None:
    """A photograph with a patch of what demo-a made of it."""
    name = client.upload_image("reverse.png", png(to_picture(synthetic_photograph(62, SIDE))))
    made = client.succeed(decoded("demo-a.safetensors", name))
    own = picture(client, made.images("save")[0]).convert("RGB")
    photograph = to_picture(synthetic_photograph(62, SIDE))
    box = (PATCH.start, PATCH.start, PATCH.stop, PATCH.stop)
    photograph.paste(own.crop(box), box[:2])
    reverse = client.upload_image("painted-in.png", png(photograph))
    prompt = sources("demo-a.safetensors", reverse) | {
        "find": node("LatentTracerFindForeignRegions", vae=["vae", 0], image=["image", 0], look_for="own"),
        "as image": node("MaskToImage", mask=["find", 1]),
        "mask": node("PreviewImage", images=["as image", 0]),
        "map": node("PreviewImage", images=["find", 0]),
    }
    run = client.succeed(prompt)
    mask_of_the_patch(client, run)
    truth = patch()
    assert "shows this decoder's trace" in run.text("find")
    heat = np.asarray(picture(client, run.images("map")[0]).convert("RGB")).astype(int)
    bluer = heat[..., 2] - heat[..., 0]
    assert bluer[truth].mean() > bluer[~truth].mean() + 40


def test_of_a_wholly_foreign_photograph_only_what_the_report_names_is_painted(client: Client) -> None:
    photograph = client.upload_image("foreign.png", png(to_picture(synthetic_photograph(62, SIDE))))
    prompt = sources("demo-a.safetensors", photograph) | {
        "find": node("LatentTracerFindForeignRegions", vae=["vae", 0], image=["image", 0]),
        "map": node("PreviewImage", images=["find", 0]),
        "share": node("PreviewAny", source=["find", 2]),
    }
    run = client.succeed(prompt)
    heat = np.asarray(picture(client, run.images("map")[0]).convert("RGB")).astype(int)
    painted = float((heat.max(-1) - heat.min(-1) > 20).mean())
    assert painted <= float(run.text("share")) + 0.01
    if "no region stands out" in run.text("find"):
        assert painted == 0


def test_without_a_vae_it_says_what_to_connect(client: Client, composite: str) -> None:
    prompt = sources("demo-a.safetensors", composite) | {
        "find": node("LatentTracerFindForeignRegions", vae=["nothing", 0], image=["image", 0]),
        "nothing": node("ProbeVAE", kind="nothing"),
    }
    assert "No VAE is connected" in str(client.fail(prompt))
