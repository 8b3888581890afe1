"""Interpretation: states are what they say, preferences are the policy's, the static form agrees with both."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.text import parse
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet
from pysr_neural.proposer.base import KINDS, Child, Prior, ProposalBatch, ProposalRequest
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural.state import MemberView
from pysr_neural_baseline import BasicSRConfig, run_search
from pysr_neural_training.interpret.command import PAGE, PICTURE, PYSR, STATIC, interpret, main
from pysr_neural_training.interpret.distil import Distilled, distil, never_nested
from pysr_neural_training.interpret.export import WEIGHTS, call, export, parameters, read_parameters, to_json
from pysr_neural_training.interpret.pages import markdown, terminal
from pysr_neural_training.interpret.preferences import Preference, ask, by_group, preference_of
from pysr_neural_training.interpret.residuals import residual_shape
from pysr_neural_training.interpret.states import FEATURES, GROUPS, OWN, SearchState, states_of
from pysr_neural_training.interpret.static import StaticProposer
from pysr_neural_training.learning.recovery import held_out_problems
from pysr_neural_training.problems.generate import GeneratedProblem
from tests.strategies import make_problem

PROBLEM = make_problem(operators=("+", "*", "sin", "log"), rows=40)
ADD, CONSTANT = KINDS.index("add"), KINDS.index("constant")


def state(tree: str = "x0", progress: float = 0.0, stalled: int = 0, **changes: object) -> SearchState:
    found = parse(tree)
    return SearchState(PROBLEM, (MemberView(found, 1.0, found.size),), progress, stalled, **changes)


class EarlyAndLate:
    """A policy that adds early and changes constants late, wants ``sin`` over variables, and proposes two trees."""

    def open(self, problem):
        return self

    def propose(self, request):
        weights = np.ones(len(KINDS))
        weights[ADD if request.progress < 0.5 else CONSTANT] = 15.0
        pairs = np.ones((5, 6))
        pairs[2, 1] = 7.0
        names = request.seed % 2
        children = (Child(parse("sin(x0)")), Child(parse("x0 + x1")))[: 1 + names]
        return ProposalBatch(children, weights, 0.3, None, Prior(np.array([5.0, 1, 1, 1]), np.array([3.0, 1]), pairs))


STATES = [state(progress=share, stalled=4 * i) for i, share in enumerate(np.linspace(0, 1, 12))]


@pytest.fixture(scope="module")
def preferences():
    return ask(EarlyAndLate(), STATES)


def shape_of(y: Callable, features: int = 1, rows: int = 60) -> str:
    X = np.random.default_rng(1).uniform(-2, 2, (rows, features))
    values = y(X, np.random.default_rng(2))
    return residual_shape(X, values, np.zeros(rows))


@pytest.mark.parametrize(
    ("shape", "y"),
    [
        ("constant", lambda X, rng: 5 + 0.1 * X[:, 0]),
        ("linear", lambda X, rng: 2 * X[:, 0] + 0.1 * X[:, 0] ** 2),
        ("quadratic", lambda X, rng: X[:, 0] ** 2 - 0.5 * X[:, 0]),
        ("periodic", lambda X, rng: np.sin(9 * X[:, 0] + 1)),
        ("noisy", lambda X, rng: rng.standard_normal(len(X))),
        ("other", lambda X, rng: np.abs(X[:, 0]) ** 6 - 20 * np.exp(-20 * X[:, 0] ** 2)),
    ],
)
def test_shapes_of_residuals_are_told_apart(shape: str, y: Callable) -> None:
    assert shape_of(y) == shape


def test_products_of_variables_are_quadratic() -> None:
    assert shape_of(lambda X, rng: X[:, 0] * X[:, 1], features=2) == "quadratic"


def test_what_is_left_of_a_perfect_or_a_broken_expression() -> None:
    X = np.linspace(1, 2, 10)[:, None]
    assert residual_shape(X, X[:, 0], X[:, 0]) == "none"
    assert residual_shape(X, X[:, 0], np.full(10, np.nan)) == "undefined"
    assert residual_shape(X, X[:, 0], np.full(10, 1e200)) == "undefined"
    assert residual_shape(X, np.ones(10), np.ones(10)) == "none"


def test_few_points_are_not_explained_by_many_terms() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 5)), rng.standard_normal(12)
    assert residual_shape(X, y - y.mean(), np.zeros(12)) in ("noisy", "other")


def test_states_know_their_groups_and_features() -> None:
    early, late = state("x0 * x1", progress=0.1), state("x0", progress=0.9, stalled=30, source=OWN)
    assert early.groups == ("all", "early", "improving", "residual none", "ordinary search")
    assert late.groups[:3] == ("all", "late", "plateau")
    assert late.groups[-1] == OWN
    assert set(early.groups) | set(late.groups) <= set(GROUPS)
    features = dict(zip(FEATURES, late.features, strict=True))
    assert (features["progress"], features["stalled"], features["best_size"]) == (0.9, 30.0, 1.0)
    assert sum(value for name, value in features.items() if name.startswith("residual")) == 1


def test_states_of_a_search_are_its_own() -> None:
    """The policy's only proposal is in the population of every state of its search, and of no other's."""
    ((given, _, _),) = held_out_problems(1, 3, 9)
    mark = parse("x0 + x0 + x0 + x0") if "+" in given.problem.operators.names else parse("x0 * x0 * x0 * x0")
    proposer = ScriptedProposer([mark], cycle=True)
    own, ordinary = (states_of(given, 6, each, 0) for each in (proposer, None))
    assert [each.progress for each in own] == sorted(each.progress for each in own)
    assert len(own) >= 3
    assert all(mark in [member.tree for member in each.members] for each in own)
    assert not any(mark in [member.tree for member in each.members] for each in ordinary)
    assert {each.source for each in own} == {OWN}
    assert own[0].stalled == 0
    assert all(each.stalled <= each.progress * 6 for each in own)


def test_states_on_a_plateau_say_so_and_solved_searches_have_none() -> None:
    ((given, _, _),) = held_out_problems(1, 3, 9)
    noise = replace(given.problem, y=np.random.default_rng(0).standard_normal(64), operators=OperatorSet.of("neg"))
    found = states_of(GeneratedProblem(noise, given.tree), 20, None, 0)
    assert found[-1].stalled > found[1].stalled
    solved = replace(given.problem, y=given.problem.X[:, 0].copy())
    assert states_of(GeneratedProblem(solved, given.tree), 20, ScriptedProposer([parse("x0")], cycle=True), 0) == []


def test_operators_that_cannot_be_evaluated_leave_the_residual_undefined() -> None:
    foreign = replace(PROBLEM, operators=OperatorSet(("mine", "+"), (1, 2)))
    apart = SearchState(foreign, (MemberView(Node("mine", (variable(0),)), 1.0, 2),), 0.5)
    assert apart.residual == "undefined"
    assert np.isfinite(apart.features).all()


def test_preferences_are_lifts() -> None:
    found = preference_of(EarlyAndLate().propose(ProposalRequest((), 2, ("kind",), 1, progress=0.0)), state())
    assert found.kinds is not None
    assert found.kinds.mean() == pytest.approx(1)
    assert found.kinds[ADD] == pytest.approx(15 / 28 * 14)
    assert found.operators == pytest.approx({"sin": 2.5, "log": 0.5, "+": 0.5, "*": 0.5})
    assert found.pairs["sin", "constant"] == pytest.approx(1)
    assert found.pairs["+", "variable"] == pytest.approx(3.5)
    assert found.variables == pytest.approx({"in the best member": 1.5, "not in the best member": 0.5})
    assert found.sizes == [2, 3]


def test_states_are_asked_together_with_the_same_answers() -> None:
    class Together(EarlyAndLate):
        calls = 0

        def propose_many(self, sessions, requests):
            self.calls += 1
            return [session.propose(request) for session, request in zip(sessions, requests, strict=True)]

    states = [state(progress=share) for share in np.linspace(0, 1, 40)]
    proposer = Together()
    found, expected = ask(proposer, states), ask(EarlyAndLate(), states)
    assert proposer.calls == 3
    for one, other in zip(found, expected, strict=True):
        assert (one.kinds.tolist(), one.sizes) == (other.kinds.tolist(), other.sizes)


def test_means_of_groups(preferences) -> None:
    groups = by_group(STATES, preferences, GROUPS)
    assert groups["all"].states == len(STATES)
    assert groups["early"].kinds["add"] == pytest.approx(7.5)
    assert groups["late"].kinds["add"] == pytest.approx(0.5)
    assert groups["all"].kinds["add"] == pytest.approx(4.0)
    assert groups["all"].growth == groups["all"].size - 1
    assert "residual periodic" not in groups


def test_static_kinds_are_the_mean_of_the_policys_own(preferences) -> None:
    distilled = distil("scripted", STATES, preferences)
    own = np.mean([each.kinds for each in preferences], axis=0)
    assert [distilled.kinds[kind] for kind in KINDS] == pytest.approx(own)
    assert distilled.crossover_probability == pytest.approx(0.3)
    assert max(distilled.operators, key=distilled.operators.get) == "sin"
    assert distilled.pairs["+"]["variable"] == pytest.approx(3.5)
    assert set(distilled.counts.values()) == {len(STATES)} == {distilled.states}


def test_the_tree_is_scikit_learns_and_splits_where_the_policy_does(preferences) -> None:
    from sklearn.tree import DecisionTreeRegressor

    tree = distil("scripted", STATES, preferences).tree
    X, y = np.stack([each.features for each in STATES]), np.stack([each.kinds for each in preferences])
    reference = DecisionTreeRegressor(max_depth=3, min_samples_leaf=5, random_state=0).fit(X, y)
    for each, expected in zip(STATES, reference.predict(X), strict=True):
        assert list(tree.decide(each.features).values()) == pytest.approx(expected)
    assert tree.decide(STATES[0].features)["add"] == pytest.approx(7.5)
    assert tree.decide(STATES[-1].features)["constant"] == pytest.approx(7.5)
    assert any("add ×7.5" in line for line in tree.lines())


def test_the_static_form_survives_json(preferences) -> None:
    distilled = distil("scripted", STATES, preferences)
    again = Distilled.from_json(distilled.to_json())
    assert again == distilled
    assert again.tree.decide(STATES[-1].features) == distilled.tree.decide(STATES[-1].features)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "must be JSON"),
        ("[]", "format"),
        ('{"format": "pysr_neural distilled policy", "version": 2}', "version 1"),
        ('{"checkpoint": "c", "states": 1, "kindz": {}}', "Did you mean 'kinds'"),
        ('{"states": 1}', "checkpoint"),
        ('{"checkpoint": "c", "states": 1, "kinds": {"ad": 1}}', "Did you mean 'add'"),
        ('{"checkpoint": "c", "states": 1, "kinds": {"add": -1}}', "at least 0"),
        ('{"checkpoint": "c", "states": 1, "operators": {"+": NaN}}', "finite"),
        ('{"checkpoint": "c", "states": 1, "crossover_probability": 2}', "0..1"),
        ('{"checkpoint": "c", "states": 1, "tree": {"states": 1}}', "kinds"),
        (
            '{"checkpoint": "c", "states": 1, "tree": {"states": 1, "feature": "progres", "threshold": 1}}',
            "Did you mean 'progress'",
        ),
    ],
)
def test_foreign_static_forms_are_refused(text: str, reason: str) -> None:
    if text.startswith("{") and "format" not in text:
        text = text.replace("{", '{"format": "pysr_neural distilled policy", "version": 1, ', 1)
    with pytest.raises(ConfigError, match=reason):
        Distilled.from_json(text)


def test_nestings_are_avoided_only_where_chance_would_have_made_them() -> None:
    beside = Preference(children=(parse("sin(x0 + x1) + log(x0 + x1)"),) * 4)
    assert never_nested([beside] * 2) == ()
    assert never_nested([beside] * 10) == (("log", "log"), ("log", "sin"), ("sin", "log"), ("sin", "sin"))
    inside = Preference(children=(parse("sin(log(x0))"),))
    assert ("sin", "log") not in never_nested([beside] * 10 + [inside])


def pysr_arguments() -> set[str]:
    """Read the arguments of PySR's estimator off its source: importing it would start Julia."""
    source = Path(find_spec("pysr").submodule_search_locations[0], "sr.py").read_text(encoding="utf-8")
    (estimator,) = [
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "PySRRegressor"
    ]
    (start,) = [node for node in estimator.body if getattr(node, "name", "") == "__init__"]
    return {each.arg for each in [*start.args.args, *start.args.kwonlyargs]} - {"self"}


def wanting_powers() -> Distilled:
    lifts = {"+": 2.0, "-": 0.1, "^": 1.5, "max": 0.1, "sin": 1.0, "log": 0.9, "tan": 0.1, "cosh": 3.0}
    counts = dict.fromkeys(lifts, 10) | {"cosh": 2}
    kinds = dict.fromkeys(KINDS, 1.0) | {"add": 2.0}
    return Distilled("c", 10, kinds, 0.25, lifts, counts, {}, (("sin", "sin"), ("tan", "sin")))


def test_exported_parameters_are_pysrs(preferences) -> None:
    found = parameters(wanting_powers())
    assert found["binary_operators"] == ["+", "-", "*", "/", "^"]
    assert found["unary_operators"] == ["sin", "log"]
    assert found["constraints"] == {"^": (-1, 1)}
    assert found["nested_constraints"] == {"sin": {"sin": 0}}
    assert found["weight_add_node"] == pytest.approx(2 * 2.47)
    assert found["weight_mutate_constant"] == pytest.approx(0.0346)
    assert found["crossover_probability"] == 0.25
    assert set(found) <= pysr_arguments()
    assert set(WEIGHTS.values()) <= pysr_arguments()
    assert set(WEIGHTS) == set(KINDS) - {"crossover", "neural"}


def test_exported_weights_rank_kinds_as_the_policy_does(preferences) -> None:
    from pysr_neural_baseline.config import MutationWeights

    distilled = distil("scripted", STATES, preferences)
    found = parameters(distilled)
    lifts = {kind: found[WEIGHTS[kind]] / getattr(MutationWeights(), kind) for kind in WEIGHTS if kind != "optimize"}
    for kind, lift in lifts.items():
        assert lift == pytest.approx(distilled.kinds[kind], rel=1e-3)


def test_the_printed_call_and_the_json_say_the_same() -> None:
    distilled = wanting_powers()
    expression = ast.parse(call(distilled), mode="eval").body
    assert isinstance(expression, ast.Call)
    assert {each.arg: ast.literal_eval(each.value) for each in expression.keywords} == parameters(distilled)
    assert read_parameters(to_json(distilled)) == parameters(distilled)
    assert read_parameters(export("pysr", distilled).splitlines()[-1]) == parameters(distilled)


@pytest.mark.julia
def test_the_json_builds_a_regressor() -> None:
    import pysr

    model = pysr.PySRRegressor(**read_parameters(to_json(wanting_powers())))
    assert model.get_params()["weight_add_node"] == pytest.approx(2 * 2.47)
    X = np.random.default_rng(0).uniform(0.5, 3.0, (30, 2))
    model.set_params(niterations=1, populations=2, ncycles_per_iteration=20, progress=False, verbosity=0)
    model.set_params(temp_equation_file=True, parallelism="serial")
    assert len(model.fit(X, X[:, 0] * X[:, 1]).equations_) > 0


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'pysr'"):
        export("psyr", wanting_powers())
    with pytest.raises(ConfigError, match="Did you mean 'pysr'"):
        main(["default", "--export", "pysrr"])


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_parameters_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="JSON"):
        read_parameters(text)


def test_a_policy_without_opinions_changes_nothing() -> None:
    found = ask(ScriptedProposer([]), STATES[:3])
    groups = by_group(STATES[:3], found, GROUPS)
    distilled = distil("silent", STATES[:3], found)
    assert (distilled.kinds, distilled.crossover_probability, distilled.tree) == (None, None, None)
    assert parameters(distilled) == {}
    assert "says nothing about kinds of mutation, crossover, operators" in call(distilled)
    ast.parse(call(distilled))
    assert Distilled.from_json(distilled.to_json()) == distilled
    assert "Kinds: the policy says nothing" in terminal(groups, distilled)
    assert "silent" in markdown(groups, distilled, "command", "picture.png")


def test_no_states_are_refused() -> None:
    with pytest.raises(ConfigError, match="got none"):
        ask(EarlyAndLate(), [])
    with pytest.raises(ConfigError, match="got none"):
        distil("scripted", [], [])


@pytest.mark.parametrize("name", ["problems", "generations", "children"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--{name} must be a whole number at least 1; got 0"):
        interpret(
            "scripted", EarlyAndLate(), **({"problems": 1, "generations": 1, "children": 1, "seed": 0} | {name: 0})
        )


def test_the_static_form_searches(preferences) -> None:
    distilled = distil("scripted", STATES, preferences)
    for by_state in (False, True):
        session = StaticProposer(distilled, by_state).open(PROBLEM)
        answer = session.propose(ProposalRequest(STATES[0].members, 3, ("kind", "crossover", "prior"), 0, progress=0.0))
        assert answer.children == ()
        assert answer.kind_weights[ADD] == pytest.approx(7.5 if by_state else 4.0)
        assert answer.crossover_probability == pytest.approx(0.3)
        assert answer.prior.operators == pytest.approx(np.array([0.625, 0.125, 0.125, 0.125]))
        assert answer.prior.pairs.sum(axis=1) == pytest.approx(np.ones(5))
    config = BasicSRConfig(populations=1, generations=3, levels=("kind", "crossover", "prior"))
    result = run_search(PROBLEM, config, StaticProposer(distilled, True), seed=0)
    assert result.counts.invalid == {}


def test_the_static_form_is_neutral_about_what_it_never_met(preferences) -> None:
    distilled = replace(distil("scripted", STATES, preferences), kinds=None)
    session = StaticProposer(distilled).open(make_problem(operators=("+", "exp"), features=3))
    answer = session.propose(ProposalRequest(STATES[0].members, 1, ("kind", "prior"), 0))
    assert answer.kind_weights is None
    assert answer.prior.operators == pytest.approx(np.array([1.0, 0.5]) / 1.5)
    assert answer.prior.pairs[0] == pytest.approx(np.full(4, 0.25))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_command_on_a_small_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"width": 32, "heads": 2, "layers": 2, "feedforward": 48, "latents": 4, "encoder_layers": 1}
        ProposerModel(ProposerConfig(**sizes)).save_pretrained(tmp_path / "small")
    out = tmp_path / "made" / "here"
    arguments = [str(tmp_path / "small"), "--problems", "2", "--generations", "4", "--children", "4"]
    assert main([*arguments, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    assert result["groups"]["all"]["states"] == result["states"] >= 4
    assert {file.name for file in out.iterdir()} == {PAGE, PICTURE, STATIC, PYSR}
    assert (out / PAGE).read_text(encoding="utf-8").startswith("# What `small` prefers")
    assert (out / PICTURE).stat().st_size > 10_000
    distilled = Distilled.from_json((out / STATIC).read_text(encoding="utf-8"))
    assert distilled.kinds == result["distilled"]["kinds"]
    assert max(len(line) for line in printed.splitlines()[:-1]) < 160
    assert len(printed.splitlines()) < 40
    assert main([*arguments, "--export", "pysr"]) == 0
    printed = capsys.readouterr().out
    assert read_parameters(printed.splitlines()[-1]) == read_parameters((out / PYSR).read_text(encoding="utf-8"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--out must be a directory"):
        main([*arguments, "--out", str(tmp_path / "file")])
