import math
import re
import reprlib
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import (
    LARGEST,
    MOST,
    InputError,
    check_choice,
    check_finite,
    check_fixed,
    check_flag,
    check_layers,
    check_nonnegative,
    check_number,
    check_ranks,
    filled,
    instead_of,
    is_missing,
    split_missing,
)


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)


def test_legal_choice_is_returned():
    assert check_choice("mu", ("mu", "hals"), "solver") == "mu"


def test_unknown_choice_is_refused_with_the_legal_and_the_nearest():
    message = r"solver=hal is not known\. Expected one of: hals, mu\. Did you mean 'hals'\?"
    with pytest.raises(InputError, match=message):
        check_choice("hal", ("mu", "hals"), "solver")


def test_of_many_choices_the_nearest_is_said_alone_and_without_one_all_in_order():
    many = ("mu", "hals", "anls", "auto", "spg")
    with pytest.raises(InputError, match=r"^solver=hal is not known\. Did you mean 'hals'\? Ask for help\.$"):
        check_choice("hal", many, "solver", "Ask for help.")
    with pytest.raises(InputError, match=r"^solver=hal is not known\. Did you mean 'hals'\?$"):
        check_choice("hal", many, "solver")
    with pytest.raises(InputError, match=r"^solver=xyz is not known\. Expected one of: anls, auto, hals, mu, spg\.$"):
        check_choice("xyz", many, "solver", "Ask for help.")
    with pytest.raises(InputError, match=r"It has none\.$"):
        check_choice("xyz", (), "solver")


def test_a_prefix_that_all_names_have_makes_none_nearer():
    many = ("partition", "timeout", "memory", "account")
    assert instead_of("zzz", many, below="launcher.").startswith("Expected one of: launcher.account, launcher.memory, ")
    assert instead_of("partitoin", many, below="launcher.") == "Did you mean 'launcher.partition'?"


@pytest.mark.parametrize("value", ["zzz", None, 3])
def test_choice_like_none_is_refused_without_a_guess(value):
    with pytest.raises(InputError, match=rf"solver={value} is not known\. Expected one of: hals, mu\.$"):
        check_choice(value, ("mu", "hals"), "solver")


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_number_in_range_is_returned(value):
    assert check_number(value, "x", low=0.0, high=1.0) is value


@pytest.mark.parametrize("value", [MOST + 1, 10**20, 10**400])
def test_counts_have_a_highest_and_integers_any_size_where_that_is_said(value):
    assert check_number(MOST, "x", low=0, integer=True) is MOST
    with pytest.raises(InputError, match=r"x=1\d+(\.\.\.)? is not valid\. Expected an integer in \[0, 1e\+09\]"):
        check_number(value, "x", low=0, integer=True)
    assert check_number(value, "x", low=0, high=math.inf, integer=True) is value


@pytest.mark.parametrize("value", [2 * LARGEST, 1e308, 10**61, 10**400])
def test_numbers_have_a_highest_as_data_have(value):
    for legal in (LARGEST, 10**59, 5e-324):
        assert check_number(legal, "x", low=0.0) is legal
    with pytest.raises(InputError, match=r"x=[\d.e+]+ is not valid\. Expected a number in \[0, 1e\+60\]\.$"):
        check_number(value, "x", low=0.0)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (-0.1, {"low": 0.0, "high": 1.0}, r"x=-0\.1 is not valid\. Expected a number in \[0, 1\]\."),
        (1.1, {"low": 0.0, "high": 1.0}, r"x=1\.1 is not valid"),
        (0.0, {"low": 0.0, "open_low": True}, r"Expected a number in \(0, 1e\+60\]\."),
        (1.0, {"high": 1.0, "open_high": True}, r"Expected a number in \(-inf, 1\)\."),
        (2.0, {"low": 1, "integer": True}, r"x=2\.0 is not valid\. Expected an integer in \[1, 1e\+09\]\."),
        (
            -(2**200),
            {"low": 0, "integer": True},
            r"x=-1606938\d+ is not valid\. Expected an integer in \[0, 1e\+09\]\.",
        ),
        (10**400, {"low": 0.0}, r"x=10+\.\.\. is not valid\. Expected a number in \[0, 1e\+60\]\."),
        (np.nan, {}, r"x=nan is not valid\. Expected a number in \(-inf, 1e\+60\]\."),
        (True, {}, r"x=True is not valid"),
        ("1", {}, r"x=1 is not valid"),
        (None, {}, r"x=None is not valid"),
    ],
)
def test_other_numbers_are_refused_with_the_range(value, options, message):
    with pytest.raises(InputError, match=message):
        check_number(value, "x", **options)


def test_range_that_is_shown_open_at_infinity_is_open():
    with pytest.raises(InputError, match=r"x=inf is not valid\. Expected a number in \(0, inf\)\."):
        check_number(np.inf, "x", low=0.0, high=np.inf, open_low=True)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_real_numbers_become_doubles_of_the_same_value(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    for given in (array, array.tolist(), sparse.csr_array(array), sparse.coo_matrix(array)):
        found = check_finite(given, "X")
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found.toarray() if sparse.issparse(found) else found, array)


def test_objects_that_are_numbers_become_doubles():
    assert check_finite(np.array([[1, 2.5]], object), "X").dtype == np.float64


def test_objects_that_are_no_numbers_are_of_a_wrong_type_as_well():
    with pytest.raises(TypeError, match="X is not numeric"):
        check_finite([[1.0, {}]], "X")


@pytest.mark.parametrize("text", ["1_1", "12", b"12", "", "word " * 9])
def test_text_among_objects_is_no_number_even_if_python_reads_it_as_one(text):
    with pytest.raises(
        TypeError, match=rf"^X is not numeric: expected real numbers, got text, {re.escape(reprlib.repr(text))}\.$"
    ):
        check_finite(np.array([[1.0, text]], object), "X")


@pytest.mark.parametrize("value", [{}, object()])
def test_a_single_object_is_no_matrix(value):
    with pytest.raises(InputError, match=r"^X is not numeric"):
        check_finite(value, "X")


def test_double_matrix_is_not_copied():
    X = np.ones((2, 3))
    assert check_finite(X, "X") is X


@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_is_formed_for_data_without_missing_entries(order):
    X = np.ones((1000, 1000), order=order)
    tracemalloc.start()
    try:
        found, known = split_missing(X, "X")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is X
    assert known is None
    assert peak < 0.01 * X.nbytes  # a mask would be an eighth


def test_sparse_matrix_stays_sparse_in_a_form_that_can_be_indexed():
    assert check_finite(sparse.coo_array(np.eye(3)), "X")[:, [1]].shape == (3, 1)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("signed", [False, True])
def test_data_whose_squares_leave_double_precision_are_refused(form, signed):
    for scale in (1e-59, 1e59):
        split_missing(form(scale * np.eye(2)), "X", signed=signed)
    for scale in (1e-61, 1e61, 1e-320):
        with pytest.raises(
            InputError, match=rf"X has {re.escape(f'{scale:g}')} as its largest entry.*: scale the data\."
        ):
            split_missing(form(scale * np.eye(2)), "X", signed=signed)


def test_vector_passes_where_it_may():
    np.testing.assert_array_equal(check_finite([1, 2], "weights", vector=True), [1.0, 2.0])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([1.0, 2.0], r"X has 1 dimensions with shape \(2,\), expected 2\."),
        (np.ones((1, 2, 3)), r"X has 3 dimensions"),
        (3.0, r"X has 0 dimensions"),
        (np.empty((0, 3)), r"X is empty: its shape is \(0, 3\)\."),
        ([[1.0], [2.0, 3.0]], r"X is not a matrix of numbers: "),
        ([["a", None]], r"X is not numeric: expected real numbers, got text, 'a'\."),
        ([["a"]], r"X is not numeric: expected real numbers, got entries of type <U1\."),
        ([[1j]], r"X is not numeric: .* Complex data not supported\."),
        ([[{}]], r"X is not numeric: .* must be a string or a real number"),
        ([[None]], r"X has 1 entries that are NaN"),
        ([[np.nan, 1.0]], r"X has 1 entries that are NaN or infinite, expected finite numbers\."),
        ([[np.inf, np.nan]], r"X has 2 entries"),
        ([[np.inf, -np.inf]], r"X has 2 entries"),
        (sparse.csr_array([[np.nan, 0.0]]), r"X has 1 entries"),
    ],
)
def test_what_is_no_matrix_of_finite_numbers_is_refused(array, message):
    with pytest.raises(InputError, match=message):
        check_finite(array, "X")


@pytest.mark.parametrize("array", [np.full((300, 300), 2, np.float16), np.full((2, 2), 1e308)])
def test_finite_numbers_whose_sum_overflows_pass_in_silence(array):
    assert check_finite(array, "X").max() == array.max()


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_negative_entries_are_refused_with_the_lowest(form):
    said = r"X has to be nonnegative\. Negative values in data: the lowest is -2\. Semi-NMF takes them"
    with pytest.raises(InputError, match=said):
        check_nonnegative(form([[1.0, -2.0], [0.0, -1.0]]), "X")


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, lambda X: np.array(X) * np.nan])
def test_zeros_alone_and_missing_entries_alone_pass_on_request(form):
    for signed, expected in ((False, "positive entry|number"), (True, "other entry|number")):
        with pytest.raises(InputError, match=f"X (holds only zeros|has no known entry).* at least one ({expected})"):
            split_missing(form([[0.0, 0.0]]), "X", signed=signed)
        X, known = split_missing(form([[0.0, 0.0]]), "X", signed=signed, zeros=True)
        assert (X.shape, X.sum()) == ((1, 2), 0.0)
        assert known is None or not known.any()


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, sparse.csc_matrix])
def test_nonnegative_entries_pass(form):
    assert check_nonnegative(form([[0.0, 2.0]]), "X").sum() == 2.0


def test_sparse_entries_given_in_parts_count_as_their_sum():
    X = sparse.csr_array((np.array([3.0, -1.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    np.testing.assert_array_equal(check_nonnegative(X, "X").toarray(), [[2.0]])


MISSING = np.array([[1.0, np.nan], [0.0, 2.0]])


@pytest.mark.parametrize("array", [MISSING, MISSING.tolist(), MISSING.astype(object), [[1, None], [0, 2]]])
def test_nan_is_split_off_as_missing(array):
    X, known = split_missing(array, "X")
    np.testing.assert_array_equal(X, [[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(known, ~np.isnan(MISSING))
    assert np.isnan(np.asarray(array, float)).any()  # the data stay as they are


class NotAvailable:
    """What pandas.NA is: no comparison with it is true or false."""

    def __eq__(self, other):
        return self

    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (None, np.nan, np.float32("nan"), np.datetime64("NaT"), NotAvailable())),
        *((value, True) for value in (np.ma.masked, Decimal("nan"))),
        *((value, False) for value in (0, -1, "", "nan", np.inf, False, np.zeros(2), [np.nan], {})),
    ],
)
def test_what_stands_for_nothing_is_missing(value, expected):
    assert is_missing(value) is expected


HIDDEN = np.ma.array([[1.0, 99.0], [0.0, 2.0]], mask=[[False, True], [False, False]])


@pytest.mark.parametrize(
    "array",
    [
        HIDDEN,
        HIDDEN.astype(int),
        HIDDEN.astype(np.float32),
        HIDDEN.astype(object),
        list(HIDDEN),
        np.array([[1.0, NotAvailable()], [0, 2]], object),
    ],
    ids=["floats", "integers", "single", "objects", "list of rows", "NA"],
)
def test_what_is_masked_or_not_available_is_missing_whatever_stands_below(array):
    X, known = split_missing(array, "X")
    np.testing.assert_array_equal(X, [[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(known, ~HIDDEN.mask)
    with pytest.raises(InputError, match=r"^X has 1 entries that are (masked, )?NaN or infinite"):
        check_finite(array, "X")


def test_a_masked_array_that_hides_nothing_is_an_array():
    array = np.ma.array([[1.0, 2.0]], mask=False)
    X, known = split_missing(array, "X")
    assert (type(X), known) == (np.ndarray, None)
    assert np.shares_memory(X, array.data)


def test_a_mask_adds_to_nan_and_hides_whatever_stands_below_it():
    array = np.array([[1.0, np.nan, -999.0], [np.inf, 2.0, 3.0]])
    mask = np.array([[True, True, False], [False, True, True]])
    X, known = split_missing(array, "X", mask)
    np.testing.assert_array_equal(X, [[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]])
    np.testing.assert_array_equal(known, mask & ~np.isnan(array))


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
@pytest.mark.parametrize(
    "mask", [np.ones((2, 2), bool), np.ones((2, 2), bool).astype(object), np.ma.ones((2, 2), bool)]
)
def test_a_mask_of_everything_is_none(form, mask):
    array = form([[1.0, 0.0], [0.0, 2.0]])
    X, known = split_missing(array, "X", mask)
    assert known is None
    assert (array != X).sum() == 0


def test_free_signs_pass_where_they_may():
    np.testing.assert_array_equal(split_missing([[-1.0, np.nan]], "X", signed=True)[0], [[-1.0, 0.0]])


@pytest.mark.parametrize(
    ("array", "mask", "message"),
    [
        ([[np.nan, -1.0]], None, "X has to be nonnegative"),
        ([[np.nan, np.inf]], None, "X has 1 entries that are NaN or infinite"),
        ([[np.nan, np.nan]], None, "X has no known entry: all 2 are missing"),
        ([[np.nan, 0.0]], None, "X holds only zeros"),
        ([[1.0, 2.0]], [[False, False]], "X has no known entry"),
        ([[1.0, 2.0]], [[True], [True, False]], "mask has rows of different lengths"),
        ([[1.0, 2.0]], [[True]], r"mask has shape \(1, 1\), expected \(1, 2\) as X has"),
        ([[1.0, 2.0]], [[1, 0]], "mask is of type int64, expected booleans"),
        ([[1.0, 2.0]], np.array([[True, None]], object), "mask is of type object, expected booleans"),
        ([[1.0, 2.0]], np.ma.array([[True, False]], mask=[[False, True]]), "mask is masked itself"),
        (sparse.csr_array([[np.nan, 1.0]]), None, "X has 1 entries"),
        (sparse.csr_array([[1.0, 1.0]]), [[True]], "mask has shape"),
        ([["a"]], None, "X is not numeric"),
        ([[1j * np.nan, 1.0]], None, "X is not numeric"),
        (None, None, "X is None, expected a matrix of numbers"),
        ([["a", NotAvailable()]], None, "X is not numeric: expected real numbers, got text, 'a'"),
        ([[{}, NotAvailable()]], None, "X is not numeric"),
        (np.ma.array([["a"]], mask=[[True]]), None, "X is not numeric"),
        (np.ma.array([[1.0, -2.0]], mask=[[True, False]]), None, "X has to be nonnegative"),
        ([], None, "X has 1 dimensions"),
        (np.empty((0, 2)), None, "X is empty"),
    ],
)
def test_missing_entries_do_not_hide_what_is_wrong_with_the_others(array, mask, message):
    with pytest.raises(InputError, match=message) as caught:
        split_missing(array, "X", mask)
    assert "\n" not in str(caught.value)


def test_missing_entries_are_filled_with_the_mean_of_what_is_known_of_their_row():
    X, known = split_missing([[1.0, np.nan, 3.0], [np.nan, np.nan, 0.0], [np.nan, np.nan, np.nan]], "X")
    np.testing.assert_array_equal(filled(X, known), [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert filled(X, None) is X


@pytest.mark.parametrize(
    "layers", [[9, 4, 2], (9, 4, 2), "9-4-2", "9,4,2", "[9, 4, 2]", np.array([9, 4, 2]), [np.int64(9), 4, 2]]
)
def test_ranks_are_read_in_every_form(layers):
    found = check_layers(layers)
    assert found == (9, 4, 2)
    assert all(type(rank) is int for rank in found)


@pytest.mark.parametrize("layers", [9, "9", [9], np.int64(9)])
def test_one_rank_is_one_layer(layers):
    assert check_layers(layers) == (9,)


def test_growing_ranks_pass_by_request():
    assert check_layers([4, 9], allow_growing=True) == (4, 9)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"layers=\[\] is empty\. Expected at least one rank"),
        ([9, 12], r"layers\[1\]=12 exceeds layers\[0\]=9: ranks must not grow \(set allow_growing_ranks=True"),
        ([0], r"layers\[0\]=0 is not valid\. Expected a positive integer"),
        ([9, -4], r"layers\[1\]=-4 is not valid"),
        ([9.0], r"layers\[0\]=9\.0 is not valid"),
        ([True], r"layers\[0\]=True is not valid"),
        (True, r"layers\[0\]=True is not valid"),
        (None, r"layers\[0\]=None is not valid"),
        ("9-x", r"layers\[1\]=x is not valid"),
        ("", r"layers= is empty"),
        ("9-²", r"layers\[1\]=² is not valid"),
        ("9-" + "9" * 5000, r"layers\[1\]=9+\.\.\. is not valid"),
    ],
)
def test_bad_ranks_are_refused_by_place(layers, message):
    with pytest.raises(InputError, match=message):
        check_layers(layers)


def test_ranks_beyond_the_smaller_side_of_the_data_are_refused():
    check_ranks((87, 4), (87, 90))
    with pytest.raises(InputError, match=r"layers\[1\]=88 exceeds 87, .*n_features=87, n_samples=90\)"):
        check_ranks((9, 88), (87, 90))


@pytest.mark.parametrize(
    "value", [10**400, 10**5000, "a\nb", np.eye(3), "x" * 1000, [1] * 1000], ids=lambda v: type(v).__name__
)
def test_a_message_is_one_short_line_whatever_came(value):
    for check in (check_flag, lambda value, name: check_number(value, name, high=1.0), check_one_or_two):
        with pytest.raises(InputError, match=r"^option=.* is not |^option=an integer of thousands") as caught:
            check(value, "option")
        assert len(str(caught.value)) < 200
        assert "\n" not in str(caught.value)


def check_one_or_two(value, name):
    return check_choice(value, ["one", "two"], name)


def test_fixed_layers_are_sorted_and_listed_once():
    assert check_fixed((2, np.int64(0), 2), 3) == [0, 2]
    assert check_fixed(np.array([1]), 2) == [1]
    assert check_fixed([], 1) == []


@pytest.mark.parametrize("fixed", [0, "0", None, [2], [-1], [True], [0.0], ["0"], [None]], ids=repr)
def test_what_is_no_layer_cannot_be_fixed(fixed):
    with pytest.raises(InputError, match=r"^fixed(\[0\])?=.* is (not valid|no layer)\. Expected [^\n]*$"):
        check_fixed(fixed, 2)
