"""The topics of a run with their words as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from nnmf_runner.report.figures.style import PAGE, SMALL, TOPIC_COLOURS, fitted_title, text_width, title_of
from nnmf_runner.report.topics import Consensus, Topics, in_modes, told, tree_rows, votes_for

# In inches: the height of a box with two lines, of another line, of the space between boxes, and the width of what is
# about all.  In points: the widest link.
BOX, LINE, APART, ABOUT, WIDEST = 0.34, 0.13, 0.09, 0.3, 9.0
# In inches: widths of a box and of the space between columns, and those where a page does not hold all columns.
WIDE, NARROW = (2.5, 1.3), (2.0, 0.8)
# Links of a smaller share of the topic above are left out, but for that to where a topic stands.
FAINT = 0.03
# Links that a smaller share of the trials votes for are dashed, in units of their width.
MAJORITY, DASHES = 0.5, (0, (1.5, 1.0))
WORD_FONT = FontProperties(size=SMALL)


def topic_tree(record: dict[str, Any], label: str, data: str = "") -> Figure:
    """Draw the topics of a record with their top words, a column for every layer, and what each gives to those above.

    Of a consensus the stability of every topic stands below its name, and links that few trials have are dashed.  The
    label is what the run goes by, and its data go by `data` or else by their own title.
    """
    topics: Topics = record["topics"]
    consensus: Consensus | None = record.get("consensus")
    rows = tree_rows(topics)
    widths = [ABOUT + len(topics) * box + (len(topics) - 1) * between for box, between in (WIDE, NARROW)]
    width, (box, between) = (widths[0], WIDE) if widths[0] <= PAGE else (widths[1], NARROW)
    lines = [[_lines(topic, box) for topic in layer] for layer in topics]
    height = BOX + LINE * (max(len(each) for layer in lines for each in layer) - 2)
    row_height = height + APART
    tallest = row_height * (1 + max(max(layer.values()) for layer in rows))
    title, title_size = fitted_title(width, title_of(record, label, data))
    above = 0.6 + 1.3 * title_size * title.count("\n") / 72.0
    size = (width, tallest + above + 0.35)
    figure = Figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))  # in inches, from the top
    ax.set_axis_off()
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    ax.text(size[0] / 2, (above - 0.24) / 2, title, fontsize=title_size, **middle)
    places = []
    for level, column in enumerate(rows):
        left = ABOUT / 2 + level * (box + between)
        heading = f"layer {level}, {len(column)} topic{'s' if len(column) > 1 else ''}"
        ax.text(left + box / 2, above - 0.15, heading, fontsize=8, color="0.3", **middle)
        places.append({j: (left, above + row_height * (row + 0.5)) for j, row in column.items()})
    for level, layer in enumerate(topics):
        for j, topic in enumerate(layer):
            colour = TOPIC_COLOURS[j % len(TOPIC_COLOURS)] if level else "0.45"
            names = [f"{level}.{j}", *([f"{consensus['stability'][level][j]:.2f}"] if consensus else [])]
            _box(ax, places[level][j], (box, height), names, lines[level][j], colour)
            for i, share in zip(topic["children"], topic["child_weights"], strict=True):
                if share >= FAINT or topics[level - 1][i]["parent"] == j:
                    weak = consensus is not None and votes_for(consensus, level - 1, i, j) < MAJORITY
                    left, centre = places[level - 1][i]
                    _link(ax, (left + box, centre), places[level][j], share, colour, dashed=weak)
    if len(topics) > 1:
        legend = f"width of a link: share of the left topic in the right one, below {FAINT:.0%} left out"
        if any(slant == "italic" for layer in lines for each in layer for _, slant in each):
            legend = f"in italics: what sets a topic apart; {legend}"
        if consensus:
            votes = f"dashed: fewer than half of {len(consensus['members'])} trials put the topic there"
            legend = f"{legend}\nbelow a name: stability of the topic; {votes}"
        ax.text(size[0] / 2, size[1] - 0.16, legend, fontsize=SMALL, color="0.4", **middle)
    return figure


def _box(
    ax: Axes,
    place: tuple[float, float],
    size: tuple[float, float],
    names: Sequence[str],
    lines: Sequence[tuple[str, str]],
    colour: str,
) -> None:
    """Draw a topic's name, what stands below it, and lines of words."""
    (left, middle), (width, height) = place, size
    corner = (left, middle - height / 2)
    style: dict[str, Any] = {"facecolor": "white", "edgecolor": colour, "linewidth": 0.8, "zorder": 3}
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.05", **style))
    for i, (name, weight) in enumerate(zip(names, ("bold", "normal"), strict=False)):
        place = (left + 0.06, middle + LINE * (i - (len(names) - 1) / 2))
        ax.text(*place, name, va="center", fontsize=SMALL, color=colour, fontweight=weight, zorder=4)
    style = {"fontproperties": WORD_FONT, "parse_math": False, "va": "center", "zorder": 4}  # words may hold a $
    for i, (line, slant) in enumerate(lines):
        ax.text(left + 0.38, middle + LINE * (i - (len(lines) - 1) / 2), line, fontstyle=slant, **style)


def _lines(topic: dict[str, Any], box: float) -> list[tuple[str, str]]:
    """Lines for a topic in a box of this width, each with its slant: its top words in every mode.

    For a single mode another line has those that set it apart, or else more top words.
    """
    parts, width = in_modes(topic), 72.0 * (box - 0.6)  # with some space, for hinted letters can be wider
    found = [_fitted(part.words, width - text_width(part.heading)) for part in parts]
    lines = [
        (part.heading + " ".join(told(own or ["(no words)"])), "normal") for part, own in zip(parts, found, strict=True)
    ]
    if len(parts) == 1:
        words, first = parts[0].words, found[0]
        apart = _fitted([word for word in parts[0].distinctive if word not in words[: len(first)]], width)
        more = (apart, "italic") if apart else (_fitted(words[len(first) :], width), "normal")
        lines += [(" ".join(told(more[0])), more[1])] if more[0] else []
    return lines


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


def _link(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], share: float, colour: str, *, dashed: bool
) -> None:
    """Draw a curve from a box to one in the next column."""
    (x0, y0), (x1, y1) = start, end
    half = (x0 + x1) / 2
    curve = Curve([(x0, y0), (half, y0), (half, y1), (x1, y1)], [Curve.MOVETO, *[Curve.CURVE4] * 3])
    style: dict[str, Any] = {"edgecolor": colour, "facecolor": "none", "capstyle": "butt"}
    style |= {"linestyle": DASHES} if dashed else {}
    ax.add_patch(PathPatch(curve, linewidth=WIDEST * share, alpha=0.25 + 0.65 * share, **style, zorder=1 + share))
