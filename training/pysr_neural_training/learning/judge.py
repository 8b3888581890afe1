"""`python -m pysr_neural_training.learning.judge`: trains the network that judges parts by their values.

Owns: batches, the loss, the training loop.  Does not own: problems and labels (`problems.labelled`), what is measured
of values (`evidence`), the network (`judge_network`), precision on held-out problems (`study judged`).

Contrastive: each true part against false ones, among them those that orthogonal matching ranks high; the others are a
sample that stands for all.  Problems are generated as they are needed and never shown twice.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pysr_neural.rng import generator
from pysr_neural_training.learning.evidence import (
    BASIS,
    CONTEXT,
    CURVES,
    SCALARS,
    TEXT_FEATURES,
    VARIABLE_FEATURES,
    Candidates,
    Evidence,
    text_features,
)
from pysr_neural_training.learning.judge_network import Judge, JudgeConfig
from pysr_neural_training.problems.labelled import LabelledPrior, Pool

TRUE, HARD, OTHERS = 40, 64, 96
"""Most true parts of a problem in a batch; false ones of which matching thinks most; others."""
SMALLEST, AMONG_SMALLEST = 400, 64
"""The first so many parts are smaller than the others and compete most: of these, so many are shown."""
PER_POOL = 40
ROWS = (32, 64, 96, 96)


class Shown(NamedTuple):
    """Some parts of one problem as the network sees them.

    Parameters
    ----------
    curves, variables, context, basis, scalars, text : tensor
        See `judge_network.Judge`.
    true : int
        How many of the parts are true; they come first.
    weights : tensor, shape (false parts,)
        Logarithm of how many parts each false one stands for.
    """

    curves: Tensor
    variables: Tensor
    context: Tensor
    basis: Tensor
    scalars: Tensor
    text: Tensor
    true: int
    weights: Tensor


class PoolEvidence:
    """A pool's parts, ready to be compared with any y."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        parts, listed = pool.parts, pool.listed
        text = text_features([parts.tree(int(part)) for part in listed], parts.sizes[listed])
        self.candidates = Candidates(parts.values[listed], text)

    def of(self, y: npt.NDArray[np.float64]) -> Evidence:
        """Look at one y."""
        return Evidence(self.candidates, self.pool.X, y)


def shown(evidence: Evidence, chosen: npt.NDArray[np.int64], true: int, weights: npt.NDArray[np.float64]) -> Shown:
    """Measure some parts of a problem."""
    basis, order = evidence.candidates.basis(chosen)
    arrays = (basis, evidence.scalars(chosen, order), evidence.candidates.text[chosen])
    measured, scalars, text = map(torch.from_numpy, arrays)
    curves, variables, context = map(torch.from_numpy, (evidence.curves, evidence.variables, evidence.context))
    weighed = torch.from_numpy(weights.astype(np.float32))
    return Shown(curves, variables, context, measured, scalars, text, true, weighed)


def batches(prior: LabelledPrior, seed: int) -> Iterator[list[Shown]]:
    """Yield batches without end, each of the problems of one pool."""
    for number in range(1 << 60):
        rng = generator(seed, "judge", number)
        rows = int(rng.choice(ROWS))
        pool = Pool(LabelledPrior(prior.listed, rows, prior.min_size, prior.max_size, prior.held_out), rng)
        if len(pool.listed) < 2 * SMALLEST:
            continue
        seen = PoolEvidence(pool)
        batch = []
        for each in pool.draw(PER_POOL):
            evidence = seen.of(each.y)
            true = rng.permutation(each.true)[:TRUE]
            false = np.setdiff1d(np.argsort(-evidence.matching)[: HARD + len(each.true)], each.true)[:HARD]
            others, weights = [], [np.zeros(len(false))]
            for low, high, count in ((0, SMALLEST, AMONG_SMALLEST), (SMALLEST, len(pool.listed), OTHERS)):
                rest = np.setdiff1d(np.arange(low, high), np.concatenate([each.true, false]))
                others.append(rng.choice(rest, min(count, len(rest)), replace=False))
                weights.append(np.full(len(others[-1]), math.log(max(1, len(rest)) / max(1, len(others[-1])))))
            chosen = np.concatenate([true, false, *others])
            batch.append(shown(evidence, chosen, len(true), np.concatenate(weights)))
        if batch:
            yield batch


def loss_of(judge: Judge, batch: Sequence[Shown]) -> Tensor:
    """Return the mean negative log-probability of a true part among it and all false ones."""
    told = [
        judge.told(
            judge.rows(each.curves, each.variables, each.context), each.context, each.basis, each.scalars, each.text
        )
        for each in batch
    ]
    scores = judge(torch.cat(told)).split([len(each) for each in told])
    losses = []
    for each, score in zip(batch, scores, strict=True):
        false = torch.logsumexp(score[each.true :] + each.weights, 0)
        losses.append((torch.logaddexp(score[: each.true], false) - score[: each.true]).mean())
    return torch.stack(losses).mean()


def train(options: argparse.Namespace) -> None:
    """Train for some minutes of the processor; writes a checkpoint every minute."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    judge = Judge(JudgeConfig(CURVES, VARIABLE_FEATURES, CONTEXT, BASIS, SCALARS, TEXT_FEATURES))
    if options.start is not None:
        judge = Judge.load(options.start).train()
    optimizer = torch.optim.AdamW(judge.parameters(), options.rate, weight_decay=1e-3)
    began, told, seconds, problems, parts = time.process_time(), 0, 60 * options.minutes, 0, 0
    waited, average = 0.0, math.nan
    source = batches(LabelledPrior(), options.seed)
    for step in range(1 << 60):
        start = time.process_time()
        batch = next(source)
        waited += time.process_time() - start
        share = (time.process_time() - began) / seconds
        if share >= 1:
            break
        rate = options.rate * min(1, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-5)
        loss = loss_of(judge, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        optimizer.step()
        problems += len(batch)
        parts += sum(len(each.basis) for each in batch)
        value = loss.item()
        average = value if step == 0 else 0.98 * average + 0.02 * value
        if int(share * options.minutes) >= told:
            told += 1
            judge.save(options.out)
            spent = time.process_time() - began
            facts = {"step": step, "loss": round(average, 4), "problems": problems, "parts": parts}
            line = json.dumps({**facts, "seconds": round(spent), "generating": round(waited)})
            print(line, flush=True)
            with (options.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    judge.save(options.out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pysr_neural_training.learning.judge", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the processor")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="folder of a judge to go on with")
    parser.add_argument("--out", type=Path, default=Path("outputs/judge"))
    train(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
