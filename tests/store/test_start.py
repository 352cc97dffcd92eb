"""Saved factors as a start of a fit: they are what was saved, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.init import NNDSVD
from nnmf_runner.store.start import INITIALISATIONS, Given, Saved, is_path


@pytest.fixture
def factors(rng):
    return [rng.random((6, 3)), rng.random((3, 2))]


@pytest.fixture
def saved(factors, tmp_path):
    return saved_in(tmp_path / "run", factors)


def assert_are(found, factors):
    assert [*found] == [*range(len(factors))]
    for layer, factor in enumerate(factors):
        np.testing.assert_array_equal(found[layer], factor)


def saved_in(folder, factors, **others):
    folder.mkdir()
    np.savez(folder / "factors.npz", **{f"A{i}": A for i, A in enumerate(factors)}, **others)
    return Saved(str(folder))


def test_the_start_is_what_was_saved(saved, factors, rng):
    found = saved.start(np.ones((6, 9)), (3, 2), rng)
    for ours, theirs in zip(found, factors, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    saved.check(6, (3, 2), signed=False)


def test_a_relative_path_starts_at_the_working_directory_and_a_tilde_at_home(saved, factors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("run", "~/run"):
        assert_are(Saved(path).factors(), factors)


def test_single_precision_is_read_as_double(factors, tmp_path):
    single = saved_in(tmp_path / "single", [A.astype(np.float32) for A in factors], S0=np.ones((3, 9)))
    assert {A.dtype for A in single.factors().values()} == {np.dtype(np.float64)}


def test_identity_depends_on_the_factors_and_not_on_the_folder(saved, factors, tmp_path):
    assert saved_in(tmp_path / "copy", factors, S0=np.ones((3, 9))).identity() == saved.identity()
    factors[1][0, 0] += 1e-12
    assert saved_in(tmp_path / "changed", factors).identity() != saved.identity()


@pytest.mark.parametrize("layers", [(3,), (3, 3), (3, 2, 1)])
def test_other_shapes_are_refused_with_both(saved, layers, rng):
    for refused in (
        lambda: saved.check(6, layers, signed=False),
        lambda: saved.start(np.ones((6, 9)), layers, rng),
    ):
        with pytest.raises(
            InputError, match=r"^path=.* holds factors of shapes 6 x 3, 3 x 2, expected 6 x 3.*layers=3"
        ):
            refused()


def test_negative_entries_are_refused_where_factors_are_nonnegative(factors, tmp_path):
    factors[1][0, 1] = -0.5
    saved = saved_in(tmp_path / "signed", factors)
    saved.check(6, (3, 2), signed=True)
    with pytest.raises(InputError, match=r"^A1 of path=.* has negative entries \(the lowest is -0\.5\)"):
        saved.check(6, (3, 2), signed=False)


def test_what_holds_no_factors_is_refused(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, message in (
        (Saved(), "^init=saved has no path"),
        (Saved(str(tmp_path / "absent")), "^path=.*absent is not a folder"),
        (Saved(str(empty)), r"^path=.*empty cannot be used as initial factors: factors\.npz cannot be read"),
        (
            saved_in(tmp_path / "other", [], S0=np.ones(2)),
            r"cannot be used as initial factors: factors\.npz has no factor A0",
        ),
    ):
        with pytest.raises(InputError, match=message):
            given.factors()


def test_initialisations_are_registered_under_their_names():
    assert {name: kind.name for name, kind in INITIALISATIONS.items()} == {name: name for name in INITIALISATIONS}


def test_a_file_of_arrays_serves_as_well_as_a_folder(factors, tmp_path, saved):
    np.savez(tmp_path / "mine.NPZ", A0=factors[0], A1=factors[1], words=np.arange(3))
    file = tmp_path / "mine.NPZ.npz"
    assert_are(Saved(str(file)).factors(), factors)
    assert Saved(str(file)).identity() == Saved(str(tmp_path / "run" / "factors.npz")).identity() == saved.identity()


def test_arrays_of_equal_values_are_the_same_start_whatever_brings_them(factors, saved):
    given = Given([factors[0].tolist(), np.asfortranarray(factors[1])])
    assert_are(given.factors(), factors)
    assert (given.name, given.identity()) == (saved.name, saved.identity())
    factors[0][0, 0] = 0.0
    zero = Given(factors).identity()
    factors[0][0, 0] = -0.0
    assert Given(factors).identity() == zero != given.identity()


def test_arrays_are_copied_so_that_no_fit_changes_them_nor_what_is_given_later(factors):
    given = Given(factors)
    factors[0][:] = 7.0
    assert given.factors()[0].max() < 1.0


def test_missing_factors_are_made_of_the_codes_below(factors, tmp_path, rng):
    codes = rng.random((3, 9))
    X = factors[0] @ codes
    np.savez(tmp_path / "first.npz", A0=factors[0])
    for start in (Given([factors[0], None]), Saved(str(tmp_path / "first.npz"), rest="nndsvd")):
        start.check(6, (3, 2), signed=False)
        found = start.start(X, (3, 2), rng)
        np.testing.assert_array_equal(found[0], factors[0])
        np.testing.assert_allclose(found[1], NNDSVD().start(codes, (2,), rng)[0], atol=1e-7)
    last = Given([None, factors[1]])
    np.testing.assert_array_equal(last.start(X, (3, 2), rng)[0], NNDSVD().start(X, (3, 2), rng)[0])
    assert len({str(each.identity()) for each in (Given([factors[0], None]), last, Given(factors))}) == 3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"A0": np.ones((6, 3))}, r"holds factors of shapes 6 x 3, expected .*The option rest=nndsvd"),
        ({"A1": np.ones((3, 2))}, r"holds factors of shapes 3 x 2 \(A1\), expected .*The option rest=nndsvd"),
        ({"A0": np.ones((6, 3)), "A1": np.ones((3, 3))}, "3 x 3, expected 6 x 3, 3 x 2 for 6 features"),
        ({"A0": np.ones(6), "A1": np.ones((3, 2))}, "shapes 6, 3 x 2, expected"),
        ({"A0": np.float64(1.0), "A1": np.ones((3, 2))}, "shapes a number, 3 x 2, expected"),
        ({"W": np.ones((6, 3)), "H": np.ones(2)}, r"mine\.npz has no factor A0, but H, W\. Expected arrays A0"),
        ({"A0": np.full((6, 3), np.nan), "A1": np.ones((3, 2))}, "A0 holds entries that are NaN or infinite"),
        ({"A0": np.array([[None]]), "A1": np.ones((3, 2))}, "mine.npz cannot be read: Object arrays"),
        ({"A0": np.ones((6, 3)) * 1e200, "A1": np.ones((3, 2))}, r"^A0 of path=.* has 1e\+200 as its largest entry"),
        ({"A0": np.ones((6, 3)), "A999999": np.ones((3, 2))}, r"3 x 2 \(A999999\), expected"),
    ],
    ids=str,
)
def test_a_file_that_is_no_start_is_refused_in_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message) as refused:
        Saved(str(tmp_path / "mine.npz")).check(6, (3, 2), signed=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (np.ones((6, 3)), "^init is of type ndarray. Expected a list of arrays"),
        ([], "^init holds no factor"),
        ([None, None], "^init holds no factor"),
        (["a", None], r"^init\[0\] is not numeric"),
        ([np.full((6, 3), np.inf), None], r"^init\[0\] has 18 entries that are NaN or infinite"),
        ([sparse.eye_array(6, 3).tocsr(), None], r"^init\[0\] is sparse"),
        ([np.ones((6, 3))], "^init has 1 entries, expected 2: an array for every layer, or None"),
        ([np.ones((6, 4)), None], "^init holds factors of shapes 6 x 4, expected 6 x 3 for 6 features"),
        ([None, -np.ones((3, 2))], r"^init\[1\] has negative entries \(the lowest is -1\)"),
    ],
    ids=str,
)
def test_arrays_that_are_no_start_are_refused_in_one_line(arrays, message):
    with pytest.raises(InputError, match=message) as refused:
        Given(arrays).check(6, (3, 2), signed=False)
    assert "\n" not in str(refused.value)


def test_factors_of_zeros_alone_are_refused_whatever_brings_them(factors, tmp_path):
    zeros = [factors[0], 0 * factors[1]]
    for given, name in ((Given(zeros), r"init\[1\]"), (saved_in(tmp_path / "zeros", zeros), "A1 of path=")):
        with pytest.raises(InputError, match=f"{name}.* holds only zeros, which no fit can leave"):
            given.check(6, (3, 2), signed=True)
    Given([factors[0] * [1, 1, 0], factors[1]]).check(6, (3, 2), signed=False)  # topics may be empty


def test_what_makes_the_rest_is_checked():
    with pytest.raises(InputError, match=r"^rest=random is not known\. Expected one of: nndsvd"):
        Saved("x", rest="random")


def test_paths_are_told_from_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nndsvd").mkdir()
    (tmp_path / "run").mkdir()
    assert [
        each for each in ("nndsvd", "nndsdv", "", "run", "a.npz", "a.NPZ", "x/y", tmp_path, 7) if is_path(each)
    ] == [
        *("run", "a.npz", "a.NPZ", "x/y"),
        tmp_path,
    ]
