"""The tensor of blocks within blocks on which hierarchical nonnegative tensor factorisations are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets.base import Dataset, Labels
from nnmf_runner.datasets.modes import Modes, TensorTruth, unfolded

SIDE = 40  # of the published tensor, in every mode
# Values with their blocks, first and last but one index in every mode; what comes later overwrites what came before.
BLOCKS = [
    (0.75, [((0, 20), (0, 20), (0, 20)), ((20, 40), (20, 40), (20, 40))]),
    (
        2.0,
        [
            ((0, 12), (0, 12), (0, 8)),
            ((12, 20), (12, 20), (8, 20)),
            ((20, 27), (20, 34), (20, 27)),
            ((27, 40), (34, 40), (27, 40)),
        ],
    ),
    (
        3.5,
        [
            ((0, 12), (0, 6), (0, 4)),
            ((0, 12), (6, 12), (4, 8)),
            ((12, 17), (12, 20), (8, 13)),
            ((17, 20), (12, 20), (13, 20)),
            ((20, 23), (20, 27), (20, 27)),
            ((23, 27), (27, 34), (20, 27)),
        ],
    ),
]
# Topics by level, finest first, as a place in `BLOCKS` each: the last block of the second kind has none within it.
TOPICS = [[*((2, i) for i in range(6)), (1, 3)], [(1, i) for i in range(4)], [(0, i) for i in range(2)]]
PARENTS = [[0, 0, 1, 1, 2, 2, 3], [0, 0, 1, 1]]
# Size of a mode from which on no block is empty.
SMALLEST = 14
# Entries of a tensor that are generated at most.
MOST_ENTRIES = 10**9


@dataclass
class Blocks:
    """A tensor with seven topics within four within two, plus noise whose mean acts as a background.

    Blocks of 3.5 lie in blocks of 2, and these in blocks of 0.75; what is in none is zero before the noise.  Entries of
    the last mode are the samples.  Their labels are, by level, the topics that they take part in: six classes, since
    two of the seven topics share their samples, then four and two.

    Parameters
    ----------
    sizes : list of int
        Size of every mode; there are as many modes as sizes, at least 3.  Blocks are scaled with the sizes, and a
        fourth mode is divided as the first one, a fifth as the second one, and so on.
    noise : float
        Scale of the noise: ``noise * |z|`` is added to every entry, z being standard normal.
    noise_seed : int or None
        Seed of the noise as the publications draw it, by numpy's legacy generator: theirs are ``noise=0.1`` with seed
        1 and ``noise=0.4`` with seed 14.  None draws it from the seed of the run.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, "Neural nonnegative CP decomposition for hierarchical tensor analysis",
    arXiv:2011.13094; J. Vendrow et al., "A generalized hierarchical nonnegative tensor decomposition",
    arXiv:2109.14820.
    """

    name: ClassVar[str] = "blocks"
    sizes: list[int] = field(default_factory=lambda: [SIDE] * 3)
    noise: float = 0.1
    noise_seed: int | None = 1

    def __post_init__(self) -> None:
        check_sizes(self.sizes, low=SMALLEST)
        check_entries(math.prod(self.sizes), f"dataset.sizes={self.sizes}")
        check_number(self.noise, "dataset.noise", low=0.0)
        if self.noise_seed is not None:
            check_number(self.noise_seed, "dataset.noise_seed", low=0, high=2**32 - 1, integer=True)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Generate the tensor with its planted topics and the labels of its samples, see `Source.load`."""
        shape, last = tuple(self.sizes), len(self.sizes) - 1
        draw: Callable[..., Any] = rng.standard_normal if self.noise_seed is None else _legacy_normal(self.noise_seed)
        tensor = self.clean()
        if self.noise:
            tensor += self.noise * np.abs(draw(shape))
        factors = [[self._indicators(topics, mode) for mode in range(len(shape))] for topics in TOPICS]
        labels = [_classes(of_modes[-1]) for of_modes in factors]
        truth = TensorTruth(factors, [np.array(parents) for parents in PARENTS])
        X = np.ascontiguousarray(unfolded(tensor, last))
        return Dataset(self.name, X, labels, modes=Modes.of(shape, last), tensor_truth=truth)

    def clean(self) -> NDArray[np.float64]:
        """The tensor without noise, shape ``sizes``."""
        tensor = np.zeros(self.sizes)
        for value, blocks in BLOCKS:
            for i in range(len(blocks)):
                tensor[tuple(self._span(blocks[i], mode) for mode in range(len(self.sizes)))] = value
        return tensor

    def _span(self, block: Sequence[tuple[int, int]], mode: int) -> slice:
        """The entries of a mode that a block has."""
        first, end = block[mode % 3]
        return slice(round(first * self.sizes[mode] / SIDE), round(end * self.sizes[mode] / SIDE))

    def _indicators(self, topics: Sequence[tuple[int, int]], mode: int) -> Matrix:
        """Ones where an entry of a mode takes part in a topic, shape (d_i, k)."""
        found = np.zeros((self.sizes[mode], len(topics)))
        for j, (kind, i) in enumerate(topics):
            found[self._span(BLOCKS[kind][1][i], mode), j] = 1.0
        return found


def check_sizes(sizes: Sequence[int], low: int) -> None:
    """Raise an `InputError` unless these are sizes of the modes of a tensor."""
    if len(sizes) < 3:
        raise InputError(f"dataset.sizes={[*sizes]} has {len(sizes)} entries. Expected at least 3 modes of a tensor.")
    for i, size in enumerate(sizes):
        check_number(size, f"dataset.sizes[{i}]", low=low, high=10**9, integer=True)


def check_entries(count: int, given: str) -> None:
    """Raise an `InputError` unless so many entries, which come from what is given, may be generated."""
    if not 1 <= count <= MOST_ENTRIES:
        raise InputError(f"{given} has {count} entries. Expected 1 to {MOST_ENTRIES}.")


def _legacy_normal(seed: int) -> Callable[[tuple[int, ...]], Any]:
    state = np.random.RandomState(seed)
    return lambda shape: state.randn(*shape)


def _classes(member: Matrix) -> Labels:
    """Class of every row, equal rows being of one, in the order in which they come, shape (len(member),)."""
    _, first, inverse = np.unique(member, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]
