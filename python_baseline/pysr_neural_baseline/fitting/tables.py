"""Files as tables: CSV, TSV and Parquet, as measuring instruments, spreadsheets and NumPy write them.

Owns: separators, decimal commas, headers, encodings; texts that are numbers.  Does not own: whether a search can
use the columns (`judging`).

The file is only ever read.  What had to be guessed is told in notes.
"""

import csv
import gzip
import re
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from pysr_neural._optional import require
from pysr_neural.errors import DataError

PARQUET = (".parquet", ".pq")
TABS = (".tsv", ".tab")
TEXTS = (".csv", ".txt", ".dat", *TABS)
SEPARATORS = ",;\t|"
SAMPLE = 20
"""Lines looked at to tell how a file is written."""
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "--", "?", "#n/a", "missing", "inf", "-inf", "+inf")
"""What people write where a number is missing, in any case; infinite values are no numbers for a search either."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")


@dataclass
class Table:
    """A file's columns, as they stand there.

    Parameters
    ----------
    frame : data frame
        Columns of numbers where all cells are numbers or missing, else of what the file holds.
    notes : list of str
        What had to be guessed.
    """

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def read_table(path: Path) -> Table:
    """Read a file.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read as a table.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise DataError(f"The data must be a file; got {what} at {path}. Check the path.")
    suffix = [each.lower() for each in path.suffixes if each.lower() != ".gz"][-1:]
    if suffix and suffix[0] in PARQUET:
        table = _parquet(path)
    elif not suffix or suffix[0] in TEXTS:
        table = _text_table(_text(path), bool(suffix) and suffix[0] in TABS)
    else:
        known = ", ".join((*TEXTS, *PARQUET))
        raise DataError(f"The data must be a file of one of the kinds {known}; got {path.name}. Export it as CSV.")
    table.frame.columns = [str(name).strip() for name in table.frame.columns]
    _check_names(table.frame)
    return table


def listed(text: str) -> list[str]:
    """Read names with commas between, as options give them; a name with a comma stands in quotes."""
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return [cell.strip() for cell in cells if cell.strip()]


def _check_names(frame: pd.DataFrame) -> None:
    if not len(frame.columns) or not len(frame):
        raise DataError(f"The file must hold rows of data; got {len(frame)} below {len(frame.columns)} column names.")
    twice = sorted({name for name in frame.columns if list(frame.columns).count(name) > 1})
    if twice:
        raise DataError(f"Each column needs a name of its own; got {twice[0]!r} more than once. Rename one.")


def _parquet(path: Path) -> Table:
    require("pyarrow", "training", "Reading Parquet")
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's errors derive from these.
        raise DataError(f"{path.name} must be a Parquet file; it cannot be read: {error}.") from error
    return Table(frame)


def _text(path: Path) -> str:
    """Read a text file in the encoding that it is in."""
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise DataError(f"{path.name} must be compressed by gzip; it cannot be read: {error}.") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = raw.decode("utf-16", errors="replace")
    elif b"\0" in raw[:4096]:
        raise DataError(f"{path.name} must be a text file; it holds binary data. Export it as CSV.")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
    if not text.strip():
        raise DataError(f"{path.name} must hold rows of data; it is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text_table(text: str, tabs: bool) -> Table:
    notes: list[str] = []
    lines = [line for line in text.split("\n") if line.strip()]
    lines = _without_comments(lines, notes)
    separator = "\t" if tabs else _separator(lines)
    rows = list(csv.reader(StringIO("\n".join(lines)), delimiter=separator or ",", skipinitialspace=True))
    if separator is None:
        rows = [line.split() for line in lines]
        notes.append("The columns are taken to be separated by blanks.")
    comma = separator != "," and _has_decimal_commas(rows[1:])
    if comma:
        notes.append("Numbers such as 1,5 are taken to have decimal commas.")
    if all(_is_number(cell, comma) for cell in rows[0]):
        header = [f"x{i}" for i in range(len(rows[0]))]
        notes.append(f"The first line holds numbers, no names: the columns are called {header[0]} to {header[-1]}.")
    else:
        header, rows = rows[0], rows[1:]
    body = _even(rows, len(header), notes)
    columns = [_column([row[i] for row in body], comma) for i in range(len(header))]
    frame = pd.concat(columns, axis=1) if body else pd.DataFrame(columns=range(len(header)))
    frame.columns = _filled([name.strip() for name in header])
    return Table(frame, notes)


def _without_comments(lines: list[str], notes: list[str]) -> list[str]:
    """Leave out lines that begin with #, except one with the columns' names, as NumPy's ``savetxt`` writes them."""
    first = next((i for i, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    rest = [line for line in lines[first:] if not line.lstrip().startswith("#")]
    left_out = len(lines) - len(rest)
    if first and rest and _looks_like_names(lines[first - 1], rest[0]):
        rest, left_out = [lines[first - 1].lstrip().lstrip("#").strip(), *rest], left_out - 1
    if left_out:
        notes.append(f"{left_out} line(s) that begin with # are taken for comments.")
    if not rest:
        raise DataError("The file must hold rows of data; it holds comments only.")
    return rest


def _looks_like_names(comment: str, line: str) -> bool:
    """Tell whether a comment names the columns of a line of numbers."""
    separator = _separator([line])
    names, cells = (each.split(separator) for each in (comment.lstrip().lstrip("#").strip(), line.strip()))
    return len(names) == len(cells) and all(_is_number(cell, separator != ",") for cell in cells)


def _separator(lines: list[str]) -> str | None:
    """Return what separates the columns: what parts the first lines into equally many; None for blanks."""
    sample = lines[:SAMPLE]

    def parts(separator: str) -> tuple[int, int]:
        counts = [len(row) for row in csv.reader(sample, delimiter=separator)]
        return sum(count == counts[0] for count in counts), counts[0]

    best = max(SEPARATORS, key=lambda separator: (parts(separator)[1] > 1, *parts(separator)))
    if parts(best)[1] > 1 and not (best == "," and _blanks_are_better(sample)):
        return best
    return None if len(sample[0].split()) > 1 and _blanks_are_better(sample) else ","


def _blanks_are_better(sample: list[str]) -> bool:
    """Tell whether every line falls into as many pieces at blanks, all numbers below the first line."""
    rows = [line.split() for line in sample]
    even = len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows)
    return even and all(_is_number(cell, True) for row in rows[1:] for cell in row)


def _has_decimal_commas(rows: list[list[str]]) -> bool:
    cells = [cell.strip() for row in rows[:SAMPLE] for cell in row]
    return any(_COMMA.fullmatch(cell) for cell in cells)


def _is_number(cell: str, comma: bool) -> bool:
    return _NUMBER.fullmatch(cell.strip().replace(",", ".") if comma else cell.strip()) is not None


def _even(rows: list[list[str]], width: int, notes: list[str]) -> list[list[str]]:
    """Leave out lines that have more or fewer cells than the header; cells missing at the end are empty."""
    kept = [row for row in rows if len(row) == width]
    if len(kept) < len(rows):
        first = next(row for row in rows if len(row) != width)
        if len(kept) < len(rows) / 2:
            raise DataError(
                f"Each line must have as many cells as the first, {width}; got {len(first)} in "
                f"{','.join(first)[:60]!r} and {len(rows) - len(kept)} such lines of {len(rows)}. Check the separator, "
                "and quote cells that hold it."
            )
        notes.append(
            f"{len(rows) - len(kept)} line(s) have not {width} cells as the first line has, and are left out, such as "
            f"{','.join(first)[:60]!r}."
        )
    return kept


def _column(cells: list[str], comma: bool) -> "pd.Series[Any]":
    """Return a column of numbers if all cells are numbers or missing, else of texts; missing ones are NaN or None."""
    texts = [cell.strip() for cell in cells]
    known = [None if text.lower() in MISSING else text for text in texts]
    plain = [text.replace(",", ".") if comma and text is not None else text for text in known]
    if all(text is None or _NUMBER.fullmatch(text) for text in plain):
        numbers = [float("nan") if text is None else float(text.replace("d", "e").replace("D", "e")) for text in plain]
        return pd.Series(numbers, dtype="float64")
    return pd.Series(known, dtype="object")


def _filled(names: list[str]) -> list[str]:
    """Name columns without a name."""
    return [name or f"column {i + 1}" for i, name in enumerate(names)]
