"""Latent fingerprints on real decoders: is the key right, at what change of the picture, after which attack?

Pictures are central crops, never resampled; every third of them builds the bases, the others are marked. Unmarked is
D(E(x)), marked D(E(x) + fingerprint), both stored as 8 bit. Every picture gets another key. One command, resumable:

    python benchmarks/fingerprints.py run                  # all stages, one after another
    python benchmarks/fingerprints.py run --stage headline
    python benchmarks/fingerprints.py report               # tables as JSON and Markdown

Methods: ``ours``; ``lowest-variance``, ours on the directions of least variance instead of the chosen ones; ``paper``,
the published rule without a code (``benchmarks/peers/paper_rule.py``) with ``depth`` last directions;
``spread-spectrum``, additive on the whole latent; ``gaussian-shading``, signs of initial noise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from common import DATA, PARTIAL, RESULTS, Row, Rows, crop_of, made_by, pixels_of, require_data, table, write_json
from common import decoder as model
from latent_tracer.core import alter, quantise, to_picture, to_tensor
from latent_tracer.core.fingerprints import FingerprintBasis, Key, build_basis, embed, load_basis, measure_change
from latent_tracer.core.fingerprints.carrier import make_carrier
from latent_tracer.core.fingerprints.codebook import coded_bits, free_codewords, key_codewords
from latent_tracer.core.fingerprints.evidence import log_tail
from latent_tracer.core.fingerprints.patches import to_patches
from latent_tracer.core.fingerprints.read import decode_readouts, readouts
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.storage.atomic import write_text
from peers.gaussian_shading import read_shaded_noise, shaded_noise
from peers.paper_rule import embed_by_paper_rule, read_by_paper_rule
from peers.spread_spectrum import embed_spread_spectrum, read_spread_spectrum
from PIL import Image, ImageFilter
from torch import Tensor

ROWS = RESULTS / "fingerprints-rows.jsonl"
DECODERS = ("taesd", "taef1", "taesdxl", "taesd3", "taef2")
BASIS_SIZE, BASIS_PICTURES = 256, 24
RATE = 1e-6
USERS, TRIALS = 10_000, 10_000


def noisy(image: Tensor) -> Tensor:
    """Noise of deviation 0.1 on [-1,1], one fixed field."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return quantise(image + 0.05 * noise)


def blurred(image: Tensor) -> Tensor:
    return to_tensor(to_picture(image).filter(ImageFilter.GaussianBlur(0.5)))


def jpeg_50(image: Tensor) -> Tensor:
    import io

    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=50)
    return to_tensor(Image.open(buffer).convert("RGB"))


def resized_back(image: Tensor) -> Tensor:
    """0.75 of the size and, since the reader knows the original size, back."""
    small = alter(image, "resize-0.75")
    return to_tensor(to_picture(small).resize((image.shape[-1], image.shape[-2]), Image.Resampling.BICUBIC))


def cropped_back(image: Tensor) -> Tensor:
    """The off-grid crop of 3 and 5 pixels, laid back at its known place over grey."""
    whole = torch.full_like(image, 0.5)
    whole[..., 5:, 3:] = image[..., 5:, 3:]
    return whole


ATTACKS: dict[str, Callable[[Tensor], Tensor]] = {
    "clean": lambda image: image,
    "jpeg-90": lambda image: alter(image, "jpeg-90"),
    "jpeg-75": lambda image: alter(image, "jpeg-75"),
    "jpeg-50": jpeg_50,
    "noise-0.1": noisy,
    "blur-0.5": blurred,
    "combined": lambda image: jpeg_50(blurred(noisy(image))),
    "resize-0.75, size known": resized_back,
    "crop, place known": cropped_back,
    "crop": lambda image: alter(image, "off-grid-crop"),
}


class LowestVariance(FingerprintBasis):
    """The same basis with directions chosen by variance alone."""

    @property
    def chosen(self) -> Tensor:  # type: ignore[override]
        return torch.arange(max(16, len(self.variance) // 8))


@cache
def pictures(size: int) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """(for bases, to be marked): central crops of all pictures that are large enough, photographs first."""
    lines = (DATA / "images" / "index.tsv").read_text(encoding="utf-8").splitlines()[1:]
    found = []
    for line in lines:
        path = line.split("\t")[0]
        if min(pixels_of(path).shape[-2:]) >= size:
            found.append((path, crop_of(path, size)))
    # Which pictures build bases must not depend on the size.
    base = {line.split("\t")[0] for line in lines[1::3]}
    return [p for p in found if p[0] in base], [p for p in found if p[0] not in base]


@cache
def basis_of(name: str) -> FingerprintBasis:
    path = PARTIAL / f"fingerprint-basis-{name}.safetensors"
    if not path.is_file():
        chosen = pictures(BASIS_SIZE)[0][:BASIS_PICTURES]
        build_basis(model(name), [pixels for _, pixels in chosen]).save(path)
    return load_basis(path)


def lowest_variance(basis: FingerprintBasis) -> FingerprintBasis:
    from dataclasses import fields

    return LowestVariance(**{entry.name: getattr(basis, entry.name) for entry in fields(FingerprintBasis)})


def key_for(picture: str, bits: int) -> Key:
    digits = np.random.default_rng(sum(picture.encode())).integers(0, 16, bits // 4)
    return Key("".join(f"{digit:x}" for digit in digits))


def judge(method: str, name: str, image: Tensor, key: Key, job: dict[str, Any]) -> dict[str, Any]:
    """Is the key right (all bits, and for ours with p <= 1e-6), and how many bits are?"""
    autoencoder, basis = model(name), basis_of(name)
    truth = key.bits
    if method in ("ours", "lowest-variance"):
        used = basis if method == "ours" else lowest_variance(basis)
        height, width = (side - side % autoencoder.spatial_ratio for side in image.shape[-2:])
        with torch.no_grad():
            latents = autoencoder.encode(image[..., :height, :width]).float()
        values = readouts(latents, used, len(key), None)[0]
        reading = decode_readouts(values, len(key), RATE, Passes(1, 0, 0))
        blind = decode_readouts(values, len(key), 1 - 1e-12, Passes(1, 0, 0))
        bits = blind.key.bits if blind.key is not None else 1 - truth
        return {"right": reading.key == key, "wrong": reading.key not in (None, key),
                "bits": float((bits == truth).mean()), "log10_p": reading.log_p_value / math.log(10)}  # fmt: skip
    if method == "paper":
        read = read_by_paper_rule(autoencoder, image, basis, len(key), job["strength"], job["depth"], job["steps"])
        bits = read.round().numpy()
    else:
        with torch.no_grad():
            latents = autoencoder.encode(image).float()
        bits = (read_spread_spectrum(latents, len(key))[0] < 0).numpy()
    return {"right": bool((bits == truth).all()), "wrong": None, "bits": float((bits == truth).mean()), "log10_p": None}


def mark(method: str, name: str, latents: Tensor, key: Key, job: dict[str, Any]) -> Tensor:
    basis, strength = basis_of(name), job["strength"]
    if method == "ours":
        return embed(latents, basis, key, strength=strength)
    if method == "lowest-variance":
        return embed(latents, lowest_variance(basis), key, strength=strength)
    if method == "paper":
        return embed_by_paper_rule(latents, basis, key, strength, job["depth"])
    return embed_spread_spectrum(latents, key, strength * model(name).latent_spread)


def job(
    method: str, decoder: str, size: int, strength: float, attacks: tuple[str, ...], count: int, **more: Any
) -> Any:
    base = {"method": method, "decoder": decoder, "size": size, "strength": strength, "key_bits": 64, "depth": 0}
    return {**base, "steps": 0, **more}, attacks, count


def stages(name: str) -> Iterator[Any]:
    if name == "headline":
        for count in (8, 16, 24):
            for decoder in DECODERS[:2]:
                yield job("ours", decoder, 256, 1.0, ("clean", "jpeg-75"), count)
                yield job("ours", decoder, 512, 1.0, ("clean", "jpeg-75"), count)
    elif name == "attacks":
        for decoder in DECODERS:
            yield job("ours", decoder, 256, 1.0, tuple(ATTACKS), 6)
        for decoder in DECODERS[:2]:
            yield job("ours", decoder, 512, 1.0, ("combined", "noise-0.1", "jpeg-50"), 6)
    elif name == "frontier":
        seen = ("clean", "jpeg-75")
        for decoder in DECODERS[:2]:
            for strength in (0.6, 1.5, 2.5):
                yield job("ours", decoder, 256, strength, seen, 6)
            for strength, depth in ((1.0, 1), (2.0, 1), (4.0, 1), (8.0, 1), (4.0, 4)):
                yield job("paper", decoder, 256, strength, seen, 6, depth=depth)
            for strength in (0.2, 0.4):
                yield job("spread-spectrum", decoder, 256, strength, seen, 6)
            yield job("lowest-variance", decoder, 256, 1.0, seen, 6)
            for bits in (32, 96):
                yield job("ours", decoder, 256, 1.0, seen, 6, key_bits=bits)
            yield job("paper", decoder, 256, 4.0, ("clean",), 2, depth=1, steps=60)


def run(names: list[str], rows: Rows) -> None:
    PARTIAL.mkdir(parents=True, exist_ok=True)
    for stage in names:
        if stage == "false-attribution":
            false_attribution(rows)
        elif stage == "shading":
            shading(rows)
        for about, attacks, count in stages(stage):
            label = json.dumps(about, sort_keys=True)
            for path, pixels in pictures(about["size"])[1][:count]:
                missing = [attack for attack in attacks if rows.lacks(label, path, attack)]
                for row in one_picture(about, path, pixels, missing) if missing else ():
                    rows.add({"job": label, "picture": path, **row})


def one_picture(about: dict[str, Any], path: str, pixels: Tensor, attacks: list[str]) -> Iterator[dict[str, Any]]:
    autoencoder, key = model(about["decoder"]), key_for(path, about["key_bits"])
    with torch.no_grad():
        latents = autoencoder.encode(pixels)
        unmarked = quantise(autoencoder.decode(latents))
        began = time.perf_counter()
        moved = mark(about["method"], about["decoder"], latents, key, about)
        seconds = time.perf_counter() - began
        marked = quantise(autoencoder.decode(moved))
    change = measure_change(marked, unmarked)
    for attack in attacks:
        result = judge(about["method"], about["decoder"], ATTACKS[attack](marked), key, about)
        yield {"attack": attack, "psnr": round(change.psnr, 3), "ssim": round(change.ssim, 5),
               "embed_seconds": round(seconds, 4), **result}  # fmt: skip


def shading(rows: Rows) -> None:
    """Initial noise is decoded as it is, as if the sampler were inverted perfectly: what the VAE alone leaves of it."""
    about = {"method": "gaussian-shading", "decoder": "taesd", "size": 256, "strength": 1.0, "key_bits": 64}
    for decoder in DECODERS:
        label = json.dumps({**about, "decoder": decoder, "depth": 0, "steps": 0}, sort_keys=True)
        for number in range(4):
            autoencoder, key = model(decoder), key_for(f"noise {number}", 64)
            if not rows.lacks(label, str(number), "clean"):
                continue
            shape = (1, autoencoder.latent_channels, 32, 32)
            with torch.no_grad():
                noise = shaded_noise(shape, key, number) * autoencoder.latent_spread
                image = quantise(autoencoder.decode(noise))
                for attack in ("clean", "jpeg-75", "combined"):
                    votes = read_shaded_noise(autoencoder.encode(ATTACKS[attack](image)), 64, number)
                    bits = (votes < 0).numpy()
                    right = bits == key.bits
                    rows.add({"job": label, "picture": str(number), "attack": attack, "psnr": None, "ssim": None,
                              "right": bool(right.all()), "bits": float(right.mean())})  # fmt: skip


def false_attribution(rows: Rows) -> None:
    """Unmarked pictures under secrets that have nothing to do with them, against 10,000 registered keys at a time."""
    decoder = "taesd"
    autoencoder, basis = model(decoder), basis_of(decoder)
    label = json.dumps({"method": "false-attribution", "decoder": decoder}, sort_keys=True)
    chosen = pictures(256)[1][:20]
    per_picture = TRIALS // len(chosen)
    length = coded_bits(64)
    for number, (path, pixels) in enumerate(chosen):
        if not rows.lacks(label, path, "clean"):
            continue
        generator = np.random.default_rng(number)
        keys = [Key(generator.bytes(8).hex()) for _ in range(USERS)]
        codewords, free = key_codewords(keys), free_codewords(64)
        with torch.no_grad():
            patches = to_patches(autoencoder.encode(pixels).float(), basis.side) - basis.readout_mean
        projections = patches @ basis.readers
        smallest_user, smallest_blind, users, blind = 0.0, 0.0, 0, 0
        trials = math.log(USERS * len(free))
        for trial in range(per_picture):
            seed = f"wrong secret {number} {trial}".encode()
            values = make_carrier(basis, 32, 32, length, seed).collect(projections)[0]
            best = (codewords @ (values[None] * free).T).max()
            log_p = float(log_tail(values, best[None])[0]) + trials
            smallest_user, users = min(smallest_user, log_p), users + (log_p <= math.log(RATE))
            reading = decode_readouts(values, 64, RATE, Passes(1, 0, 0))
            smallest_blind, blind = min(smallest_blind, reading.log_p_value), blind + (reading.key is not None)
        rows.add({"job": label, "picture": path, "attack": "clean", "trials": per_picture, "users": USERS,
                  "attributed": users, "keys": blind, "smallest_p_user": math.exp(smallest_user),
                  "smallest_p_key": math.exp(smallest_blind)})  # fmt: skip


def report(rows: Rows) -> None:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["job"], row["attack"]), []).append(row)
    summary: list[Row] = []
    for (label, attack), part in groups.items():
        about = json.loads(label)
        if about["method"] == "false-attribution":
            summary.append({**about, "trials": sum(r["trials"] for r in part), "users": part[0]["users"],
                          "attributed": sum(r["attributed"] for r in part), "keys": sum(r["keys"] for r in part),
                          "smallest_p_user": min(r["smallest_p_user"] for r in part),
                          "smallest_p_key": min(r["smallest_p_key"] for r in part)})  # fmt: skip
            continue
        numbers = [r["psnr"] for r in part if r["psnr"] is not None]
        summary.append({**about, "attack": attack, "pictures": len(part),
                      "psnr": round(float(np.mean(numbers)), 2) if numbers else None,
                      "psnr_least": round(min(numbers), 2) if numbers else None,
                      "ssim": round(float(np.mean([r["ssim"] for r in part])), 4) if numbers else None,
                      "key_right": round(float(np.mean([r["right"] for r in part])), 4),
                      "wrong_keys": sum(bool(r.get("wrong")) for r in part),
                      "bits_right": round(float(np.mean([r["bits"] for r in part])), 4)})  # fmt: skip
    text = f"# Latent fingerprints on real decoders\n\n{made_by(f'`{ROWS.name}`')}\n{markdown(summary)}"
    write_json(RESULTS / "fingerprints.json", summary)
    write_text(RESULTS / "fingerprints.md", text)
    print(text)


def markdown(summary: list[Row]) -> str:
    columns = ("method", "decoder", "size", "key_bits", "strength", "depth", "steps", "attack", "pictures", "psnr",
               "psnr_least", "ssim", "key_right", "wrong_keys", "bits_right")  # fmt: skip
    trials = [row for row in summary if row["method"] == "false-attribution"]
    lines = [table([row for row in summary if row not in trials], columns)]
    for row in trials:
        lines += ["", f"Unmarked pictures on {row['decoder']}: {row['trials']} trials against {row['users']} registered"
                      f" keys each: {row['attributed']} attributed (smallest bound {row['smallest_p_user']:.2g}),"
                      f" {row['keys']} keys read (smallest bound {row['smallest_p_key']:.2g})."]  # fmt: skip
    return "\n".join(lines) + "\n"


STAGES = ("headline", "frontier", "attacks", "false-attribution", "shading")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--stage", choices=STAGES, action="append", help="default: all")
    args = parser.parse_args()
    require_data()
    rows = Rows(ROWS, ("job", "picture", "attack"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if args.command == "run":
        run(args.stage or list(STAGES), rows)
    report(rows)


if __name__ == "__main__":
    main()
