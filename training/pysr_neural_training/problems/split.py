"""Train, held-out and benchmark expressions, told apart by the canonical skeleton.

Owns: split keys, which key is on which side.  Does not own: drawing problems (`generate`), the suites themselves.

No held-out problem, and none of the benchmark suites, shares an expression with training, whatever the seeds and the
variables' names.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

HELD_OUT_SHARE = 0.05
SUITE_KEYS = Path(__file__).parent / "suite_keys.txt"
"""Split keys of the benchmark suites; written by ``python -m pysr_neural_benchmarks.suites.reader``."""
_BLOCK = re.compile(r"\^-?[\d.]+|\^C|[a-z]\w*|C|[+*]")
_VARIABLE = re.compile(r"\bx\d+\b")


def split_key(skeleton: str) -> str:
    """Return what decides on which side of the split an expression is.

    Depends on nothing but the building blocks of its canonical skeleton, not counting which variable is which, signs
    and order: expressions that differ in the names of variables only have the same key.

    Parameters
    ----------
    skeleton : str
        From `expression.canonical.canonical`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return hashlib.sha256(" ".join(blocks_of(skeleton)).encode()).hexdigest()[:16]


def blocks_of(skeleton: str) -> tuple[str, ...]:
    """Return the sorted building blocks of a canonical skeleton, every variable being ``x``."""
    return tuple(sorted(_BLOCK.findall(_VARIABLE.sub("x", skeleton))))


@cache
def _suite_keys() -> frozenset[str]:
    return frozenset(SUITE_KEYS.read_text().split())


def in_training(key: str) -> bool:
    """Tell whether expressions of a key may be trained on: those of neither suites nor the held-out share."""
    return key not in _suite_keys() and not is_held_out(key)


def is_held_out(key: str) -> bool:
    """Tell whether expressions of a key belong to the held-out random problems."""
    return int(key[:8], 16) < HELD_OUT_SHARE * 0x1_0000_0000 and key not in _suite_keys()
