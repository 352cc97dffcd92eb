from decimal import Decimal, localcontext
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import linalg, optimize, sparse

from nnmf_runner.core import nnls as module
from nnmf_runner.core import subsets, systems
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.nnls import ColumnProblem, kkt_violation, nnls, pivot
from nnmf_runner.core.systems import ColumnSystems

hundredths = st.integers(-300, 300).map(lambda i: i / 100)
small_integers = st.integers(-2, 2).map(float)
bits = st.integers(0, 1).map(float)


@st.composite
def problems(draw, elements, max_side=7):
    m, k, n = (draw(st.integers(1, max_side)) for _ in range(3))
    return draw(arrays(float, (m, k), elements=elements)), draw(arrays(float, (m, n), elements=elements))


def scipy_columns(A, X):
    return np.column_stack([optimize.nnls(A, x)[0] for x in X.T])


def column_costs(A, X, S):
    return ((X - A @ S) ** 2).sum(axis=0)


def best_of_all_supports(A, X):
    """Lowest cost of every column over all supports whose least-squares solution is nonnegative."""
    k = A.shape[1]
    best = (X**2).sum(axis=0)
    for F in (list(F) for size in range(1, k + 1) for F in combinations(range(k), size)):
        S = np.linalg.lstsq(A[:, F], X)[0]
        costs = np.where((S >= 0).all(axis=0), column_costs(A[:, F], X, S), np.inf)
        best = np.minimum(best, costs)
    return best


def assert_optimal(A, X, S, tol=1e-9):
    """Optimality in the units of ``||a_i||`` and ``||x_j||``, straight from the definition."""
    unit = np.outer(np.linalg.norm(A, axis=0), np.linalg.norm(X, axis=0))
    unit[unit == 0] = 1.0
    multiplier = A.T @ (A @ S - X) / unit
    assert S.min() >= 0
    assert multiplier.min() >= -tol
    # A zero of S that rounding made positive may keep its multiplier.
    positive = tol * S.max(axis=0) < S
    assert np.abs(multiplier[positive]).max(initial=0.0) <= tol


def gaussian(seed, m, k, n):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, k)), rng.standard_normal((m, n))


def uniform(seed, m, k, n):
    rng = np.random.default_rng(seed)
    return rng.random((m, k)), rng.random((m, n))


def duplicates():
    A, X = uniform(3, 12, 4, 30)
    return np.hstack([A, A, A[:, :1]]), X


def nearly_duplicates():
    A, X = uniform(3, 12, 4, 30)
    return np.hstack([A, A * (1 + 1e-9), A + 1e-8 * A[::-1]]), X


def zero_columns():
    A, X = gaussian(4, 9, 5, 30)
    A[:, [0, 3]] = 0.0
    X[:, 7] = 0.0
    return A, X


def scaled(A_too):
    A, X = uniform(5, 15, 7, 40)
    scales = 10.0 ** np.linspace(-9, 9, 40)
    return (A * 10.0 ** np.linspace(9, -9, 7) if A_too else A), X * scales


def binary(m, k, n):
    rng = np.random.default_rng(6)
    return rng.integers(0, 2, (m, k)).astype(float), rng.integers(0, 2, (m, n)).astype(float)


HARD = {
    "tall": lambda: gaussian(0, 50, 6, 40),
    "positive": lambda: uniform(0, 50, 20, 200),
    "wide": lambda: uniform(1, 4, 11, 40),
    "wide_signed": lambda: gaussian(1, 4, 11, 40),
    "duplicate_columns": duplicates,
    "nearly_duplicate_columns": nearly_duplicates,
    "zero_columns": zero_columns,
    "scaled_X": lambda: scaled(False),
    "scaled_A_and_X": lambda: scaled(True),
    "binary_tall": lambda: binary(20, 8, 60),
    "binary_wide": lambda: binary(5, 9, 60),
    # The solution is 100 times what the scale of the data suggests: the ridge has to be refined away.
    "cancelling": lambda: (np.array([[1.0, -1.0], [0.0, 1e-2]]), np.array([[0.0, 1.0], [1.0, 1.0]])),
    "all_ones": lambda: (np.ones((6, 4)), np.ones((6, 3))),
    "nothing_helps": lambda: (np.eye(3), -np.ones((3, 2))),
    "one_column": lambda: uniform(2, 8, 5, 1),
    "one_variable": lambda: gaussian(2, 8, 1, 20),
    "one_of_each": lambda: (np.array([[2.0]]), np.array([[3.0]])),
    "seventy_variables": lambda: uniform(7, 90, 70, 50),
    **{f"hilbert_{k}": lambda k=k: (linalg.hilbert(k), gaussian(8, k, 1, 40)[1]) for k in (4, 8, 12)},
    "hilbert_positive": lambda: (linalg.hilbert(10), uniform(8, 10, 1, 60)[1]),
}


@settings(deadline=None, max_examples=50)
@given(problems(hundredths))
def test_no_column_costs_more_than_scipys(problem):
    A, X = problem
    ours, theirs = nnls(A, X).S, scipy_columns(A, X)
    assert (column_costs(A, X, ours) <= column_costs(A, X, theirs) + 1e-9 * (X**2).sum(axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [gaussian, uniform])
def test_unique_solutions_equal_scipys(make, seed):
    A, X = make(seed, 30, 8, 50)
    np.testing.assert_allclose(nnls(A, X).S, scipy_columns(A, X), atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(st.one_of(problems(small_integers, 6), problems(bits, 6), problems(hundredths, 6)))
def test_no_support_is_better(problem):
    A, X = problem
    costs = column_costs(A, X, nnls(A, X).S)
    np.testing.assert_allclose(costs, best_of_all_supports(A, X), atol=1e-9 * max(1.0, (X**2).max()))


def planted(rng, m, k, sizes):
    """A problem with a known solution: ``A^T X = G S - M``, S positive on supports of given sizes and M off them."""
    A = rng.standard_normal((m, k))
    support = np.array([rng.permutation(k) < size for size in sizes]).T  # (k, n)
    S, M = (rng.uniform(0.5, 1.5, support.shape) * where for where in (support, ~support))
    return A, A @ S - np.linalg.pinv(A).T @ M, S


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([0] * 5, id="empty"),
        pytest.param([20] * 400, id="full"),
        pytest.param(list(range(21)) * 20, id="every_size"),
        pytest.param([20] * 50 + [4] * 400, id="full_and_few"),
        pytest.param([20] * 50 + [0] * 50 + [19] * 400, id="full_none_and_most"),
    ],
)
def test_planted_solution_is_found_cold_and_warm(rng, sizes):
    A, X, S = planted(rng, 60, 20, sizes)
    np.testing.assert_allclose(nnls(A, X).S, S, atol=1e-10)
    np.testing.assert_allclose(nnls(A, X, passive=S > 0).S, S, atol=1e-10)


@pytest.mark.parametrize("k", [62, 63, 90])
def test_planted_solution_is_found_whatever_the_number_of_variables(rng, k):
    A, X, S = planted(rng, 120, k, [*range(k + 1), k, k])
    np.testing.assert_allclose(nnls(A, X).S, S, atol=1e-10)
    np.testing.assert_allclose(nnls(A, X[:, -2:]).S, S[:, -2:], atol=1e-10)


@settings(deadline=None, max_examples=50)
@given(st.one_of(problems(small_integers), problems(bits), problems(hundredths)))
def test_every_small_problem_is_certified(problem):
    A, X = problem
    result = nnls(A, X)
    assert result.violation <= 1e-9
    assert_optimal(A, X, result.S)


@pytest.mark.parametrize("name", HARD)
def test_hard_problems_are_certified(name):
    A, X = HARD[name]()
    result = nnls(A, X)
    assert result.violation <= 1e-9
    assert result.violation == pytest.approx(kkt_violation(A.T @ A, A.T @ X, result.S), abs=1e-12)
    assert_optimal(A, X, result.S)


@pytest.mark.parametrize("name", HARD)
def test_solution_is_zero_outside_the_passive_sets(name):
    result = nnls(*HARD[name]())
    assert (result.S[~result.passive] == 0).all()


@settings(deadline=None, max_examples=50)
@given(arrays(bool, (6, 9)), st.integers(0, 5))
def test_any_warm_start_gives_the_same_solution(passive, seed):
    A, X = gaussian(seed, 12, 6, 9)
    np.testing.assert_allclose(nnls(A, X, passive=passive).S, nnls(A, X).S, atol=1e-10)


@pytest.mark.parametrize("name", ["wide", "duplicate_columns", "zero_columns", "binary_wide", "hilbert_8"])
@pytest.mark.parametrize("value", [False, True])
def test_singular_problems_are_certified_from_any_warm_start(name, value):
    A, X = HARD[name]()
    assert nnls(A, X, passive=np.full((A.shape[1], X.shape[1]), value)).violation <= 1e-9


def test_own_passive_sets_need_one_round():
    A, X = uniform(0, 30, 10, 100)
    cold = nnls(A, X)
    warm = nnls(A, X, passive=cold.passive)
    assert cold.n_iter > 1
    assert warm.n_iter == 1
    np.testing.assert_array_equal(warm.passive, cold.passive)


def test_warm_start_is_not_changed():
    A, X = uniform(0, 30, 10, 100)
    passive = np.zeros((10, 100), bool)
    nnls(A, X, passive=passive)
    assert not passive.any()


@pytest.mark.parametrize("spread", [1, 9])
def test_scaling_columns_scales_the_solution_and_keeps_the_passive_sets(spread):
    A, X = gaussian(3, 20, 6, 50)
    rng = np.random.default_rng(0)
    a, x = 10.0 ** rng.uniform(-spread, spread, 6), 10.0 ** rng.uniform(-spread, spread, 50)
    plain, scaled_ = nnls(A, X), nnls(A * a, X * x)
    np.testing.assert_array_equal(scaled_.passive, plain.passive)
    np.testing.assert_allclose(scaled_.S, plain.S * x / a[:, None], rtol=1e-9)


# Powers of two from the smallest to the largest doubles, which change no digit of hundredths above the subnormals.
exponents = st.integers(-1010, 1010)
LARGEST = np.finfo(float).max


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 20), arrays(int, 4, elements=exponents), arrays(int, 5, elements=exponents), st.booleans())
def test_columns_of_any_length_are_solved_as_scipy_solves_them_at_length_one(seed, a, x, as_sparse):
    A, X = (np.round(M, 2) for M in gaussian(seed, 9, 4, 5))
    plain, expected = nnls(A, X), Decimals(scipy_columns(A, X)) * 2 ** (Decimals(x) - Decimals(a)[:, None])
    far = np.ldexp(X, x)
    if expected.max() > LARGEST:
        with pytest.raises(InputError, match=r"^The solution exceeds 1\.79769e\+308, the largest double\. Expected X"):
            nnls(np.ldexp(A, a), far)
        return
    found = nnls(np.ldexp(A, a), sparse.csr_array(far) if as_sparse else far)
    np.testing.assert_array_equal(found.passive, plain.passive)
    error = abs(Decimals(found.S) - expected)
    assert (error <= Decimal("1e-9") * expected + Decimal(2.0**-1074)).all()
    if expected[expected > 0].min(initial=Decimal(1)) > 1e-300:
        assert found.violation == pytest.approx(plain.violation, abs=1e-15)


def test_far_columns_change_no_digit():
    A, X = gaussian(3, 20, 6, 50)
    X[:, ::7] = 0.0
    a, x = np.array([520, 0, 520, 0, 0, 0]), np.where(np.arange(50) % 2, 550, 0)
    found = nnls(np.ldexp(A, a), np.ldexp(X, x))
    np.testing.assert_array_equal(np.ldexp(found.S, a[:, None] - x), nnls(A, X).S)


doubles = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None, max_examples=100)
@given(st.one_of(problems(doubles, 4), problems(st.builds(np.ldexp, hundredths, st.integers(-1074, 1000)), 4)))
def test_the_violation_is_that_of_the_problem_as_given(problem):
    A, X = problem
    try:
        found = nnls(A, X)
    except InputError as error:
        assert "exceeds" in str(error)  # noqa: PT017
        return
    exact, rounding = exact_violation(*problem, found.S)
    # Every sum has a few products, and each of these and the scales of the columns are rounded.
    assert abs(exact - found.violation) <= 32 * np.finfo(float).eps * rounding + 1e-9 * found.violation


@np.vectorize(otypes=[object])
def Decimals(number):
    """Numbers of any size, with all digits of a double and more."""
    return Decimal(float(number))


def exact_violation(A, X, S):
    """The natural residual from the definition with 60 digits, and ``(k ||s|| + ||x||) / ||c||`` for unit columns."""
    with localcontext(prec=60, Emin=-(10**6), Emax=10**6):
        A, X, S = Decimals(A), Decimals(X), Decimals(S)
        length = lengths(A)
        A, S = A / length, S * length[:, None]
        C = A.T @ X
        residual = np.minimum(S / largest(S), (A.T @ (A @ S) - C) / largest(C))
        return float(abs(residual).max()), float(((len(S) * largest(S) + lengths(X)) / largest(C)).max())


def largest(M):
    return np.array([max(map(abs, column)) or Decimal(1) for column in M.T])


def lengths(M):
    return np.array([square.sqrt() or Decimal(1) for square in (M * M).sum(axis=0)])


def test_a_solution_below_the_range_of_doubles_is_a_violation():
    found = nnls([[1e300]], [[1e-300]])
    assert (found.S, found.violation) == (0.0, 1.0)


@pytest.mark.parametrize("spread", [30, 140])
def test_rows_of_very_different_size_are_solved_as_far_as_they_determine_the_variables(spread):
    rows = 10.0 ** np.array([-spread, 0, spread])
    A, X = np.kron(np.diag(rows), [[1.0], [2.0]]), np.kron(np.diag(rows), [[3.0], [1.0]])  # one variable a row
    np.testing.assert_allclose(nnls(A, X).S, np.eye(3), rtol=1e-9)


def test_permuting_variables_and_columns_permutes_the_solution():
    A, X = gaussian(4, 20, 6, 30)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(6), rng.permutation(30)
    permuted = nnls(A[:, rows], X[:, columns]).S
    np.testing.assert_allclose(permuted, nnls(A, X).S[rows][:, columns], atol=1e-12)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_equals_dense(form):
    A, X = gaussian(5, 25, 6, 40)
    X[np.abs(X) < 1] = 0.0
    dense = nnls(A, X)
    for other in (nnls(A, sparse.coo_array(X).asformat(form)), nnls(sparse.coo_array(A).asformat(form), X)):
        np.testing.assert_allclose(other.S, dense.S, atol=1e-12)


def test_integers_are_solved_as_numbers():
    np.testing.assert_allclose(nnls([[2, 0], [0, 4]], [[1, -5], [1, 2]]).S, [[0.5, 0.0], [0.25, 0.5]])


PATHS = {
    "solve_in_parts": {"STACK_SIZE": 1, "FEW": 0},
    "an_inverse_each": {"FEW": np.inf},
    "from_the_active_set": {"TRUSTED_CONDITION": np.inf, "FEW": 0},
    "elimination_alone": {"TRUSTED_CONDITION": 0.0},
    "elimination_in_parts": {"TRUSTED_CONDITION": 0.0, "STACK_SIZE": 1},
    "by_lapack": {"MAX_VECTORISED": 0, "FEW": 0},
    "backup_rule_alone": {"PATIENCE": -1, "MAX_ITER": 10_000},
    "backup_rule_soon": {"PATIENCE": 0},
    "scipy_at_once": {"MAX_ITER": 1},
    "scipy_soon": {"MAX_ITER": 2},
}


def take_path(monkeypatch, constants):
    """Set constants of the solver, or of the systems that it solves, and try all subsets nowhere."""
    monkeypatch.setattr(subsets, "MOST_SUBSETS", 0)
    for constant, value in constants.items():
        monkeypatch.setattr(module if hasattr(module, constant) else systems, constant, value)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["tall", "positive", "scaled_A_and_X", "seventy_variables", "one_column"])
def test_every_path_gives_the_same_answer(monkeypatch, path, name):
    A, X = HARD[name]()
    expected = nnls(A, X)
    take_path(monkeypatch, PATHS[path])
    found = nnls(A, X)
    assert found.violation <= 1e-9
    np.testing.assert_array_equal(found.passive, expected.passive)
    np.testing.assert_allclose(found.S, expected.S, rtol=1e-8)


# Inverses of a singular Gram matrix are not to be trusted: the paths that do so by force are left out.
@pytest.mark.parametrize("path", [path for path in PATHS if "TRUSTED_CONDITION" not in PATHS[path]])
@pytest.mark.parametrize("name", ["wide", "duplicate_columns", "zero_columns", "binary_wide", "hilbert_8"])
def test_every_path_certifies_singular_problems(monkeypatch, path, name):
    A, X = HARD[name]()
    take_path(monkeypatch, PATHS[path])
    assert nnls(A, X).violation <= 1e-9


def counted(monkeypatch, name):
    """Count the calls of a function of the module."""
    calls, original = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: calls.append(1) or original(*args))
    return calls


def test_scipy_takes_over_after_the_last_round(monkeypatch):
    calls = counted(monkeypatch, "_active_set")
    A, X = HARD["positive"]()
    nnls(A, X)
    assert not calls
    monkeypatch.setattr(module, "MAX_ITER", 1)
    nnls(A, X)
    assert len(calls) == 1


def test_one_exchange_a_column_needs_more_rounds_than_block_exchanges(monkeypatch):
    A, X = HARD["positive"]()
    rounds = nnls(A, X).n_iter
    monkeypatch.setattr(module, "PATIENCE", -1)
    assert nnls(A, X).n_iter > rounds


def test_backup_rule_changes_one_variable_a_column():
    wrong = np.array([[True, True, False], [False, True, False], [True, False, False]])
    expected = [[False, False, False], [False, True, False], [True, False, False]]
    np.testing.assert_array_equal(module._last_only(wrong) & wrong, expected)


def test_violation_vanishes_at_a_solution():
    # S = (1, 0): gradient (0, 1) by hand.
    assert kkt_violation(np.eye(2), np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]])) == 0.0


@pytest.mark.parametrize(
    "S",
    [
        pytest.param([[1.1], [0.0]], id="positive_entry_off"),
        pytest.param([[1.0], [0.1]], id="zero_entry_lifted"),
        pytest.param([[1.0], [-0.1]], id="negative_entry"),
        pytest.param([[0.0], [0.0]], id="entry_missing"),
        pytest.param([[2.0], [0.0]], id="solution_doubled"),
    ],
)
def test_violation_is_clear_where_one_entry_is_wrong(S):
    assert kkt_violation(np.eye(2), np.array([[1.0], [-1.0]]), np.array(S)) >= 0.05


@pytest.mark.parametrize("x", [1e-6, 1e6])
def test_violation_of_a_lifted_zero_is_relative_to_its_column(x):
    assert kkt_violation(np.eye(2), np.array([[x], [-x]]), np.array([[x], [0.1 * x]])) == pytest.approx(0.1)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 20), st.integers(0, 5), st.integers(0, 9), st.sampled_from([-0.1, 0.1]))
def test_any_perturbed_entry_is_a_violation(seed, row, column, change):
    A, X = gaussian(seed, 12, 6, 10)
    S = nnls(A, X).S
    S[row, column] += change * max(S[:, column].max(), 1e-3)
    assert kkt_violation(A.T @ A, A.T @ X, S) > 1e-4


@pytest.mark.parametrize("spread", [6, 140])
def test_violation_does_not_depend_on_scales(spread):
    A, X = gaussian(1, 12, 6, 10)
    S = np.abs(X[:6])
    a, x = 10.0 ** np.linspace(-spread, spread, 6), 10.0 ** np.linspace(spread - 1, 1 - spread, 10)
    expected = kkt_violation(A.T @ A, A.T @ X, S)
    A, X, S = A * a, X * x, S * x / a[:, None]
    assert kkt_violation(A.T @ A, A.T @ X, S) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("A", "X", "passive", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 5)), None, "X has 4 rows, expected 3"),
        (np.ones((3, 2)), np.ones((3, 5)), np.ones((5, 2), bool), r"passive has shape \(5, 2\), expected \(2, 5\)"),
        (np.ones(3), np.ones((3, 5)), None, "A has 1 dimensions"),
        (np.ones((3, 2)), np.ones(3), None, "X has 1 dimensions"),
        (np.full((3, 2), np.nan), np.ones((3, 5)), None, "A has 6 entries that are NaN or infinite"),
        (np.ones((3, 2)), np.full((3, 5), np.inf), None, "X has 15 entries that are NaN or infinite"),
        (np.ones((3, 0)), np.ones((3, 5)), None, "A is empty"),
        (np.ones((3, 2)), np.array([["a"], ["b"], ["c"]]), None, "X is not numeric"),
        (np.ones((3, 2)), np.ones((3, 5)) * 1j, None, "X is not numeric"),
    ],
)
def test_bad_input_is_refused_by_name(A, X, passive, message):
    with pytest.raises(InputError, match=message):
        nnls(A, X, passive=passive)


def column_problem(seed, m=12, k=5, n=30, share_known=0.8):
    """One least-squares problem a column: the known rows of A and of X."""
    rng = np.random.default_rng(seed)
    A, X, W = rng.standard_normal((m, k)), rng.standard_normal((m, n)), rng.random((m, n)) < share_known
    X = X * W
    return A, X, W, np.stack([A[w].T @ A[w] for w in W.T]), A.T @ X


def known_columns(A, X, W):
    return np.column_stack([optimize.nnls(A[w], x[w])[0] for x, w in zip(X.T, W.T, strict=True)])


def solved(gram, cross, passive=None):
    problem = ColumnProblem(gram, cross)
    solution = pivot(problem, None if passive is None else ColumnSystems(passive))
    return problem.unit * solution.S, solution


@pytest.mark.parametrize("seed", range(4))
def test_columns_with_gram_matrices_of_their_own_equal_scipys(seed):
    A, X, W, gram, cross = column_problem(seed)
    np.testing.assert_allclose(solved(gram, cross)[0], known_columns(A, X, W), atol=1e-9)


def test_columns_with_one_gram_matrix_equal_the_shared_problem():
    A, X = gaussian(3, 12, 5, 30)
    S, solution = solved(np.broadcast_to(A.T @ A, (30, 5, 5)), A.T @ X)
    shared = nnls(A, X)
    np.testing.assert_allclose(S, shared.S, atol=1e-10)
    np.testing.assert_array_equal(solution.systems.passive, shared.passive)


@settings(deadline=None, max_examples=30)
@given(arrays(bool, (5, 30)), st.integers(0, 5))
def test_any_warm_start_of_columns_gives_the_same_solution(passive, seed):
    A, X, W, gram, cross = column_problem(seed)
    np.testing.assert_allclose(solved(gram, cross, passive)[0], known_columns(A, X, W), atol=1e-9)


@pytest.mark.parametrize(
    "constants",
    [{"PATIENCE": -1, "MAX_ITER": 10_000}, {"PATIENCE": 0}, {"MAX_ITER": 1}, {"MAX_ITER": 2}],
    ids=["backup_rule_alone", "backup_rule_soon", "scipy_at_once", "scipy_soon"],
)
def test_every_path_solves_columns_alike(monkeypatch, constants):
    A, X, W, gram, cross = column_problem(1)
    take_path(monkeypatch, constants)
    S, solution = solved(gram, cross)
    np.testing.assert_allclose(S, known_columns(A, X, W), atol=1e-9)
    np.testing.assert_array_equal(solution.systems.passive, S > 0)


def test_own_passive_sets_of_columns_need_one_round():
    *_, gram, cross = column_problem(2)
    S, cold = solved(gram, cross)
    again, warm = solved(gram, cross, cold.systems.passive)
    assert (cold.n_iter > 1, warm.n_iter) == (True, 1)
    np.testing.assert_allclose(again, S, atol=1e-12)


def test_scales_of_columns_and_variables_do_not_matter():
    _, _, _, gram, cross = column_problem(4)
    a, x = 10.0 ** np.linspace(-6, 6, 5), 10.0 ** np.linspace(8, -8, 30)
    S, plain = solved(gram, cross)
    scaled_S, solution = solved(gram * a[:, None] * a, cross * a[:, None] * x)
    np.testing.assert_array_equal(solution.systems.passive, plain.systems.passive)
    np.testing.assert_allclose(scaled_S, S * x / a[:, None], rtol=1e-9)


@pytest.mark.parametrize("share_known", [0.3, 0.1, 0.0])
def test_columns_with_fewer_equations_than_variables_cost_no_more_than_scipys(share_known):
    A, X, W, gram, cross = column_problem(5, share_known=share_known)
    assert (W.sum(axis=0) < 5).any()
    S, solution = solved(gram, cross)
    ours, theirs = (((X - W * (A @ S)) ** 2).sum(axis=0) for S in (S, known_columns(A, X, W)))
    assert S.min() >= -1e-9 * max(1.0, S.max())
    assert (ours <= theirs + 1e-7 * (X**2).sum(axis=0)).all()
    np.testing.assert_array_equal(S[:, ~W.any(axis=0)], 0.0)
    assert (S[~solution.systems.passive] == 0.0).all()


def test_residual_of_columns_vanishes_at_a_solution_alone():
    *_, gram, cross = column_problem(6)
    problem = ColumnProblem(gram, cross)
    S = pivot(problem).S
    assert problem.residual(S).max() <= 1e-9
    S[np.unravel_index(S.argmax(), S.shape)] *= 1.1
    assert problem.residual(S).max() > 1e-3
