"""`pysr-neural study policies`: policies in BasicSR's place, at equal evaluations and at equal seconds.

Owns: the arms, the problems, the searches, the report.  Does not own: learning (`pysr_neural_training.policy`,
`pysr_neural_training.improve.self_play`), the policy itself (`pysr_neural.proposer.policy`).

Every arm searches the same held-out problems of three operator sets, of which no training has seen an expression, and
the problems of BasicSR's own two suites, with the same seeds.  Policies make all children; BasicSR goes on for longer,
so that it can be compared where it has used as many evaluations, and where it has used as many seconds of the
processor, for which it needs a core of its own.  No joins and no least squares in any arm.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.policy.proposer import DRAWS, PolicyProposer
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.search import run_search
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import Curve, markdown_table, panels
from pysr_neural_benchmarks.studies import judging, reference
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_benchmarks.suites.reader import load_suite
from pysr_neural_training.improve.policy_searches import SOLVED_BELOW, is_solved
from pysr_neural_training.improve.self_play import SelfPlayConfig
from pysr_neural_training.policy.problems import PRIORS, held_out_of

BASIC = "basicsr"
FRESH = 11
"""Seed of the held-out problems: those that judge rounds of self-play have another."""
APART = 10_000
SUITES = "suites"
MOST = 3
"""Policies that fit the picture beside BasicSR."""
Row = Mapping[str, Any]


@cache
def problems_of(group: str, count: int, rows: int, seed: int) -> tuple[Problem, ...]:
    """Return the problems of a group: of an operator set, or of the two suites, which are as many as there are."""
    if group == SUITES:
        sources = [each for suite in reference.SUITES.values() for each in load_suite(suite)]
        return tuple([reference.problem_of(source, seed) for source in sources])
    return tuple(islice(held_out_of(group, seed, rows), count))


def config_of(evaluations: int, seconds: float) -> BasicSRConfig:
    """Return the settings of a policy's search, or of one of BasicSR that only the time ends."""
    if not seconds:
        return SelfPlayConfig(evaluations=evaluations, population_size=judging.POPULATION).search()
    return BasicSRConfig.reference(
        population_size=judging.POPULATION,
        generations=10**7,
        timeout_seconds=seconds,
        relative_loss=True,
        early_stop_loss=SOLVED_BELOW,
        extra_generations=0,
    )


def run_once(
    arm: str,
    digest: str,
    group: str,
    seed: int,
    count: int,
    rows: int,
    problem_seed: int,
    evaluations: int,
    draws: int,
    seconds: float,
    policies: Mapping[str, Path],
) -> dict[str, Any]:
    """Search a group's problems with a seed; returns a row of the results file.

    ``digest`` is of the policy's file: a row stands for a policy, not for a name.
    """
    proposer = None if arm == BASIC else PolicyProposer.from_file(policies[arm], draws=draws)
    config, found, results = config_of(evaluations, seconds), [], []
    for number, problem in enumerate(problems_of(group, count, rows, problem_seed)):
        begun = time.process_time()
        result = run_search(problem, config, proposer, seed * APART + number)
        results.append(result)
        found.append((is_solved(result, problem), result.evaluations, time.process_time() - begun))
    solved, used, took = zip(*found, strict=True)
    made = 1.0 if proposer is None else judging.made_share(results)
    times = [round(each, 4) for each in took]
    return {"solved": list(solved), "evaluations": list(used), "seconds": times, "made": [made]}


def share(rows: Sequence[Row], most: float, what: str) -> Array:
    """Return each problem's share of searches that solved it with at most so much; shape (problems,)."""
    each = [np.array(row["solved"]) & (np.array(row[what]) <= most) for row in rows]
    return np.mean(each, axis=0)  # type: ignore[no-any-return]


def compared(own: Sequence[Row], basic: Sequence[Row], evaluations: int) -> dict[str, float]:
    """Compare an arm with BasicSR at equal evaluations, and at the seconds that the arm has used on average."""
    mine = share(own, np.inf, "evaluations")
    even = share(basic, evaluations + judging.POPULATION, "evaluations")
    seconds = float(np.mean([row["seconds"] for row in own]))
    most = float(np.max([row["seconds"] for row in own]))
    late = share(basic, most, "seconds")
    more, low, high = judging.difference(mine.tolist(), even.tolist())
    timed, timed_low, timed_high = judging.difference(mine.tolist(), late.tolist())
    return {
        "solved": float(mine.mean()),
        "basicsr": float(even.mean()),
        "difference": more,
        "low": low,
        "high": high,
        "evaluations": float(np.mean([row["evaluations"] for row in own])),
        "evaluations_basicsr": float(np.mean([np.minimum(row["evaluations"], evaluations) for row in basic])),
        "seconds": seconds,
        "longest": most,
        "basicsr_in_longest": float(late.mean()),
        "basicsr_ended": float(np.mean([~np.array(r["solved"]) & (np.array(r["seconds"]) < most) for r in basic])),
        "made": float(np.mean([row["made"] for row in own])),
        "difference_in_seconds": timed,
        "low_in_seconds": timed_low,
        "high_in_seconds": timed_high,
    }


def curves(rows: Mapping[str, Sequence[Row]], what: str) -> dict[str, Curve]:
    """Return the share of searches solved within so much, by arm."""
    made: dict[str, Curve] = {}
    most = max(float(np.max([row[what] for row in own])) for own in rows.values())
    for arm, own in rows.items():
        used = np.concatenate([np.where(row["solved"], row[what], np.inf) for row in own])
        points = np.geomspace(max(most / 300, 1e-3), most, 60)
        made[arm] = (points.tolist(), [float(np.mean(used <= point)) for point in points])
    return made


def report(results: Mapping[str, Mapping[str, Row]], options: argparse.Namespace) -> str:
    """Write the report."""
    lines, made = [], min(found["made"] for groups in results.values() for found in groups.values())
    for arm, groups in results.items():
        for group, found in groups.items():
            equal = f"{found['difference']:+.3f} ({found['low']:+.3f} … {found['high']:+.3f})"
            timed = f"{found['difference_in_seconds']:+.3f} ({found['low_in_seconds']:+.3f} … "
            timed += f"{found['high_in_seconds']:+.3f})"
            work = [f"{found[name]:.0f}" for name in ("evaluations", "evaluations_basicsr")]
            rates = [f"{found[name]:.3f}" for name in ("solved", "basicsr")]
            late = [f"{found['seconds']:.2f}", f"{found['longest']:.2f}", f"{found['basicsr_in_longest']:.3f}"]
            late += [f"{found['basicsr_ended']:.1%}", timed]
            lines.append([arm, group, *rates, equal, *work, *late])
    header = ["arm", "problems", "solved", "BasicSR", "difference (95 %)", "evaluations", "BasicSR's", "seconds"]
    header += ["longest", "BasicSR in that time", "ended before it", "difference (95 %)"]
    return f"""# Policies in BasicSR's place

`{_command(options)}`

{options.problems} held-out problems of each operator set, no expression twice (2 to 5 operators, at most 15 nodes, no
constants but 1, {options.rows} rows) and the {len(problems_of(SUITES, 0, 0, options.problem_seed))} of BasicSR's
suites, {options.seeds} seeds. Population {judging.POPULATION}, at most {options.evaluations} evaluations;
BasicSR goes on for {options.seconds:g} s, of which the first {options.evaluations} evaluations are compared with at
equal evaluations. Seconds of the processor, in one process; the longest search of an arm is what BasicSR is given at
equal seconds; where it ended before, unsolved, it counts as unsolved. What the policy reads of the data
(`pysr_neural.proposer.policy.foresight`) counts in seconds, not in evaluations. The policies made {made:.1%} of the
children at least. Solved: an unexplained variance of at most 1e-10. Intervals over problems, each with the mean of its
seeds.

{markdown_table(header, lines)}

![Solved by evaluations and by seconds](policies.png)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(argv)
    policies = _named(options.policies)
    digests = {name: sha256(path.read_bytes()).hexdigest()[:12] for name, path in policies.items()}
    groups = [*PRIORS, SUITES]
    given = (options.problems, options.rows, options.problem_seed)
    tasks: list[Task] = [
        (arm, digests[arm], group, seed, *given, options.evaluations, options.draws, 0.0)
        if arm in digests
        else (arm, "", group, seed, *given, 0, 0, options.seconds)
        for seed in range(1, options.seeds + 1)
        for group in groups
        for arm in (BASIC, *policies)
    ]
    made = complete(partial(run_once, policies=policies), tasks, options.out / "results.jsonl")
    rows: dict[str, dict[str, list[Row]]] = {group: {} for group in groups}
    for (arm, _, group, *_), row in zip(tasks, made, strict=True):
        rows[str(group)].setdefault(str(arm), []).append(row)
    results = {
        arm: {group: compared(rows[group][arm], rows[group][BASIC], options.evaluations) for group in groups}
        for arm in policies
    }
    for arm, by_group in results.items():
        own = [_joined([rows[group][arm][i] for group in groups[:-1]]) for i in range(options.seeds)]
        basic = [_joined([rows[group][BASIC][i] for group in groups[:-1]]) for i in range(options.seeds)]
        by_group["all held out"] = compared(own, basic, options.evaluations)
    together = {arm: [row for group in groups[:-1] for row in rows[group][arm]] for arm in (BASIC, *policies)}
    shown = {"by evaluations": curves(together, "evaluations"), "by seconds": curves(together, "seconds")}
    panels(
        shown,
        options.out / "policies.png",
        "evaluations (left), seconds of the processor (right)",
        "share solved",
        2,
        log=False,
        shared=False,
    )
    return end(report(results, options), {"command": _command(options), **results}, options)


def _named(given: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FILE, as often as it is given."""
    named = [text.partition("=") for text in given]
    if wrong := [name for name, _, path in named if not path or name == BASIC]:
        raise ConfigError(f"Policies are given as NAME=FILE, with other names than {BASIC!r}; got {wrong[0]!r}.")
    names = [name for name, _, _ in named]
    if len(set(names)) < len(names) or len(names) > MOST:
        raise ConfigError(f"At most {MOST} policies, each with a name of its own; got {names}.")
    return {name: Path(path) for name, _, path in named}


def _joined(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {name: [value for row in rows for value in row[name]] for name in rows[0]}


def _command(options: argparse.Namespace) -> str:
    names = [text.partition("=")[0] for text in options.policies]
    numbers = ("problems", "seeds", "rows", "problem-seed", "evaluations", "seconds", "draws")
    given = " ".join(f"--{name} {getattr(options, name.replace('-', '_'))}" for name in numbers)
    return f"pysr-neural study policies {' '.join(f'{name}=FILE' for name in names)} {given}"


def _parser() -> argparse.ArgumentParser:
    parser = study_parser("policies", __doc__)
    parser.add_argument("policies", nargs="+", metavar="NAME=FILE", help="safetensors files of policies")
    parser.add_argument("--problems", type=int, default=40, help="of each operator set")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=50, help="of the held-out problems' data")
    parser.add_argument("--problem-seed", type=int, default=FRESH, help="of the problems; another one, other problems")
    parser.add_argument("--evaluations", type=int, default=600, help="of each search")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of BasicSR's searches")
    parser.add_argument("--draws", type=int, default=DRAWS, help="actions drawn for each that is taken")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
