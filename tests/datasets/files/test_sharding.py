"""Any source into shards: the dataset is the same afterwards, and large files are never read as a whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import DATASETS
from nnmf_runner.datasets.files import shard_files, sharding, slabs
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.files.sharding import ends_of, shard
from nnmf_runner.datasets.files.shards import META, Sharded, Shards
from tests.datasets.files.test_readers import WRITERS
from tests.fixtures.tables import COARSE, FINE, WORDS, M, N, write_table

MATRICES = [name for name in WRITERS if ".csv" in name or name.startswith(("a.", "save", "coo", "sparse"))]


def loaded(source, seed=0):
    return source.load(stream(seed, "data"))


def again(folder):
    return loaded(Sharded(str(folder)))


def assert_same(found, expected, *, but_for_layout=False):
    """Two datasets hold the same, of which one may be sparse by columns."""
    if sparse.issparse(expected.X):
        np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    else:
        np.testing.assert_array_equal(found.X, expected.X)
    assert found.fingerprint() == expected.fingerprint() or but_for_layout
    for name in ("feature_names", "class_names", "sample_names", "pictures", "weights"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("labels", "known"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["samples_by_features", "features_by_samples"])
@pytest.mark.parametrize("name", MATRICES)
def test_every_file_gives_what_it_gives_at_once(tmp_path, values, name, orientation):
    WRITERS[name](tmp_path / name, values)
    source = File(path=str(tmp_path / name), orientation=orientation)
    shard(source, tmp_path / "shards", sizes={"columns": 3})
    assert_same(again(tmp_path / "shards"), loaded(source))


@pytest.mark.parametrize("size", [{"shards": 1}, {"shards": 4}, {"columns": 4}, {}])
def test_all_that_is_known_of_the_data_goes_with_them(tmp_path, values, size):
    known = np.array([0, 1, 0, 1, 1, 0], bool)
    np.savez(tmp_path / "a.npz", X=values, fine=FINE, coarse=COARSE, vocab=WORDS, known=known, who=[*"uvwxyz"])
    options = {"labels": ["fine", "coarse"], "names": "vocab", "sample_names": "who", "known": "known"}
    source = File(path=str(tmp_path / "a.npz"), image_shape=[2, 2], **options)
    shard(source, tmp_path / "shards", sizes=size)
    assert_same(again(tmp_path / "shards"), loaded(source))


def write_zarr(path, X):
    chunks = [max(3, side // 20) for side in X.shape]
    pytest.importorskip("zarr").create_array(path, shape=X.shape, chunks=chunks, dtype=X.dtype)[:] = X


def write_parquet_folder(path, X):
    pytest.importorskip("pyarrow")
    path.mkdir()
    table = pd.DataFrame(X, columns=[f"w{j}" for j in range(X.shape[1])])
    table[:4].to_parquet(path / "0.parquet", row_group_size=3)
    table[4:].to_parquet(path / "1.parquet", row_group_size=max(3, len(X) // 10))


STREAMED = {"a.npy": np.save, "a.zarr": write_zarr, "parquet": write_parquet_folder}


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["samples_by_features", "features_by_samples"])
@pytest.mark.parametrize("name", STREAMED)
def test_what_is_read_a_piece_at_a_time_is_what_is_read_at_once(tmp_path, values, name, orientation, monkeypatch):
    header = ",".join(f"w{j}" for j in range(M))  # as those of parquet files have
    np.savetxt(tmp_path / "at_once.csv", values, delimiter=",", header=header, comments="")
    np.save(tmp_path / "at_once.npy", values)
    STREAMED[name](tmp_path / name, values)
    (tmp_path / "labels.txt").write_text("\n".join([*"xyzxyz"][: N if orientation[0] == "s" else M]))
    options = {"orientation": orientation, "labels": ["labels.txt"]}
    at_once = "at_once.csv" if name == "parquet" else "at_once.npy"
    expected = loaded(File(path=str(tmp_path / at_once), **options))
    monkeypatch.setattr(slabs, "SLAB", 5)
    monkeypatch.setattr(shard_files, "BLOCK", 7)
    shard(File(path=str(tmp_path / name), **options), tmp_path / "shards", sizes={"columns": 2})
    assert_same(again(tmp_path / "shards"), expected)


@pytest.mark.parametrize("options", [{"weighting": "tfidf"}, {"stop_words": ["bee"], "names": "words.txt"}])
def test_what_needs_all_of_the_data_at_once_gets_it_from_a_file_alone(tmp_path, values, options):
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    values = np.ceil(values)
    np.save(tmp_path / "a.npy", values)
    source = File(path=str(tmp_path / "a.npy"), **options)
    shard(source, tmp_path / "shards", sizes={"shards": 2})
    assert_same(again(tmp_path / "shards"), loaded(source))
    write_zarr(tmp_path / "a.zarr", values)
    with pytest.raises(InputError, match=r"needs all of the data at once\. Expected a file, not a folder"):
        shard(File(path=str(tmp_path / "a.zarr"), **options), tmp_path / "none")


def write_posts(folder):
    for i, text in enumerate(["orbit moon orbit", "puck ice", "moon shuttle", "ice goal puck"]):
        (folder / ["sci", "rec"][i % 2]).mkdir(parents=True, exist_ok=True)
        (folder / ["sci", "rec"][i % 2] / f"{i}.txt").write_text(text)


def test_texts_and_drawn_data_are_sources_like_others(tmp_path, caplog):
    pytest.importorskip("sklearn")
    write_posts(tmp_path / "posts")
    toy, text = DATASETS["toy"](), DATASETS["text"](path=str(tmp_path / "posts"), min_df=1, max_df=1.0, stop_words=None)
    shard(text, tmp_path / "text", sizes={"shards": 3})
    assert_same(again(tmp_path / "text"), loaded(text), but_for_layout=True)
    assert again(tmp_path / "text").weights["options"] == text.recipe
    with caplog.at_level("INFO"):
        shard(toy, tmp_path / "toy", seed=3)
    assert caplog.messages == ["dataset=toy: the planted factors are not kept in shards."]
    assert_same(again(tmp_path / "toy"), loaded(toy, seed=3))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_shards_can_be_cut_anew(tmp_path, values, form):
    name = "a.npy" if form is np.asarray else "a.npz"
    (np.save if form is np.asarray else sparse.save_npz)(tmp_path / name, form(values))
    first = shard(File(path=str(tmp_path / name)), tmp_path / "first", sizes={"shards": 4})
    second = shard(Sharded(str(tmp_path / "first")), tmp_path / "second", sizes={"columns": 4})
    assert (first.n, second.n, second.ends) == (4, 2, (0, 4, 6))
    assert_same(again(tmp_path / "second"), again(tmp_path / "first"))


def test_the_type_that_is_asked_for_is_stored(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    assert shard(File(path=str(tmp_path / "a.npy")), tmp_path / "single", dtype="float32").dtype == "float32"
    np.testing.assert_array_equal(again(tmp_path / "single").X, values.T.astype("f4"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "orientation"),
    [(name, "samples_by_features") for name in STREAMED]
    + [(name, "features_by_samples") for name in ("a.npy", "a.zarr")],  # parquet files of many columns say much of each
)
def test_no_more_than_a_few_blocks_are_in_the_memory(tmp_path, rng, monkeypatch, name, orientation):
    X = rng.random((40_000, 4) if orientation[0] == "s" else (100, 1600))  # 1.3 MB
    STREAMED[name](tmp_path / name, X)
    monkeypatch.setattr(slabs, "SLAB", 2000)
    monkeypatch.setattr(shard_files, "BLOCK", 2000)
    monkeypatch.setattr(slabs, "_scanned_parquet", lambda path: None)
    source = File(path=str(tmp_path / name), orientation=orientation)
    sizes = {"shards": 2}
    shard(source, tmp_path / "warm", sizes=sizes)  # which imports and keeps what it needs
    tracemalloc.start()
    try:
        shard(source, tmp_path / "shards", sizes=sizes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(again(tmp_path / "shards").X, X.T if orientation[0] == "s" else X)
    assert peak < 0.6 * X.nbytes


def test_usual_shards_take_a_quarter_of_a_gigabyte(monkeypatch, rng):
    monkeypatch.setattr(sharding, "USUAL", 800)
    X = rng.random((10, 97))
    assert len(ends_of(X)) - 1 == 10
    assert len(ends_of(sparse.csc_array(X * (X > 0.9)))) - 1 < 5
    assert ends_of(X[:, :3]) == [0, 3]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"shards": 0}, r"shards=0 is not valid. Expected an integer in \[1, 9\]"),
        ({"shards": 10}, "shards=10 is not valid"),
        ({"columns": 0}, "columns=0 is not valid"),
        ({"columns": 10}, "columns=10 is not valid"),
        ({"shards": 2, "columns": 3}, "shards=2 and columns=3 are both given. Expected one of them"),
    ],
)
def test_shards_that_cannot_be_are_refused(sizes, said):
    with pytest.raises(InputError, match=said):
        ends_of(np.ones((2, 9)), **sizes)


@pytest.mark.parametrize("n", [1, 7, 100])
def test_shards_are_as_many_or_as_long_as_they_are_to_be(n):
    X = np.ones((2, n))
    for count in {1, n, max(1, n // 3)}:
        ends, by_columns = ends_of(X, shards=count), ends_of(X, columns=count)
        assert (len(ends), ends[0], ends[-1], by_columns[-1]) == (count + 1, 0, n, n)
        assert np.ptp(np.diff(ends)) <= 1
        assert {*np.diff(by_columns)[:-1]} <= {count}
        assert 0 < np.diff(by_columns)[-1] <= count


def test_what_shards_cannot_hold_is_refused_and_leaves_nothing(tmp_path, values):
    np.save(tmp_path / "tensor.npy", np.ones((2, 3, 4)))
    np.save(tmp_path / "negative.npy", values - 9)
    np.save(tmp_path / "missing.npy", np.where(values > 0.5, np.nan, values))
    np.savez(tmp_path / "tensor.npz", X=np.ones((2, 3, 4)))
    before = sorted(tmp_path.iterdir())
    for name, said in (
        ("tensor.npz", "dataset=file gives a tensor. Expected a matrix, of which shards are columns"),
        ("negative.npy", "has a negative entry, -9"),
        ("missing.npy", "NaN or infinite, expected finite numbers"),
        ("nothing.npy", "does not exist"),
    ):
        with pytest.raises(InputError, match=said):
            shard(File(path=str(tmp_path / name)), tmp_path / "shards")
    with pytest.raises(InputError, match="tensor"):
        shard(File(path=str(tmp_path / "tensor.npy")), tmp_path / "shards")
    assert sorted(tmp_path.iterdir()) == before


def test_a_chunk_that_is_damaged_is_told_and_leaves_nothing(tmp_path, values):
    write_zarr(tmp_path / "a.zarr", values)
    (tmp_path / "a.zarr" / "c" / "1" / "1").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"^dataset.path=.*a.zarr: it cannot be read: .*\.$"):
        shard(File(path=str(tmp_path / "a.zarr")), tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_another_folder_is_refused_before_anything_is_read(tmp_path, values, monkeypatch):
    write_table(tmp_path / "a.csv", values)
    shard(File(path=str(tmp_path / "a.csv")), tmp_path / "shards")
    assert (tmp_path / "shards" / META).exists()
    assert Shards.open(tmp_path / "shards").names == WORDS
    monkeypatch.setattr(File, "load", lambda *arguments: pytest.fail("it has been read"))
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="other exists and holds something else"):
        shard(File(path=str(tmp_path / "a.csv")), tmp_path / "other")
