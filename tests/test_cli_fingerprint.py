"""``latent-tracer fingerprint``: basis, embed, read and register, on a small autoencoder instead of a loaded one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from latent_tracer.cli import app, fingerprint
from latent_tracer.core import ModuleAutoencoder, synthetic_photograph, to_picture
from latent_tracer.core.images.tensors import ALPHA_NOTE
from PIL import Image, ImageCms

KEY = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, linear: Callable[..., ModuleAutoencoder], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with pictures in it; ``--vae one`` and ``--vae two`` are two small autoencoders."""
    known = {"one": linear([6.0, 5.0, 4.0, 3.0], encoder_error=0.05), "two": linear([2.0, 2.0, 2.0, 2.0])}
    monkeypatch.setattr(fingerprint, "load_autoencoder", lambda name, device="cpu": known[name])
    monkeypatch.delenv("LATENT_TRACER_SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for seed in range(50, 54):
        to_picture(synthetic_photograph(seed, 192)).save(tmp_path / "pictures" / f"{seed}.png")
    to_picture(0.2 + 0.6 * synthetic_photograph(7, 256)).save(tmp_path / "photo.png")
    return tmp_path


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["latent-tracer", "fingerprint", *arguments])
        code = app.run()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


Command = Callable[..., tuple[int, str, str]]
ONE = ("--vae", "one", "--basis", "basis.safetensors")


def test_from_basis_to_key(command: Command, folder: Path) -> None:
    code, out, _ = command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    assert (code, "4 pictures, 16 of 64 directions chosen" in out) == (0, True)
    code, out, err = command("embed", "photo.png", *ONE, "--key", KEY, "-o", "marked.png", "--json")
    assert code == 0
    change = json.loads(out)
    assert change["psnr"] > 20
    assert 0 < change["ssim"] < 1
    assert KEY not in out + err
    code, out, _ = command("read", "marked.png", "photo.png", *ONE, "--json", "--steps", "0")
    assert code == 0
    marked, plain = map(json.loads, out.splitlines())
    assert marked["key"] == KEY
    assert marked["p_value"] < 1e-6
    assert marked["passes"] == {"encoder": 1, "decoder": 0, "backward": 0}
    assert len(marked["bit_confidence"]) == 64
    assert plain["key"] is None
    assert plain["p_value"] > 1e-6
    code, out, err = command("read", "marked.png", *ONE)
    assert "a key of 64 bits" in out
    assert KEY not in out + err
    # Users of one owner.
    code, out, err = command("register", "users.json", "--new-secret", "owner.secret", "--add", "alice", "--add", "bob")
    assert (code, "2 users, keys of 64 bits" in out) == (0, True)
    secret = (folder / "owner.secret").read_text().strip()
    owner = ("--secret-file", "owner.secret")
    code, out, err = command("embed", "photo.png", *ONE, "--user", "bob", *owner, "-o", "bobs.png")
    assert code == 0
    assert secret not in out + err
    code, out, _ = command(
        "read", "bobs.png", "photo.png", *ONE, *owner, "--register", "users.json", "--steps", "2", "--json"
    )
    found, nobody = map(json.loads, out.splitlines())
    assert (found["user"], found["users"]) == ("bob", 2)
    assert found["user_p_value"] < 1e-6
    assert nobody["user"] is None
    assert found["key"] not in (folder / "users.json").read_text()
    # The wrong owner, the wrong VAE, and no owner.
    code, _, err = command("register", "other.json", "--new-secret", "other.secret")
    assert code == 0
    code, _, err = command("read", "bobs.png", *ONE, "--secret-file", "other.secret", "--register", "users.json")
    assert (code, "not the one this register was made with" in err) == (2, True)
    code, _, err = command("read", "bobs.png", *ONE, "--register", "users.json")
    assert (code, "needs the secret" in err) == (2, True)
    code, _, err = command("read", "bobs.png", "--vae", "two", "--basis", "basis.safetensors")
    assert (code, "load its own VAE" in err) == (2, True)
    code, _, err = command("embed", "photo.png", *ONE, "--key", KEY, "--strength", "0", "-o", "x.png")
    assert (code, "must be above 0" in err) == (2, True)
    assert not (folder / "x.png").exists()
    code, _, err = command("embed", "photo.png", *ONE, "--key", "ab" * 32, "-o", "x.png")
    assert (code, "this key needs 560" in err) == (2, True)
    code, out, err = command("read", "photo.png", "missing.png", *ONE, "--steps", "0", "--json")
    assert code == 2
    assert "does not exist" in json.loads(out.splitlines()[1])["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--key", KEY, "--user", "a"), "exactly one of"),
        ((), "exactly one of"),
        (("--user", "a"), "needs the secret"),
        (("--key", "0badc0de0badc0d!"), "not hexadecimal"),
        (("--key-file", "missing"), "cannot be read"),
    ],
)
def test_keys_given_wrongly(command: Command, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = command("embed", "photo.png", *ONE, *arguments, "-o", "marked.png")
    assert (code, message in err) == (2, True)
    assert "0badc0de" not in out + err


def test_registers_made_wrongly(command: Command, folder: Path) -> None:
    code, _, err = command("register", "users.json", "--add", "a")
    assert (code, "needs a secret" in err) == (2, True)
    (folder / "short.secret").write_text("0badc0de")
    code, _, err = command("register", "users.json", "--secret-file", "short.secret")
    assert (code, "too short" in err, "0badc0de" in err) == (2, True, False)
    assert not (folder / "users.json").exists()


def test_a_secret_from_the_environment(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_TRACER_SECRET", "sixteen characters and more")
    code, out, _ = command("register", "users.json", "--add", "alice", "--json")
    assert code == 0
    assert json.loads(out) == {"register": "users.json", "users": ["alice"], "key_bits": 64}
    assert "sixteen" not in (folder / "users.json").read_text()


def test_the_marked_picture_lies_and_looks_as_the_file_is_shown(command: Command, folder: Path) -> None:
    command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    picture = Image.open("photo.png").crop((0, 0, 256, 192)).convert("RGBA")
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[0x0112] = 6
    picture.save("turned.png", exif=exif, icc_profile=profile)
    code, out, _ = command("embed", "turned.png", *ONE, "--key", KEY, "-o", "upright.png", "--json")
    record = json.loads(out)
    assert code == 0 and record["notes"] == [ALPHA_NOTE]
    marked = Image.open("upright.png")
    assert marked.size == (192, 256) and marked.info["icc_profile"] == profile
    assert json.loads(command("read", "upright.png", *ONE, "--json")[1])["key"] == KEY
    assert f"; {ALPHA_NOTE}." in command("embed", "turned.png", *ONE, "--key", KEY, "-o", "upright.png")[1]


def test_a_picture_that_did_not_change_is_still_json(command: Command, folder: Path) -> None:
    command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    command("embed", "photo.png", *ONE, "--key", KEY, "--strength", "6", "-o", "marked.png")
    again = ("embed", "marked.png", *ONE, "--key", KEY, "--strength", "0.01", "-o", "again.png")
    code, out, _ = command(*again, "--json")
    record = json.loads(out)
    assert code == 0 and record["psnr"] is None and "nothing was written" in record["notes"][-1]


def test_what_is_refused_leaves_no_secret_and_no_basis_behind(command: Command, folder: Path) -> None:
    for arguments in (("--add", ""), ("--key-bits", "63"), ("--add", "alice", "--add", "\ud800")):
        code, _, err = command("register", "users.json", "--new-secret", "owner.secret", *arguments)
        assert code == 2 and not (folder / "owner.secret").exists() and not (folder / "users.json").exists(), err
    code, _, err = command("register", "one.file", "--new-secret", "one.file", "--add", "alice")
    assert (code, "name a new file" in err) == (2, True) and not (folder / "one.file").exists()
    assert command("register", "users.json", "--new-secret", "owner.secret", "--add", "alice")[0] == 0
    for user in ("", "  "):
        code, _, err = command(
            "embed", "photo.png", *ONE, "--user", user, "--secret-file", "owner.secret", "-o", "x.png"
        )
        assert (code, "A user name of" in err) == (2, True)
    (folder / "basis.safetensors").write_bytes(b"of a newer release")
    code, _, err = command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    assert (code, "choose another name" in err) == (2, True)
    assert (folder / "basis.safetensors").read_bytes() == b"of a newer release"


def test_without_a_secret_a_key_is_said_to_prove_nothing(command: Command, folder: Path) -> None:
    command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    assert command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")[0] == 0
    command("embed", "photo.png", *ONE, "--key", KEY, "-o", "marked.png")
    assert "it proves nothing: whoever has the basis can write any key" in command("read", "marked.png", *ONE)[1]
    assert json.loads(command("read", "marked.png", *ONE, "--json")[1])["secret"] is False
    code, _, err = command("read", "marked.png", *ONE, "--key-bits", "0")
    assert (code, "A key of 0 bits cannot be used" in err) == (2, True)


def test_the_rate_that_was_asked_for_bounds_users_too(command: Command, folder: Path) -> None:
    owner = ("--secret-file", "owner.secret")
    command("basis", "--vae", "one", "--images", "pictures", "-o", "basis.safetensors")
    command("register", "users.json", "--new-secret", "owner.secret", "--add", "bob")
    command("embed", "photo.png", *ONE, "--user", "bob", *owner, "-o", "bobs.png")
    reading = ("read", "bobs.png", *ONE, *owner, "--register", "users.json", "--steps", "0", "--no-search", "--json")
    assert json.loads(command(*reading)[1])["user"] == "bob"
    record = json.loads(command(*reading, "--fpr", "1e-60")[1])
    assert (record["key"], record["user"]) == (None, None) and record["user_p_value"] > 1e-60
