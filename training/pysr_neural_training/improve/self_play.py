"""`pysr-neural improve policy`: the policy of actions gets better by its own searches.

Owns: the rounds, their judge, the command.  Does not own: searches and what they teach (`policy_searches`), the steps
of learning (`pysr_neural_training.policy`), the policy (`pysr_neural.proposer.policy`).

Every round searches fresh training problems of three operator sets with BasicSR's reference preset, in which the policy
makes all children.  An action that led to a lower loss than any before earns the decrease of its logarithm; ancestors
get their share of what descendants earned, discounted by births.  Three methods learn from it: ``gradient``, the policy
gradient; ``expert``, which imitates what earned; ``dagger``, which imitates the best of many actions tried on states
that the policy met.  No joins and no least squares: what is learned is how to search.  Held-out problems, the same in
all rounds, judge every round at equal evaluations.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.problem import Problem
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.policy.network import PolicyNetwork
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_training.improve.policy_searches import LABELS, OWN, SOLVED_BELOW, Job, run_all
from pysr_neural_training.improve.report import draw_policy
from pysr_neural_training.policy.experts import ExpertConfig, imitate
from pysr_neural_training.policy.gradient import GradientConfig, improve
from pysr_neural_training.policy.lessons import load as load_lessons
from pysr_neural_training.policy.lessons import merged
from pysr_neural_training.policy.lessons import save as save_lessons
from pysr_neural_training.policy.problems import held_out_problems, mixed
from pysr_neural_training.workers import Workers

ALONE = Workers(0)
COLLAPSED = 0.02
"""Share of new children below which a policy has collapsed: BasicSR makes a fifth."""
TOGETHER = 10
"""Problems of a job."""
GRADIENT, EXPERT, DAGGER = METHODS = ("gradient", "expert", "dagger")


@dataclass(frozen=True)
class SelfPlayConfig:
    """Settings of self-play.

    Parameters
    ----------
    rounds : int
    searches : int
        Of fresh training problems, per round.
    evaluations, population_size : int
        Of a search.
    held_out, held_out_seeds : int
        Problems that judge a round, and seeds of each.
    discount : float
        Share of a gain that is left for a parent.
    draws : int
        See `pysr_neural.proposer.policy.proposer.PolicyProposer`; not of searches whose own actions are learned from.
    method : str
        One of `METHODS`.
    gradient : GradientConfig
    expert : ExpertConfig
        Of the two methods that imitate.
    seed : int
    """

    rounds: int = 10
    searches: int = 200
    evaluations: int = 600
    population_size: int = 20
    held_out: int = 50
    held_out_seeds: int = 4
    discount: float = 0.8
    draws: int = 3
    method: str = "dagger"
    gradient: GradientConfig = field(default_factory=GradientConfig)
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"method must be one of {METHODS}; got {self.method!r}." + did_you_mean(self.method, METHODS)
            )
        for name in ("searches", "evaluations", "population_size", "held_out", "held_out_seeds", "draws"):
            whole(name, getattr(self, name), 1)
        whole("rounds", self.rounds, 0)
        if not 0 <= self.discount <= 1:
            raise ConfigError(f"discount is a share, from 0 to 1; got {self.discount}.")

    def search(self) -> BasicSRConfig:
        """Return the settings of a search in which a proposer makes all children."""
        return BasicSRConfig.reference(
            population_size=self.population_size,
            generations=10 * self.evaluations // self.population_size,  # A repeated child costs no evaluation.
            max_evaluations=self.evaluations,
            relative_loss=True,
            early_stop_loss=SOLVED_BELOW,
            extra_generations=0,
            proposal_share=1.0,
            levels=("child",),
            guard=GuardRules(max_overhead=1.0),
        )


def judge(network: PolicyNetwork | None, config: SelfPlayConfig, workers: Workers = ALONE) -> dict[str, float]:
    """Return the solve rate on held-out problems with a 95 % interval over problems; without a policy, BasicSR's."""
    problems = held_out_problems(config.held_out) * config.held_out_seeds
    jobs = _jobs(network, problems, config, 10_000, "")
    played = run_all(jobs, workers)
    rates = np.reshape(played.solved, (config.held_out_seeds, config.held_out)).mean(axis=0)
    mean, half = float(np.mean(rates)), 1.96 * float(np.std(rates)) / math.sqrt(len(rates))
    return {
        "solved": mean,
        "low": mean - half,
        "high": mean + half,
        "evaluations": float(np.mean(played.evaluations)),
        "new": float(
            np.maximum(np.subtract(played.evaluations, config.population_size), 0).sum() / sum(played.children)
        ),
    }


def _jobs(
    network: PolicyNetwork | None, problems: Sequence[Problem], config: SelfPlayConfig, seed: int, learns: str
) -> list[Job]:
    return [
        Job(
            at,
            network,
            tuple(problems[at : at + TOGETHER]),
            tuple(range(seed + at, seed + min(at + TOGETHER, len(problems)))),
            config.search(),
            learns,
            config.discount,
            config.draws,
            config.expert,
        )
        for at in range(0, len(problems), TOGETHER)
    ]


def run(start: PolicyNetwork, config: SelfPlayConfig, out: Path, workers: Workers = ALONE) -> list[dict[str, Any]]:
    """Make the rounds that a folder lacks; returns the records of all, BasicSR's and the start's first.

    Raises
    ------
    ConfigError
        If the folder holds another run.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan, wanted = out / "config.json", json.dumps({**asdict(config), "rounds": None})
    if plan.exists() and plan.read_text(encoding="utf-8") != wanted:
        raise ConfigError(
            f"A run is continued with the settings that it was begun with; {out} has others. Choose another --out."
        )
    plan.write_text(wanted, encoding="utf-8")
    metrics = out / "metrics.jsonl"
    text = metrics.read_text(encoding="utf-8") if metrics.exists() else ""
    whole_lines = text[: text.rfind("\n") + 1]
    if whole_lines != text:  # A killed process left a part of a line.
        metrics.write_text(whole_lines, encoding="utf-8")
    records: list[dict[str, Any]] = [json.loads(line) for line in whole_lines.splitlines()]
    if not records:
        start.save(_checkpoint(out, 0))
        _keep(metrics, records, {"round": 0, **judge(start, config, workers), "basicsr": judge(None, config, workers)})
    start = PolicyNetwork.load(_checkpoint(out, 0))  # A run that is continued has begun with this one.
    for number in range(len(records), config.rounds + 1):
        if records[-1]["new"] < COLLAPSED:
            print(_collapse(records[-1]), flush=True)
            break
        network = PolicyNetwork.load(_checkpoint(out, number - 1))
        learned, facts = _round(network, start, config, out, number, workers)
        learned.save(_checkpoint(out, number))
        _keep(metrics, records, {"round": number, **facts, **judge(learned, config, workers)})
    return records


def _collapse(record: dict[str, Any]) -> str:
    return (
        f"Of the children of round {record['round']} {record['new']:.1%} are new: the policy makes the same ones again "
        "and again, and has stopped. Go on from an earlier round with a smaller learning rate."
    )


def _round(
    network: PolicyNetwork, start: PolicyNetwork, config: SelfPlayConfig, out: Path, number: int, workers: Workers
) -> tuple[PolicyNetwork, dict[str, Any]]:
    problems = list(islice(mixed(config.seed, f"self-play {number}"), config.searches))
    learns = LABELS if config.method == DAGGER else OWN
    begun = time.perf_counter()
    played = run_all(_jobs(network, problems, config, config.seed + 100_000 * number, learns), workers)
    told = {"train_solved": float(np.mean(played.solved)), "actions": len(played.earned)}
    told["search_seconds"] = round(time.perf_counter() - begun, 1)
    if config.method == GRADIENT:
        learned, facts = improve(network, start, played.lessons, played.earned, config.gradient, number)
    elif config.method == EXPERT:
        learned, facts = imitate(network, played.lessons, played.earned, config.expert, number)
    else:
        save_lessons(played.lessons, _labels(out, number))
        labels = merged([load_lessons(_labels(out, i)) for i in range(1, number + 1)])
        every = np.ones(len(labels["cross"].chosen) if labels else 0)
        learned, facts = imitate(network, labels, every, config.expert, number)
    return learned, {**told, **facts}


def _checkpoint(out: Path, number: int) -> Path:
    return out / f"round-{number:03d}" / "policy.safetensors"


def _labels(out: Path, number: int) -> Path:
    return out / f"round-{number:03d}" / "labels.npz"


def _keep(metrics: Path, records: list[dict[str, Any]], record: dict[str, Any]) -> None:
    """Append a record; a round counts once it is written here."""
    records.append(record)
    with metrics.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)
    draw_policy(records, metrics.with_name("rounds.png"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural improve policy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--start",
        type=Path,
        help="a policy's safetensors file, which is given foresight if it has none; without one, a uniform policy",
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/self_play"), help="folder; continued if it is begun")
    for name in ("rounds", "searches", "evaluations", "held_out", "held_out_seeds", "draws", "seed"):
        default = getattr(SelfPlayConfig(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--method", choices=METHODS, default=DAGGER)
    parser.add_argument("--steps", type=int, help="of learning, per round")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--workers", type=int, default=0, help="Dask workers for searches; 0 searches in this process")
    parser.add_argument("--scheduler", default="", help="address of a Dask scheduler to use instead")
    options: dict[str, Any] = vars(parser.parse_args(argv))
    workers = Workers(options.pop("workers"), options.pop("scheduler"))
    path, out = options.pop("start"), options.pop("out")
    steps = {name: options.pop(name) for name in ("steps", "learning_rate")}
    given = {name: value for name, value in steps.items() if value is not None}
    given["seed"] = options["seed"]
    config = SelfPlayConfig(**options, gradient=GradientConfig(**given), expert=ExpertConfig(**given))
    start = PolicyNetwork.initial() if path is None else PolicyNetwork.load(path).seeing()
    run(start, config, out, workers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
