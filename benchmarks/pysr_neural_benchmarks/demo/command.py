"""The demo as a command: search, print, draw.

Owns: ``pysr-neural demo``, its progress and its printed output.  Does not own: the cases, the engines, the pictures.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural_benchmarks.demo.cases import Case, cases
from pysr_neural_benchmarks.demo.engines import ENGINES, Engine, choose
from pysr_neural_benchmarks.demo.outcome import Outcome, front_of

SECONDS = 12.0
OUTPUT = Path("outputs/demo")
TICK = 0.5
PLAIN_TICK = 10.0
"""Seconds between signs of life on a terminal, and where output is not a terminal."""


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural demo``; see `pysr_neural.cli`."""
    arguments = _parser().parse_args(argv)
    chosen = _chosen(arguments.cases)
    started = monotonic()
    engine = choose(arguments.engine, arguments.checkpoint, _say)
    _say(f"Engine: {engine.sentence}\n")
    engine.warm_up(_say)
    outcomes = [
        _search(engine, case, arguments.seconds, f"[{number}/{len(chosen)}]") for number, case in enumerate(chosen, 1)
    ]
    _write(outcomes, engine, arguments.output)
    _say(f"Done in {monotonic() - started:.0f} s.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pysr-neural demo", description="Find laws in small real measurements.")
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="auto: PySR where Julia is available or can be installed, else BasicSR",
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="search time of each case (default %(default)s)")
    parser.add_argument("--cases", help="names, with commas between; all if not given")
    parser.add_argument("--checkpoint", default="default", help="'default', a directory or a hub id")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the pictures (default %(default)s)")
    return parser


def _chosen(names: str | None) -> list[Case]:
    known = {case.name: case for case in cases()}
    if names is None:
        return list(known.values())
    for name in names.split(","):
        if name not in known:
            raise ConfigError(f"--cases must name cases of the demo; got {name!r}." + did_you_mean(name, known))
    return [known[name] for name in names.split(",")]


def _search(engine: Engine, case: Case, seconds: float, position: str) -> Outcome:
    _say(f"{position} {case.title}: {len(case.y)} rows. {case.provenance}")
    started = monotonic()
    with progress(seconds):
        found = engine.search(case, seconds)
    outcome = Outcome(case, front_of(case, found.equations), found.report, monotonic() - started)
    _say(describe(outcome))
    return outcome


def describe(outcome: Outcome) -> str:
    """Return front, law and neural report as text."""
    lines = ["", "  complexity  loss/variance  expression   (* neural ancestor, > the law found)"]
    for member in outcome.front:
        marks = (">" if member is outcome.law else " ") + ("*" if member.neural else " ")
        lines.append(f"{marks}{member.complexity:>10}{member.loss:>15.2e}  {outcome.shown(member)}")
    lines += ["", f"  Law found: {outcome.case.target} = {outcome.shown(outcome.law)}"]
    lines += [f"  Known:     {outcome.case.known}"]
    lines += ["", *(f"  {line}" for line in outcome.report.splitlines()), ""]
    return "\n".join(lines)


def _write(outcomes: list[Outcome], engine: Engine, folder: Path) -> None:
    from pysr_neural_benchmarks.demo.page import page
    from pysr_neural_benchmarks.demo.pictures import overview

    folder.mkdir(parents=True, exist_ok=True)
    overview(outcomes, folder / "laws.png")
    (folder / "index.html").write_text(page(outcomes, engine.sentence), encoding="utf-8")
    _say(f"Wrote {folder / 'laws.png'} and {folder / 'index.html'}.")


@contextmanager
def progress(seconds: float) -> Iterator[None]:
    """Show elapsed seconds while the body runs: a bar on a terminal, else a line now and then."""
    done = Event()
    thread = Thread(target=_tick, args=(seconds, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tick(seconds: float, done: Event) -> None:
    terminal = sys.stderr.isatty()
    started = monotonic()
    while not done.wait(TICK if terminal else PLAIN_TICK):
        elapsed = monotonic() - started
        filled = min(int(30 * elapsed / seconds), 30)
        bar = "█" * filled + "·" * (30 - filled)
        text = f"  searching {bar} {elapsed:3.0f} of about {seconds:.0f} s"
        print(text, end="\r" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal:
        print(" " * 70, end="\r", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)
