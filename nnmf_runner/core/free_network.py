"""Neural NCPD: hierarchies of CP models in which every mode has topics of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from nnmf_runner.core.costs import Derivative, plus
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.layer import Layer, solve_layers
from nnmf_runner.core.linalg import Matrix, chain, right_factors
from nnmf_runner.core.network import Block, Evaluation, backward
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.tensor import Tensor
from nnmf_runner.core.tensor_network import Factors, TensorNetwork


class FreeNetwork(TensorNetwork):
    """Neural NCPD: a CP model whose factors are each factored on, mode by mode, with exact codes between the levels.

    ``S_i0 = U_i``, ``S_il = q(A_il, S_i,l-1)`` and ``F_i^l = A_i1 ... A_il S_il``, all with the k_0 columns of the
    base ``U_1, ..., U_N``.  The variables are the base, unless it is fixed, then ``A_11, ..., A_N1, A_12, ...``.

    Parameters
    ----------
    base : sequence of ndarray of shape (d_i, k_0), optional
        The base, if it is fixed; its cost is a constant then.

    References
    ----------
    J. Vendrow, J. Haddock and D. Needell, "Neural nonnegative CP decomposition for hierarchical tensor analysis",
    arXiv:2011.13094.
    """

    def __init__(
        self,
        tensor: Tensor,
        ranks: Sequence[int],
        base: Sequence[Matrix] | None = None,
        labels: Labels | None = None,
        weights: Sequence[float] | None = None,
        *,
        lower_labels: Mapping[int, Labels] | None = None,
    ) -> None:
        super().__init__(tensor, ranks, labels, weights, lower_labels=lower_labels)
        self.base = None if base is None else list(base)
        self._constant = 0.0 if base is None else self.weights[0] * tensor.residual(base) / self.norm
        self._warm: list[list[PassiveSystems] | None] = [None] * len(tensor.shape)

    def _modes(self, variables: Sequence[Matrix]) -> tuple[Factors, list[list[Matrix]]]:
        """The base, and for every mode its factors of all levels."""
        factors, n = self.split(variables)[0], len(self.tensor.shape)
        base = factors[:n] if self.base is None else self.base
        above = factors[n:] if self.base is None else factors
        return base, [above[mode::n] for mode in range(n)]

    def _forward(self, base: Factors, A: list[list[Matrix]]) -> list[list[Layer]]:
        """The solved layers of every mode."""
        if not A[0]:
            return [[] for _ in base]
        found = []
        for mode, (U, own) in enumerate(zip(base, A, strict=True)):
            layers = solve_layers(own, U, self._warm[mode])
            for layer in layers:
                layer.settle()
            self._warm[mode] = [layer.systems for layer in layers]
            found.append(layers)
        return found

    def levels(self, variables: Sequence[Matrix]) -> list[Factors]:
        """See `TensorNetwork.levels`; all have the columns of the base."""
        base, A = self._modes(variables)
        return self._levels(base, A, self._forward(base, A))

    def _levels(self, base: Factors, A: list[list[Matrix]], solved: list[list[Layer]]) -> list[Factors]:
        of_modes = [
            [chain(own[:level], layer.S) for level, layer in enumerate(layers, start=1)]
            for own, layers in zip(A, solved, strict=True)
        ]
        return [base, *map(list, zip(*of_modes, strict=True))]

    def topics(self, variables: Sequence[Matrix]) -> list[Factors]:
        """See `TensorNetwork.topics`: ``A_i1 ... A_il``."""
        base, A = self._modes(variables)
        return [base, *map(list, zip(*(accumulate(own, np.matmul) for own in A), strict=True))]

    def mixing(self, variables: Sequence[Matrix]) -> list[Factors]:
        """``S_il`` of every level above the base in all modes, shapes (k_l, k_0)."""
        solved = self._forward(*self._modes(variables))
        return [[layer.S for layer in level] for level in zip(*solved, strict=True)]

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """See `TensorNetwork.evaluate`."""
        base, A = self._modes(variables)
        solved = self._forward(base, A)
        first = 0 if self.base is None else 1  # level that is evaluated
        value, gradients = self._level_terms(self._levels(base, A, solved)[first:], self.weights[first:])
        labels = self._label_terms(self.codes(variables), self.split(variables)[1])
        by_base = [] if first else gradients[0]
        if first == 0 and 0 in labels.dS:
            by_base[-1] += labels.dS[0].T
        of_modes = []
        for mode, (own, layers) in enumerate(zip(A, solved, strict=True)):
            is_last = mode == len(A) - 1
            codes = {level: dS.T for level, dS in labels.dS.items() if level and is_last}
            by_A, through = _backward(own, layers, [level[mode] for level in gradients[1 - first :]], codes)
            of_modes.append(by_A)
            if by_base and through is not None:
                by_base[mode] += through
        by_level = [G for level in zip(*of_modes, strict=True) for G in level]
        return Evaluation(self._constant + value + labels.value, [*by_base, *by_level, *labels.dB])


def _backward(
    A: list[Matrix], layers: list[Layer], by_level: list[Matrix], by_codes: Mapping[int, Matrix]
) -> tuple[list[Matrix], Matrix | None]:
    """Derivatives by the factors A of one mode, and that by the base which passes through them.

    Parameters
    ----------
    A, layers : list
        ``A_1, ..., A_L`` and the solved layers.
    by_level : list of ndarray of shape (d, k_0)
        Derivatives by ``A_1 ... A_l S_l`` of every level above the base.
    by_codes : mapping of int to ndarray of shape (d, k_l)
        Derivatives by ``A_1 ... A_l`` of some levels, counted from the base as 0.
    """
    direct: list[Matrix | None] = [None] * len(A)

    def add(level: int, G: Matrix, S: Matrix) -> Matrix:
        """Add derivatives by the factors for that by ``A_1 ... A_l S``; return that by S."""
        for j, right in enumerate(right_factors(A[:level], S)):
            direct[j] = plus(direct[j], G @ right.T)
            G = A[j].T @ G
        return G

    both = enumerate(zip(by_level, layers, strict=True), start=1)
    dS: list[Matrix | None] = [add(level, G, layer.S) for level, (G, layer) in both]
    for level, G in by_codes.items():
        add(level, G, np.eye(G.shape[1]))
    if not layers:
        return [], None
    found = backward(layers, Derivative(0.0, [None] * len(A), [[] for _ in A], direct, dS), read_first=True)
    for layer in layers:
        layer.systems.release()
    through = None if found.V[0] is None else A[0] @ found.V[0]
    return [G for G in found.A if G is not None], through
