"""The study of rules that choose one formula of a front."""

import json

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import fraction_unexplained, mean_squared_error
from pysr_neural.expression.text import parse
from pysr_neural_benchmarks.runner import store
from pysr_neural_benchmarks.runner.plan import Limits, Plan
from pysr_neural_benchmarks.studies import formula
from pysr_neural_benchmarks.studies.formula import RULES, USED, Front, best, corrected, knee, lowest, shortest
from pysr_neural_benchmarks.suites.data import Case, draw
from pysr_neural_benchmarks.suites.reader import load_suite

TREES = tuple(parse(text) for text in ("1.5", "x0", "x0 * x1", "x0 * x1 + 0.01 * x0"))
Y = np.random.default_rng(0).standard_normal(100)


def front(losses, unexplained):
    return Front("noise 0", "s", "p", TREES, losses, unexplained, Y)


def test_rules_differ_where_they_should():
    losses = (1.0, 0.02, 0.012, 0.0119)
    assert lowest(TREES, losses, Y) == 3
    assert knee(TREES, losses, Y) == 1
    assert best(TREES, losses, Y) == 2
    assert shortest(TREES, losses, Y) == 2
    for rule in RULES.values():
        assert rule(TREES[:1], losses[:1], Y) == 0
        assert 0 <= rule(TREES, (0.0, 0.0, 0.0, 0.0), Y) < 4


def test_constants_as_many_as_rows_are_not_believed():
    law = "1.2 * x0 + 0.3"
    trees = [parse(text) for text in ("1.5", law, " + ".join([law, *(f"{i}.1 * sin({i}.2 * x0)" for i in (1, 2, 3))]))]
    losses = [float(np.var(Y)) * left for left in (1.0, 0.1, 1e-4)]
    assert corrected(trees, losses, Y) == 2
    assert corrected(trees, losses, Y[:12]) == 1
    assert corrected(trees, [losses[0], losses[1], 0.0], Y[:3]) in range(3)


def test_right_is_what_solves_or_is_as_good_as_the_best():
    found = front((1.0,) * 4, (0.5, 1e-9, 2e-9, np.inf))
    assert [found.is_right(i) for i in range(4)] == [False, True, True, False]
    found = front((1.0,) * 4, (0.5, 0.1, 0.19, np.inf))
    assert [found.is_right(i) for i in range(4)] == [False, True, True, False]
    assert [round(found.excess(i), 2) for i in range(4)] == [0.7, 0.0, 0.28, 10.0]
    assert not front((1.0,) * 4, (np.inf,) * 4).is_right(0)


def test_the_command_compares_rules_on_the_fronts_of_a_run(tmp_path, capsys):
    folder = tmp_path / "runs"
    plan = Plan(("nguyen",), ("basicsr",), (0,), Limits(1.0, None), problems=("Nguyen-1",), noise=(0.0, 0.1))
    folder.mkdir()
    store.begin(folder, plan, ["the", "command"])
    source = next(each for each in load_suite("nguyen") if each.name == "Nguyen-1")
    writer = store.Writer(folder)
    for noise in plan.noise:
        drawn = draw(source, Case("nguyen", "Nguyen-1", noise=noise))
        members = []
        for text in ("x0", "((x0 * x0) + x0)", "(((x0 * x0) * x0) + ((x0 * x0) + x0))"):
            tree = parse(text)
            fvu = fraction_unexplained(evaluate(tree, drawn.X_test), drawn.y_test)
            members.append([tree.size, mean_squared_error(tree, drawn.problem.X, drawn.problem.y), fvu, text])
        row = {"suite": "nguyen", "problem": "Nguyen-1", "draw": 0, "noise": noise, "points": 512, "seed": 0}
        writer.add((noise,), {"method": "basicsr", "status": "ok", "message": "", **row, "front": members})
    writer.add((1,), {"method": "basicsr", "status": "crashed", "message": "", **row})
    writer.close()
    assert formula.main([str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["noise 0"][USED] == result["noise 0.1"][USED] == "1 (100 %)"
    assert "| rule | right |" in (tmp_path / "out" / "formula.md").read_text()


def test_fronts_of_few_rows_are_compared_with_their_like(tmp_path):
    plan = Plan(("nguyen",), ("basicsr",), (0,), Limits(1.0, None), problems=("Nguyen-1",), points=(10, 512))
    store.begin(tmp_path, plan, ["the", "command"])
    writer = store.Writer(tmp_path)
    row = {"method": "basicsr", "status": "ok", "message": "", "suite": "nguyen", "problem": "Nguyen-1", "draw": 0}
    for points in plan.points:
        front = [[1, 0.5, 0.5, "x0"]]
        writer.add((points,), {**row, "noise": 0.1, "points": points, "seed": 0, "front": front})
    writer.close()
    groups = {each.group: len(each.y) for each in formula.fronts_of(tmp_path)}
    assert groups == {"noise 0.1": 512, "noise 0.1, 10 rows": 10}


def test_a_study_needs_fronts(tmp_path):
    with pytest.raises(ConfigError, match="Run `bench run` first"):
        formula.main([str(tmp_path)])
