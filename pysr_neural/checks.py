"""Checks of what users give as settings, the same for all: a number of any library works, what is none is named.

Owns: `whole`, `number`, `flag`, `texts`.  Does not own: which settings there are, and their bounds.

Each returns the value as Python's own type, so that settings compare, print and pickle alike whoever made them.  NumPy
is not imported here: scalars and arrays of no dimension are known by their ``item``.
"""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from pysr_neural.errors import ConfigError


def whole(name: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number, given as any library's integer or as a float without a fraction.

    Parameters
    ----------
    name : str
        Of the setting, for the message.
    value : object
    least, most : int, optional
        Bounds, themselves allowed.

    Raises
    ------
    ConfigError
        If it is no whole number, or out of bounds; the message names the setting.
    """
    plain = _plain(value)
    found: int | None = None
    if isinstance(plain, Integral):
        found = int(plain)
    elif isinstance(plain, Real) and float(plain).is_integer():
        found = int(float(plain))
    if found is None or (least is not None and found < least) or (most is not None and found > most):
        raise ConfigError(f"{name} must be {_bounded('a whole number', least, most)}; got {value!r}.")
    return found


def number(
    name: str,
    value: object,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    finite: bool = True,
) -> float:
    """Return a real number that is not NaN.

    Parameters
    ----------
    name : str
        Of the setting, for the message.
    value : object
    least, most : float, optional
        Bounds, themselves allowed.
    above, below : float, optional
        Bounds, themselves not allowed.
    finite : bool
        Whether infinity is refused.

    Raises
    ------
    ConfigError
        If it is no such number; the message names the setting.
    """
    plain = _plain(value)
    found = float("nan")
    if isinstance(plain, Real):
        try:
            found = float(plain)
        except OverflowError:
            found = float("inf")
    inside = (
        found == found
        and (not finite or abs(found) != float("inf"))
        and (least is None or found >= least)
        and (most is None or found <= most)
        and (above is None or found > above)
        and (below is None or found < below)
    )
    if not inside:
        what = "a finite number" if finite else "a number"
        raise ConfigError(f"{name} must be {_bounded(what, least, most, above, below)}; got {value!r}.")
    return found


def flag(name: str, value: object) -> bool:
    """Return True or False, Python's or another library's.

    Raises
    ------
    ConfigError
        If it is neither; the message names the setting.
    """
    plain = getattr(value, "item", lambda: value)() if getattr(value, "ndim", 1) == 0 else value
    if not isinstance(plain, bool):
        raise ConfigError(f"{name} must be True or False; got {value!r}.")
    return plain


def texts(name: str, value: object) -> tuple[str, ...]:
    """Return a sequence of texts; None stands for none of them, a text alone for itself.

    Raises
    ------
    ConfigError
        If it is anything else; the message names the setting.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (str(value),)
    found: tuple[Any, ...] = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(item, str) for item in found):
        raise ConfigError(f"{name} must be a sequence of texts; got {value!r}.")
    return tuple(str(item) for item in found)


def _plain(value: Any) -> Any:
    """Return a scalar of another library as Python's own; truth values, which are no numbers, as None."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = value.item()
    return None if isinstance(value, bool) else value


def _bounded(
    what: str,
    least: float | None,
    most: float | None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    bounds = [
        *([f"at least {least}"] if least is not None else []),
        *([f"above {above}"] if above is not None else []),
        *([f"at most {most}"] if most is not None else []),
        *([f"below {below}"] if below is not None else []),
    ]
    return f"{what} {' and '.join(bounds)}" if bounds else what


AUTO = "auto"
"""Of ``max_overhead``: as much as the help earns."""


def overhead(value: object) -> float | str:
    """Return a share of a search's time, or `AUTO`.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    return AUTO if value == AUTO else number("max_overhead", value, above=0, most=1)
