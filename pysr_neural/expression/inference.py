"""Which edit made a child of its parents, where nobody wrote it down.

Owns: `edits_between`.  Does not own: doing an edit (`edits`), which of several was it (the caller).

Engines often say only which kind of variation they chose.  Parents and child differ in one place; that place, or one
above it, is what changed, and what stands there now is what was put there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from pysr_neural.expression.edits import (
    DOWN,
    KEPT,
    MOST_OPERANDS,
    NEGATED,
    NOTHING,
    UP,
    Edit,
    edited,
    pairs_of,
    replaced,
    rotations,
)
from pysr_neural.expression.node import Node

Found = Iterable[tuple[int, Node | None]]
"""Places and what is planted, as in `Edit`."""


def edits_between(kind: str, child: Node, first: Node, second: Node | None = None) -> list[Edit]:
    """Return the edits of a kind that make a child of its parents; none, if no edit of that kind does.

    Of a kind that chooses nothing, and where nothing was changed because nothing could be, that is `NOTHING`.  Where
    several edits make the same child, such as the swap of equal operands, all are returned; but a constant that is
    there as before was kept, not drawn again.  ``"randomize"`` concerns the whole tree, as in SymbolicRegression.jl.

    Parameters
    ----------
    kind : str
        One of `pysr_neural.state.KINDS`.
    child, first : Node
    second : Node, optional
        The other parent of a crossover.
    """
    if kind in _UNCHOSEN:
        return [NOTHING]
    if kind == "randomize":
        return [Edit(0, -1, child)]
    if kind == "crossover":
        places: dict[Node, list[int]] = {}
        for place, part in enumerate(second or ()):
            places.setdefault(part, []).append(place)
        return [Edit(at, place) for at, _, new in _changed(first, child) for place in places.get(new, ())]
    if kind not in _FOUND:
        return []
    find = _FOUND[kind]
    made = [Edit(at, *each) for at, old, new in _changed(first, child) for each in find(at, old, new)]
    return made or ([NOTHING] if child == first else [])


_UNCHOSEN = ("simplify", "do_nothing", "optimize")


def _changed(tree: Node, child: Node) -> Iterator[tuple[int, Node, Node]]:
    """Yield all places of a tree in which another subtree makes the child of it: position, what was there, what is."""
    if tree == child:
        yield from ((at, node, node) for at, node in enumerate(tree))
        return
    at, old, new = 0, tree, child
    while True:
        yield at, old, new
        if old.operator != new.operator or len(old.children) != len(new.children):
            return
        pairs = list(zip(old.children, new.children, strict=True))
        differing = [i for i, (one, other) in enumerate(pairs) if one != other]
        if len(differing) != 1:
            return
        at += 1 + sum(child.size for child in old.children[: differing[0]])
        old, new = pairs[differing[0]]


def _constant(at: int, old: Node, new: Node) -> Found:
    if old.value is None or new.value is None or (old == new and old.value != 0):
        return
    down = abs(new.value) < abs(old.value)
    yield (DOWN if down else UP) + NEGATED * ((new.value < 0) != (old.value < 0)), new


def _operator(at: int, old: Node, new: Node) -> Found:
    if new.children and old.children == new.children:
        yield -1, Node(new.operator, (KEPT,) * len(new.children))


def _feature(at: int, old: Node, new: Node) -> Found:
    if old.index is not None and new.index is not None and old != new:
        yield -1, new


def _swap(at: int, old: Node, new: Node) -> Found:
    return _shaped("swap", pairs_of(len(old.children)), old, new)


def _rotate(at: int, old: Node, new: Node) -> Found:
    rising = (p for p in rotations(old) if old.children[p // MOST_OPERANDS].operator == new.operator)
    return _shaped("rotate", rising, old, new)


def _delete(at: int, old: Node, new: Node) -> Found:
    return _shaped("delete", range(len(old.children)), old, new)


def _shaped(kind: str, places: Iterable[int], old: Node, new: Node) -> Found:
    return ((place, None) for place in places if edited(kind, Edit(0, place), old) == new)


def _add(at: int, old: Node, new: Node) -> Found:
    if not old.children and new.children and _leaves(new) and not (old.value is not None and old in new.children):
        yield -1, new
    if at == 0:
        yield from _insert(at, old, new)


def _insert(at: int, old: Node, new: Node) -> Found:
    for i, operand in enumerate(new.children):
        above = Node(new.operator, replaced(new.children, i, KEPT))
        if operand == old and _leaves(above):
            yield -1, above


def _leaves(node: Node) -> bool:
    return not any(operand.children for operand in node.children)


_FOUND: Mapping[str, Callable[[int, Node, Node], Found]] = {
    "constant": _constant,
    "operator": _operator,
    "feature": _feature,
    "swap": _swap,
    "rotate": _rotate,
    "add": _add,
    "insert": _insert,
    "delete": _delete,
}
