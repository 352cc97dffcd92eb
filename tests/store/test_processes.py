"""Whether a process of this machine has ended."""

from __future__ import annotations

import os
import subprocess
import sys

from nnmf_runner.store.processes import is_running


def test_a_process_runs_until_it_has_ended_even_if_nobody_has_asked_for_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_running(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert not is_running(process.pid)
    assert not is_running(process.pid)


def test_no_process_has_a_number_that_no_process_can_have():
    assert not is_running(10**30)
