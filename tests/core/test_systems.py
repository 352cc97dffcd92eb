"""The linear systems on passive sets against one dense solve for every column."""

import numpy as np
import pytest

from nnmf_runner.core import systems as module
from nnmf_runner.core.systems import ColumnSystems, PassiveSystems

# Ways to share the work, by the constants that choose among them.
PATHS = {
    "as it is": {},
    "an inverse for each column": {"FEW": np.inf},
    "stacks alone": {"FEW": 0},
    "from the smaller of both sets": {"TRUSTED_CONDITION": np.inf, "FEW": 0},
    "from the passive set": {"TRUSTED_CONDITION": 0.0, "FEW": 0},
    "in parts that are not kept": {"STACK_SIZE": 50, "KEPT_SIZE": 0, "FEW": 0},
    "by LAPACK": {"MAX_VECTORISED": 0, "FEW": 0},
}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    for constant, value in PATHS[request.param].items():
        monkeypatch.setattr(module, constant, value)


def unit_gram(rng, k):
    """A well-conditioned Gram matrix of columns of unit length."""
    A = rng.standard_normal((3 * k + 2, k))
    A /= np.linalg.norm(A, axis=0)
    return A.T @ A


def solved(grams, passive, rhs):
    """The definition: ``G_FF x_F = b_F`` column by column, zero elsewhere."""
    S = np.zeros(rhs.shape)
    for j, gram in enumerate(grams):
        F = np.flatnonzero(passive[:, j])
        S[F, j] = np.linalg.solve(gram[np.ix_(F, F)], rhs[F, j])
    return S


def is_solution(found, grams, passive, rhs):
    np.testing.assert_allclose(found, solved(grams, passive, rhs), rtol=1e-9, atol=1e-12)
    assert (found[~passive] == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("k", "n"), [(1, 7), (3, 200), (8, 60), (20, 50), (70, 6)])
def test_every_column_solves_its_own_system(path, rng, k, n, share):
    gram, passive = unit_gram(rng, k), rng.random((k, n)) < share
    systems = PassiveSystems(passive).factor(gram)
    for _ in range(2):  # the second right-hand side, that of the backward pass, meets what the first has left
        rhs = rng.standard_normal((k, n))
        before = rhs.copy()
        is_solution(systems.solve(rhs), [gram] * n, passive, rhs)
        np.testing.assert_array_equal(rhs, before)


@pytest.mark.parametrize("release", [False, True])
def test_systems_serve_for_the_next_matrix(path, rng, release):
    passive, rhs = rng.random((8, 60)) < 0.6, rng.standard_normal((8, 60))
    systems = PassiveSystems(passive)
    for _ in range(3):
        gram = unit_gram(rng, 8)
        is_solution(systems.factor(gram).solve(rhs), [gram] * 60, passive, rhs)
        if release:
            systems.release()


def test_nearly_singular_matrices_are_solved_as_well_as_by_elimination(rng):
    A = rng.standard_normal((30, 6))
    A[:, 5] = A[:, 4] + 1e-5 * rng.standard_normal(30)  # a condition of 1e10
    A /= np.linalg.norm(A, axis=0)
    gram, passive, rhs = A.T @ A, rng.random((6, 40)) < 0.7, rng.standard_normal((6, 40))
    found, reference = PassiveSystems(passive).factor(gram).solve(rhs), solved([gram] * 40, passive, rhs)
    residuals = [np.abs(np.where(passive, gram @ S - rhs, 0.0)).max() for S in (found, reference)]
    assert residuals[0] <= 10 * residuals[1] + 1e-12


def test_amended_systems_solve_the_changed_columns_anew(path, rng):
    gram, passive, rhs = unit_gram(rng, 8), rng.random((8, 60)) < 0.6, rng.standard_normal((8, 60))
    systems = PassiveSystems(passive).factor(gram)
    for columns in (np.arange(0, 60, 7), np.arange(0, 60, 5)):  # some of them twice: the last round counts
        passive = passive.copy()
        passive[:, columns] ^= rng.random((8, len(columns))) < 0.3
        changed = PassiveSystems(passive[:, columns]).factor(gram)
        systems = systems.amended(passive, [(columns, changed)])
        is_solution(systems.solve(rhs), [gram] * 60, passive, rhs)
    systems.release()
    other = unit_gram(rng, 8)
    is_solution(systems.factor(other).solve(rhs), [other] * 60, passive, rhs)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_columns_with_matrices_of_their_own_solve_their_own_systems(rng, share):
    passive, rhs = rng.random((5, 30)) < share, rng.standard_normal((5, 30))
    systems = ColumnSystems(passive)
    for _ in range(2):
        grams = np.array([unit_gram(rng, 5) for _ in range(30)])
        is_solution(systems.factor(grams).solve(rhs), grams, passive, rhs)
        systems.release()


def test_amended_columns_keep_matrices_of_their_own(rng):
    grams, rhs = np.array([unit_gram(rng, 5) for _ in range(30)]), rng.standard_normal((5, 30))
    passive, columns = rng.random((5, 30)) < 0.5, np.arange(0, 30, 4)
    first = ColumnSystems(passive).factor(grams)
    passive = passive.copy()
    passive[:, columns] = ~passive[:, columns]
    amended = first.amended(passive, [(columns, ColumnSystems(passive[:, columns]).factor(grams[columns]))])
    is_solution(amended.solve(rhs), grams, passive, rhs)
    is_solution(amended.factor(grams[::-1]).solve(rhs), grams[::-1], passive, rhs)
