"""Traces on disk: part files written whole or not at all, and a reader that gives columns.

Owns: the folder's layout, atomic writing, the checks of what is read.  Does not own: what the columns mean (`schema`).

A trace is a folder with a folder per table.  A part is one file of each table under one number; its file of ``runs`` is
renamed into place last, and a part counts from then on.  Whoever is killed loses the part that was open, no more.
"""

import errno
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysr_neural._optional import require
from pysr_neural.errors import TraceError, did_you_mean
from pysr_neural.expression.node import Node
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.trace.schema import (
    ACTION_COLUMNS,
    READABLE,
    TABLES,
    VERSION_KEY,
    Lists,
    Names,
    arrow_schema,
    make_table,
    table_named,
)
from pysr_neural.wire.codes import decode

if TYPE_CHECKING:
    import pyarrow as pa

WRITTEN_LAST = "runs"
COMPRESSION_LEVEL = 3
_RISING = ("run", "iteration", "cycle", "ref", "parent", "parent2", "birth")
"""Columns that rise, or follow one that does: differences take less room than a dictionary of values."""


Columns = dict[str, Any]
"""Columns by name: `Lists`, `Names`, and arrays of shape (rows,) for everything else."""


def problem_columns(number: int, problem: Problem, formula: str = "") -> dict[str, list[Any]]:
    """Return the row of table ``problems`` of one problem, as columns of length 1."""
    names = problem.variable_names or tuple(f"x{i}" for i in range(problem.X.shape[1]))
    row = {
        "problem": number,
        "name": problem.name,
        "formula": formula,
        "operators": list(problem.operators.names),
        "arities": list(problem.operators.arities),
        "max_size": problem.limits.max_size,
        "max_depth": problem.limits.max_depth,
        "nested": [value for triple in problem.limits.nested for value in triple],
        "argument_sizes": [value for triple in problem.limits.arguments for value in triple],
        "variable_names": list(names),
        "features": problem.X.shape[1],
        "X": problem.X.ravel(),
        "y": problem.y,
    }
    return {name: [value] for name, value in row.items()}


def problems_table(problems: Sequence[Problem], formulas: Sequence[str] | None = None) -> "pa.Table":
    """Build table ``problems``; the problems are numbered from 0."""
    texts = formulas if formulas is not None else [""] * len(problems)
    rows = [problem_columns(i, p, text) for i, (p, text) in enumerate(zip(problems, texts, strict=True))]
    return make_table("problems", {name: [row[name][0] for row in rows] for name in TABLES["problems"].names})


def encode_table(table: "pa.Table") -> bytes:
    """Write a table as the bytes of a Parquet file; the same table gives the same bytes."""
    pq = require("pyarrow.parquet", "training", "A trace")
    pa = require("pyarrow", "training", "A trace")
    rising = [f.name for f in table.schema if f.name in _RISING and pa.types.is_integer(f.type)]
    paths = [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema]
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[path for path in paths if path not in rising],
        column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    )
    return buffer.getvalue()


def part_path(folder: Path, table: str, part: int) -> Path:
    """Return where a part's file of a table lies."""
    return folder / table / f"part-{part:06d}.parquet"


def write_part(folder: Path, part: int, tables: Mapping[str, bytes]) -> None:
    """Write a part; it counts once its file of ``runs``, written last, is in place.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    part : int
        Its number; a part of that number is replaced.
    tables : mapping of str to bytes
        From `encode_table`.

    Raises
    ------
    TraceError
        If the folder or the disk does not take it.  What was written before stays whole.
    """
    for name in sorted(tables, key=lambda table: (table == WRITTEN_LAST, table)):
        write_file(part_path(folder, table_named(name).name, part), tables[name])


def write_file(path: Path, data: bytes, what: str = "trace", error_type: type[Exception] = TraceError) -> None:
    """Write a file whole or not at all: under another name, flushed to the disk, then renamed.

    Parameters
    ----------
    path : Path
    data : bytes
    what : str, optional
        Of what it is a part, for messages.
    error_type : type, optional
        What to raise.

    Raises
    ------
    TraceError, or ``error_type``
        If the folder or the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise error_type(
                f"The disk must have room for a {what}; none was left for {path}. What was written before is whole: "
                "free some space and run the same command again."
            ) from error
        raise error_type(
            f"A {what} must be written to a folder that takes files; {path} could not be written: {error.strerror}."
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Trace:
    """A trace to be read.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    TraceError
        If the folder is not a trace.  Files are checked as they are read: truncated ones and those of another version
        raise the same.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not any((self.folder / name).is_dir() for name in TABLES):
            raise TraceError(
                f"A trace must be a folder with {', '.join(TABLES)} inside; got {str(self.folder)!r}. "
                "Make one with `pysr-neural traces generate`."
            )

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """Numbers of the finished parts."""
        return tuple(sorted(_numbers(self.folder / WRITTEN_LAST)))

    @cached_property
    def part_of(self) -> dict[int, int]:
        """The part that holds each run."""
        return {int(run): part for part in self.parts for run in self._read("runs", part, ["run"])["run"].to_numpy()}

    @property
    def disk_bytes(self) -> dict[str, int]:
        """Bytes of each table's finished files."""
        return {name: sum(self._path(name, part).stat().st_size for part in self._parts(name)) for name in TABLES}

    def table(self, name: str, columns: Sequence[str] | None = None, run: int | None = None) -> "pa.Table":
        """Read a table, or some of its columns, or the rows of one run.

        Parameters
        ----------
        name : str
        columns : sequence of str, optional
        run : int, optional

        Raises
        ------
        TraceError
            If there is no such table, column or run, or a file cannot be read.
        """
        pa = require("pyarrow", "training", "A trace")
        if run is not None:
            return self._rows_of(name, columns, run)
        tables = list(self.tables(name, columns))
        if not tables:
            empty = arrow_schema(name).empty_table()
            return empty if columns is None else empty.select(list(columns))
        return pa.concat_tables(tables).unify_dictionaries()

    def tables(self, name: str, columns: Sequence[str] | None = None) -> Iterator["pa.Table"]:
        """Read a table part by part, for traces larger than memory."""
        for part in self._parts(name):
            yield self._read(name, part, columns)

    def columns(self, name: str, columns: Sequence[str] | None = None, run: int | None = None) -> Columns:
        """Read columns as NumPy arrays: lists as `Lists`, names as `Names`, everything else as one array."""
        return arrays(self.table(name, columns, run))

    @cached_property
    def problems(self) -> dict[int, Problem]:
        """The problems by number."""
        return {row["problem"]: _problem(row) for row in self.table("problems").to_pylist()}

    def _rows_of(self, name: str, columns: Sequence[str] | None, run: int) -> "pa.Table":
        compute = require("pyarrow.compute", "training", "A trace")
        if run not in self.part_of:
            known = f"0..{max(self.part_of)}" if self.part_of else "none"
            raise TraceError(f"A run must be one of the trace's finished runs, {known}; got {run}.")
        wanted = None if columns is None else list(dict.fromkeys([*columns, "run"]))
        table = self._read(name, self.part_of[run], wanted)
        rows = table.filter(compute.equal(table["run"], run))
        return rows if columns is None else rows.select(list(columns))

    def _parts(self, name: str) -> list[int]:
        if name == "problems":
            return sorted(_numbers(self.folder / table_named(name).name))
        return [part for part in self.parts if self._path(name, part).is_file()]

    def _path(self, name: str, part: int) -> Path:
        return part_path(self.folder, table_named(name).name, part)

    def _read(self, name: str, part: int, columns: Sequence[str] | None) -> "pa.Table":
        pa = require("pyarrow", "training", "A trace")
        pq = require("pyarrow.parquet", "training", "A trace")
        unknown = [column for column in columns or () if column not in table_named(name).names]
        if unknown:
            raise TraceError(
                f"The table {name!r} has no column {unknown[0]!r}." + did_you_mean(unknown[0], table_named(name).names)
            )
        path = self._path(name, part)
        try:
            with pq.ParquetFile(path) as file:
                _check_version(path, file.schema_arrow.metadata or {})
                wanted = table_named(name).names if columns is None else list(columns)
                known = [column for column in wanted if column in file.schema_arrow.names or name != "events"]
                return _with_untold(file.read(columns=known), wanted) if known != wanted else file.read(columns=known)
        except (pa.ArrowException, OSError) as error:
            raise TraceError(
                f"A part of a trace must be a whole Parquet file; {path} is not: {error}. Delete "
                f"{part_path(self.folder, WRITTEN_LAST, part)} and run the command that made it again."
            ) from error


def arrays(table: "pa.Table") -> Columns:
    """Turn a table's columns into NumPy arrays; see `Trace.columns`."""
    return {name: _column(table[name].combine_chunks()) for name in table.column_names}


def trees(columns: Columns, problem: Problem) -> Iterator[Node | None]:
    """Read the trees of a table's columns ``codes`` and ``constants``; None where there is none."""
    codes, constants = columns["codes"], columns["constants"]
    if not isinstance(codes, Lists) or not isinstance(constants, Lists):
        raise TraceError("Trees are read from the columns codes and constants; got others under these names.")
    for row in range(len(codes.offsets) - 1):
        yield tree_at(columns, row, problem) if codes.offsets[row] < codes.offsets[row + 1] else None


def tree_at(columns: Columns, row: int, problem: Problem) -> Node:
    """Read the tree of one row, which must have one."""
    codes, constants = columns["codes"], columns["constants"]
    own = codes.values[codes.offsets[row] : codes.offsets[row + 1]]
    numbers = constants.values[constants.offsets[row] : constants.offsets[row + 1]]
    return decode(own, numbers, problem.operators, problem.X.shape[1])


def _column(array: Any) -> Any:
    pa = require("pyarrow", "training", "A trace")
    if isinstance(array, pa.ChunkedArray):  # pyarrow keeps several chunks where one would overflow
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        return Lists(offsets - offsets[0], array.flatten().to_numpy(zero_copy_only=False))
    if pa.types.is_dictionary(array.type):
        return Names(array.indices.to_numpy(zero_copy_only=False), tuple(array.dictionary.to_pylist()))
    return array.to_numpy(zero_copy_only=False)


def _numbers(folder: Path) -> Iterator[int]:
    for path in folder.glob("part-*.parquet"):
        digits = path.stem.removeprefix("part-")
        if digits.isdigit():
            yield int(digits)


def _check_version(path: Path, metadata: Mapping[bytes, bytes]) -> None:
    if VERSION_KEY not in metadata:
        raise TraceError(f"A part of a trace must name its version; {path} names none, so it is no trace of ours.")
    version = metadata[VERSION_KEY].decode()
    if version not in READABLE:
        raise TraceError(
            f"A trace must be of version {' or '.join(READABLE)}; {path} is of version {version}. Read it with the "
            "release of pysr-neural that wrote it, or generate it again."
        )


def _with_untold(table: "pa.Table", wanted: Sequence[str]) -> "pa.Table":
    """Give events of version 1 the columns that they lack; they tell of no action."""
    pa = require("pyarrow", "training", "A trace")
    schema, rows = arrow_schema("events"), len(table)
    columns = [
        table[name] if name in table.column_names else pa.array([ACTION_COLUMNS[name]] * rows, schema.field(name).type)
        for name in wanted
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema([schema.field(name) for name in wanted], schema.metadata))


def _triples(flat: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    return tuple((a, b, c) for a, b, c in zip(*[iter(flat)] * 3, strict=True))


def _problem(row: Mapping[str, Any]) -> Problem:
    nested, arguments = (_triples(row[name]) for name in ("nested", "argument_sizes"))
    return Problem(
        np.asarray(row["X"], dtype=np.float64).reshape(-1, row["features"]),
        np.asarray(row["y"], dtype=np.float64),
        OperatorSet(tuple(row["operators"]), tuple(row["arities"])),
        Limits(row["max_size"], row["max_depth"], nested, arguments),
        row["name"],
        tuple(row["variable_names"]),
    )
