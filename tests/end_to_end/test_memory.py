"""A fit on sparse data takes about twice the memory of the data and the factors, whichever way it is asked for."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import nnmf_runner
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.methods import METHODS, Plan, Problem

M, N, LAYERS = 3000, 12_000, (8, 4)
MOST = 2.2  # times the data and the factors; one more copy of the data takes it above
CASES = [("neural", "spg"), ("neural", "sgd"), ("semi", None), ("hier", None), ("deep", None)]


def share_of_peak(bytes_held, fit):
    """Peak memory of a fit with what it is given, over that of the data and the factors."""
    tracemalloc.start()
    try:
        A, S = fit()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return (bytes_held + peak) / (bytes_held + sum(array.nbytes for array in (*A, *S)))


def size(X):
    return X.data.nbytes + X.indices.nbytes + X.indptr.nbytes


@pytest.fixture(scope="module", params=["csr", "csc"])
def X(request):
    return sparse.random_array((M, N), density=0.03, rng=np.random.default_rng(0), format=request.param)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "optimizer"), CASES)
def test_a_run_takes_little_more_than_twice_the_data_and_the_factors(X, method, optimizer):
    start = Random().start(X, LAYERS, np.random.default_rng(0))
    options = {} if optimizer is None else {"optimizer": OPTIMIZERS[optimizer]()}
    plan = Plan(start, StoppingRule(tol=0.0, max_iter=2), **options)

    def fit():
        found = METHODS[method]().fit(Problem(X), plan)
        return found.A, found.S

    assert share_of_peak(size(X), fit) < MOST


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nnmf_runner.ConvergenceWarning")
@pytest.mark.parametrize(("method", "optimizer"), CASES)
def test_an_estimator_takes_little_more_than_twice_the_data_and_the_factors(X, method, optimizer):
    options = {} if optimizer is None else {"optimizer": optimizer}
    kind = getattr(nnmf_runner, METHODS[method].estimator)
    model = kind(layers=LAYERS, init="random", tol=0.0, max_iter=2, random_state=0, **options)
    samples = X.T  # which shares the arrays

    def fit():
        model.fit(samples)
        return model.factors_, model.codes_

    assert share_of_peak(size(samples), fit) < MOST
