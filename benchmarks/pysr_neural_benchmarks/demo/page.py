"""The demo's page: one HTML file that needs nothing beside it.

Owns: the layout and its texts.  Does not own: the pictures (`pictures`).
"""

from html import escape
from string import Template

from pysr_neural_benchmarks.demo.outcome import Outcome
from pysr_neural_benchmarks.demo.pictures import svg

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pysr_neural: the demo's results</title>
<style>
  :root { --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --law: #0b6e99; --neural: #d9480f; }
  body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; color: var(--ink); background: #fff;
         font: 16px/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
  h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
  p { margin: .25rem 0; }
  section { border-top: 1px solid var(--line); padding: 1.5rem 0 .5rem; margin-top: 1.5rem; }
  .muted { color: var(--muted); font-size: .9rem; }
  .law { font: 1.05rem/1.4 ui-monospace, monospace; color: var(--law); overflow-wrap: anywhere; }
  .pictures svg { width: 100%; height: auto; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
  th, td { padding: .3rem .75rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
  th { color: var(--muted); font-weight: 500; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  td code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; }
  tr.chosen td { background: #eff8fb; }
  .neural { color: var(--neural); white-space: nowrap; }
  pre { background: #f5f7fa; padding: .75rem 1rem; font-size: .8rem; line-height: 1.4; overflow-x: auto; }
  summary { cursor: pointer; margin: .75rem 0 .25rem; }
</style>
</head>
<body>
<h1>Laws found in $count data sets</h1>
<p class="muted">$engine</p>
$sections
</body>
</html>
""")

SECTION = Template("""<section>
<h2>$title</h2>
<p class="law">$target = $law</p>
<p class="muted">In the books: $known. $provenance Searched for $seconds s.</p>
<div class="pictures">$pictures</div>
<div class="scroll"><table>
<thead><tr><th>complexity</th><th>loss / variance</th><th>expression</th><th></th></tr></thead>
<tbody>
$rows
</tbody></table></div>
<details><summary>Neural report</summary><pre>$report</pre></details>
</section>""")

ROW = Template(
    '<tr$chosen><td class="number">$complexity</td><td class="number">$loss</td>'
    '<td><code>$equation</code></td><td class="neural">$neural</td></tr>'
)


def page(outcomes: list[Outcome], engine: str) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    outcomes : list of Outcome
    engine : str
        One sentence on what searched.
    """
    sections = "\n".join(_section(outcome) for outcome in outcomes)
    return PAGE.substitute(count=len(outcomes), engine=escape(engine), sections=sections)


def _section(outcome: Outcome) -> str:
    case = outcome.case
    return SECTION.substitute(
        title=escape(case.title),
        target=escape(case.target),
        law=escape(outcome.shown(outcome.law)),
        known=escape(case.known),
        provenance=escape(case.provenance),
        seconds=f"{outcome.seconds:.0f}",
        pictures=svg(outcome),
        rows="\n".join(_rows(outcome)),
        report=escape(outcome.report),
    )


def _rows(outcome: Outcome) -> list[str]:
    law = outcome.law
    return [
        ROW.substitute(
            chosen=' class="chosen"' if member is law else "",
            complexity=member.complexity,
            loss=f"{member.loss:.2e}",
            equation=escape(outcome.shown(member)),
            neural="neural ancestor" if member.neural else "",
        )
        for member in outcome.front
    ]
