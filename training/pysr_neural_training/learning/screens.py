"""Screens of the library of joins: likely parts in front, judged by their values.

Owns: `Ranking`, ways to rank parts; `LikelyFirst`, the screen.  Does not own: the network (`judge_network`), what is
measured (`evidence`), the joins.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from pysr_neural.operators import Array
from pysr_neural.proposer.joins.parts import Parts
from pysr_neural_training.learning.evidence import ROWS, Candidates, Evidence, text_features
from pysr_neural_training.learning.judge_network import Judge
from pysr_neural_training.problems.labelled import distinct

LISTED = 10_000
"""Enumerated parts that are ranked."""
CHUNK = 2000
"""Parts that are measured at once."""

Scores = npt.NDArray[np.floating]
Ranking = Callable[[Evidence], Scores]
"""Scores candidates; the higher the likelier."""


def by_matching(evidence: Evidence) -> Scores:
    """Rank by orthogonal matching."""
    return evidence.matching


def by_correlation(evidence: Evidence) -> Scores:
    """Rank by the correlation with y."""
    return evidence.alone[:, 0]


def by_judge(judge: Judge) -> Ranking:
    """Rank by a network."""

    def ranking(evidence: Evidence) -> Scores:
        found = []
        candidates = evidence.candidates
        with torch.inference_mode():
            context = torch.from_numpy(evidence.context)
            rows = judge.rows(torch.from_numpy(evidence.curves), torch.from_numpy(evidence.variables), context)
            for start in range(0, len(candidates), CHUNK):
                chosen = np.arange(start, min(start + CHUNK, len(candidates)))
                basis, order = candidates.basis(chosen)
                told = [basis, evidence.scalars(chosen, order), candidates.text[chosen]]
                found.append(judge(judge.told(rows, context, *map(torch.from_numpy, told))).numpy())
        return np.concatenate(found)

    return ranking


class LikelyFirst:
    """Puts likely parts in front of the library, in turn with those that would be there.

    Parameters
    ----------
    X : array, shape (rows, features)
    y : array, shape (rows,)
    ranking : callable
        See `Ranking`.
    eager : bool, optional
        Whether in the first round as well, and in front of all others; else from the second round on, so that what is
        simple is solved before parts are ranked.
    """

    def __init__(self, X: Array, y: Array, ranking: Ranking, eager: bool = False) -> None:
        self.X, self.y, self.ranking, self.eager = X[:ROWS], y[:ROWS], ranking, eager
        self._calls = 0
        self._likely: list[int] | None = None

    def __call__(self, parts: Parts, kept: list[int], most: int) -> list[int]:
        """See `joins.search.Screen`."""
        self._calls += 1
        if self._calls == 1 and not self.eager:
            return kept
        if self._likely is None:
            self._likely = self._ranked(parts)
        features = self.X.shape[1]
        others = kept[features:]
        likely = self._likely[:most]
        if self.eager:
            return list(dict.fromkeys([*kept[:features], *likely, *others]))[: len(kept)]
        paired = [part for pair in zip(likely, others, strict=False) for part in pair]
        return list(dict.fromkeys([*kept[:features], *paired, *likely, *others]))[: len(kept)]

    def _ranked(self, parts: Parts) -> list[int]:
        """Return the enumerated parts, the likeliest first."""
        rows = len(self.y)
        with np.errstate(all="ignore"):
            listed = list(distinct(parts, parts.enumerated(LISTED), rows).values())
            values = parts.values[listed][:, :rows]
            text = text_features([parts.tree(part) for part in listed], parts.sizes[listed])
            scores = self.ranking(Evidence(Candidates(values, text), self.X, self.y))
        return [listed[k] for k in np.argsort(-scores, kind="stable").tolist()]
