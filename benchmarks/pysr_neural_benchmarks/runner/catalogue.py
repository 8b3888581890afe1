"""`pysr-neural bench suites`: the problems and the methods that benchmarks can run.

Owns: the lists.  Does not own: suites, methods.
"""

import argparse
import json

from pysr_neural.errors import ConfigError
from pysr_neural_benchmarks.methods.registry import METHODS, check
from pysr_neural_benchmarks.suites.reader import load_suite, own_suite_names, suite_names, suite_notes


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench suites", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="suites whose problems are to be shown; all suites in short if none")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    if options.names:
        for name in options.names:
            for each in load_suite(name):
                ranges = ", ".join(f"{v.name} {v.low:g} to {v.high:g}{v.unit and ' ' + v.unit}" for v in each.variables)
                print(f"{name}/{each.name}: {each.formula}   ({ranges})")
        return 0
    notes = [suite_notes(name) for name in [*suite_names(), *own_suite_names()]]
    for note in notes:
        print(f"{note.name:<18}{note.problems:>4}  {note.source}{note.licence and f' [{note.licence}]'}")
    print("\nYour own: a TOML, CSV or YAML (symbolic-data) file by its path, or by its name in ./suites.\n\nmethods:")
    for name, entry in METHODS.items():
        print(f"{name:<18}{entry.summary}{entry.argument and f' (:{entry.argument})'}{_missing(name)}")
    if options.json:
        print(json.dumps({"suites": {note.name: note.problems for note in notes}, "methods": list(METHODS)}))
    return 0


def _missing(name: str) -> str:
    try:
        check(name)
    except ConfigError:
        return " — not installed"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
