"""What a fit starts from: the data, the entries and the labels that a method may see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError, filled, split_missing
from nnmf_runner.core.label_costs import Labels
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.base import Loader, read_mask
from nnmf_runner.methods import check_layers

_loader = Loader()


@dataclass(frozen=True)
class Entries:
    """The data as a method sees them, and what it does not see.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (m, n)
        Zero where an entry is missing or held out.
    mask : ndarray of bool, shape (m, n), or None
        True where an entry is seen; None where all are.
    heldout : ndarray of shape (m, n) or None
        The data where they are held out, NaN elsewhere.
    """

    X: Any
    mask: NDArray[np.bool_] | None = None
    heldout: NDArray[Any] | None = None


@dataclass(frozen=True)
class Material:
    """What a fit starts from: the data, what a method sees of them, and the columns whose label it is given."""

    dataset: Dataset
    entries: Entries
    known: NDArray[np.bool_]


def prepare(config: RunConfig, seed: int) -> Material:
    """Load the data, hold entries out and draw the known labels.

    Raises
    ------
    InputError
        If the data cannot be had or do not fit the configuration.
    """
    dataset = _loader.load(config.dataset, config.identity(seed)["dataset"], seed)
    entries = visible_entries(config, dataset, stream(seed, "holdout"))
    check_data(config, dataset, entries)
    return Material(dataset, entries, known_labels(config, dataset, stream(seed, "labels")))


def visible_entries(config: RunConfig, dataset: Dataset, rng: np.random.Generator) -> Entries:
    """Tell missing entries apart and hold out the share of the known ones that the configuration asks for.

    Raises
    ------
    InputError
        If the data are not acceptable, or the mask does not fit them.
    """
    X, mask = split_missing(dataset.X, "X", None if config.mask is None else read_mask(config.mask))
    if not config.holdout:
        return Entries(X, mask)
    if sparse.issparse(X):
        raise InputError(f"holdout={config.holdout:g} needs dense data, dataset={dataset.name} is sparse.")
    known = np.ones(X.shape, bool) if mask is None else mask
    hidden = np.zeros(X.shape, bool)
    at = np.flatnonzero(known)
    hidden.flat[rng.choice(at, round(config.holdout * len(at)), replace=False)] = True
    if not X[hidden].any():
        raise InputError(
            f"holdout={config.holdout:g} hides {hidden.sum()} of {len(at)} entries, none of them positive, so there is "
            "no error to measure on them. Expected a larger share."
        )
    return Entries(*split_missing(np.where(hidden, 0.0, X), "X", known & ~hidden), np.where(hidden, X, np.nan))


def check_data(config: RunConfig, dataset: Dataset, entries: Entries) -> None:
    """Refuse ranks and label fractions that the data do not allow, and data that the method cannot take.

    Raises
    ------
    InputError
    """
    config.method.check_data(entries.X, entries.mask, config.cost)
    check_layers(config.layers, dataset.X.shape, allow_growing=config.allow_growing_ranks)
    config.init.check(dataset.X.shape[0], config.layers, signed=config.method.sign_free)
    given = f"label_fraction={config.label_fraction:g}"
    if config.label_fraction and not dataset.labels:
        raise InputError(f"{given} asks for labels, but dataset={dataset.name} has none. Expected label_fraction=0.")
    for name in ("label_level", "score_level"):
        chosen = getattr(config, name)
        if chosen is not None and not dataset.labels:
            raise InputError(
                f"{name}={chosen} asks for labels, but dataset={dataset.name} has none. Expected {name}=null."
            )
        if chosen is not None and chosen >= len(dataset.labels):
            raise InputError(
                f"{name}={chosen} does not exist. Expected at most {len(dataset.labels) - 1}: "
                f"dataset={dataset.name} has {len(dataset.labels)} levels of labels."
            )
    if isinstance(config.supervision.levels, list):
        if not dataset.labels:
            raise InputError(
                f"supervision.levels={config.supervision.levels} asks for labels, but dataset={dataset.name} has none. "
                "Expected supervision.levels=auto."
            )
        config.supervision.assign(config.layers, dataset.classes, config.method.supervises_layers)
    for level in supervised_layers(config, dataset).values():
        if len(np.unique(dataset.labels[level])) < 2:
            raise InputError(
                f"{given} asks for labels, but all samples of dataset={dataset.name} are of one class at level {level}."
            )


def check_sweep(configs: Iterable[RunConfig]) -> None:
    """Refuse a sweep of which any configuration does not fit its data, before the first of them runs.

    Raises
    ------
    InputError
    """
    loaded: dict[str, tuple[Dataset, Entries]] = {}
    for config in configs:
        key = repr((config.dataset, config.mask, config.holdout))
        if key not in loaded:
            dataset = _loader.load(config.dataset, config.identity(config.seed)["dataset"], config.seed)
            loaded[key] = dataset, visible_entries(config, dataset, stream(config.seed, "holdout"))
        check_data(config, *loaded[key])


def supervised_layers(config: RunConfig, dataset: Dataset, n_labelled: int | None = None) -> dict[int, int]:
    """The level of labels that each supervised layer learns from, by the layer.

    It is empty if no labels are given or their weight is zero.

    `n_labelled` is the number of samples whose label the method is given, where it is known already.
    """
    if not dataset.labels or not config.label_fraction or not config.supervision.weight:
        return {}
    labelled = None if n_labelled is None else [n_labelled] * len(dataset.labels)
    lower = config.method.supervises_layers
    return config.supervision.assign(config.layers, dataset.classes, lower, config.label_level, labelled)


def last_level(config: RunConfig, dataset: Dataset) -> int | None:
    """The level by whose classes the known labels are drawn, which is that of the last layer; None without labels.

    A list of `supervision.levels` does not change it: runs that differ in it meet the same labels.
    """
    return dataset.level(config.layers[-1]) if config.label_level is None else config.label_level


def own_levels(config: RunConfig, dataset: Dataset) -> list[int | None]:
    """The level of the labels that every layer is scored on; None without labels.

    Where ``score_level`` does not say it, that is the level which supervises the layer, or the nearest to its rank.
    """
    if not dataset.labels or config.score_level is not None:
        return [config.score_level] * len(config.layers)
    nearest = [*map(dataset.level, config.layers[:-1]), last_level(config, dataset)]
    supervised = supervised_layers(config, dataset)
    return [supervised.get(layer, level) for layer, level in enumerate(nearest)]


def layer_labels(config: RunConfig, material: Material) -> dict[int, Labels]:
    """What the cost holds of the known labels, by the layer; empty where none are known or they have no weight."""
    dataset, entries, known = material.dataset, material.entries, material.known
    levels = supervised_layers(config, dataset, int(known.sum()))
    classes = [np.where(known, labels, -1) for labels in dataset.labels]
    X = filled(entries.X, entries.mask)
    return config.supervision.by_layer(levels, classes, dataset.classes, X, config.layers)


def known_labels(config: RunConfig, dataset: Dataset, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Columns whose label the method is given, shape (n,)."""
    level = last_level(config, dataset)
    if level is None:
        return np.zeros(dataset.X.shape[1], bool)
    if config.lists_known and dataset.known is not None:
        return dataset.known
    return draw_known(dataset.labels[level], config.label_fraction, rng, dataset.labels[0])


def draw_known(
    labels: NDArray[np.intp], fraction: float, rng: np.random.Generator, finest: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Draw `fraction` of the columns, the same share of every class but at least one column each.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    fraction : float
    rng : Generator
        One state draws nested sets for rising fractions.
    finest : ndarray of shape (n,), optional
        Labels of another level: of those of its classes that share a class, nearly equal shares are drawn.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if fraction == 0.0:
        return np.zeros(len(labels), bool)
    # The j-th of n columns of a class stands at (j + 1/2) / n; the lowest are taken, whichever class they are of.
    known, place = np.zeros(len(labels), bool), np.empty(len(labels))
    for c in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == c))
        if finest is not None:
            members = members[np.argsort(_places(finest[members]), kind="stable")]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        known[members[0]] = True
    known[np.argsort(place, kind="stable")[: round(fraction * len(labels))]] = True
    return known


def _places(labels: NDArray[np.intp]) -> NDArray[np.floating[Any]]:
    """Where each entry stands among those of its class, between zero and one, shape (n,)."""
    place = np.empty(len(labels))
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return place
