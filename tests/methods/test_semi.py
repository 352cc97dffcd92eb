import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner import SemiNMF
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule
from nnmf_runner.methods import Plan, Problem, Supervision
from nnmf_runner.methods.semi import (
    ClassGraph,
    Semi,
    ding,
    encode_levels,
    fine_tune,
    least_squares,
    pseudo_inverse,
    update_codes,
    update_factors,
)


@pytest.fixture(params=[False, True], ids=["free", "nonnegative"])
def method(request):
    return Semi(pretrain=20, nonnegative=request.param)


def plan(X, layers, seed=0, **rule):
    return Plan(Random().start(X, layers, np.random.default_rng(seed)), StoppingRule(**({"max_iter": 40} | rule)))


def some_labels(n, n_classes, seed=0, **supervision):
    """Labels of random classes, one column in four unknown."""
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random(n) < 0.25, -1, rng.integers(0, n_classes, n))
    return Supervision(**supervision).labels(classes, n_classes)


def product(Z, H):
    for factor in reversed(Z):
        H = factor @ H
    return H


def relative_error(X, Z, H):
    return np.linalg.norm(X - product(Z, H)) / np.linalg.norm(X)


def laplacian(labels):
    """``D - W`` of the graph with weights ``1/n_c`` between any two known columns of a class, edge by edge."""
    n = len(labels.known)
    W = np.zeros((n, n))
    for row in labels.Y:
        members = np.flatnonzero(row * labels.known)
        for i in members:
            W[i, members] = 1.0 / len(members)
    return np.diag(W.sum(axis=1)) - W


def within_class_share(S, classes):
    """Scatter of the rows about the means of the classes, in units of their squares."""
    means = np.stack([S[:, classes == c].mean(axis=1) for c in classes], axis=1)
    return float((((S - means) ** 2).sum(axis=1) / (S**2).sum(axis=1)).mean())


@pytest.mark.parametrize("weight", [None, 0.01, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_codes_are_nonnegative_and_no_stage_raises_the_cost(method, weight, seed):
    rng = np.random.default_rng(seed)
    X = rng.random((15, 24)) ** 4
    labels = None if weight is None else some_labels(24, 3, seed, weight=weight)
    fit = method.fit(Problem(X, labels), plan(X, (6, 4, 3), seed))
    assert min(S.min() for S in fit.S) >= 0
    assert method.sign_free == (min(A.min() for A in fit.A) < 0)
    layer, cost = np.array(fit.history.layer), np.array(fit.history.cost)
    for stage in (0, 1, 2, -1):
        assert np.diff(cost[layer == stage]).max(initial=-1.0) <= 1e-13  # rounding of a relative cost
    assert cost[-1] < cost[layer == -1][0]


@pytest.mark.parametrize("seed", range(4))
def test_update_of_the_codes_never_raises_the_cost_however_rows_are_scaled(seed):
    rng = np.random.default_rng(seed)
    X, H, P = rng.random((8, 12)), rng.random((3, 12)), rng.standard_normal((8, 3))
    labels, norm = some_labels(12, 2, weight=1e3), np.linalg.norm(X) ** 2
    H[:, labels.known] *= 10.0 ** rng.uniform(-3, 3, (3, int(labels.known.sum())))
    for graph in (None, ClassGraph(labels)):
        costs, codes = [], H
        for _ in range(20):
            costs.append(np.linalg.norm(X - P @ codes) ** 2 / norm + (graph.value(codes) if graph else 0.0))
            codes = update_codes(codes, P.T @ P, P.T @ X, norm, graph)
        assert max(np.diff(costs) / costs[:-1]) <= 1e-12  # rounding of a sum that cancels
        assert costs[-1] < 0.9 * costs[0]


class Overshooting(ClassGraph):
    """Asks for a hundred times the step that its cost does."""

    def parts(self, H):
        ridge, means = super().parts(H)
        return ridge, 100.0 * means


def test_step_that_would_raise_the_cost_is_shortened(rng):
    X, H, P = rng.random((8, 12)), rng.random((3, 12)), rng.standard_normal((8, 3))
    graph, norm, costs = Overshooting(some_labels(12, 2, weight=1.0)), np.linalg.norm(X) ** 2, []
    for _ in range(10):
        costs.append(np.linalg.norm(X - P @ H) ** 2 / norm + graph.value(H))
        H = update_codes(H, P.T @ P, P.T @ X, norm, graph)
    assert max(np.diff(costs)) <= 1e-13


def test_no_code_is_lost_for_good(rng):
    """A zero could not grow again; a column of zeros in P tells nothing of its codes."""
    P, X, H = rng.standard_normal((7, 3)), rng.random((7, 30)), rng.random((3, 30))
    P[:, 1] = 0.0
    np.testing.assert_array_equal(ding(H, P.T @ P, P.T @ X)[1], H[1])
    for graph in (None, ClassGraph(some_labels(30, 2))):
        assert update_codes(H, P.T @ P, P.T @ X, np.linalg.norm(X) ** 2, graph).min() > 0


def test_update_of_the_codes_is_the_formula_entry_by_entry(rng):
    P, X, H = rng.standard_normal((7, 3)), rng.random((7, 5)), rng.random((3, 5))
    G, C = P.T @ P, P.T @ X
    expected = np.empty_like(H)
    for i in range(3):
        for j in range(5):
            up = max(C[i, j], 0) + sum(max(-G[i, r], 0) * H[r, j] for r in range(3))
            down = max(-C[i, j], 0) + sum(max(G[i, r], 0) * H[r, j] for r in range(3))
            expected[i, j] = H[i, j] * (up / down) ** 0.5
    np.testing.assert_allclose(ding(H, G, C), expected, rtol=1e-13)


def test_cost_of_the_graph_and_its_parts_are_those_of_the_laplacian_in_full(rng):
    """``H D`` and ``H W`` of Deep WSF, in units of the row and relative to its own cost."""
    H, labels = rng.random((3, 12)), some_labels(12, 2, weight=0.3)
    lap, known = laplacian(labels), labels.known
    D = np.diag(known.astype(float))
    square = ((H @ D) * H).sum(axis=1, keepdims=True)
    share = ((H @ lap) * H).sum(axis=1, keepdims=True) / square
    graph, unit = ClassGraph(labels), 0.3 / 3 / square
    ridge, means = graph.parts(H)
    assert graph.value(H) == pytest.approx(0.3 * share.mean(), rel=1e-12)
    np.testing.assert_allclose(ridge, unit * (1 - share), rtol=1e-12)
    np.testing.assert_allclose(means, (unit * (H @ (D - lap)))[:, known], rtol=1e-12)


def test_cost_of_the_graph_ignores_the_scale_of_rows_and_lies_between_zero_and_the_weight(rng):
    labels = some_labels(30, 3, weight=0.7)
    graph, H = ClassGraph(labels), rng.random((4, 30))
    scaled = H * np.array([[1e-3], [1.0], [7.0], [1e5]])
    assert graph.value(scaled) == pytest.approx(graph.value(H), rel=1e-12)
    assert 0 < graph.value(H) < 0.7
    alike = rng.random((4, 3)) @ labels.Y + ~labels.known
    assert graph.value(alike) == pytest.approx(0, abs=1e-15)


def test_update_of_full_rank_factors_is_the_pseudo_inverse_of_the_publication(rng):
    X, Z, H = rng.random((12, 20)), [rng.standard_normal((12, 3)), rng.standard_normal((3, 3))], rng.random((3, 20))
    step = update_factors(X, Z, H, least_squares)
    first = X @ np.linalg.pinv(Z[1] @ H)
    second = np.linalg.pinv(first) @ X @ np.linalg.pinv(H)
    np.testing.assert_allclose(step.Z[0], first, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(step.Z[1], second, rtol=1e-7, atol=1e-9)
    P = first @ second
    np.testing.assert_allclose(step.gram, P.T @ P, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(step.cross, P.T @ X, rtol=1e-7, atol=1e-9)


def test_update_of_a_deficient_factor_has_the_least_cost_and_moves_least(rng):
    X, Z, H = rng.random((12, 20)), [rng.standard_normal((12, 5)), rng.standard_normal((5, 2))], rng.random((2, 20))
    found, R = update_factors(X, Z, H, least_squares).Z[0], Z[1] @ H  # R (5, 20) of rank 2
    np.testing.assert_allclose(found @ R, X @ np.linalg.pinv(R) @ R, atol=1e-10)
    # Of all minimisers that nearest to the old factor, each column in units of what it is multiplied by.
    length = np.linalg.norm(R, axis=1, keepdims=True)
    still = np.eye(5) - (R / length) @ np.linalg.pinv(R / length)
    np.testing.assert_allclose((found - Z[0]) * length.T @ still, 0.0, atol=1e-9)


def test_pseudo_inverse_is_that_of_the_scaled_gram_matrix(rng):
    A = rng.standard_normal((9, 4)) * np.array([1e-4, 1.0, 1e4, 1.0])
    np.testing.assert_allclose(pseudo_inverse(A.T @ A) @ (A.T @ A), np.eye(4), atol=1e-6)
    A = np.column_stack([A, A[:, 0], np.zeros(9)])
    G = A.T @ A
    M = pseudo_inverse(G)
    np.testing.assert_allclose(G @ M @ G, G, atol=1e-9 * np.abs(G).max())
    np.testing.assert_allclose(M @ G @ M, M, atol=1e-9 * np.abs(M).max())
    assert not M[-1].any()


@pytest.mark.parametrize("weight", [None, 0.3])
def test_measure_is_that_of_numerical_derivatives(rng, weight):
    """The recorded projected gradient, of a single factor, against central differences of the whole cost."""
    X, H = rng.random((8, 12)), rng.random((3, 12))
    labels = weight and some_labels(12, 2, weight=weight)
    Z, norm = rng.standard_normal((8, 3)), np.linalg.norm(X) ** 2

    def cost(Z, H):
        graph = 0.0
        if labels:
            lap, known = laplacian(labels), H[:, labels.known]
            graph = weight * np.mean(((H @ lap) * H).sum(axis=1) / (known**2).sum(axis=1))
        return np.linalg.norm(X - Z @ H) ** 2 / norm + graph

    def slope(f, M, h=1e-6):
        steps = np.eye(M.size).reshape(-1, *M.shape) * h
        return np.array([(f(M + e) - f(M - e)) / (2 * h) for e in steps]).reshape(M.shape)

    graph = ClassGraph(labels) if labels else None
    monitor = Monitor(StoppingRule(max_iter=0))
    fine_tune(X, [Z], H, monitor, graph=graph)
    solved = X @ np.linalg.pinv(H)
    by_Z, by_H = slope(lambda M: cost(M, H), Z), slope(lambda M: cost(solved, M), H)
    f, g = H / np.linalg.norm(H), by_H * np.linalg.norm(H)
    of_H, of_Z = np.linalg.norm(f - np.maximum(f - g, 0.0)), np.linalg.norm(Z) * np.linalg.norm(by_Z)
    start = cost(Z, H)
    assert monitor.history.cost == [pytest.approx(start, rel=1e-12)]
    assert monitor.history.projected_gradient[0] == pytest.approx(max(of_H, of_Z) / (2 * start**0.5), rel=1e-6)
    # At the factor that is best for these codes the measure is that of the codes alone.
    monitor = Monitor(StoppingRule(max_iter=0))
    fine_tune(X, [solved], H, monitor, graph=graph)
    expected = of_H / (2 * cost(solved, H) ** 0.5)
    assert monitor.history.projected_gradient[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("layers", [(3,), (5, 3)])
def test_planted_semi_nmf_is_recovered(rng, layers):
    Z, H = rng.standard_normal((30, 3)), rng.random((3, 50)) * (rng.random((3, 50)) > 0.5)
    X = Z @ H
    fit = Semi().fit(Problem(X), plan(X, layers, max_iter=3000, tol=1e-6))
    assert X.min() < 0
    assert relative_error(X, fit.A, fit.S[-1]) < 1e-3


@pytest.mark.slow
def test_planted_nonnegative_factorisation_is_recovered_by_nonnegative_factors(rng):
    X = (rng.random((30, 3)) * (rng.random((30, 3)) > 0.5)) @ (rng.random((3, 50)) * (rng.random((3, 50)) > 0.5))
    fit = Semi(nonnegative=True).fit(Problem(X), plan(X, (3,), max_iter=2000, tol=1e-6))
    assert relative_error(X, fit.A, fit.S[-1]) < 2e-3  # multiplicative updates approach zeros slowly


def test_codes_of_the_training_data_are_those_of_the_fit(method, toy):
    fit = method.fit(Problem(toy.X), plan(toy.X, (9, 4, 2)))
    for found, trained in zip(method.transform(fit, toy.X), fit.S, strict=True):
        np.testing.assert_allclose(found, trained, atol=1e-12 * trained.max())
    assert relative_error(toy.X, fit.A, fit.S[-1]) ** 2 <= fit.history.cost[-1] + 1e-13  # the last update is exact


def test_codes_of_unknown_columns_are_those_of_new_data(toy):
    labels = Supervision(weight=0.1).labels(np.where(np.arange(90) % 2, toy.classes[2], -1), 2)
    fit = Semi().fit(Problem(toy.X, labels), plan(toy.X, (9, 2)))
    new = Semi().transform(fit, toy.X)[-1]
    np.testing.assert_allclose(fit.S[-1][:, ~labels.known], new[:, ~labels.known], atol=1e-12 * new.max())


def test_last_cost_is_that_of_what_is_returned_where_every_label_is_known(method, toy):
    labels = Supervision(weight=0.5).labels(toy.classes[9] % 2, 2)
    fit = method.fit(Problem(toy.X, labels), plan(toy.X, (9, 4)))
    cost = relative_error(toy.X, fit.A, fit.S[-1]) ** 2 + ClassGraph(labels).value(fit.S[-1])
    assert fit.history.cost[-1] == pytest.approx(cost, rel=1e-9)


def test_known_labels_pull_the_codes_of_a_class_together(toy, rng):
    classes = rng.integers(0, 2, 90)  # nothing in the data tells them apart
    shares = []
    for method, weight in ((Semi(), 10.0), (Semi(), 0.01), (Semi(weakly_supervised=False), 10.0)):
        labels = Supervision(weight=weight).labels(classes, 2)
        S = method.fit(Problem(toy.X, labels), plan(toy.X, (9, 4), max_iter=100)).S[-1]
        shares.append(within_class_share(S, classes))
    assert shares[0] < 0.3 * shares[2]
    assert shares[0] < shares[1] < shares[2]


def test_labels_that_are_not_to_enter_serve_the_map_alone(toy):
    classes = np.where(np.arange(90) % 2, toy.classes[4], -1)
    p, labels = plan(toy.X, (9, 4)), Supervision(weight=0.1).labels(classes, 4)
    without = Semi().fit(Problem(toy.X), p)
    for method, known in (
        (Semi(weakly_supervised=False), labels),
        (Semi(), Supervision(weight=0.0).labels(classes, 4)),
    ):
        fit = method.fit(Problem(toy.X, known), p)
        np.testing.assert_array_equal(fit.S[-1], without.S[-1])
        best = np.eye(4)[:, classes[classes >= 0]] @ np.linalg.pinv(fit.S[-1][:, classes >= 0])
        np.testing.assert_allclose(fit.B, best, rtol=1e-6, atol=1e-9)


def deficient(kind, rng):
    X = rng.random((12, 18))
    if kind == "duplicate columns":
        X[:, 9:] = X[:, :9]
    elif kind == "zero rows and columns":
        X[3:] = 0.0
        X[:, 5:] = 0.0
    else:
        X = np.outer(X[:, 0], X[0])
    return X


@pytest.mark.parametrize("kind", ["duplicate columns", "zero rows and columns", "rank one"])
@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("init", [Random(), NNDSVD()], ids=lambda i: i.name)
def test_deficient_data_give_finite_factors(method, rng, kind, supervised, init):
    X = deficient(kind, rng)
    labels = some_labels(18, 2) if supervised else None
    fit = method.fit(Problem(X, labels), Plan(init.start(X, (6, 4, 2), rng), StoppingRule(max_iter=60)))
    assert all(np.isfinite(M).all() for M in (*fit.A, *fit.S))
    cost = np.array(fit.history.cost)[np.array(fit.history.layer) == -1]
    assert np.diff(cost).max(initial=-1.0) <= 1e-13
    if not supervised:  # nothing blows up so far that the product would lose what the Gram matrices say of it
        assert relative_error(X, fit.A, fit.S[-1]) ** 2 <= cost[-1] + 1e-9


@pytest.mark.parametrize("layers", [(9, 4, 2), (4, 2)])
def test_default_fit_from_nndsvd_reaches_the_floor(toy, layers):
    start = NNDSVD().start(toy.X, layers, np.random.default_rng(0))
    fit = Semi().fit(Problem(toy.X), Plan(start))
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    floor = np.sqrt((sigma[2:] ** 2).sum() / (sigma**2).sum())
    assert fit.stop is Stop.CONVERGED
    assert floor * (1 - 1e-9) <= relative_error(toy.X, fit.A, fit.S[-1]) <= 1.001 * floor


def test_lower_layers_keep_what_pretraining_found(toy):
    """The least-norm solution would leave a first factor of rank 2, whose error is at least 0.46."""
    start = NNDSVD().start(toy.X, (9, 4, 2), np.random.default_rng(0))
    fit = Semi().fit(Problem(toy.X), Plan(start))
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    for level, rank in enumerate((9, 4)):
        floor = np.sqrt((sigma[rank:] ** 2).sum() / (sigma**2).sum())
        assert relative_error(toy.X, fit.A[: level + 1], fit.S[level]) < 2 * floor


def test_limit_of_pretraining_is_no_concern_and_an_interruption_is(toy):
    p = plan(toy.X, (9, 2), max_iter=500)
    fit = Semi(pretrain=3).fit(Problem(toy.X), p)
    assert fit.stop is Stop.CONVERGED
    layer, iteration = np.array(fit.history.layer), np.array(fit.history.iteration)
    assert [iteration[layer == level].max() for level in (0, 1)] == [3, 3]
    calls = []

    def once(iteration, cost):
        calls.append(iteration)
        return len(calls) == 2

    assert Semi(pretrain=3).fit(Problem(toy.X), Plan(p.start, StoppingRule(progress=once))).stop is Stop.INTERRUPTED


def test_several_layers_without_a_finite_cost_end_as_diverged(method, toy):
    with np.errstate(all="ignore"):
        fit = method.fit(Problem(toy.X), Plan([np.full((87, 4), np.nan), np.full((4, 2), np.nan)]))
    assert fit.stop is Stop.DIVERGED


@pytest.mark.parametrize("pretrain", [-1, 2.5])
def test_bad_pretraining_is_refused_by_name(pretrain):
    with pytest.raises(InputError, match=rf"pretrain={pretrain} is not valid\. Expected an integer in \[0"):
        Semi(pretrain=pretrain)


@pytest.mark.parametrize("layers", [(2,), (4, 2)])
@pytest.mark.parametrize("init", ["nndsvd", "random", "greedy"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_data_of_negative_entries_alone_are_fitted_as_well_as_those_of_the_other_sign(layers, init, form, rng):
    # codes of the nonnegative start would all be zero, and so would those of every further layer
    X = -rng.random((20, 2)) @ rng.random((2, 15))
    for data in (X, np.full((20, 15), -3.0)):
        model = SemiNMF(layers=layers, init=init, random_state=0, max_iter=1000).fit(form(data))
        assert model.score(data) > -0.01
        assert all((codes >= 0).all() for codes in model.codes_)


def test_a_start_of_negative_factors_is_as_good_as_that_of_the_other_sign(rng):
    X, A = rng.random((20, 9)), rng.random((9, 3))
    found = [SemiNMF(layers=(3, 2), init=[sign * A, None], max_iter=200).fit(X) for sign in (-1.0, 1.0)]
    mirrored, plain = (np.linalg.norm(X - model.inverse_transform(model.transform(X))) for model in found)
    assert mirrored == pytest.approx(plain, rel=0.1)


def test_layers_above_codes_that_are_all_zero_are_refused(rng):
    given = SemiNMF(layers=(3, 2), init=[-rng.random((9, 3)), rng.random((3, 2))], fixed=[0])
    with pytest.raises(InputError, match="All codes of layer 0 are zero, of which layer 1 cannot be made"):
        given.fit(rng.random((20, 9)))


def test_codes_take_little_memory_beside_themselves(rng):
    X, Z = sparse.random_array((30, 40_000), density=0.1, rng=rng, format="csr"), rng.random((30, 20))
    tracemalloc.start()
    [S] = encode_levels([Z], X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * S.nbytes  # where the systems of all columns at once take many times more
