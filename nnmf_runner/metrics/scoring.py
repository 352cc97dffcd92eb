"""What a record says of a fit: the metrics of every layer, and its topics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import Fit
from nnmf_runner.metrics.classification import accuracy
from nnmf_runner.metrics.clustering import MOST_CLUSTERS, agreement, direction_clusters, in_unit_topics
from nnmf_runner.metrics.errors import eckart_young_floors, relative_error
from nnmf_runner.metrics.recovery import topic_recovery, tree_agreement
from nnmf_runner.metrics.topics import (
    distinctive_features,
    feature_shares,
    npmi_coherence,
    top_features,
    topic_diversity,
    tree_weights,
    unlinked_topics,
)
from nnmf_runner.task import Material, scored_levels

# Metrics of the last layer that stand for the run.
LAST_LAYER = (
    "relative_error",
    "heldout_error",
    "accuracy",
    "accuracy_unknown",
    "accuracy_unknown_finest",
    "accuracy_fit",
    "npmi",
    "diversity",
)
# Of every topic, where features have names.
TOP_WORDS = 10


def score(config: RunConfig, material: Material, fit: Fit) -> list[dict[str, Any]]:
    """Metrics of every layer, from the factors alone; no floor is known where entries are missing."""
    dataset, entries, known = material.dataset, material.entries, material.known
    levels, codes = scored_levels(config, material), fit.S
    if config.method.bends_codes and fit.B is not None:  # new data have no labels that could change their codes
        codes = config.method.transform(fit, entries.X, entries.mask)
    floors = [None] * len(config.layers) if entries.mask is not None else eckart_young_floors(entries.X, config.layers)
    held = None if entries.heldout is None else np.isfinite(entries.heldout)
    unlinked = unlinked_topics(fit.A)
    rows = []
    for i, rank in enumerate(config.layers):
        row: dict[str, Any] = {"layer": i, "rank": rank, "floor": floors[i]}
        product = (fit.A[0], config.method.decode(fit.A, fit.S, i))
        row["relative_error"] = relative_error(entries.X, *product, entries.mask)
        row["heldout_error"] = None if held is None else relative_error(entries.heldout, *product, held)
        row |= {"label_level": levels[i], "accuracy": None, "accuracy_unknown": None, "accuracy_fit": None}
        if (level := levels[i]) is not None:
            right = accuracy(codes[i], dataset.labels[level], known)
            row |= {"accuracy": right.all, "accuracy_unknown": right.unknown, "accuracy_fit": right.fit}
            row |= _clustering(codes[i], config.method.topics(fit.A, i), dataset.labels[level])
        if config.eval_label_level:  # one level for all layers; the finest one is told beside it
            row["accuracy_unknown_finest"] = accuracy(codes[i], dataset.labels[0], known).unknown
        row["unlinked_topics"] = unlinked[i]
        row["topic_cosine"] = _topic_cosine(config, dataset, fit, i)
        row |= _word_quality(config, dataset, fit, i)
        rows.append(row)
    return rows


def _clustering(S: Matrix, topics: Matrix, labels: NDArray[np.intp]) -> dict[str, float | None]:
    """Agreement of labels with the largest codes of topics of unit length, and with clusters of these codes."""
    codes, n_classes = in_unit_topics(S, topics), len(np.unique(labels))
    row: dict[str, float | None] = asdict(agreement(codes.argmax(axis=0), labels))
    by_kmeans = dict.fromkeys(row)  # None where there are too many classes
    if n_classes <= MOST_CLUSTERS:
        by_kmeans = asdict(agreement(direction_clusters(codes, n_classes), labels))
    return row | {f"{name}_kmeans": value for name, value in by_kmeans.items()}


def _topic_cosine(config: RunConfig, dataset: Dataset, fit: Fit, level: int) -> float | None:
    """Mean cosine of the planted topics with those of a layer; None where none are planted."""
    return topic_recovery(config.method.topics(fit.A, level), dataset.truth.A) if dataset.truth else None


def _word_quality(config: RunConfig, dataset: Dataset, fit: Fit, level: int) -> dict[str, float | None]:
    """Coherence and diversity of the top words of a level's topics; None without names."""
    if dataset.feature_names is None:
        return {"npmi": None, "diversity": None}
    top = top_features(config.method.topics(fit.A, level), TOP_WORDS)
    coherence = npmi_coherence(dataset.X, top)
    known = coherence[np.isfinite(coherence)]
    return {"npmi": float(known.mean()) if len(known) else None, "diversity": topic_diversity(top)}


def describe_topics(config: RunConfig, dataset: Dataset, fit: Fit) -> list[list[dict[str, Any]]] | None:
    """The topics of every layer as `TOPIC` says, see `nnmf_runner.store.record`; None without names of features."""
    if dataset.feature_names is None:
        return None
    names, described = dataset.feature_names, []
    below: NDArray[Any] | None = None
    for level, factor in enumerate(fit.A):
        topics = config.method.topics(fit.A, level)
        shares, distinctive = feature_shares(topics), distinctive_features(topics, TOP_WORDS)
        layer: list[dict[str, Any]] = []
        for j, top in enumerate(top_features(topics, TOP_WORDS)):
            top = top[top >= 0]
            topic = {"words": [names[i] for i in top], "weights": shares[top, j].tolist()}
            topic["distinctive"] = [names[i] for i in distinctive[j] if i >= 0]
            layer.append(topic | {"children": [], "child_weights": [], "parent": None})
        # With pooling the rows of a factor are no longer the topics below: there is no tree.
        if below is not None and len(factor) == below.shape[1]:
            _link(described[-1], layer, tree_weights(below, factor))
        described.append(layer)
        below = topics
    return described


def _link(below: list[dict[str, Any]], above: list[dict[str, Any]], shares: NDArray[Any]) -> None:
    """Tell topics of their children, largest share first, and of the parent that they have the largest share of."""
    for j, topic in enumerate(above):
        order = [i for i in np.argsort(-shares[:, j], kind="stable") if shares[i, j] > 0]
        topic |= {"children": [int(i) for i in order], "child_weights": shares[order, j].tolist()}
    for i, topic in enumerate(below):
        topic["parent"] = int(shares[i].argmax()) if shares[i].any() else None


def planted_tree(dataset: Dataset, fit: Fit) -> float | None:
    """Share of topics found below their planted parent."""
    return tree_agreement(fit.A, dataset.truth.A) if dataset.truth else None
