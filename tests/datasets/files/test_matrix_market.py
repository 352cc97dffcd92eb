"""Matrix Market files: what scipy reads is read alike, what is cut short or no number is refused."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io, sparse

from nnmf_runner.datasets.files import matrix_market
from nnmf_runner.datasets.files.contents import ContentError
from nnmf_runner.datasets.files.matrix_market import read_mtx
from nnmf_runner.datasets.files.readers import read

BANNER = "%%MatrixMarket matrix coordinate real general\n"


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def read_text(path, text):
    """The matrix in a file of this content, as an array."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return dense(read(path).grid(None, []).values)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mtx"


SYMMETRIES = {"general": lambda M: M, "symmetric": lambda M: M + M.T, "skew-symmetric": lambda M: M - M.T}
CASES = [
    case
    for case in product(["array", "coordinate"], ["real", "integer", "unsigned-integer", "pattern"], SYMMETRIES)
    if case[:2] != ("array", "pattern") and case[1:] != ("unsigned-integer", "skew-symmetric")
]


def as_written(form, field, symmetry, seed, side=6):
    """A matrix of this kind with a few zeros."""
    rng = np.random.default_rng(seed)
    M = rng.normal(size=(side, side)) if field == "real" else rng.integers(0, 50, (side, side))
    M = SYMMETRIES[symmetry](M * (rng.random(M.shape) < 0.5))
    M = M if symmetry != "general" else M[:-1]
    M = M.astype({"integer": np.int64, "unsigned-integer": np.uint64}.get(field, float))
    return M if form == "array" else sparse.coo_array(M)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("form", "field", "symmetry"), CASES)
def test_what_scipy_writes_is_read_as_scipy_reads_it(path, form, field, symmetry, seed):
    io.mmwrite(path, as_written(form, field, symmetry, seed), comment="caf\xe9", field=field, symmetry=symmetry)
    assert f"{form} {field} {symmetry}".encode() in path.read_bytes()
    ours, theirs = read_mtx(path).grid(None, []).values, io.mmread(path)
    assert sparse.issparse(ours) == (form == "coordinate")
    np.testing.assert_array_equal(dense(ours), dense(theirs))


@pytest.mark.parametrize(
    ("change", "by"),
    [
        ("%%MatrixMarket", "%MatrixMarket"),
        ("general\n", "general  and more\n"),
        ("general\n", "general\n%\n   % indented\n\t%\n"),
        ("general\n", "general\n% caf\xe9\n"),
        ("general\n", "general\n\n  \n"),
        ("general", "General"),
        ("real", "DOUBLE"),
        ("\n", "\r\n"),
        (" ", "\t "),
        ("\n", " \n  "),
        ("2 2 6", "\n2 2 6 % a remark\n\n \t\n"),
        ("1 1 0.5\n", "1 1 0.5\n1 1 1.25\n1 1 -7E-1\n"),
        ("0.5", ".5e+00"),
        ("6", "6."),
    ],
)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_what_scipy_reads_is_read_alike(path, change, by, encoding):
    text = (BANNER + "2 3 3\n1 1 0.5\n2 2 6\n2 3 4e2\n").replace(change, by)
    text = text.replace("2 3 3", f"2 3 {text.count('1 1 ') + 2}")
    path.write_bytes(text.encode(encoding))
    np.testing.assert_array_equal(dense(read_mtx(path).grid(None, []).values), io.mmread(path).toarray())


@pytest.mark.parametrize(
    "text",
    [
        (BANNER + "2 2 2\n1 1 5\n2 2 6\n").upper(),
        "\ufeff" + BANNER + "2 2 2\n1 1 5\n2 2 6\n",
        BANNER + "2 2 2\n1 1 5\n% a remark\n  % another\n2 2 +6\n",
        BANNER + "2 2 3\n1 1 5\n2 2 4\n2 2 2\n",
        BANNER + "2 2 2\n1 1 0.5D+1\n2 2 600d-2\n",
        "%%MatrixMarket matrix array real general\n2 2\n5\n0\n% a remark\n\n0\n6\n",
    ],
    ids=["upper case", "byte order mark", "remarks between", "given twice", "exponents of Fortran", "dense"],
)
def test_what_other_programs_write_is_read(path, text):
    np.testing.assert_array_equal(read_text(path, text), [[5.0, 0.0], [0.0, 6.0]])


@pytest.mark.parametrize("word", ["1_1", "nan", "inf", "\u0661", "0x1", "1-2", "1.2.3", "e", "-", "1e", "5;"])
@pytest.mark.parametrize("line", ["1 1 {}", "{} 1 5"])
def test_what_is_no_number_is_refused(path, line, word):
    with pytest.raises(ContentError, match=r"^it holds '.*' in the place of 3 numbers$"):
        read_text(path, f"{BANNER}20 2 2\n2 2 6\n{line.format(word)}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BANNER.replace("real", "complex") + "1 1 1\n1 1 1 0\n", "its field is 'complex', expected one of: real, "),
        (BANNER.replace("general", "hermitian") + "1 1 1\n1 1 1\n", "its symmetry is 'hermitian', expected one of"),
        (BANNER.replace("coordinate", "vector") + "1 1 1\n1 1 1\n", "its format is 'vector', expected one of: array"),
        (BANNER.replace("coordinate real", "array pattern") + "1 1\n1\n", "it is a pattern, but of format 'array'"),
        (BANNER.replace("matrix ", "vector ") + "1 1\n1 1\n", "its first line is not that of a Matrix Market file"),
        ("1 1 1\n1 1 1\n", "its first line is not that of a Matrix Market file"),
        (BANNER.replace("general", "symmetric") + "1 2 1\n1 1 1\n", r"it is symmetric, but of shape \(1, 2\)"),
        (BANNER, "it does not say the size"),
        (BANNER + "2 2\n", "it does not say the size"),
        (BANNER + "2 -2 1\n1 1 1\n", "it does not say the size"),
        (BANNER + "1_0 2 1\n1 1 1\n", "it does not say the size"),
        (BANNER + "2 2 3\n1 1 1\n1 2 1\n", "it has 2 entries, but says 3: it may be cut short"),
        (BANNER + "2 2 1\n1 1 1\n1 2 1\n", "it has more entries than the 1 that it says"),
        (BANNER + "2 2 2\n1 1 1 1 2\n1\n", "its entries have 5 numbers each, expected 3"),
        (BANNER + "2 2 2\n1 1 1 1 2 1\n", "its entries have 6 numbers each, expected 3"),
        (BANNER + "2 2 1\n0 1 1\n", "not at a row and column from 1 to 2 and 2"),
        (BANNER + "2 2 1\n1 3 1\n", "not at a row and column from 1 to 2 and 2"),
        (BANNER + "2 2 1\n1 1.5 1\n", "not at a row and column from 1 to 2 and 2"),
        (BANNER + "2 2 1\n1 1e999 1\n", "not at a row and column from 1 to 2 and 2"),
        (BANNER + "2 2 1\n1 1 1e999\n", "a number beyond the range of doubles"),
        (BANNER.replace("real", "integer") + "1 1 1\n1 1 1.5\n", "it holds 1.5, but its field is 'integer'"),
        (BANNER.replace("real", "unsigned-integer") + "1 1 1\n1 1 -1\n", "it holds -1, but its field is 'unsigned-"),
        (BANNER + f"{10**30} 1 1\n1 1 1\n", "cannot be read as"),
    ],
)
def test_what_is_wrong_is_named(path, text, message):
    with pytest.raises(ContentError, match=message) as caught:
        read_text(path, text)
    assert "\n" not in str(caught.value)


SMALL = {
    "real": BANNER + "% a remark\n3 4 4\n1 1 12.5\n3 2 0.125\n2 4 3e-12\n3 4 1.0625\n",
    "pattern": BANNER.replace("real", "pattern") + "3 14 3\n1 1\n3 2\n2 14\n",
    "array": BANNER.replace("coordinate", "array") + "2 2\n1.5\n22\n3.25\n44\n",
    "symmetric": BANNER.replace("general", "symmetric") + "12 12 2\n11 11 15\n12 2 25\n",
    "empty": BANNER + "20 20 0\n",
}
PACKED = {
    "a.mtx": bytes,
    "a.mtx.gz": gzip.compress,
    "b.mtx.gz": lambda content: b"".join(gzip.compress(content[i : i + 20]) for i in range(0, len(content), 20)),
    "a.mtx.bz2": bz2.compress,
    "b.mtx.bz2": lambda content: bz2.compress(content[:50]) + bz2.compress(content[50:]),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("kind", SMALL)
def test_a_file_cut_anywhere_is_refused_in_one_line_or_noted(tmp_path, kind, name):
    """All entries are there where only the last number may have been cut; nobody can tell whether it was."""
    whole = PACKED[name](SMALL[kind].encode())
    read_text(tmp_path / name, whole)
    assert not noted(tmp_path / name)
    for end in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:end])
        assert "\n" not in (outcome := refused_or_noted(tmp_path / name))
        assert outcome.startswith(("refused", "the last line has no end"))


def refused_or_noted(path):
    try:
        return noted(path)[0]
    except ContentError as error:
        return f"refused: {error}"


def noted(path):
    return read(path).grid(None, []).notes


def test_a_last_line_without_an_end_is_read(path):
    np.testing.assert_array_equal(read_text(path, BANNER + "2 2 1\n1 1 12.5"), [[12.5, 0.0], [0.0, 0.0]])


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 12), numbers), max_size=30))
def test_every_digit_is_read(path, monkeypatch, entries):
    monkeypatch.setattr(matrix_market, "CHUNK", 64)  # so that there are several parts
    lines = "".join(f"{i} {j} {value!r}\n" for i, j, value in entries)
    found = read_mtx_of(path, f"{BANNER}9 12 {len(entries)}\n{lines}")
    expected = [(i - 1, j - 1, float(value)) for i, j, value in entries]
    assert [*zip(*found.coords, found.data, strict=True)] == expected


def read_mtx_of(path, text):
    path.write_text(text)
    return read_mtx(path).grid(None, []).values


def test_a_line_without_an_end_takes_no_more_memory_than_a_part(tmp_path):
    path = tmp_path / "a.mtx.gz"
    path.write_bytes(gzip.compress(BANNER.encode() + b"2 2 1\n" + b"1" * 10**7))
    tracemalloc.start()
    with pytest.raises(ContentError, match="too long"):
        read_mtx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * matrix_market.CHUNK
