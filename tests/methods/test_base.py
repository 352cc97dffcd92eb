import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Energy, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import SMALL_ERROR, History, Stop, StoppingRule
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Fit, Plan, Problem, Supervision, check_layers, label_units
from nnmf_runner.methods.base import normalised

LAYERS = (9, 4, 2)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]()


@pytest.fixture
def layers(method):
    """As many ranks as the method can have."""
    return LAYERS[: method.most_layers]


@pytest.fixture
def plan(toy, layers):
    return Plan(Random().start(toy.X, layers, np.random.default_rng(0)), StoppingRule(0.0, max_iter=20))


def test_methods_are_registered_under_their_names():
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}


def test_fit_has_the_signs_and_shapes_it_promises(method, toy, plan, layers):
    fit = method.fit(Problem(toy.X), plan)
    assert [A.shape for A in fit.A] == [(87, 9), (9, 4), (4, 2)][: len(layers)]
    assert [S.shape for S in fit.S] == [(9, 90), (4, 90), (2, 90)][: len(layers)]
    assert min(S.min() for S in fit.S) >= 0
    assert method.sign_free or min(A.min() for A in fit.A) >= 0
    assert fit.B is None
    assert fit.stop is Stop.MAX_ITER
    assert len({len(column) for column in fit.history.columns().values()}) == 1


def test_fit_is_determined_by_its_plan_and_leaves_the_start_alone(method, toy, plan):
    before = [A.copy() for A in plan.start]
    first, again = (method.fit(Problem(toy.X), plan) for _ in range(2))
    for a, b in zip((*first.A, *first.S), (*again.A, *again.S), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(plan.start, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_reconstruction_is_the_product_of_the_factors(method, toy, plan):
    fit = method.fit(Problem(toy.X), plan)
    A, S = fit.A, fit.S
    for level in range(len(S)):
        product = np.linalg.multi_dot([*A[: level + 1], S[level]])
        np.testing.assert_allclose(A[0] @ method.decode(A, S, level), product, atol=1e-12)


def test_topics_are_the_products_of_the_factors(method, rng):
    A = [rng.random(shape) for shape in ((7, 4), (4, 3), (3, 2))]
    for level, product in list(enumerate((A[0], A[0] @ A[1], A[0] @ A[1] @ A[2])))[: method.most_layers]:
        np.testing.assert_allclose(method.topics(A, level), product, atol=1e-12)


def test_codes_of_new_samples_have_their_shapes_and_do_not_depend_on_each_other(method, toy, plan, layers):
    fit = method.fit(Problem(toy.X), plan)
    codes, some = method.transform(fit, toy.X), method.transform(fit, toy.X[:, 5:8])
    assert [S.shape for S in codes] == [(9, 90), (4, 90), (2, 90)][: len(layers)]
    for whole, part in zip(codes, some, strict=True):
        np.testing.assert_allclose(part, whole[:, 5:8], atol=1e-9)


def test_labels_give_a_map_and_unknown_ones_alone_give_none(method, toy, plan, layers):
    classes = np.where(np.arange(90) % 2, toy.classes[2], -1)
    fit = method.fit(Problem(toy.X, Supervision().labels(classes, 2)), plan)
    assert fit.B.shape == (2, layers[-1])
    assert Supervision().labels(np.full(90, -1), 2) is None


def test_progress_interrupts(method, toy, plan):
    rule = StoppingRule(progress=lambda i, cost: i == 3)
    fit = method.fit(Problem(toy.X), Plan(plan.start, rule))
    assert fit.stop is Stop.INTERRUPTED
    assert max(fit.history.iteration) == 3


@pytest.mark.parametrize("value", [np.nan, 1e200])
def test_start_without_a_finite_cost_ends_as_diverged(method, toy, value):
    if method.name in ("unfolded", "sparse_coding") and np.isfinite(value):
        pytest.skip("the scale of its start does not matter, so this one has a finite cost")
    with np.errstate(all="ignore"):  # outside of the optimizers overflow is announced by numpy's warnings
        fit = method.fit(Problem(toy.X), Plan([np.full((87, 4), value)]))
    assert fit.stop is Stop.DIVERGED


def test_labels_are_one_hot_in_known_columns():
    labels = Supervision(weight=0.5).labels(np.array([1, -1, 0, 2]), 3)
    np.testing.assert_array_equal(labels.known, [True, False, True, True])
    np.testing.assert_array_equal(labels.Y[:, labels.known], np.eye(3)[:, [1, 0, 2]])
    assert labels.weight == 0.5


@pytest.mark.parametrize(
    ("loss", "learn_map", "learns"),
    [("squared", False, False), ("squared", True, True), ("cross_entropy", False, True), ("cross_entropy", True, True)],
)
def test_cross_entropy_always_learns_its_map(loss, learn_map, learns):
    assert Supervision(loss, 1.0, learn_map).labels(np.array([0, 1]), 2).learn_map == learns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "square"}, r"label_loss=square is not known\. .* Did you mean 'squared'\?"),
        ({"weight": -1.0}, r"label_weight=-1\.0 is not valid"),
    ],
)
def test_bad_supervision_is_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Supervision(**options)


@pytest.mark.parametrize("name", ["hier", "deep"])
@pytest.mark.parametrize(
    ("cost", "supervision", "message"),
    [
        (Energy(), Supervision(), r"has no cost=energy\. Expected one of: reconstruction, kl\."),
        (Reconstruction(), Supervision("cross_entropy"), r"has no label_loss=cross_entropy\. .* squared, kl\."),
    ],
)
def test_unsupported_costs_are_refused(name, cost, supervision, message):
    with pytest.raises(InputError, match=f"method={name} {message}"):
        METHODS[name]().check(cost, supervision, 2)


@pytest.mark.parametrize("cost", [Reconstruction(), Energy()])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_neural_supports_every_cost(cost, loss):
    METHODS["neural"]().check(cost, Supervision(loss), 2)


@pytest.mark.parametrize(
    "layers", [[9, 4, 2], (9, 4, 2), "9-4-2", "9,4,2", "[9, 4, 2]", np.array([9, 4, 2]), [np.int64(9), 4, 2]]
)
def test_ranks_are_read_in_every_form(layers):
    found = check_layers(layers, (87, 90))
    assert found == (9, 4, 2)
    assert all(type(rank) is int for rank in found)


@pytest.mark.parametrize("layers", [9, "9", [9], np.int64(9)])
def test_one_rank_is_one_layer(layers):
    assert check_layers(layers) == (9,)


def test_growing_ranks_pass_by_request():
    assert check_layers([4, 9], (87, 90), allow_growing=True) == (4, 9)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"layers=\[\] is empty\. Expected at least one rank"),
        ([9, 12], r"layers\[1\]=12 exceeds layers\[0\]=9: ranks must not grow \(set allow_growing_ranks=True"),
        ([88], r"layers\[0\]=88 exceeds 87, the smaller side of the data \(n_features=87, n_samples=90\)"),
        ([0], r"layers\[0\]=0 is not valid\. Expected a positive integer"),
        ([9, -4], r"layers\[1\]=-4 is not valid"),
        ([9.0], r"layers\[0\]=9\.0 is not valid"),
        ([True], r"layers\[0\]=True is not valid"),
        (True, r"layers\[0\]=True is not valid"),
        (None, r"layers\[0\]=None is not valid"),
        ("9-x", r"layers\[1\]=x is not valid"),
        ("", r"layers\[0\]= is not valid"),
        ("9-²", r"layers\[1\]=² is not valid"),
    ],
)
def test_bad_ranks_are_refused_by_place(layers, message):
    with pytest.raises(InputError, match=message):
        check_layers(layers, (87, 90))


BOTH = Regularisation(l1_A=0.02, l2_A=0.01, l1_S=0.03, l2_S=0.02)
RESCALED = [
    pytest.param(METHODS["hier"]("mu"), "reconstruction", id="mu"),
    pytest.param(METHODS["hier"]("mu"), "kl", id="mu-kl"),
    pytest.param(METHODS["hier"]("hals"), "reconstruction", id="hals"),
    pytest.param(METHODS["deep"](), "reconstruction", id="deep"),
    pytest.param(METHODS["deep"](), "kl", id="deep-kl"),
    pytest.param(METHODS["neural"](), "reconstruction", id="neural"),
    pytest.param(METHODS["neural"](), "kl", id="neural-kl"),
]


def fitted(method, cost, regularisation, X, layers, max_iter=100):
    labels = Supervision(weight=0.1).labels(np.arange(X.shape[1]) % 3 - 1, 2)
    start = Random().start(X, layers, np.random.default_rng(0))
    rule = StoppingRule(max_iter=max_iter)
    return method.fit(Problem(X, labels, COSTS[cost](), None, regularisation), Plan(start, rule))


@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize("layers", [(4,), (4, 3), (5, 4, 3)])
@pytest.mark.parametrize(("fitter", "cost"), RESCALED)
def test_normalised_factorisation_is_the_same_with_unit_columns(fitter, cost, regularisation, layers, rng):
    X = rng.random((12, 15))
    fit = fitted(fitter, cost, regularisation, X, layers, 10)
    new = normalised(fit)
    for A in new.A:
        lengths = np.linalg.norm(A, axis=0)
        np.testing.assert_allclose(lengths[lengths > 0], 1.0, rtol=1e-12)
    for level in range(len(layers)):
        ours, theirs = (f.A[0] @ fitter.decode(f.A, f.S, level) for f in (new, fit))
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(
            new.A[level] @ new.S[level] if level == 0 else np.linalg.multi_dot([*new.A[: level + 1], new.S[level]]),
            np.linalg.multi_dot([*fit.A[: level + 1], fit.S[level]]), rtol=1e-10, atol=1e-14,
        )  # fmt: skip
    np.testing.assert_allclose(new.B @ new.S[-1], fit.B @ fit.S[-1], rtol=1e-10, atol=1e-14)
    assert new.history is fit.history


@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize("layers", [(4,), (4, 3)])
@pytest.mark.parametrize(("fitter", "cost"), RESCALED)
def test_new_data_are_encoded_alike_after_normalisation(fitter, cost, regularisation, layers, rng):
    X, new_X = rng.random((12, 15)), rng.random((12, 7))
    fit = fitted(fitter, cost, regularisation, X, layers)
    new = normalised(fit)
    codes, before = fitter.transform(new, new_X), fitter.transform(fit, new_X)
    # What codes are scaled by: the lengths that the columns of their factor lost, level by level.
    gained = np.ones(12)
    for factor, ours, theirs in zip(fit.A, codes, before, strict=True):
        gained = np.linalg.norm(factor * gained[:, None], axis=0)
        scaled = theirs * gained[:, None]
        # Multiplicative updates end at a tolerance, from a start that does not scale along.
        loose = cost == "kl" and fitter.name != "neural"
        np.testing.assert_allclose(ours, scaled, atol=(3e-2 if loose else 1e-7) * scaled.max())


def test_normalisation_leaves_columns_of_zeros(rng):
    A, S = [rng.random((6, 3)), rng.random((3, 2))], [rng.random((3, 5)), rng.random((2, 5))]
    A[0][:, 1], A[1][:, 0] = 0.0, 0.0
    new = normalised(Fit(A, S, None, History(), Stop.CONVERGED))
    assert all(np.isfinite(M).all() for M in (*new.A, *new.S))
    np.testing.assert_allclose(new.A[0] @ new.A[1] @ new.S[1], A[0] @ A[1] @ S[1])
    assert new.B is None


def test_normalisation_changes_nothing_of_what_it_is_given(rng):
    X = rng.random((12, 15))
    fit = fitted(METHODS["hier"]("mu"), "kl", BOTH, X, (4, 3), 5)
    before = [M.copy() for M in (*fit.A, *fit.S, fit.B, *fit.parameters.values())]
    normalised(fit)
    for a, b in zip((*fit.A, *fit.S, fit.B, *fit.parameters.values()), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cost", ["reconstruction", "kl"])
@pytest.mark.parametrize("regularisation", [Regularisation(), BOTH], ids=["plain", "penalised"])
@pytest.mark.parametrize(
    "fitter", [METHODS["hier"]("mu"), METHODS["deep"](), METHODS["deep"](activation="log1p"), METHODS["neural"]()]
)
def test_samples_of_zeros_have_codes_of_zero(fitter, cost, regularisation, rng):
    X = rng.random((12, 15))
    fit = fitted(fitter, cost, regularisation, X, (4, 3), 5)
    for new_X in (np.zeros((12, 3)), np.hstack([np.zeros((12, 1)), X[:, :2]])):
        for S in fitter.transform(fit, new_X):
            np.testing.assert_allclose(S[:, 0], 0.0, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_label_unit_is_the_share_of_the_data_that_no_product_of_the_rank_has(scale, toy):
    sigma = np.linalg.svd(toy.X, compute_uv=False)
    assert label_units(scale * toy.X, [4])[0] == pytest.approx((sigma[4:] ** 2).sum() / (sigma**2).sum(), rel=1e-10)
    ours, theirs = label_units(sparse.csc_array(scale * toy.X), [4, 2]), label_units(toy.X, [4, 2])
    assert ours == pytest.approx(theirs, rel=1e-8)


def test_label_unit_of_data_without_noise_is_that_of_a_small_error(rng):
    exact = rng.random((20, 3)) @ rng.random((3, 15))
    assert label_units(exact, [3, 30]) == [SMALL_ERROR**2] * 2  # ranks may exceed the shape


def test_labels_weigh_in_the_unit_that_is_given():
    classes = np.array([0, 1, -1, 1])
    plain, weighed = Supervision(weight=0.5).labels(classes, 2), Supervision(weight=0.5).labels(classes, 2, 0.04)
    assert weighed.scale == pytest.approx(0.04 * plain.scale) == pytest.approx(0.02 / 3)


@pytest.mark.parametrize("method", ["hier", "deep", "semi"])
def test_label_map_is_of_codes_as_new_data_get_them(method, toy, rng):
    classes = rng.integers(0, 3, 90)  # which the data do not tell: only bent codes could
    known = np.arange(90) % 3 > 0
    labels = Supervision(weight=10.0).labels(np.where(known, classes, -1), 3)
    start = Random().start(toy.X, (9, 4), np.random.default_rng(0))
    problem, plan = Problem(toy.X, labels), Plan(start, StoppingRule(max_iter=30))
    fit = METHODS[method]().solve(problem, plan)
    codes = METHODS[method]().transform(fit, toy.X)[-1][:, known]
    best = np.eye(3)[:, classes[known]] @ np.linalg.pinv(codes)
    np.testing.assert_allclose(fit.B @ codes, best @ codes, atol=1e-6)
