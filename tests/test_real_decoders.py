"""The five published decoders in the data folder, on crops of photographs."""

from __future__ import annotations

import csv
import math

import pytest
import torch
from latent_tracer.core import invert, load_autoencoder, load_image, quantise

DECODERS = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
# Pixels per latent cell, latent channels.
GRIDS = {"taesd": (8, 4), "taesdxl": (8, 4), "taesd3": (8, 16), "taef1": (8, 16), "taef2": (8, 32)}


@pytest.fixture(scope="module")
def decoders(data_folder):
    return {name: load_autoencoder(data_folder / "weights" / name) for name in DECODERS}


@pytest.fixture(scope="module")
def photograph(data_folder):
    return load_image(data_folder / "images" / "real" / "kodak" / "kodim05.png").pixels


@pytest.fixture(scope="module")
def published_psnr(data_folder):
    with (data_folder / "weights" / "index.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return {row["file"].split("_")[0]: row["psnr_db_kodak"] for row in rows}


@pytest.mark.parametrize("name", DECODERS)
def test_a_photograph_is_reconstructed_as_well_as_published(data_folder, decoders, published_psnr, name):
    crops = [
        load_image(data_folder / "images" / "real" / "kodak" / f"kodim{number:02}.png").pixels[..., 200:264, 300:364]
        for number in (2, 3, 4, 7)
    ]
    images = torch.cat(crops)
    autoencoder = decoders[name]
    with torch.no_grad():
        latents = autoencoder.encode(images)
        errors = (autoencoder.decode(latents).clamp(0, 1) - images).square().flatten(1).mean(1)
    psnr = (-10 * errors.log10()).mean().item()

    assert psnr > float(published_psnr[name]) - 3
    assert (autoencoder.spatial_ratio, autoencoder.latent_channels) == GRIDS[name]
    assert latents.shape == (4, GRIDS[name][1], 8, 8)


def test_the_pooled_blocks_of_taef2_count(decoders, photograph):
    """Above 25 dB with them, and clearly less when their branch is silenced."""
    image, autoencoder = photograph[..., 200:328, 300:428], decoders["taef2"]

    def psnr():
        with torch.no_grad():
            return -10 * math.log10((autoencoder.decode(autoencoder.encode(image)) - image).square().mean())

    whole = psnr()
    outputs = [value for key, value in autoencoder.module.named_parameters() if key.endswith(".pool.3.weight")]
    kept = [value.clone() for value in outputs]
    for value in outputs:
        value.zero_()
    silenced = psnr()
    for value, original in zip(outputs, kept, strict=True):
        value.copy_(original)

    assert outputs
    assert whole > 25
    assert silenced < whole - 3


def test_fingerprints_tell_the_decoders_apart(decoders):
    assert len({autoencoder.fingerprint for autoencoder in decoders.values()}) == len(DECODERS)


def test_inversion_separates_a_decoded_image_from_its_photograph(decoders, photograph):
    """The point of it all, in miniature: 64² pixels, a quarter of the released steps."""
    autoencoder, real = decoders["taesd"], photograph[..., 200:264, 300:364]
    with torch.no_grad():
        belonging = quantise(autoencoder.decode(autoencoder.encode(real)))

    inversion = invert(autoencoder, torch.cat([belonging, real]), solver="adam-paper", steps=25)

    own, foreign = inversion.loss.tolist()
    own_at_start, foreign_at_start = inversion.initial_loss.tolist()
    assert own < own_at_start / 4
    assert foreign / own > 2 * foreign_at_start / own_at_start
