"""Hierarchies of CP models as a method: what a fit holds, how new data are encoded, what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import nnls

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Multilevel
from nnmf_runner.core.init import Random
from nnmf_runner.core.label_costs import CrossEntropyLabels, Labels, SquaredLabels
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


def fit_of(given, X, shape, labels=None, *, ranks=RANKS, rule=None, progress=None, lower_labels=None, cost=None):
    method = NCPD(**{"starts": 4} | given)
    start = method.start(Random(), X, ranks, np.random.default_rng(1), shape)
    plan = Plan(start, rule or StoppingRule(max_iter=300, progress=progress), rng=np.random.default_rng(2))
    problem = Problem(X, labels, cost or Multilevel(), lower_labels=lower_labels or {}, shape=shape)
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
    for level in (0,) if given == SETTINGS["standard"] else (0, 1):  # whose other codes are fitted to the base's
        fibres = method.approximation(fit, [np.eye(len(S)) for S in codes], level).dense()  # (m, k)
        gradient = fibres.T @ (fibres @ codes[level] - X)
        scale = np.abs(fibres.T @ X).max()
        assert gradient.min() > -1e-7 * scale
        assert np.abs(gradient * codes[level]).max() < 1e-7 * scale * codes[level].max()


def test_codes_of_new_samples_of_a_free_hierarchy_approximate_the_data_as_those_of_the_fit_do(rng):
    X, shape = planted(3, rng)
    X += 0.5 * rng.random(X.shape)
    method, fit = fit_of(SETTINGS["free"], X, shape)
    own, new = (errors(method, fit, S, X) for S in (fit.S, method.transform(fit, X)))
    assert (np.array(new) <= np.array(own) * (1 + 1e-12)).all()


def test_standard_hierarchies_give_new_samples_codes_as_the_factors_of_the_fit_were_factored(rng):
    X, shape = planted(3, rng)
    method, fit = fit_of(SETTINGS["standard"], X, shape)
    base, above = method.transform(fit, X)
    mixing = np.split(fit.parameters["mixing_1"], 3)[-1]  # (k_1, k_0)
    expected = [nnls(mixing.T, code)[0] for code in base.T]
    np.testing.assert_allclose(above.T, expected, atol=1e-8 * np.max(expected))


@EVERY
def test_a_base_alone_is_a_hierarchy(given, rng):
    X, shape = planted(3, rng)
    method, fit = fit_of(given, X, shape, ranks=(4,))
    assert [A.shape for A in fit.A] == [(sum(shape[:-1]), 4)]
    assert fit.stop is Stop.CONVERGED
    assert errors(method, fit, fit.S, X)[0] == pytest.approx(fit.parameters["alone"][0] * np.linalg.norm(X), rel=2e-3)
    np.testing.assert_allclose(
        errors(method, fit, method.transform(fit, X), X), errors(method, fit, fit.S, X), rtol=0.01
    )


@EVERY
def test_a_fit_depends_on_its_plan_alone(given, rng):
    X, shape = planted(3, rng)
    first, again = (fit_of(given, data, shape)[1] for data in (X, X.copy()))
    for a, b in itertools.zip_longest((*first.A, *first.S), (*again.A, *again.S)):
        np.testing.assert_array_equal(a, b)


@EVERY
@pytest.mark.parametrize("power", [-190, 1, 190])
def test_the_scale_of_the_data_is_that_of_the_codes_alone(given, power, rng):
    X, shape = planted(3, rng)
    Y = np.eye(2)[:, np.sort(np.arange(12) % 4) // 2]
    labels = Labels(SquaredLabels(), 0.1, Y, np.arange(12) % 3 > 0, learn_map=True)
    (_, fit), (_, scaled) = (fit_of(given, data, shape, labels) for data in (X, 2.0**power * X))
    for own, theirs in zip(fit.A, scaled.A, strict=True):
        np.testing.assert_array_equal(theirs, own)
    for own, theirs in zip(fit.S, scaled.S, strict=True):
        np.testing.assert_array_equal(theirs, 2.0**power * own)
    np.testing.assert_allclose(scaled.B, fit.B / 2.0**power, rtol=1e-9)


@EVERY
def test_sparse_data_give_what_the_same_data_give_when_they_are_dense(given, rng):
    X, shape = planted(3, rng)
    X = np.where(X > 0.3, X, 0.0)
    (method, dense), (_, thin) = (fit_of(given, data, shape) for data in (X, sparse.csc_array(X)))
    expected, found = (np.array(errors(method, fit, fit.S, X)) / np.linalg.norm(X) for fit in (dense, thin))
    np.testing.assert_allclose(found, expected, atol=2e-3)  # rounding decides where a fit stops, not what it finds


@EVERY
def test_label_maps_of_all_levels_are_the_best_for_the_codes_of_new_data(given, rng):
    """Those of the fit may know the labels of their own samples."""
    X, shape = planted(3, rng)
    known = np.arange(12) % 3 > 0
    by_level = [Labels(SquaredLabels(), 10.0, np.eye(k)[:, rng.integers(k, size=12)], known) for k in RANKS]
    method, fit = fit_of(given, X, shape, by_level[1], lower_labels={0: by_level[0]})
    codes = method.transform(fit, X)
    for level, labels in enumerate(by_level):
        S, Y = codes[level][:, known], labels.Y[:, known]
        expected = np.linalg.lstsq(S.T, Y.T, rcond=None)[0].T
        found = fit.maps[level]
        assert np.linalg.norm(found @ S - Y) == pytest.approx(np.linalg.norm(expected @ S - Y), rel=1e-6)
    _, lower = fit_of(given, X, shape, lower_labels={0: by_level[0]})
    assert list(lower.maps) == [0]


@pytest.mark.parametrize("given", [SETTINGS["standard"], SETTINGS["free"], SETTINGS["exact"]])
def test_a_topic_has_one_number_in_all_modes(given, rng):
    """Also where another one is the most prominent in the next mode."""
    owner = np.repeat(np.arange(4), 3)
    common = np.array([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9], [0.4, 0.4, 0.4, 0.4]])
    U, V, W = (np.eye(4)[owner] + c * np.eye(2)[owner // 2][:, [0, 0, 1, 1]] for c in common)
    X = np.einsum("ir,jr,kr->ijk", U, V, W + 0.05 * rng.random(W.shape))
    method, fit = fit_of(given, X.reshape(-1, 12), X.shape)
    of_first = [F[:6].sum(axis=0) > F[6:].sum(axis=0) for F in method.mode_topics(fit, 1)]
    assert of_first[0].sum() == 1
    for found in of_first[1:]:
        assert found.tolist() == of_first[0].tolist()


@pytest.mark.parametrize("given", [SETTINGS["exact"], SETTINGS["free"]])
def test_the_first_start_is_that_of_the_plan(given, rng):
    X, shape = planted(3, rng)
    method, fit = fit_of({"starts": 1} | given, X, shape, rule=StoppingRule(max_iter=0))
    expected = method.start(Random(), X, RANKS, np.random.default_rng(1), shape)[0]
    for found, F in zip(method.mode_topics(fit, 0), np.split(expected, np.cumsum(shape[:-1])[:-1]), strict=False):
        unit, wanted = (M / np.linalg.norm(M, axis=0) for M in (found, F))
        used = np.linalg.norm(found, axis=0) > 0
        np.testing.assert_allclose(unit[:, used], wanted[:, used], rtol=1e-12)


def test_topics_of_stacked_modes_are_as_long_as_in_the_data(rng):
    X, shape = planted(3, rng)
    method, fit = fit_of({}, X, shape)
    for level in (0, 1):
        U, V, _ = method.mode_topics(fit, level)
        in_data = np.einsum("ir,jr->ijr", U, V).reshape(-1, U.shape[1])
        stacked = method.topics(fit, level)
        np.testing.assert_allclose(np.linalg.norm(stacked, axis=0), np.linalg.norm(in_data, axis=0))
        for own, modes in zip(np.split(stacked, [len(U)]), (U, V), strict=True):
            lengths = np.linalg.norm(own, axis=0)
            np.testing.assert_allclose(lengths, np.linalg.norm(in_data, axis=0) / np.sqrt(2))
            np.testing.assert_allclose(own / lengths, modes / np.linalg.norm(modes, axis=0))


def test_floors_are_squares_of_the_largest_tails_of_the_unfoldings(rng):
    X, shape = planted(4, rng)
    unfoldings = [np.moveaxis(X.reshape(shape), mode, 0).reshape(shape[mode], -1) for mode in range(4)]
    values = [np.linalg.svd(unfolding, compute_uv=False) for unfolding in unfoldings]
    expected = [max((s[rank:] ** 2).sum() / (s**2).sum() for s in values) for rank in RANKS]
    np.testing.assert_allclose(NCPD().floor_shares(X, RANKS, shape), expected, rtol=1e-9)
    np.testing.assert_allclose(NCPD().floor_shares(sparse.csc_array(X), RANKS, shape), expected, rtol=1e-9)


@pytest.mark.parametrize("given", [{}, {"exact_codes": False}, {"hierarchy": "free"}])
def test_a_level_of_more_weight_is_fitted_better(given, rng):
    X, shape = planted(3, rng)
    X += 0.5 * rng.random(X.shape)
    rule = StoppingRule(1e-5, 2000)
    fits = [
        fit_of(given, X, shape, rule=rule, cost=Multilevel(weights)) for weights in ([100.0, 1.0], [], [1.0, 100.0])
    ]
    by_level = np.array([errors(method, fit, fit.S, X) for method, fit in fits])
    assert (np.diff(by_level[:, 0]) > 0).all()
    assert (np.diff(by_level[:, 1]) < 0).all()


@EVERY
@pytest.mark.parametrize("ranks", [RANKS, (2,)], ids=str)
@pytest.mark.parametrize("cost", [SquaredLabels(), CrossEntropyLabels()], ids=lambda cost: type(cost).__name__)
def test_learnt_label_maps_are_fitted_with_the_codes(given, ranks, cost, rng):
    X, shape = planted(3, rng)
    Y = np.eye(2)[:, np.sort(np.arange(12) % 4) // 2]
    labels = Labels(cost, 0.1, Y, np.arange(12) % 3 > 0, learn_map=True)
    method, fit = fit_of(given, X, shape, labels, ranks=ranks)
    assert fit.B.shape == (2, ranks[-1])
    assert (fit.B @ method.transform(fit, X)[-1]).argmax(axis=0).tolist() == Y.argmax(axis=0).tolist()


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
        ({"start_sweeps": 10**6}, "start_sweeps=1000000 is not valid"),
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
