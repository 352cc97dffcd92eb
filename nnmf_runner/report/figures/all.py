"""Figures of runs, drawn from the saved factors and histories."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from matplotlib.textpath import text_to_path
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.streams import stream
from nnmf_runner.datasets import DATASETS, Dataset
from nnmf_runner.methods import METHODS
from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.metrics.topics import topic_shares
from nnmf_runner.report.looks import Look, looks_of
from nnmf_runner.report.topics import Topics, percent, told, tree_rows
from nnmf_runner.report.variants import Shown, file_part, method_order
from nnmf_runner.store.record import read_factors, read_history

log = logging.getLogger(__name__)

FORMATS = ("png", "pdf")
COLOUR_MAP, SIGNED_COLOUR_MAP = "YlGnBu", "PuOr_r"
# Of the largest entry: smaller negative ones are rounding, or of no weight in a picture.
NEGLIGIBLE = 0.02
COLOURS = ("#b3582f", "#5f7f3f", "#2f5f9e", "#7a4f8f", "#8f7a2f", "#4f8f8f")
BOUNDARY = {"color": "#c0504d", "linewidth": 0.5, "alpha": 0.8}
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "savefig.dpi": 180,
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.2,
}
# In per cent: the least excess over a floor that is drawn on its logarithmic scale.
EXCESS, SMALLEST_EXCESS = "% above the floor", 1e-3
ACCURACY = METRICS["accuracy"].title.lower()
# More entries than this are no picture of the data any more.
LARGEST_PICTURE = 4_000_000

# Of the tree of topics, in inches: its boxes, the space between columns, a row.  In points: its widest link.
BOX, BETWEEN, ROW, WIDEST = (2.5, 0.34), 1.3, 0.43, 9.0
# Links of a smaller share of the topic above are left out.
FAINT = 0.03
WORD_FONT = FontProperties(size=6.5)


def draw_all(shown: Mapping[str, Sequence[Shown]], summary: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """Draw the heatmaps and topics of one run per variant of a method, and the convergence of these runs together.

    An experiment of several methods on one dataset also gets a comparison of all its runs.

    Parameters
    ----------
    shown : mapping
        By experiment the runs that stand for the variants of its methods.
    summary : DataFrame
        Of all runs, from `nnmf_runner.report.table.summarise`.
    folder : Path
        Where to write; made if it does not exist.

    Yields
    ------
    Path
        Each file written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for experiment, runs in shown.items():
            for run in runs:
                yield from _draw_one(run, folder / f"{experiment}_{file_part(run.label)}")
            labels = {run.label for run in runs} | set(summary.loc[summary["experiment"] == experiment, "method"])
            yield from save(convergence(runs, looks_of(labels)), folder / f"{experiment}_convergence")
        for experiment, part in summary.groupby("experiment", sort=False):
            if part["method"].nunique() > 1 and part["dataset"].nunique() == 1:
                yield from save(comparison(part), folder / f"{experiment}_comparison")


def _draw_one(run: Shown, stem: Path) -> Iterator[Path]:
    """Draw the topics of a run, its heatmaps and, where the data are pictures, its topics as such."""
    if run.record.get("topics"):
        yield from save(topic_tree(run.record, run.label), _ending(stem, "topics"))
    try:
        view = load_view(run.folder, run.record, run.label)
    except ValueError as error:
        log.warning("%s: no heatmaps: %s.", run.folder, str(error).rstrip("."))
        return
    yield from save(heatmaps(view), _ending(stem, "heatmaps"))
    if view.dataset.image_shape is not None:
        yield from save(images(view), _ending(stem, "images"))


def _ending(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}_{what}")


@dataclass(frozen=True)
class View:
    """What the heatmaps of a run show.

    Attributes
    ----------
    title : str
    dataset : Dataset
    approximations : list of ndarray of shape (m, n)
        Of the data, from the codes of every layer.
    A, S : list of ndarray
        Factors with topics in the order of their samples, each column of A scaled to a largest entry of one.
    topics : list of ndarray of shape (m, k_l)
        What the topics of every layer stand for in the data, in the order of the saved factors.
    shares : list of ndarray of shape (k_l,)
        Of the approximation after every layer that each of its topics has.
    """

    title: str
    dataset: Dataset
    approximations: list[Matrix]
    A: list[Matrix]
    S: list[Matrix]
    topics: list[Matrix]
    shares: list[Matrix]


def load_view(path: Path, record: dict[str, Any], label: str | None = None) -> View:
    """Load a run's factors and its data.

    Parameters
    ----------
    path : Path
        The run's folder.
    record : dict
    label : str, optional
        What the run goes by; by default its method.

    Raises
    ------
    ValueError
        If the factors cannot be read or the data cannot be shown, with the reason.
    """
    options = dict(record["config"]["dataset"])
    name = options.pop("name")
    shape = record["dataset"]["n_features"], record["dataset"]["n_samples"]
    if np.prod(shape) > LARGEST_PICTURE:
        raise ValueError("{} x {} entries are too many".format(*shape))
    dataset = DATASETS[name](**record["dataset"].get("options", options)).load(stream(record["config"]["seed"], "data"))
    if dataset.fingerprint() != record["dataset"]["fingerprint"]:
        raise ValueError("the data are not those of the run any more")
    options = dict(record["config"]["method"])
    name = options.pop("name")
    method, factors = METHODS[name](**options), read_factors(path)
    levels = range(len(record["config"]["layers"]))
    A, S = [factors[f"A{i}"] for i in levels], [factors[f"S{i}"] for i in levels]
    approximations = [A[0] @ method.decode(A, S, i) for i in levels]
    topics = [method.topics(A, i) for i in levels]
    shares = [topic_shares(*layer) for layer in zip(topics, S, strict=True)]
    return View(_title(record, label), dataset, approximations, *arranged(A, S), topics, shares)


def _title(record: dict[str, Any], label: str | None) -> str:
    """Variant or method, ranks, regime and seed of a run."""
    config = record["config"]
    ranks = "-".join(map(str, config["layers"]))
    return f"{label or config['method']['name']}, {ranks}, {record['regime']}, seed {config['seed']}"


def arranged(A: Sequence[Matrix], S: Sequence[Matrix]) -> tuple[list[Matrix], list[Matrix]]:
    """Order the topics of every layer by where their samples stand and scale them to a largest weight of one.

    Neither changes a product of factors: what a column of ``A_l`` loses, its row of ``A_{l+1}`` and ``S_l`` gains.

    Parameters
    ----------
    A, S : sequence of ndarray of shape (k_{l-1}, k_l) and (k_l, n)

    Returns
    -------
    A, S : list of ndarray
    """
    shown_A, shown_S = [], []
    order, scale = np.arange(A[0].shape[0]), np.ones(A[0].shape[0])
    for factor, codes in zip(A, S, strict=True):
        if len(factor) == len(order):  # with pooling the rows of a layer are no longer the topics below
            factor = scale[order, None] * factor[order]
        position = (codes**2) @ np.arange(codes.shape[1]) / np.maximum((codes**2).sum(axis=1), np.finfo(float).tiny)
        largest = np.abs(factor).max(axis=0)
        scale = np.where(largest > 0, largest, 1.0)
        order = np.argsort(position, kind="stable")
        shown_A.append((factor / scale)[:, order])
        shown_S.append((scale[:, None] * codes)[order])
    return shown_A, shown_S


def heatmaps(view: View) -> Figure:
    """The data and their approximation after every layer, all A and all S; one colour scale a row."""
    depth, truth = len(view.A), view.dataset.truth
    labels = view.dataset.labels
    features = truth.feature_labels if truth else []
    X = view.dataset.X.toarray() if sparse.issparse(view.dataset.X) else view.dataset.X

    figure = Figure(figsize=(2.0 + 1.9 * depth, 6.4), layout="constrained")
    figure.suptitle(view.title, fontsize=10)
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1.0, 0.9, 0.55])
    names = ["data", *(f"after layer {i}" for i in range(depth))]
    pictures = _row(top, [X, *view.approximations], names, "features", "samples")
    factors = _row(middle, view.A, [f"$A_{i}$" for i in range(depth)], "features, topics below", "topics")
    codes = _row(bottom, view.S, [f"$S_{i}$" for i in range(depth)], "topics", "samples")

    for i, ax in enumerate(pictures):
        _mark(ax, _at(features, max(0, i - 1)), _at(labels, max(0, i - 1)))
    _mark(factors[0], _at(features, 0), None)
    for i, ax in enumerate(codes):
        _mark(ax, None, _at(labels, i))
    return figure


def _row(
    figure: SubFigure, matrices: Sequence[Matrix], titles: Sequence[str], down: str, across: str
) -> Sequence[Axes]:
    """Matrices side by side with one colour scale, diverging about zero where there are negative entries."""
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    highest = max(float(np.abs(matrix).max()) for matrix in matrices)
    lowest = min(float(matrix.min()) for matrix in matrices)
    colours = {"cmap": COLOUR_MAP, "vmin": 0.0, "vmax": highest}
    if lowest < -NEGLIGIBLE * highest:
        colours = {"cmap": SIGNED_COLOUR_MAP, "vmin": -highest, "vmax": highest}
    for ax, matrix, title in zip(axes, matrices, titles, strict=True):
        image = ax.imshow(matrix, aspect="auto", **colours)
        ax.set(title=f"{title}  ({matrix.shape[0]} x {matrix.shape[1]})", xticks=[], yticks=[], xlabel=across)
        ax.spines[:].set_visible(True)
    axes[0].set_ylabel(down)
    figure.colorbar(image, ax=axes, aspect=14, pad=0.01, fraction=0.05)
    return axes


def _at(levels: Sequence[Any], level: int) -> Any:
    """Labels of a level, or None where there is no such level."""
    return levels[level] if level < len(levels) else None


def _mark(ax: Axes, rows: Any, columns: Any) -> None:
    """Draw the boundaries of blocks of equal labels, where the labels come in blocks."""
    for labels, line in ((rows, ax.axhline), (columns, ax.axvline)):
        if labels is None:
            continue
        boundaries = np.flatnonzero(np.diff(labels)) + 0.5
        if len(boundaries) == len(np.unique(labels)) - 1:
            for boundary in boundaries:
                line(boundary, **BOUNDARY)


def images(view: View) -> Figure:
    """The topics of every layer, columns of ``A_0 ... A_l``, as pictures, with their shares of the approximation.

    Each has a colour scale of its own.
    """
    assert view.dataset.image_shape is not None
    across = min(10, max(4, *(topics.shape[1] for topics in view.topics)))
    down = [-(-topics.shape[1] // across) for topics in view.topics]
    height, width = view.dataset.image_shape
    figure = Figure(figsize=(0.5 + 0.85 * across, 0.6 + sum((0.85 * height / width + 0.2) * n + 0.35 for n in down)))
    figure.set_layout_engine("constrained")
    figure.suptitle(f"{view.dataset.name}: {view.title}", fontsize=10)
    parts = figure.subfigures(len(down), 1, height_ratios=down, squeeze=False)[:, 0]
    for level, (part, topics, rows) in enumerate(zip(parts, view.topics, down, strict=True)):
        heading = f"layer {level}, {_count(topics.shape[1])} with their shares of the approximation"
        part.suptitle(heading, fontsize=8, x=0.01, ha="left")
        for j, ax in enumerate(part.subplots(rows, across, squeeze=False).flat):
            ax.set_axis_off()
            if j < topics.shape[1]:
                _picture(ax, topics[:, j].reshape(height, width))
                ax.set_title(f"{level}.{j}  {percent(view.shares[level][j])}", fontsize=6.5, color="0.3", pad=2)
    return figure


def _picture(ax: Axes, picture: Matrix) -> None:
    """Dark where a topic weighs most, in two colours where it is negative somewhere."""
    highest = float(np.abs(picture).max()) or 1.0
    if picture.min() < -NEGLIGIBLE * highest:
        ax.imshow(picture, cmap=SIGNED_COLOUR_MAP, vmin=-highest, vmax=highest)
    else:
        ax.imshow(picture, cmap="Greys", vmin=0.0, vmax=highest)


def _count(topics: int) -> str:
    return f"{topics} topic{'s' if topics > 1 else ''}"


def topic_tree(record: dict[str, Any], label: str | None = None) -> Figure:
    """The topics of a run with their top words, a column for every layer, and what each gives to those above.

    Parameters
    ----------
    record : dict
        With topics, see `nnmf_runner.report.topics`.
    label : str, optional
        What the run goes by; by default its method.
    """
    topics: Topics = record["topics"]
    rows = tree_rows(topics)
    tallest = ROW * (1 + max(max(layer.values()) for layer in rows))
    size = (0.3 + len(topics) * BOX[0] + (len(topics) - 1) * BETWEEN, tallest + 0.95)
    figure = Figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))  # in inches, from the top
    ax.set_axis_off()
    title = f"{record['config']['dataset']['name']}: {_title(record, label)}"
    largest = (
        WORD_FONT.get_size() * 72.0 * (size[0] - 0.2) / text_width(title)
    )  # of one column it would leave the figure
    ax.text(size[0] / 2, 0.18, title, ha="center", va="center", fontsize=min(10.0, largest))
    places = []
    for level, layer in enumerate(rows):
        left = 0.15 + level * (BOX[0] + BETWEEN)
        heading = f"layer {level}, {_count(len(layer))}"
        ax.text(left + BOX[0] / 2, 0.45, heading, ha="center", va="center", fontsize=8, color="0.3")
        places.append({j: (left, 0.6 + ROW * (row + 0.5)) for j, row in layer.items()})
    for level, layer in enumerate(topics):
        for j, topic in enumerate(layer):
            colour = COLOURS[j % len(COLOURS)] if level else "0.45"
            _box(ax, *places[level][j], f"{level}.{j}", topic, colour)
            for i, share in zip(topic["children"], topic["child_weights"], strict=True):
                if share >= FAINT:
                    _link(ax, places[level - 1][i], places[level][j], share, colour)
    if len(topics) > 1:
        legend = f"in italics: what sets a topic apart; width of a link: share of the left topic, {FAINT:.0%} at least"
        ax.text(size[0] / 2, size[1] - 0.16, legend, ha="center", va="center", fontsize=6.5, color="0.4")
    return figure


def _box(ax: Axes, left: float, middle: float, name: str, topic: dict[str, Any], colour: str) -> None:
    """A topic's name, a line of its top words, and one of those that set it apart; of more top words without any."""
    corner = (left, middle - BOX[1] / 2)
    style = {"boxstyle": "round,pad=0,rounding_size=0.05", "facecolor": "white", "edgecolor": colour, "linewidth": 0.8}
    ax.add_patch(FancyBboxPatch(corner, *BOX, **style, zorder=3))
    ax.text(left + 0.06, middle, name, va="center", fontsize=6.5, color=colour, fontweight="bold", zorder=4)
    words, width = topic["words"], 72.0 * (BOX[0] - 0.6)  # with some space, for hinted letters can be wider
    first = _fitted(words, width)
    apart = _fitted([word for word in topic["distinctive"] if word not in words[: len(first)]], width)
    second = (apart, "italic") if apart else (_fitted(words[len(first) :], width), "normal")
    style = {"fontproperties": WORD_FONT, "parse_math": False, "va": "center", "zorder": 4}  # words may hold a $
    shown = [(" ".join(told(line)), slant) for line, slant in ((first or ["(no words)"], "normal"), second) if line]
    for i, (line, slant) in enumerate(shown):
        ax.text(left + 0.38, middle + 0.13 * (i - (len(shown) - 1) / 2), line, fontstyle=slant, **style)


def _fitted(words: Sequence[str], width: float) -> list[str]:
    """The first words that a line of this width in points holds; a first one that is wider is cut short."""
    fitted = list(words[:1])
    while fitted and text_width(fitted[0]) > width:
        fitted[0] = fitted[0][:-2] + "…"
    for word in words[1:]:
        if text_width(" ".join(told([*fitted, word]))) > width:
            break
        fitted.append(word)
    return fitted


def text_width(text: str, size: float = WORD_FONT.get_size()) -> float:
    """Width of a text of this size, both in points."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]


def _link(ax: Axes, child: tuple[float, float], parent: tuple[float, float], share: float, colour: str) -> None:
    """A curve from a box to one in the next column."""
    (x0, y0), (x1, y1) = (child[0] + BOX[0], child[1]), parent
    half = (x0 + x1) / 2
    curve = Curve([(x0, y0), (half, y0), (half, y1), (x1, y1)], [Curve.MOVETO, *[Curve.CURVE4] * 3])
    style = {"edgecolor": colour, "facecolor": "none", "capstyle": "butt"}
    ax.add_patch(PathPatch(curve, linewidth=WIDEST * share, alpha=0.25 + 0.65 * share, **style, zorder=1 + share))


def convergence(runs: Sequence[Shown], looks: Mapping[str, Look]) -> Figure:
    """Excess of the relative cost over the lowest reached, and projected gradient, by iteration.

    One look a variant; the layers of a hierarchical fit, which follow each other, from pale to dark.

    Parameters
    ----------
    runs : sequence of Shown
    looks : mapping
        By the labels of the runs.
    """
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for run in sorted(runs, key=lambda run: method_order(run.label)):
        try:
            history = read_history(run.folder)
        except ValueError as error:
            log.warning("%s: not in the figure of convergence: %s.", run.folder, error)
            continue
        look, stages = looks[run.label], np.unique(history["layer"])
        for i, layer in enumerate(stages, start=1):
            part = history["layer"] == layer
            label = run.label if layer < 0 else f"{run.label}, layer {layer:.0f}"
            style = {"color": look.colour, "linestyle": look.line, "marker": look.marker, "alpha": i / len(stages)}
            style |= {"markersize": 3.5, "markevery": 0.12, "label": label}
            iteration, cost = 1 + history["iteration"][part], history["cost"][part]
            left.loglog(iteration[:-1], np.maximum(cost - cost.min(), 1e-16)[:-1], **style)
            right.loglog(iteration, history["projected_gradient"][part], **style)
    config, regime = runs[0].record["config"], runs[0].record["regime"]
    right.axhline(config["tol"], color="0.4", linewidth=0.8, linestyle=":", label="tolerance")
    left.set(xlabel="iteration", title="relative cost above the lowest reached")
    right.set(xlabel="iteration", title="relative projected gradient")
    legend_below(figure, *right.get_legend_handles_labels())
    figure.suptitle(f"{'-'.join(map(str, config['layers']))}, {regime}, seed {config['seed']}", fontsize=9)
    return figure


def legend_below(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], size: float = 7.0, title: str | None = None
) -> None:
    """A legend below the axes, in as many columns as the figure is wide; the figure grows by what it takes."""
    entry = max(text_width(label, size) for label in labels) + 5.0 * size  # a handle and the spaces about it
    width = max(72.0 * figure.get_figwidth() - 2.0 * size, entry)
    rows = -(-len(labels) // int(width / entry))
    lines = [] if title is None else textwrap.wrap(title, int(width / (0.6 * size)))
    figure.set_figwidth((width + 2.0 * size) / 72.0)
    figure.set_figheight(figure.get_figheight() + 1.5 * size * (len(lines) + rows) / 72.0)
    style = {"fontsize": size, "title_fontsize": size, "alignment": "center"}
    columns = -(-len(labels) // rows)  # as full as each other
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title="\n".join(lines), **style)


def comparison(summary: pd.DataFrame) -> Figure:
    """Relative error, its excess over the floor, and accuracy of every method by layers; a column for every regime.

    Parameters
    ----------
    summary : DataFrame
        Of one experiment, from `nnmf_runner.report.table.summarise`.
    """
    errors = summary[summary["metric"] == "relative_error"]
    excess = 100.0 * (errors["mean"] / errors["floor"] - 1.0)
    rows = {
        METRICS["relative_error"].title.lower(): errors,
        EXCESS: errors.assign(mean=excess.clip(lower=SMALLEST_EXCESS), std=np.nan, floor=np.nan),
        ACCURACY: summary[summary["metric"] == "accuracy"],
    }
    rows = {title: part for title, part in rows.items() if part["mean"].notna().any()}
    regimes, looks = list(dict.fromkeys(errors["regime"])), looks_of(summary["method"])
    figure = Figure(figsize=(1.2 + 2.4 * len(regimes), 0.3 + 2.0 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(regimes), squeeze=False, sharey="row")
    for (title, part), axes in zip(rows.items(), grid, strict=True):
        for regime, ax in zip(regimes, axes, strict=True):
            _dots(ax, part[part["regime"] == regime], looks)
        first = next(ax for ax in axes if ax.axison)
        first.set_ylabel(title)
        first.tick_params(labelleft=True)
        if title == EXCESS:
            first.set_yscale("log")
        else:
            first.set_ylim(bottom=0.0, top=1.05 * (1.0 if title == ACCURACY else part["mean"].max()))
    for regime, ax in zip(regimes, grid[0], strict=True):
        ax.set_title(regime)
    handles, labels = grid[0][0].get_legend_handles_labels()
    legend_below(figure, handles, labels)
    return figure


def _dots(ax: Axes, part: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Mean and deviation of every variant, side by side above the layers; the floor as a line."""
    if part.empty:
        ax.set_axis_off()
        return
    layers = list(dict.fromkeys(part["layers"]))
    for i, (method, look) in enumerate(looks.items()):
        own = part[part["method"] == method]
        place = own["layers"].map(layers.index) + min(0.11, 0.8 / len(looks)) * (i - (len(looks) - 1) / 2)
        style = {"fmt": look.marker, "markersize": 4.0, "elinewidth": 0.8, "color": look.colour}
        ax.errorbar(place, own["mean"], own["std"].fillna(0.0), label=method, **style)
    if part["floor"].notna().any():
        floors = part.groupby("layers", sort=False)["floor"].mean().reindex(layers)
        span = np.arange(len(layers))
        ax.hlines(floors, span - 0.45, span + 0.45, color="0.5", linewidth=0.8, label="Eckart-Young floor")
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.6, len(layers) - 0.4)


def save(figure: Figure, stem: Path) -> Iterator[Path]:
    """Write a figure in every format, each file whole or not at all."""
    for suffix in FORMATS:
        path = stem.with_name(f"{stem.name}.{suffix}")
        scratch = path.with_name(f".{path.name}")
        figure.savefig(scratch, format=suffix)
        scratch.replace(path)
        yield path
