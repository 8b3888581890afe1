"""What a further command on the same data goes on from: the front, and whose it is.

Owns: the folder's form, and its refusals.  Does not own: what is done with the front (`command`).

The folder holds ``state.json``, which people can read; it is replaced as a whole, so that a killed command leaves the
former one.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from pysr_neural.errors import DataError, ExpressionError
from pysr_neural.expression.canonical import canonical
from pysr_neural.expression.constraints import check_language
from pysr_neural.expression.evaluate import evaluate
from pysr_neural.expression.node import Node
from pysr_neural.expression.text import parse, to_string
from pysr_neural.operators import Array
from pysr_neural.problem import Limits, OperatorSet
from pysr_neural_baseline.fitting.measurements import Measurements
from pysr_neural_baseline.fitting.outcome import Member, shown

FORMAT, VERSION = "pysr-neural fit", 1
FILE = "state.json"
SAME = 1e-6
"""Of a formula's range: values that differ by less are the same."""


@dataclass(frozen=True, eq=False)
class State:
    """Where a search stands.

    Parameters
    ----------
    features : tuple of str
    target : str
    data : str
        Fingerprint of all rows.
    members : tuple of Member
        Its front.
    seconds : float
        Of all commands so far.
    """

    features: tuple[str, ...]
    target: str
    data: str
    members: tuple[Member, ...]
    seconds: float

    @classmethod
    def of(cls, data: Measurements, members: Sequence[Member], seconds: float) -> Self:
        """Return the state of a search on some data."""
        return cls(data.features, data.target, fingerprint(data), tuple(members), seconds)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read a folder; None if there is nothing in it yet.

        Raises
        ------
        DataError
            If the folder holds something else, or the state cannot be read; it is left as it is.
        """
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        path = folder / FILE
        if not path.is_file():
            raise DataError(f"--state must be a new folder or one with a {FILE}; got {folder}. Name another folder.")
        try:
            return cls._from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError, ExpressionError) as error:
            raise DataError(
                f"{path} must hold the state of a fit; it cannot be read: {error}. Name another folder."
            ) from error

    @classmethod
    def _from_json(cls, told: dict[str, Any]) -> Self:
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise ValueError(f"it is of {told['format']!r} {told['version']!r}, not {FORMAT!r} {VERSION}")
        members = [
            Member(parse(row["equation"]), int(row["complexity"]), float(row["loss"]), bool(row["neural"]))
            for row in told["front"]
        ]
        return cls(tuple(told["features"]), told["target"], told["data"], tuple(members), float(told["seconds"]))

    def write(self, folder: Path) -> None:
        """Replace what the folder holds."""
        front = [
            {"equation": to_string(each.tree), "complexity": each.complexity, "loss": each.loss, "neural": each.neural}
            for each in self.members
        ]
        told = {"format": FORMAT, "version": VERSION, "features": self.features, "target": self.target}
        told |= {"data": self.data, "seconds": self.seconds, "front": front}
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / FILE, json.dumps(told, indent=1, ensure_ascii=False) + "\n")

    def check(self, data: Measurements) -> bool:
        """Tell whether this is the state of a search on these very rows.

        Raises
        ------
        DataError
            If it is one of other columns.
        """
        if (self.features, self.target) != (data.features, data.target):
            raise DataError(
                f"A state goes on with the columns that it began with, {', '.join(self.features)} for {self.target}; "
                f"got {', '.join(data.features)} for {data.target}. Name the same columns, or another --state folder."
            )
        return self.data == fingerprint(data)

    def usable(self, operators: OperatorSet, max_size: int) -> tuple[Member, ...]:
        """Return the members that a search with these operators may begin with."""
        limits = Limits(max_size, max_size)
        return tuple(
            member
            for member in self.members
            if check_language(member.tree, operators, len(self.features), limits) is None
        )


def merged(members: Sequence[Member], earlier: Sequence[Member], data: Measurements) -> tuple[Member, ...]:
    """Return the members of two searches; what an earlier one had of neural descent stays so.

    An engine that begins with a formula writes it in its own way and fits its constants again: what has the same form
    whatever its constants, or the same values, is the same.
    """
    neural = [member.tree for member in earlier if member.neural]
    forms, values = {canonical(tree) for tree in neural}, [evaluate(tree, data.X) for tree in neural]

    def again(tree: Node) -> bool:
        return canonical(tree) in forms or any(_alike(evaluate(tree, data.X), known) for known in values)

    found = [replace(each, neural=each.neural or (bool(neural) and again(each.tree))) for each in members]
    return (*found, *earlier)


def _alike(values: Array, known: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.abs(values - known).max() <= SAME * np.ptp(known))


def begun_with(members: Sequence[Member], features: Sequence[str]) -> str:
    """Say what a search began with, and which of it was proposed; for its report."""
    neural = [shown(member.tree, features) for member in members if member.neural]
    told = f", {len(neural)} of them with a neural ancestor: {'; '.join(neural)}" if neural else ""
    return f"Begun with {len(members)} formula(s) of earlier commands{told}."


def fingerprint(data: Measurements) -> str:
    """Name data by all their values."""
    table = np.ascontiguousarray(np.column_stack([data.X, data.y]))
    return hashlib.sha256(repr(table.shape).encode() + table.tobytes()).hexdigest()


def replace_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
