import sys
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.special import kl_div, log_softmax

from nnmf_runner.core.costs import Energy, KullbackLeibler, Multilevel, Reconstruction
from nnmf_runner.core.init import NNDSVD, Greedy
from nnmf_runner.core.label_costs import CrossEntropyLabels, Labels, SquaredLabels
from nnmf_runner.core.layer import Shrinkage
from nnmf_runner.core.linalg import parts
from nnmf_runner.core.monitor import Monitor, StoppingRule
from nnmf_runner.core.network import Network, Terms
from nnmf_runner.core.optimizers import LBFGS, SpectralProjectedGradient
from nnmf_runner.core.regularisation import Penalty
from nnmf_runner.core.threads import threaded
from nnmf_runner.datasets.generated.toy import Toy

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear forks")
M, N, CLASSES = 9, 12, 3
RANKS = (5, 4, 3)
WEIGHT = 0.7
LAYER_WEIGHTS = [0.5, 2.0, 1.5]

COSTS = {"reconstruction": Reconstruction, "energy": Energy, "multilevel": Multilevel}
ALL_COSTS = {**COSTS, "kl": KullbackLeibler}
LABELS = ["none", "squared", "squared_learnt", "cross_entropy"]
ALL_CASES = [(cost, labels, depth) for cost in COSTS for labels in LABELS for depth in (1, 2, 3)]


class Case:
    """One problem with its network, its variables and its plain cost."""

    def __init__(self, cost, labels, depth, seed=0):
        rng = np.random.default_rng(seed)
        self.X = rng.random((M, N)) * (rng.random((M, N)) > 0.3)
        self.cost, self.labels, self.depth = cost, labels, depth
        self.variables = [rng.random(shape) for shape in zip((M, *RANKS), RANKS[:depth], strict=False)]
        self.known = np.arange(N) % 4 != 1
        self.Y = np.eye(CLASSES)[:, rng.integers(0, CLASSES, N)]
        self.Y[:, ~self.known] = np.nan  # must never be looked at
        self.learns = labels in ("squared_learnt", "cross_entropy")
        # Where the cost is of all levels, labels of other classes, of which others are known, supervise lower layers.
        self.known_below = [np.arange(N) % 3 != layer for layer in range(depth - 1 if cost == "multilevel" else 0)]
        self.Y_below = [np.eye(CLASSES + 1)[:, rng.integers(0, CLASSES + 1, N)] for _ in self.known_below]
        if self.learns:
            shapes = [(CLASSES + 1, RANKS[layer]) for layer in range(len(self.known_below))]
            self.variables += [rng.standard_normal(shape) for shape in [*shapes, (CLASSES, RANKS[depth - 1])]]

    def network(self, X=None, **options):
        cost = ALL_COSTS[self.cost]
        cost = cost(LAYER_WEIGHTS[: self.depth]) if self.cost in ("energy", "multilevel") else cost()
        labels, below = None, {}
        if self.labels != "none":
            kind = CrossEntropyLabels() if self.labels == "cross_entropy" else SquaredLabels()
            labels = Labels(kind, WEIGHT, self.Y, self.known, self.learns)
            for layer, (Y, known) in enumerate(zip(self.Y_below, self.known_below, strict=True)):
                below[layer] = Labels(kind, WEIGHT / (layer + 2), Y, known, self.learns)
        return Network(self.X if X is None else X, cost, labels, lower_labels=below, **options)

    def plain_cost(self, variables):
        """The definition, with scipy's solver for every column of every layer."""
        A = variables[: self.depth]
        if self.cost == "energy":
            A = [factor / np.linalg.norm(factor, axis=0) for factor in A]
        S = [self.X]
        for factor in A:
            S.append(np.column_stack([optimize.nnls(factor, column)[0] for column in S[-1].T]))
        return self.plain_data_cost(A, S) / np.sum(self.X**2) + self.plain_label_cost(S, variables)

    def plain_data_cost(self, A, S, W=1.0):
        """Squared residuals over the known entries; ``S[l + 1]`` are the codes of layer l, ``S[0]`` the data."""
        products = [W * (self.X - np.linalg.multi_dot([*A[: i + 1], S[i + 1]])) for i in range(self.depth)]
        if self.cost == "reconstruction":
            return np.sum(products[-1] ** 2)
        above = [products[0], *(S[i] - A[i] @ S[i + 1] for i in range(1, self.depth))]
        terms = products if self.cost == "multilevel" else above
        return sum(w * np.sum(term**2) for w, term in zip(LAYER_WEIGHTS, terms, strict=False))

    def plain_label_cost(self, S, variables):
        if self.labels == "none":
            return 0.0
        value, given = 0.0, [*zip(self.Y_below, self.known_below, strict=True), (self.Y, self.known)]
        for i, (Y, known) in enumerate(given):
            layer, weight = (self.depth - 1, WEIGHT) if i == len(given) - 1 else (i, WEIGHT / (i + 2))
            Y, codes = Y[:, known], S[layer + 1][:, known]
            B = variables[len(variables) - len(given) + i] if self.learns else Y @ np.linalg.pinv(codes)
            loss = np.sum((Y - B @ codes) ** 2)
            if self.labels == "cross_entropy":
                loss = -np.sum(Y * log_softmax(B @ codes, axis=0)) / np.log(len(Y))
            value += weight * loss / Y.shape[1]
        return value

    def difference(self, i, h=1e-6):
        """Central differences of the plain cost in every entry of variable i."""
        gradient = np.empty_like(self.variables[i])
        for index in np.ndindex(gradient.shape):
            ends = []
            for t in (h, -h):
                moved = [variable.copy() for variable in self.variables]
                moved[i][index] += t
                ends.append(self.plain_cost(moved))
            gradient[index] = (ends[0] - ends[1]) / (2 * h)
        return gradient


@pytest.fixture(params=ALL_CASES, ids=lambda case: "-".join(map(str, case)))
def case(request):
    return Case(*request.param)


def test_value_equals_the_plain_cost(case):
    network = case.network()
    result = network.evaluate(case.variables)
    assert (network.codes(case.variables[: case.depth])[0] == 0).any()  # the nonnegativity matters
    assert result.value == pytest.approx(case.plain_cost(case.variables), rel=1e-9)


def test_gradient_equals_differences_of_the_plain_cost(case):
    gradients = case.network().evaluate(case.variables).gradients
    assert len(gradients) == len(case.variables)
    for i, gradient in enumerate(gradients):
        expected = case.difference(i)
        np.testing.assert_allclose(gradient, expected, atol=1e-6 * np.abs(expected).max())


def test_blocks_add_up_to_the_whole(case, rng):
    network = case.network()
    whole = network.evaluate(case.variables)
    parts = [network.evaluate(case.variables, block) for block in network.blocks(5, rng)]
    assert len(parts) == 3
    assert sum(part.value for part in parts) == pytest.approx(whole.value, rel=1e-12)
    for i, gradient in enumerate(whole.gradients):
        total = sum(part.gradients[i] for part in parts)
        np.testing.assert_allclose(total, gradient, atol=1e-12 * max(1.0, np.abs(gradient).max()))


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_equals_dense(case, form):
    dense, thin = case.network(), case.network(form(case.X))
    blocks = [network.blocks(5, np.random.default_rng(0))[0] for network in (dense, thin)]
    for which in ((None, None), blocks):
        theirs, ours = (net.evaluate(case.variables, b) for net, b in zip((dense, thin), which, strict=True))
        assert ours.value == pytest.approx(theirs.value, rel=1e-10)
        for a, b in zip(ours.gradients, theirs.gradients, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10 * max(1.0, np.abs(b).max()))


def test_earlier_evaluations_leave_no_trace(case):
    fresh, used = case.network(), case.network()
    used.evaluate([variable[..., ::-1] + 0.5 for variable in case.variables])
    theirs, ours = fresh.evaluate(case.variables), used.evaluate(case.variables)
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 * max(1.0, np.abs(b).max()))


def test_evaluation_does_not_change_the_variables(case):
    before = [variable.copy() for variable in case.variables]
    case.network().evaluate(case.variables)
    for a, b in zip(case.variables, before, strict=True):
        np.testing.assert_array_equal(a, b)


def work_in_parts(network):
    """Let the whole be evaluated five columns at a time."""
    network.everything = replace(network.everything, parts=[network._part(part, part) for part in parts(N, 5)])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_whole_does_not_depend_on_the_parts_that_it_is_taken_in(case, form):
    one, many = case.network(form(case.X)), case.network(form(case.X))
    work_in_parts(many)
    for _ in range(2):  # cold, then warm
        theirs, ours = one.evaluate(case.variables), many.evaluate(case.variables)
        assert ours.value == pytest.approx(theirs.value, rel=1e-12)
        for a, b in zip(ours.gradients, theirs.gradients, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12 * max(1.0, np.abs(b).max()))
    A = case.variables[: case.depth]
    for a, b in zip(many.codes(A), one.codes(A), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * b.max())


def test_blocks_partition_the_columns(rng):
    blocks = Case("reconstruction", "squared", 1).network().blocks(5, rng)
    assert [len(block.columns) for block in blocks] == [4, 4, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate([block.columns for block in blocks])), np.arange(N))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_array])
def test_blocks_in_turn_come_with_their_own_columns(form, rng):
    case = Case("reconstruction", "squared", 1)
    network = case.network(form(case.X))
    for size in (1, 5, N):  # more blocks than times that the data are read, fewer, and one
        blocks = network.blocks(size, rng)
        found = list(network.in_turn(blocks[::-1]))
        assert [block for block, _ in found] == blocks[::-1]
        for block, data in found:
            np.testing.assert_array_equal(data.toarray() if sparse.issparse(data) else data, case.X[:, block.columns])
    assert list(network.in_turn([])) == []


def test_block_without_a_label_has_the_cost_of_its_data():
    case = Case("reconstruction", "squared", 2)
    network, plain = case.network(), Case("reconstruction", "none", 2).network()
    network.evaluate(case.variables)
    unknown = np.flatnonzero(~case.known)
    ours, theirs = (net.evaluate(case.variables, net._block(unknown, len(unknown))) for net in (network, plain))
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    np.testing.assert_allclose(ours.gradients[0], theirs.gradients[0], atol=1e-12)


def test_reconstruction_does_not_depend_on_how_scale_is_shared():
    case = Case("reconstruction", "none", 3)
    d = np.array([0.1, 1.0, 10.0, 3.0, 0.5])
    A = case.variables
    moved = [A[0] * d, A[1] / d[:, None], A[2]]
    # Holds for exact codes of the first layer alone, so the other layers are compared by the plain cost.
    assert case.network().evaluate(moved).value == pytest.approx(case.plain_cost(moved), rel=1e-9)
    one = Case("reconstruction", "none", 1)
    values = [one.network().evaluate([one.variables[0] * scale]).value for scale in (np.ones(5), d)]
    assert values[0] == pytest.approx(values[1], rel=1e-10)


def test_zero_factor_has_finite_cost_and_gradient():
    case = Case("reconstruction", "squared", 2)
    result = case.network().evaluate([np.zeros_like(A) for A in case.variables])
    # Nothing is reconstructed and nothing is predicted: both relative costs are one.
    assert result.value == pytest.approx(1.0 + WEIGHT)
    assert all(np.isfinite(gradient).all() for gradient in result.gradients)


ROUTES = list(product((False, True), repeat=5))  # mask, penalties, unit_columns, free, learn_l1


def step_of(penalty, F):
    return penalty.l1 * np.abs(F).sum() + penalty.l2 * np.sum(F**2)


class Full(Case):
    """The same with a mask, with penalties on A and on the codes, and with other variables."""

    def __init__(self, cost, labels, depth, masked=False, penalised=False, unit=False, free=False, learn=False, seed=1):
        super().__init__(cost, labels, depth, seed)
        rng = np.random.default_rng(seed + 100)
        self.mask = rng.random((M, N)) < 0.8 if masked else None
        self.W = np.ones((M, N)) if self.mask is None else self.mask
        self.X = self.X * self.W
        if free:
            self.variables[:depth] = [A - 0.15 for A in self.variables[:depth]]
        on_A = [Penalty(0.02 * (i + 1), 0.03) for i in range(depth)] if penalised else []
        # A layer on its own counts whole, and so does every one of the energy, which has weights of its own.
        share = (
            (lambda i: 1.0) if (depth == 1 and cost != "multilevel") or cost == "energy" else (lambda i: 0.6 + 0.2 * i)
        )
        l2 = 0.1 if penalised else 0.0
        on_S = [Shrinkage(0.02 if penalised else 0.0, l2, share(i)) for i in range(depth)] if penalised or learn else []
        self.l1 = [rng.uniform(0.01, 0.05, (k, 1)) for k in RANKS[:depth]] if learn else []
        self.variables[depth:depth] = self.l1
        self.terms = Terms(on_A, on_S, free, unit, learn)

    def network(self, X=None):
        return super().network(X, mask=self.mask, terms=self.terms)

    def shrinkages(self, variables):
        given = self.terms.on_S or [Shrinkage()] * self.depth
        l1 = variables[self.depth : 2 * self.depth] if self.terms.learn_l1 else [term.l1 for term in given]
        return [(np.broadcast_to(a, (k, 1)), t.l2, t.share) for a, t, k in zip(l1, given, RANKS, strict=False)]

    def plain_cost(self, variables):
        """The definition; a layer with penalties as the nonnegative least squares of an augmented system."""
        A = variables[: self.depth]
        if self.terms.unit_columns or self.cost == "energy":
            A = [factor / np.linalg.norm(factor, axis=0) for factor in A]
        S, shrinkages, own = [self.X], self.shrinkages(variables), []
        for i, (factor, (l1, l2, share)) in enumerate(zip(A, shrinkages, strict=True)):
            W = self.W if i == 0 else np.ones_like(S[-1])
            S.append(penalised_codes(factor, S[-1], W, l1, l2))
            own.append(share * (2 * np.sum(l1 * S[-1]) + l2 * np.sum(S[-1] ** 2)))
        unit = 2 * self.X.sum() if self.cost == "kl" else np.sum(self.X**2)
        if self.cost == "kl":
            V = np.linalg.multi_dot([*A, S[-1]])
            value = 2 * np.sum(self.W * kl_div(self.X, np.maximum(V, 1e-100)))
        else:
            value = self.plain_data_cost(A, S, self.W)
        weights = LAYER_WEIGHTS if self.cost == "energy" else [1.0] * self.depth
        value += sum(w * o for w, o in zip(weights, own, strict=False))
        value = value / unit + sum(map(step_of, self.terms.on_A, A))
        return value + self.plain_label_cost(S, variables)


def penalised_codes(A, X, W, l1, l2):
    """``argmin 1/2 ||W o (X - A S)||^2 + l1 sum S + l2/2 ||S||^2`` by scipy, column by column."""
    k = A.shape[1]
    S = np.empty((k, X.shape[1]))
    for j in range(X.shape[1]):
        known = np.flatnonzero(W[:, j])
        gram = A[known].T @ A[known] + l2 * np.eye(k)
        R = np.linalg.cholesky(gram).T
        S[:, j] = optimize.nnls(R, np.linalg.solve(R.T, A[known].T @ X[known, j] - l1[:, 0]))[0]
    return S


FULL_CASES = [(cost, labels, depth) for cost in ALL_COSTS for labels in LABELS for depth in (1, 2, 3)]


def routes(cost, labels, depth):
    """Combinations of the options that have a meaning for the cost: all for one layer, some for more."""
    for route in ROUTES[:: 2 * depth - 1]:
        _, _, _, free, learn = route
        if cost == "kl" and free:
            continue  # a divergence is of nonnegative matrices
        if cost == "energy" and learn:
            continue  # below
        yield Full(cost, labels, depth, *route)


@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_value_with_all_options_equals_the_plain_cost(cost, labels, depth):
    for case in list(routes(cost, labels, depth))[:: 5 - depth]:
        assert case.network().evaluate(case.variables).value == pytest.approx(
            case.plain_cost(case.variables), rel=1e-8
        ), case.terms


def assert_slopes(case, rng, rel=2e-5):
    """Every gradient against central differences of the value along two directions."""
    result, h = case.network().evaluate(case.variables), 1e-6
    assert len(result.gradients) == len(case.variables)
    for i, gradient in enumerate(result.gradients):
        direction = rng.standard_normal(gradient.shape)
        values = []
        for t in (h, -h):
            moved = [V + t * direction if i == j else V for j, V in enumerate(case.variables)]
            values.append(case.network().evaluate(moved).value)
        expected, found = (values[0] - values[1]) / (2 * h), np.vdot(gradient, direction)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs(found - expected) <= rel * max(scale, 1e-4), (i, found, expected, case.terms, case.mask is not None)


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_gradients_with_all_options_equal_differences(cost, labels, depth, rng):
    for case in routes(cost, labels, depth):
        assert_slopes(case, rng)


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_blocks_with_all_options_add_up_to_the_whole(cost, labels, depth, rng):
    for case in routes(cost, labels, depth):
        network = case.network()
        whole = network.evaluate(case.variables)
        parts = [network.evaluate(case.variables, block) for block in network.blocks(5, rng)]
        assert sum(part.value for part in parts) == pytest.approx(whole.value, rel=1e-11)
        for i, gradient in enumerate(whole.gradients):
            total = sum(part.gradients[i] for part in parts)
            np.testing.assert_allclose(total, gradient, atol=1e-10 * max(1.0, np.abs(gradient).max()))


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_whole_with_all_options_does_not_depend_on_its_parts(cost, labels, depth):
    for case in routes(cost, labels, depth):
        one, many = case.network(), case.network()
        work_in_parts(many)
        theirs, ours = one.evaluate(case.variables), many.evaluate(case.variables)
        assert ours.value == pytest.approx(theirs.value, rel=1e-11)
        for a, b in zip(ours.gradients, theirs.gradients, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_mask_of_true_gives_the_network_without_one(cost, labels, depth):
    case = Full(cost, labels, depth, penalised=True)
    theirs = case.network().evaluate(case.variables)
    case.mask = np.ones((M, N), bool)
    ours = case.network().evaluate(case.variables)
    assert ours.value == pytest.approx(theirs.value, rel=1e-10)
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_multilevel_of_the_last_level_alone_is_reconstruction(depth, penalised):
    theirs = Full("reconstruction", "squared", depth, penalised=penalised)
    network = theirs.network()
    ours = Network(
        theirs.X, Multilevel([*[0.0] * (depth - 1), 1.0]), network.labels[-1], mask=theirs.mask, terms=theirs.terms
    )
    a, b = ours.evaluate(theirs.variables), network.evaluate(theirs.variables)
    assert a.value == pytest.approx(b.value, rel=1e-12)
    for ga, gb in zip(a.gradients, b.gradients, strict=True):
        np.testing.assert_allclose(ga, gb, rtol=1e-12, atol=1e-12 * np.abs(gb).max())


def test_layer_without_a_weight_has_no_derivative():
    case = Case("multilevel", "none", 3)
    result = Network(case.X, Multilevel([1.0, 0.0, 0.0])).evaluate(case.variables)
    first = Network(case.X, Reconstruction()).evaluate(case.variables[:1])
    assert result.value == pytest.approx(first.value, rel=1e-12)
    np.testing.assert_allclose(result.gradients[0], first.gradients[0], rtol=1e-12)
    assert not result.gradients[1].any()
    assert not result.gradients[2].any()


@pytest.mark.parametrize("depth", [2, 3])
def test_multilevel_does_not_change_when_scale_moves_between_factors(depth):
    case = Case("multilevel", "squared", depth)
    scales = [50.0, 0.3, 1 / 15.0][:depth]
    moved = [A * s for A, s in zip(case.variables, scales, strict=True)]
    ours, theirs = case.network().evaluate(moved).value, case.network().evaluate(case.variables).value
    assert ours == pytest.approx(theirs, rel=1e-10)


def test_energy_does_not_see_the_scale_of_factors(rng):
    case = Case("energy", "squared", 3)
    moved = [A * rng.uniform(1e-3, 1e3, A.shape[1]) for A in case.variables]
    ours, theirs = case.network().evaluate(moved).value, case.network().evaluate(case.variables).value
    assert ours == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("cost", ALL_COSTS)
def test_unit_columns_do_not_see_the_lengths_of_columns(cost, rng):
    case = Full(cost, "squared", 2, penalised=True, unit=True)
    plain = case.network().evaluate(case.variables)
    d = [rng.uniform(0.1, 10.0, A.shape[1]) for A in case.variables]
    scaled = case.network().evaluate([A * s for A, s in zip(case.variables, d, strict=True)])
    assert scaled.value == pytest.approx(plain.value, rel=1e-10)
    for A, gradient in zip(case.variables, plain.gradients, strict=True):
        np.testing.assert_allclose((A * gradient).sum(axis=0), 0.0, atol=1e-10)
    for factor in case.network().factors(case.variables):
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1.0)


def test_variables_are_split_and_bounded_by_what_they_are():
    case = Full("reconstruction", "squared_learnt", 2, penalised=True, free=True, learn=True)
    A, l1, maps = case.network().split(case.variables)
    assert [M_.shape for M_ in (*A, *l1, maps[-1])] == [(9, 5), (5, 4), (5, 1), (4, 1), (3, 4)]
    assert case.network().nonnegative(case.variables) == [False, False, True, True, False]
    case = Full("multilevel", "squared_learnt", 3)
    assert {layer: B.shape for layer, B in case.network().split(case.variables)[2].items()} == {
        0: (4, 5),
        1: (4, 4),
        -1: (3, 3),
    }
    case = Full("reconstruction", "none", 2)
    assert case.network().nonnegative(case.variables) == [True, True]


def kinked(form):
    """Data and factors at which many codes of the second layer vanish together with their multipliers."""
    rng = np.random.default_rng(5)
    blocks = np.kron(np.eye(3), np.ones((3, 1)))  # topics of the first layer below those of the second
    codes = rng.random((9, 60)) * (rng.random((9, 60)) < 0.3)
    A = [rng.random((40, 9)) * (rng.random((40, 9)) < 0.4) + np.eye(40, 9), blocks * rng.random((9, 3)), np.eye(3)]
    return form(A[0] @ codes), [*A[:2], A[2] + 0.1 * rng.random((3, 3))]


def correlated():
    rng = np.random.default_rng(6)
    A = [rng.random((30, 6)) + 1.0, rng.random((6, 4)) + 0.5, rng.random((4, 2))]
    return np.maximum(A[0] @ rng.random((6, 80)) + 0.3 * rng.standard_normal((30, 80)), 0.0), A


def blocks_of_toy():
    data = Toy().load(np.random.default_rng(0))
    return data.X, data.truth.A


@pytest.mark.parametrize("cost", [Multilevel(), Reconstruction(), Energy()], ids=lambda cost: cost.name)
@pytest.mark.parametrize(
    "problem",
    [blocks_of_toy, correlated, partial(kinked, np.asarray), partial(kinked, sparse.csc_array)],
    ids=["toy", "correlated", "kinks", "sparse kinks"],
)
@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-12), ("float32", 1e-6)])
def test_evaluation_depends_on_its_arguments_alone(problem, cost, dtype, rounding, rng):
    X, A = problem()
    X, A = X.astype(dtype), [factor.astype(dtype) for factor in A]
    cold = Network(X, cost).evaluate(A)
    for away in (1e-12, 1e-3, 1.0):
        network = Network(X, cost)
        moved = [factor * (1.0 + away * rng.standard_normal(factor.shape)) for factor in A]
        network.evaluate([factor.astype(dtype) for factor in moved])
        warm = network.evaluate(A)
        assert warm.value == pytest.approx(cold.value, rel=rounding)
        for ours, theirs in zip(warm.gradients, cold.gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=rounding * max(np.abs(cold.value), np.abs(theirs).max()))


@pytest.mark.parametrize("optimizer", [LBFGS(), SpectralProjectedGradient()], ids=lambda each: each.name)
@pytest.mark.parametrize("problem", [blocks_of_toy, partial(kinked, sparse.csc_array)], ids=["toy", "sparse kinks"])
def test_fit_that_loses_its_warm_starts_ends_at_the_same_factors(problem, optimizer):
    X, A = problem()
    noise = np.random.default_rng(0).uniform(0.5, 1.5, A[0].shape)
    start, ends = [A[0] * noise, *A[1:]], []  # from where codes of the upper layers stay at kinks
    for lost_at in (None, 6):
        network = Network(X, Multilevel())

        def forget(iteration, cost, network=network, lost_at=lost_at):
            if iteration == lost_at:
                for part in network.everything.parts:
                    assert part.warm is not None
                    part.warm = None

        monitor = Monitor(StoppingRule(max_iter=30, progress=forget))
        ends.append(optimizer.minimize(network, start, monitor, np.random.default_rng(0)))
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10 * np.abs(theirs).max())


@pytest.mark.parametrize("init", [NNDSVD(), Greedy()], ids=lambda init: init.name)
@pytest.mark.parametrize("layers", [(4,), (6, 4)])
def test_labels_are_not_fitted_to_the_rounding_of_codes(layers, init, rng):
    X = np.outer(rng.random(20) + 0.1, rng.random(30) + 0.1)  # one topic tells all of it: the codes of others are zero
    labels = Labels(SquaredLabels(), 1.0, np.eye(3)[:, np.arange(30) % 3], np.ones(30, bool))
    A = init.start(X, layers, np.random.default_rng(0))
    cold = Network(X, Multilevel(), labels).evaluate(A)
    assert cold.value > 0.5  # one number for each sample does not tell three classes apart
    for away in (1e-12, 1e-3, 1.0):
        network = Network(X, Multilevel(), labels)
        network.evaluate([factor * (1.0 + away * rng.standard_normal(factor.shape)) for factor in A])
        assert network.evaluate(A).value == pytest.approx(cold.value, rel=1e-10)


@pytest.mark.parametrize("fixed", [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("cost", ALL_COSTS)
def test_fixed_factors_leave_cost_and_gradients_of_the_others_as_they_are(cost, labels, fixed):
    case = Case(cost, labels, 3)
    if cost == "energy":  # which scales no column of a fixed factor
        case.variables[:3] = [A / np.linalg.norm(A, axis=0) for A in case.variables[:3]]
    free = [i for i in range(len(case.variables)) if i not in fixed]
    terms = Terms(on_A=[Penalty(0.1, 0.2)] * 3 if cost != "energy" else ())
    whole = case.network(terms=terms)
    part = case.network(terms=terms, fixed={i: case.variables[i] for i in fixed})
    assert part.nonnegative([case.variables[i] for i in free]) == [whole.nonnegative(case.variables)[i] for i in free]
    for _ in range(2):  # nothing that is kept changes
        expected, found = whole.evaluate(case.variables), part.evaluate([case.variables[i] for i in free])
        assert found.value == pytest.approx(expected.value, rel=1e-12)
        assert len(found.gradients) == len(free)
        for i, gradient in zip(free, found.gradients, strict=True):
            np.testing.assert_allclose(gradient, expected.gradients[i], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("fixed", [[0], [1], [0, 1]], ids=str)
def test_fixed_factors_with_learnt_penalties_masks_and_blocks(rng, fixed):
    case = Case("reconstruction", "none", 2)
    mask = rng.random((M, N)) > 0.2
    A = [factor / np.linalg.norm(factor, axis=0) for factor in case.variables]
    learnt = [np.full((A[i].shape[1], 1), 0.05) for i in range(2)]
    terms = Terms(on_S=[Shrinkage(0.05)] * 2, unit_columns=True, learn_l1=True)
    for options in ({}, {"mask": mask}):
        whole = case.network(case.X * mask if options else None, terms=terms, **options)
        part = case.network(case.X * mask if options else None, terms=terms, fixed={i: A[i] for i in fixed}, **options)
        free = [factor for i, factor in enumerate(A) if i not in fixed] + learnt
        kept = [i for i in range(4) if i not in fixed]
        expected = whole.evaluate([*A, *learnt])
        blocks = [part.everything], part.blocks(5, rng)
        for some in blocks:
            each = [part.evaluate(free, block) for block in some]
            assert sum(one.value for one in each) == pytest.approx(expected.value, rel=1e-12)
            for j, i in enumerate(kept):
                total = sum(one.gradients[j] for one in each)
                np.testing.assert_allclose(total, expected.gradients[i], rtol=1e-9, atol=1e-13)


def test_fixed_factors_keep_the_lengths_of_their_columns():
    case = Case("energy", "none", 2)
    network = case.network(fixed={0: case.variables[0]})
    first, second = network.factors(case.variables[1:])
    assert first is case.variables[0]
    np.testing.assert_allclose(np.linalg.norm(second, axis=0), 1.0)


def test_data_are_read_once_where_the_first_factor_is_fixed():
    class Counted(np.ndarray):
        read = 0

        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            Counted.read += ufunc is np.matmul
            plain = [np.asarray(each) if isinstance(each, Counted) else each for each in inputs]
            return getattr(ufunc, method)(*plain, **kwargs)

    case = Case("multilevel", "none", 3)
    network = case.network(case.X.view(Counted), fixed={0: case.variables[0]})
    assert Counted.read == 1
    for _ in range(3):
        network.evaluate(case.variables[1:])
    assert Counted.read == 1
    case.network(case.X.view(Counted)).evaluate(case.variables)
    assert Counted.read == 3


@pytest.mark.parametrize("forks", [False, pytest.param(True, marks=FORKS)])
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("labels", ["none", "squared", "cross_entropy"])
def test_an_evaluation_does_not_depend_on_the_number_of_threads(monkeypatch, labels, make, forks, rng):
    monkeypatch.setattr("nnmf_runner.core.linalg.WORTHWHILE", 1)
    monkeypatch.setattr("nnmf_runner.core.linalg.ENTRIES", 20)
    monkeypatch.setattr("nnmf_runner.core.forks.may_fork", lambda: forks)
    case, found = Case("multilevel", labels, 3), []
    moved = [variable * (1.0 + rng.random(variable.shape)) for variable in case.variables]
    for n in (1, 2, 3):
        network = case.network(make(case.X))
        work_in_parts(network)
        with threaded(n):
            evaluations = [network.evaluate(variables) for variables in (case.variables, moved, moved)]
            codes = network.codes(case.variables[:3])
        found.append([array for each in evaluations for array in (each.value, *each.gradients)] + codes)
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@FORKS
@pytest.mark.parametrize(("cost", "labels", "depth"), FULL_CASES)
def test_forks_evaluate_all_options_to_the_same_bits(monkeypatch, cost, labels, depth):
    monkeypatch.setattr("nnmf_runner.core.forks.may_fork", lambda: True)
    for case in list(routes(cost, labels, depth))[:: 5 - depth]:
        found = []
        for n in (1, 2):
            network = case.network()
            work_in_parts(network)
            with threaded(n):
                found.append(network.evaluate(case.variables))
        assert found[0].value == found[1].value
        for one, two in zip(found[0].gradients, found[1].gradients, strict=True):
            np.testing.assert_array_equal(one, two)
