"""What a record says of the layers of a fit: topics that take no part, and what counts of samples without a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnmf_runner.metrics.scoring import score
from nnmf_runner.running.run import idle_topics


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
