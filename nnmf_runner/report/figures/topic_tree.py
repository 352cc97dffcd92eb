"""The topics of a run with their words as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from nnmf_runner.report.figures.style import SMALL, TOPIC_COLOURS, text_width, title_of, title_size
from nnmf_runner.report.topics import Topics, told, tree_rows

# In inches: the boxes, the space between columns, a row.  In points: the widest link.
BOX, BETWEEN, ROW, WIDEST = (2.5, 0.34), 1.3, 0.43, 9.0
# Links of a smaller share of the topic above are left out.
FAINT = 0.03
WORD_FONT = FontProperties(size=SMALL)


def topic_tree(record: dict[str, Any], label: str | None = None) -> Figure:
    """Draw the topics of a record with their top words, a column for every layer, and what each gives to those above.

    The label is what the run goes by.
    """
    topics: Topics = record["topics"]
    rows = tree_rows(topics)
    tallest = ROW * (1 + max(max(layer.values()) for layer in rows))
    size = (0.3 + len(topics) * BOX[0] + (len(topics) - 1) * BETWEEN, tallest + 0.95)
    figure = Figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))  # in inches, from the top
    ax.set_axis_off()
    title = title_of(record, label)
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    ax.text(size[0] / 2, 0.18, title, fontsize=title_size(figure, title), **middle)
    places = []
    for level, column in enumerate(rows):
        left = 0.15 + level * (BOX[0] + BETWEEN)
        heading = f"layer {level}, {len(column)} topic{'s' if len(column) > 1 else ''}"
        ax.text(left + BOX[0] / 2, 0.45, heading, fontsize=8, color="0.3", **middle)
        places.append({j: (left, 0.6 + ROW * (row + 0.5)) for j, row in column.items()})
    for level, layer in enumerate(topics):
        for j, topic in enumerate(layer):
            colour = TOPIC_COLOURS[j % len(TOPIC_COLOURS)] if level else "0.45"
            _box(ax, *places[level][j], f"{level}.{j}", topic, colour)
            for i, share in zip(topic["children"], topic["child_weights"], strict=True):
                if share >= FAINT:
                    _link(ax, places[level - 1][i], places[level][j], share, colour)
    if len(topics) > 1:
        legend = f"in italics: what sets a topic apart; width of a link: share of the left topic, {FAINT:.0%} at least"
        ax.text(size[0] / 2, size[1] - 0.16, legend, fontsize=SMALL, color="0.4", **middle)
    return figure


def _box(ax: Axes, left: float, middle: float, name: str, topic: dict[str, Any], colour: str) -> None:
    """Draw a topic's name, a line of its top words, and one of those that set it apart or else of more top words."""
    corner = (left, middle - BOX[1] / 2)
    style: dict[str, Any] = {"facecolor": "white", "edgecolor": colour, "linewidth": 0.8, "zorder": 3}
    ax.add_patch(FancyBboxPatch(corner, *BOX, boxstyle="round,pad=0,rounding_size=0.05", **style))
    ax.text(left + 0.06, middle, name, va="center", fontsize=SMALL, color=colour, fontweight="bold", zorder=4)
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


def _link(ax: Axes, child: tuple[float, float], parent: tuple[float, float], share: float, colour: str) -> None:
    """Draw a curve from a box to one in the next column."""
    (x0, y0), (x1, y1) = (child[0] + BOX[0], child[1]), parent
    half = (x0 + x1) / 2
    curve = Curve([(x0, y0), (half, y0), (half, y1), (x1, y1)], [Curve.MOVETO, *[Curve.CURVE4] * 3])
    style = {"edgecolor": colour, "facecolor": "none", "capstyle": "butt"}
    ax.add_patch(PathPatch(curve, linewidth=WIDEST * share, alpha=0.25 + 0.65 * share, **style, zorder=1 + share))
