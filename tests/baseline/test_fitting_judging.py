"""What of a table can be searched: each fault is named, left out with a note, or refused."""

import numpy as np
import pandas as pd
import pytest

from pysr_neural.errors import ConfigError, DataError
from pysr_neural_baseline.fitting.judging import judged
from pysr_neural_baseline.fitting.tables import Table

ROWS = 30


def frame(**columns):
    rng = np.random.default_rng(0)
    made = {"a": rng.uniform(1, 2, ROWS), "b": rng.uniform(1, 2, ROWS), **columns}
    return pd.DataFrame({**made, "y": made["a"] * made["b"]})


def judge(table, target="y", **options):
    return judged(Table(table), target, **options)


def note(table, *words, **options):
    """Return the judgement, one of whose notes has all these words."""
    found = judge(table, **options)
    assert any(all(word in text for word in words) for text in found.notes), found.notes
    return found


def with_cells(column, **cells):
    values = np.array(column, dtype=object)
    for place, cell in cells.items():
        values[int(place[1:])] = cell
    return values


def test_good_data_pass_without_a_word():
    found = judge(frame())
    assert found.notes == []
    assert found.data.features == ("a", "b")
    assert found.data.X.shape == (ROWS, 2)
    np.testing.assert_array_equal(found.data.y, frame()["y"])


def test_missing_values_by_column_cost_their_rows():
    table = frame()
    table.loc[:2, "a"] = np.nan
    table.loc[2:3, "y"] = np.nan
    found = note(table, "'a' 3", "'y' 2", "4 of 30 rows")
    assert len(found.data.y) == 26
    assert np.isfinite(found.data.X).all()


def test_a_column_that_is_mostly_missing_costs_no_rows():
    table = frame(c=np.where(np.arange(ROWS) < 20, np.nan, 1.0 * np.arange(ROWS)))
    found = note(table, "'c' lacks 20 of 30", "left out")
    assert found.data.X.shape == (ROWS, 2)
    named = note(table, "'c' 20", columns=["a", "c"])
    assert named.data.X.shape == (10, 2)


def test_too_few_rows_without_missing_values():
    table = frame()
    table.loc[2:, "y"] = np.nan
    with pytest.raises(DataError, match=r"at least 3 rows without missing values; got 2 of 30.*'y'"):
        judge(table)


def test_texts_are_left_out_or_refused_if_named():
    table = frame(name=[f"star {i}" for i in range(ROWS)])
    assert note(table, "'name' holds texts such as 'star 0'", "left out").data.features == ("a", "b")
    with pytest.raises(DataError, match="'name' holds texts"):
        judge(table, columns=["a", "name"])
    with pytest.raises(DataError, match="The target must hold numbers; 'name'"):
        judge(table, "name")


@pytest.mark.parametrize(
    "column",
    [
        [f"2024-03-{1 + i:02d}" for i in range(ROWS)],
        [f"{1 + i % 28}.03.2024 12:30" for i in range(ROWS)],
        [f"12:{i:02d}:00" for i in range(ROWS)],
        pd.date_range("2024-01-01", periods=ROWS),
        pd.to_timedelta(np.arange(ROWS), unit="s"),
    ],
)
def test_dates_and_times_are_told_from_texts(column):
    assert note(frame(when=column), "'when' holds dates or times", "seconds").data.features == ("a", "b")


def test_single_cells_that_are_no_numbers_count_as_missing():
    table = frame()
    table["a"] = with_cells(table["a"], _3="broken", _4="<0.1")
    found = note(table, "2 cell(s) that are no numbers ('broken', '<0.1')")
    assert len(found.data.y) == ROWS - 2


def test_infinite_values_count_as_missing():
    table = frame()
    table.loc[5, "b"] = np.inf
    assert len(note(table, "'b' holds 1 infinite").data.y) == ROWS - 1


def test_truth_values_are_numbers():
    words = ["yes" if i % 2 else "no" for i in range(ROWS)]
    found = judge(frame(c=words, d=[bool(i % 3) for i in range(ROWS)]))
    np.testing.assert_array_equal(found.data.X[:, 2], np.arange(ROWS) % 2)
    np.testing.assert_array_equal(found.data.X[:, 3], np.arange(ROWS) % 3 > 0)


def test_constant_columns_are_left_out():
    assert note(frame(c=np.full(ROWS, 2.5)), "'c' is 2.5 in every row").data.features == ("a", "b")
    with pytest.raises(DataError, match=r"The target must vary; 'c' is 2\.5"):
        judge(frame(c=np.full(ROWS, 2.5)), "c")


def test_repeated_rows_are_left_out():
    table = frame()
    found = note(pd.concat([table, table.iloc[:4]]), "4 row(s) repeat")
    assert len(found.data.y) == ROWS


def test_copies_of_columns_and_of_the_target_are_left_out():
    table = frame()
    table = table.assign(c=table["a"], kelvin=table["b"] + 273.15, mm=1000 * table["b"], z=table["y"])
    found = note(table, "'c' is a copy of 'a'")
    assert found.data.features == ("a", "b")
    note(table, "'kelvin' is 'b' + 273.15")
    note(table, "'mm' is 1000 times 'b';")
    note(table, "'z' is a copy of the target 'y'")
    assert note(table, "kept as named", columns=["a", "c"]).data.features == ("a", "c")


def test_a_saved_index_is_left_out_but_a_time_that_counts_is_not():
    table = frame()
    indexed = pd.concat([pd.DataFrame({"column 1": np.arange(ROWS)}), table], axis=1)
    assert note(indexed, "'column 1' only counts the rows").data.features == ("a", "b")
    assert judge(frame(t=np.arange(ROWS))).data.features == ("a", "b", "t")


def test_noise_between_rows_of_the_same_inputs_bounds_r2():
    table = pd.DataFrame({"a": [1.0, 1.0, 2.0, 2.0] * 6, "y": [1.0, 2.0, 5.0, 6.0] * 6})
    table["y"] += np.repeat(np.arange(6) * 0.01, 4)
    found = note(table, "24 rows share their inputs", "above 0.94")
    assert len(found.data.y) == 24


def test_few_rows_and_many_columns_are_told():
    note(frame().iloc[:7], "7 rows are few")
    note(frame(**{f"c{i}": np.random.default_rng(1 + i).uniform(size=ROWS) for i in range(12)}), "14 columns are many")


def test_one_row_is_refused():
    with pytest.raises(DataError, match="at least 3 different rows; got 1"):
        judge(frame().iloc[:1])


def test_nothing_but_the_target_is_refused():
    with pytest.raises(DataError, match="a column of numbers beside the target 'y'"):
        judge(frame()[["y"]])
    with pytest.raises(DataError, match=r"none is left.*'name' holds texts"):
        judge(frame(name=["x"] * ROWS)[["name", "y"]])


def test_names_that_are_missing_get_suggestions():
    table = frame(velocity=np.arange(ROWS) ** 2)
    with pytest.raises(ConfigError, match=r"--target must name a column of the file; got 'velocty'. Did you mean"):
        judge(table, "velocty")
    with pytest.raises(ConfigError, match="--columns"):
        judge(table, columns=["a", "q"])
    with pytest.raises(ConfigError, match="--units"):
        judge(table, units={"q": "m"})
    with pytest.raises(ConfigError, match="must not hold the target"):
        judge(table, columns=["a", "y"])
    assert judge(table, " Y", columns=["A"]).data.target == "y"


def test_units_stand_on_axes():
    found = judge(frame(), units={"a": "m", "y": "m^2"})
    assert found.data.labels == ("a / m", "b")
    assert found.data.target_label == "y / m^2"
    assert found.units == ("m", "", "m^2")


def test_wide_positive_values_are_shown_logarithmic():
    table = frame(a=np.geomspace(1, 1e6, ROWS))
    assert judge(table, columns=["a"]).data.logarithmic == ("x", "y")
    assert judge(frame()).data.logarithmic == ()


def test_rows_that_differ_in_a_column_left_out_are_no_repetition():
    table = pd.concat([frame(), frame().iloc[:4]]).assign(when=np.arange(ROWS + 4))
    found = judge(table, columns=["a", "b"])
    assert len(found.data.y) == ROWS + 4
    assert found.notes == []
