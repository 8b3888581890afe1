"""The one operator table: every consumer of operators reads its rows here.

Owns: names, arities, NumPy functions, Julia and SymPy names, guards.  Does not own: model tokens (`wire.vocabulary`
derives them from these rows) and the operator set of one search (`problem.OperatorSet`).

Two meanings per row.  ``function`` is IEEE arithmetic as SymbolicRegression.jl's safe operators define it: outside its
domain an operator returns NaN.  ``guarded`` is the reference preset's arithmetic, which clips instead.  Neither raises.
``pullbacks`` are the derivatives of both, where no guard clips.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import ConfigError, did_you_mean

Array = npt.NDArray[np.float64]
Function = Callable[..., Array]

DIVISION_EPSILON = 1e-10
INVERSE_EPSILON = 1e-6
EXPONENT_LIMIT = 14.0
LOG_EPSILON = 1e-12
TANGENT_LIMIT = 1e6


@dataclass(frozen=True)
class Operator:
    """One row of the operator table.

    Parameters
    ----------
    name : str
        The name in our own texts, the same as PySR's.
    arity : int
        1 or 2.
    function : callable
        NumPy function of ``arity`` float64 arrays of one shape, giving that shape; NaN outside the domain.
    julia : tuple of str
        Names under which SymbolicRegression.jl may list it (first: the one to pass to PySR).
    sympy : str
        A SymPy expression in the placeholders ``a`` and ``b``.
    guarded : callable
        The reference preset's version, always finite for moderate input.
    pullbacks : tuple of callable
        One per argument: from a factor (the derivative of some result with respect to the operator's value), the
        arguments and the value to the factor times the partial derivative.  Where there are two one-sided derivatives,
        one of them or their mean.
    shown : (str, str) or None
        What ``guarded`` calculates, where that differs from ``function``, in the placeholders ``a`` and ``b``: as our
        own texts say it, with NumPy's ``where`` and ``nan_to_num`` where operators alone cannot, and as a SymPy
        expression.
    """

    name: str
    arity: int
    function: Function
    julia: tuple[str, ...]
    sympy: str
    guarded: Function
    pullbacks: tuple[Function, ...]
    shown: tuple[str, str] | None = None


def _where(domain: npt.NDArray[np.bool_], values: Array) -> Array:
    return np.where(domain, values, np.nan)


def _power(base: Array, exponent: Array) -> Array:
    if exponent.ndim == 0:  # One exponent for all rows, the usual case.
        if exponent == 2:
            return np.square(base)
        if exponent == 1:
            return np.multiply(base, 1.0)
        if exponent != np.rint(exponent):
            base = _where(base > 0 if exponent < 0 else base >= 0, base)
        elif exponent < 0:
            base = _where(base != 0, base)
        return np.power(base, exponent)
    integer = exponent == np.round(exponent)
    undefined = np.where(integer, (exponent < 0) & (base == 0), (base < 0) | ((exponent < 0) & (base == 0)))
    return _where(~undefined, np.power(np.where(undefined, 1.0, base), exponent))


def _guarded_divide(a: Array, b: Array, out: Array | None = None) -> Array:
    size = np.abs(b)
    if size.size == 0 or not size.item(size.argmin()) >= DIVISION_EPSILON:  # Else nothing to guard, the usual case.
        b = np.where(size < DIVISION_EPSILON, DIVISION_EPSILON, b)
    return np.divide(a, b, out)


def _guarded_power(base: Array, exponent: Array) -> Array:
    return np.nan_to_num(_power(base, exponent), nan=0.0, posinf=1e6, neginf=-1e6)


def _log_slope(g: Array, a: Array, b: Array, v: Array) -> Array:
    """Pull a factor back to the exponent of a power; NaN where the base is negative, 0 where it is 0."""
    return g * np.where(a == 0, 0.0, v * np.log(a))


_PULLBACKS: Mapping[str, tuple[Function, ...]] = MappingProxyType(
    {
        "neg": (lambda g, a, v: -g,),
        "abs": (lambda g, a, v: g * np.sign(a),),
        "inv": (lambda g, a, v: -g * v * v,),
        "square": (lambda g, a, v: g * (2.0 * a),),
        "cube": (lambda g, a, v: g * (3.0 * a * a),),
        "sqrt": (lambda g, a, v: g * (0.5 * np.sign(a) / v),),
        "exp": (lambda g, a, v: g * v,),
        "log": (lambda g, a, v: g / a,),
        "log2": (lambda g, a, v: g / (a * math.log(2.0)),),
        "log10": (lambda g, a, v: g / (a * math.log(10.0)),),
        "log1p": (lambda g, a, v: g / (1.0 + a),),
        "sin": (lambda g, a, v: g * np.cos(a),),
        "cos": (lambda g, a, v: -g * np.sin(a),),
        "tan": (lambda g, a, v: g * (1.0 + v * v),),
        "sinh": (lambda g, a, v: g * np.cosh(a),),
        "cosh": (lambda g, a, v: g * np.sinh(a),),
        "tanh": (lambda g, a, v: g * (1.0 - v * v),),
        "asin": (lambda g, a, v: g / np.sqrt(1.0 - a * a),),
        "acos": (lambda g, a, v: -g / np.sqrt(1.0 - a * a),),
        "atan": (lambda g, a, v: g / (1.0 + a * a),),
        "sign": (lambda g, a, v: g * (0.0 * v),),
        "relu": (lambda g, a, v: g * (a > 0),),
        "+": (lambda g, a, b, v: g, lambda g, a, b, v: g),
        "-": (lambda g, a, b, v: g, lambda g, a, b, v: -g),
        "*": (lambda g, a, b, v: g * b, lambda g, a, b, v: g * a),
        "/": (lambda g, a, b, v: g / b, lambda g, a, b, v: -g * v / b),
        "^": (lambda g, a, b, v: g * (b * _power(a, b - 1.0)), _log_slope),
        "max": (lambda g, a, b, v: g * (a >= b), lambda g, a, b, v: g * (a < b)),
        "min": (lambda g, a, b, v: g * (a <= b), lambda g, a, b, v: g * (a > b)),
    }
)


def _row(
    name: str,
    arity: int,
    function: Function,
    sympy: str,
    *julia: str,
    guarded: Function | None = None,
    shown: tuple[str, str] | None = None,
) -> Operator:
    names = (*julia, name) if julia else (name,)
    return Operator(name, arity, function, names, sympy, guarded or function, _PULLBACKS[name], shown)


_ROWS = (
    _row("neg", 1, np.negative, "-a", "neg", "-"),
    _row("abs", 1, np.abs, "Abs(a)", "abs"),
    _row(
        "inv",
        1,
        lambda a: np.divide(1.0, a),
        "1/a",
        "inv",
        guarded=lambda a: np.divide(1.0, np.where(np.abs(a) < INVERSE_EPSILON, INVERSE_EPSILON, a)),
        shown=("inv(where(abs(a) < 1e-06, 1e-06, a))", "1/Piecewise((1e-06, Abs(a) < 1e-06), (a, True))"),
    ),
    _row("square", 1, np.square, "a**2", "square"),
    _row("cube", 1, lambda a: a * a * a, "a**3", "cube"),
    _row(
        "sqrt",
        1,
        lambda a: np.sqrt(_where(a >= 0, a)),
        "sqrt(a)",
        "sqrt",
        "safe_sqrt",
        guarded=lambda a: np.sqrt(np.abs(a)),
        shown=("sqrt(abs(a))", "sqrt(Abs(a))"),
    ),
    _row(
        "exp",
        1,
        np.exp,
        "exp(a)",
        "exp",
        guarded=lambda a: np.exp(np.clip(a, -EXPONENT_LIMIT, EXPONENT_LIMIT)),
        shown=("exp(max(min(a, 14.0), -14.0))", "exp(Max(Min(a, 14), -14))"),
    ),
    _row(
        "log",
        1,
        lambda a: np.log(_where(a > 0, a)),
        "log(a)",
        "log",
        "safe_log",
        guarded=lambda a: np.log(np.maximum(np.abs(a), LOG_EPSILON)),
        shown=("log(max(abs(a), 1e-12))", "log(Max(Abs(a), 1e-12))"),
    ),
    _row(
        "log2",
        1,
        lambda a: np.log2(_where(a > 0, a)),
        "log(a)/log(2)",
        "log2",
        "safe_log2",
        guarded=lambda a: np.log2(np.maximum(np.abs(a), LOG_EPSILON)),
        shown=("log2(max(abs(a), 1e-12))", "log(Max(Abs(a), 1e-12))/log(2)"),
    ),
    _row(
        "log10",
        1,
        lambda a: np.log10(_where(a > 0, a)),
        "log(a)/log(10)",
        "log10",
        "safe_log10",
        guarded=lambda a: np.log10(np.maximum(np.abs(a), LOG_EPSILON)),
        shown=("log10(max(abs(a), 1e-12))", "log(Max(Abs(a), 1e-12))/log(10)"),
    ),
    _row(
        "log1p",
        1,
        lambda a: np.log1p(_where(a > -1, a)),
        "log(1+a)",
        "log1p",
        "safe_log1p",
        guarded=lambda a: np.log(np.maximum(np.abs(1.0 + a), LOG_EPSILON)),
        shown=("log(max(abs((1.0 + a)), 1e-12))", "log(Max(Abs(1 + a), 1e-12))"),
    ),
    _row("sin", 1, np.sin, "sin(a)", "sin"),
    _row("cos", 1, np.cos, "cos(a)", "cos"),
    _row(
        "tan",
        1,
        np.tan,
        "tan(a)",
        "tan",
        guarded=lambda a: np.clip(np.tan(a), -TANGENT_LIMIT, TANGENT_LIMIT),
        shown=("max(min(tan(a), 1000000.0), -1000000.0)", "Max(Min(tan(a), 1000000), -1000000)"),
    ),
    _row(
        "sinh",
        1,
        np.sinh,
        "sinh(a)",
        "sinh",
        guarded=lambda a: np.sinh(np.clip(a, -EXPONENT_LIMIT, EXPONENT_LIMIT)),
        shown=("sinh(max(min(a, 14.0), -14.0))", "sinh(Max(Min(a, 14), -14))"),
    ),
    _row(
        "cosh",
        1,
        np.cosh,
        "cosh(a)",
        "cosh",
        guarded=lambda a: np.cosh(np.clip(a, -EXPONENT_LIMIT, EXPONENT_LIMIT)),
        shown=("cosh(max(min(a, 14.0), -14.0))", "cosh(Max(Min(a, 14), -14))"),
    ),
    _row("tanh", 1, np.tanh, "tanh(a)", "tanh"),
    _row(
        "asin",
        1,
        lambda a: np.arcsin(_where(np.abs(a) <= 1, a)),
        "asin(a)",
        "asin",
        "safe_asin",
        guarded=lambda a: np.arcsin(np.clip(a, -1.0, 1.0)),
        shown=("asin(max(min(a, 1.0), -1.0))", "asin(Max(Min(a, 1), -1))"),
    ),
    _row(
        "acos",
        1,
        lambda a: np.arccos(_where(np.abs(a) <= 1, a)),
        "acos(a)",
        "acos",
        "safe_acos",
        guarded=lambda a: np.arccos(np.clip(a, -1.0, 1.0)),
        shown=("acos(max(min(a, 1.0), -1.0))", "acos(Max(Min(a, 1), -1))"),
    ),
    _row("atan", 1, np.arctan, "atan(a)", "atan"),
    _row("sign", 1, np.sign, "sign(a)", "sign"),
    _row("relu", 1, lambda a: np.maximum(a, 0.0), "Max(a, 0)", "relu"),
    _row("+", 2, np.add, "a + b", "+", "plus"),
    _row("-", 2, np.subtract, "a - b", "-", "sub"),
    _row("*", 2, np.multiply, "a * b", "*", "mult"),
    _row(
        "/",
        2,
        np.divide,
        "a / b",
        "/",
        guarded=_guarded_divide,
        shown=(
            "(a / where(abs(b) < 1e-10, 1e-10, b))",
            "a / Piecewise((1e-10, Abs(b) < 1e-10), (b, True))",
        ),
    ),
    _row(
        "^",
        2,
        _power,
        "a**b",
        "^",
        "pow",
        "safe_pow",
        guarded=_guarded_power,
        shown=(
            "where((a == 0.0) & (b < 0.0), 0.0, nan_to_num((a ^ b), 0.0, 1000000.0, -1000000.0))",
            "Piecewise((0, ((a < 0) & Ne(b, floor(b))) | (Eq(a, 0) & (b < 0))),"
            " (1000000 * Piecewise(((-1)**b, a < 0), (1, True)), Max(Abs(a), LEAST)**b > MOST), (a**b, True))",
        ),
    ),
    _row("max", 2, np.maximum, "Max(a, b)", "max"),
    _row("min", 2, np.minimum, "Min(a, b)", "min"),
)

OPERATORS: Mapping[str, Operator] = MappingProxyType({row.name: row for row in _ROWS})
ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: row.name for row in _ROWS for alias in row.julia if alias not in OPERATORS}
)


def operator(name: str) -> Operator:
    """Look one operator up by its own name or by an alias such as ``"safe_log"`` or ``"pow"``.

    Raises
    ------
    ConfigError
        If the table has no such row.
    """
    row = OPERATORS.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if row is None:
        raise ConfigError(
            f"An operator must be a row of the operator table; got {name!r}." + did_you_mean(str(name), OPERATORS)
        )
    return row


def is_known(name: str) -> bool:
    """Tell whether the table has a row of that name or alias."""
    return ALIASES.get(name, name) in OPERATORS
