"""Codes of new data, and factors with columns of unit length."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.costs import COSTS
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Fit, Plan, Problem, Supervision
from nnmf_runner.methods.encoding import normalised

BOTH = Regularisation(l1_A=0.02, l2_A=0.01, l1_S=0.03, l2_S=0.02)
RESCALED = [
    pytest.param(METHODS["hier"]("mu"), "reconstruction", id="mu"),
    pytest.param(METHODS["hier"]("mu"), "kl", id="mu-kl"),
    pytest.param(METHODS["hier"]("hals"), "reconstruction", id="hals"),
    pytest.param(METHODS["deep"](), "reconstruction", id="deep"),
    pytest.param(METHODS["deep"](), "kl", id="deep-kl"),
    pytest.param(METHODS["neural"](), "reconstruction", id="neural"),
    pytest.param(METHODS["neural"](), "kl", id="neural-kl"),
]


def fitted(method, cost, regularisation, X, layers, max_iter=100):
    labels = Supervision(weight=0.1).labels(np.arange(X.shape[1]) % 3 - 1, 2)
    start = Random().start(X, layers, np.random.default_rng(0))
    rule = StoppingRule(max_iter=max_iter)
    return method.fit(Problem(X, labels, COSTS[cost](), None, regularisation), Plan(start, rule))


@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize("layers", [(4,), (4, 3), (5, 4, 3)])
@pytest.mark.parametrize(("fitter", "cost"), RESCALED)
def test_normalised_factorisation_is_the_same_with_unit_columns(fitter, cost, regularisation, layers, rng):
    X = rng.random((12, 15))
    fit = fitted(fitter, cost, regularisation, X, layers, 10)
    new = normalised(fit)
    for A in new.A:
        lengths = np.linalg.norm(A, axis=0)
        np.testing.assert_allclose(lengths[lengths > 0], 1.0, rtol=1e-12)
    for level in range(len(layers)):
        ours, theirs = (f.A[0] @ fitter.decode(f.A, f.S, level) for f in (new, fit))
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(
            new.A[level] @ new.S[level] if level == 0 else np.linalg.multi_dot([*new.A[: level + 1], new.S[level]]),
            np.linalg.multi_dot([*fit.A[: level + 1], fit.S[level]]), rtol=1e-10, atol=1e-14,
        )  # fmt: skip
    np.testing.assert_allclose(new.B @ new.S[-1], fit.B @ fit.S[-1], rtol=1e-10, atol=1e-14)
    assert new.history is fit.history


@pytest.mark.slow
@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize("layers", [(4,), (4, 3)])
@pytest.mark.parametrize(("fitter", "cost"), RESCALED)
def test_new_data_are_encoded_alike_after_normalisation(fitter, cost, regularisation, layers, rng):
    X, new_X = rng.random((12, 15)), rng.random((12, 7))
    fit = fitted(fitter, cost, regularisation, X, layers)
    new = normalised(fit)
    codes, before = fitter.transform(new, new_X), fitter.transform(fit, new_X)
    # What codes are scaled by: the lengths that the columns of their factor lost, level by level.
    gained = np.ones(12)
    for factor, ours, theirs in zip(fit.A, codes, before, strict=True):
        gained = np.linalg.norm(factor * gained[:, None], axis=0)
        scaled = theirs * gained[:, None]
        # Multiplicative updates end at a tolerance, from a start that does not scale along.
        loose = cost == "kl" and fitter.name != "neural"
        np.testing.assert_allclose(ours, scaled, atol=(3e-2 if loose else 1e-7) * scaled.max())


def test_normalisation_leaves_columns_of_zeros(rng):
    A, S = [rng.random((6, 3)), rng.random((3, 2))], [rng.random((3, 5)), rng.random((2, 5))]
    A[0][:, 1], A[1][:, 0] = 0.0, 0.0
    new = normalised(Fit(A, S, None, History(), Stop.CONVERGED))
    assert all(np.isfinite(M).all() for M in (*new.A, *new.S))
    np.testing.assert_allclose(new.A[0] @ new.A[1] @ new.S[1], A[0] @ A[1] @ S[1])
    assert new.B is None


def test_normalisation_changes_nothing_of_what_it_is_given(rng):
    X = rng.random((12, 15))
    fit = fitted(METHODS["hier"]("mu"), "kl", BOTH, X, (4, 3), 5)
    before = [M.copy() for M in (*fit.A, *fit.S, fit.B, *fit.parameters.values())]
    normalised(fit)
    for a, b in zip((*fit.A, *fit.S, fit.B, *fit.parameters.values()), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize(
    "fitter", [METHODS["hier"]("mu"), METHODS["deep"](), METHODS["deep"](activation="log1p"), METHODS["neural"]()]
)
def test_samples_of_zeros_have_codes_of_zero(fitter, cost, regularisation, rng):
    X = rng.random((12, 15))
    fit = fitted(fitter, cost, regularisation, X, (4, 3), 5)
    for new_X in (np.zeros((12, 3)), np.hstack([np.zeros((12, 1)), X[:, :2]])):
        for S in fitter.transform(fit, new_X):
            np.testing.assert_allclose(S[:, 0], 0.0, atol=1e-9)
