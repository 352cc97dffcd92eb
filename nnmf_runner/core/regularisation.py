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
    """A term ``l1 sum |F| + l2 ||F||^2`` of a relative cost; `l1` and `l2` may have one value per row."""

    l1: Any = 0.0
    l2: Any = 0.0

    def value(self, F: Matrix) -> float:
        """The penalty of F."""
        return 0.0 if self is NO_PENALTY else float((self.l1 * np.abs(F) + self.l2 * F**2).sum(dtype=np.float64))

    def gradient(self, F: Matrix) -> Matrix:
        """Gradient of the penalty at F; at zeros it is the derivative towards positive values."""
        if self is NO_PENALTY:
            return np.zeros_like(F)
        return self.l1 * np.where(F < 0, -np.ones((), F.dtype), 1.0) + 2.0 * self.l2 * F


NO_PENALTY = Penalty()


@dataclass
class Regularisation:
    """Penalties on all factors A and on the codes S.

    Each adds ``l1 sum |F| / (u sqrt(size)) + l2 ||F||^2 / u^2`` to the relative cost.  Here u is the scale of F if all
    factors of the product share the scale of the data equally, ``||X||^(1/factors)``.

    Parameters
    ----------
    l1_A : float
        L1 penalty on the factors A, at least 0, as are the others.  Penalties on A need one on S and vice versa: with
        one of the two alone, scale moves to the other factor without end, and there is no minimum.
    l2_A : float
        Squared L2 penalty on the factors A.
    l1_S : float
        L1 penalty on the codes S.
    l2_S : float
        Squared L2 penalty on the codes S.
    """

    l1_A: float = 0.0
    l2_A: float = 0.0
    l1_S: float = 0.0
    l2_S: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_number(value, name, low=0.0)

    def check(self) -> None:
        """Raise an `InputError` if there is no minimum: only one side is penalised, and the other absorbs its scale."""
        on_A, on_S = self.l1_A + self.l2_A > 0, self.l1_S + self.l2_S > 0
        if on_A != on_S:
            here, there = ("A", "S") if on_A else ("S", "A")
            raise InputError(
                f"Only {here} is penalised, so {there} can absorb its scale. Expected a penalty on {there} as "
                f"well, such as l1_{there}=0.1 or l2_{there}=0.1."
            )

    @property
    def is_active(self) -> bool:
        """Whether any factor is penalised."""
        return any(asdict(self).values())

    def on_A(self, shape: tuple[int, int], unit: float) -> Penalty:
        """The penalty on a factor A of this shape, whose scale is `unit`."""
        return _penalty(self.l1_A, self.l2_A, shape, unit)

    def on_S(self, shape: tuple[int, int], unit: float) -> Penalty:
        """The penalty on codes of this shape, whose scale is `unit`."""
        return _penalty(self.l1_S, self.l2_S, shape, unit)


def factor_unit(squared_norm: float, n_factors: int) -> float:
    """Scale of each of `n_factors` factors that share the scale of a product with this squared norm equally."""
    return squared_norm ** (0.5 / n_factors)


def _penalty(l1: float, l2: float, shape: tuple[int, int], unit: float) -> Penalty:
    if not (l1 or l2):
        return NO_PENALTY
    return Penalty(l1 / (unit * math.sqrt(shape[0] * shape[1])), l2 / unit**2)
