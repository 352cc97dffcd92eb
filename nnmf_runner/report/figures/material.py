"""What figures of a run show: its saved factors beside its data, which are loaded again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nnmf_runner.core.approximation import Approximation
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import METHODS
from nnmf_runner.methods.fit import fit_from_arrays
from nnmf_runner.metrics.topics import or_one, topic_shares
from nnmf_runner.report.data import load_data
from nnmf_runner.report.figures.style import title_of
from nnmf_runner.report.variants import Shown
from nnmf_runner.store.record import read_factors

# More entries than this are no picture of the data any more.
LARGEST_PICTURE = 4_000_000


@dataclass(frozen=True)
class View:
    """The data and the factors of a run.

    A and S have their topics in the order of their samples, each column of A scaled to a largest entry of one.  Topics,
    codes and shares are in the order of the saved factors.
    """

    title: str
    dataset: Dataset
    order: NDArray[np.intp]  # of the samples in pictures, see `sample_order`
    approximations: list[Matrix]  # of the data, from the codes of every layer, (m, n); none of very large data
    A: list[Matrix]
    S: list[Matrix]  # the samples in their order in pictures
    topics: list[Matrix]  # what the topics of every layer stand for in the data, (m, k_l)
    codes: list[Matrix]  # of the topics, (k_l, n)
    shares: list[Matrix]  # of the approximation after every layer that each of its topics has, (k_l,)
    models: list[Approximation] = field(default_factory=list)  # the approximations as what they are made of
    mode_topics: list[list[Matrix]] = field(
        default_factory=list
    )  # of methods for tensors, by layer and mode, (d_i, k_l)

    @property
    def pixels(self) -> str | None:
        """What are the pixels of pictures, see `nnmf_runner.datasets.pictures`; None where there are none."""
        return None if self.dataset.pictures is None else self.dataset.pictures.of


def load_view(run: Shown) -> View:
    """Load the factors of a run and its data; ValueError says why they cannot be read or shown."""
    record, config = run.record, run.record["config"]
    shape = record["dataset"]["n_features"], record["dataset"]["n_samples"]
    small = math.prod(shape) <= LARGEST_PICTURE
    if not small and not record["dataset"].get("pictures") and not record["dataset"].get("modes"):
        raise ValueError("{} x {} entries are too many".format(*shape))
    dataset = load_data(record)
    options = dict(config["method"])
    method = METHODS[options.pop("name")](**options)
    fit = fit_from_arrays(read_factors(run.folder), History(), Stop(record["stop"]))
    A, S, levels = fit.A, fit.S, range(len(config["layers"]))
    models = [method.approximation(fit, S, i) for i in levels]
    modes = [found for i in levels if (found := method.mode_topics(fit, i))]
    approximations = [model.dense() for model in models] if small else []
    topics = [method.topics(fit, i) for i in levels]
    shares = [topic_shares(layer) for layer in modes or [[own, S[i].T] for i, own in enumerate(topics)]]
    order = sample_order(dataset)
    shown = arranged(A, [np.take(codes, order, axis=1) for codes in S])
    return View(
        title_of(record, run.variant, run.data),
        dataset,
        order,
        approximations,
        *shown,
        topics,
        S,
        shares,
        models,
        modes,
    )


def sample_order(dataset: Dataset) -> NDArray[np.intp]:
    """The samples by class where their classes do not come in blocks and they are no mode of a tensor, see below."""
    order = labelled_first(dataset)
    if dataset.modes is not None or all(come_in_blocks(labels[order]) for labels in dataset.labels):
        return order
    by_class = np.lexsort([labels[order] for labels in dataset.labels])  # by the coarsest level first
    without = [(labels[order] < 0)[by_class] for labels in dataset.labels]
    return order[by_class[np.lexsort([np.arange(len(order)), *without])]]


def come_in_blocks(labels: NDArray[np.intp]) -> bool:
    """Whether equal labels stand side by side."""
    return np.count_nonzero(np.diff(labels)) + 1 == len(np.unique(labels))


def labelled_first(dataset: Dataset) -> NDArray[np.intp]:
    """The samples in their order, but those without a label last, of them those without one of the coarsest level."""
    return np.lexsort([np.arange(dataset.X.shape[1]), *(labels < 0 for labels in dataset.labels)])


def topic_order(codes: Matrix) -> NDArray[np.intp]:
    """The topics by where their samples stand; codes of shape (k, n)."""
    position = (codes**2) @ np.arange(codes.shape[1]) / np.maximum((codes**2).sum(axis=1), np.finfo(float).tiny)
    return np.argsort(position, kind="stable")


def arranged(A: Sequence[Matrix], S: Sequence[Matrix]) -> tuple[list[Matrix], list[Matrix]]:
    """Order the topics of every layer by where their samples stand and scale them to a largest weight of one.

    Neither changes a product of factors: what a column of ``A_l`` loses, its row of ``A_{l+1}`` and ``S_l`` gains.
    A and S have shapes (k_{l-1}, k_l) and (k_l, n), before and after.
    """
    shown_A: list[Matrix] = []
    shown_S: list[Matrix] = []
    order = np.arange(len(A[0]))
    scale: Matrix = np.ones(len(A[0]))
    for factor, codes in zip(A, S, strict=True):
        if len(factor) == len(order):  # with pooling the rows of a layer are no longer the topics below
            factor = scale[order, None] * factor[order]
        scale = or_one(np.abs(factor).max(axis=0))
        order = topic_order(codes)
        shown_A.append((factor / scale)[:, order])
        shown_S.append((scale[:, None] * codes)[order])
    return shown_A, shown_S
