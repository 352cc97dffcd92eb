"""What a record says of the layers of a fit: topics that take no part, and what counts of samples without a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnmf_runner.datasets.resample import Halves
from nnmf_runner.metrics.scoring import describe_strongest, describe_topics, planted_tree, score
from nnmf_runner.metrics.trees import tree_loss
from nnmf_runner.running.run import idle_topics
from nnmf_runner.store.form import is_forest
from nnmf_runner.task import prepare


def test_topics_that_take_no_part_are_recorded_and_named_in_one_line(fitted):
    config, material, fit = fitted("method=hier")
    assert idle_topics(score(config, material, fit)) is None
    A = [factor.copy() for factor in fit.A]
    A[1][2:5], A[2][:] = 0.0, [1.0, 0.0]
    rows = score(config, material, replace(fit, A=A))
    assert [row["unlinked_topics"] for row in rows] == [3, 0, 1]
    line = idle_topics(rows)
    assert (
        line == "Layer 0: 3 of 9 topics are empty or have no link to the layer above. Layer 2: 1 of 2 topics is empty."
    )


def test_with_pooling_no_link_is_counted_but_in_the_last_layer(fitted):
    rows = score(*fitted("method=deep", "method.pooling=mean"))
    assert [row["unlinked_topics"] for row in rows] == [None, None, 0]
    assert idle_topics(rows) is None


# Of labels; what else depends on the samples may change with them.
OF_LABELS = {"label_level", "accuracy", "accuracy_unknown", "accuracy_unknown_finest", "accuracy_fit"}
OF_LABELS |= {f"{index}{way}" for index in ("purity", "nmi", "ari") for way in ("", "_kmeans")}


@pytest.mark.parametrize("method", ["hier", "neural", "semi"])
@pytest.mark.parametrize(
    "options",
    [
        ["label_fraction=0", "eval_label_level=0"],
        ["label_fraction=0.3", "eval_label_level=1"],
        ["label_fraction=1", "eval_label_level=0"],
    ],
)
def test_samples_without_a_label_leave_all_metrics_of_labels_as_they_are(fitted, rng, method, options):
    config, material, fit = fitted(f"method={method}", "dataset.noise=2", *options)
    dataset, n = material.dataset, 40
    at = np.sort(rng.integers(0, 91, n))

    def wider(M):
        return np.insert(M, at, M[:, rng.integers(0, M.shape[1], n)], axis=1)

    X = wider(dataset.X)
    more = replace(dataset, X=X, labels=[np.insert(labels, at, -1) for labels in dataset.labels])
    entries = replace(material.entries, X=X)
    wide = replace(material, dataset=more, entries=entries, known=np.insert(material.known, at, False))
    rows = score(config, material, fit), score(config, wide, replace(fit, S=[wider(S) for S in fit.S]))
    for row, other in zip(*rows, strict=True):
        assert row.keys() == other.keys() >= OF_LABELS - {"accuracy_unknown_finest"}
        for name in OF_LABELS & row.keys():
            assert other[name] == row[name], name
    assert any(0.3 < row[name] < 1.0 for row in rows[0] for name in ("accuracy", "accuracy_fit") if row[name])


@pytest.fixture
def tensor(configure):
    """Configuration, material and fit of a short run on a small tensor, by its overrides."""

    def make(*overrides):
        config = configure("dataset=blocks", "dataset.sizes=[16,15,14]", "layers=4-2", "max_iter=40", *overrides)
        material = prepare(config, 0)
        return config, material, material.task.fit(0)

    return make


def test_a_tensor_has_the_error_of_models_by_themselves_and_the_distance_from_a_tree(tensor):
    config, material, fit = tensor("method=ncpd", "method.starts=3")
    below, above = score(config, material, fit)
    np.testing.assert_array_equal([below["alone_error"], above["alone_error"]], fit.parameters["alone"])
    assert below["tree_loss"] is None
    assert above["tree_loss"] == tree_loss(*(config.method.mode_topics(fit, level) for level in range(2)))
    assert min(below["topic_cosine"], above["topic_cosine"]) > 0.8
    assert planted_tree(config.method, material.dataset, fit) is None  # whose levels are 7, 4 and 2


def test_topics_that_are_fitted_mode_by_mode_are_one_in_all_modes(tensor):
    free = ["method.hierarchy=free", "method.training=layerwise", "method.starts=5"]
    config, material, fit = tensor("method=ncpd", "layers=7-4-2", *free)
    assert all(row["topic_cosine"] > 0.9 for row in score(config, material, fit)[1:])


def test_of_a_matricised_tensor_the_fibres_are_one_mode(tensor):
    config, material, fit = tensor("method=hier")
    below, above = score(config, material, fit)
    A, B = fit.A
    assert "alone_error" not in above
    assert above["tree_loss"] == pytest.approx(tree_loss([A, fit.S[0].T], [A @ B, fit.S[1].T]))
    assert below["topic_cosine"] > 0.8


def test_a_matrix_has_no_metrics_of_tensors(fitted):
    assert not {"tree_loss", "alone_error"} & score(*fitted("method=hier"))[0].keys()


def test_a_topic_of_a_tensor_that_is_empty_in_one_mode_takes_no_part(tensor):
    config, material, fit = tensor("method=ncpd", "method.starts=1", "max_iter=1")
    A = [fit.A[0].copy(), fit.A[1]]
    A[0][:16, 2] = 0.0
    assert [row["unlinked_topics"] for row in score(config, material, replace(fit, A=A))] == [1, 0]


def named(dataset, *which):
    """The data with names of the entries of some modes."""
    entries = tuple(
        [f"{mode}.{i}" for i in range(d)] if mode in which else None for mode, d in enumerate(dataset.modes.shape)
    )
    return replace(dataset, modes=replace(dataset.modes, entries=entries))


@pytest.mark.parametrize("method", ["method=ncpd", "method=hier"])
def test_topics_of_a_tensor_are_told_by_every_mode_that_has_names(tensor, method):
    config, material, fit = tensor(method)
    dataset = material.dataset
    assert describe_topics(config, dataset, fit) is None
    layers = describe_topics(config, named(dataset, 1, 2), fit)
    assert is_forest(layers)
    for level, layer in enumerate(layers):
        topics = config.method.mode_topics(fit, level)
        if not topics:
            fibres = config.method.topics(fit, level).reshape(16, 15, -1)
            topics = [fibres.sum(axis=1), fibres.sum(axis=0), fit.S[level].T]
        for j, topic in enumerate(layer):
            assert [mode["name"] for mode in topic["modes"]] == ["mode 1", "mode 2"]
            for mode, told in zip((1, 2), topic["modes"], strict=True):
                own = topics[mode][:, j]
                assert told["words"][0] == f"{mode}.{own.argmax()}"
                assert told["weights"][0] == pytest.approx(own.max() / own.sum())
    assert all(topic["parent"] is not None for topic in layers[0])


def test_shares_of_topics_below_do_not_depend_on_how_modes_share_scale(tensor, rng):
    config, material, fit = tensor("method=ncpd")
    scale = rng.uniform(0.1, 10.0, 4)
    A = [fit.A[0] * scale, fit.A[1] / scale[:, None]]
    before, after = (describe_topics(config, named(material.dataset, 0), each) for each in (fit, replace(fit, A=A)))
    for topic, other in zip(before[1], after[1], strict=True):
        assert topic["children"] == other["children"]
        np.testing.assert_allclose(topic["child_weights"], other["child_weights"], rtol=1e-9)


@pytest.mark.parametrize("method", ["method=ncpd", "method=hier"])
def test_samples_of_a_tensor_are_those_with_the_largest_parts_of_its_topics(tensor, method):
    config, material, fit = tensor(method)
    names = [f"s{i}" for i in range(14)]
    for level, layer in enumerate(describe_strongest(config, replace(material.dataset, sample_names=names), fit)):
        for j, told in enumerate(layer):
            S = np.zeros_like(fit.S[level])
            S[j] = fit.S[level][j]
            codes = [S if i == level else own for i, own in enumerate(fit.S)]
            lengths = np.linalg.norm(config.method.approximation(fit, codes, level).dense(), axis=0)
            assert told["samples"] == np.argsort(-lengths)[: min(10, np.count_nonzero(lengths))].tolist()
            np.testing.assert_allclose(told["strengths"], lengths[told["samples"]], rtol=1e-9)
            assert told["names"] == [names[i] for i in told["samples"]]


def test_names_in_a_record_are_short_and_those_of_a_part_of_the_data_unknown(fitted):
    config, material, fit = fitted("method=hier")
    long = replace(material.dataset, sample_names=["word " * 100] * material.dataset.X.shape[1])
    told = [topic for layer in describe_strongest(config, long, fit) for topic in layer]
    assert max(len(name) for topic in told for name in topic["names"]) <= 60
    assert max(len(topic["samples"]) for topic in told) == 10
    assert all("names" not in topic for layer in describe_strongest(config, material.dataset, fit) for topic in layer)
    assert describe_strongest(replace(config, resample=Halves()), material.dataset, fit) is None
