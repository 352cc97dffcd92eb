import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.init import NNDSVD, Greedy, nndsvd, seeded
from nnmf_runner.core.layer import solve_codes, solve_layers
from nnmf_runner.store.start import INITIALISATIONS, Saved

FRESH = [name for name in INITIALISATIONS if name != "saved"]
ALL = [*((name, {}) for name in FRESH), ("nndsvd", {"fill": "mean"}), ("nndsvd", {"fill": "random"})]


@pytest.fixture(params=ALL, ids=str)
def init(request):
    name, options = request.param
    return INITIALISATIONS[name](**options)


def relative_error(X, A):
    A = list(A)
    return np.linalg.norm(X - np.linalg.multi_dot([*A, solve_layers(A, X)[-1].S])) / np.linalg.norm(X)


@pytest.mark.parametrize("layers", [(9,), (9, 4), (9, 4, 2), (1, 1), (30,)])
def test_factors_have_their_shapes_nonnegative_entries_and_unit_columns(init, toy, rng, layers):
    factors = init.start(toy.X, layers, rng)
    assert [A.shape for A in factors] == list(zip((87, *layers), layers, strict=False))
    for A in factors:
        assert A.min() >= 0
        np.testing.assert_allclose(np.linalg.norm(A, axis=0), 1.0, rtol=1e-12)


def test_growing_ranks_are_possible(init, toy, rng):
    assert [A.shape for A in init.start(toy.X, (3, 5), rng)] == [(87, 3), (3, 5)]


def test_zero_rows_and_columns_of_the_data_leave_finite_unit_columns(init, rng):
    X = np.zeros((12, 15))
    X[3:6, 2:9] = rng.random((3, 7))  # rank 3: more topics are asked for than there are
    for A in init.start(X, (6, 3), rng):
        np.testing.assert_allclose(np.linalg.norm(A, axis=0), 1.0, rtol=1e-12)


def test_same_seed_gives_the_same_factors(init, toy):
    first, again = (init.start(toy.X, (9, 4), np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scale_of_the_data_does_not_matter(init, toy):
    plain, scaled = (init.start(X, (9, 4), np.random.default_rng(3)) for X in (toy.X, 1e6 * toy.X))
    for a, b in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("name", FRESH)
def test_sparse_equals_dense(name, rng, form):
    init = INITIALISATIONS[name]()
    X = rng.random((40, 50)) * (rng.random((40, 50)) < 0.3)
    dense, thin = (init.start(M, (4, 2), np.random.default_rng(0)) for M in (X, form(X)))
    # Two ways to singular vectors, and zeros of one that are rounding in the other.
    for a, b in zip(dense, thin, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-8)


def test_nndsvd_equals_scikit_learns(toy, rng):
    theirs = pytest.importorskip("sklearn.decomposition._nmf")._initialize_nmf(toy.X, 9, init="nndsvd")[0]
    ours = nndsvd(toy.X, 9, rng)
    # scikit-learn sets entries below 1e-6 to zero, and its decomposition is randomised.
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_nndsvd_of_rank_one_data_is_its_factor(rng):
    u, v = rng.random(20), rng.random(30)
    A = NNDSVD().start(np.outer(u, v), (1,), rng)[0]
    np.testing.assert_allclose(A[:, 0], u / np.linalg.norm(u), atol=1e-12)


@pytest.mark.parametrize("fill", ["mean", "random"])
def test_fill_leaves_no_zeros_and_keeps_the_rest_in_proportion(toy, fill):
    plain, filled = (NNDSVD(fill=f).start(toy.X, (9,), np.random.default_rng(0))[0] for f in ("zero", fill))
    assert (plain == 0).any()
    assert (filled > 0).all()
    for j in range(9):
        kept = plain[:, j] > 0
        ratio = filled[kept, j] / plain[kept, j]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_greedy_fits_better_than_what_it_starts_from_and_with_every_sweep(toy, rng):
    errors = [relative_error(toy.X, init.start(toy.X, (9,), rng)) for init in (NNDSVD(), Greedy(1), Greedy(20))]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nndsvd", {"fill": "zeros"}, r"fill=zeros is not known\. .* Did you mean 'zero'\?"),
        ("greedy", {"sweeps": 0}, r"sweeps=0"),
    ],
)
def test_bad_options_are_refused_by_name(name, options, message):
    with pytest.raises(InputError, match=message):
        INITIALISATIONS[name](**options)


@pytest.fixture
def kept(tmp_path, rng):
    """Factors of ranks 4 and 2 for 10 features, free of sign, and the start that they are saved for."""
    A = [rng.standard_normal((10, 4)), rng.random((4, 2))]
    np.savez(tmp_path / "factors.npz", A0=A[0], A1=A[1], S0=rng.random((4, 3)), B=rng.random((2, 2)))
    return A, Saved(str(tmp_path))


def test_saved_factors_come_back_as_they_were(kept, rng):
    A, init = kept
    assert all(map(np.array_equal, init.start(np.ones((10, 30)), (4, 2), rng), A))
    init.check(10, (4, 2), signed=True)


@pytest.mark.parametrize(
    ("n_features", "layers", "signed", "message"),
    [
        (9, (4, 2), True, "10 x 4, 4 x 2, expected 9 x 4, 4 x 2 for 9 features and layers=4-2"),
        (10, (4,), True, "expected 10 x 4 for"),
        (10, (4, 2, 1), True, "expected 10 x 4, 4 x 2, 2 x 1 for"),
        (10, (3, 2), True, "expected 10 x 3, 3 x 2 for"),
        (10, (4, 2), False, r"negative entries \(the lowest is -.*needs nonnegative ones"),
    ],
)
def test_saved_factors_that_do_not_fit_are_refused(kept, n_features, layers, signed, message):
    with pytest.raises(InputError, match=message) as caught:
        kept[1].check(n_features, layers, signed=signed)
    assert "\n" not in str(caught.value)


def test_a_saved_start_is_what_its_factors_are(kept, tmp_path):
    A, init = kept
    before = init.identity()
    np.savez(tmp_path / "factors.npz", A0=A[0], A1=A[1])  # codes and map do not matter
    assert init.identity() == before
    np.savez(tmp_path / "factors.npz", A0=A[0], A1=np.nextafter(A[1], 1.0))
    assert init.identity() != before
    assert NNDSVD("mean").identity() == {"fill": "mean"}


def test_nndsvd_gives_every_topic_a_way_up():
    X = np.kron(np.diag([5.0, 2.0, 1.0]), np.ones((4, 6)))  # one singular vector of the codes sees one block alone
    A = NNDSVD().start(X, (3, 1), np.random.default_rng(0))
    assert A[1].any(axis=1).all()
    assert not _direct(X, A[0]).any(axis=1).all()


def _direct(X, A):
    """What the singular vectors give for the codes of the first layer."""
    return nndsvd(solve_codes(A, X), 1, np.random.default_rng(0))


def test_seeds_come_first_and_have_more_of_their_features(rng):
    A, link, last = rng.random((7, 4)), rng.random((4, 3)), rng.random((3, 2))
    A[[5, 6], 2] = 9.0  # the topic that has most of the first seed's features
    seeds = [np.array([5, 6]), np.array([0])]
    found = seeded([A, link, last], seeds)
    order = [int(np.argmin(np.abs(link - row).sum(axis=1))) for row in found[1]]  # by the rows that moved with topics
    assert order[0] == 2
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_array_equal(found[2], last)
    np.testing.assert_array_equal(found[0][:, 2:], A[:, order[2:]])
    unit = A / np.linalg.norm(A, axis=0)
    for j, features in enumerate(seeds):
        share = unit[:, order[j]].copy()
        share[features] += 1.0 / np.sqrt(len(features))
        np.testing.assert_allclose(found[0][:, j] / np.linalg.norm(found[0][:, j]), share / np.linalg.norm(share))
        assert np.linalg.norm(found[0][:, j]) == pytest.approx(np.linalg.norm(A[:, order[j]]))


def test_seeds_of_all_topics_and_of_a_single_layer(rng):
    A = rng.random((4, 2))
    (found,) = seeded([A], [np.array([3]), np.array([0])])
    assert found.shape == A.shape
    assert found.argmax(axis=0).tolist() == [3, 0]


def test_a_start_by_singular_vectors_is_the_same_for_all_seeds(rng):
    for X in (sparse.random_array((90, 120), density=0.2, rng=rng, format="csr"), rng.random((520, 510))):
        starts = [NNDSVD().start(X, (5, 2), np.random.default_rng(seed)) for seed in (0, 1)]
        for one, other in zip(*starts, strict=True):
            np.testing.assert_array_equal(one, other)
