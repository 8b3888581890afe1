"""Whole populations: drawn with the probabilities that training saw, and BasicSR's generations made of them."""

import numpy as np
import torch

from pysr_neural.expression.text import parse
from pysr_neural.model.decoding import Job, Prefix, encode
from pysr_neural.model.grammar import Grammar
from pysr_neural.model.policy import ProposerModel
from pysr_neural.model.populations import _Writer, sample_populations
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.populations import PopulationProposer
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


def encode_header(model: ProposerModel) -> Prefix:
    """Encode a prompt without members."""
    prompt = p.build_prompt("population", PROBLEM.operators, SLOTS, 9)
    with torch.inference_mode():
        data = torch.from_numpy(p.data_columns(PROBLEM.X, PROBLEM.y, SLOTS))[None]
        return encode(model, model.encoder(data, torch.ones(data.shape[:2], dtype=torch.bool)), [prompt])[0]


def prefix_of(model: ProposerModel) -> Prefix:
    prompt, data = prompt_and_data()
    with torch.inference_mode():
        latents = model.encoder(data, torch.ones(data.shape[:2], dtype=torch.bool))
        return encode(model, latents, [prompt])[0]


def draw(model: ProposerModel, seed: int, most: int = 6) -> list[list[int]]:
    return sample_populations([job(prefix_of(model), seed, most)])[0]


def job(prefix: Prefix, seed: int, most: int) -> Job:
    return Job(prefix, GRAMMAR, most, 1.0, torch.Generator().manual_seed(seed))


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


def test_populations_written_together_are_those_written_alone(small_model: ProposerModel) -> None:
    prefixes = [prefix_of(small_model), encode_header(small_model)] * 3
    together = sample_populations([job(prefix, seed, 5 + seed) for seed, prefix in enumerate(prefixes)])
    alone = [sample_populations([job(prefix, seed, 5 + seed)])[0] for seed, prefix in enumerate(prefixes)]
    assert together == alone
    assert len({len(trees) for trees in alone}) > 1


def test_sampling_reads_what_training_writes(small_model: ProposerModel) -> None:
    """The logits while a population is written are those of the forward pass that it would be trained in."""
    target = p.population_tokens(MEMBERS, SLOTS)
    assert target is not None
    inputs = [v.TARGET, *target[:-1]]
    positions = p.target_positions(inputs)
    short = encode_header(small_model)
    writer = _Writer([prefix_of(small_model), short])  # Written beside a shorter prompt, which is padded.
    prompt, data = prompt_and_data()
    with torch.inference_mode():
        fed = zip(inputs, positions, strict=True)
        stepped = torch.stack([writer.step(*torch.tensor([pair, pair]).T)[0] for pair in fed])
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
    seeds = ProposalRequest((), 3, ("seed",), seed=4)
    assert session.propose(seeds).children
    proposer = PopulationProposer(small_model, temperature=1.5)
    answers = proposer.propose_many([proposer.open(PROBLEM) for _ in range(3)], [request, seeds, request])
    assert [[child.tree for child in answer.children] for answer in answers[::2]] == [trees, trees]
    assert [c.tree for c in answers[1].children] == [c.tree for c in session.propose(seeds).children]


def test_constants_are_fitted_if_asked_for(small_model: ProposerModel) -> None:
    request = ProposalRequest(MEMBERS, 12, ("child",), seed=5, max_size=9)
    plain, fitted = (
        [c.tree for c in PopulationProposer(small_model, refined=refined).open(PROBLEM).propose(request).children]
        for refined in (False, True)
    )
    assert plain != fitted
