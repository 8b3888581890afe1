"""`pysr-neural bench distilled`: BasicSR alone against BasicSR with a distilled policy, paired, at equal evaluations.

Owns: the arms, the runs, the counts.  Does not own: the distilled policy (`distil`), suites, the search.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pysr_neural.checks import whole
from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.problem import Problem
from pysr_neural.proposer.adaptation import AdaptiveProposer
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_baseline import BasicSRConfig, run_search
from pysr_neural_baseline.config import MutationWeights
from pysr_neural_benchmarks.judging.statistics import sign_test
from pysr_neural_training.interpret.distil import Distilled
from pysr_neural_training.interpret.export import mutation_weights
from pysr_neural_training.interpret.static import StaticProposer
from pysr_neural_training.problems.sources import from_suite

OPERATORS = ("+", "-", "*", "/", "sin", "cos", "exp", "log")
POINTS, MAX_SIZE = 100, 30
SOLVED = 1e-10
"""Mean squared error over the variance of y."""
BASELINE = "default"
STEERED = ("kind", "crossover", "prior")


@dataclass(frozen=True)
class Arm:
    """One way to search: a proposer that steers ordinary variation, or weights in place of the default ones."""

    proposer: Proposer | None = None
    mutations: MutationWeights = field(default_factory=MutationWeights)
    levels: tuple[str, ...] = STEERED


ARMS: Mapping[str, Callable[[Distilled], Arm]] = {
    BASELINE: lambda distilled: Arm(),
    "weights": lambda distilled: Arm(mutations=MutationWeights(**mutation_weights(distilled))),
    "prior": lambda distilled: Arm(StaticProposer(distilled), levels=("prior",)),
    "static": lambda distilled: Arm(StaticProposer(distilled)),
    "tree": lambda distilled: Arm(StaticProposer(distilled, by_state=True)),
    "adaptive": lambda distilled: Arm(AdaptiveProposer(ScriptedProposer([]))),
    "adaptive static": lambda distilled: Arm(AdaptiveProposer(StaticProposer(distilled))),
}
"""BasicSR's own weights; exported weights of mutations; static building blocks; both; building blocks, with kinds by
the distilled tree; online adaptation without a policy; online adaptation of the static form."""


@dataclass(frozen=True)
class Run:
    """How one search ended."""

    arm: str
    problem: str
    seed: int
    solved: bool
    evaluations: int
    seconds: float


def run(name: str, arm: Arm, problem: Problem, seed: int, evaluations: int) -> Run:
    """Search one problem once, until it is solved or the evaluations are used up."""
    config = BasicSRConfig(
        generations=10**6,
        max_evaluations=evaluations,
        early_stop_loss=SOLVED,
        extra_generations=0,
        mutations=arm.mutations,
        levels=arm.levels,
        guard=GuardRules(max_overhead=1.0),
    )
    result = run_search(problem, config, arm.proposer, seed)
    solved = result.stopped_by == "solved"
    return Run(name, problem.name, seed, solved, result.evaluations, result.seconds)


def summary(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Count by arm, and compare each with the baseline, problem by problem and seed by seed.

    Returns
    -------
    dict of str to dict
        ``solved``, ``runs``, mean ``evaluations`` and ``seconds`` of all runs; ``better`` and ``worse``: pairs that
        only this arm solved, and that only the baseline did; ``p``: of the two-sided sign test on these pairs.
    """
    base = {(each.problem, each.seed): each.solved for each in runs if each.arm == BASELINE}
    found: dict[str, dict[str, float]] = {}
    for arm in dict.fromkeys(each.arm for each in runs):
        own = [each for each in runs if each.arm == arm]
        pairs = [(each.solved, base[each.problem, each.seed]) for each in own if (each.problem, each.seed) in base]
        better, worse = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
        found[arm] = {
            "solved": sum(each.solved for each in own),
            "runs": len(own),
            "evaluations": sum(each.evaluations for each in own) / len(own),
            "seconds": sum(each.seconds for each in own) / len(own),
            "better": better,
            "worse": worse,
            "p": sign_test(better, worse),
        }
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Write the summary as text."""
    lines = [f"{'arm':<17}{'solved':>10}{'evaluations':>13}{'seconds':>9}{'better':>8}{'worse':>7}{'p':>7}"]
    for arm, row in found.items():
        solved = f"{row['solved']}/{row['runs']}"
        figures = f"{row['evaluations']:>13.0f}{row['seconds']:>9.2f}"
        pairs = f"{row['better']:>8}{row['worse']:>7}{row['p']:>7.2f}" if arm != BASELINE else ""
        lines.append(f"{arm:<17}{solved:>10}{figures}{pairs}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench distilled", description=__doc__.partition("\n")[0])
    parser.add_argument("distilled", type=Path, help="distilled.json, as `pysr-neural interpret --out` writes it")
    parser.add_argument("--suite", default="nguyen", help="a suite by name, or its TOML file")
    parser.add_argument("--operators", nargs="+", default=OPERATORS)
    parser.add_argument("--seeds", type=int, default=10, help="searches per problem and arm")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=10_000, help="of each search")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help=f"of: {', '.join(ARMS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    for name in ("seeds", "evaluations"):
        whole(f"--{name}", getattr(options, name), 1)
    arms = {name: ARMS[name](_read(options.distilled)) for name in _known(options.arms)}
    problems = [each.problem for each in from_suite(options.suite, options.operators, POINTS, MAX_SIZE)]
    from tqdm import tqdm

    seeds = range(options.first_seed, options.first_seed + options.seeds)
    tasks = [(name, problem, seed) for problem in problems for seed in seeds for name in arms]
    runs = [
        run(name, arms[name], problem, seed, options.evaluations) for name, problem, seed in tqdm(tasks, unit="search")
    ]
    found = summary(runs)
    print(f"{options.suite}, {len(problems)} problems, {options.seeds} seeds, {options.evaluations} evaluations each:")
    print(table(found))
    if options.json:
        print(json.dumps({"suite": options.suite, "evaluations": options.evaluations, "arms": found}))
    return 0


def _known(names: Sequence[str]) -> list[str]:
    """Check arms' names; the baseline comes first, wanted or not, as all others are compared with it."""
    for name in names:
        if name not in ARMS:
            raise ConfigError(f"An arm must be one of the comparison's; got {name!r}." + did_you_mean(name, ARMS))
    return list(dict.fromkeys([BASELINE, *names]))


def _read(path: Path) -> Distilled:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"A distilled policy must be a file that can be read; got {path}: {error}.") from error
    return Distilled.from_json(text)


if __name__ == "__main__":
    raise SystemExit(main())
