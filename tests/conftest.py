"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

# As `make` has it, and before numpy loads its BLAS, which reads these then.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
import pytest

from nnmf_runner.core.threads import NAME

pytest_plugins = ["tests.fixtures.commands", "tests.fixtures.records", "tests.fixtures.tables"]

FEATURES = [10, 5, 10, 12, 13, 4, 11, 8, 14]
SAMPLES = [10, 10, 5, 7, 5, 20, 10, 9, 14]
TOPIC = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
SUPERTOPIC = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])


@dataclass(frozen=True)
class Toy:
    """The block data of the slides: X (87, 90) and the class of every sample for 9, 4 and 2 classes."""

    X: np.ndarray
    classes: dict[int, np.ndarray]


def make_toy(seed: int = 0) -> Toy:
    rows, columns = np.repeat(np.arange(9), FEATURES), np.repeat(np.arange(9), SAMPLES)
    shared = [level[rows][:, None] == level[columns] for level in (np.arange(9), TOPIC, SUPERTOPIC)]
    X = np.select(shared, [4.0, 2.0, 1.0]) + np.random.default_rng(seed).uniform(0.0, 0.15, (87, 90))
    X.flags.writeable = False  # no method may change its data
    return Toy(X, {9: columns, 4: TOPIC[columns], 2: SUPERTOPIC[columns]})


@pytest.fixture(scope="session")
def toy() -> Toy:
    return make_toy()


@pytest.fixture(scope="session")
def toy_of():
    """The toy data as a function of the seed of its noise."""
    return make_toy


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _idle():
    """Let a test fork beside the threads of a parallel run and of libraries, which are as idle as our own by then."""
    for thread in {*threading.enumerate()} - {threading.current_thread()}:
        thread.name = NAME
