import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import Energy, KullbackLeibler, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import METHODS, Deep, Fit, Hierarchical, Method, Neural, Plan, Problem, Supervision
from tests.fixtures.matrices import MATRIX_METHODS

LAYERS = (9, 4, 2)


@pytest.fixture(params=MATRIX_METHODS)
def method(request):
    return METHODS[request.param]()


@pytest.fixture
def layers(method):
    """As many ranks as the method can have."""
    return LAYERS[: method.most_layers]


@pytest.fixture
def plan(toy, layers):
    return Plan(Random().start(toy.X, layers, np.random.default_rng(0)), StoppingRule(0.0, max_iter=20))


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
        np.testing.assert_allclose(method.approximation(fit, S, level).dense(), product, atol=1e-12)


def test_topics_are_the_products_of_the_factors(method, rng):
    A = [rng.random(shape) for shape in ((7, 4), (4, 3), (3, 2))]
    fit = Fit(A, [rng.random((k, 5)) for k in (4, 3, 2)], None, History(), Stop.CONVERGED)
    for level, product in list(enumerate((A[0], A[0] @ A[1], A[0] @ A[1] @ A[2])))[: method.most_layers]:
        np.testing.assert_allclose(method.topics(fit, level), product, atol=1e-12)


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


@pytest.mark.parametrize("name", ["hier", "deep"])
@pytest.mark.parametrize(
    ("cost", "supervision", "message"),
    [
        (Energy(), Supervision(), r"has no cost=energy\. Expected reconstruction or kl\."),
        (Reconstruction(), Supervision("cross_entropy"), r"has no label_loss=cross_entropy\. .* squared or kl\."),
    ],
)
def test_unsupported_costs_are_refused(name, cost, supervision, message):
    with pytest.raises(InputError, match=f"method={name} {message}"):
        METHODS[name]().check(cost, supervision, 2)


@pytest.mark.parametrize("cost", [Reconstruction(), Energy()])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_neural_supports_every_cost(cost, loss):
    METHODS["neural"]().check(cost, Supervision(loss), 2)


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


class Unregularised(Method):
    name = "plain"


PENALTY = Regularisation(l1_A=0.1, l2_S=0.1)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (Unregularised(), {"regularisation": PENALTY}, "method=plain with these options cannot penalise factors"),
        (
            Deep(activation="log1p"),
            {"normalise": True},
            "depends on the scale of its factors. Expected normalise=False",
        ),
        (Deep(pooling="max"), {"normalise": True}, "depends on the scale of its factors"),
        (Hierarchical("hals"), {"cost": KullbackLeibler()}, "cost=kl needs solver=mu"),
        (Hierarchical("anls"), {"supervision": Supervision("kl")}, "label_loss=kl needs solver=mu"),
        (Neural(), {"supervision": Supervision("kl")}, "method=neural has no label_loss=kl"),
        (Deep(), {"supervision": Supervision("cross_entropy")}, "method=deep has no label_loss=cross_entropy"),
    ],
)
def test_what_a_method_does_not_have_is_refused(method, options, message):
    given = {"cost": Reconstruction(), "supervision": Supervision(), "n_layers": 2} | options
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        method.check(**given)
    Unregularised().check(Reconstruction(), Supervision(), 2, Regularisation())


class Flat(Method):
    name, most_layers = "flat", 1


def test_more_layers_than_a_method_has_are_refused():
    with pytest.raises(InputError, match=r"method=flat has no hierarchy: layers has 2 ranks, expected one rank"):
        Flat().check(Reconstruction(), Supervision(), 2)
    Flat().check(Reconstruction(), Supervision(), 1)
