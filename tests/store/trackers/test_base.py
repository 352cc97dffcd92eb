"""The registry of trackers, and what is said of one that is not installed."""

from __future__ import annotations

import importlib.util

import pytest

from nnmf_runner.store.trackers import TRACKERS


@pytest.mark.parametrize("name", [name for name, tracker in TRACKERS.items() if tracker.package])
def test_a_tracker_that_is_not_installed_names_the_command_that_installs_it(command, monkeypatch, name):
    find = importlib.util.find_spec
    absent = TRACKERS[name].package
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda found, *more: None if found == absent else find(found, *more)
    )
    result = command(f"tracking={name}")
    assert (result.status, result.files) == (2, [])
    assert result.err == (
        f"nnmf-run: tracking={name} needs a package that is not installed: pip install 'nnmf-runner[{name}]'.\n"
    )


def test_a_tracker_that_there_is_not_is_refused(command):
    result = command("tracking=wandb")
    assert (result.status, result.files) == (2, [])
    assert result.err == "nnmf-run: tracking=wandb is not known. Expected one of: mlflow, none, tensorboard.\n"


def test_without_a_tracker_nobody_is_told(tmp_path):
    assert TRACKERS["none"]().open(tmp_path) is None


@pytest.mark.parametrize("option", ["tracking=mlflow tracking.uri=''", "tracking=tensorboard tracking.folder=' '"])
def test_a_place_without_a_name_is_refused(command, option):
    result = command(*option.split(" ", 1))
    assert (result.status, result.files) == (2, [])
    assert " is empty. Expected a folder, or null for one in output.\n" in result.err
