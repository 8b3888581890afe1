"""`pysr-neural traces export`: a table of a trace as JSON lines, CSV or one Parquet file, with names and expressions.

Owns: the three formats.  Does not own: the trace's own format (`pysr_neural.trace`).
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.text import to_string
from pysr_neural.trace.io import Trace, arrays, trees
from pysr_neural.trace.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("jsonl", "csv", "parquet")


def frames(trace: Trace, table: str) -> "Iterator[pd.DataFrame]":
    """Return a table part by part as data frames, with the trees as texts in a column ``expression``.

    Raises
    ------
    TraceError
        If there is no such table, or a file cannot be read.
    """
    runs = trace.columns("runs", ["run", "problem"])
    problem_of = dict(zip(runs["run"].tolist(), runs["problem"].tolist(), strict=True))
    for part in trace.tables(table):
        frame = part.to_pandas()
        if "codes" in frame:
            frame["expression"] = list(_texts(trace, part, problem_of))
        yield frame


def export(trace: Trace, table: str, out: Path) -> int:
    """Write a table to a file, in the format that its name ends with; returns the number of rows.

    Raises
    ------
    ConfigError
        If the format is not known, or the file cannot be written.
    """
    form = out.suffix.lstrip(".")
    if form not in FORMATS:
        raise ConfigError(
            f"The file's name must end with a known format; got {out.name!r}." + did_you_mean(form, FORMATS)
        )
    try:
        return {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}[form](trace, table, out)
    except OSError as error:
        raise ConfigError(f"The export must go to a file that can be written; got {out}: {error.strerror}.") from error


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="pysr-neural traces export", description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, help="folder of the trace")
    parser.add_argument("--table", choices=tuple(TABLES), default="events")
    parser.add_argument("--out", type=Path, required=True, help="file.jsonl, file.csv or file.parquet")
    options = parser.parse_args(argv)
    print(f"{export(Trace(options.trace), options.table, options.out)} rows of {options.table} in {options.out}")
    return 0


def _jsonl(trace: Trace, table: str, out: Path) -> int:
    rows = 0
    with out.open("w", encoding="utf-8") as file:
        for frame in frames(trace, table):
            for row in frame.to_dict("records"):
                file.write(json.dumps({name: _plain(value) for name, value in row.items()}, allow_nan=False) + "\n")
            rows += len(frame)
    return rows


def _csv(trace: Trace, table: str, out: Path) -> int:
    rows = 0
    with out.open("w", encoding="utf-8") as file:
        for i, frame in enumerate(frames(trace, table)):
            lists = [field.name for field in TABLES[table].fields if field.type.startswith("list")]
            for name in lists:
                frame[name] = [None if value is None else " ".join(map(str, value)) for value in frame[name]]
            frame.to_csv(file, index=False, header=i == 0)
            rows += len(frame)
    return rows


def _parquet(trace: Trace, table: str, out: Path) -> int:
    import pandas as pd

    found = list(frames(trace, table))
    frame = pd.concat(found, ignore_index=True) if found else trace.table(table).to_pandas()
    frame.to_parquet(out, index=False)
    return len(frame)


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold; it knows neither NaN nor infinity, which become null."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _texts(trace: Trace, part: object, problem_of: dict[int, int]) -> Iterator[str | None]:
    columns = arrays(part.select(["run", "codes", "constants"]))  # type: ignore[attr-defined]
    for run in dict.fromkeys(columns["run"].tolist()):
        problem = trace.problems[problem_of[run]]
        own = arrays(part.filter(columns["run"] == run).select(["codes", "constants"]))  # type: ignore[attr-defined]
        for tree in trees(own, problem):
            yield None if tree is None else to_string(tree, problem.variable_names)


if __name__ == "__main__":
    raise SystemExit(main())
