"""Shards: Parquet files of rows, each written whole or not at all, by one writer.

Workers hand rows to the driver, which alone writes. So a killed worker costs its batch, a killed driver what it had not
written yet, and in no case is a row on the disk twice.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.errors import InvalidSettingError
from ..core.storage.atomic import write_bytes
from .counts import Counts
from .keys import Keys, digests_of
from .schema import Kind

SHARD = re.compile(r"rows-(\d{6,})-[0-9a-f]{8}\.parquet")
COUNTS = b"latent-tracer-counts"
# A kill costs at most a twentieth of the time that was worked, and half a minute.
MOST_SECONDS, SHARE, LEAST_SECONDS = 30.0, 0.05, 1.0
# Rows of a shard, at most: some megabytes.
MOST_ROWS = 5000


class ShardWriter:
    """Appends rows to the shards of ``folder``; what :meth:`add` was given is on the disk after :meth:`flush`."""

    def __init__(self, folder: Path, kind: Kind, most_rows: int = MOST_ROWS) -> None:
        self.folder, self.kind, self.most_rows = folder, kind, most_rows
        self.counts = Counts()
        self._began = self._flushed = time.monotonic()
        # The number of the next shard and what waits for it: one thing, so that an interrupt never meets half of it.
        self._pending: tuple[int, list[pa.Table]] = (1 + max(map(number_of, shards_in(folder)), default=0), [])

    def add(self, table: pa.Table) -> bool:
        """Take the rows of ``table``; whether they, and those before, were written."""
        self._pending[1].append(table)
        now = time.monotonic()
        patience = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * (now - self._began)))
        if self._rows < self.most_rows and now - self._flushed < patience:
            return False
        self.flush()
        return True

    def gather(self, table: pa.Table) -> None:
        """Take the rows of ``table``, and write whenever there are enough for a shard, however long that takes."""
        self._pending[1].append(table)
        if self._rows >= self.most_rows:
            self.flush()

    @property
    def _rows(self) -> int:
        return sum(map(len, self._pending[1]))

    def flush(self) -> None:
        """Write what waits; raises :class:`InvalidSettingError` where the disk does not take it.

        Once more after an interrupt in the middle it writes the same rows into the same shard.
        """
        number, waiting = self._pending
        if self._rows:
            table = pa.concat_tables(waiting)
            names = "\n".join(table["image"].to_pylist())
            name = f"rows-{number:06}-{hashlib.sha256(names.encode()).hexdigest()[:8]}.parquet"
            shard = pa.array([name] * len(table), pa.string())
            table = table.set_column(table.schema.get_field_index("shard"), "shard", shard)
            counts = Counts.of(self.kind, table)
            write_shard(self.folder / name, table, counts)
            self._pending = (number + 1, [])
            self.counts.add(counts)
        self._flushed = time.monotonic()


def write_shard(path: Path, table: pa.Table, counts: Counts) -> None:
    """``table`` with its ``counts`` in the footer."""
    stored = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({COUNTS: counts.to_json()}), stored, compression="zstd")
    write_bytes(path, stored.getvalue())


def failed_in(folder: Path) -> set[str]:
    """The pictures whose row tells of an error."""
    failed: set[str] = set()
    for path in shards_in(folder):
        if counts_of(path).errors:
            table = pq.read_table(path, columns=["image", "error"])
            failed.update(table.filter(pc.not_equal(table["error"], ""))["image"].to_pylist())
    return failed


def drop_errors(folder: Path, kind: Kind, images: set[str]) -> int:
    """Take the rows with an error about ``images`` out of all shards, so that these are judged again; how many."""
    dropped, asked = 0, pa.array(sorted(images), pa.string())
    for path in shards_in(folder):
        if not counts_of(path).errors:
            continue
        table = pq.read_table(path)
        again = pc.and_(pc.not_equal(table["error"], ""), pc.is_in(table["image"], asked))
        kept = table.filter(pc.invert(again))
        if len(kept) < len(table):
            write_shard(path, kept, Counts.of(kind, kept))
            dropped += len(table) - len(kept)
    return dropped


def shards_in(folder: Path) -> list[Path]:
    """The shards of ``folder`` in the order in which they were written."""
    found = [path for path in folder.iterdir() if SHARD.fullmatch(path.name)] if os.path.isdir(folder) else []
    return sorted(found, key=lambda path: (number_of(path), path.name))


def number_of(path: Path) -> int:
    found = SHARD.fullmatch(path.name)
    return int(found[1]) if found else 0


def counts_in(folder: Path) -> Counts:
    """The sum over all shards, from their footers alone. Raises :class:`InvalidSettingError` for a damaged one."""
    total = Counts()
    for path in shards_in(folder):
        total.add(counts_of(path))
    return total


def counts_of(path: Path) -> Counts:
    """Of one shard; raises as :func:`counts_in`."""
    try:
        return Counts.parse((pq.read_metadata(path).metadata or {})[COUNTS])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from None


def batches_in(folder: Path, columns: Sequence[str] | None = None, rows: int = 20_000) -> Iterator[pa.Table]:
    """The rows of all shards, so many at a time; raises :class:`InvalidSettingError` for a damaged one."""
    for path in shards_in(folder):
        try:
            with pq.ParquetFile(path) as shard:
                for batch in shard.iter_batches(rows, columns=None if columns is None else list(columns)):
                    yield pa.Table.from_batches([batch])
        except (OSError, pa.ArrowException) as error:
            raise damaged(path, error) from None


def finished_in(folder: Path) -> Keys:
    """The pictures that have a row."""
    keys = Keys()
    for batch in batches_in(folder, ["image"], 200_000):
        keys.add(digests_of(batch["image"].to_pylist()))
    return keys


def damaged(path: Path, error: Exception) -> InvalidSettingError:
    return InvalidSettingError(
        f"The shard {path} cannot be read ({type(error).__name__}): restore it, or remove it and run again."
    )
