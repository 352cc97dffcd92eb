"""Estimators made from methods: their parameters, and their docstrings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from nnmf_runner.config.numpydoc import entries, parameters, section, summary
from nnmf_runner.config.schema import Model
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.estimators.factorisation import Factorisation, defaults_of, fields_of
from nnmf_runner.estimators.tensors import TensorFactorisation
from nnmf_runner.methods import Method, Supervision, check_layers
from nnmf_runner.methods.supervision import PARAMETERS

# Where pickle finds the estimators.
PACKAGE = "nnmf_runner.estimators"


def estimator_of(method: type[Method]) -> type[Factorisation]:
    """The estimator of a method, a dataclass: ranks, then by keyword the method's options and what else it has."""
    shown = method()
    optional = {
        "cost": len(method.costs) > 1,
        "init": method.inits is None or len(method.inits) > 1,
        "optimizer": method.uses_optimizer,
        "label_loss": len(method.losses) > 1,
        "label_levels": method.supervises_layers,
        "learn_map": method.uses_optimizer,
        **dict.fromkeys(fields_of(Regularisation), shown.regularises),
        "allow_growing_ranks": method.most_layers != 1,
        "normalise": shown.rescales,
        "fixed": shown.holds(0),
        "seed_words": not method.tensors,
        "dtype": len(method.dtypes) > 1,
    }
    defaults: dict[str, Any] = defaults_of(method)
    defaults |= {own: getattr(Supervision, name) for name, own in PARAMETERS.items()}
    for kind in (Regularisation, Model):
        own = [each for each in dataclasses.fields(kind) if isinstance(each.default, (bool, float, int))]
        defaults |= {each.name: each.default for each in own}
    defaults |= {"dtype": Model.dtype, "fixed": (), "seed_words": None}
    found = {name: getattr(shown, name) for name in fields_of(method)}
    found |= {name: default for name, default in defaults.items() if optional.get(name, True)}
    layers = check_layers(Model.layers)[: method.most_layers]
    found["random_state"] = None
    keyword = [(name, Any, default) for name, default in found.items()]
    fields: list[Any] = [("layers", Any, layers), ("_", dataclasses.KW_ONLY), *keyword]
    base = TensorFactorisation if method.tensors else Factorisation
    namespace = {"_method": method, "__doc__": _documentation(method, base, ["layers", *found])}
    made: type[Any] = dataclasses.make_dataclass(method.estimator, fields, bases=(base,), namespace=namespace, eq=False)
    made.__module__ = PACKAGE
    return made


def _documentation(method: type[Method], base: type[Factorisation], names: Sequence[str]) -> str:
    """The docstring of a method with all parameters that its estimator has, and the attributes of all estimators."""
    described = parameters(Factorisation.__doc__)
    for kind in reversed(method.__mro__):  # a method describes what it inherits as well
        described |= parameters(kind.__doc__)
    costs = ", ".join(f'"{name}"' for name in method.costs)
    described["cost"] = f"cost : {{{costs}}} or object of `nnmf_runner.core.costs`\n    Cost of the data."
    losses = ", ".join(f'"{name}"' for name in method.losses)
    described["label_loss"] = f"label_loss : {{{losses}}}\n    Cost of the labels."
    own = "\n".join(dict.fromkeys(described.get(name, name) for name in names))
    further = [section(method.__doc__, name) for name in ("Notes", "References", "Examples")]
    about = [summary(method.__doc__), *([summary(base.__doc__)] if base is not Factorisation else [])]
    parts = [*about, f"Parameters\n----------\n{own}", _attributes(base)]
    return "\n\n".join(filter(None, [*parts, *further]))


def _attributes(base: type[Factorisation]) -> str:
    """The section of the attributes that an estimator has, with what `base` says of its own."""
    found = entries(Factorisation.__doc__, "Attributes") | entries(base.__doc__, "Attributes")
    return "\n".join(["Attributes", "----------", *found.values()])
