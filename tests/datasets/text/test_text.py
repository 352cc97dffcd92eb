"""Texts of any folder or table: levels of labels, and what cannot be read."""

from __future__ import annotations

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


def test_labels_are_the_folders_and_with_a_separator_their_first_parts_too(corpus):
    assert [level.tolist() for level in load(path=corpus).labels] == [[0, 0, 1, 2, 2]]
    assert [level.tolist() for level in load(path=corpus, separator=".").labels] == [[0, 0, 1, 2, 2], [0, 0, 0, 1, 1]]


def test_nested_folders_are_levels_and_one_of_a_single_class_is_left_out(tmp_path):
    files = {"all/a/x/1": "one apple", "all/a/y/1": "two pear", "all/b/x/1": "three plum", "all/.hidden/2": "no"}
    dataset = load(path=write(tmp_path, files))
    # x below a is another class than x below b
    assert [level.tolist() for level in dataset.labels] == [[0, 1, 2], [0, 0, 1]]
    assert "no" not in dataset.feature_names


def test_a_table_gives_the_same_weights_as_a_folder(tmp_path, corpus):
    rows = [f'"{text}",{name.split("/")[0]},{name.split(".")[0]}' for name, text in CORPUS.items()]
    (tmp_path / "t.csv").write_text("body,group,field\n" + "\n".join(rows) + "\n", encoding="utf-8-sig")
    table = load(path=str(tmp_path / "t.csv"), text_column="body", label_columns=["group", "field"])
    folder = load(path=corpus, separator=".")
    assert table.fingerprint() == folder.fingerprint()
    assert load(path=str(tmp_path / "t.csv"), text_column="body").labels == []


def test_an_empty_cell_of_a_table_is_no_label(tmp_path):
    (tmp_path / "texts.csv").write_text("text,group\nred apple,fruit\ngreen pea,\nblue car,thing\n")
    dataset = Text(path=str(tmp_path / "texts.csv"), label_columns=["group"]).load(np.random.default_rng(0))
    assert (dataset.labels[0].tolist(), dataset.classes) == ([0, -1, 1], [2])


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
        ({}, "holds no class folders"),
        ({"1": "word", "2": "word"}, "holds no class folders"),
        ({"a/1": "word", "2": "word"}, "outside of class folders, such as 2"),
        ({"a/1": "word", "a/2": "word"}, "a single class"),
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
        ("text,label\nword\n", "1 columns in row 1, expected 2"),
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
    with pytest.raises(InputError, match="1 is not utf-8 text"):
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
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        load(**options)
