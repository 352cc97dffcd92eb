"""The style of all figures: sizes, the one palette of the project, what marks methods, legends, and files."""

from __future__ import annotations

import logging
import math
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path

from nnmf_runner.methods import METHODS
from nnmf_runner.report.data import data_title, trial_of
from nnmf_runner.report.variants import Shown, in_words, method_of, method_order
from nnmf_runner.store.files import whole_file

log = logging.getLogger(__name__)

FORMATS = ("png", "pdf")
# Fonts of common systems that have letters of many scripts, for those that the first has not.
FONT = "DejaVu Sans"
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
)
STYLE: dict[Any, Any] = {
    "font.family": [FONT, *(name for name in FALLBACKS if name in fontManager.get_font_names())],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
    "figure.titlesize": 10,
    "savefig.dpi": 180,
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.2,
}
# Small text, and the smallest of all, in points.
SMALL, SMALLEST = 6.5, 6.0
# The width of a page, in inches.
PAGE = 8.0
# A title that would be smaller than this, in points, is broken into lines, as long as there are no more than so many.
LEGIBLE, MOST_LINES = 8.0, 3

# Told apart by readers of every colour vision: M. Okabe and K. Ito, "Color Universal Design", 2008; and the wine of P.
# Tol, "Colour Schemes", 2021.
HUES = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9", "#882255")
GREY = "#7f7f7f"
# Of the variants of a method, those of the first without a change: shares of black (below zero) or white.  More than
# these have shades from dark to pale.
SHADES = (0.0, -0.45, 0.45, -0.7)
DARKEST, PALEST = -0.65, 0.6
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "....", r"\\\\", "++++")
# A row for every method, of markers that look alike; one row less than hues, for 42 pairs that differ.
MARKERS = ("o8hp", "sXP*", "^v<>", "DdH|", "phoH", "*P1x")

COLOUR_MAP, SIGNED_COLOUR_MAP, PICTURE_COLOUR_MAP = "YlGnBu", "PuOr_r", "Greys"
MISSING = "0.6"
BOUNDARY: dict[str, Any] = {"color": HUES[4], "linewidth": 0.5, "alpha": 0.8}
# Negative entries of a smaller share of the largest one are rounding, or of no weight in a picture.
NEGLIGIBLE = 0.02
# What matplotlib says of a letter that no font has.
GLYPH = r"Glyph (\d+) .*missing from"


@dataclass(frozen=True)
class Look:
    """What marks a variant: `hatch` is for areas, whose shade says something else."""

    colour: str
    marker: str
    line: str
    hatch: str


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """Give every variant of an experiment its look, in their order: a hue for each method, a shade for each variant.

    The labels are all names of the experiment, from `nnmf_runner.report.variants.variants`.
    """
    looks: dict[str, Look] = {}
    ordered = sorted(set(labels), key=method_order)
    for label in ordered:
        method = method_of(label)
        place, nth = list(METHODS).index(method), sum(method_of(other) == method for other in looks)
        shades = _shades(sum(method_of(other) == method for other in ordered))
        shade = shaded(HUES[place % len(HUES)], shades[nth])
        turn = nth + nth // len(SHADES)  # with every round of shades the other marks move on by one
        marks = MARKERS[place % len(MARKERS)], LINES, HATCHES
        looks[label] = Look(shade, *(mark[turn % len(mark)] for mark in marks))
    return looks


def _shades(count: int) -> Sequence[float]:
    """Shares of black or white for so many variants of a method, no two of them equal."""
    return SHADES if count <= len(SHADES) else np.linspace(DARKEST, PALEST, count).tolist()


def shaded(colour: str, share: float) -> str:
    """Mix a colour with this share of white, or of black where it is below zero."""
    rgb = np.array(to_rgb(colour))
    red, green, blue = rgb + share * (1.0 - rgb) if share > 0 else (1.0 + share) * rgb
    return to_hex((red, green, blue))


# Dark enough for small letters.
TOPIC_COLOURS = tuple(shaded(hue, -0.3) for hue in HUES)


def colours_of(*matrices: np.ndarray, positive: str = COLOUR_MAP) -> dict[str, Any]:
    """Options of `imshow` for one colour scale from zero, or one that diverges about zero where entries are negative.

    `positive` is the colour map where there are no negative entries.  Missing entries, which are NaN, have no colour.
    """
    highest = max(float(np.nanmax(np.abs(matrix))) for matrix in matrices) or 1.0
    if min(float(np.nanmin(matrix)) for matrix in matrices) < -NEGLIGIBLE * highest:
        return {"cmap": SIGNED_COLOUR_MAP, "vmin": -highest, "vmax": highest}
    return {"cmap": positive, "vmin": 0.0, "vmax": highest}


def title_of(record: dict[str, Any], label: str, data: str = "") -> str:
    """Name the data, the variant with its cost, the ranks, the regime and the seed of a run.

    A dollar sign in the name of a file does not begin a formula.
    """
    data, *others = _about(record, data)
    variant = in_words(label, record["config"].get("cost", {}).get("name"))
    return f"{data}: {', '.join([variant, *others])}".replace("$", r"\$")


def in_common(runs: Sequence[Shown]) -> tuple[str, dict[str, str]]:
    """What `title_of` says of all runs alike, and of each by its label what it says beside the variant."""
    abouts = [_about(run.record, run.data) for run in runs]
    shared = [len(set(column)) == 1 for column in zip(*abouts, strict=True)]
    alike = [text for text, same in zip(abouts[0], shared, strict=True) if same]
    others = [[text for text, same in zip(about, shared, strict=True) if not same] for about in abouts]
    apart = {run.label: ", ".join(each) for run, each in zip(runs, others, strict=True)}
    return ", ".join(alike).replace("$", r"\$"), apart


def _about(record: dict[str, Any], data: str) -> list[str]:
    ranks = record["config"]["layers"]
    told = f"rank{'s' if len(ranks) > 1 else ''} {'-'.join(map(str, ranks))}"
    return [data or data_title(record), told, record["regime"], trial_of(record)]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the style of all figures; the log tells once which letters no font has, of all that are drawn."""
    with warnings.catch_warnings(record=True) as caught, mpl.rc_context(STYLE):
        warnings.filterwarnings("default", GLYPH)
        yield
    found = [(re.match(GLYPH, str(each.message)), each) for each in caught]
    if lacking := {chr(int(glyph[1])) for glyph, _ in found if glyph}:
        log.warning(
            "No font that is installed has the letters %s, which are drawn as boxes. Install one, such as %s.",
            "".join(sorted(lacking)),
            FALLBACKS[0],
        )
    for glyph, each in found:
        if not glyph:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def text_width(text: str, size: float = SMALL) -> float:
    """Width of a text of this size, both in points."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]


def fitted_title(width: float, title: str) -> tuple[str, float]:
    """A title in as few lines as stay within this width in inches at a legible size, and that size in points."""
    for count in range(1, MOST_LINES + 1):
        lines = textwrap.wrap(title, math.ceil(len(title) / count) + (count > 1) * 8, break_on_hyphens=False)
        size = min(STYLE["figure.titlesize"], 72.0 * (width - 0.2) / max(text_width(line, 1.0) for line in lines))
        if size >= LEGIBLE:
            break
    return "\n".join(lines), size


def add_title(figure: Figure, title: str) -> None:
    """Write a title above a figure, which grows by all lines but the first."""
    text, size = fitted_title(figure.get_figwidth(), title)
    figure.set_figheight(figure.get_figheight() + 1.3 * size * text.count("\n") / 72.0)
    figure.suptitle(text, fontsize=size)


def entry_of(words: str) -> str:
    """What a legend calls something: its name with a capital, as some of the names have it anyway."""
    return words[:1].upper() + words[1:]


def legend_below(
    figure: Figure, handles: Sequence[Any], labels: Sequence[str], size: float = 7.0, title: str | None = None
) -> None:
    """Add a legend below the axes, in as many columns as fit; the figure grows by what it takes.

    Labels begin with a capital, and are broken into lines where they are wider than a page.
    """
    beside = 5.0 * size  # a handle and the spaces about it
    entries = [_broken(entry_of(label), 72.0 * PAGE - 2.0 * size - beside, size) for label in labels]
    entry = max(text_width(line, size) for each in entries for line in each) + beside
    width = max(72.0 * figure.get_figwidth() - 2.0 * size, entry)
    rows = -(-len(labels) // int(width / entry))
    lines = [] if title is None else textwrap.wrap(title, int(width / (0.6 * size)))
    figure.set_figwidth((width + 2.0 * size) / 72.0)
    count = len(lines) + rows * max(map(len, entries))
    figure.set_figheight(figure.get_figheight() + 1.5 * size * count / 72.0)
    style: dict[str, Any] = {"fontsize": size, "title_fontsize": size, "alignment": "center"}
    columns = -(-len(labels) // rows)  # as full as each other
    figure.legend(
        handles,
        ["\n".join(each) for each in entries],
        loc="outside lower center",
        ncols=columns,
        title="\n".join(lines),
        **style,
    )


def _broken(text: str, width: float, size: float) -> list[str]:
    """A text in as long lines as stay within this width in points at this size."""
    for letters in range(len(text), 0, -1):
        lines = textwrap.wrap(text, letters, break_on_hyphens=False)
        if max(text_width(line, size) for line in lines) <= width:
            break
    return lines


def save(figure: Figure | None, stem: Path) -> Iterator[Path]:
    """Write a figure, if there is one, in every format, each file whole or not at all."""
    if figure is None:
        return
    for suffix in FORMATS:
        path = stem.with_name(f"{stem.name}.{suffix}")
        with whole_file(path) as scratch:
            figure.savefig(scratch, format=suffix)
        yield path
