import numpy as np
import pytest
from scipy import optimize, sparse

from nnmf_runner.core.layer import NO_SHRINKAGE, Shrinkage, forward
from nnmf_runner.core.nnls import nnls
from nnmf_runner.core.systems import AmendedSystems


@pytest.fixture
def problem(rng):
    A, X = rng.random((12, 5)), rng.random((12, 40))
    X[X < 0.4] = 0.0
    return A, X


def plain_adjoint(A, S, dS):
    """``v_F = (A_F^T A_F)^{-1} g_F`` column by column."""
    V = np.zeros_like(S)
    for j in range(S.shape[1]):
        F = np.flatnonzero(S[:, j] > 0)
        V[F, j] = np.linalg.solve(A[:, F].T @ A[:, F], dS[F, j])
    return V


def test_codes_are_the_nonnegative_least_squares_solution(problem):
    A, X = problem
    layer = forward(A, X)
    assert (layer.S == 0).any()  # otherwise this would be plain least squares
    np.testing.assert_allclose(layer.S, nnls(A, X).S, atol=1e-10)


def test_adjoint_equals_its_definition(problem, rng):
    A, X = problem
    layer, dS = forward(A, X), rng.standard_normal((5, 40))
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), atol=1e-9)


def test_adjoint_does_not_depend_on_the_scale_of_columns(problem, rng):
    A, X = problem
    A = A * 10.0 ** np.arange(-4, 6, 2)
    layer, dS = forward(A, X), rng.standard_normal((5, 40))
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), rtol=1e-8)


def test_derivatives_through_the_layer_equal_differences_of_the_solver(problem, rng):
    A, X = problem
    g, dA, dX = rng.standard_normal((5, 40)), rng.standard_normal(A.shape), rng.standard_normal(X.shape)
    layer = forward(A, X)
    V = layer.adjoint(g)
    h = 1e-6

    def moved(t, A_too):
        return np.vdot(g, nnls(A + t * dA if A_too else A, X if A_too else X + t * dX).S)

    slope_A = np.vdot(X @ V.T - A @ (layer.S @ V.T + V @ layer.S.T), dA)
    slope_X = np.vdot(A @ V, dX)
    assert slope_A == pytest.approx((moved(h, True) - moved(-h, True)) / (2 * h), rel=1e-6)
    assert slope_X == pytest.approx((moved(h, False) - moved(-h, False)) / (2 * h), rel=1e-6)


def test_sparse_equals_dense(problem, rng):
    A, X = problem
    dense, thin, dS = forward(A, X), forward(A, sparse.csr_array(X)), rng.standard_normal((5, 40))
    np.testing.assert_allclose(thin.S, dense.S, atol=1e-12)
    np.testing.assert_allclose(thin.adjoint(dS), dense.adjoint(dS), atol=1e-10)


def test_warm_start_does_not_change_codes_nor_adjoint(problem, rng):
    A, X = problem
    dS, nearby = rng.standard_normal((5, 40)), forward(A + 0.3 * rng.random(A.shape), X)
    cold, warm = forward(A, X), forward(A, X, nearby.systems)
    np.testing.assert_allclose(warm.S, cold.S, atol=1e-12)
    np.testing.assert_allclose(warm.adjoint(dS), cold.adjoint(dS), atol=1e-10)


def test_adjoint_of_full_columns_among_sparse_ones_equals_its_definition(rng):
    """Many different small passive sets, and some full ones: the columns are not solved in one way."""
    A = rng.standard_normal((60, 20))
    support = np.array([rng.permutation(20) < size for size in [20] * 50 + [4] * 400]).T
    X = A @ support - np.linalg.pinv(A).T @ ~support
    layer, dS = forward(A, X), rng.standard_normal(support.shape)
    np.testing.assert_array_equal(layer.S > 0, support)
    np.testing.assert_allclose(layer.adjoint(dS), plain_adjoint(A, layer.S, dS), atol=1e-9)


SHRINKAGES = {
    "none": NO_SHRINKAGE,
    "l1": Shrinkage(l1=0.3),
    "l2": Shrinkage(l2=0.5),
    "both": Shrinkage(l1=0.2, l2=0.4),
    "rows": Shrinkage(l1=np.array([[0.1], [0.0], [0.5], [0.2], [0.3]]), l2=0.3),
}


@pytest.fixture(params=[1.0, 0.8, 0.3], ids=lambda share: f"known_{share}")
def mask(request, rng):
    mask = rng.random((12, 40)) < request.param
    if request.param < 1.0:
        mask[:, [3, 17]] = False  # nothing is known of these
        mask[2:, 5] = False  # fewer known than variables
    return mask


def augmented(A, x, shrinkage):
    """Rows of a least-squares problem whose solution has the penalties: sqrt(l2) I below A, l1 in the data there.

    ``1/2 ||x - A s||^2 + l2/2 ||s||^2 + l1^T s = 1/2 ||x - A s||^2 + 1/2 ||sqrt(l2) s + l1 / sqrt(l2)||^2 + const``.
    """
    k, root = A.shape[1], np.sqrt(shrinkage.l2)
    l1 = np.broadcast_to(shrinkage.l1, (k, 1))[:, 0]
    return np.vstack([A, root * np.eye(k)]), np.concatenate([x, -l1 / root])


def violations(A, X, W, S, shrinkage):
    """How far each column is from its conditions: S, its multiplier and their product, relative to the data."""
    multiplier = A.T @ (W * (A @ S) - X) + shrinkage.l1 + shrinkage.l2 * S
    return np.abs(np.minimum(S, multiplier)).max(axis=0)


@pytest.mark.parametrize("name", SHRINKAGES)
def test_codes_satisfy_the_optimality_conditions(name, problem, mask):
    A, X = problem
    X, shrinkage = X * mask, SHRINKAGES[name]
    layer = forward(A, X, mask=mask, shrinkage=shrinkage)
    assert layer.S.min() >= 0.0
    np.testing.assert_allclose(violations(A, X, mask, layer.S, shrinkage), 0.0, atol=1e-7)
    np.testing.assert_array_equal(layer.S[:, ~mask.any(axis=0)], 0.0)


def test_masked_codes_equal_scipys_on_the_known_rows(problem, mask):
    A, X = problem
    S = forward(A, X * mask, mask=mask).S
    for j in np.flatnonzero(mask.sum(axis=0) >= 5):  # below, the solution is not unique
        np.testing.assert_allclose(S[:, j], optimize.nnls(A[mask[:, j]], X[mask[:, j], j])[0], atol=1e-8)
    for j in range(40):
        known = mask[:, j]
        best = optimize.nnls(A[known], X[known, j])[1] if known.any() else 0.0
        assert np.linalg.norm(X[known, j] - A[known] @ S[:, j]) <= best + 1e-6


@pytest.mark.parametrize("name", ["l2", "both", "rows"])
@pytest.mark.parametrize("masked", [False, True])
def test_penalised_codes_equal_scipys_on_the_augmented_system(name, masked, problem, mask):
    A, X = problem
    W = mask if masked else np.ones_like(mask)
    shrinkage = SHRINKAGES[name]
    S = forward(A, X * W, mask=mask if masked else None, shrinkage=shrinkage).S
    for j in range(40):
        expected = optimize.nnls(*augmented(A[W[:, j]], X[W[:, j], j], shrinkage))[0]
        np.testing.assert_allclose(S[:, j], expected, atol=1e-9)


def test_l1_alone_equals_scipys_with_the_linear_term_in_the_data(problem):
    A, X = problem
    moved = X - 0.3 * np.linalg.pinv(A.T) @ np.ones((5, 1))  # A^T moved = A^T X - l1
    S = forward(A, X, shrinkage=SHRINKAGES["l1"]).S
    np.testing.assert_allclose(S, nnls(A, moved).S, atol=1e-9)
    assert (S == 0).sum() > (forward(A, X).S == 0).sum()


@pytest.mark.parametrize("name", SHRINKAGES)
def test_masked_and_penalised_warm_starts_do_not_change_codes(name, problem, rng):
    A, X = problem
    mask = rng.random(X.shape) < 0.7
    nearby = forward(A + 0.3 * rng.random(A.shape), X * mask, mask=mask, shrinkage=SHRINKAGES[name])
    cold = forward(A, X * mask, mask=mask, shrinkage=SHRINKAGES[name])
    warm = forward(A, X * mask, nearby.systems, mask=mask, shrinkage=SHRINKAGES[name])
    np.testing.assert_allclose(warm.S, cold.S, atol=1e-9)
    dS = rng.standard_normal(cold.S.shape)
    np.testing.assert_allclose(warm.adjoint(dS), cold.adjoint(dS), atol=1e-8)


def test_mask_of_true_changes_nothing(problem, rng):
    A, X = problem
    plain, masked = forward(A, X), forward(A, X, mask=np.ones(X.shape, bool))
    T, U, dS = (rng.standard_normal((5, 40)) for _ in range(3))
    np.testing.assert_allclose(masked.S, plain.S, atol=1e-10)
    np.testing.assert_allclose(masked.adjoint(dS), plain.adjoint(dS), atol=1e-9)
    ours, theirs = (layer.derivative(dS, [(T, U), (U, T)]) for layer in (masked, plain))
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_products_over_the_known_entries_equal_their_definitions(problem, rng):
    A, X = problem
    mask = rng.random(X.shape) < 0.7
    X = X * mask
    layer = forward(A, X, mask=mask)
    T, U, V = (rng.standard_normal((5, 40)) for _ in range(3))
    np.testing.assert_allclose(layer.derivative(T, [(U, V)]), X @ T.T + (mask * (A @ U)) @ V.T, rtol=1e-10)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("rank", [None, 3])
def test_fit_of_a_level_and_its_derivatives_equal_their_definitions(problem, is_masked, rank, rng):
    A, X = problem
    mask = rng.random(X.shape) < (0.7 if is_masked else 2.0)
    X = X * mask
    layer = forward(A, X, mask=mask if is_masked else None)
    B, S = None if rank is None else rng.standard_normal((5, rank)), rng.standard_normal((rank or 5, 40))
    T = S if B is None else B @ S
    fit, residual, atol = layer.level(B, S), mask * (A @ T) - X, 1e-12 * np.sum(X**2)
    assert fit.value == pytest.approx(np.sum(residual**2) - np.sum(X**2), rel=1e-10)
    np.testing.assert_allclose(layer.derivative(-T, [fit.pair]), residual @ T.T, atol=atol)
    if B is not None:
        np.testing.assert_allclose(fit.by_B, A.T @ residual @ S.T, atol=atol)
        np.testing.assert_allclose(fit.by_S, B.T @ A.T @ residual, atol=atol)


@pytest.mark.parametrize("name", SHRINKAGES)
@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_of_the_masked_penalised_layer_equal_differences(name, masked, problem, rng):
    A, X = problem
    W = rng.random(X.shape) < 0.8 if masked else np.ones(X.shape, bool)
    X, mask, shrinkage = X * W, W if masked else None, SHRINKAGES[name]
    g, h = rng.standard_normal((5, 40)), 1e-6
    dA, dX, dl1 = rng.standard_normal(A.shape), rng.standard_normal(X.shape) * W, rng.standard_normal((5, 1))
    layer = forward(A, X, mask=mask, shrinkage=shrinkage)
    V = layer.adjoint(g)

    def slope(move):
        up, down = (np.vdot(g, forward(**move(t)).S) for t in (h, -h))
        return (up - down) / (2 * h)

    common = {"mask": mask, "shrinkage": shrinkage}
    expected = slope(lambda t: {"A": A + t * dA, "inputs": X, **common})
    assert np.vdot(layer.derivative(V, [(-layer.S, V), (-V, layer.S)]), dA) == pytest.approx(expected, rel=1e-5)
    expected = slope(lambda t: {"A": A, "inputs": X + t * dX, **common})
    assert np.vdot(A @ V, dX) == pytest.approx(expected, rel=1e-5)

    def other_l1(t):
        return {"A": A, "inputs": X, "mask": mask, "shrinkage": Shrinkage(shrinkage.l1 + t * dl1, shrinkage.l2)}

    assert -np.sum(V * dl1) == pytest.approx(slope(other_l1), rel=1e-5)


def test_penalty_of_the_codes_equals_its_definition_and_derivative(problem, rng):
    A, X = problem
    layer = forward(A, X, shrinkage=SHRINKAGES["rows"])
    l1, l2, S = SHRINKAGES["rows"].l1, 0.3, layer.S
    assert layer.penalty() == pytest.approx(2 * np.sum(l1 * S) + l2 * np.sum(S**2))
    np.testing.assert_allclose(layer.penalty_gradient(), 2 * l1 + 2 * l2 * S)
    assert forward(A, X).penalty() == 0.0
    assert layer.is_penalised
    assert not forward(A, X).is_penalised


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [4, 12])  # few distinct passive sets, and many
def test_warm_layers_of_a_moving_factor_equal_cold_ones(k, masked, rng):
    A, X = rng.random((30, k)), rng.random((30, 1200))
    mask = rng.random(X.shape) < 0.9 if masked else None
    X = X * mask if masked else X
    dS, warm, amended = rng.standard_normal((k, 1200)), None, 0
    for step in (1e-3, 1e-2, 1e-1, 1e-2, 1e-3):  # from few to most columns that change sides
        A = A * (1.0 + step * rng.standard_normal(A.shape))
        ours, theirs = forward(A, X, warm, mask=mask), forward(A, X, mask=mask)
        np.testing.assert_allclose(ours.S, theirs.S, atol=1e-9 * theirs.S.max())
        V = theirs.adjoint(dS)
        np.testing.assert_allclose(ours.adjoint(dS), V, atol=1e-9 * np.abs(V).max())
        amended += isinstance(ours.systems, AmendedSystems)
        warm = ours.systems
        warm.release()
    assert amended  # else this compares a path with itself
