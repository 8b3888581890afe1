"""From visited states and better answers to training examples, and a few steps of training on them.

Owns: `Lesson`, its example, files of lessons' examples, `fine_tune`.  Does not own: which answers are better
(`relabel`, `expert_iteration`), batching (`pysr_neural_training.examples.build`).

Prompts are those of inference because they are made by inference: `TransformerSession.plan` makes the questions that a
request asks, here as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from pysr_neural.errors import DataError
from pysr_neural.expression.node import Node
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Problem
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.proposer.neural.questions import Question
from pysr_neural.proposer.neural.steering import TRAINED_KINDS
from pysr_neural.proposer.neural.transformer import TransformerSession
from pysr_neural.rng import generator
from pysr_neural.state import KINDS
from pysr_neural.wire import prompt as p
from pysr_neural_training.examples.build import IGNORED, Example, ExampleConfig, collate, make_batch
from pysr_neural_training.improve.config import ImproveConfig

WARMUP = 0.1
GRADIENT_CLIP = 1.0


@dataclass(frozen=True)
class Lesson:
    """A visited state, and what should have been answered.

    Parameters
    ----------
    problem : Problem
    request : ProposalRequest
        As the policy received it.
    question : int
        Position among the questions that the request makes; 0 is the one about the state.
    target : Node
        The better answer.
    kind : str
        Of the move from the state to the answer; empty if it is none that training teaches.
    weight : float
        How often it is shown, relative to the others.
    """

    problem: Problem
    request: ProposalRequest
    question: int
    target: Node
    kind: str = ""
    weight: float = 1.0


def questions_of(model: ProposerModel, problem: Problem, request: ProposalRequest) -> list[Question]:
    """Return the questions that a request makes, as `TransformerProposer` makes them."""
    return TransformerSession(model, problem, combine=False).plan(request, generator(request.seed, "propose"))


def example_of(model: ProposerModel, lesson: Lesson) -> Example | None:
    """Make a lesson's example; None if its answer is beyond the question's size limit or the model's tokens."""
    question = questions_of(model, lesson.problem, lesson.request)[lesson.question]
    slots = p.choose_slots(lesson.problem.X, lesson.problem.y)
    target = p.tree_tokens(lesson.target, slots)
    if target is None or len(target) >= p.MAX_POSITION or lesson.target.size > question.grammar.max_size:
        return None
    kind = KINDS.index(lesson.kind) if lesson.kind in TRAINED_KINDS else IGNORED
    return Example(question.prompt, target, question.data, kind)


def examples_of(model: ProposerModel, lessons: Sequence[Lesson]) -> tuple[list[Example], list[float], int]:
    """Make the examples of lessons; returns them, their weights, and how many lessons had none."""
    found = [(example_of(model, lesson), lesson.weight) for lesson in lessons]
    kept = [(example, weight) for example, weight in found if example is not None]
    return [example for example, _ in kept], [weight for _, weight in kept], len(found) - len(kept)


def save_examples(path: Path, examples: Sequence[Example], weights: Sequence[float]) -> None:
    """Write examples as flat arrays with their lengths; no pickle."""
    flat = [[e.prompt.tokens, e.prompt.positions, e.prompt.segments] for e in examples]
    prompts = np.concatenate([np.array(one) for one in flat], axis=1) if flat else np.zeros((3, 0), dtype=np.int64)
    data = np.concatenate([e.data for e in examples]) if flat else np.zeros((0, p.DATA_COLUMNS), dtype=np.float32)
    np.savez_compressed(
        path,
        prompts=prompts.astype(np.int16),
        targets=np.array([token for e in examples for token in e.target], dtype=np.int16),
        data=data,
        lengths=np.array([[len(e.prompt.tokens), len(e.target), len(e.data)] for e in examples]).reshape(-1, 3),
        kinds=np.array([e.kind for e in examples], dtype=np.int16),
        weights=np.array(weights, dtype=np.float64),
    )


def load_examples(path: Path) -> tuple[list[Example], list[float]]:
    """Read what `save_examples` wrote.

    Raises
    ------
    DataError
        If the file is not whole.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        ends = stored["lengths"].cumsum(axis=0)
        starts = ends - stored["lengths"]
        examples = []
        for first, last, kind in zip(starts.tolist(), ends.tolist(), stored["kinds"].tolist(), strict=True):
            prompt = p.Prompt(*stored["prompts"][:, first[0] : last[0]].astype(np.int64))
            target = stored["targets"][first[1] : last[1]].tolist()
            examples.append(Example(prompt, target, stored["data"][first[2] : last[2]], kind))
        return examples, stored["weights"].tolist()
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path} must hold a round's examples; got: {error}. Delete the round's folder.") from error


def fine_tune(
    model: ProposerModel,
    examples: Sequence[Example],
    weights: Sequence[float],
    config: ImproveConfig,
    number: int,
) -> dict[str, Any]:
    """Train a model in place, on examples drawn by weight and on batches of the supervised generator in between.

    Parameters
    ----------
    model : ProposerModel
    examples : sequence of Example
        Without any, the model stays as it is.
    weights : sequence of float
        One per example.
    config : ImproveConfig
    number : int
        Of the round: other rounds draw other examples.

    Returns
    -------
    dict
        ``examples``, ``steps``, and the mean token loss on the examples in the first and the last fifth of the steps.
    """
    if not examples or not config.steps:
        return {"examples": len(examples), "steps": 0}
    rng = generator(config.seed, "fine-tune", number)
    shares = np.asarray(weights, dtype=np.float64)
    shares = shares / shares.sum()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    model.train()
    losses: list[float] = []
    for step in range(config.steps):
        set_rate(optimizer, config.learning_rate, step, config.steps)
        rehearsed = is_rehearsal(step, config.rehearsal)
        if rehearsed:
            batch = rehearsal_batch(config, number, step)
        else:
            batch = collate([examples[i] for i in rng.choice(len(examples), config.batch_size, p=shares)])
        output = model(**batch)
        take_step(model, optimizer, output.loss)
        if not rehearsed:
            losses.append(output.token_loss.item())
    model.eval()
    part = max(1, len(losses) // 5)
    return {
        "examples": len(examples),
        "steps": config.steps,
        "loss_first": round(float(np.mean(losses[:part])), 4) if losses else None,
        "loss_last": round(float(np.mean(losses[-part:])), 4) if losses else None,
    }


def is_rehearsal(step: int, share: float) -> bool:
    """Tell whether a step is one of the evenly spread share of rehearsal."""
    return int((step + 1) * share) > int(step * share)


def rehearsal_batch(config: ImproveConfig, number: int, step: int) -> dict[str, torch.Tensor]:
    """Make one batch of the supervised generator."""
    supervised = ExampleConfig(batch_size=config.batch_size)
    return make_batch(config.prior, supervised, config.seed, number * max(config.steps, 1) + step)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """Warm up linearly, then decay linearly to a tenth."""
    warmth = min(1.0, (step + 1) / max(1.0, WARMUP * steps))
    for group in optimizer.param_groups:
        group["lr"] = rate * warmth * (1 - 0.9 * step / steps)


def take_step(model: ProposerModel, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> bool:
    """Take one optimiser step; returns False, and takes none, if the loss is not finite."""
    optimizer.zero_grad()
    if not bool(torch.isfinite(loss)):
        return False
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
    optimizer.step()
    return True
