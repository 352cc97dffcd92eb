"""Experiments in multilayer nonnegative matrix factorisation.

>>> from nnmf_runner import NeuralNMF
>>> model = NeuralNMF(layers=(9, 4, 2), random_state=0)  # then model.fit_transform(X, y)
"""

from typing import Any

__all__ = [
    "DeepNMF",
    "HierarchicalNMF",
    "InputError",
    "NeuralNMF",
    "SemiNMF",
    "SparseCodingNMF",
    "UnfoldedNMF",
    "kkt_violation",
    "load",
    "nnls",
]


def __getattr__(name: str) -> Any:
    """Load the public names when they are asked for: command lines start faster without numpy."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("nnmf-runner")
    homes = {"nnls": "core.nnls", "kkt_violation": "core.nnls", "InputError": "core.checks"}
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes.get(name, 'estimators')}"), name)
