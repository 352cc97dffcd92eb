"""A new metric is an entry of the registry: it is found wherever metrics are recorded and shown."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from nnmf_runner.metrics.registry import METRICS, Metric
from nnmf_runner.report.collect import collect
from nnmf_runner.report.figures.regimes_map import regime_map
from nnmf_runner.report.summary import layer_table
from nnmf_runner.store.record import read_factors


def concentration(S):
    """Mean share of the largest code of a sample."""
    return float((S.max(axis=0) / S.sum(axis=0)).mean())


CONCENTRATION = Metric(
    "concentration",
    "Share of the largest codes",
    "largest code",
    lambda layer: concentration(layer.codes),
    digits=5,
    in_tables=True,
    by_layer=True,
    terminal="always",
    in_map=True,
)


@pytest.fixture(scope="module")
def sweep(run_of):
    """Outcomes of a sweep that varies an option of the data for two methods, with the metric in the registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, CONCENTRATION.name, CONCENTRATION)
        yield [
            run_of(f"method={method}", f"dataset.noise={noise}", f"seed={seed}", "layers=9-4", "name=concentrated")
            for method in ("hier", "neural")
            for noise in (0.5, 1.0)
            for seed in range(2)
        ]


@pytest.fixture(scope="module")
def collected(sweep, tmp_path_factory):
    """The folder into which the records of the sweep are collected."""
    folder = tmp_path_factory.mktemp("collected")
    for outcome in sweep:
        shutil.copytree(outcome.folder, folder / outcome.folder.name)
    collect(folder, figures=False)
    return folder


def values(sweep, method, noise, layer=1):
    """The metric of some runs, from their saved codes."""
    chosen = [outcome for outcome in sweep if is_of(outcome.record["config"], method, noise)]
    assert len(chosen) == 2
    return [concentration(read_factors(outcome.folder)[f"S{layer}"]) for outcome in chosen]


def is_of(config, method, noise):
    return config["method"]["name"] == method and config["dataset"]["noise"] == noise


def test_records_have_it_for_every_layer_and_for_the_run(sweep):
    for outcome in sweep:
        record, factors = json.loads((outcome.folder / "record.json").read_text()), read_factors(outcome.folder)
        expected = [pytest.approx(concentration(factors[f"S{i}"])) for i in range(2)]
        assert [layer["concentration"] for layer in record["layers"]] == expected
        assert record["metrics"]["concentration"] == expected[-1]


def test_the_terminal_prints_it_for_every_layer(sweep):
    header, first, *_ = layer_table([sweep[0].record]).splitlines()
    assert header.endswith("  largest code")
    assert first.split()[-1] == f"{sweep[0].record['layers'][0]['concentration']:.4f}"


def test_files_of_values_have_it(sweep, collected):
    rows, table, layers = (pd.read_csv(collected / "report" / f"{name}.csv") for name in ("records", "table", "layers"))
    run = rows[(rows["method"] == "hier") & rows["dataset"].str.contains("0.5")].sort_values("seed")
    for column, layer in (("concentration", 1), ("concentration@0", 0), ("concentration@1", 1)):
        np.testing.assert_allclose(run[column], values(sweep, "hier", 0.5, layer))
    for frame, layer in ((table, 1), (layers[layers["layer"] == 0], 0)):
        own = frame[frame["metric"] == "concentration"].set_index(["method", "dataset"])["mean"]
        assert len(own) == 4
        assert own["hier", "toy, noise 0.5"] == pytest.approx(np.mean(values(sweep, "hier", 0.5, layer)))
        best = frame[frame["metric"] == "concentration"].groupby("dataset")[["mean", "best"]]
        assert all(part.loc[part["best"], "mean"].max() == part["mean"].max() for _, part in best)  # more is better


@pytest.mark.parametrize("file", ["table.md", "table.tex"])
def test_tables_have_it_at_its_digits(sweep, collected, file):
    text = (collected / "report" / file).read_text()
    for suffix, layer in (("", 1), (" by layer", 0)):
        block = text[text.index(f"Share of the largest codes{suffix} (concentrated, toy)") :]
        assert f"{np.mean(values(sweep, 'hier', 0.5, layer)):.5f}" in block


def test_the_map_of_the_sweep_compares_methods_by_it(sweep, collected):
    found = pd.read_csv(collected / "report" / "map.csv")
    means = found[found["measure"] == "concentration"].set_index("at")
    for noise in (0.5, 1.0):
        pair = sorted(np.mean(values(sweep, method, noise)) for method in ("hier", "neural"))
        np.testing.assert_allclose(means.loc[noise, ["worse_mean", "better_mean"]].astype(float), pair)
    text = (collected / "report" / "map.md").read_text()
    assert "| Share of the largest codes | neural vs hier | 2 |" in text
    assert "### Share of the largest codes: noise" in text
    assert "Share of the largest codes" in [" ".join(ax.get_title().split()) for ax in regime_map(found).axes]


def test_invented_records_have_every_metric(sweep, record_of):
    record, written = record_of(), sweep[0].record
    assert "concentration" in record["layers"][0]
    assert record["metrics"].keys() == written["metrics"].keys()


def test_what_metrics_say_of_themselves_agrees():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title
        assert metric.heading
        assert metric.in_tables or not metric.by_layer
        assert metric.of_layer or not (metric.by_layer or metric.terminal != "never")
