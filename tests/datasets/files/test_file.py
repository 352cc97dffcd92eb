"""Files of the user's own: what every reader gives back, labels, names, known samples, and what is refused."""

from __future__ import annotations

import gzip
import logging
import pickle
import zipfile

import numpy as np
import pandas
import pytest
from scipy import io, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import readers, reading
from nnmf_runner.datasets.files.file import File

N, M = 6, 4  # samples and features
FINE, COARSE = [3, 1, 2, 3, 1, 2], ["b", "a", "a", "b", "a", "a"]
WORDS = ["ape", "bee", "cat", "dog"]


@pytest.fixture
def values(rng):
    """Samples by features, about half of them zero."""
    return np.round(rng.random((N, M)) * (rng.random((N, M)) < 0.5), 3) + np.eye(N, M)


def load(path, **options):
    return File(path=str(path), **options).load(np.random.default_rng(0))


def parts(matrix, stem=""):
    return {stem + part: getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}


def write_table(path, values, delimiter=",", **columns):
    header = [*columns, *WORDS]
    rows = zip(*columns.values(), *values.T.tolist(), strict=True)
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in [header, *rows]) + "\n")


def save_npz_with_labels(path, X):
    np.savez(path, X=X, fine=FINE, coarse=COARSE, names=WORDS)


WRITERS = {
    "a.npy": lambda path, X: np.save(path, X),
    "a.npz": lambda path, X: np.savez(path, X=X),
    "one.npz": lambda path, X: np.savez(path, counts=X),
    "save.npz": lambda path, X: sparse.save_npz(path, sparse.csr_array(X)),
    "csc.npz": lambda path, X: sparse.save_npz(path, sparse.csc_matrix(X)),
    "coo.npz": lambda path, X: sparse.save_npz(path, sparse.coo_array(X)),
    "parts.npz": lambda path, X: np.savez(path, **parts(sparse.csr_array(X))),
    "stem.npz": lambda path, X: np.savez(path, **parts(sparse.csr_array(X), "counts_")),
    "dense.mtx": lambda path, X: io.mmwrite(path, X),
    "sparse.mtx": lambda path, X: io.mmwrite(path, sparse.coo_array(X)),
    "a.mtx.gz": lambda path, X: path.write_bytes(gzip.compress(matrix_market(path, X))),
    "a.mat": lambda path, X: io.savemat(path, {"X": X, "y": np.arange(N)}),
    "sparse.mat": lambda path, X: io.savemat(path, {"counts": sparse.csc_matrix(X), "y": np.arange(N)}),
    "v4.MAT": lambda path, X: io.savemat(path, {"X": X}, appendmat=False, format="4"),
    "a.csv": write_table,
    "a.tsv": lambda path, X: write_table(path, X, "\t"),
}
SPARSE = {"save.npz", "csc.npz", "coo.npz", "parts.npz", "stem.npz", "sparse.mtx", "a.mtx.gz", "sparse.mat"}


def matrix_market(path, X):
    plain = path.with_name("plain.mtx")
    io.mmwrite(plain, sparse.coo_array(X))
    return plain.read_bytes()


@pytest.mark.parametrize("orientation", ["samples_by_features", "features_by_samples"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_reader_gives_back_what_was_written(tmp_path, values, name, orientation):
    WRITERS[name](tmp_path / name, values)
    X = load(tmp_path / name, orientation=orientation).X
    expected = values.T if orientation == "samples_by_features" else values
    assert sparse.issparse(X) == (name in SPARSE)
    if name in SPARSE:
        assert X.format == "csr"
    np.testing.assert_array_equal(X.toarray() if name in SPARSE else X, expected)


def test_every_suffix_has_a_test():
    tested = {suffix for suffix in readers.READERS for name in WRITERS if name.lower().endswith(suffix)}
    assert set(readers.READERS) - tested == {".parquet", ".h5ad"}


@pytest.mark.parametrize("orientation", ["samples_by_features", "features_by_samples"])
def test_a_large_array_stays_in_its_file(tmp_path, values, monkeypatch, orientation):
    np.save(tmp_path / "a.npy", values)
    read = load(tmp_path / "a.npy", orientation=orientation)
    monkeypatch.setattr(readers, "MAPPED", 0)
    mapped = load(tmp_path / "a.npy", orientation=orientation)
    np.testing.assert_array_equal(mapped.X, read.X)
    assert mapped.fingerprint() == read.fingerprint()
    assert type(mapped.X) is np.ndarray
    assert not mapped.X.flags.writeable
    assert read.X.flags.writeable


@pytest.mark.parametrize("kind", [np.float32, ">f8", np.int16])
def test_a_large_array_of_other_numbers_is_read(tmp_path, values, monkeypatch, kind):
    np.save(tmp_path / "a.npy", (100 * values).astype(kind))
    monkeypatch.setattr(readers, "MAPPED", 0)
    X = load(tmp_path / "a.npy").X
    assert X.dtype == np.float64
    assert X.dtype.isnative
    np.testing.assert_array_equal(X, (100 * values).astype(kind).T)


@pytest.mark.parametrize(
    ("array", "cut", "message"),
    [
        (np.ones((4, 3)), 20, r"cannot be read as \.npy: mmap length is greater than file size\.$"),
        (np.array([{}]), 0, r"cannot be read as \.npy: Array can't be memory-mapped: Python objects in dtype\.$"),
        (np.zeros((0, 3)), 0, "X is empty"),
        (np.ones((4, 3)), 90, r"cannot be read as \.npy"),
    ],
    ids=["truncated", "pickled", "no samples", "truncated header"],
)
def test_a_bad_large_array_is_refused(tmp_path, monkeypatch, array, cut, message):
    np.save(tmp_path / "a.npy", array)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[: len(content) - cut])
    monkeypatch.setattr(readers, "MAPPED", 0)
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("symmetry", ["general", "symmetric"])
@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
@pytest.mark.parametrize("form", [np.asarray, sparse.coo_array])
def test_matrix_market_is_read_as_scipy_reads_it(tmp_path, rng, form, field, symmetry):
    if form is np.asarray and field == "pattern":
        pytest.skip("dense files have no patterns")
    square = np.tril(rng.integers(0, 3, (5, 5)))
    matrix = (square + np.tril(square, -1).T).astype(int if field == "integer" else float)
    io.mmwrite(tmp_path / "a.mtx", form(matrix), comment="a word", field=field, symmetry=symmetry)
    theirs = io.mmread(tmp_path / "a.mtx")
    theirs = theirs.toarray() if sparse.issparse(theirs) else theirs
    ours = load(tmp_path / "a.mtx", orientation="features_by_samples").X
    np.testing.assert_array_equal(ours.toarray() if sparse.issparse(ours) else ours, theirs)


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


def test_known_samples_are_a_column_of_a_table(tmp_path, values):
    write_table(tmp_path / "a.csv", values, fine=FINE, seen=FLAGS)
    dataset = load(tmp_path / "a.csv", labels=["fine"], known="seen")
    np.testing.assert_array_equal(dataset.known, FLAGS)
    assert dataset.feature_names == WORDS


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
    for name in ("a.npy", "sparse.mtx"):
        WRITERS[name](tmp_path / name, values)
        with caplog.at_level(logging.INFO):
            assert load(tmp_path / name).X.shape == (M, N)
        zero = [int((values == 0).all(axis=axis).sum()) for axis in (0, 1)]
        assert f"all zeros are {zero[0]} of 4 features (1) and {zero[1]} of 6 samples (2)." in caplog.text
        caplog.clear()


def test_the_first_features_of_zeros_are_named(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", X=np.eye(2, 9), names=[*"abcdefghi"])
    with caplog.at_level(logging.INFO):
        load(tmp_path / "a.npz")
    assert "all zeros are 7 of 9 features (c, d, e, f, g, ...) and 0 of 2 samples." in caplog.text


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(tmp_path, values):
    fuse = tmp_path / "exploded"
    objects = np.array([Bomb(fuse)], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb(fuse)))
    np.savez(tmp_path / "c.npz", X=values, y=objects, names=objects)
    for path, options in (("a.npy", {}), ("b.npy", {}), ("c.npz", {"x": "y"}), ("c.npz", {"labels": ["y"]})):
        with pytest.raises(InputError, match=path):
            load(tmp_path / path, **options)
    np.testing.assert_array_equal(load(tmp_path / "c.npz").X, values.T)  # what else is in it can be had
    assert not fuse.exists()


def test_structs_of_matlab_are_refused_by_name(tmp_path, values):
    io.savemat(tmp_path / "a.mat", {"X": values, "s": {"a": 1.0}, "c": np.array([values, "x"], dtype=object)})
    assert load(tmp_path / "a.mat").X.shape == (M, N)
    for key in ("s", "c"):
        with pytest.raises(InputError, match=f"{key} (is a struct|has cells)"):
            load(tmp_path / "a.mat", labels=[key])


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


def test_what_is_no_array_in_an_archive_is_passed_over(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "notes")
        archive.writestr("folder/", "")
    np.testing.assert_array_equal(load(tmp_path / "a.npz").X, values.T)


def test_labels_that_doubles_cannot_tell_apart_stay_apart(tmp_path, values):
    np.savez(
        tmp_path / "a.npz", X=values, y=2**60 + np.array([0, 1, 2] * 2), words=[f"{2**60 + i % 2}" for i in range(N)]
    )
    dataset = load(tmp_path / "a.npz", labels=["y", "words"])
    np.testing.assert_array_equal(dataset.labels, [[0, 1, 2] * 2, [0, 1] * 3])


def test_names_are_of_one_line_and_steer_no_terminal(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values, names=["a\nb", "\x1b[31mred", "\ud800", "näme $x"])
    assert load(tmp_path / "a.npz").feature_names == ["a b", "[31mred", "(no name)", "näme $x"]


def test_tables_as_other_programs_write_them(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"", "b, c", d\r\n7, NA, TRUE\r\n8, 2.5, false\r\n')
    dataset = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(dataset.X, [[np.nan, 2.5], [1.0, 0.0]])
    assert dataset.feature_names == ["b, c", "d"]
    wavelengths = load_text(tmp_path / "b.csv", "400.5,401,401.5\n1,2,3\n")
    assert wavelengths.feature_names == ["400.5", "401", "401.5"]


def load_text(path, text):
    path.write_text(text)
    return load(path)


def refused_in_one_line_or_read(path, content):
    path.write_bytes(content)
    try:
        load(path)
    except InputError as error:
        return "\n" not in str(error)
    return True


@pytest.mark.parametrize("name", WRITERS)
def test_files_cut_short_are_refused_or_read_but_never_break(tmp_path, values, name):
    WRITERS[name](tmp_path / name, values)
    whole = (tmp_path / name).read_bytes()
    for end in np.linspace(0, len(whole) - 1, 40, dtype=int):
        assert refused_in_one_line_or_read(tmp_path / name, whole[:end])


# Not of uncompressed files of MATLAB: scipy's reader can crash on them, see `read_mat`.
@pytest.mark.parametrize("name", [name for name in WRITERS if not name.lower().endswith(".mat")] + ["compressed.mat"])
def test_files_with_changed_bytes_are_refused_or_read_but_never_break(tmp_path, values, name):
    compressed = {"compressed.mat": lambda path, X: io.savemat(path, {"X": X}, do_compression=True)}
    (WRITERS | compressed)[name](tmp_path / name, values)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(25):
        broken = bytearray(whole)
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(256)
        assert refused_in_one_line_or_read(tmp_path / name, bytes(broken))


@pytest.mark.parametrize(
    ("suffix", "extra", "package"), [(".parquet", "parquet", "pyarrow"), (".h5ad", "bio", "anndata")]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, suffix, extra, package):
    def missing(module):
        raise ImportError(module)

    monkeypatch.setattr(reading.importlib, "import_module", missing)
    (tmp_path / f"a{suffix}").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"dataset=file needs .*{package}.*pip install 'nnmf-runner\[{extra}\]'"):
        load(tmp_path / f"a{suffix}")


def test_columns_of_frames_are_numbers_or_strings_with_nothing_where_a_value_is_missing():
    def plain(values, dtype=None):
        return readers._plain_column(pandas.Series(values, dtype=dtype))

    np.testing.assert_array_equal(plain([1, None, 2.5]), [1.0, np.nan, 2.5])
    np.testing.assert_array_equal(plain([1, None, 2], "Int64"), [1.0, np.nan, 2.0])
    assert plain(["a", None, float("nan"), 3]).tolist() == ["a", "", "", "3"]
    assert plain(["b", None, "a"], "category").tolist() == ["b", "", "a"]
    assert plain([True, False]).dtype == plain([True, False], "boolean").dtype == bool
    assert plain([1.0, 2.0], "float32").dtype == np.float32


def test_parquet_is_read_where_pyarrow_is_there(tmp_path, values):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(values, columns=WORDS).assign(coarse=COARSE)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_axis([3, 1, 4, 1, 5, 9]).to_parquet(tmp_path / "index.parquet")  # is stored as a column
    for name in ("a.parquet", "index.parquet"):
        dataset = load(tmp_path / name, labels=["coarse"])
        np.testing.assert_array_equal(dataset.X, values.T)
        assert dataset.feature_names == WORDS


def test_h5ad_is_read_where_anndata_is_there(tmp_path, values):
    anndata = pytest.importorskip("anndata")
    obs = pandas.DataFrame({"coarse": COARSE}, index=[*map(str, range(N))])
    var = pandas.DataFrame({"symbol": WORDS[::-1], "coarse": WORDS}, index=WORDS)
    anndata.AnnData(sparse.csr_matrix(values), obs, var).write_h5ad(tmp_path / "a.h5ad")
    dataset = load(tmp_path / "a.h5ad", labels=["coarse"])
    np.testing.assert_array_equal(dataset.X.toarray(), values.T)
    assert dataset.feature_names == WORDS
    assert load(tmp_path / "a.h5ad", names="symbol").feature_names == WORDS[::-1]
