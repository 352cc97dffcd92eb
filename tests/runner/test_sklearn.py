"""The estimators among scikit-learn's tools: its own checks, pipelines, searches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnmf_runner import DeepNMF, HierarchicalNMF, NeuralNMF
from nnmf_runner.estimators import ESTIMATORS

# Checks that do not apply, and why.
EXPECTED_FAILURES: dict[str, dict[str, str]] = {}

with warnings.catch_warnings():
    # They do without `sklearn.base.BaseEstimator`, which the checks warn of.
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from")
    every_check = parametrize_with_checks(
        # the checks' data have as few as two features
        [kind(layers=(2, 1)) for kind in ESTIMATORS.values()] + [HierarchicalNMF(layers=(2, 1), solver="mu")],
        expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
        xfail_strict=True,
    )


@every_check
def test_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimator .* does not inherit from")
        check(estimator)
