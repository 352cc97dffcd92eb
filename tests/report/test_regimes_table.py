"""The map of a sweep as Markdown, from invented records whose best methods are known."""

from __future__ import annotations

import re

import pytest

from nnmf_runner.report import regimes_table
from tests.fixtures.sweeps import grid, mapped


def test_markdown_shows_best_methods_and_margins_and_says_what_is_not_significant(records):
    text = regimes_table.to_markdown(mapped(records))
    grid = text[text.index("### Relative error above the floor: noise (across) and overlap (down)") :]
    rows = [line.strip("| ").split(" | ") for line in grid.splitlines() if line.startswith("|")]
    assert rows[0] == ["overlap", "1", "2", "3"]
    assert [row[0] for row in rows[2:]] == ["0", "0.5"]
    for row in rows[2:]:
        assert re.fullmatch(r"neural \+(9\.9|10\.\d)", row[1])
        assert re.fullmatch(r"(neural / deep|deep / neural) \+(9\.\d|10\.\d)", row[2])
        assert row[3] == "not significant"
    assert "6 seeds, 18 comparisons" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_summary_counts_significant_differences_of_every_two_methods(records):
    text = regimes_table.to_markdown(mapped(records))
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| Relative")]
    counts = {row[1]: list(map(int, row[2:6])) for row in rows}
    assert counts == {"neural vs deep": [6, 2, 0, 4], "neural vs hier": [6, 4, 0, 2], "deep vs hier": [6, 4, 0, 2]}
    differences = {row[1]: list(map(float, row[6:])) for row in rows}
    for mean, lowest, highest in differences.values():
        assert lowest <= mean <= highest
    assert differences["neural vs hier"] == pytest.approx([10, 0, 20], abs=0.2)


def test_an_option_varied_alone_is_one_row_of_a_panel(run):
    text = regimes_table.to_markdown(mapped(grid(run, noise=[1.0, 2.5])))
    block = text[text.index("### Relative error above the floor: noise\n") :]
    header, _, row = [line.strip("|") for line in block.splitlines()[2:5]]
    assert header.split("|") == ["  ", " 1 ", " 2.5 "]
    assert row.split("|")[0].strip() == ""
    assert all(cell.startswith(" neural ") for cell in row.split("|")[1:])


def test_options_and_their_values_are_told_as_readers_call_them():
    assert [regimes_table.label(axis) for axis in ("dataset.per_class", "label_fraction", None)] == [
        "per class",
        "label fraction",
        "",
    ]
    assert regimes_table.texts([0.50, 2.0, 3, "all", None]) == ["0.5", "2", "3", "all", ""]
    assert regimes_table.texts([2.0, 1.8243248407951807e-06, 1.8243e-06]) == ["2", "1.82432e-06", "1.8243e-06"]


def test_numbers_lose_their_empty_digits_and_words_do_not():
    assert regimes_table.texts(["2.0", "0.5"]) == ["2", "0.5"]
    assert regimes_table.texts(["toy v1.0", "toy v2.0"]) == ["toy v1.0", "toy v2.0"]
