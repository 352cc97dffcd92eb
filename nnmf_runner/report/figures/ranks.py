"""What every rank is worth by each criterion, and the ranks that are chosen."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.metrics.rank_profile import BICROSS, HALVES, SPECTRUM, RankProfile
from nnmf_runner.report.figures.style import HUES, add_title, legend_below

CHOSEN, LEVEL = HUES[4], "0.4"
# Behind numbers, which lines may cross.
BEHIND: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.2}


def rank_figure(profile: RankProfile, title: str) -> Figure:
    """Draw the three criteria over the ranks, one below the other, with their spread and what they propose."""
    criteria, ranks = profile.criteria, profile.ranks
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    _curve(top, ranks, criteria.ratios, None, criteria.spectrum_peaks, HUES[2])
    top.set(title=f"{SPECTRUM}: ratio of successive singular values")
    _curve(middle, ranks, criteria.halves.values, criteria.halves.errors, criteria.halves_peaks, HUES[1])
    middle.set(title=f"{HALVES}: mean cosine of the matched topics")
    _curve(bottom, ranks, criteria.errors.values, criteria.errors.errors, criteria.sufficient[:1], HUES[0])
    bottom.axhline(criteria.highest_error, color=LEVEL, linewidth=0.8, linestyle=":")
    bottom.plot(ranks, profile.floors, color=LEVEL, linewidth=0.8)
    bottom.set(title=f"{BICROSS}: relative error of entries left out", xlabel="rank")
    for ax in (top, middle, bottom):
        for rank in profile.layers:
            ax.axvline(rank, color=CHOSEN, linewidth=0.8, alpha=0.6, zorder=0)
    bottom.set_xticks(_ticks(profile))
    _legend(figure, chosen=bool(profile.layers))
    add_title(figure, f"{title}: {profile.verdict}".replace("$", r"\$"))
    return figure


def _curve(ax: Axes, ranks: list[int], values: Matrix, errors: Matrix | None, proposed: list[int], colour: str) -> None:
    """A criterion with one standard error, and a filled marker at what it proposes."""
    ax.plot(ranks, values, color=colour, marker="o", markersize=3.0, markerfacecolor="white")
    if errors is not None:
        ax.fill_between(ranks, values - errors, values + errors, color=colour, alpha=0.25, linewidth=0)
    at = [ranks.index(rank) for rank in proposed]
    ax.plot(proposed, values[at], "o", color=colour, markersize=6.0)
    above: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 6), "ha": "center", "bbox": BEHIND}
    for rank, value in zip(proposed, values[at], strict=True):
        ax.annotate(f"{rank}", (rank, value), fontsize=8, **above)
    ax.margins(y=0.2)


def _legend(figure: Figure, *, chosen: bool) -> None:
    """What marks mean, in every colour."""
    marks: dict[str, Any] = {
        "proposed": Line2D([], [], color=LEVEL, marker="o", markersize=6.0, linestyle=""),
        "chosen": Line2D([], [], color=CHOSEN, linewidth=0.8),
        "one standard error": Patch(facecolor=LEVEL, alpha=0.25),
        "lowest error + one standard error": Line2D([], [], color=LEVEL, linewidth=0.8, linestyle=":"),
        "Eckart-Young floor of all data": Line2D([], [], color=LEVEL, linewidth=0.8),
    }
    shown = {label: mark for label, mark in marks.items() if chosen or label != "chosen"}
    legend_below(figure, [*shown.values()], [*shown])


def _ticks(profile: RankProfile) -> list[int]:
    """At most some twenty ranks, so that their numbers do not touch."""
    ranks = profile.ranks
    return ranks[:: -(-len(ranks) // 20)]
