"""Searches by Optuna: what they run, what they find, and how they go on where they have ended or been killed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnmf_runner.config import launchers
from nnmf_runner.config.launchers import LAUNCHERS
from nnmf_runner.running import launch
from nnmf_runner.running.search import Study
from nnmf_runner.store.claims import claimed
from nnmf_runner.store.record import RECORD

# Whose import takes seconds, and no time where none of these tests is run.
absent = any(importlib.util.find_spec(each) is None for each in ("optuna", "hydra_plugins"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(absent, reason="hydra-optuna-sweeper is not installed"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
SPACE = ["layers=9,9-4", "dataset.noise=interval(0.0,1.0)"]
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", "max_iter=2"]
STUDIES = "outputs/runs/.sweep/searches.db"


def records():
    return [json.loads(path.read_text()) for path in sorted(Path().rglob(RECORD))]


def studies(path=STUDIES):
    import optuna

    found = [each.study_name for each in optuna.get_all_study_summaries(f"sqlite:///{path}")]
    return [optuna.load_study(study_name=name, storage=f"sqlite:///{path}") for name in found]


def number(record, layer=-1):
    return record["layers"][layer]["relative_error"]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii"])
def test_a_search_names_the_best_of_its_trials(command, sampler):
    result = command(*SEARCH, *SPACE, "hydra.sweeper.n_trials=4", f"hydra/sweeper/sampler={sampler}")
    assert result.status == 0, result.err
    assert "4 done, 0 failed: outputs/runs" in result.out
    found = re.search(r"^best: relative_error (\S+) with (.*) \((.*)\)$", result.out, re.MULTILINE)
    values = [number(record) for record in records()]
    assert len(values) == 4
    assert float(found[1]) == pytest.approx(min(values), rel=1e-5)
    record = json.loads(Path(found[3], RECORD).read_text())
    assert number(record) == min(values)
    assert f"dataset.noise={record['config']['dataset']['noise']}" in found[2]
    assert f"layers={'-'.join(map(str, record['config']['layers']))}" in found[2]
    [study] = studies()
    assert {trial.value for trial in study.trials} == set(values)


def test_intervals_choices_ranges_and_tags_are_taken_as_the_sweeper_takes_them(command):
    space = [
        "layers=choice(9,9-4)",
        "max_iter=range(2,8,3)",
        "tol=tag(log,interval(1e-6,1e-2))",
        "seed=int(interval(1,9))",
    ]
    assert command(*SEARCH, *space, "hydra.sweeper.n_trials=6").status == 0
    configs = [record["config"] for record in records()]
    assert len(configs) == 6
    assert {config["max_iter"] for config in configs} == {2, 5, 8}  # with its end, which is Optuna's way
    assert all(1e-6 <= config["tol"] <= 1e-2 and config["tol"] not in (1e-6, 1e-2) for config in configs)
    assert sum(config["tol"] < 1e-4 for config in configs) >= 2  # half of them would be a hundredth in a linear scale
    assert all(1 <= config["seed"] <= 9 for config in configs)


def test_the_best_is_high_where_the_metric_is_better_high_and_low_where_that_is_asked_for(command):
    asked = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=4", "objective=purity", "objective_layer=0", "trials=2"]
    best = {}
    for direction in ("null", "minimize"):
        result = command(*asked, f"hydra.sweeper.direction={direction}")
        best[direction] = float(re.search(r"best: purity at layer 0 (\S+) with", result.out)[1])
    trials = {}
    for record in records():
        cell = tuple(record["config"]["layers"]), record["config"]["dataset"]["noise"]
        trials.setdefault(cell, []).append(record["layers"][0]["purity"])
    means = [sum(some) / 2 for some in trials.values()]
    assert min(means) < max(means)
    assert best == pytest.approx({"null": max(means), "minimize": min(means)}, rel=1e-5)


def test_the_same_command_again_runs_nothing_and_with_more_trials_the_missing_ones(command):
    asked = [*SEARCH, *SPACE]
    first = command(*asked, "hydra.sweeper.n_trials=3").out
    made = {path: path.stat().st_mtime_ns for path in Path().rglob(RECORD)}
    assert command(*asked, "hydra.sweeper.n_trials=3", "workers=2").out == first
    assert {path: path.stat().st_mtime_ns for path in Path().rglob(RECORD)} == made
    assert "5 done, 0 failed" in command(*asked, "hydra.sweeper.n_trials=5").out
    assert {path: path.stat().st_mtime_ns for path in Path().rglob(RECORD)}.items() > made.items()
    [study] = studies()
    assert len(study.trials) == 5 == len({trial.params["dataset.noise"] for trial in study.trials})


def test_forced_trials_are_run_once_more_and_are_the_same_ones(command, monkeypatch):
    asked = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=2"]
    command(*asked)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob(RECORD)}
    run_tasks, run = launch.run_tasks, []
    monkeypatch.setattr(
        launch, "run_tasks", lambda some, *how, **others: run.extend(some) or run_tasks(some, *how, **others)
    )
    assert "2 done, 0 failed" in command(*asked, "force=true", "hydra/callbacks=log_job_return").out
    assert len(run) == 2
    after = {path: path.stat().st_mtime_ns for path in Path().rglob(RECORD)}
    assert before.keys() == after.keys()
    assert not before.items() & after.items()


def test_a_record_that_is_gone_is_made_again(command):
    asked = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=3"]
    first = command(*asked).out
    next(Path().rglob(RECORD)).unlink()
    assert command(*asked).out == first
    assert len(records()) == 3


def test_another_search_has_a_study_of_its_own(command):
    asked = [*SEARCH, "hydra.sweeper.n_trials=2"]
    changes = [
        ["init=random"],
        ["seed=3"],
        ["objective=floor"],
        ["trials=2"],
        ["hydra.sweeper.direction=maximize"],
        ["layers=9,9-5"],
    ]
    for change in ([], *changes):
        assert command(*asked, *SPACE, *change).status == 0
    assert [len(study.trials) for study in studies()] == [2] * 7


def test_another_version_of_the_code_has_a_study_of_its_own(command, monkeypatch):
    asked = [*SEARCH, *SPACE, "hydra.sweeper.n_trials=1"]
    assert command(*asked).status == 0
    monkeypatch.setattr("nnmf_runner.running.search.code", lambda method: "another")
    assert command(*asked).status == 0
    assert [len(study.trials) for study in studies()] == [1, 1]


def test_a_study_goes_into_the_file_and_by_the_name_that_it_is_given(command):
    asked = [*SEARCH, *SPACE, "hydra.sweeper.study_name=mine", "hydra.sweeper.storage=sqlite:///own.db"]
    for trials in (2, 3):
        assert command(*asked, f"hydra.sweeper.n_trials={trials}").status == 0
    [study] = studies("own.db")
    assert (study.study_name, len(study.trials)) == ("mine", 3)
    assert not Path(STUDIES).exists()


def test_trials_that_were_at_work_when_their_process_was_killed_are_the_next(command, tmp_path):
    long = [*SEARCH, *SPACE, "max_iter=2000", "tol=0", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1"]
    environment = os.environ | {"PYTHONPATH": str(Path(launch.__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "nnmf_runner", *long], cwd=tmp_path, env=environment)
    end = time.monotonic() + 60
    while not [*Path("outputs").glob("runs/[0-9a-f]*/.*.claim")]:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [study] = studies()
    assert [trial.state.name for trial in study.trials] == ["RUNNING"]
    assert "2 done, 0 failed" in command(*long).out
    [study] = studies()
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


def test_failed_trials_are_told_and_the_search_goes_on_unless_it_is_to_fail_fast(command):
    asked = [*SEARCH, "time_limit=1e-9", "layers=9", "seed=int(interval(1,1000))", "hydra.sweeper.n_jobs=1"]
    asked += ["hydra.sweeper.n_trials=2", "max_iter=100"]
    result = command(*asked)
    assert (result.status, "best" in result.out) == (1, False)
    assert "0 done, 2 failed" in result.out
    assert result.err.count("timed_out") >= 2
    assert "Traceback" not in result.err
    assert "0 done, 1 failed" in command(*asked, "fail_fast=true", "name=fast").out


def test_an_objective_that_the_runs_do_not_have_ends_the_search(command):
    result = command(*SEARCH, *SPACE, "objective=npmi")
    assert result.status == 2
    assert result.err.splitlines()[-1].startswith("nnmf-run: objective=npmi is not measured in these runs.")


def test_a_name_of_another_search_is_refused_and_left_as_it_is(command):
    asked = [*SEARCH, "hydra.sweeper.study_name=mine", "hydra.sweeper.n_trials=1"]
    assert command(*asked, *SPACE).status == 0
    for other, why in (("objective=floor", "has trials of another search"), ("objective=purity", "direction")):
        result = command(*asked, *SPACE, other)
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert why in result.err
    [study] = studies()
    assert len(study.trials) == 1


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("sqlite:///no.db", "sqlite:///no.db: .* not a database"),
        ("mysql+none://me:secret@host/name", r"mysql\+none://host/name: Can't load plugin"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_and_leaves_nothing(command, address, why):
    Path("no.db").write_text("no database at all, but a text")
    result = command(*SEARCH, *SPACE, f"hydra.sweeper.storage={address}")
    assert (result.status, result.files) == (2, ["no.db"])
    assert re.fullmatch(rf"nnmf-run: hydra/sweeper=optuna cannot open its study in {why}.*\n", result.err)
    assert "secret" not in result.err


def test_a_package_that_cannot_be_loaded_and_data_that_are_not_there_are_one_line_and_leave_nothing(
    command, monkeypatch
):
    result = command(*SEARCH, "layers=9,8", "dataset=file", "dataset.path=none.npz")
    assert (result.status, result.err.count("\n"), result.files) == (2, 1, [])
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = command(*SEARCH, *SPACE)
    assert (result.status, result.err.count("\n"), result.files) == (2, 1, [])
    assert "import of optuna halted" in result.err


def test_what_the_sweeper_cannot_do_is_no_failure_of_the_runs(command, monkeypatch):
    def refuse(*given):
        raise ValueError("no more\nat all")

    monkeypatch.setattr("nnmf_runner.running.search.search", refuse)
    result = command(*SEARCH, *SPACE)
    assert (result.status, result.err) == (2, "nnmf-run: hydra/sweeper=optuna cannot go on: no more\n")


def test_a_second_process_at_the_same_search_is_refused(command, monkeypatch):
    def run(study, jobs):
        with claimed(study.place / study.name) as ours:
            assert not ours
            return command(*SEARCH, *SPACE)

    monkeypatch.setattr(Study, "run", run)
    with pytest.raises(AttributeError):  # of the result of the command inside, which is no search
        command(*SEARCH, *SPACE)


def test_a_search_goes_through_any_launcher_and_every_job_is_told(command, monkeypatch):
    monkeypatch.setitem(LAUNCHERS, "basic", launchers.Launcher(LAUNCHERS["basic"].target))
    monkeypatch.setattr(launch, "LOOK", 0.01)
    result = command(*SEARCH, *SPACE, "hydra.sweeper.n_trials=3", "hydra/callbacks=log_job_return")
    assert result.status == 0
    assert "3 done, 0 failed" in result.out
    assert result.err.count("Succeeded with return value: ") == 3


def test_ranks_are_not_searched(command):
    result = command("ranks=2..4", "hydra/sweeper=optuna", program="nnmf-rank")
    assert (result.status, result.files) == (2, [])
    assert result.err == "nnmf-rank: hydra/sweeper=optuna chooses fits itself, and nnmf-rank compares them all.\n"
