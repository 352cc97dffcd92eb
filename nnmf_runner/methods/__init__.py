"""Methods, each of which fits all factors of a problem and returns a `Fit`."""

import re

from nnmf_runner.core.checks import check_layers
from nnmf_runner.methods.base import Method, Plan, Problem
from nnmf_runner.methods.deep import Deep
from nnmf_runner.methods.fit import Fit
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.methods.ncpd import NCPD
from nnmf_runner.methods.neural import Neural
from nnmf_runner.methods.semi import Semi
from nnmf_runner.methods.sparse_coding import SparseCoding
from nnmf_runner.methods.supervision import Supervision, label_units
from nnmf_runner.methods.unfolded import Unfolded

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Hierarchical, Deep, Neural, Semi, Unfolded, SparseCoding, NCPD)
}


def in_parameters(message: str) -> str:
    """Replace the names of methods in a message, such as ``method=hier``, by those of their estimators.

    Where it asks for the path of a start, arrays will do as well.
    """
    message = message.replace("init=PATH: ", "init=[A_0, ...], or init=PATH: ")
    names = {f"method={name}": method.estimator for name, method in METHODS.items()}
    return re.sub(r"\bmethod=\w+", lambda found: names.get(found[0], found[0]), message)


__all__ = [
    "METHODS",
    "NCPD",
    "Fit",
    "Method",
    "Plan",
    "Problem",
    "Supervision",
    "check_layers",
    "in_parameters",
    "label_units",
]
