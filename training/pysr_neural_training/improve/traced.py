"""States that a policy visited in recorded searches of either engine: how DAgger sees PySR.

Owns: recording with the present policy, states from traces, the check that none is held out.  Does not own: traces
(`pysr_neural.trace`), recording itself (`pysr_neural_training.traces`), labels (`relabel`).

A trace holds populations as they stood after iterations.  PySR asks the policy while an iteration runs, so that these
are states of the policy's own search, though not the very requests that it received.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.trace.io import Trace, trees
from pysr_neural.trace.schema import HALL_OF_FAME
from pysr_neural_training.improve.config import DaggerConfig
from pysr_neural_training.improve.episodes import Planned
from pysr_neural_training.improve.relabel import State
from pysr_neural_training.problems.generate import in_training, split_key
from pysr_neural_training.problems.sources import SourceProblem
from pysr_neural_training.traces.generate import generate
from pysr_neural_training.traces.jobs import Settings
from pysr_neural_training.workers import Workers

COLUMNS = ["run", "population", "iteration", "loss", "codes", "constants"]


def record(searches: Sequence[Planned], checkpoint: str, config: DaggerConfig, folder: Path, engine: str) -> Trace:
    """Record searches of an engine with a checkpoint's policy.

    PySR is started in a process of its own, since this one has loaded torch, which Julia does not like to come after.

    Parameters
    ----------
    searches : sequence of Planned
        One per problem.
    checkpoint : str
    config : DaggerConfig
    folder : Path
        Empty or missing.
    engine : str
        ``"pysr"`` or ``"basic"``.
    """
    sources = [
        SourceProblem(replace(search.given.problem, name=f"improve/{search.number}"), to_string(search.given.tree))
        for search in {search.number: search for search in searches}.values()
    ]
    changes = {"niterations": config.generations} if engine == "pysr" else {"generations": config.generations}
    workers = Workers(max(config.workers, 1) if engine == "pysr" else config.workers, config.scheduler)
    settings = Settings(engine, "default", changes, checkpoint, 1.0)
    return generate(folder, sources, [searches[0].seed if searches else 0], settings, 1, workers, quiet=True)


def states_of_trace(trace: Trace, count: int, rng: np.random.Generator) -> tuple[list[State], int]:
    """Choose up to ``count`` states of each recorded search.

    Returns
    -------
    states : list of State
    held_out : int
        Searches left out because their problem is held out of training.
    """
    runs = trace.columns("runs", ["run", "problem"])
    rows = trace.table("problems", ["problem", "formula"]).to_pylist()
    formula_of = {row["problem"]: row["formula"] for row in rows}
    states: list[State] = []
    held_out = 0
    for run, number in zip(runs["run"].tolist(), runs["problem"].tolist(), strict=True):
        problem, formula = trace.problems[number], formula_of[number]
        target = parse(formula, problem.variable_names) if formula else None
        if target is not None and not in_training(split_key(canonical(target))):
            held_out += 1
            continue
        found = [State(problem, request, target) for request in _requests(trace, run, problem)]
        states += [found[i] for i in sorted(rng.permutation(len(found))[:count].tolist())]
    return states, held_out


def _requests(trace: Trace, run: int, problem: Problem) -> Iterator[ProposalRequest]:
    """Yield the populations of a run as the requests that would show them."""
    columns = trace.columns("members", COLUMNS, run=run)
    populations: dict[tuple[int, int], list[MemberView]] = {}
    rows = zip(columns["population"].tolist(), columns["iteration"].tolist(), columns["loss"].tolist(), strict=True)
    for (population, iteration, loss), tree in zip(rows, trees(columns, problem), strict=True):
        if isinstance(tree, Node) and population != HALL_OF_FAME:
            members = populations.setdefault((population, iteration), [])
            members.append(MemberView(tree, loss if np.isfinite(loss) else float("inf"), tree.size))
    for members in populations.values():
        yield ProposalRequest(tuple(members), 4, ("child",), 0, max_size=problem.limits.max_size)
