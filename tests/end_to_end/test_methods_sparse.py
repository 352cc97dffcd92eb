"""Sparse data stay sparse, and give what the same data give when they are dense."""

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.approximation import Product
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Energy, KullbackLeibler, Multilevel, Reconstruction
from nnmf_runner.core.init import Greedy
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Deep, Hierarchical, Neural, Plan, Problem, Semi, SparseCoding, Supervision
from nnmf_runner.metrics.errors import eckart_young_floors, relative_error
from tests.fixtures.matrices import MATRIX_METHODS

M, N = 60, 50
METHODS_AND_COSTS = {
    "hier, mu": (Hierarchical("mu"), Reconstruction()),
    "hier, anls": (Hierarchical("anls"), Reconstruction()),
    "hier, hals": (Hierarchical("hals"), Reconstruction()),
    "deep": (Deep(), Reconstruction()),
    "neural": (Neural(), Reconstruction()),
    "neural, energy": (Neural(), Energy()),
    "neural, multilevel": (Neural(), Multilevel()),
    "semi": (Semi(), Reconstruction()),
    "semi, nonnegative": (Semi(nonnegative=True), Reconstruction()),
    "sparse_coding": (SparseCoding(), Reconstruction()),
}


class Watched:
    """A sparse matrix that refuses to become dense."""

    def toarray(self, *args, **kwargs):
        raise AssertionError("a matrix of the data's shape was made dense")

    todense = toarray


class WatchedCSR(Watched, sparse.csr_array):
    pass


class WatchedCSC(Watched, sparse.csc_array):
    pass


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.random((M, N)) * (rng.random((M, N)) < 0.25)


def fit(case, data, start, classes=None, layers=(6, 3)):
    method, cost = METHODS_AND_COSTS[case]
    labels = None if classes is None else Supervision().labels(classes, 3)
    # A plan's generator is used up by a fit, so each gets its own; few steps, since rounding grows with them.
    return method.fit(Problem(data, labels, cost), Plan(start, StoppingRule(tol=0.0, max_iter=5)))


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])
@pytest.mark.parametrize("case", METHODS_AND_COSTS)
def test_factors_equal_those_of_dense_data(case, labelled, X):
    classes = np.where(np.arange(N) % 2, -1, np.arange(N) % 3) if labelled else None
    start = Greedy().start(X, (6, 3), np.random.default_rng(0))
    dense = fit(case, X, start, classes)
    for kind in (WatchedCSR, WatchedCSC):
        thin = fit(case, kind(X), start, classes)
        for a, b in zip((*thin.A, *thin.S), (*dense.A, *dense.S), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max())
        method = METHODS_AND_COSTS[case][0]
        for a, b in zip(method.transform(thin, kind(X)), method.transform(dense, X), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max())


@pytest.mark.parametrize(
    ("case", "optimizer"),
    [
        (case, name)
        for case, (m, _) in METHODS_AND_COSTS.items()
        for name in (OPTIMIZERS if m.uses_optimizer else [None])
    ],
)
def test_the_form_does_not_change_a_bit(case, optimizer, X):
    method, cost = METHODS_AND_COSTS[case]
    X = np.tile(X, (3, 4))  # large enough for sums of BLAS to depend on the order
    found = []
    for form in (sparse.csr_array(X), sparse.csc_array(X)):
        start = Greedy().start(form, (6, 3), np.random.default_rng(0))
        options = {} if optimizer is None else {"optimizer": OPTIMIZERS[optimizer]()}
        fit = method.fit(Problem(form, None, cost), Plan(start, StoppingRule(tol=0.0, max_iter=3), **options))
        found.append([*start, *fit.A, *fit.S, np.array(fit.history.cost)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", [None, "squared", "cross_entropy"])
def test_every_optimizer_and_loss_of_the_neural_method_takes_sparse_data_for_the_same_data(optimizer, loss, X):
    compare(Neural(), X, loss, OPTIMIZERS[optimizer]())


@pytest.mark.parametrize("method", [Hierarchical("mu"), Deep()], ids=["hier", "deep"])
def test_the_divergence_of_labels_takes_sparse_data_for_the_same_data(method, X):
    compare(method, X, "kl", OPTIMIZERS["auto"]())


def compare(method, X, loss, optimizer):
    """A few steps on dense and sparse data from one start, with one state of what is random."""
    classes = np.where(np.arange(N) % 2, -1, np.arange(N) % 3)
    labels = Supervision(loss=loss).labels(classes, 3) if loss else None
    start, rule = Greedy().start(X, (6, 3), np.random.default_rng(0)), StoppingRule(tol=0.0, max_iter=5)
    dense, thin = (
        method.fit(Problem(data, labels), Plan(start, rule, optimizer, np.random.default_rng(1)))
        for data in (X, WatchedCSR(X))
    )
    for a, b in zip((*thin.A, *thin.S), (*dense.A, *dense.S), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max())


@pytest.mark.parametrize("layers", [(6, 3), (30, 20)], ids=["low ranks", "ranks above half of the samples"])
def test_starts_floors_and_errors_equal_those_of_dense_data(layers, X):
    thin = WatchedCSR(X)
    starts = [Greedy().start(data, layers, np.random.default_rng(0)) for data in (thin, X)]
    # A singular value near another leaves its vectors known to rounding over the gap.
    for a, b in zip(*starts, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
    np.testing.assert_allclose(eckart_young_floors(thin, layers), eckart_young_floors(X, layers), rtol=1e-9)
    S = np.random.default_rng(1).random((layers[0], N))
    product = Product(starts[1][0], S)
    assert relative_error(thin, product) == pytest.approx(relative_error(X, product), rel=1e-10)


@pytest.mark.parametrize(
    ("method", "cost"),
    [
        *((METHODS[name](), KullbackLeibler()) for name in ("hier", "deep", "neural")),
        (METHODS["unfolded"](), Reconstruction()),
        (Deep(activation="log1p"), Reconstruction()),
        (Deep(pooling="mean"), Reconstruction()),
    ],
    ids=str,
)
def test_what_needs_dense_matrices_says_so_before_it_makes_one(method, cost, X):
    with pytest.raises(InputError, match=f"X is sparse, and method={method.name} .*cost={cost.name}") as caught:
        method.check_data(WatchedCSR(X), None, cost)
    assert "\n" not in str(caught.value)
    method.check_data(X, None, cost)


@pytest.mark.parametrize(("method", "cost"), [(Hierarchical("mu"), KullbackLeibler()), (Deep(), KullbackLeibler())])
def test_codes_of_sparse_data_are_refused_where_the_loss_forms_dense_matrices(method, cost, X):
    start = Greedy().start(X, (4,), np.random.default_rng(0))
    found = method.fit(Problem(X, cost=cost), Plan(start, StoppingRule(max_iter=2)))
    with pytest.raises(InputError, match="X is sparse"):
        method.transform(found, WatchedCSR(X))


def test_every_method_and_cost_is_looked_at():
    assert {type(method) for method, _ in METHODS_AND_COSTS.values()} | {METHODS["unfolded"]} == {
        *MATRIX_METHODS.values()
    }
    assert {cost.name for _, cost in METHODS_AND_COSTS.values()} | {"kl"} == {*COSTS}


def test_penalised_factors_equal_those_of_dense_data(X):
    start = Greedy().start(X, (6, 3), np.random.default_rng(0))
    penalty = Regularisation(l1_A=0.01, l2_A=0.01, l1_S=0.01, l2_S=0.01)
    for method in (Hierarchical(), Deep(), Neural()):
        dense, thin = (
            method.fit(Problem(data, regularisation=penalty), Plan(start, StoppingRule(tol=0.0, max_iter=5)))
            for data in (X, WatchedCSR(X))
        )
        for a, b in zip((*thin.A, *thin.S), (*dense.A, *dense.S), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * max(1.0, np.abs(b).max()))
