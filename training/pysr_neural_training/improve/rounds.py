"""The loop that the `improve` commands share: search, learn, judge on held-out problems, keep, stop.

Owns: the order of a round, the problems, early stopping, the detection of collapse, the command line.  Does not own:
what is learned from searches (`dagger`, `expert_iteration`, `rl`), files (`round_folders`).
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from pysr_neural.expression.node import Node
from pysr_neural.model.checkpoint import load
from pysr_neural.model.policy import ProposerModel
from pysr_neural.rng import generator
from pysr_neural.wire import vocabulary as v
from pysr_neural_training.improve import report
from pysr_neural_training.improve.config import SMOKE, ImproveConfig, read_config
from pysr_neural_training.improve.episodes import Episode, Planned, Visit, summary
from pysr_neural_training.improve.rewards import commonest_share
from pysr_neural_training.improve.rollout import collect
from pysr_neural_training.improve.round_folders import RoundFolders
from pysr_neural_training.learning.run_dir import Record
from pysr_neural_training.problems.generate import GeneratedProblem, ProblemPrior, Sampler
from pysr_neural_training.workers import Workers

COLLAPSED = 0.8
"""A search in which one expression is so large a share of the proposals has a collapsed policy."""
FEWEST_PROPOSALS = 8
"""Searches with fewer proposals say nothing about collapse."""
Config = TypeVar("Config", bound=ImproveConfig)


class Method(Protocol):
    """How a policy learns from its searches."""

    @property
    def name(self) -> str:
        """The command's last word."""
        ...

    @property
    def config(self) -> ImproveConfig:
        """Its settings."""
        ...

    def learn(self, model: ProposerModel, episodes: Sequence[Episode], number: int, part: Path) -> dict[str, Any]:
        """Train the model in place; returns what to report.

        Parameters
        ----------
        model : ProposerModel
            The last round's policy.
        episodes : sequence of Episode
            This round's searches by it.
        number : int
            Of the round, from 1.
        part : Path
            The round's folder, beside those of earlier rounds.
        """
        ...


def run(method: Method, out: Path) -> list[Record]:
    """Make all rounds that a run's folder lacks.

    Parameters
    ----------
    method : Method
    out : Path

    Returns
    -------
    list of dict
        The records of all rounds, the starting checkpoint being round 0.

    Raises
    ------
    ConfigError
        If the folder holds another run.
    """
    config = method.config
    torch.set_num_threads(config.threads)
    directory = RoundFolders(out, method.name, config)
    records = directory.records()
    while not (stop := reason_to_stop(records, config)):
        if records:
            _make_round(method, directory, len(records))
        else:
            _judge_start(method, directory)
        records = directory.records()
        directory.keep_best(max(records, key=report.score)["round"])
        report.write_report(directory)
        print(_line(records[-1]), flush=True)
    report.write_report(directory, f"Ended: {stop}.")
    print(f"Ended: {stop}.")
    return records


def reason_to_stop(records: Sequence[Record], config: ImproveConfig) -> str:
    """Say why a run is over; empty if it is not."""
    if not records:
        return ""
    if records[-1]["collapsed"]:
        return (
            f"the policy of round {records[-1]['round']} has collapsed: one expression is "
            f"{records[-1]['commonest']:.0%} of its proposals"
        )
    best = max(records, key=report.score)["round"]
    if records[-1]["round"] - best >= config.patience:
        return f"no round after {best} was better on the held-out problems"
    if records[-1]["round"] >= config.rounds:
        return f"all {config.rounds} round(s) are done"
    return ""


def training_searches(config: ImproveConfig, number: int) -> list[Planned]:
    """Choose a round's problems from the pool, each to be searched at every temperature."""
    rng = generator(config.seed, "round", number)
    chosen = sorted(rng.choice(config.pool, config.problems, replace=False).tolist())
    return [
        Planned(problem_number(config, i), i, int(rng.integers(1 << 31)), temperature)
        for i in chosen
        for temperature in config.temperatures
    ]


def problem_number(config: ImproveConfig, i: int) -> GeneratedProblem:
    """Draw one training problem, which depends on the seed and its number alone."""
    return next(iter(Sampler(config.prior, generator(config.seed, "improve", i))))


def held_out_searches(config: ImproveConfig) -> list[Planned]:
    """Draw the held-out problems that judge all rounds; they do not depend on the run's seed."""
    return [Planned(given, i, i) for i, given in enumerate(_held_out(config.prior, config.held_out))]


@cache
def _held_out(prior: ProblemPrior, count: int) -> tuple[GeneratedProblem, ...]:
    return tuple(itertools.islice(Sampler(prior, generator(0, "improve", "held out"), held_out=True), count))


def collapse(episodes: Sequence[Episode]) -> tuple[bool, float]:
    """Tell whether a policy proposes hardly more than one expression per search, whatever it is shown.

    Returns
    -------
    collapsed : bool
        Whether that is so in at least half of the searches that say anything.
    share : float
        The commonest expression's share of a search's proposals, constants not counted; the median over searches.
    """
    shares = []
    for episode in episodes:
        proposed = [each for visit in episode.visits for each in _said(visit)]
        asked = sum(visit.request.count for visit in episode.visits)
        if asked >= FEWEST_PROPOSALS and proposed:
            shares.append(commonest_share(proposed))
    if not shares:
        return False, 0.0
    median = sorted(shares)[len(shares) // 2]
    return median >= COLLAPSED, median


def _said(visit: Visit) -> list[tuple[object, ...]]:
    """Return what a policy said, constants not counted: its draws, where they are known, before they took a place."""
    if visit.draws:
        return [
            tuple(["C" if v.IS_EXPONENT[token] else token for token in draw.tokens if not v.IS_MANTISSA[token]])
            for draw in visit.draws
            for _ in range(draw.count)
        ]
    return [skeleton(child) for child in visit.children]


def skeleton(tree: Node) -> tuple[str | int, ...]:
    """Return a tree's symbols in prefix order, all constants being the same."""
    return tuple(["C" if node.value is not None else node.operator or node.index or 0 for node in tree])


def _judge_start(method: Method, directory: RoundFolders) -> None:
    config = method.config
    directory.begin(0)
    evolution = _judged(config, "")
    model = load(config.initial)
    episodes = _judged(config, config.initial)
    record = {"evolution": summary(evolution, _budget(config)), **_judgement(0, episodes, config)}
    directory.finish(0, model, record)


def _make_round(method: Method, directory: RoundFolders, number: int) -> None:
    config, began = method.config, time.monotonic()
    part, before = directory.begin(number), directory.checkpoint(number - 1)
    episodes = _collect(config, training_searches(config, number), before, f"round {number}: searches")
    searched = time.monotonic()
    model = load(before)
    learned = method.learn(model, episodes, number, part)
    taught = time.monotonic()
    model.save_pretrained(part / "model", safe_serialization=True)
    judged = _judged(config, str(part / "model"))
    record = {
        **_judgement(number, judged, config),
        "training": summary(episodes, _budget(config)),
        "learned": learned,
        "seconds": {"searches": round(searched - began, 1), "learning": round(taught - searched, 1)},
    }
    directory.finish(number, model, record)


def _judgement(number: int, episodes: Sequence[Episode], config: ImproveConfig) -> Record:
    collapsed, commonest = collapse(episodes)
    return {
        "round": number,
        "held_out": summary(episodes, _budget(config)),
        "failures": sum(episode.failures for episode in episodes),
        "collapsed": collapsed,
        "commonest": round(commonest, 3),
    }


def _judged(config: ImproveConfig, checkpoint: str) -> list[Episode]:
    label = "held-out problems" if checkpoint else "held-out problems, evolution alone"
    return _collect(config, held_out_searches(config), checkpoint, label)


def _collect(config: ImproveConfig, searches: Sequence[Planned], checkpoint: str, label: str) -> list[Episode]:
    workers = Workers(config.workers, config.scheduler)
    return collect(
        searches, checkpoint, config.search, config.solved_below, config.together, workers, config.threads, label
    )


def _budget(config: ImproveConfig) -> int:
    return config.generations * config.population_size


def _line(record: Record) -> str:
    held_out, learned = record["held_out"], record.get("learned", {})
    return (
        f"round {record['round']}: solved {held_out['solved']} of {held_out['searches']} held-out problems, "
        f"{held_out['evaluations']:.0f} evaluations on average; {learned}"
    )


def main_of(
    name: str, default: Config, make: Callable[[Config], Method], summary_line: str, argv: list[str] | None
) -> int:
    """Run one of the commands; returns the exit status: 1 if the policy collapsed."""
    parser = argparse.ArgumentParser(prog=f"pysr-neural improve {name}", description=summary_line)
    parser.add_argument("--config", type=Path, default=None, metavar="FILE.toml")
    parser.add_argument("--out", type=Path, default=Path("outputs/improve") / name, help="run directory")
    parser.add_argument("--initial", default=None, help="checkpoint to start from (default: the bundled one)")
    parser.add_argument("--smoke", action="store_true", help="tiny settings: shows that everything runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(argv)
    settings = [f"{key}={value}" for key, value in SMOKE.items()] if options.smoke else []
    if options.initial is not None:
        settings.append(f'initial="{options.initial}"')
    config = read_config(default, options.config, [*settings, *options.settings])
    records = run(make(config), options.out)
    print(f"Run directory: {options.out}; best checkpoint: {options.out / 'model'}")
    if records[-1]["collapsed"]:
        print(f"pysr-neural improve {name}: the policy has collapsed", file=sys.stderr)
        return 1
    return 0
