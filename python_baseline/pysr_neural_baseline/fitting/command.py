"""`pysr-neural fit`: from a file of measurements to a law, with a page about it.

Owns: the options, the order of events, what is printed.  Does not own: each step (`tables`, `judging`, `engines`,
`uncertainty`, `state`, `page`).
"""

import argparse
import csv
import json
import math
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from pysr_neural.checks import number, whole
from pysr_neural.errors import ConfigError
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.text import to_string
from pysr_neural_baseline.fitting.engines import ENGINES, Engine, Found, Settings, choose, operators_of
from pysr_neural_baseline.fitting.judging import Judgement, judged
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, Outcome, polished
from pysr_neural_baseline.fitting.progress import progress
from pysr_neural_baseline.fitting.state import State, merged, replace_text
from pysr_neural_baseline.fitting.tables import read_table
from pysr_neural_baseline.fitting.uncertainty import Verdict, parted, verdict
from pysr_neural_baseline.fitting.words import front_in_words, leftover_in_words, verdict_in_words

OPERATORS = "+,-,*,/,sqrt,exp,log,sin,cos"
SECONDS, MAX_SIZE = 30.0, 20
INTERRUPTED, UNWRITTEN = 130, 1
Say = Callable[[str], None]


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural fit``; see `pysr_neural.cli`."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(given)
    say = _say_aside if arguments.json else _say
    task = _prepared(arguments, say)
    started = monotonic()
    try:
        with progress(task.settings.seconds):
            found = task.engine.search(task.seen, task.settings)
    except KeyboardInterrupt:
        say("Interrupted before anything was found; nothing was written, and the same command begins anew.")
        raise
    result = _concluded(task, found, monotonic() - started)
    code = INTERRUPTED if found.interrupted else 0
    for write in (_write_state, _tell, _write_page):
        try:
            write(task, result, ["pysr-neural", "fit", *given])
        except OSError as error:
            say(f"This could not be written: {error}")
            code = code or UNWRITTEN
    if arguments.json:
        print(json.dumps(as_json(task, result), ensure_ascii=False), flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pysr-neural fit",
        description="Find the law behind a column of a file: print the front and one formula, draw a page about it.",
    )
    parser.add_argument("file", type=Path, help="CSV, TSV or Parquet, a column per quantity")
    parser.add_argument("--target", required=True, help="the column to be explained")
    parser.add_argument("--columns", help="columns that may explain it, with commas between; all others if not given")
    parser.add_argument("--units", help="such as 'a=AU,period=day': on axes, and PySR searches by them")
    parser.add_argument("--operators", default=OPERATORS, help="with commas between (default %(default)s)")
    parser.add_argument("--maxsize", default=MAX_SIZE, type=int, help="largest complexity (default %(default)s)")
    parser.add_argument("--seconds", default=SECONDS, type=float, help="time of the search (default %(default)s)")
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="auto: PySR where Julia is, else BasicSR in pure Python",
    )
    parser.add_argument(
        "--precision", type=int, choices=(16, 32, 64), default=64, help="of PySR's numbers (default %(default)s)"
    )
    parser.add_argument(
        "--neural-proposer",
        default="default",
        metavar="CHECKPOINT",
        help="'default', a directory or a hub id; 'none' for a search without help",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, metavar="PAGE.html", help="one HTML file with everything")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="go on where an earlier command with it ended")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and everything else aside")
    return parser


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that is settled before a search begins.

    Parameters
    ----------
    arguments : argparse.Namespace
    say : callable
    judgement : Judgement
    seen, held_out : Measurements
    engine : Engine
    settings : Settings
    earlier : State or None
    """

    arguments: argparse.Namespace
    say: Say
    judgement: Judgement
    seen: Measurements
    held_out: Measurements | None
    engine: Engine
    settings: Settings
    earlier: State | None


@dataclass(frozen=True, eq=False)
class Result:
    """What a search came to.

    Parameters
    ----------
    outcome : Outcome
    verdict : Verdict
    interrupted : bool
    """

    outcome: Outcome
    verdict: Verdict
    interrupted: bool


def _prepared(arguments: argparse.Namespace, say: Say) -> Task:
    """Look at everything that could be wrong before time is spent."""
    seconds = number("--seconds", arguments.seconds, above=0)
    settings = Settings(
        operators_of(_listed(arguments.operators)),
        whole("--maxsize", arguments.maxsize, 1),
        seconds,
        whole("--seed", arguments.seed, 0),
        arguments.precision,
    )
    _check_page(arguments.out, arguments.file)
    columns = None if arguments.columns is None else _listed(arguments.columns)
    judgement = judged(read_table(arguments.file), arguments.target, columns, _units(arguments.units))
    data = judgement.data
    say(f"{arguments.file.name}: {len(data.y)} rows; {data.target} out of {', '.join(data.features)}.")
    earlier = None if arguments.state is None else _earlier(arguments.state, judgement)
    if earlier is not None:
        usable = earlier.usable(settings.operators, settings.max_size)
        settings = replace(settings, guesses=tuple(member.tree for member in usable))
        if len(usable) < len(earlier.members):
            judgement.notes.append(
                f"{len(earlier.members) - len(usable)} formula(s) of the state go beyond these operators or size; "
                "they are left out."
            )
    for note in judgement.notes:
        say(f"  note: {note}")
    seen, held_out = parted(data)
    proposer = None if arguments.neural_proposer.lower() == "none" else arguments.neural_proposer
    engine = choose(arguments.engine, proposer, say, install=False)
    settings = replace(settings, units=judgement.units if engine.name == "pysr" else ())
    if judgement.units and not settings.units:
        judgement.notes.append("BasicSR does not search by units: a formula may add metres to seconds.")
        say(f"  note: {judgement.notes[-1]}")
    say(engine.sentence + (f" {len(held_out.y)} rows are held out to judge by." if held_out is not None else ""))
    engine.warm_up(settings, say)
    return Task(arguments, say, judgement, seen, held_out, engine, settings, earlier)


def _earlier(folder: Path, judgement: Judgement) -> State | None:
    state = State.read(folder)
    if state is not None and not state.check(judgement.data):
        judgement.notes.append(
            "The state is of other rows: its formulas are fitted anew, and rows held out now may have been seen then."
        )
    return state


def _concluded(task: Task, found: Found, seconds: float) -> Result:
    """Join what was found now and before, and judge the one formula."""
    members: tuple[Member, ...] = found.members
    if task.earlier is not None:
        members = merged(members, task.earlier.usable(task.settings.operators, task.settings.max_size))
    outcome = Outcome(task.seen, polished(members, task.seen), found.report, seconds)
    return Result(outcome, verdict(outcome.law.tree, task.seen, task.held_out), found.interrupted)


def _write_state(task: Task, result: Result, command: list[str]) -> None:
    folder = task.arguments.state
    if folder is not None:
        before = 0.0 if task.earlier is None else task.earlier.seconds
        State.of(task.judgement.data, result.outcome.front, before + result.outcome.seconds).write(folder)
        task.say(f"State: {folder}; the same command goes on from here.")


def _tell(task: Task, result: Result, command: list[str]) -> None:
    outcome = result.outcome
    ended = "Interrupted; this is what was found so far.\n\n" if result.interrupted else ""
    task.say(f"\n{ended}{front_in_words(outcome)}\n")
    task.say(f"  {outcome.data.target} = {outcome.shown(outcome.law)}")
    task.say(f"{verdict_in_words(result.verdict)}\n  {leftover_in_words(outcome)}\n")


def _write_page(task: Task, result: Result, command: list[str]) -> None:
    from pysr_neural_baseline.fitting.page import Story, page

    out, folder = task.arguments.out, task.arguments.state
    if out is None:
        task.say("Pictures, LaTeX, NumPy and SymPy: --out page.html.")
        return
    story = Story(
        source=task.arguments.file.name,
        engine=task.engine.sentence,
        verdict=result.verdict,
        held_out=task.held_out,
        notes=task.judgement.notes,
        command=shlex.join(command),
        continued="" if folder is None else str(folder),
        interrupted=result.interrupted,
    )
    replace_text(out, page(result.outcome, story))
    task.say(f"Page: {out}.")


def as_json(task: Task, result: Result) -> dict[str, Any]:
    """Return the result as plain data, what is not finite as None."""
    outcome, judged_by = result.outcome, result.verdict
    scale = float(outcome.data.y.var())
    return {
        "equation": _equation(outcome, outcome.law),
        "complexity": outcome.law.complexity,
        "loss": _finite(outcome.law.loss * scale),
        "r2": _finite(judged_by.seen.r2),
        "held_out_r2": None if judged_by.held_out is None else _finite(judged_by.held_out.r2),
        "engine": task.engine.name,
        "seconds": round(outcome.seconds, 3),
        "front": [
            {
                "equation": _equation(outcome, member),
                "complexity": member.complexity,
                "loss": _finite(member.loss * scale),
                "neural": member.neural,
            }
            for member in outcome.front
        ],
    }


def _equation(outcome: Outcome, member: Member) -> str:
    return to_string(simplify(member.tree), outcome.data.features)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check_page(out: Path | None, file: Path) -> None:
    """Refuse a page's path before the search, so that nothing found is lost, and no data are overwritten."""
    if out is None:
        return
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir() or out.resolve() == file.resolve():
        raise ConfigError(f"--out must be the name of a page, such as page.html; got {out}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_text(out.with_name(f".{out.name}.probe"), "")
        out.with_name(f".{out.name}.probe").unlink()
    except OSError as error:
        raise ConfigError(f"--out must be where a file can be written; got {out}: {error}.") from error


def _listed(text: str) -> list[str]:
    """Read names with commas between; a name with a comma stands in quotes."""
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return [cell.strip() for cell in cells if cell.strip()]


def _units(text: str | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in _listed(text or "")]
    for name, equals, unit in pairs:
        if not (name.strip() and equals and unit.strip()):
            raise ConfigError(f"--units must be pairs such as 'a=AU,period=day'; got {name + equals + unit!r}.")
    return {name.strip(): unit.strip() for name, _, unit in pairs}


def _say(text: str) -> None:
    print(text, flush=True)


def _say_aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    from pysr_neural.errors import NeuralProposerError

    try:
        sys.exit(main())
    except NeuralProposerError as error:
        sys.exit(f"pysr-neural fit: {error}")
