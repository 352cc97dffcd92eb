"""The consensus of fitted estimators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from nnmf_runner.core.checks import InputError, described
from nnmf_runner.estimators.factorisation import Factorisation
from nnmf_runner.metrics.consensus import consensus_of


def consensus(models: Iterable[Factorisation]) -> Factorisation:
    """Make an estimator that starts from what fitted models of the same data have in common.

    In every layer the topics of all models are matched, those that are unlike the others are dropped, and the medians
    of the rest are the topics of the consensus; the model with the lowest cost need not have the best ones.

    Parameters
    ----------
    models : iterable of estimators
        At least two of one method, with the same ranks and fitted to the same features, such as from ``init="random"``
        with several seeds.

    Returns
    -------
    estimator
        Not fitted yet, with the parameters of the first model except `init`.  Its attribute ``consensus_`` is a
        `nnmf_runner.core.consensus.Consensus`, with the stability of every topic and the votes for its place in the
        tree.

    Raises
    ------
    InputError
        If there are fewer than two models, one is not fitted, they differ in their method, ranks or features, or
        their method cannot start from given factors, as that of `NonnegativeCP` cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from nnmf_runner import HierarchicalNMF
    >>> X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
    >>> models = [HierarchicalNMF(layers=(4, 2), init="random", random_state=i).fit(X) for i in range(5)]
    >>> model = consensus(models).fit(X)
    >>> [votes.shape for votes in model.consensus_.votes]
    [(4, 2)]
    """
    if not isinstance(models, Iterable):
        raise InputError(f"models is {described(models)}. Expected several fitted estimators, as a list.")
    models = list(models)
    if len(models) < 2:
        raise InputError(f"models has {len(models)} of them, but a consensus needs several. Expected at least 2.")
    first = models[0]
    for i, model in enumerate(models):
        if not isinstance(model, Factorisation):
            raise InputError(f"models[{i}] is {described(model)}. Expected a fitted estimator.")
        model._check_fitted(f"models[{i}], of type {type(model).__name__},")
        if (found := _described(model)) != (expected := _described(first)):
            raise InputError(f"models[{i}] is {found}, but models[0] is {expected}. Expected models of one kind.")
        names, expected_names = (getattr(each, "feature_names_in_", None) for each in (model, first))
        if not np.array_equal(names, expected_names):  # type: ignore[arg-type]
            said = f"models[{i}] has other names of features than models[0]"
            raise InputError(f"{said}. Expected models of the same data.")
    method = first._fitted.method
    method.check_start("consensus")
    parameters = first.get_params()
    agreed = consensus_of(method, [model._fit for model in models], parameters.get("fixed", ()))
    made: Any = type(first)(**parameters | {"init": agreed.factors})
    made.consensus_ = agreed
    return cast(Factorisation, made)


def _described(model: Factorisation) -> str:
    """What models have to have in common."""
    ranks = "-".join(str(factor.shape[1]) for factor in model.factors_)
    return f"{type(model).__name__} {ranks} of {model.n_features_in_} features"
