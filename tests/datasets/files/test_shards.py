"""Folders of shards: any cut gives back the data, nothing is left of what fails, and damage is noticed."""

from __future__ import annotations

import json
import math
import shutil
import weakref
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import readers
from nnmf_runner.datasets.files import shards as module
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.files.shard_files import file_digest
from nnmf_runner.datasets.files.shards import META, Sharded, Shards, write_meta, write_shards
from nnmf_runner.datasets.pictures import Pictures

M, N = 5, 12
LABELS = [np.arange(N) % 3, np.arange(N) % 2 - 1]
CLASSES = [["x", "y", "z"], ["one"]]
NAMES = [*"abcde"]
KNOWN = np.arange(N) % 4 == 0
SAMPLES = [f"sample {i}" for i in range(N)]
FORMS = {"dense": np.asarray, "sparse": sparse.csr_array}


@pytest.fixture
def X(rng):
    return rng.random((M, N)) * (rng.random((M, N)) < 0.5) + np.eye(M, N)


def cut(X, ends):
    return (X[:, start:stop] for start, stop in pairwise(ends))


def written(folder, X, ends=(0, 4, N), **known):
    return write_shards(folder, X.shape, cut(X, ends), **known)


def dense(X):
    return X.toarray() if sparse.issparse(X) else X


@settings(max_examples=40, deadline=None)
@given(
    some.sets(some.integers(1, N - 1)),
    some.sampled_from([*FORMS]),
    some.sampled_from(["f4", "f8"]),
    some.integers(0, 9),
)
def test_any_cut_gives_back_the_data(tmp_path_factory, inner, form, kind, seed):
    rng = np.random.default_rng(seed)
    values = (rng.random((M, N)) * (rng.random((M, N)) < 0.3) + np.eye(M, N)).astype(kind)
    X, ends = FORMS[form](values), (0, *sorted(inner), N)
    known = {"labels": LABELS, "class_names": CLASSES, "names": NAMES, "known": KNOWN, "sample_names": SAMPLES}
    found = written(tmp_path_factory.mktemp("cut") / "shards", X, ends, **known)
    assert (found.shape, found.ends, found.n, found.dtype) == ((M, N), ends, len(ends) - 1, X.dtype)
    for i, (start, stop) in enumerate(pairwise(ends)):
        part = found.part(i)
        assert (sparse.issparse(part), part.dtype) == (form == "sparse", X.dtype)
        np.testing.assert_array_equal(dense(part), values[:, start:stop])
        np.testing.assert_array_equal(found.labels(i), np.array(LABELS)[:, start:stop])
    exact = sum(Fraction(float(value)) ** 2 for value in values.flat)
    assert math.isclose(found.norm2, exact, rel_tol=1e-14)
    dataset = found.dataset("shards", found.whole())
    np.testing.assert_array_equal(dense(dataset.X), values)
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(dataset.known, KNOWN)
    assert (dataset.feature_names, dataset.class_names, dataset.sample_names) == (NAMES, CLASSES, SAMPLES)


def test_what_is_not_known_is_none(tmp_path, X):
    dataset = written(tmp_path / "a", X).dataset("shards", X)
    assert (dataset.labels, dataset.class_names) == ([], [])
    assert {dataset.feature_names, dataset.known, dataset.sample_names, dataset.pictures} == {None}
    pictures = Pictures(1, M)
    assert written(tmp_path / "b", X, pictures=pictures).dataset("shards", X).pictures == pictures


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize("form", FORMS)
def test_parts_stay_in_their_files(tmp_path, X, form):
    part = written(tmp_path / "a", FORMS[form](X)).part(1)
    arrays = [part] if form == "dense" else [part.data, part.indices, part.indptr]
    assert all(is_mapped(array) and not array.flags.writeable for array in arrays)


@pytest.mark.parametrize("mapped", [0, 2**27])
@pytest.mark.parametrize("ends", [(0, N), (0, 1, 5, N)])
@pytest.mark.parametrize("form", FORMS)
def test_the_dataset_is_that_of_a_file_of_the_same_matrix(tmp_path, X, form, ends, mapped, monkeypatch):
    monkeypatch.setattr(readers, "MAPPED", mapped)
    if form == "dense":
        np.save(tmp_path / "a.npy", X.T)
    else:
        sparse.save_npz(tmp_path / "a.npz", sparse.csr_array(X.T))
    file = File(path=str(next(tmp_path.glob("a.np?")))).load(np.random.default_rng(0))
    written(tmp_path / "shards", FORMS[form](X), ends)
    found = Sharded(str(tmp_path / "shards")).load(np.random.default_rng(0))
    assert found.fingerprint() == file.fingerprint()
    assert is_mapped(found.X) == (form == "dense" and len(ends) == 2 and not mapped)


def test_what_a_folder_holds_is_its_identity_and_not_where_it_stands(tmp_path, X, monkeypatch):
    written(tmp_path / "a", X, labels=LABELS, class_names=CLASSES)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    written(tmp_path / "c", X, labels=[LABELS[0][::-1], LABELS[1]], class_names=CLASSES)
    written(tmp_path / "d", X + 1e-9, labels=LABELS, class_names=CLASSES)
    found = [json.dumps(Sharded(str(tmp_path / name)).identity()) for name in "abcd"]
    assert found[0] == found[1]
    assert len({*found}) == 3
    monkeypatch.chdir(tmp_path)
    assert Sharded("a").portable()["path"] == str(tmp_path / "a")
    assert Sharded("a").title == "a"


@pytest.mark.parametrize("kind", ["f4", "i2", bool, "f2"])
def test_single_precision_stays_and_all_else_becomes_doubles_unless_it_is_said(tmp_path, X, kind):
    values = (9 * X).astype(kind)
    usual = "float32" if kind == "f4" else "float64"
    for form in ("dense", *(["sparse"] if kind != "f2" else [])):
        for dtype in (None, "float32", "float64"):
            found = written(tmp_path / f"{form}-{dtype}", FORMS[form](values), dtype=dtype)
            assert found.dtype == (dtype or usual)
            np.testing.assert_array_equal(dense(found.whole()), values.astype(dtype or usual))


def test_entries_that_are_zero_or_stand_twice_are_stored_once_and_what_is_given_stays_as_it_is(tmp_path):
    matrix = sparse.csc_array(([1.0, 2.0, 0.0, 3.0], [1, 1, 0, 0], [0, 3, 4]), shape=(2, 2))
    found = write_shards(tmp_path / "a", (2, 2), [matrix]).part(0)
    assert (found.nnz, matrix.nnz) == (2, 4)
    np.testing.assert_array_equal(found.toarray(), [[0, 3], [3, 0]])
    matrix = sparse.csc_array(([0.0, 2.0, 3.0], [0, 1, 0], [0, 2, 3]), shape=(2, 2))
    assert write_shards(tmp_path / "b", (2, 2), [matrix]).part(0).nnz == 2
    np.testing.assert_array_equal(matrix.data, [0, 2, 3])


@pytest.mark.parametrize("form", FORMS)
def test_one_part_at_a_time_is_alive(tmp_path, X, form):
    alive = []

    def parts():
        for start in range(N):
            assert [each for each in alive if each() is not None] == []
            part = FORMS[form](X[:, start : start + 1].copy())
            alive.append(weakref.ref(part))
            yield part
            del part

    assert write_shards(tmp_path / "a", X.shape, parts()).n == len(alive) == N


BAD = {
    "negative": (lambda X: [X - 1.5], "X, samples 0 to 11, has a negative entry, -1.5. Expected nonnegative"),
    "negative later": (lambda X: [X[:, :4], X[:, 4:] - 1.5], "X, samples 4 to 11, has a negative entry"),
    "NaN": (lambda X: [np.where(X.max() == X, np.nan, X)], "has 1 entries that are NaN or infinite"),
    "infinite": (lambda X: [np.where(X.max() == X, np.inf, X)], "has 1 entries that are NaN or infinite"),
    "too large": (lambda X: [X * 1e100], "as its largest entry, too far from 1"),
    "zeros": (lambda X: [X * 0], "X holds only zeros"),
    "too few": (lambda X: [X[:, :4]], "shards of 4 columns and 1 types are no matrix of shape (5, 12)"),
    "too many": (lambda X: [X, X], "shard 1 has shape (5, 12), expected parts"),
    "other features": (lambda X: [X[1:]], "shard 0 has shape (4, 12)"),
    "two types": (lambda X: [X[:, :4], X[:, 4:].astype("f4")], "12 columns and 2 types"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(tmp_path, X, name, form):
    parts, said = BAD[name]
    with pytest.raises(InputError) as error:
        write_shards(tmp_path / "below" / "a", X.shape, (FORMS[form](part) for part in parts(X)))
    assert said in str(error.value)
    assert [*tmp_path.iterdir()] == []


def test_shards_of_two_forms_are_refused(tmp_path, X):
    with pytest.raises(InputError, match="shards of 12 columns and 2 types are no matrix"):
        write_shards(tmp_path / "a", X.shape, [X[:, :4], sparse.csc_array(X[:, 4:])])


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_leaves_nothing_and_is_named(tmp_path, X, form, full_disk):
    with full_disk(), pytest.raises(OSError, match="too large") as failed:
        written(tmp_path / "a", FORMS[form](X))
    assert failed.value.filename == str(tmp_path / "a")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_there_has_to_hold_the_same(tmp_path, X):
    first = written(tmp_path / "a", X)
    assert written(tmp_path / "a", X) == first
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    for name, values in (("a", 2 * X), ("other", X), ("file", X)):
        with pytest.raises(InputError, match=f"{name} exists and holds something else. Expected a new folder."):
            written(tmp_path / name, values)
    assert Shards.open(tmp_path / "a") == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file", "other"]


def forged(folder, name, array=None, **meta):
    """Another array, or other facts, with the hashes that go with them, as no accident leaves them."""
    found = json.loads((folder / META).read_text()) | meta
    if array is not None:
        np.save(folder / name, array)
        found["files"][name] = [(folder / name).stat().st_size, file_digest(folder / name)]
    write_meta(folder, found)


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


ROWS = np.ones((8, M))
META_SAID = f"{META} is not of this format. Expected a folder that nnmf-shards has written"
DAMAGED = {
    "no shard": (lambda path: (path / "00001.npy").unlink(), "00001.npy is missing"),
    "no labels": (lambda path: (path / "00000.labels.npy").unlink(), "00000.labels.npy is missing"),
    "cut short": (lambda path: (path / "00001.npy").write_bytes(b"x"), "00001.npy has 1 bytes, expected 448"),
    "changed": (lambda path: flip(path / "00001.npy"), "00001.npy is damaged: its content is not that of its hash"),
    "changed labels": (lambda path: flip(path / "00000.labels.npy"), "00000.labels.npy is damaged"),
    "no list": (lambda path: (path / META).unlink(), f"it holds no {META}. Expected a folder that nnmf-shards"),
    "no JSON": (lambda path: (path / META).write_text("{"), f"{META} cannot be read: "),
    "another JSON": (lambda path: (path / META).write_text("[]"), META_SAID),
    "changed list": (
        lambda path: (path / META).write_text((path / META).read_text().replace('"norm2": ', '"norm2": 1')),
        f"{META} is damaged: its content is not that of its hash",
    ),
    "negative": (lambda path: forged(path, "00001.npy", -ROWS), "X, samples 4 to 11, has a negative entry"),
    "NaN": (lambda path: forged(path, "00001.npy", ROWS * np.nan), "40 entries that are NaN or infinite"),
    "another shape": (lambda path: forged(path, "00001.npy", ROWS.T), "a shard has shape (5, 8), expected (8, 5)"),
    "another type": (lambda path: forged(path, "00001.npy", ROWS.astype("i8")), "00001.npy is of type int64"),
    "objects": (lambda path: forged(path, "00001.npy", ROWS.astype(object)), "pickled object, which is not read"),
    "labels of no class": (
        lambda path: forged(path, "00001.labels.npy", np.full((2, 8), 7)),
        "00001.labels.npy has a label of no class",
    ),
    "labels of no sample": (
        lambda path: forged(path, "00001.labels.npy", np.zeros((2, 7), int)),
        "00001.labels.npy is not of one integer for every level and sample",
    ),
    "known of no sample": (lambda path: forged(path, "00001.known.npy", np.zeros(8)), "has not one entry of its kind"),
    "another form": (lambda path: forged(path, "", format="coo"), META_SAID),
    "ends that fall": (lambda path: forged(path, "", columns=[0, 8, 4, 12]), META_SAID),
    "ends elsewhere": (lambda path: forged(path, "", columns=[0, 4, 11]), META_SAID),
    "ends of no integers": (lambda path: forged(path, "", columns=[0, 4.0, 12]), META_SAID),
    "names of other features": (lambda path: forged(path, "", names=["a"]), META_SAID),
    "names of no text": (lambda path: forged(path, "", names=[1, 2, 3, 4, 5]), META_SAID),
    "weights of other features": (
        lambda path: forged(path, "", weights={"options": {}, "idf": [1.0]}),
        META_SAID,
    ),
    "another place": (lambda path: forged(path, "", files={"../a.npy": [1, ""]}), META_SAID),
    "a norm of nothing": (lambda path: forged(path, "", norm2=math.nan), META_SAID),
    "pictures of others": (lambda path: forged(path, "", pictures={"height": 2, "width": 2}), META_SAID),
    "pictures of nothing": (lambda path: forged(path, "", pictures={"height": 1, "width": M, "of": "x"}), META_SAID),
    "halves of pixels": (lambda path: forged(path, "", pictures={"height": 0.5, "width": 2 * M}), META_SAID),
    "a norm beyond doubles": (lambda path: forged(path, "", norm2=10**400), META_SAID),
    "more features than can be": (lambda path: forged(path, "", shape=[10**30, N], names=None), META_SAID),
    "no matrix": (lambda path: forged(path, "", files={}), f"{META} does not tell of 00000.npy"),
    "more shards": (lambda path: forged(path, "", columns=[0, 4, 8, 12]), "a shard has shape (8, 5), expected (4, 5)"),
}


def load(path):
    return Sharded(str(path)).load(np.random.default_rng(0))


def refused(path):
    with pytest.raises(InputError) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"dataset.path={path}")
    assert str(error.value).count("dataset.path=") == 1
    return str(error.value)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_said_in_one_line(tmp_path, X, name):
    damage, said = DAMAGED[name]
    written(tmp_path / "a", X, labels=LABELS, class_names=CLASSES, names=NAMES, known=KNOWN)
    damage(tmp_path / "a")
    assert said in refused(tmp_path / "a")


DATA, INDICES, INDPTR = (f"00000{part}.npy" for part in (".data", ".indices", ".indptr"))
DAMAGED_SPARSE = {
    "not sorted": (INDICES, [1, 0, 2], "indices that are not sorted"),
    "twice": (INDICES, [1, 1, 2], "indices that are not sorted"),
    "too large": (INDICES, [0, 1, M], "indices out of range, expected 0 to 4"),
    "negative": (INDICES, [-1, 1, 2], "indices out of range, expected 0 to 4"),
    "floats": (INDICES, [0.0, 1.0, 2.0], "indices that are no integers"),
    "too few": (INDICES, [0, 1], "indices of another number than entries"),
    "falling": (INDPTR, [0, 3, 2, 3], "indices out of range"),
    "of other samples": (INDPTR, [0, 3], "indices that are no integers or not of its shape"),
    "past the end": (INDPTR, [0, 2, 2, 4], "indices of another number than entries"),
    "negative entry": (DATA, [1.0, -2.0, 3.0], "X, samples 0 to 2, has a negative entry, -2"),
    "infinite entry": (DATA, [1.0, np.inf, 3.0], "NaN or infinite"),
    "entries in rows": (DATA, [[1.0, 2.0, 3.0]], "indices of another number than entries"),
}


@pytest.mark.parametrize("name", DAMAGED_SPARSE)
def test_no_index_is_followed_that_leads_out_of_its_matrix(tmp_path, name):
    X = sparse.csc_array(([1.0, 2.0, 3.0], [0, 1, 2], [0, 2, 2, 3]), shape=(M, 3))
    written(tmp_path / "a", X, (0, 3))
    file, array, said = DAMAGED_SPARSE[name]
    forged(tmp_path / "a", file, np.array(array))
    assert said in refused(tmp_path / "a")


def test_what_has_been_changed_since_it_was_read_is_noticed(tmp_path, X):
    written(tmp_path / "a", X)
    first = load(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    written(tmp_path / "a", 2 * X)
    np.testing.assert_array_equal(load(tmp_path / "a").X, 2 * first.X)


def test_a_path_that_is_no_folder_of_shards_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert f"it holds no {META}" in refused(tmp_path)
    assert f"it holds no {META}" in refused(tmp_path / "file")
    assert "does not exist. Expected a folder that nnmf-shards has written" in refused(tmp_path / "nothing")


def test_more_than_the_memory_is_not_put_together(tmp_path, X, monkeypatch):
    for name, ends in (("several", (0, 4, N)), ("one", (0, N))):
        written(tmp_path / name, X, ends)
    monkeypatch.setattr(module, "MEMORY", 100)
    monkeypatch.setattr(readers, "MAPPED", 100)
    assert "do not fit into memory. Expected engine=dask" in refused(tmp_path / "several")
    np.testing.assert_array_equal(load(tmp_path / "one").X, X)  # which stays in its file


def test_names_cannot_steer_a_terminal(tmp_path, X):
    found = written(tmp_path / "a", X, names=["a\x1b[2J", *"bcde"], sample_names=["s\n", *SAMPLES[1:]])
    dataset = found.dataset("shards", None)
    assert (dataset.feature_names[0], dataset.sample_names[0]) == ("a [2J", "s")


def test_what_it_is_can_be_read(tmp_path, X):
    assert str(written(tmp_path / "a", X)).startswith("5 features of 12 samples, dense in float64, in 2 shards of ")
    assert "sparse in float64, in one shard of" in str(written(tmp_path / "b", sparse.csr_array(X), (0, N)))
