"""`pysr-neural bench report`: the runs of a folder or a Parquet file as one HTML page and one Markdown file.

Owns: the command.  Does not own: tables, pictures, form.  With ``--picture`` it draws one picture instead (`curve`).
"""

import argparse
import json
from pathlib import Path

from pysr_neural_benchmarks.report import curve, page, tables
from pysr_neural_benchmarks.report.tables import Results
from pysr_neural_benchmarks.runner import store

TITLE = "Benchmark of symbolic regression methods"


def write(source: Path, out: Path, title: str) -> Results:
    """Write ``report.html``, ``report.md`` and, from a folder, ``results.parquet``.

    Raises
    ------
    ConfigError
        If there are no runs, or no such file or folder.
    """
    # The page tells of the machine's folders no more than the table does.
    results = Results(*store.load(store.write_table(source) if source.is_dir() else source))
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text(page.html(results, title), encoding="utf-8")
    (out / "report.md").write_text(page.markdown(results, title), encoding="utf-8")
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench report", description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of `bench run`, or its results.parquet")
    parser.add_argument("--out", type=Path, help="folder; the source's own by default")
    parser.add_argument("--title", default=TITLE)
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    picture = parser.add_argument_group("one picture of few methods, in place of the report")
    picture.add_argument("--picture", type=Path, help="file to be written, such as curve.png")
    picture.add_argument("--arms", nargs="+", default=[], metavar="METHOD[=LABEL]", help="one to four methods")
    picture.add_argument("--bands", nargs="+", default=[], metavar="METHOD", help="whose interval is drawn as well")
    options = parser.parse_args(argv)
    if options.picture:
        return _draw(options)
    out = options.out or (options.source if options.source.is_dir() else options.source.parent)
    results = write(options.source, out, options.title)
    summary, handed_over = tables.summary(results), tables.one_formula(results)
    for table in filter(None, (summary, handed_over)):
        print(table.title)
        widths = [max(len(row[i]) for row in [table.header, *table.rows]) for i in range(len(table.header))]
        for row in [table.header, *table.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"Written to {out / 'report.html'} and {out / 'report.md'}")
    if options.json:
        print(json.dumps({"summary": _plain(summary), "one_formula": _plain(handed_over)}))
    return 0


def _draw(options: argparse.Namespace) -> int:
    """Draw the one picture."""
    rows, plan = store.load(options.source)
    results = Results(rows, plan)
    # A method's own name may hold the sign: pysr-neural:overhead=0.3.
    arms = dict(
        (arm, arm) if arm in results.methods or "=" not in arm else arm.rpartition("=")[::2] for arm in options.arms
    )
    curve.draw(results, arms, options.bands, "" if options.title == TITLE else options.title, options.picture)
    print(f"Written to {options.picture}")
    return 0


def _plain(table: tables.Table | None) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows] if table else []


if __name__ == "__main__":
    raise SystemExit(main())
