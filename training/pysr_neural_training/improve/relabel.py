"""Experts: what would have been the better answer in a state that the policy visited.

Owns: the three experts of `EXPERTS` and the choice among them.  Does not own: states (`rollout`), examples (`lessons`).

An expert's answer counts only if it fits the size limit that the policy is given in that state, and if its loss, with
constants fitted, is below that of the state's best member by a margin; otherwise the state is skipped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pysr_neural.expression.constraints import check_tree
from pysr_neural.expression.fit import refine
from pysr_neural.expression.node import Node
from pysr_neural.expression.simplify import simplify
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import MemberView, ProposalRequest
from pysr_neural.proposer.neural.transformer import REPAIR_ROOM
from pysr_neural.proposer.scripted import ScriptedProposer
from pysr_neural.state import KINDS
from pysr_neural.wire.prompt import best_members
from pysr_neural_baseline.objective import scale_of
from pysr_neural_baseline.population import Member
from pysr_neural_baseline.search import run_search
from pysr_neural_baseline.variation import EvolutionaryProposer
from pysr_neural_training.improve.config import DaggerConfig
from pysr_neural_training.improve.rollout import Watcher


@dataclass(frozen=True)
class State:
    """A state of a search.

    Parameters
    ----------
    problem : Problem
    request : ProposalRequest
        With at least one member.
    target : Node or None
        The expression behind the data, if it is known.
    """

    problem: Problem
    request: ProposalRequest
    target: Node | None = None

    @property
    def best(self) -> MemberView:
        """The member that the prompt is about."""
        return best_members(self.request.members, 1)[0]

    @property
    def limit(self) -> int:
        """Largest size of an answer."""
        size = min(self.request.max_size or self.problem.limits.max_size, self.problem.limits.max_size)
        return min(size, self.best.tree.size + REPAIR_ROOM)


@dataclass(frozen=True)
class Label:
    """An expert's answer, its kind where it is one move, and its mean squared error."""

    tree: Node
    kind: str
    loss: float


def label(state: State, config: DaggerConfig, rng: np.random.Generator) -> Label | None:
    """Ask the configured expert; None if it cannot improve the state."""
    best: Label | None = None
    for name in ("reverse", "children", "lookahead") if config.expert == "best" else (config.expert,):
        found = _ASK[name](state, config, rng)
        if found is not None and (best is None or found.loss < best.loss):
            best = found
        if best is not None and best.loss <= config.solved_below * scale_of(state.problem.y):
            break
    return best if best is not None and best.loss < (1 - config.margin) * state.best.loss else None


def best_child(state: State, config: DaggerConfig, rng: np.random.Generator) -> Label | None:
    """Return the best of some ordinary children of the population."""
    request = replace(state.request, count=config.tries, seed=int(rng.integers(1 << 31)))
    children = EvolutionaryProposer(config.search).open(state.problem).propose(request).children
    kinds = {child.tree: child.kind if child.kind in KINDS else "" for child in reversed(children)}
    return _best(state, list(kinds.items()))


def preferred_move(state: State, config: DaggerConfig, rng: np.random.Generator) -> Label | None:
    """Search on from the state for a while; return the furthest point of the winner's line that fits."""
    members = [member.tree for member in state.request.members]
    size = max(len(members), 2)
    settings = replace(
        config.search,
        population_size=size,
        generations=config.lookahead,
        cycles_per_iteration=config.lookahead,
        levels=("seed",),
        proposal_share=1.0,
    )
    watcher = Watcher()
    result = run_search(
        state.problem, settings, ScriptedProposer(members), int(rng.integers(1 << 31)), observer=watcher
    )
    winner: Member = min(result.hall_of_fame.front() or [result.best], key=lambda member: member.loss)
    line = result.ancestry.ancestors(winner.ref)
    born = {event.ref: event for event in watcher.events if event.ref in line}
    steps = [(winner.tree, ""), *((born[ref].tree, born[ref].kind) for ref in sorted(born, reverse=True))]
    fitting = [(tree, kind) for tree, kind in steps if tree.size <= state.limit and tree not in members]
    return _best(state, fitting[:3])


def reverse_edit(state: State, config: DaggerConfig, rng: np.random.Generator) -> Label | None:
    """Return the best step from a member of the state back towards the known target."""
    if state.target is None:
        return None
    shown = best_members(state.request.members, 6)
    edits = dict.fromkeys(edit for member in shown for edit in edits_towards(member.tree, state.target))
    return _best(state, [(edit, _kind_between(state.best.tree, edit)) for edit in edits])


def edits_towards(tree: Node, target: Node) -> Iterator[Node]:
    """Yield trees that are nearer to a target than a tree is.

    Each topmost difference in turn is mended, whole or by one node that is inserted above what is there; then come the
    target itself and its parts, which are shorter than it and may be all that fits.

    Parameters
    ----------
    tree : Node
        What a search holds.
    target : Node
        What it looks for.
    """
    for position, part in differences(tree, target):
        yield tree.replace(position, part)
        here = tree.at(position)
        for place in range(len(part.children)):
            inserted = tuple([here if i == place else child for i, child in enumerate(part.children)])
            yield tree.replace(position, Node(part.operator, inserted))
    yield from (part for part in target if part.size > 1 or part is target)


def differences(tree: Node, target: Node, position: int = 0) -> Iterator[tuple[int, Node]]:
    """Yield the topmost positions at which a tree differs from a target, each with the target's part there."""
    if tree.operator is None or tree.operator != target.operator or len(tree.children) != len(target.children):
        if tree != target and not (tree.value is not None and target.value is not None):
            yield position, target
        return
    below = position + 1
    for mine, theirs in zip(tree.children, target.children, strict=True):
        yield from differences(mine, theirs, below)
        below += mine.size


def _kind_between(before: Node, after: Node) -> str:
    """Name the move from one tree to another, as the training data names repairs; empty if it is none of them."""
    found = list(differences(before, after))
    if not found:
        return "constant" if before != after else ""
    if len(found) > 1:
        return ""
    position, new = found[0]
    old = before.at(position)
    if not old.children and not new.children:
        return "feature"
    if old.children and old.children == new.children:
        return "operator"
    if old in new.children:
        return "add" if all(child.size == 1 for child in new.children) else "insert"
    return ""


def _best(state: State, trees: Sequence[tuple[Node, str]]) -> Label | None:
    """Fit each tree's constants and return the best that fits; None if none has a finite loss."""
    best: Label | None = None
    for tree, kind in trees:
        simple = simplify(tree)
        usable = [each for each in (simple, tree) if check_tree(each, state.problem, state.limit) is None]
        if not usable:
            continue
        fitted, loss = refine(min(usable, key=lambda each: each.size), state.problem.X, state.problem.y)
        if np.isfinite(loss) and (best is None or loss < best.loss):
            best = Label(fitted, kind, loss)
    return best


_ASK = {"children": best_child, "lookahead": preferred_move, "reverse": reverse_edit}
