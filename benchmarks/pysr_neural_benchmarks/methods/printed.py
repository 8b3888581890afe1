"""What other people's packages print: formulas with names of SymPy's or their own, and much beside.

Owns: such names in our syntax, silence.  Does not own: reading formulas (`pysr_neural.expression.text`), the adapters.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator

_NAMES = {"ln": "log", "Abs": "abs", "E": repr(math.e), "pi": repr(math.pi)}
_WORD = re.compile(r"\b(ln|Abs|E|pi)\b")


def plain(text: str) -> str:
    """Write a printed formula's functions and constants as we call them."""
    return _WORD.sub(lambda found: _NAMES[found[0]], text)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Let what is printed for every expression go nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
