"""Stop words from an option: a list, a file or scikit-learn's, and the features that they leave."""

from __future__ import annotations

import gzip

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.stop_words import keeps, read_stop_words, stop_words_identity

FILE = "the  a\n# a comment\nof # another, of words\n\tthe c# \ufeffd\n"
WORDS = ["a", "c#", "of", "the", "\ufeffd"]


@pytest.fixture
def stop_file(tmp_path):
    (tmp_path / "stop.txt").write_text("\ufeff" + FILE, encoding="utf-8")
    return str(tmp_path / "stop.txt")


def test_words_of_a_list_and_a_file_are_read_once_each(stop_file):
    assert read_stop_words(None, "text") == []
    assert read_stop_words(["the", "of", "the"], "text") == ["of", "the"]
    assert read_stop_words(stop_file, "text") == sorted(WORDS)


def test_english_words_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.feature_extraction.text").ENGLISH_STOP_WORDS
    assert set(read_stop_words("english", "text")) == theirs


def test_a_file_may_be_compressed_and_in_the_home_folder(stop_file, tmp_path, monkeypatch):
    (tmp_path / "stop.txt.gz").write_bytes(gzip.compress(FILE.encode()))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_stop_words("~/stop.txt.gz", "text") == read_stop_words("~/stop.txt", "text") == sorted(WORDS)


def test_the_identity_is_the_words_and_not_where_they_are(stop_file, tmp_path):
    (tmp_path / "same.txt").write_text("\n".join(WORDS))
    same = stop_words_identity(stop_file)
    assert stop_words_identity(str(tmp_path / "same.txt")) == stop_words_identity(WORDS[::-1]) == same
    (tmp_path / "same.txt").write_text("\n".join(WORDS[1:]))
    others = [str(tmp_path / "same.txt"), WORDS[:2], ["ac#"], "english", None]
    assert len({same, *map(stop_words_identity, others)}) == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("german", r"stop_words=german does not exist. Expected english, a list .*, a file of words, or null"),
        (".", r"stop_words=\. is not a file"),
        ([], r"stop_words=\[\] holds no words"),
        (["the", True], "stop_words holds True, which is no text. Expected words, in quotes"),
        (3, "stop_words=3 holds no words"),
    ],
)
def test_what_stands_for_no_words_is_refused(given, message):
    with pytest.raises(InputError, match=message) as caught:
        read_stop_words(given, "text")
    assert "\n" not in str(caught.value)


def test_files_of_no_words_or_another_encoding_are_refused(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"stop\.txt holds no words"):
        read_stop_words(str(path), "text")
    path.write_bytes(b"f\xfcr")
    with pytest.raises(InputError, match=r"not utf-8 text \(byte 0xfc at 1\); it may be latin-1: convert it"):
        read_stop_words(str(path), "text")


def test_features_are_kept_unless_their_name_is_a_stop_word_as_it_is_written(caplog):
    caplog.set_level("INFO")
    assert keeps(["the", "The", "cat", "of"], ["of", "the"]).tolist() == [False, True, True, False]
    assert "dataset.stop_words: 2 of 4 features are left out" in caplog.text
    caplog.clear()
    assert keeps(["the", "cat"], None).all()
    assert not caplog.records


def test_stop_words_that_leave_no_feature_are_refused():
    with pytest.raises(InputError, match=r"dataset\.stop_words leaves no features"):
        keeps(["the", "of"], ["of", "the", "a"])
