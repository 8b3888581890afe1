"""`pysr-neural study formula`: which rule hands the right formula of a front over most often.

Owns: the rules that were tried, their comparison.  Does not own: the fronts (runs of `bench run`, any noise,
any method), the rule that is used (`pysr_neural.expression.choice`).

A rule sees a front's formulas and their losses on the rows searched, and the target of those rows.  It is right if what
it hands over solves the problem, or leaves at most twice what the best member of the front leaves of the test rows,
which carry no noise unless they were measured.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median

from pysr_neural.errors import ConfigError
from pysr_neural.expression import choice
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.operators import Array
from pysr_neural_benchmarks.judging.scoring import THRESHOLD
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.suites.data import POINTS, Case, draw
from pysr_neural_benchmarks.suites.reader import SuiteProblem, load_suite

AS_GOOD = 2.0
ACCEPTED_LOSS_RATIO = 1.5
LEAST_LOSS = 1e-300
LEAST_LEFT = 0.5
"""Rows left over by the constants, where there are none."""
USED = "description length"
OUT = Path("outputs/formula")
Rule = Callable[[Sequence[Node], Sequence[float], Array], int]


@dataclass(frozen=True, eq=False)
class Front:
    """A front, from simple to complex, with what its members leave.

    Parameters
    ----------
    group : str
        ``"noise 0.1"``, ``"noise 0.1, 20 rows"`` where they are not as many as usual, or ``"measured"``.
    suite, problem : str
    trees : tuple of Node
    losses : tuple of float
        Mean squared errors on the rows searched.
    unexplained : tuple of float
        Fractions of variance on test rows.
    y : array, shape (rows,)
        Target of the rows searched.
    """

    group: str
    suite: str
    problem: str
    trees: tuple[Node, ...]
    losses: tuple[float, ...]
    unexplained: tuple[float, ...]
    y: Array

    def is_right(self, position: int) -> bool:
        """Tell whether a member solves the problem, or is about as good as the best."""
        left = self.unexplained[position]
        return left <= THRESHOLD or (math.isfinite(left) and left <= AS_GOOD * min(self.unexplained))

    def excess(self, position: int) -> float:
        """Return how many orders of magnitude more a member leaves than the best; at most ten."""
        left, least = (max(value, THRESHOLD) for value in (self.unexplained[position], min(self.unexplained)))
        return min(math.log10(left / least), 10.0) if math.isfinite(left) else 10.0


def lowest(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose the lowest loss."""
    del trees, y
    return losses.index(min(losses))


def falls(trees: Sequence[Node], losses: Sequence[float]) -> list[float]:
    """Return PySR's score: the fall of log loss per node since the next simpler member, 0 of the first."""
    logarithms = [math.log(max(loss, LEAST_LOSS)) for loss in losses]
    return [0.0] + [
        (logarithms[i - 1] - logarithms[i]) / max(trees[i].size - trees[i - 1].size, 1) for i in range(1, len(trees))
    ]


def knee(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose the highest score, as the demo did."""
    del y
    scores = falls(trees, losses)
    return scores.index(max(scores))


def best(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose as PySR does: the highest score among those with at most 1.5 times the lowest loss."""
    del y
    bound = ACCEPTED_LOSS_RATIO * min(losses)
    scores = [score if loss <= bound else -1.0 for score, loss in zip(falls(trees, losses), losses, strict=True)]
    return scores.index(max(scores))


def shortest(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose as is done now: by description length."""
    return choice.DescriptionLength(y).choose(trees, losses)


def plain_length(node_bits: float, constant_bits: float) -> Rule:
    """Make a rule by description length in which a node, and a constant beside its node, takes so many bits."""

    def rule(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
        scale = choice.DescriptionLength(y).scale
        lengths = []
        for tree, loss in zip(trees, losses, strict=True):
            constants = sum(node.value is not None for node in tree)
            data = 0.5 * len(y) * math.log2(max(loss / scale, choice.FLOOR))
            lengths.append(data + node_bits * tree.size + constant_bits * constants)
        return lengths.index(min(lengths))

    return rule


def corrected(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose by a description length with AICc's correction for few rows.

    A node takes 1.5 bits, a fitted constant ``log2(n) / 2`` and at least 4, whatever is left unexplained.  With ``p``
    fitted constants, the noise counted as one, fresh rows are expected to take ``p * (p + 1) / (n - p - 1)`` nats more
    than with many rows (C. M. Hurvich, C.-L. Tsai, Biometrika 76, 1989).
    """
    scale, n = choice.DescriptionLength(y).scale, len(y)
    fitted = max(4.0, 0.5 * math.log2(n))
    lengths = []
    for tree, loss in zip(trees, losses, strict=True):
        p = 1 + sum(node.value is not None and node.value != round(node.value) for node in tree)
        few = p * (p + 1) / max(n - p - 1, LEAST_LEFT) / math.log(2.0)
        data = 0.5 * n * math.log2(max(loss / scale, choice.FLOOR))
        lengths.append(data + few + choice.formula_bits(tree, fitted, 1.5))
    return lengths.index(min(lengths))


def criterion(trees: Sequence[Node], losses: Sequence[float], y: Array) -> int:
    """Choose by the Bayesian information criterion, every node a parameter."""
    bits = 0.5 * math.log2(len(y))
    return plain_length(bits, 0.0)(trees, losses, y)


RULES: Mapping[str, Rule] = {
    USED: shortest,
    "with AICc's correction": corrected,
    "4 bits a node, 8 a constant": plain_length(4.0, 8.0),
    "4 bits a node, 32 a constant": plain_length(4.0, 32.0),
    "BIC, nodes as parameters": criterion,
    "PySR's best": best,
    "highest score": knee,
    "lowest loss": lowest,
}


def fronts_of(source: Path) -> Iterator[Front]:
    """Read the fronts of a folder or a Parquet file of `bench run`, with their data drawn again.

    Raises
    ------
    ConfigError
        If there are no runs.
    """
    rows, plan = store.load(source)
    for row in rows:
        known = [member for member in row.get("front") or () if member[0] and member[1] is not None]
        if row["status"] != "ok" or not known:
            continue
        problem = _problems(row["suite"])[row["problem"]]
        case = Case(row["suite"], row["problem"], row["draw"], row["noise"], row["points"], plan["limits"]["data_seed"])
        known.sort(key=lambda member: (member[0], member[1]))
        yield Front(
            _group(problem, row),
            row["suite"],
            row["problem"],
            tuple(parse(member[3]) for member in known),
            tuple(float(member[1]) for member in known),
            tuple(math.inf if member[2] is None else float(member[2]) for member in known),
            draw(problem, case).problem.y,
        )


def _group(problem: SuiteProblem, row: store.Row) -> str:
    """Name what a front is compared with: its noise, and its rows unless they are the usual ones."""
    if problem.rows is not None:
        return "measured"
    return f"noise {row['noise']:g}" + ("" if row["points"] == POINTS else f", {row['points']} rows")


@cache
def _problems(suite: str) -> dict[str, SuiteProblem]:
    return {problem.name: problem for problem in load_suite(suite)}


def figures(fronts: Sequence[Front]) -> list[list[str]]:
    """Return a line per rule: right, solved, orders of magnitude in excess, nodes."""
    lines = []
    for name, rule in RULES.items():
        chosen = [rule(front.trees, front.losses, front.y) for front in fronts]
        pairs = list(zip(fronts, chosen, strict=True))
        right = sum(front.is_right(i) for front, i in pairs)
        solved = sum(front.unexplained[i] <= THRESHOLD for front, i in pairs)
        lines.append(
            [
                name,
                f"{right} ({100 * right / len(fronts):.0f} %)",
                str(solved),
                f"{fmean(front.excess(i) for front, i in pairs):.2f}",
                f"{median(front.trees[i].size for front, i in pairs):g}",
            ]
        )
    return lines


def report(fronts: Sequence[Front], sources: Sequence[Path]) -> str:
    """Return the comparison as Markdown: a table per noise level, and one of measured data."""
    parts = [
        "# Which formula of a front is handed over",
        f"{len(fronts)} fronts of {', '.join(map(str, sources))}. Right: solves the problem, or leaves at most "
        f"{AS_GOOD:g} times what the best member of the front leaves of the test rows. Excess: orders of magnitude "
        "that it leaves beyond that member, mean.",
    ]
    for group in sorted({front.group for front in fronts}):
        mine = [front for front in fronts if front.group == group]
        solvable = sum(min(front.unexplained) <= THRESHOLD for front in mine)
        parts += [
            f"## {group}: {len(mine)} fronts, {solvable} hold a solution",
            markdown_table(["rule", "right", "solved", "excess", "nodes"], figures(mine)),
        ]
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural study formula", description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path, help="folders of `bench run`, or their results.parquet")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    fronts = [front for source in options.sources for front in fronts_of(source)]
    if not fronts:
        raise ConfigError(f"There must be runs with a front; {', '.join(map(str, options.sources))} hold none.")
    text = report(fronts, options.sources)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "formula.md").write_text(text, encoding="utf-8")
    print(text)
    if options.json:
        groups = {front.group: [each for each in fronts if each.group == front.group] for front in fronts}
        print(json.dumps({group: {line[0]: line[1] for line in figures(mine)} for group, mine in groups.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
