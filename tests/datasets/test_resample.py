"""Parts of the data: what a fit sees of them, and what it is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.datasets.resample import Bicross, Halves, Whole, check_highest
from nnmf_runner.datasets.visible import Entries

X = np.arange(1.0, 57.0).reshape(7, 8)


def part_of(resample, entries, dataset=None):
    return resample.part(dataset or Dataset("numbers", entries.X), entries, stream(0, "resample"))


def test_all_of_the_data_are_as_they_are():
    entries = Entries(X)
    assert part_of(Whole(), entries).entries is entries


@pytest.mark.parametrize("n", [8, 7])
@pytest.mark.parametrize("pair", [0, 4])
def test_halves_share_no_sample_and_leave_none_out(n, pair):
    halves = [part_of(Halves(pair, half), Entries(X[:, :n])).dataset.X for half in range(2)]
    assert abs(halves[0].shape[1] - halves[1].shape[1]) <= 1
    columns = np.hstack(halves)
    np.testing.assert_array_equal(columns[:, np.argsort(columns[0])], X[:, :n])


def test_halvings_differ_by_their_number_and_the_seed_alone():
    first = part_of(Halves(0), Entries(X)).entries.X
    np.testing.assert_array_equal(first, part_of(Halves(0), Entries(X)).entries.X)
    others = [part_of(Halves(1), Entries(X)), Halves(0).part(Dataset("numbers", X), Entries(X), stream(1, "resample"))]
    assert all(not np.array_equal(first, other.entries.X) for other in others)


def corners(folds=3, entries=None):
    entries = entries or Entries(X)
    return [part_of(Bicross(i, j, folds), entries) for i in range(folds) for j in range(folds)]


def test_every_entry_is_in_one_corner():
    held = np.concatenate([part.left_out.corner.X.ravel() for part in corners()])
    np.testing.assert_array_equal(np.sort(held), X.ravel())


def test_a_fold_is_divided_into_what_is_seen_and_three_blocks():
    for part in corners():
        left, seen = part.left_out, part.entries.X
        whole = np.block([[seen, left.columns.X], [left.rows.X, left.corner.X]])
        whole = whole[np.argsort(whole[:, 0])]
        np.testing.assert_array_equal(whole[:, np.argsort(whole[0])], X)


def test_sparse_data_have_the_same_parts():
    for dense, thin in zip(corners(), corners(entries=Entries(sparse.csr_array(X))), strict=True):
        np.testing.assert_array_equal(thin.entries.X.toarray(), dense.entries.X)
        np.testing.assert_array_equal(thin.left_out.corner.X.toarray(), dense.left_out.corner.X)


def test_missing_entries_stay_missing():
    mask = X % 5 != 0
    for part in corners(entries=Entries(np.where(mask, X, 0.0), mask)):
        for block in (part.entries, part.left_out.rows, part.left_out.columns, part.left_out.corner):
            np.testing.assert_array_equal(block.X != 0, True if block.mask is None else block.mask)


def test_nothing_is_known_of_a_part_but_its_entries():
    labelled = Dataset("numbers", X, labels=[np.zeros(8, int)], feature_names=list("abcdefg"))
    assert part_of(Halves(), Entries(X), labelled).dataset.labels == []


@pytest.mark.parametrize(
    ("resample", "entries", "said"),
    [
        (Bicross(folds=8), Entries(X), "7, which cannot be divided into 8 folds"),
        (Halves(), Entries(X[:, :1]), "One sample cannot be halved"),
        (Bicross(folds=2), Entries(np.where(X[0, 0] == X, X, 0.0)), "holds only zeros"),
        (Halves(), Entries(X, heldout=X), "resample=halves hides entries itself. Expected holdout=0."),
    ],
)
def test_what_has_no_such_part_is_refused(resample, entries, said):
    with pytest.raises(InputError, match=said):
        part_of(resample, entries)


def test_a_tensor_is_refused():
    tensor = Dataset("numbers", X, modes=Modes.of((7, 1, 8), 2))
    with pytest.raises(InputError, match="resample=bicross takes a part of a matrix, but dataset=numbers is a tensor"):
        part_of(Bicross(), Entries(X), tensor)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Halves(half=2), "half=2"),
        (lambda: Halves(pair=-1), "pair=-1"),
        (lambda: Bicross(row_fold=3), "row_fold=3"),
        (lambda: Bicross(folds=1), "folds=1"),
    ],
)
def test_parts_that_do_not_exist_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.parametrize(("shape", "highest"), [((96, 120), 60), ((30, 120), 20), ((96, 31), 15), ((96, 30), 15)])
def test_ranks_are_bounded_by_the_smallest_part(shape, highest):
    check_highest([2, highest], shape)
    with pytest.raises(InputError, match=f"ranks go up to {highest + 1}, .* Expected ranks of at most {highest}."):
        check_highest([2, highest + 1], shape)
    for resample in (Halves(half=1), Bicross()):
        assert min(part_of(resample, Entries(np.ones(shape))).entries.X.shape) >= highest
