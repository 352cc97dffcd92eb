from itertools import product

import numpy as np
import pytest
from scipy import optimize, sparse

from nnmf_runner.core.free_network import FreeNetwork
from nnmf_runner.core.label_costs import CrossEntropyLabels, Labels, SquaredLabels
from nnmf_runner.core.monitor import Monitor, StoppingRule
from nnmf_runner.core.ncp import balanced, ncp_from_starts
from nnmf_runner.core.optimizers import LBFGS, Automatic, SpectralProjectedGradient
from nnmf_runner.core.tensor import as_tensor
from nnmf_runner.core.tensor_layerwise import links
from nnmf_runner.core.tensor_network import TiedNetwork
from nnmf_runner.metrics.trees import tree_loss
from tests.fixtures.tensors import blocks, relative_error

RANKS, WEIGHTS, CLASSES = (4, 3, 2), [0.5, 2.0, 1.5], 3
SHAPES = [(5, 4, 6), (3, 4, 3, 5)]
NETWORKS = ["tied", "exact", "free", "fixed"]
LABELS = ["none", "squared", "squared_learnt", "cross_entropy"]


class Case:
    """One tensor with a network, variables of it, and its plain cost."""

    def __init__(self, shape, kind, labels="none", is_sparse=False):
        rng = np.random.default_rng(1)
        self.shape, self.kind, n = shape, kind, shape[-1]
        self.X = rng.random(shape) * (rng.random(shape) > (0.6 if is_sparse else 0.0))
        matrix = self.X.reshape(-1, n)
        tensor = as_tensor(sparse.csc_array(matrix) if is_sparse else matrix, shape)
        of_last, lower, maps = self._labels(labels, n, rng)
        # The model is about as large as the data, so that no term hides the others.
        U = [rng.random((size, 4)) / 2 for size in shape]
        links = [rng.random((4, 3)) / 2, rng.random((3, 2)) / 2]
        above = [rng.random((size, 3)) for size in shape] + [rng.random((3, 2)) for _ in shape]
        if kind in ("tied", "exact"):
            exact = kind == "exact"
            self.network = TiedNetwork(tensor, RANKS, of_last, WEIGHTS, exact, lower_labels=lower)
            self.variables = [*U[: len(shape) - exact], *links, *maps]
        else:
            fixed = U if kind == "fixed" else None
            self.network = FreeNetwork(tensor, RANKS, fixed, of_last, WEIGHTS, lower_labels=lower)
            self.variables = [*([] if fixed else U), *above, *maps]

    @staticmethod
    def _labels(labels, n, rng):
        if labels == "none":
            return None, {}, []
        cost = CrossEntropyLabels() if labels == "cross_entropy" else SquaredLabels()
        learns = labels in ("squared_learnt", "cross_entropy")
        found = []
        for classes, step, weight in ((2, 3, 0.4), (CLASSES, 4, 0.7)):
            known = np.arange(n) % step != 1
            Y = np.eye(classes)[:, rng.integers(0, classes, n)]
            Y[:, ~known] = np.nan  # must never be looked at
            found.append(Labels(cost, weight, Y, known, learns))
        maps = [rng.standard_normal((2, RANKS[0])), rng.standard_normal((CLASSES, RANKS[-1]))]
        return found[1], {0: found[0]}, maps if learns else []

    def plain_cost(self):
        """The cost from arrays of the tensor's shape, with codes from scipy's solver."""
        levels, codes = plain_levels(self)
        value = sum(
            weight * np.sum((self.X - full(factors)) ** 2) for weight, factors in zip(WEIGHTS, levels, strict=True)
        ) / np.sum(self.X**2)
        maps = self.network.split(self.variables)[1]
        for level, labels in self.network.labels.items():
            S, Y = codes[level][:, labels.known], labels.Y[:, labels.known]
            B = maps[level] if labels.learn_map else Y @ np.linalg.pinv(S)
            value += labels.weight * labels.cost.evaluate(S, Y, B).value / labels.known.sum()
        return value


def full(factors):
    """The array of a CP model."""
    axes = "abcdef"[: len(factors)]
    return np.einsum(",".join(f"{axis}R" for axis in axes) + f"->{axes}", *factors)


def plain_nnls(A, X):
    return np.column_stack([optimize.nnls(A, column)[0] for column in X.T])


def plain_levels(case):
    """Factors and codes of every level by the definition of the hierarchy."""
    N, variables = len(case.shape), case.variables
    if case.kind in ("tied", "exact"):
        tied = variables[: N - (case.kind == "exact")]
        levels = [tied]
        for W in variables[len(tied) : len(tied) + 2]:
            levels.append([F @ W for F in levels[-1]])
        if case.kind == "exact":
            rest = case.X.reshape(-1, case.shape[-1])
            for factors in levels:
                columns = [full([F[:, [r]] for F in factors]).ravel() for r in range(factors[0].shape[1])]
                factors.append(plain_nnls(np.column_stack(columns), rest).T)
        return levels, [factors[-1].T for factors in levels]
    base = case.network.base if case.kind == "fixed" else variables[:N]
    above = variables[0 if case.kind == "fixed" else N :]
    first, second = above[:N], above[N : 2 * N]
    S1 = [plain_nnls(A, U) for A, U in zip(first, base, strict=True)]
    S2 = [plain_nnls(A, S) for A, S in zip(second, S1, strict=True)]
    level1 = [A @ S for A, S in zip(first, S1, strict=True)]
    level2 = [A @ B @ S for A, B, S in zip(first, second, S2, strict=True)]
    return [base, level1, level2], [base[-1].T, first[-1].T, (first[-1] @ second[-1]).T]


CASES = list(product(SHAPES, NETWORKS, LABELS, (False, True)))


@pytest.mark.parametrize(("shape", "kind", "labels", "is_sparse"), CASES)
def test_cost_is_that_of_its_definition(shape, kind, labels, is_sparse):
    case = Case(shape, kind, labels, is_sparse)
    assert case.network.evaluate(case.variables).value == pytest.approx(case.plain_cost(), rel=1e-9)


@pytest.mark.parametrize(("shape", "kind", "labels", "is_sparse"), CASES)
def test_gradient_is_that_of_central_differences(shape, kind, labels, is_sparse, rng):
    case, step = Case(shape, kind, labels, is_sparse), 1e-6
    gradients = case.network.evaluate(case.variables).gradients
    assert [G.shape for G in gradients] == [variable.shape for variable in case.variables]
    scale = max(np.abs(G).max() for G in gradients)
    for i, (variable, gradient) in enumerate(zip(case.variables, gradients, strict=True)):
        for _ in range(3):  # directions, each of which meets an error of any entry
            direction = rng.choice([-1.0, 1.0], variable.shape) * rng.random(variable.shape)
            values = []
            for sign in (1, -1):
                moved = [*case.variables]
                moved[i] = variable + sign * step * direction
                values.append(case.network.evaluate(moved).value)
            numeric = (values[0] - values[1]) / (2 * step)
            assert np.vdot(gradient, direction) == pytest.approx(numeric, rel=0, abs=1e-6 * scale)


@pytest.mark.parametrize("kind", NETWORKS)
def test_levels_topics_and_codes_are_those_of_the_definition(kind):
    case = Case(SHAPES[1], kind)
    levels, codes = plain_levels(case)
    for ours, theirs in zip(case.network.levels(case.variables), levels, strict=True):
        for F, G in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(F, G, atol=1e-8)
    for ours, theirs in zip(case.network.codes(case.variables), codes, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    for modes, rank in zip(case.network.topics(case.variables), RANKS, strict=True):
        assert [F.shape for F in modes] == [(size, rank) for size in case.shape]


@pytest.mark.parametrize("kind", NETWORKS)
def test_only_label_maps_may_be_negative(kind):
    case = Case(SHAPES[0], kind, "squared_learnt")
    signs = case.network.nonnegative(case.variables)
    assert signs == [True] * (len(case.variables) - 2) + [False, False]


@pytest.mark.parametrize("kind", NETWORKS)
def test_one_level_is_a_cp_model(kind):
    case = Case(SHAPES[0], kind)
    tensor, U = case.network.tensor, [np.random.default_rng(2).random((size, 4)) for size in SHAPES[0]]
    if kind in ("tied", "exact"):
        network = TiedNetwork(tensor, (4,), exact=kind == "exact")
        evaluation = network.evaluate(U[: network.n_tied])
    else:
        network = FreeNetwork(tensor, (4,), U if kind == "fixed" else None)
        evaluation = network.evaluate([] if kind == "fixed" else U)
    if kind == "exact":
        U = network.levels(U[:2])[0]
    assert evaluation.value == pytest.approx(np.sum((case.X - full(U)) ** 2) / np.sum(case.X**2), rel=1e-9)


def test_exact_codes_of_an_exact_model_are_zero_where_the_model_is(rng):
    # Rounding must not make a code that is zero a small number, through which labels would pass.
    U, S = [rng.random((size, 4)) for size in (5, 4)], rng.random((4, 30)) * (rng.random((4, 30)) > 0.5)
    tensor = as_tensor(full([*U, S.T]).reshape(20, 30), (5, 4, 30))
    codes = TiedNetwork(tensor, (4,)).codes(U)[0]
    np.testing.assert_allclose(codes, S, atol=1e-8)
    assert not codes[S == 0].any()


def test_there_are_no_blocks_of_samples(rng):
    network = Case(SHAPES[0], "exact").network
    assert network.blocks(2, rng) == list(network.in_turn([])) == []


@pytest.mark.parametrize("optimizer", [LBFGS(), SpectralProjectedGradient()])
@pytest.mark.parametrize("kind", NETWORKS)
def test_optimizers_lower_the_cost(kind, optimizer):
    case, monitor = Case(SHAPES[0], kind, "squared_learnt"), Monitor(StoppingRule(max_iter=30))
    found = optimizer.minimize(case.network, case.variables, monitor, np.random.default_rng(0))
    assert case.network.evaluate(found).value < 0.8 * case.network.evaluate(case.variables).value
    assert all(F.min() >= 0 for F in found[:-2])


def fitted(noise, seed, exact=True):
    """A tied hierarchy of the blocks tensor, and the errors of CP models alone."""
    tensor, rng = blocks(noise, seed), np.random.default_rng(seed + 10)
    alone = [balanced(ncp_from_starts(tensor, k, rng, Monitor(StoppingRule()))) for k in (7, 4, 2)]
    network = TiedNetwork(tensor, (7, 4, 2), exact=exact)
    variables = [*alone[0][: network.n_tied], *links(alone)]
    variables = Automatic().minimize(network, variables, Monitor(StoppingRule()), rng)
    return tensor, alone, network.levels(variables)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "bounds"), [(0.1, (0.01, 0.01)), (0.4, (0.05, 0.02))])
@pytest.mark.parametrize("seed", range(5))
def test_every_level_of_blocks_is_as_near_as_a_cp_model_alone_and_a_tree(noise, bounds, seed):
    tensor, alone, levels = fitted(noise, seed)
    for theirs, ours in zip(alone, levels, strict=True):
        assert relative_error(tensor, ours) <= 1.005 * relative_error(tensor, theirs)
    for below, above, bound in zip(levels, levels[1:], bounds, strict=False):
        assert tree_loss(below, above) <= bound
