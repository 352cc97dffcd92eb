"""Table 1: its published values, its cells, and its way to tables and figures."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nnmf_runner.config import composition
from nnmf_runner.config.published import published
from nnmf_runner.store.record import find_records, read_record

# Typed from the slides: relative error and accuracy of hier, deep and neural.
METHODS = ("hier", "deep", "neural")
ERRORS = {
    ("unsupervised", "9"): (0.053, 0.031, 0.029),
    ("unsupervised", "9-4"): (0.399, 0.414, 0.310),
    ("unsupervised", "9-4-2"): (0.860, 0.838, 0.492),
    ("semisupervised", "9"): (0.049, 0.031, 0.042),
    ("semisupervised", "9-4"): (0.374, 0.394, 0.305),
    ("semisupervised", "9-4-2"): (0.676, 0.733, 0.496),
    ("supervised", "9"): (0.052, 0.042, 0.042),
    ("supervised", "9-4"): (0.311, 0.310, 0.307),
    ("supervised", "9-4-2"): (0.495, 0.494, 0.498),
}
ACCURACIES = {
    ("semisupervised", "9"): (0.933, 0.947, 1.0),
    ("semisupervised", "9-4"): (0.926, 0.911, 1.0),
    ("semisupervised", "9-4-2"): (0.930, 0.930, 0.990),
    ("supervised", "9"): (0.960, 0.962, 1.0),
    ("supervised", "9-4"): (0.984, 0.984, 1.0),
    ("supervised", "9-4-2"): (1.0, 1.0, 1.0),
}
FRACTIONS = {"unsupervised": 0.0, "semisupervised": 0.4, "supervised": 1.0}
CELLS = [(*cell, method) for cell in ERRORS for method in METHODS]


def reported(cell):
    regime, layers, method = cell
    i = METHODS.index(method)
    values = {"relative_error": ERRORS[regime, layers][i]}
    return values | ({"accuracy": ACCURACIES[regime, layers][i]} if (regime, layers) in ACCURACIES else {})


@functools.cache
def swept(experiment):
    """Every configuration of an experiment; composing them takes seconds."""
    composition.register_schema()
    return [cell.config for cell in composition.read_sweep([f"experiment={experiment}"]).cells]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["table1", "table1_method1"])
def test_an_experiment_is_the_27_cells_with_what_the_slides_report(experiment):
    configs = swept(experiment)
    found = {(c.regime, "-".join(map(str, c.layers)), c.method.name): c for c in configs}
    assert len(configs) == len(found) == 27
    assert set(found) == set(CELLS)
    for cell, config in found.items():
        assert config.label_fraction == FRACTIONS[cell[0]]
        assert published(config.published).values(*cell) == reported(cell)
        assert (config.trials, config.seed, config.name) == (10, 0, experiment)
    assert len({(c.tol, c.max_iter, c.init.name) for c in configs}) == 1  # one stopping rule, one start


@pytest.mark.slow
def test_the_errors_of_all_layers_are_those_of_every_cost_and_share_of_labels_in_one_folder():
    configs = [*swept("table1_layers"), *swept("table1_layers_costs")]
    costs = [("hier", "reconstruction"), ("deep", "reconstruction")]
    costs += [("neural", cost) for cost in ("reconstruction", "energy", "multilevel")]
    expected = sorted((*cost, fraction) for cost in costs for fraction in (0.0, 0.4, 1.0))
    assert sorted((c.method.name, c.cost.name, c.label_fraction) for c in configs) == expected
    same = {(c.name, c.layers, c.trials, c.seed, c.supervision.levels, c.workers) for c in configs}
    assert same == {("table1_layers", (9, 4, 2), 10, 0, "last", None)}


@pytest.mark.slow
def test_method1_is_what_the_slides_read():
    configs = swept("table1_method1")
    assert {(c.init.name, c.cost.name) for c in configs} == {("random", "reconstruction")}
    chosen = {(c.method.name, c.optimizer.name) for c in configs}
    assert chosen == {("hier", "auto"), ("deep", "auto"), ("neural", "gd")}  # others have updates of their own
    assert {c.method.solver for c in configs if c.method.name == "hier"} == {"mu"}


@pytest.fixture(scope="module")
def tiny_table(tmp_path_factory):
    """Folder of a table of runs of five iterations, collected."""
    folder = tmp_path_factory.mktemp("table")
    for line in ("nnmf-run experiment=table1 trials=1 max_iter=5 workers=1", "nnmf-collect outputs/table1"):
        program, *arguments = line.split()
        command = [Path(sys.executable).parent / program, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "\r" not in done.stderr
    return folder / "outputs" / "table1"


@pytest.mark.slow
def test_the_tables_have_every_cell_and_metric(tiny_table):
    assert len(find_records(tiny_table)) == 27
    table = pd.read_csv(tiny_table / "report" / "table.csv", dtype={"layers": str})
    counts = table["metric"].value_counts().to_dict()
    assert counts == {"relative_error": 27, "accuracy": 18, "accuracy_unknown": 9, "accuracy_fit": 9, "seconds": 27}
    for row in table[table["metric"].isin(["relative_error", "accuracy"])].itertuples():
        assert row.reported == reported((row.regime, row.layers, row.method))[row.metric]
    floors = {"9": 0.0236, "9-4": 0.2816, "9-4-2": 0.4676}
    for row in table[table["metric"] == "relative_error"].itertuples():
        assert row.floor == pytest.approx(floors[row.layers], abs=6e-4)  # the noise of another seed
        assert row.mean >= row.floor


@pytest.mark.slow
def test_the_means_are_those_of_the_records(tiny_table):
    table = pd.read_csv(tiny_table / "report" / "table.csv", dtype={"layers": str})
    errors = table[table["metric"] == "relative_error"].set_index(["regime", "layers", "method"])["mean"]
    for path in find_records(tiny_table):
        record = read_record(path)
        layers = "-".join(map(str, record["config"]["layers"]))
        cell = record["regime"], layers, record["config"]["method"]["name"]
        assert errors[cell] == pytest.approx(record["metrics"]["relative_error"], rel=1e-12)


@pytest.mark.slow
def test_the_figures_are_those_of_three_layers_with_some_labels(tiny_table):
    names = {path.name for path in (tiny_table / "report" / "figures").iterdir()}
    stems = [f"table1_{method}_heatmaps" for method in METHODS]
    stems += ["table1_convergence", "table1_comparison"]
    assert names == {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")}
    assert all((tiny_table / "report" / "figures" / name).stat().st_size > 5000 for name in names)
