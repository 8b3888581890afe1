"""`pysr-neural study beside`: what remains of a policy's gain when the joins work in the same search.

Owns: the arms, their problems, the report.  Does not own: the policy, the joins, the search; policies without joins
(`policies`).

Three arms search the same larger held-out problems for the same seconds, each with the default proposer: as it is used
by default; at the beginning and whenever a search stagnates, with BasicSR's own variation between; and so again, with
the policy's actions between.  The last two differ in nothing but who varies.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest, Proposer, Session
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.proposer.policy.proposer import DRAWS, PolicyProposer
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_benchmarks.studies.judging import difference
from pysr_neural_training.improve.policy_searches import SOLVED_BELOW, is_solved
from pysr_neural_training.policy.problems import PRIORS, distinct

DEFAULT, OWN, POLICY = "default", "joins", "joins and policy"
ARMS = (DEFAULT, OWN, POLICY)
LARGER: dict[str, Any] = {"min_operators": 6, "max_operators": 12, "max_size": 25, "rows": (200,)}
"""What the joins do not solve at once."""
SMALLEST = 11
SEED = 5
POPULATION, STAGNATION = 40, 5
ENDLESS = 10**7


class InTurns:
    """Seeds of one proposer, children of another, or ordinary ones.

    Parameters
    ----------
    seeds : Proposer
        Asked at the beginning and when the search stagnates.
    children : Proposer, optional
    """

    def __init__(self, seeds: Proposer, children: Proposer | None) -> None:
        self.seeds, self.children = seeds, children

    def open(self, problem: Problem) -> "_TurnsSession":
        """Start a search."""
        children = None if self.children is None else self.children.open(problem)
        return _TurnsSession(self.seeds.open(problem), children)


class _TurnsSession:
    def __init__(self, seeds: Session, children: Session | None) -> None:
        self.seeds, self.children = seeds, children

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        asked = self.children if "child" in request.levels else self.seeds
        return ProposalBatch() if asked is None else asked.propose(request)


@cache
def problems_of(kind: str, count: int, seed: int) -> tuple[Problem, ...]:
    """Return problems of an operator set, no expression twice."""
    drawn = distinct(replace(PRIORS[kind], **LARGER), generator(seed, "beside", kind))
    return tuple(islice((each.problem for each in drawn if each.tree.size >= SMALLEST), count))


def config_of(arm: str, seconds: float) -> BasicSRConfig:
    """Return the settings of an arm's searches."""
    common: dict[str, Any] = {"timeout_seconds": seconds, "generations": ENDLESS, "early_stop_loss": SOLVED_BELOW}
    common |= {"extra_generations": 0, "relative_loss": True}
    if arm == DEFAULT:
        return BasicSRConfig.of(**common)
    return BasicSRConfig.reference(
        population_size=POPULATION,
        max_size=30,
        optimize_constants=True,
        optimize_probability=0.1,
        levels=("seed", "refresh") if arm == OWN else ("seed", "child", "refresh"),
        stagnation=STAGNATION,
        proposal_share=1.0,
        guard=GuardRules(max_overhead=1.0),
        **common,
    )


def run_once(arm: str, kind: str, number: int, count: int, seed: int, seconds: float, policy: str) -> dict[str, Any]:
    """Search a problem; returns a row of the results file."""
    joins: Proposer = TransformerProposer.from_checkpoint("default")
    children = PolicyProposer.from_file(policy, draws=DRAWS) if arm == POLICY else None
    proposer = joins if arm == DEFAULT else InTurns(joins, children)
    problem = problems_of(kind, count, seed)[number]
    result = run_search(problem, config_of(arm, seconds), proposer, seed * ENDLESS + number)
    return {"solved": is_solved(result, problem), "seconds": result.seconds, "evaluations": result.evaluations}


def report(results: dict[str, dict[str, list[bool]]], options: argparse.Namespace) -> str:
    """Write the report."""
    lines = []
    for kind, solved in results.items():
        more, low, high = difference(solved[POLICY], solved[OWN])
        counts = [f"{sum(solved[arm])}" for arm in ARMS]
        lines.append([kind, f"{len(solved[OWN])}", *counts, f"{more:+.3f} ({low:+.3f} … {high:+.3f})"])
    header = ["operators", "problems", *ARMS, "policy's gain (95 %)"]
    return f"""# A policy beside the joins

`{_command(options)}`

Held-out expressions of {LARGER["min_operators"]} to {LARGER["max_operators"]} operators and {SMALLEST} to
{LARGER["max_size"]} nodes, {LARGER["rows"][0]} rows, {options.seconds:g} s each, one thread. Solved: an unexplained
variance of at most {SOLVED_BELOW:g}.

{markdown_table(header, lines)}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    import torch

    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    given = (options.problems, options.seed, options.seconds)
    tasks: list[Task] = [
        (arm, kind, number, *given) for kind in PRIORS for number in range(options.problems) for arm in ARMS
    ]
    rows = complete(partial(run_once, policy=options.policy), tasks, options.out / "results.jsonl")
    results: dict[str, dict[str, list[bool]]] = {kind: {arm: [] for arm in ARMS} for kind in PRIORS}
    for (arm, kind, *_), row in zip(tasks, rows, strict=True):
        results[str(kind)][str(arm)].append(row["solved"])
    results["all"] = {arm: [each for kind in PRIORS for each in results[kind][arm]] for arm in ARMS}
    solved = {kind: {arm: sum(found[arm]) for arm in ARMS} for kind, found in results.items()}
    told = {"command": _command(options), "problems": options.problems, "solved": solved}
    return end(report(results, options), told, options)


def _command(options: argparse.Namespace) -> str:
    given = " ".join(f"--{name} {getattr(options, name)}" for name in ("problems", "seconds", "seed"))
    return f"pysr-neural study beside {Path(options.policy).name} {given}"


def _parser() -> argparse.ArgumentParser:
    parser = study_parser("beside", __doc__)
    parser.add_argument("policy", nargs="?", default="policy", help="a safetensors file; default the bundled policy")
    parser.add_argument("--problems", type=int, default=20, help="of each operator set")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each search")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
