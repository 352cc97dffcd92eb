"""Supervised multilayer sparse coding: Neural NMF with a penalty on the codes of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_flag, check_number
from nnmf_runner.core.costs import Cost
from nnmf_runner.core.layer import Shrinkage
from nnmf_runner.core.linalg import Matrix, squared_norm
from nnmf_runner.core.network import Terms
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods.base import Problem
from nnmf_runner.methods.neural import Neural
from nnmf_runner.methods.supervision import Supervision


@dataclass
class SparseCoding(Neural):
    """Multilayer sparse coding, trained end to end: ``S_l = argmin_{S >= 0} 1/2 ||S_{l-1} - A_l S||^2 + l1_l sum S``.

    With a penalty, the columns of every A are scaled to unit length, since the codes could otherwise be made small at
    no cost.  Those of a fixed A keep their lengths, by which the codes, and so the weight of their penalty, change.
    Without a penalty and with nonnegative dictionaries it is Neural NMF.

    Parameters
    ----------
    penalty : float or list of float
        Penalty for all layers, or one per layer, in multiples of the root mean square length of the samples: ``l1_l``
        is ``penalty ||X|| / sqrt(n)``.
    free : bool
        Whether dictionaries may be negative.
    learn_penalty : bool
        Whether the penalty of every code is a variable, with the initial value `penalty`.  It falls to zero except
        where the labels need it, since the data are approximated best without it.

    Notes
    -----
    The cost includes the penalties, so that one layer is the usual dictionary learning.  The publication trains for
    the labels alone; here ``label_weight`` is the weight of the labels against the data.

    References
    ----------
    X. Sun, N. M. Nasrabadi and T. D. Tran, "Supervised deep sparse coding networks", arXiv:1701.08349.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import SparseCodingNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> model = SparseCodingNMF(layers=(4, 2), penalty=0.1, random_state=0).fit(X)
    >>> [float((codes == 0).mean()) for codes in model.codes_]
    [0.75, 0.5]
    """

    name: ClassVar[str] = "sparse_coding"
    costs: ClassVar[tuple[str, ...]] = ("reconstruction", "multilevel", "energy")
    regularises: ClassVar[bool] = False  # it has a penalty of its own
    penalty: Any = 0.01
    free: bool = False
    learn_penalty: bool = False

    def __post_init__(self) -> None:
        given = self.penalty if isinstance(self.penalty, (list, tuple)) else [self.penalty]
        for i, value in enumerate(given):
            name = f"penalty[{i}]" if given is self.penalty else "penalty"
            check_number(value, name, low=0.0)
        check_flag(self.free, "free")
        check_flag(self.learn_penalty, "learn_penalty")

    def identity(self) -> dict[str, Any]:
        """What determines the method, penalties as floats: a list of equal ones is the one for all layers."""
        given = self.penalty if isinstance(self.penalty, (list, tuple)) else [self.penalty]
        penalties = [float(value) for value in given]
        one = len(set(penalties)) == 1
        return {**asdict(self), "penalty": penalties[0] if one else penalties}

    @property
    def sign_free(self) -> bool:
        """The dictionaries may be negative where they are `free`."""
        return self.free

    def check_own(self, cost: Cost, supervision: Supervision, n_layers: int, regularisation: Regularisation) -> None:
        """Refuse penalties that do not fit the layers or the cost, see `Method.check_own`."""
        if isinstance(self.penalty, (list, tuple)) and len(self.penalty) != n_layers:
            raise InputError(
                f"penalty={list(self.penalty)} has {len(self.penalty)} entries, expected {n_layers}, one per "
                "layer, or a single number."
            )
        if self.learn_penalty and cost.name == "energy":
            raise InputError(
                "cost=energy cannot have learn_penalty=True. Expected cost=reconstruction or cost=multilevel."
            )

    def terms(self, problem: Problem, start: Sequence[Matrix]) -> Terms:
        """The penalties on the codes of every layer, see `Neural.terms`."""
        given = list(self.penalty) if isinstance(self.penalty, (list, tuple)) else [self.penalty] * len(start)
        if not (any(given) or self.learn_penalty):
            return Terms(free=self.free)
        length = np.sqrt(squared_norm(problem.X) / problem.X.shape[1])
        on_S = [Shrinkage(value * length) for value in given]
        return Terms(on_S=on_S, free=self.free, unit_columns=True, learn_l1=self.learn_penalty)
