"""The table of hierarchies of CP models: its published values, its cells, and its way to the table of every level."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nnmf_runner.config import composition
from nnmf_runner.config.published import published
from nnmf_runner.report.variants import options_of
from nnmf_runner.store.record import find_records, read_record

EXPERIMENTS = ("tensors", "tensors_exact_codes", "tensors_matrices")
SEEDS, NOISES = (1, 2, 3, 4, 14), (0.1, 0.4)
# Hierarchy, training, and whether codes are exact.
MODELS = {
    ("free", "joint", False): "ncpd, free, joint",
    ("free", "layerwise", False): "ncpd, free, layerwise",
    ("tied", "joint", False): "ncpd, tied, joint, exact codes off",
    ("tied", "layerwise", False): "ncpd, tied, layerwise",
    ("tied", "joint", True): "ncpd, tied, joint, exact codes on",
}
# Typed from the authors' notebooks: relative errors of Neural NCPD and of standard hierarchical NCPD, level by level.
PUBLISHED = {
    ("joint", 0.1): (0.0963, 0.2172, 0.5303),
    ("joint", 0.4): (0.2774, 0.3136, 0.5012),
    ("layerwise", 0.1): (0.0963, 0.4683, 0.8153),
    ("layerwise", 0.4): (0.2774, 0.4281, 0.7162),
}


@functools.cache
def swept():
    """Every configuration of the three experiments; composing them takes seconds."""
    composition.register_schema()
    return [cell.config for name in EXPERIMENTS for cell in composition.read_sweep([f"experiment={name}"]).cells]


@pytest.mark.slow
def test_every_model_sees_the_noise_of_the_publications_and_of_three_more_seeds():
    configs = swept()
    assert {(c.dataset.name, c.layers, c.name, c.trials, c.workers) for c in configs} == {
        ("blocks", (7, 4, 2), "tensors", 1, None)
    }
    assert all(c.dataset.noise_seed == c.seed for c in configs)
    found = [
        (
            c.method.name,
            *((c.method.hierarchy, c.method.training, c.method.is_exact) if c.method.name == "ncpd" else ()),
            c.dataset.noise,
            c.seed,
        )
        for c in configs
    ]
    models = [("hier",), *(("ncpd", *model) for model in MODELS)]
    assert sorted(map(str, found)) == sorted(
        str((*model, noise, seed)) for model, noise, seed in itertools.product(models, NOISES, SEEDS)
    )


@pytest.mark.slow
def test_published_values_are_those_of_the_model_noise_and_level():
    for config in swept():
        method, noise = config.computed["method"], config.dataset.noise
        is_free = method.get("hierarchy") == "free"
        expected = PUBLISHED[method["training"], noise] if is_free else ()
        values = published(config.published)
        cell = config.regime, "7-4-2", method["name"]
        for level in range(3):
            found = values.values(*cell, level, options_of(config.computed))
            assert found == ({"relative_error": expected[level]} if expected else {})


@pytest.fixture(scope="module")
def tiny_table(tmp_path_factory):
    """Folder of the table with two seeds of five iterations, collected."""
    folder = tmp_path_factory.mktemp("tensors")
    runs = [f"nnmf-run experiment={name} seed=1,14 max_iter=5 workers=1" for name in EXPERIMENTS]
    for line in (*runs, "nnmf-collect outputs/tensors --no-figures"):
        program, *arguments = line.split()
        command = [Path(sys.executable).parent / program, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    return folder / "outputs" / "tensors"


@pytest.mark.slow
def test_the_table_has_the_errors_of_all_levels_over_the_seeds_beside_published_ones(tiny_table):
    assert len(find_records(tiny_table)) == 6 * 2 * 2
    table = pd.read_csv(tiny_table / "report" / "layers.csv")
    errors = table[table["metric"] == "relative_error"].set_index(["method", "dataset", "layer"])
    names = ["hier", *MODELS.values()]
    data = [f"blocks, noise {noise}" for noise in NOISES]
    assert set(errors.index) == set(itertools.product(names, data, range(3)))
    assert (errors["n"] == 2).all()
    for (hierarchy, training, _), name in MODELS.items():
        for noise, level in itertools.product(NOISES, range(3)):
            reported = errors.loc[(name, f"blocks, noise {noise}", level), "reported"]
            assert reported == PUBLISHED[training, noise][level] if hierarchy == "free" else pd.isna(reported)


@pytest.mark.slow
def test_the_means_are_those_of_the_records(tiny_table):
    table = pd.read_csv(tiny_table / "report" / "layers.csv").query(
        "metric == 'relative_error' and method == 'ncpd, free, joint'"
    )
    records = [read_record(path) for path in find_records(tiny_table)]
    for row in table.itertuples():
        noise = float(row.dataset.rpartition(" ")[2])
        values = [
            record["layers"][row.layer]["relative_error"]
            for record in records
            if record["config"]["method"].get("hierarchy") == "free"
            and record["config"]["method"]["training"] == "joint"
            and record["config"]["dataset"]["noise"] == noise
        ]
        assert len(values) == 2
        assert row.mean == pytest.approx(sum(values) / 2, rel=1e-12)


@pytest.mark.slow
def test_figures_are_of_the_publications_first_tensor(tiny_table):
    from nnmf_runner.report.collect import read_records, representatives
    from nnmf_runner.report.table import rows_of

    runs = representatives(rows_of(read_records(tiny_table)))
    shown = [
        read_record(tiny_table / folder / "record.json")["config"]
        for folder in runs.drop_duplicates("method")["folder"]
    ]
    assert len(shown) == 6
    assert {(config["dataset"]["noise"], config["seed"]) for config in shown} == {(0.1, 1)}
