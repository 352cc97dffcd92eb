"""Hierarchies of CP models as a method: what a fit holds, how new data are encoded, what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Multilevel
from nnmf_runner.core.init import Random
from nnmf_runner.core.label_costs import Labels, SquaredLabels
from nnmf_runner.core.monitor import Stop, StoppingRule
from nnmf_runner.core.optimizers import Adam, StochasticGradient
from nnmf_runner.methods import NCPD, Fit, Plan, Problem, Supervision

SHAPE = (6, 7, 8, 12)  # samples last
RANKS = (4, 2)
SETTINGS = {
    "exact": {},
    "tied": {"exact_codes": False},
    "free": {"hierarchy": "free"},
    "multi-hntf": {"training": "layerwise", "exact_codes": False},
    "layerwise, exact": {"training": "layerwise"},
    "standard": {"hierarchy": "free", "training": "layerwise"},
}
EVERY = pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)


def planted(order, rng):
    """A tensor of four topics within two in all modes, as fibres by samples, with a little noise."""
    shape = SHAPE[-order:]
    owners = [np.sort(np.arange(size) % 4) for size in shape]
    topics = [np.eye(4)[owner] + 0.4 * np.eye(2)[owner // 2][:, [0, 0, 1, 1]] for owner in owners]
    fibres = topics[0]
    for F in topics[1:-1]:
        fibres = (fibres[:, None] * F).reshape(-1, 4)
    X = fibres @ topics[-1].T
    return X + 0.02 * rng.random(X.shape), shape


def fit_of(given, X, shape, labels=None, *, ranks=RANKS, rule=None, progress=None):
    method = NCPD(**{"starts": 4} | given)
    start = method.start(Random(), X, ranks, np.random.default_rng(1), shape)
    plan = Plan(start, rule or StoppingRule(max_iter=300, progress=progress), rng=np.random.default_rng(2))
    problem = Problem(X, labels, Multilevel(), shape=shape)
    return method, method.solve(problem, plan)


def errors(method, fit, S, X):
    return [method.approximation(fit, S, level).squared_residual(X) ** 0.5 for level in range(len(fit.A))]


@EVERY
@pytest.mark.parametrize("order", [3, 4])
def test_a_fit_has_the_shapes_and_signs_that_it_promises(given, order, rng):
    X, shape = planted(order, rng)
    method, fit = fit_of(given, X, shape)
    assert [A.shape for A in fit.A] == [(sum(shape[:-1]), 4), (4, 2)]
    assert [S.shape for S in fit.S] == [(4, 12), (2, 12)]
    assert min(array.min() for array in (*fit.A, *fit.S)) >= 0
    assert [[F.shape for F in method.mode_topics(fit, level)] for level in (0, 1)] == [
        [(size, k) for size in shape] for k in RANKS
    ]
    assert method.n_features(fit) == len(X)
    assert method.topics(fit, 1).shape == (sum(shape[:-1]), 2)
    assert fit.parameters["alone"].shape == (2,)


@EVERY
def test_every_level_approximates_the_data_nearly_as_well_as_a_model_of_its_rank_alone(given, rng):
    X, shape = planted(3, rng)
    method, fit = fit_of(given, X, shape)
    found = np.array(errors(method, fit, fit.S, X)) / np.linalg.norm(X)
    alone = fit.parameters["alone"]
    assert found[0] < 1.02 * alone[0]
    # Factors fitted one by one lose most, which is why hierarchies are fitted together.
    assert found[1] < (1.5 if given == SETTINGS["standard"] else 1.02) * alone[1]


def test_the_approximation_is_the_sum_of_the_outer_products_of_the_topics(rng):
    X, shape = planted(3, rng)
    for given in SETTINGS.values():
        method, fit = fit_of(given, X, shape)
        U, V, W = method.mode_topics(fit, 0)
        expected = np.einsum("ir,jr,kr->ijk", U, V, W).reshape(X.shape)
        np.testing.assert_allclose(method.approximation(fit, fit.S, 0).dense(), expected, atol=1e-12)
        if method.hierarchy == "tied":
            below, above = method.mode_topics(fit, 0)[:-1], method.mode_topics(fit, 1)[:-1]
            for F, G in zip(below, above, strict=True):
                np.testing.assert_allclose(F @ fit.A[1], G, atol=1e-12)


@EVERY
def test_codes_of_new_samples_are_least_squares_solutions_each_by_itself(given, rng):
    X, shape = planted(3, rng)
    method, fit = fit_of(given, X, shape)
    codes, some = method.transform(fit, X), method.transform(fit, X[:, 3:5])
    for whole, part in zip(codes, some, strict=True):
        np.testing.assert_allclose(part, whole[:, 3:5], atol=1e-9)
    if method.is_exact:
        for own, new in zip(fit.S, codes, strict=True):
            np.testing.assert_allclose(own, new, atol=1e-8)
    levels = (0, 1) if method.hierarchy == "tied" else (0,)
    for level in levels:
        fibres = method.approximation(fit, [np.eye(len(S)) for S in codes], level).dense()  # (m, k)
        gradient = fibres.T @ (fibres @ codes[level] - X)
        scale = np.abs(fibres.T @ X).max()
        assert gradient.min() > -1e-7 * scale
        assert np.abs(gradient * codes[level]).max() < 1e-7 * scale * codes[level].max()


@EVERY
def test_a_fit_depends_on_its_plan_alone(given, rng):
    X, shape = planted(3, rng)
    first, again = (fit_of(given, data, shape)[1] for data in (X, X.copy()))
    for a, b in itertools.zip_longest((*first.A, *first.S), (*again.A, *again.S)):
        np.testing.assert_array_equal(a, b)


@EVERY
def test_sparse_data_give_what_the_same_data_give_when_they_are_dense(given, rng):
    X, shape = planted(3, rng)
    X = np.where(X > 0.3, X, 0.0)
    (method, dense), (_, thin) = (fit_of(given, data, shape) for data in (X, sparse.csc_array(X)))
    expected, found = (np.array(errors(method, fit, fit.S, X)) / np.linalg.norm(X) for fit in (dense, thin))
    np.testing.assert_allclose(found, expected, atol=2e-3)  # rounding decides where a fit stops, not what it finds


@EVERY
def test_labels_shape_the_codes_that_predict_them(given, rng):
    X, shape = planted(3, rng)
    Y = np.eye(2)[:, np.sort(np.arange(12) % 4) // 2]
    known = np.arange(12) % 3 > 0
    method, fit = fit_of(given, X, shape, Labels(SquaredLabels(), 0.1, Y, known))
    assert fit.B.shape == (2, 2)
    assert (fit.B @ method.transform(fit, X)[-1]).argmax(axis=0).tolist() == Y.argmax(axis=0).tolist()


@EVERY
def test_progress_interrupts_at_any_stage(given, rng):
    X, shape = planted(3, rng)
    for last in (0, 3, 60, 80):
        calls = itertools.count()
        _, fit = fit_of(given, X, shape, progress=lambda *_, calls=calls, last=last: next(calls) >= last)
        assert isinstance(fit, Fit)
        assert fit.stop is Stop.INTERRUPTED or last > 3  # by then it may have come to its end


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hierarchy": "loose"}, "hierarchy=loose is not known"),
        ({"training": "both"}, "training=both is not known"),
        ({"exact_codes": 1}, "exact_codes=1 is not valid"),
        ({"hierarchy": "free", "exact_codes": True}, "exact_codes=True needs hierarchy=tied"),
        ({"starts": 0}, "starts=0 is not valid"),
        ({"sweeps": 10**6}, "sweeps=1000000 is not valid"),
    ],
)
def test_bad_options_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        NCPD(**given)


def test_what_a_method_of_tensors_does_not_have_is_refused():
    method = NCPD()
    with pytest.raises(
        InputError, match=r"needs a tensor of at least three modes, but X is a matrix of shape \(4, 5\)"
    ):
        method.check_data(np.ones((4, 5)), None, Multilevel(), (4, 5))
    with pytest.raises(InputError, match="cannot leave out missing entries"):
        method.check_data(np.ones((6, 4)), np.eye(6, 4) > 0, Multilevel(), (2, 3, 4))
    with pytest.raises(InputError, match=r"layers\[1\]=7 exceeds 6, the most that a tensor of 2 x 3 x 4 can need"):
        method.check_ranks((6, 7), (2, 3, 4))
    method.check_ranks((6,), (2, 3, 4))
    for optimizer in (StochasticGradient(), Adam(batch=4)):
        with pytest.raises(InputError, match="no gradient of some of the samples"):
            method.check(Multilevel(), Supervision(), 2, optimizer=optimizer)
    method.check(Multilevel(), Supervision(), 2, optimizer=Adam())


def test_the_same_setting_has_one_identity():
    assert NCPD().identity() == NCPD(exact_codes=True).identity()
    assert NCPD(hierarchy="free").identity() == NCPD(hierarchy="free", exact_codes=False).identity()
    assert NCPD().identity() != NCPD(exact_codes=False).identity()
