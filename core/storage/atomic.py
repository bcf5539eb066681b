"""The one writer of files: whole or not at all, and on the disk before it is called done.

The content goes into a new file beside the old one, is flushed to the disk, and then takes the old one's name (POSIX
rename): a reader, a full disk or a kill meets the old file or the new one, never half of either.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ..errors import InvalidSettingError

# A kill leaves its temporary file behind. No write takes an hour: what is older is rubbish, and the next write sweeps.
PREFIX, SUFFIX, STALE_SECONDS = ".latent-tracer-", ".part", 3600
BINARY = getattr(os, "O_BINARY", 0)  # Windows would write other line ends
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "allow writing there, or choose another place"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a part of its path is a file, choose another folder"),
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write ``text`` as UTF-8, line ends as they are; otherwise as :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_picture(path: Path, picture: Image.Image, **options: Any) -> None:
    """Write a Pillow ``picture`` in the format of the name's ending; ``options`` as of Pillow's save."""
    content = io.BytesIO()
    picture.save(content, Image.registered_extensions()[path.suffix.lower()], **options)
    write_bytes(path, content.getvalue())


def write_bytes(path: Path, content: bytes, *, mode: int | None = None, overwrite: bool = True) -> None:
    """Write ``content`` to ``path``, whose folders are made; a link at ``path`` is replaced, not followed.

    ``mode``: permissions of the file; by default those of the file it replaces, or those of any new file. Raises
    :class:`InvalidSettingError` where that is impossible, and without ``overwrite`` where the file exists; then
    everything is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise InvalidSettingError(f"{path} is no ordinary file: name another one to write to.")
        if mode is None and overwrite and path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
        _sweep(path.parent)
        _write(path, content, mode, overwrite)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise unwritable(path, error) from None


@contextlib.contextmanager
def streamed(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content is at ``path`` once this closes without an error: for what is too large to be held.

    Otherwise, and where ``path`` cannot be written, as :func:`write_bytes`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise InvalidSettingError(f"{path} is no ordinary file: name another one to write to.")
        _sweep(path.parent)
        with _beside(path, 0o666) as (temporary, stream):
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from None


def check_writable(path: Path) -> None:
    """Raise now, before the work, what :func:`write_bytes` would raise after it; makes the folders of ``path``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise InvalidSettingError(f"{path} is no ordinary file: name another one to write to.")
        tried = path.with_name(f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
        os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666))
        tried.unlink()
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError | ValueError) -> InvalidSettingError:
    """Why ``path`` cannot be written, and what to do, in one sentence."""
    if isinstance(error, InvalidSettingError):
        return error
    if not isinstance(error, OSError):
        return InvalidSettingError(f"The name {os.fspath(path)!r} cannot name a file: choose another name.")
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return InvalidSettingError(f"{path} cannot be written ({error.strerror or error}): {advice}.")


def _write(path: Path, content: bytes, mode: int | None, overwrite: bool) -> None:
    with _beside(path, 0o666 if mode is None else mode) as (temporary, stream):
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        if mode is not None:  # what the umask took away
            os.chmod(temporary, mode)
        if overwrite:
            os.replace(temporary, path)
        else:
            _take_name(temporary, path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _beside(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the folder of ``path``, gone at the end unless it was given another name."""
    # Its name owes nothing to the file's, which may be as long as names can be.
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield temporary, stream
    finally:
        temporary.unlink(missing_ok=True)


def _take_name(temporary: Path, path: Path) -> None:
    """Give ``temporary`` the name ``path`` unless a file has it."""
    try:
        if os.name == "nt":
            os.rename(temporary, path)  # refuses an existing name there
            return
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise FileExistsError from None
            os.replace(temporary, path)
    except FileExistsError:
        raise InvalidSettingError(f"{path} exists and is never overwritten: choose another name.") from None


def sync_folder(folder: Path) -> None:
    """See the names of ``folder`` onto the disk, where the system can."""
    if os.name != "nt":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(OSError):  # another writer may be sweeping, too
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
