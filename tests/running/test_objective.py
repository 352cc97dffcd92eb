"""The objective of a configuration: the mean of a metric over its trials, from their records."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.running.objective import FailedRunError, NoObjectiveError, objective
from nnmf_runner.running.trials import run_and_wait
from nnmf_runner.store.record import RECORD, run_folder


@pytest.fixture(scope="module")
def ran(configure, tmp_path_factory):
    """A configuration of three trials that have run, and their records."""
    output = f"output={tmp_path_factory.mktemp('out') / 'outputs'}"
    config = configure("layers=9-4", "max_iter=2", "trials=3", "label_fraction=0.2", "dataset.noise=30", output)
    run_and_wait(config)
    folders = [run_folder(config.folder, config.identity(seed)) for seed in range(3)]
    return config, [json.loads((folder / RECORD).read_text()) for folder in folders]


@pytest.mark.parametrize("name", [None, "relative_error", "accuracy_unknown", "seconds", "excess"])
def test_it_is_the_mean_of_a_metric_over_the_trials(ran, name):
    config, records = ran
    last = [record["layers"][-1] | record["metrics"] for record in records]
    errors = [each["relative_error"] for each in last]
    given = {"excess": [each["relative_error"] - each["floor"] for each in last], None: errors}
    expected = given.get(name) or [each[name] for each in last]
    assert len(set(expected)) > 1
    assert objective(dataclasses.replace(config, objective=name)) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("layer", [0, 1])
def test_it_may_be_that_of_any_layer(ran, layer):
    config, records = ran
    asked = dataclasses.replace(config, objective="accuracy", objective_layer=layer)
    assert objective(asked) == pytest.approx(np.mean([record["layers"][layer]["accuracy"] for record in records]))


def test_what_the_runs_do_not_have_is_answered_with_what_they_have(ran):
    config, _ = ran
    with pytest.raises(NoObjectiveError, match=r"objective=npmi is not measured .* one of: relative_error, .*accuracy"):
        objective(dataclasses.replace(config, objective="npmi"))


def test_a_configuration_of_which_a_trial_has_no_numbers_has_no_objective(ran):
    config, _ = ran
    with pytest.raises(FailedRunError, match=r"^missing: "):
        objective(dataclasses.replace(config, trials=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["objective=accuracyy"], r"objective=accuracyy is not known\. Did you mean 'accuracy'"),
        (
            ["objective=seconds", "objective_layer=0"],
            r"objective_layer=0 is not valid: objective=seconds is of the whole",
        ),
        (
            ["objective_layer=3"],
            r"objective_layer=3 is none of the 3 layers of a run\. Expected an integer in \[0, 2\]",
        ),
        (
            ["objective=accuracy"],
            r"objective=accuracy is not measured with label_fraction=0\. Expected a larger label_",
        ),
        (["objective=heldout_error"], r"objective=heldout_error is not measured with holdout=0\."),
        (["objective_layer=-1"], r"objective_layer=-1 is not valid"),
    ],
)
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
def test_an_objective_that_there_cannot_be_is_refused_before_anything_runs(command, sweep, arguments, message):
    result = command(*sweep, *arguments)
    assert (result.status, result.files) == (2, [])
    assert re.search(message, result.err)
    assert result.err.count("\n") == 1


def test_a_run_prints_the_objective_that_it_is_asked_for_done_already_or_not(command):
    for _ in range(2):
        result = command("layers=9", "max_iter=2", "trials=2", "objective=relative_error", "objective_layer=0")
        [line] = [line for line in result.out.splitlines() if line.startswith("objective: ")]
        paths = [Path(file) for file in result.files if file.endswith(RECORD)]
        values = [json.loads(path.read_text())["layers"][0]["relative_error"] for path in paths]
        assert (len(values), line) == (2, f"objective: relative_error at layer 0 {np.mean(values):.6g}")


@pytest.mark.parametrize("sweep", [[], ["-m", "max_iter=2,3"]])
def test_an_objective_that_the_runs_do_not_have_is_one_line_and_their_records_stay(command, sweep):
    result = command("layers=9", "max_iter=2", "objective=npmi", *sweep)
    assert result.status == 2
    said = "nnmf-run: objective=npmi is not measured in these runs. Expected one of: relative_error, "
    assert result.err.splitlines()[-1].startswith(said)
    assert sum(file.endswith(RECORD) for file in result.files) == (2 if sweep else 1)


def test_a_sweep_names_the_best_by_the_objective_that_it_is_asked_for(command):
    asked = ["-m", "layers=9-4,9", "dataset.noise=0.5,0", "max_iter=3"]
    low = command(*asked, "objective=relative_error").out.splitlines()[-1]
    assert re.match(r"best: relative_error 0\.\d+ with layers=9 dataset\.noise=0 \(outputs/runs/\w\w/\w{16}\)$", low)
    high = command(*asked, "objective=unlinked_topics").out.splitlines()[-1]
    assert high.startswith("best: unlinked_topics 0 ")
    assert "best:" not in command(*asked).out


def test_input_errors_are_bad_input():
    assert issubclass(NoObjectiveError, InputError)
    assert not issubclass(FailedRunError, InputError)
