"""The map of a sweep: which methods are best at which settings of the data, by what margins, and whether by chance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from nnmf_runner.metrics.registry import mapped
from nnmf_runner.report.panels import Observation, Panel, panels
from nnmf_runner.report.variants import method_order

# A difference is significant at this level, and if it is not zero in points at the one digit shown.
LEVEL, SMALLEST = 0.05, 0.05
# Of the metrics, which are shares.
ROUNDING = 1e-12

SETTING = ["experiment", "axis", "other_axis", "at", "other_at", "measure"]


def compare(observations: Sequence[Observation]) -> pd.DataFrame:
    """Compare every two methods at every setting of the map by a paired test over the seeds.

    A map is drawn of experiments that vary an option of the data for several methods.  Its panels are the pairs of
    options that were varied against each other, and the options that were varied alone.  At a setting of a panel a
    seed counts with its mean over the values of all other options at which the panel is whole.

    Returns
    -------
    DataFrame
        One row per comparison: `SETTING`, ``better`` and ``worse`` method with their means, the number of seeds, the
        mean ``difference`` and its standard error, ``p`` of the paired t-test, ``p_holm`` corrected over all
        comparisons of the experiment, and whether it is ``significant``.  The other axis is missing where an option
        stands alone.

    Notes
    -----
    The signed-rank test is too weak for a map: of n seeds its least p is ``2 ** (1 - n)``, 0.002 for ten, which Holm's
    correction over more than 25 comparisons lifts above 0.05.  Hence the t-test, for which the means over settings
    and samples that are compared are near enough to normal.  Where a difference is the same for every seed, it is the
    signed-rank test all the same.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.
    """
    experiments: dict[str, list[Observation]] = {}
    for observation in observations:
        experiments.setdefault(observation.experiment, []).append(observation)
    maps = []
    for experiment, runs in experiments.items():
        if found := [comparison for panel in panels(runs) for comparison in _comparisons(panel)]:
            part = pd.DataFrame(found)
            part.insert(0, "experiment", experiment)
            part["p_holm"] = holm(part["p"].to_numpy())
            part["significant"] = (part["p_holm"] <= LEVEL) & (100 * part["difference"] >= SMALLEST)
            maps.append(part)
    return pd.concat(maps, ignore_index=True) if maps else pd.DataFrame(columns=SETTING)


def holm(p: NDArray[np.floating]) -> NDArray[np.floating]:
    """p-values corrected for their number: the i-th smallest of n times n - i, none below a smaller one, at most one.

    Those that are NaN have not been tested: they stay and do not count.
    """
    corrected, tested = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def _comparisons(panel: Panel) -> Iterator[dict[str, Any]]:
    """Every two methods by every metric at every setting of a panel."""
    axes = dict(itertools.zip_longest(("axis", "other_axis"), panel.axes))
    for metric in mapped():
        columns = [name for name in panel.rows if name[0] == metric.name]
        for setting, part in panel.rows.groupby(list(panel.axes), observed=True):
            values = part.set_index("seed")[columns].dropna(axis=1, how="all").dropna()
            seeds = values.groupby(level="seed").mean()  # over the other options
            at = dict(itertools.zip_longest(("at", "other_at"), setting))
            ranked = seeds.mean().sort_values(ascending=metric.better == "lower", kind="stable").index
            for better, worse in itertools.combinations(ranked if len(seeds) else [], 2):
                names = {"measure": metric.name, "better": better[1], "worse": worse[1]}
                yield axes | at | names | _paired(seeds[better].to_numpy(), seeds[worse].to_numpy())


def _paired(better: NDArray[np.floating], worse: NDArray[np.floating]) -> dict[str, Any]:
    """A paired t-test of two methods over the seeds, shape (n,)."""
    n, difference = len(better), np.abs(better.mean() - worse.mean())
    error = (better - worse).std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    if error <= ROUNDING:  # nothing to measure a difference by: its sign alone tells, the same n times
        p = 2.0 ** (1 - n) if difference > ROUNDING else 1.0
    else:
        p = 2.0 * stats.t.sf(difference / error, n - 1)
    means = {"better_mean": better.mean(), "worse_mean": worse.mean()}
    return {**means, "n": n, "difference": difference, "standard_error": error, "p": p}


def verdicts(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The best methods at every setting of the map, and their margins, from `compare`.

    Returns
    -------
    DataFrame
        One row per setting: `SETTING`; ``best``, the method of the best mean and those that are not significantly
        worse, best first; ``margin``, how much better the first is than the best of the others, missing where no
        method is significantly worse; ``n`` seeds.
    """
    rows = []
    for setting, part in comparisons.groupby(SETTING, sort=False, dropna=False):
        first = part["better"].value_counts().index[0]  # it is better than all others
        against = part[part["better"] == first].sort_values("difference")
        worse = against[against["significant"]]
        best = (first, *against.loc[~against["significant"], "worse"])
        margin = worse["difference"].min() if len(worse) else np.nan
        rows.append(dict(zip(SETTING, setting, strict=True)) | {"best": best, "margin": margin, "n": part["n"].max()})
    table = pd.DataFrame(rows, columns=[*SETTING, "best", "margin", "n"])
    absent = table[["other_axis", "other_at"]].astype(object)
    return table.assign(**absent.where(absent.notna(), None))


def methods_of(comparisons: pd.DataFrame) -> list[str]:
    """Methods of a map in their order, those of other options one after the other."""
    return sorted(set(comparisons["better"]) | set(comparisons["worse"]), key=method_order)


def values_of(settings: pd.DataFrame, name: str) -> list[Any]:
    """Values of the axis ``at`` or ``other_at`` in their order; None alone where there is no such axis."""
    return sorted(settings[name].unique()) if settings[name].notna().all() else [None]
