"""One file of problems: columns, writing whole or not at all, reading with checks.

Owns: the columns, one shard's file.  Does not own: which problems (`generate`), several shards (`reader`).

Data are stored once, with their problem; examples refer to it.
"""

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysr_neural._optional import require
from pysr_neural.errors import DatasetError, NeuralProposerError
from pysr_neural.operators import OPERATORS
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.trace.io import COMPRESSION_LEVEL, arrays, write_file
from pysr_neural.wire.codes import decode, encode_lists
from pysr_neural.wire.vocabulary import VOCABULARY_HASH
from pysr_neural_training.problems.generate import GeneratedProblem
from pysr_neural_training.problems.plan import DATASET_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

PURPOSE = "A dataset"
VERSION_KEY, VOCABULARY_KEY, DIGEST_KEY, REJECTED_KEY = (
    f"pysr_neural.{name}".encode() for name in ("dataset_version", "vocabulary_hash", "plan", "rejected")
)


class CorruptShardError(DatasetError):
    """A shard is missing or not readable; a reader may be asked to skip it."""


@cache
def schema() -> "pa.Schema":
    """Return the columns of a shard."""
    pa = require("pyarrow", "training", PURPOSE)
    return pa.schema(
        [
            ("fingerprint", pa.string()),  # Of the canonical form.
            ("key", pa.string()),  # What the split goes by.
            ("operators", pa.list_(pa.string())),  # In wire order.
            ("features", pa.int16()),
            ("max_size", pa.int16()),
            ("codes", pa.list_(pa.int16())),  # The expression in wire codes …
            ("constants", pa.list_(pa.float64())),  # … and its constants.
            ("noise", pa.float64()),  # Standard deviation relative to that of y.
            ("X", pa.list_(pa.float64())),  # Row after row.
            ("y", pa.list_(pa.float64())),
        ]
    )


def shard_path(folder: Path, shard: int) -> Path:
    """Return where a shard lies."""
    return folder / f"shard-{shard:05d}.parquet"


def write_shard(
    path: Path,
    problems: Sequence[GeneratedProblem],
    names: Sequence[tuple[str, str]],
    digest: str,
    rejected: Mapping[str, int],
) -> None:
    """Write a shard.

    Parameters
    ----------
    path : Path
    problems : sequence of GeneratedProblem
    names : sequence of (str, str)
        Fingerprint and split key of each.
    digest : str
        Of the plan.
    rejected : mapping of str to int
        How many draws were rejected, by reason.

    Raises
    ------
    DatasetError
        If the folder or the disk does not take it.
    """
    pa = require("pyarrow", "training", PURPOSE)
    pq = require("pyarrow.parquet", "training", PURPOSE)
    rows = [_row(given, *name) for given, name in zip(problems, names, strict=True)]
    metadata = {
        VERSION_KEY: str(DATASET_VERSION),
        VOCABULARY_KEY: VOCABULARY_HASH,
        DIGEST_KEY: digest,
        REJECTED_KEY: json.dumps(rejected),
    }
    columns = [pa.array([row[f.name] for row in rows], f.type) for f in schema()]
    table = pa.Table.from_arrays(columns, schema=schema().with_metadata(metadata))
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=["operators.list.element", "codes.list.element", "constants.list.element"],
        write_statistics=False,
        write_page_checksum=True,
    )
    write_file(path, buffer.getvalue(), "dataset", DatasetError)


def _row(given: GeneratedProblem, fingerprint: str, key: str) -> dict[str, Any]:
    problem = given.problem
    codes, constants = encode_lists(given.tree, problem.operators, problem.X.shape[1])
    return {
        "fingerprint": fingerprint,
        "key": key,
        "operators": problem.operators.names,
        "features": problem.X.shape[1],
        "max_size": problem.limits.max_size,
        "codes": codes,
        "constants": constants,
        "noise": given.noise,
        "X": problem.X.ravel(),
        "y": problem.y,
    }


def check_shard(path: Path, digest: str) -> int:
    """Check a shard's columns and origin without reading its data; returns its number of problems.

    Raises
    ------
    CorruptShardError
        If it is missing or not readable.
    DatasetError
        If it is whole, but of another version, vocabulary or dataset, or has other columns.
    """
    with _opened(path) as file:
        metadata, columns = file.schema_arrow.metadata or {}, file.schema_arrow.remove_metadata()
        _check_origin(path, metadata, digest)
        if not columns.equals(schema()):
            wrong = [f for f in schema() if f.name not in columns.names or columns.field(f.name).type != f.type]
            told = f"column {wrong[0].name!r} must be {wrong[0].type}" if wrong else "it has columns of other names"
            raise DatasetError(f"A shard must have the columns of version {DATASET_VERSION}; in {path} {told}.")
        return int(file.metadata.num_rows)


def _check_origin(path: Path, metadata: Mapping[bytes, bytes], digest: str) -> None:
    found = {key: metadata.get(key, b"none").decode() for key in (VERSION_KEY, VOCABULARY_KEY, DIGEST_KEY)}
    for key, wanted, what in (
        (VERSION_KEY, str(DATASET_VERSION), "version"),
        (VOCABULARY_KEY, VOCABULARY_HASH, "vocabulary"),
        (DIGEST_KEY, digest, "plan"),
    ):
        if found[key] != wanted:
            raise DatasetError(
                f"All shards of a dataset must be of one {what}, {wanted}; {path} is of {found[key]}. Move it to a "
                "dataset of its own, or generate it again."
            )


def read_metadata(path: Path) -> Mapping[bytes, bytes]:
    """Read what a shard says of itself.

    Raises
    ------
    CorruptShardError
        If it is missing or not readable.
    """
    with _opened(path) as file:
        return file.schema_arrow.metadata or {}


def read_columns(path: Path, columns: Sequence[str] | None = None) -> dict[str, Any]:
    """Read a shard's columns, as `trace.io.arrays` gives them; texts as lists.

    Raises
    ------
    CorruptShardError
        If it is missing, or a page of it is damaged.
    """
    pa = require("pyarrow", "training", PURPOSE)
    with _opened(path) as file:
        try:
            table = file.read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise _corrupt(path, error) from error
    texts = {f.name: table[f.name].to_pylist() for f in table.schema if f.type in (pa.string(), pa.list_(pa.string()))}
    return {**arrays(table.drop_columns(list(texts))), **texts}


def read_shard(path: Path) -> list[GeneratedProblem]:
    """Read a shard's problems.

    Raises
    ------
    CorruptShardError
        If it is missing, a page of it is damaged, or a row is no problem.
    """
    columns = read_columns(path)
    lists = {name: _split(columns[name]) for name in ("codes", "constants", "X", "y")}
    problems = []
    for row, names in enumerate(columns["operators"]):
        features = int(columns["features"][row])
        try:
            operators = OperatorSet(tuple(names), tuple([OPERATORS[name].arity for name in names]))
            tree = decode(lists["codes"][row], lists["constants"][row], operators, features)
            X, limits = lists["X"][row].reshape(-1, features), Limits(max_size=int(columns["max_size"][row]))
            problem = Problem(X, lists["y"][row], operators, limits)
        except (NeuralProposerError, ValueError, KeyError) as error:
            raise _corrupt(path, f"row {row}: {error!r}") from error
        problems.append(GeneratedProblem(problem, tree, float(columns["noise"][row])))
    return problems


def _split(lists: Any) -> list[Any]:
    return np.split(lists.values, lists.offsets[1:-1])


def _opened(path: Path) -> Any:
    pa = require("pyarrow", "training", PURPOSE)
    pq = require("pyarrow.parquet", "training", PURPOSE)
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _corrupt(path, error) from error


def _corrupt(path: Path, error: object) -> CorruptShardError:
    return CorruptShardError(
        f"A shard must be a whole Parquet file of problems; {path} is not: {error}. Delete it and run the dataset's "
        "command again, which makes it anew, or ask for corrupt shards to be skipped."
    )
