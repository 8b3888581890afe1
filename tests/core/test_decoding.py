"""Sampling: well-formed by construction, within every limit, reproducible."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.model.decoding import Job, Prefix, encode, sample, sample_many
from pysr_neural.model.grammar import Grammar, GrammarState, token_costs
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Complexities, Limits, OperatorSet, Problem
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.state import LEVELS, MemberView
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import build_prompt, choose_slots, data_columns, operator_tokens

OPERATORS = OperatorSet.of("sin", "exp", "+", "*", "/")


def make_prefix(model: ProposerModel) -> Prefix:
    X = np.random.default_rng(0).normal(size=(12, 2))
    slots = choose_slots(X, X[:, 0])
    data = torch.from_numpy(data_columns(X, X[:, 0], slots))[None]
    with torch.inference_mode():
        latents = model.encoder(data, torch.ones(1, 12, dtype=torch.bool))
        return encode(model, latents, [build_prompt("direct", OPERATORS, slots, 20)])[0]


def nodes_and_depth(tokens: list[int]) -> tuple[int, int]:
    """Read a sequence independently of the grammar's own bookkeeping; fails unless it is exactly one expression."""
    position = 0

    def read(depth: int) -> tuple[int, int]:
        nonlocal position
        token = tokens[position]
        position += 1
        if v.IS_EXPONENT[token]:
            assert v.IS_MANTISSA[tokens[position]]
            position += 1
        parts = [read(depth + 1) for _ in range(v.ARITY[token])]
        return 1 + sum(n for n, _ in parts), max([depth, *(d for _, d in parts)])

    found = read(1)
    assert position == len(tokens)
    return found


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 2**31), st.sampled_from([0.3, 1.0, 5.0]))
def test_every_sample_is_one_expression_within_the_limits(
    small_model: ProposerModel, max_size: int, max_depth: int, seed: int, temperature: float
) -> None:
    grammar = Grammar(tuple(operator_tokens(OPERATORS)), 2, max_size, max_depth)
    drawn = sample(make_prefix(small_model), grammar, 20, temperature, torch.Generator().manual_seed(seed))
    for row in drawn.tokens.tolist():
        tokens = [token for token in row if token != v.PAD]
        size, depth = nodes_and_depth(tokens)
        assert size <= max_size
        assert depth <= max_depth
        assert {v.NAMES[t] for t in tokens if v.ARITY[t]} <= set(OPERATORS.names)


def test_nested_constraints_hold_on_every_path(small_model: ProposerModel) -> None:
    sin, exp = v.ID["sin"], v.ID["exp"]
    grammar = Grammar(tuple(operator_tokens(OPERATORS)), 2, 20, 20, ((sin, sin, 1), (sin, exp, 0)))
    drawn = sample(make_prefix(small_model), grammar, 2000, 3.0, torch.Generator().manual_seed(1))
    problem = Problem(np.ones((3, 2)), np.arange(3.0), OPERATORS)
    session = TransformerProposer(small_model).open(problem)
    nested_sines = 0

    def most(node: Node, name: str) -> int:
        return (node.operator == name) + max((most(child, name) for child in node.children), default=0)

    for row in drawn.tokens.tolist():
        for node in session.reader.tree(row, np.random.default_rng(0)):
            if node.operator == "sin":
                assert most(node.children[0], "sin") <= 1
                assert most(node.children[0], "exp") == 0
                nested_sines += most(node.children[0], "sin")
    assert nested_sines > 0


def test_log_probabilities_are_those_of_the_grammar() -> None:
    state = GrammarState([Grammar((v.ID["sin"],), 1, 1, 1, constants=False)], torch.zeros(4, dtype=torch.int64))
    assert state.mask().sum(dim=1).tolist() == [1, 1, 1, 1]


def test_same_seed_same_answer_and_global_state_untouched(small_model: ProposerModel) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    problem = Problem(X, X[:, 0] / (1.3 + np.sin(X[:, 1])) + X[:, 1] ** 3, OPERATORS, Limits(15, 8))
    proposer = TransformerProposer(small_model)
    members = (MemberView(Node(index=0), 1.0, 1), MemberView(Node(index=1), 2.0, 1))
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    batches = []
    for seed in (5, 5, 6):
        session = proposer.open(problem)
        session.propose(ProposalRequest(members, 16, LEVELS, seed))
        batches.append(session.propose(ProposalRequest(members, 16, LEVELS, seed)))
    assert [c.tree for c in batches[0].children] == [c.tree for c in batches[1].children]
    assert [c.tree for c in batches[0].children] != [c.tree for c in batches[2].children]
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(("rows", "features"), [(3, 1), (20, 60), (3000, 2)])
def test_children_fit_the_problem_whatever_its_shape(small_model: ProposerModel, rows: int, features: int) -> None:
    X = np.random.default_rng(0).normal(size=(rows, features))
    problem = Problem(X, X[:, 0] - 2.5, OPERATORS, Limits(12, 5))
    batch = TransformerProposer(small_model).open(problem).propose(ProposalRequest((), 16, LEVELS, 1))
    assert 0 < len(batch.children) <= 16
    for child in batch.children:
        assert child.tree.size <= 12
        assert child.tree.depth <= 5
        assert child.tree.variables() <= set(range(features))
    assert batch.prior is not None
    assert batch.prior.variables.shape == (features,)
    assert batch.prior.pairs.shape == (len(OPERATORS.names) + 1, len(OPERATORS.names) + 2)


def test_samples_are_the_same_in_any_company(small_model: ProposerModel) -> None:
    sin, plus = v.ID["sin"], v.ID["+"]
    X = np.random.default_rng(1).normal(size=(9, 2))
    jobs = []
    for i, (limit, nested) in enumerate(
        [(20, ()), (7, ((sin, sin, 0),)), (3, ()), (12, ((sin, plus, 0), (plus, sin, 1)))]
    ):
        slots = choose_slots(X, X[:, 0])
        members = tuple(MemberView(Node("sin", (Node(index=0),)), float(k + 1), 2) for k in range(3 * i))
        data = torch.from_numpy(data_columns(X, X[:, 0] + i, slots))[None]
        prompt = build_prompt("onestep" if members else "direct", OPERATORS, slots, limit, members)
        with torch.inference_mode():
            prefix = encode(small_model, small_model.encoder(data, torch.ones(1, 9, dtype=torch.bool)), [prompt])[0]
        grammar = Grammar(tuple(operator_tokens(OPERATORS)), 2, limit, 6, nested)
        jobs.append((prefix, grammar, 3 + 10 * i, 1.0 + i / 2))
    alone = [sample(*job, torch.Generator().manual_seed(i)) for i, job in enumerate(jobs)]
    together = sample_many([Job(*job, torch.Generator().manual_seed(i)) for i, job in enumerate(jobs)])
    for one, same in zip(alone, together, strict=True):
        assert torch.equal(one.tokens, same.tokens)
        torch.testing.assert_close(one.log_probabilities, same.log_probabilities, atol=1e-4, rtol=1e-4)


def test_sessions_answer_together_as_they_do_alone(small_model: ProposerModel) -> None:
    proposer = TransformerProposer(small_model)
    requests = []
    for i, rows in enumerate((30, 12, 80)):
        X = np.random.default_rng(i).normal(size=(rows, 1 + i))
        members = tuple(MemberView(Node(index=0), 1.0 + k, 1) for k in range(i))
        problem = Problem(X, X[:, 0] * X[:, -1] + i, OPERATORS, Limits(10 + i, 6))
        requests.append((problem, ProposalRequest(members, 8, LEVELS, 5 + i)))
    alone = [proposer.open(problem).propose(request) for problem, request in requests]
    sessions = [proposer.open(problem) for problem, _ in requests]
    together = proposer.propose_many(sessions, [request for _, request in requests])
    for one, same in zip(alone, together, strict=True):
        assert [(c.tree, c.parents) for c in one.children] == [(c.tree, c.parents) for c in same.children]
        assert (one.kind_weights is None) == (same.kind_weights is None)
        np.testing.assert_allclose(one.prior.pairs, same.prior.pairs, atol=1e-4)


def test_unknown_operators_are_proposed_by_their_own_name(small_model: ProposerModel) -> None:
    X = np.random.default_rng(0).normal(size=(20, 1))
    operators = OperatorSet(("my_function", "your_function", "+"), (1, 1, 2))
    session = TransformerProposer(small_model).open(Problem(X, X[:, 0], operators))
    batch = session.propose(ProposalRequest((), 64, ("seed",), 1, temperature=3.0))
    used = {node.operator for child in batch.children for node in child.tree if node.operator}
    assert used <= set(operators.names)
    assert {"my_function", "your_function"} & used


def test_residual_children_extend_a_member(small_model: ProposerModel) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    problem = Problem(X, X[:, 0] + X[:, 1] ** 2, OPERATORS, Limits(15, 8))
    member = MemberView(Node(index=0), 2.0, 1)
    proposer = TransformerProposer(small_model, combine=False)
    batch = proposer.open(problem).propose(ProposalRequest((member,), 64, ("child",), 1))
    extended = [c for c in batch.children if c.parents == (0,)]
    assert extended
    assert all(c.tree.operator in ("+", "*") and c.tree.children[0] == member.tree for c in extended)


def test_frequencies_are_the_probabilities(small_model: ProposerModel) -> None:
    prefix = make_prefix(small_model)
    drawn = sample(
        prefix, Grammar((v.ID["sin"], v.ID["+"]), 2, 3, 3, constants=False), 4000, 1.0, torch.Generator().manual_seed(0)
    )
    rows = [tuple(row) for row in drawn.tokens.tolist()]
    probability = dict(zip(rows, drawn.log_probabilities.exp().tolist(), strict=True))
    assert sum(probability.values()) == pytest.approx(1.0, abs=1e-3)
    for row, expected in probability.items():
        assert rows.count(row) / len(rows) == pytest.approx(expected, abs=4 * (expected / len(rows)) ** 0.5)


@settings(max_examples=15)
@given(
    st.integers(2, 20),
    st.tuples(*[st.sampled_from([0.5, 1.0, 2.0, 3.0])] * 3),
    st.lists(st.sampled_from([0.5, 1.0, 2.5, 4.0]), min_size=5, max_size=5),
    st.integers(0, 2**31),
)
def test_samples_keep_to_complexities(
    small_model: ProposerModel, max_size: int, leaves: tuple[float, float, float], operators: list[float], seed: int
) -> None:
    """Whatever nodes count, no sample is larger than it may be, and every one is one expression."""
    constant, *variables = leaves
    limits = Limits(max_size, 12, complexities=Complexities(constant, tuple(variables), tuple(operators)))
    tokens = operator_tokens(OPERATORS)
    costs = token_costs(limits.complexities, tokens, (0, 1))
    grammar = Grammar(
        tuple(sorted(tokens)), 2, min(limits.most_nodes(), 30), 12, costs=costs, max_cost=max_size + 0.499
    )
    plain = Grammar(tuple(sorted(tokens)), 2, max_size, 12)
    prefix = make_prefix(small_model)
    jobs = [Job(prefix, each, 20, 3.0, torch.Generator().manual_seed(seed)) for each in (grammar, plain)]
    counted, uncounted = sample_many(jobs)
    for row in counted.tokens.tolist():
        kept = [token for token in row if token != v.PAD]
        nodes_and_depth(kept)
        assert sum(costs[token] for token in kept) <= max(max_size + 0.5, min(leaves))
    for row in uncounted.tokens.tolist():  # A grammar that counts costs changes nothing for one that does not.
        assert nodes_and_depth([token for token in row if token != v.PAD])[0] <= max_size


@pytest.mark.parametrize(
    "limits",
    [
        Limits(9, complexities=Complexities(3.0, (1.0, 2.0), (2.0, 2.0, 1.0, 1.0, 3.0))),
        Limits(15, arguments=((0, 0, 1), (4, 1, 1))),
        Limits(9, arguments=((4, 1, 2),), complexities=Complexities(1.0, (0.5, 0.5), (1.0,) * 5)),
    ],
)
@pytest.mark.parametrize("size", [None, 6])
def test_a_transformer_s_children_keep_to_complexities_and_sizes_of_arguments(
    small_model: ProposerModel, limits: Limits, size: int | None
) -> None:
    X = np.random.default_rng(0).uniform(0.5, 2, (40, 2))
    problem = Problem(X, np.random.default_rng(1).normal(size=40), OPERATORS, limits)
    session = TransformerProposer(small_model).open(problem)
    members = tuple(MemberView(parse(text), 1.0, 3) for text in ("x0", "x0 + x1", "sin(x0)"))
    for shown in ((), members):
        answer = session.propose(ProposalRequest(shown, 40, ("child",), 3, max_size=size))
        assert answer.children
        refused = [check_tree(child.tree, problem) for child in answer.children]
        assert refused == [None] * len(answer.children)
