"""Stop events, and what the first and the second Ctrl-C do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nnmf_runner.running.interrupt import StopFile, interruptible, is_stopped, stop_all, stopped_by, undisturbed


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_event_is_obeyed_while_the_block_lasts():
    event = threading.Event()
    with stopped_by(event):
        assert not is_stopped()
        stop_all()
        assert event.is_set()
        assert is_stopped()
    assert not is_stopped()


def test_one_of_several_events_is_enough_and_is_obeyed_after_the_others_blocks():
    with stopped_by(event := threading.Event()):
        with stopped_by(threading.Event()):
            assert not is_stopped()
        event.set()
        assert is_stopped()
    assert not is_stopped()


def test_a_file_stops_all_that_look_at_it(tmp_path, monkeypatch):
    one, other = (StopFile(tmp_path / "sweeps" / "name.stop") for _ in range(2))
    assert not one.is_set()
    other.set()
    assert other.is_set()
    assert not one.is_set()  # it has looked a moment ago
    later = time.monotonic() + StopFile.PERIOD
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert one.is_set()


def test_the_first_control_c_is_an_event_and_the_second_raises():
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        press()
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_is_not_interruptible_and_needs_no_signals():
    seen = []

    def work():
        with undisturbed(), interruptible() as interrupted:
            seen.append(interrupted.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_processes_started_undisturbed_never_get_control_c_and_this_one_gets_it_after_all():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('goes on')"
    with interruptible() as interrupted:
        with undisturbed():
            press()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert interrupted.is_set()
    assert (done.returncode, done.stdout) == (0, "goes on\n")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0
