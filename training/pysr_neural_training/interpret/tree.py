"""A shallow decision tree from search states to lifts of kinds, as plain data.

Owns: growing it with scikit-learn, its JSON form, reading it.  Does not own: the features (`states`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.operators import Array
from pysr_neural.proposer.base import KINDS
from pysr_neural_training.interpret.preferences import Preference
from pysr_neural_training.interpret.states import FEATURES, SearchState

DEPTH = 3
LEAST_STATES = 5
"""States in a leaf, at least; and a twentieth of all."""


@dataclass(frozen=True)
class Tree:
    """A leaf with lifts, or a question with two branches.

    Parameters
    ----------
    states : int
        How many states it was made from.
    kinds : mapping of str to float
        Of a leaf: mean lifts.
    feature : str
        Of a question: one of `states.FEATURES`; empty for a leaf.
    threshold : float
        Up to it the answer is ``low``.
    low, high : Tree, optional
    """

    states: int
    kinds: Mapping[str, float]
    feature: str = ""
    threshold: float = 0.0
    low: "Tree | None" = None
    high: "Tree | None" = None

    def decide(self, features: Array) -> Mapping[str, float]:
        """Return the lifts of kinds for a state's features, shape (len(FEATURES),)."""
        if self.low is None or self.high is None:
            return self.kinds
        # In single precision, as scikit-learn compared when it chose the threshold.
        value = np.float32(features[FEATURES.index(self.feature)])
        return (self.low if value <= self.threshold else self.high).decide(features)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        if self.low is None or self.high is None:
            return {"states": self.states, "kinds": dict(self.kinds)}
        branches = {"low": self.low.to_dict(), "high": self.high.to_dict()}
        return {"states": self.states, "feature": self.feature, "threshold": self.threshold, **branches}

    def lines(self, indent: str = "") -> Iterator[str]:
        """Yield the tree as indented text: conditions, and the outstanding lifts of each leaf."""
        if self.low is None or self.high is None:
            outstanding = sorted(self.kinds.items(), key=lambda item: -abs(np.log(max(item[1], 1e-3))))[:4]
            text = ", ".join(f"{kind} ×{lift:.2g}" for kind, lift in outstanding if abs(lift - 1) > 1e-9)
            yield f"{indent}{text or 'no preference'} ({self.states} states)"
            return
        for sign, branch in (("≤", self.low), (">", self.high)):
            yield f"{indent}{self.feature} {sign} {self.threshold:.3g}"
            yield from branch.lines(indent + "  ")


def grow(states: Sequence[SearchState], preferences: Sequence[Preference]) -> Tree | None:
    """Fit a tree of depth `DEPTH` to the lifts of kinds; None if the policy says nothing about kinds.

    Parameters
    ----------
    states : sequence of SearchState
    preferences : sequence of Preference
        One per state.
    """
    from sklearn.tree import DecisionTreeRegressor

    known = [
        (state.features, each.kinds) for state, each in zip(states, preferences, strict=True) if each.kinds is not None
    ]
    if not known:
        return None
    X, y = np.stack([features for features, _ in known]), np.stack([kinds for _, kinds in known])
    least = max(LEAST_STATES, len(X) // 20)
    fitted = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0).fit(X, y).tree_

    def read(node: int) -> Tree:
        count, low, high = (
            int(fitted.n_node_samples[node]),
            int(fitted.children_left[node]),
            fitted.children_right[node],
        )
        if low < 0:
            return Tree(count, dict(zip(KINDS, fitted.value[node, :, 0].tolist(), strict=True)))
        feature, threshold = FEATURES[fitted.feature[node]], float(fitted.threshold[node])
        return Tree(count, {}, feature, threshold, read(low), read(int(high)))

    return read(0)


def read_tree(values: Mapping[str, Any]) -> Tree:
    """Read what `Tree.to_dict` wrote.

    Raises
    ------
    ConfigError
        If a feature is unknown.
    KeyError, TypeError, ValueError
        If a part is missing or of another type.
    """
    states = int(values["states"])
    if "feature" not in values:
        return Tree(states, {str(kind): float(lift) for kind, lift in values["kinds"].items()})
    feature = str(values["feature"])
    if feature not in FEATURES:
        raise ConfigError(f"A tree asks for features of states; got {feature!r}." + did_you_mean(feature, FEATURES))
    return Tree(states, {}, feature, float(values["threshold"]), read_tree(values["low"]), read_tree(values["high"]))
