import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import kl_div

from nnmf_runner.core.label_costs import LABEL_COSTS, Labels, SquaredLabels
from nnmf_runner.core.monitor import stationarity
from nnmf_runner.core.nnls import kkt_violation
from nnmf_runner.core.regularisation import NO_PENALTY, Penalty
from nnmf_runner.core.updates import (
    HALS,
    SHARE,
    SMALL_PASS,
    UPDATES,
    AdaptiveHALS,
    Codes,
    extrapolated,
    lift_zeros,
    multiply,
    shortened,
)

seeds = st.integers(0, 10_000)


def factor_problem(seed, zeros=0.0):
    """F (p, k), G (k, k) and C (p, k) of ``min ||X - F S||^2``, with the matrices X and S themselves."""
    rng = np.random.default_rng(seed)
    m, k, n = rng.integers(1, 12, 3)
    S, X, F = (rng.random(shape) * (rng.random(shape) >= zeros) for shape in ((k, n), (m, n), (m, k)))
    return F, X, S


def half_cost(F, X, S):
    return 0.5 * np.linalg.norm(X - F @ S) ** 2


def violation(F, X, S):
    return kkt_violation(S @ S.T, S @ X.T, F.T)


@pytest.mark.parametrize("name", UPDATES)
@settings(deadline=None, max_examples=40)
@given(seed=seeds, zeros=st.sampled_from([0.0, 0.5, 0.9]))
def test_update_never_increases_its_objective_and_stays_nonnegative(name, seed, zeros):
    F, X, S = factor_problem(seed, zeros)
    new = UPDATES[name]()(F, S @ S.T, X @ S.T)
    assert new.shape == F.shape
    assert new.min() >= 0
    # Rounding of costs of the size of ||X||^2.
    assert half_cost(new, X, S) <= half_cost(F, X, S) + 1e-13 * np.sum(X**2)


@pytest.mark.parametrize("name", UPDATES)
def test_update_does_not_change_what_it_is_given(name):
    given_ = F, X, S = factor_problem(3)
    before = [M.copy() for M in given_]
    gram, cross = S @ S.T, X @ S.T
    UPDATES[name]()(F, gram, cross)
    for now, then in zip((*given_, gram, cross), (*before, S @ S.T, X @ S.T), strict=True):
        np.testing.assert_array_equal(now, then)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, zeros=st.sampled_from([0.0, 0.5, 0.9]))
def test_adaptive_hals_makes_passes_until_one_is_short(seed, zeros):
    F, X, S = factor_problem(seed, zeros)
    gram, cross, lengths, expected = S @ S.T, X @ S.T, [], F
    while len(lengths) < 20 and (len(lengths) < 1 or lengths[-1] > SMALL_PASS * max(lengths)):
        before, expected = expected, HALS(1)(expected, gram, cross)
        lengths.append(np.linalg.norm(expected - before))
    np.testing.assert_allclose(AdaptiveHALS()(F, gram, cross), expected, rtol=1e-9, atol=1e-9)


def test_adaptive_hals_keeps_columns_that_change_nothing(rng):
    F, S = rng.random((5, 3)), rng.random((3, 8)) * [[1.0], [0.0], [1.0]]
    new = AdaptiveHALS()(F, S @ S.T, rng.random((5, 8)) @ S.T)
    np.testing.assert_array_equal(new[:, 1], F[:, 1])
    assert (new[:, [0, 2]] != F[:, [0, 2]]).any()


@pytest.mark.parametrize("update", [HALS(), AdaptiveHALS(), UPDATES["mu"]()])
@settings(deadline=None, max_examples=40)
@given(seed=seeds, zeros=st.sampled_from([0.0, 0.5, 0.9]), shift=st.sampled_from([0.0, 0.3]))
def test_update_of_a_factor_between_others_never_increases_its_objective(update, seed, zeros, shift):
    F, X, S = factor_problem(seed, zeros)
    P = np.random.default_rng(seed).random((7, len(F)))
    X = np.vstack([X, X])[:7] if len(X) > 3 else np.resize(X, (7, X.shape[1]))
    gradient = P.T @ (P @ F @ S - X) @ S.T + shift * (1.0 + F)
    new = update.between(F, P.T @ P, S @ S.T, P.T @ X @ S.T, shift, shift)

    def objective(F):
        return 0.5 * np.linalg.norm(X - P @ F @ S) ** 2 + shift * F.sum() + 0.5 * shift * np.sum(F**2)

    assert new.min() >= 0
    assert objective(new) <= objective(F) + 1e-13 * np.sum(X**2)
    if np.abs(np.minimum(F, gradient)).max() > 1e-6 and not update.absorbs_zeros:
        assert objective(new) < objective(F)


@pytest.mark.parametrize("update", [HALS(), UPDATES["mu"]()])
def test_update_of_a_factor_between_others_has_the_solution_as_its_fixed_point(update, rng):
    P, S, X = rng.random((9, 4)), rng.random((3, 12)), rng.random((9, 12)) ** 4
    F = optimize.nnls(np.kron(P, S.T), X.ravel())[0].reshape(4, 3)
    assert (F == 0).any()
    np.testing.assert_allclose(update.between(F, P.T @ P, S @ S.T, P.T @ X @ S.T), F, atol=1e-9)


@pytest.mark.parametrize("update", [HALS(), AdaptiveHALS(), *(update() for update in UPDATES.values())])
def test_a_column_that_only_costs_a_penalty_becomes_zero(update, rng):
    S, X, F = rng.random((3, 12)), rng.random((9, 12)), rng.random((9, 3))
    S[1] = 0.0
    assert not update(F, S @ S.T, X @ S.T, 0.1)[:, 1].any()
    if not isinstance(update, UPDATES["anls"]):
        P = rng.random((20, 9))
        P[:, 4] = 0.0
        new = update.between(F, P.T @ P, S @ S.T, P.T @ P @ X @ S.T, 0.1)
        assert not new[:, 1].any()
        assert not new[4].any()


@pytest.mark.parametrize("name", UPDATES)
def test_solution_is_a_fixed_point(name, rng):
    S, X = rng.random((5, 40)), rng.random((12, 40)) ** 4
    F = np.vstack([optimize.nnls(S.T, row)[0] for row in X])
    assert (F == 0).any()
    np.testing.assert_allclose(UPDATES[name]()(F, S @ S.T, X @ S.T), F, atol=1e-10)


# How near the limit 3,000 calls come; multiplicative updates approach zeros sublinearly.
@pytest.mark.parametrize(("name", "calls", "tol"), [("mu", 3000, 1e-3), ("hals", 1000, 1e-9), ("anls", 1, 1e-9)])
def test_limit_satisfies_the_optimality_conditions(name, calls, tol, rng):
    S, X, F = rng.random((4, 40)), rng.random((12, 40)), rng.random((12, 4))
    update = UPDATES[name]()
    assert violation(F, X, S) > 0.05
    for _ in range(calls):
        F = update(F, S @ S.T, X @ S.T)
    assert violation(F, X, S) <= tol


def test_hals_and_anls_leave_zero_and_mu_does_not(rng):
    S, X = rng.random((3, 20)), rng.random((8, 20))
    for name, update in UPDATES.items():
        new = update()(np.zeros((8, 3)), S @ S.T, X @ S.T)
        assert new.any() != update.absorbs_zeros, name


def test_anls_equals_scipy_row_by_row_for_changing_problems(rng):
    update = UPDATES["anls"]()
    for _ in range(4):  # the later calls start from the passive sets of the earlier ones
        S, X = rng.random((5, 30)), rng.random((12, 30))
        expected = np.vstack([optimize.nnls(S.T, row)[0] for row in X])
        np.testing.assert_allclose(update(np.empty((12, 5)), S @ S.T, X @ S.T), expected, atol=1e-9)


def test_multiply_is_zero_where_the_denominator_vanishes():
    np.testing.assert_array_equal(
        multiply(np.array([[0.0, 2.0]]), np.array([[3.0, 3.0]]), np.array([[0.0, 6.0]])), [[0, 1]]
    )


def test_lift_zeros_replaces_zeros_by_a_share_of_the_mean_and_nothing_else():
    F = np.array([[0.0, 4.0], [8.0, 0.0]])
    np.testing.assert_array_equal(lift_zeros(F, share=0.5), [[1.5, 4.0], [8.0, 1.5]])


def test_lift_zeros_makes_a_zero_matrix_positive():
    assert lift_zeros(np.zeros((2, 3))).min() > 0


class Semisupervised:
    """A small problem with labels for some columns."""

    def __init__(self, seed=0, share_known=0.6):
        rng = np.random.default_rng(seed)
        self.X, self.A, self.S = rng.random((12, 20)), rng.random((12, 4)), rng.random((4, 20))
        self.Y = np.eye(3)[:, rng.integers(0, 3, 20)]
        self.known = rng.random(20) < share_known
        self.known[0] = True
        self.weight = 0.8
        self.labels = Labels(SquaredLabels(), self.weight, self.Y, self.known)
        self.norm = np.sum(self.X**2)

    def codes(self, name):
        return Codes(UPDATES[name], self.norm, self.labels, self.S)

    def step(self, codes, S):
        return codes.step(S, self.A.T @ self.A, self.A.T @ self.X)

    def label_cost(self, S, B):
        return self.weight * np.sum(self.known * (self.Y - B @ S) ** 2) / self.known.sum()

    def cost(self, S, B):
        return np.sum((self.X - self.A @ S) ** 2) / self.norm + self.label_cost(S, B)


@pytest.mark.parametrize("share_known", [0.0, 0.6, 1.0])
def test_multiplicative_step_equals_the_formulas_of_ssnmf(share_known):
    """Lee, Yoo and Choi 2010 with the mask L as a matrix: B, then S, on ``||X - A S||^2 + lam ||L o (Y - B S)||^2``."""
    problem = Semisupervised(1, share_known)
    X, A, S, Y = problem.X, problem.A, problem.S, problem.Y
    L = np.tile(problem.known, (3, 1)).astype(float)
    lam = problem.weight * problem.norm / problem.known.sum()
    codes, eps = problem.codes("mu"), 1e-300
    B = codes.B.copy()
    for _ in range(5):
        B = B * ((L * Y) @ S.T) / ((L * (B @ S)) @ S.T + eps)
        expected = S * (A.T @ X + lam * B.T @ (L * Y)) / (A.T @ A @ S + lam * B.T @ (L * (B @ S)) + eps)
        S = problem.step(codes, S).S
        np.testing.assert_allclose(codes.B, B, rtol=1e-10)
        np.testing.assert_allclose(S, expected, rtol=1e-10)


@pytest.mark.parametrize("name", UPDATES)
@settings(deadline=None, max_examples=25)
@given(seed=seeds, share_known=st.sampled_from([0.0, 0.3, 1.0]))
def test_step_never_increases_the_whole_cost(name, seed, share_known):
    problem = Semisupervised(seed, share_known)
    codes, S = problem.codes(name), problem.S
    costs = [problem.cost(S, codes.B)]
    for _ in range(5):
        S = problem.step(codes, S).S
        costs.append(problem.cost(S, codes.B))
        assert min(S.min(), codes.B.min()) >= 0
    assert max(np.diff(costs)) <= 1e-12


@pytest.mark.parametrize("name", UPDATES)
def test_map_starts_at_the_best_nonnegative_one(name):
    problem = Semisupervised()
    S, Y = problem.S[:, problem.known], problem.Y[:, problem.known]
    best = np.vstack([optimize.nnls(S.T, row)[0] for row in Y])
    B = problem.codes(name).B
    np.testing.assert_allclose(B[best > 0], best[best > 0], rtol=1e-8)
    assert (B[best == 0] > 0).all() == UPDATES[name].absorbs_zeros


@pytest.mark.parametrize("name", UPDATES)
def test_step_reports_the_label_cost_and_the_derivatives_of_the_whole_cost(name):
    problem = Semisupervised()
    codes, S = problem.codes(name), problem.S
    old = codes.B.copy()
    step = problem.step(codes, S)
    L, scale = problem.known.astype(float), problem.weight / problem.known.sum()
    dS = 2 / problem.norm * problem.A.T @ (problem.A @ S - problem.X)
    dS += 2 * scale * codes.B.T @ (L * (codes.B @ S - problem.Y))
    dB = 2 * scale * (L * (old @ S - problem.Y)) @ S.T
    assert step.cost == pytest.approx(problem.label_cost(S, codes.B), rel=1e-12)
    np.testing.assert_array_equal(step.factors[1], old)
    np.testing.assert_allclose(step.gradients[0], dS, atol=1e-13)
    np.testing.assert_allclose(step.gradients[1], dB, atol=1e-13)


def test_both_forms_of_the_multiplicative_step_agree():
    problem = Semisupervised()
    S, A, X = problem.S, problem.A, problem.X
    theirs = problem.step(problem.codes("mu"), S)
    ours = problem.codes("mu").multiplicative_step(S, A.T @ A @ S, A.T @ X)
    np.testing.assert_allclose(ours.S, theirs.S, rtol=1e-12)
    assert ours.cost == pytest.approx(theirs.cost)
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)


@pytest.mark.parametrize("name", UPDATES)
def test_without_labels_there_is_no_map_and_no_label_cost(name):
    problem = Semisupervised()
    codes = Codes(UPDATES[name], problem.norm, None, problem.S)
    step = problem.step(codes, problem.S)
    assert codes.B is None
    assert step.cost == 0.0
    assert len(step.factors) == len(step.gradients) == 1


def penalised(rng):
    """S, X and F of ``1/2 ||X - F S||^2 + shift sum F``."""
    S, X, F = rng.random((4, 40)), rng.random((12, 40)), rng.random((12, 4))
    return S, X, F


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_update_with_a_shift_never_increases_its_objective(name, shift, rng):
    S, X, F = penalised(rng)
    update = UPDATES[name]()

    def cost(F):
        return half_cost(F, X, S) + shift * F.sum()

    for _ in range(10):
        new = update(F, S @ S.T, X @ S.T, shift)
        assert new.min() >= 0
        assert cost(new) <= cost(F) + 1e-12 * np.sum(X**2)
        F = new


@pytest.mark.parametrize(("name", "calls", "tol"), [("mu", 3000, 2e-3), ("hals", 1000, 1e-8), ("anls", 1, 1e-8)])
def test_limit_with_a_shift_is_the_solution_of_the_problem_with_the_linear_term(name, calls, tol, rng):
    S, X, F = penalised(rng)
    update, shift = UPDATES[name](), 2.0
    for _ in range(calls):
        F = update(F, S @ S.T, X @ S.T, shift)
    # The linear term as a change of the data: S x' = S x - shift.
    moved = X - shift * np.linalg.pinv(S) @ np.ones(4)
    expected = np.vstack([optimize.nnls(S.T, row)[0] for row in moved])
    assert (expected == 0).any()
    np.testing.assert_allclose(F, expected, atol=tol)


class Divergent(Semisupervised):
    """Labels by their divergence, and penalties on S."""

    penalty = Penalty(0.02, 0.03)

    def __init__(self, loss, seed=0, share_known=0.6):
        super().__init__(seed, share_known)
        self.loss = loss
        self.labels = Labels(LABEL_COSTS[loss](), self.weight, self.Y, self.known)

    def codes(self, name):
        return Codes(UPDATES[name], self.norm, self.labels, self.S, self.penalty)

    def label_cost(self, S, B):
        if self.loss == "squared":
            return super().label_cost(S, B)
        return self.weight * np.sum(kl_div(self.Y, B @ S)[:, self.known]) / self.known.sum()

    def penalty_cost(self, S):
        return 0.02 * S.sum() + 0.03 * np.sum(S**2)

    def cost(self, S, B):
        return super().cost(S, B) + self.penalty_cost(S)


CASES = [("mu", "squared"), ("mu", "kl"), ("hals", "squared"), ("anls", "squared")]


@pytest.mark.parametrize(("name", "loss"), CASES)
@settings(deadline=None, max_examples=20)
@given(seed=seeds, share_known=st.sampled_from([0.0, 0.3, 1.0]))
def test_penalised_step_never_increases_the_whole_cost(name, loss, seed, share_known):
    problem = Divergent(loss, seed, share_known)
    codes, S = problem.codes(name), problem.S
    costs = [problem.cost(S, codes.B)]
    for _ in range(5):
        S = problem.step(codes, S).S
        costs.append(problem.cost(S, codes.B))
        assert min(S.min(), codes.B.min()) >= 0
    assert max(np.diff(costs)) <= 1e-12


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_penalised_step_reports_the_derivatives_of_the_whole_cost(name, loss, rng):
    problem = Divergent(loss)
    codes, S, h = problem.codes(name), problem.S, 1e-6
    old = codes.B.copy() + 0.1  # away from the best map
    codes.B = old
    step = problem.step(codes, S)
    dS, dB = rng.standard_normal(S.shape), rng.standard_normal(old.shape)
    slope_S = (problem.cost(S + h * dS, codes.B) - problem.cost(S - h * dS, codes.B)) / (2 * h)
    slope_B = (problem.cost(S, old + h * dB) - problem.cost(S, old - h * dB)) / (2 * h)
    assert np.vdot(step.gradients[0], dS) == pytest.approx(slope_S, rel=1e-6)
    assert np.vdot(step.gradients[1], dB) == pytest.approx(slope_B, rel=1e-6)
    assert step.cost == pytest.approx(problem.label_cost(S, codes.B) + problem.penalty_cost(S), rel=1e-10)


@pytest.mark.parametrize("loss", ["squared", "kl"])
def test_costs_of_columns_add_up_to_labels_and_penalty(loss):
    problem = Divergent(loss)
    codes, S, A = problem.codes("mu"), problem.S, problem.A
    each = codes.column_costs(S)
    assert each.shape == (20,)
    data = np.sum((problem.X - A @ S) ** 2) / problem.norm
    assert each.sum() == pytest.approx(problem.cost(S, codes.B) - data, rel=1e-10)


def test_shortened_takes_the_first_exponent_that_does_not_cost_more():
    F, new = np.array([[1.0, 1.0]]), np.array([[16.0, 16.0]])
    # Exponents 1, 1/2, 1/4 give 16, 4, 2.
    np.testing.assert_allclose(shortened(F, new, lambda M: float((M > 5).any())), [[4.0, 4.0]])
    np.testing.assert_allclose(shortened(F, new, lambda M: 0.0), new)
    np.testing.assert_array_equal(shortened(F, new, lambda M: float((M != 1).any())), F)


def test_shortened_gives_every_column_its_own_exponent():
    F, new, limit = np.ones((2, 3)), np.full((2, 3), 16.0), np.array([20.0, 3.0, 0.5])
    # The last column may not move at all.
    found = shortened(F, new, lambda M: np.where(M[0] == 1, 0.0, (limit < M[0]).astype(float)))
    np.testing.assert_allclose(found, [[16.0, 2.0, 1.0]] * 2)


def test_shortened_keeps_zeros_and_reaches_them():
    F, new = np.array([[0.0, 2.0]]), np.array([[0.0, 0.0]])
    np.testing.assert_array_equal(shortened(F, new, lambda M: 0.0), [[0.0, 0.0]])


def test_a_multiplicative_step_of_single_precision_can_be_taken_back():
    """What falls to the smallest numbers stays above zero, which it could not leave; zeros stay zeros."""
    F = np.array([1e-20, 1.0, 0.0, 1.0], np.float32)
    down = multiply(F, np.float32([1e-25, 1e-38, 1.0, 0.0]), np.float32([1.0, 1.0, 1.0, 1.0]))
    assert down.dtype == np.float32
    assert (down[:2] > np.finfo(np.float32).tiny).all()
    assert (down[:2] < 1e-30).all()
    assert not down[2:].any()
    up = multiply(down, np.full(4, 1e30, np.float32), np.ones(4, np.float32))
    assert (up[:2] > 0.01).all()
    assert not multiply(np.ones(2, np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)).any()


def test_steps_that_single_precision_cannot_tell_apart_are_taken():
    F, new = np.ones((2, 2), np.float32), np.full((2, 2), 2, np.float32)
    cost_of = lambda M: 1.0 + 1e-8 * float(M.max())  # noqa: E731
    np.testing.assert_array_equal(shortened(F, new, cost_of), new)
    np.testing.assert_array_equal(shortened(F.astype(float), new.astype(float), cost_of), F)


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_updates_of_single_precision_are_those_of_double(update, rng):
    A, X = rng.random((12, 4)), rng.random((12, 9000))
    F, gram, cross = rng.random((9000, 4)), A.T @ A, X.T @ A
    exact, found = update()(F, gram, cross), update()(F.astype(np.float32), gram, cross.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=2e-5 * exact.max())


def test_extrapolated_goes_on_in_the_direction_of_the_change_and_stays_nonnegative():
    last, F = np.array([[1.0, 3.0, 0.1]]), np.array([[2.0, 2.0, 0.0]])
    found = extrapolated(F, last)
    np.testing.assert_allclose(found, [[2.0 + SHARE, 2.0 - SHARE, 0.0]])


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("penalty", [NO_PENALTY, Penalty(0.02, 0.03)])
def test_move_is_the_step_in_the_memory_of_the_products(name, penalty):
    problem = Semisupervised()
    S, gram, cross = problem.S, problem.A.T @ problem.A, problem.A.T @ problem.X
    step, move = (
        getattr(Codes(UPDATES[name], problem.norm, None, S, penalty), way)(S, gram, cross.copy())
        for way in ("step", "move")
    )
    assert move.cost == step.cost
    assert move.measure == pytest.approx(stationarity(step.factors, step.gradients), rel=1e-12)
    np.testing.assert_allclose(move.new(), step.S, atol=1e-14)
