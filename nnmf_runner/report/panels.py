"""What was varied in a sweep: options that were crossed with each other, and the runs in which they were."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nnmf_runner.metrics.registry import mapped
from nnmf_runner.report.variants import Options, options_of, variants
from nnmf_runner.store.record import COUNTED

# Options that belong to a method, so that they are never axes of the map.
OF_A_METHOD = ("method.", "cost.")
# What stands in for the ranks where all layers have as many topics more than there are classes.
DEPTH, SURPLUS = "layers", "ranks beyond the planted"


class Observation(NamedTuple):
    """What the map needs of a record: `options` are texts ``name=value`` of all but the seed, `values` of `mapped`."""

    experiment: str
    method: str
    seed: int
    finished: str
    options: Options
    ranks: tuple[int, ...]
    classes: tuple[int, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """Two options that were varied against each other, or one alone, and the runs in which they were.

    `rows` has one row per setting and seed: the axes, the seed, and a column for every pair ``(metric, method)``.
    """

    axes: tuple[str, ...]
    rows: pd.DataFrame


def observed(records: Iterable[tuple[Path, dict[str, Any]]], into: list[Observation]) -> Iterator[Any]:
    """Hand records on as they are, noting what the map needs of trials that ended with numbers."""
    known: dict[Options, Options] = {}  # most options recur: one copy for all
    for folder, record in records:
        if record["status"] in COUNTED and "consensus" not in record["config"]:  # which is no trial
            config = record["config"]
            options = options_of(config)
            noted = Observation(
                sys.intern(record["experiment"]),
                sys.intern(config["method"]["name"]),
                config["seed"],
                str(record.get("finished")),
                known.setdefault(options, options),
                tuple(config["layers"]),
                tuple(record.get("dataset", {}).get("classes", ())),
                tuple(metric.of_run(record) for metric in mapped()),
            )
            into.append(noted)
        yield folder, record


def panels(observations: Sequence[Observation]) -> list[Panel]:
    """Panels of the map of one experiment; none where no option of the data or one method alone was varied."""
    frame, axes = varied(observations)
    if frame["method"].nunique() < 2 or not any(axis.startswith("dataset.") for axis in axes):
        return []
    groups = frame.groupby([*axes, "seed", "method"], dropna=False, observed=True)
    wide = groups[[metric.name for metric in mapped()]].mean().unstack("method")
    rows = wide.set_axis(wide.columns.to_flat_index(), axis=1).reset_index()
    found = [_panel(pair, rows[axes], rows) for pair in itertools.combinations(axes, 2)]
    paired = {axis for panel in found if panel for axis in panel.axes}
    found += [_panel((axis,), rows[axes], rows) for axis in axes if axis not in paired]
    return [panel for panel in found if panel]


def varied(observations: Sequence[Observation]) -> tuple[pd.DataFrame, list[str]]:
    """Runs of one experiment, and the axes: the options that were varied for every method.

    There is one row per run: its method, seed, axes and metrics.  A method of which several variants were run goes by
    their names, see `variants`.  No option of a method or its cost is an axis, and of those that vary together the
    first one is.
    """
    latest = {(run.options, run.seed): run for run in sorted(observations, key=lambda run: run.finished)}
    runs = list(latest.values())
    tried = list({run.options: run for run in runs}.values())  # one run of every setting
    row = {run.options: i for i, run in enumerate(tried)}
    options = pd.DataFrame([dict(text.split("=", 1) for text in run.options) for run in tried])
    options = options.pipe(_with_ranks, tried).loc[:, lambda table: table.nunique() > 1]
    method = pd.Series([run.method for run in tried])
    by_method = options.groupby(method).nunique()
    axes = [name for name in options if not name.startswith(OF_A_METHOD) and by_method[name].min() > 1]
    settings = list(map(tuple, options[axes].astype(str).to_numpy()))
    others = options.columns.difference(axes, sort=False)
    told = [
        tuple(f"{name}={value}" for name, value in zip(others, row, strict=True) if pd.notna(value))
        for row in options[others].to_numpy()
    ]
    names = variants(((run.experiment, run.method) for run in tried), told, settings)
    axes = [name for i, name in enumerate(axes) if not any(_together(options, name, other) for other in axes[:i])]
    frame = options[axes].apply(_numbers).assign(method=names).iloc[[row[run.options] for run in runs]]
    values = pd.DataFrame([run.values for run in runs], columns=[metric.name for metric in mapped()], dtype=float)
    seeds = pd.Series([run.seed for run in runs], name="seed")
    return pd.concat([frame.reset_index(drop=True), seeds, values], axis=1), axes


def _with_ranks(options: pd.DataFrame, runs: Sequence[Observation]) -> pd.DataFrame:
    """Number of layers and surplus of their ranks in place of the ranks, where every run has such a surplus."""
    surplus = [{rank - n for rank, n in zip(run.ranks, run.classes, strict=False)} for run in runs]
    fits = all(len(each) == 1 and len(run.ranks) <= len(run.classes) for each, run in zip(surplus, runs, strict=True))
    if not fits:
        return options
    depths = [str(len(run.ranks)) for run in runs]
    return options.drop(columns="layers").assign(**{DEPTH: depths, SURPLUS: [str(each.pop()) for each in surplus]})


def _together(options: pd.DataFrame, name: str, other: str) -> bool:
    """Whether each of two options determines the other."""
    pairs = options[[name, other]].drop_duplicates()
    return pairs[name].is_unique and pairs[other].is_unique


def _numbers(column: pd.Series) -> pd.Series:
    """Numbers, if texts are; else categories, short ones first."""
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        texts = sorted(column.dropna().unique(), key=lambda text: (len(text), text))
        return pd.Series(pd.Categorical(column, texts, ordered=True))


def _panel(axes: tuple[str, ...], settings: pd.DataFrame, rows: pd.DataFrame) -> Panel | None:
    """The panel of these axes; None where they were not varied against each other.

    The other options stand where most values of the axes were tried: at one setting if they were varied by
    themselves, at all of them in a full grid.
    """
    others = [name for name in settings if name not in axes]
    whole = settings.drop_duplicates().dropna(subset=list(axes))
    groups = [part for _, part in whole.groupby(others, dropna=False, observed=True)] if others else [whole]
    groups = [part for part in groups if _crossed([part[axis] for axis in axes])]
    if not groups:
        return None
    most = max(map(len, groups))
    chosen = pd.concat([part for part in groups if len(part) == most])
    return Panel(axes, rows.merge(chosen, on=list(settings)))


def _crossed(axes: Sequence[pd.Series]) -> bool:
    """Whether one axis has several values, or two values of one were each tried with the same two of the other."""
    if len(axes) == 1:
        return axes[0].nunique() > 1
    (one, _), (other, _) = (pd.factorize(axis) for axis in axes)
    tried = np.zeros((one.max(initial=-1) + 1, other.max(initial=-1) + 1), dtype=int)
    tried[one, other] = 1
    in_common = tried @ tried.T
    return bool((in_common[~np.eye(len(tried), dtype=bool)] > 1).any())
