"""Words that topics are to begin with: by the topics' names, from a file or as a mapping."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.checks import InputError, shown
from nnmf_runner.datasets.files.reading import decoded, existing_file, read_unpacked

EXPECTED = "a YAML file of topics with their words, such as 'space: [orbit, shuttle]'"
# How many words are named that the data do not have.
NAMED = 5


def read_seed_words(path: str) -> dict[str, list[str]]:
    """The words of every topic in a YAML file, all of them text: ``no`` and ``1984`` are words, too.

    Raises
    ------
    InputError
        If there is no such file, or it is not a mapping of names to lists of words.
    """
    import yaml  # the configuration reads its files with it as well

    option = f"dataset.seed_words={path}"
    file = existing_file(path, EXPECTED, "dataset.seed_words")
    text = decoded(read_unpacked(file, option), file, option, "utf-8")
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{option} is not YAML: {at}{error.problem or error.context}. Expected {EXPECTED}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{option} is not YAML: {shown(reason)}. Expected {EXPECTED}.") from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{option} holds no topics by name. Expected {EXPECTED}.")
    topics: dict[str, list[str]] = {}
    for key, several in root.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in topics:
            is_name = isinstance(key, yaml.ScalarNode)
            said = f"has the topic {shown(key.value)} twice" if is_name else "has a topic whose name is no text"
            raise InputError(f"{option}, line {key.start_mark.line + 1}, {said}. Expected {EXPECTED}.")
        words = several.value if isinstance(several, yaml.SequenceNode) else []
        if not words or not all(isinstance(word, yaml.ScalarNode) and word.value for word in words):
            at = f"{option}, line {key.start_mark.line + 1}: topic {shown(key.value)}"
            raise InputError(f"{at} has no list of words. Expected {EXPECTED}.")
        topics[key.value] = [word.value for word in words]
    return topics


def seed_features(topics: Any, names: Sequence[str], rank: int, option: str) -> list[NDArray[np.intp]]:
    """The features that are the words of every topic.

    Parameters
    ----------
    topics : mapping of str to sequence of str
        Words by the name of their topic.
    names : sequence of str
        What every feature is called.
    rank : int
        Number of topics of the first layer, which they are to be.
    option : str
        What messages call the topics.

    Raises
    ------
    InputError
        If they are of another form, more than the rank, or have words that no feature is called by.
    """
    if not isinstance(topics, Mapping) or not topics:
        given = "empty" if isinstance(topics, Mapping) else f"of type {type(topics).__name__}"
        raise InputError(f"{option} is {given}. Expected a mapping of topics to lists of words.")
    for topic, words in topics.items():
        is_list = isinstance(words, Sequence) and not isinstance(words, str)
        if not is_list or not words or not all(isinstance(word, str) for word in words):
            raise InputError(f"{option} has no list of words for topic {shown(topic)}: it has {shown(words)}.")
    if len(topics) > rank:
        raise InputError(
            f"{option} has {len(topics)} topics, but the first layer has {rank}. Expected at most {rank}, or a larger "
            "first rank."
        )
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    unknown = [(topic, word) for topic, words in topics.items() for word in words if word not in places]
    if unknown:
        raise InputError(f"{option} has {_named(unknown)}, which the data do not have.{_hint(unknown[0][1], names)}")
    return [np.unique([i for word in words for i in places[word]]) for words in topics.values()]


def _named(unknown: Sequence[tuple[str, str]]) -> str:
    """Words with their topics."""
    several = [f"{shown(word)} (topic {shown(topic)})" for topic, word in unknown[:NAMED]]
    rest = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return f"the word{'s' if len(unknown) > 1 else ''} {', '.join(several)}{rest}"


def _hint(word: str, names: Sequence[str]) -> str:
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return f" Expected words as they are written there: did you mean {lower[near[0]]}?" if near else ""
