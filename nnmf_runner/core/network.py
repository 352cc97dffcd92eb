"""The neural objective: a forward pass through all layers, the cost, and a backward pass to all factors.

Every term is a sum over columns, so the objective is evaluated on blocks of columns whose values are added: full batch,
minibatch and data larger than memory are one mechanism.  Within a block the data are read twice, once for ``A_0^T X``
and once for the gradient with respect to ``A_0``.  All steps in between work on arrays of k rows, on a part of the
columns at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.costs import Cost, Derivative, plus
from nnmf_runner.core.forks import Forks
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.layer import DeferredGradient, Layer, Shrinkage, solve_layers
from nnmf_runner.core.linalg import (
    Distributed,
    Index,
    Mask,
    Matrix,
    column_lengths,
    cross_product,
    gram_matrix,
    like,
    parts,
    product,
)
from nnmf_runner.core.regularisation import Penalty
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.threads import each, mapped, n_threads

# Times that a sparse matrix by rows is read for the data of all blocks of columns, each time for a share of them.
READS = 8


@dataclass
class Part:
    """Columns that are worked on together, a part of a block.

    Attributes
    ----------
    within : slice
        Their positions in the block.
    columns : slice or ndarray of int
        Their positions in the data.
    known : dict of int to ndarray of int
        For every supervised layer the labelled columns, counted from the first column of the part.
    warm : list of PassiveSystems or None
        The systems at the end of their last evaluation, a warm start of the next one.
    """

    within: slice
    columns: slice | Index
    known: dict[int, Index]
    warm: list[PassiveSystems] | None = None


@dataclass(frozen=True)
class Block:
    """Columns whose cost and gradient are evaluated together."""

    columns: slice | Index
    size: int
    parts: list[Part]


@dataclass
class Evaluation:
    """Relative cost of some columns and its gradient with respect to every variable."""

    value: float
    gradients: list[Matrix]


@dataclass(frozen=True)
class Terms:
    """Penalties and constraints of a network.

    Attributes
    ----------
    on_A : sequence of Penalty
        Penalties on the factors, one per layer; none if empty.
    on_S : sequence of Shrinkage
        Penalties on the codes, one per layer; none if empty.
    free : bool
        Whether the factors A may be negative.
    unit_columns : bool
        Whether the columns of A are scaled to unit length, so that only their directions matter.
    learn_l1 : bool
        Whether the `l1` of every layer is a variable, with one value per row of the codes.
    """

    on_A: Sequence[Penalty] = ()
    on_S: Sequence[Shrinkage] = ()
    free: bool = False
    unit_columns: bool = False
    learn_l1: bool = False


@dataclass(frozen=True)
class _Common:
    """What the parts of an evaluation share beside large arrays; see `Network.evaluate` and `_Total`.

    Attributes
    ----------
    upper : list of ndarray
        The factors above the first.
    gram : ndarray of shape (k_0, k_0), or None with missing entries
        ``A_0^T A_0``.
    shrinkage : sequence of Shrinkage
    maps : dict of int to ndarray
        Label maps that are variables.
    unit : float
        Unit of the cost per column.
    n_derivatives : int
    """

    upper: list[Matrix]
    gram: Matrix | None
    shrinkage: Sequence[Shrinkage]
    maps: dict[int, Matrix]
    unit: float
    n_derivatives: int


class Network:
    """The relative cost of Neural NMF as a function of the factors alone.

    The variables are the nonnegative ``A_0, ..., A_L``; then, if penalties are learnt, the `l1` of every layer, of
    shape (k_l, 1); then, for every layer whose label map is learnt, the map B, whose entries may be negative.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Zero where an entry is missing.
    labels : Labels, optional
        Labels that the codes of the last layer predict.
    mask : ndarray of bool, shape (m, n), optional
        True where an entry of dense X is known.
    lower_labels : mapping of int to Labels, optional
        Labels that the codes of lower layers predict, by layer.
    fixed : mapping of int to ndarray, optional
        Factors that are no variables, by layer.  Their columns keep their lengths.

    Attributes
    ----------
    labels : dict of int to Labels
        Labels by the layer that they supervise, in ascending order; the last layer is -1, at the end.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 2.
    """

    def __init__(
        self,
        X: Any,
        cost: Cost,
        labels: Labels | None = None,
        *,
        mask: Mask | None = None,
        terms: Terms | None = None,
        lower_labels: Mapping[int, Labels] | None = None,
        fixed: Mapping[int, Matrix] | None = None,
    ) -> None:
        self.X, self.mask, self.fixed = X, mask, fixed or {}
        self.cost, self.terms = cost.of(X), terms or Terms()
        self.labels = dict(sorted((lower_labels or {}).items())) | ({} if labels is None else {-1: labels})
        self._unit_columns = self.terms.unit_columns or cost.unit_columns
        self._last_codes: dict[int, Matrix] = {}
        self._forks: Forks[Part, _Total] | None = None
        # ``A_0^T X``, where it does not change.
        is_held = 0 in self.fixed and not isinstance(X, Distributed)
        self._products = cross_product(self.fixed[0], X) if is_held else None

    @cached_property
    def norm(self) -> float:
        """The unit of the cost, ``||X||^2`` for squared residuals; of all data, where X is a part of them."""
        return self.own

    @cached_property
    def own(self) -> float:
        """The unit of the data X."""
        return self.cost.unit(self.X)

    @cached_property
    def n(self) -> int:
        """Number of columns; of all data, where X is a part of them."""
        return self.X.shape[1]

    @cached_property
    def everything(self) -> Block:
        """All columns."""
        return self._block(slice(None), self.X.shape[1])

    @property
    def learnt(self) -> list[int]:
        """Layers whose label map is a variable, in the order of these variables, which come last."""
        return [layer for layer, labels in self.labels.items() if labels.learn_map]

    def split(self, variables: Sequence[Matrix]) -> tuple[list[Matrix], list[Matrix], dict[int, Matrix]]:
        """Split the variables into factors, learnt penalties, and learnt label maps by layer."""
        end, n_fixed = len(variables) - len(self.learnt), len(self.fixed)
        n_layers = (end + n_fixed) // 2 if self.terms.learn_l1 else end + n_fixed
        maps = dict(zip(self.learnt, variables[end:], strict=True))
        free = iter(variables)
        factors = [self.fixed[i] if i in self.fixed else next(free) for i in range(n_layers)]
        return factors, list(variables[n_layers - n_fixed : end]), maps

    def nonnegative(self, variables: Sequence[Matrix]) -> list[bool]:
        """For every variable, whether it must not be negative."""
        factors, l1, maps = self.split(variables)
        n_free = len(factors) - len(self.fixed)
        return [not self.terms.free] * n_free + [True] * len(l1) + [False] * len(maps)

    def factors(self, variables: Sequence[Matrix]) -> list[Matrix]:
        """The factors of these variables, with columns of unit length where only directions matter."""
        A = self.split(variables)[0]
        if not self._unit_columns:
            return A
        return [factor if i in self.fixed else factor / _length(factor) for i, factor in enumerate(A)]

    def shrinkage(self, variables: Sequence[Matrix]) -> Sequence[Shrinkage]:
        """The penalty on the codes of every layer; the sequence is empty if there is none."""
        if not self.terms.learn_l1:
            return self.terms.on_S
        l1 = self.split(variables)[1]
        return [replace(term, l1=value) for term, value in zip(self.terms.on_S, l1, strict=True)]

    def blocks(self, size: int, rng: np.random.Generator) -> list[Block]:
        """A random partition of the columns into blocks of at most `size`."""
        order = rng.permutation(self.X.shape[1])
        chosen = [np.sort(order[part]) for part in parts(len(order), size)]
        return [self._block(which, len(which)) for which in chosen]

    def in_turn(self, blocks: Sequence[Block]) -> Iterator[tuple[Block, Any]]:
        """Blocks one after the other, each with its data.

        A sparse matrix by rows is read whole for any of its columns, and one by columns would take as much memory
        again, so the data of many blocks are taken at a time.
        """
        if getattr(self.X, "format", None) != "csr":
            yield from ((block, self.X[:, block.columns]) for block in blocks)
            return
        for some in parts(len(blocks), -(-len(blocks) // READS) or 1):
            taken = self.X[:, np.concatenate([block.columns for block in blocks[some]])].tocsc()
            ends = np.cumsum([block.size for block in blocks[some]])
            for block, end in zip(blocks[some], ends.tolist(), strict=True):
                yield block, taken[:, end - block.size : end]
            del taken  # before the next are

    def _block(self, which: slice | Index, size: int) -> Block:
        of_data = [part if isinstance(which, slice) else which[part] for part in parts(size)]
        return Block(which, size, [self._part(*both) for both in zip(parts(size), of_data, strict=True)])

    def _part(self, within: slice, which: slice | Index) -> Part:
        return Part(within, which, {i: np.flatnonzero(labels.known[which]) for i, labels in self.labels.items()})

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """Cost and gradient at `variables`, over all columns or those of `block`, whose data may be given as X.

        Costs and gradients of the blocks of a partition add up to those of all columns.  A label map that is not a
        variable is computed from the newest codes of all columns, so evaluate all columns once before any block.
        """
        block = block or self.everything
        given, l1, maps = self.split(variables)
        A, shrinkage = self.factors(variables), self.shrinkage(variables)
        free = [i for i in range(len(A)) if i not in self.fixed]
        whole = block is self.everything
        if X is None:
            X = self.X if whole else self.X[:, block.columns]
        unit = (self.own if whole else self.cost.unit(X.T)) / block.size  # unit of the cost per column
        products, gram = self._formed(A, X, block.columns)  # reads the data the first time
        common = _Common(A[1:], gram, shrinkage, maps, unit, len(A) + len(l1) + len(maps))
        total = _Total(common.n_derivatives)
        (products, _), of_parts = self._of_parts(block, (products, A[0]), common, X)
        for of_part in of_parts:
            total.merge(of_part)
        if total.small is not None:
            total.add(0, product(X, products.T), 1.0 / self.norm)  # reads the data for the second time
            total.add(0, A[0] @ like(total.small, A[0]), 1.0 / self.norm)
        share = block.size / self.n
        for i, penalty in enumerate(self.terms.on_A):
            total.value += share * penalty.value(A[i])
            if i in free:
                total.add(i, penalty.gradient(A[i]), share)
        if self._unit_columns:  # from the columns scaled to unit length back to those that are the variables
            for i in free:
                if total.gradients[i] is not None:
                    total.gradients[i] = _of_direction(given[i], A[i], total.gradients[i])
        found = [total.gradients[i] for i in free] + total.gradients[len(A) :]
        gradients = [np.zeros_like(v) if g is None else g for v, g in zip(variables, found, strict=True)]
        return Evaluation(total.value, gradients)

    def _of_parts(
        self, block: Block, arrays: Sequence[Matrix], common: _Common, X: Any
    ) -> tuple[Sequence[Matrix], Iterator[_Total]]:
        """Costs and gradients of every part in turn, between the two passes over the data.

        Layers are solved as they are asked for, so that one part for each thread at a time is in memory.  The arrays
        are the products with the data, and the first factor.  The results put what the data are multiplied by next into
        those that are returned.
        """
        eliminated = [layer for layer in self.labels if layer not in common.maps]
        if eliminated:  # the best label map needs the codes of all parts
            solved = list(mapped(lambda part: self._solve(part, arrays, common, X), block.parts))
            both = list(zip(block.parts, solved, strict=True))
            known = common.maps | {layer: self._best_map(layer, both) for layer in eliminated}
            return arrays, mapped(lambda one: self._of_part(*one, arrays, replace(common, maps=known)), both)
        if n_threads() > 1 and len(block.parts) > 1 and block is self.everything:
            self._forks = self._forks or Forks(self._derived, block.parts, arrays)
            arrays = self._forks.shared(arrays)
            return arrays, self._forks.results(self._derived, arrays, common)
        return arrays, mapped(lambda part: self._derived(part, arrays, common, X), block.parts)

    def _derived(self, part: Part, arrays: Sequence[Matrix], common: _Common, X: Any = None) -> _Total:
        layers = self._solve(part, arrays, common, self.X if X is None else X)
        return self._of_part(part, layers, arrays, common)

    def _solve(self, part: Part, arrays: Sequence[Matrix], common: _Common, X: Any) -> list[Layer]:
        products, first = arrays
        return self._forward(part, [first, *common.upper], X, products, common.gram, common.shrinkage)

    def _of_part(self, part: Part, layers: list[Layer], arrays: Sequence[Matrix], common: _Common) -> _Total:
        """Cost and gradient of a part; in its columns of the products, put what the data are multiplied by next."""
        total, products = _Total(common.n_derivatives), arrays[0]
        term = self.cost.evaluate(layers, common.unit * layers[0].S.shape[1])
        total.value += term.value / self.norm
        for supervised in self.labels:
            self._add_labels(total, term, supervised, layers[supervised].S, part, common.maps[supervised])
        back = backward(layers, term, read_first=self.mask is not None, fixed=self.fixed, to_codes=self.terms.learn_l1)
        if back.deferred is not None:
            products[:, part.within], total.small = back.deferred.outer, back.deferred.small
        by_l1 = _by_l1(layers, back.V) if self.terms.learn_l1 else []
        for i, gradient in enumerate([*back.A, *by_l1]):
            total.add(i, gradient, 1.0 / self.norm)
        for layer in layers:
            layer.systems.release()
        layers.clear()  # before the next part is solved
        return total

    def _forward(
        self,
        part: Part,
        A: Sequence[Matrix],
        X: Any,
        products: Matrix,
        gram: Matrix | None,
        shrinkage: Sequence[Shrinkage],
    ) -> list[Layer]:
        mask = None if self.mask is None else self.mask[:, part.columns]
        inputs = None if sparse.issparse(X) else X[:, part.within]
        cross = products[:, part.within]
        layers = self._solved(A, inputs, part.warm, mask=mask, shrinkage=shrinkage, cross=cross, gram=gram)
        part.warm = [layer.systems for layer in layers]
        return layers

    def _solved(self, A: Sequence[Matrix], inputs: Any, warm: list[PassiveSystems] | None, **given: Any) -> list[Layer]:
        """The layers of some columns, for what `solve_layers` takes."""
        layers = solve_layers(A, inputs, warm, **given)
        for layer in layers:
            layer.settle()
        return layers

    def _formed(self, A: Sequence[Matrix], X: Any, columns: slice | Index) -> tuple[Matrix, Matrix | None]:
        """``A_0^T X`` for the data X of some columns, and ``A_0^T A_0``, which they share but with missing entries."""
        products = cross_product(A[0], X) if self._products is None else self._products[:, columns]
        return products, gram_matrix(A[0]) if self.mask is None else None

    def codes(self, A: Sequence[Matrix], shrinkage: Sequence[Shrinkage] = ()) -> list[Matrix]:
        """Codes of every layer for all columns, shapes (k_l, n), to the last bit whatever has been evaluated where."""
        products, gram = self._formed(A, self.X, slice(None))
        codes = [np.empty((factor.shape[1], self.X.shape[1]), self.X.dtype) for factor in A]

        def solve(part: Part) -> None:
            for S, layer in zip(codes, self._forward(part, A, self.X, products, gram, shrinkage), strict=True):
                S[:, part.within] = layer.S
                layer.systems.release()

        each(solve, [replace(part, warm=None) for part in self.everything.parts])
        return codes

    def _add_labels(self, total: _Total, term: Derivative, layer: int, S: Matrix, part: Part, B: Matrix) -> None:
        """Add the weighted label cost of a layer over a part of the columns.

        Its derivative with respect to the codes, which is zero for unlabelled samples, is added to that of the data.
        """
        labels, known = self.labels[layer], part.known[layer]
        Y = labels.Y[:, part.columns][:, known]
        found = labels.cost.evaluate(S[:, known], Y, B)
        total.value += labels.scale * found.value
        if labels.learn_map:
            total.add(self.learnt.index(layer) - len(self.learnt), found.dB, labels.scale)
        dS = np.zeros_like(S) if (of_data := term.dS[layer]) is None else of_data
        dS[:, known] += self.norm * labels.scale * found.dS
        term.dS[layer] = dS

    def _best_map(self, layer: int, solved: Sequence[tuple[Part, list[Layer]]]) -> Matrix:
        """The map that predicts the labels of a layer best from its newest codes."""
        labels, rank = self.labels[layer], len(solved[0][1][layer].S)
        if len(self._last_codes.get(layer, ())) != rank:
            self._last_codes[layer] = np.zeros((rank, self.X.shape[1]), self.X.dtype)
        codes = self._last_codes[layer]
        for part, layers in solved:
            codes[:, part.columns] = layers[layer].S
        return labels.best_map(codes)


class _Total:
    """Sums over columns.

    Attributes
    ----------
    value : float
    gradients : list of ndarray or None
        One per variable; None while nothing has been added.
    small : ndarray of shape (k_0, k_0) or None
        Sum of `DeferredGradient.small`.
    """

    def __init__(self, n_variables: int) -> None:
        self.value = 0.0
        self.gradients: list[Any] = [None] * n_variables
        self.small: Matrix | None = None

    def add(self, i: int, gradient: Matrix | None, scale: float = 1.0) -> None:
        """Add `scale` times a gradient, which is overwritten, to that of variable i; None stands for zero."""
        if gradient is None:
            return
        gradient *= scale
        if self.gradients[i] is None:
            self.gradients[i] = gradient
        else:
            self.gradients[i] += gradient

    def merge(self, other: _Total) -> None:
        """Add the sums over other columns, whose arrays are overwritten."""
        self.value += other.value
        self.small = plus(self.small, other.small)
        for i, gradient in enumerate(other.gradients):
            self.add(i, gradient)


def _length(A: Matrix) -> Matrix:
    """Lengths of the columns; one for a column of zeros."""
    length = column_lengths(A)
    return np.where(length > 0, length, 1.0)


def _of_direction(A: Matrix, unit: Matrix, gradient: Matrix) -> Matrix:
    """Gradient with respect to A from the gradient with respect to its columns scaled to unit length, `unit`."""
    return (gradient - unit * (unit * gradient).sum(axis=0)) / _length(A)


def _by_l1(layers: list[Layer], V: list[Matrix | None]) -> list[Matrix]:
    """Gradients with respect to the `l1` of every layer, directly and through the codes, shapes (k_l, 1)."""
    own = [2.0 * layer.share * layer.S.sum(axis=1, keepdims=True) for layer in layers]
    return [o if v is None else o - v.sum(axis=1, keepdims=True) for o, v in zip(own, V, strict=True)]


@dataclass(frozen=True)
class Backward:
    """What the backward pass returns: gradients by the factors A, and V, the `Layer.adjoint` of every layer.

    None stands for zero; `deferred` is the rest of the gradient with respect to the first factor.
    """

    A: list[Matrix | None]
    V: list[Matrix | None]
    deferred: DeferredGradient | None


def backward(
    layers: list[Layer],
    part: Derivative,
    *,
    read_first: bool,
    fixed: Collection[int] = (),
    to_codes: bool = False,
) -> Backward:
    """Gradient with respect to every ``A_l`` from the partial derivatives of a cost.

    From the last layer down, the derivative with respect to the codes passes through the layer's solve and becomes
    that with respect to the codes below.  The product with the data is formed only if `read_first`.  For layers
    that are `fixed` there is no gradient, and the pass ends at the lowest that is not, unless the adjoints of all codes
    are wanted (`to_codes`).
    """
    gradients = [None if i in fixed else direct for i, direct in enumerate(part.direct)]
    adjoints = list(part.dS)
    from_above: Matrix | None = None
    deferred = None
    lowest = 0 if to_codes else min((i for i in range(len(layers)) if i not in fixed), default=len(layers))
    for i in reversed(range(lowest, len(layers))):
        layer, right = layers[i], part.right[i]
        dS, V = plus(part.dS[i], from_above), None
        from_above = None
        if dS is not None:
            V = layer.adjoint(dS)  # (k_l, n)
            from_above = layer.A @ V if i else None
        adjoints[i] = V
        if (right is None and V is None) or i in fixed:
            continue
        if i or read_first:
            gradients[i] = plus(gradients[i], layer.derivative(right, part.pairs[i], V))
        else:
            deferred = layer.deferred_gradient(right, part.pairs[0], V)
    return Backward(gradients, adjoints, deferred)
