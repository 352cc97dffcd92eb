"""The block data of the slides: subtopics inside topics inside supertopics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.base import Dataset, Labels, Truth, check_entries


@dataclass
class Toy:
    """Blocks of a three-level hierarchy plus uniform noise, 87 features by 90 samples unless asked otherwise.

    An entry is ``levels[0]`` where its feature and sample share the subtopic, ``levels[1]`` where they share only
    the topic, ``levels[2]`` where only the supertopic, and zero elsewhere.

    Parameters
    ----------
    feature_blocks : list of int
        Number of features of every subtopic.
    sample_blocks : list of int
        Number of samples of every subtopic.
    topics : list of int
        Topic of every subtopic, counted from 0.
    supertopics : list of int
        Supertopic of every topic, counted from 0.
    levels : list of float
        Entries where feature and sample share the subtopic, only the topic, and only the supertopic.
    noise : float
        Noise is uniform on ``[0, noise)``; 0 for none.

    References
    ----------
    T. Will et al., arXiv:2303.00058, section 4.1.
    """

    name: ClassVar[str] = "toy"
    feature_blocks: list[int] = field(default_factory=lambda: [10, 5, 10, 12, 13, 4, 11, 8, 14])
    sample_blocks: list[int] = field(default_factory=lambda: [10, 10, 5, 7, 5, 20, 10, 9, 14])
    topics: list[int] = field(default_factory=lambda: [0, 0, 1, 1, 2, 2, 3, 3, 3])
    supertopics: list[int] = field(default_factory=lambda: [0, 0, 1, 1])
    levels: list[float] = field(default_factory=lambda: [4.0, 2.0, 1.0])
    noise: float = 0.15

    def __post_init__(self) -> None:
        check_number(self.noise, "dataset.noise", low=0.0)
        for name in ("feature_blocks", "sample_blocks"):
            _check_length(name, getattr(self, name), len(self.topics), "one block a subtopic, as in dataset.topics")
            for i, size in enumerate(getattr(self, name)):
                check_number(size, f"dataset.{name}[{i}]", low=1, integer=True)
        sizes = sum(self.feature_blocks), sum(self.sample_blocks)
        check_entries(*sizes, "dataset.feature_blocks and dataset.sample_blocks")
        _check_indices("topics", self.topics)
        _check_indices("supertopics", self.supertopics)
        _check_length("supertopics", self.supertopics, max(self.topics) + 1, "one supertopic a topic")
        _check_length("levels", self.levels, 3, "one value a level")
        for i, value in enumerate(self.levels):
            check_number(value, f"dataset.levels[{i}]", low=0.0)

    def load(self, rng: np.random.Generator) -> Dataset:
        """Generate the data with labels and true factors at all three levels, see `Source.load`."""
        topic, supertopic = np.array(self.topics), np.array(self.supertopics)
        values = self._values(topic, supertopic[topic])  # (k, k)
        features, samples = (np.repeat(np.arange(len(topic)), n) for n in (self.feature_blocks, self.sample_blocks))
        clean = values[features][:, samples]
        X = clean + rng.uniform(0.0, self.noise, clean.shape) if self.noise else clean

        labels = [samples, topic[samples], supertopic[topic[samples]]]
        truth = Truth(
            A=[values[features], _indicator(topic), _indicator(supertopic)],
            S=[_indicator(level).T for level in labels],
            feature_labels=[features, topic[features], supertopic[topic[features]]],
        )
        return Dataset(self.name, X, labels, truth)

    def _values(self, topic: Labels, supertopic: Labels) -> np.ndarray:
        """Value of a block by the subtopics of its features and samples."""
        same, own, parent = self.levels
        values = np.where(supertopic[:, None] == supertopic, parent, 0.0)
        values = np.where(topic[:, None] == topic, own, values)
        np.fill_diagonal(values, same)
        return values


def _indicator(labels: Labels) -> np.ndarray:
    """One-hot rows, shape (len(labels), number of classes)."""
    return np.eye(labels.max() + 1)[labels]


def _check_length(name: str, values: Sequence[object], expected: int, meaning: str) -> None:
    if len(values) != expected:
        raise InputError(f"dataset.{name} has {len(values)} entries, expected {expected}: {meaning}.")


def _check_indices(name: str, values: Sequence[int]) -> None:
    if sorted(set(values)) != list(range(len(set(values)))) or not len(values):
        raise InputError(f"dataset.{name}={list(values)} is not valid. Expected indices 0, 1, ... with none left out.")
