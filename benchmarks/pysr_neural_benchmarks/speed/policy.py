"""`pysr-neural bench policy`: actions of the structured policy per second, beside whole children of the transformer.

Owns: the measurement and its table.  Does not own: the policy (`pysr_neural.proposer.policy`), the transformer's
sampling, how good either is.

One request for a generation of children of a population that is new to the policy, in a search that has begun:
encoding it counts, looking ahead, the decisions and the trees that are planted.  A policy that imitates does not look
ahead; it is measured beside.  The transformer makes as many
children, in turns with the policy, in two ways: by its default without joins, which fits the constants of its samples,
and as `proposals` does, which samples tokens and does nothing else.  Both see the best members only, as many as in
training.  The faster of the two is compared with.  All on one thread, in seconds of the processor, which a crowded
machine changes less.
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
from pysr_neural.proposer.policy.network import PolicyConfig, PolicyNetwork
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


def acting(state: State, foresight: bool, repeats: int) -> Work:
    """Return a policy at work, in a search of its own for each seed from 0 to ``repeats``."""
    proposer = PolicyProposer(PolicyNetwork.initial(PolicyConfig(foresight=foresight)), draws=DRAWS)
    sessions = [proposer.open(state.problem) for _ in range(repeats + 1)]
    other = ProposalRequest((MemberView(variable(0), 1.0, 1),), 1, ("child",), 0)
    for session in sessions:
        session.propose(other)
    return lambda seed: len(sessions[seed].propose(request_of(state, seed)).actions)


def ways(state: State, model: ProposerModel, repeats: int) -> dict[str, Work]:
    """Return what is measured, by name, with seeds from 0 to ``repeats``."""
    transformer = TransformerProposer(model, combine=False).open(state.problem)
    best = sorted(state.members, key=lambda member: member.loss)[:SHOWN_MEMBERS]
    shown = State(state.problem, tuple(best))
    return {
        "policy": acting(state, True, repeats),
        "imitating": acting(state, False, repeats),
        "onestep": lambda seed: len(propose(model, shown, len(state.members), seed)),
        "default": lambda seed: len(transformer.propose(request_of(state, seed)).children),
    }


def measure(population: int, size: int, model: ProposerModel, repeats: int) -> dict[str, Any]:
    """Measure one case, in turns, after a warm-up of each."""
    working = ways(make_state(0, population, size), model, repeats)
    rates: dict[str, list[float]] = {name: [] for name in working}
    generations: dict[str, list[float]] = {"policy": [], "imitating": []}
    for turn in range(-1, repeats):
        for name, work in working.items():
            begun = time.process_time()
            made = work(turn + 1)
            spent = time.process_time() - begun
            if turn >= 0:
                rates[name].append(made / spent)
            if turn >= 0 and name in generations:
                generations[name].append(1000 * spent)
    found = {name: median(each) for name, each in rates.items()}
    whole = max(found["default"], found["onestep"])
    return {
        "population": population,
        "max_size": size,
        "actions_per_second": round(found["policy"], 1),
        "imitating_per_second": round(found["imitating"], 1),
        "whole_children_per_second": round(whole, 1),
        "default_per_second": round(found["default"], 1),
        "onestep_per_second": round(found["onestep"], 1),
        "ratio": round(found["policy"] / whole, 1),
        "imitating_ratio": round(found["imitating"] / whole, 1),
        "generation_ms": round(median(generations["policy"]), 2),
        "imitating_generation_ms": round(median(generations["imitating"]), 2),
    }


def table(cases: Sequence[dict[str, Any]]) -> str:
    """Lay the figures out for people."""
    columns = {
        "whole children/s: samples": "onestep_per_second",
        "fitted samples": "default_per_second",
        "actions/s": "actions_per_second",
        "ratio": "ratio",
        "generation, ms": "generation_ms",
        "without looking ahead: actions/s": "imitating_per_second",
        "ratio ": "imitating_ratio",
        "generation, ms ": "imitating_generation_ms",
    }
    header = ["population × nodes", *columns]
    rows = [[f"{c['population']} × {c['max_size']}", *(f"{c[name]:,.4g}" for name in columns.values())] for c in cases]
    return markdown_table(header, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench policy", description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", default=DEFAULT, help="of the transformer: 'default', a directory or a hub id")
    parser.add_argument("--random-weights", action="store_true", help="an untrained transformer of the default sizes")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--smoke", action="store_true", help="one repeat of the small case, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = ProposerModel(ProposerConfig()).eval() if options.random_weights else load(options.checkpoint)
    repeats, cases = (1, CASES[:1]) if options.smoke else (options.repeats, CASES)
    found = [measure(*case, model, repeats) for case in cases]
    print("One thread; the policies have untrained weights of the default size, which take as long.")
    print(table(found))
    if options.json:
        print(json.dumps({"cases": found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
