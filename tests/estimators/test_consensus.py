"""The consensus of fitted estimators: a start, what it says, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nnmf_runner import HierarchicalNMF, NeuralNMF, NonnegativeCP, consensus, load
from nnmf_runner.core.checks import InputError

X = np.kron(np.eye(4), np.ones((5, 3))) + np.kron(np.eye(2), np.ones((10, 6)))
X = X + 0.1 * np.random.default_rng(0).random(X.shape)


def models(kind=HierarchicalNMF, seeds=range(4), **options):
    return [kind(layers=(4, 2), random_state=seed, **{"init": "random", **options}).fit(X) for seed in seeds]


@pytest.mark.slow
def test_it_is_a_model_of_the_same_kind_that_is_not_fitted(toy):
    own = models(solver="anls", tol=1e-3)
    model = consensus(own)
    assert isinstance(model, HierarchicalNMF)
    assert not hasattr(model, "factors_")
    assert {**model.get_params(), "init": None} == {**own[0].get_params(), "init": None}
    assert [layer.shape for layer in model.consensus_.stability] == [(4,), (2,)]
    assert model.fit(X).transform(X).shape == (20, 2)
    assert [own.shape for own in model.consensus_.votes] == [(4, 2)]  # also after the fit


@pytest.mark.slow
@pytest.mark.parametrize("kind", [HierarchicalNMF, NeuralNMF])
def test_the_consensus_of_a_consensus_is_itself(kind):
    model = consensus(models(kind)).fit(X)
    again = consensus([model, model]).fit(X)
    assert min(layer.min() for layer in again.consensus_.stability) == pytest.approx(1.0)
    assert all((layer == 1.0).all() for layer in again.consensus_.support)
    for own, same in zip(again.consensus_.factors, model.factors_, strict=True):
        np.testing.assert_allclose(own, same, rtol=1e-6, atol=1e-9)
    for own, same in zip(again.factors_, model.factors_, strict=True):
        np.testing.assert_allclose(own, same, atol=10 * model.tol * np.linalg.norm(same))


@pytest.mark.slow
def test_it_is_saved_like_any_other(tmp_path):
    model = consensus(models()).fit(X)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(X), model.transform(X))


def test_layers_that_are_held_stay():
    first = models(seeds=[0])[0].factors_[0]
    some = [
        HierarchicalNMF(layers=(4, 2), init=[first, rng.random((4, 2))], fixed=[0], random_state=0).fit(X)
        for rng in map(np.random.default_rng, range(3))
    ]
    model = consensus(some).fit(X)
    np.testing.assert_array_equal(model.factors_[0], first)


def _of_words():
    return HierarchicalNMF(layers=(4, 2)).fit(pd.DataFrame(X, columns=[f"word{i}" for i in range(X.shape[1])]))


@pytest.mark.slow
def test_what_cannot_be_combined_is_refused():
    own = models(seeds=range(2))
    other = HierarchicalNMF(layers=(3, 2)).fit(X)
    for given, told in (
        ([], "models has 0 of them, but a consensus needs several. Expected at least 2."),
        (own[:1], "models has 1 of them, but a consensus needs several. Expected at least 2."),
        ([*own, 3], r"models\[2\] is of type int. Expected a fitted estimator."),
        ([*own, HierarchicalNMF()], r"models\[2\], of type HierarchicalNMF, is not fitted yet."),
        ([*own, HierarchicalNMF], r"models\[2\] is the class HierarchicalNMF. Expected a fitted estimator."),
        (own[0], r"models is of type HierarchicalNMF. Expected several fitted estimators, as a list."),
        (None, "models is of type NoneType."),
        ([own[0], _of_words()], r"models\[1\] has other names of features than models\[0\]"),
        (
            [*own, other],
            r"models\[2\] is HierarchicalNMF 3-2 of 12 features, but models\[0\] is HierarchicalNMF 4-2 of",
        ),
        ([own[0], *models(NeuralNMF, [0])], r"models\[1\] is NeuralNMF 4-2 of 12 features"),
    ):
        with pytest.raises(InputError, match=told):
            consensus(given)


def test_tensors_are_refused(rng):
    tensor = rng.random((6, 4, 5))
    own = [NonnegativeCP(layers=(3, 2), random_state=seed, max_iter=3).fit(tensor) for seed in range(2)]
    with pytest.raises(InputError, match="consensus needs a method that starts from given factors, but method=ncpd"):
        consensus(own)


@pytest.mark.slow
def test_held_layers_have_nothing_below_them_that_is_not():
    own = models(seeds=range(2), init=[*models(seeds=[0])[0].factors_], fixed=[1])
    with pytest.raises(InputError, match=r"fixed=\[1\] holds a layer above one that is not held"):
        consensus(own)
    given = [models(seeds=[seed], init=[*models(seeds=[seed])[0].factors_], fixed=[0])[0] for seed in range(2)]
    with pytest.raises(InputError, match="layer 0, which differs between the fits"):
        consensus(given)
