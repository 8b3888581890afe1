"""The demo's page: one HTML file that needs nothing beside it.

Owns: the layout and its texts.  Does not own: the pictures (`pictures`), look and tables, which are those of a
fit's page (`pysr_neural_baseline.fitting.page`).
"""

from collections.abc import Sequence
from html import escape
from string import Template

from pysr_neural_baseline.fitting.outcome import Outcome
from pysr_neural_baseline.fitting.page import CSS, front_table
from pysr_neural_baseline.fitting.words import leftover_in_words
from pysr_neural_benchmarks.demo.cases import Case
from pysr_neural_benchmarks.demo.pictures import svg

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pysr_neural: the demo's results</title>
<style>$css</style>
</head>
<body>
<h1>What was found in $count data sets</h1>
<p class="muted">$engine</p>
$sections
</body>
</html>
""")

SECTION = Template("""<section>
<h2>$title</h2>
<p class="law">$target = $law</p>
<p class="muted">$leftover</p>
<p class="muted">In the books: $known. $provenance Searched for $seconds s.</p>
<div class="pictures">$pictures</div>
$front
<details><summary>Neural report</summary><pre>$report</pre></details>
</section>""")


def page(cases: Sequence[Case], outcomes: Sequence[Outcome], engine: str) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    cases : sequence of Case
    outcomes : sequence of Outcome
        One of each case.
    engine : str
        One sentence on what searched.
    """
    sections = "\n".join(_section(case, outcome) for case, outcome in zip(cases, outcomes, strict=True))
    return PAGE.substitute(css=CSS, count=len(outcomes), engine=escape(engine), sections=sections)


def _section(case: Case, outcome: Outcome) -> str:
    return SECTION.substitute(
        title=escape(case.title),
        target=escape(case.target),
        law=escape(outcome.shown(outcome.law)),
        leftover=escape(leftover_in_words(outcome)),
        known=escape(case.known),
        provenance=escape(case.provenance),
        seconds=f"{outcome.seconds:.0f}",
        pictures=svg(outcome),
        front=front_table(outcome),
        report=escape(outcome.report),
    )
