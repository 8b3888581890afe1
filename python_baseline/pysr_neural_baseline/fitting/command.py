"""`pysr-neural fit`: from a file of measurements to a law, with a page about it.

Owns: the options, all that comes before the search, and Ctrl-C there.  Does not own: each step (`tables`, `judging`,
`engines`), what comes after the search (`conclusion`), signals (`attended`).
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

from pysr_neural.checks import number, whole
from pysr_neural.cli import ended
from pysr_neural.errors import ConfigError
from pysr_neural.interop.julia import julia_available
from pysr_neural_baseline.fitting.attended import (
    CONCLUDING,
    SAID,
    SEARCHING,
    Tell,
    all_like_ctrl_c,
    attached,
    attend,
    can_attend,
)
from pysr_neural_baseline.fitting.conclusion import Hurry, Task, concluded
from pysr_neural_baseline.fitting.engines import DEFAULT_OPERATORS, ENGINES, Settings, choose, operators_of
from pysr_neural_baseline.fitting.judging import Judgement, judged
from pysr_neural_baseline.fitting.progress import progress
from pysr_neural_baseline.fitting.state import State, replace_text
from pysr_neural_baseline.fitting.tables import listed, read_table
from pysr_neural_baseline.fitting.uncertainty import parted

SECONDS, MAX_SIZE = 30.0, 20
ADVICE = "The same command begins anew; with --state, from what the folder holds."
Say = Callable[[str], None]


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural fit``; see `pysr_neural.cli`.  Where Julia may start, in a process of its own."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(given)
    if can_attend() and (arguments.engine == "pysr" or (arguments.engine == "auto" and julia_available())):
        return attend([sys.executable, "-P", "-m", "pysr_neural_baseline.fitting.command", *given], ADVICE)
    tell = attached()
    with all_like_ctrl_c():
        return fit(arguments, ["pysr-neural", "fit", *given], tell)


def fit(arguments: argparse.Namespace, command: list[str], tell: Tell) -> int:
    """Find a law, write it down, and return the exit status.

    Parameters
    ----------
    arguments : argparse.Namespace
    command : list of str
        For the page.
    tell : callable
        Takes where the fit stands; see `attended`.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended it before anything was found.
    """
    say = _say_aside if arguments.json else _say
    found, early = None, "before the search, with nothing found yet"
    try:
        task = _prepared(arguments, say)
        tell(SEARCHING)
        started, early = monotonic(), "before anything was found"
        with progress(task.settings.seconds):
            found = task.engine.search(task.seen, task.settings)
    except KeyboardInterrupt:
        if found is None:
            say(f"Interrupted {early}; nothing was written, and the same command begins anew.")
            tell(SAID)
            raise
        hurry = Hurry(True)
    else:
        hurry = Hurry(False)
    tell(CONCLUDING)
    code = concluded(task, found, monotonic() - started, command, hurry)
    tell(SAID)
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
    parser.add_argument("--operators", default=DEFAULT_OPERATORS, help="with commas between (default %(default)s)")
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
    parser.add_argument(
        "--seed", type=int, default=0, help="of BasicSR; with PySR of the model alone, since its threads repeat nothing"
    )
    parser.add_argument("--out", type=Path, metavar="PAGE.html", help="one HTML file with everything")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="go on where an earlier command with it ended")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and everything else aside")
    return parser


def _prepared(arguments: argparse.Namespace, say: Say) -> Task:
    """Look at everything that could be wrong before time is spent."""
    seconds = number("--seconds", arguments.seconds, above=0)
    settings = Settings(
        operators_of(listed(arguments.operators)),
        whole("--maxsize", arguments.maxsize, 1),
        seconds,
        whole("--seed", arguments.seed, 0),
        arguments.precision,
    )
    _check_page(arguments.out, arguments.file)
    columns = None if arguments.columns is None else listed(arguments.columns)
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


def _units(text: str | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in listed(text or "")]
    for name, equals, unit in pairs:
        if not (name.strip() and equals and unit.strip()):
            raise ConfigError(f"--units must be pairs such as 'a=AU,period=day'; got {name + equals + unit!r}.")
    return {name.strip(): unit.strip() for name, _, unit in pairs}


def _say(text: str) -> None:
    print(text, flush=True)


def _say_aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(ended(main))
