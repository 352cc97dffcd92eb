"""The result of a fit: factors and codes of every layer, and the names under which they are saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from typing import Any

from numpy.typing import NDArray

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import History, Stop


@dataclass(frozen=True)
class Fit:
    """A factorisation, as a method returns it.

    Attributes
    ----------
    A : list of ndarray of shape (k_{l-1}, k_l)
        Factors, ``k_{-1} = m``.
    S : list of ndarray of shape (k_l, n)
        Codes of every layer.
    B : ndarray of shape (c, k_L) or None
        Label map of the last layer; None without labels.
    history : History
    stop : Stop
    parameters : dict of ndarray
        Further arrays that the method needs to encode new data, by name.
    lower_maps : dict of int to ndarray of shape (c_l, k_l)
        Label maps of supervised lower layers, by layer.
    """

    A: list[Matrix]
    S: list[Matrix]
    B: Matrix | None
    history: History
    stop: Stop
    parameters: dict[str, Matrix] = field(default_factory=dict)
    lower_maps: dict[int, Matrix] = field(default_factory=dict)

    @property
    def maps(self) -> dict[int, Matrix]:
        """The label map of every supervised layer, by layer."""
        return self.lower_maps | ({} if self.B is None else {len(self.A) - 1: self.B})


def in_precision(fit: Fit, dtype: str) -> Fit:
    """The fit with factors, codes and label maps of a precision: those that have it are not copied."""

    def cast(array: Any) -> Any:
        return array if array is None else array.astype(dtype, copy=False)

    A, S, maps = [*map(cast, fit.A)], [*map(cast, fit.S)], {i: cast(B) for i, B in fit.lower_maps.items()}
    return replace(fit, A=A, S=S, B=cast(fit.B), lower_maps=maps)


# Prefix of the names of parameters among the arrays of a fit.
_PARAMETER = "parameters/"


def named_arrays(fit: Fit) -> dict[str, NDArray[Any]]:
    """The arrays of a fit by the names of a file: ``A0, ..., S0, ..., B, B0, ..., parameters/...``."""
    named = {f"A{i}": A for i, A in enumerate(fit.A)} | {f"S{i}": S for i, S in enumerate(fit.S)}
    named |= {f"B{i}": B for i, B in fit.lower_maps.items()}
    named |= {_PARAMETER + name: value for name, value in fit.parameters.items()}
    return named if fit.B is None else {**named, "B": fit.B}


def fit_from_arrays(arrays: Mapping[str, NDArray[Any]], history: History, stop: Stop) -> Fit:
    """The fit with these arrays, the inverse of `named_arrays`.

    Raise a `ValueError` that says why if their names or shapes are not those of a fit.
    """
    A, S, B = numbered(arrays, "A"), numbered(arrays, "S"), arrays.get("B")
    parameters = {name.removeprefix(_PARAMETER): value for name, value in arrays.items() if name.startswith(_PARAMETER)}
    lower_maps = {i: arrays[f"B{i}"] for i in range(len(A) - 1) if f"B{i}" in arrays}
    if not A or len(A) != len(S):
        raise ValueError(f"it has {len(A)} factors A and {len(S)} codes S")
    if len(A) + len(S) + len(parameters) + len(lower_maps) + (B is not None) < len(arrays):
        known = {*(f"{kind}{i}" for kind in "AS" for i in range(len(A))), *(f"B{i}" for i in lower_maps), "B"}
        strange = [name for name in arrays if name not in known and not name.startswith(_PARAMETER)]
        raise ValueError(f"it has an array {strange[0]}, which no fit has")
    for i, (factor, codes) in enumerate(zip(A, S, strict=True)):
        below = A[i - 1].shape[-1] if i else 1
        if factor.ndim != 2 or 0 in factor.shape or factor.shape[0] % below:  # with pooling, a multiple
            raise ValueError(f"A{i} has shape {factor.shape}, which does not fit the layer below")
        if codes.ndim != 2 or codes.shape != (factor.shape[1], S[0].shape[-1]):
            raise ValueError(f"S{i} has shape {codes.shape}, expected {(factor.shape[1], S[0].shape[-1])}")
    for i, given in (*lower_maps.items(), (len(A) - 1, B)):
        if given is not None and (given.ndim != 2 or not len(given) or given.shape[1] != A[i].shape[1]):
            name = "B" if given is B else f"B{i}"
            raise ValueError(f"{name} has shape {given.shape}, expected one column for each of {A[i].shape[1]} topics")
    return Fit(A, S, B, history, stop, parameters, lower_maps)


def numbered(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[NDArray[Any]]:
    """The arrays named ``A0, A1, ...`` if `kind` is ``A``, up to the first number that is absent."""
    names = takewhile(arrays.__contains__, (f"{kind}{i}" for i in count()))
    return [arrays[name] for name in names]
