"""The demo as a command: search, print, draw.

Owns: ``pysr-neural demo``, its progress and its printed output.  Does not own: the cases, the engines, the pictures,
signals (`attended`).
"""

import argparse
import sys
from pathlib import Path
from time import monotonic

from pysr_neural.cli import ended
from pysr_neural.errors import ConfigError, did_you_mean
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
from pysr_neural_baseline.fitting.engines import ENGINES, Engine, Settings, choose
from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.progress import progress
from pysr_neural_baseline.fitting.words import front_in_words, leftover_in_words
from pysr_neural_benchmarks.demo.cases import MAX_SIZE, OPERATORS, SEED, Case, cases

SECONDS = 12.0
OUTPUT = Path("outputs/demo")


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural demo``; see `pysr_neural.cli`.  Where Julia may start, in a process of its own."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(given)
    chosen = _chosen(arguments.cases)
    if can_attend() and arguments.engine != "basicsr":
        return attend([sys.executable, "-P", "-m", "pysr_neural_benchmarks.demo.command", *given])
    tell = attached()
    with all_like_ctrl_c():
        _demonstrate(arguments, chosen, tell)
    return 0


def _demonstrate(arguments: argparse.Namespace, chosen: list[Case], tell: Tell) -> None:
    """Search for all laws; Ctrl-C ends it with a page about those that were found."""
    started = monotonic()
    engine = choose(arguments.engine, arguments.checkpoint, _say)
    _say(f"Engine: {engine.sentence}\n")
    settings = Settings(OPERATORS, MAX_SIZE, arguments.seconds, SEED)
    engine.warm_up(settings, _say)
    tell(SEARCHING)
    outcomes: list[Outcome] = []
    try:
        for number, case in enumerate(chosen, 1):
            outcome, interrupted = _search(engine, case, settings, f"[{number}/{len(chosen)}]")
            outcomes.append(outcome)
            if interrupted:
                raise KeyboardInterrupt
    finally:
        tell(CONCLUDING)
        if outcomes:
            _write(chosen[: len(outcomes)], outcomes, engine, arguments.output)
    _say(f"Done in {monotonic() - started:.0f} s.")
    tell(SAID)


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


def _search(engine: Engine, case: Case, settings: Settings, position: str) -> tuple[Outcome, bool]:
    """Return what was found, and whether Ctrl-C ended the search."""
    _say(f"{position} {case.title}: {len(case.y)} rows. {case.provenance}")
    started = monotonic()
    with progress(settings.seconds):
        found = engine.search(case, settings)
    outcome = Outcome(case, found.members, found.report, monotonic() - started)
    _say(describe(case, outcome))
    return outcome, found.interrupted


def describe(case: Case, outcome: Outcome) -> str:
    """Return front, formula and neural report as text; it is a law unless its residuals speak against it."""
    lines = ["", front_in_words(outcome)]
    found = "Formula found" if outcome.leftover.structure and not outcome.is_exact else "Law found"
    lines += ["", f"  {found}: {case.target} = {outcome.shown(outcome.law)}"]
    lines += [f"  {'Known:':<{len(found) + 1}} {case.known}", f"  {leftover_in_words(outcome)}"]
    lines += ["", *(f"  {line}" for line in outcome.report.splitlines()), ""]
    return "\n".join(lines)


def _write(chosen: list[Case], outcomes: list[Outcome], engine: Engine, folder: Path) -> None:
    from pysr_neural_benchmarks.demo.page import page
    from pysr_neural_benchmarks.demo.pictures import overview

    folder.mkdir(parents=True, exist_ok=True)
    overview([case.title for case in chosen], outcomes, folder / "laws.png")
    (folder / "index.html").write_text(page(chosen, outcomes, engine.sentence), encoding="utf-8")
    _say(f"Wrote {folder / 'laws.png'} and {folder / 'index.html'}.")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(ended(main))
