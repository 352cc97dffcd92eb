"""What a record holds of a fit: the metrics of every layer, and its topics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import Fit
from nnmf_runner.metrics.errors import eckart_young_floors
from nnmf_runner.metrics.recovery import tree_agreement
from nnmf_runner.metrics.registry import METRICS, tabled
from nnmf_runner.metrics.topics import distinctive_features, feature_shares, top_features, tree_weights
from nnmf_runner.metrics.view import TOP_WORDS, LayerView
from nnmf_runner.task import Material, scored_levels


def score(config: RunConfig, material: Material, fit: Fit) -> list[dict[str, Any]]:
    """Metrics of every layer, from the factors alone; no floor is known where entries are missing."""
    dataset, entries, known = material.dataset, material.entries, material.known
    method, codes, rows, finest = config.method, fit.S, [], bool(config.eval_label_level)
    if method.bends_codes and fit.B is not None:  # new data have no labels that could change their codes
        codes = method.transform(fit, entries.X, entries.mask)
    shares = functools.partial(method.floor_shares, shape=material.task.shape)
    whole = entries.mask is None
    floors = eckart_young_floors(entries.X, config.layers, shares) if whole else [None] * len(config.layers)
    for i, (rank, level) in enumerate(zip(config.layers, scored_levels(config, material), strict=True)):
        row: dict[str, Any] = {"layer": i, "rank": rank, "label_level": level}
        labels = None if level is None else dataset.labels[level]
        layer = LayerView(method, dataset, entries, known, fit, i, codes[i], floors[i], labels, finest)
        found = [metric for metric in METRICS.values() if metric.applies(layer)]
        row |= {metric.name: metric.of_layer(layer) for metric in found if metric.of_layer is not None}
        rows.append(row)
    return rows


def run_metrics(layers: Sequence[dict[str, Any]], **measured: float) -> dict[str, float | None]:
    """Metrics of a run that have a table: those of the last layer, and what was measured beside the fit."""
    known = layers[-1] | measured
    return {metric.name: known.get(metric.name) for metric in tabled()}


def describe_topics(config: RunConfig, dataset: Dataset, fit: Fit) -> list[list[dict[str, Any]]] | None:
    """The topics of every layer as `TOPIC` says, see `nnmf_runner.store.record`; None without words for them."""
    if (names := dataset.words) is None:
        return None
    described: list[list[dict[str, Any]]] = []
    below: NDArray[Any] | None = None
    for level, factor in enumerate(fit.A):
        topics = config.method.topics(fit, level)
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
