"""What every dataset gives: its levels of labels, its fingerprint, masks, and one reading for runs that share it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Toy
from nnmf_runner.datasets.base import Dataset, Loader, read_mask
from nnmf_runner.datasets.generated.planted import Planted
from nnmf_runner.datasets.pictures import SAMPLES, Pictures


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


def test_levels_of_labels_are_told_by_their_number_of_classes():
    labels = [np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])]
    dataset = Dataset("a", np.eye(4), labels)
    assert dataset.classes == [4, 2]
    assert [dataset.level(classes) for classes in (9, 4, 2, 1)] == [0, 0, 1, 1]
    assert Dataset("a", np.eye(4)).level(4) is None


@pytest.mark.parametrize(
    ("names", "pictures", "told"),
    [
        (["ape", "bee"], None, True),
        (["1", "2"], None, True),
        (["pixel1", "pixel2"], Pictures(1, 2), False),
        (["red", "blue"], Pictures(1, 1, of=SAMPLES), True),
        (["400", "410.5"], Pictures(1, 1, of=SAMPLES), False),
        (None, Pictures(1, 1, of=SAMPLES), False),
        (None, None, False),
    ],
)
def test_names_of_pixels_and_wavelengths_are_no_words(names, pictures, told):
    assert Dataset("a", np.ones((2, 1)), feature_names=names, pictures=pictures).words == (names if told else None)


def test_samples_without_a_label_are_of_no_class():
    labels = [np.array([0, -1, 1, 2]), np.array([-1, -1, -1, -1]), np.array([0, 0, 1, -1])]
    dataset = Dataset("a", np.eye(4), labels)
    assert dataset.classes == [3, 0, 2]
    assert [dataset.level(classes) for classes in (9, 3, 2, 1)] == [0, 0, 2, 2]  # never the level without labels
    assert Dataset("a", np.eye(4), labels[1:2]).level(1) is None


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_fingerprint_is_that_of_numbers_shape_and_labels(form):
    X, labels = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]), np.array([0, 1, 0])
    same = Dataset("a", form(X), [labels]).fingerprint()
    assert Dataset("b", form(X.copy(order="F")), [labels.copy()]).fingerprint() == same
    named = Dataset("a", form(X), [labels], class_names=[["x", "y"]], sample_names=["p", "q", "r"])
    assert named.fingerprint() == same
    others = [
        (X + (X == 3.0), [labels]),
        (X.T, [labels]),
        (X, [1 - labels]),
        (X, [labels - 1]),
        (X, []),
        (X[:, ::-1], [labels]),
    ]
    found = {Dataset("a", form(other), levels).fingerprint() for other, levels in others}
    assert len(found | {same}) == 1 + len(others)


def test_a_mask_is_an_array_of_booleans(tmp_path):
    mask = np.array([[True, False]])
    np.save(tmp_path / "mask.npy", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy"), mask)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.npy", "cannot be read: No such file or directory"),
        ("text.npy", "cannot be read: it is not in numpy's format"),
        ("objects.npy", "cannot be read: it is a pickled object"),
        ("several.npz", "cannot be read: it is not in numpy's format"),
        ("pipe", "cannot be read: it is not a plain file"),
        ("vast.npy", r"cannot be read: its header says shape \(1000000, 1000000\) of type bool"),
        ("numbers.npy", "is of type int64"),
    ],
)
def test_what_is_no_mask_is_refused_by_its_name(tmp_path, name, message):
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "several.npz", a=np.ones(1, bool))
    np.save(tmp_path / "numbers.npy", np.ones(2, np.int64))
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "vast.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|b1", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(InputError, match=rf"^mask=.*{name} {message}.* Expected a \.npy file of booleans\.$"):
        read_mask(tmp_path / name)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Planted(features=10**9),
        lambda: Planted(samples=10**8),
        lambda: Toy(feature_blocks=[10**9] * 9),
        lambda: Toy(sample_blocks=[2 * 10**6] * 9),
    ],
)
def test_generated_data_that_no_memory_holds_are_refused_before_they_are_made(made):
    with pytest.raises(InputError, match=r"^dataset\.f\w+ and dataset\.s\w+ ask for \d+ x \d+ entries\. Expected at"):
        made()
