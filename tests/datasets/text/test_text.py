"""Texts of any folder or table: levels of labels, and what cannot be read."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.text.text import Text

CORPUS = {
    "comp.graphics/1": "pixel colour pixel",
    "comp.graphics/2": "colour shader",
    "comp.sys.mac/1": "apple disk",
    "sci.med/1": "doctor colour",
    "sci.med/2": "doctor disease the",
}


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return str(root)


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "corpus", CORPUS)


def load(**options):
    return Text(**options).load(np.random.default_rng(0))


@pytest.fixture(autouse=True)
def _needs_sklearn():
    pytest.importorskip("sklearn")


@pytest.mark.parametrize("options", [{"text_column": "body"}, {"label_columns": ["a"]}, {"delimiter": ";"}])
def test_options_of_tables_mean_nothing_to_a_folder(corpus, options):
    [name] = options
    with pytest.raises(InputError, match=rf"^dataset\.{name}=.* means nothing to a folder, as dataset\.path=.* is\.$"):
        load(path=corpus, **options)


def test_a_separator_of_folders_means_nothing_to_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("text\napple\n")
    with pytest.raises(InputError, match=r"^dataset\.separator=\. means nothing to a table, as dataset\.path="):
        load(path=str(tmp_path / "t.csv"), separator=".")


def test_labels_are_the_folders_and_with_a_separator_their_first_parts_too(corpus):
    assert [level.tolist() for level in load(path=corpus).labels] == [[0, 0, 1, 2, 2]]
    assert [level.tolist() for level in load(path=corpus, separator=".").labels] == [[0, 0, 1, 2, 2], [0, 0, 0, 1, 1]]


def test_nested_folders_are_levels_and_one_of_a_single_class_is_left_out(tmp_path):
    files = {"all/a/x/1": "one apple", "all/a/y/1": "two pear", "all/b/x/1": "three plum", "all/.hidden/2": "no"}
    dataset = load(path=write(tmp_path, files))
    # x below a is another class than x below b
    assert [level.tolist() for level in dataset.labels] == [[0, 1, 2], [0, 0, 1]]
    assert "no" not in dataset.feature_names


@pytest.mark.parametrize(("names", "called"), [(["1", "2"], ["1", "2"]), (["a/1", "a/2"], ["a/1", "a/2"])])
def test_texts_in_one_folder_have_no_labels(tmp_path, caplog, names, called):
    with caplog.at_level("INFO"):
        dataset = load(path=write(tmp_path / "one", dict.fromkeys(names, "word")))
    assert (dataset.labels, dataset.class_names, dataset.sample_names) == ([], [], called)
    assert "its texts are in one folder and have no labels" in caplog.text


def test_texts_of_folders_are_called_by_their_files_and_those_of_tables_by_their_first_words(tmp_path):
    files = {"all/a/x/1": "one apple", "all/a/y/2": "two pear", "all/b/x/3": "three plum"}
    assert load(path=write(tmp_path / "folder", files)).sample_names == ["x/1", "y/2", "x/3"]
    (tmp_path / "t.csv").write_text('text,group\n"=one, apple",a\n"two\npear",b\n')
    assert load(path=str(tmp_path / "t.csv"), label_columns=["group"]).sample_names == ["one, apple", "two pear"]


def test_a_table_gives_the_same_weights_as_a_folder(tmp_path, corpus):
    rows = [f'"{text}",{name.split("/")[0]},{name.split(".")[0]}' for name, text in CORPUS.items()]
    (tmp_path / "t.csv").write_text("body,group,field\n" + "\n".join(rows) + "\n", encoding="utf-8-sig")
    table = load(path=str(tmp_path / "t.csv"), text_column="body", label_columns=["group", "field"])
    folder = load(path=corpus, separator=".")
    assert table.fingerprint() == folder.fingerprint()
    assert load(path=str(tmp_path / "t.csv"), text_column="body").labels == []


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.gz"])
def test_tables_are_read_whatever_separates_them_and_compressed(tmp_path, mark, suffix):
    content = "text,label\n'pear, plum',a\n'apple; fig | nut',b\n".replace(",", mark).replace("'", '"').encode()
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    dataset = load(path=str(path), label_columns=["label"])
    assert dataset.feature_names == ["apple", "fig", "nut", "pear", "plum"]
    assert dataset.labels[0].tolist() == [0, 1]
    given = r"\t" if mark == "\t" else mark
    assert load(path=str(path), label_columns=["label"], delimiter=given).fingerprint() == dataset.fingerprint()


def test_a_delimiter_that_is_given_is_the_one(tmp_path):
    (tmp_path / "t.csv").write_text("text;label\npear;a\nplum;b\n")
    with pytest.raises(InputError, match=r"has no column text\. Expected one of: text;label"):
        load(path=str(tmp_path / "t.csv"), delimiter=",")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_of_a_spreadsheet_says_the_delimiter(tmp_path, end):
    (tmp_path / "t.csv").write_bytes(end.join(["sep=:", "text:label", "pear:a", "plum:b", ""]).encode())
    dataset = load(path=str(tmp_path / "t.csv"), label_columns=["label"])
    assert dataset.feature_names == ["pear", "plum"]
    assert dataset.class_names == [["a", "b"]]


def test_a_column_that_is_asked_for_stands_once(tmp_path):
    (tmp_path / "t.csv").write_text("text,label,label,note,note\npear,a,b,,\nplum,b,a,,\n")
    assert load(path=str(tmp_path / "t.csv")).feature_names == ["pear", "plum"]
    with pytest.raises(InputError, match="has the column label twice"):
        load(path=str(tmp_path / "t.csv"), label_columns=["label"])


def test_a_single_column_of_a_tsv_file_may_hold_commas(tmp_path):
    (tmp_path / "t.tsv").write_text("text\npear, plum\nfig\n")
    assert load(path=str(tmp_path / "t.tsv")).feature_names == ["fig", "pear", "plum"]
    (tmp_path / "t.tsv").write_text("title\tbody\npear\tplum\n")
    with pytest.raises(InputError, match="Expected one of: title, body"):
        load(path=str(tmp_path / "t.tsv"))


def test_texts_of_folders_may_be_compressed(tmp_path, corpus):
    for name, text in CORPUS.items():
        path = tmp_path / "packed" / f"{name}.txt.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))
    assert load(path=str(tmp_path / "packed")).fingerprint() == load(path=corpus).fingerprint()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"2\.txt\.gz is not a whole gzip file") as caught:
        load(path=str(tmp_path / "packed"))
    assert "\n" not in str(caught.value)


def test_labels_are_compared_as_they_are_written(tmp_path):
    rows = [f"word{i},{label}" for i, label in zip("abcdef", ("1_1", "11", "01", "1", "1_1", "1.0"), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, "1_2,11"]))
    dataset = load(path=str(tmp_path / "t.csv"), label_columns=["label"])
    order = sorted({"1_1", "11", "01", "1", "1.0"})
    assert dataset.labels[0].tolist() == [order.index(word) for word in ("1_1", "11", "01", "1", "1_1", "1.0", "11")]
    assert "1_2" in dataset.feature_names


def test_texts_without_a_label_are_of_no_class(tmp_path):
    none = ["", " ", "-1", "NaN", "N/A", "NULL", "None", "<NA>"]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"word,{label}\n" for label in ["b", *none, "a"]))
    dataset = load(path=str(tmp_path / "t.csv"), label_columns=["label"])
    assert dataset.labels[0].tolist() == [1, *([-1] * len(none)), 0]
    (tmp_path / "t.csv").write_text("text,label\nword,1\nother,-1\n")
    with pytest.raises(InputError, match=r"a single class in column label"):
        load(path=str(tmp_path / "t.csv"), label_columns=["label"])


def test_a_text_of_a_table_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path):
    (tmp_path / "t.csv").write_text(f"text,label\n{'apple ' * 30_000},a\npear,b\n")
    assert load(path=str(tmp_path / "t.csv"), label_columns=["label"]).feature_names == ["apple", "pear"]


def test_the_identity_is_what_files_hold_and_not_where(tmp_path):
    one, two = write(tmp_path / "one", CORPUS), write(tmp_path / "two", CORPUS)
    changed = write(tmp_path / "three", {**CORPUS, "sci.med/2": "doctor"})
    renamed = write(tmp_path / "four", {("x" + name): text for name, text in CORPUS.items()})
    same = Text(path=one).identity()
    assert Text(path=two).identity() == same
    assert Text(path=changed).identity() != same
    assert Text(path=renamed).identity() != same
    assert Text(path=one, min_df=2).identity() != same


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no files"),
        ({"a/1": "word", "2": "word"}, "outside of class folders, such as 2"),
        ({"a/1": "", "b/1": ""}, "leaves no words to count: empty vocabulary"),
        ({"a/1": "word", "b/1": ""}, "documents of a single class"),
    ],
)
def test_a_folder_that_makes_no_data_is_refused(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as caught:
        load(path=write(tmp_path, files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("text,label\n", "no rows"),
        ("body,label\na b,1\n", "has no column text. Expected one of: body, label"),
        ("text,group\na b,1\n", "has no column label. Expected one of: text, group"),
        ("text,label\nword\n", "line 2 has 1 cells, expected 2"),
        ("text,label\nword,1\nother,1\n", "a single class in column label"),
        ("text,label\nword,1\nother,\n", "a single class in column label"),
    ],
)
def test_a_table_that_makes_no_data_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        load(path=str(tmp_path / "t.csv"), label_columns=["label"])


def test_files_of_another_encoding_are_refused_and_read_if_it_is_named(tmp_path):
    path = write(tmp_path, {"b/1": "pear"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_bytes("caf\xe9".encode("latin1"))
    with pytest.raises(
        InputError, match=r"a/1 is not utf-8 text \(byte 0xe9 at 3\); dataset\.encoding=latin-1 may be what it needs"
    ):
        load(path=path)
    assert load(path=path, encoding="latin1").feature_names == ["caf\xe9", "pear"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "dataset.path is missing"),
        ({"path": "absent"}, "dataset.path=absent does not exist"),
        ({"min_df": 0}, "dataset.min_df=0"),
        ({"encoding": "utf-99"}, "dataset.encoding=utf-99"),
        ({"encoding": "hex"}, "dataset.encoding=hex"),
        ({"delimiter": ""}, "dataset.delimiter"),
        ({"delimiter": "::"}, "dataset.delimiter='::' is not valid. Expected one character"),
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        load(**options)
