"""Planted hierarchies in tensors: a tree of topics of any depth, each topic with a factor in every mode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets.base import Dataset, Labels
from nnmf_runner.datasets.generated.blocks import check_entries, check_sizes
from nnmf_runner.datasets.generated.planted import (
    STRONGEST,
    WEAKEST,
    ancestors,
    block_sizes,
    check_branching,
    common_topics,
    shared_values,
)
from nnmf_runner.datasets.modes import LARGEST_SIDE, MOST_FIBRES, Modes, TensorTruth, fibres, summed


@dataclass
class PlantedCP:
    """A tensor whose CP decomposition of rank k, the number of leaves of a tree of topics, is known.

    Every leaf owns a block of the entries of every mode.  The factor of a mode is ``U[f, t] = s_f 2 ** (c - 1)`` where
    leaf t and the owner of entry f have c topics in common, itself included, and zero where c = 0; the strength
    ``s_f`` is uniform on [0.5, 1.5).  Topics of coarser levels are the sums of the leaves below them.

    Dense tensors are ``[[U_1, ..., U_N]]`` plus noise.  Sparse ones hold the counts of draws of entries, with
    probabilities in proportion to that.  Entries of the last mode are the samples; their labels are the topics of their
    owner.

    Parameters
    ----------
    branching : list of int
        Topics below every topic, from the top down: ``[2, 2]`` means 2 topics over 4 leaves.
    sizes : list of int
        Size of every mode; there are as many modes as sizes, at least 3.
    noise : float
        Of a dense tensor, the root mean square of the noise relative to that of the clean one; noise is uniform from
        zero up.  Of a sparse one, the number of draws of entries with equal probability, relative to the others.
    density : float or None
        Draws of a sparse tensor as a share of its entries; of these at most as many are not zero.  None makes a dense
        one.

    References
    ----------
    E. C. Chi and T. G. Kolda, "On tensors, sparsity, and nonnegative factorizations", SIAM J. Matrix Anal. Appl. 33,
    2012, section 6, of the draws.
    """

    name: ClassVar[str] = "planted_cp"
    branching: list[int] = field(default_factory=lambda: [2, 2, 2])
    sizes: list[int] = field(default_factory=lambda: [24, 32, 40])
    noise: float = 0.0
    density: float | None = None

    def __post_init__(self) -> None:
        check_branching(self.branching)
        check_sizes(self.sizes, low=self.leaves)
        check_number(self.noise, "dataset.noise", low=0.0)
        entries = math.prod(self.sizes)
        if self.density is not None:
            check_number(self.density, "dataset.density", low=0.0, high=1.0, open_low=True)
            if math.prod(self.sizes[:-1]) > MOST_FIBRES or self.sizes[-1] > LARGEST_SIDE:
                raise InputError(f"dataset.sizes={self.sizes} is too large. Expected at most 2**62 fibres.")
        drawn = entries if self.density is None else round(self.density * entries)
        of_density = "" if self.density is None else f" with dataset.density={self.density:g}"
        check_entries(drawn, f"dataset.sizes={self.sizes}{of_density}")

    @property
    def leaves(self) -> int:
        """Number of topics at the finest level."""
        return math.prod(self.branching)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Generate the tensor with its planted topics and the labels of its samples, see `Source.load`."""
        path = ancestors(self.branching)  # (depth, k)
        owners = [np.repeat(np.arange(self.leaves), block_sizes(size, self.leaves, 0.0)) for size in self.sizes]
        values = shared_values(common_topics(path))
        factors = [rng.uniform(WEAKEST, STRONGEST, (len(owner), 1)) * values[owner] for owner in owners]
        X = self._dense(factors, rng) if self.density is None else self._sparse(factors, rng)
        modes = Modes.of(tuple(self.sizes), len(self.sizes) - 1)
        labels = [level[owners[-1]] for level in path]
        return Dataset(self.name, X, labels, modes=modes, tensor_truth=_truth(factors, path))

    def _dense(self, factors: Sequence[Matrix], rng: np.random.Generator) -> NDArray[np.float64]:
        """The tensor as fibres by samples, shape (m, n)."""
        clean = TensorTruth([factors], []).topics(0) @ factors[-1].T
        highest = self.noise * np.linalg.norm(clean) * np.sqrt(3.0 / clean.size)
        return clean + highest * rng.random(clean.shape) if self.noise else clean

    def _sparse(self, factors: Sequence[Matrix], rng: np.random.Generator) -> Any:
        """Counts of draws as fibres by samples, shape (m, n), in CSC form."""
        count = round((self.density or 0.0) * math.prod(self.sizes))
        sums = np.array([factor.sum(axis=0) for factor in factors])  # (N, k)
        topics = rng.multinomial(rng.binomial(count, 1.0 / (1.0 + self.noise)), _shares(sums.prod(axis=0)))
        blurred = count - topics.sum()
        coords = []
        for factor in factors:
            of_topics = [_drawn(column, times, rng) for column, times in zip(factor.T, topics, strict=True)]
            coords.append(np.concatenate([*of_topics, rng.integers(len(factor), size=blurred)]))
        shape = (math.prod(self.sizes[:-1]), self.sizes[-1])
        return summed(fibres(np.array(coords[:-1]), self.sizes[:-1]), coords[-1], np.ones(count), shape)


def _truth(factors: Sequence[Matrix], path: Labels) -> TensorTruth:
    """Factors of every level, and the topic above of every topic, from those of the leaves and their ancestors."""
    parents = [above[np.unique(below, return_index=True)[1]] for below, above in itertools.pairwise(path)]
    return TensorTruth([[factor @ np.eye(level.max() + 1)[level] for factor in factors] for level in path], parents)


def _shares(weights: NDArray[Any]) -> NDArray[Any]:
    return weights / weights.sum()


def _drawn(weights: NDArray[Any], times: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices drawn with probabilities in proportion to weights, shape (times,)."""
    sums = np.cumsum(weights)
    return np.minimum(np.searchsorted(sums, rng.random(times) * sums[-1], side="right"), np.flatnonzero(weights)[-1])
