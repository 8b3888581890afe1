"""The loop: it finds laws, is reproducible, obeys its limits, and survives any proposer."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from pysr_neural.deadline import Deadline
from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, variable
from pysr_neural.expression.text import parse, to_string
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Child, Prior, ProposalBatch
from pysr_neural.proposer.guarded import GuardRules, ProposerWarning
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from pysr_neural.state import KINDS
from pysr_neural_baseline.config import BasicSRConfig, MutationWeights
from pysr_neural_baseline.objective import Objective
from pysr_neural_baseline.search import Search, run_search
from pysr_neural_baseline.selection import Selection
from pysr_neural_baseline.variation import EvolutionaryProposer, Variation
from tests.baseline.watching import Diary
from tests.strategies import make_problem

ARITHMETIC = ("+", "-", "*", "/")
TARGET = parse("x0 / (x1 + 1) - x0 * x1")


def hard_problem():
    return make_problem(ARITHMETIC, target=lambda a, b: a / (b + 1) - a * b)


def small(**changes):
    return BasicSRConfig.reference(**{"population_size": 20, "generations": 30, "extra_generations": 0, **changes})


def unlimited(**changes):
    return small(guard=GuardRules(max_overhead=1.0, retry_after=5), **changes)


def quiet_search(*args, **kws):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProposerWarning)
        return run_search(*args, **kws)


def same(a, b):
    return [(m.tree, m.cost, m.ref, m.parents) for m in a.population] == [
        (m.tree, m.cost, m.ref, m.parents) for m in b.population
    ] and a.evaluations == b.evaluations


def test_reference_finds_a_product_in_a_few_generations():
    problem = make_problem(ARITHMETIC, rows=50, target=lambda a, b: a * b**2)
    result = run_search(problem, small(generations=60), seed=1)
    assert result.stopped_by == "solved"
    assert result.generations < 60
    assert result.hall_of_fame.front()[-1].loss < 1e-20
    assert result.best.tree.size == 5


def test_default_preset_fits_constants():
    problem = make_problem(ARITHMETIC, target=lambda a, b: 2.7 * a * b + 0.3)
    results = [run_search(problem, BasicSRConfig(generations=400), seed=seed) for seed in range(8, 16)]
    assert sum(result.hall_of_fame.front()[-1].loss < 1e-15 for result in results) >= 6
    assert any(result.stopped_by == "solved" for result in results)


def test_same_seed_gives_the_same_search_and_leaves_global_state_alone():
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    results = [run_search(hard_problem(), small(), seed=seed) for seed in (3, 3, 4)]
    assert same(results[0], results[1])
    assert not same(results[0], results[2])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_slot_zero_is_the_best_ever():
    costs = []
    run_search(
        hard_problem(),
        small(),
        seed=0,
        callback=lambda search: costs.append(
            (search.population[0].cost, min(m.cost for m in search.population), search.best.cost)
        ),
    )
    for (_, cheapest, best), (elite, _, later) in pairwise(costs):
        assert best <= cheapest
        assert elite == best
        assert later <= best
    assert costs[-1][2] < costs[0][2]


def test_ancestry_names_the_parents_of_every_member():
    config = small(generations=10)
    history = []
    result = run_search(hard_problem(), config, seed=2, callback=lambda s: history.append(list(s.population)))
    history.append(list(result.population))
    size = config.population_size
    assert len(result.ancestry) == 11 * size
    for generation, members in enumerate(history):
        for slot, member in enumerate(members):
            assert member.ref == generation * size + slot
            assert result.ancestry.parents(member.ref) == member.parents
            assert all((generation - 1) * size <= ref < generation * size for ref in member.parents)
            assert len(member.parents) == (0 if generation == 0 else 2 if member.kind == "crossover" else 1)
    ancestors = result.ancestry.ancestors(result.best.ref)
    assert any(ref < size for ref in ancestors)
    assert result.best.ref not in ancestors


def test_children_are_made_from_their_parents():
    history = []
    run_search(hard_problem(), small(generations=8), seed=2, callback=lambda s: history.append(list(s.population)))
    members = {member.ref: member for generation in history for member in generation}
    for member in members.values():
        if member.kind == "do_nothing":
            assert member.tree == members[member.parents[0]].tree
        if member.kind == "crossover":
            first, second = (members[ref].tree for ref in member.parents)
            assert any(first.replace(i, donor) == member.tree for i in range(first.size) for donor in set(second))


def test_hall_of_fame_is_a_front():
    result = run_search(hard_problem(), small(), seed=0)
    front = result.hall_of_fame.front()
    sizes, losses = [m.tree.size for m in front], [m.loss for m in front]
    assert sizes == sorted(set(sizes))
    assert losses == sorted(set(losses), reverse=True)
    assert all(m.loss <= other.loss for m, other in zip(front, front, strict=True))


def test_solved_search_looks_for_a_simpler_solution_as_long_as_told():
    problem = make_problem(ARITHMETIC, target=lambda a, b: a + b * b)
    short = run_search(problem, small(generations=400), seed=0)
    long = run_search(problem, small(generations=400, extra_generations=25), seed=0)
    assert (short.stopped_by, long.stopped_by) == ("solved", "solved")
    assert long.generations == short.generations + 25


def test_a_solution_of_one_node_ends_the_search_at_once():
    problem = make_problem(ARITHMETIC, target=lambda a, b: b)
    result = run_search(problem, small(extra_generations=500))
    assert (result.generations, result.stopped_by, result.best.tree) == (0, "solved", variable(1))


def test_limits_end_the_search():
    ticks = iter(range(10**6))
    timed = run_search(hard_problem(), small(generations=10**6, timeout_seconds=50), clock=lambda: float(next(ticks)))
    assert timed.stopped_by == "time"
    assert timed.generations < 50
    counted = run_search(hard_problem(), small(generations=10**6, max_evaluations=200))
    assert counted.stopped_by == "evaluations"
    assert 200 <= counted.evaluations < 220
    stopped = run_search(hard_problem(), small(), callback=lambda search: search.generation == 3)
    assert (stopped.stopped_by, stopped.generations) == ("callback", 3)
    assert run_search(hard_problem(), small(generations=0)).generations == 0


def test_progress_rises_to_one():
    seen = []
    run_search(hard_problem(), small(), callback=lambda search: seen.append(search.progress))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, pytest.approx(29 / 30))


def test_reference_objective_skips_bad_points_and_the_default_counts_them():
    X = np.linspace(-1.0, 1.0, 20)[:, None]
    problem = Problem(X, np.sqrt(np.abs(X[:, 0])), OperatorSet.of("+", "sqrt", "/"), Limits(15))
    assert Objective(problem, BasicSRConfig.reference()).loss(parse("sqrt(x0)")) == 0.0
    assert Objective(problem, BasicSRConfig()).loss(parse("sqrt(x0)")) == float("inf")
    partly = BasicSRConfig(skip_bad_points=True)
    assert Objective(problem, partly).loss(parse("sqrt(x0)")) == 0.0
    assert Objective(problem, partly).loss(parse("sqrt(x0 + -0.5)")) == float("inf")


def test_relative_loss_does_not_depend_on_units():
    problem = hard_problem()
    scaled = Problem(problem.X, 1000 * problem.y, problem.operators, problem.limits)
    config = BasicSRConfig()
    tree = parse("x0 * 1000")
    one, thousand = Objective(problem, config), Objective(scaled, config)
    assert thousand.cost(thousand.loss(tree), 3) == pytest.approx(one.cost(one.loss(parse("x0")), 3))


def test_operators_that_cannot_be_evaluated_are_refused():
    problem = Problem(np.ones((3, 1)), np.arange(3.0), OperatorSet(("bessel", "+"), (1, 2)))
    with pytest.raises(ConfigError, match="Use PySR"):
        run_search(problem)


def test_a_scripted_child_is_found():
    result = run_search(hard_problem(), unlimited(), ScriptedProposer([parse("x0 + 1"), TARGET]), seed=0)
    assert result.stopped_by == "solved"
    best = result.hall_of_fame.front()[-1]
    assert best.tree == TARGET
    assert best.neural
    assert (result.counts.served, result.counts.accepted, result.seeded) == (2, 2, 2)


def test_a_proposed_child_with_the_lowest_loss_is_not_refused_by_chance(monkeypatch):
    monkeypatch.setattr(Selection, "refusal", lambda *args: "frequency")
    config = BasicSRConfig(generations=30, levels=("child",), guard=GuardRules(max_overhead=1.0))
    result, diary = watched(config, ScriptedProposer([parse("x0 + 1"), TARGET], cycle=True), problem=hard_problem())
    assert TARGET in [member.tree for member in result.hall_of_fame.front()]
    told = {(event[4], event[6], event[-2]) for event in diary.of("proposal")}
    assert ("neural", to_string(TARGET), "") in told
    assert ("neural", "(x0 + 1.0)", "frequency") in told


def test_improvement_is_counted_against_parents_or_the_best():
    config = unlimited(levels=("child",), generations=1, proposal_share=0.2)
    script = [Child(TARGET, "neural", (0,)), Child(parse("x0"), "neural", (0,)), Child(TARGET), Child(parse("x0"))]
    result = run_search(hard_problem(), config, ScriptedProposer(script), seed=0)
    assert (result.counts.accepted, result.counts.improved) == (4, 2)


def test_seeds_enter_the_initial_population_and_the_rest_is_ordinary():
    seen = []
    config = unlimited(levels=("seed",), generations=1, proposal_share=0.2)
    proposer = ScriptedProposer([TARGET, parse("x0 - x1")])
    result = run_search(hard_problem(), config, proposer, callback=lambda search: seen.append(search.population))
    first = [to_string(member.tree) for member in (seen[0] if seen else result.population)]
    assert first[:4] == [to_string(TARGET), "(x0 - x1)", "x0", "x1"]
    assert len(first) == 20
    assert (result.counts.calls, result.counts.served, result.counts.fallbacks) == (1, 2, 2)


def test_refresh_asks_only_when_the_search_stagnates():
    config = unlimited(levels=("refresh",), stagnation=5, generations=40)
    session_calls = []
    problem = make_problem(("+",), target=lambda a, b: np.sin(7 * a))
    run_search(problem, config, ScriptedProposer([]), callback=lambda s: session_calls.append(s.session.counts.calls))
    assert session_calls[4] == 0
    assert 1 <= session_calls[-1] <= 40 // 5


def test_neural_descent_is_inherited():
    config = unlimited(levels=("seed",), generations=20, extra_generations=30)
    result = run_search(hard_problem(), config, ScriptedProposer([parse("x0 / (x1 + 1)")]), seed=1)
    roots = {ref for ref in result.ancestry.ancestors(result.best.ref) if ref < 20}
    assert result.best.neural == (0 in roots or result.best.ref == 0)


class Broken:
    """Fails in one of the ways in which a proposer can."""

    def __init__(self, way):
        self.way = way

    def open(self, problem):
        if self.way == "open":
            raise OSError("no model here")
        return self

    def propose(self, request):
        if self.way == "raise":
            raise RuntimeError("out of memory")
        return {
            "none": None,
            "number": 3,
            "empty": ProposalBatch(),
            "garbage": ProposalBatch((1, 2)),
            "wrong": ProposalBatch((Child(variable(99)), Child(Node()), Child(parse("sin(x0)")))),
        }[self.way]


@pytest.mark.parametrize("way", ["open", "raise", "none", "number", "empty", "garbage", "wrong"])
def test_a_failing_proposer_does_not_break_the_search(way):
    config = unlimited(generations=12)
    result = quiet_search(hard_problem(), config, Broken(way), seed=3)
    assert result.generations == 12
    assert result.counts.served == 0
    assert result.counts.fallbacks == 4 * 13
    assert result.counts.invalid or way == "empty"
    assert bool(result.failures) == (way in ("open", "raise", "none", "number"))
    assert same(result, run_search(hard_problem(), small(generations=12), seed=3)), "the fallback is the plain search"


def test_children_with_infinite_loss_do_no_harm():
    result = run_search(
        hard_problem(),
        unlimited(guarded_arithmetic=False),
        ScriptedProposer([parse("1 / (x0 - x0)")], cycle=True),
        seed=0,
    )
    assert result.counts.accepted == 0
    assert np.isfinite(result.best.loss)


@pytest.mark.parametrize("proposer", [RandomProposer(), EvolutionaryProposer(BasicSRConfig.reference())])
def test_any_proposer_runs_in_the_same_loop_and_reproducibly(proposer):
    config = unlimited(levels=("seed", "child"), proposal_share=1.0)
    first, again = (run_search(hard_problem(), config, proposer, seed=5) for _ in range(2))
    assert same(first, again)
    assert first.counts.served == 19 * 31
    assert first.counts.fallbacks == 0
    assert first.seeded == 19
    assert first.best.neural


def test_requests_describe_the_search():
    proposer = ScriptedProposer([])
    search = Search(hard_problem(), unlimited(generations=3, max_size=11, levels="all"), proposer, 0, lambda: 0.0)
    search.run()
    requests = search.session._inner.requests
    assert [len(request.members) for request in requests] == [0, 20, 20, 20]
    assert [request.levels for request in requests] == [
        ("seed",),
        *[("child", "kind", "parents", "crossover", "prior")] * 3,
    ]
    assert {request.max_size for request in requests} == {11}
    assert len({request.seed for request in requests}) == 4
    assert [round(request.progress, 2) for request in requests] == [0.0, 0.33, 0.67, 1.0]


class Taped:
    """Another proposer, with a copy of everything that it answers."""

    def __init__(self, inner):
        self.inner, self.answers = inner, []

    def open(self, problem):
        self.session = self.inner.open(problem)
        return self

    def propose(self, request):
        self.answers.append(self.session.propose(request))
        return self.answers[-1]


def default(**changes):
    settings = {"populations": 2, "population_size": 12, "generations": 40, "cycles_per_iteration": 5}
    return BasicSRConfig.of(**settings | {"guard": GuardRules(max_overhead=1.0)} | changes)


PRESETS = {"default": default, "reference": unlimited}


def watched(config, proposer=None, seed=0, problem=None):
    diary = Diary()
    result = run_search(problem or hard_problem(), config, proposer, seed, observer=diary)
    return result, diary


@pytest.mark.parametrize("preset", PRESETS)
def test_a_script_of_the_evolutionary_proposer_s_choices_gives_the_same_search_step_for_step(preset):
    config = PRESETS[preset](proposal_share=1.0, generations=20)
    expert = Taped(EvolutionaryProposer(config))
    first, diary = watched(config, expert, 3)
    again, replayed = watched(config, ScriptedProposer(expert.answers), 3)
    assert diary.events == replayed.events
    assert same(first, again)
    assert first.counts.served > 100
    assert {event[-1] for event in diary.of("proposal")} >= {True}


def test_a_script_of_the_plain_search_s_children_gives_the_plain_search_step_for_step():
    plain, diary = watched(small(generations=15), seed=4)
    generations = {}
    refs = [member[0] for member in diary.of("population")[0][3]]
    populations = {0: {ref: i for i, ref in enumerate(refs)}}
    for event in diary.of("population")[1:]:
        populations[event[2]] = {ref: i for i, (ref, _) in enumerate(event[3])}
    for _, _, iteration, _, kind, parents, child, *_ in diary.of("proposal"):
        positions = tuple(populations[iteration][ref] for ref in parents)
        generations.setdefault(iteration, []).append(Child(parse(child), kind, positions))
    script = [ProposalBatch(tuple(children[1:])) for children in generations.values()]
    config = unlimited(generations=15, levels=("child",), proposal_share=1.0)
    replay, replayed = watched(config, ScriptedProposer(script), 4)
    assert same(plain, replay)
    assert [event[:-1] for event in diary.events] == [event[:-1] for event in replayed.events]


@pytest.mark.parametrize("preset", PRESETS)
def test_same_seed_same_events_and_watching_changes_nothing(preset):
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    config = PRESETS[preset](generations=25)
    (first, one), (_, two), (_, other) = (watched(config, seed=seed) for seed in (7, 7, 8))
    assert one.events == two.events
    assert one.events != other.events
    assert same(first, run_search(hard_problem(), config, seed=7))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("proposer", [None, RandomProposer()])
def test_the_events_tell_every_member_s_life(preset, proposer):
    config = PRESETS[preset](generations=40, levels=("seed", "child"))
    result, diary = watched(config, proposer, 2)
    alive = {}
    seen = set()
    for event in diary.events:
        name, population = event[:2]
        here = alive.setdefault(population, set())
        born = None
        if name == "population":
            if event[2] == 0:
                here.update(ref for ref, _ in event[3])
                seen.update(here)
            assert here == {ref for ref, _ in event[3]}
        elif name == "proposal":
            kind, parents, ref, accepted, reason = event[4], event[5], event[7], event[10], event[11]
            assert kind in KINDS
            assert set(parents) <= seen
            assert accepted == (ref >= 0) == (reason == "")
            assert reason in ("", "constraints", "loss", "annealing", "frequency")
            born = ref if accepted else None
        elif name == "relink":
            assert event[3] in ("simplify", "tuning", "migration")
            here.remove(event[4])
            born = event[5]
        else:
            here.remove(event[4])
        if born is not None:
            assert born not in seen, "refs are unique"
            here.add(born)
            seen.add(born)
    assert seen <= set(range(len(result.ancestry)))


def test_default_preset_uses_all_of_its_machinery():
    _, diary = watched(default(generations=300, migration=0.05, optimize_probability=0.5), seed=1)
    kinds = {event[4] for event in diary.of("proposal")}
    assert kinds >= {"constant", "operator", "feature", "swap", "rotate", "add", "delete", "do_nothing", "crossover"}
    assert {event[3] for event in diary.of("relink")} == {"simplify", "tuning", "migration"}
    assert {event[1] for event in diary.of("population")} == {0, 1}
    turns = [(event[2], event[1]) for event in diary.of("population")]
    assert turns == sorted(turns)
    assert {event[11] for event in diary.of("proposal")} >= {"", "annealing", "frequency"}


@pytest.mark.parametrize("variation", ["kinds", "grow"])
@pytest.mark.parametrize("replacement", ["oldest", "generational"])
def test_variation_and_replacement_combine(variation, replacement):
    result = run_search(hard_problem(), default(variation=variation, replacement=replacement), seed=0)
    assert result.generations == 40
    assert len(result.population) == 24
    assert result.best.cost < 0.9


def test_limits_on_depth_and_nesting_are_kept():
    limits = Limits(max_size=15, max_depth=4, nested=((0, 0, 0),))
    problem = make_problem(("sin", "+", "*"), target=lambda a, b: np.sin(a * b + b) * a, limits=limits)
    for preset in PRESETS.values():
        result = run_search(problem, preset(), seed=0)
        assert {check_tree(member.tree, problem) for member in result.population} == {None}


class Steering:
    """Answers everything but children."""

    def __init__(self, **parts):
        self.parts, self.requests = parts, []

    def open(self, problem):
        return self

    def propose(self, request):
        self.requests.append(request)
        members = len(request.members)
        weights = np.linspace(1.0, 2.0, members) if members and "parent_weights" in self.parts else None
        return ProposalBatch(**self.parts | {"parent_weights": weights})


def test_kind_weights_choose_the_kinds():
    weights = np.zeros(len(KINDS))
    weights[KINDS.index("rotate")] = 1.0
    config = default(levels=("kind", "crossover"))
    _, diary = watched(config, Steering(kind_weights=weights, crossover_probability=0.0))
    assert {event[4] for event in diary.of("proposal")} <= {"rotate", "do_nothing"}
    _, diary = watched(config, Steering(crossover_probability=1.0))
    assert {event[4] for event in diary.of("proposal")} == {"crossover"}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_prior_keeps_new_symbols_to_what_it_names(preset):
    problem = make_problem(("+", "*", "sin"), target=lambda a, b: a * b * b + a, limits=Limits(15))
    names = problem.operators.names
    pairs = np.tile([0.0, 1.0, *[float(name == "*") for name in names]], (len(names) + 1, 1))
    prior = Prior(np.array([float(name == "*") for name in names]), np.array([1.0, 0.0]), pairs)
    config = PRESETS[preset](levels=("prior",), crossover_probability=0.0)
    _, diary = watched(config, Steering(prior=prior), problem=problem)
    initial = " ".join(text for event in diary.of("population")[:1] for _, text in event[3])
    assert "sin" in initial
    last = [text for event in diary.of("population")[-2:] for _, text in event[3]]
    assert sum("*" in text for text in last) > sum("sin" in text for text in last)


def test_parent_weights_follow_members():
    proposer = Steering(parent_weights=True)
    result = run_search(hard_problem(), default(levels=("parents",)), proposer, seed=1)
    assert result.counts.calls == 40
    assert {request.levels for request in proposer.requests} == {("parents",)}
    assert not same(result, run_search(hard_problem(), default(), seed=1))


def test_refresh_injects_whatever_it_costs():
    config = default(levels=("refresh",), stagnation=3, generations=60)
    problem = make_problem(("+",), target=lambda a, b: np.sin(7 * a))
    poor = parse("x0 + x0 + x0 + x0 + x0")
    result, diary = watched(config, ScriptedProposer([poor], cycle=True), problem=problem)
    injected = [event for event in diary.of("proposal") if event[-1]]
    assert result.injected == len(injected) > 0
    assert all(event[10] for event in injected)


def test_seeds_are_dealt_to_all_populations():
    config = default(levels=("seed",), generations=0)
    seeds = [parse(f"x0 + {i}.5") for i in range(4)]
    result, diary = watched(config, ScriptedProposer(seeds))
    assert result.seeded == 4
    firsts = [[text for _, text in event[3]][:2] for event in diary.of("population")]
    assert firsts == [["(x0 + 0.5)", "(x0 + 2.5)"], ["(x0 + 1.5)", "(x0 + 3.5)"]]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "case", ["one row", "constant y", "zero y", "duplicate columns", "huge", "one feature", "size 1"]
)
def test_odd_problems_finish(preset, case):
    X = np.random.default_rng(0).uniform(0.5, 2.0, (10, 2))
    y, limits = X[:, 0] * X[:, 1], Limits(10)
    if case == "one row":
        X, y = X[:1], y[:1]
    if case in ("constant y", "zero y"):
        y = np.full(10, 3.25 if case == "constant y" else 0.0)
    if case == "duplicate columns":
        X = np.column_stack([X[:, 0], X[:, 0]])
    if case == "huge":
        X, y = X * 1e150, y * 1e150
    if case == "one feature":
        X = X[:, :1]
    if case == "size 1":
        limits = Limits(1)
    problem = Problem(X, y, OperatorSet.of("+", "*", "exp"), limits)
    result = run_search(problem, PRESETS[preset](generations=20), seed=0)
    assert np.isfinite(result.best.loss) or case == "huge"
    assert result.hall_of_fame.front() or case == "huge"


BARE = (
    BasicSRConfig(constants=(), generations=60),
    BasicSRConfig(constants=(), generations=30, mutations=MutationWeights(simplify=5.0, rotate=1.0)),
    BasicSRConfig.reference(constants=(), population_size=20, generations=20),
    BasicSRConfig.reference(constants=(), population_size=20, generations=20, simplify=True, levels="all"),
)


class Everything(Diary):
    """Every tree that a search accepted, wherever it came from."""

    def __init__(self):
        super().__init__()
        self.trees = []

    def population(self, population, iteration, members):
        self.trees += [member.tree for member in members]

    def proposal(self, told):
        self.trees += [told.child] if told.accepted else []

    def relink(self, population, iteration, event, old_ref, member):
        self.trees.append(member.tree)


@pytest.mark.parametrize("config", BARE)
@pytest.mark.parametrize(
    "proposer", [None, RandomProposer(), ScriptedProposer([parse("x0 + 0.7"), parse("x0 / x0")], cycle=True)]
)
def test_no_constants_means_none_anywhere(config, proposer):
    problem = make_problem(ARITHMETIC, target=lambda a, b: a + 0.7 * b)
    watcher = Everything()
    config = config.changed(guard=GuardRules(max_overhead=1.0))
    result = quiet_search(problem, config, proposer, seed=1, observer=watcher)
    assert len(watcher.trees) > 50
    found = [*watcher.trees, *(member.tree for member in result.hall_of_fame.front())]
    assert not [tree for tree in found if tree.constants()]
    if isinstance(proposer, ScriptedProposer):
        assert result.counts.invalid["child: constant"]


def test_a_transformer_proposes_no_constants_where_there_are_none():
    from pysr_neural.model.config import ProposerConfig
    from pysr_neural.model.policy import ProposerModel
    from pysr_neural.proposer.neural.transformer import TransformerProposer

    model = ProposerModel(ProposerConfig(width=32, heads=2, layers=2, feedforward=64, latents=4, encoder_layers=1))
    proposer = TransformerProposer(model.eval())
    problem = make_problem(ARITHMETIC, target=lambda a, b: a + 0.7 * b)
    config = BasicSRConfig(constants=(), generations=4, levels="all", guard=GuardRules(max_overhead=1.0))
    result = run_search(problem, config, proposer)
    assert result.counts.served > 0
    assert "child: constant" not in result.counts.invalid
    assert not [member for member in result.population if member.tree.constants()]


class Interrupting:
    """Raises KeyboardInterrupt instead of the n-th call of a function."""

    def __init__(self, function, n):
        self.function, self.left = function, n

    def __call__(self, *args, **kws):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.function(*args, **kws)


@pytest.mark.parametrize("preset", ["default", "reference"])
@pytest.mark.parametrize("after", [5, 60, 333])
def test_an_interrupt_keeps_what_was_found(monkeypatch, preset, after):
    config = BasicSRConfig.of(preset, population_size=20, generations=10**6, timeout_seconds=60)
    search = Search(hard_problem(), config, None, 0)
    interrupting = Interrupting(search.objective._values, after)
    monkeypatch.setattr(search.objective, "_values", interrupting)
    result = search.run()
    assert interrupting.left == 0
    assert result.stopped_by == "interrupt"
    front = result.hall_of_fame.front()
    assert front
    assert result.best.cost == min(member.cost for member in result.hall_of_fame.best.values())
    objective = Objective(hard_problem(), config)
    assert all(objective.loss(member.tree) == member.loss for member in front)


def test_an_interrupt_before_anything_was_found_goes_on_as_one():
    with pytest.raises(KeyboardInterrupt):
        run_search(hard_problem(), unlimited(), ScriptedProposer([KeyboardInterrupt()]))


def test_an_interrupt_within_the_proposer_or_the_callback_keeps_what_was_found():
    script = ScriptedProposer([parse("x0"), KeyboardInterrupt()])
    result = run_search(hard_problem(), unlimited(), script)
    assert (result.stopped_by, result.generations) == ("interrupt", 1)

    def stop(search):
        if search.generation == 3:
            raise KeyboardInterrupt

    result = run_search(hard_problem(), small(), callback=stop)
    assert (result.stopped_by, result.generations) == ("interrupt", 3)


def test_an_interrupt_of_the_last_fits_keeps_what_was_found(monkeypatch):
    config = BasicSRConfig(generations=3)
    search = Search(hard_problem(), config, None, 0)
    monkeypatch.setattr(search, "_finish", Interrupting(None, 1))
    assert search.run().stopped_by == "interrupt"


class Clock:
    """Time that passes only where something is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def costing(self, function, seconds):
        def timed(*args, **kws):
            self.now += seconds
            return function(*args, **kws)

        return timed


ONE_EVALUATION = 0.25


def timed_search(preset, seconds, proposer=None, monkeypatch=None, **changes):
    """A search in which an evaluation takes a quarter of a second, and nothing else any time."""
    clock = Clock()
    config = BasicSRConfig.of(preset, timeout_seconds=seconds, population_size=20, generations=10**6, **changes)
    search = Search(hard_problem(), config.changed(guard=GuardRules(max_overhead=1.0)), proposer, 0, clock)
    monkeypatch.setattr(search.objective, "_values", clock.costing(search.objective._values, ONE_EVALUATION))
    return search, clock


@pytest.mark.parametrize("preset", ["default", "reference"])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 3.0, 11.0, 60.0])
def test_a_time_limit_holds_to_one_evaluation(preset, seconds, monkeypatch):
    search, _ = timed_search(preset, seconds, monkeypatch=monkeypatch)
    result = search.run()
    assert result.stopped_by == "time"
    assert result.seconds <= seconds + ONE_EVALUATION
    assert result.seconds >= 0.85 * seconds
    assert result.hall_of_fame.front()


def test_a_time_limit_waits_for_the_first_member_that_counts(monkeypatch):
    search, _ = timed_search("default", 0.0, ScriptedProposer([parse("x0 / (x0 - x0)")]), monkeypatch=monkeypatch)
    search.objective.problem = search.problem
    assert search.run().hall_of_fame.front()


def test_the_end_of_an_iteration_and_the_last_fits_keep_to_the_clock(monkeypatch):
    """A fit takes eight evaluations here."""
    search, clock = timed_search("default", 40.0, monkeypatch=monkeypatch, cycles_per_iteration=1)
    refined = search.objective.refined
    fits = []

    def slow(tree):
        fits.append(clock.now)
        return clock.costing(refined, 8 * ONE_EVALUATION)(tree)

    monkeypatch.setattr(search.objective, "refined", slow)
    result = search.run()
    assert result.seconds <= 40.0 + 9 * ONE_EVALUATION
    assert max(fits) < 40.0
    assert fits[-1] > 0.88 * 40.0


def test_a_fit_on_many_rows_is_given_up_when_time_is_up():
    X = np.random.default_rng(0).uniform(1, 2, (6000, 2))
    problem = Problem(X, np.exp(0.3 * X[:, 0]) + X[:, 1], OperatorSet.of("exp", "+", "*"))
    clock = Clock()
    tree = parse("exp(0.1 * x0) + x1 * 0.7")
    for seconds, better in ((100.0, True), (0.05, False)):
        objective = Objective(problem, BasicSRConfig(), Deadline(seconds, clock))
        functions = objective._refinement.functions
        objective._refinement.functions = {name: clock.costing(f, 0.01) for name, f in functions.items()}
        begun = clock.now
        assert (objective.refined(tree)[0] != tree) is better
        assert clock.now - begun <= (100 if better else 0.07)
    assert Objective(hard_problem(), BasicSRConfig(), Deadline(1.0))._refinement.functions is IEEE


def test_proposers_are_told_how_long_they_may_take(monkeypatch):
    class Slow(ScriptedProposer):
        def open(self, problem):
            session = super().open(problem)
            session.propose = clock.costing(session.propose, 3.0)
            sessions.append(session)
            return session

    sessions = []
    search, clock = timed_search("default", 30.0, Slow([parse("x0")], cycle=True), monkeypatch=monkeypatch)
    result = search.run()
    assert sessions[0].requests[0].seconds == 15.0
    told = [request.seconds for request in sessions[0].requests]
    assert told == sorted(told, reverse=True)
    assert min(told) >= 3.0
    assert result.counts.skipped["too little time left"] > 0
    assert result.seconds <= 30.0 + ONE_EVALUATION
    untimed = small(generations=1, guard=GuardRules(max_overhead=1.0))
    asked = ScriptedProposer([parse("x0")], cycle=True).open(hard_problem())
    asked.open = lambda problem: asked
    run_search(hard_problem(), untimed, asked)
    assert {request.seconds for request in asked.requests} == {None}


def test_guesses_begin_the_search_and_leave_the_rest_of_it_alone():
    X = np.random.default_rng(0).uniform(1, 2, (30, 2))
    problem = Problem(X, X[:, 0] / X[:, 1] + 1.5, OperatorSet.of("+", "/"))
    settings = BasicSRConfig(generations=0, populations=2, population_size=4, optimize_constants=False)
    guesses = [parse("x0 / x1 + 1.5"), parse("x0"), parse("x1")]
    found = run_search(problem, settings, guesses=guesses)
    assert found.best.tree == guesses[0]
    assert len(found.population) == 8
    trees = [member.tree for member in found.population]
    assert trees[:2] == [guesses[0], guesses[2]]
    assert trees[4] == guesses[1]
    assert len(run_search(problem, settings, guesses=guesses * 9).population) == 8
    with pytest.raises(ConfigError, match="guess must be of the search"):
        run_search(problem, settings, guesses=[parse("sin(x0)")])


@pytest.mark.parametrize("simultaneous", [False, True])
def test_children_of_a_cycle_may_all_be_made_from_its_beginning(simultaneous):
    seen = []

    class Watching(Variation):
        def child(self, members, temperature, rng):
            seen.append(tuple([member.ref for member in members]))
            return super().child(members, temperature, rng)

    config = BasicSRConfig(populations=1, population_size=10, generations=4, simultaneous=simultaneous)
    Search(hard_problem(), config, None, 0, variation=Watching).run()
    cycles = [set(seen[at : at + 10]) for at in range(0, 40, 10)]
    assert len(seen) == 40
    assert all(len(cycle) == 1 for cycle in cycles) == simultaneous
    assert len(set().union(*cycles)) > 3
