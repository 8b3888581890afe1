"""`pysr-neural bench proposals`: well-formed proposals per second, beside Hugging Face `generate`.

Owns: the two measurements and their table.  Does not own: sampling (`model.decoding`), quality of what is proposed.

Both are measured in one run, turn and turn about, on the same threads.  Ours counts everything from the population to
finished trees: encoding the data, building and encoding the prompt, sampling, reading the tokens.  The other is a text
model of the kind that the first neural symbolic regression loops used: GPT-Neo with 256 hidden units, 4 layers, a
vocabulary of 50k and random weights, asked for children as text after a prompt of 400 tokens.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from pysr_neural.config import DEFAULT
from pysr_neural.errors import CheckpointError
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.model.checkpoint import load
from pysr_neural.model.config import ProposerConfig
from pysr_neural.model.decoding import encode, sample
from pysr_neural.model.grammar import Grammar
from pysr_neural.model.policy import ProposerModel
from pysr_neural.problem import Limits, OperatorSet, Problem
from pysr_neural.rng import generator
from pysr_neural.state import MemberView
from pysr_neural.wire import prompt as p
from pysr_neural.wire import vocabulary as v
from pysr_neural_training.problems.generate import ProblemPrior, sample_tree

OPERATORS = OperatorSet.of("+", "-", "*", "/", "sin", "cos", "exp", "log", "sqrt")
FEATURES = 3
ROWS = 64
SIZE = 15
POPULATION = 20
SAMPLES = 256
TEXT_PROMPT = 400
TEXT_TOKENS = 30
"""New tokens per child of the text model: an expression of 15 nodes in a byte-pair vocabulary."""
TEXT_VOCABULARY = 50_257
TEXT_BATCH = 20


@dataclass(frozen=True)
class State:
    """The search state that proposals are asked for.

    Parameters
    ----------
    problem : Problem
    members : tuple of MemberView
        Distinct expressions.
    """

    problem: Problem
    members: tuple[MemberView, ...]


def make_state(seed: int, population: int = POPULATION, size: int = SIZE) -> State:
    """Draw a problem and a population from the training prior."""
    rng = generator(seed, "bench proposals")
    X = rng.uniform(0.5, 3.0, size=(ROWS, FEATURES))
    y = X[:, 0] * np.sin(X[:, 1]) + X[:, 2]
    prior = ProblemPrior(max_size=size)
    trees: dict[Node, float] = {}
    while len(trees) < population:
        tree = sample_tree(prior, OPERATORS, FEATURES, rng)
        loss = float(np.mean(np.square(evaluate(tree, X) - y)))
        if tree.size <= size and np.isfinite(loss):
            trees[tree] = loss
    members = tuple(MemberView(tree, loss, tree.size) for tree, loss in trees.items())
    return State(Problem(X, y, OPERATORS, Limits(max_size=size)), members)


@torch.inference_mode()
def propose(model: ProposerModel, state: State, count: int, seed: int) -> list[list[int]]:
    """Propose children of a population with our model.

    Returns
    -------
    list of list of int
        The tokens of each child, without padding.
    """
    problem, size = state.problem, state.problem.limits.max_size
    slots = p.choose_slots(problem.X, problem.y)
    data = torch.from_numpy(p.data_columns(problem.X, problem.y, slots))[None]
    latents = model.encoder(data, torch.ones(data.shape[:2], dtype=torch.bool))
    prompt = p.build_prompt("onestep", problem.operators, slots, size, state.members, float(np.var(problem.y)))
    grammar = Grammar(tuple(p.operator_tokens(problem.operators)), FEATURES, size, problem.limits.max_depth)
    drawn = sample(encode(model, latents, [prompt])[0], grammar, count, 1.0, torch.Generator().manual_seed(seed))
    return [row[: row.index(v.PAD)] if v.PAD in row else row for row in drawn.tokens.tolist()]


def is_well_formed(tokens: list[int]) -> bool:
    """Tell whether tokens are one complete prefix expression of at most `SIZE` nodes, whatever the decoder believes."""
    open_slots, nodes, mantissa_due = 1, 0, False
    for token in tokens:
        if mantissa_due != bool(v.IS_MANTISSA[token]) or (open_slots == 0 and not mantissa_due):
            return False
        if mantissa_due:
            mantissa_due = False
            continue
        nodes += 1
        open_slots += int(v.ARITY[token]) - 1
        mantissa_due = bool(v.IS_EXPONENT[token])
    return open_slots == 0 and not mantissa_due and 0 < nodes <= SIZE


def text_model() -> torch.nn.Module:
    """Build the text model with random weights."""
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    config = GPTNeoConfig(
        vocab_size=TEXT_VOCABULARY,
        hidden_size=256,
        num_layers=4,
        num_heads=8,
        max_position_embeddings=1024,
        attention_types=[[["global", "local"], 2]],
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return GPTNeoForCausalLM(config).eval()


@torch.inference_mode()
def generate_text(model: torch.nn.Module, count: int, seed: int) -> int:
    """Sample children as text with Hugging Face `generate`; returns how many."""
    torch.manual_seed(seed)
    prompt = torch.randint(1, TEXT_VOCABULARY, (1, TEXT_PROMPT))
    drawn = model.generate(  # type: ignore[operator]
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        num_return_sequences=count,
        max_new_tokens=TEXT_TOKENS,
        min_new_tokens=TEXT_TOKENS,
    )
    return len(drawn)


def timed(work: Callable[[int], object], turn: int) -> float:
    """Return the seconds that one turn takes."""
    began = time.perf_counter()
    work(turn)
    return time.perf_counter() - began


def measure(model: ProposerModel, samples: int, repeats: int, seed: int) -> dict[str, float | int]:
    """Measure both, in turns, after a warm-up of each.

    Returns
    -------
    dict
        ``proposals_per_second``, ``hf_generate_per_second``, ``ratio`` (medians); ``well_formed`` and ``distinct``
        (shares of all children); ``parameters``.
    """
    state, text = make_state(seed), text_model()
    children: list[list[int]] = []
    ours, theirs = [], []
    for turn in range(-1, repeats):
        spent = timed(lambda turn: children.extend(propose(model, state, samples, seed + turn + 1)), turn)
        text_spent = timed(lambda turn: generate_text(text, TEXT_BATCH, seed + turn + 1), turn)
        if turn >= 0:
            ours.append(samples / spent)
            theirs.append(TEXT_BATCH / text_spent)
    well_formed = sum(map(is_well_formed, children)) / len(children)
    batches = [children[i : i + samples] for i in range(0, len(children), samples)]
    return {
        "proposals_per_second": round(median(ours), 1),
        "hf_generate_per_second": round(median(theirs), 2),
        "ratio": round(median(ours) / median(theirs), 1),
        "well_formed": well_formed,
        "distinct": round(float(np.mean([len(set(map(tuple, batch))) / len(batch) for batch in batches])), 4),
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


def table(result: dict[str, float | int], checkpoint: str, samples: int) -> str:
    """Lay the figures out for people."""
    rows = (
        ("proposals per second", f"{result['proposals_per_second']:,.0f}"),
        ("HF generate per second", f"{result['hf_generate_per_second']:,.1f}"),
        ("ratio", f"{result['ratio']:,.0f}"),
        ("well-formed", f"{result['well_formed']:.1%}"),
        ("distinct within a batch", f"{result['distinct']:.1%}"),
        ("parameters", f"{result['parameters']:,}"),
    )
    head = (
        f"{checkpoint}: population of {POPULATION}, at most {SIZE} nodes, {samples} samples; {torch.get_num_threads()} "
        f"threads\nHF generate: GPT-Neo 256 x 4, vocabulary {TEXT_VOCABULARY:,}, prompt of {TEXT_PROMPT}, "
        f"{TEXT_TOKENS} new tokens, {TEXT_BATCH} at a time"
    )
    return "\n".join([head, *(f"  {label:<26}{value:>12}" for label, value in rows)])


def _model(checkpoint: str, random_weights: bool) -> tuple[ProposerModel, str]:
    if random_weights:
        torch.manual_seed(0)
        return ProposerModel(ProposerConfig()).eval(), "random weights"
    try:
        return load(checkpoint), f"checkpoint {checkpoint}"
    except CheckpointError as error:
        raise CheckpointError(f"{error} To time the architecture alone, pass --random-weights.") from error


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pysr-neural bench proposals", description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", default=DEFAULT, help="'default', a directory or a hub id")
    parser.add_argument("--random-weights", action="store_true", help="an untrained model of the default sizes")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one short repeat, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    arguments = parser.parse_args(argv)
    model, name = _model(arguments.checkpoint, arguments.random_weights)
    torch.set_num_threads(arguments.threads)
    result = measure(model, arguments.samples, 1 if arguments.smoke else arguments.repeats, arguments.seed)
    print(table(result, name, arguments.samples))
    if arguments.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
