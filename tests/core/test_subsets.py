import numpy as np
import pytest
from scipy import optimize

from nnmf_runner.core import subsets
from nnmf_runner.core.nnls import ScaledProblem, pivot
from nnmf_runner.core.subsets import best_subsets
from nnmf_runner.core.systems import PassiveSystems


def problem_of(rng, k, n=40):
    """Random problems whose solutions have zeros; one column of C is zero."""
    A, X = rng.random((15, k)), rng.standard_normal((15, n))
    X[:, 0] = 0.0
    return A, X, ScaledProblem(A.T @ A, A.T @ X)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_best_subsets_solve_the_problem_as_scipy_does(k, rng):
    A, X, problem = problem_of(rng, k)
    assert best_subsets(problem.gram, problem.cross) is not None
    solution = pivot(problem)
    theirs = np.column_stack([optimize.nnls(A, column)[0] for column in X.T])
    np.testing.assert_allclose(problem.unit * solution.S, theirs, atol=1e-10 * np.abs(theirs).max())
    np.testing.assert_array_equal(solution.systems.passive, theirs > 0)


@pytest.mark.parametrize("k", [2, 4])
def test_best_subsets_are_those_of_pivoting_from_whichever_start(k, rng, monkeypatch):
    _, _, problem = problem_of(rng, k)
    own = pivot(problem, PassiveSystems(rng.random((k, 40)) < 0.5))
    monkeypatch.setattr(subsets, "MOST_SUBSETS", 0)
    pivoted = pivot(problem)
    assert pivoted.n_iter > 1
    # Any set will do for a column of zeros, which is the first.
    np.testing.assert_array_equal(own.systems.passive[:, 1:], pivoted.systems.passive[:, 1:])
    np.testing.assert_allclose(own.S, pivoted.S, atol=1e-12 * pivoted.S.max())


def test_subsets_are_left_to_pivoting_where_there_are_many_or_inverses_are_inaccurate(rng):
    assert best_subsets(np.eye(20), rng.random((20, 5))) is None
    A = rng.random((15, 3))
    A[:, 2] = A[:, 0]
    problem = ScaledProblem(A.T @ A, A.T @ rng.random((15, 5)))
    assert best_subsets(problem.gram, problem.cross) is None
    assert pivot(problem).S.min() >= 0


@pytest.mark.parametrize("n", [5, 100])
def test_best_subsets_serve_as_a_warm_start(n, rng):
    A, _, problem = problem_of(rng, 4, n)
    systems = best_subsets(problem.gram, problem.cross)
    systems.release()
    moved = A * (1.0 + 0.1 * rng.random(A.shape))
    gram = ScaledProblem(moved.T @ moved, problem.cross).gram
    solution = systems.factor(gram).solve(problem.cross)
    for j, found in enumerate(solution.T):
        F = systems.passive[:, j]
        np.testing.assert_allclose(found[F], np.linalg.solve(gram[np.ix_(F, F)], problem.cross[F, j]), rtol=1e-8)
        assert not found[~F].any()
