"""Figures of tensors by mode: in what order entries stand, where blocks of them end, and pictures of many entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from nnmf_runner.core.linalg import Matrix, nearest
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.datasets.pictures import as_numbers
from nnmf_runner.report.figures.heatmaps import mark_blocks, shortened
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import MISSING, SMALL

Labels = NDArray[np.intp]
# Letters of a line beside or below a picture.
LONGEST_LINE = 22
# More entries of a mode are drawn as this many, each the largest of those that stand together.
MOST_SIDE = 300


def modes_of(view: View) -> Modes:
    """The modes of a tensor."""
    modes = view.dataset.modes
    assert modes is not None
    return modes


def entry_orders(view: View) -> list[Labels]:
    """The order in which the entries of every mode stand in pictures.

    It is their own, samples without a label last, but for words, which have none: these stand by their strongest topics
    unless they come in blocks anyway.
    """
    modes, orders = modes_of(view), []
    for mode, size in enumerate(modes.shape):
        if by_topic(view, mode):
            orders.append(_by_strongest([topics[mode] for topics in view.mode_topics]))
        else:
            orders.append(view.order if mode == len(modes.shape) - 1 else np.arange(size))
    return orders


def by_topic(view: View, mode: int) -> bool:
    """Whether the entries of a mode stand by their strongest topics."""
    return bool(view.mode_topics) and words(view, mode) is not None and blocks(view.dataset, mode, 1) is None


def words(view: View, mode: int) -> list[str] | None:
    """Names of the entries of a mode that tell something, other than numbers; None without."""
    names = modes_of(view).entries[mode]
    return None if names is None or as_numbers(names) is not None else names


def _by_strongest(topics: Sequence[Matrix]) -> Labels:
    """Entries by their strongest topic of the last layer, of these by that of the layer below, and so on.

    Topics have shape (d, k_l), and those of equal weight in the largest entry are equally strong.
    """
    keys: list[Any] = [-(topics[0] / _largest(topics[0])).max(axis=1)]
    keys += [np.where(F.any(axis=1), (F / _largest(F)).argmax(axis=1), F.shape[1]) for F in topics]
    return np.lexsort(keys)


def _largest(topics: Matrix) -> Matrix:
    highest = np.abs(topics).max(axis=0)
    return np.where(highest > 0, highest, 1.0)


def blocks(dataset: Dataset, mode: int, rank: int) -> Labels | None:
    """The planted topic of every entry of a mode, of the level with most nearly as many, or its label; None without."""
    if (truth := dataset.tensor_truth) is not None:
        planted = truth.factors[nearest([factors[0].shape[1] for factors in truth.factors], rank)][mode]
        return np.where(planted.any(axis=1), planted.argmax(axis=1), -1)
    samples = dataset.modes is not None and mode == len(dataset.modes.shape) - 1
    level = dataset.level(rank) if samples else None
    return None if level is None else dataset.labels[level]


def bins(order: Labels) -> Labels:
    """The place in a picture of every entry of a mode, whose entries stand in this order, shape (d,)."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place * min(len(order), MOST_SIDE) // len(order)


def picture(ax: Axes, pixels: Matrix, size: tuple[int, int], labels: Sequence[Labels | None], **colours: Any) -> Any:
    """Draw pixels in the place of so many entries down and across, and where blocks of equal labels end."""
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    image = ax.imshow(pixels, aspect="auto", extent=extent, interpolation="nearest", **colours)
    ax.set_facecolor(MISSING)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    mark_blocks(ax, *labels)
    return image


def colour_bar(image: Any, axes: Sequence[Axes], unit: str) -> None:
    """Say what the colours of a row of pictures stand for."""
    bar = axes[0].figure.colorbar(image, ax=axes, aspect=12, pad=0.01, fraction=0.05)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label(unit, fontsize=SMALL)


def mode_name(view: View, mode: int) -> str:
    """Name of a mode, cut where it is long, with a number where others have it too, and whether it is of the samples.

    A dollar sign in it does not begin a formula.
    """
    names = modes_of(view).names
    number = f" {names[: mode + 1].count(names[mode])}" if names.count(names[mode]) > 1 else ""
    return (shortened(names[mode]) + number + (" (samples)" if mode == len(names) - 1 else "")).replace("$", r"\$")


def mode_label(view: View, mode: int, count: str) -> str:
    """Name of a mode and how many entries of it there are, in lines of their own where they are long together."""
    parts = mode_name(view, mode), count
    return (", " if sum(map(len, parts)) <= LONGEST_LINE else ",\n").join(parts)
