"""`pysr-neural study imitation`: a policy trained on BasicSR's traces alone, put in BasicSR's place.

Owns: the traces, the policies, the comparison, the report.  Does not own: recording (`pysr_neural_training.traces`),
learning (`pysr_neural_training.policy`), the policy itself (`pysr_neural.proposer.policy`).

A preset of BasicSR searches generated training problems, and the actions in its traces, good or bad, are what the
policy learns: how BasicSR varies, not what would have been better, so that it has no foresight.  The policy then makes
every child of the same searches on held-out problems, with as many evaluations.  No joins, in either arm; all else is
the preset's.  With ``--traces``, traces that are there already are learned from, and only decisions are compared
(`recorded`).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.checks import whole
from pysr_neural.expression.text import to_string
from pysr_neural.problem import Problem
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.policy.network import PolicyConfig, PolicyNetwork
from pysr_neural.proposer.policy.proposer import PolicyProposer
from pysr_neural.rng import generator
from pysr_neural.trace.io import Trace
from pysr_neural_baseline.config import PRESETS, BasicSRConfig
from pysr_neural_baseline.replay import config_of
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import bars, markdown_table
from pysr_neural_benchmarks.studies import judging, recorded
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_training.improve.policy_searches import SOLVED_BELOW, is_solved
from pysr_neural_training.policy.agreement import ASPECTS, agreement
from pysr_neural_training.policy.from_traces import Visit, learn_visit, lessons_from, visits_in
from pysr_neural_training.policy.learner import FitConfig, fit, likelihood
from pysr_neural_training.policy.lessons import Lessons, sizes
from pysr_neural_training.policy.problems import PRIOR
from pysr_neural_training.policy.reference import reference_losses
from pysr_neural_training.problems.generate import Sampler
from pysr_neural_training.problems.sources import SourceProblem
from pysr_neural_training.traces.generate import generate
from pysr_neural_training.traces.jobs import Settings
from pysr_neural_training.workers import Workers

BASIC, POLICY, AT_ONCE = "basicsr", "policy", "simultaneous"
ARMS = {"reference": (BASIC, POLICY), "default": (BASIC, POLICY, AT_ONCE)}
"""In the default preset every child is made from what the one before has left, but a proposer is asked once a cycle; so
BasicSR is compared with as well where it makes all children of a cycle from the population at its beginning."""
FRESH = 1000
"""First of the rounds of the comparison."""
APART = 10_000
"""Problem i has the seed APART times the round plus i."""
TRACES, HELD_OUT_TRACES = 0, 2
"""Which problems are traced: for training, and to compare distributions on."""
FIRST_SEED = {TRACES: 0, HELD_OUT_TRACES: 500_000}
"""Of the traced searches, each of which has its own."""
SHARE = {"reference": 1.0, "default": 0.3}
"""Of the populations met, which are learned from; in the default preset every child makes a new one."""
KINDS = {"reference": ("randomize", "do_nothing"), "default": PolicyConfig().kinds}
"""Mutations that the presets have."""
TOLERANCE, INTERVAL = 0.03, 0.05
"""What counts as parity: the difference, and how far its interval may reach."""
Row = Mapping[str, Any]


def search_settings(preset: str, evaluations: int) -> dict[str, Any]:
    """Return what differs from a preset: one population, the scale of losses, and where a search ends."""
    population = judging.POPULATION if preset == "reference" else BasicSRConfig().population_size
    return {
        "populations": 1,
        "population_size": population,
        "generations": judging.GENERATIONS * evaluations // population,  # A repeated child costs no evaluation.
        "max_evaluations": evaluations,
        "relative_loss": True,
        "early_stop_loss": SOLVED_BELOW,
        "extra_generations": 0,
    }


def record(folder: Path, preset: str, problems: int, evaluations: int, which: int) -> Trace:
    """Record searches of some problems; goes on where an earlier call was stopped."""
    sampler = Sampler(PRIOR, generator(which, "imitation"), held_out=which == HELD_OUT_TRACES)
    sources = [SourceProblem(each.problem, to_string(each.tree)) for each in islice(sampler, problems)]
    settings = Settings("basic", preset, search_settings(preset, evaluations), "", 0.1)
    return generate(folder, sources, [FIRST_SEED[which]], settings, 8, Workers(0), apart=True)


@cache
def held_out(count: int) -> list[Problem]:
    """Return the problems that judge; none of their expressions is trained on."""
    return [each.problem for each in islice(Sampler(PRIOR, generator(1, "imitation"), held_out=True), count)]


def learn(preset: str, trace: Trace, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Train a preset's policy, unless that is done; returns what there is to say about it."""
    card = path.with_suffix(".json")
    if not card.exists():
        taught = lessons_from(trace, options.actions, SHARE[preset], options.seed, looks_ahead=False)
        config = FitConfig(steps=options.steps, minutes=options.minutes, seed=options.seed)
        network = PolicyNetwork.initial(PolicyConfig(kinds=KINDS[preset], foresight=False), options.seed)
        network, losses = fit(network, taught.lessons, config)
        network.save(path)
        facts = {"actions": taught.actions, "impossible": taught.impossible, "runs": len(taught.runs)}
        card.write_text(json.dumps({**facts, "decisions": sizes(taught.lessons), "losses": losses}), encoding="utf-8")
    found: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    return found


def decision_losses(network: PolicyNetwork, visits: Sequence[Visit], config: BasicSRConfig) -> dict[str, list[float]]:
    """Return mean negative log-likelihoods by decision: of the policy, and of the algorithm where it is exactly known.

    Parameters
    ----------
    network : PolicyNetwork
    visits : sequence of Visit
        Of searches that nothing was learned from.
    config : BasicSRConfig
        Of those searches.
    """
    lessons, possible = Lessons(), []
    for visit in visits:
        possible.append(learn_visit(lessons, visit))
    kept = lessons.finished(np.concatenate(possible))
    found = {head: [loss] for head, loss in likelihood(network, kept).items()}
    if config.variation == "grow":
        made = zip(visits, possible, strict=True)
        asked = [Visit(v.state, [a for a, fits in zip(v.actions, own, strict=True) if fits]) for v, own in made]
        for head, loss in reference_losses(asked, config).items():
            found[head].append(loss)
    return found


def run_once(
    preset: str, arm: str, seed: int, problems: int, evaluations: int, policies: Mapping[str, Path]
) -> dict[str, Any]:
    """Search every problem with a seed; returns a row of the results file."""
    given = held_out(problems)
    config = BasicSRConfig.of(
        preset,
        **search_settings(preset, evaluations),
        simultaneous=arm == AT_ONCE,
        proposal_share=1.0,
        levels=("child",),
        guard=GuardRules(max_overhead=1.0),
    )
    proposer = PolicyProposer.from_file(policies[preset]) if arm == POLICY else None
    seeds = [seed * APART + i for i in range(len(given))]  # With one for all, they would draw the same numbers.
    found = judging.searched(given, config, proposer, seeds)
    return {
        "solved": [is_solved(*pair) for pair in zip(found, given, strict=True)],
        "evaluations": float(np.mean([result.evaluations for result in found])),
        "generations": float(np.mean([result.generations for result in found])),
        "made": judging.made_share(found),
        "failures": sum(len(result.failures) for result in found),
    }


def outcome(rows: Mapping[str, Sequence[Row]], other: str = BASIC) -> dict[str, float]:
    """Return the arms' solve rates, and the policy's minus another's with a 95 % interval over problems."""
    solved = {arm: np.mean([row["solved"] for row in of_arm], axis=0) for arm, of_arm in rows.items()}
    mean, low, high = judging.difference(solved[POLICY].tolist(), solved[other].tolist())
    rates = {arm: float(np.mean(each)) for arm, each in solved.items()}
    return {**rates, "difference": mean, "low": low, "high": high}


def is_parity(found: Mapping[str, float]) -> bool:
    """Tell whether an outcome counts as parity."""
    return abs(found["difference"]) < TOLERANCE and found["low"] >= -INTERVAL and found["high"] <= INTERVAL


def report(results: Mapping[str, Row], options: argparse.Namespace) -> str:
    """Write the report."""
    rows, distances, learned, decided = [], [], [], []
    for preset, found in results.items():
        difference = f"{found['difference']:+.3f} ({found['low']:+.3f} … {found['high']:+.3f})"
        rates = [f"{found[arm]:.3f}" for arm in (BASIC, POLICY)]
        work = [f"{found[f'{name}_{arm}']:.0f}" for name in ("evaluations", "generations") for arm in (BASIC, POLICY)]
        rows.append([preset, *rates, difference, "yes" if is_parity(found) else "no", *work, f"{found['made']:.1%}"])
        variation = found["variation"]
        distances.append([preset, *(f"{variation[a]:.3f} ({variation[f'chance_{a}']:.3f})" for a in ASPECTS)])
        for head, (own, *exact) in found["decisions"].items():
            known = [f"{exact[0]:.4f}", f"{own - exact[0]:+.4f}"] if exact else ["", ""]
            decided.append([preset, head, f"{own:.4f}", *known])
        card = found["card"]
        learned.append([preset, str(card["runs"]), str(card["actions"]), str(card["impossible"])])
    header = ["preset", "BasicSR", "policy", "difference (95 %)", "parity", "evaluations: BasicSR", "policy"]
    header += ["generations: BasicSR", "policy", "children made by the policy"]
    return f"""# Imitation: a policy in BasicSR's place

`{_command(options)}`

Learned: the actions in traces of generated training problems, a seed each, by maximum likelihood, {options.minutes:g}
minutes at most on one thread. Problems of the comparison: {options.problems} held-out ones of operators + - * /, 1 to 3
variables, at most 15 nodes, no constants but 1, 50 points; {options.seeds} fresh seeds each, no two alike. Searches:
the preset with one population (of {judging.POPULATION} for the reference preset), losses relative to the variance,
{options.evaluations} evaluations, or {judging.GENERATIONS} times as many children, repeated ones included. The policy
makes all children; what it does not deliver is made as usual. No joins in either arm. Solved: an unexplained variance
of at most 1e-10.

{markdown_table(header, rows)}

{_others(results)}

The interval is over problems, each with the mean of its seeds. Parity: a difference below {TOLERANCE:.0%}, its interval
within {INTERVAL:.0%}.

Total variation between the policy's actions and the algorithm's on the same populations, of {options.held_out_traces}
searches of other held-out problems (in brackets: between two halves of the algorithm's own actions):

{markdown_table(["preset", "kinds", "ranks of first parents", "sizes of what is put in"], distances)}

Mean negative log-likelihood of the algorithm's decisions on those populations, in nats; of the reference preset's the
algorithm's own is calculated, and what is above it is not yet learned:

{markdown_table(["preset", "decision", "policy", "BasicSR itself", "above"], decided)}

{markdown_table(["preset", "searches learned from", "actions", "that the policy cannot make"], learned)}

![Solve rates](solve_rates.png)
"""


def _others(results: Mapping[str, Row]) -> str:
    """Say how the policy compares with other ways of BasicSR."""
    return "\n\n".join(
        f"In the {preset} preset every child is made from what the one before has left, while a policy is asked once a "
        f"cycle. BasicSR, asked likewise (`{arm}`), solves {own[arm]:.3f}; the policy's difference from it is "
        f"{own['difference']:+.3f} ({own['low']:+.3f} … {own['high']:+.3f}), {'' if is_parity(own) else 'no '}parity."
        for preset, found in results.items()
        for arm, own in found["others"].items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(argv)
    for name in ("trace_problems", "held_out_traces", "problems", "seeds", "evaluations", "actions"):
        whole(f"--{name.replace('_', '-')}", getattr(options, name), 1)
    if options.traces is not None:
        return recorded.conclude(options)
    results = {preset: study(preset, options) for preset in options.presets}
    groups = {preset: {arm: found[arm] for arm in (BASIC, POLICY)} for preset, found in results.items()}
    bars(groups, options.out / "solve_rates.png", 2, [BASIC])
    return end(report(results, options), {"command": _command(options), **results}, options)


def study(preset: str, options: argparse.Namespace) -> dict[str, Any]:
    """Record, learn, search and compare, for one preset."""
    out = options.out / preset
    trace = record(out / "traces", preset, options.trace_problems, options.evaluations, TRACES)
    other = record(out / "held_out", preset, options.held_out_traces, options.evaluations, HELD_OUT_TRACES)
    path = out / "policy.safetensors"
    card = learn(preset, trace, options, path)
    rng = generator(options.seed, "agreement")
    runs, network = other.table("runs").to_pylist(), PolicyNetwork.load(path)
    visits = [v for row in runs for v in visits_in(other, row, SHARE[preset], rng, looks_ahead=False)]
    variation = agreement(network, visits, options.seed, draws=4)
    decisions = decision_losses(network, visits, config_of(runs[0]))
    run = partial(run_once, policies={preset: path})
    seeds = range(FRESH, FRESH + options.seeds)
    arms = ARMS[preset]
    tasks: list[Task] = [(preset, arm, seed, options.problems, options.evaluations) for seed in seeds for arm in arms]
    made = complete(run, tasks, out / "results.jsonl")
    rows = {arm: made[i :: len(arms)] for i, arm in enumerate(arms)}
    means = {
        f"{name}_{arm}": float(np.mean([row[name] for row in of_arm]))
        for arm, of_arm in rows.items()
        for name in ("evaluations", "generations")
    }
    made_by_policy = float(np.mean([row["made"] for row in rows[POLICY]]))
    return {
        **outcome(rows),
        **means,
        "others": {arm: outcome(rows, arm) for arm in arms if arm not in (BASIC, POLICY)},
        "made": made_by_policy,
        "variation": variation,
        "decisions": decisions,
        "card": card,
    }


def _command(options: argparse.Namespace) -> str:
    named = (
        "trace_problems",
        "held_out_traces",
        "actions",
        "steps",
        "minutes",
        "problems",
        "evaluations",
        "seeds",
        "seed",
    )
    given = " ".join(f"--{name.replace('_', '-')} {getattr(options, name):g}" for name in named)
    return f"pysr-neural study imitation {given} --presets {' '.join(options.presets)}"


def _parser() -> argparse.ArgumentParser:
    parser = study_parser("imitation", __doc__)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=("reference", "default"))
    parser.add_argument("--traces", type=Path, help="folder of a trace, to learn from that and compare decisions only")
    parser.add_argument("--trace-problems", type=int, default=300, help="training problems searched once each")
    parser.add_argument("--held-out-traces", type=int, default=20, help="searches to compare distributions on")
    parser.add_argument("--actions", type=int, default=60_000, help="that are learned from, about")
    parser.add_argument("--steps", type=int, default=3000, help="of training per decision")
    parser.add_argument("--minutes", type=float, default=30.0, help="limit of training")
    parser.add_argument("--problems", type=int, default=100, help="held-out problems")
    parser.add_argument("--evaluations", type=int, default=600, help="of each search")
    parser.add_argument("--seeds", type=int, default=10, help="fresh ones, per problem")
    parser.add_argument("--seed", type=int, default=1, help="of training")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
