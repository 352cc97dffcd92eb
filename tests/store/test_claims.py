"""Claims: one holder at a time, none for ever, and nothing of a killed process stays."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nnmf_runner.store import claims
from nnmf_runner.store.claims import claim_path, claimed, clear_left, is_held

NAME = "0123456789abcdef"


@pytest.fixture
def run(tmp_path):
    """Folder of a run that is not there yet."""
    return tmp_path / "01" / NAME


def write_claim(run, *, host=None, pid=None, age=0.0, text=None):
    path = claim_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = {"host": host or platform.node(), "pid": os.getpid() if pid is None else pid, "key": "other"}
    path.write_text(json.dumps(holder) if text is None else text)
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_is_held_while_the_block_lasts_and_by_one_alone(run):
    with claimed(run) as first:
        assert first
        assert is_held(run)
        with claimed(run) as second:
            assert not second
        assert is_held(run)
    assert not is_held(run)
    assert not run.parent.exists()  # what it made for itself alone is gone


def test_of_many_that_ask_at_once_one_gets_it(run):
    start, asked = threading.Barrier(16), threading.Barrier(16)

    def ask(_):
        start.wait(30.0)
        with claimed(run) as ours:
            asked.wait(30.0)  # nobody lets go before the last has asked
            return ours

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(ask, range(16)))
    assert (got.count(True), got.count(False)) == (1, 15)


def test_a_claim_of_a_process_that_is_gone_is_taken_over_at_once(run, dead_pid):
    write_claim(run, pid=dead_pid)
    assert not is_held(run)
    assert claim_path(run).exists()
    with claimed(run) as ours:
        assert ours
    assert list(run.parent.iterdir()) == []


def test_a_zombie_holds_nothing(run):
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30.0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and time.monotonic() < deadline:
        time.sleep(0.01)
    write_claim(run, pid=process.pid)
    held = is_held(run)
    process.wait()
    assert not held


@pytest.mark.parametrize(("age", "held"), [(0.0, True), (60.0, True), (1000.0, False), (-1000.0, False)])
def test_a_claim_of_another_host_is_told_by_its_age(run, age, held):
    write_claim(run, host="elsewhere", pid=1, age=age)
    assert is_held(run) is held


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 1}'])
def test_a_claim_without_a_readable_holder_does_not_last(run, text):
    write_claim(run, text=text)
    assert is_held(run)
    write_claim(run, text=text, age=1000.0)
    assert not is_held(run)


def test_a_holder_keeps_its_claim_young(run, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.05)
    with claimed(run):
        os.utime(claim_path(run), (0, 0))
        deadline = time.monotonic() + 30.0
        while claim_path(run).stat().st_mtime < time.time() - 100 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert is_held(run)


def test_a_holder_that_was_taken_for_dead_leaves_the_next_ones_claim_alone(run):
    with claimed(run):
        write_claim(run, host="elsewhere", pid=1)
    assert is_held(run)


def test_what_killed_processes_left_is_cleared_and_what_lives_is_not(tmp_path, run, dead_pid):
    write_claim(run, pid=dead_pid)
    alive = run.with_name("f" * 16)
    write_claim(alive)
    for owner in (run, alive):
        scratch = owner.with_name(f".{owner.name}-abcd")
        scratch.mkdir()
        (scratch / "factors.npz").write_text("half")
    (tmp_path / ".sweep").mkdir()
    clear_left(tmp_path)
    left = {path.name for path in run.parent.iterdir()}
    assert left == {f".{alive.name}.claim", f".{alive.name}-abcd"}
    assert (tmp_path / ".sweep").is_dir()


@pytest.mark.parametrize("successor", [False, True])
def test_a_record_put_aside_comes_back_unless_its_successor_is_there(tmp_path, run, successor):
    aside = run.with_name(f".{NAME}-old-abcd") / NAME
    aside.mkdir(parents=True)
    (aside / "record.json").write_text("old")
    if successor:
        run.mkdir()
        (run / "record.json").write_text("new")
    clear_left(tmp_path)
    assert [path.name for path in run.parent.iterdir()] == [NAME]
    assert (run / "record.json").read_text() == ("new" if successor else "old")


def test_a_claim_that_was_about_to_be_taken_or_dropped_is_cleared_and_so_is_the_folder_made_for_it(tmp_path, run):
    run.parent.mkdir()
    claim_path(run).with_name(f"{claim_path(run).name}-{'0' * 32}").write_text("{}")
    clear_left(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_claim_is_never_seen_without_its_holder(run, monkeypatch):
    seen = []
    monkeypatch.setattr(claims, "_create", watched(claims._create, lambda: seen.append(claims._read(claim_path(run)))))
    with claimed(run) as ours:
        assert ours
        assert json.loads(claim_path(run).read_text())["pid"] == os.getpid()
    assert seen
    assert all(text is None or json.loads(text)["pid"] == os.getpid() for text in seen)


def watched(call, look):
    """A call that looks before every line of Python that it executes in its module."""

    def trace(frame, event, argument):
        look() if frame.f_globals.get("__name__") == claims.__name__ else None
        return trace

    def wrapped(*arguments):
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return call(*arguments)
        finally:
            sys.settrace(before)

    return wrapped


def test_a_file_system_without_links_has_claims_all_the_same(run, monkeypatch):
    def link(*paths):
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    with claimed(run) as ours, claimed(run) as again:
        assert (ours, again) == (True, False)
    assert not run.parent.exists()


def test_a_folder_that_is_not_there_has_nothing_to_clear(tmp_path):
    clear_left(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_does_not_fit_on_the_disk_is_named_and_not_left_behind(run, full_disk):
    with full_disk(), pytest.raises(OSError, match="File too large") as caught, claimed(run):
        pytest.fail("was claimed")
    assert caught.value.filename == str(claim_path(run))
    assert not run.parent.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear forks")
def test_a_process_that_holds_a_run_may_be_forked(tmp_path):
    code = (
        "import pathlib, threading; from nnmf_runner.core.forks import may_fork; "
        "from nnmf_runner.store.claims import claimed\n"
        f"with claimed(pathlib.Path({str(tmp_path / 'run')!r})): print(threading.active_count(), may_fork())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["2", "True"]
