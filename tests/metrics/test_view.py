"""What metrics see of a layer: approximations, and clusters that no scaling changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnmf_runner.metrics import view
from nnmf_runner.metrics.scoring import score

CLUSTERING = [f"{name}{suffix}" for name in ("purity", "nmi", "ari") for suffix in ("", "_kmeans")]


def layer_of(config, material, fit, index, labels):
    """What `score` shows metrics of a layer, without a floor."""
    shown = material.dataset, material.entries, material.known, fit
    return view.LayerView(config.method, *shown, index, fit.S[index], None, labels)


@pytest.mark.parametrize("method", ["hier", "deep", "neural", "semi"])
def test_the_approximation_is_that_of_the_topics_and_the_codes(fitted, method):
    config, material, fit = fitted(f"method={method}")
    for i in range(3):
        layer = layer_of(config, material, fit, i, None)
        product = layer.approximation.dense()
        np.testing.assert_allclose(layer.topics @ layer.codes, product, rtol=1e-9, atol=1e-9)
        assert layer.topics.shape == (87, config.layers[i])


def test_without_labels_or_names_there_is_nothing_to_agree_with(fitted):
    layer = layer_of(*fitted("method=hier"), 0, None)
    assert (layer.by_largest_code, layer.by_kmeans, layer.top_words) == (None, None, None)
    assert layer.accuracy == view.Accuracy(None, None, None)


def test_words_are_the_features_of_largest_weight(fitted):
    config, material, fit = fitted("method=hier")
    named = replace(material, dataset=replace(material.dataset, feature_names=[str(i) for i in range(87)]))
    layer = layer_of(config, named, fit, 1, None)
    assert layer.top_words.shape == (4, view.TOP_WORDS)
    np.testing.assert_array_equal(layer.top_words[:, 0], layer.topics.argmax(axis=0))


def rescaled(fit, rng):
    """The same product, with columns of every factor of another scale."""
    A, S, below = [], [], np.ones(len(fit.A[0]))
    for factor, codes in zip(fit.A, fit.S, strict=True):
        scale = 10.0 ** rng.uniform(-3.0, 3.0, factor.shape[1])
        A.append(factor / below[:, None] * scale)
        S.append(codes / scale[:, None])
        below = scale
    return replace(fit, A=A, S=S)


@pytest.mark.parametrize("method", ["hier", "deep", "neural", "semi"])
def test_how_factors_and_codes_share_scale_changes_no_agreement(fitted, rng, method):
    config, material, fit = fitted(f"method={method}", "dataset.noise=1.5")
    rows, again = score(config, material, fit), score(config, material, rescaled(fit, rng))
    for row, other in zip(rows, again, strict=True):
        assert [other[name] for name in CLUSTERING] == [row[name] for name in CLUSTERING]
        assert all(0.0 < row[name] <= 1.0 for name in CLUSTERING)
    raw = [S.argmax(axis=0) for S in rescaled(fit, rng).S]
    assert any((clusters != S.argmax(axis=0)).any() for clusters, S in zip(raw, fit.S, strict=True))


def test_data_without_labels_have_no_agreement(fitted):
    config, material, fit = fitted("method=hier")
    bare = replace(material, dataset=replace(material.dataset, labels=[]))
    assert not set(CLUSTERING) & set(score(config, bare, fit)[0])


def test_too_many_classes_have_no_clusters(fitted, monkeypatch):
    monkeypatch.setattr(view, "MOST_CLUSTERS", 3)
    nine, four, two = score(*fitted("method=hier"))
    for name in ("purity", "nmi", "ari"):
        assert all(row[name] is not None for row in (nine, four, two))
        assert [row[f"{name}_kmeans"] is None for row in (nine, four, two)] == [True, True, False]


@pytest.mark.parametrize("options", ["method.pooling=mean", "method.activation=log1p"])
def test_layers_of_a_network_are_clustered_as_well(fitted, options):
    config, material, fit = fitted("method=deep", options)
    for row in score(config, material, fit):
        assert min(row["nmi"], row["nmi_kmeans"]) > 0.1  # well above chance
