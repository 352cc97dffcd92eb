import numpy as np
import pytest
from scipy import optimize

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.costs import COSTS, Energy, KullbackLeibler, Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import History, Stop, StoppingRule
from nnmf_runner.core.optimizers import OPTIMIZERS, Adam, Automatic
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.core.updates import UPDATES
from nnmf_runner.methods import METHODS, Deep, Fit, Hierarchical, Method, Neural, Plan, Problem, Semi, Supervision
from nnmf_runner.methods.sparse_coding import SparseCoding
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


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (METHODS["semi"](), {"regularisation": Regularisation(l1_A=0.1)}, "cannot penalise factors"),
        (METHODS["sparse_coding"](), {"regularisation": Regularisation(l1_S=0.1)}, "cannot penalise factors"),
        (
            Neural(),
            {"cost": COSTS["energy"](), "regularisation": Regularisation(l1_A=0.1)},
            "cost=energy",
        ),
        (Hierarchical(), {"supervision": Supervision(levels=[0])}, "learns from labels in its last layer alone"),
    ],
)
def test_what_a_method_does_not_have_is_refused_before_what_does_not_fit(method, options, message):
    """A user who adds what is missing would be told next that it is all in vain."""
    given = {"cost": Reconstruction(), "supervision": Supervision(), "n_layers": 2} | options
    with pytest.raises(InputError, match=message):
        method.check(**given)


class Flat(Method):
    name, most_layers = "flat", 1


def test_more_layers_than_a_method_has_are_refused():
    with pytest.raises(InputError, match=r"method=flat has no hierarchy: layers has 2 ranks, expected one rank"):
        Flat().check(Reconstruction(), Supervision(), 2)
    Flat().check(Reconstruction(), Supervision(), 1)


# Every way to fit that can hold factors: the method, its cost and its optimizer.
HOLDING = [
    *((Hierarchical(solver), "reconstruction", "auto") for solver in UPDATES),
    pytest.param(Hierarchical("mu"), "kl", "auto", marks=pytest.mark.slow),  # whose codes of new data take long
    *((Neural(), cost, optimizer) for cost in Neural.costs for optimizer in OPTIMIZERS),
    (Deep(), "reconstruction", "auto"),
    pytest.param(Deep(), "kl", "auto", marks=pytest.mark.slow),
    *(pytest.param(Deep(activation="log1p"), cost, "auto", marks=pytest.mark.slow) for cost in Deep.costs),
    *((Semi(nonnegative=sign), "reconstruction", "auto") for sign in (False, True)),
    *(
        (SparseCoding(0.001, free, learn), "reconstruction", "auto")
        for free in (False, True)
        for learn in (False, True)
    ),
    (SparseCoding(0.0), "energy", "auto"),
]
SUBSETS = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]


@pytest.fixture(scope="module")
def small():
    """Noisy data of a hierarchy, (20, 30), classes of the samples, and a start with zeros and columns of any length."""
    rng = np.random.default_rng(0)
    start = [rng.random(shape) * (rng.random(shape) > 0.2) * 3.0 for shape in ((20, 6), (6, 4), (4, 3))]
    X = np.linalg.multi_dot([*start, rng.random((3, 30))]) + rng.random((20, 30))
    return X / X.max(), np.arange(30) % 2, start


def rises(history):
    """Whether the cost of any stage of a fit ends above its start."""
    stages = {}
    for layer, cost in zip(history.layer, history.cost, strict=True):
        stages.setdefault(layer, []).append(cost)
    return any(costs[-1] > costs[0] * (1.0 + 1e-9) + 1e-12 for costs in stages.values())


def id_of(value):
    return value if isinstance(value, str) else repr(value).replace("methods.", "")


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("method", "cost", "optimizer"), HOLDING, ids=id_of)
def test_fixed_factors_stay_bit_for_bit_and_the_others_are_fitted(small, method, cost, optimizer, labelled):
    X, classes, start = small
    labels = Supervision().labels(classes, 2) if labelled else None
    problem = Problem(X, labels, COSTS[cost]())
    for fixed in SUBSETS:
        plan = Plan(start, StoppingRule(max_iter=5), OPTIMIZERS[optimizer](), fixed=fixed)
        fit = method.solve(problem, plan)
        for layer, (found, given) in enumerate(zip(fit.A, start, strict=True)):
            assert (found.tobytes() == given.tobytes()) == (layer in fixed), (fixed, layer)
        assert not rises(fit.history) or optimizer in ("adam", "sgd", "gd")
        if fixed == (0, 1, 2):
            for S, codes in zip(fit.S, method.transform(fit, X), strict=True):
                np.testing.assert_array_equal(S, codes)
        assert (fit.B is None) != labelled


@pytest.mark.parametrize(
    "regularisation", [Regularisation(), Regularisation(l1_A=0.01, l2_S=0.02)], ids=["", "penalty"]
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("method", [Hierarchical("mu"), Neural(), Deep()], ids=id_of)
def test_fixed_factors_stay_beside_missing_entries_and_penalties(small, method, masked, regularisation):
    X, classes, start = small
    mask = np.arange(X.size).reshape(X.shape) % 7 > 0 if masked else None
    labels = Supervision().labels(classes, 2)
    problem = Problem(X if mask is None else X * mask, labels, Reconstruction(), mask, regularisation)
    for fixed in SUBSETS:
        fit = method.solve(problem, Plan(start, StoppingRule(max_iter=5), fixed=fixed))
        for layer, (found, given) in enumerate(zip(fit.A, start, strict=True)):
            assert (found.tobytes() == given.tobytes()) == (layer in fixed), (fixed, layer)
        assert not rises(fit.history)


@pytest.mark.parametrize("name", UPDATES)
def test_codes_of_a_fixed_layer_are_the_exact_ones_at_once(small, name):
    X, _, start = small
    fit = Hierarchical(name).fit(Problem(X), Plan(start[:1], StoppingRule(tol=1e-9), fixed=(0,)))
    expected = np.column_stack([optimize.nnls(start[0], x)[0] for x in X.T])
    np.testing.assert_allclose(fit.S[0], expected, atol=1e-9)
    assert (fit.stop, len(fit.history)) == (Stop.CONVERGED, 1)
    assert fit.history.cost[0] == pytest.approx(np.sum((X - start[0] @ expected) ** 2) / np.sum(X**2), rel=1e-9)


@pytest.mark.parametrize(
    ("method", "fixed", "options", "message"),
    [
        (
            METHODS["unfolded"](),
            [0],
            {},
            "holds the factor of layer 0, which method=unfolded with these options cannot",
        ),
        (METHODS["ncpd"](), [0], {}, "holds the factor of layer 0, which method=ncpd with these options cannot"),
        (Unregularised(), [0], {}, "holds the factor of layer 0, which method=plain with these options cannot"),
        (Deep(pooling="max"), [1], {}, "holds the factor of layer 1, which method=deep with these options cannot"),
        (Hierarchical(), [0], {"normalise": True}, "and normalise=True contradict each other"),
    ],
    ids=["unfolded", "ncpd", "plain", "pooling", "normalise"],
)
def test_what_cannot_hold_factors_says_so(method, fixed, options, message):
    asked = COSTS[method.costs[0]](), Supervision(levels="last"), method.most_layers or 2
    method.check(*asked)
    with pytest.raises(InputError, match=rf"^fixed=\[{fixed[0]}\] {message}.*Expected [^\n]*$"):
        method.check(*asked, fixed=fixed, **options)


def test_pooling_leaves_a_fixed_first_factor(small):
    X, _, start = small
    fit = Deep(pooling="max").solve(Problem(X), Plan(start, StoppingRule(max_iter=3), fixed=(0,)))
    assert fit.A[0].tobytes() == start[0].tobytes()
    assert fit.A[1].shape == (12, 4)


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].uses_optimizer])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": Adam()}, "optimizer=adam or options of it mean nothing"),
        ({"optimizer": Automatic(large=1)}, "optimizer=auto or options of it mean nothing"),
        ({"supervision": Supervision(learn_map=True)}, "learn_map=True means nothing"),
    ],
)
def test_what_only_optimizers_honour_is_refused_by_methods_without_one(name, given, message):
    method = METHODS[name]()
    asked = {"supervision": Supervision(), "optimizer": Automatic()}
    method.check(COSTS[method.costs[0]](), n_layers=1, **asked)
    with pytest.raises(InputError, match=message):
        method.check(COSTS[method.costs[0]](), n_layers=1, **asked | given)
