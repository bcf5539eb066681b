"""Secrets and registers as files: no secret is ever empty, no user is ever lost."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest
from latent_tracer.core import InvalidSettingError
from latent_tracer.core.fingerprints import (
    InvalidRegisterError,
    Register,
    Secret,
    add_users,
    load_register,
    write_new_secret,
)
from latent_tracer.core.fingerprints.keys import InvalidSecretError
from latent_tracer.core.storage.locking import locked

SECRET = Secret(b"a secret of more than sixteen characters")


def names(folder: Path) -> list[str]:
    """What lies in ``folder``; Windows keeps the lock files, which nobody holds."""
    return sorted(path.name for path in folder.iterdir() if os.name != "nt" or path.suffix != ".lock")


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("links", [True, False])
def test_a_secret_is_never_empty_and_never_overwritten(tmp_path, monkeypatch, links):
    path = tmp_path / "owner.secret"
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    seen: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.exists()))
    write_new_secret(path)
    assert seen[0] == 0, "the name appears only after the content is on the disk"
    content = path.read_bytes()
    assert re.fullmatch(rb"[0-9a-f]{64}\n", content)
    with pytest.raises(InvalidSettingError, match="exists and is never overwritten: choose another name"):
        write_new_secret(path)
    assert path.read_bytes() == content and names(tmp_path) == ["owner.secret"]


def add_forty(path: str, number: int, ready: multiprocessing.synchronize.Barrier) -> None:
    ready.wait()
    for index in range(40):
        add_users(path, [f"user {number}-{index}"], SECRET)


def test_four_processes_with_forty_additions_make_a_register_of_160_users(tmp_path):
    path = tmp_path / "register.json"
    context = multiprocessing.get_context("fork" if os.name != "nt" else "spawn")
    ready = context.Barrier(4)
    adders = [context.Process(target=add_forty, args=(str(path), number, ready)) for number in range(4)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(120)
    assert [adder.exitcode for adder in adders] == [0] * 4
    users = load_register(path).users
    assert set(users) == {f"user {number}-{index}" for number in range(4) for index in range(40)}
    assert names(tmp_path) == ["register.json"]


@pytest.mark.skipif(os.name == "nt", reason="links take rights there")
def test_a_lock_is_that_of_the_file_whatever_it_is_called(tmp_path):
    path = tmp_path / "register.json"
    add_users(path, ["a"], SECRET)
    (tmp_path / "link.json").symlink_to("register.json")
    with locked(path), pytest.raises(InvalidSettingError, match="another run"):
        locked(tmp_path / "link.json", timeout=0).__enter__()
    add_users(tmp_path / "link.json", ["b"], SECRET)
    assert load_register(path).users == ("a", "b") and (tmp_path / "link.json").is_symlink()


def test_additions_keep_what_is_there_and_refuse_another_secret(tmp_path):
    path = tmp_path / "register.json"
    assert add_users(path, ["a"], SECRET, 128).key_bits == 128
    # The length of a register's keys is settled when it is made.
    assert add_users(path, ["b", "a"], SECRET, 64) == load_register(path) == Register.add(load_register(path), [])
    assert load_register(path).users == ("a", "b") and load_register(path).key_bits == 128
    content = path.read_bytes()
    with pytest.raises(InvalidSettingError, match="not the one this register was made with"):
        add_users(path, ["c"], Secret(b"another secret, as long as the first one"))
    assert path.read_bytes() == content


def test_what_is_long_and_varied_enough_for_a_secret():
    assert repr(SECRET) == "Secret(hidden)"
    for enough in (b"0123456789abcdef", b"0123456701234567"):
        assert Secret(b" \n" + enough + b"\r\n").derive("x") == Secret(enough).derive("x")
    for short in (b"0123456789abcde", b" 0123456789abcde ", b"0123456012345601", b""):
        with pytest.raises(InvalidSecretError, match="too short or too uniform: use 16 random characters or more"):
            Secret(short)


def record(**changes: object) -> dict[str, object]:
    return {**Register.create(SECRET, 32).add(["a"]).record, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"users": None}, {"users": ["a", 3]}, {"users": ["a", "a"]}, {"key_bits": True}, {"key_bits": 32.0},
        {"salt": None}, {"salt": "0" * 31}, {"salt": "0" * 33}, {"check": "0" * 31}, {"check": "G" * 32},
        {"check": "A" * 32}, {"check": "X" * 32}, {"salt": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_register_with_impossible_values_is_refused(tmp_path, changes):
    path = tmp_path / "register.json"
    path.write_text(json.dumps(record()))
    assert load_register(path).users == ("a",)
    path.write_text(json.dumps(record(**changes)))
    with pytest.raises(InvalidRegisterError, match="holds missing or impossible values: restore a copy of it"):
        load_register(path)


@pytest.mark.parametrize("version", [0, 3, True, "1", 1.0, None])
def test_a_register_of_another_version_is_refused(tmp_path, version):
    path = tmp_path / "register.json"
    path.write_text(json.dumps(record(version=version)))
    with pytest.raises(InvalidRegisterError, match=f"has register version {version}, this release reads 1 to 2"):
        load_register(path)


def test_what_is_no_register_is_refused(tmp_path):
    path = tmp_path / "register.json"
    for content, message in (("[]", "not a fingerprint register"), ("{}", "not a fingerprint register"),
                             ("[" * 100_000, "no readable JSON"), ("\xff", "no readable JSON")):  # fmt: skip
        path.write_text(content, encoding="latin-1")
        with pytest.raises(InvalidRegisterError, match=message):
            load_register(path)
    path.write_text(json.dumps(record(version=10**30)))
    with pytest.raises(InvalidRegisterError, match="has register version 10{19}…, this release"):
        load_register(path)
    path.write_text(json.dumps(record(key_bits=34)))
    with pytest.raises(InvalidRegisterError, match="register.json: A key of 34 bits cannot be used"):
        load_register(path)


def test_a_register_has_a_hundred_mebibytes_at_most(tmp_path):
    path = tmp_path / "register.json"
    path.write_bytes(json.dumps(record()).encode().ljust(100 * 2**20))
    assert load_register(path).users == ("a",)
    with path.open("ab") as file:
        file.write(b" ")
    with pytest.raises(InvalidRegisterError, match="has more than 100 MiB: it is no register"):
        load_register(path)


def test_a_new_register_has_a_salt_of_its_own_and_knows_its_secret():
    first, second = Register.create(SECRET), Register.create(SECRET)
    assert (first.users, first.key_bits, first.record["version"]) == ((), 64, 2)
    assert first.salt != second.salt and len(bytes.fromhex(first.salt)) == len(bytes.fromhex(first.check)) == 16
    first.require(SECRET)
    with pytest.raises(InvalidSecretError, match="use that one"):
        first.require(Secret(b"another secret, as long as the first one"))
