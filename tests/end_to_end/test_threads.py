"""BLAS threads: what the record says is what the arithmetic had, by another program's account."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nnmf_runner.store.provenance import THREAD_VARIABLES, blas_threads
from nnmf_runner.store.record import RECORD, read_record

pytestmark = pytest.mark.slow

# `nnmf-run`, which also prints the threads that BLAS has whenever a network is evaluated, whole or in a block.
WATCHED = """
import sys
from threadpoolctl import threadpool_info
from nnmf_runner import cli
from nnmf_runner.core.network import Network

evaluate = Network.evaluate

def watch(network, variables, block=None, X=None):
    for pool in threadpool_info():
        print("whole" if block is None else "block", "had", pool["num_threads"])
    return evaluate(network, variables, block, X)

Network.evaluate = watch
sys.exit(cli.run())
"""
FULL, MINIBATCH = "optimizer=spg", "optimizer=sgd"


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES} | environment,
    )


def true_threads():
    (threads,) = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return threads


@pytest.mark.parametrize("optimizer", [FULL, MINIBATCH])
@pytest.mark.parametrize(
    ("threads", "environment"),
    [
        (1, {}),
        (1, {"OPENBLAS_NUM_THREADS": "1"}),
        (2, {"OPENBLAS_NUM_THREADS": "2"}),
        (2, {"OPENBLAS_NUM_THREADS": "1"}),  # of which the option is stronger
        (512, {"OPENBLAS_NUM_THREADS": "512"}),  # more than there are cores
    ],
)
def test_full_and_minibatch_runs_have_the_threads_that_the_record_states(tmp_path, optimizer, threads, environment):
    arguments = [optimizer, f"threads={threads}", "layers=9-4", "max_iter=2", f"output={tmp_path}"]
    done = run(WATCHED, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob(RECORD)
    stated = read_record(path)["blas_threads"]
    seen = {tuple(line.split(" had ")) for line in done.stdout.splitlines() if " had " in line}
    parts = {"whole", "block"} if optimizer == MINIBATCH else {"whole"}
    assert seen == {(part, str(stated)) for part in parts}
    assert stated == min(threads, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_notebook_that_limits_the_threads_later_has_its_record_say_so(threads):
    with threadpool_limits(threads, "blas"):
        assert blas_threads() == true_threads() == threads


def test_variables_that_are_set_after_numpy_was_loaded_are_not_believed():
    late = (
        "import numpy, os; os.environ['OPENBLAS_NUM_THREADS'] = '7'; "
        "from nnmf_runner.store.provenance import blas_threads; print(blas_threads())"
    )
    assert run(late, OPENBLAS_NUM_THREADS="1").stdout == "1\n"
