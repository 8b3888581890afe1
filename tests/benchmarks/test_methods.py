"""Methods: each keeps the contract on a small problem; controls share their budget."""

import json
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pysr_neural.config import NeuralProposer
from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural_benchmarks.methods import controls, others, peers, pretrained
from pysr_neural_benchmarks.methods import pysr as pysr_module
from pysr_neural_benchmarks.methods.base import Budget, Found, Outcome, Step
from pysr_neural_benchmarks.methods.registry import METHODS, make
from pysr_neural_benchmarks.report.compare import main as compare_main
from pysr_neural_benchmarks.runner import catalogue
from tests.interop.conftest import SMALL

X = np.random.default_rng(0).uniform(0.5, 3.0, (40, 2))
PROBLEM = Problem(X, X[:, 0] * X[:, 1] + X[:, 0], OperatorSet.of("+", "*"), Limits(max_size=9))
FOR_PYSR = replace(PROBLEM, operators=OperatorSet.of(*SMALL["binary_operators"]))
"""With the operators of the other tests in Julia: a search of any others is compiled anew."""


@pytest.mark.parametrize("name", ["basicsr", "basicsr:reference"])
def test_fronts_come_with_times_in_order(name):
    method = make(name)
    method.warm_up(PROBLEM)
    outcome = method.fit(PROBLEM, Budget(evaluations=3000), 1)
    assert outcome.steps
    times = [(step.seconds, step.evaluations, step.iteration) for step in outcome.steps]
    assert times == sorted(times)
    assert outcome.evaluations >= times[-1][1]
    for found in outcome.steps[-1].front:
        assert parse(found.equation).size == found.complexity <= 9
    again = method.fit(PROBLEM, Budget(evaluations=3000), 1)
    assert [step.front for step in again.steps] == [step.front for step in outcome.steps]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neuralsr", "neuralsr:whole", "neuralsr:kind,child", "direct:16"])
def test_the_model_s_methods_keep_the_contract(name):
    method = make(name)
    outcome = method.fit(PROBLEM, Budget(seconds=2.0, evaluations=300), 1)
    assert outcome.steps[-1].front
    assert outcome.counters


class Engine:
    """Stands for PySR: every search takes all of its time and finds something."""

    def __init__(self, parameters=None):
        self.asked = []

    def warm_up(self, problem):
        pass

    def search(self, problem, budget, seed, **changes):
        self.asked.append((budget, seed, changes))
        seconds = budget.seconds or 1.0
        front = (Found(3, 1.0 / len(self.asked), "(x0 * x1)"),)
        return Outcome((Step(seconds / 2, 50, front, 5),), seconds, 100, 10)


def test_restarts_share_the_budget_and_keep_the_best(monkeypatch):
    monkeypatch.setattr(controls, "PySR", Engine)
    method = controls.restarts("2", "")
    outcome = method.fit(PROBLEM, Budget(seconds=5.0), 7)
    assert [budget.seconds for budget, _, _ in method.pysr.asked] == [2.0, 2.0, 1.0]
    seeds = [seed for _, seed, _ in method.pysr.asked]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert [step.seconds for step in outcome.steps] == [1.0, 3.0, 4.5]
    assert [step.front[0].loss for step in outcome.steps] == [1.0, 0.5, 1 / 3]
    assert outcome.evaluations == 300
    by_count = method.fit(PROBLEM, Budget(evaluations=250), 7)
    assert by_count.evaluations == 300
    with pytest.raises(ConfigError, match="a number above 0; got 'x'"):
        controls.restarts("x", "")


@pytest.mark.parametrize("make", [controls.prior_samples, controls.combined_samples])
def test_prior_samples_are_refined_offered_and_paid_for(monkeypatch, make):
    monkeypatch.setattr(pysr_module.PySR, "__init__", lambda self, parameters=None: None)
    method = make("40", "")
    asked = []

    def search(problem, budget, seed, **changes):
        asked.append((budget, changes))
        return Outcome((Step(0.1, 5, (Found(1, 9.0, "x0"),), 1),), 1.0, 10, 2)

    monkeypatch.setattr(method, "search", search)
    outcome = method.fit(PROBLEM, Budget(seconds=60.0), 3)
    ((budget, changes),) = asked
    assert 0 < len(changes["guesses"]) <= controls.GUESSES
    assert budget.seconds < 60.0
    assert outcome.evaluations == 50
    assert outcome.steps[-1].evaluations == 45
    assert outcome.seconds > 1.0
    for text in changes["guesses"]:
        assert {node.operator for node in parse(text)} <= {"+", "*", None}


def test_distilled_parameters_come_from_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr(controls, "PySR", lambda parameters: parameters)
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"weight_add_node": 3.0}))
    assert controls.distilled(str(path), "") == {"weight_add_node": 3.0}
    path.write_text("[1]")
    with pytest.raises(ConfigError, match="one JSON object"):
        controls.distilled(str(path), "")
    with pytest.raises(ConfigError, match="pysr-distilled:FILE"):
        controls.distilled("", "")


def test_every_arm_gives_pysr_the_same():
    given = pysr_module.parameters_of(PROBLEM, Budget(seconds=2.0), 5)
    assert given["timeout_in_seconds"] == 2.0
    assert given["random_state"] == 5
    assert given["parallelism"] == "serial"
    assert given["binary_operators"] == ["+", "*"]
    assert "max_evals" not in given


def test_gplearn_s_programs_are_read():
    add, log = SimpleNamespace(name="add", arity=2), SimpleNamespace(name="log", arity=1)
    tree = others._read_gplearn([add, log, 0, 2.5])
    assert tree == parse("log(abs(x0)) + 2.5")


def test_predicted_equations_are_read_whatever_their_variables_are_called():
    for text in ("(x1 * x2) + x1", "(x_1 * x_2) + x_1", "(v1 * v2) + v1"):
        assert pretrained.read(text, PROBLEM).loss < 1e-20
    assert pretrained.read("nonsense(", PROBLEM) is None
    assert pretrained.read("Abs(x_1*x_2) + x_1*E/E + pi - pi", PROBLEM).loss < 1e-20
    assert pretrained._without_padding("x_1*x_2*x_3 + x_12", 2) == "x_1*x_2*1 + 1"


@pytest.mark.parametrize("name", ["gplearn", "operon", "rils-rols"])
def test_other_people_s_methods_keep_the_contract_where_installed(name):
    pytest.importorskip(METHODS[name].needs[0][0])
    outcome = make(name).fit(PROBLEM, Budget(evaluations=500), 0)
    assert outcome.steps[-1].front
    assert all(parse(found.equation).size == found.complexity for found in outcome.steps[-1].front)


@pytest.mark.slow
def test_psrn_keeps_the_contract_where_installed():
    pytest.importorskip("psrn")
    method = make("psrn:layers=2,inputs=3")
    outcome = method.fit(PROBLEM, Budget(seconds=3.0), 0)
    assert outcome.steps[-1].front[-1].loss < 1e-10
    assert outcome.evaluations > 100


@pytest.mark.parametrize("evaluations", [1, 1500, 2500, 40_000])
def test_operon_s_runs_end_whatever_the_budget_in_evaluations(evaluations):
    pytest.importorskip("pyoperon")
    target = np.sin(3 * X[:, 0] * X[:, 1]) / (X[:, 0] + np.exp(-X[:, 1]))
    hard = Problem(X, target, OperatorSet.of("+", "*", "sin"), Limits(max_size=12))
    outcome = make("operon").fit(hard, Budget(evaluations=evaluations), 1)
    assert outcome.steps
    assert 1000 <= outcome.evaluations < 1.5 * evaluations + 20_000
    assert outcome.iterations >= 1


def test_operon_hands_its_front_out_in_time(monkeypatch):
    pytest.importorskip("pyoperon")
    monkeypatch.setattr(others, "time", SimpleNamespace(perf_counter=time.process_time))  # A crowd takes none of it.
    target = np.sin(3 * X[:, 0] * X[:, 1]) / (X[:, 0] + np.exp(-X[:, 1]))
    outcome = make("operon").fit(Problem(X, target, OperatorSet.of("+", "*"), Limits(9)), Budget(seconds=3.0), 1)
    assert len(outcome.steps) > 1
    assert outcome.steps[0].seconds < 1.5
    assert outcome.seconds < 4.0


@pytest.mark.parametrize(
    ("budget", "seconds", "evaluations", "generation", "fitting"),
    [
        (Budget(seconds=10.0), 0.0, 0, 0, 1),
        (Budget(seconds=10.0), 1.0, 99, 1, 9),
        (Budget(seconds=10.0), 9.5, 99, 10, 0),
        (Budget(seconds=100.0), 1.0, 99, 1, others.SLICE),
        (Budget(evaluations=1000), 1.0, 250, 1, 3),
        (Budget(10.0, 1000), 5.0, 900, 9, 1),
    ],
)
def test_operon_gets_the_generations_that_fit(budget, seconds, evaluations, generation, fitting):
    assert others._slice(budget, seconds, evaluations, generation) == fitting


@pytest.mark.parametrize(("name", "function"), [("min", np.minimum), ("max", np.maximum)])
def test_operon_s_minimum_and_maximum_are_what_they_are_called(name, function):
    pytest.importorskip("pyoperon")
    target = function(X[:, 0], X[:, 1])
    problem = Problem(X, target, OperatorSet.of("+", name), Limits(max_size=9))
    best = make("operon").fit(problem, Budget(evaluations=60_000), 1).steps[-1].front[-1]
    assert best.loss < 1e-6 * np.var(target)
    assert best.equation.count(name) > 0


def test_peers_arguments_are_checked(monkeypatch):
    with pytest.raises(ConfigError, match="psrn takes layers=NUMBER,inputs=NUMBER; got 'layers=x'"):
        peers.psrn("layers=x", "")
    assert (peers.psrn("inputs=4", "").inputs, peers.psrn("layers=3", "").layers) == (4, 3)
    with pytest.raises(ConfigError, match="rils-rols takes no argument"):
        peers.rils_rols("fast", "")


def test_peers_equations_are_read_and_fitted_again():
    found = peers.read("((0.999998*(x0*x1))+(ln(exp(x0))))", PROBLEM, refit=True)
    assert found.loss < 1e-20
    assert peers.read("x0*x1 + x0 + 0*E + 0*pi", PROBLEM).loss < 1e-20
    tiny = replace(PROBLEM, y=1e-7 * PROBLEM.X[:, 0])  # RILS-ROLS prints six digits, whatever the size.
    small = peers.read("(0.000000*x0)", tiny, refit=True)
    assert small.equation == "(1e-07 * x0)"
    worse = peers.read("0.9*(x0*x1) + x0", PROBLEM, refit=True)
    assert worse.equation == "((0.9 * (x0 * x1)) + x0)"
    assert worse.loss > 1e-3
    assert peers.read("Abs(x0", PROBLEM) is None
    assert peers.read("x0 / 0", PROBLEM) is None


def test_backsolve_gives_pysr_s_own_mutation_a_weight(monkeypatch):
    monkeypatch.setattr(controls, "load_package", lambda: None)
    monkeypatch.setattr(controls, "PySR", lambda parameters: parameters)
    monkeypatch.setitem(sys.modules, "pysr", SimpleNamespace(BacksolveMutation=lambda: "backsolve"))
    assert controls.backsolve("", "") == {"mutations": {"backsolve": 0.05}}
    assert controls.backsolve("weight=0.3", "") == {"mutations": {"backsolve": 0.3}}
    helped = {"mutations": {"backsolve": 0.3}, "neural_proposer": NeuralProposer(checkpoint="mine")}
    assert controls.backsolve("help,weight=0.3", "mine") == helped
    for wrong in ("0.3", "weight=x", "terms=3", "weight=0.1,weight=0.2"):
        with pytest.raises(ConfigError, match="pysr-backsolve"):
            controls.backsolve(wrong, "")


@pytest.mark.julia
def test_pysr_searches_with_its_own_joiner():
    outcome = make("pysr-backsolve:weight=0.5").fit(FOR_PYSR, Budget(seconds=20.0, evaluations=20_000), 0)
    assert outcome.steps[-1].front


def test_flash_ansr_s_prefix_is_read():
    for tokens, text in [
        (["+", "*", "2.5", "x1", "sin", "x2"], "2.5 * x0 + sin(x1)"),
        (["pow", "x1", "-1.5"], "x0 ^ -1.5"),
        (["rootn", "x1", "3"], "x0 ^ (1 / 3)"),
        (["div3", "pow2", "pow1_2", "x2"], "((x1 ^ (1 / 2)) ^ 2) / 3"),
        (["neg", "inv", "np.pi"], "neg(inv(3.141592653589793))"),
    ]:
        assert parse(pretrained.infix(tokens), ["x1", "x2"]) == parse(text)
    assert pretrained.infix(["+", "x1"]) is None
    assert pretrained.infix(["x1", "x2"]) is None
    assert pretrained.read(pretrained.infix(["nosuch"]), PROBLEM) is None


def test_the_newer_flash_ansr_is_asked_as_its_source_says(monkeypatch, tmp_path):
    asked = []

    class Model:
        @classmethod
        def load(cls, folder, *, compute):
            asked.append((folder, compute))
            return cls()

        def fit(self, X, y, variable_names, *, draws, seed):
            asked.append((X.shape, y.shape, variable_names, draws, seed))
            return SimpleNamespace(candidates=[0], get_expression=lambda i, **kind: ["+", "*", "x1", "x2", "x1"])

    module = SimpleNamespace(ComputeConfig=object, FlashANSR=Model)
    monkeypatch.setitem(sys.modules, "flash_ansr", module)
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        pretrained.FlashANSR(str(tmp_path), "")
    for name in ("model.yaml", "tokenizer.yaml", "model.safetensors"):
        (tmp_path / name).touch()
    method = pretrained.FlashANSR(str(tmp_path), "")
    outcome = method.fit(PROBLEM, Budget(evaluations=64), 5)
    assert outcome.steps[-1].front[0].loss < 1e-20
    assert asked == [(str(tmp_path), {"workers": 0}), ((40, 2), (40, 1), None, 64, 5)]


def test_suites_and_methods_are_listed(capsys, tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.csv").write_text("a,b,y\n1,2,3\n2,3,5\n4,5,9\n")
    monkeypatch.chdir(tmp_path)
    assert catalogue.main(["--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert listed["suites"]["toy"] == 21
    assert listed["suites"]["mine"] == 1
    assert "pysr-restarts" in listed["methods"]
    assert catalogue.main(["measured", "mine"]) == 0
    assert "mine/mine" in capsys.readouterr().out


def test_a_method_is_not_compared_with_itself(tmp_path):
    with pytest.raises(ConfigError, match="'basicsr' twice"):
        compare_main(["basicsr", "basicsr", "--out", str(tmp_path)])


def test_two_methods_head_to_head(tmp_path, capsys):
    given = ["basicsr", "basicsr:reference", "--suite", "toy", "--problems", "quadratic", "--budget", "2000evals"]
    assert compare_main([*given, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "compare.md").read_text()
    assert "### quadratic, basicsr:reference, seed 0" in text
    assert "by iterations" in text
    assert (tmp_path / "trajectories.png").read_bytes()[:4] == b"\x89PNG"
    assert "Written to" in capsys.readouterr().out


@pytest.mark.julia
def test_pysr_s_fronts_have_times():
    assert "torch" not in sys.modules or "juliacall" in sys.modules
    method = make("pysr")
    outcome = method.fit(FOR_PYSR, Budget(seconds=5.0), 0)
    times = [step.seconds for step in outcome.steps]
    assert times == sorted(times)
    assert times[0] > 0
    assert min(found.loss for found in outcome.steps[-1].front) < 1e-9
    assert outcome.evaluations >= outcome.steps[-1].evaluations > 0
