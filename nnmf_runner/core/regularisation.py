"""Penalties on the factors, in units that do not depend on the scale of the data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.core.linalg import Matrix


@dataclass(frozen=True)
class Penalty:
    """``l1 sum |F| + l2 ||F||^2`` of one factor, as it adds to a relative cost; for codes also one weight a row."""

    l1: Any = 0.0
    l2: Any = 0.0

    def value(self, F: Matrix) -> float:
        """The penalty of F."""
        return 0.0 if self is NO_PENALTY else float((self.l1 * np.abs(F) + self.l2 * F**2).sum())

    def gradient(self, F: Matrix) -> Matrix:
        """Its derivative at F, of any shape; one-sided at the zeros of a nonnegative factor."""
        return np.zeros_like(F) if self is NO_PENALTY else self.l1 * np.where(F < 0, -1.0, 1.0) + 2.0 * self.l2 * F


NO_PENALTY = Penalty()


@dataclass
class Regularisation:
    """Penalties on all factors A and on the codes S.

    Each adds ``l1 sum |F| / (u sqrt(size)) + l2 ||F||^2 / u^2`` to the relative cost, u the scale that F has when
    all factors of the product share the scale of the data equally, ``||X||^(1/factors)``.

    Parameters
    ----------
    l1_A, l2_A : float
        Penalties on the factors A, linear and quadratic.  They go together with one on S: with one of the two alone,
        what a factor loses in scale the other gains, and there is no minimum.
    l1_S, l2_S : float
        Penalties on the codes S, linear and quadratic.
    """

    l1_A: float = 0.0
    l2_A: float = 0.0
    l1_S: float = 0.0
    l2_S: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_number(value, f"regularisation.{name}", low=0.0)
        on_A, on_S = self.l1_A + self.l2_A > 0, self.l1_S + self.l2_S > 0
        if on_A != on_S:
            here, there = ("A", "S") if on_A else ("S", "A")
            raise InputError(
                f"regularisation penalises {here} alone, and {there} can take over its scale. Expected a penalty on "
                f"{there} as well: regularisation.l1_{there} or regularisation.l2_{there}."
            )

    @property
    def is_active(self) -> bool:
        """Whether anything is penalised."""
        return any(asdict(self).values())

    def on_A(self, shape: tuple[int, int], unit: float) -> Penalty:
        """The penalty of a factor A of this shape, in units of `unit`."""
        return _penalty(self.l1_A, self.l2_A, shape, unit)

    def on_S(self, shape: tuple[int, int], unit: float) -> Penalty:
        """The penalty of codes of this shape, in units of `unit`."""
        return _penalty(self.l1_S, self.l2_S, shape, unit)


def factor_unit(squared_norm: float, n_factors: int) -> float:
    """Scale of each of `n_factors` factors that share that of their product, of the given squared norm, equally."""
    return squared_norm ** (0.5 / n_factors)


def _penalty(l1: float, l2: float, shape: tuple[int, int], unit: float) -> Penalty:
    if not (l1 or l2):
        return NO_PENALTY
    return Penalty(l1 / (unit * math.sqrt(shape[0] * shape[1])), l2 / unit**2)
