"""The recorder: what it writes is what happened, and watching changes nothing."""

import math

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.scripted import RandomProposer
from pysr_neural.state import MemberView
from pysr_neural.trace.io import Trace, encode_table, problems_table, trees, write_part
from pysr_neural.trace.schema import HALL_OF_FAME
from pysr_neural_baseline import recorder as module
from pysr_neural_baseline.config import BasicSRConfig
from pysr_neural_baseline.observer import Proposal
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.recorder import Recorder, record_search
from pysr_neural_baseline.search import run_search
from tests.strategies import make_problem

PROBLEM = make_problem(("+", "-", "*", "/"), target=lambda a, b: a / (b + 1) - a * b)
REFERENCE = BasicSRConfig.reference(population_size=20, generations=12, extra_generations=0)
SMALL = BasicSRConfig(populations=2, population_size=12, cycles_per_iteration=4, generations=32, max_size=12)


def member(ref, text, loss=1.0, parents=()):
    tree = parse(text)
    return Member(tree, loss, loss + tree.size, ref, parents, birth=ref)


class Log:
    """Keeps every call."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *given: self.calls.append((name, tuple(map(frozen, given))))

    def of(self, name):
        return [given for called, given in self.calls if called == name]


def frozen(value):
    return tuple(value) if isinstance(value, list) else value


def written(tmp_path, recorded, problem=PROBLEM):
    tables = {"problems": problems_table([problem]), **recorded.tables}
    write_part(tmp_path, 0, {name: encode_table(table) for name, table in tables.items()})
    return Trace(tmp_path)


def rows(trace, table):
    columns = trace.table(table).to_pylist()
    for row, tree in zip(columns, trees(trace.columns(table), trace.problems[0]), strict=True):
        row["tree"] = tree
    return columns


@pytest.mark.parametrize("config", [REFERENCE, SMALL])
def test_watching_changes_nothing(config):
    plain, watched = run_search(PROBLEM, config, seed=3), record_search(PROBLEM, config, seed=3).result
    assert plain.evaluations == watched.evaluations
    assert plain.best == watched.best
    assert plain.hall_of_fame.best == watched.hall_of_fame.best


@pytest.mark.parametrize("config", [REFERENCE, SMALL])
def test_the_same_seed_gives_the_same_bytes(config):
    first, second, other = (record_search(PROBLEM, config, seed=seed).tables for seed in (3, 3, 4))
    for name in first:
        assert encode_table(first[name]) == encode_table(second[name])
    assert encode_table(first["events"]) != encode_table(other["events"])


@pytest.mark.parametrize("config", [REFERENCE, SMALL])
def test_every_call_is_a_row(tmp_path, config):
    log = Log()
    run_search(PROBLEM, config, seed=5, observer=log)
    trace = written(tmp_path, record_search(PROBLEM, config, seed=5, population_rate=1.0))
    found = rows(trace, "events")
    proposals = [row for row in found if row["event"] == "proposal"]
    assert len(proposals) == len(log.of("proposal")) > 0
    for row, (told,) in zip(proposals, log.of("proposal"), strict=True):
        for name in ("population", "iteration", "cycle", "kind", "accepted", "reason", "neural"):
            assert row[name] == getattr(told, name)
        assert (row["parent"], row["parent2"]) == (*told.parents, -1, -1)[:2]
        assert row["tree"] == told.child
        assert row["complexity"] == told.child.size
        assert row["ref"] == told.child_ref
        values = row["before_loss"], row["before_cost"], row["after_loss"], row["after_cost"]
        np.testing.assert_array_equal(values, (*told.before, *told.after))
    others = [row for row in found if row["event"] not in ("proposal", "death")]
    for row, (_, _, event, old, new) in zip(others, log.of("relink"), strict=True):
        assert (row["event"], row["ref"], row["parent"]) == (event, new.ref, *new.parents)
        assert row["parent2"] == (old if event == "migration" else -1)
        assert math.isfinite(row["before_loss"])
    deaths = [row["ref"] for row in found if row["event"] == "death"]
    assert deaths == ([] if config is REFERENCE else [ref for *_, ref in log.of("death")])
    standing = [row for row in rows(trace, "members") if row["population"] != HALL_OF_FAME]
    told = [(p, i, m) for p, i, members in log.of("population") for m in members]
    for row, (population, iteration, each) in zip(standing, told, strict=True):
        assert (row["population"], row["iteration"], row["tree"]) == (population, iteration, each.tree)
        assert (row["ref"], row["loss"], row["cost"], row["birth"]) == (each.ref, each.loss, each.cost, each.birth)


def test_populations_come_back_as_a_proposer_sees_them(tmp_path):
    log = Log()
    run_search(PROBLEM, REFERENCE, seed=1, observer=log)
    trace = written(tmp_path, record_search(PROBLEM, REFERENCE, seed=1, population_rate=1.0))
    _, last, members = log.of("population")[-1]
    found = [row for row in rows(trace, "members") if row["iteration"] == last and row["population"] == 0]
    views = [MemberView(row["tree"], row["loss"], row["complexity"]) for row in found]
    assert views == [one.view() for one in members]


def test_a_rate_leaves_populations_out_but_never_the_first_and_the_last(tmp_path):
    trace = written(tmp_path, record_search(PROBLEM, REFERENCE, seed=1, population_rate=0.25))
    members = trace.columns("members", ["population", "iteration"])
    taken = sorted(set(members["iteration"][members["population"] == 0].tolist()))
    assert taken == [0, 4, 8, 12]
    (run,) = trace.table("runs").to_pylist()
    assert run["iterations"] == 12
    assert run["population_rate"] == 0.25


def test_the_row_of_the_run(tmp_path):
    recorded = record_search(PROBLEM, SMALL, seed=7, run=3, population_rate=0.5)
    (row,) = written(tmp_path, recorded).table("runs").to_pylist()
    result = recorded.result
    assert (row["run"], row["engine"], row["seed"], row["populations"]) == (3, "basic", 7, 2)
    assert (row["best"], row["best_loss"], row["lowest_loss"]) == (
        result.best.ref,
        result.best.loss,
        result.hall_of_fame.lowest_loss,
    )
    assert (row["evaluations"], row["stopped_by"]) == (result.evaluations, result.stopped_by)


def test_neural_proposals_are_marked(tmp_path):
    config = REFERENCE.changed(guard=GuardRules(max_overhead=1.0))
    recorded = record_search(PROBLEM, config, RandomProposer(), seed=1, proposer_name="random")
    trace = written(tmp_path, recorded)
    columns = trace.columns("events", ["neural", "kind"])
    assert 0 < columns["neural"].sum() < len(columns["neural"])
    assert trace.table("runs")["proposer"].to_pylist() == ["random"]


def test_rejected_children_relinks_and_deaths(tmp_path):
    recorder = Recorder(PROBLEM)
    recorder.population(0, 0, [member(0, "x0"), member(1, "x1", 2.0)])
    recorder.proposal(Proposal(0, 0, 0, "add", (1,), parse("x1 + 1"), -1, (2.0, 3.0), (9.0, 12.0), "annealing", False))
    recorder.proposal(Proposal(0, 0, 1, "crossover", (0, 1), parse("x0 * x1"), 2, (1.0, 2.0), (0.5, 3.5), "", True))
    recorder.death(0, 0, 1, 0)
    recorder.relink(0, 0, "tuning", 2, member(3, "x0 * 2.5", 0.25, (2,)))
    result = run_search(PROBLEM, REFERENCE, seed=0)
    tables = recorder.finish(result, REFERENCE, 0)
    first, second, death, tuning = tables["events"].to_pylist()
    assert (first["accepted"], first["reason"], first["ref"], first["codes"]) == (False, "annealing", -1, [3, 2, 0])
    assert first["constants"] == [1.0]
    assert (second["accepted"], second["parent"], second["parent2"], second["neural"]) == (True, 0, 1, True)
    assert (death["event"], death["ref"], death["codes"], death["accepted"]) == ("death", 0, None, False)
    assert math.isnan(death["after_loss"])
    assert (tuning["event"], tuning["parent"], tuning["ref"]) == ("tuning", 2, 3)
    assert (tuning["before_loss"], tuning["before_cost"], tuning["after_loss"]) == (0.5, 3.5, 0.25)


def test_long_searches_are_settled_in_between(monkeypatch):
    whole = record_search(PROBLEM, SMALL, seed=2).tables
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 50)
    parts = record_search(PROBLEM, SMALL, seed=2).tables
    for name in whole:
        assert str(parts[name].to_pylist()) == str(whole[name].to_pylist())


def test_a_rate_out_of_range():
    with pytest.raises(ConfigError, match="population_rate is a share"):
        Recorder(PROBLEM, population_rate=1.5)


def test_nothing_keeps_rejected_trees_alive():
    recorder = Recorder(PROBLEM)
    recorder.population(0, 0, [])
    recorder.proposal(Proposal(0, 0, 0, "add", (), parse("x0"), -1, (1.0, 1.0), (1.0, 1.0), "loss", False))
    assert not any(isinstance(value, Node) for value in vars(recorder).values())
