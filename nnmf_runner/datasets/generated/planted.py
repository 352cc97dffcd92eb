"""Planted hierarchies: a tree of topics of any depth, made harder one knob at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import Dataset, Labels, Truth, check_entries

# Samples hold their topic at strengths between these.
WEAKEST, STRONGEST = 0.5, 1.5


@dataclass
class Planted:
    """Samples of the leaves of a tree of topics, easy where `noise`, `overlap` and `imbalance` are zero.

    Every leaf owns a block of features and a block of samples.  The clean data are ``A_0 S_0``, of rank k, the number
    of leaves: ``A_0[f, t] = 2 ** (c - 1)`` where leaf t and the owner of feature f have c topics in common, itself
    included, and zero where c = 0; ``S_0[t, j]`` is uniform on [0.5, 1.5) where sample j belongs to leaf t, and zero
    elsewhere.

    Parameters
    ----------
    branching : list of int
        Topics below every topic, from the top down: ``[3, 2, 2]`` means 3 topics over 6 over 12 leaves.  Its length is
        the depth of the tree.
    features : int
        Number of features of the data, at least as many as there are leaves.
    samples : int
        Number of samples of the data, at least as many as there are leaves.
    noise : float
        Root mean square of the noise relative to that of the clean data.  It is added, independent in every entry and
        uniform from zero up, so that data stay nonnegative.
    overlap : float
        Share of its features, in [0, 1], that a leaf has in common with one other leaf, drawn for every such feature.
        That leaf stands as the feature's second owner, and of the two values of ``A_0`` the larger one counts.
    crossing : float
        Share of these common features, in [0, 1], whose second owner is a leaf of another topic at the top, which
        blurs the tree.  That of the others is a leaf below the same parent, which blurs the leaves alone.
    imbalance : float
        The first leaf has ``1 + imbalance`` times the features and the samples of the last one; the sizes between fall
        by a constant factor.
    """

    name: ClassVar[str] = "planted"
    branching: list[int] = field(default_factory=lambda: [3, 2, 2])
    features: int = 96
    samples: int = 120
    noise: float = 0.0
    overlap: float = 0.0
    crossing: float = 0.5
    imbalance: float = 0.0

    def __post_init__(self) -> None:
        check_branching(self.branching)
        for name in ("noise", "imbalance"):
            check_number(getattr(self, name), f"dataset.{name}", low=0.0)
        for name in ("overlap", "crossing"):
            check_number(getattr(self, name), f"dataset.{name}", low=0.0, high=1.0)
        for name in ("features", "samples"):
            check_number(getattr(self, name), f"dataset.{name}", low=1, integer=True)
            if (smallest := self._smallest(getattr(self, name))) < 1:
                raise InputError(
                    f"dataset.{name}={getattr(self, name)} leaves {smallest} for the smallest of {self.leaves} leaves. "
                    f"Expected at least 1: more {name}, or less of dataset.imbalance={self.imbalance:g}."
                )
        check_entries(self.features, self.samples, "dataset.features and dataset.samples")

    @property
    def leaves(self) -> int:
        """Number of topics at the finest level."""
        return math.prod(self.branching)

    def _smallest(self, total: int) -> int:
        """Size of the smallest leaf; where there are more leaves than there is to share, it is empty."""
        return 0 if self.leaves > total else int(block_sizes(total, self.leaves, self.imbalance).min())

    def load(self, rng: np.random.Generator) -> Dataset:
        """Generate the data with labels and true factors at every level, see `Source.load`.

        The strengths, the overlap and the noise are random.
        """
        path = ancestors(self.branching)
        owner = np.repeat(np.arange(self.leaves), block_sizes(self.features, self.leaves, self.imbalance))
        member = np.repeat(np.arange(self.leaves), block_sizes(self.samples, self.leaves, self.imbalance))
        common = common_topics(path)
        values = shared_values(common)
        strength, second = rng.uniform(WEAKEST, STRONGEST, len(member)), self._second_owner(owner, common, rng)

        A = [np.maximum(values[owner], values[second])]  # (m, k)
        S = [np.eye(self.leaves)[:, member] * strength]  # (k, n)
        for below, above in itertools.pairwise(path):
            parent = above[np.unique(below, return_index=True)[1]]
            A.append(np.eye(parent.max() + 1)[parent])
            S.append(A[-1].T @ S[-1])
        clean = A[0] @ S[0]
        highest = self.noise * np.linalg.norm(clean) * np.sqrt(3.0 / clean.size)
        X = clean + highest * rng.random(clean.shape)
        return Dataset(self.name, X, [level[member] for level in path], Truth(A, S, [level[owner] for level in path]))

    def _second_owner(self, owner: Labels, common: Labels, rng: np.random.Generator) -> Labels:
        """Second leaf of every feature, its owner where there is none, shape (m,)."""
        siblings = (common == len(self.branching) - 1) & ~np.eye(self.leaves, dtype=bool)
        second = owner.copy()
        for leaf in range(self.leaves):
            own = rng.permutation(np.flatnonzero(owner == leaf))
            shared = round(self.overlap * len(own))
            crossing = round(self.crossing * shared)
            second[own[:crossing]] = rng.choice(np.flatnonzero(common[leaf] == 0), crossing)
            second[own[crossing:shared]] = rng.choice(np.flatnonzero(siblings[leaf]), shared - crossing)
        return second


def check_branching(branching: list[int]) -> None:
    """Raise an `InputError` unless these are numbers of topics below a topic."""
    if not branching:
        raise InputError("dataset.branching=[] is not valid. Expected at least one number of topics.")
    for i, children in enumerate(branching):
        check_number(children, f"dataset.branching[{i}]", low=2, integer=True)


def shared_values(common: Labels) -> NDArray[np.float64]:
    """Values of leaves in what a leaf owns, by the number of topics that two have in common, shape (k, k)."""
    return np.where(common, 2.0 ** (common - 1), 0.0)


def common_topics(path: Labels) -> Labels:
    """How many topics two leaves have in common, themselves included, from `ancestors`, shape (k, k)."""
    return (path[:, :, None] == path[:, None, :]).sum(axis=0)


def ancestors(branching: list[int]) -> Labels:
    """Topic of every leaf at every level, finest first, shape (depth, k)."""
    leaves = np.arange(np.prod(branching))
    widths = np.cumprod([1, *branching[:0:-1]])  # leaves below a topic of each level
    return leaves // widths[:, None]


def block_sizes(total: int, blocks: int, imbalance: float) -> NDArray[np.intp]:
    """Sizes that fall geometrically to ``1 / (1 + imbalance)`` of the first and sum to `total`, shape (blocks,).

    Each is the share it should have rounded down, or up for those that lose most by it.
    """
    shares = (1.0 + imbalance) ** -np.linspace(0.0, 1.0, blocks)
    exact = total * shares / shares.sum()
    sizes = np.floor(exact).astype(np.intp)
    sizes[np.argsort(sizes - exact, kind="stable")[: total - sizes.sum()]] += 1
    return sizes
