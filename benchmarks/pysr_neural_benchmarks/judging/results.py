"""Results files of runs that take long: JSON lines, a line per run, appended as runs finish.

Owns: making the runs that a file lacks, in one process or several.  Does not own: what a run is.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pysr_neural.errors import ConfigError

Task = tuple[str | int | float, ...]
Run = Callable[..., dict[str, Any]]


def complete(run: Run, tasks: Sequence[Task], out: Path, processes: int = 1) -> list[dict[str, Any]]:
    """Make the runs that a results file lacks.

    Parameters
    ----------
    run : callable
        Called as ``run(*task)``; returns what JSON can hold.  A function of a module if there are several processes.
    tasks : sequence of tuple
    out : Path
        Made if missing, with its folder.  A last line that a killed process left unfinished is made again.
    processes : int

    Returns
    -------
    list of dict
        The results of all tasks in their order, those from the file included.

    Raises
    ------
    ConfigError
        If the file holds something else.
    """
    from tqdm import tqdm

    out.parent.mkdir(parents=True, exist_ok=True)
    known = dict(_read(out))
    missing = [task for task in tasks if task not in known]
    with out.open("a", encoding="utf-8") as file:
        for task, result in tqdm(_run_all(run, missing, processes), total=len(missing), unit="run"):
            file.write(json.dumps({"task": task, "result": result}) + "\n")
            file.flush()
            known[task] = result
    return [known[task] for task in tasks]


def _run_all(run: Run, tasks: Sequence[Task], processes: int) -> Iterator[tuple[Task, dict[str, Any]]]:
    if processes == 1 or not tasks:
        yield from ((task, run(*task)) for task in tasks)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(run, *task): task for task in tasks}
        for done in as_completed(futures):
            yield futures[done], done.result()


def _read(out: Path) -> Iterator[tuple[Task, dict[str, Any]]]:
    if not out.exists():
        return
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        try:
            row = json.loads(line)
            yield tuple(row["task"]), row["result"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{out} must hold results of this command, one JSON object per line; got {line[:60]!r}. "
                f"Name another file, or delete it."
            ) from error
