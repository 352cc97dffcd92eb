"""The pool: the same results from any number of processes, whole configurations shared, errors and ends."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time

import numpy as np
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.running.interrupt import is_stopped, stopped_by
from nnmf_runner.running.pool import _Crew, run_tasks
from nnmf_runner.store.record import find_records, read_factors

pytestmark = pytest.mark.slow  # processes take seconds to start


@pytest.fixture
def tasks(configure, tmp_path):
    """Two configurations with two seeds each."""
    lines = [f"method={method}" for method in ("hier", "deep")]
    configs = [configure(line, "layers=9", "max_iter=3", "init=random", f"output={tmp_path}/one") for line in lines]
    return [(config, seed) for config in configs for seed in (0, 1)]


@pytest.fixture
def endless(configure, tmp_path):
    """Fits that end by being stopped."""
    config = configure("method=deep", "layers=9", "tol=0", "max_iter=1000000000", f"output={tmp_path}/one")
    return [(config, seed) for seed in range(3)]


def elsewhere(tasks, output):
    return [(dataclasses.replace(config, output=str(output)), seed) for config, seed in tasks]


def test_any_number_of_processes_yields_every_task_with_the_same_factors(tasks, tmp_path):
    alone = {(task[0].method.name, task[1]): outcome for task, outcome in run_tasks(tasks, 1)}
    shared = {
        (task[0].method.name, task[1]): outcome for task, outcome in run_tasks(elsewhere(tasks, tmp_path / "two"), 3)
    }
    assert len(alone) == len(tasks)
    assert shared.keys() == alone.keys()
    for key, outcome in alone.items():
        assert shared[key].folder != outcome.folder
        assert shared[key].record["config"] == outcome.record["config"]
        ours, theirs = read_factors(shared[key].folder), read_factors(outcome.folder)
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_no_tasks_need_no_process():
    assert list(run_tasks([], 8)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_data_that_do_not_fit_are_an_error_of_a_single_configuration_and_a_failed_run_of_a_sweep(tasks, workers):
    bad = [(dataclasses.replace(config, layers=[88]), seed) for config, seed in tasks]
    with pytest.raises(InputError, match=r"layers\[0\]=88"):
        list(run_tasks(bad, workers, alone=True))
    assert {outcome.record["status"] for _, outcome in run_tasks(bad, workers)} == {"failed"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_with_fail_fast_stops_what_waits_and_all_that_obey_here(tasks, workers):
    fast = [(dataclasses.replace(config, layers=[88], fail_fast=True), seed) for config, seed in tasks * 4]
    with stopped_by(threading.Event()):
        ended = list(run_tasks(fast, workers))
        assert is_stopped()
    assert 1 <= len(ended) <= 2 * workers
    assert ended[0][1].record["status"] == "failed"


def test_who_is_stopped_by_an_event_ends_runs_whole(endless, tmp_path):
    with stopped_by(event := threading.Event()):
        threading.Thread(target=stop_when_both_run, args=(event, tmp_path)).start()
        ended = list(run_tasks(endless, 2))
    assert [outcome.record["status"] for _, outcome in ended] == ["interrupted"] * 2
    assert len(find_records(tmp_path)) == 2


def stop_when_both_run(event, folder):
    while len(list(folder.glob("one/*/*/.*.claim"))) < 2:
        time.sleep(0.01)
    event.set()


def test_a_process_that_is_killed_before_it_begins_costs_its_task_alone(tasks, tmp_path):
    crew = _Crew(tasks, 2, refuse=False)
    start = crew._start

    def start_and_kill_the_first():
        start()
        if len(killed) == 0:
            (process,) = crew.processes.values()
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process)

    killed, crew._start = [], start_and_kill_the_first
    ended = list(crew.run())
    assert sorted(tasks.index(task) for task, _ in ended) == [1, 2, 3]
    assert not killed[0].is_alive()


def test_no_process_outlives_the_tasks_nor_a_reader_that_has_seen_enough(tasks, endless):
    for some in (tasks, [*tasks, *endless]):
        crew = _Crew(some, 2, refuse=False)
        results = crew.run()
        next(results)
        seen = [*crew.processes.values()]
        if some is tasks:
            assert len([*results]) == len(tasks) - 1
        results.close()
        assert not any(process.is_alive() for process in seen)
        assert crew.processes == {}
