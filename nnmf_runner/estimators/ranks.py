"""The choice of ranks for Python users."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from nnmf_runner.config.ranks import check_rank_list
from nnmf_runner.config.schema import Model
from nnmf_runner.core.checks import InputError, check_number, described, shown
from nnmf_runner.core.linalg import in_order
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.resample import FOLDS, PAIRS, Bicross, Halves, check_highest
from nnmf_runner.datasets.visible import Entries
from nnmf_runner.estimators.factorisation import Factorisation, _python_names
from nnmf_runner.methods import Fit
from nnmf_runner.metrics.rank_profile import Pair, RankProfile, make_profile
from nnmf_runner.metrics.resampling import left_out_error
from nnmf_runner.task import Task


def rank_profile(
    X: ArrayLike, ranks: Iterable[int], estimator: Any = None, *, mask: ArrayLike | None = None
) -> RankProfile:
    """Tell how many topics data have, and at which levels, as ``nnmf-rank`` does.

    Three criteria are compared: the spectrum of the data, the agreement of fits to the two halves of the samples, and
    bi-cross-validation.  Every rank is fitted 19 times, to parts of the data.

    Parameters
    ----------
    X : array_like, sparse matrix or data frame of shape (n_samples, n_features)
        As for the estimator.
    ranks : iterable of int
        At least three, from 2 up.  The last of them is never taken for a peak, so that the range has to go beyond the
        finest rank that is expected.
    estimator : estimator, optional
        The method, options and seed of the fits, each of one layer; its `layers` are not used.  By default
        ``HierarchicalNMF(tol=5e-3, max_iter=1000, random_state=0)``.
    mask : array_like of bool, shape (n_samples, n_features), optional
        True where an entry of dense X is known.

    Returns
    -------
    RankProfile
        Its ``layers`` are the ranks that the criteria agree on, the finest first, and empty where they disagree;
        ``verdict`` says so in one line, ``rows()`` gives the scores of every rank, ``as_dict()`` all of it.

    Raises
    ------
    InputError
        If ranks or data are not acceptable, or the data too small for the ranks.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.kron(np.eye(4), np.ones((12, 6))) + np.kron(np.eye(2), np.ones((24, 12)))
    >>> rank_profile(X + 0.1 * rng.random(X.shape), range(2, 8)).verdict
    'layers=4-2'
    """
    compared = _checked(ranks)
    estimator = _default() if estimator is None else estimator
    if not isinstance(estimator, Factorisation):
        said = f"estimator is {described(estimator)}"
        raise InputError(f"{said}. Expected one of nnmf_runner, such as HierarchicalNMF().")
    if getattr(estimator, "seed_words", None) is not None:
        raise InputError("seed_words names features, of which fits on parts of X leave some out. Expected None.")
    with _python_names():
        given = type(estimator)(**estimator.get_params())
        model = given.set_params(layers=(compared[0],))._model()
        columns, known, sizes = given._read(X, mask, model.method, model.dtype)
        if sizes is not None:
            raise InputError(f"{type(estimator).__name__} is for tensors. Expected an estimator of matrices.")
    check_highest(compared, columns.shape)
    fits = _Fits(model, Entries(in_order(columns), known), given._seed())
    pairs = ((rank, [fits.pair(rank, i) for i in range(PAIRS)]) for rank in compared)
    corners = [Bicross(row, column) for row in range(FOLDS) for column in range(FOLDS)]
    errors = {rank: [fits.left_out(rank, corner) for corner in corners] for rank in (compared[0] - 1, *compared)}
    return make_profile(fits.entries.X, known, pairs, errors)


def _default() -> Any:
    from nnmf_runner.estimators import ESTIMATORS

    kind: Any = ESTIMATORS["HierarchicalNMF"]
    return kind(tol=5e-3, max_iter=1000, random_state=0)


def _checked(ranks: Iterable[int]) -> list[int]:
    """The ranks in ascending order."""
    expected = "Expected several integers, such as range(2, 21)."
    if isinstance(ranks, str) or not isinstance(ranks, Iterable):
        raise InputError(f"ranks={shown(ranks)} is not valid. {expected}")
    found = list(ranks)
    for i, rank in enumerate(found):
        check_number(rank, f"ranks[{i}]", low=2, integer=True)
    return check_rank_list(sorted({int(rank) for rank in found}), shown(found), expected)


class _Fits:
    """Fits of one layer on parts of the data."""

    def __init__(self, model: Model, entries: Entries, seed: int) -> None:
        self.model, self.entries, self.seed = model, entries, seed

    def pair(self, rank: int, i: int) -> Pair:
        """The topics of both halves of a halving."""
        first, second = (self._fit(rank, Halves(i, half))[0] for half in range(2))
        return Pair(first.A[0], second.A[0])

    def left_out(self, rank: int, corner: Bicross) -> float | None:
        """The relative error of what a fold hides."""
        fit, left_out = self._fit(rank, corner)
        return left_out_error(fit.A[0], fit.S[0], left_out, signed=self.model.method.sign_free)

    def _fit(self, rank: int, resample: Any) -> tuple[Fit, Any]:
        """The fit of a part, and what the part leaves out."""
        part = resample.part(Dataset("X", self.entries.X), self.entries, stream(self.seed, "resample"))
        model = dataclasses.replace(self.model, layers=[rank])
        with _python_names():
            return Task(model, part.entries.X, part.entries.mask).fit(self.seed), part.left_out
