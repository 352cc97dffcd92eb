"""Labels and names in files of their own."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pandas
import pytest
from scipy import io, sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.file import File
from tests.fixtures.tables import load

COUNTS = np.array([[2, 0, 1], [0, 3, 1], [1, 0, 0], [4, 4, 0]])  # terms by documents


@pytest.fixture
def matrix(tmp_path):
    io.mmwrite(tmp_path / "matrix.mtx", sparse.coo_array(COUNTS))
    return tmp_path / "matrix.mtx"


def beside(matrix, **options):
    return load(matrix, orientation="features_by_samples", **options)


@pytest.mark.parametrize("packed", [False, True])
def test_a_matrix_with_features_and_barcodes(matrix, packed):
    features = "".join(f"ENSG{i}\t{name}\tGene Expression\n" for i, name in enumerate("abcd"))
    for name, text in (("features.tsv", features), ("barcodes.tsv", "AAC-1\nAAG-1\nAAT-1\n")):
        path = matrix.with_name(name + ".gz" * packed)
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    gz = ".gz" * packed
    dataset = beside(matrix, names=f"features.tsv{gz}", sample_names=f"barcodes.tsv{gz}")
    assert dataset.feature_names == [*"abcd"]
    assert dataset.sample_names == ["AAC-1", "AAG-1", "AAT-1"]
    assert beside(matrix, names=f"features.tsv{gz}:1").feature_names == ["ENSG0", "ENSG1", "ENSG2", "ENSG3"]


def test_terms_and_classes_with_comments(matrix):
    matrix.with_name("bbc.terms").write_text("#hash\n%\nnew york\nzoo\n")
    matrix.with_name("bbc.classes").write_text("%Clusters 2\n%Objects 3\n0 1\n1 0\n2 1\n")
    dataset = beside(matrix, names="bbc.terms", labels=["bbc.classes"])
    assert dataset.feature_names == ["#hash", "%", "new york", "zoo"]
    np.testing.assert_array_equal(dataset.labels, [[1, 0, 1]])


def test_a_list_of_words_needs_no_suffix_and_keeps_its_empty_lines(matrix):
    matrix.with_name("word_list").write_text("a\r\n\r\nc\r\nd\r\n")
    assert beside(matrix, names="word_list").feature_names == ["a", "(no name)", "c", "d"]


def test_a_column_of_a_table_is_named_behind_a_colon(matrix):
    matrix.with_name("meta.csv").write_text('id,theme,"fine, too"\n1,u,x\n2,v,\n3,u,y\n')
    dataset = beside(matrix, labels=["meta.csv:fine, too", "meta.csv:theme", "meta.csv"])
    np.testing.assert_array_equal(dataset.labels, [[0, -1, 1], [0, 1, 0], [0, 1, 0]])
    with pytest.raises(InputError, match=r"no column 'x'. Expected one of: id, theme, fine, too, 1 to 3"):
        beside(matrix, labels=["meta.csv:x"])
    matrix.with_name("meta.csv").write_text("id,y,y\n1,u,x\n2,v,z\n3,u,y\n")
    with pytest.raises(InputError, match=r"meta.csv: its header has 'y' twice"):
        beside(matrix, labels=["meta.csv:y"])
    np.testing.assert_array_equal(beside(matrix, labels=["meta.csv:2"]).labels, [[0, 1, 0]])


def test_a_table_that_has_the_names_of_the_samples_is_put_into_their_order(matrix):
    matrix.with_name("docs").write_text("d1\nd2\nd3\n")
    matrix.with_name("meta.csv").write_text("doc,theme\nd3,v\nd0,w\nd1,u\nd2,u\n")
    dataset = beside(matrix, sample_names="docs", labels=["meta.csv"])
    np.testing.assert_array_equal(dataset.labels, [[0, 0, 1]])
    assert dataset.class_names == [["u", "v"]]


def test_one_hot_labels_and_a_mask_from_files(matrix):
    matrix.with_name("Y.csv").write_text("1,0\n0,1\n0,0\n")
    np.save(matrix.with_name("L.npy"), [[True, False, False]] * 2)
    np.savez(matrix.with_name("known.npz"), seen=[0, 1], other=[2])
    dataset = beside(matrix, labels=["Y.csv"], known="L.npy")
    np.testing.assert_array_equal(dataset.labels, [[0, 1, -1]])
    np.testing.assert_array_equal(dataset.known, [True, False, False])
    assert beside(matrix, known="known.npz:seen").known.tolist() == [True, True, False]
    with pytest.raises(InputError, match="it has 2 arrays, so FILE:KEY has to say which"):
        beside(matrix, known="known.npz")
    matrix.with_name("known.txt").write_text("known\n0\n2\n")
    assert beside(matrix, known="known.txt").known.tolist() == [True, False, True]


def test_a_file_of_another_length_is_refused(matrix):
    matrix.with_name("words.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"words.txt: it has 2 lines, expected 4 or a header more"):
        beside(matrix, names="words.txt")
    with pytest.raises(
        InputError, match=r"it has no 'nowhere.txt', and no such file stands beside it. Expected one of: X"
    ):
        beside(matrix, names="nowhere.txt")


def test_a_file_beside_that_cannot_be_read_is_named(matrix):
    for name, content in (("a.npy", b"x"), ("a.txt", b"\xff\n" * 4), ("a.txt.gz", b"x"), ("a.csv", b'"a\n')):
        matrix.with_name(name).write_bytes(content)
        with pytest.raises(InputError, match=rf"matrix.mtx: {name}"):
            beside(matrix, names=name)


def test_known_samples_of_a_matlab_file_are_counted_from_one(matrix):
    io.savemat(matrix.with_name("known.mat"), {"seen": [1, 3]})
    assert beside(matrix, known="known.mat").known.tolist() == [True, False, True]
    with pytest.raises(InputError, match=r"known.mat:seen holds 3, expected indices of samples"):
        beside(matrix, known="known.mat:seen", known_base=0)


def test_a_key_of_the_file_comes_before_a_file_of_that_name(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(3), y=["u", "v", "v"])
    (tmp_path / "y").write_text("v\nu\nu\n")
    np.testing.assert_array_equal(load(tmp_path / "a.npz", labels=["y"]).labels, [[0, 1, 1]])


@pytest.mark.parametrize("name", ["words", "words.txt", "words.csv", "words.tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_of_several_words_are_one_cell(matrix, name, end):
    words = ["New York", "Los Angeles", "San Francisco", "Las Vegas"]
    matrix.with_name(name).write_bytes(("\ufeff" + end.join(words) + end).encode())
    assert beside(matrix, names=name).feature_names == words


def test_comments_stand_above_tables_of_every_kind(matrix):
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t"), ("a.txt", "\t")):
        text = "# of, some; kind\n\nid,kind\n\nx,u\ny,v\nz,u\n\n".replace(",", delimiter)
        matrix.with_name(name).write_text(text)
        np.testing.assert_array_equal(beside(matrix, labels=[f"{name}:kind"]).labels, [[0, 1, 0]])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("u\nv\n\n", [0, 1, -1]),
        ("\nu\nv\n", [-1, 0, 1]),
        ("y\nu\n\nv\n", [0, -1, 1]),
        ("u\nv\nu\n\n", [0, 1, 0]),
        ('y\nu\nv\n""\n', [0, 1, -1]),  # as pandas writes
    ],
)
def test_empty_lines_are_entries_where_their_number_says_so(matrix, text, labels):
    matrix.with_name("y.csv").write_text(text)
    np.testing.assert_array_equal(beside(matrix, labels=["y.csv"]).labels, [labels])


def test_an_empty_last_line_and_a_first_one_that_may_be_a_header_are_refused(matrix):
    matrix.with_name("y").write_text("y\nu\nv\n\n")
    with pytest.raises(InputError, match="y: its last line is empty and its first may be a header: expected 3 lines"):
        beside(matrix, labels=["y"])


@pytest.mark.parametrize("text", ["id,y\na,u\nb\nc,v\n", "id,y\na,u\nb,v,w\nc,v\n", "id,y,z,w\na,u\nb,v\nc,v\n"])
def test_lines_with_other_numbers_of_cells_are_refused(matrix, text):
    matrix.with_name("y.csv").write_text(text)
    with pytest.raises(InputError, match=r"y.csv: it(s header)? has .* cells"):
        beside(matrix, labels=["y.csv:y"])


def test_a_header_of_r_has_one_cell_less(matrix):
    matrix.with_name("y.csv").write_text('"y"\n"a","u"\n"b","v, w"\n"c", "v, w"\n')
    dataset = beside(matrix, labels=["y.csv:y"])
    assert dataset.class_names == [["u", "v, w"]]
    np.testing.assert_array_equal(dataset.labels, [[0, 1, 1]])


def test_colons_in_names_of_files_and_columns(matrix):
    matrix.with_name("a:b.csv").write_text("id,c:d\n1,u\n2,v\n3,u\n")
    np.testing.assert_array_equal(beside(matrix, labels=["a:b.csv:c:d"]).labels, [[0, 1, 0]])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Observation names")
@pytest.mark.parametrize("table", ["meta.csv", "meta.parquet", "meta.h5ad"])
def test_tables_of_every_format_are_put_into_the_order_of_the_samples_or_refused(matrix, table):
    matrix.with_name("docs").write_text("d1\nd2\nd3\n")
    for names in (["d3", "d1", "d2"], ["d3", "d1", "D2"], ["d3", "d1", "d1"]):
        frame = pandas.DataFrame({"n": [3.0, 1.0, 2.0], "theme": [*"vuu"]}, names)
        if table.endswith("csv"):
            frame.to_csv(matrix.with_name(table))
        elif table.endswith("parquet"):
            frame.to_parquet(matrix.with_name(table))
        else:
            pytest.importorskip("anndata").AnnData(np.eye(3), frame).write_h5ad(matrix.with_name(table))
        if sorted(names) == ["d1", "d2", "d3"]:
            dataset = beside(matrix, sample_names="docs", labels=[f"{table}:theme"])
            np.testing.assert_array_equal(dataset.labels, [[0, 0, 1]])
        else:
            with pytest.raises(
                InputError, match=rf"{table}: its names are in another order .* 'd[12]' is not there once"
            ):
                beside(matrix, sample_names="docs", labels=[f"{table}:theme"])


def test_names_may_stand_in_another_column_than_the_first(matrix):
    matrix.with_name("docs").write_text("d1\nd2\nd3\n")
    matrix.with_name("meta.csv").write_text("theme,doc\nv,d3\nu,d1\nw,d2\n")
    dataset = beside(matrix, sample_names="docs", labels=["meta.csv:theme"])
    np.testing.assert_array_equal(dataset.labels, [[0, 2, 1]])


def test_numbers_of_lines_and_labels_are_no_names_in_another_order(matrix):
    matrix.with_name("docs").write_text("1\n2\n3\n")
    for text in ("0 2\n1 1\n2 1\n", "2 5\n1 7\n2 5\n"):
        matrix.with_name("classes").write_text(text)
        expected = [[1, 0, 0]] if text[0] == "0" else [[1, 0, 1]]
        np.testing.assert_array_equal(beside(matrix, sample_names="docs", labels=["classes"]).labels, expected)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Y.csv", "1.0,0.0\n0,1.0\n0,0\n"),
        ("Y.csv", "a,b\nTrue,False\nFalse,True\nFalse,False\n"),
        ("Y.txt", "1 0 0 0\n0 0 0 1\n0 0 0 0\n"),
        ("Y.csv", "id,a,b\nx,1,0\ny,0,1\nz,0,0\n"),
        ("Y.csv", "1,0,0\n0,1,0\n"),  # classes by samples
    ],
)
def test_one_hot_labels_of_text_in_every_shape(matrix, name, text):
    matrix.with_name(name).write_text(text)
    np.testing.assert_array_equal(beside(matrix, labels=[name]).labels, [[0, 1, -1]])


@pytest.mark.parametrize(
    "text", ["0 2\n", "0\n2\n\n\n", "# two\n0\n2\n", "1\n0\n1\n", "x,1\ny,0\nz,1\n", ",seen\nx,1\ny,0\nz,1\n"]
)
def test_known_samples_in_lines_or_one_line(matrix, text):
    name = "known.csv" if "," in text else "known"
    matrix.with_name(name).write_text(text)
    assert beside(matrix, known=name).known.tolist() == [True, False, True]


@pytest.mark.parametrize("text", ["1\n0\n\n", "known\n1\n0\n\n", "# none\n", "known\n"])
def test_known_samples_that_are_not_told_are_refused(matrix, text):
    matrix.with_name("known").write_text(text)
    with pytest.raises(InputError, match="known"):
        beside(matrix, known="known")


def test_identity_and_portable_options_follow_the_files_wherever_they_are(matrix, tmp_path, monkeypatch):
    words = tmp_path / "sub" / "words.txt"
    words.parent.mkdir()
    words.write_text("a\nb\nc\nd\n")
    monkeypatch.chdir(tmp_path)
    source = File(path="matrix.mtx", names=f"sub{os.sep}words.txt:1", orientation="features_by_samples")
    identity, options = source.identity(), source.portable()
    assert str(words) not in repr(identity)
    words.write_text("a\nb\nc\ne\n")
    assert source.identity() != identity
    monkeypatch.chdir("/")
    assert File(**options).load(np.random.default_rng(0)).feature_names == [*"abce"]


@pytest.mark.parametrize(
    "text",
    [
        '"u, 1"\nNA\n"v"\n',  # R: write.table(labels, row.names=FALSE, col.names=FALSE)
        '"x"\n"1" "u, 1"\n"2" NA\n"3" "v"\n',  # with names of rows and columns
        '"x"\t"y"\n"1"\t"u, 1"\t1\n"2"\tNA\t2\n"3"\t"v"\t3\n',
        '"y" "x"\n1 "u, 1"\n2 ""\n3 "v"\n',
    ],
)
def test_quotes_are_no_part_of_labels(matrix, text):
    matrix.with_name("labels.txt").write_text(text)
    dataset = beside(matrix, labels=["labels.txt"])
    np.testing.assert_array_equal(dataset.labels, [[0, -1, 1]])
    assert dataset.class_names == [["u, 1", "v"]]
    if '"x"' in text:
        assert beside(matrix, labels=["labels.txt:x"]).class_names == [["u, 1", "v"]]


@pytest.mark.parametrize(
    ("name", "mark"), [("a.csv", ","), ("a.txt", ","), ("a.txt", " "), ("a", "\t"), ("a.csv", ";")]
)
def test_entries_may_stand_in_one_line(matrix, name, mark):
    matrix.with_name(name).write_text(mark.join("313") + "\n")
    np.testing.assert_array_equal(beside(matrix, labels=[name]).labels, [[1, 0, 1]])
    matrix.with_name(f"known-{name}").write_text(mark.join("12") + "\n")
    known = beside(matrix, known=f"known-{name}", known_base=1).known
    np.testing.assert_array_equal(known, [True, True, False])


def test_one_hot_labels_in_text_may_have_a_line_per_class(matrix):
    matrix.with_name("Y.csv").write_text("1,0,0\n0,1,0\n")
    matrix.with_name("L.csv").write_text("1,0,0\n1,0,0\n")
    dataset = beside(matrix, labels=["Y.csv"], known="L.csv")
    np.testing.assert_array_equal(dataset.labels, [[0, 1, -1]])
    np.testing.assert_array_equal(dataset.known, [True, False, False])


def test_lines_of_other_lengths_and_samples_that_are_not_named_are_refused(matrix):
    matrix.with_name("meta.csv").write_text("d1,u\nd2\nd3,v\n")
    with pytest.raises(InputError, match=r"meta.csv: it has lines of 2 cells and of 1"):
        beside(matrix, labels=["meta.csv:2"])
    matrix.with_name("docs").write_text("d1\nd2\nd3\n")
    matrix.with_name("some.csv").write_text("doc,theme\nd3,v\nd1,u\nd0,u\nd4,u\n")
    with pytest.raises(InputError, match=r"some.csv: it names 2 of 3 samples, expected all"):
        beside(matrix, sample_names="docs", labels=["some.csv"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Y.csv", ',u,v\n"d1",1,0\n"d2",0,1\n"d3",0,0\n'),  # as R and pandas write them
        ("Y.csv", "1.0,0.0\n0.0,1.0\n0.0,0.0\n"),
        ("Y.txt", "1 0\n0 1\n0 0\n"),
        ("Y.txt", "1.000e+00 0.000e+00\n0.000e+00 1.000e+00\n0.000e+00 0.000e+00\n"),  # as numpy does
        ("Y.txt", "TRUE FALSE\nFALSE TRUE\nFALSE FALSE\n"),
        ("Y.txt", '"u" "v"\n"d1" 1 0\n"d2" 0 1\n"d3" 0 0\n'),
        ("Y.tsv", "id\tu\tv\nd1\t1\t0\nd2\t0\t1\nd3\t0\t0\n"),
    ],
)
def test_one_hot_labels_as_programs_write_them(matrix, name, text):
    matrix.with_name(name).write_text(text)
    np.testing.assert_array_equal(beside(matrix, labels=[name]).labels, [[0, 1, -1]])


def test_a_file_beside_that_is_no_text_says_what_it_is(matrix):
    matrix.with_name("a.txt").write_bytes("größe\nb\nc\n".encode("cp1252"))
    matrix.with_name("a.rds").write_bytes(gzip.compress(b"x"))
    with pytest.raises(InputError, match=r"a.txt is not utf-8 text; dataset.encoding=latin-1 may be what it needs"):
        beside(matrix, labels=["a.txt"])
    with pytest.raises(InputError, match=r"a.rds: it is packed by gzip, .* and no table of text"):
        beside(matrix, labels=["a.rds"])
