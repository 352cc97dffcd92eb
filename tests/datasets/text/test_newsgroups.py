"""The newsgroups of the published experiment, from an invented corpus of the same layout."""

from __future__ import annotations

import codecs
import pickle
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.text.newsgroups import OTHERS, THEMES, Newsgroups, body

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
    assert first.sample_names == [every.sample_names[i] for i in chosen]
    assert first.sample_names[2].startswith("comp.sys.mac.hardware/")
    assert (archive / "20news-bydate-train" / first.sample_names[2]).is_file()


def test_a_message_without_words_gives_its_place_to_the_next(archive):
    (archive / "20news-bydate-train" / "sci.med" / "100").write_text("From: a\n\n> quoted\n")
    np.testing.assert_array_equal(np.bincount(load(path=str(archive), per_class=2).labels[0]), 2)


def pack(folder, path, mode="w:gz"):
    """An archive of what is in a folder."""
    with tarfile.open(path, mode) as archive:
        for child in sorted(folder.iterdir()):
            archive.add(child, child.name)
    return path


@pytest.mark.parametrize("below", ["", "20news-bydate-train"])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_gives_the_same_as_its_folder(archive, tmp_path_factory, below, mode):
    path = pack(archive / below, tmp_path_factory.mktemp("packed") / "20news-bydate.tar", mode)
    assert load(path=str(path)).fingerprint() == load(path=str(archive)).fingerprint()


def test_messages_to_test_with_are_left_out(archive, tmp_path):
    before = load(path=str(archive)).fingerprint()
    for group in THEMES:
        folder = archive / "20news-bydate-test" / group
        folder.mkdir(parents=True)
        (folder / "99").write_text(message(group, 9))
    packed = pack(archive, tmp_path.parent / f"{tmp_path.name}.tar.gz")
    assert load(path=str(archive)).fingerprint() == load(path=str(packed)).fingerprint() == before


@pytest.fixture
def twenty(tmp_path):
    """Messages of twenty groups, 3 to 12 of each, whose names do not sort as numbers."""
    for i, group in enumerate(sorted([*THEMES, *OTHERS])):
        folder = tmp_path / "twenty" / "20news-bydate-train" / group
        folder.mkdir(parents=True)
        for k in range(3 + i * 7 % 10):
            (folder / str(95 + k)).write_text(f"From: a\n\ncommon {group.replace('.', '')}x{'abcdefghijkl'[k]}\n")
    return tmp_path / "twenty"


def test_the_order_of_scikit_learn_is_what_it_returns(twenty, tmp_path, tmp_path_factory):
    sklearn = pytest.importorskip("sklearn.datasets")
    stored = sklearn.load_files(twenty / "20news-bydate-train", encoding="latin1")  # as it stores what it fetches
    content = pickle.dumps({"train": stored, "test": stored})
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(codecs.encode(content, "zlib_codec"))
    found = sklearn.fetch_20newsgroups(
        data_home=tmp_path, subset="train", categories=list(THEMES), remove=("headers",), download_if_missing=False
    )
    expected = [
        text.split()[-1]
        for group in range(10)
        for text in [text for text, target in zip(found.data, found.target, strict=True) if target == group][:3]
    ]
    packed = pack(twenty, tmp_path_factory.mktemp("packed") / "20news-bydate.tar.gz")
    for path in (twenty, packed):
        dataset = load(path=str(path), order="scikit-learn", per_class=3, idf=False, norm=None)
        words = np.array(dataset.feature_names)
        assert [words[column > 0].tolist() for column in dataset.X.toarray().T] == [
            sorted(["common", word]) for word in expected
        ]
        np.testing.assert_array_equal(dataset.labels[0], np.repeat(np.arange(10), 3))
    by_name = load(path=str(twenty), per_class=3, idf=False, norm=None)
    assert by_name.feature_names == dataset.feature_names
    assert by_name.fingerprint() != dataset.fingerprint()


def test_the_order_of_scikit_learn_needs_all_groups_and_depends_on_their_names(archive, twenty):
    with pytest.raises(InputError, match=r"no texts of comp\.os.* \(dataset\.order=scikit-learn depends on all twenty"):
        load(path=str(archive), order="scikit-learn")
    orders = ("name", "scikit-learn")
    before = [Newsgroups(path=str(twenty), order=order).identity() for order in orders]
    (twenty / "20news-bydate-train" / "alt.atheism" / "1").write_text("another")
    after = [Newsgroups(path=str(twenty), order=order).identity() for order in orders]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_labels_of_the_first_messages_of_every_group_are_known(archive):
    assert load(path=str(archive)).known is None
    np.testing.assert_array_equal(load(path=str(archive), known=2).known, np.arange(30) % 3 < 2)


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-6],
        lambda content: flipped(content, len(content) // 2),
        lambda content: flipped(content, len(content) - 6),
        lambda content: b"",
        lambda content: b"no archive",
    ],
    ids=["half", "without its end", "a byte in the middle", "a byte of the checksum", "empty", "text"],
)
def test_a_damaged_archive_is_refused(archive, tmp_path_factory, damage):
    path = pack(archive, tmp_path_factory.mktemp("packed") / "a.tar.gz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"dataset\.path=.*a\.tar\.gz is not a readable archive \(.+\).*Expected"
    ) as caught:
        load(path=str(path))
    assert "\n" not in str(caught.value)


def test_nothing_of_an_archive_is_written_or_followed(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    path = pack(archive, folder / "a.tar.gz")
    links = tarfile.TarInfo("20news-bydate-train/sci.med/500"), tarfile.TarInfo("sci.med/../../escaped")
    links[0].type, links[0].linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(folder / "b.tar", "w") as target, tarfile.open(path) as source:
        for member in source:
            target.addfile(member, source.extractfile(member))
        for link in links:
            target.addfile(link)
    before = sorted(folder.rglob("*"))
    assert load(path=str(folder / "b.tar")).fingerprint() == load(path=str(archive)).fingerprint()
    assert sorted(folder.rglob("*")) == before
    assert not (folder.parent / "escaped").exists()


def test_a_text_that_says_it_is_huge_is_not_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as target:
        member = tarfile.TarInfo("sci.med/1")
        member.size = 2**40
        target.fileobj.write(member.tobuf())
    with pytest.raises(InputError, match=r"sci\.med/1 has 1099511627776 bytes"):
        load(path=str(tmp_path / "a.tar"))


@pytest.fixture
def fetching(archive, monkeypatch):
    """Folders that scikit-learn was told to fetch to, one a call; it gives the messages of `archive`."""
    sklearn = pytest.importorskip("sklearn.datasets")
    homes = []

    def fetch(data_home, subset, categories, shuffle, n_retries):
        assert (subset, shuffle) == ("train", False)
        homes.append(Path(data_home))
        (homes[-1] / "20news-bydate_py3.pkz").write_bytes(b"\x80\x04.")
        folder = archive / "20news-bydate-train"
        for group in {*categories} - {path.name for path in folder.iterdir()}:
            (folder / group).mkdir()
            (folder / group / "1").write_text(message(group, 1))
        return sklearn.load_files(folder, categories=categories, encoding="latin1", random_state=0)

    monkeypatch.setattr(sklearn, "fetch_20newsgroups", fetch)
    return homes


def test_what_is_fetched_gives_the_same_as_the_folder_and_is_kept(archive, fetching, tmp_path):
    offline, cache = load(path=str(archive)), tmp_path / "data"
    assert load(cache=str(cache)).fingerprint() == offline.fingerprint()
    [home] = fetching
    assert home.parent == cache
    [kept] = cache.iterdir()  # neither scikit-learn's folder nor its pickle
    assert load(cache=str(cache)).fingerprint() == offline.fingerprint()
    assert load(path=str(kept)).fingerprint() == offline.fingerprint()
    assert len(fetching) == 1


def test_what_is_kept_for_one_order_serves_the_other_if_it_holds_all_groups(archive, fetching, tmp_path):
    cache = str(tmp_path / "data")
    by_name = load(cache=cache).fingerprint()
    ordered = load(cache=cache, order="scikit-learn").fingerprint()
    assert len(fetching) == 2
    assert load(cache=cache).fingerprint() == by_name
    assert load(cache=cache, order="scikit-learn").fingerprint() == ordered
    assert ordered == load(path=str(archive), order="scikit-learn").fingerprint()
    assert len(fetching) == 2
    assert len([*(tmp_path / "data").iterdir()]) == 1


def test_a_damaged_file_is_named_and_fetched_again(fetching, tmp_path, caplog):
    first = load(cache=str(tmp_path / "data"))
    [kept] = (tmp_path / "data").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(flipped(whole, len(whole) // 2))
    assert load(cache=str(tmp_path / "data")).fingerprint() == first.fingerprint()
    assert f"{kept} is damaged" in caplog.text
    assert [path.read_bytes() for path in (tmp_path / "data").iterdir()] == [whole]
    assert len(fetching) == 2


def no_internet(**options):
    raise URLError("no route")


def test_without_the_internet_it_is_said_what_to_bring(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", SimpleNamespace(fetch_20newsgroups=no_internet))
    expected = (
        r"no route.*or 20news-bydate\.tar\.gz from http://qwone\.com/~jason/20Newsgroups: put it into .*/, or give"
    )
    with pytest.raises(InputError, match=expected) as caught:
        load(cache=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_was_brought_to_the_data_folder_is_found(archive, monkeypatch, tmp_path_factory):
    cache = tmp_path_factory.mktemp("data")
    monkeypatch.setattr("sklearn.datasets.fetch_20newsgroups", no_internet)
    with pytest.raises(InputError, match="cannot be fetched"):
        load(cache=str(cache))
    pack(archive, cache / "20news-bydate.tar.gz")
    assert load(cache=str(cache)).fingerprint() == load(path=str(archive)).fingerprint()
    given = Newsgroups(path=str(cache / "20news-bydate.tar.gz"))
    assert Newsgroups(cache=str(cache)).identity() == given.identity()


def test_a_damaged_file_that_cannot_be_fetched_again_is_refused(fetching, monkeypatch, tmp_path, caplog):
    load(cache=str(tmp_path / "data"))
    [kept] = (tmp_path / "data").iterdir()
    kept.write_bytes(b"damaged")
    monkeypatch.setattr("sklearn.datasets.fetch_20newsgroups", no_internet)
    with pytest.raises(InputError, match="cannot be fetched"):
        load(cache=str(tmp_path / "data"))
    assert f"{kept} is damaged" in caplog.text


def test_a_file_that_cannot_be_written_whole_is_not_kept(archive, fetching, monkeypatch, tmp_path, caplog):
    def replace(source, target):
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr("nnmf_runner.store.files.os.replace", replace)
    assert load(cache=str(tmp_path / "data")).fingerprint() == load(path=str(archive)).fingerprint()
    assert "cannot be kept: No space left on device" in caplog.text
    assert list((tmp_path / "data").iterdir()) == []


def test_a_data_folder_that_is_none_is_refused(fetching, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError, match=r"dataset\.cache=.*data cannot be used: File exists\. Expected a folder"):
        load(cache=str(tmp_path / "data"))
    assert fetching == []


def test_the_identity_is_what_messages_hold_and_not_where(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no archive has been put into the data folder
    same = Newsgroups(path=str(archive)).identity()
    assert Newsgroups(path=str(archive / "20news-bydate-train"), cache="elsewhere").identity() == same
    (archive / "20news-bydate-train" / "sci.med" / "101").write_text("other")
    assert Newsgroups(path=str(archive)).identity() != same
    assert Newsgroups().identity()["path"] is None


def test_a_cache_of_scikit_learn_is_not_read(tmp_path):
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"cache is a pickle, which is not opened\. Expected 20news-bydate\.tar\.gz"):
        load(path=str(tmp_path / "20news-bydate_py3.pkz"))
    with pytest.raises(InputError, match=r"holds no texts of comp\.graphics.* Expected 20news-bydate\.tar\.gz"):
        load(path=str(tmp_path))


def test_a_folder_without_some_of_the_groups_is_refused(archive):
    for path in (archive / "20news-bydate-train" / "sci.space").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"holds no texts of sci\.space"):
        load(path=str(archive))


def test_options_that_make_no_data_are_refused():
    with pytest.raises(InputError, match=r"dataset\.per_class=0"):
        Newsgroups(per_class=0)
    with pytest.raises(InputError, match=r"dataset\.order=random is not known\. Expected one of: name, scikit-learn"):
        Newsgroups(order="random")
    with pytest.raises(InputError, match=r"dataset\.known=6 is not valid\. Expected an integer in \[1, 5\]"):
        Newsgroups(per_class=5, known=6)
    with pytest.raises(InputError, match=r"dataset\.path=absent does not exist"):
        Newsgroups(path="absent").identity()
