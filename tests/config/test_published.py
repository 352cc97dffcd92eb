"""Values that publications report: those of a cell and layer, joined when records are collected."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from nnmf_runner.config import published as module
from nnmf_runner.config.published import Published, conf_dir, published, published_names
from nnmf_runner.core.checks import InputError

CELL_TEXT = "values: [{regime: supervised, layers: '9', method: hier, accuracy: 0.5}]"
ENTRIES = [
    {"regime": "unsupervised", "layers": "9-4", "method": "hier", "layer": 0, "accuracy": 0.5},
    {"regime": "unsupervised", "layers": "9-4", "method": "hier", "accuracy": 0.75, "relative_error": 0.25},
]


def test_values_are_those_of_the_cell():
    table = published("table1")
    assert table.values("semisupervised", "9-4", "hier") == {"relative_error": 0.374, "accuracy": 0.926}
    assert table.values("semisupervised", "9-3", "hier") == {}
    assert (table.dataset, published("table2").dataset) == (None, "newsgroups")


def test_values_of_a_layer_are_those_that_name_it():
    cell = "unsupervised", "9-4", "hier"
    values = Published(None, ENTRIES)
    assert values.values(*cell, 0) == {"accuracy": 0.5}
    assert values.values(*cell, 1) == values.values(*cell) == {"accuracy": 0.75, "relative_error": 0.25}


def test_values_of_an_option_are_those_of_runs_that_have_it():
    cell = {"regime": "unsupervised", "layers": "9", "method": "hier"}
    entries = [cell | {"dataset.noise": noise, "accuracy": noise} for noise in (0.1, 0.4)] + [cell | {"accuracy": 0.9}]
    values = Published(None, entries)
    assert values.values(*cell.values(), options=["dataset.noise=0.4", "tol=1"]) == {"accuracy": 0.4}
    assert values.values(*cell.values(), options=["dataset.noise=0.2"]) == {"accuracy": 0.9}
    assert values.values(*cell.values()) == {"accuracy": 0.9}


def test_an_experiment_names_a_file_that_is_there(configure):
    assert configure("experiment=table1").published == "table1"
    with pytest.raises(InputError, match=r"published=table9 is not known\. Expected one of: table1, table2"):
        configure("published=table9")
    assert published(None).entries == published("of-an-earlier-version").entries == []
    assert all(published(name).entries for name in published_names())


@pytest.mark.parametrize(
    "slip",
    [
        "valuez: []",
        "values: [",
        "values: [{regime: supervised}]",
        "values: 3",
        CELL_TEXT.replace("0.5", "abc"),
        "[1, 2]",
    ],
)
def test_a_slip_in_a_file_of_values_is_one_line_with_its_name(monkeypatch, tmp_path, slip):
    (tmp_path / "experiment" / "published").mkdir(parents=True)
    (tmp_path / "experiment" / "published" / "mine.yaml").write_text(slip)
    monkeypatch.setattr(module, "conf_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"mine\.yaml is not a file of published values \(") as caught:
        published.__wrapped__("mine")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_corrected_value_is_shown_when_the_same_records_are_collected_again(command, monkeypatch, tmp_path):
    assert command("experiment=table1", "method=hier", "layers=[9]", "label_fraction=0", "trials=1").status == 0
    conf = shutil.copytree(conf_dir(), tmp_path / "conf")
    shown = []
    for value in ("0.053", "0.777"):
        path = Path(conf) / "experiment" / "published" / "table1.yaml"
        path.write_text(path.read_text().replace("relative_error: 0.053", f"relative_error: {value}"))
        monkeypatch.setattr(module, "conf_dir", lambda: str(conf))
        published.cache_clear()
        command("outputs/table1", "--no-figures", program="nnmf-collect")
        table = pd.read_csv(tmp_path / "outputs" / "table1" / "report" / "table.csv")
        shown.append(table.loc[table["metric"] == "relative_error", "reported"].item())
    published.cache_clear()
    assert shown == [0.053, 0.777]
