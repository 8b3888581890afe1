"""The transformer as a proposer: prompts, samples, refined children, and what the heads say.

Owns: which questions a request makes and how samples become children.  Does not own: how they are asked
(`proposer.neural.questions`), prompts (`wire.prompt`), guarding (`proposer.guarded`).

Children come from three questions: what explains the data (``direct``), what would improve this population
(``onestep``), and what explains the rest of the data once a good member is taken away or divided out (residual
children, ``f + g`` and ``f * g``).  Parts of all samples and members are combined to further children
(`proposer.joins.search`).  Constants are refined by least squares before a child leaves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.deadline import Deadline
from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.evaluate import IEEE, evaluate
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.expression.refinement import Refinement
from pysr_neural.model.decoding import Prefix
from pysr_neural.model.grammar import Grammar, token_costs
from pysr_neural.model.policy import ProposerModel
from pysr_neural.operators import OPERATORS, Array
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, MemberView, Prior, ProposalBatch, ProposalRequest, normalized
from pysr_neural.proposer.joins.search import FIT_ROWS, Joiner
from pysr_neural.proposer.neural.questions import Question, ask, hidden_states, place, shares
from pysr_neural.rng import generator
from pysr_neural.state import KINDS
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural.wire.context import Context, context_of

SHOWN_MEMBERS = 6
"""Most members in a prompt: as many as training shows, so that the model is not asked what it never saw."""
SAMPLE_EVALUATIONS, REFINE_EVALUATIONS = 8, 60
"""Most evaluations in the fit of a sample's constants, and of a joined answer's."""
DRAWS, FEWEST_DRAWS, ASKED_EVERY = 0.25, 8, 4
"""Samples drawn for each child that is wanted, at least so many, in every so manieth request; the other children are
joins."""
FIRST_STEPS, STEPS = 3, 2
"""Of joining, in the first request and in each later one."""
REFINED_JOINS = 4
"""How many joined answers have all their constants fitted; the others keep those of the join."""
SIZE_LADDER = (14,)
REPAIR_ROOM = 5
TRAINED_KINDS = ("constant", "operator", "feature", "swap", "add", "insert")
"""Kinds that the training data teaches; weights of all others stay neutral."""
CHILD_LEVELS = {"seed", "child", "refresh", "crossover"}
HEAD_LEVELS = {"kind", "parents", "prior"}
KNOWN_TREES = 10_000
"""How many refined samples a search remembers: small trees are drawn again and again."""


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
    combine : bool, optional
        Whether to combine parts of samples to further children.
    """

    def __init__(self, model: ProposerModel, combine: bool = True) -> None:
        self.model = model
        self.combine = combine

    @classmethod
    def from_checkpoint(cls, name: str | PathLike[str] = "default", device: str = "cpu") -> "TransformerProposer":
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
        return TransformerSession(self.model, problem, self.combine)

    def propose_many(
        self, sessions: Sequence["TransformerSession"], requests: Sequence[ProposalRequest]
    ) -> list[ProposalBatch]:
        """Answer the requests of several searches in one pass of the model; see `proposer.base.BatchProposer`."""
        return propose_many(sessions, requests)


class TransformerSession:
    """One search's data as the model sees it.

    Parameters
    ----------
    model : ProposerModel
    problem : Problem
    combine : bool, optional
        As for `TransformerProposer`.
    """

    def __init__(self, model: ProposerModel, problem: Problem, combine: bool = True) -> None:
        self.model = model
        self.problem = problem
        self.combine = combine and problem.operators.evaluable
        self.shown_members = SHOWN_MEMBERS
        self.variance = float(np.var(problem.y)) or 1.0
        rows = generator(0, "rows").permutation(len(problem.y))
        self.seen = p.shown_rows(len(problem.y))
        self.fitted = np.sort(rows[:FIT_ROWS])
        self.joiner = self._joiner(rows[:FIT_ROWS]) if self.combine else None
        self._refinement = Refinement(problem.X[self.fitted], problem.y[self.fitted], IEEE)
        self.slots = p.choose_slots(problem.X, problem.y)
        self.operators_by_token = _operators_by_token(problem)
        counted, tokens = problem.limits.complexities, p.operator_tokens(problem.operators)
        self._costs = None if counted is None else token_costs(counted, tokens, self.slots.features)
        self._own_data = self._columns(problem.y)
        self._own_context = self._context(problem.y)
        self._requests, self._joined_before, self.deadline = 0, False, Deadline()
        self._direct: dict[int, Prefix] = {}
        self._known: dict[Node, tuple[Node, float]] = {}

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer one request; see `proposer.base.Session`."""
        return propose_many([self], [request])[0]

    def explain(
        self, y: Array, size: int, count: int, temperature: float, rng: np.random.Generator
    ) -> list[tuple[Node, float]]:
        """Sample expressions for some values from the data alone.

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
        questions = self._direct_questions(y, size, count, temperature, rng)
        with torch.inference_mode(), place(self.model):
            ask(self.model, questions)
        found: dict[Node, float] = {}
        for question in questions:
            found |= dict(self._read(question, rng))
        return list(found.items())

    def plan(self, request: ProposalRequest, rng: np.random.Generator) -> list[Question]:
        """Return the questions that a request makes; the first is about the state of the search."""
        if request.temperature <= 0:
            raise ConfigError(f"A temperature must be above 0; got {request.temperature}.")
        size = self._size(request)
        temperature, members = request.temperature, request.members
        wanted = self._draws(request)
        if not wanted and not HEAD_LEVELS & set(request.levels):
            return []
        if not members:
            limit = min(size, SIZE_LADDER[-1])
            state = self._question("direct", self._own_data, limit, 0, temperature, rng)
            return [state, *self._direct_questions(self.problem.y, size, wanted, temperature, rng)]
        best = p.best_members(members, 1)[0].tree
        limit = min(size, best.size + REPAIR_ROOM)  # Room for repairs of the best.
        state = self._question("onestep", self._beside(best), limit, (wanted + 1) // 2, temperature, rng, members)
        return [state, *self._residual_questions(request, size, wanted // 2, rng)]

    def _draws(self, request: ProposalRequest) -> int:
        """Return how many samples to draw: where answers are joined, few in some requests and none in the others."""
        if not CHILD_LEVELS & set(request.levels):
            return 0
        if self.joiner is None or not self.joiner.usable:
            return request.count
        turn = self._requests % ASKED_EVERY == 1  # Joins alone are there first.
        self._requests += 1
        return max(FEWEST_DRAWS, round(DRAWS * request.count)) if turn else 0

    def answer(
        self,
        request: ProposalRequest,
        questions: Sequence[Question],
        hidden: torch.Tensor | None,
        rng: np.random.Generator,
    ) -> ProposalBatch:
        """Make the answer of what was sampled, and of the state where the heads read, if that was asked for."""
        found: list[Candidate] = []
        drawn = [self._placed(question, request.members, rng) for question in questions]
        if self.joiner is not None and CHILD_LEVELS & set(request.levels):
            samples = [tree for each in drawn for tree, _, _ in each]
            found += self._joined(self.joiner, samples + [member.tree for member in request.members])
        if self.joiner is None or not self.joiner.solved:
            for tree, score, parents in chain.from_iterable(drawn):
                if self.deadline.passed():
                    break
                found.append(Candidate(*self._refined(tree, SAMPLE_EVALUATIONS), score, parents))
        children = [Child(c.tree, "neural", c.parents, c.log_probability) for c in self._select(found, request.count)]
        if hidden is None:
            return ProposalBatch(tuple(children))
        levels = set(request.levels)
        presence = torch.sigmoid(self.model.presence_head(hidden)).double().cpu().numpy()
        return ProposalBatch(
            tuple(children),
            kind_weights=self._kind_weights(hidden) if "kind" in levels and request.members else None,
            parent_weights=self._parent_weights(request.members, presence) if "parents" in levels else None,
            prior=self._prior(presence, hidden, [c.tree for c in children]) if "prior" in levels else None,
        )

    def remember(self, questions: Sequence[Question]) -> None:
        """Keep the encoded questions about the data alone: later requests ask them again."""
        for question in questions:
            if question.data is self._own_data and question.prefix is not None:
                self._direct[question.grammar.max_size] = question.prefix

    def _question(
        self,
        task: str,
        data: npt.NDArray[np.float32],
        limit: int,
        count: int,
        temperature: float,
        rng: np.random.Generator,
        members: Sequence[MemberView] = (),
        base: tuple[str, int] | None = None,
        context: Context | None = None,
        kind: str = "",
        parents: Sequence[MemberView] = (),
    ) -> Question:
        limits, tokens = self.problem.limits, p.operator_tokens(self.problem.operators)
        nested = tuple((tokens[outer], tokens[inner], most) for outer, inner, most in limits.nested)
        names = tuple(sorted(set(tokens)))
        counted = (self._costs, limits.max_size + 0.5 - 1e-3)
        grammar = Grammar(names, len(self.slots.features), limit, limits.max_depth, nested, limits.constants, *counted)
        prompt = self._prompt(task, limit, members, context or self._own_context, kind, parents)
        prefix = self._direct.get(limit) if data is self._own_data else None
        return Question(data, prompt, grammar, count, temperature, int(rng.integers(1 << 62)), base, prefix)

    def _prompt(
        self,
        task: str,
        limit: int,
        members: Sequence[MemberView],
        context: Context,
        kind: str,
        parents: Sequence[MemberView],
    ) -> p.Prompt:
        """Say in tokens what is asked."""
        told, operators = (members, self.variance, self.shown_members), self.problem.operators
        return p.build_prompt(task, operators, self.slots, limit, *told, kind=kind, parents=parents, context=context)

    def _direct_questions(
        self,
        y: Array,
        size: int,
        count: int,
        temperature: float,
        rng: np.random.Generator,
        base: tuple[str, int] | None = None,
    ) -> list[Question]:
        """Ask what explains some values.

        The size limit is part of the prompt, and the model takes it for a hint; so the draws are shared among a ladder
        of limits.
        """
        ladder = sorted({min(limit, size) for limit in SIZE_LADDER})
        own = y is self.problem.y
        data, context = (self._own_data, self._own_context) if own else (self._columns(y), self._context(y))
        return [
            self._question("direct", data, limit, share, temperature, rng, base=base, context=context)
            for limit, share in zip(ladder, shares(count, len(ladder)), strict=True)
            if share
        ]

    def _residual_questions(
        self, request: ProposalRequest, size: int, count: int, rng: np.random.Generator
    ) -> list[Question]:
        """Ask what is left when a good, small member is subtracted or divided out."""
        ways = [name for name in ("+", "*") if (name, 2) in self.problem.operators.index]
        position = self._base_member(request.members, size)
        if not ways or position is None or count == 0:
            return []
        base = request.members[position].tree
        values = self._values(base)
        questions: list[Question] = []
        for name in ways:
            with np.errstate(all="ignore"):
                rest = self.problem.y - values if name == "+" else self.problem.y / values
            if not np.all(np.isfinite(rest)) or np.var(rest) == 0:
                continue
            room, share = size - base.size - 1, count // len(ways)
            questions += self._direct_questions(rest, room, share, request.temperature, rng, (name, position))
        return questions

    def _size(self, request: ProposalRequest) -> int:
        """Return the largest size of an answer."""
        return self.problem.limits.most_nodes(request.max_size)

    def _beside(self, tree: Node) -> npt.NDArray[np.float32]:
        """Lay out the rows that the model sees, beside what a tree leaves of y."""
        return self._columns(self.problem.y, self.problem.y - self._values(tree))

    def _context(self, y: Array) -> Context:
        """Describe some values of y as the model was trained to be told of them."""
        return context_of(self.model.config.context, self.problem.X, y, self.slots.features)

    def _columns(self, y: Array, residual: Array | None = None) -> npt.NDArray[np.float32]:
        """Lay out the rows that the model sees; a residual that is not finite there is left out."""
        if residual is not None and not np.all(np.isfinite(residual[self.seen])):
            residual = None
        rest = None if residual is None else residual[self.seen]
        return p.data_columns(self.problem.X[self.seen], y[self.seen], self.slots, rest)

    def _placed(
        self, question: Question, members: Sequence[MemberView], rng: np.random.Generator
    ) -> list[tuple[Node, float, tuple[int, ...]]]:
        """Read a question's samples and put them into their place; with log-probabilities and parents."""
        placed: list[tuple[Node, float, tuple[int, ...]]]
        placed = [(tree, score, ()) for tree, score in self._read(question, rng)]
        if question.base is not None:
            name, position = question.base
            placed = [(apply(name, members[position].tree, tree), score, (position,)) for tree, score, _ in placed]
        if self.problem.limits.arguments or self.problem.limits.complexities:  # What the grammar does not know of.
            placed = [each for each in placed if check_tree(each[0], self.problem) is None]
        return placed

    def _joiner(self, rows: npt.NDArray[np.int64]) -> Joiner:
        problem = self.problem

        def allowed(tree: Node) -> bool:
            return check_tree(tree, problem) is None

        return Joiner(problem.X[rows], problem.y[rows], problem.operators, problem.limits.most_nodes(), allowed)

    def _joined(self, joiner: Joiner, trees: list[Node]) -> list[Candidate]:
        """Join parts of trees, and enumerated ones, to further candidates; the next request goes on from there."""
        joiner.add(trees)
        first = not self._joined_before
        self._joined_before = True
        found = joiner.work(FIRST_STEPS if first else STEPS, self.deadline.passed)
        told = [self._refined(tree, REFINE_EVALUATIONS) for tree in found[:REFINED_JOINS]]
        told += [(tree, self._refinement.loss(tree)) for tree in found[REFINED_JOINS:]]
        return [Candidate(tree, loss, float("nan")) for tree, loss in told]

    def _read(self, question: Question, rng: np.random.Generator) -> list[tuple[Node, float]]:
        """Return the distinct sampled trees with their log-probabilities."""
        found: dict[Node, float] = {}
        for tree, score in self._sampled(question, rng):
            found.setdefault(tree, score)
        return list(found.items())

    def _sampled(self, question: Question, rng: np.random.Generator) -> Iterator[tuple[Node, float]]:
        """Yield the sampled trees as they were drawn, repeated ones too, with their log-probabilities."""
        if question.samples is not None:
            scores = question.samples.log_probabilities.tolist()
            for row, score in zip(question.samples.tokens.tolist(), scores, strict=True):
                yield self._tree(row, rng), score

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

    def _refined(self, tree: Node, most: int = REFINE_EVALUATIONS) -> tuple[Node, float]:
        """Fit a tree's constants; returns it with its loss on the rows for fitting, NaN if it cannot be evaluated."""
        if not self.problem.operators.evaluable:
            return tree, float("nan")
        known = self._known.get(tree)
        if known is None and self.deadline.passed():
            return tree, self._refinement.loss(tree)
        if known is None:
            if len(self._known) >= KNOWN_TREES:
                self._known.clear()
            if tree.size > 1:
                known = self._refinement.refined(tree, most)
            else:
                known = tree, self._refinement.loss(tree)
            self._known[tree] = known
        return known

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

    def _prior(self, presence: Array, hidden: torch.Tensor, trees: list[Node]) -> Prior:
        """Combine the heads for presence and, if there is one, for pairs with the pairs seen in the best children."""
        operators, features = self.problem.operators, self.problem.X.shape[1]
        by_operator = np.array([presence[t] for t in p.operator_tokens(operators)])
        by_variable = np.full(features, 0.02)
        by_variable[list(self.slots.features)] += presence[
            v.FIRST_VARIABLE : v.FIRST_VARIABLE + len(self.slots.features)
        ]
        symbols = np.concatenate([[0.3, float(by_variable.mean()) + 0.3], by_operator + 0.02])
        pairs = np.tile(normalized(symbols), (len(operators.names) + 1, 1))
        if self.model.pair_head is not None:
            pairs = self.model.pair_head.weights(hidden, p.operator_tokens(operators))
        for rank, tree in enumerate(trees):
            _count_pairs(tree, len(operators.names), pairs, 0.3 / (1 + rank), operators.index)
        return Prior(normalized(by_operator + 0.02), normalized(by_variable), pairs / pairs.sum(axis=1, keepdims=True))


def propose_many(sessions: Sequence[TransformerSession], requests: Sequence[ProposalRequest]) -> list[ProposalBatch]:
    """Answer one request of each session; all questions to the model are asked together.

    Parameters
    ----------
    sessions : sequence of TransformerSession
        All of one model.
    requests : sequence of ProposalRequest
        One per session.
    """
    model = sessions[0].model
    with torch.inference_mode(), place(model):
        rngs = [generator(request.seed, "propose") for request in requests]
        each = list(zip(sessions, requests, rngs, strict=True))
        for session, request, _ in each:
            session.deadline = Deadline(request.seconds)
        plans = [session.plan(request, rng) for session, request, rng in each]
        ask(model, [question for plan in plans for question in plan])
        steered = [i for i, request in enumerate(requests) if HEAD_LEVELS & set(request.levels)]
        hidden: dict[int, torch.Tensor] = {}
        if steered:
            hidden = dict(zip(steered, hidden_states([plans[i][0] for i in steered]), strict=True))
        answers = []
        for i, (session, request, rng) in enumerate(each):
            session.remember(plans[i])
            answers.append(session.answer(request, plans[i], hidden.get(i), rng))
        return answers


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
