"""The transformer as a proposer: prompts, samples, refined children, and what the heads say.

Owns: how a request becomes model calls and how samples become children.  Does not own: sampling itself
(`model.decoding`), prompts (`wire.prompt`), guarding (`proposer.guarded`).

Children come from three questions: what explains the data (``direct``), what would improve this population
(``onestep``), and what explains the rest of the data once a good member is taken away or divided out (residual
children, ``f + g`` and ``f * g``).  Constants are refined by least squares before a child leaves.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from pysr_neural.errors import ConfigError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.fit import mean_squared_error, refine
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.model.decoding import Grammar, Prefix, sample, start_hidden
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, MemberView, Prior, ProposalBatch, ProposalRequest, normalized
from pysr_neural.rng import generator
from pysr_neural.state import KINDS
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v

ENCODER_ROWS = 64
REFINE_ROWS = 200
REFINE_EVALUATIONS = 40
SEED_OVERSAMPLING = 4
CHILD_OVERSAMPLING = 2
SIZE_LADDER = (7, 12, 20)
REPAIR_ROOM = 5
TRAINED_KINDS = ("constant", "operator", "feature", "swap", "add", "insert")
"""Kinds that the training data teaches; weights of all others stay neutral."""
CHILD_LEVELS = {"seed", "child", "refresh", "crossover"}


@dataclass(frozen=True)
class Candidate:
    """A sampled tree with its loss on the refinement rows."""

    tree: Node
    loss: float
    log_probability: float
    parents: tuple[int, ...] = ()


class TransformerProposer:
    """Proposes with a `ProposerModel`.

    Parameters
    ----------
    model : ProposerModel
        In evaluation mode, on the device where it is to run.
    """

    def __init__(self, model: ProposerModel) -> None:
        self.model = model

    @classmethod
    def from_checkpoint(cls, name: str = "default", device: str = "cpu") -> "TransformerProposer":
        """Load a checkpoint by name, directory or hub id, onto a device as torch names them.

        Raises
        ------
        CheckpointError
            See `model.checkpoint.resolve`.
        ConfigError
            If the device is unknown or not there.
        """
        from pysr_neural.model.checkpoint import load

        model = load(name)
        try:
            model.to(torch.device(device))  # type: ignore[arg-type]
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA raises the latter
            reason = str(error).splitlines()[0]
            raise ConfigError(f"device must be usable here, such as 'cpu'; got {device!r}: {reason}") from error
        return cls(model)

    def open(self, problem: Problem) -> "TransformerSession":
        """Start a search."""
        return TransformerSession(self.model, problem)


class TransformerSession:
    """One search's data as the model sees it.

    Parameters
    ----------
    model : ProposerModel
    problem : Problem
    """

    def __init__(self, model: ProposerModel, problem: Problem) -> None:
        self.model = model
        self.problem = problem
        self.variance = float(np.var(problem.y)) or 1.0
        rows = generator(0, "rows").permutation(len(problem.y))
        self.seen = np.sort(rows[:ENCODER_ROWS])
        self.fitted = np.sort(rows[:REFINE_ROWS])
        self.slots = p.choose_slots(problem.X, problem.y)
        self.operators_by_token = _operators_by_token(problem)
        self._data_prefixes: dict[int, Prefix] = {}

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer one request; see `proposer.base.Session`."""
        if request.temperature <= 0:
            raise ConfigError(f"A temperature must be above 0; got {request.temperature}.")
        with torch.inference_mode(), self._place():
            return self._answer(request)

    def _place(self) -> AbstractContextManager[object]:
        """Make new tensors where the model is; on the CPU they are there anyway, and the context costs a tenth."""
        device = self.model.device
        return nullcontext() if device.type == "cpu" else device

    def _answer(self, request: ProposalRequest) -> ProposalBatch:
        rng = generator(request.seed, "propose")
        size = min(request.max_size or self.problem.limits.max_size, self.problem.limits.max_size)
        state, limit = self._state(request.members, size)
        children: tuple[Child, ...] = ()
        if request.count > 0 and CHILD_LEVELS & set(request.levels):
            candidates = self._candidates(request, state, limit, size, rng)
            children = tuple(Child(c.tree, "neural", c.parents, c.log_probability) for c in candidates)
        hidden = start_hidden(state)
        presence = torch.sigmoid(self.model.presence_head(hidden)).double().cpu().numpy()
        levels = set(request.levels)
        return ProposalBatch(
            children,
            kind_weights=self._kind_weights(hidden) if "kind" in levels and request.members else None,
            parent_weights=self._parent_weights(request.members, presence) if "parents" in levels else None,
            prior=self._prior(presence, [c.tree for c in children]) if "prior" in levels else None,
        )

    def _candidates(
        self, request: ProposalRequest, state: Prefix, limit: int, size: int, rng: np.random.Generator
    ) -> list[Candidate]:
        count, temperature = request.count, request.temperature
        if not request.members:
            drawn = self.explain(self.problem.y, size, SEED_OVERSAMPLING * count, temperature, rng)
            return self._select(self._refined(drawn, ()), count)
        total = CHILD_OVERSAMPLING * count
        found = self._refined(self._draw(state, limit, total // 2, temperature, rng), ())
        found += self._refined(self.explain(self.problem.y, size, total // 4, temperature, rng), ())
        found += self._residual_candidates(request, size, total // 4, rng)
        return self._select(found, count)

    def explain(
        self, y: Array, size: int, count: int, temperature: float, rng: np.random.Generator
    ) -> list[tuple[Node, float]]:
        """Sample expressions for some values from the data alone.

        The size limit is part of the prompt, and the model takes it for a hint; so the draws are shared among a ladder
        of limits.

        Parameters
        ----------
        y : array, shape (rows,)
        size : int
            Largest size.
        count : int
            Number of samples.
        temperature : float
        rng : numpy.random.Generator

        Returns
        -------
        list of (Node, float)
            Distinct trees with their log-probabilities; constants are as sampled.
        """
        ladder = sorted({min(limit, size) for limit in SIZE_LADDER})
        latents = None if y is self.problem.y else self._latents(y)
        found: dict[Node, float] = {}
        for i, limit in enumerate(ladder):
            share = count // len(ladder) + (i < count % len(ladder))
            if share:
                prefix = self._data_prefix(limit) if latents is None else self._prefix("direct", latents, limit)
                found |= dict(self._draw(prefix, limit, share, temperature, rng))
        return list(found.items())

    def _state(self, members: Sequence[MemberView], size: int) -> tuple[Prefix, int]:
        """Encode the search's state; returns it with the size limit that it names: room for repairs of the best."""
        if not members:
            limit = min(size, SIZE_LADDER[1])
            return self._data_prefix(limit), limit
        best = p.best_members(members, 1)[0].tree
        limit = min(size, best.size + REPAIR_ROOM)
        latents = self._latents(self.problem.y, self.problem.y - self._values(best))
        return self._prefix("onestep", latents, limit, members), limit

    def _data_prefix(self, limit: int) -> Prefix:
        """Encode the question what explains the data, once for each size limit."""
        if limit not in self._data_prefixes:
            self._data_prefixes[limit] = self._prefix("direct", self._latents(self.problem.y), limit)
        return self._data_prefixes[limit]

    def _latents(self, y: Array, residual: Array | None = None) -> torch.Tensor:
        if residual is not None and not np.all(np.isfinite(residual[self.seen])):
            residual = None
        columns = p.data_columns(
            self.problem.X[self.seen], y[self.seen], self.slots, None if residual is None else residual[self.seen]
        )
        data = torch.tensor(columns)[None]
        return self.model.encoder(data, torch.ones(data.shape[:2], dtype=torch.bool))  # type: ignore[no-any-return]

    def _prefix(self, task: str, latents: torch.Tensor, size: int, members: Sequence[MemberView] = ()) -> Prefix:
        prompt = p.build_prompt(task, self.problem.operators, self.slots, size, members, self.variance)
        return Prefix(self.model, latents, prompt)

    def _draw(
        self, prefix: Prefix, size: int, count: int, temperature: float, rng: np.random.Generator
    ) -> list[tuple[Node, float]]:
        """Sample distinct trees with their log-probabilities."""
        limits = self.problem.limits
        tokens = p.operator_tokens(self.problem.operators)
        nested = tuple((tokens[outer], tokens[inner], most) for outer, inner, most in limits.nested)
        grammar = Grammar(tuple(sorted(set(tokens))), len(self.slots.features), size, limits.max_depth, nested)
        source = torch.Generator(self.model.device).manual_seed(int(rng.integers(1 << 62)))
        drawn = sample(prefix, grammar, count, temperature, source)
        found: dict[Node, float] = {}
        for row, score in zip(drawn.tokens.tolist(), drawn.log_probabilities.tolist(), strict=True):
            found.setdefault(self._tree(row, rng), score)
        return list(found.items())

    def _tree(self, row: list[int], rng: np.random.Generator) -> Node:
        """Read one sampled token sequence, which the grammar made well-formed."""
        stack: list[Node] = []
        tokens = row[: row.index(v.PAD)] if v.PAD in row else row
        mantissa = v.FIRST_MANTISSA
        for token in reversed(tokens):
            if v.IS_MANTISSA[token]:
                mantissa = token
            elif v.IS_EXPONENT[token]:
                stack.append(constant(v.constant_value(token, mantissa)))
            elif not np.isnan(v.VALUE[token]):
                stack.append(constant(v.VALUE[token]))
            elif v.ARITY[token]:
                names = self.operators_by_token[token]
                name = names[int(rng.integers(len(names)))] if len(names) > 1 else names[0]
                stack.append(Node(name, tuple(stack.pop() for _ in range(v.ARITY[token]))))
            else:
                stack.append(variable(self.slots.features[token - v.FIRST_VARIABLE]))
        return stack[0]

    def _residual_candidates(
        self, request: ProposalRequest, size: int, count: int, rng: np.random.Generator
    ) -> list[Candidate]:
        """Ask what is left when a good, small member is subtracted or divided out."""
        ways = [name for name in ("+", "*") if (name, 2) in self.problem.operators.index]
        position = self._base_member(request.members, size)
        if not ways or position is None or count == 0:
            return []
        base = request.members[position].tree
        values = self._values(base)
        found: list[Candidate] = []
        for name in ways:
            with np.errstate(all="ignore"):
                rest = self.problem.y - values if name == "+" else self.problem.y / values
            if not np.all(np.isfinite(rest)) or np.var(rest) == 0:
                continue
            room = size - base.size - 1
            drawn = self.explain(rest, room, count // len(ways), request.temperature, rng)
            found += self._refined([(apply(name, base, tree), score) for tree, score in drawn], (position,))
        return found

    def _base_member(self, members: Sequence[MemberView], size: int) -> int | None:
        """Choose the member of lowest loss per node that leaves room for more."""
        scores = [
            np.log(max(m.loss, 1e-300)) + 0.1 * m.tree.size
            if m.tree.size + 4 <= size and np.isfinite(m.loss)
            else np.inf
            for m in members
        ]
        best = int(np.argmin(scores))
        return best if np.isfinite(scores[best]) else None

    def _refined(self, drawn: list[tuple[Node, float]], parents: tuple[int, ...]) -> list[Candidate]:
        X, y = self.problem.X[self.fitted], self.problem.y[self.fitted]
        if not self.problem.operators.evaluable:
            return [Candidate(tree, float("nan"), score, parents) for tree, score in drawn]
        found = []
        for tree, score in drawn:
            fitted, loss = (
                refine(tree, X, y, REFINE_EVALUATIONS) if tree.size > 1 else (tree, mean_squared_error(tree, X, y))
            )
            found.append(Candidate(fitted, loss, score, parents))
        return found

    @staticmethod
    def _select(found: list[Candidate], count: int) -> list[Candidate]:
        """Order by loss with a mild price on size, and keep the best without repeats."""

        def price(candidate: Candidate) -> float:
            if np.isnan(candidate.loss):  # Operators that cannot be evaluated here: as sampled.
                return 0.0
            return float(np.log(max(candidate.loss, 1e-300)) + 0.05 * candidate.tree.size)

        usable = {c.tree: c for c in reversed(found) if not np.isinf(c.loss)}
        return sorted(usable.values(), key=price)[:count]

    def _values(self, tree: Node) -> Array:
        if any(node.operator is not None and node.operator not in OPERATORS for node in tree):
            return np.full(len(self.problem.y), np.nan)
        return evaluate(tree, self.problem.X)

    def _kind_weights(self, hidden: torch.Tensor) -> Array:
        """Return a multiplier per kind, 1 being neutral."""
        trained = [KINDS.index(kind) for kind in TRAINED_KINDS]
        probabilities = self.model.kind_head(hidden)[trained].softmax(dim=-1).double().cpu().numpy()
        weights = np.ones(len(KINDS))
        weights[trained] = probabilities * len(trained)
        return weights

    def _parent_weights(self, members: Sequence[MemberView], presence: Array) -> Array:
        """Prefer members whose building blocks the model expects in the answer; the mean weight is 1."""
        scores = np.zeros(len(members))
        for i, member in enumerate(members):
            tokens = p.tree_tokens(member.tree, self.slots) or []
            blocks = {t for t in tokens if v.ARITY[t] or v.FIRST_VARIABLE <= t < v.FIRST_VARIABLE + v.VARIABLE_SLOTS}
            scores[i] = np.mean([np.log(presence[t] + 1e-3) for t in blocks]) if blocks else np.log(0.3)
        weights = np.exp(np.clip(scores - scores.mean(), -1.4, 1.4)) if len(scores) else scores
        return normalized(weights) * max(len(scores), 1)

    def _prior(self, presence: Array, trees: list[Node]) -> Prior:
        """Combine the presence head with the pairs seen in the best children."""
        operators, features = self.problem.operators, self.problem.X.shape[1]
        by_operator = np.array([presence[t] for t in p.operator_tokens(operators)])
        by_variable = np.full(features, 0.02)
        by_variable[list(self.slots.features)] += presence[
            v.FIRST_VARIABLE : v.FIRST_VARIABLE + len(self.slots.features)
        ]
        symbols = np.concatenate([[0.3, float(by_variable.mean()) + 0.3], by_operator + 0.02])
        pairs = np.tile(normalized(symbols), (len(operators.names) + 1, 1))
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


def _operators_by_token(problem: Problem) -> dict[int, list[str]]:
    """Group the search's operators by the token that stands for them; generic tokens may stand for several."""
    groups: dict[int, list[str]] = {}
    for token, name in zip(p.operator_tokens(problem.operators), problem.operators.names, strict=True):
        groups.setdefault(token, []).append(name)
    return groups
