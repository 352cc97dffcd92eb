"""Expression sets of R, from an invented file of the same layout; the real one too where it is installed."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.leukemia import USUAL, Leukemia

# A writer of R's serialisation (version 2, XDR), enough for an expression set; after "R Internals", section 1.8.
NIL, EMPTY_ENVIRONMENT = struct.pack(">i", 254), struct.pack(">i", 242)
OBJECT, ATTRIBUTES, TAG, ASCII = 1 << 8, 1 << 9, 1 << 10, 64 << 12
SYMBOL, PAIRS, ENVIRONMENT, CHARACTERS, INTEGERS, STRINGS, LIST, S4 = 1, 2, 4, 9, 13, 16, 19, 25


def integer(*values):
    return struct.pack(f">{len(values)}i", *values)


def characters(text):
    return integer(CHARACTERS | ASCII, len(text)) + text.encode()


def pairs(**items):
    tagged = (integer(PAIRS | TAG, SYMBOL) + characters(name.replace("_", ".")) + item for name, item in items.items())
    return b"".join(tagged) + NIL


def vector(kind, length, content, attributes):
    flags = kind | (ATTRIBUTES if attributes else 0) | (OBJECT if "class" in attributes else 0)
    return integer(flags, length) + content + (pairs(**attributes) if attributes else b"")


def integers(values, **attributes):
    return vector(INTEGERS, len(values), integer(*values), attributes)


def strings(values, **attributes):
    return vector(STRINGS, len(values), b"".join(map(characters, values)), attributes)


def listed(items, **attributes):
    return vector(LIST, len(items), b"".join(items), attributes)


def factor(values):
    levels = sorted(set(values))
    kind = {"levels": strings(levels), "class": strings(["factor"])}
    return integers([levels.index(value) + 1 for value in values], **kind)


def s4(name, **slots):
    return integer(S4 | OBJECT | ATTRIBUTES) + pairs(**slots, **{"class": strings([name])})


def environment(**items):
    return integer(ENVIRONMENT, 0) + EMPTY_ENVIRONMENT + pairs(**items) + NIL + NIL


def expression_set(X, genes, samples, types, cells):
    """What esGolub.rda holds, from a list of rows."""
    by_column = [value for column in zip(*X, strict=True) for value in column]
    names = listed([strings(genes), strings(samples)])
    exprs = integers(by_column, dim=integers([len(genes), len(samples)]), dimnames=names)
    kind = {"names": strings(["ALL.AML", "Cell"]), "row_names": strings(samples), "class": strings(["data.frame"])}
    patients = s4("AnnotatedDataFrame", data=listed([factor(types), factor(cells)], **kind))
    return s4("ExpressionSet", assayData=environment(exprs=exprs), phenoData=patients)


def rda(**objects):
    return b"RDX2\nX\n" + integer(2, 0x30000, 0x20300) + pairs(**objects)


X = [[1, 2, 3, 4], [5, 6, 7, 8], [20, 20, 20, 20]]
TYPES, CELLS = ["ALL", "ALL", "AML", "ALL"], ["T-cell", "B-cell", "", "B-cell"]


def write(folder, **objects):
    path = folder / "set.rda"
    path.write_bytes(rda(**objects))
    return str(path)


@pytest.fixture
def small(tmp_path):
    return write(tmp_path, esGolub=expression_set(X, ["g1", "g2", "g3"], ["a", "b", "c", "d"], TYPES, CELLS))


def load(path):
    pytest.importorskip("rdata", reason="rdata is not installed")
    return Leukemia(path=str(path)).load(np.random.default_rng(0))


def test_genes_are_features_and_patients_samples_at_two_levels(small):
    dataset = load(small)
    np.testing.assert_array_equal(dataset.X, X)
    assert dataset.feature_names == ["g1", "g2", "g3"]
    assert [level.tolist() for level in dataset.labels] == [[1, 0, 2, 0], [0, 0, 1, 0]]


@pytest.mark.skipif(not Path(USUAL).is_file(), reason="r-cran-nmf is not installed")
def test_the_real_file_is_as_published():
    dataset = load(USUAL)
    assert dataset.X.shape == (5000, 38)
    assert [np.bincount(level).tolist() for level in dataset.labels] == [[19, 8, 11], [27, 11]]


def test_the_identity_is_what_the_file_holds(small, tmp_path):
    same = Leukemia(path=small).identity()
    (tmp_path / "copy.rda").write_bytes(Path(small).read_bytes())
    assert Leukemia(path=str(tmp_path / "copy.rda")).identity() == same
    (tmp_path / "copy.rda").write_bytes(b"other")
    assert Leukemia(path=str(tmp_path / "copy.rda")).identity() != same


def test_other_files_are_refused(tmp_path, small):
    (tmp_path / "bad.rda").write_bytes(b"no rda")
    (tmp_path / "short.rda").write_bytes(Path(small).read_bytes()[:200])
    (tmp_path / "empty.rda").write_bytes(b"")
    for name in ("bad.rda", "short.rda", "empty.rda"):
        with pytest.raises(InputError, match=r"cannot be read.*esGolub\.rda") as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"cannot be read \(KeyError"):
        load(write(tmp_path, other=expression_set(X, ["g1", "g2", "g3"], ["a", "b", "c", "d"], TYPES, CELLS)))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Leukemia(path=str(tmp_path / "absent")).identity()
    with pytest.raises(InputError, match="is not a file"):
        Leukemia(path=str(tmp_path)).identity()


def test_without_the_package_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(InputError, match=r"pip install 'nnmf-runner\[bio\]'"):
        Leukemia(path=str(tmp_path)).load(np.random.default_rng(0))
