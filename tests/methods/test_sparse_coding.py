"""Multilayer sparse coding: the layer of Neural NMF with a penalty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Energy, Reconstruction
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.neural import Neural
from nnmf_runner.methods.sparse_coding import SparseCoding


def plan(X, layers, **rule):
    return Plan(NNDSVD().start(X, layers, np.random.default_rng(0)), StoppingRule(**{"max_iter": 30, **rule}))


def some_labels(toy, classes, loss="squared"):
    known = np.where(np.arange(90) % 3 == 0, toy.classes[classes], -1)
    return Supervision(loss, 0.1).labels(known, classes)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [None, "squared", "cross_entropy"])
@pytest.mark.parametrize("layers", [(9,), (9, 4), (9, 4, 2)])
@pytest.mark.parametrize("cost", [Reconstruction(), Energy()], ids=lambda cost: cost.name)
def test_without_a_penalty_it_is_the_neural_method(toy, layers, labels, cost):
    known = None if labels is None else some_labels(toy, layers[-1], labels)
    fits = [m.fit(Problem(toy.X, known, cost), plan(toy.X, layers)) for m in (SparseCoding(penalty=0.0), Neural())]
    for ours, theirs in zip(*[(*fit.A, *fit.S, fit.history.cost) for fit in fits], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_codes_of_every_layer_minimise_their_penalised_problem(toy):
    fit = SparseCoding(penalty=[0.05, 0.02]).fit(Problem(toy.X), plan(toy.X, (9, 4)))
    length = np.linalg.norm(toy.X) / np.sqrt(90)
    inputs = toy.X
    for A, S, penalty in zip(fit.A, fit.S, (0.05, 0.02), strict=True):
        # 1/2 ||x - A s||^2 + l1 sum s is a least-squares problem with the right-hand side c of A^T c = A^T x - l1.
        target = inputs - np.linalg.pinv(A.T) @ np.full((A.shape[1], 1), penalty * length)
        for j in range(0, 90, 7):
            np.testing.assert_allclose(S[:, j], optimize.nnls(A, target[:, j])[0], atol=1e-8 * max(1.0, S.max()))
        inputs = S


def test_recorded_cost_is_error_and_penalties(toy):
    fit = SparseCoding(penalty=[0.05, 0.02]).fit(Problem(toy.X), plan(toy.X, (9, 4)))
    norm, length = np.linalg.norm(toy.X) ** 2, np.linalg.norm(toy.X) / np.sqrt(90)
    error = np.linalg.norm(toy.X - fit.A[0] @ fit.A[1] @ fit.S[1]) ** 2
    penalties = sum(2 * p * length * S.sum() for p, S in zip((0.05, 0.02), fit.S, strict=True))
    assert fit.history.cost[-1] == pytest.approx((error + penalties) / norm, rel=1e-9)


def test_a_penalty_gives_unit_columns_and_zeros(toy):
    zeros = []
    for penalty in (0.0, 0.001, 0.01):
        fit = SparseCoding(penalty=penalty).fit(Problem(toy.X), plan(toy.X, (9,), max_iter=300))
        zeros.append(np.mean(fit.S[0] == 0))
        if penalty:
            np.testing.assert_allclose(np.linalg.norm(fit.A[0], axis=0), 1.0, rtol=1e-12)
    assert zeros[0] < zeros[1] < zeros[2]
    assert zeros[2] > 0.8  # nine blocks: one code in nine is needed


@pytest.mark.parametrize("free", [False, True])
def test_signs_are_those_promised_and_free_ones_reach_the_floor(toy, free):
    method = SparseCoding(penalty=0.0, free=free)
    fit = method.fit(Problem(toy.X), plan(toy.X, (9, 4, 2), max_iter=500))
    assert method.sign_free is free
    assert (min(A.min() for A in fit.A) < 0) == free
    assert min(S.min() for S in fit.S) >= 0
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    floor = np.sqrt(np.sum(sigma[2:] ** 2) / np.sum(sigma**2))
    error = np.linalg.norm(toy.X - np.linalg.multi_dot([*fit.A, fit.S[-1]])) / np.linalg.norm(toy.X)
    assert floor <= error <= 1.001 * floor


def test_planted_sparse_codes_are_recovered(rng):
    D = np.maximum(rng.standard_normal((30, 6)), 0.0)
    codes = rng.random((6, 200)) * (rng.random((6, 200)) < 0.3)
    X = D @ codes
    found = SparseCoding(penalty=0.003).fit(Problem(X), plan(X, (6,), max_iter=500)).A[0]
    cosines = found.T @ (D / np.linalg.norm(D, axis=0))
    rows, columns = optimize.linear_sum_assignment(-cosines)
    assert cosines[rows, columns].min() > 0.99


@pytest.mark.parametrize("free", [False, True])
def test_scaling_the_data_scales_the_codes_alone(toy, free):
    """Costs are relative and columns of unit length, so even the iterates are the same."""
    method = SparseCoding(penalty=0.01, free=free)
    fits = [method.fit(Problem(c * toy.X), Plan(plan(toy.X, (9,)).start, StoppingRule(max_iter=5))) for c in (1, 1e4)]
    np.testing.assert_allclose(fits[1].A[0], fits[0].A[0], atol=1e-7)
    np.testing.assert_allclose(fits[1].S[0], 1e4 * fits[0].S[0], atol=1e-7 * fits[1].S[0].max())


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_learnt_penalties_stay_nonnegative_and_encode_new_data(toy, loss):
    method = SparseCoding(penalty=0.05, learn_penalty=True)
    fit = method.fit(Problem(toy.X, some_labels(toy, 4, loss)), plan(toy.X, (9, 4), max_iter=20))
    for i, k in enumerate((9, 4)):
        l1 = fit.parameters[f"l1_{i}"]
        assert l1.shape == (k, 1)
        assert l1.min() >= 0
    assert np.ptp(fit.parameters["l1_0"]) > 0  # each has gone its own way
    for ours, trained in zip(method.transform(fit, toy.X), fit.S, strict=True):
        np.testing.assert_allclose(ours, trained, atol=1e-8 * trained.max())


def test_labels_pull_codes_towards_the_classes(toy):
    """With labels shuffled within the data, only a fit that sees them can predict them."""
    classes = np.random.default_rng(5).permutation(toy.classes[2])
    labels = Supervision("squared", 10.0).labels(classes, 2)

    def label_error(known):
        S = SparseCoding(penalty=0.001).fit(Problem(toy.X, known), plan(toy.X, (9,), max_iter=200)).S[0]
        return np.linalg.norm(labels.Y - labels.Y @ np.linalg.pinv(S) @ S)

    assert label_error(labels) < 0.97 * label_error(None)


def test_entries_can_be_missing(toy, rng):
    mask = rng.random(toy.X.shape) < 0.8
    fit = SparseCoding(penalty=0.001).fit(Problem(toy.X * mask, mask=mask), plan(toy.X, (9,), max_iter=200))
    hidden = (toy.X - fit.A[0] @ fit.S[0])[~mask]
    assert np.linalg.norm(hidden) < 0.06 * np.linalg.norm(toy.X[~mask])  # the noise is 0.024 of the data


def test_two_fits_are_equal(toy):
    start = Random().start(toy.X, (9, 4), np.random.default_rng(2))
    fits = [SparseCoding().fit(Problem(toy.X), Plan(start, StoppingRule(max_iter=20))) for _ in range(2)]
    assert all(map(np.array_equal, fits[0].A, fits[1].A))


@pytest.mark.parametrize(
    ("options", "cost", "message"),
    [
        ({"penalty": [0.1, 0.2]}, Reconstruction(), r"penalty=\[0\.1, 0\.2\] has 2 entries, expected 3"),
        ({"learn_penalty": True}, Energy(), "cost=energy cannot have learn_penalty=True"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, cost, message):
    with pytest.raises(InputError, match=message):
        SparseCoding(**options).check(cost, Supervision(), 3)


@pytest.mark.parametrize(("penalty", "name"), [(-1.0, r"penalty=-1"), ([0.1, "x"], r"penalty\[1\]=x")])
def test_bad_penalties_are_refused(penalty, name):
    with pytest.raises(InputError, match=name):
        SparseCoding(penalty=penalty)
