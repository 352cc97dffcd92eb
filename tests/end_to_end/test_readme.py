"""The numbers that README prints are what the current code gives, and what the project promises."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.config.published import published
from nnmf_runner.report.summary import layer_table
from nnmf_runner.running.trials import run_trials

README = (Path(__file__).parents[2] / "README.md").read_text()
FRACTIONS = {"unsupervised": 0.0, "semisupervised": 0.4, "supervised": 1.0}
CELLS = [(regime, layers) for regime in FRACTIONS for layers in ("9", "9-4", "9-4-2")]


def shown(title: str, n: int = len(CELLS)) -> dict[tuple[str, str], dict[str, str]]:
    """A Markdown table of README below a title: cells by regime and layers, then by the header."""
    section = README[README.index(f"### {title}") :]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines()[2:] if line.startswith("|")]
    rows = lines[2 : 2 + n]
    return {(row[0], row[1]): dict(zip(lines[0], row, strict=True)) for row in rows}


def number(cell: str) -> float:
    return float(re.search(r"\d+\.\d+", cell).group())


@pytest.fixture(scope="module")
def trials(configure, tmp_path_factory):
    """Records of the ten trials of a cell; what one test has run, the next one finds."""
    output = tmp_path_factory.mktemp("table1")

    def make(method: str, regime: str, layers: str):
        fraction = FRACTIONS[regime]
        overrides = [f"method={method}", f"layers={layers}", f"label_fraction={fraction}", f"output={output}"]
        overrides.append("cost=reconstruction")
        return [o.record for o in run_trials(configure("experiment=table1", *overrides, "workers=1")).values()]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("method", ["neural", "hier"])
@pytest.mark.parametrize(("regime", "layers"), CELLS)
def test_errors_of_table_1_are_those_of_the_code(trials, method, regime, layers):
    errors = [record["metrics"]["relative_error"] for record in trials(method, regime, layers)]
    assert len(errors) == 10
    # half a unit of the last digit shown, and as much for another BLAS
    assert np.mean(errors) == pytest.approx(number(shown("Relative error")[regime, layers][method]), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("regime", "layers"), CELLS)
def test_the_neural_method_reaches_the_floor_and_every_label(trials, regime, layers):
    for record in trials("neural", regime, layers):
        metrics, floor = record["metrics"], record["layers"][-1]["floor"]
        assert record["status"] == "done"
        assert floor <= metrics["relative_error"] <= 1.001 * floor
        assert (metrics["accuracy"] or metrics["accuracy_fit"]) == 1.0
        assert metrics["relative_error"] <= published("table1").values(regime, layers, "neural")["relative_error"]
        assert record["n_iter"] <= 500


SYSTEMS = [(cell, method) for cell in CELLS for method in ("deep", "semi", "unfolded", "sparse_coding")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "method"), [(cell, method) for cell, method in SYSTEMS if method != "unfolded" or cell[1] == "9"]
)
def test_errors_of_all_systems_are_those_of_the_code(configure, tmp_path, cell, method):
    regime, layers = cell
    overrides = [f"method={method}", f"layers={layers}", f"label_fraction={FRACTIONS[regime]}", f"output={tmp_path}"]
    outcomes = run_trials(configure("experiment=systems", *overrides, "workers=1", "trials=1")).values()
    [metrics] = [outcome.record["metrics"] for outcome in outcomes]
    printed = shown("Relative error (systems, toy)")[cell][method]
    mean, deviation = map(float, re.findall(r"\d\.\d+", printed))
    # the first of five seeds, so within three deviations of their mean; and half a unit of the last digit of each
    assert metrics["relative_error"] == pytest.approx(mean, abs=3 * (deviation + 5e-5) + 5e-5)
    assert (metrics["accuracy"] or metrics["accuracy_fit"]) == 1.0


def test_the_first_output_is_what_the_command_prints(configure, tmp_path):
    records = [o.record for o in run_trials(configure("layers=9-4-2", "trials=10", f"output={tmp_path}")).values()]
    for line in layer_table(records).splitlines():
        assert line in README
    rows = [line.split() for line in layer_table(records).splitlines()[1:4]]
    assert all(row[2:5] == row[5:8] for row in rows)  # mean and deviation, of the error and of the floor


@pytest.mark.slow
@pytest.mark.parametrize("fraction", FRACTIONS.values())
def test_every_layer_of_the_default_fit_stands_on_its_floor(configure, tmp_path, fraction):
    config = configure("layers=9-4-2", f"label_fraction={fraction}", "trials=10", f"output={tmp_path}")
    records = [outcome.record for outcome in run_trials(config).values()]
    for record in records:
        assert record["status"] == "done"
        for row in record["layers"]:
            assert row["relative_error"] <= 1.002 * row["floor"]
            assert (row["accuracy"] or row["accuracy_fit"]) == 1.0
    assert np.mean([record["n_iter"] for record in records]) <= 60


@pytest.mark.slow
def test_a_random_start_ends_on_the_last_floor_and_near_the_first(configure, tmp_path):
    outcomes = run_trials(configure("layers=9-4-2", "init=random", "trials=10", f"output={tmp_path}")).values()
    ratios = np.array([[row["relative_error"] / row["floor"] for row in o.record["layers"]] for o in outcomes])
    first, _, last = np.median(ratios, axis=0)
    assert first <= 1.02
    assert last <= 1.001


LAYERS = ("hier", "neural, reconstruction", "neural, multilevel")


@pytest.mark.slow
@pytest.mark.parametrize("variant", LAYERS)
@pytest.mark.parametrize("regime", FRACTIONS)
def test_errors_of_all_layers_are_those_of_the_code(configure, tmp_path, variant, regime):
    method, _, cost = variant.partition(", ")
    overrides = [f"method={method}", f"cost={cost or 'reconstruction'}", f"label_fraction={FRACTIONS[regime]}"]
    config = configure("experiment=table1_layers", *overrides, f"output={tmp_path}", "workers=1")
    runs = [outcome.record["layers"] for outcome in run_trials(config).values()]
    section = README[README.index("### Relative error by layer (table1_layers, toy)") :]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    printed = [dict(zip(lines[0], row, strict=True)) for row in lines[2:11] if row[0] == regime]
    assert [row["layer"] for row in printed] == ["0", "1", "2"]
    for layer, row in enumerate(printed):
        errors = [run[layer]["relative_error"] for run in runs]
        # half a unit of the last digit shown, and as much for another BLAS; a drifting layer differs by more with it
        tolerance = 5e-3 if variant == "neural, reconstruction" and layer < 2 else 1e-4
        assert np.mean(errors) == pytest.approx(number(row[variant]), abs=tolerance)
        assert number(row["floor"]) == pytest.approx(np.mean([run[layer]["floor"] for run in runs]), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["0.1", "0.4"])
def test_errors_and_trees_of_tensors_are_those_of_the_code(configure, tmp_path, noise):
    runs = []
    for seed in (1, 2, 3, 4, 14):
        overrides = [f"dataset.noise={noise}", f"seed={seed}", f"output={tmp_path}", "workers=1"]
        [outcome] = run_trials(configure("experiment=tensors_exact_codes", *overrides)).values()
        runs.append(outcome.record["layers"])
    for metric, title in (("relative_error", "Relative error"), ("tree_loss", "Distance of the topics from a tree")):
        section = re.search(rf"### {title}[^\n]* by layer \(tensors, blocks\)\n\n((?:\|.*\n)+)", README)[1]
        lines = [line.strip("| ").split(" | ") for line in section.splitlines()]
        rows = [dict(zip(lines[0], row, strict=True)) for row in lines[2:] if row[0] == f"blocks, noise {noise}"]
        assert [row["layer"] for row in rows] == (["0", "1", "2"] if metric == "relative_error" else ["1", "2"])
        for row in rows:
            of_layer = [run[int(row["layer"])] for run in runs]
            # half a unit of the last digit shown, and as much for another BLAS
            tolerance = 1e-4 if metric == "relative_error" else 1e-3
            printed = number(row["ncpd, tied, joint, exact codes on"])
            assert np.mean([layer[metric] for layer in of_layer]) == pytest.approx(printed, abs=tolerance)
            if metric == "relative_error":
                assert number(row["floor"]) <= number(row["alone"]) + tolerance
                # The promise of exact codes, for every draw of the noise.
                assert all(layer["relative_error"] <= 1.005 * layer["alone_error"] for layer in of_layer)


def test_texts_go_through_a_pipeline():
    pytest.importorskip("sklearn")
    [block] = (each for each in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "make_pipeline" in each)
    *lines, last = block.strip().splitlines()
    found: dict[str, object] = {}
    exec("\n".join(lines), found)
    words = [set(topic) for topic in eval(last, found)]
    assert sorted("pear" in topic for topic in words) == [False, True]
    assert sorted("car" in topic for topic in words) == [False, True]
