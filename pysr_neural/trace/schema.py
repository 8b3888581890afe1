"""What a trace holds, table by table and field by field, with units.

Owns: `TRACE_VERSION`, `TABLES`, the Arrow schemas, the document made from them.  Does not own: files (`io`).

Names are SymbolicRegression.jl's.  A trace says nothing of wall-clock time, so that the same seed gives the same bytes.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural._optional import require
from pysr_neural.errors import TraceError, did_you_mean
from pysr_neural.state import KINDS

if TYPE_CHECKING:
    import pyarrow as pa

TRACE_VERSION = 2
READABLE = ("1", "2")
"""Versions that can be read: version 1 lacks `ACTION_COLUMNS`, which then tell of no action."""
VERSION_KEY = b"pysr_neural.trace_version"
TABLE_KEY = b"pysr_neural.trace_table"

PROPOSAL, DEATH, TUNING, SIMPLIFY, MIGRATION = EVENTS = ("proposal", "death", "tuning", "simplify", "migration")
REASONS = ("", "constraints", "loss", "annealing", "frequency", "acceptance", "selection", "backsolve")
"""Why a proposal was rejected; ``acceptance``: by annealing or frequency, which an engine may not tell apart;
``selection``: another attempt was taken instead."""
HALL_OF_FAME = -1
"""The population number of members of the hall of fame."""

_NAME = "name"
_DICTIONARY = "dictionary<int16, string>"


class Lists(NamedTuple):
    """A column of lists: list i is ``values[offsets[i]:offsets[i + 1]]``; a missing list is empty."""

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[Any]


class Names(NamedTuple):
    """A column of names: name i is ``names[ids[i]]``."""

    ids: npt.NDArray[np.int16]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """One column.

    Parameters
    ----------
    name : str
    type : str
        ``int8`` … ``int64``, ``float64``, ``bool``, ``string``, ``list<…>`` of one of these, or a dictionary of names.
    unit : str
        Unit, or kind of number; empty for texts.
    meaning : str
        One or two sentences.
    """

    name: str
    type: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table: what a row is, and its columns."""

    name: str
    meaning: str
    fields: tuple[Field, ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns in order."""
        return [field.name for field in self.fields]


_LOSS = "loss"
_COST = "cost"
_REF = "ref"
_TREE = (
    Field("codes", "list<int16>", "wire codes", "The tree in prefix order: 0 a constant, variables, operators."),
    Field("constants", "list<float64>", "constants' own", "Values of the codes 0, in order."),
    Field("complexity", "int16", "nodes", "The engine's complexity; -1 where not known."),
)

_PROBLEMS = Table(
    "problems",
    "A row per problem; the data are stored here once, and rows of `runs` refer to them.",
    (
        Field("problem", "int32", "id", "Number of the problem in this dataset."),
        Field("name", "string", "", "Unique name, such as suite/problem."),
        Field("formula", "string", "", "The expression behind y where it is known, otherwise empty."),
        Field("operators", "list<string>", "", "The search's operators in wire order."),
        Field("arities", "list<int8>", "arguments", "Arity of each operator."),
        Field("max_size", "int32", "nodes", "Largest size of a tree."),
        Field("max_depth", "int32", "levels", "Longest path of a tree; a leaf has 1."),
        Field("nested", "list<int32>", "triples", "Nested limits, flat: outer operator, inner operator, count."),
        Field("argument_sizes", "list<int32>", "triples", "Limits of arguments, flat: operator, argument, nodes."),
        Field("variable_names", "list<string>", "", "Names of the features, as the user gave them."),
        Field("features", "int32", "columns", "Columns of X."),
        Field("X", "list<float64>", "the user's", "Inputs, row after row; rows × features values."),
        Field("y", "list<float64>", "the user's", "Targets, one per row."),
    ),
)

_RUNS = Table(
    "runs",
    "A row per finished search; a search without a row here is not part of the trace.",
    (
        Field("run", "int64", "id", "Number of the run in this dataset."),
        Field("problem", "int32", "id", "Which problem was searched."),
        Field("engine", "string", "", "basic or pysr."),
        Field("version", "string", "", "Of the package whose engine it was."),
        Field("proposer", "string", "", "The injected proposer; empty for plain evolution."),
        Field("seed", "int64", "", "Seed of the search; -1 where not known."),
        Field("config", "string", "", "Settings of the engine as JSON."),
        Field("population_rate", "float64", "share", "Share of iterations whose populations are in `members`."),
        Field("populations", "int32", "count", "Populations of the search."),
        Field("iterations", "int32", "count", "Iterations done; generations, where there are such."),
        Field("evaluations", "int64", "trees", "Trees evaluated; -1 where not known."),
        Field("stopped_by", "string", "", "Which limit ended the search."),
        Field("solved", "bool", "", "Whether the lowest loss met the search's own criterion of a solution."),
        Field("best", "int64", _REF, "Ref of the member of lowest cost."),
        Field("best_loss", "float64", _LOSS, "Its loss."),
        Field("best_cost", "float64", _COST, "Its cost."),
        Field("lowest_loss", "float64", _LOSS, "Lowest loss of any member, whatever its cost."),
    ),
)

_MEMBERS = Table(
    "members",
    "A row per member of a population as it stood, and per member of the final hall of fame.",
    (
        Field("run", "int64", "id", "Which run."),
        Field("population", "int16", "number from 0", "Which population; -1 for the hall of fame."),
        Field("iteration", "int32", "iterations", "Iterations done when this was taken; 0 is the initial population."),
        Field("slot", "int32", "number from 0", "Position in the population."),
        Field("ref", "int64", _REF, "Identifies the member within the run, in `events` too."),
        Field("parent", "int64", _REF, "The member that it was made from; -1 for none."),
        Field("birth", "int64", "order", "Members of lower birth are older; -1 where not known."),
        Field("loss", "float64", "mean squared error, or the engine's", "Its loss; may be infinite."),
        Field("cost", "float64", "engine's", "What the search minimises: scaled loss and parsimony."),
        *_TREE,
        Field("neural", "bool", "", "Whether an injected proposer made it or one of its ancestors."),
    ),
)

_EVENTS = Table(
    "events",
    "A row per event, in the order of the search: a proposal, accepted or not, or a change without one. PySR tells no "
    "actions: they are inferred from parents and child, where both are known; of several that make the same child one "
    "is drawn.",
    (
        Field("run", "int64", "id", "Which run."),
        Field("event", _DICTIONARY, _NAME, f"One of {', '.join(EVENTS)}."),
        Field("population", "int16", "number from 0", "Where it happened."),
        Field("iteration", "int32", "number from 0", "In which iteration."),
        Field("cycle", "int32", "number from 0", "In which cycle of the iteration; -1 where not known."),
        Field("kind", _DICTIONARY, _NAME, f"Of a proposal, such as {', '.join(KINDS)}; empty for other events."),
        Field("parent", "int64", _REF, "First parent: what it was made from, with or without a proposal; -1 for none."),
        Field("parent2", "int64", _REF, "Second parent of a crossover; whom a migrant replaced; otherwise -1."),
        Field("ref", "int64", _REF, "The child if it was accepted, otherwise -1; the new member; the one that died."),
        Field("codes", "list<int16>", "wire codes", "The child, also if rejected; null where not known."),
        Field("constants", "list<float64>", "constants' own", "Values of the codes 0, in order; null as the codes."),
        _TREE[2],
        Field("before_loss", "float64", _LOSS, "Of the first parent; NaN for none."),
        Field("before_cost", "float64", _COST, "Of the first parent; NaN for none."),
        Field("after_loss", "float64", _LOSS, "Of the child; NaN if it was not evaluated."),
        Field("after_cost", "float64", _COST, "Of the child; NaN if it was not evaluated."),
        Field("accepted", "bool", "", "Whether it entered the population."),
        Field("reason", _DICTIONARY, _NAME, f"Why not: {', '.join(REASONS[1:])}; empty if accepted."),
        Field("neural", "bool", "", "Whether an injected proposer made the child."),
        Field("action", "bool", "", "Whether the next four say what was done to the parents."),
        Field("node", "int16", "prefix position", "Which node of the first parent changed; -1 for none."),
        Field("place", "int16", "number", "Node of the second parent, or the operand or direction; -1 for none."),
        Field(
            "planted", "list<int16>", "wire codes", "What went there, -1 for what was there before; null for nothing."
        ),
        Field("planted_constants", "list<float64>", "constants' own", "Values of its codes 0, in order."),
    ),
)

ACTION_COLUMNS: Mapping[str, Any] = MappingProxyType(
    {"action": False, "node": -1, "place": -1, "planted": None, "planted_constants": None}
)
"""Columns of `events` that tell the action, with what they hold where none is told."""

TABLES: Mapping[str, Table] = MappingProxyType({t.name: t for t in (_PROBLEMS, _RUNS, _MEMBERS, _EVENTS)})


def table_named(name: str) -> Table:
    """Return a table's description.

    Raises
    ------
    TraceError
        If there is no such table.
    """
    if name not in TABLES:
        raise TraceError(f"A trace has no table {name!r}." + did_you_mean(name, TABLES))
    return TABLES[name]


@cache
def arrow_schema(name: str) -> "pa.Schema":
    """Return a table's Arrow schema: every field with its unit and meaning, and the version of the trace.

    Raises
    ------
    TraceError
        If there is no such table.
    ConfigError
        If pyarrow is not installed.
    """
    pa = require("pyarrow", "training", "A trace")
    table = table_named(name)
    fields = [
        pa.field(f.name, _arrow_type(pa, f.type), metadata={"unit": f.unit, "meaning": f.meaning}) for f in table.fields
    ]
    return pa.schema(fields, metadata={VERSION_KEY: str(TRACE_VERSION), TABLE_KEY: name})


def make_table(name: str, columns: Mapping[str, Any]) -> "pa.Table":
    """Build a table from columns: lists, NumPy arrays, `Names` or Arrow arrays of one length.

    Of `events`, the columns of an action may be left out.

    Raises
    ------
    TraceError
        If a column is missing, unknown, of another type or of another length.
    """
    pa = require("pyarrow", "training", "A trace")
    schema = arrow_schema(name)
    if name == "events" and columns:
        rows = len(next(iter(columns.values())))
        untold = {column: [value] * rows for column, value in ACTION_COLUMNS.items() if column not in columns}
        columns = {**columns, **untold}
    unknown = sorted(set(columns) - set(schema.names))
    if unknown:
        raise TraceError(f"The table {name!r} has no column {unknown[0]!r}." + did_you_mean(unknown[0], schema.names))
    missing = [field for field in schema.names if field not in columns]
    if missing:
        raise TraceError(f"The table {name!r} needs all of its columns; got none for {', '.join(missing)}.")
    try:
        return pa.Table.from_arrays([_array(pa, columns[f.name], f.type) for f in schema], schema=schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise TraceError(f"Columns of {name!r} must have its types and one length; got: {error}") from error


def document() -> str:
    """Return the schema as Markdown; ``docs/traces.md`` is this text."""
    lines = [
        "# Traces",
        "",
        f"Version {TRACE_VERSION}. A trace is a folder with a folder per table, each of Parquet files named",
        "`part-NNNNNN.parquet`. A part of `runs` is written last: parts of other tables without one are unfinished and",
        "are not read. Loss: mean squared error, or what the engine was told to use; cost: what the search minimises.",
        "Lower is better for both. Made by `python -m pysr_neural.trace.schema`.",
    ]
    for table in TABLES.values():
        lines += [
            "",
            f"## {table.name}",
            "",
            table.meaning,
            "",
            "| field | type | unit | meaning |",
            "|---|---|---|---|",
        ]
        lines += [f"| `{f.name}` | `{f.type}` | {f.unit} | {f.meaning} |" for f in table.fields]
    return "\n".join(lines) + "\n"


def _arrow_type(pa: Any, text: str) -> Any:
    if text == _DICTIONARY:
        return pa.dictionary(pa.int16(), pa.string())
    if text.startswith("list<"):
        return pa.list_(_arrow_type(pa, text[5:-1]))
    return pa.bool_() if text == "bool" else getattr(pa, text)()


def _array(pa: Any, values: Any, wanted: Any) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == wanted else values.cast(wanted)
    if isinstance(values, Names):
        return pa.DictionaryArray.from_arrays(pa.array(values.ids, pa.int16()), pa.array(values.names, pa.string()))
    if pa.types.is_dictionary(wanted):
        return pa.array(values, type=pa.string()).dictionary_encode().cast(wanted)
    return pa.array(values, type=wanted)


if __name__ == "__main__":
    sys.stdout.write(document())
