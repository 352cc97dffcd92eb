"""Readers of files by their suffix: what was written is given back, what is damaged is refused, nothing is executed."""

from __future__ import annotations

import bz2
import gzip
import pickle
import sys
import zipfile

import numpy as np
import pandas
import pytest
from scipy import io, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import readers
from nnmf_runner.datasets.modes import unfolded
from tests.fixtures.tables import COARSE, WORDS, M, N, lines_of, load, write_table


def parts(matrix, stem=""):
    return {stem + part: getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}


def coordinates(array, stem=""):
    """An array as the package sparse saves it."""
    entries = np.nonzero(array)
    found = {"coords": np.array(entries), "data": array[entries], "shape": array.shape, "fill_value": 0.0}
    return {stem + name: value for name, value in found.items()}


WRITERS = {
    "a.npy": lambda path, X: np.save(path, X),
    "a.npz": lambda path, X: np.savez(path, X=X),
    "one.npz": lambda path, X: np.savez(path, counts=X),
    "save.npz": lambda path, X: sparse.save_npz(path, sparse.csr_array(X)),
    "csc.npz": lambda path, X: sparse.save_npz(path, sparse.csc_matrix(X)),
    "coo.npz": lambda path, X: sparse.save_npz(path, sparse.coo_array(X)),
    "parts.npz": lambda path, X: np.savez(path, **parts(sparse.csr_array(X))),
    "stem.npz": lambda path, X: np.savez(path, **parts(sparse.csr_array(X), "counts_")),
    "coords.npz": lambda path, X: np.savez(path, **coordinates(X)),
    "stem_coords.npz": lambda path, X: np.savez(path, **coordinates(X, "counts_")),
    "a.tns": lambda path, X: path.write_text(lines_of(X)),
    "a.tns.gz": lambda path, X: path.write_bytes(gzip.compress(lines_of(X).encode())),
    "dense.mtx": lambda path, X: io.mmwrite(path, X),
    "sparse.mtx": lambda path, X: io.mmwrite(path, sparse.coo_array(X)),
    "a.mtx.gz": lambda path, X: path.write_bytes(gzip.compress(matrix_market(path, X))),
    "a.mtx.bz2": lambda path, X: path.write_bytes(bz2.compress(matrix_market(path, X))),
    "a.mat": lambda path, X: io.savemat(path, {"X": X, "y": np.arange(N)}),
    "sparse.mat": lambda path, X: io.savemat(path, {"counts": sparse.csc_matrix(X), "y": np.arange(N)}),
    "v4.MAT": lambda path, X: io.savemat(path, {"X": X}, appendmat=False, format="4"),
    "a.csv": write_table,
    "a.tsv": lambda path, X: write_table(path, X, "\t"),
    "a.txt": lambda path, X: np.savetxt(path, X, header=" ".join(WORDS), comments=""),
    **{name: lambda path, X: write_gzipped(path, X) for name in ("a.csv.gz", "a.tsv.gz", "a.txt.gz")},
}


SPARSE = {
    "save.npz",
    "csc.npz",
    "coo.npz",
    "parts.npz",
    "stem.npz",
    "coords.npz",
    "stem_coords.npz",
    "a.tns",
    "a.tns.gz",
    "sparse.mtx",
    "a.mtx.gz",
    "a.mtx.bz2",
    "sparse.mat",
}


def write_gzipped(path, X):
    plain = path.with_suffix("")
    write_table(plain, X, "," if ".csv" in path.name else "\t")
    path.write_bytes(gzip.compress(plain.read_bytes()))


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


def test_what_is_no_array_in_an_archive_is_passed_over(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "notes")
        archive.writestr("folder/", "")
    np.testing.assert_array_equal(load(tmp_path / "a.npz").X, values.T)


def test_tables_as_other_programs_write_them(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbf"", "b, c", d\r\n7, NA, TRUE\r\n8, 2.5, false\r\n')
    dataset = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(dataset.X, [[np.nan, 2.5], [1.0, 0.0]])
    assert dataset.feature_names == ["b, c", "d"]


def refused_in_one_line_or_read(path, content):
    path.write_bytes(content)
    try:
        load(path)
    except InputError as error:
        return "\n" not in str(error)
    return True


def often(name):
    """How often a reader is tried, of which some start a process each time."""
    return 5 if name.lower().endswith(".mat") else 40


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_files_cut_short_are_refused_or_read_but_never_break(tmp_path, values, name):
    WRITERS[name](tmp_path / name, values)
    whole = (tmp_path / name).read_bytes()
    for end in np.linspace(0, len(whole) - 1, often(name), dtype=int):
        assert refused_in_one_line_or_read(tmp_path / name, whole[:end])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WRITERS, "compressed.mat"])
def test_files_with_changed_bytes_are_refused_or_read_but_never_break(tmp_path, values, name):
    compressed = {"compressed.mat": lambda path, X: io.savemat(path, {"X": X}, do_compression=True)}
    (WRITERS | compressed)[name](tmp_path / name, values)
    whole = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(often(name)):
        broken = bytearray(whole)
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(256)
        assert refused_in_one_line_or_read(tmp_path / name, bytes(broken))


@pytest.mark.parametrize(
    ("suffix", "extra", "package"), [(".parquet", "parquet", "pyarrow"), (".h5ad", "bio", "anndata")]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, suffix, extra, package):
    (tmp_path / f"{package}.py").write_text(f"raise ImportError({package!r})")
    monkeypatch.syspath_prepend(tmp_path)  # for a new process, and for a fork:
    for module in (package, f"{package}.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"a{suffix}").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"dataset=file needs .*{package}.*pip install 'nnmf-runner\[{extra}\]'"):
        load(tmp_path / f"a{suffix}")


def test_columns_of_frames_are_numbers_or_strings_with_nothing_where_a_value_is_missing():
    def plain(values, dtype=None):
        return readers.plain_column(pandas.Series(values, dtype=dtype))

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


@pytest.mark.slow
def test_h5ad_is_read_where_anndata_is_there(tmp_path, values):
    anndata = pytest.importorskip("anndata")
    obs = pandas.DataFrame({"coarse": COARSE}, index=[*map(str, range(N))])
    var = pandas.DataFrame({"symbol": WORDS[::-1], "coarse": WORDS}, index=WORDS)
    anndata.AnnData(sparse.csr_matrix(values), obs, var).write_h5ad(tmp_path / "a.h5ad")
    dataset = load(tmp_path / "a.h5ad", labels=["coarse"])
    np.testing.assert_array_equal(dataset.X.toarray(), values.T)
    assert dataset.feature_names == WORDS
    assert load(tmp_path / "a.h5ad", names="symbol").feature_names == WORDS[::-1]


def test_large_integers_beside_a_null_are_not_rounded(tmp_path):
    pytest.importorskip("pyarrow")
    labels = pandas.array([2**53, 2**53 + 1, 2**53 + 1, None, -(2**53) - 1], "Int64")
    pandas.DataFrame({"a": [5, 1, 2, 4, 4], "y": labels}).to_parquet(tmp_path / "a.parquet")
    np.testing.assert_array_equal(load(tmp_path / "a.parquet", labels=["y"]).labels, [[1, 2, 2, -1, 0]])


def test_a_column_that_counts_is_a_feature_where_the_file_itself_names_the_rows(tmp_path):
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"a": [1, 2, 3]}, [*"xyz"]).to_parquet(tmp_path / "a.parquet")
    dataset = load(tmp_path / "a.parquet")
    np.testing.assert_array_equal(dataset.X, [[1, 2, 3]])
    assert dataset.sample_names == [*"xyz"]


@pytest.mark.slow
def test_features_of_raw_have_names_of_their_own(tmp_path, values):
    anndata = pytest.importorskip("anndata")
    symbols = [f"symbol {word}" for word in WORDS]
    whole = anndata.AnnData(values, var=pandas.DataFrame({"symbol": symbols}, index=WORDS))
    some = whole[:, :2].copy()
    some.raw = whole
    some.write_h5ad(tmp_path / "a.h5ad")
    assert load(tmp_path / "a.h5ad", names="symbol").feature_names == symbols[:2]
    assert load(tmp_path / "a.h5ad", x="raw", names="raw.symbol").feature_names == symbols


@pytest.mark.parametrize(
    "content", [b"# Created by Octave 7.3.0\n# name: X\n" * 9, b"Octave-1-L" + bytes(200), b"PK\x03\x04" * 99]
)
def test_what_no_matlab_file_is_says_how_to_save_one(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(InputError, match=r"it is no MATLAB file of version 4 to 7. Expected save\(..., '-v7'\)"):
        load(tmp_path / "a.mat")


def save_scipy(path, array):
    places = np.nonzero(array)
    sparse.save_npz(path, sparse.coo_array((array[places], places), shape=array.shape))


TENSORS = {
    "a.npy": np.save,
    "a.npz": lambda path, array: np.savez(path, X=array),
    "coords.npz": lambda path, array: np.savez(path, **coordinates(array)),
    "scipy.npz": save_scipy,
    "a.tns": lambda path, array: path.write_text(lines_of(array)),
    "a.tns.gz": lambda path, array: path.write_bytes(gzip.compress(lines_of(array).encode())),
    "a.mat": lambda path, array: io.savemat(path, {"X": array}),
}


@pytest.mark.parametrize("order", [3, 4, 5])
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "a.mat")) for name in TENSORS])
def test_tensors_of_any_order_are_given_back(tmp_path, rng, name, order):
    shape = (3, 4, 2, 5, 2)[:order]
    array = np.round(rng.random(shape) * (rng.random(shape) < 0.3), 3)
    array[(-1,) * order] = 1.0
    TENSORS[name](tmp_path / name, array)
    for mode in range(order):
        X = load(tmp_path / name, sample_mode=mode).X
        np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else X, unfolded(array, mode))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"coords": [[0, 2], [0, 0], [0, 1]]}, r"X has an entry at \(2, 0, 1\), out of range for mode 0 of size 2"),
        ({"coords": [[0, 1], [0, -1], [0, 1]]}, r"\(1, -1, 1\), out of range for mode 1 of size 2: expected .* 0 to 1"),
        ({"coords": [[1, 1], [0, 0], [0, 0]]}, r"\(1, 0, 0\) stands twice"),
        ({"coords": [[0.0, 1.0]] * 3}, "coordinates of type float64, expected integers"),
        ({"coords": [[0, 1]] * 2}, r"coordinates of shape \(2, 2\)"),
        ({"data": [1.0]}, r"data of shape \(1,\)"),
        ({"data": [[1.0, 1.0]]}, r"data of shape \(1, 2\)"),
        ({"data": [1j, 1j]}, "complex"),
        ({"data": [1.0, np.nan]}, "1 entries that are NaN or infinite"),
        ({"shape": [2.0, 2.0, 2.0]}, r"has \[2.0, 2.0, 2.0\] as its shape"),
        ({"shape": [-2, -2, 2]}, "as its shape"),
        ({"shape": 8}, "has 8 as its shape"),
        ({"shape": [2**31, 2**31, 2**40]}, "product of at most"),
        ({"shape": [2**63 - 1, 2**63 - 1, 2**63 - 1]}, "expected at most 2147483647 in the mode of the samples"),
        ({"fill_value": 1.0}, "X is 1.0 where it has no entry, expected zero"),
        ({"fill_value": np.nan}, "X is nan where it has no entry"),
    ],
)
def test_damaged_coordinates_are_refused(tmp_path, changes, said):
    good = {"coords": [[0, 1], [0, 1], [0, 1]], "data": [1.0, 2.0], "shape": [2, 2, 2]}
    np.savez(tmp_path / "a.npz", **good)
    assert load(tmp_path / "a.npz").X.nnz == 2
    np.savez(tmp_path / "a.npz", **good | changes)
    with pytest.raises(InputError, match=said) as refused:
        load(tmp_path / "a.npz")
    assert "\n" not in str(refused.value)


def test_sparse_arrays_by_compressed_axes_are_not_taken_for_rows(tmp_path, values):
    by_columns = parts(sparse.csc_array(values[:4, :4])) | {"compressed_axes": [1], "fill_value": 0.0}
    np.savez(tmp_path / "a.npz", **by_columns)
    with pytest.raises(InputError, match=r"GCXS form.*sparse.COO"):
        load(tmp_path / "a.npz", x="X")


def test_a_sparse_array_is_no_labels(tmp_path, values):
    np.savez(tmp_path / "a.npz", X=values, **coordinates(values, "y_"))
    with pytest.raises(InputError, match=r"y is a sparse array of shape \(6, 4\), expected a plain one"):
        load(tmp_path / "a.npz", labels=["y"])
