"""Examples from traces: the split, the layouts, the choice of targets, and traces that are not what they should be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pysr_neural.errors import ConfigError, TraceError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.text import parse, to_string
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural.trace import io
from pysr_neural.trace.io import Trace, encode_table, part_path, problems_table, write_part
from pysr_neural.trace.schema import VERSION_KEY
from pysr_neural.wire import vocabulary as v
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.recorder import record_search
from pysr_neural_training.examples.build import IGNORED, MEMBERS_COST, BatchSource, ExampleConfig, Layouts, make_batch
from pysr_neural_training.examples.from_traces import HELD_OUT, NO_TARGET, TARGETS, UNREADABLE, TraceSource, side_of
from pysr_neural_training.examples.layouts import LAYOUTS
from pysr_neural_training.learning import survey
from pysr_neural_training.problems.generate import ProblemPrior, Sampler
from tests.strategies import make_problem

PRIOR = ProblemPrior(noise_share=0.0)
CONFIG = BasicSRConfig.reference(population_size=10, generations=12, extra_generations=0)
TRAINED = "x0 * x1 / (x0 + x1 * x1)"
HELD = next(iter(Sampler(PRIOR, generator(1, "held out"), held_out=True)))
SUITE = "x0 ^ 3 + x0 ^ 2 + x0"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(io.os, "fsync", lambda descriptor: None)


def problem(text: str = TRAINED, seed: int = 0) -> Problem:
    tree = parse(text)
    return make_problem(("+", "-", "*", "/"), target=lambda *X: evaluate(tree, np.stack(X, axis=1)), seed=seed)


def record(folder: Path, problems: list[tuple[Problem, str]], config: BasicSRConfig = CONFIG, seeds: int = 1) -> str:
    """Search every problem with some seeds; a part per run."""
    found, texts = [each for each, _ in problems], [text for _, text in problems]
    write_part(folder, 0, {"problems": encode_table(problems_table(found, texts))})
    pairs = [(number, seed) for number in range(len(problems)) for seed in range(seeds)]
    for run, (number, seed) in enumerate(pairs):
        tables = record_search(found[number], config, seed=seed, run=run, problem_number=number).tables
        write_part(folder, run, {name: encode_table(table) for name, table in tables.items()})
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    made = [(problem(seed=seed), TRAINED) for seed in (0, 1)]
    return record(tmp_path_factory.mktemp("traces") / "two", made, seeds=2)


def config(folder: str, layout: str, **settings: object) -> ExampleConfig:
    return ExampleConfig(batch_size=8, layouts=Layouts(**{layout: 1.0}), traces=(folder,), **settings)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("targets", TARGETS)
def test_every_layout_and_choice_of_targets_makes_batches_that_the_model_reads(folder, layout, targets):
    batch = make_batch(PRIOR, config(folder, layout, targets=targets), 1, 0)
    assert len(batch["tokens"]) == 8 // MEMBERS_COST[layout]
    assert (batch["tokens"][:, 0] == v.ID[f"<{layout}>"]).all()
    sizes = {"width": 16, "heads": 2, "layers": 1, "feedforward": 16, "latents": 2}
    assert torch.isfinite(ProposerModel(ProposerConfig(**sizes))(**batch).loss)


def test_batches_depend_on_seed_and_number_alone(folder):
    settings = config(folder, "onestep")

    def labels(source: BatchSource, number: int) -> list[list[int]]:
        return source.batch(number)["tokens"].tolist()

    first, second = BatchSource(PRIOR, settings, 1), BatchSource(PRIOR, settings, 1)
    forward = [labels(first, number) for number in range(4)]
    assert [labels(second, number) for number in (3, 2, 1, 0)] == forward[::-1]
    assert len({str(each) for each in forward}) == 4
    assert labels(BatchSource(PRIOR, settings, 2), 0) != forward[0]


def test_traces_and_generated_problems_are_mixed(folder):
    mixed = BatchSource(PRIOR, config(folder, "direct", trace_share=0.5), 1)
    rows = {mixed.batch(number)["data"].shape[1] for number in range(12)}
    assert 20 in rows  # Those of the trace.
    assert len(rows) > 1


def test_the_fraction_of_targets_is_always_the_same(folder):
    whole, part, again = (
        TraceSource([folder], "all", fraction).moves(run)
        for fraction, run in [(fraction, TraceSource([folder]).runs[0]) for fraction in (1.0, 0.3, 0.3)]
    )
    assert 0.1 < len(part.proposals) / len(whole.proposals) < 0.5
    assert part.proposals.tolist() == again.proposals.tolist()
    assert set(part.proposals) < set(whole.proposals)


def test_runs_are_split_by_problem_whoever_searched_it(tmp_path):
    mirrored = "x1 / (x1 + x0 * x0) * x0"  # The same but for the names of variables.
    text = to_string(HELD.tree)
    made = [(problem(), TRAINED), (HELD.problem, text), (problem(SUITE), SUITE), (problem(mirrored), mirrored)]
    folder = record(tmp_path / "split", made, seeds=2)
    training, other = TraceSource([folder]), TraceSource([folder], held_out=True)
    assert [reference.run for reference in training.runs] == [0, 1, 6, 7]
    assert [reference.run for reference in other.runs] == [2, 3]
    assert training.skipped[HELD_OUT] == 4
    assert side_of(problem(), TRAINED) == side_of(problem(seed=3), TRAINED) == side_of(problem(mirrored), mirrored)
    assert side_of(problem(SUITE), SUITE) == "suite"
    assert side_of(problem(), "nonsense(") == "unknown"


def test_data_without_a_formula_are_on_one_side_for_good():
    sides = [side_of(problem(seed=seed)) for seed in range(200)]
    assert sides == [side_of(problem(seed=seed)) for seed in range(200)]
    assert 0 < sides.count("held out") < 30
    assert set(sides) == {"training", "held out"}


def test_operators_that_the_vocabulary_lacks_become_generic_tokens(tmp_path):
    """As of a PySR with operators of its own: BasicSR could not evaluate them, so a trace is renamed."""
    folder = Path(record(tmp_path / "own", [(problem(), TRAINED)]))
    own = OperatorSet(("pm", "-", "*", "/"), (2, 2, 2, 2))
    write_part(folder, 0, {"problems": encode_table(problems_table([replace(problem(), operators=own)]))})
    for layout in LAYOUTS:
        for targets in ("all", "reverse"):
            batch = make_batch(PRIOR, config(str(folder), layout, targets=targets), 1, 0)
            assert (batch["tokens"] == v.ID["<binary>"]).any()
            assert not (batch["tokens"] == v.ID["+"]).any()
            assert not (batch["labels"] == v.ID["+"]).any()


# Bad input


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(TraceError, match="must be a folder with"):
        TraceSource([str(tmp_path)])
    write_part(tmp_path, 0, {"problems": encode_table(problems_table([problem()]))})
    with pytest.raises(TraceError, match=r"no finished run.*traces generate"):
        TraceSource([str(tmp_path)])


def test_a_folder_of_held_out_problems_only(tmp_path):
    folder = record(tmp_path / "suite", [(problem(SUITE), SUITE)])
    with pytest.raises(TraceError, match="1 × held-out problem"):
        TraceSource([folder])


def test_a_formula_that_cannot_be_read_is_left_out_and_counted(tmp_path):
    folder = record(tmp_path / "odd", [(problem(), TRAINED), (problem(), "besselj(x0)(")])
    source = TraceSource([folder])
    assert len(source.runs) == 1
    assert source.skipped[UNREADABLE] == 1


def test_a_trace_of_another_version(tmp_path):
    folder = Path(record(tmp_path / "old", [(problem(), TRAINED)]))
    path = part_path(folder, "runs", 0)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, VERSION_KEY: b"99"}), path)
    with pytest.raises(TraceError, match="of version 99"):
        TraceSource([str(folder)])


def test_a_run_of_a_problem_that_is_missing(tmp_path):
    folder = Path(record(tmp_path / "lost", [(problem(), TRAINED), (problem(), TRAINED)]))
    write_part(folder, 0, {"problems": encode_table(problems_table([problem()], [TRAINED]))})
    with pytest.raises(TraceError, match="lacks problem 1 of run 1"):
        TraceSource([str(folder)])


def test_runs_without_improving_moves_are_counted_and_an_error_where_there_are_no_others(tmp_path):
    constant = make_problem(("+", "*"), target=lambda a, b: a)
    solved = replace(CONFIG, generations=1)  # The initial population has the answer: nothing can get better.
    folder = Path(record(tmp_path / "still", [(constant, "")], solved))
    events = Trace(folder).table("events")
    worse = np.full(len(events), 9.0)
    still = events.set_column(events.schema.get_field_index("after_loss"), "after_loss", [worse])
    write_part(folder, 0, {"events": encode_table(still.cast(events.schema))})
    source = TraceSource([str(folder)], "improving")
    with pytest.raises(TraceError, match=rf"targets 'improving' in the layout 'onestep'.*{NO_TARGET}"):
        source.examples("onestep", 4, generator(1, "batch"))
    more = record(tmp_path / "moving", [(problem(), TRAINED)])
    both = BatchSource(PRIOR, replace(config(more, "onestep", targets="improving"), traces=(str(folder), more)), 1)
    assert len(both.batch(0)["tokens"]) == 4
    assert both.counts[NO_TARGET] > 0


def test_long_prompts_of_traces_lose_members_and_never_the_target(folder):
    whole, short = (BatchSource(PRIOR, config(folder, "onestep", max_tokens=most), 1) for most in (0, 40))
    batches = [source.batch(0) for source in (whole, short)]
    lengths = [((b["tokens"] != v.PAD).sum(dim=1) + (b["labels"] != IGNORED).sum(dim=1)).max() for b in batches]
    assert lengths[1] <= 40 < lengths[0]
    assert batches[0]["labels"].tolist() == batches[1]["labels"].tolist()
    assert short.counts["members cut"] > 0 == whole.counts["members cut"]


def test_bad_choices_are_refused(folder):
    with pytest.raises(ConfigError, match="Did you mean 'ancestors'"):
        TraceSource([folder], "ancestor")
    with pytest.raises(ConfigError, match="above 0"):
        TraceSource([folder], fraction=0.0)


def test_the_survey_counts_what_would_be_trained_on(folder, capsys):
    given = [f'--set=examples.traces=["{folder}"]', "--set=examples.layouts.onestep=1", "--set=examples.max_tokens=40"]
    assert survey.main(["tiny", "--batches=2", "--set=examples.batch_size=8", *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["examples"] == 8
    assert found["batches of onestep"] == 2
    assert found["members cut"] > 0
    assert found["longest"] <= 40
