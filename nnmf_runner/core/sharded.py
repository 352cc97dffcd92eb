"""Data in shards of columns, and the neural objective over them, whoever computes what.

All that is asked of the data is a sum over shards of something small, of which each is computed where its shard is.
The sum is that of a binary tree over the shards, so that its bits depend neither on how many processes share the
shards, nor on which of them computes which.  Arrays with an entry for every column are files, of which each shard
reads or writes its own columns.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, eigsh

from nnmf_runner.core.costs import Cost
from nnmf_runner.core.journal import Journal
from nnmf_runner.core.label_costs import LabelCost, Labels, added, label_sums, map_of
from nnmf_runner.core.layer import NO_SHRINKAGE, Layer, Shrinkage, forward, solve_codes
from nnmf_runner.core.linalg import (
    WHOLE_SVD,
    Distributed,
    Matrix,
    beside_norm,
    cross_product,
    doubles,
    lanczos_start,
    squared_norm,
    squared_residual,
    triangle,
)
from nnmf_runner.core.network import Block, Evaluation, Network, Part, Terms
from nnmf_runner.core.systems import PassiveSystems
from nnmf_runner.core.threads import mapped

R = TypeVar("R")


class Source(Protocol):
    """Where shards are read from.  It is small, and can be sent to another process that sees the same files."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and of columns."""

    @property
    def ends(self) -> Sequence[int]:
        """Zero, and the column after the last of every shard."""

    @property
    def norm2(self) -> float:
        """Squared Frobenius norm."""

    @property
    def is_sparse(self) -> bool:
        """Whether shards are sparse."""

    @property
    def key(self) -> str:
        """What no other data have."""

    def part(self, i: int) -> Any:
        """Shard i, shape (m, columns), which may stay in its file."""


def combined(span: range, leaf: Callable[[range], R], add: Callable[[R, R], R], depth: int = -1) -> R:
    """Sum over a span of shards by the tree that halves it, of leaves of one shard, or as many as stand at `depth`."""
    if len(span) == 1 or not depth:
        return leaf(span)
    halves = span[: len(span) // 2], span[len(span) // 2 :]
    return add(*(combined(half, leaf, add, depth - 1) for half in halves))


@dataclass(frozen=True)
class Sum:
    """Something to be added up over the shards.

    Attributes
    ----------
    of : callable
        A function of a module, of a `Shard` and `arguments`.
    add : callable
        Adds two of its results.
    """

    of: Callable[..., Any]
    add: Callable[[Any, Any], Any]
    arguments: tuple[Any, ...] = ()

    def over(self, source: Source, span: range) -> Any:
        """The sum over a span of shards, in the process that this is called in."""
        return combined(span, lambda one: _shard(source, one[0]).give(self), self.add)


def aligned(arguments: Any) -> Any:
    """Arguments whose arrays begin where processors want them to, whatever message they came in.

    Products of other arrays are formed in another way, and so with other last bits.
    """
    if isinstance(arguments, np.ndarray):
        return np.require(arguments, requirements="A")
    return type(arguments)(map(aligned, arguments)) if isinstance(arguments, list | tuple) else arguments


class Mapper(Protocol):
    """Has sums over shards computed, see `combined`."""

    # A folder for arrays with an entry for every column.
    folder: Path
    # Of the evaluations, if they are noted.
    journal: Journal | None

    def sum(self, source: Source, asked: Sum) -> Any:
        """The sum over all shards."""


_mapper: ContextVar[Mapper] = ContextVar("mapper")


@contextmanager
def computed_by(mapper: Mapper) -> Iterator[None]:
    """Have sums over shards computed by `mapper` in the block."""
    token = _mapper.set(mapper)
    try:
        yield
    finally:
        _mapper.reset(token)


def _shard(source: Source, i: int) -> Shard:
    """A shard as this process holds it.  What it holds is a cache: all of it can be made again."""
    with _lock:
        for other in [key for key in _held if key != source.key]:
            del _held[other]
        shards = _held.setdefault(source.key, {})
        if i not in shards:
            shards[i] = Shard(source, i)
        return shards[i]


_held: dict[str, dict[int, Shard]] = {}
_lock = threading.Lock()


class Shard:
    """A shard of the data in a process, with the network of the fit that this process takes part in."""

    def __init__(self, source: Source, i: int) -> None:
        self.X = doubles(source.part(i))  # which stay in their file, unless that is of single precision
        self.columns = slice(source.ends[i], source.ends[i + 1])
        self._network: tuple[str, ShardNetwork] | None = None
        self._lock = threading.Lock()

    def give(self, asked: Sum) -> Any:
        """This shard's term of a sum."""
        with self._lock:
            return asked.of(self, *asked.arguments)

    def inputs(self, below: Sequence[Matrix]) -> Any:
        """The data of the shard or, of factors of layers, the codes of the last of them, shape (k, columns)."""
        found = self.X
        for A in below:
            found = solve_codes(A, found)
        return found

    def network(self, setup: Setup) -> ShardNetwork:
        """The network of a fit over the columns of this shard."""
        if self._network is None or self._network[0] != setup.key:
            self._network = (setup.key, ShardNetwork(self, setup))
        return self._network[1]

    def own(self, path: Path, mode: Any = "r") -> Matrix:
        """The columns of this shard in a file of one array."""
        return np.load(path, mmap_mode=mode, allow_pickle=False)[:, self.columns]


@dataclass(frozen=True)
class ShardedMatrix(Distributed):
    """Data of shape (m, n) in shards of columns, or the codes of such data in layers of given factors.

    Attributes
    ----------
    source : Source
    below : sequence of ndarray
        Factors ``A_0, A_1, ...`` of which this matrix is the codes, of shape (k, n); none for the data themselves.
    """

    source: Source
    below: tuple[Matrix, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """Numbers of rows and of columns."""
        m, n = self.source.shape
        return (self.below[-1].shape[1] if self.below else m), n

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        """Whether its shards are sparse."""
        return self.source.is_sparse and not self.below

    def total(self, of: Callable[..., Any], *arguments: Any, add: Callable[[Any, Any], Any] | None = None) -> Any:
        """Sum over the shards of a list of arrays that a function of a module gives, see `Sum`."""
        return _mapper.get().sum(self.source, Sum(of, add or _each_added, arguments))

    def coded(self, A: Matrix) -> ShardedMatrix:
        """See `Distributed.coded`."""
        return replace(self, below=(*self.below, A))

    def squared_norm(self) -> float:
        """See `nnmf_runner.core.linalg.squared_norm`."""
        return self.source.norm2 if not self.below else float(self.total(_squared_norm, self.below)[0])

    def sum(self, dtype: Any = np.float64) -> float:
        """Sum of all entries."""
        return float(self.total(_sum)[0])

    def squared_residual(self, A: Matrix, S: Any) -> float:
        """See `nnmf_runner.core.linalg.squared_residual`; the codes S are of `ShardedNetwork.codes`."""
        found = float(self.total(_squared_residual, A, Path(S.filename))[0])
        return max(0.0, self.squared_norm() + found) if self.is_sparse else found

    def leading(self, rank: int) -> tuple[Matrix, Matrix, Matrix]:
        """See `Distributed.leading`."""
        U, sigma = self._left(rank)
        positive, negative = self.total(_squared_parts, self.below, U / np.where(sigma > 0, sigma, 1.0))
        return U, sigma, np.sqrt([positive, negative])

    def _left(self, rank: int) -> tuple[Matrix, Matrix]:
        """Leading left singular vectors and singular values: Lanczos iteration for the space, then its triangle."""
        smaller, basis = min(self.shape), None
        if 2 * rank < smaller and (self.is_sparse or smaller > 500):
            gram = LinearOperator((self.shape[0],) * 2, matvec=self._gram_times, dtype=float)
            start = np.resize(lanczos_start(smaller), self.shape[0])
            basis = np.linalg.qr(eigsh(gram, k=rank, v0=start)[1])[0]
        U, sigma, _ = np.linalg.svd(self._triangle(basis).T, full_matrices=False)
        U = U[:, :rank] if basis is None else basis @ U
        return U, sigma[:rank]

    def _gram_times(self, v: Matrix) -> Matrix:
        return self.total(_gram_times, self.below, v.ravel())[0]

    def _triangle(self, basis: Matrix | None) -> Matrix:
        """The triangular factor of the transpose, if there is a basis of its product with it."""
        return self.total(_triangle, self.below, basis, add=_of_both)

    def tail_shares(self, ranks: Sequence[int]) -> list[float]:
        """See `nnmf_runner.core.linalg.tail_shares`."""
        norm = self.squared_norm()
        if not self.is_sparse and min(self.shape) <= WHOLE_SVD:
            squares = np.linalg.svd(self._triangle(None), compute_uv=False) ** 2
            return [float(squares[rank:].sum()) / norm for rank in ranks]
        captured = np.cumsum(self._left(max(ranks))[1] ** 2)
        return [max(0.0, norm - float(captured[rank - 1])) / norm for rank in ranks]


def _each_added(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [one + other for one, other in zip(some, others, strict=True)]


def _of_both(R: Matrix, other: Matrix) -> Matrix:
    """The triangular factor of rows whose parts have these."""
    found: Any = np.linalg.qr(np.vstack([R, other]), mode="r")
    return found


def _squared_norm(shard: Shard, below: Sequence[Matrix]) -> list[float]:
    return [squared_norm(shard.inputs(below))]


def _sum(shard: Shard) -> list[float]:
    return [float(shard.X.sum(dtype=np.float64))]


def _squared_residual(shard: Shard, A: Matrix, codes: Path) -> list[float]:
    S = np.ascontiguousarray(shard.own(codes))
    return [(beside_norm if sparse.issparse(shard.X) else squared_residual)(shard.X, A, S)]


def _squared_parts(shard: Shard, below: Sequence[Matrix], U: Matrix) -> list[Matrix]:
    """Squared lengths of the positive and of the negative parts of every row of ``U^T X``."""
    V = cross_product(U, shard.inputs(below))
    return [np.square(np.maximum(sign * V, 0.0)).sum(axis=1) for sign in (1.0, -1.0)]


def _gram_times(shard: Shard, below: Sequence[Matrix], v: Matrix) -> list[Matrix]:
    X = shard.inputs(below)
    return [X @ (X.T @ v)]


def _triangle(shard: Shard, below: Sequence[Matrix], basis: Matrix | None) -> Matrix:
    X = shard.inputs(below)
    return triangle(X if basis is None else cross_product(basis, X))


@dataclass(frozen=True)
class ShardLabels:
    """Labels that a layer learns, see `Labels`, whose classes are the row `row` of a file, -1 where none is known."""

    cost: LabelCost
    weight: float
    n_classes: int
    count: int
    row: int

    def of(self, classes: Any) -> Labels:
        """The labels of some columns, whose map is given with the variables."""
        indices = np.asarray(classes[self.row])
        known = indices >= 0
        Y = np.zeros((self.n_classes, len(indices)))
        Y[indices[known], np.flatnonzero(known)] = 1.0
        return Labels(self.cost, self.weight, Y, known, learn_map=True, count=self.count)


@dataclass(frozen=True)
class Setup:
    """What the network of a shard is made of, small enough to be sent with every evaluation.

    Attributes
    ----------
    cost : Cost
        With the constants of all data.
    norm, n
        Those of the network over all data.
    labels : dict of int to ShardLabels
        By layer.
    classes : Path or None
        The file of their classes.
    key : str
        That of no other fit.
    """

    cost: Cost
    norm: float
    n: int
    terms: Terms
    labels: dict[int, ShardLabels]
    classes: Path | None
    fixed: Mapping[int, Matrix]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


class ShardNetwork(Network):
    """The share of the columns of a shard in the cost of all data.

    Its variables end with the label maps of all supervised layers, whether they are variables of the fit or not.
    """

    def __init__(self, shard: Shard, setup: Setup) -> None:
        classes = None if setup.classes is None else shard.own(setup.classes)
        labels = {layer: own.of(classes) for layer, own in setup.labels.items()}
        last = labels.pop(-1, None)
        fixed = {layer: aligned(A) for layer, A in setup.fixed.items()}
        super().__init__(shard.X, setup.cost, last, terms=setup.terms, lower_labels=labels, fixed=fixed)
        self.cost, self.norm, self.n = setup.cost, setup.norm, setup.n
        self.own = setup.cost.unit(shard.X.T)  # of which a sparse X needs no copy, see `in_turn`

    def _solved(
        self,
        A: Sequence[Matrix],
        inputs: Any,
        warm: Sequence[PassiveSystems | None] | None,
        *,
        shrinkage: Sequence[Shrinkage] = (),
        **first: Any,
    ) -> list[Layer]:
        """See `Network`; whatever the warm start, the codes are the same to the last bit.

        A worker may take the place of another in mid-fit, and the rounding of one evaluation grows with every
        iteration that follows.  So they are solved once more where the passive sets have changed, all alike.
        """
        layers: list[Layer] = []
        for factor, own, term in zip(A, warm or [None] * len(A), shrinkage or [NO_SHRINKAGE] * len(A), strict=True):
            layer = forward(factor, inputs, own, shrinkage=term, **first)
            layer.settle()
            if layer.systems is not own:
                problem = layer.problem
                layer.systems = problem.systems(layer.systems.passive).factor(problem.gram)
                layer.S = problem.unit * layer.systems.solve(problem.cross)
            layers.append(layer)
            inputs, first = layer.S, {}
        return layers

    def label_sums(self, A: Sequence[Matrix], shrinkage: Sequence[Shrinkage], layers: Sequence[int]) -> list[Matrix]:
        """``S S^T`` and ``S Y^T`` of the labelled columns, for each of some layers in turn."""
        products, gram = self._formed(A, self.X, slice(None))

        def of_part(part: Part) -> list[Matrix]:
            solved = self._forward(part, A, self.X, products, gram, shrinkage)
            labels = [(solved[layer].S, self.labels[layer].Y[:, part.columns], part.known[layer]) for layer in layers]
            found = [array for each in labels for array in label_sums(*each)]
            for layer in solved:
                layer.systems.release()
            return found

        return added(mapped(of_part, self.everything.parts))


def evaluation(shard: Shard, setup: Setup, variables: Sequence[Matrix]) -> list[Any]:
    """The share of a shard in the cost and in its gradient."""
    found = shard.network(setup).evaluate(variables)
    return [found.value, *found.gradients]


def _label_sums(shard: Shard, setup: Setup, *given: Any) -> list[Matrix]:
    return shard.network(setup).label_sums(*given)


def _write_codes(
    shard: Shard, setup: Setup, A: Sequence[Matrix], shrinkage: Sequence[Shrinkage], paths: Sequence[Path]
) -> list[Any]:
    for path, S in zip(paths, shard.network(setup).codes(A, shrinkage), strict=True):
        shard.own(path, "r+")[:] = S
    return []


class ShardedNetwork(Network):
    """The network over data in shards, a sum of those of the shards; see `Network` for the parameters.

    Best label maps are made of sums over all shards, before the evaluation that uses them.
    """

    X: ShardedMatrix

    @cached_property
    def _setup(self) -> Setup:
        indices = [np.where(own.known, own.Y.argmax(axis=0), -1) for own in self.labels.values()]
        path = _mapper.get().folder / "labels.npy" if indices else None
        if path is not None:
            np.save(path, np.array(indices, np.int32))
        labels = {
            layer: ShardLabels(own.cost, own.weight, len(own.Y), int(own.known.sum()), row)
            for row, (layer, own) in enumerate(self.labels.items())
        }
        return Setup(self.cost, self.norm, self.n, self.terms, labels, path, self.fixed)

    def evaluate(self, variables: Sequence[Matrix], block: Block | None = None, X: Any = None) -> Evaluation:
        """Cost and gradient over all columns, see `Network.evaluate`."""
        if (journal := _mapper.get().journal) is None:
            return Evaluation(*self._summed(variables))
        return Evaluation(*journal.evaluated(variables, lambda: self._summed(variables)))

    def _summed(self, variables: Sequence[Matrix]) -> tuple[float, list[Matrix]]:
        given, l1, maps = self.split(variables)
        eliminated = [layer for layer in self.labels if layer not in maps]
        if eliminated:
            A = self.factors(variables)
            sums = self.X.total(_label_sums, self._setup, A, self.shrinkage(variables), eliminated)
            maps |= {layer: map_of(*sums[2 * i : 2 * i + 2]) for i, layer in enumerate(eliminated)}
        free = [A for i, A in enumerate(given) if i not in self.fixed] + l1
        value, *gradients = self.X.total(evaluation, self._setup, [*free, *(maps[layer] for layer in self.labels)])
        of_maps = dict(zip(self.labels, gradients[len(free) :], strict=True))
        return value, [*gradients[: len(free)], *(of_maps[layer] for layer in self.learnt)]

    def codes(self, A: Sequence[Matrix], shrinkage: Sequence[Shrinkage] = ()) -> list[Any]:
        """Codes of every layer as `Network.codes` gives them, in files that every shard has written its columns to."""
        paths = [_mapper.get().folder / f"S{i}.npy" for i in range(len(A))]
        for path, factor in zip(paths, A, strict=True):
            np.lib.format.open_memmap(path, "w+", np.float64, (factor.shape[1], self.n)).flush()
        self.X.total(_write_codes, self._setup, A, shrinkage, paths)
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]


def network_of(X: Any, *given: Any, **options: Any) -> Network:
    """The network of data, wherever they are; see `Network` for the other parameters."""
    return (ShardedNetwork if isinstance(X, ShardedMatrix) else Network)(X, *given, **options)
