"""How much may be read from a file."""

from __future__ import annotations

import bz2
import gzip
import os

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import File, Newsgroups, Text, Wordnet
from nnmf_runner.datasets.files import bounds, readers
from nnmf_runner.datasets.files.contents import ContentError


def test_a_file_may_unpack_to_some_times_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    assert bounds.most_unpacked(tmp_path / "a") == bounds.FREE
    with (tmp_path / "a").open("wb") as file:
        file.truncate(bounds.FREE)
    assert bounds.most_unpacked(tmp_path / "a") == bounds.RATIO * bounds.FREE


@pytest.mark.parametrize(("size", "text"), [(5, "5 bytes"), (2500, "2.5 kB"), (4.29e9, "4.29 GB"), (1e15, "1e+03 TB")])
def test_sizes_are_shown_in_units(size, text):
    assert bounds.in_units(size) == text


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("suffix", PACKERS)
def test_no_more_is_unpacked_than_a_file_may_hold(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(bounds, "FREE", 10**6)
    for name, size in (("good", 10**6), ("bad", 10**6 + 1)):
        (tmp_path / f"{name}{suffix}").write_bytes(PACKERS[suffix](bytes(size)))
    with bounds.unpacked(tmp_path / f"good{suffix}") as file:
        assert file.read() == bytes(10**6)
    with bounds.unpacked(tmp_path / f"bad{suffix}") as file, pytest.raises(ContentError, match="more than 1 MB"):
        file.read()


@pytest.mark.parametrize("name", ["a.csv", "a.txt.gz", "a.mtx", "a.mat", "a.npz", "a.h5ad"])
def test_a_hole_of_terabytes_is_refused_at_once(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**42)
    source = File(path=str(tmp_path / name))
    for use in (source.identity, lambda: source.load(np.random.default_rng(0))):
        with pytest.raises(InputError, match=f"{name}: its contents do not fit into memory"):
            use()


@pytest.mark.parametrize("labels", ["a.csv", "a.txt.gz"])
def test_so_is_one_beside_the_data(tmp_path, labels):
    np.save(tmp_path / "x.npy", np.eye(3))
    with (tmp_path / labels).open("wb") as file:
        file.truncate(2**42)
    source = File(path=str(tmp_path / "x.npy"), labels=[labels])
    for use in (source.identity, lambda: source.load(np.random.default_rng(0))):
        with pytest.raises(InputError, match=r"not fit into memory"):
            use()


def test_a_hole_that_fits_into_memory_is_no_text(tmp_path):
    with (tmp_path / "a.csv").open("wb") as file:
        file.write(b"a,b\n1,2\n")
        file.truncate(2**30)
    with pytest.raises(InputError, match="null characters"):
        File(path=str(tmp_path / "a.csv")).load(np.random.default_rng(0))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
@pytest.mark.parametrize(
    ("source", "named"),
    [(File, "b/c.csv"), (Text, "b/c.csv"), (Text, "."), (Wordnet, "b/c.csv"), (Newsgroups, "b/c.csv")],
)
def test_pipes_and_devices_are_refused_at_once(tmp_path, source, named, make):
    for group in ("a", "b"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "text.csv").write_text("word")
    make(tmp_path / "b" / "c.csv")
    found = source(path=str(tmp_path / named))
    for use in (found.identity, lambda: found.load(np.random.default_rng(0))):
        with pytest.raises(InputError, match=r"not a (plain )?file"):
            use()


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
@pytest.mark.parametrize("pointers", [[0, 2, -4], [0, 4, 0], [0, 3, 2]])
def test_pointers_of_a_sparse_matrix_that_fall_are_not_followed(tmp_path, form, pointers):
    matrix = sparse.coo_array(np.eye(2)).asformat(form)
    sparse.save_npz(tmp_path / "a.npz", matrix)
    with np.load(tmp_path / "a.npz") as parts:
        np.savez(tmp_path / "b.npz", **{**parts, "indptr": np.array(pointers, np.int32)})
    with pytest.raises(InputError, match=r"b\.npz: (X is a damaged sparse matrix|it cannot be read)"):
        File(path=str(tmp_path / "b.npz")).load(np.random.default_rng(0))


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", X=np.ones((100, 100)))
    monkeypatch.setattr(readers, "MEMORY", 80_000)
    with pytest.raises(InputError, match=r"a\.npz: its contents do not fit into memory"):
        File(path=str(tmp_path / "a.npz")).load(np.random.default_rng(0))


def test_a_folder_is_as_large_as_its_files(tmp_path):
    for name, size in (("a", 3), ("b", 5)):
        (tmp_path / name).write_bytes(bytes(size))
    assert [bounds.size_of(path) for path in (tmp_path, tmp_path / "a")] == [8, 3]
