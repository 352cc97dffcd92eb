"""Starts of a fit: the initialisations of the core, and factors that were saved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.init import NNDSVD, Greedy, Initialisation, Random, factor_shapes
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.methods.fit import numbered
from nnmf_runner.store.files import FACTORS, digest, read_arrays, user_path


@dataclass
class Saved(Initialisation):
    """The factors of an earlier run or of a saved model.

    Parameters
    ----------
    path : str
        Folder of the run or of the model; a relative path is relative to the working directory.
    """

    name: ClassVar[str] = "saved"
    path: str = ""

    def start(self, X: Any, layers: Sequence[int], rng: np.random.Generator) -> list[Matrix]:
        """Initial factors, see `Initialisation.start`."""
        factors = self.factors()
        self._check_shapes(factors, X.shape[0], layers)
        return factors

    def factors(self) -> list[Matrix]:
        """The saved ``A_0, ..., A_L``; InputError if there are none."""
        if not self.path:
            raise InputError("init=saved has no path. Expected path=..., the folder of a run or of a saved model.")
        folder = user_path(self.path, "path")
        if not os.path.isdir(folder):  # which too long a name is not either
            raise InputError(f"path={self.path} is not a folder. Expected the folder of a run or of a saved model.")
        try:
            found = numbered(read_arrays(folder / FACTORS), "A")
        except ValueError as error:
            raise InputError(f"path={self.path} cannot be used as initial factors: {error}.") from None
        if not found:
            raise InputError(f"path={self.path} cannot be used as initial factors: {FACTORS} has no factor A0.")
        return [factor.astype(np.float64) for factor in found]

    def check(self, n_features: int, layers: Sequence[int], *, signed: bool) -> None:
        """Refuse data and ranks that do not fit the saved factors, see `Initialisation.check`."""
        factors = self.factors()
        self._check_shapes(factors, n_features, layers)
        lowest = min(float(factor.min()) for factor in factors)
        if lowest < 0 and not signed:
            raise InputError(
                f"path={self.path} holds factors with negative entries (the lowest is {lowest:g}), "
                "but the method needs nonnegative ones."
            )

    def identity(self) -> dict[str, Any]:
        """A hash of the factors, since their values matter and not their folder."""
        return {"digest": digest(self.factors())}

    def _check_shapes(self, factors: Sequence[Matrix], n_features: int, layers: Sequence[int]) -> None:
        found, expected = [factor.shape for factor in factors], factor_shapes(n_features, layers)
        if found != expected:
            raise InputError(
                f"path={self.path} holds factors of shapes {_listed(found)}, expected {_listed(expected)} "
                f"for {n_features} features and layers={'-'.join(map(str, layers))}."
            )


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in shapes)


INITIALISATIONS: dict[str, type] = {init.name: init for init in (Random, NNDSVD, Greedy, Saved)}
