"""What a run prints."""

from __future__ import annotations

import statistics

import pytest

from nnmf_runner.report.summary import aligned, layer_table


def record(*errors, accuracy=None, status="done"):
    empty = {"accuracy": accuracy, "accuracy_unknown": None, "accuracy_fit": None}
    layers = [{"layer": i, "rank": 9 - i, "relative_error": e, "floor": 0.1, **empty} for i, e in enumerate(errors)]
    return {"status": status, "config": {"tol": 1e-4}, "layers": layers}


FAILED = {"status": "failed", "config": {}, "layers": []}

LEFT_OUT = "{} of {} trials did not end well and are left out."


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_one_row_per_layer_with_a_dash_for_what_is_not_measured():
    header, first, second = cells(layer_table([record(0.25, 0.5)]))
    assert header[:2] == ["layer", "rank"]
    assert first == ["0", "9", "0.2500", "0.1000", "-", "-", "-"]
    assert second[:3] == ["1", "8", "0.5000"]


def test_several_trials_show_their_mean_and_failed_ones_do_not_count():
    text = layer_table([record(0.2, accuracy=1.0), record(0.4, accuracy=0.5), FAILED])
    accuracy = statistics.stdev([0.5, 1.0])
    assert cells(text)[1] == [
        *["0", "9", "0.3000", "±", "0.1414", "0.1000", "0.7500", "±"],
        f"{accuracy:.4f}",
        "-",
        "-",
    ]
    assert text.splitlines()[2:] == ["mean ± standard deviation of 2 trials", LEFT_OUT.format(1, 3)]


def test_trials_with_the_same_numbers_count_as_one():
    text = layer_table([record(0.2), record(0.2), FAILED])
    assert "±" not in text
    repeated = "have the same numbers as another: there seeds change nothing, and they count as one."
    assert text.splitlines()[2:] == [LEFT_OUT.format(1, 3), f"Of 2 trials 1 {repeated}"]
    text = layer_table([record(0.2), record(0.4), record(0.2)])
    assert cells(text)[1][2:5] == ["0.3000", "±", "0.1414"]
    assert text.splitlines()[2:] == ["mean ± standard deviation of 2 trials", f"Of 3 trials 1 {repeated}"]


def test_fits_that_ended_far_from_a_minimum_are_told():
    far = record(0.4) | {"projected_gradient": 1.1e-3}
    near = record(0.2) | {"projected_gradient": 0.9e-3}
    said = "ended far from a minimum, at over 10 times the tolerance."
    assert layer_table([far]).splitlines()[2:] == [f"The fit {said}"]
    assert layer_table([near, far]).endswith(f"\n1 of 2 fits {said}")
    assert said not in layer_table([near])


def test_a_number_that_one_trial_alone_has_is_shown():
    lacking = record(0.2)
    assert cells(layer_table([lacking, record(0.4, accuracy=0.5)]))[1][6] == "0.5000"


@pytest.mark.parametrize("status", ["diverged", "timed out", "interrupted"])
def test_means_leave_out_trials_that_do_not_count(status):
    stopped = record(0.9, status=status)
    text = layer_table([record(0.2), stopped, stopped])
    assert cells(text)[1][2] == "0.2000"
    assert text.splitlines()[2:] == [LEFT_OUT.format(2, 3)]
    assert layer_table([stopped, stopped]) == "none of the 2 trials counts: no means to show"
    assert cells(layer_table([stopped]))[1][2] == "0.9000"  # a single run says itself how it ended


def test_a_failed_run_has_no_layers():
    assert layer_table([FAILED]) == "no layers to show"


def test_the_error_of_entries_held_out_has_a_column_where_there_are_any():
    shown = record(0.25)
    shown["layers"][0] |= {"floor": None, "heldout_error": 0.3}
    assert cells(layer_table([shown]))[1][:5] == ["0", "9", "0.2500", "-", "0.3000"]
    assert "held out" not in layer_table([record(0.25)])


def test_a_metric_that_the_first_layer_lacks_has_a_column_where_another_has_it():
    shown = record(0.25, 0.5)
    shown["layers"][1]["tree_loss"] = 0.125
    assert [line[-1] for line in cells(layer_table([shown]))[1:]] == ["-", "0.1250"]
    assert "tree loss" not in layer_table([record(0.25, 0.5)])


def test_cells_stand_below_each_other_without_spaces_at_the_end():
    assert aligned([["a", "b", ""], ["ccc", "dd", "e"]], left=[1]).splitlines() == ["  a  b", "ccc  dd  e"]
