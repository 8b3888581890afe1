"""What a model believes about somebody's data, each belief beside what a test on these data says.

Owns: `beliefs`, its table and picture.  Does not own: reading files, sampling, the tests (`proposer.joins`).

Nothing is asked that the model was not trained for: it samples whole answers, and how many of them hold a variable, an
operator or a part is how likely it thinks these are.  The tests do not know of the model: dependence on each variable,
ways in which y depends on fewer things than there are variables, and the best answer that the joins find without any
samples, with what it leaves unexplained on rows that were held back.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.text import to_string
from pysr_neural.interop.suggestions import suggestions
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.joins.parts import values_of
from pysr_neural.proposer.joins.relevance import FEWEST_ROWS, relevant
from pysr_neural.proposer.joins.search import Joiner
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural_training.interpret.pictures import BAR, STYLE
from pysr_neural_training.problems.labelled import Key, affine_keys

MAX_SIZE, TEMPERATURE = 30, 1.0
LARGEST_PART, PARTS = 7, 12
"""Nodes of a part; parts that are shown."""
HELD_BACK, MOST_HELD_BACK = 0.2, 1000
PROBED = 64
"""Rows on which parts are compared."""
CONFIRMED, LEFT = "#0b6e99", 0.05
"""Colour of what a test confirms; most that an answer may leave unexplained to count as a test."""


@dataclass(frozen=True)
class Belief:
    """One thing that a model may think of data.

    Parameters
    ----------
    question : {"variable", "operator", "part"}
    about : str
        The variable, the operator, the expression.
    share : float
        Of the model's samples that hold it.
    confirmed : bool or None
        By the test; None where it says nothing.
    verdict : str
        The test's, in words.
    """

    question: str
    about: str
    share: float
    confirmed: bool | None
    verdict: str


@dataclass(frozen=True)
class Beliefs:
    """All of them, and what the tests found by themselves.

    Parameters
    ----------
    beliefs : tuple of Belief
    samples : int
        Different expressions that the model wrote.
    structure : tuple of str
        Ways in which y depends on fewer things, each with its evidence.
    answer : str
        The best that joins find without the model; empty if nothing.
    unexplained : float
        Fraction of the variance of rows that were held back, by that answer; NaN without one.
    """

    beliefs: tuple[Belief, ...]
    samples: int
    structure: tuple[str, ...]
    answer: str
    unexplained: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON, without NaN."""
        unexplained = None if np.isnan(self.unexplained) else self.unexplained
        return {**asdict(self), "unexplained": unexplained}


def beliefs(
    proposer: TransformerProposer,
    X: Array,
    y: Array,
    names: Sequence[str],
    operators: OperatorSet,
    draws: int = 256,
    seconds: float = 3.0,
    seed: int = 0,
) -> Beliefs:
    """Ask a model about data, and test what it says.

    Parameters
    ----------
    proposer : TransformerProposer
    X : array, shape (rows, features)
    y : array, shape (rows,)
    names : sequence of str
        Of the features.
    operators : OperatorSet
    draws : int, optional
        Samples of the model.
    seconds : float, optional
        Of the processor, for the joins.
    seed : int, optional

    Raises
    ------
    ModelError
        If the checkpoint does not know an operator.
    DataError
        If X or y cannot be searched.
    """
    problem = Problem(X, y, operators, Limits(max_size=MAX_SIZE))
    rows = generator(seed, "beliefs").permutation(len(y))
    X, y = problem.X[rows], problem.y[rows]
    count = min(int(HELD_BACK * len(y)), MOST_HELD_BACK)
    seen, held = (X[count:], y[count:]), (X[:count], y[:count])
    asked = Problem(*seen, operators, problem.limits)
    session = proposer.open(asked)
    drawn = [
        tree for tree, _ in session.explain(asked.y, MAX_SIZE, draws, TEMPERATURE, generator(seed, "beliefs", "model"))
    ]
    answer = _joined(*seen, operators, seconds)
    left = fraction_unexplained(evaluate(answer, held[0]), held[1]) if answer is not None and count > 1 else np.nan
    sure = answer if left <= LEFT else None
    told = suggestions(X, y, names, {}, {}, MAX_SIZE)
    return Beliefs(
        (
            *_of_variables(drawn, seen, names),
            *_of_operators(drawn, operators, sure),
            *_of_parts(drawn, seen[0][:PROBED], names, sure),
        ),
        len(drawn),
        tuple(str(each) for each in told),
        "" if answer is None else to_string(answer, names),
        float(left),
    )


def _joined(X: Array, y: Array, operators: OperatorSet, seconds: float) -> Node | None:
    joiner = Joiner(X, y, operators, MAX_SIZE)
    began = time.process_time()
    joiner.work(1 << 30, lambda: joiner.done or time.process_time() - began > seconds)
    return joiner.answers.best()[0] if len(joiner.answers) else None


def _of_variables(drawn: Sequence[Node], seen: tuple[Array, Array], names: Sequence[str]) -> Iterable[Belief]:
    shares = _shares(tree.variables() for tree in drawn)
    asked = len(names) > 1 and len(seen[1]) >= FEWEST_ROWS
    found = relevant(*seen) if asked else []
    for i, name in enumerate(names):
        confirmed = i in found if asked else None
        verdict = "y depends on it" if confirmed else "no sign that y depends on it"
        if not asked:
            verdict = "the only one" if len(names) == 1 else f"not tested with fewer than {FEWEST_ROWS} rows"
        yield Belief("variable", name, shares[i], confirmed, verdict)


def _of_operators(drawn: Sequence[Node], operators: OperatorSet, sure: Node | None) -> Iterable[Belief]:
    shares = _shares({(node.operator, len(node.children)) for node in tree} for tree in drawn)
    used = {(node.operator, len(node.children)) for node in sure or ()}
    for pair in zip(operators.names, operators.arities, strict=True):
        confirmed = None if sure is None else pair in used
        yield Belief("operator", pair[0], shares[pair], confirmed, _in_answer(confirmed))


def _of_parts(drawn: Sequence[Node], X: Array, names: Sequence[str], sure: Node | None) -> Iterable[Belief]:
    """Count parts; those that differ by a factor and a constant are the same, and variables are none."""
    plain = {None, *_keys([variable(i) for i in range(X.shape[1])], X)}
    found = [{node for node in tree if _is_part(node)} for tree in drawn]
    parts = sorted(set().union(*found), key=lambda node: (node.size, to_string(node)))
    keys = dict(zip(parts, _keys(parts, X), strict=True))
    shares = _shares({keys[node] for node in each} - plain for each in found)
    first = {key: node for node, key in reversed(list(keys.items()))}
    inside = set(_keys([node for node in sure or () if node.variables()], X))
    for key in sorted(shares, key=lambda key: (-shares[key], first[key].size, to_string(first[key])))[:PARTS]:
        confirmed = None if sure is None else key in inside
        yield Belief("part", to_string(first[key], names), shares[key], confirmed, _in_answer(confirmed))


def _is_part(node: Node) -> bool:
    return bool(1 < node.size <= LARGEST_PART and node.variables())


def _keys(trees: Sequence[Node], X: Array) -> list[Key | None]:
    if not trees:
        return []
    with np.errstate(all="ignore"):
        return affine_keys(values_of(list(trees), np.ascontiguousarray(X.T)))


def _shares(each: Iterable[Iterable[Any]]) -> "Counter[Any]":
    """Return in which share of some sets each thing is."""
    sets = [set(some) for some in each]
    counted = Counter(thing for some in sets for thing in some)
    return Counter({thing: count / len(sets) for thing, count in counted.items()})  # type: ignore[misc]


def _in_answer(confirmed: bool | None) -> str:
    if confirmed is None:
        return "not tested: no answer explains the rows held back"
    return "in the answer below" if confirmed else "not in the answer below"


def page(found: Beliefs, command: str, picture: str | None = None) -> str:
    """Return everything as Markdown."""
    lines = ["# What the model believes about these data", "", f"`{command}`", ""]
    if picture is not None:
        lines += [f"![Beliefs, and which of them the tests confirm]({picture})", ""]
    lines += [f"Shares are of {found.samples} different expressions that the model sampled for these data.", ""]
    lines += ["| | | share of samples | test |", "| --- | --- | ---: | --- |"]
    lines += [
        f"| {each.question} | `{each.about}` | {100 * each.share:.0f} % | {each.verdict} |" for each in found.beliefs
    ]
    if found.structure:
        lines += ["", "What the data say about structure, as code for the next fit:", ""]
        lines += [f"- `{each.partition('  # ')[0]}`: {each.partition('  # ')[2]}" for each in found.structure]
    if found.answer:
        left = "" if np.isnan(found.unexplained) else f"; on rows held back it leaves {found.unexplained:.1e} of y"
        lines += ["", f"The best answer found without the model: `{found.answer}`{left}."]
    return "\n".join(lines) + "\n"


def draw(path: Path, found: Beliefs) -> None:
    """Write a picture: what the model believes, and in colour what a test confirms."""
    questions = ("variable", "operator", "part")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4), layout="constrained", dpi=120)
        for axes, question in zip(figure.subplots(1, 3), questions, strict=True):
            some = [each for each in found.beliefs if each.question == question][::-1]
            colours = [CONFIRMED if each.confirmed else BAR for each in some]
            axes.barh(range(len(some)), [each.share for each in some], color=colours)
            axes.set_yticks(range(len(some)), [each.about[:32] for each in some])
            axes.set_xlim(0, max([0.25, *(each.share for each in some)]))
            axes.set_title(f"{question}s: share of the model's samples", loc="left")
        figure.supxlabel("blue: confirmed by a test on the data")
        figure.savefig(path)
