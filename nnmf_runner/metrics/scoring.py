"""What a record holds of a fit: the metrics of every layer, and its topics."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.files.cells import shortened
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.methods import Fit, Method
from nnmf_runner.metrics.errors import eckart_young_floors
from nnmf_runner.metrics.recovery import Planted, tree_agreement
from nnmf_runner.metrics.registry import METRICS, tabled
from nnmf_runner.metrics.topics import (
    distinctive_features,
    feature_shares,
    in_unit_topics,
    strongest_samples,
    top_features,
    tree_weights,
)
from nnmf_runner.metrics.view import TOP_SAMPLES, TOP_WORDS, LayerView
from nnmf_runner.task import Material, scored_levels


def score(config: RunConfig, material: Material, fit: Fit) -> list[dict[str, Any]]:
    """Metrics of every layer, from the factors alone; no floor is known where entries are missing."""
    dataset, entries, known = material.dataset, material.entries, material.known
    method, codes, rows, finest = config.method, fit.S, [], bool(config.eval_label_level)
    if method.bends_codes and fit.maps:  # new data have no labels that could change their codes
        codes = method.transform(fit, entries.X, entries.mask)
    shares = functools.partial(method.floor_shares, shape=material.task.shape)
    whole = entries.mask is None
    floors = eckart_young_floors(entries.X, config.layers, shares) if whole else [None] * len(config.layers)
    for i, (rank, level) in enumerate(zip(config.layers, scored_levels(config, material), strict=True)):
        row: dict[str, Any] = {"layer": i, "rank": rank, "label_level": level}
        labels = None if level is None else dataset.labels[level]
        layer = LayerView(
            method, dataset, entries, known, fit, i, codes[i], floors[i], labels, finest, material.left_out
        )
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
    if not _have_words(dataset):
        return None
    described: list[list[dict[str, Any]]] = []
    for level in range(len(fit.A)):
        topics = config.method.topics(fit, level)
        if dataset.modes is None:
            layer = in_words(topics, dataset.words or [])
        else:
            modes = config.method.mode_topics(fit, level)
            told = _by_mode(modes or _marginals(topics, fit.S[level], dataset.modes), dataset.modes)
            layer = [{"modes": list(topic)} for topic in zip(*told, strict=True)]
        described.append(layer)
    return _linked(described, tree_shares(config.method, fit))


def _have_words(dataset: Dataset) -> bool:
    """Whether topics of the data have words."""
    return bool(dataset.words if dataset.modes is None else any(dataset.modes.entries))


def _linked(layers: list[list[dict[str, Any]]], shares: Sequence[Matrix | None]) -> list[list[dict[str, Any]]]:
    """What is told of the topics of every layer, with their place in the tree."""
    linked = [[topic | {"children": [], "child_weights": [], "parent": None} for topic in layer] for layer in layers]
    for (below, above), share in zip(itertools.pairwise(linked), shares, strict=True):
        if share is not None:
            _link(below, above, share)
    return linked


def tree_shares(method: Method, fit: Fit) -> list[Matrix | None]:
    """What share of every topic each topic below has, see `tree_weights`, for every layer but the first.

    With pooling the rows of a factor are no longer the topics below: there is no tree.
    """
    pairs = zip(_sizes(method, fit), fit.A[1:], strict=False)
    return [tree_weights(below, A) if len(A) == below.shape[1] else None for below, A in pairs]


def _sizes(method: Method, fit: Fit) -> Iterator[Matrix]:
    """Sums of the positive weights of the topics of every layer, those of a tensor over all modes, shape (1, k)."""
    for level in range(len(fit.A)):
        modes = method.mode_topics(fit, level)[:-1]
        yield _sums(modes) if modes else _sums([np.maximum(method.topics(fit, level), 0.0)])


def describe_strongest(config: RunConfig, dataset: Dataset, fit: Fit) -> list[list[dict[str, Any]]] | None:
    """The samples that the topics of every layer are strongest in, as `STRONGEST` says, see `nnmf_runner.store.record`.

    Where topics have no words, their places in the tree are told here.
    None of a part of the data, in which samples have other indices.
    """
    if config.resamples:
        return None
    strengths = [in_unit_topics(S, config.method.topics(fit, level)) for level, S in enumerate(fit.S)]
    layers = [_in_samples(of_layer, dataset.sample_names) for of_layer in strengths]
    return layers if _have_words(dataset) else _linked(layers, tree_shares(config.method, fit))


def _in_samples(strengths: Matrix, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Indices of the strongest samples of every topic, with their strengths and what they are called."""
    layer = []
    for own, found in zip(strengths, strongest_samples(strengths, TOP_SAMPLES), strict=True):
        best = found[found >= 0]
        told = {"samples": best.tolist(), "strengths": own[best].tolist()}
        layer.append(told if names is None else told | {"names": [shortened(names[i]) for i in best]})
    return layer


def in_words(topics: Matrix, names: Sequence[str]) -> list[dict[str, Any]]:
    """Top entries of every topic, of shape (d, k), with their shares of it, and those that set it apart."""
    shares, distinctive = feature_shares(topics), distinctive_features(topics, TOP_WORDS)
    layer = []
    for j, top in enumerate(top_features(topics, TOP_WORDS)):
        top = top[top >= 0]
        words = {"words": [names[i] for i in top], "weights": shares[top, j].tolist()}
        layer.append(words | {"distinctive": [names[i] for i in distinctive[j] if i >= 0]})
    return layer


def _by_mode(topics: Sequence[Matrix], modes: Modes) -> list[list[dict[str, Any]]]:
    """What `in_words` says of every mode whose entries have names, with the name of the mode."""
    each = zip(topics, modes.names, modes.entries, strict=True)
    return [[{"name": name, **of} for of in in_words(own, names)] for own, name, names in each if names]


def _marginals(topics: Matrix, S: Matrix, modes: Modes) -> list[Matrix]:
    """Sums of topics of fibres, shape (m, k), over all modes but one, for each; the codes are those of the samples."""
    tensor = np.maximum(topics, 0.0).reshape(*modes.shape[:-1], -1)
    axes = range(tensor.ndim - 1)
    return [*(tensor.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes), S.T]


def _sums(modes: Sequence[Matrix]) -> Matrix:
    """Sums of topics in a single mode, the geometric mean over all modes, shape (1, k)."""
    return np.prod([F.sum(axis=0, keepdims=True) for F in modes], axis=0) ** (1.0 / len(modes))


def _link(below: list[dict[str, Any]], above: list[dict[str, Any]], shares: NDArray[Any]) -> None:
    """Tell topics of their children, largest share first, and of the parent that they have the largest share of."""
    for j, topic in enumerate(above):
        order = [i for i in np.argsort(-shares[:, j], kind="stable") if shares[i, j] > 0]
        topic |= {"children": [int(i) for i in order], "child_weights": shares[order, j].tolist()}
    for i, topic in enumerate(below):
        topic["parent"] = int(shares[i].argmax()) if shares[i].any() else None


def planted_tree(method: Method, dataset: Dataset, fit: Fit) -> float | None:
    """Share of topics found below their planted parent."""
    by_mode = bool(method.mode_topics(fit, 0))
    planted, links = Planted.of(dataset, by_mode=by_mode), fit.A[1:]
    if planted is None or any(len(link) != below.shape[1] for below, link in itertools.pairwise(fit.A)):
        return None
    modes = [method.mode_topics(fit, level)[:-1] for level in range(len(fit.A))]
    return tree_agreement(modes if by_mode else Planted.of_factors(fit.A).topics, links, planted)
