"""What a record says of the layers of a fit: topics that take no part."""

from __future__ import annotations

from dataclasses import replace

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
