"""Tables of runs: means over trials, best in bold, with the published value and the floor."""

from __future__ import annotations

import functools
import logging
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from nnmf_runner.config.published import published
from nnmf_runner.core.checks import check_choice
from nnmf_runner.core.monitor import Stop
from nnmf_runner.metrics.registry import METRICS, Metric, tabled
from nnmf_runner.report.data import data_title
from nnmf_runner.report.summary import FAR, is_unsettled, numbers_of
from nnmf_runner.report.variants import (
    Options,
    files_of,
    method_of,
    method_order,
    names_of_files,
    numbered,
    options_of,
    variants,
)
from nnmf_runner.store.record import COUNTED, DONE, MAX_ITER, REGIMES, folder_name

log = logging.getLogger(__name__)

C = TypeVar("C")

CELL = ["experiment", "dataset", "regime", "layers", "method"]
LAYER_CELL = ["experiment", "dataset", "regime", "layers", "layer", "method"]
VALUES = ["metric", "mean", "std", "n", "seeds", "unsettled", "best", "reported", "floor"]
# Of Welch's test of two means: below this level it tells them apart.
LEVEL = 0.05
# Marks means over runs that ended far from a minimum.
UNSETTLED = "†"
_IN_LATEX = {
    "±": r"$\pm$",
    UNSETTLED: r"$^\dagger$",
    "<": "$<$",
    ">": "$>$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{char: rf"\{char}" for char in "&%$#_{}"},
}
# How options of the data begin; errors of runs with entries that they do not see are over the others alone.
OF_DATA = ("dataset.", "holdout=", "mask=")
# The metric that has a column beside the floor in place of a table: it is the same for all hierarchies of a tensor.
ALONE = "alone_error"
# Of LaTeX, in points: the text of a page, a letter of a small font on average, and what is between two columns.
WIDTH, HEIGHT, LETTER, BETWEEN = 345.0, 550.0, 4.7, 12.0
BELOW_CAPTION = r"\setlength{\belowcaptionskip}{6pt}"
# The most lines of tables that a page turned sideways holds.
LINES = 28


def rows_of(records: Iterable[tuple[Path, dict[str, Any]]]) -> pd.DataFrame:
    """One row per run: its cell, seed, status, metrics, floor and published values.

    Runs of one cell whose configurations differ in more than the seed get names of their own, as `variants` has it:
    options of the data, and what of their entries is hidden, go to the name of the dataset, the share of labels to the
    regime, and all others to the method.
    Of a run that is recorded more than once the latest record counts.  `repeats` marks runs with all the numbers of one
    of the same cell and another seed, which are no trials of their own.  Records are read once and none is kept, so
    that they may be more than fit in memory.
    """
    latest: dict[tuple[str, str], tuple[str, dict[str, Any], Options]] = {}
    columns: dict[str, None] = {}  # in the order in which rows have them
    repeated, files = [], dict[str, str]()
    for folder, record in records:
        run, finished = (record["experiment"], folder_name(record["config"])), str(record.get("finished"))
        if run in latest:
            repeated.append(folder)
            if finished < latest[run][0]:
                continue
        row = _row(folder, record)
        columns |= dict.fromkeys(row)
        known = {name: value for name, value in row.items() if value is not None}  # of many rows, half the memory
        latest[run] = finished, known, options_of(record["config"])
        files |= files_of(record)
    if repeated:
        log.warning("%s repeats a run, and %d others do; the latest of each counts.", repeated[0], len(repeated) - 1)
    _, rows, options = zip(*latest.values(), strict=True)
    frame = pd.DataFrame(rows, columns=list(columns)).astype({"floor": float})
    experiments, data, files = frame["experiment"], frame["dataset"], names_of_files(files)
    of_data, labels = (
        [tuple(option for option in each if option.startswith(starts)) for each in options]
        for starts in (OF_DATA, "label_fraction=")
    )
    frame["dataset"] = variants(zip(experiments, data, strict=True), of_data, experiments, files=files)
    scopes = [*zip(experiments, data, strict=True)]  # a table is of the runs of an experiment on one dataset
    frame["regime"] = variants(zip(scopes, frame["regime"], strict=True), labels, scopes, ["label_fraction"])
    cells = zip(frame["dataset"], frame["regime"], frame["layers"], strict=True)
    frame["method"] = variants(zip(scopes, frame["method"], strict=True), options, cells, files=files)
    regimes = sorted(frame["regime"].unique(), key=lambda label: (REGIMES.index(method_of(label)), label))
    frame["regime"] = pd.Categorical(frame["regime"], regimes, ordered=True)
    frame = frame.sort_values([*CELL, "seed"], key=_sort_key, kind="stable", ignore_index=True)
    frame["repeats"] = frame["status"].isin(COUNTED) & frame.duplicated([*CELL, "numbers"])
    return frame


def _row(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What tables and figures need of a record."""
    config = record["config"]
    row = {
        "experiment": record["experiment"],
        "dataset": data_title(record),
        "regime": record["regime"],
        "layers": "-".join(map(str, config["layers"])),
        "method": config["method"]["name"],
        "seed": config["seed"],
        "status": record["status"],
        "stop": record.get("stop"),
        "message": record.get("message"),
        "n_iter": record.get("n_iter"),
        "fits": record.get("fits"),
        "numbers": numbers_of(record),
        "unsettled": is_unsettled(record),
        **{metric.name: metric.of_run(record) for metric in tabled()},
        "floor": record["layers"][-1]["floor"] if record["layers"] else None,
        **_by_layer(record["layers"]),
        "peak_memory_mb": record.get("peak_memory_mb"),
        "commit": record.get("commit"),
        "folder": str(folder),
    }
    values, options = published(record.get("published")), options_of(config)
    cell = row["regime"], row["layers"], row["method"]
    row |= _reported(values.values(*cell, options=options))
    for i in range(len(record["layers"]) if len(record["layers"]) > 1 else 0):
        row |= {_of_layer(name, i): value for name, value in _reported(values.values(*cell, i, options)).items()}
    row["reported_on"] = values.dataset
    # Most texts recur: one copy of each for all rows.
    return {name: sys.intern(value) if isinstance(value, str) else value for name, value in row.items()}


def _reported(values: dict[str, float]) -> dict[str, float]:
    """Published values by their columns; raise an `InputError` at a name that no metric has."""
    for name in values.keys() - METRICS.keys():
        check_choice(name, METRICS, "the metric of a published value")
    return {f"reported_{name}": value for name, value in values.items()}


def _by_layer(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What tables tell of every layer, by `_of_layer`; nothing where there is one alone."""
    several = layers if len(layers) > 1 else []
    found = ((i, layer, name) for i, layer in enumerate(several) for name in _layer_columns() if name in layer)
    return {_of_layer(name, i): layer[name] for i, layer, name in found}


def _layer_columns() -> list[str]:
    """The floor, the metrics that have a table with one row per layer, and their published values."""
    names = [metric.name for metric in tabled(by_layer=True)]
    return ["floor", *names, *(f"reported_{name}" for name in names)]


def _of_layer(name: str, layer: int) -> str:
    """Column of a run's row for what one of its layers has."""
    return f"{name}@{layer}"


def layer_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per layer of every run that has several, from `rows_of`: its cell, seed, status, metrics and floor."""
    counts = rows["layers"].str.count("-") + 1
    parts = []
    for i in range(counts.max()):
        columns = {_of_layer(name, i): name for name in _layer_columns() if _of_layer(name, i) in rows}
        part = rows.loc[counts > max(i, 1), [*CELL, "seed", "status", "repeats", "unsettled", *columns]]
        parts.append(part.rename(columns=columns).astype(dict.fromkeys(columns.values(), float)).assign(layer=i))
    return pd.concat(parts, ignore_index=True).sort_values(
        [*LAYER_CELL, "seed"], key=_sort_key, kind="stable", ignore_index=True
    )


def _sort_key(column: pd.Series) -> pd.Series:
    """Few layers before many, methods in their order, anything else by its value."""
    if column.name == "layers":
        return column.map(lambda text: (text.count("-"), numbered(text)))
    if column.name == "method":
        return column.map(method_order)
    return column.map(numbered) if column.name == "dataset" else column


def summarise(rows: pd.DataFrame, cell: Sequence[str] = CELL) -> pd.DataFrame:
    """Mean, standard deviation and number of trials of every metric in every cell, in long format.

    The rows are from `rows_of`, or from `layer_rows` with `LAYER_CELL`; the table has the columns of `cell` and
    `VALUES`.  `std` is that of a sample, missing for one trial; `seeds` are those of the trials, of which `unsettled`
    ended far from a minimum; `best` marks the best means of a row of the table, as `_best` has them.
    """
    counted = rows[rows["status"].isin(COUNTED) & ~rows["repeats"]]
    parts = []
    for metric in (metric for metric in tabled() if metric.name in rows):
        reported = f"reported_{metric.name}"
        used = [name for name in (metric.name, "floor", reported) if name in counted]  # the others take memory
        values = counted[[*cell, "seed", "unsettled", *used]].dropna(subset=[metric.name]).astype({metric.name: float})
        groups = values.groupby(list(cell), sort=False, observed=True)
        part = groups[metric.name].agg(["mean", "std", "count"]).rename(columns={"count": "n"})
        part["seeds"] = groups["seed"].agg(ranges)
        part["unsettled"] = groups["unsettled"].sum()
        part["reported"] = groups[reported].first() if reported in values else np.nan
        part["floor"] = groups["floor"].mean() if metric.has_floor else np.nan
        parts.append(part.reset_index().assign(metric=metric.name))
    if not any(map(len, parts)):
        return pd.DataFrame(columns=[*cell, *VALUES])
    summary = pd.concat([part for part in parts if len(part)], ignore_index=True)
    summary["best"] = _best(summary, [name for name in cell if name != "method"])
    return summary[[*cell, *VALUES]]


def _best(summary: pd.DataFrame, row: Sequence[str]) -> pd.Series:
    """Whether a mean is among the best of its row, which are its first ones; never where there is one alone.

    From the best on, they go up to the first that is told from it: by the digits shown, and by Welch's test.  What
    comes after is worse, even where its trials scatter so much that the test tells nothing of them.  Single
    trials, and means over other seeds than those of most methods of the row, are not compared.
    """
    compared = summary[~_others(summary) & (summary["n"] > 1)]
    metrics = [METRICS[name] for name in compared["metric"]]
    means = pd.DataFrame({"mean": compared["mean"], "std": compared["std"].fillna(0.0), "n": compared["n"]})
    means["shown"] = [round(mean, metric.digits) for mean, metric in zip(means["mean"], metrics, strict=True)]
    signed = means["mean"] * [1.0 if metric.better == "lower" else -1.0 for metric in metrics]
    keys = [compared[name] for name in (*row, "metric")]
    groups = signed.groupby(keys, observed=True)
    best = means.loc[groups.transform("idxmin")].set_index(means.index)
    with np.errstate(all="ignore"):  # of trials without any spread there is no test: p is NaN
        columns = [each[name].to_numpy(float) for each in (means, best) for name in ("mean", "std", "n")]
        p = stats.ttest_ind_from_stats(*columns, equal_var=False).pvalue
    told = (means["shown"] != best["shown"]) & ~(p >= LEVEL)
    in_order = told.loc[signed.sort_values(kind="stable").index]
    first = (groups.transform("size") > 1) & ~in_order.groupby(keys, observed=True).cummax()
    return first.reindex(summary.index, fill_value=False)


def ranges(seeds: Iterable[int]) -> str:
    """Distinct integers in short.

    Examples
    --------
    >>> ranges([7, 0, 2, 1])
    '0-2, 7'
    """
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def footnotes(rows: pd.DataFrame) -> list[str]:
    """What a reader has to know about the runs behind a table."""
    notes = []
    if rows["repeats"].any():
        repeated = rows[rows["repeats"]].groupby("method", observed=True).size()
        counts = "; ".join(f"{count} of {method}" for method, count in repeated.items())
        notes.append(f"Runs that repeat all numbers of another seed, and are left out: {counts}.")
    excluded = rows.loc[~rows["status"].isin(COUNTED), "status"].value_counts()
    if len(excluded):
        counts = ", ".join(f"{count} {status}" for status, count in excluded.items())
        notes.append(f"Runs left out of the means: {counts}.")
    for ended, those in (
        ("ended at the limit of iterations", rows["status"] == MAX_ITER),
        ("were stopped by the line search", (rows["status"] == DONE) & (rows["stop"] == Stop.LINE_SEARCH)),
    ):
        if those.any():
            found = rows[those].groupby("method", observed=True).size()
            notes.append(f"Runs that {ended}: {'; '.join(f'{count} of {method}' for method, count in found.items())}.")
    return notes


def to_markdown(summary: pd.DataFrame, rows: pd.DataFrame, layers: pd.DataFrame | None = None) -> str:
    """One table per metric: a row for every regime and depth, a column for every method.

    `summary` and `rows` are from `summarise` and `rows_of`; `layers`, from `summarise` with `LAYER_CELL`, gives tables
    with a row for every layer, which follow.
    """
    parts = []
    for title, metric, table in tables_of(summary, layers):
        _, header, body = layout(table, metric, _markdown_cell)
        parts.append(
            f"### {title}\n\n{markdown_table(header, body)}" + (f"\n\n{n}." if (n := trials_of(table)) else "")
        )
    return "\n\n".join([*parts, *([legend(summary, rows)] if parts else []), *footnotes(rows)]) + "\n"


def legend(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """What the cells of the tables say."""
    text = "Mean ± standard deviation over n trials" if (summary["n"] > 1).any() else "Single trials"
    if summary["best"].any():
        text += "; in bold the best of a row"
        text += f" and those next to it, up to the first that differs from it by Welch's test (p < {LEVEL})"
    if summary["unsettled"].any():
        text += f"; {UNSETTLED} where runs ended far from a minimum, at over {FAR:g} times the tolerance"
    if _others(summary).any():
        text += "; in square brackets the seeds, where they are not those of most methods of the row"
    if summary["reported"].notna().any():
        text += "; in brackets what the publication reports"
        if data := sorted(set(rows["reported_on"].dropna())):
            text += f" on {', '.join(data)}"
    if ALONE in {*summary["metric"]} or ("alone" in summary and summary["alone"].notna().any()):
        text += "; alone, a CP model of that rank by itself"
    return text + "."


def to_latex(summary: pd.DataFrame, rows: pd.DataFrame, layers: pd.DataFrame | None = None) -> str:
    """The tables of `to_markdown` for LaTeX, sideways where they are too wide, and in parts where they still are."""
    parts = [r"% \usepackage{booktabs,rotating}", ""]
    for title, metric, table in tables_of(summary, layers):
        leading, header, body = layout(table, metric, _latex_cell)
        about = _escape(". ".join(filter(None, [title, trials_of(table), legend(table, rows)])))
        kept = len(header) - table["method"].nunique()
        columns = _fitting(kept, [header, *body], WIDTH)
        kind = "table" if len(columns) == 1 else "sidewaystable"
        columns = columns if kind == "table" else _fitting(kept, [header, *body], HEIGHT)
        together = max(1, LINES // (len(body) + max(name.count(" ") for name in header) + 3))  # parts on a page
        for first in range(0, len(columns), together):
            caption = rf"\caption{{{about}}}" if not first else rf"\caption[]{{{_escape(title)}, continued.}}"
            parts += [rf"\begin{{{kind}}}", r"\centering", r"\small", BELOW_CAPTION, caption]
            for some in columns[first : first + together]:
                parts += _tabular(some, len(leading), header, body)
            parts += [rf"\end{{{kind}}}", ""]
    return "\n".join([*parts, *(f"% {note}" for note in footnotes(rows))]) + "\n"


def _tabular(columns: Sequence[int], leading: int, header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """The lines of some columns of a table."""
    return [
        "",
        rf"\begin{{tabular}}{{{'l' * leading}{'r' * (len(columns) - leading)}}}",
        r"\toprule",
        " & ".join(_stacked(header[column], [row[column] for row in body]) for column in columns) + r" \\",
        r"\midrule",
        *(" & ".join(row[column] for column in columns) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _fitting(kept: int, lines: Sequence[Sequence[str]], room: float) -> list[list[int]]:
    """Columns that fit side by side into so many points: always the first, which are kept, and some of the others."""
    header, *body = lines
    texts = [[*header[i].split(" "), *(_plain(row[i]) for row in body)] for i in range(len(header))]
    widths = [LETTER * max(map(len, column)) + BETWEEN for column in texts]
    parts: list[list[int]] = []
    for column in range(kept, len(header)):
        if not parts or sum(widths[i] for i in parts[-1]) + widths[column] > room:
            parts.append([*range(kept)])
        parts[-1].append(column)
    return parts


def _plain(cell: str) -> str:
    """A cell for LaTeX as it is printed."""
    return (
        re.sub(r"\\textbf\{(.*?)\}", r"\1", cell).replace(_IN_LATEX["±"], "±").replace(_IN_LATEX[UNSETTLED], UNSETTLED)
    )


def _stacked(name: str, below: Sequence[str]) -> str:
    """A heading for LaTeX in as many lines as keep it within its column."""
    width = max(map(len, [*name.split(" "), *map(_plain, below)]))
    lines = [_escape(line) for line in textwrap.wrap(name, width, break_long_words=False, break_on_hyphens=False)]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r"\\".join(lines) + "}"


def _others(table: pd.DataFrame) -> pd.Series:
    """Whether a mean is over other seeds than those of most methods of its row."""
    row = [name for name in LAYER_CELL if name in table and name != "method"]
    most_first = table.sort_values("n", ascending=False, kind="stable")  # the longer list where as many have either
    groups = most_first.groupby([*row, "metric"], observed=True)["seeds"]
    usual = groups.transform(lambda seeds: Counter(seeds).most_common(1)[0][0])
    return table["seeds"] != usual.reindex(table.index)


def trials_of(table: pd.DataFrame) -> str:
    """How many trials the means of a table are of, where those of all rows are; else a column tells it of each."""
    others = _others(table)
    usual = table.loc[~others, "n"].unique()
    if len(usual) > 1:
        return ""
    return f"n = {usual[0]}" + (" where no seeds are named" if others.any() else "")


def tables_of(summary: pd.DataFrame, layers: pd.DataFrame | None) -> list[tuple[str, Metric, pd.DataFrame]]:
    """Title, metric and part of the long tables, cut by experiment, dataset and metric, metrics in their order."""
    parts = [(summary, ""), *([] if layers is None else [(layers, " by layer")])]
    return [part for long, suffix in parts for part in _cut(_with_alone(long), suffix)]


def _with_alone(summary: pd.DataFrame) -> pd.DataFrame:
    """A long table with the values of `ALONE` in a column in place of rows."""
    is_alone = summary["metric"] == ALONE
    row = [name for name in LAYER_CELL if name in summary and name != "method"]
    alone = summary[is_alone].groupby(row, observed=True)["mean"].mean().rename("alone")
    return summary[~is_alone].join(alone, on=row)


def _cut(summary: pd.DataFrame, suffix: str) -> list[tuple[str, Metric, pd.DataFrame]]:
    dataset = summary["dataset"].map(method_of)  # variants of one stand in one table
    groups = summary.groupby(["experiment", dataset, "metric"], sort=False)
    return [
        (f"{METRICS[metric].title}{suffix} ({experiment}, {name})", METRICS[metric], table)
        for (experiment, name, metric), table in sorted(
            groups, key=lambda item: (*item[0][:2], list(METRICS).index(item[0][2]))
        )
    ]


def layout(
    table: pd.DataFrame, metric: Metric, cell: Callable[[Any, int], C]
) -> tuple[list[str], list[str], list[list[str | C]]]:
    """Leading columns, header and body of one table; `cell` makes one of an entry and a number of digits."""
    methods = sorted(set(table["method"]), key=method_order)
    leading = [name for name in ("dataset", "regime", "layers", "layer") if name in table]
    leading = leading if table["dataset"].nunique() > 1 else leading[1:]
    bounds = ["floor", *(["alone"] if table["alone"].notna().any() else [])] if metric.has_floor else []
    counts = [] if trials_of(table) else ["n"]
    header = [*leading, *counts, *bounds, *methods]
    body = []
    table = table.assign(others=_others(table))
    for key, row in table.groupby(leading, sort=False, observed=True):
        cells = {entry.method: cell(entry, metric.digits) for entry in row.itertuples()}
        usual = row[~row["others"]]  # of other seeds, data and floor are others
        lowest = (usual[name].min() for name in bounds)  # the floor of a tensor bounds no method for matrices
        shown = ["-" if pd.isna(value) else f"{value:.{metric.digits}f}" for value in lowest]
        counted = [str(usual["n"].iloc[0])] if counts else []
        body.append([*map(str, key), *counted, *shown, *(cells.get(method, "") for method in methods)])
    return leading, header, body


def cell_text(entry: Any, digits: int, bold: str = "{}", plus_minus: str = "±", unsettled: str = UNSETTLED) -> str:
    """Mean, in bold where it is best, deviation, seeds of its own and published value; `bold` is a template."""
    mean = f"{entry.mean:.{digits}f}"
    parts = [bold.format(mean) if entry.best else mean]
    if entry.unsettled:
        parts[0] += unsettled
    if pd.notna(entry.std):
        parts.append(f"{plus_minus} {entry.std:.{digits}f}")
    if entry.others:
        parts.append(f"[seed{'s' if entry.n > 1 else ''} {entry.seeds}]")
    if pd.notna(entry.reported):
        parts.append(f"({_published_digits(entry.reported, digits)})")
    return " ".join(parts)


def _published_digits(value: float, digits: int) -> str:
    """A published value with as many digits as it has, three at least."""
    return next(text for n in range(3, max(3, digits) + 1) if float(text := f"{value:.{n}f}") == value or n >= digits)


_markdown_cell = functools.partial(cell_text, bold="**{}**")
_latex_cell = functools.partial(
    cell_text, bold=r"\textbf{{{}}}", plus_minus=_IN_LATEX["±"], unsettled=_IN_LATEX[UNSETTLED]
)


def markdown_table(header: Sequence[Any], body: Iterable[Sequence[Any]]) -> str:
    """A table for Markdown."""
    rows = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _escape(text: str) -> str:
    """Text for LaTeX."""
    return "".join(_IN_LATEX.get(char, char) for char in text)
