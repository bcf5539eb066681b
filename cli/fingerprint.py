"""``latent-tracer fingerprint``: mark pictures with a user's key inside the latent, and read it back."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image

from ..core import InvalidSettingError, crop_to_grid, load_autoencoder, load_image, quantise
from ..core.errors import visible
from ..core.files.decoding import PROFILE_NOTE, TURN_NOTE
from ..core.files.orientation import upright
from ..core.fingerprints import (
    DEFAULT_BITS,
    DEFAULT_STRENGTH,
    FALSE_KEY_RATE,
    Key,
    Reading,
    Secret,
    UserAttribution,
    add_users,
    attribute_user,
    build_basis,
    embed,
    load_basis,
    load_register,
    load_secret,
    measure_change,
    parse_key,
    read,
    secret_from_environment,
    write_new_secret,
)
from ..core.fingerprints.basis import check_not_taken
from ..core.fingerprints.keys import SECRET_VARIABLE, check_key_bits, user_name
from ..core.fingerprints.read import REFINING_STEPS
from ..core.images.tensors import to_picture
from ..core.reports.folder_trace import reason_of
from ..core.reports.reading import found_words
from ..core.storage.atomic import check_writable, write_picture
from ..core.storage.locking import locked
from .console import emit_json, progress_bar, say, show
from .pictures import FolderPictures

fingerprint = typer.Typer(
    no_args_is_help=True,
    help="Mark each user's pictures inside the latent, and read the key back. Secrets come from files or from the"
    f" environment variable {SECRET_VARIABLE}, never from the command line.",
)

Vae = Annotated[str, typer.Option(help="The VAE that decodes the pictures, as for trace.")]
Basis = Annotated[Path, typer.Option(help="From fingerprint basis, measured on this VAE.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, …")]
SecretFile = Annotated[
    Path | None, typer.Option(help=f"File with the owner's secret; without it {SECRET_VARIABLE}, if set.")
]
RegisterFile = Annotated[Path | None, typer.Option(help="Register of users, from fingerprint register.")]


@fingerprint.command("basis")
def basis_command(
    vae: Vae,
    images: Annotated[Path, typer.Option(help="Folder of any pictures, two dozen or more of 256² at least.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the basis (safetensors).")],
    seed: Annotated[int, typer.Option(help="Of the small changes whose response is measured.")] = 0,
    device: Device = "cpu",
) -> int:
    """Measure which directions of the latent vary little and survive decoding, storage and encoding."""
    check_writable(output)
    autoencoder = load_autoencoder(vae, device)
    pictures = FolderPictures(images)
    check_not_taken(output, autoencoder.fingerprint, len(pictures))
    with progress_bar(len(pictures), "measuring") as (progress, task):
        made = build_basis(
            autoencoder, pictures, seed=seed, on_image=lambda done: progress.update(task, completed=done)
        )
    with locked(output):
        check_not_taken(output, made.fingerprint, made.images, made)  # by what was saved meanwhile
        made.save(output)
    show(f"{output}: {made.words}.")
    return 0


@fingerprint.command("embed")
def embed_command(
    image: Annotated[Path, typer.Argument(help="Picture to mark; it goes through the VAE.")],
    vae: Vae,
    basis: Basis,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the marked picture (PNG).")],
    key: Annotated[str | None, typer.Option(help="The key, hexadecimal: 16 digits for 64 bits.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="File with the key, which keeps it out of the history.")] = None,
    user: Annotated[str | None, typer.Option(help="Name from which, with the secret, the key is derived.")] = None,
    key_bits: Annotated[int, typer.Option(help="Length of a user's key.")] = DEFAULT_BITS,
    strength: Annotated[float, typer.Option(help="Margin of every bit; larger survives more and shows more.")] = (
        DEFAULT_STRENGTH
    ),
    secret_file: SecretFile = None,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Encode a picture, move its latent, decode and store it. Reports how much the key changed the picture."""
    secret = given_secret(secret_file)
    chosen = given_key(key, key_file, user, key_bits, secret)
    if output.suffix.lower() != ".png":
        raise InvalidSettingError(f"{output} is no PNG file: the marked picture is stored without loss, name it .png.")
    check_writable(output)
    known = load_basis(basis)
    autoencoder = load_autoencoder(vae, device)
    known.check(autoencoder)
    loaded = load_image(image)
    # The marked picture lies as the file is shown, and keeps its colours.
    cropped, crop = crop_to_grid(upright(loaded.pixels, loaded.orientation), autoencoder.spatial_ratio)
    profile = colour_profile(image)
    kept = {TURN_NOTE} | ({PROFILE_NOTE} if profile else set())
    notes = [note for note in loaded.notes if note not in kept]
    with torch.no_grad():
        latents = autoencoder.encode(cropped)
        moved = embed(latents, known, chosen, strength=strength, secret=secret, autoencoder=autoencoder)
        marked = quantise(autoencoder.decode(moved).cpu())
        unmarked = quantise(autoencoder.decode(latents).cpu())
    change = measure_change(marked, unmarked)
    if not bool((moved != latents).any()):
        notes.append("nothing was written: every bit is there already, or the picture is plain")
    write_picture(output, to_picture(marked), icc_profile=profile or None)
    if as_json:
        emit_json({
            "image": str(image), "output": str(output),
            "psnr": change.psnr if math.isfinite(change.psnr) else None, "ssim": change.ssim, "strength": strength,
            "key_bits": len(chosen), "crop": str(crop), "bound": known.bound, "notes": notes,
        })  # fmt: skip
    else:
        movable = "" if known.bound else "; the basis has format 1: this mark can be moved to other pictures"
        told = "".join(f"; {note}" for note in notes)
        show(f"{output}: {len(chosen)} bits, marked against unmarked {change}; crop: {crop}{movable}{told}.")
    return 0


@fingerprint.command("read")
def read_command(
    images: Annotated[list[Path], typer.Argument(readable=False, help="Pictures to read, as they were saved.")],
    vae: Vae,
    basis: Basis,
    key_bits: Annotated[int | None, typer.Option(help="Length of the key; 64, or that of the register.")] = None,
    register: RegisterFile = None,
    secret_file: SecretFile = None,
    fpr: Annotated[
        float, typer.Option(help="Probability of an unmarked picture giving a key or user.")
    ] = FALSE_KEY_RATE,
    steps: Annotated[
        int, typer.Option(help="Inversion steps where one encoder pass is not decisive; 0: never.")
    ] = REFINING_STEPS,
    search: Annotated[
        bool, typer.Option(help="Look also as if the picture had been turned, resized or cropped since.")
    ] = True,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Read keys; with a register, name the user. No key is an answer."""
    secret = given_secret(secret_file)
    users = load_register(register) if register is not None else None
    if users is not None:
        if secret is None:
            raise InvalidSettingError(
                f"A register needs the secret it was made with: give --secret-file or set {SECRET_VARIABLE}."
            )
        users.require(secret)
    bits = key_bits
    if bits is None:
        bits = users.key_bits if users is not None else DEFAULT_BITS
    check_key_bits(bits)
    known = load_basis(basis)
    autoencoder = load_autoencoder(vae, device)
    known.check(autoencoder)
    failures = 0
    with progress_bar(len(images), "reading") as (progress, task):
        for path in images:
            try:
                pixels = load_image(path).pixels
                reading = read(
                    autoencoder, pixels, known, key_bits=bits, secret=secret, rate=fpr, refining_steps=steps,
                    search=search,
                )  # fmt: skip
                owner = None
                if users is not None and secret is not None:
                    owner = attribute_user(reading, users, secret, rate=fpr)
            except Exception as error:  # one picture's failure must not cost the others their answers
                failures += 1
                reason = f"{visible(str(path))} {reason_of(error, str(path))}"
                say(f"latent-tracer: {reason}")
                if as_json:
                    emit_json({"image": str(path), "key": None, "error": reason})
                continue
            finally:
                progress.advance(task)
            if as_json:
                emit_json(reading_record(path, reading, owner))
            else:
                show(f"{visible(str(path))}: {sentence(reading, owner)}")
    return 2 if failures else 0


@fingerprint.command("register")
def register_command(
    register: Annotated[Path, typer.Argument(help="The register (JSON); made if it does not exist.")],
    add: Annotated[list[str] | None, typer.Option(help="Name of a user to add; repeat for each.")] = None,
    key_bits: Annotated[int, typer.Option(help="Length of the keys of a new register.")] = DEFAULT_BITS,
    secret_file: SecretFile = None,
    new_secret: Annotated[Path | None, typer.Option(help="Write a new random secret to this file and use it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """Add users to a register. It holds their names, never a key: keys are derived from the secret."""
    if new_secret is not None:
        if secret_file is not None or os.path.lexists(register) or register.resolve() == new_secret.resolve():
            raise InvalidSettingError("--new-secret starts a new register: leave out --secret-file, name a new file.")
        # All else that could be refused comes first: a new secret cannot be written twice.
        check_key_bits(key_bits)
        check_writable(register)
        for name in add or []:
            user_name(name)
        write_new_secret(new_secret)
        secret_file = new_secret
    secret = given_secret(secret_file)
    if secret is None:
        raise InvalidSettingError(
            f"A register needs a secret: give --secret-file, set {SECRET_VARIABLE}, or start with --new-secret FILE."
        )
    known = add_users(register, add or [], secret, key_bits)
    if as_json:
        emit_json({"register": str(register), "users": list(known.users), "key_bits": known.key_bits})
    else:
        show(f"{register}: {len(known.users)} users, keys of {known.key_bits} bits.")
    return 0


def colour_profile(path: Path) -> bytes:
    """The colour profile (ICC) that says how a picture's red, green and blue look; empty where there is none."""
    try:
        with Image.open(path) as picture:
            # Of grey and of printers' colours it says nothing once the pixels are red, green and blue.
            is_colour = picture.mode in ("RGB", "RGBA", "P")
            return bytes(picture.info.get("icc_profile") or b"") if is_colour else b""
    except Exception:  # the pixels were read another way
        return b""


def given_secret(path: Path | None) -> Secret | None:
    """The secret in the file, else in the environment, else none."""
    if path is not None:
        return load_secret(path)
    return secret_from_environment() if os.environ.get(SECRET_VARIABLE) else None


def given_key(key: str | None, key_file: Path | None, user: str | None, key_bits: int, secret: Secret | None) -> Key:
    if sum(part is not None for part in (key, key_file, user)) != 1:
        raise InvalidSettingError("Give exactly one of --key, --key-file and --user.")
    if user is not None:
        if secret is None:
            raise InvalidSettingError(f"--user needs the secret: give --secret-file or set {SECRET_VARIABLE}.")
        return secret.user_key(user_name(user), key_bits)
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise InvalidSettingError(f"The key file {key_file} cannot be read: it holds hexadecimal digits.") from None
    assert key is not None
    return parse_key(key)


def reading_record(path: Path, reading: Reading, owner: UserAttribution | None) -> dict[str, Any]:
    """The JSON object of one picture read. Fields are a promise: added, never renamed."""
    record: dict[str, Any] = {
        "image": str(path),
        "key": None if reading.key is None else reading.key.hexadecimal,
        "bit_confidence": [round(value, 6) for value in reading.bit_confidence],
        "p_value": reading.p_value,
        "passes": {
            "encoder": reading.passes.encoder,
            "decoder": reading.passes.decoder,
            "backward": reading.passes.backward,
        },
        "key_bits": reading.key_bits,
        "fpr": reading.rate,
        "margin": reading.margin,
        "refined": reading.refined,
        "bound": reading.bound,
        "trials": reading.trials,
        "placement": None if reading.placement is None else reading.placement.words,
        "marked": reading.is_marked,
        "secret": reading.keyed,
        "left_out": reading.left_out,
    }
    if owner is not None:
        record |= {"user": owner.user, "user_p_value": owner.p_value, "users": owner.users, "reason": owner.reason}
    return record


def sentence(reading: Reading, owner: UserAttribution | None) -> str:
    """One picture in words, without its key: terminals are logged, ``--json`` is asked for."""
    found = found_words(reading) + (" (--json shows it)" if reading.key is not None else "")
    text = f"{found}, p <= {reading.p_value:.2g} for an unmarked picture"
    if reading.refined:
        text += ", after inversion"
    if reading.is_marked and reading.placement is not None:
        text += f", taken as {reading.placement.words}"
    if reading.is_marked and not reading.bound:
        text += "; a mark of format 1, which may have been moved here from another picture"
    if reading.is_marked and not reading.keyed:
        text += "; read without a secret, it proves nothing: whoever has the basis can write any key"
    if reading.left_out:
        text += f"; {reading.left_out} further looks did not fit into memory"
    if owner is not None:
        text += f"; user: {owner.user or 'none'} ({owner.reason})"
    return text
