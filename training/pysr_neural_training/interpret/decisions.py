"""What a policy of actions does differently from another, on populations that BasicSR met: a page and a picture.

Owns: the populations, the measures, the page, the picture.  Does not own: the policy (`pysr_neural.proposer.policy`),
what a transformer prefers (`preferences`).

Populations come from searches in which BasicSR makes all children.  On each, both policies decide many actions; nothing
is carried out.  ``told`` is what `pysr_neural.proposer.policy.foresight` tells of the best that could stand in the
chosen place, in nats below the lowest loss of the population.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalBatch, ProposalRequest
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.policy import shapes as s
from pysr_neural.proposer.policy.choosers import Sampler
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural.proposer.policy.population import PopulationState
from pysr_neural.proposer.policy.proposer import state_of
from pysr_neural.proposer.policy.walk import Walk
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search
from pysr_neural_training.interpret.pictures import BAR, COLOURS, STYLE
from pysr_neural_training.policy.problems import mixed

EVERY, GENERATIONS, POPULATION = 4, 60, 20
LEAST_TOLD = -2.0
STAGES = {"early": (0.0, 1 / 3), "late": (1 / 3, 1.01)}
FITS = {"poor fit": (np.log(0.1), np.inf), "good fit": (-np.inf, np.log(0.1))}
"""Whether the best member leaves a tenth of the variance or less."""
PAGE, PICTURE = "decisions.md", "decisions.png"


@dataclass(frozen=True)
class Habits:
    """What a policy does, each action a value.

    Parameters
    ----------
    crossed, rank, depth, size, told, progress, best : arrays, shape (actions,)
        Whether it crosses over; the first parent's rank; the changed node's distance from the root, and nodes; what is
        told of its place; the share of the search that is over; logarithm of the population's lowest loss.
    """

    crossed: Any
    rank: Any
    depth: Any
    size: Any
    told: Any
    progress: Any
    best: Any


class _Silent:
    """A proposer that proposes nothing and keeps every few populations."""

    def __init__(self, states: list[PopulationState]) -> None:
        self.states, self.asked = states, 0

    def open(self, problem: Problem) -> "_Silent":
        """Start a search."""
        self.language = Language(problem)
        return self

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Propose nothing."""
        self.asked += 1
        if self.asked % EVERY == 1 and request.members:
            self.states.append(state_of(self.language, request))
        return ProposalBatch()


def populations(problems: int, seed: int) -> list[PopulationState]:
    """Return populations that BasicSR's reference preset met on held-out problems."""
    config = BasicSRConfig.reference(
        population_size=POPULATION,
        generations=GENERATIONS,
        relative_loss=True,
        proposal_share=1.0,
        levels=("child",),
        guard=GuardRules(max_overhead=1.0),
    )
    states: list[PopulationState] = []
    for number, problem in enumerate(islice(mixed(seed, "decisions", held_out=True), problems)):
        run_search(problem, config, _Silent(states), seed + number)
    return states


def habits(network: PolicyNetwork, states: Sequence[PopulationState], actions: int, seed: int) -> Habits:
    """Let a policy decide so many actions on each population."""
    rng, columns = generator(seed, "habits"), list[tuple[float, ...]]()
    for state in states:
        made = Walk(state, actions, network.config.kinds).run(Sampler(network, actions, rng))
        lowest = float(state.losses.min())
        for kind, parents, edit in made:
            if edit.node < 0:
                continue
            row = state.rows[parents[0], edit.node]
            place = state.places[parents[0], edit.node]
            told = max(state.outlook.best_plant[place], state.outlook.best_part[place])
            own = (kind == "crossover", state.ranks[parents[0]], row[s.LEVEL], row[s.SIZE], 5 * told)
            columns.append((*map(float, own), state.progress, lowest))
    return Habits(*np.array(columns).reshape(-1, 7).T)


def _where(own: Habits, stage: str, fit: str) -> Any:
    (begin, end), (low, high) = STAGES[stage], FITS[fit]
    return (own.progress >= begin) & (own.progress < end) & (own.best > low) & (own.best <= high)


def table(named: Mapping[str, Habits]) -> str:
    """Write what each policy does, by stage and by how well the best member fits."""
    lines = ["| stage, best member | policy | crosses over | rank of the parent | depth of the node | nodes | told |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for stage in STAGES:
        for fit in FITS:
            for name, own in named.items():
                at = _where(own, stage, fit)
                if at.any():
                    means = [f"{np.mean(values[at]):.2f}" for values in (own.crossed, own.rank, own.depth, own.size)]
                    told = f"{np.median(np.maximum(own.told[at], LEAST_TOLD)):+.2f}"
                    lines.append(f"| {stage}, {fit} | {name} | {' | '.join(means)} | {told} |")
    return "\n".join(lines)


def page(named: Mapping[str, Habits], states: int, command: str) -> str:
    """Write the page."""
    return f"""# What a policy of actions does differently

`{command}`

{states} populations of {POPULATION} that BasicSR met on held-out problems of three operator sets; the same number of
actions of each policy on each. Ranks are from 0, the best. *Told* is the median of what the data say of the best part
that could stand in the chosen place: nats by which the loss would be below the population's lowest, negative above it.

{table(named)}

![Parents, nodes, what is told of places, crossovers]({PICTURE})
"""


def draw(path: Path, named: Mapping[str, Habits]) -> None:
    """Write the picture: ranks of parents, depths and prospects of places, crossovers as the fit gets better."""
    colours = dict(zip(named, (*COLOURS.values(), BAR), strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6), layout="constrained", dpi=120)
        (ranks, depths), (told, crossed) = figure.subplots(2, 2)
        for name, own in named.items():
            given = {"color": colours[name], "label": name}
            ranks.plot(*_shares(own.rank, POPULATION), **given)
            depths.plot(*_shares(own.depth, 8), **given)
            values = np.sort(np.maximum(own.told, -10.0))
            told.plot(values, np.linspace(0, 1, len(values)), drawstyle="steps-post", **given)
            bins = np.quantile(own.best, np.linspace(0, 1, 7))
            middles = (bins[1:] + bins[:-1]) / 2
            inside = [own.crossed[(own.best >= a) & (own.best <= b)] for a, b in pairwise(bins)]
            crossed.plot(middles / np.log(10), [np.mean(each) if len(each) else np.nan for each in inside], **given)
        for axes, title, label in (
            (ranks, "whom it changes", "rank of the first parent"),
            (depths, "where it changes", "distance of the node from the root"),
            (told, "what the data promise there", "nats below the lowest loss; share of actions up to it"),
            (crossed, "how often it crosses over", "lowest loss of the population, log10 of the variance"),
        ):
            axes.set_title(title, loc="left")
            axes.set_xlabel(label)
        ranks.legend()
        figure.savefig(path)


def _shares(values: Any, most: int) -> tuple[Any, Any]:
    counts = np.bincount(np.minimum(values.astype(int), most - 1), minlength=most)
    return np.arange(most), counts / counts.sum()


def write(
    policies: Mapping[str, PolicyNetwork], problems: int, actions: int, seed: int, out: Path, command: str
) -> dict[str, dict[str, float]]:
    """Compare policies, write page and picture; returns the mean of every measure by policy."""
    states = populations(problems, seed)
    named = {name: habits(network, states, actions, seed) for name, network in policies.items()}
    out.mkdir(parents=True, exist_ok=True)
    draw(out / PICTURE, named)
    (out / PAGE).write_text(page(named, len(states), command), encoding="utf-8")
    return {
        name: {key: float(np.mean(getattr(own, key))) for key in ("crossed", "rank", "depth", "size", "told")}
        for name, own in named.items()
    }
