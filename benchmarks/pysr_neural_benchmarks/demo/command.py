"""The demo as a command: search, print, draw.

Owns: ``pysr-neural demo``, its progress and its printed output.  Does not own: the cases, the engines, the pictures.
"""

import argparse
from pathlib import Path
from time import monotonic

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural_baseline.fitting.engines import ENGINES, Engine, Settings, choose
from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.progress import progress
from pysr_neural_baseline.fitting.words import front_in_words, leftover_in_words
from pysr_neural_benchmarks.demo.cases import MAX_SIZE, OPERATORS, SEED, Case, cases

SECONDS = 12.0
OUTPUT = Path("outputs/demo")


def main(argv: list[str] | None = None) -> int:
    """Run ``pysr-neural demo``; see `pysr_neural.cli`."""
    arguments = _parser().parse_args(argv)
    chosen = _chosen(arguments.cases)
    started = monotonic()
    engine = choose(arguments.engine, arguments.checkpoint, _say)
    _say(f"Engine: {engine.sentence}\n")
    settings = Settings(OPERATORS, MAX_SIZE, arguments.seconds, SEED)
    engine.warm_up(settings, _say)
    outcomes = [_search(engine, case, settings, f"[{number}/{len(chosen)}]") for number, case in enumerate(chosen, 1)]
    _write(chosen, outcomes, engine, arguments.output)
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


def _search(engine: Engine, case: Case, settings: Settings, position: str) -> Outcome:
    _say(f"{position} {case.title}: {len(case.y)} rows. {case.provenance}")
    started = monotonic()
    with progress(settings.seconds):
        found = engine.search(case, settings)
    outcome = Outcome(case, found.members, found.report, monotonic() - started)
    _say(describe(case, outcome))
    if found.interrupted:
        raise KeyboardInterrupt
    return outcome


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
