"""The report of a corpus: one HTML page of sums, and every row as CSV, streamed from the shards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ..core.errors import InvalidSettingError
from ..core.reports.folder_report import BYTE_ORDER_MARK
from ..core.storage.atomic import streamed, write_text
from ..core.storage.safe_text import clean_text, spreadsheet_cell
from .page import corpus_page
from .schema import SCHEMAS
from .settings import settings_of
from .shards import batches_in
from .status import counted
from .summary import COLUMNS, Summary

PAGE_NAME, CSV_NAME = "corpus.html", "corpus.csv"
CELL = 2000
# Text that is its own cell: printable ASCII, without what a spreadsheet might run. Everything else is looked at.
PLAIN = r'^([^=+\-@ ;\t"\x00-\x1f\x7f-\x{10ffff}][^;\t\x00-\x1f\x7f-\x{10ffff}]*)?$'


def write_corpus_report(folder: Path, target: Path, *, with_csv: bool = True) -> str:
    """Write ``corpus.html`` and, ``with_csv``, ``corpus.csv`` about ``folder`` into ``target``; the summary in a line.

    Rows are read some thousands at a time. Raises :class:`InvalidSettingError` for a folder that holds no corpus, a
    damaged shard, and a ``target`` that cannot be written.
    """
    settings = settings_of(folder)
    kind = settings.kind
    summary = Summary.over(folder, kind)
    schema = pa.schema([(field.name, pa.string() if _is_text(field.type) else field.type) for field in SCHEMAS[kind]])
    with ExitStack() as open_files:
        writer: Any = None
        if with_csv:
            stream = open_files.enter_context(streamed(target / CSV_NAME))
            stream.write(BYTE_ORDER_MARK.encode())
            writer = open_files.enter_context(arrow_csv.CSVWriter(stream, schema))
        for table in batches_in(folder, None if with_csv else COLUMNS[kind]):
            summary.add(table)
            if writer is not None:
                writer.write_table(cells(table.select(schema.names), schema))
    if not summary.counts.rows:
        raise InvalidSettingError(f"{folder} holds no row yet: run the corpus first.")
    shown: Mapping[str, str] = {**settings.shown, "inputs": ", ".join(settings.inputs)}
    line = f"{summary.counts.rows} pictures: {counted(summary.counts)}"
    write_text(target / PAGE_NAME, corpus_page(summary, shown, line))
    return line


def cells(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """``table`` as CSV may show it: text cleaned and no formula, lists separated by `` | ``, structures as JSON."""
    columns = []
    for name in schema.names:
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        columns.append(_cells(column))
    return pa.table(columns, schema=schema)


def _is_text(kind: pa.DataType) -> bool:
    return not (pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _cells(column: pa.Array) -> pa.Array:
    kind = column.type
    if not _is_text(kind):
        return column
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pa.types.is_struct(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        if column.null_count == len(column):
            return pa.nulls(len(column), pa.string())
        return pa.array([None if one is None else json.dumps(one) for one in column.to_pylist()], pa.string())
    if pa.types.is_list(kind):
        column = pc.binary_join(column, " | ")
    return _where_needed(column, lambda text: spreadsheet_cell(clean_text(text, CELL)))


def _where_needed(column: pa.Array, clean: Callable[[str], str]) -> pa.Array:
    """``column`` with ``clean`` of those texts that are not plain: most are, and a million calls take their time."""
    plain = pc.and_(pc.match_substring_regex(column, PLAIN), pc.less_equal(pc.utf8_length(column), CELL))
    rough = pc.invert(pc.fill_null(plain, True))
    some = column.filter(rough).dictionary_encode()
    if not len(some):
        return column
    cleaned = pa.array([clean(text) for text in some.dictionary.to_pylist()], pa.string()).take(some.indices)
    return pc.replace_with_mask(column, rough, cleaned)
