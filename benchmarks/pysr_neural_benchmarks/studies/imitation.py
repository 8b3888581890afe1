"""`pysr-neural study imitation`: a model trained on BasicSR's traces alone, put in BasicSR's place.

Owns: the traces, the two models, the comparison, the report.  Does not own: recording (`pysr_neural_training.traces`),
training (`pysr_neural_training.learning.train`), ways of asking (`single`, `pysr_neural.proposer.neural.populations`).

BasicSR's reference preset searches generated training problems, and every child that it evaluated becomes a target,
good or bad: what is to be learned is how BasicSR varies, not what would have been better.  One model learns the next
child (``onestep``), one the next population (``population``).  Each then makes all children of the same searches on
held-out problems, nothing fitted, nothing combined, with as many evaluations.  The temperature is chosen on other seeds
than those that are reported.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import to_string
from pysr_neural.model.checkpoint import load
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.neural.populations import PopulationProposer
from pysr_neural.rng import generator
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import bars, markdown_table
from pysr_neural_benchmarks.studies import judging
from pysr_neural_benchmarks.studies.single import SingleLayout
from pysr_neural_training.examples.build import ExampleConfig, Layouts
from pysr_neural_training.learning.config import Evaluation, ModelSize, Schedule, TrainConfig
from pysr_neural_training.learning.train import train
from pysr_neural_training.problems.generate import ProblemPrior, Sampler
from pysr_neural_training.problems.sources import SourceProblem
from pysr_neural_training.traces.generate import generate
from pysr_neural_training.traces.jobs import Settings
from pysr_neural_training.workers import Workers

BASIC = "BasicSR"
LAYOUTS = ("onestep", "population")
MODEL = ModelSize(width=64, heads=4, layers=3, feedforward=192, latents=8)
PRIOR = ProblemPrior(
    operators=("+", "-", "*", "/"),
    min_operators=2,
    max_operators=5,
    max_size=15,
    constant_share=0.0,
    feature_weights=(0.35, 0.4, 0.25),
    noise_share=0.0,
    rows=(50,),
    row_weights=(1.0,),
    distractor_share=0.0,
)
"""What the reference preset can solve: its only constant is 1."""
FRESH = 1000
"""First of the seeds that are reported; those of the sweep begin at 0."""
SHOWN = 10
"""Members in a prompt: a parent, the best of 3 of 20 in a tournament, is one of the best 10 in seven of eight cases."""
TOLERANCE = 0.05
Row = Mapping[str, Any]


def search_settings(evaluations: int) -> dict[str, Any]:
    """Return what differs from the reference preset: losses relative to the variance, and where a search ends."""
    return {
        "population_size": judging.POPULATION,
        "generations": judging.GENERATIONS * evaluations // judging.POPULATION,  # A repeated child costs no evaluation.
        "max_evaluations": evaluations,
        "relative_loss": True,
        "early_stop_loss": judging.SOLVED_BELOW,
        "extra_generations": 0,
    }


def record(folder: Path, problems: int, evaluations: int) -> None:
    """Record searches of training problems; goes on where an earlier call was stopped."""
    drawn = islice(Sampler(PRIOR, generator(0, "imitation")), problems)
    sources = [SourceProblem(each.problem, to_string(each.tree)) for each in drawn]
    generate(folder, sources, [0], Settings("basic", "reference", search_settings(evaluations), "", 0.1), 8, Workers(0))


@cache
def held_out(count: int) -> list[Problem]:
    """Return the problems that judge; none of their expressions is trained on."""
    return [each.problem for each in islice(Sampler(PRIOR, generator(1, "imitation"), held_out=True), count)]


def config_of(layout: str, traces: Path, minutes: float, seed: int) -> TrainConfig:
    """Return the training of a model on traces alone."""
    examples = ExampleConfig(
        batch_size=64, layouts=Layouts(**{layout: 1.0}), traces=(str(traces),), targets="all", max_members=SHOWN
    )
    schedule = Schedule(steps=10**6, minutes=minutes, workers=0, warmup=50, save_every=200)
    return TrainConfig(layout, seed, "", (), MODEL, schedule, PRIOR, examples, Evaluation(every=0))


def run_once(
    arm: str,
    temperature: float,
    first_seed: int,
    seeds: int,
    problems: int,
    evaluations: int,
    models: Callable[[str], Any],
) -> dict[str, Any]:
    """Search every problem with every seed; returns a row of the results file."""
    given = held_out(problems)
    config = BasicSRConfig.reference(
        **search_settings(evaluations), proposal_share=1.0, levels=("child",), guard=GuardRules(max_overhead=1.0)
    )
    proposer: Proposer | None = None
    if arm == "onestep":
        proposer = SingleLayout(models(arm), arm, temperature=temperature, shown=SHOWN)
    elif arm == "population":
        proposer = PopulationProposer(models(arm), temperature, shown=SHOWN)
    each_seed = [seed for seed in range(first_seed, first_seed + seeds) for _ in given]
    flat = judging.searched(given * seeds, config, proposer, each_seed)
    solved = [judging.is_solved(*pair) for pair in zip(flat, given * seeds, strict=True)]
    return {
        "solved": [solved[start : start + problems] for start in range(0, len(solved), problems)],
        "evaluations": float(np.mean([result.evaluations for result in flat])),
        "generations": float(np.mean([result.generations for result in flat])),
        "made": judging.made_share(flat),
    }


def rate(row: Row) -> float:
    """Return the share of runs that were solved."""
    return float(np.mean(row["solved"]))


def gain(row: Row, other: Row) -> tuple[float, float, float]:
    """Return by how much a solve rate is above another's, with a 95 % interval over problems."""
    return judging.difference(*(np.mean(each["solved"], axis=0).tolist() for each in (row, other)))


def report(sweep: Mapping[str, Mapping[float, Row]], final: Mapping[str, Row], facts: Mapping[str, Any]) -> str:
    """Write the report."""
    basic = final[BASIC]
    rows = []
    for arm, row in final.items():
        mean, low, high = gain(row, basic)
        rows.append(
            [
                arm,
                "–" if arm == BASIC else f"{facts['temperatures'][arm]:g}",
                f"{rate(row):.3f}",
                "–" if arm == BASIC else f"{mean:+.3f} ({low:+.3f} … {high:+.3f})",
                "–" if arm == BASIC else ("yes" if mean >= -TOLERANCE else "no"),
                f"{row['evaluations']:.0f}",
                f"{row['generations']:.0f}",
                "–" if arm == BASIC else f"{row['made']:.0%}",
            ]
        )
    header = ["in BasicSR's place", "temperature", "solve rate", "above BasicSR (95 %)"]
    header += ["within 5 points", "evaluations", "generations", "children made by the model"]
    swept = [
        [arm, f"{temperature:g}", f"{rate(row):.3f}", f"{row['evaluations']:.0f}", f"{row['made']:.0%}"]
        for arm, of_arm in sweep.items()
        for temperature, row in of_arm.items()
    ]
    return f"""# Imitation: a model in BasicSR's place

`{facts["command"]}`

Traces: {facts["traces"]}. Targets `all`: every child that BasicSR evaluated, since what is learned is how it varies;
in the reference preset's generations every child is accepted, so that `accepted` would be the same.

Models: {facts["size"]} parameters, random weights at first, {facts["minutes"]:g} minutes of training each on one thread
({facts["steps"]}), with the best {SHOWN} members in the prompt.

Problems: {facts["problems"]} held-out ones of operators + - * /, 1 to 3 variables, at most 15 nodes, no constants but
1, 50 points. Searches: the reference preset with population {judging.POPULATION}, losses relative to the variance,
{facts["evaluations"]} evaluations, or {judging.GENERATIONS} times as many children, repeated ones included. The model
makes all children (`proposal_share=1`), guarded, nothing fitted or combined; what it does not deliver is made as usual.
Every search begins with the population that BasicSR's begins with. Solved: an unexplained variance of at most 1e-10.
The temperature was chosen by the sweep; the comparison is on {facts["seeds"]} fresh seeds, {FRESH} on.

{markdown_table(header, rows)}

The interval is over problems, each with the mean of its seeds.

## Temperatures

On {facts["sweep_seeds"]} seeds, 0 on; BasicSR on the same: {rate(sweep[BASIC][1.0]):.3f}.

{markdown_table([header[i] for i in (0, 1, 2, 5, 7)], swept)}

![Solve rate by temperature](temperatures.png)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(argv)
    for name in ("trace_problems", "problems", "seeds", "sweep_seeds", "evaluations"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}.")
    if not options.minutes > 0 or not min(options.temperatures) > 0:
        raise ConfigError(
            f"--minutes and --temperatures must be above 0; got {options.minutes}, {options.temperatures}."
        )
    out, traces = options.out, options.traces or options.out / "traces"
    if options.traces is None:
        record(traces, options.trace_problems, options.evaluations)
    trained = {
        layout: train(config_of(layout, traces, options.minutes, options.seed), out / "runs" / layout)
        for layout in options.layouts
    }
    models = {layout: load(str(path)) for layout, path in trained.items()}
    run = partial(complete, partial(run_once, models=models.__getitem__), out=out / "results.jsonl")
    sizes = (options.problems, options.evaluations)
    settings = [(BASIC, 1.0), *[(layout, t) for layout in options.layouts for t in options.temperatures]]
    tasks: list[Task] = [(arm, t, 0, options.sweep_seeds, *sizes) for arm, t in settings]
    sweep: dict[str, dict[float, Row]] = {}
    for (arm, temperature), row in zip(settings, run(tasks), strict=True):
        sweep.setdefault(arm, {})[temperature] = row
    best = {arm: max(of_arm, key=lambda t: rate(of_arm[t])) for arm, of_arm in sweep.items()}
    fresh: list[Task] = [(arm, t, FRESH, options.seeds, *sizes) for arm, t in best.items()]
    final = dict(zip(best, run(fresh), strict=True))
    facts = {
        "command": _command(options),
        "traces": str(options.traces or f"{options.trace_problems} searches of generated training problems, seed 0"),
        "size": f"{next(iter(models.values())).num_parameters():,}",
        "minutes": options.minutes,
        "steps": ", ".join(f"{layout} {_card(path)['steps']} steps" for layout, path in trained.items()),
        "problems": options.problems,
        "evaluations": options.evaluations,
        "seeds": options.seeds,
        "sweep_seeds": options.sweep_seeds,
        "temperatures": best,
    }
    _draw(sweep, out)
    (out / "report.md").write_text(report(sweep, final, facts), encoding="utf-8")
    print((out / "report.md").read_text(encoding="utf-8"))
    if options.json:
        gains = {arm: gain(row, final[BASIC]) for arm, row in final.items() if arm != BASIC}
        print(json.dumps({**facts, "solve_rate": {arm: rate(row) for arm, row in final.items()}, "gain": gains}))
    return 0


def _draw(sweep: Mapping[str, Mapping[float, Row]], folder: Path) -> None:
    alone = {BASIC: rate(sweep[BASIC][1.0])}
    groups = {
        f"{arm}: solve rate": alone | {f"temperature {t:g}": rate(row) for t, row in of_arm.items()}
        for arm, of_arm in sweep.items()
        if arm != BASIC
    }
    bars(groups, folder / "temperatures.png", 2, [BASIC])


def _card(path: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((path / "card.json").read_text())
    return card


def _command(options: argparse.Namespace) -> str:
    named = ("trace_problems", "minutes", "problems", "evaluations", "seeds", "sweep_seeds", "seed")
    given = " ".join(f"--{name.replace('_', '-')} {getattr(options, name):g}" for name in named)
    return f"pysr-neural study imitation {given} --temperatures {' '.join(f'{t:g}' for t in options.temperatures)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pysr-neural study imitation", description=__doc__.split("\n")[0])
    parser.add_argument("--traces", type=Path, help="folder of traces (default: records its own)")
    parser.add_argument("--trace-problems", type=int, default=600, help="training problems searched once each")
    parser.add_argument("--minutes", type=float, default=3.5, help="of training per layout")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--problems", type=int, default=30, help="held-out problems")
    parser.add_argument("--evaluations", type=int, default=600, help="of each search")
    parser.add_argument("--seeds", type=int, default=10, help="fresh ones, per problem")
    parser.add_argument("--sweep-seeds", type=int, default=2, help="per problem and temperature")
    parser.add_argument("--temperatures", type=float, nargs="+", default=(0.5, 0.8, 1.0, 1.3))
    parser.add_argument("--seed", type=int, default=1, help="of training")
    parser.add_argument("--out", type=Path, default=Path("outputs/study_imitation"), help="folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
