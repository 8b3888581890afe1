"""`pysr-neural study conditioning`: what it buys a model to be told of the data, and to be asked in one way or another.

Owns: the arms, their training and judging, the report.  Does not own: training
(`pysr_neural_training.learning.train`), hiding and asking (`single`), the measurements (`judging`).

Every arm is a model of one size trained from nothing for the same number of steps; that number is what the arm
``encoder`` does in the training's share of ``--minutes-per-arm``, measured once.  Arms of one layout see the same
problems in the same order.  Finished arms are kept in ``results.jsonl``, and an arm that was interrupted goes on from
its last checkpoint.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pysr_neural.errors import ConfigError
from pysr_neural.model.checkpoint import load
from pysr_neural.proposer.base import Proposer
from pysr_neural.proposer.neural.populations import PopulationProposer
from pysr_neural_benchmarks.judging.results import Task, complete
from pysr_neural_benchmarks.pages import bars, markdown_table
from pysr_neural_benchmarks.studies import judging
from pysr_neural_benchmarks.studies.command import end, study_parser
from pysr_neural_benchmarks.studies.single import HiddenBatches, SingleLayout
from pysr_neural_training.examples.build import ExampleConfig, Layouts
from pysr_neural_training.improve.policy_searches import is_solved
from pysr_neural_training.learning.config import TrainConfig, named_config
from pysr_neural_training.learning.recovery import held_out_problems, prior_candidates, recovers
from pysr_neural_training.learning.train import train

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """One model of the study.

    Parameters
    ----------
    what : str
        What sets it apart, for people.
    layout : str
    sees : str
        One of `single.SEES`.
    context : str
        One of `wire.context.CONTEXTS`.
    residual_share : float
    targets : str
        See `ExampleConfig`.
    """

    what: str
    layout: str = "direct"
    sees: str = "data"
    context: str = "basic"
    residual_share: float = 0.0
    targets: str = "all"

    def examples(self, batch_size: int) -> ExampleConfig:
        """Return how its examples are made."""
        return ExampleConfig(
            batch_size=batch_size,
            layouts=Layouts(**{self.layout: 1.0}),
            context=self.context,
            residual_share=self.residual_share,
            targets=self.targets,
        )


REFERENCE, CONTROL = "encoder", "no model"
ARMS = {
    "nothing": Arm("told the task and the size limit only", sees="nothing"),
    "basic": Arm("told the operators and the number of variables", sees="header"),
    "rich": Arm("also told statistics of the data", sees="header", context="rich"),
    "superrich": Arm("also told plots of the data", sees="header", context="superrich"),
    REFERENCE: Arm("basic, and the data in the encoder; layout direct"),
    "residual": Arm("as encoder, a third of the examples about what a part leaves", residual_share=0.33),
    "onestep": Arm("shown a population, asked for the whole answer", layout="onestep"),
    "onestep-move": Arm("shown a population, asked for one mending move", layout="onestep", targets="reverse"),
    "population": Arm("shown a population, asked for one move of each member", layout="population"),
    "edit": Arm("shown a population, kind and parent; asked for the move", layout="edit"),
}
SIZE = ("model.width=64", "model.layers=3", "model.feedforward=192", "model.latents=8", "schedule.bf16=false")
"""What differs from tiny: in the few minutes of an arm, a smaller model gets further."""
MAX_SIZE = 15
TRAINING_SHARE = 0.75
PROBLEMS_PER_MINUTE = 20
LOSS_FACTOR = 4
"""Held-out problems for the loss, for each one that is sampled and searched."""
MEASURED_STEPS = 30
"""Steps that tell how many fit into the time."""


def config_of(arm: Arm, seed: int, steps: int, settings: Sequence[str]) -> TrainConfig:
    """Return the training of one arm: the tiny configuration made smaller, limited by steps alone."""
    base = named_config("tiny", [*SIZE, *settings])
    schedule = replace(
        base.schedule,
        steps=steps,
        minutes=float("inf"),
        workers=0,
        warmup=max(1, min(300, steps // 10)),
        save_every=200,
    )
    evaluation = replace(base.evaluation, every=0)
    return replace(
        base,
        seed=seed,
        track=(),
        schedule=schedule,
        evaluation=evaluation,
        examples=arm.examples(base.examples.batch_size),
    )


def steps_within(minutes: float, settings: Sequence[str], out: Path) -> int:
    """Measure how many steps of the reference arm fit into some minutes, once for each folder."""
    noted = out / "steps.json"
    if not noted.exists():
        base = config_of(ARMS[REFERENCE], 1, MEASURED_STEPS, settings)
        train(replace(base, schedule=replace(base.schedule, log_every=MEASURED_STEPS // 3)), out / "runs" / "speed")
        log = [json.loads(line) for line in (out / "runs" / "speed" / "metrics.jsonl").read_text().splitlines()]
        speed = [each["examples_per_second"] for each in log if "examples_per_second" in each][-1]
        noted.write_text(json.dumps(max(1, round(60 * minutes * speed / base.examples.batch_size))))
    return int(json.loads(noted.read_text()))


def run_once(
    name: str, seed: int, steps: int, problems: int, draws: int, evaluations: int, settings: str, out: Path
) -> dict[str, Any]:
    """Train and judge one arm; returns a row of the results file."""
    given = held_out_problems(LOSS_FACTOR * problems, 20_000, MAX_SIZE)
    if name == CONTROL:
        return control(given[:problems], draws, evaluations)
    arm, began = ARMS[name], time.monotonic()
    config = config_of(arm, seed, steps, json.loads(settings))
    model = load(str(train(config, out / "runs" / f"{name}-{seed}", partial(HiddenBatches, arm.sees))))
    trained = time.monotonic() - began
    row: dict[str, Any] = {"loss": judging.token_loss(model, given, arm.layout, config.examples, arm.sees, 1)}
    if arm.layout == "direct":
        proposer = SingleLayout(model, "direct", arm.sees)
        for column, rest in (("sampled", False), ("in_parts", True)):
            drawn = [
                judging.samples(proposer, g, draws, MAX_SIZE, i, rest) for i, (g, _, _) in enumerate(given[:problems])
            ]
            row[column] = [recovers(trees, *each) for trees, each in zip(drawn, given, strict=False)]
    asked: Proposer = (
        PopulationProposer(model) if arm.layout == "population" else SingleLayout(model, arm.layout, arm.sees)
    )
    row |= search_row(given[:problems], evaluations, asked)
    return {**row, "training_seconds": trained, "judging_seconds": time.monotonic() - began - trained}


def control(given: Sequence[judging.HeldOut], draws: int, evaluations: int) -> dict[str, Any]:
    """Judge what needs no model: the training prior, told the operators, and ordinary evolution."""
    drawn = [prior_candidates(each, draws, i) for i, (each, _, _) in enumerate(given)]
    sampled = [recovers(trees, *each) for trees, each in zip(drawn, given, strict=True)]
    return {"sampled": sampled, **search_row(given, evaluations, None)}


def search_row(given: Sequence[judging.HeldOut], evaluations: int, proposer: Proposer | None) -> dict[str, Any]:
    """Search every problem once with a proposer in ordinary variation's place."""
    problems = [each.problem for each, _, _ in given]
    results = judging.searched(problems, judging.search_settings(evaluations), proposer, range(len(problems)))
    return {
        "searched": [is_solved(result, each) for result, each in zip(results, problems, strict=True)],
        "made": judging.made_share(results),
    }


COLUMNS = {
    "sampled": "recovered by samples",
    "in_parts": "half of them about the rest",
    "searched": "solved in a search",
}


def share_of(row: Row, column: str) -> float:
    """Return the share of problems that an arm solved; NaN where it was not asked."""
    found = row.get(column)
    return sum(found) / len(found) if found else float("nan")


def against(row: Row, other: Row, column: str) -> str:
    """Write a share with its paired difference to another arm's."""
    if not row.get(column):
        return "–"
    if row is other or not other.get(column):
        return f"{share_of(row, column):.2f}"
    mean, low, high = judging.difference(row[column], other[column])
    return f"{share_of(row, column):.2f} ({mean:+.2f}: {low:+.2f} … {high:+.2f})"


def pooled(rows: Sequence[Row]) -> dict[str, Any]:
    """Join the rows of an arm's seeds."""
    joined: dict[str, Any] = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        many = isinstance(values[0], list)
        joined[key] = [each for value in values for each in value] if many else sum(values) / len(values)
    return joined


def report(arms: Mapping[str, Row], facts: Mapping[str, Any], command: str) -> str:
    """Write the report."""
    first = REFERENCE if REFERENCE in arms else next(iter(arms))
    reference = arms[first]
    table = [
        [
            name,
            ARMS[name].what if name in ARMS else "training prior told the operators; ordinary evolution",
            f"{row['loss']:.3f}" if "loss" in row else "–",
            *[against(row, reference, column) for column in COLUMNS],
            f"{row['made']:.0%}" if name in ARMS else "–",
        ]
        for name, row in arms.items()
    ]
    header = ["arm", "what", "loss per token", *COLUMNS.values(), "children made by the model"]
    return f"""# What conditioning buys

`{command}`

Every arm: the configuration `tiny` with {facts["changed"]},
{facts["steps"]} steps of {facts["batch_size"]} examples on one thread, {facts["seeds"]} seed(s) of training (1 on), the
same problems in the same order. Layouts with populations
in the prompt have smaller batches, so that a step costs about the same. Where the data are hidden, the encoder is fed
absent columns: zeros, whatever the data are. An arm that is told `nothing` also lacks the operators and variables in
its prompt; sampling is held to the problem's language all the same.

Judged on {facts["problems"]} held-out problems of at most {MAX_SIZE} nodes, which no training sees, the same for all
arms, at temperature 1. *Loss*: of held-out examples in the arm's own layout ({LOSS_FACTOR} times as many problems);
comparable between arms of one layout only. *Samples*: {facts["draws"]} per problem from the data alone, constants
fitted; recovered means an unexplained variance of at most 1e-9 on fresh points. *About the rest*: as many samples, the
second half of them about what remains when the best of the first half is subtracted or divided out. *Search*:
{facts["evaluations"]} evaluations of a small BasicSR search (default preset, one population of {judging.POPULATION})
in which the model makes all children, in its layout alone, constants as it wrote them; BasicSR fits constants at the
end of every iteration in all arms alike. Children that the model does not deliver (last column) are ordinary ones, and
help it. Solved: 1e-10 of the variance. In brackets: the difference to `{first}`,
with a 95 % interval over paired problems; it says nothing of how another training would have come out.

{markdown_table(header, table)}

![Shares and losses by arm](arms.png)
"""


def draw(arms: Mapping[str, Row], folder: Path) -> None:
    """Draw the losses of the arms of layout direct, and the shares of all."""
    direct = {name: row["loss"] for name, row in arms.items() if name in ARMS and ARMS[name].layout == "direct"}
    groups = {"loss per token (direct)": direct} if direct else {}
    for column, title in COLUMNS.items():
        found = {name: share_of(row, column) for name, row in arms.items() if row.get(column)}
        groups |= {title: found} if found else {}
    bars(groups, folder / "arms.png", 2, [CONTROL])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(argv)
    if not options.minutes_per_arm > 0 or options.seeds < 1 or options.draws < 2 or options.evaluations < 1:
        raise ConfigError(
            "--minutes-per-arm must be above 0, --seeds and --evaluations at least 1, --draws at least 2; got "
            f"{options.minutes_per_arm}, {options.seeds}, {options.evaluations}, {options.draws}."
        )
    options.out.mkdir(parents=True, exist_ok=True)
    minutes = TRAINING_SHARE * options.minutes_per_arm
    steps = options.steps or steps_within(minutes, options.settings, options.out)
    problems = options.problems or max(1, round(PROBLEMS_PER_MINUTE * options.minutes_per_arm))
    settings = json.dumps(options.settings)
    sizes = (problems, options.draws, options.evaluations, settings)
    tasks: list[Task] = [
        (name, seed, 0 if name == CONTROL else steps, *sizes)
        for seed in range(1, 1 + options.seeds)
        for name in options.arms
    ]
    rows = complete(partial(run_once, out=options.out), tasks, options.out / "results.jsonl")
    arms = {
        name: pooled([row for task, row in zip(tasks, rows, strict=True) if task[0] == name]) for name in options.arms
    }
    facts = {
        "steps": steps,
        "batch_size": config_of(ARMS[REFERENCE], 1, steps, options.settings).examples.batch_size,
        "changed": ", ".join([*SIZE, *options.settings]),
        "seeds": options.seeds,
        "problems": problems,
        "draws": options.draws,
        "evaluations": options.evaluations,
    }
    command = f"pysr-neural study conditioning --steps {steps} --problems {problems} --draws {options.draws}"
    command += f" --evaluations {options.evaluations} --seeds {options.seeds}"
    command += "".join(f" --set {each}" for each in options.settings)
    draw(arms, options.out)
    shares = {column: {name: share_of(row, column) for name, row in arms.items()} for column in COLUMNS}
    losses = {name: row["loss"] for name, row in arms.items() if "loss" in row}
    return end(report(arms, facts, command), {**facts, "loss": losses, **shares}, options)


def _parser() -> argparse.ArgumentParser:
    parser = study_parser("conditioning", __doc__)
    parser.add_argument("--minutes-per-arm", type=float, default=3.0, help="of training and judging, roughly")
    parser.add_argument("--steps", type=int, default=0, help="of training; 0: what fits into the minutes")
    parser.add_argument("--problems", type=int, default=0, help=f"0: {PROBLEMS_PER_MINUTE} for each minute per arm")
    parser.add_argument("--draws", type=int, default=64, help="samples per problem")
    parser.add_argument("--evaluations", type=int, default=400, help="of each search")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per arm")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, CONTROL], default=[*ARMS, CONTROL])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="of training")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
