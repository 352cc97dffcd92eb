"""What is a number, a whole one, or nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnmf_runner.datasets.files.cells import LONGEST_NAME, as_text, first_words, integers, is_label, is_number, numbers


@pytest.mark.parametrize("cell", ["1", "-1", "+1.", ".5", "1.50", "1e5", "-2.5E-3", " 7 "])
def test_numbers_are_those_of_python(cell):
    assert is_number(cell)
    values, good = numbers(np.array([cell, "x"]))
    assert good.tolist() == [True, False]
    assert values[0] == float(cell)


@pytest.mark.parametrize("cell", ["1_1", "٣", "0x10", "1d5", "1e", ".", "", "inf", "nan", "1,5", "1 000", "12%", "1-2"])
def test_what_only_looks_like_a_number_is_none(cell):
    assert not is_number(cell)


def test_a_decimal_comma_leaves_no_other_marks():
    assert [is_number(cell, ",") for cell in ("1,5", "-1,5e3", "1.5", "1.000,5", "2")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    values, good = numbers(np.array(["1,5", "2", ""]), ",")
    np.testing.assert_array_equal(values, [1.5, 2.0, np.nan])
    assert good.all()


def test_cells_may_be_numbers_truth_values_or_nothing():
    values, good = numbers(np.array(["1", "", "NA", "n/a", "NULL", "None", "nan", "TRUE", "false", "1_1", "-"]))
    np.testing.assert_array_equal(values, [1.0, *[np.nan] * 6, 1.0, 0.0, np.nan, np.nan])
    assert good.tolist() == [True] * 9 + [False] * 2


def test_a_column_of_digits_that_are_no_number_is_told_by_its_cells():
    values, good = numbers(np.array(["1e5", "1-2", ""]))
    np.testing.assert_array_equal(values, [1e5, np.nan, np.nan])
    assert good.tolist() == [True, False, True]


def test_integers_may_have_zeros_behind_the_point_and_any_size():
    assert integers(["1", "02", "-3", "4.0", "5."]) == [1, 2, -3, 4, 5]
    assert integers([str(2**70)]) == [2**70]
    assert integers(["1", "1.5"]) is integers(["1_1"]) is integers(["x"]) is integers(["9" * 5000]) is None


def test_a_word_for_nothing_is_no_label():
    assert not any(map(is_label, ("", "  ", "-1", "-1.0", "NaN", "nan", "NA", "n/a", "<NA>", "NULL", "None")))
    assert all(map(is_label, ("1_1", "01", " a", "0", "-11", "nano", "none", "1")))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([1, 20], ["1", "20"]),
        ([1.0, 2.5, np.nan, 2.0**60], ["1", "2.5", "nan", str(2**60)]),
        (["a", "1.0"], ["a", "1.0"]),
    ],
)
def test_whole_numbers_are_written_without_a_point(given, expected):
    assert as_text(np.array(given)) == expected


CELLS = st.sampled_from(
    ["1", "-2.5", ".5", "1e5", "1E-2", "+3.", "1-2", "1_1", "", " 4 ", "NA", "nan", "TRUE", "u", "1,5", "1.5"]
)


@given(st.lists(CELLS), st.sampled_from([".", ","]))
def test_cells_of_a_column_are_read_one_by_one(cells, decimal):
    values, good = numbers(np.array(cells, dtype=str), decimal)
    for cell, value, is_good in zip(cells, values, good, strict=True):
        if is_number(cell, decimal):
            assert (value, is_good) == (float(cell.replace(decimal, ".")), True)
        elif cell == "TRUE":
            assert (value, is_good) == (1, True)
        else:
            assert np.isnan(value)
            assert is_good == (cell in ("", "NA", "nan"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Two words", "Two words"),
        (" a|b `c`\n\t d\x00", "a b c d"),
        ("=1+1 and @more", "1+1 and @more"),
        ("\x1b[31mred", "31mred"),
        ("*** !", "(no name)"),
        ("word " * 40, "word " * 11 + "word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("x" * 60, "x" * 60),
    ],
)
def test_a_text_is_called_by_its_first_words(text, name):
    assert first_words(text) == name


@given(st.text())
def test_names_from_texts_are_safe_wherever_they_stand(text):
    name = first_words(text)
    assert 0 < len(name) <= LONGEST_NAME
    assert name.isprintable()
    assert not set(name) & set("|`")
    assert name[0] not in "=+-@"
