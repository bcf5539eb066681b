"""Latent fingerprints on real decoders: is the key right, at what change of the picture, after which attack?

Pictures are central crops, never resampled; every third of them builds the bases, the others are marked. Unmarked is
D(E(x)), marked D(E(x) + fingerprint), both stored as 8 bit. Every picture gets another key. One command, resumable:

    python benchmarks/fingerprints.py run                  # all stages, one after another
    python benchmarks/fingerprints.py run --stage headline
    python benchmarks/fingerprints.py report               # tables as JSON and Markdown, and the frontier as a picture

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from latent_tracer.core import alter, load_autoencoder, load_image, quantise, to_picture, to_tensor
from latent_tracer.core.fingerprints import FingerprintBasis, Key, build_basis, embed, load_basis, measure_change
from latent_tracer.core.fingerprints.carrier import make_carrier
from latent_tracer.core.fingerprints.codebook import coded_bits, free_codewords, key_codewords
from latent_tracer.core.fingerprints.evidence import log_tail
from latent_tracer.core.fingerprints.patches import to_patches
from latent_tracer.core.fingerprints.read import decode_readouts, readouts
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.storage.atomic import write_picture, write_text
from peers.gaussian_shading import read_shaded_noise, shaded_noise
from peers.paper_rule import embed_by_paper_rule, read_by_paper_rule
from peers.spread_spectrum import embed_spread_spectrum, read_spread_spectrum
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("LATENT_TRACER_DATA", REPOSITORY.parent / "shared"))
RESULTS = Path(__file__).resolve().parent / "results"
PARTIAL = RESULTS / "partial"
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
def model(name: str) -> Any:
    return load_autoencoder(DATA / "weights" / name)


@cache
def pictures(size: int) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    """(for bases, to be marked): central crops of all pictures that are large enough, photographs first."""
    lines = (DATA / "images" / "index.tsv").read_text(encoding="utf-8").splitlines()[1:]
    found = []
    for line in lines:
        path = line.split("\t")[0]
        pixels = load_image(DATA / "images" / path).pixels
        top, left = (pixels.shape[-2] - size) // 2, (pixels.shape[-1] - size) // 2
        if min(top, left) >= 0:
            found.append((path, pixels[..., top : top + size, left : left + size]))
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


def rows_so_far() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.is_file() else []


def run(names: list[str]) -> None:
    done = {(row["job"], row["picture"], row["attack"]) for row in rows_so_far()}
    PARTIAL.mkdir(parents=True, exist_ok=True)
    with ROWS.open("a", encoding="utf-8") as stream:

        def keep(row: dict[str, Any]) -> None:
            stream.write(json.dumps(row) + "\n")
            stream.flush()

        for stage in names:
            if stage == "false-attribution":
                false_attribution(done, keep)
                continue
            if stage == "shading":
                shading(done, keep)
                continue
            for about, attacks, count in stages(stage):
                label = json.dumps(about, sort_keys=True)
                for path, pixels in pictures(about["size"])[1][:count]:
                    missing = [attack for attack in attacks if (label, path, attack) not in done]
                    if missing:
                        for row in one_picture(about, path, pixels, missing):
                            keep({"job": label, "picture": path, **row})


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


def shading(done: set[Any], keep: Callable[[dict[str, Any]], None]) -> None:
    """Initial noise is decoded as it is, as if the sampler were inverted perfectly: what the VAE alone leaves of it."""
    about = {"method": "gaussian-shading", "decoder": "taesd", "size": 256, "strength": 1.0, "key_bits": 64}
    for decoder in DECODERS:
        label = json.dumps({**about, "decoder": decoder, "depth": 0, "steps": 0}, sort_keys=True)
        for number in range(4):
            autoencoder, key = model(decoder), key_for(f"noise {number}", 64)
            if (label, str(number), "clean") in done:
                continue
            shape = (1, autoencoder.latent_channels, 32, 32)
            with torch.no_grad():
                noise = shaded_noise(shape, key, number) * autoencoder.latent_spread
                image = quantise(autoencoder.decode(noise))
                for attack in ("clean", "jpeg-75", "combined"):
                    votes = read_shaded_noise(autoencoder.encode(ATTACKS[attack](image)), 64, number)
                    bits = (votes < 0).numpy()
                    right = bits == key.bits
                    keep({"job": label, "picture": str(number), "attack": attack, "psnr": None, "ssim": None,
                          "right": bool(right.all()), "bits": float(right.mean())})  # fmt: skip


def false_attribution(done: set[Any], keep: Callable[[dict[str, Any]], None]) -> None:
    """Unmarked pictures under secrets that have nothing to do with them, against 10,000 registered keys at a time."""
    decoder = "taesd"
    autoencoder, basis = model(decoder), basis_of(decoder)
    label = json.dumps({"method": "false-attribution", "decoder": decoder}, sort_keys=True)
    chosen = pictures(256)[1][:20]
    per_picture = TRIALS // len(chosen)
    length = coded_bits(64)
    for number, (path, pixels) in enumerate(chosen):
        if (label, path, "clean") in done:
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
        keep({"job": label, "picture": path, "attack": "clean", "trials": per_picture, "users": USERS,
              "attributed": users, "keys": blind, "smallest_p_user": math.exp(smallest_user),
              "smallest_p_key": math.exp(smallest_blind)})  # fmt: skip


def report() -> None:
    rows = rows_so_far()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["job"], row["attack"]), []).append(row)
    table = []
    for (label, attack), part in groups.items():
        about = json.loads(label)
        if about["method"] == "false-attribution":
            table.append({**about, "trials": sum(r["trials"] for r in part), "users": part[0]["users"],
                          "attributed": sum(r["attributed"] for r in part), "keys": sum(r["keys"] for r in part),
                          "smallest_p_user": min(r["smallest_p_user"] for r in part),
                          "smallest_p_key": min(r["smallest_p_key"] for r in part)})  # fmt: skip
            continue
        numbers = [r["psnr"] for r in part if r["psnr"] is not None]
        table.append({**about, "attack": attack, "pictures": len(part),
                      "psnr": round(float(np.mean(numbers)), 2) if numbers else None,
                      "psnr_least": round(min(numbers), 2) if numbers else None,
                      "ssim": round(float(np.mean([r["ssim"] for r in part])), 4) if numbers else None,
                      "key_right": round(float(np.mean([r["right"] for r in part])), 4),
                      "wrong_keys": sum(bool(r.get("wrong")) for r in part),
                      "bits_right": round(float(np.mean([r["bits"] for r in part])), 4)})  # fmt: skip
    write_text(RESULTS / "fingerprints.json", json.dumps(table, indent=1) + "\n")
    write_text(RESULTS / "fingerprints.md", markdown(table))
    write_picture(RESULTS / "fingerprints-frontier.png", frontier(table))
    print(markdown(table))


def markdown(table: list[dict[str, Any]]) -> str:
    columns = ("method", "decoder", "size", "key_bits", "strength", "depth", "steps", "attack", "pictures", "psnr",
               "psnr_least", "ssim", "key_right", "wrong_keys", "bits_right")  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    trials = [row for row in table if row["method"] == "false-attribution"]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in table if row not in trials]
    for row in trials:
        lines += ["", f"Unmarked pictures on {row['decoder']}: {row['trials']} trials against {row['users']} registered"
                      f" keys each: {row['attributed']} attributed (smallest bound {row['smallest_p_user']:.2g}),"
                      f" {row['keys']} keys read (smallest bound {row['smallest_p_key']:.2g})."]  # fmt: skip
    return "\n".join(lines) + "\n"


def frontier(table: list[dict[str, Any]]) -> Image.Image:
    """Share of right bits after JPEG q75 over PSNR, 256², 64 bits; one panel per decoder. Okabe and Ito's colours."""
    colours = {"ours": "#56b4e9", "paper": "#e69f00", "spread-spectrum": "#009e73", "lowest-variance": "#f0e442"}
    width, height, edge = 460, 360, 56
    picture = Image.new("RGB", (2 * width, height + 60), "#14171c")
    draw = ImageDraw.Draw(picture)
    low, high = 15.0, 47.0
    for panel, decoder in enumerate(DECODERS[:2]):
        left, right, top, bottom = panel * width + edge, (panel + 1) * width - 16, 40, height - 30
        draw.rectangle((left, top, right, bottom), fill="#1e232b")
        draw.text((left, 16), f"{decoder}, 256x256, 64 bits: keys right after JPEG q75", fill="#f2f4f7")
        for value in range(15, 46, 5):
            x = left + (value - low) / (high - low) * (right - left)
            draw.text((x, bottom + 6), str(value), fill="#9aa4b2", anchor="ma")
        draw.text(((left + right) / 2, bottom + 20), "PSNR marked / unmarked, dB", fill="#9aa4b2", anchor="ma")
        for share in (0, 0.5, 1.0):
            y = bottom - share * (bottom - top - 12)
            draw.text((left - 6, y), f"{share:.0%}", fill="#9aa4b2", anchor="rm")
        for method, colour in colours.items():
            points = sorted(
                (row["psnr"], row["key_right"])
                for row in table
                if row["method"] == method and row["decoder"] == decoder and row.get("attack") == "jpeg-75"
                and row["size"] == 256 and row["key_bits"] == 64 and not row["steps"]
            )  # fmt: skip
            places = [
                (left + (p - low) / (high - low) * (right - left), bottom - share * (bottom - top - 12))
                for p, share in points
            ]
            if len(places) > 1:
                draw.line(places, fill=colour, width=2)
            for x, y in places:
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
    for number, (method, colour) in enumerate(colours.items()):
        draw.ellipse((edge + 190 * number, height + 18, edge + 190 * number + 10, height + 28), fill=colour)
        draw.text((edge + 190 * number + 16, height + 23), method, fill="#f2f4f7", anchor="lm")
    return picture


STAGES = ("headline", "frontier", "attacks", "false-attribution", "shading")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--stage", choices=STAGES, action="append", help="default: all")
    args = parser.parse_args()
    if not (DATA / "weights").is_dir():
        raise SystemExit(f"No data at {DATA}: set LATENT_TRACER_DATA to the folder with weights/ and images/.")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if args.command == "run":
        run(args.stage or list(STAGES))
    report()


if __name__ == "__main__":
    main()
