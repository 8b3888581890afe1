"""Whole populations: drawn with the probabilities that training saw, and BasicSR's generations made of them."""

import numpy as np
import torch

from pysr_neural.expression.text import parse
from pysr_neural.model.decoding import Prefix, encode
from pysr_neural.model.grammar import Grammar
from pysr_neural.model.policy import ProposerModel
from pysr_neural.model.populations import _Writer, sample_population
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.populations import PopulationProposer
from pysr_neural.state import MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from tests.core.test_decoding import nodes_and_depth
from tests.strategies import make_problem

PROBLEM = make_problem()
MEMBERS = tuple(MemberView(parse(text), loss, parse(text).size) for text, loss in [("x0", 1.0), ("x0 * sin(x1)", 0.5)])
SLOTS = p.choose_slots(PROBLEM.X, PROBLEM.y)
GRAMMAR = Grammar(tuple(p.operator_tokens(PROBLEM.operators)), 2, 9, 6)


def prompt_and_data() -> tuple[p.Prompt, torch.Tensor]:
    prompt = p.build_prompt("population", PROBLEM.operators, SLOTS, 9, MEMBERS)
    return prompt, torch.from_numpy(p.data_columns(PROBLEM.X, PROBLEM.y, SLOTS))[None]


def prefix_of(model: ProposerModel) -> Prefix:
    prompt, data = prompt_and_data()
    with torch.inference_mode():
        latents = model.encoder(data, torch.ones(data.shape[:2], dtype=torch.bool))
        return encode(model, latents, [prompt])[0]


def draw(model: ProposerModel, seed: int, most: int = 6) -> list[list[int]]:
    return sample_population(prefix_of(model), GRAMMAR, most, 1.0, torch.Generator().manual_seed(seed))


def test_every_tree_is_one_expression_within_the_limits(small_model: ProposerModel) -> None:
    lengths = set()
    for seed in range(12):
        trees = draw(small_model, seed)
        lengths.add(len(trees))
        for tree in trees:
            size, depth = nodes_and_depth(tree)
            assert size <= 9
            assert depth <= 6
    assert max(lengths) <= 6
    assert len(lengths) > 1  # The model ends some before.
    assert draw(small_model, 3) == draw(small_model, 3)
    assert len(draw(small_model, 3, most=1)) == 1


def test_sampling_reads_what_training_writes(small_model: ProposerModel) -> None:
    """The logits while a population is written are those of the forward pass that it would be trained in."""
    target = p.population_tokens(MEMBERS, SLOTS)
    assert target is not None
    inputs = [v.TARGET, *target[:-1]]
    positions = p.target_positions(inputs)
    writer = _Writer(prefix_of(small_model))
    prompt, data = prompt_and_data()
    with torch.inference_mode():
        stepped = torch.stack([writer.step(*pair) for pair in zip(inputs, positions, strict=True)])
        columns = [torch.from_numpy(c)[None] for c in (prompt.tokens, prompt.positions, prompt.segments)]
        answer = [torch.tensor([c]) for c in (inputs, positions, [p.TARGET_SEGMENT] * len(inputs))]
        trained = small_model(data, torch.ones(data.shape[:2], dtype=torch.bool), *columns, *answer).logits[0]
    np.testing.assert_allclose(stepped, trained, atol=2e-5)


def test_a_request_is_answered_with_distinct_children_and_without_the_best(small_model: ProposerModel) -> None:
    session = PopulationProposer(small_model, temperature=1.5).open(PROBLEM)
    request = ProposalRequest(MEMBERS, 7, ("child",), seed=4, max_size=9)
    children = session.propose(request).children
    trees = [child.tree for child in children]
    assert 1 <= len(trees) <= 7
    assert len(set(trees)) == len(trees)
    assert MEMBERS[1].tree not in trees
    assert all(tree.size <= 9 for tree in trees)
    assert [child.tree for child in session.propose(request).children] == trees
    assert session.propose(ProposalRequest((), 3, ("seed",), seed=4)).children


def test_constants_are_fitted_if_asked_for(small_model: ProposerModel) -> None:
    request = ProposalRequest(MEMBERS, 12, ("child",), seed=4, max_size=9)
    plain, fitted = (
        [c.tree for c in PopulationProposer(small_model, refined=refined).open(PROBLEM).propose(request).children]
        for refined in (False, True)
    )
    assert plain != fitted
