"""Can a mark be moved to another picture, does a bound one survive, is it found again, and who is named wrongly?

Format 1 and 2 of the basis on the same pictures. One command, resumable:

    python benchmarks/marks.py run --stage forging --decoder taesd
    python benchmarks/marks.py report

Stages. ``binding``: how far the content of a picture agrees with itself after an attack, and with other pictures.
``forging``: a mark moved to other pictures, by the components of one signed picture, of the average of several, by the
difference of a before/after pair, once and threefold; as a rule in the latent, where nothing is lost on the way.
``robust``: keys right after attacks, by both formats. ``placed``: crops, turns and sizes. ``unmarked``: trials of
unmarked pictures and of pictures with a mark of another secret.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import permutations, product

import numpy as np
import torch
from common import RESULTS, Row, Rows, crop_of, made_by, require_data, table
from common import decoder as model
from fingerprints import ATTACKS, RATE, basis_of, key_for, pictures
from latent_tracer.core import quantise, to_picture, to_tensor
from latent_tracer.core.fingerprints import (
    FingerprintBasis,
    Key,
    Secret,
    convolutional_code,
    embed,
    measure_change,
    read,
)
from latent_tracer.core.fingerprints.carrier import bound_carrier, grid_of, make_carrier, read_patches, written_patches
from latent_tracer.core.fingerprints.codebook import (
    PILOTS,
    coded_bits,
    free_codewords,
    inverse_rate,
    key_codewords,
    message_bits,
    message_codewords,
)
from latent_tracer.core.fingerprints.content import Content
from latent_tracer.core.fingerprints.evidence import log_tail
from latent_tracer.core.fingerprints.patches import add_patches, to_patches
from latent_tracer.core.fingerprints.read import decode_readouts, readouts
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.storage.atomic import write_text
from PIL import Image
from torch import Tensor

ROWS = RESULTS / "marks-rows.jsonl"
SECRET = Secret(b"a secret for measurements only")
SEEN = ("clean", "jpeg-75", "noise-0.1", "combined", "resize-0.75, size known")
FORGED, TARGETS = 6, 16
TRIALS, USERS, AT_ONCE = 10_000, 100, 250
# Which picture, what was done, and what measures it.
Case = tuple[str, str, Callable[[], Row]]


@cache
def basis_in(name: str, version: int) -> FingerprintBasis:
    return replace(basis_of(name), version=version)


@lru_cache(maxsize=40)
def taken(name: str, size: int, number: int) -> tuple[str, Tensor, Tensor]:
    """Path, latents E(x) and unmarked picture D(E(x)) as stored, of one of the pictures that build no basis."""
    path, pixels = pictures(size)[1][number]
    with torch.no_grad():
        latents = model(name).encode(pixels)
        return path, latents, quantise(model(name).decode(latents))


@lru_cache(maxsize=40)
def marked(name: str, size: int, number: int, version: int, key: Key, corrected: bool = False) -> Tensor:
    with torch.no_grad():
        moved = embed(
            taken(name, size, number)[1], basis_in(name, version), key, secret=SECRET,
            autoencoder=model(name) if corrected else None,
        )  # fmt: skip
        return quantise(model(name).decode(moved))


def encoded(name: str, image: Tensor) -> Tensor:
    height, width = (side // 8 * 8 for side in image.shape[-2:])
    with torch.no_grad():
        return model(name).encode(image[..., :height, :width]).float()


def judged(latents: Tensor, basis: FingerprintBasis, key: Key) -> Row:
    reading = decode_readouts(readouts(latents, basis, len(key), SECRET)[0], len(key), RATE, Passes())
    # As a register of one user would: the bound of this key alone.
    pilots = PILOTS if basis.bound else 0
    variants = key_codewords([key], pilots) * free_codewords(len(key), pilots)
    best = (variants @ reading.readouts).max()
    bound = float(log_tail(reading.readouts, best[None])[0]) + math.log(256)
    return {"right": reading.key == key, "wrong": reading.key not in (None, key),
            "log10_p": round(reading.log_p_value / math.log(10), 2), "attributed": bound <= math.log(RATE),
            "log10_p_user": round(min(0.0, bound) / math.log(10), 2)}  # fmt: skip


def binding(name: str, count: int) -> Iterator[Case]:
    basis = basis_in(name, 2)
    contents = []
    for number in range(count):
        path, latents, _ = taken(name, 256, number)
        written = written_patches(latents, basis)[1]
        contents.append(written)
        image = marked(name, 256, number, 2, key_for(path, 64))
        for attack in SEEN:
            yield path, attack, partial(itself, name, attack, image, written)
    for one, other in permutations(range(count), 2):
        yield f"{one}-{other}", "another picture", partial(agreement, contents[one], contents[other])


def itself(name: str, attack: str, image: Tensor, written: Content) -> Row:
    return agreement(written, read_patches(encoded(name, ATTACKS[attack](image)), basis_in(name, 2))[1])


def agreement(one: Content, other: Content) -> Row:
    """Expected correlation of the waves of two contents over all secrets."""
    near = torch.exp(-(one.coordinates - other.coordinates).square().sum(2) / 2)
    first, second = one.distinct, other.distinct
    together = (near * first * second).sum() / (first.norm() * second.norm()).clamp(min=1e-9)
    return {"agreement": round(float(together), 4)}


def components(latents: Tensor, basis: FingerprintBasis, mean: Tensor) -> Tensor:
    """Of each patch along the chosen directions: what a mark changes."""
    chosen = basis.directions[:, basis.chosen]
    return (to_patches(latents, basis.side) - mean) @ chosen


def forging(name: str, count: int) -> Iterator[Case]:
    """All victims carry the key of one user, as the pictures of one user do."""
    victims, key = min(FORGED, count), key_for("victim", 64)
    targets = [taken(name, 256, number)[1] for number in range(victims, victims + TARGETS)]
    for version in (1, 2):
        basis = basis_in(name, version)
        chosen = basis.directions[:, basis.chosen]
        images = [marked(name, 256, number, version, key) for number in range(victims)]
        read_back = [encoded(name, image) for image in images]
        for number, latents in enumerate(read_back):
            itself_now = partial(judged, latents, basis, key)
            yield f"{version} itself {number}", f"format {version}: the signed picture itself", itself_now
            freed = add_patches(latents, -components(latents, basis, basis.readout_mean) @ chosen.T, basis.side)
            without = partial(judged, freed, basis, key)
            yield f"{version} removed {number}", f"format {version}: removed with the basis", without
        parts = [components(latents, basis, basis.readout_mean) for latents in read_back]
        plain = [components(taken(name, 256, number)[1], basis, basis.mean) for number in range(victims)]
        stolen = {
            **{f"components of one picture ({n})": parts[n] for n in range(victims)},
            **{f"difference of a pair ({n})": parts[n] - plain[n] for n in range(victims)},
            f"average of {victims}": torch.stack(parts).mean(0),
            f"average of {victims} differences": (torch.stack(parts) - torch.stack(plain)).mean(0),
        }
        for what, part in stolen.items():
            for scale in (1.0, 3.0):
                for number, target in enumerate(targets):
                    own = components(target, basis, basis.readout_mean)
                    # Components replace the target's own; differences and averages come on top.
                    change = scale * part - (own if what.startswith("components") else 0)
                    forged = add_patches(target, change @ chosen.T, basis.side)
                    kind = what.split(" (")[0] + (f", {scale:g}-fold" if scale != 1 else "")
                    again = partial(judged, forged, basis, key)
                    yield f"{version} {what} {scale} {number}", f"format {version}: {kind}", again
        # In the pixels, without a basis: the difference of a before/after pair on top of another picture.
        for number in range(victims):
            difference = images[number] - taken(name, 256, number)[2]
            forged_image = quantise(taken(name, 256, victims + number)[2] + difference)
            seen = partial(judged_image, name, forged_image, basis, key)
            yield f"{version} pixels {number}", f"format {version}: difference of a pair, in pixels", seen


def same_scene(name: str, count: int) -> Iterator[Case]:
    """Two photographs of one scene from two places, and a picture beside itself, moved by a patch."""
    key, basis = key_for("victim", 64), basis_in(name, 2)
    left, right = (crop_of(f"real/scikit-image/motorcycle_{side}.png", 256) for side in ("left", "right"))
    with torch.no_grad():
        latents = model(name).encode(left)
        image = quantise(model(name).decode(embed(latents, basis, key, secret=SECRET)))
        plain = quantise(model(name).decode(latents))
    for what, other in (("the other photograph of the scene", right), ("the unmarked picture itself", plain)):
        forged = quantise(other + image - plain)
        yield what, f"format 2: pair moved to {what}", partial(judged_image, name, forged, basis, key)


def judged_image(name: str, image: Tensor, basis: FingerprintBasis, key: Key) -> Row:
    return judged(encoded(name, image), basis, key)


def robust(name: str, count: int, size: int = 256) -> Iterator[Case]:
    for number, (version, corrected) in product(range(count), ((1, False), (2, False), (2, True))):
        for attack in SEEN:
            how = f"format {version}" + (", corrected" if corrected else "")
            made = partial(survival, name, size, number, version, corrected, attack)
            yield f"{number} {size} {how}", f"{size}², {how}: {attack}", made


def survival(name: str, size: int, number: int, version: int, corrected: bool, attack: str) -> Row:
    path, _, plain = taken(name, size, number)
    image = marked(name, size, number, version, key_for(path, 64), corrected)
    change = measure_change(image, plain)
    return {"psnr": round(change.psnr, 2), "ssim": round(change.ssim, 4),
            **judged_image(name, ATTACKS[attack](image), basis_in(name, version), key_for(path, 64))}  # fmt: skip


def cropped(image: Tensor, area: float) -> Tensor:
    """So much of the area, off the centre, at an odd place."""
    height, width = (round(side * math.sqrt(area)) for side in image.shape[-2:])
    top, left = (image.shape[-2] - height) // 3, (image.shape[-1] - width) * 2 // 3
    return image[..., top : top + height, left : left + width]


def resized(image: Tensor, factor: float) -> Tensor:
    picture = to_picture(image)
    size = round(picture.width * factor), round(picture.height * factor)
    return to_tensor(picture.resize(size, Image.Resampling.BICUBIC))


PLACED: dict[str, Callable[[Tensor], Tensor]] = {
    "crop to 75 %": lambda image: cropped(image, 0.75),
    "crop to 50 %": lambda image: cropped(image, 0.5),
    "crop to 75 %, then JPEG 75": lambda image: ATTACKS["jpeg-75"](cropped(image, 0.75)),
    "mirrored": lambda image: image.flip(-1),
    "a quarter turn, then JPEG 75": lambda image: ATTACKS["jpeg-75"](torch.rot90(image, 1, (-2, -1))),
    "resized by 0.75": lambda image: resized(image, 0.75),
    "resized by 0.5": lambda image: resized(image, 0.5),
    "resized by 1.5": lambda image: resized(image, 1.5),
    "resized by 0.75, then JPEG 75": lambda image: ATTACKS["jpeg-75"](resized(image, 0.75)),
}


def placed(name: str, count: int, size: int = 256) -> Iterator[Case]:
    for number, attack in product(range(count), PLACED):
        yield f"{number} {size}", f"{size}²: {attack}", partial(found_again, name, size, number, attack)


def found_again(name: str, size: int, number: int, attack: str) -> Row:
    path = taken(name, size, number)[0]
    key = key_for(path, 64)
    image = PLACED[attack](marked(name, size, number, 2, key, True))
    reading = read(model(name), image, basis_in(name, 2), secret=SECRET, refining_steps=0)
    return {"right": reading.key == key, "wrong": reading.key not in (None, key),
            "log10_p": round(reading.log_p_value / math.log(10), 2), "encoder": reading.passes.encoder,
            "found": reading.placement.words if reading.placement else "as it lies"}  # fmt: skip


def unmarked(name: str, count: int) -> Iterator[Case]:
    """Other secrets on a fixed set of read-outs: half of unmarked pictures, half of pictures that SECRET marked."""
    for version, number in product((2, 1), range(2 * count)):
        what = "marked by another secret" if number % 2 else "unmarked"
        yield (
            f"{version} {number}",
            f"format {version}: {what}",
            partial(strange_secrets, name, version, number, TRIALS // (2 * count)),
        )


def strange_secrets(name: str, version: int, number: int, trials: int) -> Row:
    basis = basis_in(name, version)
    pilots = PILOTS if basis.bound else 0
    length = coded_bits(64, pilots)
    path, latents, _ = taken(name, 256, number // 2)
    if number % 2:
        latents = encoded(name, marked(name, 256, number // 2, 2, key_for(path, 64)))
    projections, content = read_patches(latents, basis)
    generator = np.random.default_rng(number)
    keys = [Key(generator.bytes(8).hex()) for _ in range(USERS)]
    codewords, free = key_codewords(keys, pilots), free_codewords(64, pilots)
    bounds: dict[str, list[float]] = {"user": [], "key": []}
    for first in range(0, trials, AT_ONCE):
        rows = []
        for trial in range(first, first + AT_ONCE):
            seed = f"wrong secret {number} {trial}".encode()
            if basis.bound:
                carrier = bound_carrier(basis, content, grid_of(latents, basis), length, seed)
            else:
                carrier = make_carrier(basis, *latents.shape[-2:], length, seed)
            rows.append(carrier.collect(projections)[0])
        values = torch.stack(rows)
        messages = convolutional_code.decode(values[:, : length - pilots].numpy(), inverse_rate(64))
        best_keys = (values * message_codewords(messages, 64, pilots)).sum(1)
        for one, best_key in zip(values, best_keys, strict=True):
            best = (codewords @ (one[None] * free).T).max()
            tails = log_tail(one, torch.stack([best, best_key]))
            bounds["user"].append(min(0.0, float(tails[0]) + math.log(USERS * len(free))))
            bounds["key"].append(min(0.0, float(tails[1]) + message_bits(64) * math.log(2)))
    return {"trials": trials, "attributed_of_trials": sum(bound <= math.log(RATE) for bound in bounds["user"]),
            "keys_of_trials": sum(bound <= math.log(RATE) for bound in bounds["key"]),
            "below_1e-2": sum(bound <= math.log(1e-2) for bound in bounds["user"]),
            "least_p_user": math.exp(min(bounds["user"])), "least_p_key": math.exp(min(bounds["key"]))}  # fmt: skip


STAGES: dict[str, tuple[Callable[..., Iterator[Case]], int]] = {
    "binding": (binding, 6),
    "forging": (forging, 6),
    "same-scene": (same_scene, 1),
    "robust": (robust, 6),
    "robust-512": (lambda name, count: robust(name, count, 512), 4),
    "placed": (placed, 1),
    "placed-512": (lambda name, count: placed(name, count, 512), 1),
    "unmarked": (unmarked, 2),
}


def run(stages: list[str], names: list[str], count: int | None, rows: Rows) -> None:
    for name in names:
        for stage in stages:
            measure, usual = STAGES[stage]
            for case, attack, made in measure(name, count or usual):
                if rows.lacks(stage, name, case, attack):
                    rows.add({"stage": stage, "decoder": name, "case": case, "attack": attack, **made()})


def report(rows: Rows) -> None:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["stage"].removesuffix("-512"), row["decoder"], row["attack"]), []).append(row)
    lines = [f"# Marks that are bound to their pictures\n\n{made_by(f'`{ROWS.name}`')}"]
    for stage in dict.fromkeys(key[0] for key in groups):
        part = [summary(*key[1:], group) for key, group in groups.items() if key[0] == stage]
        lines.append(f"\n## {stage}\n\n{table(part, list(dict.fromkeys(c for row in part for c in row)))}")
    write_text(RESULTS / "marks.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def summary(decoder: str, attack: str, rows: list[Row]) -> Row:
    made: Row = {"decoder": decoder, "case": attack, "number": len(rows)}
    for name, merge in (("psnr", np.mean), ("ssim", np.mean), ("agreement", np.mean), ("right", np.mean)):
        if name in rows[0]:
            made[name] = round(float(merge([row[name] for row in rows])), 4)
    if "agreement" in rows[0]:
        made["least"], made["largest"] = (f(row["agreement"] for row in rows) for f in (min, max))
    for name in ("wrong", "attributed"):
        if name in rows[0]:
            made[name] = sum(row[name] for row in rows)
    if "log10_p" in rows[0]:
        made["median log10 p"] = round(float(np.median([row["log10_p"] for row in rows])), 1)
    if "encoder" in rows[0]:
        made["encoder passes"] = round(float(np.mean([row["encoder"] for row in rows])), 1)
    if "trials" in rows[0]:
        made |= {"trials": sum(row["trials"] for row in rows),
                 "attributed": sum(row["attributed_of_trials"] for row in rows),
                 "keys": sum(row["keys_of_trials"] for row in rows),
                 "user bound below 1e-2": sum(row["below_1e-2"] for row in rows),
                 "least p, user": f"{min(row['least_p_user'] for row in rows):.1e}",
                 "least p, key": f"{min(row['least_p_key'] for row in rows):.1e}"}  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--stage", choices=STAGES, action="append", help="default: all")
    parser.add_argument("--decoder", action="append", help="default: taesd and taef1")
    parser.add_argument("--count", type=int, help="pictures, instead of the stage's own number")
    args = parser.parse_args()
    require_data()
    rows = Rows(ROWS, ("stage", "decoder", "case", "attack"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if args.command == "run":
        run(args.stage or list(STAGES), args.decoder or ["taesd", "taef1"], args.count, rows)
    report(rows)


if __name__ == "__main__":
    main()
