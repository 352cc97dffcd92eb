"""Checks of what a caller hands over: one error type, messages of one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse

from nnmf_runner.core.linalg import canonical


class InputError(ValueError):
    """An argument is not acceptable; the message names it, what was expected and what came."""


def check_choice(value: object, legal: Iterable[str], name: str) -> str:
    """Return `value` if it is one of the `legal` names.

    Raises
    ------
    InputError
        Otherwise, with the legal values and the nearest of them.
    """
    legal = sorted(legal)
    if value in legal:
        return str(value)
    near = difflib.get_close_matches(str(value), legal, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{name}={value} is not known. Expected one of: {', '.join(legal)}.{hint}")


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> Any:
    """Return `value` if it is a finite number from `low` to `high`, each left out of the range where it is open.

    Raises
    ------
    InputError
        Otherwise, with the range that was expected.
    """
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, kinds) and not isinstance(value, bool):
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if above and below and np.isfinite(value):
            return value
    left = "(" if open_low or low == -np.inf else "["
    right = ")" if open_high or high == np.inf else "]"
    kind = "an integer" if integer else "a number"
    raise InputError(f"{name}={value} is not valid. Expected {kind} in {left}{low:g}, {high:g}{right}.")


def check_finite(array: Any, name: str, *, vector: bool = False) -> Any:
    """Return `array` as a float64 matrix (or sparse matrix), refusing what is not finite numbers.

    Parameters
    ----------
    array : array_like or scipy sparse matrix of shape (m, n)
    name : str
        What to call it in an error.
    vector : bool
        Whether one dimension is acceptable as well.

    Raises
    ------
    InputError
        If it is not numeric, not of two dimensions, empty, or holds NaN or infinity.
    """
    if sparse.issparse(array):
        array = canonical(array.tocsr() if array.format not in ("csr", "csc") else array)
        values = array.data
    else:
        try:
            array = np.asarray(array)
        except ValueError as error:  # rows of different lengths
            raise InputError(f"{name} is not a matrix: {error}.") from None
        values = array
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} is not numeric: expected real numbers, got entries of type {values.dtype}.")
    if array.ndim != 2 and not (vector and array.ndim == 1):
        raise InputError(f"{name} has {array.ndim} dimensions with shape {array.shape}, expected 2.")
    if 0 in array.shape:
        raise InputError(f"{name} is empty: its shape is {array.shape}.")
    with np.errstate(all="ignore"):  # one sum settles the usual case at a fraction of the cost of every entry
        suspicious = not np.isfinite(values.sum())
    if suspicious and (bad := int(values.size - np.isfinite(values).sum())):
        raise InputError(f"{name} has {bad} entries that are NaN or infinite, expected finite numbers.")
    return array.astype(np.float64, copy=False)


def split_missing(array: Any, name: str, mask: Any = None) -> tuple[Any, Any]:
    """Check nonnegative data of which entries may be missing, and tell those apart.

    Parameters
    ----------
    array : array_like or sparse matrix of shape (m, n)
        NaN where an entry of dense data is missing.
    name : str
        What to call it in an error.
    mask : array_like of bool, shape (m, n), optional
        False where an entry is not to be looked at.

    Returns
    -------
    array : ndarray or sparse matrix of shape (m, n)
        As `check_nonnegative` returns it, zero where an entry is missing.
    known : ndarray of bool, shape (m, n), or None
        None where no entry is missing.

    Raises
    ------
    InputError
        As `check_nonnegative`; also if the mask is not of booleans or of another shape, or leaves nothing.
    """
    known = None
    if mask is not None:
        known = np.asarray(mask)
        if known.dtype != bool:
            raise InputError(f"mask is of type {known.dtype}, expected booleans: true where an entry is known.")
        if known.shape != np.shape(array):
            raise InputError(f"mask has shape {known.shape}, expected {np.shape(array)}, the shape of {name}.")
    if not sparse.issparse(array):
        array = np.asarray(array)
        if array.dtype.kind == "f" and np.isnan(array).any():
            known = ~np.isnan(array) if known is None else known & ~np.isnan(array)
    if known is None or known.all():
        return check_nonnegative(array, name), None
    if not known.any():
        raise InputError(f"{name} has no known entry: all {known.size} are missing.")
    if sparse.issparse(array):
        raise InputError(f"{name} is sparse, where missing entries cannot be left out. Expected dense data.")
    return check_nonnegative(np.where(known, array, 0.0), name), known


def filled(array: Any, known: Any) -> Any:
    """Dense data, zero where an entry is missing, with each feature's mean over its known entries there instead."""
    if known is None:
        return array
    mean = array.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, array, mean)


def check_nonnegative(array: Any, name: str) -> Any:
    """Return `array` as `check_finite` does, refusing negative entries and a matrix of zeros alone.

    Raises
    ------
    InputError
        As `check_finite`; also if an entry is negative or all are zero.
    """
    array = check_finite(array, name)
    values = array.data if sparse.issparse(array) else array
    lowest = values.min(initial=0.0)
    if lowest < 0:
        raise InputError(f"{name} has negative entries (the lowest is {lowest:g}), expected nonnegative ones.")
    if not values.any():
        raise InputError(f"{name} holds only zeros, expected at least one positive entry.")
    return array
