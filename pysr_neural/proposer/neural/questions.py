"""Questions to the model, encoded and sampled together whoever asks them.

Owns: `Question`, `ask`, `shares`, `hidden_states`.  Does not own: which questions a request makes and what becomes of
the samples (`proposer.neural.transformer`), sampling itself (`model.decoding`).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.model.decoding import Job, Prefix, Samples, encode, sample_many, start_hidden
from pysr_neural.model.grammar import Grammar
from pysr_neural.model.policy import ProposerModel
from pysr_neural.wire.prompt import Prompt


@dataclass(eq=False)
class Question:
    """One prompt about some data, and how many samples are wanted.

    Parameters
    ----------
    data : float32 array, shape (rows, DATA_COLUMNS)
        Questions that hold the same array share its encoding.
    prompt : Prompt
    grammar : Grammar
    count : int
        Of samples; 0 if only the prompt's encoding is wanted.
    temperature : float
    seed : int
    base : (str, int) or None
        The operator and the member's position of a residual question.
    prefix : Prefix or None
        The encoded prompt; `ask` fills it in where it is missing.
    samples : Samples or None
        Filled in by `ask` where some are wanted.
    """

    data: npt.NDArray[np.float32]
    prompt: Prompt
    grammar: Grammar
    count: int
    temperature: float
    seed: int
    base: tuple[str, int] | None = None
    prefix: Prefix | None = None
    samples: Samples | None = None


def ask(model: ProposerModel, questions: Sequence[Question]) -> None:
    """Encode and sample in one pass; fills in each question's ``prefix`` and ``samples``."""
    new = [question for question in questions if question.prefix is None]
    if new:
        latents, row_of = _encoded([question.data for question in new], model)
        rows = [row_of[id(question.data)] for question in new]
        prefixes = encode(model, latents[rows], [question.prompt for question in new])
        for question, prefix in zip(new, prefixes, strict=True):
            question.prefix = prefix
    wanted = [question for question in questions if question.count]
    if wanted:
        for question, samples in zip(wanted, sample_many([_job(model, each) for each in wanted]), strict=True):
            question.samples = samples


def shares(count: int, parts: int) -> list[int]:
    """Divide a count into parts as equal as can be."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def hidden_states(questions: Sequence[Question]) -> torch.Tensor:
    """Return the decoder's states where the heads read, shape (questions, width); after `ask`."""
    return start_hidden([question.prefix for question in questions if question.prefix is not None])


def place(model: ProposerModel) -> AbstractContextManager[object]:
    """Make new tensors where the model is; on the CPU they are there anyway, and the context costs a tenth."""
    return nullcontext() if model.device.type == "cpu" else model.device


def _encoded(arrays: Sequence[npt.NDArray[np.float32]], model: ProposerModel) -> tuple[torch.Tensor, dict[int, int]]:
    """Encode the distinct arrays, padded to the longest; returns the latents and each array's row by its id."""
    distinct = {id(array): array for array in arrays}
    longest = max(len(array) for array in distinct.values())
    padded = [np.pad(array, ((0, longest - len(array)), (0, 0))) for array in distinct.values()]
    mask = np.arange(longest) < np.array([len(array) for array in distinct.values()])[:, None]
    latents = model.encoder(torch.tensor(np.stack(padded)), torch.tensor(mask))
    return latents, {key: row for row, key in enumerate(distinct)}


def _job(model: ProposerModel, question: Question) -> Job:
    if question.prefix is None:
        raise AssertionError("A question is encoded before it is sampled.")
    source = torch.Generator(model.device).manual_seed(question.seed)
    return Job(question.prefix, question.grammar, question.count, question.temperature, source)
