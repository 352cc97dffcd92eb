"""What is taken from the contents of a file: vectors, names, the matrix that is meant, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.datasets.files.contents import ContentError, Contents, Grid, Refused, Table

MATRIX = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([3, 1]), [3, 1]),
        (np.array([[3, 1]]), [3, 1]),
        (np.array([[3], [1]]), [3, 1]),
        (np.array(5.0), [5]),
        (sparse.csr_array([[0, 2, 1]]), [0, 2, 1]),
        (np.array([True, False]), [True, False]),
        (np.array(["ä", "b"]), ["ä", "b"]),
        (np.array(["ä".encode(), b"\xff"]), ["ä", "\ufffd"]),
    ],
)
def test_a_vector_is_one_dimension_of_whatever_holds_one(array, expected):
    assert Contents({"y": array}).vector("y").tolist() == expected
    assert Contents({"y": array}).names("y") == [str(value) for value in expected]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (MATRIX, r"y has shape \(2, 3\), expected one dimension"),
        (sparse.csr_array(MATRIX), r"y has shape \(2, 3\), expected one dimension"),
        (np.array([1j]), "y is of type complex128, expected numbers, booleans or strings"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "y is of type datetime64"),
        (Refused("is a struct"), "y is a struct"),
    ],
)
def test_what_is_no_vector_is_refused(array, message):
    with pytest.raises(ContentError, match=message):
        Contents({"y": array}).vector("y")


@pytest.mark.parametrize(
    ("arrays", "taken", "chosen"),
    [
        ({"other": MATRIX + 9, "X": MATRIX}, [], MATRIX),
        ({"counts": MATRIX, "y": np.arange(2), "words": np.array(["a", "b"])}, [], MATRIX),
        ({"counts": MATRIX, "levels": MATRIX + 9}, ["levels"], MATRIX),
        ({"counts": sparse.csr_array(MATRIX), "object": Refused("is one")}, [], MATRIX),
        ({"counts": MATRIX, "row": MATRIX[:1]}, [], MATRIX),
    ],
    ids=["called X", "the only one", "the only one left", "beside what is not read", "beside a row"],
)
def test_the_matrix_is_x_or_the_only_one(arrays, taken, chosen):
    found = Contents(arrays).grid(None, taken)
    values = found.values.toarray() if sparse.issparse(found.values) else found.values
    np.testing.assert_array_equal(values, chosen)


def test_a_matrix_keeps_the_names_of_its_rows_and_columns():
    raw, counts = Grid(MATRIX, ["r", "s"], ["a", "b", "c"]), Grid(MATRIX[:, :2], ["r", "s"], ["a", "b"])
    contents = Contents({"raw": raw, "counts": counts})
    assert contents.grid("raw", []) is raw
    assert contents.grid(None, ["raw"]) is counts
    np.testing.assert_array_equal(contents.array("raw"), MATRIX)


def test_a_key_decides_which_matrix():
    np.testing.assert_array_equal(Contents({"X": MATRIX, "other": MATRIX + 9}).grid("other", []).values, MATRIX + 9)


@pytest.mark.parametrize(
    ("arrays", "key", "message"),
    [
        ({"a": MATRIX, "b": MATRIX}, None, "it has 2 matrices, so dataset.x has to say which. Expected one of: a, b"),
        ({"y": np.arange(3)}, None, "it has 0 matrices"),
        ({}, None, "It holds nothing"),
        ({"a": MATRIX}, "b", "it has no 'b'. Expected one of: a"),
        ({f"a{i}": MATRIX for i in range(20)}, "b", "a18, a19$"),
        ({f"a{i}": MATRIX for i in range(23)}, "b", "a19 and 3 more$"),
        ({"X": np.array([["a", "b"]])}, None, "X is not numeric"),
        ({"X": MATRIX * 1j}, None, "X is not numeric: expected real numbers, got entries of type complex128"),
        ({"X": Refused("is a struct")}, None, "X is a struct"),
    ],
)
def test_a_matrix_that_is_not_there_or_not_one_is_refused(arrays, key, message):
    with pytest.raises(ContentError, match=message):
        Contents(arrays).grid(key, [])


def test_indices_out_of_bounds_are_refused_before_they_are_followed():
    damaged = sparse.csr_array(MATRIX)
    damaged.indices[0] = 10**6
    with pytest.raises(ContentError, match="X is a damaged sparse matrix"):
        Contents({"X": damaged}).grid(None, [])


def test_the_columns_of_a_table_that_nothing_else_takes_are_the_data():
    table = Table({"y": np.array(["u", "v"]), "a": np.array(["1", "na"]), "b": np.array(["TRUE", " 2.5 "])})
    found = table.grid(None, ["y"])
    np.testing.assert_array_equal(found.values, [[1.0, 1.0], [np.nan, 2.5]])
    assert (found.rows, found.columns) == (None, ["a", "b"])


def test_the_first_column_without_a_number_names_the_rows():
    gene, other = np.array(["g1", "g2"]), np.array(["1", "2"])
    assert Table({"gene": gene, "a": other}).grid(None, []).rows == ["g1", "g2"]
    with pytest.raises(ContentError, match="column 'gene' holds 'g1' in row 1, expected numbers"):
        Table({"a": other, "gene": gene}).grid(None, [])
    named = Table({"id": other, "a": other}, index=("id",)).grid(None, [])
    assert (named.rows, named.columns) == (["1", "2"], ["a"])


@pytest.mark.parametrize(
    ("columns", "key", "message"),
    [
        ({"a": ["1", "x"]}, None, "column 'a' holds 'x' in row 2, expected numbers"),
        ({"a": ["1", "2"], "b": ["", ""]}, None, "column 'b' is empty"),
        ({"a": ["u", "v"]}, None, "no column is left for the data.* Expected one of: a"),
        ({"a": ["1", "2"]}, "a", "it is a table, of which all columns are data, so dataset.x=a means nothing"),
    ],
)
def test_tables_without_numbers_are_refused(columns, key, message):
    with pytest.raises(ContentError, match=message):
        Table({name: np.array(column) for name, column in columns.items()}).grid(key, [])
