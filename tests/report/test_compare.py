"""What tells runs apart: known differences of factors, names and options are told, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods.fit import fit_from_arrays
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.report.compare import (
    ALONE,
    Compared,
    compare,
    differing_options,
    match_runs,
    read_compared,
    topic_rows,
)
from nnmf_runner.running.run import run_one
from nnmf_runner.store.model import SavedModel

WORDS = [f"w{i}" for i in range(6)]
# Topics 0 and 1 stand below topic 0, topics 2 and 3 below topic 1.
LINK = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def run_of(*A, folder="a", **config):
    arrays = {f"A{i}": np.asarray(factor, float) for i, factor in enumerate(A)}
    arrays |= {f"S{i}": np.ones((factor.shape[1], 5)) for i, factor in enumerate(list(arrays.values()))}
    fit = fit_from_arrays(arrays, History(), next(iter(Stop)))
    record = {"config": config, "dataset": {"fingerprint": "same"}, "layers": []}
    return Compared(Path(folder), SavedModel(None, {}, Hierarchical(), fit), record)


def test_topics_in_another_order_and_of_other_lengths_are_the_same():
    order = [2, 0, 3, 1]
    other = run_of(3.0 * np.eye(6)[:, order], LINK[order][:, ::-1])
    first, top = match_runs(run_of(np.eye(6)[:, :4], LINK), other)
    assert np.array(order)[first.partner].tolist() == [0, 1, 2, 3]
    assert top.partner.tolist() == [1, 0]
    assert not first.moved.any()
    assert (first.origin >= 0).all()


def test_a_topic_below_another_parent_has_moved():
    swapped = LINK.copy()
    swapped[1] = [0.3, 0.7]
    first, top = match_runs(run_of(np.eye(6)[:, :4], LINK), run_of(np.eye(6)[:, :4], swapped))
    assert top.partner.tolist() == [0, 1]
    assert first.moved.tolist() == [False, True, False, False]
    assert (first.parents[1], first.parents_there[1]) == (0, 1)


def test_a_topic_that_one_run_alone_has_is_without_a_match():
    first, other = run_of(np.eye(6)[:, [0, 1, 2]]), run_of(np.eye(6)[:, [1, 4]])
    (layer,) = match_runs(first, other)
    assert layer.partner.tolist() == [-1, 0, -1]
    assert layer.origin.tolist() == [1, -1]
    assert layer.told() == "1 the same, 0 of them moved; without a match 2 of the first and 1 of the other"
    assert [row[-1] for row in topic_rows(first, other, 0, layer)] == [ALONE, "", ALONE, ALONE]


@pytest.mark.parametrize(("order", "there"), [([0, 1], "1.1"), ([1, 0], "1.0")])
def test_a_move_tells_of_which_run_each_of_its_numbers_is(order, there):
    """Topics of two runs may have one number: what is topic 1 here may be topic 0 there."""
    link = LINK.copy()
    link[1] = [0.3, 0.7]
    first, other = run_of(np.eye(6)[:, :4], LINK), run_of(np.eye(6)[:, :4], link[:, order])
    layer, _ = match_runs(first, other)
    told = [row[-1] for row in topic_rows(first, other, 0, layer)]
    assert told == ["", f"moved: below 1.0 in the first, below {there} in the other", "", ""]


@pytest.mark.parametrize(
    ("paths", "told"), [(["a/x.mtx", "b/y.mtx"], ["x.mtx", "y.mtx"]), (["a/x", "b/x"], ["1", "2"])]
)
def test_files_are_told_by_their_names_and_by_hashes_where_these_are_one(paths, told):
    records = [
        {"config": {"method": {"name": "hier"}, "dataset": {"path": digest}}, "dataset": {"options": {"path": path}}}
        for digest, path in zip("12", paths, strict=True)
    ]
    assert differing_options(records) == {"dataset.path": told}


def test_a_topic_does_not_move_where_its_parent_has_turned_into_another():
    A = np.eye(6)[:, :2]
    first, top = match_runs(run_of(A, [[1.0], [0.1]]), run_of(A, [[0.1], [1.0]]))
    assert top.partner.tolist() == [-1]
    assert not first.moved.any()


def test_layers_that_one_run_alone_has_are_left_out():
    assert len(match_runs(run_of(np.eye(6)[:, :4], LINK), run_of(np.eye(6)[:, :4]))) == 1


@pytest.mark.parametrize(("rows", "other"), [(5, {}), (6, {"resample": {"seed": 1}})])
def test_features_that_cannot_be_matched_are_refused(rows, other):
    with pytest.raises(InputError, match=r"run=a and run=b .* Expected runs of the same features"):
        match_runs(run_of(np.eye(6)[:, :2]), run_of(np.eye(rows)[:, :2], folder="b", **other))


@pytest.fixture
def fitted(given, tmp_path):
    """The folder of a run of data whose features have these names."""

    def make(X, names, *overrides):
        config = given(Dataset("given", X, feature_names=names), "layers=3-2", f"output={tmp_path}/out", *overrides)
        return run_one(config, 0).folder

    return make


@pytest.fixture
def named(monkeypatch):
    """A run of data whose features have these names, None if the data cannot be had."""

    def load(record):
        if (names := record["dataset"]["names"]) is None:
            raise ValueError("they are gone")
        return Dataset("given", np.ones((len(names), 5)), feature_names=names)

    def make(A, names):
        run = run_of(A, folder=f"of {names}")
        run.record["dataset"] = {"fingerprint": str(names), "names": names}
        return run

    monkeypatch.setattr("nnmf_runner.report.compare.load_data", load)
    return make


def test_features_are_matched_by_name_over_those_of_either(named):
    first = named([[1.0], [1.0], [0.0]], ["same", "b", "same"])
    (layer,) = match_runs(first, named([[2.0], [0.0], [0.0], [2.0]], ["b", "new", "same", "same"]))
    assert layer.cosines == pytest.approx(0.5)  # the second of equal names is another
    (layer,) = match_runs(first, named([[3.0], [4.0]], ["b", "new"]))
    assert layer.cosines == pytest.approx(3.0 / 5.0 / np.sqrt(2.0))


def test_names_that_a_run_keeps_are_taken_before_its_data(fitted, monkeypatch, rng, caplog):
    folders = [fitted(rng.random((len(names), 8)), names) for names in ([*"abcd"], [*"dcbae"])]
    monkeypatch.setattr("nnmf_runner.report.compare.load_data", None)  # as if they were gone
    first, other = map(read_compared, folders)
    for layer in match_runs(first, other):
        assert layer.cosines.shape == (len(layer.partner), len(layer.origin))
    assert caplog.text == ""  # nobody has asked for the data


def test_features_without_names_are_matched_one_by_one(named):
    (layer,) = match_runs(named([[1.0], [0.0]], ["a", "b"]), named([[1.0], [0.0]], None))
    assert layer.cosines == pytest.approx(1.0)


def test_data_without_common_features_are_refused(named):
    with pytest.raises(InputError, match="have no features in common"):
        match_runs(named([[1.0], [0.0]], ["a", "b"]), named([[1.0], [0.0]], ["c", "d"]))


def test_the_tables_tell_the_options_and_metrics_that_differ(fitted, command, rng):
    X = rng.random((6, 8))
    first, second = fitted(X, WORDS, "method=hier"), fitted(X, WORDS, "method=neural", "max_iter=3")
    result = command(first, second, first, program="nnmf-compare")
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["method.name", "hier", "neural", "hier"] in lines
    assert not any(line[:1] == ["dataset.name"] for line in lines)
    error = [f"{read_compared(run).record['layers'][1]['relative_error']:.4f}" for run in (first, second, first)]
    assert ["1", "relative", "error", *error] in lines
    assert (
        "layer 1 of run 1 and run 3: 2 the same, 0 of them moved; without a match 0 of the first and 0 of the other"
        in result.out
    )
    assert "no option differs" in compare([first, first])


def test_bad_input_is_one_line(fitted, command, rng, tmp_path):
    run = fitted(rng.random((6, 8)), WORDS)
    for arguments, told in (
        ([run], "is one run alone"),
        ([run, tmp_path], "is neither a run nor a saved model"),
        ([run, tmp_path / "no"], "there is no such folder"),
    ):
        result = command(*arguments, program="nnmf-compare")
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert told in result.err
    record = run / "record.json"
    record.write_text(record.read_text().replace('"schema": 4', '"schema": 3'))
    result = command(run, run, program="nnmf-compare")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "schema version 3" in result.err
