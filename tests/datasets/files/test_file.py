"""Files of the user's own: labels, names, known samples, their identity, and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import io, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.file import File
from nnmf_runner.datasets.modes import Modes, unfolded
from nnmf_runner.datasets.pictures import SAMPLES, Pictures
from tests.fixtures.tables import COARSE, FINE, WORDS, M, N, load, write_table


def save_npz_with_labels(path, X):
    np.savez(path, X=X, fine=FINE, coarse=COARSE, names=WORDS)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, bool])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_numbers_of_every_type_become_doubles_of_the_same_value(tmp_path, values, kind, form):
    given = form((values * 3).astype(kind))
    if sparse.issparse(given):
        sparse.save_npz(tmp_path / "a.npz", given)
    else:
        np.savez(tmp_path / "a.npz", X=given)
    X = load(tmp_path / "a.npz").X
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else X, (values * 3).astype(kind).T)


@pytest.mark.parametrize(("kind", "expected"), [(np.int8, 200.0), (np.uint8, 200.0), (np.float32, 200.0), (bool, 2.0)])
def test_entries_stored_twice_are_added_up_without_overflow(tmp_path, kind, expected):
    data = np.array([100, 100, 1]).astype(kind)
    for form in (sparse.coo_array((data, ([0, 0, 1], [0, 0, 1]))), sparse.csr_array((data, [0, 0, 1], [0, 2, 3]))):
        sparse.save_npz(tmp_path / "a.npz", form)
        np.testing.assert_array_equal(load(tmp_path / "a.npz").X.toarray(), [[expected, 0.0], [0.0, 1.0]])


def test_equal_sparse_data_have_one_fingerprint_however_they_are_stored(tmp_path, values):
    rows, columns = np.nonzero(values)
    half = values[rows, columns] / 2
    twice = sparse.coo_array((np.tile(half, 2), (np.tile(rows, 2), np.tile(columns, 2))), shape=values.shape)
    with_zero = sparse.csr_array(values + 9 * (values == 0))
    with_zero.data[with_zero.data == 9] = 0.0
    found = []
    for i, matrix in enumerate((sparse.csr_array(values), twice, with_zero)):
        sparse.save_npz(tmp_path / f"{i}.npz", matrix)
        found.append(load(tmp_path / f"{i}.npz").fingerprint())
    assert len(set(found)) == 1


@pytest.mark.parametrize("name", ["a.npz", "a.mat", "a.csv"])
def test_labels_of_any_type_become_indices_in_sorted_order(tmp_path, values, name):
    path = tmp_path / name
    if name == "a.npz":
        save_npz_with_labels(path, values)
    elif name == "a.mat":
        cells = np.array([*COARSE, None], dtype=object)[:-1]
        io.savemat(path, {"X": values, "fine": FINE, "coarse": cells, "names": np.array(WORDS, dtype=object)})
    else:
        write_table(path, values, sample=[f"s{i}" for i in range(N)], fine=FINE, coarse=COARSE)
    dataset = load(path, labels=["fine", "coarse"])
    np.testing.assert_array_equal(dataset.labels[0], [2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(dataset.labels[1], [1, 0, 0, 1, 0, 0])
    assert dataset.feature_names == WORDS
    assert dataset.X.shape == (M, N)


@pytest.mark.parametrize(
    "given", [[10.0, 9.0, 10.0, 9.0, 10.0, 9.0], ["10", "9"] * 3, [True, False] * 3, [b"b", b"a"] * 3, [7, -7] * 3]
)
def test_numbers_are_sorted_as_numbers_even_where_they_are_text(tmp_path, values, given):
    np.savez(tmp_path / "a.npz", X=values, y=given)
    np.testing.assert_array_equal(load(tmp_path / "a.npz", labels=["y"]).labels[0], [1, 0] * 3)


def test_pictures_are_those_of_the_options_and_are_checked_before_the_file_is_read(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    assert load(tmp_path / "a.npy").pictures is None
    assert load(tmp_path / "a.npy", image_shape=[1, M]).pictures == Pictures(1, M)
    cube = load(tmp_path / "a.npy", image_shape=[M, 2, N // 2], image_order="columns")
    assert cube.pictures == Pictures(2, N // 2, "columns", SAMPLES)
    with pytest.raises(InputError, match=r"dataset.image_shape=\[2,3\] .*orientation"):
        load(tmp_path / "a.npy", image_shape=[2, N // 2])
    with pytest.raises(InputError, match=r"dataset.image_shape\[0\]=0"):
        File(path="missing.npy", image_shape=[0, 4])


def test_names_are_an_option_and_are_not_taken_where_their_number_does_not_fit(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values, names=[f"s{i}" for i in range(N)], vocab=WORDS, other=WORDS[::-1])
    assert load(tmp_path / "a.npz").feature_names == WORDS
    assert load(tmp_path / "a.npz", names="other").feature_names == WORDS[::-1]
    with pytest.raises(InputError, match="names has 6 names, expected 4"):
        load(tmp_path / "a.npz", names="names")


def test_a_table_of_features_by_samples_has_their_names_in_its_first_column(tmp_path, values):
    write_table(tmp_path / "a.csv", values, gene=[f"g{i}" for i in range(N)])
    dataset = load(tmp_path / "a.csv", orientation="features_by_samples")
    assert dataset.feature_names == [f"g{i}" for i in range(N)]
    np.testing.assert_array_equal(dataset.X, values)


def test_empty_cells_and_nan_are_missing_entries(tmp_path):
    (tmp_path / "a.csv").write_text('a,"b, c"\n1,\nnan,2.5\n\n')
    dataset = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(dataset.X, [[1.0, np.nan], [np.nan, 2.5]])
    assert dataset.feature_names == ["a", "b, c"]


FLAGS = [False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "given", "base"),
    [
        ("a.npz", [1, 4, 5], None),
        ("a.mat", [2, 5, 6], None),
        ("a.npz", [2, 5, 6], 1),
        ("a.mat", [5, 1, 4], 0),
        ("a.npz", FLAGS, None),
        ("a.mat", FLAGS, None),
        ("a.mat", [0, 1, 0, 0, 1, 1], None),
        ("a.npz", ["false", "TRUE", "False", "False", "True", "True"], None),
    ],
)
def test_known_samples_are_indices_or_booleans(tmp_path, values, name, given, base):
    save = io.savemat if name == "a.mat" else lambda path, arrays: np.savez(path, **arrays)
    save(tmp_path / name, {"X": values, "seen": given})
    np.testing.assert_array_equal(load(tmp_path / name, known="seen", known_base=base).known, FLAGS)


@pytest.mark.parametrize("base", [-1, 2, 0.5])
def test_known_samples_are_counted_from_zero_or_one(base):
    with pytest.raises(InputError, match=rf"dataset\.known_base={base} is not valid"):
        File(known="seen", known_base=base)


def test_a_base_of_indices_is_refused_where_there_are_none():
    with pytest.raises(InputError, match=r"^dataset\.known_base=1 changes nothing without dataset\.known\."):
        File(known_base=1)


def test_known_samples_are_a_column_of_a_table(tmp_path, values):
    write_table(tmp_path / "a.csv", values, fine=FINE, seen=FLAGS)
    dataset = load(tmp_path / "a.csv", labels=["fine"], known="seen")
    np.testing.assert_array_equal(dataset.known, FLAGS)
    assert dataset.feature_names == WORDS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.npz", "a.mat", "a.parquet", "a.h5ad"])
@pytest.mark.parametrize("missing", ["nothing", "-1", "word"])
def test_some_labels_may_be_missing_in_every_reader(tmp_path, values, caplog, name, missing):
    fine = {"nothing": [3, None, 2, 3, None, 2], "-1": [3, -1, 2, 3, -1, 2], "word": [*"c", None, *"bc", None, "b"]}[
        missing
    ]
    frame = pd.DataFrame(values, columns=WORDS)
    if name in ("a.npz", "a.mat"):
        words = np.array(["" if label is None else label for label in fine])
        y = np.array(fine, float) if missing == "nothing" else words
        save = np.savez if name == "a.npz" else lambda path, **arrays: io.savemat(path, arrays)
        save(tmp_path / name, X=values, fine=y)
    elif name == "a.h5ad":
        anndata = pytest.importorskip("anndata")
        obs = pd.DataFrame({"fine": pd.Categorical(fine)}, index=[*"uvwxyz"])
        anndata.AnnData(values, obs, pd.DataFrame(index=WORDS)).write_h5ad(tmp_path / name)
    elif name == "a.parquet":
        pytest.importorskip("pyarrow")
        frame.assign(fine=fine).to_parquet(tmp_path / name)
    else:
        frame.assign(fine=fine).to_csv(tmp_path / name, index=False, sep="\t" if name == "a.tsv" else ",")
    with caplog.at_level(logging.INFO):
        dataset = load(tmp_path / name, labels=["fine"])
    np.testing.assert_array_equal(dataset.labels, [[1, -1, 0, 1, -1, 0]])
    assert dataset.class_names == [["b", "c"] if missing == "word" else ["2", "3"]]
    assert "fine has no label for 2 of 6 samples." in caplog.text


def test_labels_that_no_two_samples_share_are_named(tmp_path, values, caplog):
    pd.DataFrame(values, columns=WORDS).assign(same=[*"aabbcc"], own=[*"abcd", "", "f"]).to_csv(
        tmp_path / "a.csv", index=False
    )
    with caplog.at_level(logging.INFO):
        load(tmp_path / "a.csv", labels=["same", "own"])
    assert "own has a class of its own for every sample that has a label." in caplog.text
    assert "same has" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_a_cube_of_bands_and_a_map_of_its_classes(tmp_path, rng, order):
    cube, truth = rng.random((2, 3, 4)), np.array([[0, 1, 2], [-1, 1, 0]])  # height, width, bands
    io.savemat(tmp_path / "a.mat", {"cube": cube, "truth": truth})
    dataset = load(tmp_path / "a.mat", x="cube", labels=["truth"], image_shape=[4, 2, 3], image_order=order)
    np.testing.assert_array_equal(dataset.pictures.unflatten(dataset.X), np.moveaxis(cube, -1, 0))
    np.testing.assert_array_equal(dataset.pictures.unflatten(dataset.labels[0]), truth)
    assert load(tmp_path / "a.mat", x="cube").modes.shape == (3, 4, 2)  # a tensor unless pictures are asked for


def test_counts_may_be_weighed_and_words_left_out(tmp_path, rng):
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfTransformer

    counts = rng.integers(0, 3, (N, M))
    (tmp_path / "stop.txt").write_text("bee  # no cat\n")
    expected = TfidfTransformer().fit_transform(counts[:, [0, 2, 3]]).toarray().T
    for matrix in (counts, sparse.csr_array(counts)):
        save = np.savez if matrix is counts else sparse.save_npz
        save(tmp_path / "a.npz", **({"X": matrix} if matrix is counts else {"matrix": matrix}))
        (tmp_path / "words").write_text("\n".join(WORDS))
        for stop_words in (["bee"], str(tmp_path / "stop.txt")):
            dataset = load(tmp_path / "a.npz", names="words", weighting="tfidf", stop_words=stop_words)
            X = dataset.X.toarray() if sparse.issparse(dataset.X) else dataset.X
            np.testing.assert_allclose(X, expected, rtol=1e-14)
            assert dataset.feature_names == ["ape", "cat", "dog"]
    with pytest.raises(InputError, match=r"dataset.stop_words needs the features' names"):
        load(tmp_path / "a.npz", stop_words=["bee"])
    np.savez(tmp_path / "b.npz", X=counts + 0.5)
    with pytest.raises(InputError, match=r"b.npz: X holds .* weights are made of counts"):
        load(tmp_path / "b.npz", weighting="tfidf")
    with pytest.raises(InputError, match=r"dataset.norm=l1 changes nothing without a weighting"):
        File(norm="l1")


def test_identity_follows_the_content_and_not_the_place(tmp_path, values):
    first, second, other = (tmp_path / name for name in ("a.npy", "b.npy", "c.npy"))
    for path, array in ((first, values), (second, values), (other, values + 1)):
        np.save(path, array)
    identity = File(path=str(first)).identity()
    assert File(path=str(second)).identity() == identity
    assert File(path=str(other)).identity() != identity
    assert File(path=str(first), orientation="features_by_samples").identity() != identity


def test_zero_features_and_samples_stay_and_are_named(tmp_path, values, caplog):
    values[2], values[:, 1] = 0.0, 0.0
    np.save(tmp_path / "a.npy", values)
    io.mmwrite(tmp_path / "sparse.mtx", sparse.coo_array(values))
    for name in ("a.npy", "sparse.mtx"):
        with caplog.at_level(logging.INFO):
            assert load(tmp_path / name).X.shape == (M, N)
        zero = [int((values == 0).all(axis=axis).sum()) for axis in (0, 1)]
        assert f"all zeros are {zero[0]} of 4 features (1) and {zero[1]} of 6 samples (2)." in caplog.text
        caplog.clear()


def test_samples_without_any_entry_and_names_that_stand_twice_are_named(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("id,a,b\nx,1,2\ny,3,\n,,\n")  # with a last row as spreadsheets export them
    (tmp_path / "names").write_text("same\nsame\n")
    with caplog.at_level(logging.INFO):
        assert load(tmp_path / "a.csv", names="names").X.shape == (2, 3)
    assert "missing are 0 of 2 features and 1 of 3 samples (2)." in caplog.text
    assert "1 features have a name that another one has before them." in caplog.text


@pytest.mark.parametrize(
    ("features", "said"), [(7, "5 of 7 features (c, d, e, f, g)"), (9, "7 of 9 features (c, d, e, f, g, ...)")]
)
def test_the_first_features_of_zeros_are_named(tmp_path, caplog, features, said):
    np.savez(tmp_path / "a.npz", X=np.eye(2, features), names=[*"abcdefghi"][:features])
    with caplog.at_level(logging.INFO):
        load(tmp_path / "a.npz")
    assert f"all zeros are {said} and 0 of 2 samples." in caplog.text


def test_sparse_indices_out_of_bounds_are_refused_before_they_are_followed(tmp_path):
    np.savez(tmp_path / "a.npz", data=[1.0, 2.0], indices=[0, 10**6], indptr=[0, 1, 2], shape=[2, 2])
    with pytest.raises(InputError, match=r"a\.npz"):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_damaged_sparse_matrices_of_every_form_are_refused_as_data_and_as_labels(tmp_path, values, form):
    data = np.ones((2, 1, 1)) if form == "bsr" else np.ones(2)
    np.savez(tmp_path / "a.npz", format=form, shape=(2, 2), data=data, indices=[0, 10**6], indptr=[0, 1, 2])
    with pytest.raises(InputError, match="X is a damaged sparse matrix"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", X=values, y_data=[1.0], y_indices=[10**6], y_indptr=[0, 1], y_shape=[1, N])
    with pytest.raises(InputError, match="y is a damaged sparse matrix"):
        load(tmp_path / "b.npz", labels=["y"])


@pytest.mark.parametrize("orientation", ["samples_by_features", "features_by_samples"])
def test_sparse_matrices_of_impossible_sides_are_refused(tmp_path, orientation):
    (tmp_path / "a.mtx").write_text(f"%%MatrixMarket matrix coordinate real general\n{2**62} 3 1\n1 1 1\n")
    with pytest.raises(InputError, match="expected sides of at most 2147483647"):
        load(tmp_path / "a.mtx", orientation=orientation)


def test_labels_that_doubles_cannot_tell_apart_stay_apart(tmp_path, values):
    np.savez(
        tmp_path / "a.npz", X=values, y=2**60 + np.array([0, 1, 2] * 2), words=[f"{2**60 + i % 2}" for i in range(N)]
    )
    dataset = load(tmp_path / "a.npz", labels=["y", "words"])
    np.testing.assert_array_equal(dataset.labels, [[0, 1, 2] * 2, [0, 1] * 3])


def test_names_are_of_one_line_and_steer_no_terminal(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values, names=["a\nb", "\x1b[31mred", "\ud800", "näme $x"])
    assert load(tmp_path / "a.npz").feature_names == ["a b", "[31mred", "(no name)", "näme $x"]


@pytest.fixture
def tensor(rng):
    array = np.round(rng.random((2, 3, 4)) * (rng.random((2, 3, 4)) < 0.5), 3)
    array[:, 0, 0] = 1.0, 2.0
    return array


def test_a_tensor_with_names_of_its_modes_and_entries_and_labels(tmp_path, tensor, caplog):
    np.savez(tmp_path / "a.npz", X=tensor, kind=["b", "a", "b"], letters=[*"klm"])
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    options = {"mode_names": ["day", "person", "word"], "entries": ["null", "letters", "words.txt"]}
    with caplog.at_level(logging.INFO):
        dataset = load(tmp_path / "a.npz", x="X", sample_mode=1, labels=["kind"], **options)
    np.testing.assert_array_equal(dataset.X, unfolded(tensor, 1))
    assert dataset.X.flags.c_contiguous
    assert dataset.modes == Modes((2, 4, 3), ("day", "word", "person"), (None, WORDS, [*"klm"]))
    assert dataset.sample_names == [*"klm"]
    assert dataset.feature_names is None
    assert dataset.labels[0].tolist() == [1, 0, 1]
    assert "mode 0" not in caplog.text


def test_the_first_mode_is_that_of_the_samples_by_default(tmp_path, tensor, caplog):
    np.save(tmp_path / "a.npy", tensor)
    with caplog.at_level(logging.INFO):
        dataset = load(tmp_path / "a.npy")
    assert "mode 0 of a tensor is that of the samples" in caplog.text
    np.testing.assert_array_equal(dataset.X, tensor.reshape(2, 12).T)
    assert dataset.modes.names == ("mode 1", "mode 2", "mode 0")


@pytest.mark.parametrize("mode", [0, 2])
def test_a_large_tensor_stays_in_its_file(tmp_path, tensor, monkeypatch, mode):
    monkeypatch.setattr("nnmf_runner.datasets.files.readers.MAPPED", 1)
    np.save(tmp_path / "a.npy", tensor)
    base = load(tmp_path / "a.npy", sample_mode=mode).X
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_entries_of_modes_that_hold_nothing_are_named_in_the_log(tmp_path, tensor, caplog):
    tensor[:, 1] = 0.0
    for name in ("a.npy", "a.npz"):
        if name == "a.npy":
            np.save(tmp_path / name, tensor)
        else:
            np.savez(tmp_path / name, coords=np.nonzero(tensor), data=tensor[np.nonzero(tensor)], shape=tensor.shape)
        with caplog.at_level(logging.INFO):
            load(tmp_path / name)
        assert "all zeros are 1 of 3 entries of mode 1 (1)." in caplog.text
        caplog.clear()


def test_missing_entries_of_a_dense_tensor_stay_missing(tmp_path, tensor):
    tensor[0, 0, 0] = np.nan
    np.save(tmp_path / "a.npy", tensor)
    assert np.isnan(load(tmp_path / "a.npy").X).sum() == 1


def test_the_shape_may_be_larger_than_the_largest_indices(tmp_path):
    (tmp_path / "a.tns").write_text("1 1 1 1\n2 3 1 1\n")
    assert load(tmp_path / "a.tns", shape=[2, 3, 4]).modes.shape == (3, 4, 2)
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4)))
    assert load(tmp_path / "a.npy", shape=[2, 3, 4]).modes.shape == (3, 4, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_mode": 3}, r"dataset.sample_mode=3 does not exist in data of shape \(2, 3, 4\), expected at most 2"),
        ({"mode_names": ["a", "b"]}, "dataset.mode_names has 2 entries, expected one for each of 3 modes"),
        ({"entries": ["null"]}, "dataset.entries has 1 entries, expected one for each of 3 modes"),
        ({"entries": ["null", "y", "null"]}, r"y has 2 names, expected 3 \(see dataset.sample_mode\)"),
        ({"entries": ["null", "z", "null"]}, "it has no 'z'"),
        ({"orientation": "features_by_samples"}, "dataset.orientation means nothing to a tensor.*dataset.sample_mode"),
        ({"names": "y"}, "dataset.names means nothing to a tensor.*dataset.entries"),
        ({"sample_names": "y"}, "dataset.sample_names means nothing to a tensor.*dataset.entries"),
        ({"weighting": "tfidf"}, "dataset.weighting means nothing to a tensor"),
        ({"stop_words": "english"}, "dataset.stop_words means nothing to a tensor"),
        ({"shape": [2, 3, 5]}, r"dataset.shape=\[2, 3, 5\] is not the shape of the data, which is \(2, 3, 4\)"),
        ({"image_shape": [5, 5]}, "does not fit data of shape"),
        ({"image_shape": [3, 4], "sample_mode": 0}, "dataset.sample_mode means nothing to a matrix"),
        ({"labels": ["z"]}, "it has no 'z'"),
        ({"labels": ["y"], "sample_mode": 1}, "y has 2 labels|y has"),
    ],
)
def test_what_a_tensor_cannot_be_asked_is_refused(tmp_path, tensor, options, said):
    np.savez(tmp_path / "a.npz", X=tensor, y=["u", "v"])
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a.npz", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_mode": 0}, "dataset.sample_mode means nothing to a matrix.*dataset.orientation"),
        ({"mode_names": ["a", "b"]}, "dataset.mode_names means nothing to a matrix"),
        ({"entries": ["null", "null"]}, "dataset.entries means nothing to a matrix.*dataset.sample_names"),
    ],
)
def test_what_a_matrix_cannot_be_asked_is_refused(tmp_path, values, options, said):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a.npy", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_mode": -1}, "dataset.sample_mode=-1 is not valid"),
        ({"sample_mode": 1.0}, "dataset.sample_mode=1.0 is not valid"),
        ({"shape": [2, 0]}, r"dataset.shape\[1\]=0 is not valid"),
    ],
)
def test_options_of_tensors_out_of_bounds_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        File(path="a.npy", **options)


@pytest.mark.parametrize("shape", [(), (4,), (2, 0, 3)])
def test_arrays_of_no_or_one_mode_and_empty_ones_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(InputError, match=r"dimensions|empty"):
        load(tmp_path / "a.npy")


def test_a_tensor_is_another_one_if_its_modes_are(tmp_path):
    found = set()
    for i, shape in enumerate([(2, 3, 4), (2, 4, 3), (2, 12)]):
        np.save(tmp_path / f"{i}.npy", np.arange(24.0).reshape(shape))
        found.add(load(tmp_path / f"{i}.npy").fingerprint())
    assert len(found) == 3


def test_names_of_entries_are_part_of_what_determines_the_data(tmp_path, tensor):
    np.save(tmp_path / "a.npy", tensor)
    identities = []
    for words in ("a b", "a c"):
        (tmp_path / "words.txt").write_text(words.replace(" ", "\n"))
        source = File(path=str(tmp_path / "a.npy"), entries=[str(tmp_path / "words.txt"), "null", "null"])
        identities.append(source.identity()["entries"])
    assert identities[0] != identities[1]
    assert identities[0][1:] == ["null", "null"]
    assert source.portable()["entries"][0] == str(tmp_path / "words.txt")


def test_arrays_that_nothing_is_read_from_are_named(tmp_path, caplog, rng):
    path, m = tmp_path / "a.npz", 3
    others = {f"other{i}": np.arange(2) for i in range(6)}
    np.savez(path, X=rng.random((4, m)), vocab=np.array([*"abc"]), labels=np.arange(4) % 2)
    with caplog.at_level(logging.INFO):
        assert load(path).feature_names == [*"abc"]
        assert caplog.messages == [
            "dataset=file: not used of the file: labels (options such as dataset.labels say what is)."
        ]
        caplog.clear()
        load(path, labels=["labels"])
        assert caplog.messages == []
        np.savez(path, X=rng.random((4, m)), **others)
        load(path)
        assert "other0, other1, other2, other3, other4, 1 more (" in caplog.text
