import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Energy, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import Stop, StoppingRule
from nnmf_runner.methods import METHODS, Plan, Problem, Supervision, check_layers

LAYERS = (9, 4, 2)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]()


@pytest.fixture
def plan(toy):
    return Plan(Random().start(toy.X, LAYERS, np.random.default_rng(0)), StoppingRule(max_iter=20))


def test_methods_are_registered_under_their_names():
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}


def test_fit_is_nonnegative_and_of_the_right_shapes(method, toy, plan):
    fit = method.fit(Problem(toy.X), plan)
    assert [A.shape for A in fit.A] == [(87, 9), (9, 4), (4, 2)]
    assert [S.shape for S in fit.S] == [(9, 90), (4, 90), (2, 90)]
    assert min(M.min() for M in (*fit.A, *fit.S)) >= 0
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
    for level, product in enumerate((A[0] @ S[0], A[0] @ A[1] @ S[1], A[0] @ A[1] @ A[2] @ S[2])):
        np.testing.assert_allclose(A[0] @ method.decode(A, S, level), product, atol=1e-12)


def test_topics_are_the_products_of_the_factors(method, rng):
    A = [rng.random(shape) for shape in ((7, 4), (4, 3), (3, 2))]
    for level, product in enumerate((A[0], A[0] @ A[1], A[0] @ A[1] @ A[2])):
        np.testing.assert_allclose(method.topics(A, level), product, atol=1e-12)


def test_codes_of_new_samples_have_their_shapes_and_do_not_depend_on_each_other(method, toy, plan):
    fit = method.fit(Problem(toy.X), plan)
    codes, some = method.transform(fit, toy.X), method.transform(fit, toy.X[:, 5:8])
    assert [S.shape for S in codes] == [(9, 90), (4, 90), (2, 90)]
    for whole, part in zip(codes, some, strict=True):
        np.testing.assert_allclose(part, whole[:, 5:8], atol=1e-9)


def test_labels_give_a_map_and_unknown_ones_alone_give_none(method, toy, plan):
    classes = np.where(np.arange(90) % 2, toy.classes[2], -1)
    fit = method.fit(Problem(toy.X, Supervision().labels(classes, 2)), plan)
    assert fit.B.shape == (2, 2)
    assert Supervision().labels(np.full(90, -1), 2) is None


def test_progress_interrupts(method, toy, plan):
    rule = StoppingRule(progress=lambda i, cost: i == 3)
    fit = method.fit(Problem(toy.X), Plan(plan.start, rule))
    assert fit.stop is Stop.INTERRUPTED
    assert max(fit.history.iteration) == 3


@pytest.mark.parametrize("value", [np.nan, 1e200])
def test_start_without_a_finite_cost_ends_as_diverged(method, toy, value):
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
        ({"loss": "square"}, r"supervision\.loss=square is not known\. .* Did you mean 'squared'\?"),
        ({"weight": -1.0}, r"supervision\.weight=-1\.0 is not valid"),
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
        (Reconstruction(), Supervision("cross_entropy"), r"has no supervision\.loss=cross_entropy\. .* squared, kl\."),
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
        ([9, 12], r"layers\[1\]=12 exceeds layers\[0\]=9: ranks must not grow \(set allow_growing_ranks=true"),
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
