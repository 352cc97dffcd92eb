"""What the cost of all levels promises of whole runs: layers near their floors, topics that are linked and found."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.running.trials import run_trials


@pytest.fixture
def layers_of(configure, tmp_path):
    """The layers of every run of a configuration, and what its record says of the tree."""

    def make(*overrides):
        outcomes = run_trials(configure(*overrides, f"output={tmp_path}")).values()
        return [o.record["layers"] for o in outcomes], [o.record["tree_agreement"] for o in outcomes]

    return make


@pytest.mark.slow
def test_no_topic_of_digits_is_left_without_a_link(layers_of):
    pytest.importorskip("sklearn")
    [neural], _ = layers_of("dataset=digits", "layers=30-5", "max_iter=300")
    [hier], _ = layers_of("dataset=digits", "layers=30-5", "method=hier", "max_iter=300")
    assert [row["unlinked_topics"] for row in neural] == [0, 0]
    assert neural[0]["relative_error"] <= hier[0]["relative_error"] + 0.01
    assert neural[1]["relative_error"] < hier[1]["relative_error"]


@pytest.mark.slow
def test_planted_topics_and_their_tree_are_found_at_every_layer(layers_of):
    planted = ("dataset=planted", "dataset.noise=2", "layers=12-6-3", "trials=5", "max_iter=1000")
    neural, tree = layers_of(*planted)
    hier, hier_tree = layers_of(*planted, "method=hier")
    for layer in range(3):
        ours, theirs = (np.mean([run[layer]["topic_cosine"] for run in runs]) for runs in (neural, hier))
        assert ours >= theirs
    assert np.mean(tree) >= max(0.95, np.mean(hier_tree))
    labelled, _ = layers_of(*planted, "label_fraction=0.1")
    assert np.mean([run[-1]["accuracy_unknown"] for run in labelled]) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("label_fraction=0.4",)], ids=["plain", "labels"])
def test_every_way_to_optimise_brings_the_layers_near_their_floors(layers_of, options):
    for optimizer in ("spg", "sgd"):
        [rows], _ = layers_of("layers=9-4-2", f"optimizer={optimizer}", "max_iter=1000", *options)
        assert rows[0]["relative_error"] <= 1.05 * rows[0]["floor"]
        assert rows[2]["relative_error"] <= 1.01 * rows[2]["floor"]
