"""A run or a saved model as CSV: the tables hold the factors, with names where there are some, and the tree."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Dataset
from nnmf_runner.datasets.modes import Modes
from nnmf_runner.estimators import HierarchicalNMF, load
from nnmf_runner.report.export import export
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import NAMES as KEPT
from nnmf_runner.store.record import RECORD, read_factors

WORDS = [f"w{i}" for i in range(9)]
NAMES = ["=1+1", 'a,"b"', "two\nlines", "ö", "a;b", "same", "same", "|"]


@pytest.fixture
def dataset(rng):
    labels = [np.arange(len(NAMES)) % 3 - 1]
    return Dataset("given", rng.random((9, 8)), labels, feature_names=WORDS, sample_names=NAMES)


@pytest.fixture
def exported(given, tmp_path):
    """The run of some data, and its tables."""

    def make(dataset, *overrides):
        outcome = run_one(given(dataset, "layers=3-2", "max_iter=3", f"output={tmp_path}", *overrides), 0)
        return outcome, tables(outcome.folder, tmp_path / "out")

    return make


def tables(folder, output, *wanted):
    paths = export(folder, output, wanted)
    return {path.stem: pd.read_csv(path, keep_default_na=False, float_precision="round_trip") for path in paths}


def numbers(frame, layer):
    return frame[[name for name in frame if name.startswith(f"{layer}.")]].to_numpy()


def test_topics_times_codes_approximate_the_data(exported, dataset):
    outcome, found = exported(dataset, "method=neural")
    assert list(found) == ["topics", "codes", "tree"]
    assert found["topics"]["feature"].tolist() == WORDS
    assert found["codes"]["sample"].tolist() == NAMES
    assert found["codes"]["class"].tolist() == ["", "0", "1"] * 2 + ["", "0"]
    factors = read_factors(outcome.folder)
    for layer, approximation in enumerate(
        [factors["A0"] @ factors["S0"], factors["A0"] @ factors["A1"] @ factors["S1"]]
    ):
        ours = numbers(found["topics"], layer) @ numbers(found["codes"], layer).T
        np.testing.assert_allclose(ours, approximation, rtol=1e-12)


def test_columns_and_links_name_topics_by_their_words(exported, dataset):
    outcome, found = exported(dataset, "method=hier")
    headings = [
        f"{level}.{j} {' '.join(topic['words'][:3])}"
        for level, layer in enumerate(outcome.record["topics"])
        for j, topic in enumerate(layer)
    ]
    assert found["topics"].columns.tolist() == ["feature", *headings]
    assert found["codes"].columns.tolist() == ["sample", "class", *headings]
    tree = found["tree"].set_index(["topic above", "topic below"])["share"]
    for j, topic in enumerate(outcome.record["topics"][1]):
        for i, share in zip(topic["children"], topic["child_weights"], strict=True):
            assert tree[headings[3 + j], headings[i]] == share
    assert tree.groupby(level=0).sum().tolist() == pytest.approx([1.0, 1.0])


def test_without_names_there_are_numbers(exported, dataset):
    _, found = exported(Dataset("given", dataset.X), "method=hier")
    assert found["topics"].columns.tolist() == ["feature", "0.0", "0.1", "0.2", "1.0", "1.1"]
    assert found["topics"]["feature"].tolist() == [*range(9)]
    assert found["codes"]["sample"].tolist() == [*range(8)]


def test_of_data_that_have_changed_there_are_the_names_that_a_run_keeps(exported, dataset, tmp_path, caplog):
    outcome, _ = exported(dataset, "method=hier")
    dataset.X[0, 0] += 1.0
    with caplog.at_level(logging.WARNING):
        found = tables(outcome.folder, tmp_path / "again")
    said = (
        "is exported with no more of its data than the names that it keeps: the data are not those of the run any more."
    )
    assert said in caplog.text
    assert found["codes"]["sample"].tolist() == NAMES
    assert "class" not in found["codes"]
    assert found["topics"]["feature"].tolist() == WORDS
    (outcome.folder / KEPT).unlink()  # as of an earlier version
    found = tables(outcome.folder, tmp_path / "numbers")
    assert found["codes"]["sample"].tolist() == [*range(8)]
    assert found["topics"]["feature"].tolist() == [*range(9)]


def test_a_saved_model_has_the_names_of_its_features_and_numbers_of_its_samples(dataset, tmp_path):
    model = HierarchicalNMF(layers=(3, 2), max_iter=3, random_state=0)
    model.fit(pd.DataFrame(dataset.X.T, columns=WORDS)).save(tmp_path / "model")
    found = tables(tmp_path / "model", tmp_path / "out")
    assert found["topics"]["feature"].tolist() == WORDS
    first = WORDS[numbers(found["topics"], 0)[:, 0].argmax()]
    assert found["codes"].columns[1].startswith(f"0.0 {first} ")
    assert found["codes"]["sample"].tolist() == [*range(8)]
    assert load(tmp_path / "model").layers == (3, 2)  # of which nothing has been changed


@pytest.mark.parametrize("method", ["ncpd", "hier"])
def test_topics_of_a_tensor_have_a_row_for_every_entry_or_fibre(exported, rng, method):
    entries = (["mon", "tue"], None, [f"s{i}" for i in range(8)])
    modes = Modes((2, 3, 8), ("day", "place", "sample"), entries)
    data = Dataset("given", rng.random((6, 8)), sample_names=entries[2], modes=modes)
    outcome, found = exported(data, f"method={method}")
    assert found["codes"]["sample"].tolist() == entries[2]
    topics, factors = found["topics"], read_factors(outcome.folder)
    if method == "hier":
        assert topics["feature"].tolist() == [f"{day} | {place}" for day in entries[0] for place in range(3)]
    else:
        assert topics["mode"].tolist() == ["day"] * 2 + ["place"] * 3
        assert topics["feature"].tolist() == ["mon", "tue", "0", "1", "2"]
    np.testing.assert_array_equal(numbers(topics, 0), factors["A0"])
    np.testing.assert_array_equal(numbers(found["codes"], 1).T, factors["S1"])


@pytest.mark.parametrize("options", ["method=hier layers=3", "method=deep method.pooling=max"])
def test_what_is_asked_for_is_written_alone_and_without_links_there_is_no_tree(exported, dataset, tmp_path, options):
    outcome, found = exported(dataset, *options.split())
    assert list(found) == ["topics", "codes"]
    assert list(tables(outcome.folder, tmp_path / "more", "codes")) == ["codes"]
    with pytest.raises(InputError, match="has no tree: no topic of it is made of others"):
        export(outcome.folder, tmp_path / "none", ["topics", "tree"])
    assert not (tmp_path / "none").exists()


def test_what_is_no_run_is_refused_in_one_line(exported, dataset, tmp_path):
    outcome, _ = exported(dataset, "method=hier")
    with pytest.raises(InputError, match=r"absent is neither a run nor a saved model: there is no such folder\.$"):
        export(tmp_path / "absent", tmp_path / "none")
    path = outcome.folder / RECORD
    path.write_text(path.read_text().replace('"schema": 4', '"schema": 3'))
    with pytest.raises(InputError, match="neither a run nor a saved model: has schema version 3, which"):
        export(outcome.folder, tmp_path / "none")


def test_the_command_line_prints_what_it_has_written(command, tmp_path):
    folder = command("method=hier", "layers=4-2", "max_iter=2").out.splitlines()[-1]
    result = command(folder, "--codes", "--tree", program="nnmf-export")
    name = folder.rpartition("/")[2]
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [f"{name}-export/codes.csv", f"{name}-export/tree.csv"]
    (tmp_path / "file").touch()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / folder).iterdir()}
    again = command(folder, "--output", folder, program="nnmf-export")
    assert again.err == f"nnmf-export: output={folder} exists. Expected a new folder.\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / folder).iterdir()} == before
    for arguments in ([folder], [folder, "--output", "file/below"], ["absent"], [folder, "--words"], []):
        result = command(*arguments, program="nnmf-export")
        assert (result.status, result.out) == (2, "")
        assert len(result.err.splitlines()) == 1
        assert result.err.startswith("nnmf-export: ")
