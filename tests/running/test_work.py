"""What a sweep wants, and how far it is by the records."""

from __future__ import annotations

import json
import os
import platform
import shutil

import pytest

from nnmf_runner.config.cells import Cell
from nnmf_runner.running.run import run_one
from nnmf_runner.running.work import Work
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.plan import read_plans
from nnmf_runner.store.record import RECORD, run_folder


@pytest.fixture
def cells(configure, tmp_path):
    """Three trials, of which two cells share one."""
    lines = [["layers=9", "max_iter=2", "trials=2", f"seed={seed}"] for seed in (0, 1)]
    return [Cell(line, configure(*line, f"output={tmp_path}")) for line in lines]


def claim(config, seed, pid):
    path = claim_path(run_folder(config.folder, config.identity(seed)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": platform.node(), "pid": pid, "key": "other"}))
    return path


def test_every_run_is_wanted_once_and_planned(cells):
    work = Work(cells)
    assert [run.seed for run in work.pending()] == [0, 1, 2]
    assert sorted(wanted.label for wanted in read_plans(cells[0].config.folder)) == ["seed=0", "seed=1", "seed=2"]
    assert "0 of 3 runs are done; 3 to run (workers=2)." in work.opening("workers=2")


def test_records_are_noted_as_they_come(cells):
    work, config = Work(cells), cells[0].config
    run_one(config, 1)
    assert len(work.pending()) == 3
    work.look()
    assert [run.seed for run in work.pending()] == [0, 2]
    assert (work.failed, work.status().done) == (0, 1)
    assert [run.seed for run in Work(cells).pending()] == [0, 2]


@pytest.mark.parametrize("harm", ["removed", "damaged", "replaced"])
def test_a_record_that_somebody_harms_does_not_count_at_the_end(cells, harm):
    work, config = Work(cells), cells[0].config
    folders = [run_one(config, seed).folder for seed in (0, 1, 2)]
    work.look()
    assert work.pending() == []
    if harm == "removed":
        shutil.rmtree(folders[1])
    elif harm == "damaged":
        path = folders[1] / RECORD
        path.write_text(path.read_text().replace('"metrics"', '"other"'))
    else:
        shutil.copy(folders[0] / RECORD, folders[1] / RECORD)
    status = work.status()
    assert (status.done, status.complete, [problem.label for problem in status.missing]) == (2, False, ["seed=1"])
    work.look()
    assert [run.seed for run in Work(cells).pending()] == [1]
    assert run_one(config, 1).record["status"] == "max_iter"
    assert Work(cells).status().complete


def test_a_run_whose_record_is_removed_is_pending_again(cells):
    work, config = Work(cells), cells[0].config
    folder = run_one(config, 0).folder
    work.look()
    shutil.rmtree(folder)
    work.look()
    assert [run.seed for run in work.pending()] == [0, 1, 2]


def test_a_run_that_others_held_at_first_is_pending_when_they_let_go_without_a_record(cells):
    path = claim(cells[0].config, 0, os.getpid())
    work = Work(cells)
    assert [run.seed for run in work.pending()] == [1, 2]
    assert work.others_at_work()
    path.unlink()
    work.look()
    assert not work.others_at_work()
    assert [run.seed for run in work.pending()] == [0, 1, 2]


def test_a_run_in_flight_whose_process_is_killed_is_not_pending_again(cells):
    work = Work(cells)
    claim(cells[0].config, 2, 2**22 + 1)  # above the largest number of a process
    work.look()
    assert not work.others_at_work()
    assert [run.seed for run in work.pending()] == [0, 1]
    assert [run.seed for run in Work(cells).pending()] == [0, 1, 2]  # the next sweep clears what was left


def test_a_run_is_at_work_until_it_is_let_go_of(cells):
    """Its process holds it for a moment after its record is there, and the status counts it as running."""
    work, config = Work(cells), cells[0].config
    run_one(config, 0)
    path = claim(config, 0, os.getpid())
    work.look()
    assert work.others_at_work()
    path.unlink()
    work.look()
    assert not work.others_at_work()


def test_stop_files_stop_and_are_removed(cells, tmp_path):
    work = Work(cells)
    work.stop()
    assert [file.is_set() for file in work.stop_files()] == [True]
    work.remove_stop_files()
    assert not list(tmp_path.rglob("*.stop"))


def test_what_jobs_printed_is_found_and_removed(cells):
    work = Work(cells)
    assert work.logs() == []
    folder = cells[0].config.folder / ".sweep" / work.name
    folder.mkdir()
    (folder / "log").touch()
    assert work.logs() == [folder]
    work.remove_logs()
    assert not folder.exists()
