"""The consensus of fits: trees of planted data, of every method that starts from given factors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets.generated.planted import Planted as Source
from nnmf_runner.estimators import ESTIMATORS
from nnmf_runner.metrics.consensus import consensus_of, consensus_tree
from nnmf_runner.metrics.recovery import Planted, tree_agreement
from nnmf_runner.task import Task

STARTS = {name: kind for name, kind in ESTIMATORS.items() if kind._method.inits is None}


def fits(kind, dataset, seeds, **options):
    model = kind(init="random", **options)._model()
    return model, [Task(model, dataset.X).fit(seed) for seed in seeds]


def tree(factors, dataset):
    return tree_agreement(Planted.of_factors(factors).topics, factors[1:], Planted.of(dataset, by_mode=False))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HierarchicalNMF", "NeuralNMF"])
def test_ten_random_starts_agree_on_the_planted_tree(name):
    """Of noise as large as the data; neural with its default, the multilevel cost."""
    dataset = Source(noise=1.0).load(stream(0, "data"))
    model, found = fits(ESTIMATORS[name], dataset, range(10), layers=(12, 6, 3))
    agreed = consensus_of(model.method, found)
    refitted = Task(model, dataset.X).fit(0, start=agreed.factors)
    assert consensus_tree(agreed, dataset) >= 0.99
    assert tree(refitted.A, dataset) >= 0.99
    again = consensus_of(model.method, [refitted, refitted])
    for own, same in zip(again.factors, refitted.A, strict=True):
        np.testing.assert_allclose(own, same, rtol=1e-6, atol=1e-9 * same.max())
    assert np.concatenate(again.stability).min() > 1 - 1e-9
    settled = Task(model, dataset.X).fit(0, start=again.factors)
    for own, same in zip(settled.A, refitted.A, strict=True):
        np.testing.assert_allclose(own, same, atol=10 * StoppingRule.tol * np.linalg.norm(same))


@pytest.mark.parametrize("name", sorted(STARTS))
def test_every_method_that_starts_from_given_factors_is_fitted_once_more_from_its_consensus(name):
    dataset = Source([2, 2], features=16, samples=20).load(stream(0, "data"))
    layers = (4, 2)[: STARTS[name]._method.most_layers]
    model, found = fits(STARTS[name], dataset, range(3), layers=layers, max_iter=20)
    agreed = consensus_of(model.method, found)
    assert [own.shape for own in agreed.factors] == list(zip((16, *layers[:-1]), layers, strict=True))
    again = Task(model, dataset.X).fit(0, start=agreed.factors)
    assert [own.shape for own in again.S] == [(rank, 20) for rank in layers]


def test_layers_of_empty_topics_are_no_start_and_a_single_empty_topic_does_not_count(recwarn):
    dataset = Source([2, 2], features=16, samples=20).load(stream(0, "data"))
    model, found = fits(ESTIMATORS["HierarchicalNMF"], dataset, range(2), layers=(4, 2), max_iter=20)
    for layer in range(2):
        empty = [dataclasses.replace(fit, A=[A * (i != layer) for i, A in enumerate(fit.A)]) for fit in found]
        with pytest.raises(InputError, match=f"All topics of layer {layer} are empty in the consensus"):
            consensus_of(model.method, empty)
    one = [dataclasses.replace(fit, A=[fit.A[0] * [1, 1, 1, 0], fit.A[1]]) for fit in found[:1] * 2]
    assert 0.0 <= consensus_tree(consensus_of(model.method, one), dataset) <= 0.75
    assert not recwarn.list


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_with_pooling_topics_are_voted_on_as_they_stand_for_the_data(pooling):
    dataset = Source([2, 2], features=16, samples=20).load(stream(0, "data"))
    model, found = fits(ESTIMATORS["DeepNMF"], dataset, range(3), layers=(4, 2), max_iter=50, pooling=pooling)
    agreed = consensus_of(model.method, found)
    assert agreed.factors[1].shape == agreed.votes[0].shape == (4, 2)
    Task(model, dataset.X).fit(0, start=agreed.factors)


def test_the_tree_of_votes_is_scored_against_the_planted_one_and_against_none():
    dataset = Source([2, 2], features=16, samples=20).load(stream(0, "data"))
    model, (fit,) = fits(ESTIMATORS["NeuralNMF"], dataset, [0], layers=(4, 2))
    agreed = consensus_of(model.method, [fit, fit])
    assert consensus_tree(agreed, dataset) == tree(fit.A, dataset) == 1.0
    wrong = dataclasses.replace(agreed, votes=[agreed.votes[0][:, ::-1]])
    assert consensus_tree(wrong, dataset) == 0.0
    assert consensus_tree(agreed, dataclasses.replace(dataset, truth=None)) is None
