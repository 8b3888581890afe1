"""A report's two forms: one self-contained HTML page, one Markdown file.

Owns: the order of sections, the page's look on screens of any width and on paper.  Does not own: tables
(`report.tables`), pictures (`report.pictures`).
"""

from collections.abc import Sequence
from html import escape
from string import Template

from pysr_neural_benchmarks.report import pictures, tables
from pysr_neural_benchmarks.report.tables import Results, Table

TEXT_COLUMNS = ("method", "pair", "verdict", "levels", "what", "first at", "message")
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pysr_neural: $title</title>
<style>
  :root { --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --good: #2b8a3e; --bad: #c92a2a; }
  body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; color: var(--ink); background: #fff;
         font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
  h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
  h2 { font-size: 1.15rem; margin: 0 0 .5rem; }
  h3 { font-size: .95rem; margin: .75rem 0 .25rem; }
  p { margin: .25rem 0; }
  section { border-top: 1px solid var(--line); padding: 1.25rem 0 .25rem; margin-top: 1.25rem; }
  .muted, .note { color: var(--muted); font-size: .875rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .875rem; min-width: 100%; }
  th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
  th { color: var(--muted); font-weight: 500; text-align: left; }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
  td.number { white-space: nowrap; }
  td:first-child { white-space: nowrap; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .8rem; }
  .better { color: var(--good); font-weight: 600; }
  .worse { color: var(--bad); font-weight: 600; }
  figure { margin: 0; overflow-x: auto; }
  figure svg { width: 100%; min-width: 46rem; height: auto; }
  td.message { min-width: 16rem; overflow-wrap: anywhere; }
  .map { display: flex; gap: .5rem; align-items: flex-start; margin: 2px 0; }
  .map span { flex: 0 0 16rem; font: .75rem/1rem ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
  .map div { display: flex; flex: 1; gap: 1px; }
  .map i { flex: 0 1 12px; min-width: 3px; height: 14px; outline: 1px solid #ced4da; outline-offset: -1px;
           -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  pre { background: #f5f7fa; padding: .6rem .8rem; font-size: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
  @media (max-width: 40rem) { .map { display: block; margin-bottom: .4rem; } .map div { flex-wrap: wrap; }
                              .map i { flex: 0 0 10px; } }
  @media print {
    body { max-width: none; padding: 0; font-size: 10pt; }
    section, table, figure { break-inside: avoid; }
    .scroll, figure { overflow: visible; }
    table { font-size: 7.5pt; } td.number { white-space: normal; } figure svg { min-width: 0; }
  }
</style>
</head>
<body>
<h1>$title</h1>
$lead
$sections
</body>
</html>
""")


def shown(results: Results) -> list[Table]:
    """Return the report's tables in order."""
    optional = [
        tables.ablation(results),
        tables.counters(results),
        tables.conditions(results),
        tables.failures(results),
    ]
    several = [tables.by_suite(results)] if len(results.suites) > 1 else []
    compared = [tables.pairs(results)] if len(results.methods) > 1 else []
    handed_over = tables.one_formula(results)
    first = [tables.summary(results), *([handed_over] if handed_over else [])]
    return [*first, *several, *compared, tables.quality(results), *filter(None, optional)]


def lead(results: Results) -> list[str]:
    """Return the report's first sentences."""
    rows, limits = results.rows, results.plan["limits"]
    problems = {(row["suite"], row["problem"]) for row in rows}
    budget = tables.budget_text(results.moments[-1], results.axis)
    failed = sum(row["status"] != "ok" for row in rows)
    verdicts = tables.comparisons(results)
    told = [f"{each.first} is {each.verdict}" for each in verdicts if each.verdict != "undecided"]
    undecided = [each.first for each in verdicts if each.verdict == "undecided"]
    against = f"Against {results.baseline} at {budget}: " + "; ".join(
        [*told, *([f"undecided: {', '.join(undecided)}"] if undecided else [])]
    )
    return [
        f"{len(results.methods)} methods, {len(problems)} problems of {len(results.suites)} suites, {len(rows)} runs "
        f"({failed} failed), {budget} each on {limits['cores']} core(s); shorter budgets are read off the same runs.",
        *([against + "."] if verdicts else []),
    ]


def reproduction(results: Results) -> list[str]:
    """Return how to reproduce the runs: commands with commit and machine, versions."""
    lines = []
    for each in results.plan["commands"]:
        lines.append(f"$ {each['command']}")
        lines.append(
            f"  at {each['at']}, commit {each['commit'] or 'unknown'}, Python {each['python']}, {each['system']}, "
            f"{each['processor']}, {each['cores']} cores, {each['memory_gb']} GB"
        )
    limits = results.plan["limits"]
    lines.append(
        f"  a fit is killed after {limits['time_limit']:g} s or at {limits['memory_gb']:g} GB; data seed "
        f"{limits['data_seed']}"
    )
    versions = {row["method"]: row["versions"] for row in results.rows if row.get("versions")}
    return [*lines, *[f"  {method}: {version}" for method, version in versions.items()]]


def html(results: Results, title: str) -> str:
    """Return the page."""
    first, *rest = shown(results)
    maps = "\n".join(f"<h3>{escape(suite)}</h3>\n{pictures.heat_map(results, suite)}" for suite in results.suites)
    sections = [
        _section(first.title, _table(first)),
        _section(
            f"Share solved against {results.axis}",
            f"<figure>{pictures.curves(results)}</figure>"
            '<p class="note">Bands: central 95 % when problems are drawn anew.</p>',
        ),
        *[_section(table.title, _table(table)) for table in rest],
        _section(
            "Problem by problem",
            f'{maps}<p class="note">A cell is a problem, the darker the more of its runs solved it; its name '
            "shows when the pointer rests there. The easiest come first.</p>",
        ),
        _section("How to reproduce", f"<pre>{escape(chr(10).join(reproduction(results)))}</pre>"),
    ]
    told = "\n".join(f"<p>{escape(sentence)}</p>" for sentence in lead(results))
    return PAGE.substitute(title=escape(title), lead=told, sections="\n".join(sections))


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _table(table: Table) -> str:
    kinds = ["" if name in TEXT_COLUMNS else "number" for name in table.header]
    kinds = ["message" if name == "message" else kind for name, kind in zip(table.header, kinds, strict=True)]
    head = "".join(f"<th{_class(kind)}>{escape(name)}</th>" for name, kind in zip(table.header, kinds, strict=True))
    body = "\n".join(
        "<tr>" + "".join(_data(text, kind) for text, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n{note}'
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _data(text: str, kind: str) -> str:
    return f"<td{_class(text if text in ('better', 'worse') else kind)}>{escape(text)}</td>"


def markdown(results: Results, title: str) -> str:
    """Return the Markdown file."""
    parts = [f"# {title}", *lead(results)]
    for table in shown(results):
        parts += [f"## {table.title}", _markdown_table(table), *([table.note] if table.note else [])]
    parts += ["## How to reproduce", "```\n" + "\n".join(reproduction(results)) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    rule = ["---" if name in TEXT_COLUMNS else "---:" for name in table.header]
    lines: list[Sequence[str]] = [table.header, rule, *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
