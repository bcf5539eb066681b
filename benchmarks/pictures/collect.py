"""Rebuild the folder of pictures that ``families.tsv`` lists, or verify one that is there.

    python benchmarks/pictures/collect.py --to FOLDER      # downloads what lacks, from GitHub; run again to go on
    python benchmarks/pictures/collect.py --check FOLDER

The only program here that uses the network, and only when a person runs it. A file is kept if its SHA-256 is the
listed one, and lies in ``generated/MODEL/`` or ``real/SOURCE/`` under the first 16 digits of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote

from latent_tracer.core.errors import LatentTracerError
from latent_tracer.core.storage.atomic import write_bytes

TABLE = Path(__file__).with_name("families.tsv")
FAMILIES = ("SD1/SD2", "SDXL", "SD3", "FLUX.1", "FLUX.2", "Qwen", "none")
HOST = "https://raw.githubusercontent.com/"
# The largest listed file has under 4 MiB.
MAX_BYTES, SECONDS = 8 * 2**20, 60


@dataclass(frozen=True)
class Listed:
    """One line of the table, all text as written; see README.md for what the columns say."""

    kind: str
    model: str
    family: str
    source: str
    address: str
    sha256: str
    width: str
    height: str
    licence: str
    evidence: str

    @property
    def repository(self) -> str:
        return self.source.partition("@")[0]

    def place(self, folder: Path) -> Path:
        """Where the picture lies in ``folder``."""
        group = self.model if self.kind == "generated" else self.repository
        return folder / self.kind / re.sub(r"[^A-Za-z0-9.]+", "-", group).strip("-") / f"{self.sha256[:16]}.png"


def listed(table: Path = TABLE) -> list[Listed]:
    """The lines of ``table``; raises ``ValueError`` where the columns are others."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [field.name for field in fields(Listed)]
        if next(rows, None) != names:
            raise ValueError(f"{table} must begin with the columns {', '.join(names)}.")
        return [Listed(*row) for row in rows]


def address_of(source: str) -> str:
    """The address of ``owner/repository@commit:path``."""
    repository, _, rest = source.partition("@")
    commit, _, path = rest.partition(":")
    return f"{HOST}{repository}/{commit}/{quote(path)}"


def download(address: str) -> bytes:
    """The bytes at ``address``, at most :data:`MAX_BYTES` and one; raises ``OSError``."""
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        content: bytes = answer.read(MAX_BYTES + 1)
        return content


def missing(rows: Sequence[Listed], folder: Path) -> Iterator[tuple[Listed, str]]:
    """Each of ``rows`` that ``folder`` does not hold as listed, and why in one sentence."""
    for row in rows:
        place = row.place(folder)
        try:
            if digest(place.read_bytes()) != row.sha256:
                yield row, f"{place} is another file than the listed one."
        except FileNotFoundError:
            yield row, f"{place} is not there."
        except OSError as error:
            yield row, f"{place} cannot be read ({error.strerror})."


def collect(rows: Sequence[Listed], folder: Path, fetch: Callable[[str], bytes] = download) -> Iterator[str]:
    """Bring into ``folder`` what lacks there; one sentence for each picture that could not be had."""
    for row, _ in missing(rows, folder):
        try:
            content = fetch(row.address)
            if digest(content) != row.sha256:
                yield f"{row.address} holds another file now: its SHA-256 is not the listed one, it was not kept."
                continue
            write_bytes(row.place(folder), content)
        except LatentTracerError as error:
            yield str(error)
        except OSError as error:
            yield f"{row.address} could not be had ({error}): run this again later."


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=Path, metavar="FOLDER", help="download what lacks there")
    what.add_argument("--check", type=Path, metavar="FOLDER", help="say what lacks or differs there")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args(arguments)
    rows = listed(options.table)
    faults = collect(rows, options.to) if options.to else (why for _, why in missing(rows, options.check))
    lacking = 0
    for fault in faults:
        print(fault, file=sys.stderr)
        lacking += 1
    print(f"{len(rows) - lacking} of {len(rows)} pictures are there.")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
