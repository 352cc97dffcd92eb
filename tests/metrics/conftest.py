"""Fits to score."""

from __future__ import annotations

import pytest

from nnmf_runner.task import prepare


@pytest.fixture
def fitted(configure):
    """Configuration, material and fit of a short run by its overrides."""

    def make(*overrides):
        config = configure("layers=9-4-2", "max_iter=30", *overrides)
        material = prepare(config, 0)
        return config, material, material.task.fit(0)

    return make
