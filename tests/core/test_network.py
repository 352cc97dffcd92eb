import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.special import log_softmax

from nnmf_runner.core.costs import CrossEntropyLabels, Energy, Labels, Reconstruction, SquaredLabels
from nnmf_runner.core.network import Network

M, N, CLASSES = 9, 12, 3
RANKS = (5, 4, 3)
WEIGHT = 0.7
ENERGY_WEIGHTS = [0.5, 2.0]

COSTS = {"reconstruction": Reconstruction(), "energy": Energy(ENERGY_WEIGHTS)}
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
        if self.learns:
            self.variables.append(rng.standard_normal((CLASSES, RANKS[depth - 1])))

    def network(self, X=None):
        cost = Energy(ENERGY_WEIGHTS[: self.depth]) if self.cost == "energy" else COSTS[self.cost]
        labels = None
        if self.labels != "none":
            kind = CrossEntropyLabels() if self.labels == "cross_entropy" else SquaredLabels()
            labels = Labels(kind, WEIGHT, self.Y, self.known, self.learns)
        return Network(self.X if X is None else X, cost, labels)

    def plain_cost(self, variables):
        """The definition, with scipy's solver for every column of every layer."""
        A = variables[: self.depth]
        S = [self.X]
        for factor in A:
            S.append(np.column_stack([optimize.nnls(factor, column)[0] for column in S[-1].T]))
        if self.cost == "energy":
            weights = [*ENERGY_WEIGHTS, 1.0]
            errors = [np.sum((S[i] - A[i] @ S[i + 1]) ** 2) for i in range(self.depth)]
            value = sum(w * e for w, e in zip(weights, errors, strict=False))
        else:
            value = np.sum((self.X - np.linalg.multi_dot([*A, S[-1]])) ** 2)
        return value / np.sum(self.X**2) + self.plain_label_cost(S[-1][:, self.known], variables)

    def plain_label_cost(self, S, variables):
        Y = self.Y[:, self.known]
        if self.labels == "none":
            return 0.0
        if self.labels == "cross_entropy":
            return -WEIGHT * np.sum(Y * log_softmax(variables[-1] @ S, axis=0)) / (np.log(CLASSES) * Y.shape[1])
        B = variables[-1] if self.learns else Y @ np.linalg.pinv(S)
        return WEIGHT * np.sum((Y - B @ S) ** 2) / Y.shape[1]

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
    result = case.network().evaluate(case.variables)
    assert (result.codes[0] == 0).any()  # the nonnegativity matters
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
def test_sparse_equals_dense(case, form, rng):
    dense, thin = case.network(), case.network(form(case.X))
    theirs, ours = dense.evaluate(case.variables), thin.evaluate(case.variables)
    assert ours.value == pytest.approx(theirs.value, rel=1e-10)
    for a, b in zip(ours.gradients, theirs.gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 * max(1.0, np.abs(b).max()))
    block = thin.blocks(5, rng)[0]
    assert np.isfinite(thin.evaluate(case.variables, block).value)


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


def test_codes_of_an_evaluation_outlive_later_evaluations(rng):
    case = Case("reconstruction", "squared", 1)
    network = case.network()
    result = network.evaluate(case.variables)
    before = result.codes[-1].copy()
    network.evaluate([2.0 * case.variables[0]], network.blocks(5, rng)[0])
    np.testing.assert_array_equal(result.codes[-1], before)


def test_blocks_partition_the_columns(rng):
    blocks = Case("reconstruction", "squared", 1).network().blocks(5, rng)
    assert [len(block.columns) for block in blocks] == [5, 5, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate([block.columns for block in blocks])), np.arange(N))


def test_block_without_a_label_has_the_cost_of_its_data():
    case = Case("reconstruction", "squared", 2)
    network, plain = case.network(), Case("reconstruction", "none", 2).network()
    network.evaluate(case.variables)
    unknown = np.flatnonzero(~case.known)
    ours, theirs = (net.evaluate(case.variables, net._block(unknown)) for net in (network, plain))
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
