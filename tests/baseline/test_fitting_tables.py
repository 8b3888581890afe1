"""Reading files: separators, decimal commas, headers, comments, encodings, and clear refusals."""

import gzip

import numpy as np
import pandas as pd
import pytest

from pysr_neural.errors import DataError
from pysr_neural_baseline.fitting.tables import read_table


@pytest.fixture
def read(tmp_path):
    def reader(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path)

    return reader


VALUES = [[1.0, 10.0], [2.0, 20.5], [3.0, -4e3]]
ALIKE = {
    "comma": "a,b\n1,10\n2,20.5\n3,-4e3\n",
    "semicolon": "a;b\n1;10\n2;20.5\n3;-4e3\n",
    "decimal comma": "a;b\n1,0;10,0\n2,0;20,5\n3,0;-4e3\n",
    "bar": "a|b\n1|10\n2|20.5\n3|-4e3\n",
    "blanks": "a   b\n1   10\n 2  20.5\n3   -4e3\n",
    "windows": "\ufeffa,b\r\n1,10\r\n2,20.5\r\n\r\n3,-4e3\r\n",
    "spaces and quotes": '"a" , b\n1, 10\n2 ,"20.5"\n3,-4e3',
    "savetxt": "# a b\n1.0 10.0\n2.0 20.5\n3.0 -4e3\n",
    "comments": "# made by hand\na,b\n1,10\n# a pause\n2,20.5\n3,-4e3\n",
    "Fortran": "a,b\n1.0D0,1.0D1\n2,20.5\n3,-4d3\n",
}


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE)
def test_the_same_numbers_however_they_are_written(read, text):
    frame = read(text).frame
    assert list(frame.columns) == ["a", "b"]
    np.testing.assert_array_equal(frame.to_numpy(), VALUES)


def test_tabs_gzip_utf16_and_parquet(read, tmp_path):
    np.testing.assert_array_equal(read("a\tb\n1\t10\n2\t20.5\n3\t-4e3\n", "data.tsv").frame, VALUES)
    np.testing.assert_array_equal(read(gzip.compress(b"a,b\n1,10\n2,20.5\n3,-4e3\n"), "data.csv.gz").frame, VALUES)
    np.testing.assert_array_equal(read("a,b\n1,10\n2,20.5\n3,-4e3\n".encode("utf-16")).frame, VALUES)
    pytest.importorskip("pyarrow")
    pd.DataFrame(VALUES, columns=["a", "b"]).to_parquet(tmp_path / "data.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "data.parquet").frame, VALUES)


def test_latin_letters_of_old_programs(read):
    assert list(read("größe,b\n1,2\n".encode("cp1252")).frame.columns) == ["größe", "b"]


def test_one_column_and_missing_cells(read):
    frame = read("a,b\n1,\n-,2\nNaN,3\ninf,4\n").frame
    assert frame["a"].isna().tolist() == [False, True, True, True]
    assert frame["b"].isna().tolist() == [True, False, False, False]
    assert read("a\n1\n2\n").frame["a"].tolist() == [1.0, 2.0]


def test_a_file_without_names(read):
    table = read("1,10\n2,20\n")
    assert list(table.frame.columns) == ["x0", "x1"]
    assert len(table.frame) == 2
    assert "x0 to x1" in table.notes[0]


def test_what_was_guessed_is_told(read):
    assert "decimal commas" in read(ALIKE["decimal comma"]).notes[0]
    assert "blanks" in read(ALIKE["blanks"]).notes[0]
    assert "comments" in read(ALIKE["comments"]).notes[0]


def test_lines_of_other_lengths_are_left_out_and_told(read):
    table = read("a,b\n1,2\n3,4,5\n6,7\n8,9\n")
    assert len(table.frame) == 3
    assert "3,4,5" in table.notes[0]
    with pytest.raises(DataError, match="as many cells"):
        read("a,b\n1\n2\n3,4\n")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("", "data.csv", "it is empty"),
        ("\n \n", "data.csv", "it is empty"),
        ("a,b\n", "data.csv", "rows of data"),
        ("# nothing else\n", "data.csv", "comments only"),
        ("a,a\n1,2\n", "data.csv", "name of its own"),
        (b"PK\x03\x04\0\0", "data.csv", "binary"),
        (b"no gzip", "data.csv.gz", "gzip"),
        (b"no parquet", "data.parquet", "Parquet"),
        ("a,b\n1,2\n", "data.xlsx", "Export it as CSV"),
    ],
)
def test_what_is_no_table_is_refused(read, content, name, words):
    with pytest.raises(DataError, match=words):
        read(content, name)


def test_no_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="got nothing"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="got a folder"):
        read_table(tmp_path)
