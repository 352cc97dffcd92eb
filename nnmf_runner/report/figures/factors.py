"""The topics of a tensor in all of its modes, as heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.topics import top_features
from nnmf_runner.report.figures.by_layer import scales_of
from nnmf_runner.report.figures.by_mode import (
    Labels,
    bins,
    blocks,
    colour_bar,
    entry_orders,
    mode_label,
    modes_of,
    picture,
    words,
)
from nnmf_runner.report.figures.heatmaps import shortened
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import SMALL, SMALLEST, add_title, colours_of

# In inches: height of a layer, and with names; width of a mode, least and for every topic, and of names; what is beside
# and above all.
HEIGHT, NAMED_HEIGHT, WIDTH, OF_TOPIC, NAMES, BESIDE, TITLE = 1.75, 2.9, 1.5, 0.13, 0.75, 0.9, 0.3
# The most words of a mode that are shown, as many of every topic.
MOST_WORDS = 24
# The most topics whose numbers are written below them.
MOST_NUMBERED = 25


def factors(view: View) -> Figure:
    """Draw the topics of every layer in every mode, each scaled to a largest weight of one in every mode.

    Topics of a layer stand in the same order in all modes, by where their entries are.  Of a mode of words the
    strongest of every topic are shown.
    """
    modes = modes_of(view)
    named = [words(view, mode) is not None for mode in range(len(modes.shape))]
    width = max(WIDTH, OF_TOPIC * min(MOST_NUMBERED, max(len(shares) for shares in view.shares)) + 0.3)
    height = NAMED_HEIGHT if any(named) else HEIGHT
    size = BESIDE + width * len(named) + NAMES * sum(named), TITLE + height * len(view.mode_topics)
    figure = Figure(figsize=size, layout="constrained")
    add_title(figure, view.title)
    parts = figure.subfigures(len(view.mode_topics), 1, squeeze=False)[:, 0]
    orders = entry_orders(view)
    for level, (part, topics) in enumerate(zip(parts, view.mode_topics, strict=True)):
        of_words = [
            _strongest(F, order) if told else order for F, order, told in zip(topics, orders, named, strict=True)
        ]
        _row(part, view, level, of_words)
    return figure


def _row(figure: SubFigure, view: View, level: int, orders: Sequence[Labels]) -> None:
    """Draw the topics of a layer, those entries of every mode that are given in this order."""
    modes, topics = modes_of(view), view.mode_topics[level]
    shown = [(F / scales_of(F))[order] for F, order in zip(topics, orders, strict=True)]
    order = _by_place(shown)
    k = len(order)
    figure.suptitle(f"layer {level}: {k} topic{'s' if k > 1 else ''} in every mode", fontsize=8, x=0.01, ha="left")
    axes, colours = figure.subplots(1, len(shown), squeeze=False)[0], colours_of(*shown)
    for mode, (ax, F) in enumerate(zip(axes, shown, strict=True)):
        labels = blocks(view.dataset, mode, k)
        rows = None if labels is None else labels[orders[mode]]
        image = picture(ax, _pooled(F[:, order]), F.shape, (rows, None), **colours)
        some = "" if len(F) == modes.shape[mode] else f"{len(F)} of "
        ax.set_ylabel(mode_label(view, mode, f"{some}{modes.shape[mode]}"), fontsize=SMALL)
        ax.set_xlabel("topic", fontsize=SMALL)
        if k <= MOST_NUMBERED:
            ax.set_xticks(range(k), [str(j) for j in order])
            ax.tick_params(axis="x", length=0, labelsize=SMALLEST if k > 15 else SMALL, pad=1)
        if (names := words(view, mode)) is not None:
            ax.set_yticks(range(len(F)), [shortened(names[i]) for i in orders[mode]], parse_math=False)
            ax.tick_params(axis="y", length=0, labelsize=SMALLEST, pad=1)
    colour_bar(image, axes, "weight, the largest being one")


def _strongest(topics: Matrix, order: Labels) -> Labels:
    """Of entries in some order the strongest of every topic, as many of each."""
    chosen = np.unique(top_features(topics, max(1, MOST_WORDS // topics.shape[1])))
    return order[np.isin(order, chosen)]


def _by_place(topics: Sequence[Matrix]) -> Labels:
    """The topics by the centre of their entries, the mean over the modes; shapes (d_i, k)."""
    centres = []
    for F in topics:
        mass = (F**2).sum(axis=0)
        centres.append(np.arange(len(F)) @ F**2 / np.where(mass > 0, mass, 1.0) / len(F))
    return np.argsort(np.mean(centres, axis=0), kind="stable")


def _pooled(F: Matrix) -> Matrix:
    """The largest weights of entries that have one place in a picture."""
    starts = np.flatnonzero(np.diff(bins(np.arange(len(F))), prepend=-1))
    return np.maximum.reduceat(F, starts, axis=0)
