"""Records to make maps of."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.sweeps import ERRORS


@pytest.fixture
def run(record_of):
    """A record of a method at options of the data, whose values differ by the seed but for their mean alone."""

    def make(method, seed, *, error=None, accuracy=0.5, cosine=None, tree=None, label_fraction=0.4, **options):
        wobble = 0.001 * np.sin(7.0 * seed + ord(method[0]))
        error = (ERRORS[method] if error is None else error) + wobble
        record = record_of(method, seed=seed, error=error, layers=options.pop("layers", (9, 4)))
        record["metrics"]["accuracy_unknown"] = None if accuracy is None else accuracy + wobble
        record["layers"][0]["topic_cosine"] = cosine
        record["tree_agreement"] = tree
        record["config"]["label_fraction"] = label_fraction
        for name, value in options.items():
            record["config"]["method" if name == "solver" else "dataset"][name] = value
        return record

    return make


@pytest.fixture
def records(run):
    """Neural is best at little noise, deep and neural are where there is more, and all methods are equal at most."""
    errors = {
        1: ERRORS,
        2: {"hier": 0.5, "deep": 0.4, "neural": 0.4},
        3: dict.fromkeys(ERRORS, 0.4),
    }
    return [
        run(m, s, noise=n, overlap=o, error=errors[n][m], accuracy=None)
        for m in ERRORS
        for s in range(6)
        for n in errors
        for o in (0.0, 0.5)
    ]
