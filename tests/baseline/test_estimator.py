"""BasicSR as a scikit-learn estimator."""

import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import sympy
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import CheckpointError, ConfigError, DataError, ExpressionError
from pysr_neural.expression.text import parse
from pysr_neural.proposer.guarded import GuardRules
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural_baseline import BasicSR, BasicSRConfig

X = np.random.default_rng(0).uniform(0.5, 3.0, (40, 2))
Y = X[:, 0] * X[:, 1]
QUICK = BasicSRConfig(population_size=30, generations=60, extra_generations=5)


@pytest.fixture(scope="module")
def fitted():
    return BasicSR(config=QUICK, unary_operators=["square"]).fit(X, Y)


def test_the_law_is_found_and_predicts(fitted):
    np.testing.assert_allclose(fitted.predict(X), Y, rtol=1e-9)
    assert fitted.score(X, Y) == pytest.approx(1.0)
    x0, x1 = sympy.symbols("x0 x1")
    assert sympy.simplify(fitted.sympy() - x0 * x1) == 0
    assert "x_{0}" in fitted.latex()
    assert fitted.neural_report_ is None


def test_table_of_equations(fitted):
    table = fitted.equations_
    assert list(table.columns) == ["complexity", "loss", "score", "equation", "tree", "neural"]
    assert table["complexity"].is_monotonic_increasing
    assert table["loss"].is_monotonic_decreasing
    for row in table.itertuples():
        assert parse(row.equation) == row.tree
        assert row.tree.size == row.complexity
        assert np.mean((fitted.predict(X, row.Index) - Y) ** 2) == pytest.approx(row.loss, rel=1e-6, abs=1e-25)


def test_clone_params_and_pickle(fitted):
    model = BasicSR(config=QUICK, proposer=ScriptedProposer([parse("x0")]), random_state=3)
    copy = clone(model)
    assert copy.get_params()["random_state"] == 3
    assert not hasattr(copy, "equations_")
    assert copy.set_params(max_size=7).max_size == 7
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_own_parameters_overrule_the_config():
    model = BasicSR(config=QUICK, generations=2, max_size=3, population_size=12).fit(X, Y)
    assert model.result_.generations == 2
    assert len(model.result_.population) == 4 * 12
    assert model.equations_["complexity"].max() <= 3


def test_same_state_same_equations():
    first, again = (BasicSR(config=QUICK, generations=5, random_state=2).fit(X, Y).equations_ for _ in range(2))
    assert first["equation"].tolist() == again["equation"].tolist()


def test_column_names_are_used():
    frame = pd.DataFrame(X, columns=["mass", "speed"])
    model = BasicSR(config=QUICK).fit(frame, pd.Series(Y))
    assert set(map(str, model.sympy().free_symbols)) == {"mass", "speed"}
    assert list(model.feature_names_in_) == ["mass", "speed"]
    np.testing.assert_allclose(model.predict(frame), Y, rtol=1e-9)
    assert not hasattr(model.fit(X, Y), "feature_names_in_")
    named = BasicSR(config=QUICK).fit(X, Y, variable_names=["a", "b"])
    assert set(map(str, named.sympy().free_symbols)) == {"a", "b"}


def test_it_works_in_a_pipeline():
    model = make_pipeline(FunctionTransformer(lambda data: data * 2), BasicSR(config=QUICK, generations=3))
    assert model.fit(X, Y).predict(X).shape == Y.shape


def test_injected_proposer_shows_in_the_report():
    target = parse("x0 * x1 / (x0 + x1)")
    y = X[:, 0] * X[:, 1] / (X[:, 0] + X[:, 1])
    config = BasicSRConfig(population_size=20, generations=3, guard=GuardRules(max_overhead=1.0))
    model = BasicSR(config=config, proposer=ScriptedProposer([target])).fit(X, y)
    report = model.neural_report_
    assert report.engine == "BasicSR"
    assert report.served == 1
    assert "((x0 * x1) / (x0 + x1))" in report.neural_hall_of_fame
    assert "((x0 * x1) / (x0 + x1))" in str(report)
    assert model.equations_["neural"].any()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:-1]), "inconsistent numbers of samples"),
        ((X[:, 0], Y), "Reshape your data"),
        ((X, np.full(40, np.nan)), "y contains NaN"),
        ((np.where(X > 2, np.inf, X), Y), "X contains infinity"),
        ((np.empty((0, 2)), np.empty(0)), "0 sample"),
        ((np.empty((4, 0)), np.ones(4)), "0 feature"),
        ((X + 1j, Y), "Complex"),
    ],
)
def test_unusable_data_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        BasicSR(config=QUICK).fit(*data)


def test_other_mistakes_are_refused(fitted):
    with pytest.raises(DataError, match="expecting 2 features"):
        fitted.predict(X[:, :1])
    with pytest.raises(DataError, match="needs a name"):
        BasicSR(config=QUICK).fit(X, Y, variable_names=["a"])
    with pytest.raises(ConfigError, match="Did you mean 'sqrt'"):
        BasicSR(unary_operators=["sqr"]).fit(X, Y)
    with pytest.raises(ConfigError, match="operators of 1 argument"):
        BasicSR(unary_operators=["*"], binary_operators=["+"]).fit(X, Y)
    with pytest.raises(ConfigError, match="must be a BasicSRConfig"):
        BasicSR(config={"generations": 3}).fit(X, Y)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_s_own_checks_pass():
    records = check_estimator(BasicSR(config=BasicSRConfig(generations=60)), on_fail=None, on_skip=None)
    assert len(records) > 40
    assert {record["check_name"]: str(record["exception"]) for record in records if record["status"] == "failed"} == {}


def test_limits_on_depth_and_nesting():
    y = np.sin(X[:, 0] * X[:, 1])
    model = BasicSR(
        config=QUICK, unary_operators=["sin"], max_depth=4, nested_constraints={"sin": {"sin": 0, "*": 1}}
    ).fit(X, y)
    for tree in model.equations_["tree"]:
        assert tree.depth <= 4
        assert "sin" not in {below.operator for node in tree if node.operator == "sin" for below in node.children[0]}
    with pytest.raises(ConfigError, match="operators of the search; got 'cos'"):
        BasicSR(config=QUICK, nested_constraints={"cos": {"+": 0}}).fit(X, y)


def test_sizes_of_arguments_are_limited_as_in_pysr():
    model = BasicSR(config=QUICK, unary_operators=["sin"], constraints={"sin": 3, "/": (-1, 1)}).fit(X, Y)
    nodes = [node for member in model.result_.population for node in member.tree]
    assert any(node.operator in ("sin", "/") for node in nodes)
    assert all(node.children[0].size <= 3 for node in nodes if node.operator == "sin")
    assert all(node.children[1].size == 1 for node in nodes if node.operator == "/")


@pytest.mark.parametrize(
    ("constraints", "said"), [({"sin": (1, 1)}, "1 argument"), ({"+": (0, 1)}, "at least 1"), ({"cos": 1}, "cos")]
)
def test_wrong_limits_of_arguments_are_refused(constraints, said):
    with pytest.raises(ConfigError, match=said):
        BasicSR(config=QUICK, unary_operators=["sin"], constraints=constraints).fit(X, Y)


def test_levels_are_one_argument():
    script = ScriptedProposer([parse("x0 * x1")])
    config = QUICK.changed(guard=GuardRules(max_overhead=1.0))
    model = BasicSR(config=config, proposer=script, levels="seed").fit(X, Y)
    assert model.neural_report_.levels == ("seed",)
    assert model.neural_report_.calls == 1
    with pytest.raises(ConfigError, match="Did you mean 'child'"):
        BasicSR(levels=("chld",)).fit(X, Y)


def test_the_reference_preset_predicts_with_its_own_arithmetic():
    model = BasicSR(config=BasicSRConfig.reference(population_size=20, generations=5)).fit(X, Y)
    assert np.all(np.isfinite(model.predict(X * 1e-30)))


def test_three_rows_constant_target_and_many_features():
    BasicSR(config=QUICK, generations=5).fit(X[:3], Y[:3])
    constant = BasicSR(config=QUICK, generations=20).fit(X, np.full(40, 3.25))
    assert constant.predict(X) == pytest.approx(3.25)
    wide = np.random.default_rng(1).normal(size=(30, 60))
    assert BasicSR(generations=300).fit(wide, wide[:, 59]).get_best()["equation"] == "x59"


GIVEN = (
    ({"constraints": {"sin": np.int64(3)}}, {"constraints": {"sin": 3}}),
    ({"constraints": {"/": np.array([-1, 2])}}, {"constraints": {"/": (-1, 2)}}),
    ({"constraints": {"/": [-1.0, 2.0]}}, {"constraints": {"/": (-1, 2)}}),
    ({"nested_constraints": {"sin": {"sin": np.int8(0)}}}, {"nested_constraints": {"sin": {"sin": 0}}}),
    ({"max_size": 10.0, "max_depth": np.int64(4)}, {"max_size": 10, "max_depth": 4}),
    ({"population_size": 20.0, "generations": np.float32(3)}, {"population_size": 20, "generations": 3}),
    ({"random_state": np.int64(3)}, {"random_state": 3}),
    ({"unary_operators": "sin"}, {}),
    ({"unary_operators": np.array(["sin"]), "binary_operators": np.array(["+", "-", "*", "/"])}, {}),
    ({"timeout_in_seconds": np.int64(60)}, {"timeout_in_seconds": 60.0}),
)


@pytest.mark.parametrize(("given", "plain"), GIVEN, ids=str)
def test_numbers_and_names_of_any_library_are_accepted(given, plain):
    few = {"config": QUICK, "generations": 4, "unary_operators": ["sin"]}
    first, again = BasicSR(**{**few, **given}).fit(X, Y), BasicSR(**{**few, **plain}).fit(X, Y)
    assert first.equations_["equation"].tolist() == again.equations_["equation"].tolist()


def test_no_operators_of_an_arity_is_none():
    model = BasicSR(config=QUICK, generations=2, unary_operators=None, binary_operators=["+"]).fit(X, Y)
    assert model.result_.generations == 2
    assert BasicSR(config=QUICK, generations=2, unary_operators=["sin"], binary_operators=None).fit(X, Y)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_as_state_is_drawn_from(make):
    def equations(state):
        return BasicSR(config=QUICK, generations=4, random_state=state).fit(X, Y).equations_["equation"].tolist()

    one = make(0)
    assert equations(one) == equations(make(0))
    assert one.random() != make(0).random()
    assert BasicSR(config=QUICK, generations=1, random_state=None).fit(X, Y).result_.generations == 1


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"random_state": -1}, "random_state"),
        ({"random_state": "3"}, "random_state"),
        ({"random_state": 1.5}, "random_state"),
        ({"max_size": 10.5}, "max_size"),
        ({"max_size": "10"}, "max_size"),
        ({"max_depth": 0}, "max_depth"),
        ({"generations": True}, "generations"),
        ({"population_size": [20]}, "population_size"),
        ({"timeout_in_seconds": "2"}, "timeout_in_seconds"),
        ({"timeout_in_seconds": float("nan")}, "timeout_in_seconds"),
        ({"constraints": {"sin": "3"}}, "constraints"),
        ({"constraints": {"sin": 2.5}}, "constraints"),
        ({"constraints": ["sin"]}, "constraints"),
        ({"nested_constraints": {"sin": 0}}, "nested_constraints"),
        ({"nested_constraints": {"sin": {"sin": -1}}}, "nested_constraints"),
        ({"unary_operators": [3]}, "unary_operators"),
        ({"unary_operators": 3}, "unary_operators"),
        ({"binary_operators": ["sin"], "unary_operators": None}, "binary_operators"),
        ({"levels": 3}, "levels"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(given, name):
    with pytest.raises(ConfigError, match=f"^{name}") as refused:
        BasicSR(**{"config": QUICK, "unary_operators": ["sin"], **given}).fit(X, Y)
    assert "got" in str(refused.value)


UNARY = ("inv", "sqrt", "exp", "log", "log2", "log10", "log1p", "tan", "sinh", "cosh", "asin", "acos")


def test_a_guarded_root_is_printed_and_exported_as_it_is_calculated():
    config = BasicSRConfig.reference()
    model = BasicSR(config=config, unary_operators=["sqrt"]).fit([[-4.0], [4.0], [9.0]], [2, 2, 3])
    assert model.predict([[-4.0], [4.0], [9.0]]) == pytest.approx([2, 2, 3])
    assert model.get_best()["equation"] == "sqrt(abs(x0))"
    assert model.sympy() == sympy.sqrt(sympy.Abs(sympy.Symbol("x0")))
    assert model.latex() == r"\sqrt{\left|{x_{0}}\right|}"


@pytest.mark.parametrize("name", [*UNARY, "/", "^"])
def test_what_the_reference_preset_predicts_is_what_it_exports(name):
    """At every point where a guard acts, whatever the search was shown."""
    tree = parse(f"x0 {name} x1") if name in "/^" else parse(f"{name}(x0)")
    model = BasicSR(config=BasicSRConfig.reference(generations=0)).fit(X, Y)
    row = model.equations_.index[-1]
    model.equations_["tree"] = [*model.equations_["tree"][:-1], tree]
    points = np.array([[a, b] for a in (-40.0, -2.0, 0.0, 1e-12, 3.0, 40.0) for b in (-1.5, 0.0, 1e-11, 2.0)])
    exported = model.sympy(row)
    for point, predicted in zip(points, model.predict(points, row), strict=True):
        values = {sympy.Symbol(f"x{i}"): sympy.Float(value) for i, value in enumerate(point)}
        assert float(exported.subs(values, simultaneous=True)) == pytest.approx(predicted, rel=1e-9)


def test_symbols_are_plain_as_pysr_s():
    model = BasicSR(config=QUICK).fit([[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0])
    assert model.sympy().diff(sympy.Symbol("x0")) == 1


def test_latex_rounds_whole_constants_too():
    model = BasicSR(config=QUICK, generations=1).fit(X, Y)
    row = model.equations_.index[-1]
    model.equations_["tree"] = [*model.equations_["tree"][:-1], parse("299792458.0 * x0")]
    assert model.latex(row) == r"3.00 \cdot 10^{8} x_{0}"
    assert model.latex(row, precision=np.int64(1)) == r"3. \cdot 10^{8} x_{0}"


def test_odd_column_names_stay_true_everywhere():
    frame = pd.DataFrame(X, columns=["T/K", "50%"])
    model = BasicSR(config=QUICK).fit(frame, Y)
    best = model.get_best()
    assert parse(best["equation"], list(frame)) == best["tree"]
    assert {"`T/K`", "`50%`"} == set(map(str, model.sympy().free_symbols))
    assert r"\text{50\%}" in model.latex()
    np.testing.assert_allclose(model.predict(frame), Y, rtol=1e-9)


@pytest.mark.parametrize("names", [["a", "a"], [1, 2], "ab", ["a", ""]])
def test_names_that_cannot_be_told_apart_are_refused(names):
    with pytest.raises(DataError, match="name"):
        BasicSR(config=QUICK).fit(X, Y, variable_names=names)
    with pytest.raises(DataError, match="2 times"):
        BasicSR(config=QUICK).fit(pd.DataFrame(X, columns=["a", "a"]), Y)


FREE = GuardRules(max_overhead=1.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from pysr_neural.model.config import ProposerConfig
    from pysr_neural.model.policy import ProposerModel

    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = ProposerConfig(width=32, heads=2, layers=2, feedforward=64, latents=4, encoder_layers=1)
    ProposerModel(config).save_pretrained(folder)
    return folder


def test_proposers_have_the_short_forms_of_pysr_s(checkpoint):
    few = QUICK.changed(generations=2, guard=FREE)
    for form in (checkpoint, str(checkpoint), NeuralProposer(checkpoint=str(checkpoint), max_overhead=1.0)):
        model = BasicSR(config=few, proposer=form).fit(X, Y)
        assert model.neural_report_.checkpoint == "tiny"
        assert model.neural_report_.served > 0
        assert not model.neural_report_.failures
        assert clone(model).proposer == form
    mine = BasicSR(config=few, proposer="pysr_neural.proposer.scripted:RandomProposer")
    with pytest.raises(CheckpointError):  # as with PySR, a text alone is a checkpoint
        mine.fit(X, Y)
    mine.set_params(proposer=NeuralProposer(proposer="pysr_neural.proposer.scripted:RandomProposer"))
    assert mine.fit(X, Y).neural_report_.checkpoint.endswith("RandomProposer")


def test_the_bundled_checkpoint_goes_by_name():
    model = BasicSR(config=QUICK.changed(guard=FREE), generations=1, proposer="default").fit(X, Y)
    assert model.neural_report_.checkpoint == "default"
    assert model.neural_report_.served > 0


def test_settings_of_neural_help_hold_in_place_of_the_config_s():
    script = ScriptedProposer([parse("x0 * x1")])
    helped = NeuralProposer(proposer=script, levels=("seed",), max_overhead=0.5, temperature=0.7)
    settings = BasicSR(config=QUICK, proposer=helped)._settings()
    assert (settings.levels, settings.guard.max_overhead, settings.proposal_temperature) == (("seed",), 0.5, 0.7)
    assert BasicSR(config=QUICK, proposer=helped, levels="child")._settings().levels == ("child",)
    asked = []
    opened = script.open
    script.open = lambda problem: asked.append(opened(problem)) or asked[-1]
    assert BasicSR(config=QUICK, proposer=helped).fit(X, Y).neural_report_.levels == ("seed",)
    assert [request.temperature for request in asked[0].requests] == [0.7]
    silent = BasicSR(config=QUICK, generations=1, proposer=NeuralProposer(proposer=script, levels=())).fit(X, Y)
    assert silent.neural_report_ is None


@pytest.mark.parametrize(
    ("proposer", "said"),
    [
        (ScriptedProposer, "proposer must be .* Pass an instance, not its class"),
        (3, "proposer must be None, 'default'"),
        ({}, "proposer must be"),
        (NeuralProposer(trace="somewhere"), "trace='somewhere'"),
    ],
)
def test_what_is_no_proposer_is_refused_before_the_search(proposer, said):
    model = BasicSR(config=QUICK, proposer=proposer)
    with pytest.raises(ConfigError, match=said):
        model.fit(X, Y)
    assert not hasattr(model, "result_")


def test_no_checkpoint_is_refused_before_the_search(tmp_path):
    for nowhere in (tmp_path / "nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(CheckpointError, match="does not exist"):
            BasicSR(config=QUICK, proposer=nowhere).fit(X, Y)
    for slip, meant in (("polcy", "policy"), ("defualt", "default")):
        with pytest.raises(CheckpointError, match=f"Did you mean '{meant}'"):
            BasicSR(config=QUICK, proposer=slip).fit(X, Y)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm clock")
def test_ctrl_c_keeps_what_was_found():
    class Alarm(ScriptedProposer):
        def open(self, problem):
            signal.setitimer(signal.ITIMER_REAL, 1.0)  # From the search on, however long the way to it was.
            return super().open(problem)

    def press(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    try:
        with pytest.warns(RuntimeWarning, match="interrupted"):
            model = BasicSR(generations=10**9, timeout_in_seconds=100, proposer=Alarm([])).fit(X, np.sin(7 * Y))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert model.interrupted_
    assert model.result_.stopped_by == "interrupt"
    assert model.result_.seconds < 50
    assert model.predict(X).shape == Y.shape
    assert len(model.equations_) > 0
    assert not BasicSR(config=QUICK, generations=1).fit(X, Y).interrupted_


def test_guesses_are_read_in_the_variables_names():
    frame = pd.DataFrame(X, columns=["a", "T/K"])
    settings = QUICK.changed(generations=0, optimize_constants=False)
    for guesses in (["a * `T/K`"], "a * `T/K`", [parse("x0 * x1")]):
        model = BasicSR(config=settings, guesses=guesses).fit(frame, Y)
        assert model.equation_ == "(a * `T/K`)"
    with pytest.raises(ExpressionError):
        BasicSR(config=settings, guesses=["a * q"]).fit(frame, Y)
