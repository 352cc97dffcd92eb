"""The files of one shard: their entries are checked block by block, and are what numpy would have written."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import shard_files
from nnmf_runner.datasets.files.shard_files import checked, file_digest, save, sparse_part, write_part


@pytest.mark.parametrize("form", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("block", [1, 7, 10**6])
def test_every_entry_is_in_one_block(rng, monkeypatch, form, block):
    monkeypatch.setattr(shard_files, "BLOCK", block)
    X = rng.random((4, 9)).astype("f4")
    found = [*checked(form(X), 0)]
    assert (len(found) == 1) == (block == 10**6)
    np.testing.assert_allclose(sum(squares for squares, _ in found), (X.astype(float) ** 2).sum(), rtol=1e-14)
    assert max(largest for _, largest in found) == X.max()
    for at in ((0, 0), (3, 8)):
        damaged = X.copy()
        damaged[at] = -1.0
        with pytest.raises(InputError, match=r"^X, samples .*, has a negative entry, -1\."):
            list(checked(form(damaged), 0))


@pytest.mark.parametrize("array", [np.eye(3, 4, dtype="f4"), np.array(["a", "bcd"]), np.ones(0), np.eye(4)[:, 1:3]])
def test_arrays_are_written_as_numpy_does(tmp_path, array):
    np.save(tmp_path / "numpy.npy", array)
    save(str(tmp_path / "ours.npy"), array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    assert file_digest(tmp_path / "ours.npy") == file_digest(tmp_path / "numpy.npy")


def test_a_dense_shard_is_written_in_blocks_of_its_samples(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(shard_files, "BLOCK", 8)
    X = rng.random((3, 11))
    assert len([*write_part(tmp_path / "a", X, 0, "float64")]) > 3
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), X.T)


def test_a_sparse_part_is_made_of_the_arrays_themselves(rng):
    X = sparse.random_array((6, 5), density=0.5, rng=rng, format="csc")
    X.sort_indices()
    found = sparse_part([X.data, X.indices, X.indptr], 6, 5)
    for ours, theirs in zip((found.data, found.indices, found.indptr), (X.data, X.indices, X.indptr), strict=True):
        assert np.shares_memory(ours, theirs)
