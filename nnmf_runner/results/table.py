"""Tables of runs: means over trials, best in bold, the published value and the floor beside ours."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnmf_runner.methods import METHODS
from nnmf_runner.results.record import COUNTED, MAX_ITER, REGIMES

CELL = ["experiment", "dataset", "regime", "layers", "method"]
LAYER_CELL = ["experiment", "dataset", "regime", "layers", "layer", "method"]
VALUES = ["metric", "mean", "std", "n", "best", "reported", "floor"]
COLUMNS = [*CELL, *VALUES]

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
# Those of every layer that are worth a table of their own.
LAYER_METRICS = ["relative_error", "accuracy_unknown"]
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


def rows_of(records: dict[Path, dict[str, Any]]) -> pd.DataFrame:
    """One row a run: its cell, seed, status, metrics, floor and published values.

    Runs of one cell whose configurations differ in more than the seed are told apart: the options that differ
    are appended to the name of the method.
    """
    rows = [
        {
            **cell,
            "seed": record["config"]["seed"],
            "status": record["status"],
            "stop": record.get("stop"),
            "message": record.get("message"),
            "n_iter": record.get("n_iter"),
            **{name: record["metrics"].get(name) for name in METRICS},
            "floor": record["layers"][-1]["floor"] if record["layers"] else None,
            **{f"reported_{name}": value for name, value in record.get("reported", {}).items()},
            "reported_on": record.get("reported_on"),
            "peak_memory_mb": record.get("peak_memory_mb"),
            "commit": record.get("commit"),
            "folder": path.name,
        }
        for cell, (path, record) in zip(_cells(records), records.items(), strict=True)
    ]
    return _ordered(pd.DataFrame(rows), [*CELL, "seed"])


def layer_rows(records: dict[Path, dict[str, Any]]) -> pd.DataFrame:
    """One row a layer of every run that has several: its cell, status, metrics, floor and published values."""
    rows = [
        {
            **cell,
            "status": record["status"],
            **dict.fromkeys(METRICS),
            **{name: value for name, value in layer.items() if name.removeprefix("reported_") in (*METRICS, "layer")},
            "floor": layer["floor"],
        }
        for cell, record in zip(_cells(records), records.values(), strict=True)
        for layer in record["layers"]
        if len(record["layers"]) > 1
    ]
    return (
        _ordered(pd.DataFrame(rows), LAYER_CELL)
        if rows
        else pd.DataFrame(columns=[*LAYER_CELL, "status", *METRICS, "floor"])
    )


def _cells(records: dict[Path, dict[str, Any]]) -> list[dict[Hashable, Any]]:
    """The cell of every run."""
    configs = [record["config"] for record in records.values()]
    cells = pd.DataFrame(
        {
            "experiment": record["experiment"],
            "dataset": record.get("dataset", {}).get("title", config["dataset"]["name"]),
            "regime": record["regime"],
            "layers": "-".join(map(str, config["layers"])),
            "method": config["method"]["name"],
        }
        for record, config in zip(records.values(), configs, strict=True)
    )
    cells["method"] += _variants(cells, configs)
    return cells.to_dict("records")


def _ordered(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows in the order of tables, floors as numbers."""
    frame = frame.astype({"floor": float})
    frame["regime"] = pd.Categorical(frame["regime"], REGIMES, ordered=True)
    return frame.sort_values(by, key=_sort_key, kind="stable", ignore_index=True)


def _sort_key(column: pd.Series) -> pd.Series:
    """Few layers before many, methods in their order, anything else by its value."""
    if column.name == "layers":
        return column.map(lambda text: (text.count("-"), text))
    if column.name == "method":
        return column.map(_method_order)
    return column


def _method_order(label: str) -> tuple[int, str]:
    """Place of a method, with or without the options that tell it apart."""
    return list(METHODS).index(label.split()[0]), label


def _variants(frame: pd.DataFrame, configs: list[dict[str, Any]]) -> pd.Series:
    """What tells runs of one cell apart besides the seed, as ``[option=value, ...]``; empty where nothing does."""
    options = pd.DataFrame(
        [_flat({key: value for key, value in config.items() if key != "seed"}) for config in configs]
    )
    labels = pd.Series("", index=frame.index)
    for _, group in frame.groupby(CELL, sort=False):
        here = options.loc[group.index].astype(str)
        differing = [name for name in here.columns if here[name].nunique() > 1]
        if differing:
            text = here[differing].apply(lambda row: ", ".join(f"{k}={v}" for k, v in row.items()), axis=1)
            labels[group.index] = " [" + text + "]"
    return labels


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def summarise(rows: pd.DataFrame, cell: list[str] = CELL) -> pd.DataFrame:
    """Mean, standard deviation and number of trials of every metric in every cell, in long format.

    Parameters
    ----------
    rows : DataFrame
        From `rows_of`, or from `layer_rows` with `LAYER_CELL`.
    cell : list of str
        Columns that make a cell.

    Returns
    -------
    DataFrame
        With the columns of `cell` and `VALUES`.  `std` is that of a sample, missing for one trial; `best` marks the
        best mean of its row of the table as far as the digits shown tell.
    """
    counted = rows[rows["status"].isin(COUNTED)]
    parts = []
    for metric in METRICS:
        values = counted.dropna(subset=[metric]).astype({metric: float})
        groups = values.groupby(cell, sort=False, observed=True)
        part = groups[metric].agg(["mean", "std", "count"]).rename(columns={"count": "n"})
        reported = f"reported_{metric}"
        part["reported"] = groups[reported].first() if reported in values else np.nan
        part["floor"] = groups["floor"].mean() if metric == "relative_error" else np.nan
        parts.append(part.reset_index().assign(metric=metric))
    summary = pd.concat([part for part in parts if len(part)], ignore_index=True) if any(map(len, parts)) else None
    if summary is None:
        return pd.DataFrame(columns=[*cell, *VALUES])
    summary["best"] = _best(summary, [name for name in cell if name != "method"])
    return summary[[*cell, *VALUES]]


def _best(summary: pd.DataFrame, row: list[str]) -> pd.Series:
    """Whether each mean is the best among the methods of its row, at the digits shown."""
    shown = [round(mean, DIGITS[metric]) for mean, metric in zip(summary["mean"], summary["metric"], strict=True)]
    signed = pd.Series(shown) * [-1.0 if METRICS[metric] else 1.0 for metric in summary["metric"]]
    group = [summary[name] for name in (*row, "metric")]
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


def to_markdown(summary: pd.DataFrame, rows: pd.DataFrame, layers: pd.DataFrame | None = None) -> str:
    """One table a metric: a row for every regime and depth, a column for every method.

    Parameters
    ----------
    summary, rows : DataFrame
        From `summarise` and `rows_of`.
    layers : DataFrame, optional
        From `summarise` with `LAYER_CELL`: tables with a row for every layer follow.
    """
    parts = []
    for title, metric, table in _tables(summary, layers):
        header, body = _layout(table, metric, _markdown_cell)
        lines = [f"### {title}", "", _pipes(header), _pipes(["---"] * len(header))]
        parts.append("\n".join([*lines, *map(_pipes, body)]))
    return "\n\n".join([*parts, *([_legend(summary, rows)] if parts else []), *footnotes(rows)]) + "\n"


def _legend(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    legend = "Mean ± standard deviation over the trials; best in bold"
    if summary["reported"].notna().any():
        legend += "; in brackets what the publication reports"
        if data := sorted(set(rows["reported_on"].dropna())):
            legend += f" on {', '.join(data)}"
    return legend + "."


def to_latex(summary: pd.DataFrame, rows: pd.DataFrame, layers: pd.DataFrame | None = None) -> str:
    """The tables of `to_markdown` for LaTeX with the package booktabs."""
    parts = []
    for title, metric, table in _tables(summary, layers):
        header, body = _layout(table, metric, _latex_cell)
        parts += [
            rf"\begin{{tabular}}{{{'l' * len(_row(table))}{'r' * (len(header) - len(_row(table)))}}}",
            rf"\multicolumn{{{len(header)}}}{{l}}{{{_escape(title)}}} \\",
            r"\toprule",
            " & ".join(map(_escape, header)) + r" \\",
            r"\midrule",
            *(" & ".join(row) + r" \\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    return "\n".join([*parts, *(f"% {note}" for note in footnotes(rows))]) + "\n"


def _tables(summary: pd.DataFrame, layers: pd.DataFrame | None) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, metric and part of the long tables, cut by experiment, dataset and metric, metrics in their order."""
    tables = _cut(summary, "")
    if layers is not None:
        tables += _cut(layers[layers["metric"].isin(LAYER_METRICS)], " by layer")
    return tables


def _cut(summary: pd.DataFrame, suffix: str) -> list[tuple[str, str, pd.DataFrame]]:
    groups = sorted(
        summary.groupby(["experiment", "dataset", "metric"], sort=False),
        key=lambda item: (item[0][0], item[0][1], list(METRICS).index(item[0][2])),
    )
    return [
        (f"{TITLES[metric]}{suffix} ({name}, {dataset})", metric, table) for (name, dataset, metric), table in groups
    ]


def _row(table: pd.DataFrame) -> list[str]:
    """What makes a row of a table."""
    return [name for name in ("regime", "layers", "layer") if name in table]


def _layout(table: pd.DataFrame, metric: str, cell: Callable[[Any, int], str]) -> tuple[list[str], list[list[str]]]:
    """Header and body of one table."""
    methods = sorted(set(table["method"]), key=_method_order)
    has_floor = metric == "relative_error"
    header = [*_row(table), *(["floor"] if has_floor else []), *methods]
    body = []
    for key, row in table.groupby(_row(table), sort=False, observed=True):
        cells = {entry.method: cell(entry, DIGITS[metric]) for entry in row.itertuples()}
        floor = [_number(row["floor"].iloc[0], DIGITS[metric])] if has_floor else []
        body.append([*map(str, key), *floor, *(cells.get(method, "") for method in methods)])
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


_markdown_cell = partial(_cell, bold="**{}**", plus_minus="±")
_latex_cell = partial(_cell, bold=r"\textbf{{{}}}", plus_minus=r"$\pm$")


def _pipes(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text for LaTeX."""
    return "".join(rf"\{char}" if char in "&%$#_{}" else char for char in text)
