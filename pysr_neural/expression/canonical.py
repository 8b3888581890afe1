"""Canonical skeletons: one text for all expressions that differ only in spelling and in the values of constants.

Owns: `canonical` and `fingerprint`, used to remove duplicates and to split train from held-out problems.  Does not own:
smaller trees (`simplify`).

An expression becomes a sum: monomial → coefficient.  A monomial is a product of bases with numeric exponents; a base
is a variable, an operator that is not arithmetic, or a sum of several terms.  Thus ``a - b`` is ``a + (-1) * b``,
``square(x)`` is ``x^2``, ``a / b`` is ``a * b^-1``, and like terms join.  Sums are not multiplied out.
Work is done with exact numbers; only the text that comes out replaces a constant by ``C``, except coefficients 1 and -1
and integer or half-integer exponents up to `LARGEST_EXPONENT`.  Texts depend on nothing but the expression, so they are
the same in every process.
"""

import hashlib
import math
from functools import cache
from typing import NamedTuple

import numpy as np

from pysr_neural.expression.node import Node
from pysr_neural.operators import OPERATORS

LARGEST_EXPONENT = 10
UNDEFINED = "undefined"
_POWERS = {"inv": -1.0, "square": 2.0, "cube": 3.0, "sqrt": 0.5}
_ODD = frozenset({"sin", "tan", "sinh", "tanh", "asin", "atan", "sign"})
_EVEN = frozenset({"cos", "cosh", "abs"})
_COEFFICIENTS = {1.0: "", -1.0: "-"}
_LOGARITHMS = {"log2": 1 / math.log(2.0), "log10": 1 / math.log(10.0)}


class _Base(NamedTuple):
    """A factor: its skeleton (to sort by) and its exact text (to compare by)."""

    skeleton: str
    exact: str


Monomial = tuple[tuple[_Base, float], ...]
Sum = dict[Monomial, float]
ONE: Monomial = ()


class _Undefined(ArithmeticError):
    """A constant part has no finite value."""


def fingerprint(tree: Node) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of `canonical`."""
    return fingerprint_of(canonical(tree))


def fingerprint_of(skeleton: str) -> str:
    """Return the fingerprint that belongs to a canonical skeleton."""
    return hashlib.sha256(skeleton.encode()).hexdigest()[:32]


def canonical(tree: Node) -> str:
    """Write the canonical skeleton of an expression.

    Parameters
    ----------
    tree : Node
        May hold operators that the table does not know.

    Returns
    -------
    str
        Equal for expressions that are equal by commutativity, associativity, signs, integer powers and the joining of
        like terms, whatever their constants; ``"undefined"`` if a constant part has no finite value.
    """
    try:
        return _skeleton(_Canonicaliser().sum_of(tree))
    except _Undefined:
        return UNDEFINED


class _Canonicaliser:
    """Turns one tree into a sum; remembers which sums stand behind bases."""

    def __init__(self) -> None:
        self.inside: dict[_Base, Sum] = {}
        self.extremes: dict[tuple[str, _Base | None], list[Sum]] = {}

    def sum_of(self, node: Node) -> Sum:
        if node.index is not None:
            return _variable(node.index)
        if node.operator is None:
            return _constant(math.nan if node.value is None else node.value)
        arguments = [self.sum_of(child) for child in node.children]
        return self._binary(node.operator, *arguments) if len(arguments) == 2 else self._other(node.operator, arguments)

    def _binary(self, name: str, a: Sum, b: Sum) -> Sum:
        if name in ("+", "-"):
            return _add(a, b, 1.0 if name == "+" else -1.0)
        if name == "*":
            return self.product(a, b)
        if name == "/":
            return self.product(a, self.power(b, -1.0))
        if name == "^" and (exponent := _value(b)) is not None:
            return self.power(a, exponent)
        return self._extreme(name, a, b) if name in ("max", "min") else self._other(name, [a, b])

    def _other(self, name: str, arguments: list[Sum]) -> Sum:
        if len(arguments) == 1:
            a = arguments[0]
            if name == "neg":
                return _scaled(a, -1.0)
            if name in _POWERS:
                return self.power(a, _POWERS[name])
            if name in _LOGARITHMS:
                return _scaled(self._other("log", arguments), _LOGARITHMS[name])
            if name == "log1p":
                return self._other("log", [_add(a, {ONE: 1.0}, 1.0)])
            if name in _ODD and _leading_sign(a) < 0:
                return _scaled(self._other(name, [_scaled(a, -1.0)]), -1.0)
            if name in _EVEN and _leading_sign(a) < 0:
                return self._other(name, [_scaled(a, -1.0)])
        folded = _folded(name, arguments)
        return folded if folded is not None else _atom(name, arguments)

    def _extreme(self, name: str, a: Sum, b: Sum) -> Sum:
        folded = _folded(name, [a, b])
        if folded is not None:
            return folded
        parts: dict[str, Sum] = {}
        for argument in (a, b):
            for part in self.extremes.get((name, _only_base(argument)), [argument]):
                parts[_exact(part)] = part
        if len(parts) == 1:
            return a
        ordered = sorted(parts.values(), key=lambda part: (_skeleton(part), _exact(part)))
        atom = _atom(name, ordered)
        self.extremes[name, _only_base(atom)] = ordered
        return atom

    def product(self, a: Sum, b: Sum) -> Sum:
        """Multiply; a sum of several terms becomes a base unless the other factor is a number."""
        for one, other in ((a, b), (b, a)):
            value = _value(one)
            if value is not None:
                return _scaled(other, value)
        (left, c), (right, d) = self._factored(a), self._factored(b)
        exponents = dict(left)
        for base, exponent in right:
            exponents[base] = exponents.get(base, 0.0) + exponent
        return self._opened(exponents, _checked(c * d))

    def power(self, a: Sum, exponent: float) -> Sum:
        """Raise to a numeric exponent."""
        value = _value(a)
        if value is not None:
            return _constant(_number_power(value, exponent))
        if exponent == round(exponent):
            monomial, c = self._factored(a)
            return self._opened({b: e * exponent for b, e in monomial}, _number_power(c, exponent))
        return self._fractional_power(a, exponent)

    def _fractional_power(self, a: Sum, exponent: float) -> Sum:
        if len(a) == 1:
            ((monomial, c),) = a.items()
            if c > 0 and (c != 1.0 or len(monomial) == 1):
                inner = {monomial: 1.0}
                if len(monomial) == 1 and monomial[0][1] % 2 != 0:
                    ((base, e),) = monomial
                    return self._opened({base: e * exponent}, _number_power(c, exponent))
                return {((self._base(inner), exponent),): _number_power(c, exponent)}
        return {((self._base(a), exponent),): 1.0}

    def _factored(self, a: Sum) -> tuple[Monomial, float]:
        """Write a sum as coefficient times monomial; several terms become one base with a normalised sign."""
        if len(a) == 1:
            return next(iter(a.items()))
        lead = _leading(a)
        return ((self._base(_scaled(a, 1.0 / lead)), 1.0),), lead

    def _base(self, a: Sum) -> _Base:
        base = _Base(f"({_skeleton(a)})", f"({_exact(a)})")
        self.inside[base] = a
        return base

    def _opened(self, exponents: dict[_Base, float], coefficient: float) -> Sum:
        """Make a sum of one monomial; if that is nothing but a sum in parentheses, take the parentheses off."""
        monomial = tuple(sorted([(base, e) for base, e in exponents.items() if e != 0]))
        if len(monomial) == 1 and monomial[0][1] == 1.0 and monomial[0][0] in self.inside:
            return _scaled(self.inside[monomial[0][0]], coefficient)
        return {monomial: coefficient}


@cache
def _variable(index: int) -> Sum:
    """Return the sum of one variable; sums are never changed in place, so that all may share it."""
    name = f"x{index}"
    return {((_Base(name, name), 1.0),): 1.0}


def _checked(value: float) -> float:
    if not math.isfinite(value):
        raise _Undefined
    return value


def _constant(value: float) -> Sum:
    return {ONE: value} if _checked(value) != 0 else {}


def _value(a: Sum) -> float | None:
    """Return the value of a constant sum, otherwise None."""
    if not a:
        return 0.0
    return a[ONE] if len(a) == 1 and ONE in a else None


def _scaled(a: Sum, factor: float) -> Sum:
    if factor == 0:
        return {}
    return a if factor == 1 else {monomial: _checked(c * factor) for monomial, c in a.items()}


def _add(a: Sum, b: Sum, factor: float) -> Sum:
    total = dict(a)
    for monomial, c in b.items():
        joined = _checked(total.get(monomial, 0.0) + factor * c)
        if joined:
            total[monomial] = joined
        else:
            total.pop(monomial, None)
    return total


def _number_power(base: float, exponent: float) -> float:
    try:
        result = base**exponent
    except (ZeroDivisionError, OverflowError) as error:
        raise _Undefined from error
    if isinstance(result, complex):
        raise _Undefined
    return _checked(result)


def _folded(name: str, arguments: list[Sum]) -> Sum | None:
    """Evaluate an operator of the table over constants; None if an argument is not constant."""
    values = [_value(a) for a in arguments]
    row = OPERATORS.get(name)
    if row is None or row.arity != len(values) or any(value is None for value in values):
        return None
    with np.errstate(all="ignore"):
        return _constant(float(row.function(*map(np.float64, values))))  # type: ignore[arg-type]


def _atom(name: str, arguments: list[Sum]) -> Sum:
    base = _Base(f"{name}({','.join(map(_skeleton, arguments))})", f"{name}({','.join(map(_exact, arguments))})")
    return {((base, 1.0),): 1.0}


def _leading(a: Sum) -> float:
    """Return what to divide a sum by so that signs are normalised.

    The sign of the first term with coefficient 1 or -1; failing that, the coefficient of the first term.  The constant
    term is asked last, since in the skeleton it absorbs any sign.
    """
    if len(a) == 1:
        return next(iter(a.values()))
    ordered = sorted([monomial for monomial in a if monomial], key=_monomial_key)
    for monomial in ordered:
        if abs(a[monomial]) == 1:
            return a[monomial]
    return a[ordered[0]] if ordered else a.get(ONE, 1.0)


def _leading_sign(a: Sum) -> float:
    return math.copysign(1.0, _leading(a)) if a else 1.0


def _monomial_key(monomial: Monomial) -> tuple[str, str]:
    return _monomial_skeleton(monomial), _monomial_exact(monomial)


def _exponent_text(exponent: float) -> str:
    if exponent == 1:
        return ""
    return f"^{exponent:g}" if (2 * exponent).is_integer() and abs(exponent) <= LARGEST_EXPONENT else "^C"


def _monomial_skeleton(monomial: Monomial) -> str:
    if len(monomial) == 1:  # Most of them, here and below.
        base, e = monomial[0]
        return base.skeleton if e == 1 else base.skeleton + _exponent_text(e)
    return "*".join(sorted([base.skeleton + _exponent_text(e) for base, e in monomial]))


def _monomial_exact(monomial: Monomial) -> str:
    return "*".join([f"{base.exact}^{e!r}" for base, e in monomial])


def _exact(a: Sum) -> str:
    parts = [f"{c!r}*{_monomial_exact(monomial)}" for monomial, c in a.items()]
    return "+".join(sorted(parts)) if len(parts) > 1 else "".join(parts)


def _skeleton(a: Sum) -> str:
    """Write a sum; a factor common to all terms but the constant one is written once, as the one constant it is."""
    if not a:
        return "C"
    if len(a) == 1:
        ((monomial, c),) = a.items()
        return _coefficient_text(c) + _monomial_skeleton(monomial) if monomial else "C"
    terms = sorted([(_monomial_skeleton(monomial), c) for monomial, c in a.items() if monomial])
    constant_part = ["C"] if ONE in a else []
    sizes = {abs(c) for _, c in terms}
    if len(terms) > 1 and len(sizes) == 1 and sizes != {1.0}:
        sign = math.copysign(1.0, terms[0][1])
        group = "+".join(sorted(("-" if c * sign < 0 else "") + text for text, c in terms))
        return "+".join([*constant_part, f"C*({group})"])
    return "+".join(sorted([*constant_part, *(_coefficient_text(c) + text for text, c in terms)]))


def _coefficient_text(c: float) -> str:
    return _COEFFICIENTS.get(c, "C*")


def _only_base(a: Sum) -> _Base | None:
    """Return the base if a sum is nothing but one base, otherwise None."""
    if len(a) == 1:
        ((monomial, c),) = a.items()
        if c == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            return monomial[0][0]
    return None
