"""A tensor and its approximations, each as its largest entries over some of its modes."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse

from nnmf_runner.core.approximation import Approximation
from nnmf_runner.core.linalg import Matrix
from nnmf_runner.report.figures.by_mode import (
    Labels,
    bins,
    blocks,
    by_topic,
    colour_bar,
    entry_orders,
    mode_label,
    mode_name,
    modes_of,
    picture,
)
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import SMALL, add_title, colours_of

# Approximations of more entries would take minutes.
MOST_ENTRIES = 500_000_000
# Entries of an approximation that are formed at a time.
PART = 2**21
# The most projections of one tensor that stand side by side.
MOST_PAIRS = 10
# A median of the entries that is a smaller share of the largest makes a scale logarithmic, over so many decades.
SKEWED, DECADES = 0.02, 3
# In inches: height of a tensor, width of a projection, and what is beside and above all.
HEIGHT, WIDTH, BESIDE, TITLE = 1.6, 1.45, 0.9, 0.3
# Letters of a line above a projection.
HEADING = 26

Pair = tuple[int, int]


def projections(view: View) -> Figure:
    """Draw the largest entries over all modes but two, of the data and of the approximation of every layer.

    Raises
    ------
    ValueError
        If the tensor is too large.
    """
    modes, orders = modes_of(view), entry_orders(view)
    if math.prod(modes.shape) > MOST_ENTRIES:
        raise ValueError(f"{' x '.join(map(str, modes.shape))} entries are too many")
    places = [bins(order) for order in orders]
    pairs = [*itertools.combinations(range(len(modes.shape)), 2)]
    shown = pairs[:MOST_PAIRS]
    size = BESIDE + WIDTH * len(shown), TITLE + HEIGHT * (1 + len(view.models))
    figure = Figure(figsize=size, layout="constrained")
    some = "" if len(shown) == len(pairs) else f" ({len(shown)} of {len(pairs)} pairs of modes)"
    add_title(figure, view.title + some)
    first, *others = figure.subplots(1 + len(view.models), len(shown), squeeze=False)
    ranks = [len(shares) for shares in view.shares]
    _row(first, view, orders, _of_data(view, places, shown), ranks[0])
    rests = [[mode_name(view, mode) for mode in range(len(modes.shape)) if mode not in pair] for pair in shown]
    unbroken = [
        ", ".join(rest).replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", ") for rest in rests
    ]
    over = [textwrap.wrap(f"largest over {rest}", HEADING) for rest in unbroken]
    first[0].set_title("data" + "\n" * max(map(len, over)), loc="left")  # above the headings of the columns
    for level, (axes, model, k) in enumerate(zip(others, view.models, ranks, strict=True)):
        _row(axes, view, orders, _of_parts(_parts(model, modes.shape), places, shown), k)
        axes[0].set_title(f"approximation after layer {level}, {k} topic{'s' if k > 1 else ''}", loc="left")
    for pair, top, heading, bottom in zip(shown, first, over, [first, *others][-1], strict=True):
        top.set_title("\n".join(heading), fontsize=SMALL)
        bottom.set_xlabel(_label(view, pair[1]), fontsize=SMALL)
    return figure


def _row(axes: Sequence[Axes], view: View, orders: Sequence[Labels], pictures: dict[Pair, Matrix], rank: int) -> None:
    """Draw the projections of one tensor on one colour scale."""
    shape, colours = modes_of(view).shape, _colours([*pictures.values()])
    for ax, (pair, pixels) in zip(axes, pictures.items(), strict=True):
        labels = [blocks(view.dataset, mode, rank) for mode in pair]
        ordered = [None if each is None else each[orders[mode]] for each, mode in zip(labels, pair, strict=True)]
        image = picture(ax, pixels, (shape[pair[0]], shape[pair[1]]), ordered, **colours)
        ax.set_ylabel(_label(view, pair[0]), fontsize=SMALL)
    colour_bar(image, axes, "entry, logarithmic" if "norm" in colours else "entry")


def _label(view: View, mode: int) -> str:
    """Name and size of a mode, and whether its entries stand by topic."""
    return mode_label(view, mode, f"{modes_of(view).shape[mode]}" + (" by topic" if by_topic(view, mode) else ""))


def _colours(pictures: Sequence[Matrix]) -> dict[str, Any]:
    """One colour scale, which is logarithmic where few entries are far larger than most that are not zero."""
    colours = colours_of(*pictures)
    positive = np.concatenate([pixels[pixels > 0] for pixels in pictures])
    if colours["vmin"] < 0 or not len(positive) or np.median(positive) >= SKEWED * positive.max():
        return colours
    norm = LogNorm(positive.max() / 10**DECADES, positive.max(), clip=True)
    return {"cmap": colours["cmap"], "norm": norm}


def _of_data(view: View, places: Sequence[Labels], pairs: Sequence[Pair]) -> dict[Pair, Matrix]:
    """Projections of the data; of sparse ones from their coordinates."""
    X, shape = view.dataset.X, modes_of(view).shape
    if not sparse.issparse(X):
        return _of_parts([([slice(None)] * len(shape), X.reshape(shape))], places, pairs)
    entries = X.tocoo()
    rows, columns = entries.coords
    coords = [*np.unravel_index(rows, shape[:-1]), columns]
    pictures = _empty(places, pairs, 0.0)
    for (i, j), pixels in pictures.items():
        np.maximum.at(pixels, (places[i][coords[i]], places[j][coords[j]]), entries.data)
    return pictures


def _of_parts(parts: Any, places: Sequence[Labels], pairs: Sequence[Pair]) -> dict[Pair, Matrix]:
    """Projections of a tensor by its parts, each with its span of every mode; entries that are missing do not count."""
    pictures = _empty(places, pairs, -np.inf)
    for spans, part in parts:
        for (i, j), pixels in pictures.items():
            others = tuple(mode for mode in range(part.ndim) if mode not in (i, j))
            at = np.ix_(places[i][spans[i]], places[j][spans[j]])
            np.fmax.at(pixels, at, np.fmax.reduce(part, axis=others))
    return {pair: np.where(np.isfinite(pixels), pixels, np.nan) for pair, pixels in pictures.items()}


def _empty(places: Sequence[Labels], pairs: Sequence[Pair], lowest: float) -> dict[Pair, Matrix]:
    sides = [int(place.max()) + 1 for place in places]
    return {(i, j): np.full((sides[i], sides[j]), lowest) for i, j in pairs}


def _parts(model: Approximation, shape: Sequence[int]) -> Iterator[tuple[list[slice], NDArray[Any]]]:
    """The entries of an approximation of a tensor, no more than `PART` at a time, with their span of every mode."""
    steps = [*shape]
    while math.prod(steps) > PART:
        longest = int(np.argmax(steps))
        steps[longest] = -(-steps[longest] // 2)
    spans = [
        [slice(start, start + step) for start in range(0, size, step)] for size, step in zip(shape, steps, strict=True)
    ]
    for chosen in itertools.product(*spans):
        yield [*chosen], model.part(shape, chosen)
