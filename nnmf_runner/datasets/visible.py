"""What a method may see of a dataset: the entries that are not held out, and the labels that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.checks import InputError, split_missing
from nnmf_runner.core.linalg import in_order
from nnmf_runner.datasets.base import Dataset, read_mask


@dataclass(frozen=True)
class Entries:
    """The data as a method sees them, and what it does not see.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Zero where an entry is missing or held out.
    mask : ndarray of bool, shape (m, n), or None
        True where an entry is seen; None where all are.
    heldout : ndarray of shape (m, n) or None
        The data where they are held out, NaN elsewhere.
    """

    X: Any
    mask: NDArray[np.bool_] | None = None
    heldout: NDArray[Any] | None = None


def visible_entries(
    dataset: Dataset,
    mask: str | None,
    holdout: float,
    rng: np.random.Generator,
    *,
    signed: bool = False,
    name: str = "X",
    dtype: str = "float64",
) -> Entries:
    """Tell missing entries apart, by a file as `read_mask` reads it as well, and hold out a share of the known ones.

    Entries may be negative if `signed` says so.  Messages call the data by `name`.  They are returned as `dtype`.

    Raises
    ------
    InputError
        If the data are not acceptable, or the mask does not fit them.
    """
    options: dict[str, Any] = {"signed": signed, "dtype": dtype}
    X, known = split_missing(dataset.X, name, None if mask is None else read_mask(mask), **options)
    if signed and not (X.data if sparse.issparse(X) else X).any():
        raise InputError(f"{name} holds only zeros, to which no error is relative. Expected at least one other entry.")
    if not holdout:
        return Entries(in_order(X), known)
    if sparse.issparse(X):
        raise InputError(f"holdout={holdout:g} needs dense data, but dataset={dataset.name} is sparse.")
    known = np.ones(X.shape, bool) if known is None else known
    hidden = np.zeros(X.shape, bool)
    at = np.flatnonzero(known)
    hidden.flat[rng.choice(at, round(holdout * len(at)), replace=False)] = True
    if not X[hidden].any():
        raise InputError(
            f"holdout={holdout:g} hides {hidden.sum()} of {len(at)} entries, all of them zero, so there is no "
            "error to measure on them. Expected a larger share."
        )
    seen, mask_left = split_missing(np.where(hidden, 0.0, X), name, known & ~hidden, **options)
    return Entries(in_order(seen), mask_left, np.where(hidden, X, np.nan))


def draw_known(
    labels: NDArray[np.intp], fraction: float, rng: np.random.Generator, finest: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Draw `fraction` of the labelled columns, the same share of every class but at least one column each, shape (n,).

    One state of `rng` draws nested sets for rising fractions.  Labels of another level may be given as `finest`: of
    those of its classes that share a class, nearly equal shares are drawn, and columns that it alone labels are drawn
    as a class of their own.  Either is -1 where a column has no label.
    """
    known = np.zeros(len(labels), bool)
    if fraction == 0.0:
        return known
    finest = labels if finest is None else finest
    labelled = (labels >= 0) | (finest >= 0)
    # The j-th of n columns of a class stands at (j + 1/2) / n; the lowest are taken, whichever class they are of.
    place = np.full(len(labels), np.inf)
    for c in np.unique(labels[labelled]):
        members = rng.permutation(np.flatnonzero(labelled & (labels == c)))
        members = members[np.argsort(_places(finest[members]), kind="stable")]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        known[members[0]] = True
    known[np.argsort(place, kind="stable")[: round(fraction * labelled.sum())]] = True
    return known


def _places(labels: NDArray[np.intp]) -> NDArray[np.floating[Any]]:
    """Where each entry stands among those of its class, between zero and one, shape (n,)."""
    place = np.empty(len(labels))
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return place
