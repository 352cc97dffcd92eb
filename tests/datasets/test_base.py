"""What one command reads once: datasets that several runs share, and the contents of files for their hash."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Toy
from nnmf_runner.datasets.base import Dataset, Loader
from nnmf_runner.datasets.files.reading import content_digest


class Still:
    """A source that draws nothing and counts how often it is read."""

    name = "still"

    def __init__(self):
        self.reads = 0

    def load(self, rng):
        self.reads += 1
        return Dataset(self.name, np.full((2, 2), float(self.reads)))


def test_a_source_that_draws_nothing_is_read_once_for_all_seeds():
    loader, source = Loader(), Still()
    assert len({id(loader.load(source, "a", seed)) for seed in (0, 1, 2)}) == 1
    assert source.reads == 1


def test_another_identity_is_read_anew():
    loader, source = Loader(), Still()
    assert [loader.load(source, name, 0).X[0, 0] for name in "aaba"] == [1.0, 1.0, 2.0, 3.0]


def test_a_source_that_draws_gives_every_seed_its_own():
    loader = Loader()
    for seed in (0, 1, 1, 0):
        expected = Toy().load(stream(seed, "data"))
        assert loader.load(Toy(), "toy", seed).fingerprint() == expected.fingerprint()
    assert loader.load(Toy(), "toy", 0) is loader.load(Toy(), "toy", 0)


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose contents were read."""
    read, original = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or original(file, name))
    return read


def test_a_file_is_read_once_for_its_hash_and_again_when_it_changed(tmp_path, hashed):
    path = tmp_path / "a"
    path.write_text("first")
    digests = [content_digest([path], path, "") for _ in range(3)]
    assert len(set(digests)) == len(hashed) == 1
    path.write_text("changed")
    assert content_digest([path], path, "") != digests[0]
    assert len(hashed) == 2


def test_names_and_contents_make_the_hash_and_not_the_place(tmp_path):
    for folder, name, text in (("one", "a", "x"), ("two", "a", "x"), ("three", "b", "x"), ("four", "a", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    one, two, three, four = (
        content_digest(sorted((tmp_path / f).iterdir()), tmp_path / f, "") for f in ("one", "two", "three", "four")
    )
    assert one == two
    assert len({one, three, four}) == 3
