"""Data in shards: the same numbers as of one matrix, however processes share the shards."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.costs import Energy, KullbackLeibler, Multilevel, Reconstruction
from nnmf_runner.core.init import NNDSVD, Random
from nnmf_runner.core.journal import Journal
from nnmf_runner.core.label_costs import CrossEntropyLabels, Labels, SquaredLabels
from nnmf_runner.core.linalg import squared_norm, squared_residual, tail_shares
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.network import Network, Terms
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.core.sharded import ShardedMatrix, ShardedNetwork, Sum, combined, computed_by
from nnmf_runner.methods.base import Plan, Problem
from nnmf_runner.methods.neural import Neural

RANKS = (5, 3)
ENDS = (0, 11, 12, 40, 57, 90)


@dataclass(frozen=True)
class InMemory:
    """Shards of a matrix that is there."""

    X: Any
    ends: tuple[int, ...] = ENDS
    # Not the address of X, where another matrix may stand once it is gone.
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def shape(self):
        return self.X.shape

    @property
    def norm2(self):
        return squared_norm(self.X)

    @property
    def is_sparse(self):
        return sparse.issparse(self.X)

    def part(self, i):
        part = self.X[:, self.ends[i] : self.ends[i + 1]]
        return part.tocsc() if self.is_sparse else part


@dataclass
class InGroups:
    """Computes the sums of the shards below a depth of the tree, each as one process would, the last of them first."""

    folder: Path
    depth: int = 0
    journal: Journal | None = None

    def sum(self, source, asked: Sum):
        shards = range(len(source.ends) - 1)
        spans = combined(shards, lambda span: [span], lambda some, others: some + others, self.depth)
        results = {span: asked.over(source, span) for span in reversed(spans)}
        return combined(shards, results.__getitem__, asked.add, self.depth)


@pytest.fixture(autouse=True)
def _here(tmp_path):
    with computed_by(InGroups(tmp_path)):
        yield


@pytest.fixture(params=["dense", "sparse"])
def X(request):
    rng = np.random.default_rng(0)
    X = rng.random((30, 6)) @ rng.random((6, 90)) * (rng.random((30, 90)) < 0.5)
    return X if request.param == "dense" else sparse.csr_array(X)


def start(X, seed=1):
    return Random().start(X, RANKS, np.random.default_rng(seed))


def labels(cost, classes, weight=0.3, *, learn_map):
    rng = np.random.default_rng(classes)
    known = rng.random(90) < 0.6
    known[11] = False  # the second shard has no label
    return Labels(cost, weight, np.eye(classes)[:, rng.integers(0, classes, 90)], known, learn_map)


def terms(X, cost):
    penalty = Regularisation(0.01, 0.02, 0.03, 0.04)
    return Neural().terms(Problem(X, None, cost, regularisation=penalty), start(X))


SETTINGS = {
    "reconstruction": (Reconstruction(), {}),
    "multilevel": (Multilevel([1.0, 2.0]), {}),
    "energy": (Energy(), {}),
    "fixed": (Reconstruction(), {"fixed": 0}),
    "penalties": (Reconstruction(), {"terms": True}),
    "best map": (Reconstruction(), {"labels": (SquaredLabels(), False)}),
    "learnt map": (Reconstruction(), {"labels": (CrossEntropyLabels(), True)}),
    "two best maps": (Multilevel(), {"labels": (SquaredLabels(), False), "lower": (SquaredLabels(), False)}),
    "one learnt": (Multilevel(), {"labels": (SquaredLabels(), False), "lower": (SquaredLabels(), True)}),
}


def both(X, cost, asked):
    """The network of a matrix, that of its shards, and variables."""
    options, A = {}, start(X)
    if "fixed" in asked:
        options["fixed"] = {0: A.pop(0)}
    if "terms" in asked:
        options["terms"] = terms(X, cost)
    given = labels(asked["labels"][0], 3, learn_map=asked["labels"][1]) if "labels" in asked else None
    if "lower" in asked:
        options["lower_labels"] = {0: labels(asked["lower"][0], 5, learn_map=asked["lower"][1])}
    maps = [np.random.default_rng(7).random((5, 5))] if asked.get("lower", (0, False))[1] else []
    maps += [np.random.default_rng(8).random((3, 3))] if asked.get("labels", (0, False))[1] else []
    options.setdefault("terms", Terms())
    return (
        Network(X, cost, given, **options),
        ShardedNetwork(ShardedMatrix(InMemory(X)), cost, given, **options),
        A + maps,
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_value_and_gradient_are_those_of_one_matrix(X, name):
    one, many, variables = both(X, *SETTINGS[name])
    theirs, ours = one.evaluate(variables), many.evaluate(variables)
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    assert len(ours.gradients) == len(theirs.gradients)
    for mine, other in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-12 * max(1.0, np.abs(other).max()))


def test_so_are_those_of_a_divergence():
    X = np.random.default_rng(0).random((30, 90))
    one, many, variables = both(X, KullbackLeibler(), {})
    theirs, ours = one.evaluate(variables), many.evaluate(variables)
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    np.testing.assert_allclose(ours.gradients[0], theirs.gradients[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 9])
def test_no_bit_depends_on_who_computes_which_shards(X, depth, tmp_path):
    _, network, variables = both(X, *SETTINGS["best map"])
    alone = network.evaluate(variables)
    _, network, _ = both(X, *SETTINGS["best map"])
    with computed_by(InGroups(tmp_path, depth=depth)):
        together = network.evaluate(variables)
    assert together.value == alone.value
    assert all(map(np.array_equal, together.gradients, alone.gradients))


def test_no_bit_depends_on_warm_starts():
    rng = np.random.default_rng(0)  # of so many columns that their systems are solved in stacks
    X = sparse.csr_array(rng.poisson(2.0 * rng.random((60, 20)) ** 2 @ rng.random((20, 2000)) ** 2).astype(float))
    source = InMemory(X, (0, 900, 2000))
    A, points = Random().start(X, (20, 12), rng), []
    for step in (0.3, 0.1, 0.01, 1e-3, 1e-4):  # as far as many passive sets, some and none
        A = [factor * (1.0 + step * rng.random(factor.shape)) for factor in A]
        points.append(A)
    network = ShardedNetwork(ShardedMatrix(source), Multilevel())
    warm = [network.evaluate(point) for point in points]
    cold = [ShardedNetwork(ShardedMatrix(source), Multilevel()).evaluate(point) for point in points]
    for ours, theirs in zip(warm, cold, strict=True):
        assert ours.value == theirs.value
        assert all(map(np.array_equal, ours.gradients, theirs.gradients))


def test_codes_are_those_of_one_matrix_and_stay_in_files(X):
    one, many, A = both(X, Reconstruction(), {})
    for ours, theirs in zip(many.codes(A), one.codes(A), strict=True):
        assert isinstance(ours, np.memmap)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_residuals_and_floors_are_those_of_one_matrix(X):
    sharded = ShardedMatrix(InMemory(X))
    A = start(X)
    S = ShardedNetwork(sharded, Reconstruction()).codes(A)
    assert squared_residual(sharded, A[0], S[0]) == pytest.approx(squared_residual(X, A[0], np.array(S[0])), rel=1e-12)
    np.testing.assert_allclose(tail_shares(sharded, [1, 3, 5]), tail_shares(X, [1, 3, 5]), atol=1e-12)


@pytest.mark.parametrize("fill", ["zero", "mean", "random"])
def test_nndsvd_starts_as_from_one_matrix(X, fill):
    theirs = NNDSVD(fill).start(X, RANKS, np.random.default_rng(3))
    ours = NNDSVD(fill).start(ShardedMatrix(InMemory(X)), RANKS, np.random.default_rng(3))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-8)


def test_wide_ranks_take_the_whole_triangle(X):
    theirs = NNDSVD().start(X, (20, 3), np.random.default_rng(3))
    ours = NNDSVD().start(ShardedMatrix(InMemory(X)), (20, 3), np.random.default_rng(3))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-8)


def test_a_fit_of_one_layer_and_many_columns_needs_nothing_that_shards_have_not(monkeypatch, X):
    monkeypatch.setattr("nnmf_runner.methods.neural.MANY", 1)
    fit = Neural().fit(Problem(ShardedMatrix(InMemory(X))), Plan(start(X)[:1], StoppingRule(max_iter=5)))
    assert np.diff(fit.history.cost).max() <= 0


@pytest.mark.parametrize("name", ["multilevel", "best map", "learnt map"])
def test_a_fit_ends_with_the_factors_of_one_matrix(X, name):
    cost, asked = SETTINGS[name]
    given = labels(asked["labels"][0], 3, learn_map=asked["labels"][1]) if "labels" in asked else None
    rule = StoppingRule(max_iter=25)  # rounding grows with every iteration of a problem without a sharp minimum
    theirs = Neural().fit(Problem(X, given, cost), Plan(start(X), rule))
    ours = Neural().fit(Problem(ShardedMatrix(InMemory(X)), given, cost), Plan(start(X), rule))
    assert ours.stop == theirs.stop
    for mine, other in zip(
        [*ours.A, *ours.S, *ours.maps.values()], [*theirs.A, *theirs.S, *theirs.maps.values()], strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-6 * np.abs(other).max())
