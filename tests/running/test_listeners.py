"""What listeners are told of jobs: each once, whatever runs them, with what came of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hydra._internal import callbacks as hydras
from hydra.experimental.callback import Callback

from nnmf_runner.config import composition
from nnmf_runner.running.launch import run_sweep
from nnmf_runner.running.listeners import Best, Jobs
from nnmf_runner.running.objective import FailedRunError
from nnmf_runner.store.record import RECORD

pytestmark = pytest.mark.slow
SHORT = ["max_iter=2", "dataset.noise=0.5"]


class Ears:
    def __init__(self):
        self.heard, self.results = [], {}

    def awaits(self, config):
        pass

    def begins(self, number, overrides, config):
        assert threading.current_thread() is threading.main_thread()
        self.heard.append(("begins", number))

    def ends(self, number, config, result):
        self.heard.append(("ends", number))
        self.results[number] = result


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Run a sweep, and return what was heard and the records' errors by their configurations."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        ears = Ears()
        run_sweep(composition.read(["-m", *SHORT, *arguments]), jobs=Jobs([ears]))
        return ears

    return call


def errors(trials):
    """Mean errors of the records in the working directory, by their ranks."""
    found = {}
    for path in Path().rglob(RECORD):
        record = json.loads(path.read_text())
        found.setdefault(len(record["config"]["layers"]), []).append(record["metrics"]["relative_error"])
    assert all(len(some) == trials for some in found.values())
    return {layers: sum(some) / len(some) for layers, some in found.items()}


def test_every_job_is_told_once_with_the_mean_of_its_trials(swept, place):
    ears = swept("layers=9,9-4", "trials=2", *place)
    assert sorted(ears.heard) == [(event, number) for event in ("begins", "ends") for number in (0, 1)]
    assert all(ears.heard.index(("begins", n)) < ears.heard.index(("ends", n)) for n in (0, 1))
    assert ears.results == pytest.approx({0: errors(2)[1], 1: errors(2)[2]})


def test_a_job_that_is_done_already_is_told_with_the_recorded_number(swept, place):
    before = swept("layers=9,9-4", *place)
    again = swept("layers=9,9-4,9-5", *place)
    assert again.results.items() >= before.results.items()
    assert [number for _, number in again.heard] == [0, 0, 1, 1, 2, 2]  # before any other


def test_one_after_the_other_jobs_do_not_overlap(swept):
    assert swept("layers=9,9-4,9-5").heard == [(event, n) for n in range(3) for event in ("begins", "ends")]


def test_a_job_that_fails_is_told_with_the_reason(swept, place):
    ears = swept("layers=9", "time_limit=1e-9,100", "seed=1,2", "max_iter=100", *place)
    assert [type(ears.results[n]) for n in range(4)] == [FailedRunError] * 4  # those with more time are the same runs
    assert "timed_out" in str(ears.results[0])


def test_jobs_that_are_the_same_runs_are_told_each(swept, place):
    ears = swept("layers=9", "time_limit=50,100", *place)
    assert ears.results[0] == ears.results[1]


def test_the_best_is_the_first_that_ended_of_those_that_are_as_good(configure):
    best = Best()
    config = configure("objective=accuracy", "label_fraction=1")
    for number, result in enumerate([0.5, FailedRunError(""), 0.7, 0.7, 0.6]):
        best.begins(number, [f"seed={number}"], config)
        best.ends(number, config, result)
    assert (best.found[0], best.found[1].overrides) == (0.7, ["seed=2"])


class Spy(Callback):
    """What stands in the place of Hydra's callback, in a configuration that names the latter."""

    told = []

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda **given: Spy.told.append((name, given))


@pytest.fixture
def spied(monkeypatch):
    monkeypatch.setattr(Spy, "told", [])
    monkeypatch.setattr("hydra.experimental.callbacks.LogJobReturnCallback", Spy)
    assert hydras.Callbacks  # which makes what the configuration names
    return Spy.told


def test_callbacks_are_told_of_a_sweep_and_its_jobs_as_hydra_would_tell_them(command, spied, place):
    result = command("-m", "layers=9,9-4", *SHORT, *place, "hydra/callbacks=log_job_return", "objective=floor")
    assert result.status == 0
    names = [name for name, _ in spied]
    assert (names[0], names[-1]) == ("on_multirun_start", "on_multirun_end")
    assert sorted(names[1:-1]) == ["on_job_end"] * 2 + ["on_job_start"] * 2
    ended = {
        tuple(given["config"].hydra.overrides.task): given["job_return"] for n, given in spied if n == "on_job_end"
    }
    floors = {len(r["config"]["layers"]): r["layers"][-1]["floor"] for r in map(json.loads, texts())}
    assert len(floors) == len(ended) == 2
    for overrides, returned in ended.items():
        assert returned.return_value == pytest.approx(floors[2 if "layers=9-4" in overrides else 1])
        assert "hydra" in returned.hydra_cfg
        assert "hydra" not in returned.cfg
        assert list(overrides) == returned.overrides


def texts():
    return [path.read_text() for path in Path().rglob(RECORD)]


def test_callbacks_are_told_of_a_single_run(command, spied):
    assert command("layers=9", *SHORT, "hydra/callbacks=log_job_return").status == 0
    assert [name for name, _ in spied] == ["on_run_start", "on_job_start", "on_job_end", "on_run_end"]
    [record] = map(json.loads, texts())
    assert spied[2][1]["job_return"].return_value == record["metrics"]["relative_error"]


def test_what_a_callback_logs_is_seen_in_sweeps_and_in_single_runs(command, place):
    logged = "Succeeded with return value: 0."
    assert command("layers=9", *SHORT, "hydra/callbacks=log_job_return").err.count(logged) == 1
    assert command("-m", "layers=9,9-4", *SHORT, *place, "hydra/callbacks=log_job_return").err.count(logged) == 2


@pytest.mark.filterwarnings("default:Callback Bad")
def test_a_callback_that_fails_is_told_of_and_costs_no_run(command, monkeypatch):
    class Bad(Callback):
        def on_job_end(self, **given):
            raise RuntimeError("no more")

    monkeypatch.setattr("hydra.experimental.callbacks.LogJobReturnCallback", Bad)
    result = command("-m", "layers=9,9-4", *SHORT, "hydra/callbacks=log_job_return")
    assert result.err.count("Callback Bad.on_job_end raised RuntimeError: no more") == 2
    assert "2 done, 0 failed" in result.out
