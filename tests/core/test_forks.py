"""Forks: who computes what, what they share, and that none outlives what it was started for."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from nnmf_runner.core import forks as module
from nnmf_runner.core.forks import Forks
from nnmf_runner.core.threads import each, n_threads, threaded
from tests.fixtures.processes import is_running, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear forks")
ME = os.getpid()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Fork beside the threads of a parallel run of the tests, which are idle."""
    monkeypatch.setattr(module, "may_fork", lambda: True)


@pytest.fixture
def calls():
    """Has functions called for ten items by three processes, which have ended when the test does."""
    started, processes = [], []

    def call(function, arrays=(), items=range(10), n=3, times=1, others=()):
        with threaded(n):
            started.append(Forks(function, items, arrays))
            processes.extend(process for process, _ in started[-1]._others)
            return [list(started[-1].results(function, started[-1].shared(arrays), *others)) for _ in range(times)]

    yield call
    started.clear()
    assert not any(is_running(process) for process in processes)


def test_results_come_in_the_order_of_the_items_and_every_process_keeps_its_own(calls):
    seen = {}

    def count(item, arrays, factor):
        seen[item] = seen.get(item, 0) + 1
        return item * factor, seen[item], sorted(seen), os.getpid()

    first, last = calls(count, times=2, others=(7,))
    assert [found[0] for found in first] == [7 * item for item in range(10)]
    assert [found[1] for found in last] == [2] * 10
    assert [found[2] for found in last] == [[*range(item % 3, 10, 3)] for item in range(10)]
    assert [found[3] for found in first] == [found[3] for found in last]
    assert len({found[3] for found in first}) == 3
    assert first[0][3] == ME


def test_a_fork_has_one_thread_and_none_of_those_that_its_parent_has(calls):
    [found] = calls(lambda item, arrays: n_threads())
    assert found == [3 if item % 3 == 0 else 1 for item in range(10)]


def test_threads_take_the_place_of_all_forks_where_one_cannot_be_started(monkeypatch):
    fork, started = os.fork, []

    def first_alone():
        if started:
            raise BlockingIOError("no more")
        started.append(fork())
        return started[-1]

    monkeypatch.setattr(os, "fork", first_alone)
    with threaded(3):
        forks = Forks(lambda item, arrays: (item, os.getpid()), range(4), [])
        assert list(forks.results(lambda item, arrays: (item, os.getpid()), [])) == [(item, ME) for item in range(4)]
    assert not is_running(*started)


@pytest.mark.parametrize("order", ["C", "F"])
def test_processes_share_the_arrays_of_a_call(order):
    def move(item, arrays, share):
        arrays[1][:, item] = share * arrays[0][item]

    given = np.arange(6.0), np.zeros((3, 6), order=order)
    with threaded(2):
        forks = Forks(move, range(6), given)
        for share in (1.0, 2.0):
            arrays = forks.shared(given)
            assert [array.strides for array in arrays] == [array.strides for array in given]
            each(str, forks.results(move, arrays, share))
            np.testing.assert_array_equal(arrays[1], np.tile(share * given[0], (3, 1)))
        assert not given[1].any()


def test_what_a_fork_raises_is_raised_here_in_the_order_of_the_items(calls):
    def fail(item, arrays):
        if item >= 4:
            raise ArithmeticError(item)

    with pytest.raises(ArithmeticError, match=r"^4$"):
        calls(fail)


@pytest.mark.parametrize("how", ["while it works", "while it waits"])
def test_a_fork_that_is_killed_is_an_error_after_which_threads_take_over(how):
    def work(item, arrays, killed):
        if item == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return item, os.getpid()

    with threaded(2):
        forks = Forks(work, range(4), [])
        assert [process == ME for _, process in forks.results(work, [], 9)] == [True, False] * 2
        if how == "while it waits":
            os.kill(forks._others[0][0], signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="was killed"):
            list(forks.results(work, [], 1))
        assert list(forks.results(work, [], 9)) == [(item, ME) for item in range(4)]


def test_forks_end_where_results_are_not_waited_for():
    with threaded(2):
        forks = Forks(lambda item, arrays: item, range(4), [])
        results = forks.results(lambda item, arrays: item, [])
        assert next(results) == 0
        [(process, _)] = forks._others
        results.close()
        assert not is_running(process)
        assert list(forks.results(lambda item, arrays: -item, [])) == [0, -1, -2, -3]


def test_forks_have_little_of_their_parent(calls, capfd):
    def describe(item, arrays):
        os.write(2, b"noise")
        return os.getpid(), os.getpgid(0), os.listdir("/proc/self/fd"), int(signal.getsignal(signal.SIGTERM) == 0)

    previous = signal.signal(signal.SIGTERM, lambda *received: None)
    try:
        [found] = calls(describe, items=range(2), n=2)
    finally:
        signal.signal(signal.SIGTERM, previous)
    process, group, held, by_default = found[1]
    assert process == group != os.getpgid(0)
    assert sorted(held) == ["0", "1", "2", "3"]  # the last one is that of the list
    assert by_default
    assert capfd.readouterr().err == "noise"


def test_forks_end_with_their_parent(tmp_path):
    code = (
        "import os, signal, time; from nnmf_runner.core.forks import Forks\n"
        "from nnmf_runner.core.threads import threaded\n"
        "with threaded(2):\n"
        "    work = lambda item, arrays: (print(os.getpid(), flush=True), time.sleep(0.1))\n"
        "    forks = Forks(work, range(2), [])\n"
        "    print(forks._others[0][0], flush=True)\n"
        "    list(forks.results(work, []))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.returncode == -signal.SIGKILL
    child = int(found.stdout.split()[0])
    until(lambda: not is_running(child))


def test_threads_take_the_place_of_forks_that_cannot_be_started(monkeypatch):
    monkeypatch.undo()
    met, end = threading.Barrier(2, timeout=20), threading.Event()
    beside = threading.Thread(target=end.wait)
    beside.start()
    given = [np.ones(3)]
    with threaded(2):
        forks = Forks(lambda item, arrays: met.wait(), range(2), given)
        assert sorted(forks.results(lambda item, arrays: met.wait(), forks.shared(given))) == [0, 1]
    end.set()
    beside.join()


def test_a_process_with_an_idle_pool_may_be_forked():
    code = (
        "import threading, time; from nnmf_runner.core.forks import may_fork; "
        "from nnmf_runner.core.threads import each, threaded\n"
        "with threaded(3):\n"
        "    each(time.sleep, [0.01] * 4); print(threading.active_count() > 1, may_fork())\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start(); print(may_fork())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "True", "False"]
