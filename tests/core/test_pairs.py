"""The head for parent–child pairs: right targets, probabilities in the layout of the prior, off by default."""

import numpy as np
import pytest
import torch

from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.pairs import CHILDREN, FIRST_CHILD, PARENTS, ROOT, PairHead, pair_loss, pair_targets
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import OperatorSet, Problem
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.transformer import TransformerProposer
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.prompt import Slots, tree_tokens

OPERATORS = OperatorSet.of("+", "*", "sin", "exp")
TEXTS = ("x0 + 2.5 * sin(x1)", "x2", "exp(exp(x0 * 3))", "(x0 + x1) * (x0 + 1.7)", "sin(12345.678)")
SIZES = {"width": 32, "heads": 2, "layers": 1, "feedforward": 32, "latents": 4, "encoder_layers": 1}


def counted(tree: Node) -> np.ndarray:
    """Count by walking the tree, not its tokens."""
    counts = np.zeros((PARENTS, CHILDREN))

    def walk(node: Node, parent: int) -> None:
        if node.operator is None:
            counts[parent, 0 if node.value is not None else 1] += 1
            return
        here = v.ID[node.operator] - v.FIRST_OPERATOR
        counts[parent, FIRST_CHILD + here] += 1
        for child in node.children:
            walk(child, here)

    walk(tree, ROOT)
    return counts


def tokens_of(text: str) -> list[int]:
    tokens = tree_tokens(parse(text), Slots((0, 1, 2)))
    assert tokens is not None
    return tokens


@pytest.mark.parametrize("text", TEXTS)
def test_pairs_of_tokens_are_the_pairs_of_the_tree(text: str) -> None:
    labels = torch.tensor([[*tokens_of(text), -100, -100]])
    assert np.array_equal(pair_targets(labels)[0].numpy(), counted(parse(text)))


def test_several_trees_in_one_sequence_are_counted_one_by_one() -> None:
    one, other = TEXTS[0], TEXTS[3]
    apart = [v.MEMBER, v.loss_token(0.1), *tokens_of(one), v.MEMBER, *tokens_of(other), v.END]
    joined = [*tokens_of(one), *tokens_of(other)]
    expected = counted(parse(one)) + counted(parse(other))
    for sequence in (apart, joined):
        assert np.array_equal(pair_targets(torch.tensor([sequence]))[0].numpy(), expected)


def test_a_tree_that_is_cut_off_does_not_reach_into_the_next() -> None:
    cut = [v.ID["+"], v.ID["var:0"], v.MEMBER, *tokens_of("x1")]
    counts = pair_targets(torch.tensor([cut]))[0]
    assert counts[ROOT, 1] == 1
    assert counts.sum() == 3


def test_the_head_learns_which_child_stands_below_which_parent() -> None:
    torch.manual_seed(0)
    counts = pair_targets(torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens_of(t)) for t in TEXTS], True, -100))
    head, states = PairHead(8, 16), torch.randn(len(TEXTS), 8)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        pair_loss(head(states), counts).backward()
        optimizer.step()
    with torch.inference_mode():
        weights = head.weights(states[2], [v.ID["exp"], v.ID["*"], v.ID["+"]])
    assert weights.shape == (4, 5)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights[3, 2] > 0.9  # exp(exp(…)): exp below the root,
    assert abs(weights[0, 2] - 0.5) < 0.1  # exp or * below exp,
    assert abs(weights[0, 3] - 0.5) < 0.1
    assert weights[1, 0] + weights[1, 1] > 0.9  # leaves below *.


def test_a_model_with_the_head_is_trained_by_it_and_saved_with_it(tmp_path) -> None:
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(**SIZES, pair_rank=4))
    ids = torch.tensor([[v.TARGET, *tokens_of(TEXTS[0])]])
    rest = (torch.arange(ids.shape[1])[None], torch.full_like(ids, 2))
    labels = torch.tensor([[*tokens_of(TEXTS[0]), -100]])
    data, mask = torch.zeros(1, 5, 12), torch.ones(1, 5, dtype=torch.bool)
    prompt = (ids[:, :1], ids[:, :1] * 0, ids[:, :1] * 0)
    plain = model(data, mask, *prompt, ids, *rest, labels=labels)
    output = model(data, mask, *prompt, ids, *rest, labels=labels, pairs=pair_targets(labels))
    output.loss.backward()
    assert output.loss > plain.loss
    assert model.pair_head.gate.weight.grad.abs().sum() > 0
    model.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    assert torch.equal(again.pair_head.above.weight, model.pair_head.above.weight)


def test_checkpoints_from_before_have_no_such_head_and_load() -> None:
    assert load("default").pair_head is None


def test_the_prior_takes_the_heads_pairs() -> None:
    torch.manual_seed(0)
    model = ProposerModel(ProposerConfig(**SIZES, pair_rank=4)).eval()
    X = np.random.default_rng(0).normal(size=(20, 2))
    request = ProposalRequest((), 0, ("prior",), 1)
    priors = []
    for shift in (0.0, 9.0):
        with torch.no_grad():
            model.pair_head.bias.bias[FIRST_CHILD + v.ID["sin"] - v.FIRST_OPERATOR] += shift
        priors.append(TransformerProposer(model).open(Problem(X, X[:, 0], OPERATORS)).propose(request).prior)
    sine = 2 + OPERATORS.index[("sin", 1)]
    assert priors[0].pairs[:, sine].max() < 0.9 < priors[1].pairs[:, sine].min()
    np.testing.assert_allclose(priors[1].pairs.sum(axis=1), 1)
