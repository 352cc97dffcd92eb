"""Initial factors ``A_0, ..., A_L`` for given ranks.

Their columns have unit length, so that the codes alone carry the scale of the data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from nnmf_runner.core.checks import check_choice, check_number
from nnmf_runner.core.layer import solve_codes
from nnmf_runner.core.linalg import (
    Distributed,
    Matrix,
    column_lengths,
    cross_product,
    gram_matrix,
    like,
    truncated_svd,
)
from nnmf_runner.core.updates import HALS, lift_zeros

# Entries of a singular vector below this share of its largest are zeros with rounding.
ROUNDING = {"float64": 1e-10, "float32": 1e-5}
# Passes of a start, which is no fit: more of them would never end.
MOST_SWEEPS = 10_000


class Initialisation:
    """A way to choose the initial factors.  Subclasses are dataclasses whose fields are its options."""

    name: ClassVar[str]
    takes_shards: ClassVar[bool] = True  # data that no process holds whole

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Factors of shapes ``(m, k_0), (k_0, k_1), ...`` for data of shape (m, n)."""
        raise NotImplementedError

    def check(self, n_features: int, layers: Sequence[int], *, signed: bool) -> None:
        """Raise an `InputError` if it does not fit the data or the ranks; `signed` allows negative factors."""

    def brings(self) -> Collection[int]:
        """The layers whose factors are given rather than made."""
        return ()

    def called(self, layer: int | None = None) -> str:
        """What messages call the initial factors, or that of a layer which is given."""
        return f"init={self.name}"

    def identity(self) -> dict[str, Any]:
        """The options that determine the initial factors, besides the data and the seed."""
        return asdict(self)  # type: ignore[call-overload]


@dataclass
class Random(Initialisation):
    """Entries uniform on [0, 1), columns then scaled to unit length."""

    name: ClassVar[str] = "random"

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Initial factors, see `Initialisation.start`."""
        return [_unit_columns(rng.random(shape)) for shape in factor_shapes(X.shape[0], layers)]


@dataclass
class NNDSVD(Initialisation):
    """Nonnegative double singular value decomposition of the data, then of the codes layer by layer.

    A topic that all singular vectors of the codes leave out is linked evenly to all topics of the next layer.

    Parameters
    ----------
    fill : {"zero", "mean", "random"}
        What replaces zeros: nothing (NNDSVD), the mean entry (NNDSVDa), or random entries of up to a hundredth of
        the mean (NNDSVDar).

    References
    ----------
    C. Boutsidis and E. Gallopoulos, "SVD based initialization: a head start for nonnegative matrix
    factorization", Pattern Recognition 41(4), 2008.
    """

    name: ClassVar[str] = "nndsvd"
    fill: str = "zero"

    def __post_init__(self) -> None:
        check_choice(self.fill, ("zero", "mean", "random"), "fill")

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Initial factors, see `Initialisation.start`."""
        return self.completed({}, X, layers, rng)

    def completed(
        self, given: Mapping[int, Matrix], X: Any, layers: Sequence[int], rng: np.random.Generator
    ) -> list[Matrix]:
        """Initial factors of which some are given, by layer."""
        factors: list[Matrix] = []
        inputs = X
        for layer, rank in enumerate(layers):
            if layer in given:
                factors.append(like(given[layer], X))
            else:
                A = self._filled(nndsvd(inputs, rank, rng), rng)
                factors.append(like(_unit_columns(_linked(A) if factors else A), X))
            inputs = solve_codes(factors[-1], inputs)
        return factors

    def _filled(self, A: Matrix, rng: np.random.Generator) -> Matrix:
        fill = {"zero": 0.0, "mean": A.mean(), "random": A.mean() / 100.0 * rng.random(A.shape)}[self.fill]
        return np.where(A > 0, A, fill)


@dataclass
class Greedy(Initialisation):
    """Pretraining layer by layer: from NNDSVD, a few passes of HALS on the data, then on the codes.

    Parameters
    ----------
    sweeps : int
        Passes of HALS over both factors of a layer.

    References
    ----------
    G. Trigeorgis et al., "A deep semi-NMF model for learning hidden representations", ICML 2014, for
    pretraining by layers; N. Gillis and F. Glineur, Neural Comput. 24(4), 2012, for HALS.
    """

    name: ClassVar[str] = "greedy"
    takes_shards: ClassVar[bool] = False
    sweeps: int = 20

    def __post_init__(self) -> None:
        check_number(self.sweeps, "sweeps", low=1, high=MOST_SWEEPS, integer=True)

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Initial factors, see `Initialisation.start`."""
        factors: list[Matrix] = []
        inputs, update = X, HALS()
        for rank in layers:
            A = like(lift_zeros(_unit_columns(nndsvd(inputs, rank, rng))), X)
            S = solve_codes(A, inputs)
            for _ in range(self.sweeps):
                A = update(A, gram_matrix(S.T), cross_product(S.T, inputs.T).T)
                S = update(S.T, gram_matrix(A), cross_product(A, inputs).T).T
            factors.append(_unit_columns(A))
            inputs = solve_codes(factors[-1], inputs)
        return factors


def nndsvd(X: Any, rank: int, rng: np.random.Generator) -> Matrix:
    """Nonnegative parts of the leading singular vectors, shape (m, rank), each column scaled by its share.

    For every singular pair, the sign is chosen whose nonnegative parts have the larger product.  The random numbers
    are for the columns beyond the rank of the data.

    References
    ----------
    C. Boutsidis and E. Gallopoulos, Pattern Recognition 41(4), 2008, algorithm 1.
    """
    found = min(rank, *X.shape)
    U, sigma, lengths = _leading(X, found)
    A = rng.random((X.shape[0], rank))  # columns beyond the rank of the data, where ranks grow, stay random
    for j in range(found):
        candidates = [np.maximum(sign * U[:, j], 0.0) for sign in (1.0, -1.0)]
        norms = [float(np.linalg.norm(u) * length) for u, length in zip(candidates, lengths[:, j], strict=True)]
        best = int(np.argmax(norms))
        u = candidates[best]
        u[u < ROUNDING[X.dtype.name] * u.max()] = 0.0  # zeros up to the rounding of the decomposition
        A[:, j] = np.sqrt(sigma[j] * norms[best]) * u / max(float(np.linalg.norm(u)), np.finfo(float).tiny)
    return A


def _leading(X: Any, rank: int) -> tuple[Matrix, Matrix, Matrix]:
    """See `Distributed.leading`."""
    if isinstance(X, Distributed):
        return X.leading(rank)
    U, sigma, Vt = truncated_svd(X, rank)
    signed = [[np.linalg.norm(np.maximum(sign * v, 0.0)) for v in Vt] for sign in (1.0, -1.0)]
    return U, sigma, np.array(signed)


def seeded(factors: Sequence[Matrix], seeds: Sequence[NDArray[np.intp]]) -> list[Matrix]:
    """Initial factors whose first topics have more of certain features than those that are given.

    Of all topics of the first layer, those that are nearest to the features of `seeds` come first, in the order of the
    seeds.  To each is added as much of its features, all alike, as it is long, and its length then taken back.

    Parameters
    ----------
    factors : sequence of ndarray of shape (k_{l-1}, k_l)
    seeds : sequence of ndarray of int
        Indices of features, of at most k_0 topics.
    """
    A, n = factors[0], len(seeds)
    added = np.zeros((len(A), n))
    for j, features in enumerate(seeds):
        added[features, j] = 1.0 / np.sqrt(len(features))
    length = np.linalg.norm(A, axis=0)
    _, nearest = optimize.linear_sum_assignment(-(added.T @ (A / np.where(length > 0, length, 1.0))))
    order = [*nearest, *np.setdiff1d(np.arange(A.shape[1]), nearest)]
    A, length = A[:, order], length[order[:n]]
    A[:, :n] += length * added
    A[:, :n] *= length / np.maximum(np.linalg.norm(A[:, :n], axis=0), np.finfo(float).tiny)
    return [A, *(factor[order] for factor in factors[1:2]), *factors[2:]]


def factor_shapes(n_features: int, layers: Sequence[int]) -> list[tuple[int, int]]:
    """Shapes of ``A_0, ..., A_L`` for data with `n_features` features."""
    return list(zip([n_features, *layers[:-1]], layers, strict=True))


def _linked(A: Matrix) -> Matrix:
    """Replace rows of zeros, so that every topic below is linked to the layer."""
    return np.where(A.any(axis=1, keepdims=True), A, A.mean())


def _unit_columns(A: Matrix) -> Matrix:
    """Scale columns to unit length; a column of zeros, which no update could leave, becomes uniform."""
    A = np.where(A.any(axis=0), A, 1.0)
    return A / column_lengths(A)
