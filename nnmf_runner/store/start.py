"""Starts of a fit: the initialisations of the core, and factors that are given, as arrays or in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from nnmf_runner.core.checks import InputError, check_choice, check_finite, check_scaled
from nnmf_runner.core.init import NNDSVD, Greedy, Initialisation, Random, factor_shapes
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.store.files import FACTORS, digest, read_arrays, user_path

# How the name of a file of factors ends, and what they are called in it; no hierarchy has more layers.
NPZ = ".npz"
_FACTOR = re.compile(r"A(0|[1-9]\d{0,5})")
PLACES = "the folder of a run or of a saved model, or a .npz file with the factors A0, A1 and so on"


class Brought(Initialisation):
    """Factors that are given, rather than made from the data.

    Attributes
    ----------
    rest : str or None
        What makes the factors of layers that have none; None if all have to have one.
    """

    name: ClassVar[str] = "saved"
    rest: str | None

    def factors(self) -> Mapping[int, Matrix]:
        """The given factors by layer, in double precision."""
        raise NotImplementedError

    def brings(self) -> Collection[int]:
        """The layers of the given factors, see `Initialisation.brings`."""
        return self.factors().keys()

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Initial factors, see `Initialisation.start`."""
        given = self.factors()
        self._check_shapes(given, X.shape[0], layers)
        if len(given) == len(layers):  # whatever the data
            return [given[layer] for layer in range(len(layers))]
        return NNDSVD().completed(given, X, layers, rng)

    def check(self, n_features: int, layers: Sequence[int], *, signed: bool) -> None:
        """Refuse data and ranks that do not fit the factors, see `Initialisation.check`."""
        given = self.factors()
        self._check_shapes(given, n_features, layers)
        for layer, factor in given.items():
            lowest = float(check_scaled(factor, self.called(layer)).min())
            if lowest < 0 and not signed:
                raise InputError(
                    f"{self.called(layer)} has negative entries (the lowest is {lowest:g}), but the method needs "
                    "nonnegative ones."
                )
            if not factor.any():
                raise InputError(
                    f"{self.called(layer)} holds only zeros, which no fit can leave. Expected some others."
                )

    def identity(self) -> dict[str, Any]:
        """A hash of the factors, since their values matter and not where they come from, and what makes the others."""
        given = sorted(self.factors().items())
        layers = [layer for layer, _ in given]
        found: dict[str, Any] = {"digest": digest([A + 0.0 for _, A in given])}  # zeros of either sign are equal
        found |= {} if layers == [*range(len(layers))] else {"layers": layers}
        return found if self.rest is None else {**found, "rest": self.rest}

    def _check_shapes(self, given: Mapping[int, Matrix], n_features: int, layers: Sequence[int]) -> None:
        found = {layer: given[layer].shape for layer in sorted(given)}
        expected = dict(enumerate(factor_shapes(n_features, layers)))
        fits = found.items() <= expected.items()
        if not fits or (self.rest is None and len(found) < len(expected)):
            hint = " The option rest=nndsvd of init=saved makes those that are missing." if fits else ""
            if self.rest is not None:
                expected = {layer: shape for layer, shape in expected.items() if layer in found} or expected
            raise InputError(
                f"{self.called()} holds factors of shapes {_listed(found)}, expected {_listed(expected)} "
                f"for {n_features} features and layers={'-'.join(map(str, layers))}.{hint}"
            )


@dataclass
class Saved(Brought):
    """The factors of an earlier run, of a saved model or of a file.

    Parameters
    ----------
    path : str
        Folder of the run or of the model, or a ``.npz`` file of arrays ``A0``, ``A1`` and so on, of shapes
        (features, topics) and (topics, topics of the next layer); a relative path is relative to the working directory.
    rest : {"nndsvd"}, optional
        What makes the factors of layers that have none there, from the codes of the layers below; by default every
        layer has to have one.
    """

    # What messages call the path.
    option: ClassVar[str] = "path"
    path: str = ""
    rest: str | None = None

    def __post_init__(self) -> None:
        if self.rest is not None:
            check_choice(self.rest, [NNDSVD.name], "rest")

    def factors(self) -> dict[int, Matrix]:
        """The saved factors, see `Brought.factors`; InputError if there are none."""
        if not self.path:
            raise InputError(f"init=saved has no path. Expected path=..., {PLACES}.")
        path = user_path(self.path, self.option)
        is_file = path.name.lower().endswith(NPZ) and os.path.isfile(path)
        if not is_file and not os.path.isdir(path):  # which too long a name is not either
            raise InputError(f"{self.called()} is not a folder or a .npz file. Expected {PLACES}.")
        file = path if is_file else path / FACTORS
        try:
            arrays = read_arrays(file)
        except ValueError as error:
            raise InputError(f"{self.called()} cannot be used as initial factors: {error}.") from None
        named = {name: int(found[1]) for name in arrays if (found := _FACTOR.fullmatch(name))}
        if not named:
            others = f", but {', '.join(sorted(arrays)[:5])}" if arrays else ""
            raise InputError(
                f"{self.called()} cannot be used as initial factors: {file.name} has no factor A0{others}. Expected "
                "arrays A0, A1 and so on."
            )
        return {layer: arrays[name].astype(np.float64) for name, layer in named.items()}

    def called(self, layer: int | None = None) -> str:
        """The path, see `Initialisation.called`."""
        whole = f"{self.option}={self.path}"
        return whole if layer is None else f"A{layer} of {whole}"


class Given(Brought):
    """Factors that are given as arrays.

    Parameters
    ----------
    arrays : sequence of array_like of shape (k_{l-1}, k_l), or None
        ``A_0, A_1, ...``; NNDSVD makes one where there is None.
    """

    def __init__(self, arrays: Any) -> None:
        if isinstance(arrays, (str, bytes)) or not isinstance(arrays, Sequence):
            raise InputError(
                f"init is of type {type(arrays).__name__}. Expected a list of arrays, one per layer: init=[A_0, ...]."
            )
        self._factors = {i: _as_factor(array, f"init[{i}]") for i, array in enumerate(arrays) if array is not None}
        if not self._factors:
            raise InputError("init holds no factor. Expected a list of arrays, one per layer: init=[A_0, ...].")
        self.rest = NNDSVD.name if len(self._factors) < len(arrays) else None
        self._n_layers = len(arrays)

    def factors(self) -> dict[int, Matrix]:
        """The arrays, see `Brought.factors`."""
        return dict(self._factors)

    def check(self, n_features: int, layers: Sequence[int], *, signed: bool) -> None:
        """Refuse arrays that do not fit the data and the ranks, see `Initialisation.check`."""
        if self._n_layers != len(layers):
            raise InputError(
                f"init has {self._n_layers} entries, expected {len(layers)}: an array for every layer, or None where "
                "one is to be made."
            )
        super().check(n_features, layers, signed=signed)

    def called(self, layer: int | None = None) -> str:
        """The parameter, see `Initialisation.called`."""
        return "init" if layer is None else f"init[{layer}]"


def _as_factor(array: Any, name: str) -> Matrix:
    """A copy of a factor in double precision, which nothing else can change."""
    if sparse.issparse(array):
        raise InputError(f"{name} is sparse. Expected a dense array: {name}.toarray().")
    return np.array(check_finite(array, name))


def _listed(shapes: Mapping[int, tuple[int, ...]]) -> str:
    """Shapes in the order of the layers, with the names of the factors if some of them are missing."""
    is_whole = [*shapes] == [*range(len(shapes))]
    said = {layer: " x ".join(map(str, shape)) or "a number" for layer, shape in shapes.items()}
    return ", ".join(text if is_whole else f"{text} (A{layer})" for layer, text in said.items())


INITIALISATIONS: dict[str, type] = {init.name: init for init in (Random, NNDSVD, Greedy, Saved)}


def is_path(value: Any) -> bool:
    """Whether a value in the place of an initialisation's name is the path of saved factors."""
    if isinstance(value, os.PathLike):
        return True
    if not isinstance(value, str) or value in (*INITIALISATIONS, ""):
        return False
    return os.sep in value or value.lower().endswith(NPZ) or os.path.isdir(user_path(value, "init"))
