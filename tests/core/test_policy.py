"""The policy: exact probabilities, what it can represent, what is possible, faults."""

import math
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest

from pysr_neural.errors import CheckpointError, ConfigError
from pysr_neural.expression.constraints import check_language
from pysr_neural.expression.edits import edited
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.proposer.base import Action, ProposalRequest
from pysr_neural.proposer.guarded import reason_against
from pysr_neural.proposer.policy import proposer
from pysr_neural.proposer.policy.choosers import Recorded, Sampler
from pysr_neural.proposer.policy.language import Language
from pysr_neural.proposer.policy.network import CHOSEN_KINDS, HEADS, PolicyConfig, PolicyNetwork
from pysr_neural.proposer.policy.population import ODDS, TOURNAMENTS, PopulationState
from pysr_neural.proposer.policy.proposer import BUNDLED, PolicyProposer, state_of
from pysr_neural.proposer.policy.symbols import SymbolHead
from pysr_neural.proposer.policy.walk import Walk
from pysr_neural.state import MemberView
from tests.strategies import make_problem

UNDECIDED = ("simplify", "optimize", "constant")
"""Kinds whose child only an engine can make."""


def views(*texts, losses=None):
    losses = losses or [1.0 + i for i in range(len(texts))]
    trees = [text if isinstance(text, Node) else parse(text) for text in texts]
    return tuple(MemberView(t, loss, t.size, birth=i) for i, (t, loss) in enumerate(zip(trees, losses, strict=True)))


def network(seed=0, scale=0.3, **config):
    """A network that decides in no simple way."""
    plain = PolicyNetwork.initial(PolicyConfig(**config), seed)
    rng = np.random.default_rng(seed)
    weights = {
        name: (scale * rng.standard_normal(w.shape)).astype(np.float32) if name[-2:] in (".w", ".a", ".p", ".b") else w
        for name, w in plain.weights.items()
    }
    return PolicyNetwork(weights, plain.config)


def state(members, max_size=6, **problem):
    problem = {"operators": ("+", "sin"), "features": 2, **problem}
    return PopulationState(Language(make_problem(**problem)), members, max_size, 0.3)


class Scripted:
    """Follows a path of choices, and then the first that is possible; says what else there was."""

    def __init__(self, weights, path):
        self.sampler, self.path = Sampler(weights, 1, np.random.default_rng(0)), path
        self.log_probability, self.entropy, self.branches = 0.0, 0.0, []

    def choose(self, head, rows, question):
        shares, entropies = self.sampler.shares(head, question)
        row = 0 if question.of is None else int(question.of[0])
        possible = np.flatnonzero(shares[row])
        number = len(self.branches)
        chosen = self.path[number] if number < len(self.path) else int(possible[0])
        self.branches.append(possible.tolist())
        self.log_probability += math.log(shares[row][chosen])
        self.entropy += entropies[row]
        self.path = [*self.path[:number], chosen, *self.path[number + 1 :]]
        return np.array([chosen])


def enumerate_actions(weights, here, most=200_000):
    """All actions of a state, as (decided, log-probability, sum of conditional entropies)."""
    waiting, found = [[]], []
    while waiting:
        path = waiting.pop()
        chooser = Scripted(weights, path)
        made = Walk(here, 1, weights.config.kinds).run(chooser)[0]
        found.append((made, chooser.log_probability, chooser.entropy))
        for depth in range(len(path), len(chooser.branches)):
            waiting += [[*chooser.path[:depth], other] for other in chooser.branches[depth][1:]]
        assert len(found) + len(waiting) < most
    return found


KINDS = tuple(kind for kind in CHOSEN_KINDS if kind != "randomize")


@pytest.fixture(scope="module")
def enumerated():
    weights = network(kinds=KINDS)
    here = state(views("x0 + 1.5", "sin(x1)"))
    return weights, here, enumerate_actions(weights, here)


def test_probabilities_of_all_actions_sum_to_one(enumerated):
    _, _, found = enumerated
    assert sum(math.exp(log) for _, log, _ in found) == pytest.approx(1.0, abs=1e-9)
    assert len({made for made, _, _ in found}) == len(found)
    assert {made[0] for made, _, _ in found} == {*KINDS, "crossover"}


def test_entropies_add_up_to_that_of_all_actions(enumerated):
    _, _, found = enumerated
    whole = -sum(math.exp(log) * log for _, log, _ in found)
    assert sum(math.exp(log) * entropy for _, log, entropy in found) == pytest.approx(whole, rel=1e-6)


def test_samples_come_as_often_as_their_probabilities_say(enumerated):
    weights, here, found = enumerated
    count = 4000
    sampler = Sampler(weights, count, np.random.default_rng(1))
    made = Walk(here, count, KINDS).run(sampler)
    known = {decided: log for decided, log, _ in found}
    for decided, log in zip(made[:300], sampler.log_probability, strict=False):
        assert log == pytest.approx(known[decided], abs=1e-4)
    kinds, expected = Counter(decided[0] for decided in made), Counter()
    for decided, log, _ in found:
        expected[decided[0]] += math.exp(log)
    assert sum(abs(kinds[k] / count - expected[k]) for k in expected) / 2 < 0.03
    entropy = sum(math.exp(log) * e for _, log, e in found)
    assert sampler.entropy.mean() == pytest.approx(entropy, rel=0.05)


def test_recorded_actions_are_scored_as_they_were_drawn():
    weights, here = network(2), state(views("x0 + sin(x1)", "sin(x0 + 1.5)", "x1"), max_size=9)
    seen = {}

    def watch(head, rows, question, chosen):
        shares, _ = Sampler(weights, 1, np.random.default_rng(0)).shares(head, question)
        own = shares if question.of is None else shares[question.of]
        for row, share in zip(rows, own[np.arange(len(rows)), chosen], strict=True):
            seen[row] = seen.get(row, 0.0) + math.log(share)

    sampler = Sampler(weights, 60, np.random.default_rng(5))
    made = Walk(here, 60).run(sampler)
    actions = [Action(*decided) for decided in made]
    recorded = Recorded(actions, here.language, watch)
    assert Walk(here, 60).run(recorded) == made
    assert recorded.possible.all()
    assert [seen[i] for i in range(60)] == pytest.approx(sampler.log_probability.tolist(), abs=1e-4)


@pytest.mark.parametrize("foresight", [True, False])
def test_a_head_of_tables_draws_as_questions_do(foresight):
    weights = network(3, 0.1, foresight=foresight)
    members = views("x0 + sin(x1)", "sin(x0 + 1.5) * x1", "x1", "x0 + x1 + sin(sin(x0))", "2.5")
    here = state(members, max_size=12, operators=("+", "*", "sin"))
    if not foresight:
        here.language.looks_ahead = False
    found = []
    for symbols in (None, SymbolHead(weights, here.language)):
        sampler = Sampler(weights, 400, np.random.default_rng(5), 0.8, symbols=symbols)
        found.append((Walk(here, 400).run(sampler), sampler.log_probability, sampler.entropy))
    (asked, *numbers), (told, *others) = found
    assert {"operator", "feature", "add", "insert", "randomize"} <= {made[0] for made in asked}
    assert told == asked
    assert np.allclose(others, numbers, rtol=1e-5)


def test_what_is_not_possible_is_noted():
    here = state(views("x0 + x1", "x1"), max_size=3)
    small = Action("insert", (0,), edited_edit(0, "sin(x0)"))
    fine = Action("do_nothing", (1,))
    recorded = Recorded([small, fine], here.language)
    Walk(here, 2).run(recorded)
    assert recorded.possible.tolist() == [False, True]


def edited_edit(node, text):
    from pysr_neural.expression.edits import Edit

    return Edit(node, -1, parse(text))


def test_a_low_temperature_takes_the_likeliest():
    weights, here = network(4), state(views("x0 + 1.5", "sin(x1)"))
    cold = Sampler(weights, 50, np.random.default_rng(0), 1e-4)
    assert len(set(Walk(here, 50).run(cold))) == 1
    assert np.allclose(cold.entropy, 0, atol=1e-3)


def shares_of(weights, here, head, count=400):
    """Probabilities in the first question of a head."""
    found = []

    def watch(name, rows, question, chosen):
        if name == head and not found:
            shares, _ = Sampler(weights, 1, np.random.default_rng(0)).shares(head, question)
            found.append((question, shares, rows))

    Walk(here, count, weights.config.kinds).run(Sampler(weights, count, np.random.default_rng(0), watch=watch))
    return found[0]


def changed(**arrays):
    plain = PolicyNetwork.initial()
    weights = dict(plain.weights)
    for name, value in arrays.items():
        weights[name.replace("_", ".")] = np.asarray(value, dtype=np.float32)
    return PolicyNetwork(weights)


def test_untrained_it_decides_uniformly():
    here = state(views("x0 + 1.5", "sin(x1)", "x0"))
    for head in HEADS:
        question, shares, _ = shares_of(changed(), here, head)
        mask = np.ones_like(shares, bool) if question.mask is None else question.mask
        assert shares == pytest.approx(mask / mask.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("members", [20, 100])
def test_a_tournament_is_a_special_case(size, members):
    direct = np.zeros(HEADS["parent"].options)
    direct[ODDS + size - 1] = 1.0
    losses = np.random.default_rng(0).permutation(members) + 1.0
    here = state(views(*["x0 + x1"] * members, losses=losses.tolist()))
    _, shares, _ = shares_of(changed(parent_a=direct), here, "parent")
    ranks = here.ranks
    exact = [math.comb(members - 1 - r, size - 1) / math.comb(members, size) for r in ranks]
    assert shares[0] == pytest.approx(exact, abs=1e-6)
    assert size <= TOURNAMENTS


def test_a_tournament_with_ties_is_a_special_case():
    losses = [2.0, 1.0, 2.0, 3.0, 1.0, 2.0, 5.0]
    direct = np.zeros(HEADS["parent"].options)
    direct[ODDS + 2] = 1.0
    here = state(views(*["x0"] * 7, losses=losses))
    _, shares, _ = shares_of(changed(parent_a=direct), here, "parent")
    exact = np.zeros(7)
    for drawn in combinations(range(7), 3):
        best = [i for i in drawn if losses[i] == min(losses[j] for j in drawn)]
        exact[best] += 1 / len(best) / math.comb(7, 3)
    assert shares[0] == pytest.approx(exact, abs=1e-6)
    assert here.odds.sum(axis=0) == pytest.approx(np.ones(TOURNAMENTS))


def test_odds_of_fewer_members_than_a_tournament_has():
    here = state(views("x0", "x1"))
    assert here.odds[:, 2:] == pytest.approx(np.array([[1.0] * 3, [0.0] * 3]))
    assert np.isfinite(here.member_features).all()


def test_a_member_knows_how_often_a_mate_fits():
    here = state(views("x0 + sin(x1)", "sin(sin(x0 + x1))", "x1"), max_size=6)
    trees = [member.tree for member in here.members]
    for i, first in enumerate(trees):
        fits = [np.mean([first.size - a.size + b.size <= 6 for a in first for b in second]) for second in trees]
        assert here.mate_shares[i] == pytest.approx(fits @ here.odds, rel=1e-5)


def test_any_rule_by_rank_is_a_special_case():
    rule = np.random.default_rng(3).dirichlet(np.ones(27))
    direct = np.zeros(HEADS["parent"].options)
    direct[:27] = np.log(rule)
    here = state(views(*["x0"] * 27))
    _, shares, _ = shares_of(changed(parent_a=direct), here, "parent")
    assert shares[0] == pytest.approx(rule[here.ranks], rel=1e-4)


def test_uniform_pairs_of_nodes_that_fit_are_a_special_case():
    here = state(views("x0 + sin(x1)", "sin(sin(x0 + x1))", "x1"), max_size=6)
    weights = changed(cross_a=[-1000.0, 1000.0], node_p=[1.0, 0.0])
    found = enumerate_actions(weights, here)
    by_parents = {}
    for (_, parents, edit), log, _ in found:
        by_parents.setdefault(parents, {})[edit.node, edit.place] = math.exp(log)
    assert len(by_parents) == 9
    for (first, second), pairs in by_parents.items():
        one, two = here.members[first].tree, here.members[second].tree
        fitting = {
            (i, j)
            for i, j in product(range(one.size), range(two.size))
            if one.size - one.at(i).size + two.at(j).size <= 6
        }
        assert {pair for pair, share in pairs.items() if share > 1e-12} == fitting
        shares = np.array([pairs[pair] for pair in fitting])
        assert shares == pytest.approx(np.full(len(shares), shares.mean()), rel=1e-4)


def test_weights_of_kinds_as_the_engine_conditions_them_are_a_special_case():
    from pysr_neural_baseline.config import BasicSRConfig
    from pysr_neural_baseline.mutation import Mutations
    from pysr_neural_baseline.symbols import Symbols

    config, members = BasicSRConfig(), views("x0 + 1.5 * x1", "sin(x1)", "x0", "1.5")
    here = state(members, max_size=30, operators=("+", "*", "sin"))
    engine = Mutations(config, Symbols(here.language.problem), 30, lambda tree: tree)
    from dataclasses import astuple

    logs = [math.log(weight) if weight else -60.0 for weight in astuple(config.mutations)]
    question, shares, rows = shares_of(changed(kind_a=logs, kind_p=[1.0], cross_a=[1000.0, -1000.0]), here, "kind")
    del question, rows
    for i, member in enumerate(members):
        weights = np.array(engine.weights(member.tree))
        assert shares[i] == pytest.approx(weights / weights.sum(), abs=1e-5)


def every_action_is_valid(problem, members, max_size, count=300, weights=None):
    session = PolicyProposer(weights or PolicyNetwork.initial()).open(problem)
    request = ProposalRequest(members, count, ("child",), 3, max_size=max_size, progress=0.5)
    actions = session.propose(request).actions
    assert len(actions) == count
    limits = Limits(min(max_size, problem.limits.max_size), 100, constants=problem.limits.constants)
    for action in actions:
        assert reason_against(action, request) is None, action
        assert math.isfinite(action.log_probability)
        assert action.log_probability <= 0 <= action.entropy + 1e-6
        if action.kind not in UNDECIDED:
            child = edited(action.kind, action.edit, *(members[i].tree for i in action.parents))
            child = child.with_constants([1.0] * len(child.constants()))
            if max(members[i].tree.size for i in action.parents) <= max_size:
                assert check_language(child, problem.operators, problem.X.shape[1], limits) is None, action
    assert session.propose(request).actions == actions
    return actions


@pytest.mark.parametrize("members", [1, 2, 27])
def test_actions_are_valid_by_construction(members):
    problem = make_problem(("+", "-", "*", "/", "sin", "exp"), features=3, limits=Limits(15))
    texts = ["x0", "1.5", "sin(x0 * 1.5) + x1 / (x0 - 2)", "exp(x2)", "(x0 + x1) * (x1 - 2.5)"]
    actions = every_action_is_valid(problem, views(*(texts * 6)[:members]), 15)
    if members == 27:
        assert {action.kind for action in actions} == {*CHOSEN_KINDS, "crossover"}


def test_a_thousand_members():
    problem = make_problem(("+", "*", "sin"), limits=Limits(12))
    rng = np.random.default_rng(0)
    trees = [Node("+", (variable(int(rng.integers(2))), constant(float(i)))) for i in range(1000)]
    every_action_is_valid(problem, views(*trees), 12, count=50)


def test_members_of_one_node():
    problem = make_problem(("+", "sin"), features=1, limits=Limits(4))
    actions = every_action_is_valid(problem, views("x0", "2.5"), 4)
    assert {"add", "insert", "randomize", "crossover"} <= {action.kind for action in actions}
    assert not {"operator", "swap", "delete", "feature"} & {action.kind for action in actions}


def test_trees_at_the_limit_and_beyond_it():
    problem = make_problem(("+", "*"), limits=Limits(9))
    full = parse("x0 + x1 * (x0 + x1 * x0)")
    assert full.size == 9
    actions = every_action_is_valid(problem, views(full, "x0"), 9)
    assert not [a for a in actions if a.kind in ("add", "insert") and a.parents == (0,)]
    every_action_is_valid(problem, views(full, "x0"), 5)  # The limit has been lowered since.


def test_a_limit_of_one_node():
    problem = make_problem(("+",), limits=Limits(1))
    every_action_is_valid(problem, views("x0", "1.5"), 1)


def test_operators_of_one_s_own():
    operators = OperatorSet(("mine", "+", "blend", "pick"), (1, 2, 2, 3))
    X = np.random.default_rng(0).uniform(1, 2, (10, 2))
    problem = Problem(X, X[:, 0], operators, Limits(12))
    blend = Node("pick", (variable(0), Node("mine", (variable(1),)), Node("blend", (variable(1), constant(2.0)))))
    actions = every_action_is_valid(problem, views(blend, "x0"), 12, count=2000)
    places = {a.edit.place for a in actions if a.kind == "swap" and a.edit.node == 0}
    assert places == {0, 1, 2}


def test_searches_without_constants():
    problem = make_problem(("+", "sin"), limits=Limits(8, constants=False))
    for action in every_action_is_valid(problem, views("x0 + x1", "sin(x0)"), 8):
        assert action.edit.planted is None or not action.edit.planted.constants()


def test_without_members_or_level_there_is_nothing_to_vary():
    session = PolicyProposer(network()).open(make_problem())
    assert session.propose(ProposalRequest((), 5, ("seed",), 0)).actions == ()
    assert session.propose(ProposalRequest(views("x0"), 5, ("kind",), 0)).actions == ()


def test_children_that_were_proposed_before_are_passed_over():
    problem = make_problem(("+", "*"), features=2, limits=Limits(5))
    weights = PolicyNetwork.initial(PolicyConfig(kinds=("randomize",)))
    members = views("x0", "x1", "x0 + x1")

    def made(draws):
        session, found = PolicyProposer(weights, draws=draws).open(problem), []
        for seed in range(4):
            actions = session.propose(ProposalRequest(members, 6, ("child",), seed)).actions
            assert len(actions) == 6
            found += [edited(a.kind, a.edit, *[members[i].tree for i in a.parents]) for a in actions]
        return found

    few, many = (len(set(made(draws)) - {member.tree for member in members}) for draws in (1, 6))
    assert many > few
    assert many >= 20


def test_losses_that_are_not_finite():
    problem = make_problem(limits=Limits(8))
    members = views("x0", "x1 + 1.5", "sin(x0)", losses=[math.inf, math.nan, 0.0])
    every_action_is_valid(problem, members, 8)


def test_scores_decide_ranks_where_they_are_known():
    known = (MemberView(parse("x0"), 0.1, 1, 9.0), MemberView(parse("x1"), 0.2, 1, -3.0))
    assert state(known).ranks.tolist() == [1, 0]
    assert state(views("x0", "x1")).ranks.tolist() == [0, 1]
    assert state_of(Language(make_problem()), ProposalRequest(known, 1, ("child",), 0, max_size=3)).max_size == 3


def test_weights_are_kept_in_a_file(tmp_path):
    weights = network(3, width=8, kinds=("randomize", "do_nothing"))
    weights.save(tmp_path / "one.safetensors")
    again = PolicyNetwork.load(tmp_path / "one.safetensors")
    assert again.config == weights.config
    assert all(np.array_equal(again.weights[name], w) for name, w in weights.weights.items())
    request = ProposalRequest(views("x0", "x1"), 9, ("child",), 0)
    problem = make_problem()
    first, second = (p.open(problem).propose(request) for p in (PolicyProposer(weights), PolicyProposer(again)))
    assert first.actions == second.actions
    assert {action.kind for action in first.actions} <= {"randomize", "do_nothing", "crossover"}


def test_files_that_are_no_policy_are_refused(tmp_path):
    from safetensors.numpy import save_file

    (tmp_path / "text").write_text("no")
    with pytest.raises(CheckpointError, match="cannot be read"):
        PolicyNetwork.load(tmp_path / "text")
    save_file({"a": np.zeros(1)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="must be of version 3"):
        PolicyNetwork.load(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"needs an array 'cross.K' of shape \(2, 32\)"):
        PolicyNetwork({})
    with pytest.raises(CheckpointError, match="not finite"):
        changed(kind_a=np.full(len(CHOSEN_KINDS), np.nan))
    with pytest.raises(ConfigError, match="Did you mean 'randomize'"):
        PolicyConfig(kinds=("randomise",))


def test_without_foresight_it_decides_as_before_it_is_given_some(tmp_path):
    blind = network(3, foresight=False)
    blind.save(tmp_path / "policy.safetensors")
    blind = PolicyNetwork.load(tmp_path / "policy.safetensors")
    members = views("x0 + sin(x1)", "sin(x0 + 1.5)", "x1", "x0 + x1")
    made = []
    for weights in (blind, blind.seeing()):
        language = Language(make_problem(("+", "sin"), features=2), weights.config.foresight)
        sampler = Sampler(weights, 50, np.random.default_rng(5))
        made.append((Walk(PopulationState(language, members, 9, 0.3), 50).run(sampler), sampler.log_probability))
    assert made[0][0] == made[1][0]
    assert made[0][1] == pytest.approx(made[1][1], abs=1e-4)
    assert blind.seeing().seeing().config == PolicyConfig()


def test_files_that_do_not_say_have_foresight():
    assert PolicyNetwork.load(BUNDLED).config.foresight


def test_no_more_is_drawn_than_leads_to_something_new(monkeypatch):
    drawn = []

    class Counting(Walk):
        def __init__(self, state, count, kinds):
            drawn.append(count)
            super().__init__(state, count, kinds)

    monkeypatch.setattr(proposer, "Walk", Counting)
    problem, members = make_problem(("+", "*"), features=2), views("x0 + x1", "x1 * x0", "x0 + x0 * x1")
    session = PolicyProposer(network(), draws=3).open(problem)
    request = ProposalRequest(members, 20, ("child",), 0, max_size=9)
    assert len(session.propose(request).actions) == 20
    assert drawn in ([25], [25, 35])
    for _ in range(6):
        assert len(session.propose(request).actions) == 20
    assert sum(drawn[-2:]) == 60 or drawn[-1] == 60  # The same draws again: nothing new, and all are needed.
