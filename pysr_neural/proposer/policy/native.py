"""The step that looks ahead inside PySR: its features, its network's weights, and what it would choose.

Owns: the twin of the Julia package's `Foresight.jl`, `Inverses.jl`, `Plants.jl` and `Network.jl`, in which the network
is trained, and the file of its weights.  Does not own: training (`pysr_neural_training.policy.distil`), the step itself
(`Changes.jl`), which is Julia's.

A change puts a small tree, a *plant*, in place of a node, or joins it to a node by +, * or /; as it is, or times the
constant that fits best.  Golden vectors (``tests/golden/native_v1.toml``) tie both languages: the same rows, plants,
places, losses, features and scores.  The wanted values are those of `foresight`, but for the present sign of a square
root and for absolute values.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import CheckpointError
from pysr_neural.expression.evaluate import IEEE
from pysr_neural.expression.node import Node, constant, variable
from pysr_neural.operators import Array
from pysr_neural.problem import Problem

Ints = npt.NDArray[np.int64]
ROWS, MOST_PLANTS, MOST_NODES, KNOWN = 16, 64, 64, 0.9
DRAWN_PLACES = 16
"""Places that training looks at; the engine's step adds one each time that a parent comes again."""
LEAST, MOST = 1e-10, 1e10
FORMS = ("replace", "+", "*", "/")
UNARY = ("neg", "inv", "square", "cube", "sqrt", "exp", "log", "tanh", "sin", "cos", "abs")
KNOWN_OPERATORS = ("+", "-", "*", "/", *UNARY)
PLACE_FEATURES, PLANT_FEATURES, HIDDEN = 10, 5, 8
UNIT = 2 + PLACE_FEATURES + PLANT_FEATURES
"""Weights of a hidden unit: its bias, of place, plant and decrease."""
DRAW_FEATURES = 7
"""Features that tell the places of one tree apart before anything is told of them: form, size, depth, root."""
WEIGHTS = HIDDEN * (UNIT + 1) + PLACE_FEATURES + PLANT_FEATURES + 1 + DRAW_FEATURES
"""Of all units, what each counts, of the direct way, and of the draw of a place."""
DEFAULT = Path(__file__).resolve().parents[2] / "checkpoints" / "native" / "model.safetensors"
"""The bundled weights."""


class Place(NamedTuple):
    """Where a change is made, and how it is joined to what stands there."""

    node: int
    form: str


def load(path: Path = DEFAULT) -> Array:
    """Read the network's weights, in the order in which the engine wants them.

    Raises
    ------
    CheckpointError
        If there is no such file, or it holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights = np.asarray(load_file(path)["weights"], dtype=np.float64)
    except (OSError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"The native step's weights must be in a safetensors file; {path}: {error}.") from error
    if weights.shape != (WEIGHTS,) or not np.isfinite(weights).all():
        raise CheckpointError(f"The native step needs {WEIGHTS} finite weights; {path} has {weights.shape}.")
    return weights


def save(weights: Array, path: Path) -> None:
    """Write the network's weights."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weights": np.asarray(weights, dtype=np.float32)}, path)


def drawn_rows(total: int, count: int, seed: int) -> list[int]:
    """Draw different rows by Floyd's method (Bentley, Floyd, CACM 1987), with a generator that Julia has too; in order.

    Even steps would take the diagonal of a grid.
    """
    state, rows = 2 * seed + 1, set[int]()
    for most in range(total - count, total):
        state = (state * 0x5851F42D4C957F2D + 0x14057B7EF767814F) % 2**64
        row = (state >> 33) % (most + 1)
        rows.add(most if row in rows else row)
    return sorted(rows)


class NativeForesight:
    """What the step knows of a search's data.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    plants : list of Node
        The first stands for a constant.
    planted : array, shape (plants, rows)
    needed : array, shape (2 plants,)
        Nodes of each plant, as it is and then times a constant; infinite where that cannot be.
    plant_features : array, shape (2 plants, features)
    """

    def __init__(self, problem: Problem) -> None:
        rows = drawn_rows(len(problem.y), min(ROWS, len(problem.y)), seed=0)
        self.columns: Array = np.ascontiguousarray(problem.X[rows].T)
        self.y: Array = problem.y[rows]
        spread = float(np.sum(np.square(self.y - self.y.mean())))
        self.share = 1.0 / max(spread, float(np.finfo(np.float32).tiny))
        self.names = problem.operators.names
        self.plants = list(_plants(problem))[:MOST_PLANTS]
        with np.errstate(all="ignore"):
            planted = np.array([self.values(plant) for plant in self.plants])
        self.planted: Array = np.where(np.isfinite(planted).all(axis=1)[:, None], planted, np.nan)
        sizes = np.array([float(plant.size) for plant in self.plants])
        fitted = sizes + 2 if "*" in self.names else np.full(len(sizes), np.inf)
        self.needed: Array = np.concatenate([[np.inf], sizes[1:], [1.0], fitted[1:]])
        self.plant_features: Array = np.array([self._features_of(k) for k in range(len(self.needed))])

    def _features_of(self, k: int) -> list[float]:
        fitted, number = divmod(k, len(self.plants))
        arity = len(self.plants[number].children)
        size = self.needed[k] if np.isfinite(self.needed[k]) else 0.0
        return [size / 5, float(fitted), float(number == 0), float(arity == 1), float(arity == 2)]

    def values(self, tree: Node) -> Array:
        """Return a tree's values; call it where NumPy's warnings are off."""
        if tree.children:
            return np.asarray(IEEE[tree.operator or ""](*map(self.values, tree.children)))
        if tree.index is not None:
            return self.columns[tree.index]  # type: ignore[no-any-return]
        return np.full(self.y.shape, tree.value)

    def loss(self, tree: Node) -> float:
        """Return a tree's loss on the rows looked at, relative to the spread of y."""
        with np.errstate(all="ignore"):
            return float(np.sum(np.square(self.values(tree) - self.y)) * self.share)

    def look(self, tree: Node, limit: int, rng: np.random.Generator | None = None) -> "Look | None":
        """Look at a tree, at some places of it if a generator is given; None where nothing can be told of it."""
        known = tree.size <= MOST_NODES and all(not p.children or p.operator in KNOWN_OPERATORS for p in tree)
        if not known or not np.isfinite(self.loss(tree)):
            return None
        return Look(self, tree, limit, rng)


class Look:
    """What was seen of one tree.

    Parameters
    ----------
    foresight : NativeForesight
    tree : Node
    limit : int
        Of the nodes of a changed tree.
    rng : numpy.random.Generator or None
        Draws the places, as a step does; all of them without it.

    Attributes
    ----------
    places : list of Place
        Where changes fit.
    losses : array, shape (places, 2 plants)
        Told, relative; not a number where nothing can be told.
    decreases : array, shape (places, 2 plants)
        From the present loss, in bits, divided by 10.
    allowed : bool array, shape (places, 2 plants)
        What there is room for.
    place_features : array, shape (places, features)
    """

    def __init__(self, foresight: NativeForesight, tree: Node, limit: int, rng: np.random.Generator | None) -> None:
        self.foresight, self.tree = foresight, tree
        parts, total = list(tree), tree.size
        forms = [form for form in FORMS if form == "replace" or (form in foresight.names and total + 2 <= limit)]
        places = [Place(i, form) for i in range(total) for form in forms]
        self.places = [p for p in places if p.form != "replace" or total - parts[p.node].size < limit]
        if rng is not None:
            self.places = [self.places[i] for i in rng.permutation(len(self.places))[:DRAWN_PLACES]]
        with np.errstate(all="ignore"):
            values, aims, slopes, self.depths = _passes(foresight, tree)
            wanted = [_wanted(p.form, aims[p.node], slopes[p.node], values[p.node]) for p in self.places]
            errors = np.square(values[0] - foresight.y) * foresight.share
            self._tell(np.array([w for w, _ in wanted]), np.array([a for _, a in wanted]), errors)
        room = np.array([limit - total + (parts[p.node].size if p.form == "replace" else -1) for p in self.places])
        self.allowed = foresight.needed[None] <= room[:, None]
        self.place_features: Array = np.array([self._features_of(p, parts[p.node], limit) for p in self.places])

    def _tell(self, slopes: Array, aims: Array, errors: Array) -> None:
        foresight = self.foresight
        weights = np.square(slopes) * foresight.share
        idle = weights == 0
        told = idle | np.isfinite(weights) & np.isfinite(aims)
        aims, weights = np.where(told & ~idle, aims, 0.0), np.where(told, weights, 0.0)
        rest = np.einsum("ij,ij->i", weights, aims * aims) + idle @ errors
        rest[(told.mean(axis=1) < KNOWN) | ~np.isfinite(rest)] = np.nan
        squares = weights @ np.square(foresight.planted).T
        products = (weights * aims) @ foresight.planted.T
        self.factors: Array = products / squares
        plain = rest[:, None] - 2 * products + squares
        self.losses: Array = np.concatenate([plain, rest[:, None] - products * self.factors], axis=1)
        self.present = float(errors.sum())
        bounded = np.clip(np.where(np.isnan(self.losses), MOST, self.losses), LEAST, MOST)
        decreases = (quick_log2(np.clip(self.present, LEAST, MOST)) - quick_log2(bounded)) / 10
        self.decreases: Array = np.where(np.isnan(rest)[:, None], -1.0, np.clip(decreases, -1.0, 2.0))

    def _features_of(self, place: Place, node: Node, limit: int) -> list[float]:
        total = self.tree.size
        present = float(quick_log2(np.clip(self.present, LEAST, MOST)))
        forms = [float(place.form == form) for form in FORMS]
        depth, root = self.depths[place.node] / 8, float(place.node == 0)
        return [*forms, node.size / 20, depth, root, total / 30, min(max(present / 10, -3), 1), (limit - total) / 30]

    def scores(self, weights: Array) -> Array:
        """Return the network's score of each change; minus infinity where there is no room."""
        units, outputs = weights[: HIDDEN * UNIT].reshape(HIDDEN, UNIT), weights[HIDDEN * UNIT : HIDDEN * (UNIT + 1)]
        features = self.features(*np.indices(self.decreases.shape).reshape(2, -1))
        hidden = np.maximum(features @ units[:, 1:].T + units[:, 0], 0.0)
        scores = hidden @ outputs + features @ weights[HIDDEN * (UNIT + 1) : -DRAW_FEATURES]
        return np.where(self.allowed, scores.reshape(self.decreases.shape), -np.inf)

    def draw_scores(self, weights: Array) -> Array:
        """Return how likely each place is to be looked at, as logarithms but for a constant."""
        return self.place_features[:, :DRAW_FEATURES] @ weights[-DRAW_FEATURES:]

    def features(self, places: Ints, plants: Ints) -> Array:
        """Return what the network is told of some changes; shape (changes, features)."""
        told = (self.place_features[places], self.foresight.plant_features[plants])
        return np.concatenate([*told, self.decreases[places, plants][:, None]], axis=1)

    def child(self, place: int, plant: int) -> Node:
        """Make a change."""
        fitted, number = divmod(plant, len(self.foresight.plants))
        grown = self.foresight.plants[number]
        if fitted:
            factor = constant(float(self.factors[place, number]))
            grown = factor if number == 0 else Node("*", (factor, grown))
        node, form = self.places[place]
        return self.tree.replace(node, grown if form == "replace" else Node(form, (self.tree.at(node), grown)))


def quick_log2(x: npt.ArrayLike) -> Array:
    """Return the base-2 logarithm, linear between powers of 2, as the engine computes it."""
    bits: Array = np.asarray(x, dtype=np.float32).view(np.int32).astype(np.float64)
    return bits * 2.0**-23 - 127.0


def _plants(problem: Problem) -> Iterator[Node]:
    """Yield the constant, the variables, operators over them, in the engine's order."""
    features, names = problem.X.shape[1], problem.operators
    yield constant(1.0)
    yield from map(variable, range(features))
    unary = [name for name in names.of_arity(1) if name in UNARY and name != "neg"]
    for i in range(features):
        yield from (Node(name, (variable(i),)) for name in unary)
    binary = [name for name in names.of_arity(2) if name in KNOWN_OPERATORS]
    for j in range(features):
        for i in range(features):
            for name in binary:
                if name == "*" if i == j else name not in ("+", "*") or i < j:
                    yield Node(name, (variable(i), variable(j)))


def _passes(foresight: NativeForesight, tree: Node) -> tuple[list[Array], list[Array], list[Array], list[int]]:
    """Return what the nodes are, should be, how errors grow on the way up, and how deep they are, in prefix order."""
    parts = list(tree)
    values = [foresight.values(part) for part in parts]
    aims, slopes, depths = [foresight.y] * len(parts), [np.ones_like(foresight.y)] * len(parts), [0] * len(parts)
    for i, part in enumerate(parts):
        at = i + 1
        own = []
        for child in part.children:
            own.append(at)
            at += child.size
        for k, (aim, slope) in zip(own, _pulled(part.operator, aims[i], [values[k] for k in own]), strict=True):
            aims[k], slopes[k], depths[k] = aim, slopes[i] * slope, depths[i] + 1
    return values, aims, slopes, depths


def _pulled(operator: str | None, aim: Array, values: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Return what the operands of a node should be, and the slope there."""
    one = np.ones_like(aim)
    if not values:
        return []
    if len(values) == 1:
        return [_undone(operator or "", aim, values[0])]
    a, b = values
    if operator == "+":
        return [(aim - b, one), (aim - a, one)]
    if operator == "-":
        return [(aim + b, one), (a - aim, one)]
    if operator == "*":
        return [(aim / b, b), (aim / a, a)]
    return [(aim * b, 1 / b), (a / aim, aim * aim / a)]


def _undone(operator: str, aim: Array, x: Array) -> tuple[Array, Array]:
    above, below = np.where(aim > 0, aim, np.nan), np.where(aim >= 0, aim, np.nan)
    inside = np.where(np.abs(aim) < 1, aim, np.nan)
    ways = {
        "exp": lambda: (np.log(above), above),
        "log": lambda: (np.exp(aim), np.exp(-aim)),
        "sqrt": lambda: (below * below, 0.5 / below),
        "square": lambda: (np.copysign(np.sqrt(below), x), 2 * np.sqrt(below)),
        "cube": lambda: (np.cbrt(aim), 3 * np.square(np.cbrt(aim))),
        "inv": lambda: (1 / aim, aim * aim),
        "neg": lambda: (-aim, np.ones_like(aim)),
        "tanh": lambda: (np.arctanh(inside), 1 - inside * inside),
        "abs": lambda: (np.copysign(aim, x), np.ones_like(aim)),
        "sin": lambda: (x + (aim - np.sin(x)) / np.cos(x), np.cos(x)),
        "cos": lambda: (x - (aim - np.cos(x)) / np.sin(x), -np.sin(x)),
    }
    return ways[operator]()


def _wanted(form: str, aim: Array, slope: Array, value: Array) -> tuple[Array, Array]:
    """Return slope and aim of what is joined to a node."""
    if form == "+":
        return slope, aim - value
    if form == "*":
        return slope * value, aim / value
    if form == "/":
        return slope * aim * aim / value, value / aim
    return slope, aim
