"""Charts of the page for plotly.js: what the figures draw, as numbers that a reader can point at."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle
from scipy import sparse

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.datasets import Dataset
from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.report.figures import comparison, convergence
from nnmf_runner.report.figures.by_layer import scales_of
from nnmf_runner.report.figures.by_mode import mode_name, modes_of
from nnmf_runner.report.figures.draw import comparable
from nnmf_runner.report.figures.heatmaps import without_outliers
from nnmf_runner.report.figures.material import View, topic_order
from nnmf_runner.report.figures.style import GREY, MISSING, Look, colours_of, entry_of
from nnmf_runner.report.variants import Shown, costs_of, in_words

# What plotly.js calls the markers and lines of figures.
SYMBOLS = {
    "o": "circle",
    "8": "octagon",
    "h": "hexagon",
    "p": "pentagon",
    "s": "square",
    "X": "x",
    "*": "star",
    "P": "cross",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    ">": "triangle-right",
    "D": "diamond",
    "d": "diamond-tall",
    "H": "hexagon2",
    "|": "line-ns-open",
    "1": "y-down-open",
    "x": "x-thin-open",
}
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
# Points of a line, and cells of a matrix, at most: more make the page large, and nobody can point at them.
MOST_POINTS, MOST_CELLS = 150, 20_000
# Colours of a scale, between which a browser mixes.
STOPS = 17
MISSING_COLOUR = to_hex(MISSING)
# Significant digits of what is drawn and of what is told.
DIGITS = 4


@dataclass(frozen=True)
class Chart:
    """A chart of plotly.js: its title, what it shows in words, and its traces and layout.

    Of a heatmap `rows` and `columns` are what its cells are called; the first of those that have one colour scale
    begins a row of charts.
    """

    title: str
    about: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    begins: bool = False

    @property
    def cells(self) -> int:
        """How many cells a heatmap has."""
        return len(self.rows) * len(self.columns)

    def as_dict(self) -> dict[str, Any]:
        """What the page draws, as JSON."""
        names = {"rows": self.rows, "columns": self.columns}
        return _escaped({"data": self.traces, "layout": self.layout, **names})


@dataclass(frozen=True)
class Sign:
    """What a mark in charts stands for, in words, its colour and its path, which is about the origin."""

    words: str
    colour: str
    path: str
    filled: bool = True


def signs_of(looks: Mapping[str, Look], runs: Sequence[Shown], summary: pd.DataFrame) -> list[Sign]:
    """The legend of an experiment: variants, with their costs where these differ, and what else there is to see.

    The runs stand for all variants.
    """
    costs = costs_of(runs)[1]
    costs |= {run.label: costs[run.variant] for run in runs if run.variant in costs}
    further = []
    if comparable(summary):
        further.append(Sign(comparison.FLOOR, GREY, "M-1,0 1,0"))
        if summary["reported"].notna().any():
            further.append(Sign(entry_of(comparison.PUBLISHED), GREY, marker_path("o"), filled=False))
    marks = [
        Sign(entry_of(in_words(label, costs.get(label))), look.colour, marker_path(look.marker))
        for label, look in looks.items()
    ]
    return marks + further


def marker_path(marker: str) -> str:
    """A marker as the path of an SVG, within a square of side one about the origin."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    outlines: Any = path.to_polygons(closed_only=False)
    return "".join(f"M{' '.join(f'{x:.2f},{-y:.2f}' for x, y in outline)}Z" for outline in outlines)


def comparison_charts(summary: pd.DataFrame, looks: Mapping[str, Look], runs: Sequence[Shown]) -> list[Chart]:
    """What the figure of the comparison shows: a chart for every measure and regime, of means by ranks."""
    charts = []
    looks = {label: look for label, look in looks.items() if label in set(summary["method"])}
    for title, part in comparison.parts_of(summary).items():
        axis = _axis(title, part)
        for regime, own in part[part["mean"].notna()].groupby("regime", sort=False, observed=True):
            layers = list(dict.fromkeys(own["layers"]))
            ranks = {"tickvals": [*range(len(layers))], "ticktext": layers, "range": [-0.6, len(layers) - 0.4]}
            layout = {"xaxis": {"title": {"text": "ranks of the layers"}, **ranks}, "yaxis": axis}
            what = title if title == comparison.EXCESS else METRICS[own["metric"].iloc[0]].title.lower()
            about = f"{what}, {regime}: {len(own)} means, which the tables of results have in numbers."
            charts.append(Chart(f"{what}, {regime}", about, _dots(own, layers, looks, costs_of(runs)[1]), layout))
    return charts


def _axis(title: str, part: pd.DataFrame) -> dict[str, Any]:
    """The axis of a measure, the same for all regimes."""
    limits = comparison.limits_of(title, part)
    if title != comparison.EXCESS:
        return {"range": numbers(limits)}
    low, high = np.log10(limits)
    ticks = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    texts = [comparison.percent(tick, part["mean"].min()) for tick in ticks]
    return {"type": "log", "range": [number(low), number(high)], "tickvals": ticks, "ticktext": texts}


def _dots(
    part: pd.DataFrame, layers: Sequence[str], looks: Mapping[str, Look], costs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Mean and deviation of every variant, side by side above the layers, published values, and the floor."""
    traces = [_floors(part, layers)] if part["floor"].notna().any() else []
    apart = min(comparison.APART, comparison.TOGETHER / len(looks))
    for i, (method, look) in enumerate(looks.items()):
        own = part[part["method"] == method]
        place = [number(layers.index(each) + apart * (i - (len(looks) - 1) / 2)) for each in own["layers"]]
        name, symbol = in_words(method, costs.get(method)), SYMBOLS[look.marker]
        below, above = map(numbers, comparison.deviations(own))
        bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": look.colour}
        style = {"marker": {"color": look.colour, "symbol": symbol, "size": 8}, "text": [*map(_told, own.itertuples())]}
        style["error_y"] = {**bars, "array": above, "arrayminus": below}
        traces.append(_scatter("markers", name, place, numbers(own["mean"]), "%{fullData.name}, %{text}", **style))
        if own["reported"].notna().any():
            marker = {"color": look.colour, "symbol": f"{symbol.removesuffix('-open')}-open", "size": 11}
            told = f"%{{fullData.name}}, {comparison.PUBLISHED}: %{{y}}"
            traces.append(_scatter("markers", name, place, numbers(own["reported"]), told, marker=marker))
    return traces


def _floors(part: pd.DataFrame, layers: Sequence[str]) -> dict[str, Any]:
    floors = numbers(part.groupby("layers", sort=False)["floor"].min().reindex(layers))
    x = [end for i in range(len(layers)) for end in (i - 0.45, i + 0.45, None)]
    y = [end for floor in floors for end in (floor, floor, None)]
    return _scatter("lines", comparison.FLOOR, x, y, f"{comparison.FLOOR}: %{{y}}", line={"color": GREY, "width": 1})


def _scatter(mode: str, name: str, x: Any, y: Any, told: str, **style: Any) -> dict[str, Any]:
    """A trace of points or lines; `told` is the template of what is told of a point."""
    template = f"{told}<extra></extra>"
    return {"type": "scatter", "mode": mode, "name": name, "x": x, "y": y, "hovertemplate": template, **style}


def _told(entry: Any) -> str:
    """A mean with its deviation and number of trials."""
    deviation = "" if pd.isna(entry.std) else f" ± {entry.std:.{DIGITS}g}"
    return f"ranks {entry.layers}: {entry.mean:.{DIGITS}g}{deviation}, n = {entry.n}"


def convergence_charts(
    lines: Sequence[convergence.Line], tolerances: Iterable[float], looks: Mapping[str, Look]
) -> list[Chart]:
    """What the figure of convergence shows: charts by iteration, with some points of every line.

    The logarithmic axis holds one more than the iteration, so that it begins with 0, the start.
    """
    charts = []
    ticks = convergence.iteration_ticks(lines)
    about = "; ".join(f"{line.words}: {line.iteration[-1]:.0f} iterations" for line in lines)
    layout = {
        "xaxis": {
            "type": "log",
            "tickvals": [1 + tick for tick in ticks],
            "ticktext": [f"{tick}" for tick in ticks],
            "title": {"text": "iteration"},
        },
        "yaxis": {"type": "log", "dtick": 1, "exponentformat": "power"},
    }
    ends = [1, 1 + max(1, *(int(line.iteration[-1]) for line in lines))]
    style = {"color": GREY, "width": 1, "dash": "dot"}
    told = f"{convergence.TOLERANCE}: %{{y}}"
    levels = [_scatter("lines", convergence.TOLERANCE, ends, [tol, tol], told, line=style) for tol in tolerances]
    for title, curves in convergence.panels_of(lines).items():
        traces = [_line(line, values, looks[line.label]) for line, values in zip(lines, curves, strict=True)]
        dotted = levels if title == convergence.GRADIENT else []
        heading = f"{title}, dotted the {convergence.TOLERANCE}" if dotted else title
        charts.append(Chart(heading, f"{title} by iteration. {about}.", [*traces, *dotted], layout))
    return charts


def _line(line: convergence.Line, values: Matrix, look: Look) -> dict[str, Any]:
    chosen = _spread(len(values))
    style = {
        "opacity": line.alpha,
        "line": {"color": look.colour, "dash": DASHES[look.line], "width": 1.5},
        "marker": {"symbol": SYMBOLS[look.marker], "size": 6, "maxdisplayed": convergence.MARKED},
    }
    told = "%{fullData.name}<br>iteration %{customdata}: %{y}"
    iterations = line.iteration[chosen].astype(int)
    style["customdata"] = iterations.tolist()
    return _scatter("lines+markers", line.words, (1 + iterations).tolist(), numbers(values[chosen]), told, **style)


def _spread(count: int) -> np.ndarray[Any, Any]:
    """Indices of some points, the first ones and then fewer, as a logarithmic axis shows them."""
    some = np.geomspace(1, count, MOST_POINTS) if count > MOST_POINTS else np.arange(1, count + 1)
    return np.unique(some.astype(int)) - 1


@dataclass(frozen=True)
class Part:
    """A matrix to be drawn: its name, what its rows and columns are, and what each of them is called."""

    name: str
    down: str
    across: str
    matrix: Any
    rows: list[str]
    columns: list[str]

    @property
    def is_small(self) -> bool:
        """Whether it has no more than `MOST_CELLS`."""
        return math.prod(self.matrix.shape) <= MOST_CELLS


def heatmaps(rows: Iterable[Iterable[Part]]) -> list[Chart]:
    """Heatmaps of the matrices from `parts_of` that are small, those of a row with one colour scale."""
    return [chart for row in rows for chart in _alike([part for part in row if part.is_small])]


def parts_of(view: View) -> list[list[Part]]:
    """What heatmaps show of a run, in rows: data and approximations, factors, codes; of a tensor topics in its modes.

    Samples and topics stand as in the figures.
    """
    orders = [topic_order(np.take(S, view.order, axis=1)) for S in view.codes]
    topics = [[f"topic {level}.{j}" for j in order] for level, order in enumerate(orders)]
    if view.mode_topics:
        return [_modes(view, level, orders[level], topics[level]) for level in range(len(view.mode_topics))]
    features = view.dataset.feature_names or [f"feature {i}" for i in range(view.dataset.X.shape[0])]
    samples = [_sample(view.dataset, i) for i in view.order.tolist()]
    below = [features, *topics]
    pictures = {"data": view.dataset.X} | {f"after layer {i}": each for i, each in enumerate(view.approximations)}
    return [
        [Part(name, "features", "samples", X[:, view.order], features, samples) for name, X in pictures.items()],
        [
            Part(f"A{i}", "topics below" if i else "features", "topics", A, _named(below[i], A), topics[i])
            for i, A in enumerate(view.A)
        ],
        [Part(f"S{i}", "topics", "samples", S, topics[i], samples) for i, S in enumerate(view.S)],
    ]


def _modes(view: View, level: int, order: Any, topics: list[str]) -> list[Part]:
    """The topics of a layer of a tensor in every mode, each scaled to a largest weight of one."""
    parts = []
    for mode, F in enumerate(view.mode_topics[level]):
        name = mode_name(view, mode).replace(r"\$", "$")
        entries = modes_of(view).entries[mode] or [f"{name} {i}" for i in range(len(F))]
        parts.append(Part(f"layer {level}, {name}", name, "topics", (F / scales_of(F))[:, order], entries, topics))
    return parts


def _named(names: list[str], A: Matrix) -> list[str]:
    """Names of the rows of a factor, which with pooling are not the topics below."""
    return names if len(names) == len(A) else [f"row {i}" for i in range(len(A))]


def _sample(dataset: Dataset, i: int) -> str:
    """What a sample is called, with its class if it has one."""
    name = dataset.sample_names[i] if dataset.sample_names else f"sample {i}"
    labels = [level[i] for level in dataset.labels[:1] if level[i] >= 0]
    told = [dataset.class_names[0][label] if dataset.class_names else f"class {label}" for label in labels]
    return ", ".join([name, *told])


def _alike(parts: Sequence[Part]) -> list[Chart]:
    """Heatmaps with one colour scale."""
    if not parts:
        return []
    matrices = [part.matrix.toarray() if sparse.issparse(part.matrix) else part.matrix for part in parts]
    whole = colours_of(*matrices)
    scale, beyond = without_outliers(whole, matrices)
    cut = f", colours up to {scale['vmax']:.3g} of {whole['vmax']:.3g}" if beyond != "neither" else ""
    stops = np.linspace(0.0, 1.0, STOPS)
    colours = [[float(stop), to_hex(colormaps[scale["cmap"]](stop))] for stop in stops]
    charts = [_heatmap(part, matrix, scale, colours, cut) for part, matrix in zip(parts, matrices, strict=True)]
    return [replace(charts[0], begins=True), *charts[1:]]


def _heatmap(part: Part, matrix: Matrix, scale: Mapping[str, Any], colours: Sequence[Any], cut: str) -> Chart:
    m, n = matrix.shape
    bar = {"thickness": 10, "len": 1.0, "outlinewidth": 0}
    ends = {"zmin": number(scale["vmin"]), "zmax": number(scale["vmax"])}
    trace = {"type": "heatmap", "z": [numbers(row) for row in matrix], "colorscale": colours, "colorbar": bar, **ends}
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
    layout = {
        "xaxis": {**axis, "title": {"text": f"{n} {part.across}"}},
        "yaxis": {**axis, "title": {"text": f"{m} {part.down}"}, "autorange": "reversed"},
        "plot_bgcolor": MISSING_COLOUR,
    }
    lowest, highest = (format(value, f".{DIGITS}g") for value in (np.nanmin(matrix), np.nanmax(matrix)))
    about = f"Heatmap of {part.name}: {m} {part.down} by {n} {part.across}, values from {lowest} to {highest}"
    missing = int(np.isnan(matrix).sum())
    told = f", {missing} missing" if missing else ""
    return Chart(f"{part.name}{cut}", f"{about}{told}.", [trace], layout, part.rows, part.columns)


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Numbers as JSON, with as many digits as are drawn; None for those that are missing or not finite."""
    return [number(value) for value in values]


def _escaped(value: Any, key: str = "") -> Any:
    """A value with the text in it as plotly.js reads text, in which it knows some of the tags of HTML."""
    if isinstance(value, dict):
        return {name: _escaped(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return html.escape(value, quote=False) if isinstance(value, str) and key != "hovertemplate" else value


def number(value: Any) -> float | None:
    """See `numbers`."""
    return float(f"{value:.{DIGITS}g}") if value is not None and math.isfinite(value) else None
