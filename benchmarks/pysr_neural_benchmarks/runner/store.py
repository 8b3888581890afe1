"""A benchmark's folder: a line per finished run, its plan, its provenance, and the table made of all.

Owns: the folder's files, its lock, Parquet.  Does not own: what a run is (`runner.plan`), figures (`judging.scoring`).

``runs.jsonl`` grows by a line per finished run, written through to the disk before the next run starts; a line that a
killed process left unfinished is dropped and its run made again.  ``results.parquet`` is made of it, whole, at the end,
and can be published as it is: no folder of this machine is named in it (`runner.published`).
"""

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pysr_neural._optional import require
from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.runner import published
from pysr_neural_benchmarks.runner.plan import Key, Plan

RUNS, PLAN, TABLE, LOCK = "runs.jsonl", "plan.json", "results.parquet", "lock"
Row = dict[str, Any]
NOT_IN_TABLE = ("story",)
AS_JSON = ("front", "counters")
_FORMER_NAMES = {
    "chosen_equation": "one_formula",
    "chosen_complexity": "one_complexity",
    "chosen_fvu": "one_fvu",
    "recovered_chosen": "recovered_one",
}
"""Of results from before description length: their one formula was chosen by PySR's rule."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one runner.

    Raises
    ------
    ConfigError
        If another runner holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise ConfigError(f"--out must be a folder that can be written; got {folder}: {error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"A folder takes one runner at a time; another one is at work in {folder}. Wait for it, or choose "
                "another --out."
            ) from error
        yield


def begin(folder: Path, plan: Plan, command: Sequence[str]) -> None:
    """Write the plan, or check it against the one that the folder was begun with, and add this command.

    Suites, methods, seeds, draws, noise and points may grow; limits may not change, since they would not be comparable.

    Raises
    ------
    ConfigError
        If limits differ, or the folder holds something else.
    """
    path = folder / PLAN
    limits = plan.to_dict()["limits"]
    known: dict[str, Any] = {"limits": limits, "commands": [], "plans": []}
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        for name, value in json.loads(json.dumps(limits)).items():
            if known["limits"].get(name) != value:
                raise ConfigError(
                    f"A benchmark is continued with the limits that it was begun with; {folder} has {name} = "
                    f"{known['limits'].get(name)}, got {value}. Choose another --out, or the same limits."
                )
    elif (folder / RUNS).exists():
        raise ConfigError(f"A new benchmark needs an empty folder; {folder} holds runs without a plan.")
    known["commands"].append({"command": published.command(command), "at": now(), **machine()})
    known["plans"].append(plan.to_dict())
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def now() -> str:
    """Return the time, for people."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """Return what this machine and this code are."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def _commit() -> str:
    """Return the checkout's commit, marked if files differ from it; empty for an installed package."""
    here = Path(__file__).parent
    try:
        run = ["git", "-C", str(here)]
        commit = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*run, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+changes" if changed else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def read(folder: Path) -> dict[Key, Row]:
    """Read a folder's finished runs; an unfinished last line is cut off.

    Raises
    ------
    ConfigError
        If there is no such folder, or it holds something else.
    """
    path = folder / RUNS
    if not path.is_file():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    rows = {}
    for line in whole.decode("utf-8").splitlines():
        try:
            entry = json.loads(line)
            rows[tuple(entry["key"])] = entry["row"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} must hold runs of `bench run`, one per line; got {line[:60]!r}.") from error
    return rows


class Writer:
    """Appends finished runs to a folder."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / RUNS).open("a", encoding="utf-8")

    def add(self, key: Key, row: Mapping[str, Any]) -> None:
        """Write one run through to the disk."""
        self._file.write(json.dumps({"key": key, "row": row}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_table(folder: Path) -> Path:
    """Write all runs as one Parquet file, with the plan and the commands in its metadata; returns its path.

    Raises
    ------
    ConfigError
        If there are none.
    """
    pa = require("pyarrow", "training", "A table of results")
    parquet = require("pyarrow.parquet", "training", "A table of results")
    rows = [published.row(row) for row in _finished(folder)]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in NOT_IN_TABLE))
    columns: dict[str, Any] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name in AS_JSON:
            columns[name] = pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
        elif name.startswith("curve_"):
            whole = name in ("curve_evaluations", "curve_iterations")
            columns[name] = pa.array(values, pa.list_(pa.int64() if whole else pa.float32()))
        else:
            columns[name] = pa.array(values)
    plan = published.plan(json.loads((folder / PLAN).read_text(encoding="utf-8")))
    table = pa.table(columns).replace_schema_metadata({"plan": json.dumps(plan, indent=1)})
    path = folder / TABLE
    temporary = path.with_suffix(".new")
    parquet.write_table(table, temporary, compression="zstd", compression_level=9)
    temporary.replace(path)
    return path


def load(source: Path) -> tuple[list[Row], dict[str, Any]]:
    """Read runs and plan of a folder, or of a Parquet file alone.

    Raises
    ------
    ConfigError
        If there are none, or no such file or folder, or it is something else.
    """
    if not source.exists():
        raise ConfigError(
            f"There must be a folder of `bench run`, or its {TABLE}; there is nothing at {source}. Give the folder "
            "that `bench run --out` was told, or run it first."
        )
    if source.is_file():
        parquet = require("pyarrow.parquet", "training", "A table of results")
        table = _results_table(parquet, source)
        rows = table.to_pylist()
        for row in rows:
            for name in AS_JSON:
                row[name] = None if row.get(name) is None else json.loads(row[name])
        return [_renamed(row) for row in rows], json.loads(table.schema.metadata[b"plan"])
    return [_renamed(row) for row in _finished(source)], json.loads((source / PLAN).read_text(encoding="utf-8"))


def _finished(folder: Path) -> list[Row]:
    """Read a folder's finished runs, which must be there."""
    rows = list(read(folder).values())
    if not rows:
        raise ConfigError(f"There must be finished runs to be reported; {folder} holds none. Run `bench run` first.")
    return rows


def _results_table(parquet: Any, source: Path) -> Any:
    """Read a Parquet file that has runs and their plan."""
    try:
        table = parquet.read_table(source)
    except (OSError, ValueError) as error:  # Arrow's own errors derive from these.
        raise ConfigError(f"A file of results must be the {TABLE} of `bench run`; got {source}: {error}") from error
    if b"plan" not in (table.schema.metadata or {}):
        raise ConfigError(f"A file of results must be the {TABLE} of `bench run`; {source} holds no plan.")
    return table


def _renamed(row: Row) -> Row:
    return {_FORMER_NAMES.get(name, name): value for name, value in row.items()}
