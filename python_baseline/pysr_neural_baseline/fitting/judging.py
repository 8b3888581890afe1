"""What of a table a search can use, and in words what it cannot.

Owns: `judged`: missing values, texts, dates, constants, copies, repeated rows; what is refused, what is left out with a
note.  Does not own: reading (`tables`).

Nothing is left out in silence.  A column that the user names is used or refused, never left out.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pysr_neural.errors import ConfigError, DataError, did_you_mean
from pysr_neural.operators import Array
from pysr_neural_baseline.fitting.measurements import Measurements, labelled, spread_widely
from pysr_neural_baseline.fitting.tables import Table

FEWEST = 3
"""Rows below which nothing is searched."""
FEW = 20
MOSTLY = 0.5
"""A column in which more than this share is missing is left out, rather than the rows."""
STRAY = 0.1
"""Texts in up to this share of a column's cells count as missing, where the others are numbers."""
SAME = 1e-9
"""Rest of a column explained by another, as a share of its deviation, below which it is a copy of it."""
MANY = 12
_INDEX = ("column 1", "unnamed: 0", "index", "")


@dataclass
class Judgement:
    """What is left of a table, and why.

    Parameters
    ----------
    data : Measurements
    units : tuple of str
        Of the features and, last, of the target; empty if there are none.
    notes : list of str
        Sentences for the user.
    """

    data: Measurements
    units: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def judged(
    table: Table, target: str, columns: Sequence[str] | None = None, units: Mapping[str, str] | None = None
) -> Judgement:
    """Choose the columns and rows that a search can use.

    Parameters
    ----------
    table : Table
    target : str
        Name of the column to be explained.
    columns : sequence of str, optional
        Names of those that may explain it; all others by default.
    units : mapping of str to str, optional
        Of columns.

    Raises
    ------
    ConfigError
        If the table lacks a named column.
    DataError
        If nothing is left that can be searched, or a named column cannot be used.
    """
    return _Judge(table, target, columns, dict(units or {})).judgement()


class _Judge:
    """One table on its way to `Measurements`; each step leaves something out and notes it."""

    def __init__(self, table: Table, target: str, columns: Sequence[str] | None, units: dict[str, str]) -> None:
        self.frame, self.notes = table.frame.reset_index(drop=True), list(table.notes)
        self.whole = self.frame
        self.target = self._known(target, "--target")
        self.named = None if columns is None else [self._known(name, "--columns") for name in dict.fromkeys(columns)]
        self.units = {self._known(name, "--units"): unit for name, unit in units.items()}
        if self.named is not None and self.target in self.named:
            raise ConfigError(f"--columns must not hold the target; got {self.target!r} in both.")
        self.features = self.named or [name for name in self.frame.columns if name != self.target]

    def judgement(self) -> Judgement:
        self.frame = self.frame[[*self.features, self.target]]
        self.features = [name for name in self.features if self._is_usable(name)]
        self._number(self.target)
        for name in self.features:
            self._number(name)
        self._need_columns()
        self._leave_out_missing()
        self._leave_out_repeated()
        self._check_target()
        self._leave_out_constant()
        self._leave_out_copies()
        self._need_columns()
        self._tell_of_noise()
        self._tell_of_size()
        return Judgement(self._data(), self._all_units(), self.notes)

    def _data(self) -> Measurements:
        X, y = self._X(), self._values(self.target)
        axes = {"x": all(spread_widely(column) for column in X.T), "y": spread_widely(y)}
        return Measurements(
            X=X,
            y=y,
            features=tuple(self.features),
            labels=tuple(labelled(name, self.units.get(name, "")) for name in self.features),
            target=self.target,
            target_label=labelled(self.target, self.units.get(self.target, "")),
            logarithmic=tuple(axis for axis, wide in axes.items() if wide),
        )

    def _all_units(self) -> tuple[str, ...]:
        units = tuple(self.units.get(name, "") for name in (*self.features, self.target))
        return units if any(units) else ()

    def _known(self, name: str, option: str) -> str:
        """Return a column's name as the file has it."""
        names = list(self.frame.columns)
        if name in names:
            return name
        alike = [each for each in names if each.casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return alike[0]  # type: ignore[no-any-return]
        raise ConfigError(f"{option} must name a column of the file; got {name!r}." + did_you_mean(name, names))

    def _is_usable(self, name: str) -> bool:
        """Tell whether a column holds numbers; one that does not is left out, or refused if the user named it."""
        fault = fault_of(self.frame[name])
        if fault is None and self.named is None and _counts_rows(name, self.frame[name]):
            fault = "only counts the rows"
        if fault is None:
            return True
        if self.named is not None:
            raise DataError(f"Columns must hold numbers; {name!r} {fault}. Leave it out of --columns.")
        self.notes.append(f"Column {name!r} {fault}; it is left out.")
        return False

    def _number(self, name: str) -> None:
        """Make a column one of numbers, NaN where there is none."""
        column = self.frame[name]
        if name == self.target and (fault := fault_of(column)) is not None:
            raise DataError(f"The target must hold numbers; {name!r} {fault}. Choose another --target.")
        numbers = numbers_of(column)
        stray = column[numbers.isna() & column.notna()]
        if len(stray):
            texts = ", ".join(repr(str(text)) for text in list(dict.fromkeys(stray))[:3])
            self.notes.append(f"Column {name!r} holds {len(stray)} cell(s) that are no numbers ({texts}): missing.")
        finite = numbers.where(np.isfinite(numbers.to_numpy()))
        infinite = int(numbers.notna().sum() - finite.notna().sum())
        if infinite:
            self.notes.append(f"Column {name!r} holds {infinite} infinite value(s): missing.")
        self.frame = self.frame.assign(**{name: finite})

    def _leave_out_missing(self) -> None:
        missing = {name: int(self.frame[name].isna().sum()) for name in [*self.features, self.target]}
        missing = {name: count for name, count in missing.items() if count}
        if not missing:
            return
        rows = len(self.frame)
        for name in [name for name in missing if name != self.target and missing[name] > MOSTLY * rows]:
            if self.named is None:
                self.features.remove(name)
                self.notes.append(f"Column {name!r} lacks {missing.pop(name)} of {rows} values; it is left out.")
        self._need_columns()
        self.frame = self.frame.dropna(subset=[*self.features, self.target])
        if missing:
            counts = ", ".join(f"{name!r} {count}" for name, count in missing.items())
            left_out = rows - len(self.frame)
            self.notes.append(
                f"Values are missing, by column: {counts}. {left_out} of {rows} rows are left out for it."
            )
        if len(self.frame) < FEWEST:
            worst = max(missing, key=lambda name: missing[name])
            raise DataError(
                f"There must be at least {FEWEST} rows without missing values; got {len(self.frame)} of {rows}. Most "
                f"are missing in {worst!r}: fill it, or name the other columns with --columns."
            )

    def _leave_out_repeated(self) -> None:
        repeated = self.whole.loc[self.frame.index].astype(str).duplicated()
        if repeated.any():
            self.frame = self.frame[~repeated]
            self.notes.append(f"{int(repeated.sum())} row(s) repeat another one in every column; they are left out.")
        if len(self.frame) < FEWEST:
            raise DataError(f"There must be at least {FEWEST} different rows; got {len(self.frame)}.")

    def _check_target(self) -> None:
        values = self._values(self.target)
        if float(np.ptp(values)) == 0:
            raise DataError(
                f"The target must vary; {self.target!r} is {values[0]:g} in all {len(values)} rows. Choose another "
                "--target."
            )

    def _leave_out_constant(self) -> None:
        for name in list(self.features):
            values = self._values(name)
            if float(np.ptp(values)) == 0:
                self.features.remove(name)
                self.notes.append(f"Column {name!r} is {values[0]:g} in every row, so it explains nothing; left out.")

    def _leave_out_copies(self) -> None:
        """Leave out columns that say what an earlier one, or the target, says already."""
        for name in list(self.features):
            values = self._values(name)
            if np.array_equal(values, self._values(self.target)):
                self._copy(name, f"is a copy of the target {self.target!r}")
                continue
            earlier = self.features[: self.features.index(name)]
            for other in earlier:
                relation = relation_of(values, self._values(other))
                if relation is not None:
                    self._copy(name, relation.format(other))
                    break

    def _copy(self, name: str, relation: str) -> None:
        if self.named is None:
            self.features.remove(name)
        self.notes.append(f"Column {name!r} {relation}; " + ("left out." if self.named is None else "kept as named."))

    def _need_columns(self) -> None:
        if not self.features:
            why = " ".join(self.notes)
            raise DataError(
                f"There must be a column of numbers beside the target {self.target!r}; none is left. {why}".strip()
            )

    def _tell_of_noise(self) -> None:
        """Say how much rows with the same inputs differ: no formula can explain that."""
        groups = self.frame.groupby(self.features)[self.target]
        same = groups.transform("nunique") > 1
        if not same.any():
            return
        rest = self.frame[self.target] - groups.transform("mean")
        best = 1 - float(np.square(rest).sum()) / float(np.square(self._centred()).sum())
        self.notes.append(
            f"{int(same.sum())} rows share their inputs with others, yet not their {self.target!r}: no formula can "
            f"have an R² above {best:.4g} on all rows."
        )

    def _tell_of_size(self) -> None:
        if len(self.frame) < FEW:
            self.notes.append(
                f"{len(self.frame)} rows are few: many formulas fit them, and none are held out to judge by."
            )
        if len(self.features) > MANY:
            self.notes.append(f"{len(self.features)} columns are many: --columns with those that matter finds more.")

    def _centred(self) -> Array:
        values = self._values(self.target)
        return values - values.mean()

    def _values(self, name: str) -> Array:
        return self.frame[name].to_numpy(dtype=np.float64)

    def _X(self) -> Array:
        return self.frame[self.features].to_numpy(dtype=np.float64)


def fault_of(column: "pd.Series[Any]") -> str | None:
    """Say what a column holds if it does not hold numbers, and what to do; None if it does."""
    known = column.dropna()
    if not len(known):
        return "is empty"
    if pd.api.types.is_complex_dtype(known):
        return "holds complex numbers; write real and imaginary parts as two columns"
    if pd.api.types.is_datetime64_any_dtype(known) or pd.api.types.is_timedelta64_dtype(known):
        return "holds dates or times; write them as a number, such as seconds since the start"
    numbers = numbers_of(known)
    if int(numbers.isna().sum()) <= STRAY * len(known):
        return None
    texts = known[numbers.isna()].astype(str)
    if _are_dates(texts):
        return (
            f"holds dates or times such as {texts.iloc[0]!r}; write them as a number, such as seconds since the start"
        )
    kinds = texts.nunique()
    return f"holds texts such as {texts.iloc[0]!r} ({kinds} different); write them as numbers if they matter"


def numbers_of(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column as float64, NaN where it holds no number; truth values are 0 and 1."""
    words = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    as_words = column.map(lambda cell: words.get(str(cell).strip().lower(), np.nan) if cell is not None else np.nan)
    return pd.to_numeric(column, errors="coerce").astype("float64").fillna(as_words.astype("float64"))


def relation_of(values: Array, other: Array) -> str | None:
    """Say how a column follows from another by a straight line, ``{!r}`` standing for the other; None if not."""
    if np.array_equal(values, other):
        return "is a copy of {!r}"
    spread, centre = values.std(), values.mean()
    slope = float(np.mean((values - centre) * (other - other.mean())) / other.var())
    offset = float(centre - slope * other.mean())
    if not float(np.max(np.abs(values - slope * other - offset))) <= SAME * max(spread, np.max(np.abs(values))):
        return None
    small = abs(offset) <= SAME * max(abs(centre), spread)
    first = "is {!r}" if abs(slope - 1) <= SAME else f"is {slope:.6g} times {{!r}}"
    return first + ("" if small else f" {'+' if offset > 0 else '-'} {abs(offset):.6g}")


def _are_dates(texts: "pd.Series[Any]") -> bool:
    """Tell whether nearly all texts are dates or times of day."""
    if not texts.str.contains(r"\d[-/:.]\d", regex=True).mean() > 1 - STRAY:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas tells that it has to guess the form.
        return float(pd.to_datetime(texts, errors="coerce", format="mixed").notna().mean()) > 1 - STRAY


def _counts_rows(name: str, column: "pd.Series[Any]") -> bool:
    """Tell whether a column is a frame's index that was saved along: it has no name of its own and counts up by 1."""
    if name.casefold() not in _INDEX or column.isna().any():
        return False
    return bool((np.diff(numbers_of(column).to_numpy()) == 1).all())
