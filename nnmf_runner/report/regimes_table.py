"""The map of a sweep as Markdown: how often and by how much each method wins, and who wins where."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from nnmf_runner.report.panels import MEASURES
from nnmf_runner.report.regimes import LEVEL, TITLES, methods_of, values_of, verdicts


def to_markdown(comparisons: pd.DataFrame) -> str:
    """The map of every experiment: a summary of every two methods, then the places of every panel.

    Parameters
    ----------
    comparisons : DataFrame
        From `nnmf_runner.report.regimes.compare`.
    """
    parts = []
    for experiment, part in comparisons.groupby("experiment", sort=False):
        tested, seeds = part["p"].notna().sum(), part["n"].max()
        parts.append(
            f"## Who wins, and by how much ({experiment})\n\n"
            f"In points, hundredths of every measure. Paired t-tests over {seeds} seeds, {tested} comparisons with "
            f"Holm's correction; a win is decided at {LEVEL:g} and where it is not 0.0.\n\n{_summary(part)}"
        )
        places = verdicts(part)
        panels = places.groupby(["axis", "other_axis"], sort=False, dropna=False)
        parts += [_grid(panel[panel["measure"] == measure]) for _, panel in panels for measure in MEASURES]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(comparisons: pd.DataFrame) -> str:
    """A row for every measure and two methods; differences are those of the first method to the second."""
    lines = [
        "| measure | methods | places | first wins | second wins | undecided | mean difference | from | to |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    pairs = itertools.combinations(reversed(methods_of(comparisons)), 2)
    for measure, (first, second) in itertools.product(MEASURES, pairs):
        pair = comparisons[
            (comparisons["measure"] == measure)
            & comparisons["better"].isin((first, second))
            & comparisons["worse"].isin((first, second))
        ]
        if pair.empty:
            continue
        leads = pair["better"] == first
        difference = 100 * pair["difference"].where(leads, -pair["difference"])
        wins = (pair["decided"] & leads).sum(), (pair["decided"] & ~leads).sum(), (~pair["decided"]).sum()
        numbers = [f"{value:+.1f}" for value in (difference.mean(), difference.min(), difference.max())]
        lines.append(_pipes([TITLES[measure], f"{first} vs {second}", len(pair), *wins, *numbers]))
    return "\n".join(lines)


def _grid(places: pd.DataFrame) -> str:
    """The winners at every place of a panel, the first axis across, the other one down."""
    if places.empty:
        return ""
    axis, other, measure = places.iloc[0][["axis", "other_axis", "measure"]]
    across, down = values_of(places, "at"), values_of(places, "other_at")
    cells = {(row.at, row.other_at): _cell(row) for row in places.itertuples()}
    title = f"### {TITLES[measure]}: {label(axis)}" + (f" (across) and {label(other)} (down)" if other else "")
    header = [label(other), *map(text, across)]
    body = [[text(at), *(cells.get((x, at), "") for x in across)] for at in down]
    return "\n".join([title, "", _pipes(header), _pipes(["---"] * len(header)), *map(_pipes, body)])


def _cell(place: Any) -> str:
    """Winners and their lead in points over the rest."""
    return f"{' / '.join(place.winners)} {100 * place.lead:+.1f}" if pd.notna(place.lead) else "undecided"


def label(axis: str | None) -> str:
    """An option as a reader calls it; nothing where there is none."""
    return "" if axis is None else axis.removeprefix("dataset.").replace("_", " ")


def text(value: Any) -> str:
    """A value of an option."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _pipes(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
