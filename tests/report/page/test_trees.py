"""Trees of the page say what the record does: words with their shares, samples, and what trials agree on."""

from __future__ import annotations

import pytest

from nnmf_runner.report.page.trees import tree_of


def topic(words, weights, children=(), shares=(), parent=None, distinctive=()):
    links = {"children": [*children], "child_weights": [*shares], "parent": parent}
    return {"words": [*words], "weights": [*weights], "distinctive": [*distinctive], **links}


@pytest.fixture
def record(record_of):
    topics = [
        [
            topic(["orbit", "moon"], [0.4, 0.1], parent=0, distinctive=["orbit", "lunar"]),
            topic(["puck"], [0.0004], parent=1),
            topic(["rink"], [0.5], parent=1),
        ],
        [topic(["space"], [0.2], [0, 1], [0.9, 0.2]), topic(["game"], [0.2], [2, 1], [0.7, 0.3])],
    ]
    samples = [
        [{"samples": [3, 1], "strengths": [2.0, 1.0], "names": ["doc 3", "doc 1"]} for _ in layer] for layer in topics
    ]
    return record_of(topics=topics, strongest=samples, layers=(3, 2))


def test_topics_stand_below_their_parents_by_share(record):
    space, game = tree_of(record)
    assert [space.name, game.name] == ["1.0", "1.1"]
    assert [(each.name, each.share) for each in space.children] == [("0.0", "90%")]
    assert [(each.name, each.share) for each in game.children] == [("0.2", "70%"), ("0.1", "30%")]
    assert space.also == ["0.1 20%"]


def test_words_have_their_shares_and_bars(record):
    [space, game] = tree_of(record)
    (mode,) = space.children[0].modes
    assert [(word.text, word.share, word.part) for word in mode.words] == [
        ("orbit", "40.0%", 1.0),
        ("moon", "10.0%", 0.25),
    ]
    assert mode.distinctive == ["lunar"]
    assert game.children[1].modes[0].words[0].share == "<0.1%"
    assert space.summary == "space"


def test_samples_stand_by_name_or_number(record):
    assert tree_of(record)[0].samples == [("doc 3", "2"), ("doc 1", "1")]
    for layer in record["strongest"]:
        for own in layer:
            del own["names"]
    assert tree_of(record)[0].samples == [("sample 3", "2"), ("sample 1", "1")]


def test_a_consensus_tells_stability_and_votes(record):
    votes = [[[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]]]
    stability = [[0.9, 0.8, 1.0], [0.7, 0.6]]
    record["consensus"] = {"members": dict.fromkeys("abcd", ""), "stability": stability, "votes": votes}
    space, game = tree_of(record)
    assert space.stability == "stability 0.70"
    assert game.children[1].stability == "stability 0.80, below this topic in 3 of 4 trials"
    record["topics"] = None
    assert {node.name: node.stability for node in tree_of(record)}["0.1"] == "stability 0.80"


def test_without_words_the_samples_of_every_topic_stand_alone_and_the_last_layer_first(record):
    record["topics"] = None
    nodes = tree_of(record)
    assert [node.name for node in nodes] == ["1.0", "1.1", "0.0", "0.1", "0.2"]
    assert nodes[0].summary == "in doc 3, doc 1"
    assert nodes[0].modes == nodes[0].children == []
    record["strongest"] = None
    assert tree_of(record) == []


def test_modes_of_a_tensor_have_headings_and_no_samples_that_stand_among_their_words(record):
    for layer in record["topics"]:
        for each in layer:
            words = {name: each.pop(name) for name in ("words", "weights", "distinctive")}
            each["modes"] = [
                {"name": "word", **words},
                {"name": "day", "words": ["1"], "weights": [1.0], "distinctive": []},
            ]
    node = tree_of(record)[0]
    assert [mode.heading for mode in node.modes] == ["word: ", "day: "]
    assert node.summary == "word: space | day: 1"
    assert node.samples == []
