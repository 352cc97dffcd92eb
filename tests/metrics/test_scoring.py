"""What a record says of the layers of a fit: clusters that no scaling changes, topics that take no part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnmf_runner.metrics import view
from nnmf_runner.metrics.scoring import score
from nnmf_runner.running.run import idle_topics
from nnmf_runner.task import prepare

CLUSTERING = [f"{name}{suffix}" for name in ("purity", "nmi", "ari") for suffix in ("", "_kmeans")]


@pytest.fixture
def fitted(configure):
    """Configuration, material and fit of a short run by its overrides."""

    def make(*overrides):
        config = configure("layers=9-4-2", "max_iter=30", *overrides)
        material = prepare(config, 0)
        return config, material, material.task.fit(0)

    return make


def rescaled(fit, rng):
    """The same product, with columns of every factor of another scale."""
    A, S, below = [], [], np.ones(len(fit.A[0]))
    for factor, codes in zip(fit.A, fit.S, strict=True):
        scale = 10.0 ** rng.uniform(-3.0, 3.0, factor.shape[1])
        A.append(factor / below[:, None] * scale)
        S.append(codes / scale[:, None])
        below = scale
    return replace(fit, A=A, S=S)


def scored(config, material, fit):
    return score(config, material, fit)


@pytest.mark.parametrize("method", ["hier", "deep", "neural", "semi"])
def test_how_factors_and_codes_share_scale_changes_no_agreement(fitted, rng, method):
    config, material, fit = fitted(f"method={method}", "dataset.noise=1.5")
    rows, again = scored(config, material, fit), scored(config, material, rescaled(fit, rng))
    for row, other in zip(rows, again, strict=True):
        assert [other[name] for name in CLUSTERING] == [row[name] for name in CLUSTERING]
        assert all(0.0 < row[name] <= 1.0 for name in CLUSTERING)
    raw = [S.argmax(axis=0) for S in rescaled(fit, rng).S]
    assert any((clusters != S.argmax(axis=0)).any() for clusters, S in zip(raw, fit.S, strict=True))


def test_data_without_labels_have_no_agreement(fitted):
    config, material, fit = fitted("method=hier")
    bare = replace(material, dataset=replace(material.dataset, labels=[]))
    assert not set(CLUSTERING) & set(scored(config, bare, fit)[0])


def test_too_many_classes_have_no_clusters(fitted, monkeypatch):
    monkeypatch.setattr(view, "MOST_CLUSTERS", 3)
    nine, four, two = scored(*fitted("method=hier"))
    for name in ("purity", "nmi", "ari"):
        assert all(row[name] is not None for row in (nine, four, two))
        assert [row[f"{name}_kmeans"] is None for row in (nine, four, two)] == [True, True, False]


@pytest.mark.parametrize("options", ["method.pooling=mean", "method.activation=log1p"])
def test_layers_of_a_network_are_clustered_as_well(fitted, options):
    config, material, fit = fitted("method=deep", options)
    for row in scored(config, material, fit):
        assert min(row["nmi"], row["nmi_kmeans"]) > 0.1  # well above chance


def test_topics_that_take_no_part_are_recorded_and_named_in_one_line(fitted):
    config, material, fit = fitted("method=hier")
    assert idle_topics(scored(config, material, fit)) is None
    A = [factor.copy() for factor in fit.A]
    A[1][2:5], A[2][:] = 0.0, [1.0, 0.0]
    rows = scored(config, material, replace(fit, A=A))
    assert [row["unlinked_topics"] for row in rows] == [3, 0, 1]
    line = idle_topics(rows)
    assert (
        line == "Layer 0: 3 of 9 topics are empty or have no link to the layer above. Layer 2: 1 of 2 topics is empty."
    )


def test_with_pooling_no_link_is_counted_but_in_the_last_layer(fitted):
    rows = scored(*fitted("method=deep", "method.pooling=mean"))
    assert [row["unlinked_topics"] for row in rows] == [None, None, 0]
    assert idle_topics(rows) is None
