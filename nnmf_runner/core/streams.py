"""Random numbers by purpose: one seed, one independent stream for each random choice."""

from __future__ import annotations

import numpy as np

# All methods meet the same data, labels and start at the same seed, whatever else they draw.
STREAMS = ("data", "labels", "init", "fit", "holdout", "resample")


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of a seed for one of `STREAMS`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS.index(name),)))
