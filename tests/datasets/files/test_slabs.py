"""Matrices that are read a slab at a time: the same as at once, whatever the slabs, and nothing in them is run."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from nnmf_runner.datasets.files import readers
from nnmf_runner.datasets.files import slabs as module
from nnmf_runner.datasets.files.contents import DATA, ContentError, Layout
from nnmf_runner.datasets.files.slabs import read_slabs, slabs

SHAPE = 11, 7


def of_array(array, rows, columns, asked):
    ends = rows, columns

    def read(axis, i):
        asked.append((axis, i))
        part = slice(*ends[axis][i : i + 2])
        return array[part] if axis == 0 else array[:, part]

    return slabs(read, ends, array.dtype)


ends_within = some.sets(some.integers(1, 6)).map(sorted)


@given(ends_within, ends_within, some.booleans(), some.tuples(some.integers(0, 11), some.integers(0, 11)).map(sorted))
def test_columns_are_those_of_the_array(rows, columns, flipped, span):
    array = np.arange(77.0).reshape(SHAPE)
    asked = []
    X = of_array(array, (0, *rows, 11), (0, *columns, 7), asked)
    X, expected = (X.T, array.T) if flipped else (X, array)
    start, stop = span
    part = X[:, start:stop]
    np.testing.assert_array_equal(part, expected[:, start:stop])
    np.testing.assert_array_equal(part[:, 1:3], expected[:, start:stop][:, 1:3])
    assert (X.shape, part.shape, X.dtype) == (expected.shape, expected[:, start:stop].shape, array.dtype)
    assert X.T.shape == expected.T.shape
    assert len({*asked}) == len(asked) or len(asked) <= 2 * (len(rows) + len(columns) + 2)


def test_no_slab_is_read_that_is_not_asked_for_and_the_last_is_kept():
    asked = []
    X = of_array(np.arange(77.0).reshape(SHAPE), (0, 5, 11), (0, 2, 4, 7), asked)
    for start, stop in ((2, 3), (3, 4), (4, 5)):
        np.asarray(X[:, start:stop])
    assert asked == [(1, 1), (1, 2)]


@pytest.fixture
def X(rng):
    return np.round(rng.random(SHAPE), 3)


def read(path, taken=(), **layout):
    return read_slabs(path, Layout(**layout), taken)


def grid(path, taken=(), **layout):
    return read(path, taken, **layout).grid(None, taken)


def refused(path, *arguments, **options):
    with pytest.raises(ContentError) as error:
        np.asarray(grid(path, *arguments, **options).values)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("slab", [1, 20, 2**22])
@pytest.mark.parametrize("kind", ["f8", "f4", "u1", "?"])
@pytest.mark.parametrize("options", [{"zarr_format": 2}, {"zarr_format": 3}, {"zarr_format": 3, "shards": (8, 4)}])
def test_zarr_arrays(tmp_path, X, monkeypatch, slab, kind, options):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(module, "SLAB", slab)
    X = (9 * X).astype(kind)
    zarr.create_array(tmp_path / "a.zarr", shape=SHAPE, chunks=(4, 2), dtype=kind, **options)[:] = X
    found = read(tmp_path / "a.zarr").arrays[DATA]
    for ours, theirs in ((found, X), (found.T, X.T)):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours[:, 3:6], theirs[:, 3:6])
    for side, ends in zip(SHAPE, found.ends, strict=True):
        assert (ends[0], ends[-1]) == (0, side)
        assert all(low < high for low, high in pairwise(ends))


PICKLES = [("filters", [{"id": "pickle", "protocol": 5}]), ("compressor", {"id": "pickle"})]


@pytest.mark.parametrize(("key", "codec"), PICKLES)
def test_nothing_is_unpickled_of_a_zarr_array(tmp_path, X, key, codec):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a", shape=SHAPE, chunks=SHAPE, dtype="f8", zarr_format=2)[:] = X
    described = json.loads((tmp_path / "a" / ".zarray").read_text())
    (tmp_path / "a" / ".zarray").write_text(json.dumps(described | {key: codec}))
    assert "it is coded by 'pickle', which is not read. Expected one of: bytes," in refused(tmp_path / "a")


def test_codecs_within_others_are_looked_at(tmp_path, X):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a", shape=SHAPE, chunks=(4, 2), shards=(8, 4), dtype="f8")[:] = X
    text = (tmp_path / "a" / "zarr.json").read_text()
    assert text.count('"zstd"') == 1
    (tmp_path / "a" / "zarr.json").write_text(text.replace('"zstd"', '"numcodecs.pickle"'))
    assert "it is coded by 'numcodecs.pickle'" in refused(tmp_path / "a")
    (tmp_path / "a" / "zarr.json").write_text(json.dumps({**json.loads(text), "codecs": ["pickle"]}))
    assert "it is coded by 'pickle'" in refused(tmp_path / "a")


def test_what_is_no_matrix_of_zarr_is_refused(tmp_path, X):
    zarr = pytest.importorskip("zarr")
    zarr.create_group(tmp_path / "group").create_array("X", shape=SHAPE, dtype="f8")
    assert "it is a group of zarr, expected the path of one of its arrays" in refused(tmp_path / "group")
    np.testing.assert_array_equal(grid(tmp_path / "group" / "X").values, np.zeros(SHAPE))
    zarr.create_array(tmp_path / "cube", shape=(2, 3, 4), dtype="f8")
    assert "it is an array of shape (2, 3, 4) and type float64, expected a matrix" in refused(tmp_path / "cube")
    zarr.create_array(tmp_path / "words", shape=(2, 3), dtype="U3", zarr_format=2)
    assert "expected a matrix of numbers" in refused(tmp_path / "words")
    (tmp_path / "words" / ".zarray").write_text("{")
    assert ".zarray cannot be read" in refused(tmp_path / "words")
    zarr.create_array(tmp_path / "a", shape=SHAPE, chunks=SHAPE, dtype="f8")[:] = X
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(b"damaged")
    assert "it cannot be read: " in refused(tmp_path / "a")


def frame(X, **more):
    return pd.DataFrame(X, columns=[f"w{j}" for j in range(SHAPE[1])]).assign(**more)


@pytest.fixture
def parquet(tmp_path):
    pytest.importorskip("pyarrow")

    def write(some, groups=4, cut=None):
        path = tmp_path / ("folder" if cut else "a.parquet")
        if not cut:
            some.to_parquet(path, row_group_size=groups)
            return path
        path.mkdir()
        for start, stop in pairwise((0, *cut, len(some))):
            some[start:stop].to_parquet(path / f"{start:03}.parquet", row_group_size=groups)
        return path

    return write


@pytest.mark.parametrize("slab", [1, 20, 2**22])
@pytest.mark.parametrize("cut", [None, (3,), (0, 4, 9)])
@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "?"])
def test_parquet_files(parquet, X, monkeypatch, slab, cut, kind):
    monkeypatch.setattr(module, "SLAB", slab)
    monkeypatch.setattr(module, "_scanned_parquet", lambda path: None)  # which takes half a second
    X = (9 * X).astype(kind)
    found = grid(parquet(frame(X, label="a"), cut=cut), ("label",))
    assert found.columns == [f"w{j}" for j in range(SHAPE[1])]
    assert found.values.dtype == ("f4" if kind == "f4" else "f8")
    for ours, theirs in ((found.values, X), (found.values.T, X.T)):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours[:, 3:6], theirs[:, 3:6])


FIRST = {
    "words": [f"g{i}" for i in range(SHAPE[0])],
    "numbers": [*range(SHAPE[0])],
    "no names": [0.5] * SHAPE[0],
}


@pytest.mark.slow
@pytest.mark.parametrize("index", ["auto", None, "first"])
@pytest.mark.parametrize("first", FIRST)
def test_rows_have_the_names_that_they_have_at_once(parquet, X, index, first):
    table = frame(X, label=[*"abc"] * 3 + [*"ab"], extra="x")
    table.insert(0, "first", FIRST[first])
    path, taken = parquet(table), ("label", *(["first"] if first == "words" and index is None else []))
    layout = Layout(index=index, exclude=("extra",))
    expected = readers.read(path, layout).grid(None, taken)
    found = read_slabs(path, layout, taken)
    ours = found.grid(None, taken)
    assert (ours.rows, ours.columns, ours.notes) == (expected.rows, expected.columns, expected.notes)
    np.testing.assert_array_equal(ours.values, expected.values)
    np.testing.assert_array_equal(found.array("label"), table.label)


@pytest.mark.slow
def test_what_is_no_table_of_numbers_is_refused(parquet, X, tmp_path):
    path = parquet(frame(X, label="a"))
    assert "column 'label' holds" in refused(path)
    assert "dataset.exclude others" in refused(path)
    path.write_bytes(path.read_bytes()[:-9])
    assert "\n" not in refused(path)
    (tmp_path / "empty").mkdir()
    assert "neither a zarr array nor one of .parquet files" in refused(tmp_path / "empty")
    folder = parquet(frame(X), cut=(3,))
    frame(X).rename(columns={"w0": "other"}).to_parquet(folder / "zzz.parquet")
    assert "zzz.parquet has other columns than 000.parquet" in refused(folder)


def test_a_null_is_a_missing_number(parquet, X):
    found = np.asarray(grid(parquet(frame(X).assign(w0=pd.array([None, *range(10)])))).values)
    assert math.isnan(found[0, 0])
    np.testing.assert_array_equal(found[1:, 0], range(10))


def test_an_array_of_numpy_is_mapped(tmp_path, X):
    np.save(tmp_path / "a.npy", X)
    found = read(tmp_path / "a.npy").arrays[DATA]
    np.testing.assert_array_equal(found, X)
    assert isinstance(found.base, np.memmap)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    assert "which is more than it holds" in refused(tmp_path / "a.npy")
