"""Suggestions for the next fit: structure by tests on the data, operators, size, precision."""

import json

import numpy as np
import pytest

from pysr_neural.interop.report import NeuralReport
from pysr_neural.interop.suggestions import Suggestion, suggestions

NAMES = ["a", "b", "c"]
OPERATORS = {"unary_operators": ["sin", "exp", "log"], "binary_operators": ["+", "*", "^"]}
FRONT = {
    1: "a",
    3: "a + b",
    4: "sin(a) + b",
    6: "(sin(a) + b) * c",
    8: "exp(a) + (b * sin(c))",
    9: "sin(a * (b + c)) + a",
}


@pytest.fixture
def X():
    return np.random.default_rng(0).uniform(1.0, 3.0, (400, 3))


def about(X, y, front=FRONT, maxsize=30, notes=()):
    return suggestions(X, y, NAMES, front, OPERATORS, maxsize, notes)


def test_variables_that_belong_together_become_a_template(X):
    first, *_ = about(X, np.exp(-0.5 * (X[:, 0] - X[:, 1])) + X[:, 2])
    assert first.code == (
        "expression_spec=TemplateExpressionSpec("
        "expressions=['f'], variable_names=['a', 'b', 'c'], combine='f((a - b), c)')"
    )
    assert "through (a - b) only" in first.evidence
    assert "400 rows" in first.evidence


def test_factors_and_variables_without_a_part_are_told(X):
    first, *_ = about(X, X[:, 2] * (1 + np.sin(2 * X[:, 0])))
    assert "combine='(c) * f(a)'" in first.code
    assert first.evidence.startswith("y has the factor c; y does not depend on b")


def test_a_variable_of_a_small_term_is_not_called_superfluous():
    rng = np.random.default_rng(0)
    m, v, k, idle = rng.uniform(1, 5, 300), rng.uniform(0, 3, 300), rng.uniform(0.5, 2, 300), rng.uniform(0, 1, 300)
    y = 0.5 * m * v**2 + k * np.cos(2 * v) + 0.001 * rng.standard_normal(300)
    told = suggestions(np.column_stack([m, v, k, idle]), y, ["m", "v", "k", "idle"], {}, {}, 30)
    assert not any("depend on k" in each.evidence for each in told)


def test_where_nothing_belongs_together_no_template_is_suggested(X):
    for y in (np.sin(X[:, 0] * X[:, 1]) + X[:, 2] ** X[:, 0], np.sin(X[:, 0] * X[:, 1]) + X[:, 2]):
        assert not any("(c) *" in each.code or "f(a, b)" in each.code for each in about(X, y))


@pytest.mark.parametrize(
    "bad",
    [np.full(400, 2.0), np.full(400, np.nan), np.r_[np.inf, np.ones(399)], np.r_[1e300, np.zeros(399)]],
    ids=["constant", "missing", "infinite", "huge"],
)
def test_data_without_structure_are_no_failure(X, bad):
    assert not any("Template" in each.code for each in about(X, bad))


def test_operators_of_no_good_member_are_left_out(X):
    found = {each.code: each.evidence for each in about(X, X[:, 0])}
    assert found["unary_operators=['sin', 'exp']"] == "log: in none of the 5 best members"
    assert found["binary_operators=['+', '*']"] == "^: in none of the 5 best members"
    assert not any("operators" in each.code for each in about(X, X[:, 0], {1: "a", 3: "a + b"}))


def test_a_front_at_its_limit_wants_more_room_and_lost_digits_want_precision(X):
    codes = [each.code for each in about(X, X[:, 0], maxsize=10, notes=("y: rounding.",))]
    assert codes[-2:] == ["maxsize=15", "precision=64"]
    assert "maxsize=15" not in [each.code for each in about(X, X[:, 0])]


@pytest.mark.julia
def test_what_is_suggested_can_be_pasted_and_templates_fall_back(julia, X):
    from pysr import TemplateExpressionSpec

    from pysr_neural import PySRRegressor
    from tests.interop.conftest import SMALL

    y = X[:, 2] * (1 + np.sin(2 * X[:, 0]))
    model = PySRRegressor(**SMALL, neural_proposer="default").fit(X, y, variable_names=NAMES)
    first, *_ = model.neural_report_.suggestions
    name, _, code = first.code.partition("=")
    spec = eval(code, {"TemplateExpressionSpec": TemplateExpressionSpec})
    again = PySRRegressor(**{**SMALL, name: spec}, neural_proposer="default").fit(X, y, variable_names=NAMES)
    assert np.isfinite(again.equations_["loss"]).all()
    assert np.isfinite(again.predict(X)).all()
    assert "plain expressions" in str(again.neural_report_.disabled)
    assert again.neural_report_.served == 0


def test_the_report_shows_them_and_stays_plain_data():
    report = NeuralReport(suggestions=(Suggestion("maxsize=45", "why"),))
    assert "for the next fit:\n    maxsize=45  # why" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["suggestions"] == [{"code": "maxsize=45", "evidence": "why"}]
