import math

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.monitor import Monitor, Stop, StoppingRule
from nnmf_runner.core.ncp import balanced, best_start, ncp, ncp_from_starts, random_start
from nnmf_runner.core.tensor import as_tensor, gram
from nnmf_runner.core.updates import AdaptiveHALS

SHAPES = [(9, 10, 11), (5, 6, 4, 7), (3, 4, 5, 3, 4)]
LETTERS = "abcde"
# Cubes of the publications' tensor of 40 x 40 x 40; later ones overwrite earlier ones.
BLOCKS = [
    (0.75, "0:20 0:20 0:20", "20:40 20:40 20:40"),
    (2.0, "0:12 0:12 0:8", "12:20 12:20 8:20", "20:27 20:34 20:27", "27:40 34:40 27:40"),
    (3.5, "0:12 0:6 0:4", "0:12 6:12 4:8", "12:17 12:20 8:13", "17:20 12:20 13:20", "20:23 20:27 20:27"),
    (3.5, "23:27 27:34 20:27"),
]


def blocks(noise, seed):
    X = np.zeros((40, 40, 40))
    for value, *cubes in BLOCKS:
        for cube in cubes:
            X[tuple(slice(*map(int, side.split(":"))) for side in cube.split())] = value
    return X + noise * np.abs(np.random.RandomState(seed).randn(40, 40, 40))


def model(factors):
    modes = LETTERS[: len(factors)]
    return np.einsum(f"{','.join(f'{mode}r' for mode in modes)}->{modes}", *factors)


def tensor_of(T, form=np.asarray):
    return as_tensor(form(T.reshape(-1, T.shape[-1])), T.shape)


def planted(shape, rank, rng, noise=0.0):
    factors = [rng.random((size, rank)) * (rng.random((size, rank)) < 0.6) for size in shape]
    return model(factors) + noise * rng.random(shape)


def monitor(tol=0.0, max_iter=60, progress=None):
    return Monitor(StoppingRule(tol, max_iter, progress))


def relative_error(T, factors):
    return np.linalg.norm(T - model(factors)) / np.linalg.norm(T)


@pytest.fixture(params=SHAPES, ids=str)
def data(request, rng):
    """A noisy tensor, and a start of rank 3."""
    T = planted(request.param, 3, rng, noise=0.05)
    return T, random_start(tensor_of(T), 3, rng)


@pytest.mark.parametrize("update", ["hals", "mu"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_costs_are_those_of_the_models_and_never_rise(update, form, data):
    T, start = data
    watched = monitor(max_iter=40)
    factors = ncp(tensor_of(T, form), start, watched, update)
    costs = watched.history.cost
    assert costs[0] == pytest.approx(relative_error(T, start) ** 2, rel=1e-9)
    assert costs[-1] == pytest.approx(relative_error(T, factors) ** 2, rel=1e-9)
    assert np.diff(costs).max() <= 1e-14
    assert costs[-1] < 0.5 * costs[0]
    assert all((F >= 0).all() for F in factors)


def test_hals_ends_where_no_factor_can_be_improved_alone(data):
    from scipy.optimize import nnls

    T, start = data
    watched = monitor(tol=1e-9, max_iter=5000)
    factors = ncp(tensor_of(T), start, watched)
    assert watched.stop is Stop.CONVERGED
    for mode, F in enumerate(factors):
        others = [G for j, G in enumerate(factors) if j != mode]
        K = model([*others, np.eye(F.shape[1])]).reshape(-1, F.shape[1])  # the Khatri-Rao product, by columns
        rows = np.moveaxis(T, mode, 0).reshape(T.shape[mode], -1)
        best = sum(nnls(K, row)[1] ** 2 for row in rows)
        assert tensor_of(T).residual(factors) <= best * (1 + 1e-6)


def test_momentum_saves_at_least_a_third_of_the_sweeps_where_components_are_alike(rng):
    T = model([1.0 + rng.random((20, 5)) for _ in range(3)])
    tensor = tensor_of(T)
    start = random_start(tensor, 5, rng)
    watched = monitor(max_iter=300)
    ncp(tensor, start, watched)
    factors, update, plain = start, AdaptiveHALS(), []
    for _ in range(300):
        plain.append(relative_error(T, factors) ** 2)
        factors = list(factors)
        for mode, product in tensor.sweep(factors):
            factors[mode] = update(factors[mode], gram(factors, mode), product)
    with_momentum, without = (np.argmax(np.array(costs) < 1e-5) for costs in (watched.history.cost, plain))
    assert 0 < with_momentum < 2 / 3 * without


def test_a_planted_model_is_found(rng):
    T = planted((12, 13, 14), 3, rng)
    factors = ncp_from_starts(tensor_of(T), 3, rng, monitor(tol=1e-8, max_iter=2000), n_starts=5)
    assert relative_error(T, factors) < 1e-5


@pytest.mark.parametrize(("noise", "seed", "published"), [(0.1, 1, 0.0963197), (0.4, 14, 0.2774292)])
def test_multiplicative_sweeps_give_the_published_errors(noise, seed, published):
    """NCPD of rank 7 of J. Vendrow, J. Haddock and D. Needell, arXiv:2011.13094.

    Its start has the absolute values of the leading left singular vectors of every unfolding.
    """
    T = blocks(noise, seed)
    unfoldings = [np.moveaxis(T, mode, 0).reshape(40, -1) for mode in range(3)]
    start = [np.abs(np.linalg.svd(Y, full_matrices=False)[0][:, :7]) for Y in unfoldings]
    factors = ncp(tensor_of(T), start, monitor(max_iter=100), "mu")
    assert relative_error(T, factors) == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize(("noise", "seed", "published"), [(0.1, 1, 0.0963197), (0.4, 14, 0.2774292)])
def test_hals_from_random_starts_passes_the_published_errors(noise, seed, published, rng):
    T = blocks(noise, seed)
    assert relative_error(T, ncp_from_starts(tensor_of(T), 7, rng, monitor(tol=1e-4), 10)) < published


@pytest.mark.parametrize("exponent", [-150, 150])
def test_the_scale_of_the_data_only_scales_the_factors(exponent, data):
    T, _ = data
    unit = 10.0 ** (exponent / T.ndim)
    tensors = [tensor_of(T), tensor_of(T * unit**T.ndim)]
    found = [ncp(tensor, random_start(tensor, 3, np.random.default_rng(1)), monitor()) for tensor in tensors]
    for F, G in zip(*found, strict=True):
        np.testing.assert_allclose(G / unit, F, rtol=1e-5, atol=1e-5 * F.max())


def test_results_depend_on_no_order_in_memory(data):
    T, start = data
    X = T.reshape(-1, T.shape[-1])
    dense = [as_tensor(form(X), T.shape) for form in (np.ascontiguousarray, np.asfortranarray)]
    entries = sparse.coo_array(X)
    shuffled = np.random.default_rng(0).permutation(entries.nnz)
    mixed = sparse.coo_array((entries.data[shuffled], [index[shuffled] for index in entries.coords]), X.shape)
    sparse_ = [as_tensor(form, T.shape) for form in (entries.tocsr(), entries.tocsc(), mixed.tocsc(), mixed.tocsr())]
    for forms in (dense, sparse_):
        found = [ncp(tensor, start, monitor(max_iter=5)) for tensor in forms]
        for other in found[1:]:
            for F, G in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(F, G)


@pytest.mark.parametrize("update", ["hals", "mu"])
def test_components_that_are_zero_in_a_mode_do_no_harm(update, data):
    T, start = data
    start[0] = start[0] * [1.0, 0.0, 1.0]
    before = [F.copy() for F in start]
    factors = ncp(tensor_of(T), start, monitor(), update)
    assert relative_error(T, factors) < relative_error(T, start)
    assert all(np.isfinite(F).all() for F in factors)
    for F, G in zip(start, before, strict=True):
        np.testing.assert_array_equal(F, G)


@pytest.mark.parametrize("rank", [1, 40])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_any_rank_can_be_fitted(rank, form, data, rng):
    T, _ = data
    tensor = tensor_of(T, form)
    watched = monitor(max_iter=20)
    factors = ncp(tensor, random_start(tensor, rank, rng), watched)
    assert [F.shape for F in factors] == [(size, rank) for size in T.shape]
    assert np.diff(watched.history.cost).max() <= 1e-14


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_data_of_zeros_have_factors_of_zeros(form, rng):
    T = np.zeros((3, 4, 5))
    factors = ncp_from_starts(tensor_of(T, form), 2, rng, monitor(), n_starts=2)
    assert np.abs(model(factors)).max() == 0.0


def test_rank_one_of_a_matrix_of_slices_is_that_of_the_singular_vectors(rng):
    slice_ = rng.random((6, 5))
    T = np.multiply.outer(slice_, np.ones(4))
    factors = ncp(tensor_of(T), random_start(tensor_of(T), 1, rng), monitor(tol=1e-9, max_iter=500))
    sigma = np.linalg.svd(slice_, compute_uv=False)
    assert relative_error(T, factors) == pytest.approx(math.sqrt(1 - sigma[0] ** 2 / np.sum(sigma**2)), rel=1e-9)


def test_best_start_is_no_worse_than_any_of_the_starts(rng):
    T = blocks(0.4, 14)[::2, ::2, ::2]
    tensor = tensor_of(T)
    best = best_start(tensor, 5, np.random.default_rng(3), StoppingRule(), n_starts=6, sweeps=10)
    same = np.random.default_rng(3)
    each = [ncp(tensor, random_start(tensor, 5, same), monitor(StoppingRule().tol, 10)) for _ in range(6)]
    errors = [relative_error(T, factors) for factors in each]
    assert relative_error(T, best) == pytest.approx(min(errors), rel=1e-12)
    assert min(errors) < 0.999 * max(errors)


def test_an_interruption_ends_the_starts_and_the_fit(data, rng):
    T, _ = data
    calls = []
    watched = monitor(progress=lambda iteration, _: calls.append(iteration) or len(calls) >= 3)
    factors = ncp_from_starts(tensor_of(T), 3, rng, watched)
    assert watched.stop is Stop.INTERRUPTED
    assert len(calls) == 4  # the third, within the first start, and one of the fit
    assert relative_error(T, factors) < 1.0


def test_balanced_factors_are_the_same_model_with_columns_of_equal_length(data):
    _, factors = data
    factors = [F * 10.0 ** (3 * i) for i, F in enumerate(factors)]
    found = balanced(factors)
    np.testing.assert_allclose(model(found), model(factors), rtol=1e-12)
    lengths = np.array([np.linalg.norm(F, axis=0) for F in found])
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape))


def test_balanced_leaves_components_that_are_zero_in_a_mode():
    factors = [np.array([[1.0, 2.0]]), np.array([[0.0, 8.0]])]
    ours = balanced(factors)
    np.testing.assert_allclose(ours, [[[1.0, 4.0]], [[0.0, 4.0]]])
