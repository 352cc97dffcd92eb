"""A few seeds of every target, and that the targets notice what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files import readers
from tests.fuzz.targets import TARGETS, is_slow, mutated, only


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_damaged_is_read_or_refused(tmp_path, name):
    for package in {"file a.parquet": "pyarrow", "file a.h5ad": "anndata"}.get(name, "numpy").split():
        pytest.importorskip(package)
    for seed in range(3 if is_slow(name) else 20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        TARGETS[name](np.random.default_rng(seed), folder)


def test_every_suffix_is_a_target():
    found = {suffix for suffix in readers.READERS for name in TARGETS if name.lower().endswith(suffix)}
    assert found == {*readers.READERS}


def test_other_errors_than_those_that_are_allowed_are_noticed(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyError

    monkeypatch.setattr("tests.fuzz.targets.read_mask", fail)
    with pytest.raises(KeyError):
        TARGETS["mask"](np.random.default_rng(0), tmp_path)

    def refuse():
        raise InputError("two\nlines")

    with pytest.raises(AssertionError):
        only(refuse, InputError)


def test_mutations_change_something():
    rng = np.random.default_rng(0)
    assert sum(mutated(bytes(range(100)), rng) == bytes(range(100)) for _ in range(100)) < 5
