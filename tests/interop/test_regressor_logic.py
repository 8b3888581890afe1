"""The estimator's own logic, on a stand-in for PySR that needs no Julia."""

import importlib.util
import inspect
import os
import pickle
import sys
import types
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import CheckpointError, ConfigError, DataError
from pysr_neural.interop import julia as boot_module
from pysr_neural.interop import plugin as plugin_module
from pysr_neural.proposer.scripted import RandomProposer

X = np.linspace(-1, 1, 12).reshape(-1, 1)
Y = X[:, 0] ** 2


class StandIn(BaseEstimator):
    """What the estimator relies on in PySR's."""

    expression_spec, unary_operators, binary_operators, maxsize = None, ("cos",), ("+", "*"), 30

    def __init__(
        self,
        model_selection="best",
        *,
        niterations=10,
        plugins=None,
        worker_imports=None,
        parallelism=None,
        deterministic=False,
        cluster_manager=None,
        default_mutations=None,
        type_spec=None,
        precision=32,
        warm_start=False,
        random_state=None,
        verbosity=1,
        **kwargs,
    ):
        for name in kwargs:
            raise TypeError(f"`{name}` is not a valid keyword argument for PySRRegressor.")
        self.model_selection = model_selection
        self.niterations = niterations
        self.plugins = plugins
        self.worker_imports = worker_imports
        self.parallelism = parallelism
        self.deterministic = deterministic
        self.cluster_manager = cluster_manager
        self.default_mutations = default_mutations
        self.type_spec = type_spec
        self.precision = precision
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbosity = verbosity

    def fit(self, X, y, *, weights=None, variable_names=None):
        if self.niterations < 0:
            raise ValueError("niterations")
        return self._run(X, y, runtime_params=None, parallelism=self.parallelism or "multithreading")

    @classmethod
    def from_file(cls, *, run_directory, binary_operators=None, **pysr_kwargs):
        if not (Path(run_directory) / "checkpoint.pkl").exists():
            return cls(**pysr_kwargs)
        model = pickle.loads((Path(run_directory) / "checkpoint.pkl").read_bytes())
        return model.set_params(**pysr_kwargs)

    def _run(self, X, y, runtime_params, parallelism):
        self.seen_ = (self.plugins, self.worker_imports)
        self.equations_ = {"complexity": [1], "equation": ["x0"]}
        self.feature_names_in_ = [f"x{i}" for i in range(np.shape(X)[1])]
        if callable(weights := getattr(self, "during_", None)):
            weights()
        return self

    def _define_julia_expression_types(self):
        pass


class FakePlugin(plugin_module.NeuralProposerPlugin):
    def start_server(self):
        return None

    def report(self, fronts=()):
        return plugin_module.NeuralReport(levels=self.levels, calls=3)


@pytest.fixture
def regressor(monkeypatch):
    fake = types.ModuleType("pysr")
    fake.PySRRegressor, fake.__version__ = StandIn, "0"
    monkeypatch.setitem(sys.modules, "pysr", fake)
    path = Path(boot_module.__file__).with_name("regressor.py")
    spec = importlib.util.spec_from_file_location("regressor_on_a_stand_in", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "NeuralProposerPlugin", FakePlugin)
    return module.PySRRegressor


OURS = NeuralProposer(proposer="a:b")


def test_the_signature_is_pysr_s_and_ours(regressor):
    names = set(inspect.signature(regressor).parameters)
    assert names == set(inspect.signature(StandIn).parameters) | {"neural_proposer"}
    model = regressor(niterations=3, neural_proposer=OURS)
    assert model.get_params()["neural_proposer"] is OURS
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(neural_proposer=None).neural_proposer is None
    assert pickle.loads(pickle.dumps(regressor(neural_proposer=OURS))).neural_proposer == OURS
    assert "weights" in inspect.signature(regressor.fit).parameters


def test_the_plugin_is_there_for_the_search_alone(regressor):
    mine = object()
    model = regressor(neural_proposer=OURS, plugins=[mine]).fit(X, Y)
    plugins, imports = model.seen_
    assert plugins[0] is mine
    assert isinstance(plugins[1], FakePlugin)
    assert imports is None
    assert model.plugins == [mine]
    assert model.neural_report_.calls == 3


def test_a_failing_search_leaves_the_parameters_alone(regressor):
    model = regressor(neural_proposer=OURS, parallelism="multiprocessing", worker_imports=["Mine"])

    def fail():
        raise KeyboardInterrupt

    model.during_ = fail
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert model.seen_[1] == ["Mine", "NeuralProposer"]
    assert model.plugins is None
    assert model.worker_imports == ["Mine"]
    assert not hasattr(model, "neural_report_")


def test_none_adds_nothing_at_all(regressor):
    model = regressor().fit(X, np.where(X[:, 0] > 0, np.nan, 1.0))
    assert model.seen_ == (None, None)
    assert not hasattr(model, "neural_report_")
    model.set_params(neural_proposer=OURS).fit(X, Y)
    model.set_params(neural_proposer=None).fit(X, Y)
    assert not hasattr(model, "neural_report_")


@pytest.mark.parametrize(
    ("parameters", "synchronous"),
    [
        ({"deterministic": True, "parallelism": "serial"}, True),
        ({"deterministic": False, "parallelism": "serial"}, False),
        ({"deterministic": True}, False),
    ],
)
def test_reproducible_searches_wait_for_answers(regressor, parameters, synchronous):
    model = regressor(neural_proposer=OURS, **parameters).fit(X, Y)
    assert model.seen_[0][0].synchronous is synchronous


def test_remote_workers_get_a_host_name_and_find_the_package(regressor, monkeypatch):
    model = regressor(neural_proposer=OURS, parallelism="multiprocessing", cluster_manager="slurm")
    model.during_ = lambda: paths.append(os.environ["JULIA_LOAD_PATH"])
    monkeypatch.delenv("JULIA_LOAD_PATH", raising=False)
    paths = []
    model.fit(X, Y)
    assert model.seen_[0][0].host
    monkeypatch.setenv("JULIA_LOAD_PATH", "mine")
    model.fit(X, Y)
    folder = str(boot_module.package_folder().parent)
    assert paths == [os.pathsep + folder, "mine" + os.pathsep + folder]
    assert os.environ["JULIA_LOAD_PATH"] == "mine"


@pytest.mark.parametrize(
    ("X", "y", "part"),
    [
        (X, np.where(np.arange(12) == 4, np.nan, Y), r"y must be finite; got 1 .* \[4\]"),
        (X, np.where(np.arange(12) == 4, np.inf, Y), "y must be finite"),
        (np.where(X > 0.9, np.nan, X), Y, "X must be finite"),
        (X, Y[:-1], "12 rows in X and 11 in y"),
    ],
)
def test_bad_data_is_refused_before_the_search(regressor, X, y, part):
    model = regressor(neural_proposer=OURS)
    with pytest.raises(DataError, match=part):
        model.fit(X, y)
    assert not hasattr(model, "seen_")


def test_data_of_other_types_is_left_to_pysr(regressor):
    regressor(neural_proposer=OURS, type_spec="strings").fit([["a"]], ["b", "c"])
    regressor(neural_proposer=OURS).fit(X.astype(int), Y.astype(int))
    regressor(neural_proposer=OURS).fit(X.astype(object), Y)


def test_wrong_settings_are_refused_before_the_search(regressor, tmp_path):
    for value, error, part in (
        (3, ConfigError, "neural_proposer must be"),
        (str(tmp_path / "nothing"), CheckpointError, "nothing"),
        (NeuralProposer(checkpoint=str(tmp_path / "model.pt")), CheckpointError, "pickle"),
    ):
        model = regressor(neural_proposer=value)
        with pytest.raises(error, match=part):
            model.fit(X, Y)
        assert not hasattr(model, "seen_")


def test_unknown_keywords_get_the_right_suggestion(regressor):
    with pytest.raises(TypeError, match="Did you mean `neural_proposer`"):
        regressor(neural_propose="default")
    with pytest.raises(TypeError, match="niteration"):
        regressor(niteration=3)


def test_default_mutations_together_with_children_warn(regressor):
    children = NeuralProposer(proposer="a:b", levels=("child",))
    with pytest.warns(UserWarning, match="default_mutations"):
        regressor(neural_proposer=children, default_mutations={}).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = NeuralProposer(proposer="a:b", levels=("seed", "prior"))
        regressor(neural_proposer=silent, default_mutations={}).fit(X, Y)


@pytest.mark.parametrize(("x", "y"), [(X, 1e-26 * Y), (X, 1e20 * Y), (X, 1e9 + Y), (1e40 * X, Y), (1e-20 * X, Y)])
def test_data_that_single_precision_cannot_hold_warn_and_show_in_the_report(regressor, x, y):
    with pytest.warns(UserWarning, match="cannot hold all of these data: .*precision=64") as told:
        model = regressor(neural_proposer=OURS).fit(x, y)
    assert told[0].filename == __file__
    (note,) = model.neural_report_.notes
    assert "precision=64" in note
    assert note in str(model.neural_report_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert regressor(neural_proposer=OURS, precision=64).fit(x, y).neural_report_.notes == ()
        regressor(neural_proposer=None).fit(x, y)
        regressor(neural_proposer=OURS).fit(X, 1e10 * Y)
        regressor(neural_proposer=OURS).fit(X, np.full(12, 0.1))
        quiet = regressor(neural_proposer=OURS, verbosity=0).fit(x, y)
    assert quiet.neural_report_.notes == (note,)
    model.fit(X, Y)
    assert model.neural_report_.notes == ()


def test_many_columns_are_told_in_one_warning(regressor):
    with pytest.warns(UserWarning, match=r"X\[:, 2\] .* And so for 4 more\.$") as told:
        model = regressor(neural_proposer=OURS).fit(np.repeat(1e40 * X, 7, axis=1), Y)
    assert len(told) == 1
    assert len(model.neural_report_.notes) == 7


def test_weights_do_not_reach_the_proposer_and_the_report_says_so(regressor, monkeypatch):
    model = regressor(neural_proposer=OURS).fit(X, Y, weights=np.ones(12))
    assert "weights" in model.neural_report_.notes[0]
    assert "weights" in str(model.neural_report_)
    assert regressor(neural_proposer=replace(OURS, levels=())).fit(X, Y, weights=np.ones(12)).neural_report_.notes == ()
    told = plugin_module.NeuralReport(notes=model.neural_report_.notes)  # The engine says so too.
    monkeypatch.setattr(FakePlugin, "report", lambda self, fronts: told)
    assert model.fit(X, Y, weights=np.ones(12)).neural_report_.notes == told.notes


def test_a_refused_fit_keeps_the_report_of_the_last_one(regressor, tmp_path):
    model = regressor(neural_proposer=OURS).fit(X, Y)
    report = model.neural_report_
    with pytest.raises(DataError):
        model.fit(X, Y[:-1])
    assert model.neural_report_ is report
    for wrong, error in (({"neural_proposer": 3}, ConfigError), ({"niterations": -1}, ValueError)):
        model.set_params(**wrong)
        with pytest.raises(error):
            model.fit(X, Y)
        assert model.neural_report_ is report
        model.set_params(neural_proposer=OURS)
    model.set_params(niterations=1).fit(X, Y)
    assert model.neural_report_ is not report


def test_a_run_of_plain_pysr_is_read_back_as_ours_and_goes_on_with_help(regressor, tmp_path):
    plain = StandIn(niterations=7).fit(X, Y)
    (tmp_path / "checkpoint.pkl").write_bytes(pickle.dumps(plain))
    model = regressor.from_file(run_directory=tmp_path, neural_proposer=OURS, warm_start=True)
    assert type(model) is regressor
    assert model.get_params()["neural_proposer"] is OURS
    assert model.niterations == 7
    assert model.equations_ == plain.equations_
    assert model.fit(X, Y).neural_report_.calls == 3
    assert regressor.from_file(run_directory=tmp_path).neural_proposer is None
    later = regressor.from_file(run_directory=tmp_path).set_params(neural_proposer=OURS, warm_start=True).fit(X, Y)
    assert later.neural_report_.calls == 3
    assert clone(later).get_params() == later.get_params()


def test_runs_of_our_own_are_read_back_as_they_are(regressor, tmp_path):
    mine = regressor(neural_proposer=OURS).fit(X, Y)
    (tmp_path / "checkpoint.pkl").write_bytes(pickle.dumps(mine))
    assert regressor.from_file(run_directory=tmp_path).neural_proposer == OURS
    assert regressor.from_file(run_directory=tmp_path, neural_proposer=None).neural_proposer is None
    fresh = regressor.from_file(run_directory=tmp_path / "nothing", niterations=3, neural_proposer=OURS)
    assert (fresh.niterations, fresh.neural_proposer) == (3, OURS)
    assert "binary_operators" in inspect.signature(regressor.from_file).parameters


def test_with_verbosity_0_nothing_of_ours_is_heard(regressor, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(FakePlugin, "report", lambda self, fronts: 1 / 0)
    monkeypatch.setattr(FakePlugin, "import_trace", lambda self, seed, facts: 1 / 0)
    ours = replace(OURS, trace=str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = regressor(neural_proposer=ours, verbosity=0, default_mutations={}).fit(X, 1e200 * Y)
    assert model.seen_[0][0].verbose is False
    assert [text.split(":")[0] for text in model.neural_report_.failures] == ["report", "trace"]
    with pytest.warns(RuntimeWarning, match="division"):
        assert regressor(neural_proposer=OURS).fit(X, Y).seen_[0][0].verbose is True
    assert capfd.readouterr() == ("", "")


def test_a_finished_search_is_not_lost_over_its_report(regressor, monkeypatch):
    monkeypatch.setattr(FakePlugin, "report", lambda self, fronts: 1 / 0)
    with pytest.warns(RuntimeWarning, match="division by zero"):
        model = regressor(neural_proposer=OURS).fit(X, Y)
    assert "division by zero" in model.neural_report_.failures[0]


def test_a_finished_search_is_not_lost_over_its_trace(regressor, monkeypatch, tmp_path):
    def fails(self, seed, facts):
        raise TypeError("keys must be text")

    monkeypatch.setattr(FakePlugin, "import_trace", fails)
    with pytest.warns(RuntimeWarning, match="keys must be text"):
        model = regressor(neural_proposer=replace(OURS, trace=str(tmp_path))).fit(X, Y)
    assert model.neural_report_.calls == 3


def test_going_on_as_plain_pysr_loads_the_package_for_the_old_state(regressor, monkeypatch):
    loaded = []
    monkeypatch.setattr(boot_module, "load_package", lambda: loaded.append(1))
    model = regressor(neural_proposer=OURS, warm_start=True).fit(X, Y)
    assert not loaded
    model.set_params(neural_proposer=None).fit(X, Y)
    assert loaded
    assert not hasattr(model, "neural_report_")
    model.fit(X, Y)
    assert len(loaded) == 1


def test_a_proposer_object_is_a_short_form(regressor):
    model = regressor(neural_proposer=RandomProposer()).fit(X, Y)
    assert isinstance(model.seen_[0][0].config.proposer, RandomProposer)
