"""The page of a fit: one HTML file that needs nothing beside it, no network either.

Owns: the layout, its texts, the look that the demo's page shares.  Does not own: the pictures (`pictures`), the figures
(`uncertainty`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template

from pysr_neural.expression.names import latex_names
from pysr_neural.expression.simplify import simplify
from pysr_neural.expression.source import numpy_source, sympy_source
from pysr_neural.expression.sympy_bridge import to_latex
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.pictures import formula, pictures
from pysr_neural_baseline.fitting.uncertainty import Score, Verdict
from pysr_neural_baseline.fitting.words import constants_in_words, leftover_in_words, plain_number, r2_in_words

CSS = """
  :root { --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --law: #0b6e99; --neural: #d9480f; --pale: #eff8fb; }
  body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; color: var(--ink); background: #fff;
         font: 16px/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
  h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
  p { margin: .25rem 0; }
  section { border-top: 1px solid var(--line); padding: 1.5rem 0 .5rem; margin-top: 1.5rem; }
  .muted { color: var(--muted); font-size: .9rem; }
  .law { font: 1.05rem/1.4 ui-monospace, monospace; color: var(--law); overflow-wrap: anywhere; }
  .formula { background: var(--pale); border-radius: .6rem; padding: 1.1rem 1.4rem; margin: 1rem 0; overflow-x: auto; }
  .formula svg { max-width: 100%; height: auto; display: block; margin: .2rem 0 .5rem; }
  .figures { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
  .figure { border: 1px solid var(--line); border-radius: .6rem; padding: .6rem 1rem; flex: 1 1 9rem; }
  .figure b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
  .figure span { color: var(--muted); font-size: .82rem; }
  .pictures svg { width: 100%; height: auto; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
  th, td { padding: .3rem .75rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
  th { color: var(--muted); font-weight: 500; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  td code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; }
  tr.chosen td { background: var(--pale); }
  .neural { color: var(--neural); white-space: nowrap; }
  pre { background: #f5f7fa; padding: .75rem 1rem; font-size: .8rem; line-height: 1.4; overflow-x: auto; }
  ul { margin: .25rem 0; padding-left: 1.2rem; }
  summary { cursor: pointer; margin: .75rem 0 .25rem; }
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$css</style>
</head>
<body>
<h1>$title</h1>
<p class="muted">$subtitle</p>
<div class="formula">$picture<p class="law">$law</p>$constants<p class="muted">$leftover</p></div>
<div class="figures">$figures</div>
<div class="pictures">$pictures</div>
$notes
<section><h2>The formula to take along</h2>
<p class="muted">LaTeX</p><pre>$latex</pre>
<p class="muted">NumPy</p><pre>$numpy</pre>
<p class="muted">SymPy</p><pre>$sympy</pre>
</section>
<section><h2>The front</h2>
<p class="muted">The best formula found of each complexity. The marked one describes data and formula together in the
fewest bits.</p>
$front
</section>
<section><h2>What the proposer did</h2><pre>$report</pre></section>
<section><h2>Again</h2>
<p class="muted">The command of this page$state.</p><pre>$command</pre></section>
</body>
</html>
""")

FRONT = Template("""<div class="scroll"><table>
<thead><tr><th>complexity</th><th>loss / variance</th><th>expression</th><th></th></tr></thead>
<tbody>
$rows
</tbody></table></div>""")

ROW = Template(
    '<tr$chosen><td class="number">$complexity</td><td class="number">$loss</td>'
    '<td><code>$equation</code></td><td class="neural">$neural</td></tr>'
)


@dataclass(frozen=True, eq=False)
class Story:
    """What a page tells beside the outcome.

    Parameters
    ----------
    source : str
        Name of the file.
    engine : str
        One sentence on what searched.
    verdict : Verdict
    held_out : Measurements or None
    notes : sequence of str
        What was noticed in the file, and on the way.
    command : str
        That makes the page again.
    continued : str
        Name of the folder in which a further command goes on; empty if there is none.
    interrupted : bool
        Whether Ctrl-C ended the search.
    """

    source: str
    engine: str
    verdict: Verdict
    held_out: Measurements | None
    notes: Sequence[str]
    command: str
    continued: str = ""
    interrupted: bool = False


def page(outcome: Outcome, story: Story) -> str:
    """Return the page as HTML text."""
    data, law = outcome.data, simplify(outcome.law.tree)
    latex = law_in_latex(outcome)
    picture = formula(latex)
    constants = constants_in_words(story.verdict)
    ended = ", ended by Ctrl-C" if story.interrupted else ""
    return PAGE.substitute(
        css=CSS,
        title=escape(f"{data.target} out of {', '.join(data.features)}"[:120]),
        subtitle=escape(
            f"{story.source}: {len(data.y)} rows searched for {outcome.seconds:.0f} s{ended}. {story.engine}"
        ),
        picture=picture or "",
        law=escape(f"{data.target} = {outcome.shown(outcome.law)}"),
        constants=f'<p class="muted">{escape(constants)}</p>' if constants else "",
        leftover=escape(leftover_in_words(outcome)),
        figures="\n".join(_figures(outcome, story.verdict)),
        pictures=pictures(outcome, story.held_out),
        notes=_notes(story.notes),
        latex=escape(latex),
        numpy=escape(numpy_source(law, data.features)),
        sympy=escape(sympy_source(law, data.features)),
        front=front_table(outcome),
        report=escape(outcome.report),
        command=escape(story.command),
        state=escape(f"; with --state {story.continued} it goes on where this one ended") if story.continued else "",
    )


def law_in_latex(outcome: Outcome) -> str:
    """Return the equation of the law in LaTeX."""
    import sympy

    target = outcome.data.target
    left = latex_names([target]).get(target) or sympy.latex(sympy.Symbol(target))
    return f"{left} = {to_latex(simplify(outcome.law.tree), outcome.data.features, 4)}"


def front_table(outcome: Outcome) -> str:
    """Return the front as an HTML table."""
    law = outcome.law
    rows = [
        ROW.substitute(
            chosen=' class="chosen"' if member is law else "",
            complexity=member.complexity,
            loss=f"{member.loss:.2e}",
            equation=escape(outcome.shown(member)),
            neural="neural ancestor" if member.neural else "",
        )
        for member in outcome.front
    ]
    return FRONT.substitute(rows="\n".join(rows))


def _figures(outcome: Outcome, verdict: Verdict) -> list[str]:
    judged, where = (verdict.seen, "rows of the search") if verdict.held_out is None else (verdict.held_out, "held out")
    unit = outcome.data.target_label.removeprefix(outcome.data.target).removeprefix(" / ")
    return [
        _figure(r2_in_words(judged.r2), f"R², {judged.rows} {where}: {_range(judged, 'r2')}"),
        _figure(
            f"{plain_number(judged.rmse)} {unit}".strip(),
            f"mean error, {judged.rows} {where}: {_range(judged, 'rmse')}",
        ),
        _figure(str(outcome.law.complexity), "complexity of the formula, in nodes"),
        _figure(str(len(outcome.front)), f"formulas on the front, {_by_help(outcome)} by the proposer's help"),
    ]


def _by_help(outcome: Outcome) -> int:
    return sum(member.neural for member in outcome.front)


def _range(score: Score, name: str) -> str:
    low, high = getattr(score, f"{name}_interval")
    if math.isnan(low):
        return "no interval"
    write = r2_in_words if name == "r2" else plain_number
    return f"95 % between {write(low)} and {write(high)}"


def _figure(value: str, label: str) -> str:
    return f'<div class="figure"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<section><h2>What was noticed</h2><ul>{items}</ul></section>"
