"""A layer of a fit as metrics see it: what several of them need is computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.approximation import Approximation, Product
from nnmf_runner.core.linalg import Distributed, Matrix, column_parts
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.resample import LeftOut
from nnmf_runner.datasets.visible import Entries
from nnmf_runner.methods import Fit, Method
from nnmf_runner.metrics.classification import Accuracy, accuracy
from nnmf_runner.metrics.clustering import MOST_CLUSTERS, Agreement, agreement, direction_clusters
from nnmf_runner.metrics.topics import Words, in_unit_topics, top_features

# Of every topic, where features have names.
TOP_WORDS = 10
# Of every topic, those that it is strongest in.
TOP_SAMPLES = 10


@dataclass(frozen=True)
class LayerView:
    """One layer of a fit, the data, and what the method saw of them.

    `codes`, of shape (k, n), are those that new data get, which have no labels that could change their codes; `labels`
    those that the layer is evaluated on, -1 where a sample has none, or None where no sample has one; and `adds_finest`
    tells whether this is one coarser level for all layers, beside which the finest labels are evaluated.  A fold of
    bi-cross-validation has `left_out` rows and columns.
    """

    method: Method
    dataset: Dataset
    entries: Entries
    known: NDArray[np.bool_]
    fit: Fit
    index: int
    codes: Matrix
    floor: float | None
    labels: NDArray[np.intp] | None
    adds_finest: bool = False
    left_out: LeftOut | None = None

    @property
    def is_distributed(self) -> bool:
        """Whether no process holds all data, nor all codes."""
        return isinstance(self.entries.X, Distributed)

    @cached_property
    def approximation(self) -> Approximation:
        """What the codes of the fit stand for in the data, shape (m, n)."""
        if self.is_distributed:  # whose codes stay in their files
            return Product(self.topics, self.fit.S[self.index])
        return self.method.approximation(self.fit, self.fit.S, self.index)

    @cached_property
    def topics(self) -> Matrix:
        """What each code stands for in the data, shape (m, k); of topics with modes, these below each other."""
        return self.method.topics(self.fit, self.index)

    @cached_property
    def modes(self) -> list[Matrix]:
        """The topics in every mode, shapes (d_i, k), samples last; to methods for matrices the others are one mode."""
        return self.method.mode_topics(self.fit, self.index) or [self.topics, self.fit.S[self.index].T]

    @property
    def has_modes(self) -> bool:
        """Whether the topics are those of a tensor in all of its modes."""
        return bool(self.method.mode_topics(self.fit, self.index))

    @property
    def below(self) -> LayerView:
        """The layer below, but for its codes of new data, floor and labels."""
        return replace(self, index=self.index - 1)

    @property
    def factors(self) -> list[Matrix]:
        """The factors of all layers, those of a tensor such that a topic that is empty in one mode is empty."""
        return [self.method.topics(self.fit, 0), *self.fit.A[1:]] if self.has_modes else self.fit.A

    @cached_property
    def accuracy(self) -> Accuracy:
        """Accuracies of linear maps from the codes to the labels."""
        return Accuracy(None, None, None) if self.labels is None else accuracy(self.codes, self.labels, self.known)

    @cached_property
    def by_largest_code(self) -> Agreement | None:
        """Agreement of the labels with the largest codes of topics of unit length."""
        if self.labels is None:
            return None
        largest = [in_unit_topics(self.codes[:, some], self.topics).argmax(axis=0) for some in column_parts(self.codes)]
        return agreement(np.concatenate(largest), self.labels)

    @cached_property
    def by_kmeans(self) -> Agreement | None:
        """Agreement of the labels with clusters of the codes of topics of unit length; None for too many classes.

        Samples without a label take no part in the clustering.  There is none where no process holds all codes.
        """
        if self.labels is None or self.is_distributed:
            return None
        labelled = self.labels >= 0
        codes, labels = in_unit_topics(self.codes, self.topics)[:, labelled], self.labels[labelled]
        if (n_classes := len(np.unique(labels))) > MOST_CLUSTERS:
            return None
        return agreement(direction_clusters(codes, n_classes), labels)

    @cached_property
    def top_words(self) -> Words | None:
        """The features of largest weight in every topic; None where they have no words, or are split into modes."""
        return None if self.dataset.words is None or self.has_modes else top_features(self.topics, TOP_WORDS)
