"""How far a sweep is, from the folders of its runs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.store import status as statuses
from nnmf_runner.store.claims import claim_path
from nnmf_runner.store.plan import Wanted, write_plan
from nnmf_runner.store.provenance import code
from nnmf_runner.store.record import RECORD, SCHEMA_VERSION, read_run, run_folder, write_record
from nnmf_runner.store.status import Ledger, folder_status, status_of


@pytest.fixture
def add_run(tmp_path, record_of):
    """Write a run of some seed into the experiment's folder, and tell its name."""

    def add(seed, status="done", **changes):
        record = record_of(seed=seed, status=status, **changes)
        head = {name: record.pop(name) for name in ("schema", "status", "message")}
        ordered = {**head, "code": changes.get("code", code("hier")), "commit": "abc", **record}
        folder = run_folder(tmp_path, record["config"])
        write_record(folder, ordered)
        return folder.name

    return add


def claim(tmp_path, name, pid):
    path = claim_path(tmp_path / name[:2] / name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": platform.node(), "pid": pid, "key": ""}))


def test_every_run_is_sorted_by_what_is_known_of_it(tmp_path, add_run):
    names = {
        "done": add_run(0),
        "limit": add_run(1, "max_iter"),
        "other": add_run(2, code="older"),
        "failed": add_run(3, "failed", message="ZeroDivisionError: by zero"),
        "diverged": add_run(4, "diverged"),
        "slow": add_run(5, "timed_out", message="stopped after time_limit=2 seconds"),
        "stopped": add_run(6, "interrupted"),
    }
    names |= {"running": "a" * 16, "killed": "b" * 16, "never": "c" * 16}
    claim(tmp_path, names["running"], os.getpid())
    claim(tmp_path, names["killed"], 2**22 + 1)  # beyond the largest pid
    write_plan(tmp_path, [Wanted(name, label) for label, name in names.items()])
    status = folder_status(tmp_path)
    assert (status.done, status.other_code, status.running) == (3, 1, ["running"])
    assert status.headline().startswith("3 done, 1 running, 3 failed, 3 missing: ")
    assert "1 done by another version of the code" in status.headline()
    folder = tmp_path / names["failed"][:2] / names["failed"]
    assert status.lines() == [
        f"failed: failed: ZeroDivisionError: by zero ({folder})",
        f"failed: diverged: diverged ({tmp_path / names['diverged'][:2] / names['diverged']})",
        f"failed: slow: stopped after time_limit=2 seconds ({tmp_path / names['slow'][:2] / names['slow']})",
        "missing: stopped: interrupted",
        "missing: killed: its process was killed",
        "missing: never: not run",
    ]
    assert not status.complete


def test_runs_that_no_plan_wants_count_too(tmp_path, add_run):
    add_run(0)
    assert folder_status(tmp_path).done == 1
    assert folder_status(tmp_path).complete


def test_a_damaged_record_is_a_missing_run(tmp_path, add_run):
    name = add_run(0)
    write_plan(tmp_path, [Wanted(name, "seed=0")])
    path = tmp_path / name[:2] / name / RECORD
    path.write_text(path.read_text()[:-20])
    (line,) = folder_status(tmp_path).lines()
    assert line.startswith("missing: seed=0: its record cannot be read: ")


def test_the_record_of_another_run_is_a_missing_run(tmp_path, add_run):
    name, other = add_run(0), add_run(1)
    write_plan(tmp_path, [Wanted(name, "seed=0")])
    shutil.copy(tmp_path / other[:2] / other / RECORD, tmp_path / name[:2] / name / RECORD)
    (line,) = folder_status(tmp_path).lines()
    assert line == "missing: seed=0: its record is damaged: it is the record of another run"


@pytest.mark.parametrize(("ended", "told"), [("done", "done"), ("failed", "running")])
def test_a_record_with_numbers_counts_whoever_holds_its_run(tmp_path, add_run, ended, told):
    claim(tmp_path, add_run(0, ended), os.getpid())
    assert (
        folder_status(tmp_path)
        .headline()
        .startswith(f"{int(told == 'done')} done, {'1 running, ' * (told == 'running')}0 f")
    )


def test_of_very_many_missing_runs_the_first_are_named(tmp_path):
    write_plan(tmp_path, [Wanted(f"{i:016x}", f"seed={i}") for i in range(1000)])
    lines = folder_status(tmp_path).lines()
    assert lines[0] == "missing: seed=0: not run"
    assert lines[-1] == f"missing: {1000 - statuses.SHOWN} more"
    assert len(lines) == statuses.SHOWN + 1


def test_a_second_look_opens_new_records_alone(tmp_path, add_run, monkeypatch):
    add_run(0)
    ledger, opened = Ledger(tmp_path), []
    assert ledger.look() == ledger.heads.keys()
    monkeypatch.setattr(statuses, "read_run", lambda run: opened.append(run.name) or read_run(run))
    assert ledger.look() == set()
    second = add_run(1)
    again = add_run(0, "failed", message="worse")
    assert ledger.look() == {second, again}
    assert sorted(opened) == sorted([second, again])
    assert ledger.heads[again]["status"] == "failed"


def test_a_run_whose_folder_is_replaced_by_one_without_a_record_is_forgotten(tmp_path, add_run):
    name, ledger = add_run(0), Ledger(tmp_path)
    ledger.look()
    folder = tmp_path / name[:2] / name
    folder.rename(tmp_path / "aside")
    folder.mkdir()
    assert ledger.look() == {name}
    assert ledger.heads == {}


def test_a_run_whose_folder_is_gone_is_forgotten(tmp_path, add_run):
    name, ledger = add_run(0), Ledger(tmp_path)
    ledger.look()
    shutil.rmtree(tmp_path / name[:2])
    assert ledger.look() == {name}
    assert status_of(ledger, [Wanted(name, "")]).done == 0


def test_a_record_that_was_damaged_in_its_place_is_seen_by_a_fresh_look(tmp_path, add_run):
    name, ledger = add_run(0), Ledger(tmp_path)
    ledger.look()
    path = tmp_path / name[:2] / name / RECORD
    path.write_text(path.read_text().replace('"accuracy"', '"'))
    assert (ledger.look(), ledger.heads[name]["status"]) == (set(), "done")
    assert (ledger.look(afresh=True), ledger.heads[name]["status"]) == ({name}, None)


def test_a_run_of_an_earlier_version_is_missing_and_its_line_says_so(tmp_path, add_run):
    name = add_run(0, schema=SCHEMA_VERSION - 1)
    status = folder_status(tmp_path)
    (line,) = status.lines()
    assert (status.done, line.partition(", which")[0]) == (
        0,
        f"missing: {name}: its record has schema version {SCHEMA_VERSION - 1}",
    )


def test_a_record_of_a_newer_schema_is_refused(tmp_path, add_run):
    name = add_run(0, schema=SCHEMA_VERSION + 1)
    with pytest.raises(InputError, match=rf"{name}.*schema version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}"):
        folder_status(tmp_path)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        folder_status(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no runs"):
        folder_status(tmp_path)


@pytest.mark.slow
def test_the_status_of_20000_runs_takes_seconds(tmp_path, record_of):
    record = record_of()
    head = {"schema": SCHEMA_VERSION, "status": "done", "message": None, "code": code("hier")}
    names = []
    for seed in range(20_000):
        record["config"]["seed"] = seed
        folder = run_folder(tmp_path, record["config"])
        folder.mkdir(parents=True)
        (folder / RECORD).write_text(json.dumps({**head, **record}, indent=1) + "\n")
        names.append(folder.name)
    write_plan(tmp_path, [Wanted(name, name) for name in names])
    started = time.process_time()
    status = folder_status(tmp_path)
    assert time.process_time() - started < 10.0  # two seconds on most machines
    assert (status.done, status.complete) == (20_000, True)


def test_status_of_the_wanted_alone(tmp_path, add_run):
    name, ledger = add_run(0), Ledger(tmp_path)
    add_run(1)
    ledger.look()
    assert status_of(ledger, [Wanted(name, "seed=0")]).done == 1


def test_a_consensus_that_no_plan_names_is_called_by_its_seeds():
    config = {"method": {"name": "hier"}, "layers": [9, 4], "seed": 3}
    assert statuses._label(config) == "hier 9-4 seed=3"
    assert statuses._label({**config, "consensus": 10}) == "hier 9-4 consensus of seeds 3 to 12"
