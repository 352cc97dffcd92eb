"""Hierarchies of nonnegative CP models: the cost of all levels together and its gradient by every factor.

Level l of a hierarchy approximates the data by ``[[F_1^l, ..., F_N^l]]``, where mode N is that of the samples.  The
columns of all levels stand side by side in one CP model, so that an evaluation reads the data twice, whatever the
number of levels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.layer import Layer
from nnmf_runner.core.linalg import Matrix, inner
from nnmf_runner.core.network import Block, Evaluation
from nnmf_runner.core.nnls import ScaledProblem, pivot
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.tensor import Tensor, gram

# The N factors of one level, shapes (d_i, R).
Factors = list[Matrix]


class TensorNetwork(ABC):
    """The relative cost ``sum_l w_l ||X - [[F_1^l, ..., F_N^l]]||^2 / ||X||^2`` of a hierarchy, and that of labels.

    After the nonnegative variables of the hierarchy come, for every layer whose label map is learnt, the maps B, of
    any sign.

    Parameters
    ----------
    tensor : Tensor
    ranks : sequence of int
        Topics of every level, ``k_0, ..., k_L``.
    labels : Labels, optional
        Labels that the codes of the last level predict.
    weights : sequence of float, optional
        Weight of every level in the cost; ones by default.
    lower_labels : mapping of int to Labels, optional
        Labels that the codes of lower levels predict, by level.

    Attributes
    ----------
    labels : dict of int to Labels
        Labels by the level that they supervise, in ascending order.
    norm : float
        The unit of the cost, ``||X||^2``.
    """

    def __init__(
        self,
        tensor: Tensor,
        ranks: Sequence[int],
        labels: Labels | None = None,
        weights: Sequence[float] | None = None,
        *,
        lower_labels: Mapping[int, Labels] | None = None,
    ) -> None:
        self.X: Any = tensor
        self.tensor, self.ranks, self.norm = tensor, tuple(ranks), tensor.squared_norm
        self.labels = dict(sorted((lower_labels or {}).items()))
        if labels is not None:
            self.labels[len(self.ranks) - 1] = labels
        self.weights = [1.0] * len(self.ranks) if weights is None else list(weights)

    @property
    def learnt(self) -> list[int]:
        """Levels whose label map is a variable, in the order of these variables, which come last."""
        return [level for level, labels in self.labels.items() if labels.learn_map]

    def split(self, variables: Sequence[Matrix]) -> tuple[list[Matrix], dict[int, Matrix]]:
        """Split the variables into those of the hierarchy and learnt label maps by level."""
        end = len(variables) - len(self.learnt)
        return list(variables[:end]), dict(zip(self.learnt, variables[end:], strict=True))

    def nonnegative(self, variables: Sequence[Matrix]) -> list[bool]:
        """For every variable, whether it must not be negative."""
        factors, maps = self.split(variables)
        return [True] * len(factors) + [False] * len(maps)

    def blocks(self, size: int, rng: np.random.Generator) -> list[Block]:
        """There are none: a gradient is that of all samples."""
        return []

    def in_turn(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, Any]]:
        """There are none, see `blocks`."""
        return iter(())

    @abstractmethod
    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """Cost and gradient at `variables`."""

    @abstractmethod
    def levels(self, variables: Sequence[Matrix]) -> list[Factors]:
        """The factors of every level, whose CP model approximates the data."""

    @abstractmethod
    def topics(self, variables: Sequence[Matrix]) -> list[Factors]:
        """The topics of every level in all modes, shapes (d_i, k_l)."""

    def codes(self, variables: Sequence[Matrix]) -> list[Matrix]:
        """What every sample has of the topics of every level, shapes (k_l, n)."""
        return [modes[-1].T for modes in self.topics(variables)]

    def _label_terms(self, codes: Sequence[Matrix], maps: Mapping[int, Matrix]) -> _LabelTerms:
        """Cost of the labels with its derivatives by the codes and by the learnt maps.

        A map that is not learnt is the best one for these codes.
        """
        found = _LabelTerms()
        for level, labels in self.labels.items():
            S, known = codes[level], labels.known
            B = maps[level] if labels.learn_map else labels.best_map(S)
            term = labels.cost.evaluate(S[:, known], labels.Y[:, known], B)
            found.value += labels.scale * term.value
            found.dS[level] = np.zeros_like(S)
            found.dS[level][:, known] = labels.scale * term.dS
            if labels.learn_map:
                found.dB.append(labels.scale * term.dB)
        return found

    def _level_terms(self, levels: Sequence[Factors], weights: Sequence[float]) -> tuple[float, list[Factors]]:
        """Cost of levels, from two readings of the data, and its derivatives by all their factors."""
        value = 0.0
        gradients: list[Factors] = []
        if not levels:
            return value, gradients
        products = self.tensor.products(_side_by_side(levels))
        for weight, factors, cross in zip(weights, levels, _by_level(products, levels), strict=True):
            value += weight * (1.0 + (float(gram(factors).sum()) - 2.0 * inner(cross[-1], factors[-1])) / self.norm)
            unit = 2.0 * weight / self.norm
            both = enumerate(zip(factors, cross, strict=True))
            gradients.append([unit * (F @ gram(factors, i) - M) for i, (F, M) in both])
        return value, gradients


@dataclass
class _LabelTerms:
    """Cost of the labels and its derivatives by the codes of supervised levels and by learnt maps."""

    value: float = 0.0
    dS: dict[int, Matrix] = field(default_factory=dict)
    dB: list[Matrix] = field(default_factory=list)


class TiedNetwork(TensorNetwork):
    """A hierarchy whose topics are sums of the topics below with the same weights in every mode.

    ``F_i^0 = U_i`` and ``F_i^l = F_i^{l-1} W_l``.  With exact codes the mode of the samples is free of that: its
    factor at every level is ``q``, the nonnegative least-squares solution for the other modes of the level.  The
    variables are ``U_1, ..., U_N``, without ``U_N`` for exact codes, then ``W_1, ..., W_L``.

    Parameters
    ----------
    exact : bool
        Whether the codes are exact.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, "A generalized hierarchical nonnegative tensor decomposition",
    arXiv:2109.14820, for tied factors, there fitted level by level.
    """

    def __init__(
        self,
        tensor: Tensor,
        ranks: Sequence[int],
        labels: Labels | None = None,
        weights: Sequence[float] | None = None,
        exact: bool = True,
        *,
        lower_labels: Mapping[int, Labels] | None = None,
    ) -> None:
        super().__init__(tensor, ranks, labels, weights, lower_labels=lower_labels)
        self.n_tied = len(tensor.shape) - int(exact)
        self.exact = exact
        self._warm: list[PassiveSystems | None] = [None] * len(self.ranks)

    def _tied(self, factors: Sequence[Matrix]) -> list[Factors]:
        """The tied factors of every level."""
        U, W = list(factors[: self.n_tied]), factors[self.n_tied :]
        return list(accumulate(W, lambda below, weights: [F @ weights for F in below], initial=U))

    def levels(self, variables: Sequence[Matrix]) -> list[Factors]:
        """See `TensorNetwork.levels`."""
        tied = self._tied(self.split(variables)[0])
        if not self.exact:
            return tied
        codes = _ExactCodes(self, tied, {})
        codes.solve(self.tensor.mttkrp(codes.stacked, self.n_tied))
        return [[*factors, layer.S.T] for factors, layer in zip(tied, codes.layers, strict=True)]

    def topics(self, variables: Sequence[Matrix]) -> list[Factors]:
        """See `TensorNetwork.topics`; they are the factors of the levels."""
        return self.levels(variables)

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """See `TensorNetwork.evaluate`."""
        factors, maps = self.split(variables)
        tied = self._tied(factors)
        value, gradients, dB = (self._with_exact_codes if self.exact else self._with_tied_codes)(tied, maps)
        by_W: list[Matrix] = []
        for level in reversed(range(1, len(tied))):
            W, above = factors[self.n_tied + level - 1], gradients[level]
            by_W.append(reduce(np.add, (F.T @ G for F, G in zip(tied[level - 1], above, strict=True))))
            for below, G in zip(gradients[level - 1], above, strict=True):
                below += G @ W.T
        return Evaluation(value, [*gradients[0], *by_W[::-1], *dB])

    def _with_tied_codes(
        self, tied: list[Factors], maps: Mapping[int, Matrix]
    ) -> tuple[float, list[Factors], list[Matrix]]:
        """Cost, its derivatives by the factors of every level and by the maps."""
        value, gradients = self._level_terms(tied, self.weights)
        labels = self._label_terms([factors[-1].T for factors in tied], maps)
        for level, dS in labels.dS.items():
            gradients[level][-1] += dS.T
        return value + labels.value, gradients, labels.dB

    def _with_exact_codes(
        self, tied: list[Factors], maps: Mapping[int, Matrix]
    ) -> tuple[float, list[Factors], list[Matrix]]:
        """Cost, its derivatives by the tied factors of every level and by the maps."""
        codes = _ExactCodes(self, tied, maps)
        products = self.tensor.products(codes.stacked, codes.outer)
        gradients: list[Factors] = []
        for factors, small, cross in zip(tied, codes.small, _by_level(products[:-1], tied), strict=True):
            both = enumerate(zip(factors, cross, strict=True))
            gradients.append([F @ (small * gram(factors, i)) + M for i, (F, M) in both])
        codes.release()
        return codes.value, gradients, codes.labels.dB


class _ExactCodes:
    """The codes of every level by least squares, and what the derivatives by the other factors need of them.

    A code minimises the cost of its own level, so no derivative of that passes through it.  That of the labels does:
    with ``V`` from `Layer.adjoint`, it is ``V`` by the cross products and ``-(S V^T + V S^T)/2`` by the Gram matrix.
    """

    def __init__(self, network: TiedNetwork, tied: list[Factors], maps: Mapping[int, Matrix]) -> None:
        self.network, self.tied, self.maps = network, tied, maps
        n = network.tensor.shape[-1]
        self.stacked = [*_side_by_side(tied), np.empty((n, sum(network.ranks)))]
        self.layers: list[Layer] = []
        self.small: list[Matrix] = []
        self.value, self.labels = 0.0, _LabelTerms()

    def solve(self, products: Matrix) -> None:
        """Solve for the codes, from the MTTKRP of the last mode."""
        warm = self.network._warm
        for level, ((cross,), factors) in enumerate(zip(_by_level([products], self.tied), self.tied, strict=True)):
            problem = ScaledProblem(gram(factors), np.ascontiguousarray(cross.T))
            solution = pivot(problem, warm[level])
            nothing, S = np.empty((0, cross.shape[1])), problem.unit * solution.S
            layer = Layer(nothing, None, S, gram(factors), cross.T, problem, solution.systems)
            layer.settle()
            self.layers.append(layer)
            warm[level] = layer.systems

    def outer(self, products: Matrix) -> Matrix:
        """The last factor whose MTTKRPs are derivatives by the other factors, from the MTTKRP of the last mode."""
        self.solve(products)
        self.labels = self.network._label_terms([layer.S for layer in self.layers], self.maps)
        self.value, norm, outer = self.labels.value, self.network.norm, []
        for level, (layer, weight) in enumerate(zip(self.layers, self.network.weights, strict=True)):
            S, unit = layer.S, 2.0 * weight / norm
            squares = S @ S.T
            self.value += weight * (1.0 + (inner(layer.gram, squares) - 2.0 * inner(layer.cross, S)) / norm)
            T, small = -unit * S, unit * squares
            if level in self.labels.dS:
                V = layer.adjoint(self.labels.dS[level])
                T, mixed = T + V, S @ V.T
                small -= mixed + mixed.T
            outer.append(T.T)
            self.small.append(small)
        return np.hstack(outer)

    def release(self) -> None:
        """Keep no more than a warm start needs."""
        for layer in self.layers:
            layer.systems.release()


def _side_by_side(levels: Sequence[Factors]) -> list[Matrix]:
    """The factors of every mode with the columns of all levels."""
    return [np.hstack(modes) for modes in zip(*levels, strict=True)]


def _by_level(products: Sequence[Matrix], levels: Sequence[Factors]) -> list[list[Matrix]]:
    """Split arrays with the columns of all levels, one per mode, into those of each level."""
    ends = [0, *accumulate(factors[0].shape[1] for factors in levels)]
    return [[product[:, slice(*within)] for product in products] for within in pairwise(ends)]
