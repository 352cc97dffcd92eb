"""What is derived from texts is kept, found again by what determines it, checked, and never half written."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.datasets.files.kept import MOST, keep, recall
from nnmf_runner.datasets.text import words
from nnmf_runner.datasets.text.text import Text


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A CSV file of six texts of two classes, and a limit that they are above."""
    monkeypatch.setattr(words, "LARGE", 1)
    path = tmp_path / "texts.csv"
    path.write_text("text,theme\n" + "".join(f"word{i} {'red' if i % 2 else 'blue'} näive,{i % 2}\n" for i in range(6)))
    return path


@pytest.fixture
def load(table, tmp_path):
    """The dataset by its options."""
    pytest.importorskip("sklearn")

    def make(**options):
        source = Text(path=str(table), label_columns=["theme"], cache=str(tmp_path / "data"), **options)
        return source.load(np.random.default_rng(0))

    return make


@pytest.fixture
def files(tmp_path):
    """Paths of what is kept."""
    return lambda: sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file())


@pytest.fixture
def weighed(monkeypatch):
    """How often weights were made."""
    calls, original = [], Text._weighed
    monkeypatch.setattr(Text, "_weighed", lambda *given: calls.append(1) or original(*given))
    return calls


def test_what_is_kept_is_what_was_derived(load, files, weighed):
    first, second = load(), load()
    assert len(weighed) == len(files()) == 1
    assert len(second.weights["idf"]) == len(second.feature_names)
    assert second.fingerprint() == first.fingerprint()
    assert second.feature_names == first.feature_names
    assert second.class_names == first.class_names == [["0", "1"]]
    assert "näive" in second.feature_names
    assert second.weights == first.weights
    assert (second.X.dtype, second.X.format, second.name) == (first.X.dtype, first.X.format, first.name)


def test_other_options_texts_versions_and_code_are_derived_anew(load, files, table, monkeypatch):
    assert load().X.shape == (9, 6)
    assert load(norm="l1").X.sum(axis=0) == pytest.approx(1.0)
    table.write_text(table.read_text() + "unseen,1\n")
    assert load().X.shape == (10, 7)
    monkeypatch.setattr(words.metadata, "version", lambda name: "another")
    load()
    monkeypatch.setattr(words.inspect, "getfile", lambda part: table)  # in the place of the code that weighs
    load()
    assert len(files()) == 5


def test_the_place_of_the_texts_does_not_matter(load, files, table, tmp_path):
    load()
    moved = table.rename(tmp_path / "moved.csv")
    Text(path=str(moved), label_columns=["theme"], cache=str(tmp_path / "data")).load(np.random.default_rng(0))
    assert len(files()) == 1


def test_few_texts_are_not_kept_and_nobody_misses_them(load, files, monkeypatch, caplog):
    monkeypatch.setattr(words, "LARGE", 10_000)
    load()
    assert files() == []
    assert caplog.text == ""


def edited(path):
    """The same file with one number changed, as an archive of valid checksums."""
    arrays = dict(np.load(path))
    arrays["data"][0] += 1.0
    np.savez(path, **arrays)


def reshaped(path):
    """The same file with the numbers of one array in another shape."""
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "labels": arrays["labels"].T})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(b"word3", b"word8")),
        edited,
        reshaped,
        lambda path: np.savez(path, data=np.ones(3)),
    ],
    ids=["cut", "empty", "a byte", "a number", "a shape", "without a digest"],
)
def test_a_damaged_file_is_named_and_made_again(load, files, weighed, caplog, damage):
    first = load()
    [path] = files()
    digest = np.load(path)["digest"].tobytes()
    damage(path)
    assert load().fingerprint() == first.fingerprint()
    assert len(weighed) == 2
    assert f"{path} is damaged" in caplog.text
    assert np.load(path)["digest"].tobytes() == digest
    assert load().fingerprint() == first.fingerprint()
    assert len(weighed) == 2


def test_a_file_that_is_not_written_whole_is_not_there(load, files, monkeypatch):
    def savez(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("nnmf_runner.datasets.files.kept.np.savez", savez)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert files() == []


def test_a_folder_that_cannot_be_written_is_named_and_done_without(load, tmp_path, caplog):
    (tmp_path / "data").write_text("a file where the folder would be")
    assert load().X.shape[0] == 9
    assert f"{tmp_path / 'data' / 'derived'}" in caplog.text
    assert "cannot be kept" in caplog.text


def test_only_the_newest_files_stay(load, files, tmp_path):
    dataset = load()
    for i in range(MOST + 5):
        keep(tmp_path / "data" / "derived" / f"text-{i}.npz", dataset)
    assert len(files()) == MOST
    assert recall(tmp_path / "data" / "derived" / f"text-{MOST + 4}.npz", "text").fingerprint() == dataset.fingerprint()
