"""Axes and panels of the map: options that were crossed with each other, from invented records."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nnmf_runner.report import panels, regimes
from tests.fixtures.sweeps import ERRORS, at, grid, mapped, noted


def axes_of(records):
    return [panel.axes for panel in panels.panels(noted(records))]


def test_planes_through_one_setting_are_panels_and_what_meets_in_one_line_is_not(run):
    base = {"noise": 1, "overlap": 0, "imbalance": 0, "label_fraction": 0.4}
    first = [
        run(m, s, **base | {"noise": a, "overlap": b})
        for m in ERRORS
        for s in (0, 1)
        for a in (1, 2, 3)
        for b in (0, 1)
    ]
    second = [
        run(m, s, **base | {"imbalance": a, "label_fraction": b})
        for m in ERRORS
        for s in (0, 1)
        for a in (0, 4)
        for b in (0.1, 0.4)
    ]
    assert axes_of(first + second) == [("dataset.noise", "dataset.overlap"), ("dataset.imbalance", "label_fraction")]
    found = mapped(first + second)
    counts = found[found["measure"] == "excess"].groupby(["axis"])[["at", "other_at"]].nunique()
    assert counts.loc["dataset.noise"].tolist() == [3, 2]
    assert counts.loc["dataset.imbalance"].tolist() == [2, 2]


def test_an_option_varied_alone_is_a_panel_of_one_axis(run):
    assert axes_of(grid(run, noise=[1, 2, 3])) == [("dataset.noise",)]
    settings = regimes.verdicts(mapped(grid(run, noise=[1, 2, 3])))
    assert settings["other_axis"].isna().all()
    assert settings["at"].nunique() == 3


def test_a_setting_of_a_full_grid_is_the_mean_over_all_other_options(run):
    records = grid(run, methods=("hier", "neural"), noise=[1, 2], overlap=[0, 1], imbalance=[0, 4])
    for record in records:
        options = record["config"]["dataset"]
        shift = 0.1 * options["imbalance"] / 4 + 0.01 * options["noise"]
        record["metrics"]["relative_error"] += shift * (record["config"]["method"]["name"] == "hier")
    found = mapped(records)
    assert found.groupby(["axis", "other_axis"]).ngroups == 3
    setting = at(found, axis="dataset.noise", at=2, other_axis="dataset.overlap", other_at=0)
    chosen = [r for r in records if r["config"]["dataset"]["noise"] == 2 and r["config"]["dataset"]["overlap"] == 0]
    by_method = {
        m: np.mean([r["metrics"]["relative_error"] for r in chosen if r["config"]["method"]["name"] == m])
        for m in ("hier", "neural")
    }
    assert setting["difference"] == pytest.approx(by_method["hier"] - by_method["neural"])
    assert setting["n"] == 6  # seeds, not runs


def test_settings_at_which_only_a_part_of_a_plane_was_run_do_not_enter_it(run):
    whole = grid(run, noise=[1, 2, 3], overlap=[0, 1], imbalance=[0])
    part = grid(run, noise=[1, 2], overlap=[0, 1], imbalance=[4], error=[0.9])
    found = mapped(whole + part)
    plane = found[(found["axis"] == "dataset.noise") & (found["other_axis"] == "dataset.overlap")]
    # the errors of the three methods there, less the floor of 0.2; that of the part is 0.9
    assert plane.loc[plane["measure"] == "excess", "worse_mean"].max() == pytest.approx(0.3, abs=0.002)


def test_a_hole_in_a_plane_leaves_the_rest_of_it(run):
    records = [
        record
        for record in grid(run, noise=[1, 2, 3], overlap=[0, 1, 2])
        if (record["config"]["dataset"]["noise"], record["config"]["dataset"]["overlap"]) != (2, 2)
    ]
    settings = regimes.verdicts(mapped(records))
    assert (settings["measure"] == "excess").sum() == 8


def test_ranks_beside_the_planted_ones_are_axes_of_depth_and_surplus(run):
    layers = [tuple(rank + more for rank in (9, 4, 2)[:depth]) for depth in (1, 2) for more in (-1, 0, 1)]
    records = grid(run, noise=[1, 2], layers=layers)
    for record in records:
        record["dataset"] = {"classes": [9, 4, 2]}
    axes = axes_of(records)
    assert ("layers", "ranks beyond the planted") in axes
    assert ("dataset.noise", "layers") in axes
    for record in records:
        record["dataset"] = {"classes": [9, 5]}  # no surplus that all layers have
    assert axes_of(records) == [("dataset.noise", "layers")]


def test_options_that_vary_together_are_one_axis(run):
    records = [record for n in (1, 2) for record in grid(run, noise=[n], samples=[10 * n])]
    assert axes_of(records) == [("dataset.noise",)]


def test_an_option_of_one_method_is_told_in_its_name(run):
    records = grid(run, noise=[1, 2])
    records += grid(run, methods=["hier"], noise=[1, 2], solver=["mu"])
    methods = regimes.methods_of(mapped(records))
    assert methods == ["hier, hals", "hier, mu", "deep", "neural"]


@pytest.mark.parametrize("sweep", ["options of no data", "one method", "one setting"])
def test_there_is_no_map_where_no_option_of_the_data_was_varied_for_several_methods(run, sweep):
    records = {
        "options of no data": grid(run, label_fraction=[0.1, 0.4], layers=[(9,), (9, 4)]),
        "one method": grid(run, methods=["neural"], noise=[1, 2]),
        "one setting": grid(run, noise=[1]),
    }[sweep]
    assert mapped(records).empty


def test_an_option_that_not_every_run_has_is_an_axis_among_those_that_do(run):
    """As the weight of labels, which runs without labels do not have."""
    records = grid(run, noise=[1, 2], label_fraction=[0.0])
    for weight in (1.0, 2.0):
        labelled = grid(run, noise=[1, 2], label_fraction=[0.4])
        for record in labelled:
            record["config"]["supervision"] = {"weight": weight}
        records += labelled
    found = mapped(records)
    assert set(zip(found["axis"], found["other_axis"], strict=True)) == {("dataset.noise", "supervision.weight")}
    assert set(found["other_at"]) == {1.0, 2.0}


@pytest.mark.parametrize("seed", range(30))
def test_two_options_are_a_panel_where_two_values_of_one_were_tried_with_the_same_two_of_the_other(run, seed):
    rng = np.random.default_rng(seed)
    tried = [setting for setting in itertools.product(range(3), range(4)) if rng.random() < 0.5]
    records = [run(method, 0, noise=x, overlap=y) for method in ("hier", "deep") for x, y in tried]
    corners = itertools.product(itertools.combinations(range(3), 2), itertools.combinations(range(4), 2))
    crossed = any(all(corner in tried for corner in itertools.product(xs, ys)) for xs, ys in corners)
    assert (("dataset.noise", "dataset.overlap") in axes_of(records)) == crossed


def test_records_are_handed_on_and_noted_where_they_have_numbers(run):
    records = [run("hier", 0), run("deep", 1) | {"status": "failed"}, run("neural", 2) | {"status": "max_iter"}]
    assert [(each.method, each.seed) for each in noted(records)] == [("hier", 0), ("neural", 2)]


def test_a_consensus_is_no_run_of_the_map(run):
    records = grid(run, noise=[1, 2])
    agreed = grid(run, noise=[1, 2], seeds=[0])
    for record in agreed:
        record["config"]["consensus"] = 6
    assert noted(records + agreed) == noted(records)
