"""The map of a sweep as Markdown: how often and by how much methods differ, and which are best at every setting."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from nnmf_runner.metrics.registry import METRICS, mapped
from nnmf_runner.report.regimes import LEVEL, methods_of, values_of, verdicts
from nnmf_runner.report.table import markdown_table
from nnmf_runner.report.variants import in_short


def to_markdown(comparisons: pd.DataFrame) -> str:
    """The map of every experiment, from `compare`: a summary of every two methods, then the settings of every panel."""
    parts = []
    for experiment, part in comparisons.groupby("experiment", sort=False):
        tested, seeds = part["p"].notna().sum(), part["n"].max()
        parts.append(
            f"## Best methods and margins ({experiment})\n\n"
            f"Differences are in points, hundredths of every measure. Paired t-tests over {seeds} seeds, {tested} "
            f"comparisons with Holm's correction: a difference is significant if p <= {LEVEL:g} and it is not 0.0. "
            "Each setting of the data has the best method and those not significantly worse, with the margin over the "
            f"best of the others.\n\n{_summary(part)}"
        )
        panels = verdicts(part).groupby(["axis", "other_axis"], sort=False, dropna=False)
        parts += [_grid(panel[panel["measure"] == metric.name]) for _, panel in panels for metric in mapped()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(comparisons: pd.DataFrame) -> str:
    """A row for every measure and two methods; differences are positive where the first method is better."""
    header = ["measure", "methods compared", "settings", "first better", "second better", "not significant"]
    header += ["mean difference", "from", "to"]
    rows = []
    pairs = itertools.combinations(reversed(methods_of(comparisons)), 2)
    for metric, (first, second) in itertools.product(mapped(), pairs):
        among = comparisons[["better", "worse"]].isin((first, second)).all(axis=1)
        pair = comparisons[among & (comparisons["measure"] == metric.name)]
        if pair.empty:
            continue
        ahead, significant = pair["better"] == first, pair["significant"]
        difference = 100 * pair["difference"].where(ahead, -pair["difference"])
        counts = (significant & ahead).sum(), (significant & ~ahead).sum(), (~significant).sum()
        numbers = [f"{value:+.1f}" for value in (difference.mean(), difference.min(), difference.max())]
        rows.append([metric.title, f"{first} vs {second}", len(pair), *counts, *numbers])
    return markdown_table(header, rows)


def _grid(settings: pd.DataFrame) -> str:
    """The best methods at every setting of a panel, the first axis across, the other one down."""
    if settings.empty:
        return ""
    axis, other, measure = settings.iloc[0][["axis", "other_axis", "measure"]]
    across, down = values_of(settings, "at"), values_of(settings, "other_at")
    cells = {(row.at, row.other_at): _cell(row) for row in settings.itertuples()}
    title = f"### {METRICS[measure].title}: {label(axis)}" + (f" (across) and {label(other)} (down)" if other else "")
    header = [label(other), *texts(across)]
    body = [[shown, *(cells.get((x, at), "") for x in across)] for at, shown in zip(down, texts(down), strict=True)]
    return f"{title}\n\n{markdown_table(header, body)}"


def _cell(setting: Any) -> str:
    """The best methods, and their margin over the others in points."""
    return f"{' / '.join(setting.best)} {100 * setting.margin:+.1f}" if pd.notna(setting.margin) else "not significant"


def label(axis: str | None) -> str:
    """An option as a reader calls it; nothing where there is none."""
    return "" if axis is None else axis.removeprefix("dataset.").replace("_", " ")


def texts(values: Iterable[Any]) -> list[str]:
    """Values of an option, with numbers as short as in the names of variants."""
    each = ["" if value is None else str(value) for value in values]
    short = in_short(each)
    return [re.sub(r"^(-?\d+)\.0$", r"\1", short[value]) for value in each]
