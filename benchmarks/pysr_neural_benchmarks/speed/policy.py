"""`pysr-neural bench policy`: actions of the structured policy per second, beside whole children of the transformer.

Owns: the measurement and its table.  Does not own: the policy (`pysr_neural.proposer.policy`), the transformer's
sampling, how good either is.

One request for a generation of children of a population that is new to the policy, in a search that has begun:
encoding it counts, looking ahead, the decisions and the trees that are planted.  The transformer makes as many
children, in turns with the policy, in two ways: by its default without joins, which fits the constants of its samples,
and as `proposals` does, which samples tokens and does nothing else.  Both see the best members only, as many as in
training.  The faster of the two is compared with.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

from pysr_neural.config import DEFAULT
from pysr_neural.expression.node import variable
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.asking import SHOWN_MEMBERS
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.proposer import DRAWS, PolicyProposer
from pysr_neural.state import MemberView
from pysr_neural_benchmarks.pages import markdown_table
from pysr_neural_benchmarks.speed.proposals import State, make_state, propose

CASES = ((20, 15), (100, 25))
"""Members of a population, and the most nodes of each."""
Work = Callable[[int], int]
"""Makes a generation of children with a seed; returns how many."""


def request_of(state: State, seed: int) -> ProposalRequest:
    """Return a request for as many children as there are members."""
    return ProposalRequest(state.members, len(state.members), ("child",), seed, progress=0.5)


def ways(state: State, policy: PolicyNetwork, model: ProposerModel, repeats: int) -> dict[str, Work]:
    """Return what is measured, by name, with seeds from 0 to ``repeats``."""
    transformer = TransformerProposer(model, combine=False).open(state.problem)
    best = sorted(state.members, key=lambda member: member.loss)[:SHOWN_MEMBERS]
    shown = State(state.problem, tuple(best))
    sessions = [PolicyProposer(policy, draws=DRAWS).open(state.problem) for _ in range(repeats + 1)]
    other = ProposalRequest((MemberView(variable(0), 1.0, 1),), 1, ("child",), 0)
    for session in sessions:
        session.propose(other)
    return {
        "policy": lambda seed: len(sessions[seed].propose(request_of(state, seed)).actions),
        "onestep": lambda seed: len(propose(model, shown, len(state.members), seed)),
        "default": lambda seed: len(transformer.propose(request_of(state, seed)).children),
    }


def measure(population: int, size: int, policy: PolicyNetwork, model: ProposerModel, repeats: int) -> dict[str, Any]:
    """Measure one case, in turns, after a warm-up of each."""
    working = ways(make_state(0, population, size), policy, model, repeats)
    rates: dict[str, list[float]] = {name: [] for name in working}
    generations = []
    for turn in range(-1, repeats):
        for name, work in working.items():
            begun = time.perf_counter()
            made = work(turn + 1)
            spent = time.perf_counter() - begun
            if turn >= 0:
                rates[name].append(made / spent)
            if turn >= 0 and name == "policy":
                generations.append(spent)
    found = {name: median(each) for name, each in rates.items()}
    whole = max(found["default"], found["onestep"])
    return {
        "population": population,
        "max_size": size,
        "actions_per_second": round(found["policy"], 1),
        "whole_children_per_second": round(whole, 1),
        "default_per_second": round(found["default"], 1),
        "onestep_per_second": round(found["onestep"], 1),
        "ratio": round(found["policy"] / whole, 1),
        "generation_ms": round(1000 * median(generations), 2),
        "fastest_generation_ms": round(1000 * min(generations), 2),
    }


def table(cases: Sequence[dict[str, Any]]) -> str:
    """Lay the figures out for people."""
    names = ("actions_per_second", "onestep_per_second", "default_per_second", "ratio", "generation_ms")
    header = [
        "population × nodes",
        "actions/s",
        "whole children/s: samples",
        "fitted samples",
        "ratio",
        "generation, ms",
    ]
    rows = [[f"{c['population']} × {c['max_size']}", *(f"{c[name]:,.4g}" for name in names)] for c in cases]
    return markdown_table(header, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench policy", description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", default=DEFAULT, help="of the transformer: 'default', a directory or a hub id")
    parser.add_argument("--random-weights", action="store_true", help="an untrained transformer of the default sizes")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="one repeat of the small case, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    model = ProposerModel(ProposerConfig()).eval() if options.random_weights else load(options.checkpoint)
    policy = PolicyNetwork.initial()
    repeats, cases = (1, CASES[:1]) if options.smoke else (options.repeats, CASES)
    found = [measure(*case, policy, model, repeats) for case in cases]
    print(f"{options.threads} threads; the policy has untrained weights of the default size, which take as long.")
    print(table(found))
    if options.json:
        print(json.dumps({"threads": options.threads, "cases": found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
