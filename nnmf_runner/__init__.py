"""Experiments in multilayer nonnegative matrix factorisation.

>>> from nnmf_runner import NeuralNMF
>>> model = NeuralNMF(layers=(9, 4, 2), random_state=0)  # then model.fit_transform(X, y)
"""

from typing import Any

# The modules of the public names beside the estimators, of which there is one for every method.
_HOMES = {
    "InputError": "core.checks",
    "kkt_violation": "core.nnls",
    "nnls": "core.nnls",
    "ConvergenceWarning": "estimators",
    "consensus": "estimators.consensus",
    "load": "estimators",
    "rank_profile": "estimators.ranks",
    "threads": "task",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are asked for: command lines start faster without numpy."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("nnmf-runner")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "__all__" or not name.startswith("_"):
        estimators = import_module(f"{__name__}.estimators").ESTIMATORS
        if name == "__all__":
            return sorted([*estimators, *_HOMES])
        if name in estimators:
            return estimators[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, which completion in a shell or an editor asks for."""
    return [*__getattr__("__all__"), "__all__", "__version__"]
