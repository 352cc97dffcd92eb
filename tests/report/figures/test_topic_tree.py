"""The tree of topics as a figure: texts within their boxes, links as wide as their share."""

from __future__ import annotations

import dataclasses
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nnmf_runner.datasets import Dataset
from nnmf_runner.methods.neural import Neural
from nnmf_runner.metrics.scoring import describe_topics
from nnmf_runner.report.figures.style import PAGE, STYLE
from nnmf_runner.report.figures.topic_tree import FAINT, WIDEST, topic_tree
from nnmf_runner.store.form import WORDS

NAMES = [one + other for one in ("orbit", "moon", "dose") for other in ("launch", "rink", "skate", "cup", "war")]


def invented(rng, ranks, words):
    """A record of random topics with these words."""
    A = [rng.random(shape) ** 8 for shape in zip([len(words), *ranks[:-1]], ranks, strict=True)]
    fit = dataclasses.make_dataclass("Fit", ["A"])(A)
    config = dataclasses.make_dataclass("Config", ["method"])(Neural())
    topics = describe_topics(config, Dataset("invented", None, feature_names=words), fit)
    about = {"dataset": {"name": "invented"}, "method": {"name": "sparse_coding"}, "layers": list(ranks), "seed": 0}
    return {"config": about, "regime": "semisupervised", "topics": topics}


def in_modes(record):
    """The record with the words of every topic in three modes, the second of which lacks words."""
    for topic in (topic for layer in record["topics"] for topic in layer):
        told = {name: topic.pop(name) for name in WORDS}
        topic["modes"] = [
            {"name": "a mode", **told},
            {"name": "word", **{key: [] for key in told}},
            {"name": "z", **told},
        ]
    return record


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda record: record, in_modes])
@pytest.mark.parametrize("ranks", [(20, 6), (10, 6), (9, 4, 2), (3,), (1,)])
def test_no_text_of_the_tree_overlaps_another_or_leaves_its_box(rng, ranks, change):
    words = [*NAMES, "internationalisation" * 3, "WWWWWWWWWWWW", "$x_1", "$y"]
    with mpl.rc_context(STYLE):
        drawn = topic_tree(change(invented(rng, ranks, words)), "sparse_coding")
    assert isinstance(drawn, Figure)
    assert drawn.get_figwidth() <= PAGE
    FigureCanvasAgg(drawn).draw()
    texts = [text.get_window_extent() for text in drawn.axes[0].texts]
    for i, one in enumerate(texts):
        assert drawn.bbox.x0 <= one.x0 < one.x1 <= drawn.bbox.x1
        # lines of one box may touch by the space that a font leaves above and below its letters
        assert not any(one.shrunk(1.0, 0.9).overlaps(other.shrunk(1.0, 0.9)) for other in texts[:i])
    boxes = [patch.get_window_extent() for patch in drawn.axes[0].patches if hasattr(patch, "get_boxstyle")]
    assert len(boxes) == sum(ranks)
    # all but the title, the heading of every layer and the legend
    inside = texts[1 + len(ranks) : len(texts) - (len(ranks) > 1)]
    for text in inside:
        around = [box for box in boxes if box.x0 <= text.x0 and text.x1 <= box.x1 and box.y0 <= text.y0]
        assert any(text.y1 <= box.y1 for box in around)
    assert len(inside) >= 2 * sum(ranks)


def test_links_are_as_wide_as_their_share(rng):
    record = invented(rng, (5, 2), NAMES)
    patches = [p for p in topic_tree(record, "neural").axes[0].patches if not hasattr(p, "get_boxstyle")]
    below, above = record["topics"]
    links = [(j, *link) for j, t in enumerate(above) for link in zip(t["children"], t["child_weights"], strict=True)]
    shares = [share for j, i, share in links if share >= FAINT or below[i]["parent"] == j]
    np.testing.assert_allclose([p.get_linewidth() for p in patches], WIDEST * np.array(shares))


def test_a_topic_is_linked_to_where_it_stands_however_faintly(rng):
    record = invented(rng, (5, 2), NAMES)
    for topic in record["topics"][1]:
        topic["child_weights"] = [FAINT / 2] * len(topic["child_weights"])
    patches = [p for p in topic_tree(record, "neural").axes[0].patches if not hasattr(p, "get_boxstyle")]
    assert len(patches) == sum(topic["parent"] is not None for topic in record["topics"][0]) == 5


def test_a_line_for_every_mode_that_is_told(rng):
    drawn = topic_tree(in_modes(invented(rng, (2,), NAMES)), "neural")
    lines = [text.get_text() for text in drawn.axes[0].texts]
    assert sum(line.startswith("a mode: ") for line in lines) == lines.count("word: (no words)") == 2


def agreed(record, votes):
    """The record as the consensus of four trials in all of which each link has these votes."""
    ranks = record["config"]["layers"]
    consensus = {
        "members": dict.fromkeys("abcd", "0"),
        "stability": [[0.875] * rank for rank in ranks],
        "votes": [[[votes] * above] * below for below, above in itertools.pairwise(ranks)],
    }
    return record | {"consensus": consensus}


@pytest.mark.parametrize(("votes", "dashed"), [(0.49, True), (0.5, False)])
def test_links_that_few_trials_have_are_dashed(rng, votes, dashed):
    record = invented(rng, (5, 2), NAMES)
    for drawn, expected in ((agreed(record, votes), dashed), (record, False)):
        patches = [p for p in topic_tree(drawn, "neural").axes[0].patches if not hasattr(p, "get_boxstyle")]
        assert patches
        assert {p.get_linestyle() != "solid" for p in patches} == {expected}


def test_the_stability_of_every_topic_stands_below_its_name_and_nothing_overlaps(rng):
    with mpl.rc_context(STYLE):
        drawn = topic_tree(agreed(invented(rng, (9, 4, 2), NAMES), 0.25), "neural")
    FigureCanvasAgg(drawn).draw()
    texts = drawn.axes[0].texts
    names = {text.get_text(): text.get_window_extent() for text in texts if text.get_fontweight() == "bold"}
    below = [text.get_window_extent() for text in texts if text.get_text() == "0.88"]
    assert len(names) == len(below) == 15
    assert all(own.y1 <= name.y0 + 1.0 and own.x0 == name.x0 for own, name in zip(below, names.values(), strict=True))
    extents = [text.get_window_extent() for text in texts]
    for i, one in enumerate(extents):
        assert drawn.bbox.y0 <= one.y0 < one.y1 <= drawn.bbox.y1
        assert not any(one.shrunk(1.0, 0.9).overlaps(other.shrunk(1.0, 0.9)) for other in extents[:i])
