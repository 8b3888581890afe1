"""What the model's heads say of a search: weights of kinds and of parents, and a prior.

Owns: `kind_weights`, `parent_weights`, `prior`.  Does not own: the state that the heads read
(`proposer.neural.questions`), which levels are asked for (`proposer.neural.transformer`).
"""

from collections.abc import Sequence

import numpy as np
import torch

from pysr_neural.expression.node import Node
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import MemberView, Prior, normalized
from pysr_neural.state import KINDS
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v

TRAINED_KINDS = ("constant", "operator", "feature", "swap", "add", "insert")
"""Kinds that the training data teaches; weights of all others stay neutral."""


def presence_of(model: ProposerModel, hidden: torch.Tensor) -> Array:
    """Return each token's probability of being part of the answer, shape (tokens,)."""
    return torch.sigmoid(model.presence_head(hidden)).double().cpu().numpy()


def kind_weights(model: ProposerModel, hidden: torch.Tensor) -> Array:
    """Return a multiplier per kind, 1 being neutral."""
    trained = [KINDS.index(kind) for kind in TRAINED_KINDS]
    probabilities = model.kind_head(hidden)[trained].softmax(dim=-1).double().cpu().numpy()
    weights = np.ones(len(KINDS))
    weights[trained] = probabilities * len(trained)
    return weights


def parent_weights(members: Sequence[MemberView], presence: Array, slots: p.Slots) -> Array:
    """Prefer members whose building blocks the model expects in the answer; the mean weight is 1."""
    scores = np.zeros(len(members))
    for i, member in enumerate(members):
        tokens = p.tree_tokens(member.tree, slots) or []
        blocks = {t for t in tokens if v.ARITY[t] or v.FIRST_VARIABLE <= t < v.FIRST_VARIABLE + v.VARIABLE_SLOTS}
        scores[i] = np.mean([np.log(presence[t] + 1e-3) for t in blocks]) if blocks else np.log(0.3)
    weights = np.exp(np.clip(scores - scores.mean(), -1.4, 1.4)) if len(scores) else scores
    return normalized(weights) * max(len(scores), 1)


def prior(
    model: ProposerModel,
    hidden: torch.Tensor,
    presence: Array,
    problem: Problem,
    slots: p.Slots,
    trees: Sequence[Node],
) -> Prior:
    """Combine the heads for presence and, if there is one, for pairs with the pairs seen in the best children."""
    operators, features = problem.operators, problem.X.shape[1]
    by_operator = np.array([presence[t] for t in p.operator_tokens(operators)])
    by_variable = np.full(features, 0.02)
    by_variable[list(slots.features)] += presence[v.FIRST_VARIABLE : v.FIRST_VARIABLE + len(slots.features)]
    symbols = np.concatenate([[0.3, float(by_variable.mean()) + 0.3], by_operator + 0.02])
    pairs = np.tile(normalized(symbols), (len(operators.names) + 1, 1))
    if model.pair_head is not None:
        pairs = model.pair_head.weights(hidden, p.operator_tokens(operators))
    for rank, tree in enumerate(trees):
        _count_pairs(tree, len(operators.names), pairs, 0.3 / (1 + rank), operators.index)
    return Prior(normalized(by_operator + 0.02), normalized(by_variable), pairs / pairs.sum(axis=1, keepdims=True))


def _count_pairs(node: Node, parent: int, pairs: Array, weight: float, index: dict[tuple[str, int], int]) -> None:
    if node.operator is None:
        pairs[parent, 0 if node.value is not None else 1] += weight
        return
    here = index[(node.operator, len(node.children))]
    pairs[parent, 2 + here] += weight
    for child in node.children:
        _count_pairs(child, here, pairs, weight, index)
