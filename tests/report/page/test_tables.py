"""Tables of the page hold what the text tables do, as numbers to be sorted by."""

from __future__ import annotations

import math

import pytest

from nnmf_runner.report.page import tables
from nnmf_runner.report.page.tables import (
    STATUS_WORDS,
    Cell,
    Table,
    environment_table,
    failures_table,
    layers_table,
    metric_tables,
    number_cell,
    options_table,
    runs_table,
)
from nnmf_runner.report.table import LAYER_CELL, layer_rows, rows_of, summarise, to_markdown
from nnmf_runner.store.record import STATUSES


@pytest.fixture
def rows(record_of, records_of):
    published = {"published": "table1"}
    records = [
        record_of(m, seed=s, error=0.2 + 0.1 * (m == "hier") + 0.001 * s, **published)
        for m in ("hier", "neural")
        for s in (0, 1)
    ]
    failed = record_of("deep", seed=0, status="failed", message="no such file", n_iter=None)
    return rows_of(records_of(*records, failed).items())


def test_cells_of_results_are_those_of_the_markdown(rows):
    summary, layers = summarise(rows), summarise(layer_rows(rows), LAYER_CELL)
    found = metric_tables(summary, layers)
    text = to_markdown(summary, rows, layers)
    for table in found:
        assert f"### {table.title} (trial, toy)" in text
        for row in table.rows:
            cells = [
                f"**{first}**{rest}" if cell.best else cell.text for cell in row for first, rest in [_parts(cell.text)]
            ]
            assert f"| {' | '.join(cells)} |".replace("| - |", "|  |").replace("| - |", "|  |") in text.replace(
                "| - |", "|  |"
            )
    error = found[0]
    assert error.title == "Relative error"
    assert error.note == "n = 2; lower is better."
    assert [cell.value for cell in error.rows[0]][-2:] == pytest.approx([0.3005, 0.2005])
    assert [cell.best for cell in error.rows[0]][-2:] == [False, True]
    assert error.numeric == [False, False, True, True, True]


def test_iterations_are_told_with_the_fits_that_they_were_done_in(record_of, records_of):
    records = [record_of("hier", seed=0, n_iter=20, fits=2, layers=(9, 4)), record_of("hier", seed=1, n_iter=7)]
    table = runs_table(rows_of(records_of(*records).items()))
    cells = {row[table.header.index("iterations")] for row in table.rows}
    assert {(cell.text, cell.value) for cell in cells} == {("20 in 2 layers", 20.0), ("7", 7.0)}


def _parts(text):
    """The mean and what follows it."""
    first, space, rest = text.partition(" ")
    return first, space + rest


def test_runs_have_their_metrics_and_words_for_how_they_ended(rows):
    table = runs_table(rows)
    assert table.header[:8] == ["experiment", "dataset", "regime", "layers", "method", "seed", "status", "iterations"]
    found = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [each["status"].text for each in found] == [*["done"] * 2, "failed", *["done"] * 2]
    assert found[0]["relative error"] == Cell("0.3000", pytest.approx(0.3))
    assert found[2]["relative error"] == found[2]["iterations"] == Cell("-")
    assert STATUS_WORDS.keys() == set(STATUSES)


def test_failures_tell_why(rows):
    table = failures_table(rows)
    assert [[cell.text for cell in row[-4:-1]] for row in table.rows] == [["0", "failed", "no such file"]]
    assert failures_table(rows[rows["status"] == "done"]) is None


def test_long_tables_are_cut_and_say_where_the_rest_is(rows, monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    table = runs_table(rows)
    assert len(table.rows) == 2
    assert table.note == "The first 2 of 5 runs; records.csv has all."
    long = Table("a", ["x", "y"], [[Cell("1"), Cell("2")]] * 10, note="n = 1.")
    assert long.cut(7, "rows; table.csv has all") == Table(
        "a", ["x", "y"], long.rows[:3], note="n = 1. The first 3 of 10 rows; table.csv has all."
    )
    assert long.cut(20, "") is not None
    assert long.cut(20, "").note == "n = 1."


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.12345, Cell("0.123", 0.12345)),
        (None, Cell("-")),
        (math.nan, Cell("not a number")),
        (math.inf, Cell("infinite", math.inf)),
        (-math.inf, Cell("minus infinite", -math.inf)),
    ],
)
def test_numbers_that_are_none_are_words(value, cell):
    assert number_cell(value, 3) == cell


def test_options_that_differ_stand_side_by_side(record_of):
    runs = {"one": record_of(seed=0), "other": record_of(seed=0, **{"dataset.noise": 0.3})}
    table = options_table(runs)
    assert table.header == ["option", "one", "other"]
    assert [[cell.text for cell in row] for row in table.rows] == [["dataset.noise", "0.15", "0.3"]]
    assert options_table({"one": runs["one"]}) is None


def test_options_of_one_method_alone_are_no_difference(record_of):
    deep = record_of("deep", seed=0, **{"method.pooling": "max", "method.shared": 1})
    neural = record_of("neural", seed=0, **{"method.shared": 2})
    neural["config"]["optimizer"] = {"name": "auto", "hals": 100}
    again = record_of("neural", seed=0, **{"method.shared": 2})
    again["config"]["optimizer"] = {"name": "adam", "step": 1}
    told = [row[0].text for row in options_table({"one": deep, "other": neural}).rows]
    assert {"method.name", "method.shared"} <= set(told)
    assert not {"method.pooling", "optimizer.name", "optimizer.hals"} & set(told)
    told = [row[0].text for row in options_table({"one": neural, "other": again}).rows]
    assert told == ["optimizer.name", "optimizer.hals", "optimizer.step"]


def test_the_environment_tells_all_values(record_of):
    records = [record_of(versions={"python": "3.12", "numpy": n}, commit="abc", host=None) for n in ("2.3", "2.4")]
    found = {row[0].text: row[1].text for row in environment_table(records).rows}
    assert found == {"python": "3.12", "numpy": "2.3, 2.4", "commit": "abc"}


def test_of_many_values_the_first_are_listed(monkeypatch):
    monkeypatch.setattr(tables, "MOST_LISTED", 2)
    assert tables.listed(["a", "b"]) == "a, b"
    assert tables.listed(["a", "b", "c", "d"]) == "a, b and 2 more"


def test_layers_have_the_metrics_that_any_of_them_has(record_of):
    table = layers_table(record_of(error=0.25))
    assert table.header == ["layer", "rank", "relative error", "Eckart-Young floor", "accuracy", "unlabelled"]
    assert [cell.text for cell in table.rows[1]] == ["1", "4", "0.2500", "0.2000", "0.900", "0.800"]
    assert table.rows[0][2] == Cell("-")
