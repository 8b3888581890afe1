"""The guard: everything invalid, failing or late is kept out and counted."""

import warnings

import numpy as np
import pytest

from pysr_neural.errors import ConfigError
from pysr_neural.expression.node import Node, apply, variable
from pysr_neural.expression.text import parse
from pysr_neural.problem import Limits
from pysr_neural.proposer.base import KINDS, Child, MemberView, Prior, ProposalBatch, ProposalRequest, Session
from pysr_neural.proposer.guarded import GuardedProposer, GuardRules, ProposerWarning
from pysr_neural.proposer.scripted import ScriptedProposer
from tests.strategies import make_problem

PROBLEM = make_problem(operators=("+", "*", "sin"), limits=Limits(max_size=7, max_depth=4))
GOOD = parse("x0 + x1")
MEMBERS = (MemberView(GOOD, 1.0, 3), MemberView(parse("x0"), 2.0, 1))
FREE = GuardRules(max_overhead=1.0)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Slow:
    """A proposer whose every call takes a given time by the clock."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def open(self, problem):
        return self

    def propose(self, request):
        self.clock.now += self.seconds
        return ProposalBatch((Child(GOOD),))


def ask(session, count=4, **kws):
    return session.propose(ProposalRequest(MEMBERS, count, ("child",), **{"seed": 0, **kws}))


def guarded(answers, rules=FREE, **kws):
    return GuardedProposer(ScriptedProposer(answers), rules, **kws).open(PROBLEM)


def quietly(session, times=1):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProposerWarning)
        return [ask(session) for _ in range(times)][-1]


def test_valid_children_pass_untouched():
    child = Child(GOOD, "crossover", (0, 1), -1.5)
    session = guarded([child])
    assert isinstance(session, Session)
    assert ask(session).children == (child,)
    assert (session.counts.calls, session.counts.served, session.counts.invalid) == (1, 1, {})


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (Child(parse("x0 + x0 + x0 + x0 + x0")), "size"),
        (Child(parse("sin(sin(sin(sin(x0))))")), "depth"),
        (Child(variable(5)), "variable"),
        (Child(parse("cos(x0)")), "operator"),
        (Child(apply("sin", GOOD, GOOD)), "arity"),
        (Child(Node()), "malformed"),
        (Child("x0"), "not a tree"),
        (Child(Node(value=float("nan"))), "constant"),
        (Child(GOOD, "magic"), "kind"),
        (Child(GOOD, "neural", (2,)), "parent"),
        (Child(GOOD, "neural", (-1,)), "parent"),
    ],
)
def test_invalid_children_are_left_out_and_counted(child, reason):
    session = guarded([child, GOOD])
    assert [c.tree for c in ask(session).children] == [GOOD]
    assert session.counts.invalid == {f"child: {reason}": 1}


def test_nested_constraints_are_checked():
    problem = make_problem(operators=("+", "sin"), limits=Limits(nested=((0, 0, 0),)))
    session = GuardedProposer(ScriptedProposer([parse("sin(sin(x0))")]), FREE).open(problem)
    assert ask(session).children == ()
    assert session.counts.invalid == {"child: nested": 1}


def test_the_current_size_limit_is_checked():
    session = guarded([GOOD])
    assert ask(session, max_size=2).children == ()
    assert session.counts.invalid == {"child: size": 1}


def test_things_that_are_no_children_and_too_many_of_them():
    session = guarded([ProposalBatch((GOOD, None, *[Child(GOOD)] * 6))])
    assert len(ask(session, 4).children) == 4
    assert session.counts.invalid == {"child: not a child": 2, "child: too many": 2}
    assert session.counts.served == 4


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (RuntimeError("broken"), "propose: RuntimeError"),
        (KeyError("x"), "propose: KeyError"),
        (RecursionError(), "propose: RecursionError"),
        (17, "answer: TypeError"),
        ({"children": ()}, "answer: TypeError"),
        (ProposalBatch(children=None), "answer: TypeError"),
        (ProposalBatch((Child(GOOD, "neural", ("a",)),)), "answer: TypeError"),
        (ProposalBatch(kind_weights="many"), "answer: ValueError"),
        (ProposalBatch(prior=3), "answer: AttributeError"),
    ],
)
def test_failures_are_caught_counted_and_announced_once(answer, stage):
    session = guarded([answer, answer, GOOD])
    with pytest.warns(ProposerWarning, match="goes on with ordinary variation") as caught:
        answers = [ask(session) for _ in range(2)]
    assert answers == [ProposalBatch()] * 2
    assert len(caught) == 1
    assert [child.tree for child in ask(session).children] == [GOOD]
    assert session.counts.invalid == {stage: 2}
    assert (session.counts.calls, session.counts.served) == (3, 1)
    assert session.failures[0].stage == stage.split(":")[0]
    assert "Traceback" in session.failures[0].trace


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_is_not_caught(error):
    with pytest.raises(error):
        ask(guarded([error()]))


def test_no_answer_at_all_is_a_failure():
    class Silent:
        def open(self, problem):
            return self

        def propose(self, request):
            return None

    session = GuardedProposer(Silent(), FREE).open(PROBLEM)
    assert quietly(session) == ProposalBatch()
    assert session.counts.invalid == {"propose: TypeError": 1}


def test_a_proposer_that_does_not_open_is_tried_again():
    class Late:
        tries = 0

        def open(self, problem):
            self.tries += 1
            if self.tries < 3:
                raise OSError("not yet")
            return ScriptedProposer([GOOD]).open(problem)

    session = GuardedProposer(Late(), FREE).open(PROBLEM)
    assert quietly(session, 2).children == ()
    assert len(ask(session).children) == 1
    assert session.counts.invalid == {"open: OSError": 2}


def test_breaker_opens_after_failures_in_a_row_and_tries_again():
    rules = GuardRules(max_overhead=1.0, max_failures=2, retry_after=3)
    broken = [RuntimeError(str(i)) for i in range(3)]
    session = guarded([RuntimeError("first"), GOOD, *broken, GOOD, GOOD], rules)
    quietly(session, 4)  # A failure, a success, and the two failures in a row that open the breaker.
    assert session.counts.calls == 4
    quietly(session, 3)  # Skipped.
    assert session.counts.calls == 4
    assert session.counts.skipped == {"circuit breaker open": 3}
    quietly(session)  # On trial: fails, so that the breaker stays open.
    assert session.counts.calls == 5
    quietly(session, 3)
    assert session.counts.skipped == {"circuit breaker open": 6}
    assert len(ask(session).children) == 2  # On trial: succeeds and closes it.
    ask(session)
    assert session.counts.calls == 7
    assert [failure.message for failure in session.failures] == [
        "RuntimeError: first",
        "RuntimeError: 0",
        "RuntimeError: 1",
        "RuntimeError: 2",
    ]


def test_invalid_children_are_no_failures():
    rules = GuardRules(max_overhead=1.0, max_failures=1)
    session = guarded([variable(9)] * 10, rules)
    for _ in range(10):
        ask(session, 1)
    assert session.counts.calls == 10


def test_only_the_last_failures_are_kept():
    session = guarded([RuntimeError(str(i)) for i in range(9)], GuardRules(1.0, max_failures=100, kept_failures=2))
    quietly(session, 9)
    assert [failure.message for failure in session.failures] == ["RuntimeError: 7", "RuntimeError: 8"]


def test_time_budget_throttles():
    clock = Clock()
    session = GuardedProposer(Slow(clock, 1.0), GuardRules(max_overhead=0.10), clock).open(PROBLEM)
    asked = []
    for _ in range(200):
        clock.now += 0.5
        asked.append(len(ask(session).children))
    elapsed = clock.now - 100.0
    assert session.counts.seconds == pytest.approx(sum(asked))
    assert session.time_share <= 0.10 + 1.0 / elapsed
    assert session.time_share > 0.08
    assert session.counts.skipped == {"time budget": 200 - sum(asked)}


def test_without_a_limit_every_request_is_made():
    clock = Clock()
    session = GuardedProposer(Slow(clock, 1.0), FREE, clock).open(PROBLEM)
    for _ in range(20):
        ask(session)
    assert session.counts.calls == 20


def test_failing_calls_cost_time_too():
    clock = Clock()

    class Crawling(Slow):
        def propose(self, request):
            super().propose(request)
            raise RuntimeError("after all that")

    session = GuardedProposer(Crawling(clock, 2.0), FREE, clock).open(PROBLEM)
    quietly(session)
    assert session.counts.seconds == 2.0


@pytest.mark.parametrize(
    ("field", "value", "label"),
    [
        ("kind_weights", np.ones(3), "kind_weights"),
        ("kind_weights", -np.ones(len(KINDS)), "kind_weights"),
        ("kind_weights", np.zeros(len(KINDS)), "kind_weights"),
        ("parent_weights", np.array([1.0, np.nan]), "parent_weights"),
        ("parent_weights", np.ones(3), "parent_weights"),
        ("crossover_probability", 1.5, "crossover_probability"),
        ("crossover_probability", float("nan"), "crossover_probability"),
        ("prior", Prior(np.ones(2), np.ones(2), np.ones((4, 5))), "prior.operators"),
        ("prior", Prior(np.ones(3), np.ones(2), np.ones((3, 5))), "prior.pairs"),
    ],
)
def test_unusable_weights_are_dropped_but_not_the_children(field, value, label):
    session = guarded([ProposalBatch((Child(GOOD),), **{field: value})])
    answer = ask(session)
    assert getattr(answer, field) is None
    assert len(answer.children) == 1
    assert session.counts.invalid == {f"weights: {label}": 1}


def test_usable_weights_pass():
    prior = Prior(np.ones(3), np.ones(2), np.ones((4, 5)))
    session = guarded([ProposalBatch((), np.ones(len(KINDS)), 0.3, np.array([1, 0]), prior)])
    answer = ask(session)
    assert answer.crossover_probability == 0.3
    assert answer.parent_weights.tolist() == [1.0, 0.0]
    assert answer.prior.pairs.shape == (4, 5)
    assert session.counts.invalid == {}


@pytest.mark.parametrize(
    "settings",
    [{"max_overhead": 0.0}, {"max_overhead": 1.1}, {"max_failures": 0}, {"retry_after": 0}, {"kept_failures": 0}],
)
def test_rules_are_checked(settings):
    with pytest.raises(ConfigError, match="got"):
        GuardRules(**settings)


@pytest.mark.parametrize("wrong", [ScriptedProposer, None, "default", 3])
def test_what_is_no_proposer_is_refused_at_once(wrong):
    with pytest.raises(ConfigError, match=r"a method open\(problem\), not its class"):
        GuardedProposer(wrong)
