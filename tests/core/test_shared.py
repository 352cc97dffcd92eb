"""Systems that share inverses against those of every column by itself."""

import numpy as np
import pytest

from nnmf_runner.core import shared as module
from nnmf_runner.core.shared import SharedSystems, share
from nnmf_runner.core.systems import ColumnSystems, PassiveSystems
from tests.core.test_systems import is_solution, unit_gram


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 1)
    monkeypatch.setattr(module, "SHARE", 1.0)


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("density", [0.0, 0.4, 0.9, 1.0])
@pytest.mark.parametrize(("k", "n"), [(1, 7), (3, 200), (9, 60), (20, 50), (52, 6)])
def test_every_column_solves_its_own_system(monkeypatch, rng, k, n, density, step):
    monkeypatch.setattr(module, "STEP", step)
    gram, sets = unit_gram(rng, k), [rng.random((k, n)) < density for _ in range(3)]
    for systems, passive in zip(share([PassiveSystems(each) for each in sets]), sets, strict=True):
        assert isinstance(systems, SharedSystems)
        systems = systems.factor(gram)
        for _ in range(2):  # forward and backward
            rhs = rng.standard_normal((k, n))
            is_solution(systems.solve(rhs), [gram] * n, passive, rhs)


@pytest.mark.parametrize("n", [1, 30])
def test_what_is_found_for_a_part_does_not_depend_on_the_others(rng, n):
    gram, rhs = unit_gram(rng, 20), rng.standard_normal((20, n))
    sets = [rng.random((20, width)) < 0.6 for width in (n, 300)]
    alone, beside = (share([PassiveSystems(each) for each in sets[:number]])[0].factor(gram) for number in (1, 2))
    np.testing.assert_array_equal(alone.solve(rhs), beside.solve(rhs))


def test_systems_serve_for_the_next_matrix(rng):
    passive, rhs = rng.random((8, 60)) < 0.6, rng.standard_normal((8, 60))
    (systems,) = share([PassiveSystems(passive)])
    for _ in range(2):
        gram = unit_gram(rng, 8)
        is_solution(systems.factor(gram).solve(rhs), [gram] * 60, passive, rhs)
    systems.release()
    is_solution(systems.factor(gram).solve(rhs), [gram] * 60, passive, rhs)


def test_nearly_singular_matrices_are_not_inverted(rng):
    A = rng.standard_normal((30, 6))
    A[:, 1] = A[:, 0] + 1e-5 * rng.standard_normal(30)
    A /= np.linalg.norm(A, axis=0)
    (systems,) = share([PassiveSystems(rng.random((6, 40)) < 0.7)])
    assert not isinstance(systems.factor(A.T @ A), SharedSystems)


def test_few_columns_those_with_many_sets_and_those_with_matrices_of_their_own_share_nothing(monkeypatch, rng):
    passive = rng.random((12, 40)) < 0.5
    assert not isinstance(share([ColumnSystems(passive)])[0], SharedSystems)
    monkeypatch.setattr(module, "SHARE", 0.5)
    kinds = [type(each) for each in share([PassiveSystems(passive), PassiveSystems(passive[:, [0] * 40])])]
    assert kinds == [PassiveSystems, SharedSystems]
    monkeypatch.setattr(module, "FEWEST", 41)
    assert not isinstance(share([PassiveSystems(passive[:, [0] * 40])])[0], SharedSystems)
