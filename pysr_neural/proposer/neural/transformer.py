"""The transformer as a proposer: which questions a request makes, and what becomes of the samples.

Owns: `TransformerProposer`, `TransformerSession`.  Does not own: the questions (`proposer.neural.asking`), how they are
asked (`proposer.neural.questions`), how samples are read (`proposer.neural.reading`), what the heads say
(`proposer.neural.steering`), guarding (`proposer.guarded`).

Children come from three questions: what explains the data (``direct``), what would improve this population
(``onestep``), and what explains the rest of the data once a good member is taken away or divided out (residual
children, ``f + g`` and ``f * g``).  Parts of all samples and members are combined to further children
(`proposer.joins.search`).  Constants are refined by least squares before a child leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.deadline import Deadline
from pysr_neural.errors import ConfigError
from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.exponentials import tame
from pysr_neural.expression.node import Node
from pysr_neural.expression.refinement import Refinement
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import Child, MemberView, ProposalBatch, ProposalRequest
from pysr_neural.proposer.joins.search import FIT_ROWS, TESTED_ROWS, Joiner
from pysr_neural.proposer.neural.asking import SIZE_LADDER, Questioner
from pysr_neural.proposer.neural.questions import Question, ask, hidden_states, place, shares
from pysr_neural.proposer.neural.steering import kind_weights, parent_weights, presence_of, prior
from pysr_neural.rng import generator
from pysr_neural.wire import prompt as p

SAMPLE_EVALUATIONS, REFINE_EVALUATIONS = 8, 60
"""Most evaluations in the fit of a sample's constants, and of a joined answer's."""
DRAWS, FEWEST_DRAWS, ASKED_EVERY = 0.25, 8, 12
"""Samples drawn for each child that is wanted, at least so many, in every so manieth request; the other children are
joins."""
STEPS, LATER_STEPS = 3, 1
"""Of joining, in a search's first request and in each that follows."""
REFINED_JOINS = 4
"""How many joined answers have all their constants fitted; the others keep those of the join."""
REPAIR_ROOM = 5
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


class TransformerSession(Questioner):
    """One search: its data as the model sees it, and what was found so far.

    Parameters
    ----------
    model : ProposerModel
    problem : Problem
    combine : bool
        As for `TransformerProposer`.
    """

    def __init__(self, model: ProposerModel, problem: Problem, combine: bool) -> None:
        super().__init__(model, problem)
        self.combine = combine and problem.operators.evaluable
        rows = generator(0, "rows").permutation(len(problem.y))
        self.fitted = np.sort(rows[:FIT_ROWS])
        self.joiner = self._joiner(rows[:TESTED_ROWS]) if self.combine else None
        self._refinement = Refinement(problem.X[self.fitted], problem.y[self.fitted], IEEE)
        self._requests, self.deadline = 0, Deadline()
        self._known: dict[Node, tuple[Node, float]] = {}

    def propose(self, request: ProposalRequest) -> ProposalBatch:
        """Answer one request; see `proposer.base.Session`."""
        return propose_many([self], [request])[0]

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
        drawn = [self.reader.placed(question, request.members, rng) for question in questions]
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
        model, slots, presence = self.model, self.slots, presence_of(self.model, hidden)
        return ProposalBatch(
            tuple(children),
            kind_weights=kind_weights(model, hidden) if "kind" in levels and request.members else None,
            parent_weights=parent_weights(request.members, presence, slots) if "parents" in levels else None,
            prior=prior(model, hidden, presence, self.problem, slots, [c.tree for c in children])
            if "prior" in levels
            else None,
        )

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
        for name, share in zip(ways, shares(count, len(ways)), strict=True):
            with np.errstate(all="ignore"):
                rest = self.problem.y - values if name == "+" else self.problem.y / values
            if not np.all(np.isfinite(rest)) or np.var(rest) == 0:
                continue
            room = size - base.size - 1
            questions += self._direct_questions(rest, room, share, request.temperature, rng, (name, position))
        return questions

    def _joiner(self, rows: npt.NDArray[np.int64]) -> Joiner:
        problem = self.problem

        def allowed(tree: Node) -> bool:
            return check_tree(tree, problem) is None

        return Joiner(problem.X[rows], problem.y[rows], problem.operators, problem.limits.most_nodes(), allowed)

    def _joined(self, joiner: Joiner, trees: list[Node]) -> list[Candidate]:
        """Join parts of trees, and enumerated ones, to further candidates; the next request goes on from there."""
        joiner.add(trees)
        found = joiner.work(STEPS if self._requests <= 1 else LATER_STEPS, self.deadline.passed)
        told = [self._refined(tree, REFINE_EVALUATIONS) for tree in found[:REFINED_JOINS]]
        told += [(tree, joiner.answers.losses[tree]) for tree in found[REFINED_JOINS:]]
        return [Candidate(self._tamed(tree), loss, float("nan")) for tree, loss in told]

    def _tamed(self, tree: Node) -> Node:
        """Write exponentials so that an engine of fewer digits can calculate them, where the limits allow it."""
        tamed = tame(tree, self.problem.operators.names)
        return tree if tamed is tree or check_tree(tamed, self.problem) is not None else tamed

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
