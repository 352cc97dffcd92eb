"""The newsgroups of the published experiment, from an invented corpus of the same layout."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.newsgroups import THEMES, Newsgroups, body

MESSAGES = [
    "From: a\nSubject: header\n\nbody of message\nsecond line\n",
    "From: a\n\nIn article 1 someone writes:\n> quoted\n| quoted too\nanswer\n\n-- \nsignature\n",
    "From: a\n\nno footer\n",
    "From: a\n\n\n\nleading blank\n\nlast part\n",
    "From: a\n\n--\nall signature",
    "From: a\n\n",
    "no blank line",
    "From: a\n\none\n----\ntwo\n   \nhe said: three\n\n\n",
]


def message(group, i):
    return f"From: someone\nSubject: secret{i}\n\nword{group.replace('.', '')} text{i * 'x'} 1993\n\n--\nsignature\n"


@pytest.fixture
def archive(tmp_path):
    """Three messages of every group, and one of another group."""
    for group in [*THEMES, "alt.atheism"]:
        folder = tmp_path / "20news-bydate-train" / group
        folder.mkdir(parents=True)
        for i in range(3):
            (folder / str(100 + i)).write_text(message(group, i))
    return tmp_path


def load(**options):
    pytest.importorskip("sklearn")
    return Newsgroups(**options).load(np.random.default_rng(0))


@pytest.mark.parametrize("text", MESSAGES)
def test_bodies_are_what_scikit_learn_leaves(text):
    theirs = pytest.importorskip("sklearn.datasets._twenty_newsgroups")
    expected = theirs.strip_newsgroup_quoting(theirs.strip_newsgroup_footer(theirs.strip_newsgroup_header(text)))
    assert body(text) == expected


@pytest.mark.parametrize("below", ["", "20news-bydate-train"])
def test_ten_groups_are_under_six_themes(archive, below):
    dataset = load(path=str(archive / below))
    groups, themes = dataset.labels
    np.testing.assert_array_equal(groups, np.repeat(np.arange(10), 3))
    np.testing.assert_array_equal(themes, np.repeat([0, 0, 1, 2, 2, 3, 3, 4, 4, 5], 3))
    assert not any("secret" in word or "signature" in word for word in dataset.feature_names)
    assert not any(any(letter.isdigit() for letter in word) for word in dataset.feature_names)
    assert not any("atheism" in word for word in dataset.feature_names)
    np.testing.assert_allclose((dataset.X**2).sum(axis=0), 1.0, rtol=1e-12)


def test_samples_are_the_first_messages_and_words_those_of_all(archive):
    every, first = load(path=str(archive)), load(path=str(archive), per_class=2)
    assert first.feature_names == every.feature_names
    chosen = np.flatnonzero(np.arange(30) % 3 < 2)
    np.testing.assert_array_equal(first.X.toarray(), every.X.toarray()[:, chosen])


def test_a_message_without_words_gives_its_place_to_the_next(archive):
    (archive / "20news-bydate-train" / "sci.med" / "100").write_text("From: a\n\n> quoted\n")
    np.testing.assert_array_equal(np.bincount(load(path=str(archive), per_class=2).labels[0]), 2)


def test_what_is_fetched_gives_the_same_as_the_folder(archive, monkeypatch):
    sklearn = pytest.importorskip("sklearn.datasets")
    root = archive / "20news-bydate-train"
    offline = load(path=str(archive))

    def fetch(subset, categories, shuffle, n_retries):
        assert (subset, shuffle) == ("train", False)
        return sklearn.load_files(root, categories=categories, encoding="latin1", random_state=0)

    monkeypatch.setattr(sklearn, "fetch_20newsgroups", fetch)
    assert load().fingerprint() == offline.fingerprint()


def test_without_the_internet_it_is_said_what_to_bring(monkeypatch):
    def fetch(**options):
        raise URLError("no route")

    monkeypatch.setitem(sys.modules, "sklearn.datasets", SimpleNamespace(fetch_20newsgroups=fetch))
    with pytest.raises(InputError, match=r"no route.*dataset.path=a folder that holds 20news-bydate-train") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_the_identity_is_what_messages_hold_and_not_where(archive):
    same = Newsgroups(path=str(archive)).identity()
    assert Newsgroups(path=str(archive / "20news-bydate-train")).identity() == same
    (archive / "20news-bydate-train" / "sci.med" / "101").write_text("other")
    assert Newsgroups(path=str(archive)).identity() != same
    assert Newsgroups().identity()["path"] is None


def test_a_cache_of_scikit_learn_is_not_read(tmp_path):
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(b"\x80\x04.")
    for path in (tmp_path / "20news-bydate_py3.pkz", tmp_path):
        with pytest.raises(InputError, match=r"dataset.path=.* Expected a folder"):
            load(path=str(path))


def test_a_folder_without_some_of_the_groups_is_refused(archive):
    for path in (archive / "20news-bydate-train" / "sci.space").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"holds no texts of sci\.space"):
        load(path=str(archive))


def test_options_that_make_no_data_are_refused():
    with pytest.raises(InputError, match=r"dataset\.per_class=0"):
        Newsgroups(per_class=0)
    with pytest.raises(InputError, match=r"dataset\.path=absent does not exist"):
        Newsgroups(path="absent").identity()
