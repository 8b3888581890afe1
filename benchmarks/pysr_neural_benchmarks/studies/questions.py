"""`pysr-neural study questions`: what a model recovers when asked for a whole answer, and for what is left of it.

Owns: the arms, the report.  Does not own: ways of asking (`single`), problems and what counts as recovered
(`pysr_neural_training.learning.recovery`), the search.

Each held-out problem is sampled from the data alone, and searched by BasicSR's default preset.  After some seconds the
search pauses: the model is asked what the best of the search's front leave unexplained, and its answers are joined to
them.  The search then goes on for as long as that took: the control of equal time.  Seconds are those of the processor,
which other work on the machine disturbs less.
"""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.fit import mean_squared_error
from pysr_neural.expression.node import Node
from pysr_neural.operators import Array
from pysr_neural.proposer.base import Prior, ProposalRequest
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.rng import generator
from pysr_neural.state import MemberView
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import Search, SearchResult
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import bars, markdown_table
from pysr_neural_benchmarks.studies import judging
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_benchmarks.studies.single import SingleLayout, SingleSession
from pysr_neural_training.improve.policy_searches import SOLVED_BELOW
from pysr_neural_training.learning.recovery import SIZES, held_out_problems, recovers
from pysr_neural_training.problems.generate import GeneratedProblem

BASES = 4
"""Members of the front that the model is asked about."""
ENDLESS = 10**9
MAX_SIZE = 25
ARMS = {
    "direct": "direct",
    "search": "search",
    "either": "search or direct",
    "rest": "search + residual",
    "longer": "search, as long",
}
PRIORS = {"operators": "operators", "variables": "variables", "operators_shown": "operators, shown a front"}
Row = Mapping[str, Any]


class PausedClock:
    """The processor's seconds, less those of pauses."""

    def __init__(self) -> None:
        self.paused = 0.0

    def __call__(self) -> float:
        """Return the seconds that count."""
        return time.process_time() - self.paused


class Interlude:
    """Stops a search twice: for the model to be asked, and at the end of as much time again.

    Parameters
    ----------
    session : SingleSession
    clock : PausedClock
        Of the search.
    seconds : float
        Until the model is asked.
    draws : int
    seed : int

    Attributes
    ----------
    front, children : list of Node
        The search's best at the pause; what the model made of them.
    took : float
        Seconds of the model.
    """

    def __init__(self, session: SingleSession, clock: PausedClock, seconds: float, draws: int, seed: int) -> None:
        self.session, self.clock, self.seconds, self.draws, self.seed = session, clock, seconds, draws, seed
        self.front: list[Node] = []
        self.children: list[Node] = []
        self.took = 0.0

    def __call__(self, search: Search) -> bool:
        """Look at a search before its next generation; tells whether it is to stop."""
        passed = self.clock() - search.started
        if not self.front and passed >= self.seconds:
            self.ask(search)
        return bool(self.front) and passed >= self.seconds + self.took

    def ask(self, search: Search) -> None:
        """Ask about the front, off the search's clock."""
        began, rng = time.process_time(), generator(self.seed, "rest")
        self.front = [member.tree for member in search.hall_of_fame.front()]
        best = sorted(search.hall_of_fame.front(), key=lambda member: member.loss)[:BASES]
        for member in best:
            self.children += self.session.about_the_rest([member.tree], self.draws // len(best), 1.0, rng)
        self.took = time.process_time() - began
        self.clock.paused += self.took


@cache
def _problems(count: int, seed: int) -> list[judging.HeldOut]:
    return held_out_problems(count, seed, MAX_SIZE)


@cache
def _proposer(checkpoint: str) -> TransformerProposer:
    return TransformerProposer.from_checkpoint(checkpoint)


def run_once(number: int, problems: int, seed: int, seconds: float, draws: int, checkpoint: str) -> dict[str, Any]:
    """Measure one problem; returns a row of the results file."""
    given, X_test, y_test = _problems(problems, seed)[number]
    model = _proposer(checkpoint).model
    session = SingleLayout(model).open(given.problem)
    began, rng = time.process_time(), generator(seed, "direct", number)
    drawn = session.explain(given.problem.y, given.problem.limits.max_size, draws, 1.0, rng)
    direct = recovers([tree for tree, _ in drawn], given, X_test, y_test)
    direct_seconds = time.process_time() - began
    pause, result = _search(session, given, seconds, draws, seed + number)
    front, last = pause.front, [member.tree for member in result.hall_of_fame.front()]
    found = recovers(front or last, given, X_test, y_test)
    row = {
        "size": given.tree.size,
        "direct": direct,
        "search": found,
        "either": found or direct,
        "rest": found or recovers(pause.children, given, X_test, y_test),
        "longer": found or recovers(last, given, X_test, y_test),
        "direct_seconds": direct_seconds,
        "rest_seconds": pause.took,
    }
    return row | _prior_shares(_proposer(checkpoint), given, front or last)


def _search(
    session: SingleSession, given: GeneratedProblem, seconds: float, draws: int, seed: int
) -> tuple[Interlude, SearchResult]:
    """Search until the model was asked and as much time has passed again, or the problem is solved."""
    clock = PausedClock()
    config = BasicSRConfig(
        generations=ENDLESS,
        max_size=given.problem.limits.max_size,
        early_stop_loss=SOLVED_BELOW,
        extra_generations=0,
    )
    search = Search(given.problem, config, None, seed, clock)
    pause = Interlude(session, clock, seconds, draws, seed)
    return pause, search.run(pause)


def _prior_shares(proposer: TransformerProposer, given: GeneratedProblem, front: Sequence[Node]) -> dict[str, Any]:
    """Return what share of the predicted prior is on what the true expression holds, and of the uniform one."""
    problem, tree = given.problem, given.tree
    operators = {(node.operator, len(node.children)) for node in tree if node.operator is not None}
    true_operators = np.array([each in operators for each in problem.operators.index])
    true_variables = np.isin(np.arange(problem.X.shape[1]), list(tree.variables()))
    members = tuple(
        MemberView(each, float(loss), each.size)
        for each, loss in ((each, _loss(each, given)) for each in front)
        if np.isfinite(loss)
    )
    alone, shown = (_prior(proposer, given, each) for each in ((), members))
    shares = {
        "operators": (alone.operators, true_operators),
        "variables": (alone.variables, true_variables),
        "operators_shown": (shown.operators, true_operators),
    }
    found: dict[str, Any] = {}
    for name, (weights, true) in shares.items():
        # Where everything in the language occurs, or nothing, there is nothing to predict.
        if 0 < true.sum() < len(true):
            found[name] = [float(weights[true].sum() / weights.sum()), float(true.mean())]
    return found


def _prior(proposer: TransformerProposer, given: GeneratedProblem, members: tuple[MemberView, ...]) -> Prior:
    batch = proposer.open(given.problem).propose(ProposalRequest(members, 0, ("prior",), 0))
    if batch.prior is None:
        raise AssertionError("A prior that is asked for is answered.")
    return batch.prior


def _loss(tree: Node, given: GeneratedProblem) -> float:
    return mean_squared_error(tree, given.problem.X, given.problem.y)


def by_size(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Sort rows into classes by the size of the true expression; empty ones are left out, all come last."""
    classes = {f"{low}–{high}": [row for row in rows if low <= row["size"] <= high] for low, high in SIZES}
    return {name: each for name, each in classes.items() if each} | {"all": list(rows)}


def shares_of(rows: Sequence[Row], name: str) -> Array:
    """Return the mean shares of the predicted and of the uniform prior, NaN where no problem has any."""
    pairs = [row[name] for row in rows if name in row]
    return np.mean(pairs, axis=0) if pairs else np.full(2, np.nan)


def report(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Write the report."""
    classes = by_size(rows)
    counts = [
        [name, str(len(each)), *[str(sum(row[arm] for row in each)) for arm in ARMS]] for name, each in classes.items()
    ]
    gains = [
        (first, second, judging.difference([row[first] for row in rows], [row[second] for row in rows]))
        for first, second in (("rest", "longer"), ("rest", "either"), ("rest", "search"), ("direct", "search"))
    ]
    told = [
        [f"*{ARMS[a]}* less *{ARMS[b]}*", f"{mean:+.3f} ({low:+.3f} … {high:+.3f})"]
        for a, b, (mean, low, high) in gains
    ]
    priors = []
    for name, each in classes.items():
        cells = [name]
        for part in PRIORS:
            predicted, uniform = shares_of(each, part)
            count = sum(part in row for row in each)
            cells.append(f"{predicted:.2f} / {uniform:.2f} ({count})" if count else "–")
        priors.append(cells)
    asked = [row["rest_seconds"] for row in rows if row["rest_seconds"]]
    return f"""# What small questions buy

`{facts["command"]}`

{len(rows)} held-out problems (seed {facts["seed"]}), noiseless, 64 points; recovered means an unexplained variance of
at most 1e-9 on fresh points. *Direct*: {facts["draws"]} samples from the data alone, constants fitted
({np.mean([row["direct_seconds"] for row in rows]):.1f} s on average). *Search*: BasicSR's default preset for
{facts["seconds"]:g} s of one processor, or until it is solved. *Residual*: {facts["draws"]} samples in all of
what the {BASES} best of its front leave (y less f, y divided by f), joined to them by + and *, constants fitted;
{np.mean(asked) if asked else 0.0:.1f} s on average on the {len(asked)} problems that were not solved by then. *As
long*: the control, the same search for as much longer. No combining of parts anywhere: the model alone is judged.

## Recovered, by nodes of the true expression

{markdown_table(["nodes", "problems", *ARMS.values()], counts)}

Differences of the shares over all problems, paired, with 95 % intervals:

{markdown_table(["difference", "share"], told)}

![Recovered by size](recovered.png)

## What the prior knows

Share of the predicted prior that lies on the operators, and on the variables, of the true expression; after the slash
the same of a uniform prior; in brackets the problems in whose language something else occurs as well. The prior is
asked for from the data alone, and once more with the front of the search in the prompt.

{markdown_table(["nodes", *PRIORS.values()], priors)}

![Share of the prior on what is true](priors.png)
"""


def _draw(rows: Sequence[Row], folder: Path) -> None:
    groups = {
        f"{name} nodes ({len(each)})": {label: sum(row[arm] for row in each) / len(each) for arm, label in ARMS.items()}
        for name, each in by_size(rows).items()
    }
    bars(groups, folder / "recovered.png", 2, [ARMS["search"], ARMS["longer"]])
    shares: dict[str, dict[str, float]] = {}
    for part, label in PRIORS.items():
        for name, each in by_size(rows).items():
            predicted, uniform = shares_of(each, part)
            shares.setdefault(label, {}).update({f"{name}: predicted": predicted, f"{name}: uniform": uniform})
    bars(shares, folder / "priors.png", 3, [label for each in shares.values() for label in each if "uniform" in label])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = study_parser("questions", __doc__)
    parser.add_argument("--checkpoint", default="default", help="'default', a directory, or a hub id")
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--draws", type=int, default=256, help="samples per problem, of either kind")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the search before the model is asked")
    parser.add_argument("--seed", type=int, default=54321)
    options = parser.parse_args(argv)
    if options.problems < 1 or options.draws < BASES or not options.seconds > 0:
        raise ConfigError(
            f"--problems must be at least 1, --draws at least {BASES}, --seconds above 0; got {options.problems}, "
            f"{options.draws}, {options.seconds}."
        )
    import torch

    torch.set_num_threads(1)
    sizes = (options.problems, options.seed, options.seconds, options.draws, options.checkpoint)
    tasks: list[Task] = [(number, *sizes) for number in range(options.problems)]
    rows = complete(run_once, tasks, options.out / "results.jsonl")
    facts = {name: getattr(options, name) for name in ("problems", "draws", "seconds", "seed", "checkpoint")}
    command = " ".join(f"--{name} {value}" for name, value in facts.items())
    _draw(rows, options.out)
    text = report(rows, {**facts, "command": f"pysr-neural study questions {command}"})
    recovered = {name: {arm: sum(row[arm] for row in each) for arm in ARMS} for name, each in by_size(rows).items()}
    priors = {part: dict(zip(("predicted", "uniform"), shares_of(rows, part), strict=True)) for part in PRIORS}
    return end(text, {**facts, "recovered": recovered, "prior": priors}, options)


if __name__ == "__main__":
    raise SystemExit(main())
