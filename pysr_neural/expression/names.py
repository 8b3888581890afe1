"""Names of variables: which may be used, and how they are written where they would be misread.

Owns: `checked_names`, `quoted`, `unquoted`, `latex_names`.  Does not own: texts (`text`), SymPy (`sympy_bridge`).

A name that is no plain word, such as ``T/K`` or ``x y``, and one that is also an operator's, such as ``exp``, is
written in backquotes, in texts and as a SymPy symbol; a backquote within is doubled.  LaTeX has such names upright.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pysr_neural.errors import DataError
from pysr_neural.operators import ALIASES, OPERATORS

_WORD = re.compile(r"[^\W\d]\w*")
_MATHEMATICS = re.compile(r"\\left|\^|'|\\(?:hat|dot|ddot|bar|vec|tilde|check|breve|acute|grave|mathring|d{3,4}ot)\{")
_RESERVED = frozenset({*OPERATORS, *ALIASES, "where", "nan_to_num"})
_ESCAPED = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def checked_names(names: Iterable[Any], count: int) -> list[str]:
    """Check the names of a search's variables.

    Parameters
    ----------
    names : iterable of str
    count : int
        Of variables.

    Raises
    ------
    DataError
        If there are not as many names, or one is no text, empty, not printable, or given twice.
    """
    found = [names] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    for name in found:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise DataError(
                f"A variable's name must be a printable text that is not empty; got {name!r}. Rename the columns, or "
                "pass variable_names=[...]."
            )
    if len(found) != count:
        raise DataError(f"Each of the {count} columns needs a name; got {found}.")
    for name in found:
        if found.count(name) > 1:
            raise DataError(f"Each column needs a name of its own; got {name!r} {found.count(name)} times.")
    return [str(name) for name in found]


def quoted(name: str) -> str:
    """Return a name as texts and SymPy symbols have it: as it is, or in backquotes where it would be misread."""
    if _WORD.fullmatch(name) and name not in _RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"


def unquoted(text: str) -> str:
    """Undo `quoted`."""
    return text[1:-1].replace("``", "`") if text[:1] == "`" else text


def latex_names(names: Sequence[str]) -> dict[str, str]:
    """Return names as LaTeX must have them, those left out whose usual form is true.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    dict of str to str
        For each quoted name, for those that LaTeX would print like another one, as ``x1`` and ``x_1``, and for those
        that SymPy would print as mathematics: ``yabs`` as the absolute value of y, ``x__2`` as the square of x.
    """
    import sympy

    usual = {name: sympy.latex(sympy.Symbol(name)) for name in names if quoted(name) == name}
    forms = list(usual.values())
    return {
        name: _upright(name)
        for name in names
        if name not in usual or forms.count(usual[name]) > 1 or _MATHEMATICS.search(usual[name])
    }


def _upright(name: str) -> str:
    return r"\text{" + "".join(_ESCAPED.get(each, each) for each in name) + "}"
