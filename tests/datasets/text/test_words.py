"""Documents as columns of weights: tf-idf by its definition, options, which documents become samples, what is kept."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.text import words
from nnmf_runner.datasets.text.words import Documents, Words

TEXTS = ["pixel colour pixel", "colour shader", "Apple disk", "doctor colour", "doctor disease the"]
CLASSES = [["b", "b", "a", "c", "c"], ["y", "y", "y", "x", "x"]]
NAMES = ["apple", "colour", "disease", "disk", "doctor", "pixel", "shader"]  # without the stop word


@dataclass
class Given(Words):
    """Documents from one file, which is there to be hashed alone."""

    name: ClassVar[str] = "given"
    path: str | None = None

    def sources(self):
        return ([], Path()) if self.path is None else ([Path(self.path)], Path(self.path))


@pytest.fixture
def weigh(tmp_path):
    """The dataset of some documents by its options."""
    pytest.importorskip("sklearn")

    def make(texts=TEXTS, classes=CLASSES, per_class=None, names=None, **options):
        given = Given(cache=str(tmp_path / "data"), **options)
        return given.weighted(lambda: Documents(texts, classes, names), per_class)

    return make


def expected_weights(idf=True, length=2):
    """Smooth tf-idf with columns of unit length, from its definition."""
    split = [text.lower().split() for text in TEXTS]
    counts = np.array([[text.count(word) for text in split] for word in NAMES], float)
    if idf:
        rarity = [math.log((1 + len(split)) / (1 + sum(word in text for text in split))) + 1 for word in NAMES]
        counts *= np.array(rarity)[:, None]
    return counts / np.linalg.norm(counts, ord=length, axis=0) if length else counts


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, {}), ({"norm": "l1"}, {"length": 1}), ({"idf": False}, {"idf": False}), ({"norm": None}, {"length": None})],
)
def test_weights_are_tf_idf_by_its_definition(weigh, options, expected):
    dataset = weigh(**options)
    assert dataset.feature_names == NAMES
    assert (dataset.name, dataset.X.format) == ("given", "csr")
    np.testing.assert_allclose(dataset.X.toarray(), expected_weights(**expected), rtol=1e-12)
    assert [level.tolist() for level in dataset.labels] == [[1, 1, 0, 2, 2], [1, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"min_df": 2}, ["colour", "doctor"]),
        ({"min_df": 0.6}, ["colour"]),
        ({"max_df": 1}, ["apple", "disease", "disk", "pixel", "shader"]),
        ({"max_df": 0.5}, [name for name in NAMES if name != "colour"]),
        ({"max_features": 1}, ["colour"]),
        ({"stop_words": None}, sorted([*NAMES, "the"])),
        ({"stop_words": ["the", "pixel"]}, [name for name in NAMES if name != "pixel"]),
        ({"lowercase": False}, ["Apple", *NAMES[1:]]),
    ],
)
def test_options_choose_the_words(weigh, options, names):
    assert weigh(**options).feature_names == names


def test_classes_keep_their_names_and_a_text_without_one_has_no_label(weigh):
    dataset = weigh(classes=[["b", None, "a", "c", None], CLASSES[1]])
    assert dataset.class_names == [["a", "b", "c"], ["x", "y"]]
    assert [level.tolist() for level in dataset.labels] == [[1, -1, 0, 2, -1], [1, 1, 1, 0, 0]]


def test_documents_without_a_word_are_left_out_and_counted(weigh, caplog):
    dataset = weigh([*TEXTS, "the of", ""], [[*level, "z", "z"] for level in CLASSES], idf=False)
    np.testing.assert_array_equal(dataset.X.toarray(), weigh(idf=False).X.toarray())
    assert [level.max() for level in dataset.labels] == [2, 1]
    assert "dataset=given: 2 of 7 documents hold no word that counts and are left out" in caplog.text


def test_documents_without_a_word_may_stay_as_columns_of_zeros(weigh, caplog):
    texts, classes = [TEXTS[0], "the of", *TEXTS[1:]], [[level[0], "z", *level[1:]] for level in CLASSES]
    dataset = weigh(texts, classes, keep_empty=True, idf=False)
    assert not dataset.X[:, [1]].toarray().any()
    np.testing.assert_array_equal(np.delete(dataset.X.toarray(), 1, axis=1), weigh(idf=False).X.toarray())
    assert [level[1] for level in dataset.labels] == [3, 2]
    assert "1 of 6 documents hold no word that counts and stay as columns of zeros" in caplog.text


def test_documents_are_called_by_their_first_words_or_by_their_names(weigh):
    assert weigh().sample_names == TEXTS
    assert weigh(per_class=1).sample_names == [TEXTS[0], *TEXTS[2:4]]
    texts = ["", "long words " * 100, *TEXTS]
    found = weigh(texts, [["a", "b", *CLASSES[0]]]).sample_names  # without the empty one
    assert found[1:] == TEXTS
    assert len(found[0]) <= 60
    assert found[0].endswith("words long…")
    assert weigh(names=[f"{i}.txt" for i in range(5)], per_class=1).sample_names == ["0.txt", "2.txt", "3.txt"]


def test_documents_without_a_label_are_of_no_class(weigh):
    dataset = weigh(classes=[["b", None, "a", "c", None], CLASSES[1]])
    assert [level.tolist() for level in dataset.labels] == [[1, -1, 0, 2, -1], [1, 1, 1, 0, 0]]
    with pytest.raises(InputError, match="documents of a single class"):
        weigh(classes=[["b", None, None, "b", "b"]])


def test_stop_words_that_texts_do_not_read_so_are_named_in_one_line(weigh, caplog, recwarn):
    weigh(stop_words=["don't", "The", "a", "disk"])
    [record] = caplog.records
    assert "some read don, the, no stop words themselves" in record.getMessage()
    assert not recwarn
    caplog.clear()
    weigh(stop_words=["don't", "don", "the", "a"])
    weigh(stop_words=["The"], lowercase=False)
    assert not caplog.records


def test_the_first_documents_of_every_class_become_samples_and_all_give_the_words(weigh):
    every, first = weigh(), weigh(per_class=1)
    assert first.feature_names == every.feature_names
    np.testing.assert_array_equal(first.X.toarray(), every.X.toarray()[:, [0, 2, 3]])
    assert first.labels[0].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("texts", "classes", "message"),
    [
        (["", "the"], [["a", "b"]], "dataset=given leaves no words to count: empty vocabulary"),
        (["word", ""], [["a", "b"]], "dataset=given has documents of a single class"),
        (["word", "other"], [["a", "b"], ["c", "c"]], "dataset=given has documents of a single class"),
        (["word", "other"], [["a", ""]], "dataset=given has documents of a single class"),
    ],
)
def test_documents_that_make_no_data_are_refused_in_one_line(weigh, texts, classes, message):
    with pytest.raises(InputError, match=message) as caught:
        weigh(texts, classes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_df": 0}, r"dataset\.min_df=0"),
        ({"min_df": 1.5}, r"dataset\.min_df=1\.5"),
        ({"max_df": "many"}, r"dataset\.max_df=many"),
        ({"max_features": 0}, r"dataset\.max_features=0"),
        ({"stop_words": "german"}, r"dataset\.stop_words=german"),
        ({"lowercase": "no"}, r"dataset\.lowercase=no"),
        ({"keep_empty": 1}, r"dataset\.keep_empty=1"),
        ({"norm": "max"}, r"dataset\.norm=max"),
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Given(**options)


def test_the_identity_is_what_the_file_holds_and_neither_its_place_nor_that_of_the_cache(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "other")):
        (tmp_path / name).write_text(text)
    same = Given(path=str(tmp_path / "a")).identity()
    assert Given(path=str(tmp_path / "b"), cache="elsewhere").identity() == same
    assert Given(path=str(tmp_path / "c")).identity() != same
    assert Given(path=str(tmp_path / "a"), idf=False).identity() != same
    assert Given(path=str(tmp_path / "a"), stop_words=["a"]).identity() != same
    given, file = (Given(path=str(tmp_path / "a"), stop_words=stop) for stop in (["one"], str(tmp_path / "b")))
    assert file.identity() == given.identity()
    assert Given().identity()["path"] is None


def test_weights_of_long_texts_are_kept_and_those_of_short_ones_made_again(weigh, tmp_path, monkeypatch):
    monkeypatch.setattr(words, "LARGE", sum(map(len, TEXTS)) + 1)
    weigh()
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(words, "LARGE", sum(map(len, TEXTS)))
    first = weigh()
    assert len([*(tmp_path / "data" / "derived").iterdir()]) == 1
    again = weigh(texts=["never", "read"])  # found by what determines it, and the documents are not asked for
    assert again.fingerprint() == first.fingerprint()
    assert sparse.issparse(again.X)


def test_without_the_package_the_command_is_named(monkeypatch, weigh):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(InputError, match=r"dataset=given .* pip install 'nnmf-runner\[text\]'"):
        weigh()
