"""Seed words: what a file may hold, which features they are, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.seed_words import read_seed_words, seed_features

WORDS = ["orbit", "no", "puck", "1984", "goal", "puck"]


@pytest.fixture
def written(tmp_path):
    """The path of a file of this content."""

    def write(content):
        (tmp_path / "topics.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path / "topics.yaml")

    return write


def test_all_words_are_text_and_topics_keep_their_order(written):
    found = read_seed_words(written("# mine\nsport: [puck, no]\n'1984': &both\n- 1984\n- true\nagain: *both\n"))
    assert [*found.items()] == [("sport", ["puck", "no"]), ("1984", ["1984", "true"]), ("again", ["1984", "true"])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [b\nc: d: e\n", "topics.yaml is not YAML: line 2: expected ',' or ']'"),
        ("a: [b]\n\ta: [c]", "topics.yaml is not YAML: line 2"),
        ("a: [b]\n---\nc: [d]", "topics.yaml is not YAML: line 2"),
        ("a: [\x01]", "topics.yaml is not YAML: unacceptable character"),
        ("a: *b", "topics.yaml is not YAML: line 1: found undefined alias"),
        ("[" * 50_000, "topics.yaml is not YAML: maximum recursion depth"),
        (b"a: [\xff]", "is not utf-8 text"),
        ("", "holds no topics by name"),
        ("[a, b]", "holds no topics by name"),
        ("word", "holds no topics by name"),
        ("{}", None),
        ("a: [b]\na: [c]", "line 2, has the topic a twice"),
        ("[a]: [c]", "line 1, has a topic whose name is no text\\. Expected"),
        ("a: b", "line 1: topic a has no list of words"),
        ("a: []", "line 1: topic a has no list of words"),
        ("x: [y]\na: [[b]]", "line 2: topic a has no list of words"),
        ("a: ['']", "line 1: topic a has no list of words"),
        ("a: {b: c}", "line 1: topic a has no list of words"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_line(written, content, message):
    path = written(content)
    if message is None:  # which holds no topic
        assert read_seed_words(path) == {}
        return
    with pytest.raises(InputError, match=message) as refused:
        read_seed_words(path)
    assert str(refused.value).startswith(f"dataset.seed_words={path}")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^dataset\.seed_words=.*none\.yaml does not exist\. Expected a YAML file"):
        read_seed_words(str(tmp_path / "none.yaml"))


def test_words_are_all_features_of_their_name_once_each():
    found = seed_features({"a": ["puck", "orbit", "puck"], "b": ("1984",)}, WORDS, 2, "seed_words")
    assert [each.tolist() for each in found] == [[0, 2, 5], [3]]


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ({}, "is empty. Expected a mapping"),
        (["puck"], "is of type list"),
        (np.arange(2), "is of type ndarray"),
        ({"a": "puck"}, "has no list of words for topic a: it has puck"),
        ({"a": []}, "has no list of words for topic a"),
        ({"a": ["puck", 1984]}, "has no list of words for topic a"),
        ({"a": ["puck"], "b": ["no"], "c": ["goal"]}, "has 3 topics, but the first layer has 2"),
        ({"a": ["puck", "Goal"]}, r"has the word Goal \(topic a\), which the data do not have\..*did you mean goal\?"),
        (
            {"a": ["xyz"], "b": ["qrs"]},
            r"has the words xyz \(topic a\), qrs \(topic b\), which the data do not have\.$",
        ),
        ({"a": [f"xyz{i}" for i in range(9)]}, r".* xyz4 \(topic a\) and 4 more, which"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_by_name(topics, message):
    with pytest.raises(InputError, match=rf"^seed_words {message}") as refused:
        seed_features(topics, WORDS, 2, "seed_words")
    assert "\n" not in str(refused.value)
