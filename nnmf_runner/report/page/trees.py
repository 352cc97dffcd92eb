"""Trees of topics for the page: what ``topics.md`` says in lines, as nodes that unfold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnmf_runner.report.topics import (
    SAMPLES,
    WORDS_OF_MODE,
    Consensus,
    Strongest,
    Topics,
    also_made_of,
    in_modes,
    percent,
    roots,
    told,
    tree_children,
    votes_for,
)


@dataclass(frozen=True)
class Word:
    """A word of a topic: its share of the topic as text, and as part of that of the first one."""

    text: str
    share: str
    part: float


@dataclass(frozen=True)
class Mode:
    """The words of a topic, or of it in one mode of a tensor, and those that set it apart."""

    heading: str
    words: list[Word]
    distinctive: list[str]


@dataclass(frozen=True)
class Node:
    """A topic: its name, what it is below its parent, its words, its samples, and the topics below it."""

    name: str
    share: str = ""
    stability: str = ""
    modes: list[Mode] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    samples: list[tuple[str, str]] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What is told of the topic while it is folded: its first words, of every mode, or else its samples."""
        modes = [
            mode.heading + " ".join(told([word.text for word in mode.words[:WORDS_OF_MODE]])) for mode in self.modes
        ]
        return " | ".join(modes) or f"in {', '.join(name for name, _ in self.samples[:SAMPLES])}"


def tree_of(record: Mapping[str, Any]) -> list[Node]:
    """The topics of a record that stand below no other, with all that is below them; those of the last layer first.

    Without words the topics of every layer have their samples alone.
    """
    topics, consensus, strongest = (record.get(name) for name in ("topics", "consensus", "strongest"))
    if topics:
        return [_node(topics, consensus, strongest, level, j, "") for level, j in roots(topics)]
    return [
        Node(f"{level}.{j}", "", _stability(consensus, level, j, None), samples=_samples({}, own))
        for level, layer in reversed([*enumerate(strongest or [])])
        for j, own in enumerate(layer)
    ]


def _node(
    topics: Topics, consensus: Consensus | None, strongest: Strongest | None, level: int, j: int, share: str
) -> Node:
    topic = topics[level][j]
    children = [
        _node(topics, consensus, strongest, level - 1, i, percent(part)) for i, part in tree_children(topics, level, j)
    ]
    return Node(
        f"{level}.{j}",
        share,
        _stability(consensus, level, j, topic["parent"]),
        [Mode(part.heading, _words(part.words, part.weights), _apart(part)) for part in in_modes(topic)],
        also_made_of(topics, level, j),
        _samples(topic, strongest[level][j]) if strongest else [],
        children,
    )


def _apart(part: Any) -> list[str]:
    return [word for word in part.distinctive if word not in part.words]


def _words(words: list[str], weights: list[float]) -> list[Word]:
    most = max(weights, default=0.0) or 1.0
    return [
        Word(word, f"{weight:.1%}" if abs(weight) >= 0.001 else "<0.1%", max(0.0, weight / most))
        for word, weight in zip(words, weights, strict=False)
    ]


def _stability(consensus: Consensus | None, level: int, j: int, parent: int | None) -> str:
    """How stable a topic of a consensus is, and how many trials have it below the same topic, in words."""
    if consensus is None:
        return ""
    stable = f"stability {consensus['stability'][level][j]:.2f}"
    if parent is None:
        return stable
    trials = len(consensus["members"])
    return f"{stable}, below this topic in {round(trials * votes_for(consensus, level, j, parent))} of {trials} trials"


def _samples(topic: Mapping[str, Any], strongest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The samples that a topic is strongest in, with the strengths, but for those that stand among its words."""
    names = strongest.get("names")
    if names and "modes" in topic:
        return []
    called = names or [f"sample {i}" for i in strongest["samples"]]
    return [(name, f"{strength:.3g}") for name, strength in zip(called, strongest["strengths"], strict=True)]
