"""The pictures of a corpus, named one by one and never read: folders, lists, manifests, tar files, fsspec URLs."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import InvalidImageError, InvalidSettingError, visible
from ..core.files.decoding import MAX_FILE_BYTES
from ..core.files.folder import walk_folder
from ..core.files.formats import PICTURE_SUFFIXES
from ..core.files.picture import PictureFile, UnreadableFile, read_bytes
from ..core.storage.safe_text import clean_text

LISTS, MANIFEST, TAR = (".txt", ".lst", ".list"), ".parquet", ".tar"
# Of a manifest, in this order; otherwise its only column of text.
COLUMNS = ("path", "image", "file", "url")
MANY = 10_000


@dataclass(frozen=True)
class Source:
    """One picture to judge. ``image`` names it for good: an absolute path, a URL, or either with ``::member`` of a tar.

    ``name``: the same below its folder, for people. ``place``: the file that holds it, of which it is ``length`` bytes
    from ``offset`` on, or all where ``length`` is -1. ``refused``: why it is not opened.
    """

    image: str
    name: str
    place: str
    offset: int = 0
    length: int = -1
    refused: str = ""

    def record(self) -> dict[str, Any]:
        """For Arrow: the place as bytes, since names of files need not be UTF-8."""
        return {**asdict(self), "image": encodable(self.image), "name": encodable(self.name),
                "place": os.fsencode(self.place)}  # fmt: skip

    @classmethod
    def of(cls, record: dict[str, Any]) -> Source:
        """The source of a :meth:`record`."""
        return cls(**{**record, "place": os.fsdecode(record["place"])})


def sources(inputs: Sequence[str], leave_out: Sequence[Path] = ()) -> Iterator[Source]:
    """Every picture that ``inputs`` name, in a fixed order; ``leave_out``: folders that are passed over.

    An input is a folder, a picture, a tar file of pictures, a text file with one path a line, a Parquet manifest with a
    column ``path``, or an fsspec URL of any of these. Paths in lists are relative to the list. Raises
    :class:`InvalidSettingError` for an input that is none of these or cannot be read.
    """
    for given in inputs:
        yield from _remote(given, leave_out) if "://" in given else _local(Path(given), leave_out)


def encodable(text: str) -> str:
    """``text`` as UTF-8 can hold it; what names of files hold beyond that is written out as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def read_source(source: Source) -> bytes:
    """The bytes of one picture's file; raises :class:`InvalidImageError` where they cannot be had."""
    if source.length < 0 and "://" not in source.place:
        return read_bytes(PictureFile(Path(source.place), source.name))
    try:
        with _open(source.place) as stream:
            stream.seek(source.offset)
            wanted = source.length if source.length >= 0 else MAX_FILE_BYTES + 1
            content = stream.read(min(wanted, MAX_FILE_BYTES + 1))
    except Exception as error:  # every file system raises what it likes
        reason = clean_text(str(error) or type(error).__name__)
        raise InvalidImageError(f"{source.name} cannot be read ({reason}): see that it is there.") from None
    if len(content) > MAX_FILE_BYTES:
        raise InvalidImageError(f"{source.name} is larger than {MAX_FILE_BYTES // 2**20} MiB: it is no picture.")
    if 0 <= len(content) < source.length:
        raise InvalidImageError(f"{source.name} ends early in its tar file: get a whole copy of that.")
    return content


def _open(place: str) -> IO[bytes]:
    opened: IO[bytes] = fsspec.open(place, "rb").open() if "://" in place else open(place, "rb")  # noqa: SIM115
    return opened


def _local(path: Path, leave_out: Sequence[Path]) -> Iterator[Source]:
    where = os.path.abspath(path)
    if os.path.isdir(path):  # unlike Path's, no place without access ends the run
        for found in walk_folder(path, leave_out=leave_out):
            if isinstance(found, PictureFile):
                place = os.path.abspath(found.path)
                yield Source(place, found.name, place)
            elif isinstance(found, UnreadableFile):
                place = os.path.join(where, found.name)
                yield Source(place, found.name, place, refused=found.error)
        return
    if not os.path.exists(path):
        raise InvalidSettingError(f"{visible(str(path))} does not exist: give a folder, a list or a picture.")
    if not os.path.isfile(path):
        raise InvalidSettingError(f"{visible(str(path))} is no ordinary file: give a folder, a list or a picture.")
    yield from _of_file(where, path.name, os.path.dirname(where), leave_out)


def _remote(url: str, leave_out: Sequence[Path]) -> Iterator[Source]:
    try:
        system, path = fsspec.core.url_to_fs(url)
        if system.isfile(path):
            yield from _of_file(url, path.rpartition("/")[2], url.rpartition("/")[0], leave_out)
            return
        found = sorted(system.find(path))
    except InvalidSettingError:
        raise
    except Exception as error:  # unknown protocols, missing packages, refused connections
        reason = clean_text(str(error) or type(error).__name__)
        raise InvalidSettingError(f"{visible(url)} cannot be listed ({reason}): check the address.") from None
    if not found:
        raise InvalidSettingError(f"There is nothing at {visible(url)}: check the address.")
    root = system._strip_protocol(path).rstrip("/") + "/"
    for one in found:
        if _suffix(one) in PICTURE_SUFFIXES:
            whole = system.unstrip_protocol(one)
            yield Source(whole, one.removeprefix(root), whole)


def _of_file(place: str, name: str, folder: str, leave_out: Sequence[Path]) -> Iterator[Source]:
    suffix = _suffix(place)
    if suffix == TAR:
        yield from _members(place, name)
    elif suffix in LISTS:
        yield from _listed(_lines(place), folder, leave_out)
    elif suffix == MANIFEST:
        yield from _listed(_column(place), folder, leave_out)
    elif suffix in PICTURE_SUFFIXES:
        yield Source(place, name, place)
    else:
        raise InvalidSettingError(
            f"{visible(place)} is neither a picture, a list ({', '.join(LISTS)}), a {MANIFEST} manifest nor a {TAR}"
            " file: give one of these, or a folder."
        )


def _listed(paths: Iterator[str], folder: str, leave_out: Sequence[Path]) -> Iterator[Source]:
    """A list may name pictures that do not exist: they become rows with the reason. Tar files in it are opened."""
    for path in paths:
        place = path if "://" in path else f"{folder}/{path}" if "://" in folder else os.path.join(folder, path)
        if "://" not in place:
            place = os.path.abspath(place)
        if _suffix(place) == TAR:
            yield from _members(place, path)
        else:
            yield Source(place, path, place)


def _lines(place: str) -> Iterator[str]:
    try:
        with _open(place) as stream:
            for line in stream:
                # Names of files are bytes: those that are no UTF-8 come back as they were.
                path = os.fsdecode(line.rstrip(b"\r\n"))
                if path.strip():
                    yield path
    except OSError as error:
        raise InvalidSettingError(f"{visible(place)} cannot be read ({error.strerror or error}).") from None


def _column(place: str) -> Iterator[str]:
    try:
        with _open(place) as stream:
            manifest = pq.ParquetFile(stream)
            texts = [one.name for one in manifest.schema_arrow if pa.types.is_string(one.type) or
                     pa.types.is_large_string(one.type)]  # fmt: skip
            named = [name for name in COLUMNS if name in texts] or (texts if len(texts) == 1 else [])
            if not named:
                raise InvalidSettingError(
                    f"{visible(place)} has no column of text called {' or '.join(COLUMNS)}: name the one with the paths"
                    " so."
                )
            for batch in manifest.iter_batches(MANY, columns=named[:1]):
                yield from (path for path in batch.column(0).to_pylist() if path)
    except (OSError, pa.ArrowException) as error:
        reason = clean_text(str(error))
        raise InvalidSettingError(f"{visible(place)} is no Parquet file that can be read ({reason}).") from None


def _members(place: str, name: str) -> Iterator[Source]:
    """The pictures of an uncompressed tar file (WebDataset), found by its headers alone."""
    try:
        with _open(place) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            while (member := archive.next()) is not None:
                vars(archive)["members"] = []  # it would keep them all
                if not member.isfile() or _suffix(member.name) not in PICTURE_SUFFIXES:
                    continue
                whole = f"{place}::{member.name}"
                refused = "is stored with holes in its tar file: it was not opened" if member.issparse() else ""
                yield Source(whole, f"{name}::{member.name}", place, member.offset_data, member.size, refused)
    except (OSError, tarfile.TarError) as error:
        reason = clean_text(str(error))
        raise InvalidSettingError(
            f"{visible(place)} is no uncompressed tar file that can be read ({reason}): unpack it, or store it as .tar."
        ) from None


def _suffix(place: str) -> str:
    return os.path.splitext(place)[1].lower()
