"""Checks of arguments, with one type of error and messages of one line."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.linalg import canonical

# The largest entry of data has to lie between these: sums of squares, and their products in a fit, stay finite.
SMALLEST, LARGEST = 1e-60, 1e60
# The same in single precision.
SMALLEST_SINGLE, LARGEST_SINGLE = 1e-12, 1e12
# The largest count of anything, of iterations too: more are never done, and take no part in sums that overflow.
MOST = 10**9
# Names that are all said instead of a wrong one, however near one of them is.
FEW = 3


class InputError(ValueError):
    """An argument is not acceptable; the message names it, the value expected and the value given."""


class InputTypeError(InputError, TypeError):
    """An argument holds objects of a type that is not acceptable."""


def shown(value: object, most: int = 100) -> str:
    """A value in one line of a message, cut if it is long; of an array or a text of several lines its type."""
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes
        return "an integer of thousands of digits"
    if "\n" in text:
        return f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[:most]}..."


def described(value: object) -> str:
    """What kind of thing a value is that is of no use."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def check_choice(value: object, legal: Iterable[str], name: str, every: str = "") -> str:
    """Return `value` if it is one of the `legal` names, or raise an `InputError` as `instead_of` has it."""
    legal = sorted(legal)
    if isinstance(value, str) and value in legal:
        return value
    raise InputError(f"{name}={shown(value)} is not known. {instead_of(shown(value), legal, every)}")


def hint(name: str, legal: Iterable[str], below: str = "") -> str:
    """Ask whether the nearest of the `legal` names was meant, with a space before; nothing if none is near."""
    near = difflib.get_close_matches(name, legal, n=1)
    return f" Did you mean {below + near[0]!r}?" if near else ""


def instead_of(name: str, legal: Iterable[str], every: str = "", below: str = "") -> str:
    """What to say instead of a name that is not one of the `legal` ones: of many the nearest alone, if one is near.

    `every` says then where all of them are listed.  All stand `below` one prefix, which makes none nearer.
    """
    legal = sorted(legal)
    meant = hint(name, legal, below)
    if meant and len(legal) > FEW:
        return f"{meant.lstrip()} {every}".rstrip()
    listed = ", ".join(f"{below}{each}" for each in legal)
    return (f"Expected one of: {listed}." if legal else "It has none.") + meant


def check_unused(part: Any, name: str, without: str) -> None:
    """Raise an `InputError` unless an option of a dataclass is at its default: another changes nothing `without`."""
    if (value := getattr(part, name)) != part.__dataclass_fields__[name].default:
        raise InputError(f"{name}={shown(value)} changes nothing without {without}. Expected {without} beside it.")


def check_flag(value: object, name: str) -> None:
    """Raise an `InputError` unless `value` is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{name}={shown(value)} is not valid. Expected True or False.")


def check_number(
    value: Any,
    name: str,
    *,
    low: float = -np.inf,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
    integer: bool = False,
) -> Any:
    """Return `value` if it is a finite number from `low` to `high`, an open end excluded, or raise an `InputError`.

    Unless it is said, the highest is `MOST` of an integer and `LARGEST` of another number.
    """
    high = (MOST if integer else LARGEST) if high is None else high
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, kinds) and not isinstance(value, bool):
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if above and below and _is_finite_number(value, integer):
            return value
    left = "(" if open_low or low == -np.inf else "["
    right = ")" if open_high or high == np.inf else "]"
    kind = "an integer" if integer else "a number"
    raise InputError(f"{name}={shown(value)} is not valid. Expected {kind} in {left}{low:g}, {high:g}{right}.")


def _is_finite_number(value: Any, integer: bool) -> bool:
    """Whether a number is finite; one beyond the range of doubles is so as an integer alone."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return integer


def check_layers(layers: Any, *, allow_growing: bool = False) -> tuple[int, ...]:
    """Return ranks, one or several or in the form ``9-4-2``, as a tuple of positive integers that do not grow.

    Raise an `InputError` if they are anything else.
    """
    given = layers
    if isinstance(layers, str):
        text = layers.strip("[] ")
        layers = [_as_integer(part) for part in text.replace(",", "-").split("-")] if text else []
    layers = list(layers) if hasattr(layers, "__iter__") else [layers]
    if not layers:
        raise InputError(f"layers={given} is empty. Expected at least one rank, such as layers=[9,4,2].")
    for i, rank in enumerate(layers):
        if not isinstance(rank, (int, np.integer)) or isinstance(rank, bool) or rank < 1:
            raise InputError(
                f"layers[{i}]={shown(rank)} is not valid. Expected a positive integer, such as in layers=[9,4,2]."
            )
        if i and rank > layers[i - 1] and not allow_growing:
            raise InputError(
                f"layers[{i}]={shown(rank)} exceeds layers[{i - 1}]={layers[i - 1]}: ranks must not grow "
                "(set allow_growing_ranks=True to force it)."
            )
    return tuple(int(rank) for rank in layers)


def _as_integer(text: str) -> int | str:
    """A text of digits as an integer; any other as it is."""
    try:
        return int(text) if text.strip().isdecimal() else text
    except ValueError:  # of more digits than Python converts
        return text


def check_fixed(fixed: Any, n_layers: int) -> list[int]:
    """Return the layers whose factors are held, in ascending order; an `InputError` unless they are layers."""
    if isinstance(fixed, str) or not hasattr(fixed, "__iter__"):
        raise InputError(f"fixed={shown(fixed)} is not valid. Expected a list of layers, such as fixed=[0].")
    layers = list(fixed)
    for i, layer in enumerate(layers):
        if not isinstance(layer, (int, np.integer)) or isinstance(layer, bool) or not 0 <= layer < n_layers:
            raise InputError(
                f"fixed[{i}]={shown(layer)} is no layer. Expected integers in [0, {n_layers - 1}]: "
                f"the first of {n_layers} layers is 0."
            )
    return sorted({int(layer) for layer in layers})


def check_ranks(layers: Sequence[int], shape: tuple[int, int]) -> None:
    """Refuse, with an `InputError`, ranks above the smaller side of data of a shape (m, n)."""
    for i, rank in enumerate(layers):
        if rank > min(shape):
            raise InputError(
                f"layers[{i}]={shown(rank)} exceeds {min(shape)}, the smaller side of the data "
                f"(n_features={shape[0]}, n_samples={shape[1]}). Expected a rank of at most {min(shape)}."
            )


def is_missing(value: Any) -> bool:
    """Whether `value` stands for nothing: None, what does not equal itself (NaN, NaT), or of which nothing is true."""
    try:
        return value is None or not bool(value == value)
    except TypeError:  # of pandas.NA, which is neither true nor false
        return True
    except ValueError:  # of several values
        return False


def check_finite(
    array: Any, name: str, *, vector: bool = False, dtype: str | None = "float64", scaled: bool = False
) -> Any:
    """Return a matrix, array_like or sparse and of shape (m, n), as `dtype`, None for its own.

    `name` is what errors call it.

    Raise an `InputError` if it is not numeric, not of two dimensions (with `vector`, nor of one), empty, or holds NaN
    or infinity; a masked entry counts as NaN.  With `scaled`, also if it is as `check_scaled` says.
    """
    found = check_numbers(array, name, vector=vector, dtype=None)
    values = found.data if sparse.issparse(found) else found
    if not _is_finite(values) and (bad := int(values.size - np.isfinite(values).sum())):
        missing = "NaN" if masked(array) is None else "masked, NaN"
        raise InputError(f"{name} has {bad} entries that are {missing} or infinite, expected finite numbers.")
    if scaled:
        _check_scale(values, name, dtype)
    return found if dtype is None else found.astype(dtype, copy=False)


def check_numbers(array: Any, name: str, *, vector: bool = False, dtype: str | None = "float64") -> Any:
    """Return what `check_finite` does, and raise the same errors, but let NaN and infinity pass."""
    if sparse.issparse(array):
        array = canonical(array.tocsr() if array.format not in ("csr", "csc") else array)
        _check_real(array.data, name)
    else:
        array = _as_numbers(array, name)
    if array.ndim != 2 and not (vector and array.ndim == 1):
        raise InputError(f"{name} has {array.ndim} dimensions with shape {array.shape}, expected 2.")
    if 0 in array.shape:
        raise InputError(f"{name} is empty: its shape is {array.shape}.")
    return array if dtype is None else array.astype(dtype, copy=False)


def _as_numbers(array: Any, name: str) -> NDArray[Any]:
    """A dense array of real numbers, NaN where it is masked or `is_missing`; otherwise an `InputError`."""
    if array is None:
        raise InputError(f"{name} is None, expected a matrix of numbers.")
    try:
        found = _plain(array)
    except TypeError as error:
        raise InputTypeError(f"{name} is not numeric: {error}.") from None
    except (ValueError, OverflowError) as error:  # rows of different lengths, or words
        raise InputError(f"{name} is not a matrix of numbers: {error}.") from None
    _check_real(found, name)
    return found


def _plain(array: Any) -> NDArray[Any]:
    """An array without a mask, and of doubles where it was of objects, of which a `TypeError` refuses text."""
    hidden = masked(array)
    found = np.asarray(array) if hidden is None else np.where(hidden, np.nan, np.asarray(array))
    if found.dtype != object:
        return found
    for value in found.flat:
        if isinstance(value, (str, bytes)):  # which Python reads as numbers if it can, "1_1" as 11
            raise TypeError(f"expected real numbers, got text, {reprlib.repr(value)}")
    try:
        return found.astype(np.float64)  # numbers and None, if they are
    except TypeError:
        missing = np.reshape([is_missing(value) for value in found.flat], found.shape)
        return np.where(missing, np.nan, found).astype(np.float64)


def masked(array: Any) -> NDArray[np.bool_] | None:
    """The entries that a masked array, or a list of such, hides, which `numpy.asarray` would uncover; None if none."""
    if isinstance(array, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in array):
        array = np.ma.array(array, dtype=object)
    hides = isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array)
    return np.ma.getmaskarray(array) if hides else None


def _check_real(values: NDArray[Any], name: str) -> None:
    if values.dtype.kind not in "biuf":
        hint = " Complex data not supported." if values.dtype.kind == "c" else ""
        raise InputError(f"{name} is not numeric: expected real numbers, got entries of type {values.dtype}.{hint}")


def _is_finite(values: NDArray[Any]) -> bool:
    """Whether the sum is finite, which costs a fraction of checking every entry."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()))


def check_scaled(array: Any, name: str, dtype: str | None = "float64") -> Any:
    """Return `array` as `check_finite` does, refusing entries too large or too small for sums of their squares.

    Their largest magnitude has to be zero or in [`SMALLEST`, `LARGEST`], or the range of single precision; otherwise
    an `InputError` is raised.
    """
    return check_finite(array, name, dtype=dtype, scaled=True)


def _check_scale(values: NDArray[Any], name: str, dtype: str | None) -> None:
    is_single = dtype == "float32"
    lowest, most = (SMALLEST_SINGLE, LARGEST_SINGLE) if is_single else (SMALLEST, LARGEST)
    highest = max(float(values.max(initial=0)), -float(values.min(initial=0)))
    if highest and not lowest <= highest <= most:
        in_single = " in dtype=float32" if is_single else ""
        raise InputError(
            f"{name} has {highest:g} as its largest entry, too far from 1 for sums of squares{in_single}. "
            f"Expected it in [{lowest:g}, {most:g}]: scale the data."
        )


def check_nonnegative(array: Any, name: str, dtype: str | None = "float64") -> Any:
    """Return `array` as `check_scaled` does; raise an `InputError` for negative entries, too."""
    array = check_scaled(array, name, dtype)
    lowest = (array.data if sparse.issparse(array) else array).min(initial=0.0)
    if lowest < 0:
        said = f"{name} has to be nonnegative. Negative values in data: the lowest is {lowest:g}."
        raise InputError(f"{said} Semi-NMF takes them: method=semi.")
    return array


def split_missing(
    array: Any, name: str, mask: Any = None, *, signed: bool = False, zeros: bool = False, dtype: str | None = "float64"
) -> tuple[Any, NDArray[np.bool_] | None]:
    """Return data with zeros for their missing entries, and which entries are known.

    Parameters
    ----------
    array : array_like or scipy sparse matrix of shape (m, n)
        In dense data, NaN, None, pandas.NA and what a masked array hides are missing entries.
    mask : array_like of bool, shape (m, n), optional
        True where an entry is known; the others are ignored.
    signed : bool
        Whether entries may be negative.
    zeros : bool
        Whether all known entries may be zero, and all entries missing.
    dtype : {"float64", "float32"} or None
        What the data are returned as; None leaves them as they are.

    Returns
    -------
    X : ndarray or sparse matrix of shape (m, n)
        As returned by `check_nonnegative`, or by `check_scaled` if entries may be negative.
    known : ndarray of bool, shape (m, n), or None
        None where all entries are known.

    Raises
    ------
    InputError
        As these two, for the known entries; if they are all zero or there are none, unless that is allowed; also if
        `mask` has another shape or type.
    """
    if sparse.issparse(array):
        values, known = array, _as_mask(mask, array.shape, name)
    else:
        values, known = _known_entries(_as_numbers(array, name), mask, name)
    if known is not None and not known.any() and not zeros:
        raise InputError(f"{name} has no known entry: all {known.size} are missing, expected at least one number.")
    values = (check_scaled if signed else check_nonnegative)(values, name, dtype)
    if not zeros and not (values.data if sparse.issparse(values) else values).any():
        raise InputError(f"{name} holds only zeros, expected at least one {'other' if signed else 'positive'} entry.")
    return values, known


def _known_entries(values: NDArray[Any], mask: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Dense data with zeros for what is NaN or hidden by a mask, and which entries are neither; None if all are."""
    if mask is None and _is_finite(values):  # before anything is formed that is as large as the data
        return values, None
    known = ~np.isnan(values)
    if (given := _as_mask(mask, values.shape, name)) is not None:
        known &= given
    return (values, None) if known.all() else (np.where(known, values, 0.0), known)


def filled(array: Any, known: NDArray[np.bool_] | None) -> Any:
    """Replace missing entries, zero in `array` of one row per feature, by the mean of the known ones of their feature.

    Both have the shape (m, n); `known` is None where no entry is missing.
    """
    if known is None:
        return array
    total = array.sum(axis=1, keepdims=True, dtype=np.float64)
    mean = total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, array, mean.astype(array.dtype))


def _as_mask(mask: Any, shape: tuple[int, ...], name: str) -> NDArray[np.bool_] | None:
    """A checked mask; None for one that hides nothing."""
    if mask is None:
        return None
    try:
        hidden, found = masked(mask), np.asarray(mask)
    except ValueError:
        raise InputError(f"mask has rows of different lengths, expected the shape {shape} as {name} has.") from None
    if hidden is not None:
        raise InputError(f"mask is masked itself. Expected True or False for every entry of {name}.")
    if found.dtype == object and all(isinstance(entry, (bool, np.bool_)) for entry in found.flat):
        found = found.astype(bool)  # of a data frame of nullable type
    if found.dtype != bool:
        raise InputError(f"mask is of type {found.dtype}, expected booleans: True where an entry of {name} is known.")
    if found.shape != shape:
        raise InputError(f"mask has shape {found.shape}, expected {shape} as {name} has.")
    return None if found.all() else found
