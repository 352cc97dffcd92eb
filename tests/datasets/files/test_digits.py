"""The digits of scikit-learn: orientation, labels, and what is said without the package."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.digits import Digits


def test_samples_are_columns_with_their_digit():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    ours = Digits().load(np.random.default_rng(0))
    assert ours.X.shape == (64, 1797)
    np.testing.assert_array_equal(ours.pictures.unflatten(ours.X[:, 5]), theirs.images[5])
    np.testing.assert_array_equal(ours.labels[0], theirs.target)
    assert len(ours.labels) == 1


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"dataset=digits .* pip install 'nnmf-runner\[images\]'"):
        Digits().load(np.random.default_rng(0))
