"""Codes as a table: every sample by its name, every topic by its words, as any reader of CSV finds them."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pandas as pd
import pytest

from nnmf_runner.datasets import Dataset
from nnmf_runner.report import collect as collecting
from nnmf_runner.report.codes import codes_frame
from nnmf_runner.report.collect import collect
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import read_factors, read_record

# Formulas of spreadsheets, what CSV has a meaning for, what looks like a number or like nothing.
NAMES = ["=1+1", "+a", "-2", "@x", 'a,"b"', "two\nlines", "a\rb", "a\r\nb", "007", "1_1", "NA", "", " a ", "ö", "a;b"]
NAMES += ["same", "same"]
CLASSES = [["NA", "=b", "c, d"], ["u", "v"]]


@pytest.fixture
def named(rng):
    """Samples with names, some of which have no label."""
    labels = [np.arange(len(NAMES)) % 4 - 1, np.where(np.arange(len(NAMES)) < 5, -1, np.arange(len(NAMES)) % 2)]
    features = [f"w{i}" if i % 2 else f"two words {i}" for i in range(9)]
    X = rng.random((9, len(NAMES)))
    return Dataset("given", X, labels, feature_names=features, class_names=CLASSES, sample_names=NAMES)


@pytest.fixture
def collected(given, tmp_path):
    """The run of some data, and the rows of the table of codes that collecting it has written."""

    def make(dataset, *overrides):
        config = given(dataset, "layers=3-2", "max_iter=3", f"output={tmp_path}", *overrides)
        outcome = run_one(config, 0)
        collect(config.folder, figures=False)
        paths = list(config.folder.glob("report/*_codes.csv"))
        return outcome, paths

    return make


def test_every_sample_has_a_row_with_its_name_its_classes_and_its_codes(collected, named):
    outcome, (path,) = collected(named, "method=hier")
    assert path.name == "runs_hier_codes.csv"
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    frame = pd.read_csv(path, keep_default_na=False, float_precision="round_trip", dtype=dict.fromkeys(header[:3], str))
    assert frame.columns.tolist() == header
    assert [row[0] for row in rows] == frame["sample"].tolist() == NAMES
    for level, labels in enumerate(named.labels):
        expected = [CLASSES[level][c] if c >= 0 else "" for c in labels]
        assert [row[1 + level] for row in rows] == frame[f"class, level {level}"].tolist() == expected
    factors, topics = read_factors(outcome.folder), read_record(outcome.folder / "record.json")["topics"]
    np.testing.assert_array_equal(frame.iloc[:, 3:].to_numpy().T, np.vstack([factors["S0"], factors["S1"]]))
    for column, (level, j) in zip(header[3:], [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], strict=True):
        words = topics[level][j]["words"][:3]
        assert column.replace(",", "") == " ".join([f"{level}.{j}", *words])


def test_without_names_of_classes_or_features_there_are_their_numbers(named):
    bare = Dataset("given", named.X, named.labels[:1], sample_names=NAMES)
    frame = codes_frame(bare, [np.ones((2, len(NAMES)))], None)
    assert frame.columns.tolist() == ["sample", "class", "0.0", "0.1"]
    assert frame["class"].tolist()[:5] == ["", "0", "1", "2", ""]


def test_data_without_names_of_samples_are_not_even_loaded(collected, named, monkeypatch):
    monkeypatch.setattr("nnmf_runner.report.codes.load_data", lambda record: pytest.fail("loaded"))
    outcome, paths = collected(Dataset("given", named.X, named.labels, feature_names=named.feature_names))
    assert paths == []
    assert "sample_names" not in outcome.record["dataset"]


@pytest.mark.slow
def test_codes_of_many_samples_are_written_on_request_alone(collected, named, monkeypatch, caplog):
    monkeypatch.setattr("nnmf_runner.report.codes.MOST_SAMPLES", len(NAMES) - 1)
    with caplog.at_level(logging.INFO):
        assert collected(named, "method=hier")[1] == []
    assert f"codes of {len(NAMES)} samples are not written; nnmf-export --codes does." in caplog.text


@pytest.mark.slow
def test_data_that_have_changed_are_named_and_have_no_table(collected, named, given, tmp_path, caplog):
    _, (path,) = collected(named, "method=hier")
    named.X[0, 0] += 1.0
    with caplog.at_level(logging.WARNING):
        collect(path.parents[1], figures=False)
    assert "has no table of codes: the data are not those of the run any more." in caplog.text
    assert not path.exists()


@pytest.mark.slow
def test_only_the_first_variants_have_tables(collected, named, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_SHOWN", 1)
    collected(named, "method=hier")
    _, paths = collected(named, "method=deep")
    assert [path.name for path in paths] == ["runs_hier_codes.csv"]


def test_samples_beyond_any_picture_have_their_codes(collected, named, monkeypatch):
    monkeypatch.setattr("nnmf_runner.report.figures.material.LARGEST_PICTURE", 1)
    assert len(collected(named)[1]) == 1


def test_topics_of_a_tensor_have_their_words_in_every_mode(named):
    mode = {"weights": [2.0, 1.0], "distinctive": []}
    topic = {"modes": [mode | {"name": "day", "words": ["mon", "tue"]}, mode | {"name": "word", "words": ["a b", "c"]}]}
    frame = codes_frame(named, [np.ones((1, len(NAMES)))], [[topic]])
    assert frame.columns[-1] == "0.0 day: mon tue | word: a b, c"


def test_zeros_have_no_sign():
    frame = codes_frame(None, [np.array([[-0.0, 1.0]])], None)
    assert "-0" not in frame.to_csv(index=False)
