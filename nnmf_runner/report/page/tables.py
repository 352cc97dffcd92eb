"""Tables of the page: what the text tables hold, as cells that a reader can sort and filter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from nnmf_runner.metrics.registry import METRICS, tabled
from nnmf_runner.report.compare import differing_options
from nnmf_runner.report.table import cell_text, layout, tables_of, trials_of
from nnmf_runner.report.variants import flat, method_of
from nnmf_runner.store.record import COUNTED, DIVERGED, DONE, FAILED, INTERRUPTED, MAX_ITER, TIMED_OUT, fits_text

# What a reader is told of how a run ended.
STATUS_WORDS = {
    DONE: "done",
    MAX_ITER: "ended at the limit of iterations",
    DIVERGED: "diverged",
    FAILED: "failed",
    INTERRUPTED: "interrupted",
    TIMED_OUT: "stopped by the time limit",
}
NONE = "-"
# What tells a run, by the columns of the rows.
RUN = ("experiment", "dataset", "regime", "layers", "method", "seed")
# Rows of the table of runs, and of that of failures, at most.
MOST_ROWS, MOST_FAILURES = 1000, 100
# Values that are listed in a line.
MOST_LISTED = 8


class Cell(NamedTuple):
    """A cell: its text, what it is sorted by where that is a number, and whether it is the best of its row."""

    text: str
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its title, the names of its columns, its rows, and what is to be known of it.

    The first columns, `leading` of them, head their rows.
    """

    title: str
    header: list[str]
    rows: list[list[Cell]]
    leading: int = 1
    note: str = ""

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.rows) * len(self.header)

    @property
    def numeric(self) -> list[bool]:
        """Whether a column is of numbers."""
        return [any(row[j].value is not None for row in self.rows) for j in range(len(self.header))]

    def cut(self, cells: int, where: str) -> Table:
        """The table with as many of its first rows as make at most so many cells; the note says where the rest is."""
        some = replace(self, rows=self.rows[: cells // len(self.header)])
        return some.with_rest(len(self.rows), where)

    def with_rest(self, count: int, where: str) -> Table:
        """The table with a note on the rest, where there are more rows in all than it has."""
        if count <= len(self.rows):
            return self
        return replace(self, note=f"{self.note} The first {len(self.rows):,} of {count:,} {where}.".strip())


def listed(values: Sequence[str]) -> str:
    """Texts one after the other, the first ones of many."""
    more = len(values) - MOST_LISTED
    return ", ".join(values) if more <= 0 else f"{', '.join(values[:MOST_LISTED])} and {more:,} more"


def number_cell(value: Any, digits: int) -> Cell:
    """A number with so many digits, in words where it is none."""
    if value is None or value is pd.NA:
        return Cell(NONE)
    if math.isnan(value):
        return Cell("not a number")
    if math.isinf(value):
        return Cell("infinite" if value > 0 else "minus infinite", float(value))
    return Cell(f"{value:.{digits}f}", float(value))


def text_cells(row: Iterable[Any]) -> list[Cell]:
    """Cells of text, and of integers, which are sorted as numbers."""
    return [Cell(str(value), float(value)) if isinstance(value, int) else Cell(str(value)) for value in row]


def metric_tables(summary: pd.DataFrame, layers: pd.DataFrame) -> list[Table]:
    """The tables of ``table.md``, from `nnmf_runner.report.table.summarise`."""
    found = []
    for title, metric, part in tables_of(summary, layers):
        leading, header, body = layout(part, metric, metric_cell)
        first = len(leading)
        rows = [
            [*text_cells(row[:first]), *(each if isinstance(each, Cell) else _floor(each) for each in row[first:])]
            for row in body
        ]
        named = f" ({part['experiment'].iloc[0]}, {method_of(part['dataset'].iloc[0])})"  # which stands above the table
        note = "; ".join(filter(None, [trials_of(part), f"{metric.better} is better."]))
        found.append(Table(title.removesuffix(named), header, rows, first, note))
    return found


def metric_cell(entry: Any, digits: int) -> Cell:
    """The mean of a cell of the tables, as they tell it."""
    return Cell(cell_text(entry, digits), float(entry.mean), bool(entry.best))


def _floor(text: str) -> Cell:
    """A floor, or the place of a method that has no value."""
    return Cell(text, float(text)) if text.strip("-") else Cell(NONE)


def runs_table(rows: pd.DataFrame) -> Table:
    """The runs with their metrics, from `nnmf_runner.report.table.rows_of`."""
    metrics = [metric for metric in tabled() if metric.name in rows and rows[metric.name].notna().any()]
    header = [*RUN, "status", "iterations", *(metric.heading for metric in metrics), "folder"]
    body = [
        [
            *text_cells(row[name] for name in RUN),
            Cell(STATUS_WORDS[row["status"]]),
            _iterations(row),
            *(_known(row[metric.name], metric.digits) for metric in metrics),
            Cell(row["folder"]),
        ]
        for row in rows.head(MOST_ROWS).to_dict("records")
    ]
    table = Table("All runs", header, body, 0)
    return table.with_rest(len(rows), "runs; records.csv has all")


def _iterations(row: Mapping[str, Any]) -> Cell:
    """The iterations of a run, and in how many fits where there were several."""
    known = _known(row.get("n_iter"), 0)
    return known._replace(text=known.text + fits_text(row.get("fits"), len(row["layers"].split("-"))))


def _known(value: Any, digits: int) -> Cell:
    """A number of a run; what it has not is missing in a table of several."""
    return number_cell(None if pd.isna(value) else value, digits)


def failures_table(rows: pd.DataFrame) -> Table | None:
    """The runs that ended without numbers, and why; None where all have some."""
    failed = rows[~rows["status"].isin(COUNTED)]
    if failed.empty:
        return None
    body = [
        [
            *text_cells(row[name] for name in RUN),
            Cell(STATUS_WORDS[row["status"]]),
            Cell(row["message"] if isinstance(row["message"], str) else NONE),
            Cell(row["folder"]),
        ]
        for row in failed.head(MOST_FAILURES).to_dict("records")
    ]
    table = Table("Runs without numbers", [*RUN, "status", "message", "folder"], body, 0)
    return table.with_rest(len(failed), "runs; records.csv has all")


def options_table(runs: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """The options in which runs differ, by what they are called; None where there are none."""
    found = differing_options([*runs.values()])
    rows = [text_cells([option, *values]) for option, values in found.items()]
    return Table("Options that differ", ["option", *runs], rows) if rows else None


def configuration_table(record: Mapping[str, Any]) -> Table:
    """All options of a run."""
    rows = [text_cells([option, str(value)]) for option, value in flat(record["config"]).items()]
    return Table("Configuration", ["option", "value"], rows)


def layers_table(record: Mapping[str, Any]) -> Table:
    """The metrics of every layer of a run."""
    layers = record["layers"]
    metrics = [metric for metric in METRICS.values() if any(layer.get(metric.name) is not None for layer in layers)]
    rows = [
        [
            *text_cells([level, layer.get("rank", NONE)]),
            *(number_cell(layer.get(metric.name), metric.digits) for metric in metrics),
        ]
        for level, layer in enumerate(layers)
    ]
    return Table("Metrics of every layer", ["layer", "rank", *(metric.heading for metric in metrics)], rows)


def environment_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """What runs were made with; several values where they differ."""
    each = [_environment(record) for record in records]
    names = dict.fromkeys(name for found in each for name in found)
    values = {name: dict.fromkeys(found[name] for found in each if found.get(name)) for name in names}
    rows = [text_cells([name, listed([*found])]) for name, found in values.items() if found]
    return Table("Environment", ["what", "value"], rows)


def _environment(record: Mapping[str, Any]) -> dict[str, str]:
    """Versions, commit and machine of a run, as text; empty where the record does not say."""
    told = {
        "commit": record.get("commit"),
        "source": record.get("code"),
        "threads": record.get("threads"),
        "BLAS threads": record.get("blas_threads"),
        "computer": record.get("host"),
        "finished": record.get("finished"),
        "peak memory": f"{record['peak_memory_mb']:.0f} MB" if record.get("peak_memory_mb") else None,
    }
    versions = record.get("versions") if isinstance(record.get("versions"), dict) else {}
    return {name: "" if value is None else str(value) for name, value in {**(versions or {}), **told}.items()}
