"""Online adaptation: the update rule by hand-computed cases, moves, and what a wrapped proposer's answer becomes."""

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.text import parse
from pysr_neural.proposer.adaptation import AdaptationRules, AdaptiveProposer, Tally, credit, multipliers
from pysr_neural.proposer.base import (
    KINDS,
    BatchProposer,
    MemberView,
    Prior,
    ProposalBatch,
    ProposalRequest,
    Proposer,
)
from pysr_neural.proposer.guarded import GuardedProposer, GuardRules
from pysr_neural.proposer.moves import Move, move_between
from pysr_neural.proposer.scripted import RandomProposer, ScriptedProposer
from tests.strategies import make_problem

PROBLEM = make_problem(operators=("sin", "cos", "+", "*"), features=2)
FAST = AdaptationRules(discount=1.0, shrinkage=1.0, floor=0.1)
INFINITE, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1.0, 0.25, 0.75),
        (2.0, 0.0, 1.0),
        (1.0, 1.0, 0.0),
        (1.0, 3.0, 0.0),
        (INFINITE, 5.0, 1.0),
        (INFINITE, INFINITE, 0.0),
        (1.0, NAN, 0.0),
        (NAN, 1.0, 0.0),
    ],
)
def test_credit_is_the_share_of_the_loss_that_is_gone(before, after, expected):
    assert credit(before, after) == expected


def test_a_tally_forgets_before_it_learns():
    tally = Tally(np.array([1.0, 0.0, 4.0]), np.array([2.0, 2.0, 8.0])).after([0, 0, 1], [0.5, 0.25, 0.0], 0.5)
    assert tally.successes.tolist() == [1.25, 0.0, 2.0]
    assert tally.trials.tolist() == [3.0, 2.0, 4.0]
    assert Tally.of(2).after([], [], 0.5).trials.tolist() == [0.0, 0.0]


def test_multipliers_are_shrunk_rates_over_the_rate_of_all():
    """Rate of all: 2 / 6 = 1/3.  Arms: (2 + 1/3) / (3 + 1) = 7/12, (0 + 1/3) / (3 + 1) = 1/12, and 1/3 untried."""
    tally = Tally(np.array([2.0, 0.0, 0.0]), np.array([3.0, 3.0, 0.0]))
    assert multipliers(tally, FAST) == pytest.approx(np.array([1.75, 0.25, 1.0]))


def test_multipliers_stay_between_the_floor_and_its_inverse():
    tally = Tally(np.array([1000.0, 0.0]), np.array([1000.0, 9000.0]))
    rules = AdaptationRules(floor=0.5)
    assert multipliers(tally, rules).tolist() == [2.0, 0.5]
    assert multipliers(tally, AdaptationRules(floor=1.0)).tolist() == [1.0, 1.0]


def test_without_any_success_nothing_is_reweighed():
    assert multipliers(Tally.of(3), FAST).tolist() == [1.0] * 3
    assert multipliers(Tally(np.zeros(2), np.array([5.0, 1.0])), FAST).tolist() == [1.0] * 2


@pytest.mark.parametrize(
    "values",
    [{"discount": 0}, {"discount": 1.1}, {"floor": 0}, {"floor": 2}, {"shrinkage": 0}, {"shrinkage": INFINITE}],
)
def test_rules_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        AdaptationRules(**values)


@pytest.mark.parametrize(
    ("parent", "child", "move"),
    [
        ("x0 + 1.0", "x0 + 2.0", Move("constant")),
        ("sin(x0 + x0)", "sin(x0 + x1)", Move("feature", (), (1,))),
        ("sin(x0) + x1", "cos(x0) + x1", Move("operator", (("cos", 1),))),
        ("(x0 * x1) + x0", "(x1 * x0) + x0", Move("swap")),
        ("x0", "x0 + x1", Move("add", (("+", 2),), (1,))),
        ("sin(x0)", "sin(x1 * x0)", Move("add", (("*", 2),), (1,))),
        ("x0 + x1", "sin(x0 + x1)", Move("add", (("sin", 1),))),
        ("x0 * (x0 + x1)", "x0 * sin(x0 + x1)", Move("insert", (("sin", 1),))),
        ("x0 * sin(x0 + x1)", "x0 * (x0 + x1)", Move("delete")),
        ("x0 * sin(x0 + x1)", "x0", Move("delete")),
        ("(x0 + x1) * sin(x0)", "x0 + (x1 * sin(x0))", Move("rotate")),
        ("x0 + x1", "x0 + x1", None),
        ("x0 + 1.0", "x0 + x1", None),
        ("x0 + x1", "sin(x0) + cos(x1)", None),
        ("x0", "sin(x0) + cos(x1)", None),
        ("x0", "(x0 + x1) * (x0 + x1)", None),
    ],
)
def test_single_mutations_are_recognised(parent, child, move):
    assert move_between(parse(parent), parse(child)) == move


def request(*pairs, levels=("kind", "prior"), seed=0):
    views = tuple(MemberView(tree := parse(text), loss, tree.size) for text, loss in pairs)
    return ProposalRequest(views, 1, levels, seed)


def test_improvements_of_this_search_raise_what_made_them():
    session = AdaptiveProposer(ScriptedProposer([]), FAST).open(PROBLEM)
    first = session.propose(request(("x0", 1.0), ("x0 + x0", 2.0)))
    assert first.kind_weights.tolist() == [1.0] * len(KINDS)
    assert first.prior.operators.tolist() == [1.0] * 4
    # "sin(x0)" takes 0.9 of the loss of x0 away; "x0 + x1" is one feature away from x0 + x0, and worse.
    second = session.propose(request(("x0", 1.0), ("sin(x0)", 0.1), ("x0 + x1", 3.0)))
    weights = dict(zip(KINDS, second.kind_weights.tolist(), strict=True))
    # "x0 + x1" comes from x0, the better of the two members that it may come from: two trials of "add", rate 0.45.
    assert session.kinds.trials[KINDS.index("add")] == 2
    assert weights["add"] == pytest.approx(1.0)
    # Operators: sin 0.9 of 1, + 0 of 1; the rate of all is 0.45: (0.9 + 0.45) / 2 / 0.45 and 0.45 / 2 / 0.45.
    assert second.prior.operators == pytest.approx(np.array([1.5, 1.0, 0.5, 1.0]))
    assert second.prior.pairs[0] == pytest.approx(np.array([1, 1, 1.5, 1.0, 0.5, 1.0]))
    assert second.prior.variables.tolist() == [1.0, 1.0]


def test_what_the_wrapped_proposer_says_is_multiplied():
    kinds, pairs = np.arange(1.0, len(KINDS) + 1), np.full((5, 6), 2.0)
    answer = ProposalBatch((), kinds, 0.4, np.array([1.0]), Prior(np.array([1.0, 2, 3, 4]), np.array([1.0, 3]), pairs))
    session = AdaptiveProposer(ScriptedProposer([answer], cycle=True), FAST).open(PROBLEM)
    session.propose(request(("x0", 1.0)))
    found = session.propose(request(("x0", 1.0), ("sin(x0)", 0.5), ("x0 + x0", 1.0)))
    assert found.kind_weights == pytest.approx(kinds)
    assert found.prior.operators == pytest.approx(np.array([1.5, 2, 1.5, 4]))
    assert found.prior.pairs[:, :3] == pytest.approx(np.array([[2, 2, 3.0]] * 5))
    assert found.prior.variables == pytest.approx(np.array([1.0, 3.0]))
    assert (found.crossover_probability, found.parent_weights) == (0.4, answer.parent_weights)


def test_levels_that_are_not_asked_for_stay_silent():
    session = AdaptiveProposer(ScriptedProposer([]), FAST).open(PROBLEM)
    found = session.propose(request(("x0", 1.0), levels=("child",)))
    assert (found.kind_weights, found.prior) == (None, None)
    assert session.propose(ProposalRequest((), 1, ("seed", "kind", "prior"), 0)).kind_weights is None


def test_populations_are_told_apart_by_their_members():
    session = AdaptiveProposer(ScriptedProposer([]), FAST).open(PROBLEM)
    session.propose(request(("x0", 1.0), ("x1", 1.0)))
    session.propose(request(("cos(x0)", 0.1), ("cos(x1)", 0.1)))  # another population: no outcome of the first one
    assert session.kinds.trials.sum() == 0
    session.propose(request(("x1", 1.0), ("sin(x1)", 0.5)))
    assert session.kinds.trials.sum() == 1
    session.propose(request(("cos(x0)", 0.1), ("sin(cos(x0))", 0.05)))
    assert session.operators.trials.tolist() == [2.0, 0.0, 0.0, 0.0]


def test_what_was_seen_before_is_no_outcome():
    session = AdaptiveProposer(ScriptedProposer([]), FAST).open(PROBLEM)
    for _ in range(3):
        session.propose(request(("x0", 1.0), ("sin(x0)", 0.5)))
    assert session.kinds.trials.sum() == 0


@pytest.mark.filterwarnings("ignore::pysr_neural.proposer.guarded.ProposerWarning")
def test_nonsense_is_left_for_the_guard_to_count():
    nonsense = [
        ProposalBatch(kind_weights=np.ones(3)),
        "nonsense",
        ProposalBatch(prior=Prior(np.ones(9), np.ones(2), np.ones((5, 6)))),
        ValueError("broken"),
    ]
    session = GuardedProposer(AdaptiveProposer(ScriptedProposer(nonsense)), GuardRules(max_overhead=1.0)).open(PROBLEM)
    for _ in nonsense:
        session.propose(request(("x0", 1.0)))
    assert session.counts.invalid == {
        "weights: kind_weights": 1,
        "answer: TypeError": 1,
        "weights: prior.operators": 1,
        "propose: ValueError": 1,
    }


def test_children_pass_untouched_and_many_are_asked_as_one_by_one():
    proposer = AdaptiveProposer(RandomProposer())
    assert isinstance(proposer, Proposer)
    assert isinstance(proposer, BatchProposer)
    requests = [request(("x0", 1.0), levels=("child", "kind"), seed=seed) for seed in (1, 2)]
    together = proposer.propose_many([proposer.open(PROBLEM) for _ in requests], requests)
    for each, answer in zip(requests, together, strict=True):
        assert answer.children == proposer.open(PROBLEM).propose(each).children
        assert answer.kind_weights.tolist() == [1.0] * len(KINDS)
