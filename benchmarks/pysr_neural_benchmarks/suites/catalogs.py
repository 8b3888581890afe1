"""Catalogs of symbolic-data as suites: its YAML files, read as they stand.

Owns: that format, turned into the tables of our own.  Does not own: our format, drawing of data (`suites.reader`).

A catalog is a file with ``metadata`` and ``expressions``; an expression has ``prepared``, its formula in Python's
syntax over ``v1``, ``v2``, …, and ``vars``, each with ``sample_range: [low, high]`` and ``sample_type: [base, sign]``:
``uni``, ``log`` (base ten) or ``int``, and ``pos`` (as drawn), ``neg`` or ``pos_neg``.  What has no range, ``v0``, is
the target.  Formulas go through our own parser; nothing is evaluated as Python.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pysr_neural.errors import ConfigError, did_you_mean

BASES = {"uni": "uniform", "log": "log", "int": "integer"}
SIGNS = {"pos": "positive", "neg": "negative", "pos_neg": "both"}
_SIGNED_POWER = re.compile(r"(?<![\w.)])-\s*(\d+\.?\d*(?:[eE][+-]?\d+)?)\s*(?=\*\*|\^)")


def as_table(path: Path) -> dict[str, Any]:
    """Read a catalog as a table in the format of our own suites.

    Raises
    ------
    ConfigError
        With the expression's name, if it lacks something or is sampled in a way that is not known.
    yaml.YAMLError, UnicodeDecodeError
        If the file is no YAML.
    """
    catalog = yaml.safe_load(path.read_text(encoding="utf-8"))
    expressions = catalog.get("expressions") if isinstance(catalog, Mapping) else None
    if not isinstance(expressions, Mapping) or not expressions:
        raise ConfigError(f"{path} must be a catalog of symbolic-data, with expressions; got none.")
    about = catalog.get("metadata") or {}
    sources = about.get("sources") or [about.get("name", path.name)]
    return {
        "source": "; ".join(map(str, sources)),
        "licence": str(about.get("license", "")),
        "problems": [_problem(path, str(name), entry) for name, entry in expressions.items()],
    }


def _problem(path: Path, name: str, entry: Any) -> dict[str, Any]:
    where = f"{path}: {name}"
    try:
        inputs = {key: spec for key, spec in entry["vars"].items() if "sample_range" in spec}
        formula = python_formula(str(entry["prepared"]))
        accept = entry.get("accept") or []
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where} must have prepared and vars; got {error!r}.") from error
    return {
        "name": name,
        "formula": formula,
        "variables": [_variable(where, str(key), inputs[key]) for key in sorted(inputs, key=_number)],
        "accept": [python_formula(str(text)) for text in accept],
    }


def _variable(where: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    try:
        low, high = (float(end) for end in spec["sample_range"])
        base, sign = spec.get("sample_type", ("uni", "pos"))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {name} must have a range [low, high] and a type [base, sign]; got {spec}."
        ) from error
    if low > high or (base == "log" and low <= 0):
        raise ConfigError(f"{where}: {name} must have a range from low to high, above 0 for log; got [{low}, {high}].")
    for given, known in ((base, BASES), (sign, SIGNS)):
        if given not in known:
            raise ConfigError(
                f"{where}: {name} must be sampled in a known way; got {given!r}." + did_you_mean(given, known)
            )
    return {"name": name, "low": low, "high": high, "sampling": BASES[base], "signs": SIGNS[sign]}


def _number(key: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", str(key))
    return (int(digits) if digits else 0, str(key))


def python_formula(text: str) -> str:
    """Write a formula of Python's syntax in ours: ``-2**x`` is minus a power, where ours takes the sign to the 2."""
    return _SIGNED_POWER.sub(r"-(\1)", text)
