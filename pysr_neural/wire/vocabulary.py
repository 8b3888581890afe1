"""The model's tokens: semantic, fewer than 128, the same for every problem.

Owns: token names and ids, what each token may stand for.  Does not own: how prompts are laid out (`prompt`).

A constant is either one integer token or two tokens, sign-and-exponent then leading digit(s): coarse on purpose, since
engines refine constants.  Operators that the model does not know map to a generic token of their arity.
"""

import hashlib
import math
from types import MappingProxyType

import numpy as np

from pysr_neural.operators import OPERATORS

TASKS = ("<direct>", "<onestep>", "<population>", "<edit>")
MARKS = ("<pad>", "<member>", "<target>", "<end>", "<residual>")
INTEGERS = (-1, 0, 1, 2, 3, 4, 5, 6, 8, 10)
SPECIALS = {"pi": math.pi}
EXPONENTS = tuple(range(-4, 5))
MANTISSAS = 8
VARIABLE_SLOTS = 10
LOSS_BUCKETS = 12
COMPLEXITY_BUCKETS = 6
KIND_TOKENS = 14
GENERIC = {1: "<unary>", 2: "<binary>", 3: "<ternary>"}

NAMES: tuple[str, ...] = (
    *MARKS,
    *TASKS,
    *(f"int:{i}" for i in INTEGERS),
    *(f"const:{name}" for name in SPECIALS),
    *(f"exp:{sign}{e}" for sign in "+-" for e in EXPONENTS),
    *(f"man:{m}" for m in range(MANTISSAS)),
    *(f"var:{i}" for i in range(VARIABLE_SLOTS)),
    *OPERATORS,
    *GENERIC.values(),
    *(f"loss:{b}" for b in range(LOSS_BUCKETS)),
    *(f"size:{b}" for b in range(COMPLEXITY_BUCKETS)),
    *(f"kind:{k}" for k in range(KIND_TOKENS)),
)
ID = MappingProxyType({name: i for i, name in enumerate(NAMES)})
VOCABULARY_HASH = hashlib.sha256("\n".join(NAMES).encode()).hexdigest()[:16]
PAD, MEMBER, TARGET, END, RESIDUAL = (ID[name] for name in MARKS)

_ARITY = {**{name: row.arity for name, row in OPERATORS.items()}, **{name: a for a, name in GENERIC.items()}}
ARITY = np.array([_ARITY.get(name, 0) for name in NAMES], dtype=np.int64)
"""Arity of the operator that a token stands for; 0 for every other token."""
VALUE = np.array(
    [
        float(name[4:]) if name.startswith("int:") else SPECIALS.get(name.removeprefix("const:"), math.nan)
        for name in NAMES
    ]
)
"""The value of each one-token constant; NaN for every other token."""
FIRST_EXPONENT, FIRST_MANTISSA = ID[f"exp:+{EXPONENTS[0]}"], ID["man:0"]
FIRST_VARIABLE, FIRST_LOSS, FIRST_COMPLEXITY = ID["var:0"], ID["loss:0"], ID["size:0"]
FIRST_OPERATOR, END_OPERATOR = ID[next(iter(OPERATORS))], ID["<ternary>"] + 1
IS_EXPONENT = np.array([name.startswith("exp:") for name in NAMES])
IS_MANTISSA = np.array([name.startswith("man:") for name in NAMES])


def operator_token(name: str, arity: int) -> int:
    """Return the token of an operator, generic if the model does not know it."""
    row = OPERATORS.get(name)
    return ID[name] if row is not None and row.arity == arity else ID[GENERIC[arity]]


def constant_tokens(value: float) -> tuple[int, ...]:
    """Return the one or two tokens nearest to a constant.

    Values beyond the range of exponents go to its ends; a value that is not finite becomes the largest of its sign
    (NaN: zero).
    """
    for token in _ONE_TOKEN:
        if abs(value - VALUE[token]) <= 1e-6 * max(1.0, abs(VALUE[token])):
            return (token,)
    if math.isnan(value) or value == 0:
        return (ID["int:0"],)
    magnitude = min(max(abs(value), 10.0 ** EXPONENTS[0]), 9.999 * 10.0 ** EXPONENTS[-1])
    logarithm = math.log10(magnitude)
    exponent = min(max(math.floor(logarithm), EXPONENTS[0]), EXPONENTS[-1])
    bucket = min(int((logarithm - exponent) * MANTISSAS), MANTISSAS - 1)
    offset = (value < 0) * len(EXPONENTS) + exponent - EXPONENTS[0]
    return FIRST_EXPONENT + offset, FIRST_MANTISSA + max(bucket, 0)


def constant_value(exponent_token: int, mantissa_token: int) -> float:
    """Return the constant in the (logarithmic) middle of a bucket."""
    offset = exponent_token - FIRST_EXPONENT
    sign = -1.0 if offset >= len(EXPONENTS) else 1.0
    exponent = EXPONENTS[0] + offset % len(EXPONENTS)
    return float(sign * 10.0 ** (exponent + (mantissa_token - FIRST_MANTISSA + 0.5) / MANTISSAS))


def loss_token(normalized_loss: float) -> int:
    """Return the bucket of a loss divided by the variance of y: bucket 0 is exact, the last is hopeless or NaN."""
    if not normalized_loss < 1e3:
        return FIRST_LOSS + LOSS_BUCKETS - 1
    logarithm = math.log10(max(normalized_loss, 1e-12))
    edges = (-10.0, -6.0, -4.0, -3.0, -2.0, -1.5, -1.0, -0.5, -0.1, 0.1, 1.0)
    return FIRST_LOSS + int(np.searchsorted(edges, logarithm))


def complexity_token(complexity: int) -> int:
    """Return the bucket of a complexity: 1, 2–3, 4–7, 8–12, 13–20, more."""
    return FIRST_COMPLEXITY + int(np.searchsorted((1, 3, 7, 12, 20), complexity))


_ONE_TOKEN = tuple(int(i) for i in np.flatnonzero(~np.isnan(VALUE)))
