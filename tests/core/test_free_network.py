import numpy as np
import pytest

from nnmf_runner.core.free_network import FreeNetwork
from nnmf_runner.core.monitor import Monitor, StoppingRule
from nnmf_runner.core.ncp import balanced, ncp_from_starts
from nnmf_runner.core.optimizers import Automatic
from nnmf_runner.core.tensor import as_tensor
from nnmf_runner.core.tensor_layerwise import links
from tests.fixtures.tensors import published, relative_error

# The cost and its gradient are tested with those of all hierarchies, in test_tensor_network.py.


@pytest.fixture
def network(rng):
    """A network on a base of its own, with variables."""
    shape, base = (5, 4, 6), [rng.random((size, 4)) for size in (5, 4, 6)]
    network = FreeNetwork(as_tensor(rng.random((20, 6)), shape), (4, 3, 2), base)
    return network, [*(rng.random((size, 3)) for size in shape), *(rng.random((3, 2)) for _ in shape)]


def test_approximation_of_a_level_is_its_topics_times_what_mixes_them(network):
    network, variables = network
    topics, mixing = network.topics(variables), network.mixing(variables)
    for level, factors in enumerate(network.levels(variables)[1:]):
        for F, A, S in zip(factors, topics[level + 1], mixing[level], strict=True):
            np.testing.assert_allclose(F, A @ S, atol=1e-12)


def test_fixed_base_adds_the_constant_cost_of_its_level(network):
    network, variables = network
    free = FreeNetwork(network.tensor, network.ranks)
    fixed, all_free = network.evaluate(variables), free.evaluate([*network.base, *variables])
    assert fixed.value == pytest.approx(all_free.value)
    for ours, theirs in zip(fixed.gradients, all_free.gradients[3:], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_scale_of_the_last_topics_costs_nothing(network, rng):
    # That of the topics below does not, as it weighs the rows of what these factor.
    network, variables = network
    value = network.evaluate(variables).value
    scaled = [A * rng.uniform(0.5, 2.0, A.shape[1]) for A in variables]
    assert network.evaluate([*variables[:3], *scaled[3:]]).value == pytest.approx(value)
    assert network.evaluate([*scaled[:3], *variables[3:]]).value != pytest.approx(value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "theirs"), [(0.1, (0.2171728210713715, 0.5303409676047632)), (0.4, (0.3136, 0.5012))]
)
def test_free_hierarchy_on_the_published_base_passes_the_published_cost(noise, theirs):
    # The best of ten published fits of Neural NCPD at noise 0.1; at 0.4 to the digits that are known.
    (tensor, base), rng = published(noise), np.random.default_rng(0)
    base = balanced(base)
    alone = [balanced(ncp_from_starts(tensor, k, rng, Monitor(StoppingRule()))) for k in (4, 2)]
    W = links([base, *alone])
    network = FreeNetwork(tensor, (7, 4, 2), base)
    start = [*(U @ W[0] for U in base), *[W[1]] * 3]
    found = Automatic().minimize(network, start, Monitor(StoppingRule(tol=1e-5)), rng)
    errors = [relative_error(tensor, factors) for factors in network.levels(found)[1:]]
    assert sum(error**2 for error in errors) <= sum(error**2 for error in theirs)
