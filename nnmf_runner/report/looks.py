"""What marks variants of methods in figures: a hue for every method, a shade, a marker and a line for every variant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from nnmf_runner.methods import METHODS
from nnmf_runner.report.variants import method_of, method_order

# Told apart by readers of every colour vision: M. Okabe and K. Ito, "Color Universal Design", 2008.
HUES = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9")
# Of the variants of a method, those of the first without a change: shares of black (below zero) or white.
SHADES = (0.0, -0.45, 0.45, -0.7)
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "....", r"\\\\", "++++")
# A row for every method, of markers that look alike.
MARKERS = ("o8hp", "sXP*", "^v<>", "DdH|", "phoH", "*P1x")


@dataclass(frozen=True)
class Look:
    """What marks a variant: `hatch` is for areas, whose shade says something else."""

    colour: str
    marker: str
    line: str
    hatch: str


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """The look of every variant of an experiment, in their order.

    Parameters
    ----------
    labels : iterable of str
        All names of the experiment, from `nnmf_runner.report.variants.variants`.
    """
    looks: dict[str, Look] = {}
    for label in sorted(set(labels), key=method_order):
        method = method_of(label)
        place, nth = list(METHODS).index(method), sum(method_of(other) == method for other in looks)
        hue, markers = HUES[place % len(HUES)], MARKERS[place % len(MARKERS)]
        shade = shaded(hue, SHADES[nth % len(SHADES)])
        turn = nth + nth // len(SHADES)  # with every round of shades the other marks move on by one
        looks[label] = Look(shade, *(marks[turn % len(marks)] for marks in (markers, LINES, HATCHES)))
    return looks


def shaded(colour: str, share: float) -> str:
    """A colour with this share of white, or of black where it is below zero."""
    rgb = np.array(to_rgb(colour))
    return to_hex(rgb + share * (1.0 - rgb) if share > 0 else (1.0 + share) * rgb)
