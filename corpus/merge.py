"""Several runs with the same settings as one, in large shards."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from ..core.errors import InvalidSettingError
from ..core.storage.locking import locked
from .counts import Counts
from .keys import Keys, digests_of
from .settings import NAME, settings_of
from .shards import ShardWriter, batches_in

# Rows of a merged shard: about a hundred megabytes in memory.
ROWS = 100_000


@dataclass
class Merged:
    """``counts`` of the rows that were written, and of how many that were ``repeated`` and left out."""

    counts: Counts = field(default_factory=Counts)
    repeated: int = 0


def merge_folders(folders: Sequence[Path], target: Path, rows: int = ROWS) -> Merged:
    """Write the rows of ``folders`` to the new folder ``target``; of each picture the first stays.

    Raises :class:`InvalidSettingError` for runs with different settings, one that is running, and a target that is not
    empty.
    """
    if not folders:
        raise InvalidSettingError("No folder was given to merge: give those that `corpus run` wrote to.")
    with contextlib.ExitStack() as held:
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            settings_of(folder)  # before a lock makes a folder of a wrong name
            held.enter_context(locked(folder / NAME, timeout=0))
        if target.exists() and (not target.is_dir() or any(not path.name.startswith(".") for path in target.iterdir())):
            raise InvalidSettingError(f"{target} is not empty: give a new folder for the merged rows.")
        held.enter_context(locked(target / NAME, timeout=0))
        found = [settings_of(folder) for folder in folders]
        for one, folder in zip(found, folders, strict=True):
            one.check_same(found[0], folders[0]) if folder != folders[0] else None
        writer, keys, merged = ShardWriter(target, found[0].kind, rows), Keys(), Merged()
        for folder in folders:
            for table in batches_in(folder):
                new = keys.add(digests_of(table["image"].to_pylist()))
                merged.repeated += len(table) - int(new.sum())
                writer.gather(table.filter(pa.array(new)))
        writer.flush()
        merged.counts = writer.counts
        inputs = tuple(dict.fromkeys(given for one in found for given in one.inputs))
        # Last: a folder without it holds no corpus yet.
        replace(found[0], inputs=inputs).write(target)
    return merged
