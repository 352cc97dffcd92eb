"""Tables of runs: means over trials, best in bold, the published value and the floor beside ours."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnmf_runner.methods import METHODS
from nnmf_runner.results.record import COUNTED, MAX_ITER, REGIMES, folder_name

log = logging.getLogger(__name__)

CELL = ["experiment", "dataset", "regime", "layers", "method"]
COLUMNS = [*CELL, "metric", "mean", "std", "n", "best", "reported", "floor"]

# Metrics of a table, and whether more is better.
METRICS = {
    "relative_error": False,
    "heldout_error": False,
    "accuracy": True,
    "accuracy_unknown": True,
    "accuracy_fit": True,
    "npmi": True,
    "diversity": True,
    "seconds": False,
}
TITLES = {
    "relative_error": "Relative error",
    "heldout_error": "Relative error of the entries held out",
    "accuracy": "Accuracy over all samples",
    "accuracy_unknown": "Accuracy on the samples of unknown label",
    "accuracy_fit": "Accuracy of a map fitted to unsupervised codes with all labels",
    "npmi": "Coherence (NPMI) of the top words",
    "diversity": "Share of distinct words among the top words",
    "seconds": "Seconds a fit",
}
DIGITS = {
    "relative_error": 4,
    "heldout_error": 4,
    "accuracy": 3,
    "accuracy_unknown": 3,
    "accuracy_fit": 3,
    "npmi": 3,
    "diversity": 3,
    "seconds": 2,
}


def rows_of(records: Iterable[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    """One row a run: its cell, seed, status, metrics, floor and published values.

    Runs of one cell whose configurations differ in more than the seed are told apart: the options that differ
    are appended to the name of the dataset, to the regime where it is the share of labels, and else to the method.
    Of a run that is recorded more than once the latest record counts.

    Parameters
    ----------
    records : iterable of (Path, dict)
        Folders and their records.  They are read once and none is kept, so that they may be more than fit in memory.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    options: dict[tuple[str, str], tuple[str, ...]] = {}
    finished: dict[tuple[str, str], str] = {}
    repeated = []
    for folder, record in records:
        run, when = (record["experiment"], folder_name(record["config"])), str(record.get("finished"))
        if run in rows:
            repeated.append(folder)
            if when < finished[run]:
                continue
        rows[run], options[run], finished[run] = _row(folder, record), options_of(record["config"]), when
    if repeated:
        log.warning("%s repeats a run, and %d others do; the latest of each counts.", repeated[0], len(repeated) - 1)
    frame = pd.DataFrame(list(rows.values())).astype({"floor": float})
    texts = list(options.values())
    labels = _variants(frame, ["experiment", "dataset", "regime"], texts, only="label_fraction=")
    frame["dataset"] += _variants(frame, ["experiment", "dataset"], texts, only="dataset.")
    frame["regime"] += labels
    frame["method"] += _variants(frame, CELL, texts)
    regimes = sorted(frame["regime"].unique(), key=lambda label: (REGIMES.index(label.split()[0]), label))
    frame["regime"] = pd.Categorical(frame["regime"], regimes, ordered=True)
    return frame.sort_values([*CELL, "seed"], key=_sort_key, kind="stable", ignore_index=True)


def _row(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What tables and figures need of a record."""
    config = record["config"]
    row = {
        "experiment": record["experiment"],
        "dataset": config["dataset"]["name"],
        "regime": record["regime"],
        "layers": "-".join(map(str, config["layers"])),
        "method": config["method"]["name"],
        "seed": config["seed"],
        "status": record["status"],
        "stop": record.get("stop"),
        "message": record.get("message"),
        "n_iter": record.get("n_iter"),
        **{name: record["metrics"].get(name) for name in METRICS},
        "floor": record["layers"][-1]["floor"] if record["layers"] else None,
        **{f"reported_{name}": value for name, value in record.get("reported", {}).items()},
        "peak_memory_mb": record.get("peak_memory_mb"),
        "commit": record.get("commit"),
        "folder": str(folder),
    }
    # Most texts recur: one copy of each for all rows.
    return {name: sys.intern(value) if isinstance(value, str) else value for name, value in row.items()}


def options_of(config: dict[str, Any]) -> tuple[str, ...]:
    """A configuration but for its seed, as texts ``option=value``."""
    flat = _flat({key: value for key, value in config.items() if key != "seed"})
    return tuple(sys.intern(f"{name}={value}") for name, value in flat.items())


def _sort_key(column: pd.Series) -> pd.Series:
    """Few layers before many, methods in their order, anything else by its value."""
    if column.name == "layers":
        return column.map(lambda text: (text.count("-"), text))
    if column.name == "method":
        return column.map(method_order)
    return column


def method_order(label: str) -> tuple[int, str]:
    """Place of a method, with or without the options that tell it apart."""
    return list(METHODS).index(label.split()[0]), label


def _variants(frame: pd.DataFrame, by: list[str], options: Sequence[tuple[str, ...]], only: str = "") -> list[str]:
    """What tells runs of one group apart besides the seed, as ``[option=value, ...]``; empty where nothing does.

    Only options that begin with `only` are looked at, and it is left out.
    """
    labels = [""] * len(frame)
    for group in frame.groupby(by, sort=False).indices.values():
        distinct = {options[i] for i in group}
        shared = functools.reduce(set.intersection, map(set, distinct))
        own = {
            each: ", ".join(
                option.removeprefix(only) for option in each if option not in shared and option.startswith(only)
            )
            for each in distinct
        }
        for i in group:
            labels[i] = f" [{own[options[i]]}]" if own[options[i]] else ""
    return labels


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and number of trials of every metric in every cell, in long format.

    Parameters
    ----------
    rows : DataFrame
        From `rows_of`.

    Returns
    -------
    DataFrame
        With `COLUMNS`.  `std` is that of a sample, missing for one trial; `best` marks the best mean of its row
        of the table as far as the digits shown tell.
    """
    counted = rows[rows["status"].isin(COUNTED)]
    parts = []
    for metric in METRICS:
        values = counted.dropna(subset=[metric]).astype({metric: float})
        groups = values.groupby(CELL, sort=False, observed=True)
        part = groups[metric].agg(["mean", "std", "count"]).rename(columns={"count": "n"})
        reported = f"reported_{metric}"
        part["reported"] = groups[reported].first() if reported in values else np.nan
        part["floor"] = groups["floor"].mean() if metric == "relative_error" else np.nan
        parts.append(part.reset_index().assign(metric=metric))
    summary = pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else None
    if summary is None:
        return pd.DataFrame(columns=COLUMNS)
    summary["best"] = _best(summary)
    return summary[COLUMNS]


def _best(summary: pd.DataFrame) -> pd.Series:
    """Whether each mean is the best among the methods of its row, at the digits shown."""
    shown = [round(mean, DIGITS[metric]) for mean, metric in zip(summary["mean"], summary["metric"], strict=True)]
    signed = pd.Series(shown) * [-1.0 if METRICS[metric] else 1.0 for metric in summary["metric"]]
    group = [summary[name] for name in ("experiment", "dataset", "regime", "layers", "metric")]
    return signed == signed.groupby(group, observed=True).transform("min")


def footnotes(rows: pd.DataFrame) -> list[str]:
    """What a reader has to know about the runs behind a table."""
    notes = []
    excluded = rows.loc[~rows["status"].isin(COUNTED), "status"].value_counts()
    if len(excluded):
        counts = ", ".join(f"{count} {status}" for status, count in excluded.items())
        notes.append(f"Runs left out of the means: {counts}.")
    limited = rows[rows["status"] == MAX_ITER].groupby("method", observed=True).size()
    if len(limited):
        counts = ", ".join(f"{count} of {method}" for method, count in limited.items())
        notes.append(f"Runs that ended at the limit of iterations: {counts}.")
    return notes


def to_markdown(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """One table a metric: a row for every regime and depth, a column for every method."""
    parts = []
    for (experiment, dataset, metric), table in _tables(summary):
        header, body = _layout(table, metric, _markdown_cell)
        lines = [f"### {TITLES[metric]} ({experiment}, {dataset})", "", _pipes(header), _pipes(["---"] * len(header))]
        parts.append("\n".join([*lines, *map(_pipes, body)]))
    legend = "Mean ± standard deviation over the trials; best in bold"
    legend += "; in brackets what the publication reports." if summary["reported"].notna().any() else "."
    return "\n\n".join([*parts, *(["" + legend] if parts else []), *footnotes(rows)]) + "\n"


def to_latex(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The same tables for LaTeX with the package booktabs."""
    parts = []
    for (experiment, dataset, metric), table in _tables(summary):
        header, body = _layout(table, metric, _latex_cell)
        n_names = header.index("layers") + 1
        parts += [
            rf"\begin{{tabular}}{{{'l' * n_names}{'r' * (len(header) - n_names)}}}",
            rf"\multicolumn{{{len(header)}}}{{l}}{{{_escape(f'{TITLES[metric]} ({experiment}, {dataset})')}}} \\",
            r"\toprule",
            " & ".join(map(_escape, header)) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    return "\n".join([*parts, *(f"% {note}" for note in footnotes(rows))]) + "\n"


def _tables(summary: pd.DataFrame) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The long table cut by experiment, dataset and metric, metrics in their order."""
    dataset = summary["dataset"].str.split().str[0]  # variants of one stand in one table
    groups = summary.groupby(["experiment", dataset, "metric"], sort=False)
    return sorted(groups, key=lambda item: (item[0][0], item[0][1], list(METRICS).index(item[0][2])))


def _layout(table: pd.DataFrame, metric: str, cell: Callable[[Any, int], str]) -> tuple[list[str], list[list[str]]]:
    """Header and body of one table."""
    methods = sorted(set(table["method"]), key=method_order)
    has_floor = metric == "relative_error"
    names = [*(["dataset"] if table["dataset"].nunique() > 1 else []), "regime", "layers"]
    header = [*names, *(["floor"] if has_floor else []), *methods]
    body = []
    for place, row in table.groupby(names, sort=False, observed=True):
        cells = {entry.method: cell(entry, DIGITS[metric]) for entry in row.itertuples()}
        floor = [_number(row["floor"].iloc[0], DIGITS[metric])] if has_floor else []
        body.append([*map(str, place), *floor, *(cells.get(method, "") for method in methods)])
    return header, body


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"


def _cell(entry: Any, digits: int, bold: str, plus_minus: str) -> str:
    """Mean, in bold where it is best, deviation and published value; `bold` is a template."""
    mean = f"{entry.mean:.{digits}f}"
    parts = [bold.format(mean) if entry.best else mean]
    if pd.notna(entry.std):
        parts.append(f"{plus_minus} {entry.std:.{digits}f}")
    if pd.notna(entry.reported):
        parts.append(f"({entry.reported:.3f})")
    return " ".join(parts)


_markdown_cell = functools.partial(_cell, bold="**{}**", plus_minus="±")
_latex_cell = functools.partial(_cell, bold=r"\textbf{{{}}}", plus_minus=r"$\pm$")


def _pipes(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text for LaTeX."""
    return "".join(rf"\{char}" if char in "&%$#_{}" else char for char in text)
