"""Training examples: problems become prompts and targets, through the one prompt builder.

Owns: layouts ``direct`` (expression from data) and ``onestep`` (expression from data and a population of damaged copies
of it, with the kind of the last repair), and batching.  Does not own: the prior (`generate`), the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from torch import Tensor

from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node, apply, constant, variable
from pysr_neural.rng import generator
from pysr_neural.state import KINDS, MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural_training.generate import GeneratedProblem, ProblemPrior, Sampler, pick, sample_tree

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One example before padding.

    Parameters
    ----------
    prompt : Prompt
    target : list of int
        Answer tokens.
    data : float32 array, shape (rows, DATA_COLUMNS)
    kind : int
        Index into `state.KINDS`, or -100.
    """

    prompt: p.Prompt
    target: list[int]
    data: np.ndarray
    kind: int


@dataclass(frozen=True)
class ExampleConfig:
    """How examples are made.

    Parameters
    ----------
    batch_size : int
    onestep_share : float
        Share of batches with a population in the prompt.
    max_members : int
        Most members in a prompt.
    distinct : int
        Number of batches that are repeated for ever; 0 repeats none.
    """

    batch_size: int = 128
    onestep_share: float = 0.35
    max_members: int = 6
    distinct: int = 0


def batches(
    prior: ProblemPrior, config: ExampleConfig, seed: int, start: int = 0, stride: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Yield the padded batches ``start``, ``start + stride``, … without end.

    A batch depends on the seed and its number alone, so that neither an interruption nor the number of processes that
    make batches changes what is trained on.
    """
    for number in count(start, stride):
        yield make_batch(prior, config, seed, number % config.distinct if config.distinct else number)


def make_batch(prior: ProblemPrior, config: ExampleConfig, seed: int, number: int) -> dict[str, Tensor]:
    """Make one padded batch; all its problems have the same number of points."""
    rng = generator(seed, "train", number)
    rows = pick(prior.rows, prior.row_weights, rng)
    onestep = rng.random() < config.onestep_share
    size = config.batch_size // 2 if onestep else config.batch_size
    chosen: list[Example] = []
    for problem in Sampler(replace(prior, rows=(rows,), row_weights=(1.0,)), rng):
        example = make_example(problem, prior, config if onestep else None, rng)
        if example is not None:
            chosen.append(example)
        if len(chosen) == size:
            break
    return collate(chosen)


def make_example(
    given: GeneratedProblem, prior: ProblemPrior, members_of: ExampleConfig | None, rng: np.random.Generator
) -> Example | None:
    """Build one example; None if its target does not fit the model."""
    problem = given.problem
    slots = p.choose_slots(problem.X, problem.y)
    target = p.tree_tokens(given.tree, slots)
    if target is None or len(target) >= p.MAX_POSITION:
        return None
    variance = float(np.var(problem.y))
    limit = min(given.tree.size + int(rng.integers(0, 12)), problem.limits.max_size)
    if members_of is None:
        prompt = p.build_prompt("direct", problem.operators, slots, limit)
        return Example(prompt, target, p.data_columns(problem.X, problem.y, slots), IGNORED)
    members, kind = damaged_members(given, prior, members_of.max_members, rng)
    prompt = p.build_prompt("onestep", problem.operators, slots, limit, members, variance)
    residual = problem.y - evaluate(p.best_members(members, 1)[0].tree, problem.X)
    residual = residual if np.all(np.isfinite(residual)) else None
    return Example(prompt, target, p.data_columns(problem.X, problem.y, slots, residual), KINDS.index(kind))


def damaged_members(
    given: GeneratedProblem, prior: ProblemPrior, most: int, rng: np.random.Generator
) -> tuple[list[MemberView], str]:
    """Dismantle the target step by step; returns the members, and the kind of move that repairs the first one."""
    operators, features = given.problem.operators, given.problem.X.shape[1]
    trees: list[Node] = []
    tree, first_kind = given.tree, "do_nothing"
    for step in range(int(rng.integers(1, most + 1))):
        if rng.random() < 0.2 and step:
            trees.append(sample_tree(prior, operators, features, rng))
            continue
        tree, kind = damage(tree, given, rng)
        first_kind = kind if step == 0 else first_kind
        trees.append(tree)
    members = []
    for tree in trees:
        with np.errstate(all="ignore"):
            loss = float(np.mean(np.square(evaluate(tree, given.problem.X) - given.problem.y)))
        members.append(MemberView(tree, loss if np.isfinite(loss) else float("inf"), tree.size))
    return members, first_kind


def damage(tree: Node, given: GeneratedProblem, rng: np.random.Generator) -> tuple[Node, str]:
    """Undo one move; returns the damaged tree and the kind of move that repairs it."""
    position = int(rng.integers(tree.size))
    node = tree.at(position)
    operators, features = given.problem.operators, given.problem.X.shape[1]
    if node.value is not None:
        return tree.replace(position, constant(node.value * float(np.exp(rng.normal(0, 0.7))))), "constant"
    if node.index is not None:
        if features > 1 and rng.random() < 0.7:
            return tree.replace(position, variable(int(rng.integers(features)))), "feature"
        return tree.replace(position, constant(1.0)), "feature"
    choice = rng.random()
    same = [name for name in operators.of_arity(len(node.children)) if name != node.operator]
    if choice < 0.25 and same:
        return tree.replace(position, apply(str(rng.choice(same)), *node.children)), "operator"
    if choice < 0.35 and len(node.children) == 2:
        return tree.replace(position, apply(node.operator or "", *node.children[::-1])), "swap"
    kept = node.children[int(rng.integers(len(node.children)))]
    small = all(child.size == 1 for child in node.children)
    return tree.replace(position, kept), "add" if small else "insert"


def collate(examples: list[Example]) -> dict[str, Tensor]:
    """Pad examples to one batch; the keys are those of `ProposerModel.forward`."""
    size = len(examples)
    rows = max(len(e.data) for e in examples)
    length = max(len(e.prompt.tokens) for e in examples)
    steps = max(len(e.target) for e in examples)
    data = np.full((size, rows, p.DATA_COLUMNS), np.nan, dtype=np.float32)
    row_mask = np.zeros((size, rows), dtype=bool)
    prompts = np.zeros((3, size, length), dtype=np.int64)
    prompts[0] = v.PAD
    inputs = np.full((size, steps), v.PAD, dtype=np.int64)
    labels = np.full((size, steps), IGNORED, dtype=np.int64)
    presence = np.zeros((size, len(v.NAMES)), dtype=np.float32)
    for i, e in enumerate(examples):
        data[i, : len(e.data)] = e.data
        row_mask[i, : len(e.data)] = True
        prompts[:, i, : len(e.prompt.tokens)] = e.prompt.tokens, e.prompt.positions, e.prompt.segments
        inputs[i, : len(e.target)] = [v.TARGET, *e.target[:-1]]
        labels[i, : len(e.target)] = e.target
        presence[i, e.target] = 1.0
    positions = np.broadcast_to(np.arange(steps), inputs.shape)
    arrays = {
        "data": data,
        "row_mask": row_mask,
        "tokens": prompts[0],
        "positions": prompts[1],
        "segments": prompts[2],
        "target_tokens": inputs,
        "target_positions": positions.copy(),
        "target_segments": np.full_like(inputs, p.TARGET_SEGMENT),
        "labels": labels,
        "kinds": np.array([e.kind for e in examples], dtype=np.int64),
        "presence": presence,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
