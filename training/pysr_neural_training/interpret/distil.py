"""The static form of a policy: what it prefers on average, and by a shallow tree of states.

Owns: `Distilled`, `distil`, its JSON.  Does not own: PySR's parameters (`export`), searching with it (`static`).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from pysr_neural.errors import ConfigError, did_you_mean
from pysr_neural.expression.node import Node
from pysr_neural.proposer.base import KINDS
from pysr_neural_training.interpret.preferences import Preference, mean_kinds, mean_of
from pysr_neural_training.interpret.states import SearchState
from pysr_neural_training.interpret.tree import Tree, grow, read_tree

FORMAT, VERSION = "pysr_neural distilled policy", 1
EXPECTED_NESTINGS = 8.0
"""A nesting is called avoided only if independence would have led to so many in the samples."""


@dataclass(frozen=True)
class Distilled:
    """What is left of a policy without its model.

    Parameters
    ----------
    checkpoint : str
    states : int
        How many states it was asked in.
    kinds : mapping of str to float, optional
        Mean lift of each kind, by which the engine's weight of the kind is multiplied; None if the policy says nothing
        about kinds.
    crossover_probability : float, optional
        Mean over the states; None if the policy says nothing.
    operators : mapping of str to float
        Mean lift of each operator over the states whose search has it.
    counts : mapping of str to int
        How many states these are.
    pairs : mapping of str to mapping of str to float
        Mean lift of each child symbol below each parent symbol.
    never_nested : tuple of (str, str)
        Unary operators ``(outer, inner)`` that no sample nests, though chance would have.
    tree : Tree, optional
        Lifts of kinds by state.
    """

    checkpoint: str
    states: int
    kinds: Mapping[str, float] | None = None
    crossover_probability: float | None = None
    operators: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    pairs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    never_nested: tuple[tuple[str, str], ...] = ()
    tree: Tree | None = None

    def __post_init__(self) -> None:
        _check_lifts("kinds", self.kinds or {}, KINDS)
        _check_lifts("operators", self.operators, None)
        for parent, row in self.pairs.items():
            _check_lifts(f"pairs.{parent}", row, None)
        chance = self.crossover_probability
        if chance is not None and not (math.isfinite(chance) and 0 <= chance <= 1):
            raise ConfigError(f"crossover_probability must lie in 0..1; got {chance}.")

    def to_json(self) -> str:
        """Return the whole as indented JSON."""
        values = {**asdict(self), "tree": None if self.tree is None else self.tree.to_dict()}
        return json.dumps({"format": FORMAT, "version": VERSION, **values}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ConfigError
            If it is something else, or of another version, or a value is out of range.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"A distilled policy must be JSON, as `interpret --out` writes it; got: {error}"
            ) from error
        if (
            not isinstance(values, dict)
            or values.pop("format", None) != FORMAT
            or values.pop("version", None) != VERSION
        ):
            raise ConfigError(f"A distilled policy must say format {FORMAT!r}, version {VERSION}; this one does not.")
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise ConfigError(f"A distilled policy has no part {name!r}." + did_you_mean(name, known))
        try:
            tree = None if values.get("tree") is None else read_tree(values["tree"])
            nested = tuple((str(outer), str(inner)) for outer, inner in values.get("never_nested", ()))
            return cls(**{**values, "tree": tree, "never_nested": nested})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"A distilled policy must hold what `interpret --out` writes; got: {error}") from error


def distil(checkpoint: str, states: Sequence[SearchState], preferences: Sequence[Preference]) -> Distilled:
    """Average a policy's preferences over search states.

    Parameters
    ----------
    checkpoint : str
        Name of the policy.
    states : sequence of SearchState
    preferences : sequence of Preference
        One per state.

    Raises
    ------
    ConfigError
        If there are no states.
    """
    if not states:
        raise ConfigError("A policy is distilled from one search state at least; got none.")
    chances = [each.crossover_probability for each in preferences if each.crossover_probability is not None]
    pairs: dict[str, dict[str, float]] = {}
    for (parent, child), lift in mean_of(each.pairs for each in preferences).items():
        pairs.setdefault(parent, {})[child] = lift
    counts = Counter(name for each in preferences for name in each.operators)
    return Distilled(
        checkpoint,
        len(states),
        mean_kinds(preferences),
        sum(chances) / len(chances) if chances else None,
        mean_of(each.operators for each in preferences),
        dict(counts),
        pairs,
        never_nested(preferences),
        grow(states, preferences),
    )


def never_nested(preferences: Sequence[Preference]) -> tuple[tuple[str, str], ...]:
    """Return the unary ``(outer, inner)`` that no sample nests, where chance would have nested `EXPECTED_NESTINGS`.

    By chance the nodes below an outer operator would hold the inner one as often as all samples of the state do, scaled
    by their share of the expression.
    """
    expected: dict[tuple[str, str], float] = {}
    nested: set[tuple[str, str]] = set()
    for preference in preferences:
        present = Counter(name for tree in preference.children for name in _unary(tree))
        for tree in preference.children:
            for node in tree:
                if node.operator is None or len(node.children) != 1:
                    continue
                room = node.children[0].size / tree.size / len(preference.children)
                for inner, count in present.items():
                    expected[node.operator, inner] = expected.get((node.operator, inner), 0.0) + room * count
                nested |= {(node.operator, inner) for inner in _unary(node.children[0])}
    return tuple(sorted(pair for pair, count in expected.items() if count >= EXPECTED_NESTINGS and pair not in nested))


def _unary(tree: Node) -> set[str]:
    return {node.operator for node in tree if node.operator is not None and len(node.children) == 1}


def _check_lifts(name: str, lifts: Mapping[str, float], known: Sequence[str] | None) -> None:
    for key, lift in lifts.items():
        if known is not None and key not in known:
            raise ConfigError(f"{name} must name kinds; got {key!r}." + did_you_mean(key, known))
        if not (isinstance(lift, int | float) and math.isfinite(lift) and lift >= 0):
            raise ConfigError(f"A lift must be finite and at least 0; got {name}.{key}={lift!r}.")
