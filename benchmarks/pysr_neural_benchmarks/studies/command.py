"""What the commands of the studies have in common: their last options, and how they end.

Owns: `study_parser`, `end`.  Does not own: what a study runs, and what its report says.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def study_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of ``pysr-neural study NAME``, described by the first line of its module's docstring."""
    parser = argparse.ArgumentParser(prog=f"pysr-neural study {name}", description=(doc or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(f"outputs/study_{name}"), help="folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser


def end(report: str, found: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Write the report into the folder and print it, and what was found if JSON is wanted; returns the exit status."""
    (options.out / "report.md").write_text(report, encoding="utf-8")
    print(report)
    if options.json:
        print(json.dumps(found).replace("NaN", "null"))
    return 0
