"""Estimators for Python users, by scikit-learn's conventions: samples are rows here, and only here.

There is one for every method, with the method's options and those parts of a `Model` that the method has as its
parameters.  The core keeps samples as columns; `Factorisation` transposes once on the way in and once on the way out.
scikit-learn itself is not needed; where it is there, its tools take these estimators for their own.
"""

from __future__ import annotations

import os
from typing import Any

from nnmf_runner.core.checks import InputError, check_choice
from nnmf_runner.estimators.factorisation import ConvergenceWarning, NotFittedError, fields_of, vocabulary_of
from nnmf_runner.estimators.making import estimator_of
from nnmf_runner.methods import METHODS
from nnmf_runner.store.files import user_path
from nnmf_runner.store.model import read_model

__all__ = ["ESTIMATORS", "ConvergenceWarning", "NotFittedError", "estimator_of", "load"]


def load(path: str | os.PathLike[str]) -> Any:
    """Read a fitted estimator from a folder.

    Parameters
    ----------
    path : path
        What an estimator's ``save`` wrote, or the folder of a run: its method becomes the estimator.  Its classes and
        features have the names of the data; where these have none, classes are indices.  Several supervised layers are
        as many levels of labels, from the lowest layer up.  The model of a run on text takes texts.

    Returns
    -------
    estimator
        Its `transform` and `predict` give what they gave before, bit for bit.

    Raises
    ------
    InputError
        If there is no such folder, or what it holds is damaged or of a later version.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> X = np.eye(3)[[0, 0, 1, 2, 2]]
    >>> model = HierarchicalNMF(layers=(3,), random_state=0).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model")
    ...     np.array_equal(load(f"{folder}/model").transform(X), model.transform(X))
    True
    """
    folder = user_path(path, "path")
    try:
        model = read_model(folder)
        own, parameters = model.method.estimator, model.parameters
        kinds = {own: estimator_of(type(model.method))} | ESTIMATORS  # it may be a method that was registered later
        kind = kinds[check_choice(model.estimator or own, kinds, "estimator")]
        if kind.__name__ != own:
            raise InputError(f"method={model.method.name} is not that of {kind.__name__}")
        if model.estimator is None:  # a run has more of them
            parameters = {name: value for name, value in parameters.items() if name in fields_of(kind)}
        vocabulary_of(model)  # refuses a damaged one
        estimator = kind().set_params(**parameters)
        estimator._store(model)
        return estimator
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"path={path} is not usable as a model: {reason}.") from None


ESTIMATORS = {kind.__name__: kind for kind in map(estimator_of, METHODS.values())}
globals().update(ESTIMATORS)
