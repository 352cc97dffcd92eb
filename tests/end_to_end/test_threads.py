"""Threads: results are the same with any number of them, and BLAS has one, by another program's account.

The record says what there was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from nnmf_runner import threads
from nnmf_runner.core import linalg, tensor, updates
from nnmf_runner.core import nnls as nnls_module
from nnmf_runner.core.optimizers import OPTIMIZERS
from nnmf_runner.estimators import ESTIMATORS
from nnmf_runner.store.provenance import THREAD_VARIABLES, blas_threads
from nnmf_runner.store.record import RECORD, read_record

pytestmark = pytest.mark.slow

# `nnmf-run`, which also prints the threads that BLAS has whenever a network is evaluated, whole or in a block.
WATCHED = """
import sys
from threadpoolctl import threadpool_info
import nnmf_runner.cli as cli
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
@pytest.mark.parametrize(("threads", "environment"), [(1, {}), (2, {}), (1, {"OPENBLAS_NUM_THREADS": "2"})])
def test_blas_has_one_thread_in_every_run_whatever_the_environment_says(tmp_path, optimizer, threads, environment):
    arguments = [optimizer, f"threads={threads}", "layers=9-4", "max_iter=2", f"output={tmp_path}"]
    done = run(WATCHED, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob(RECORD)
    record = read_record(path)
    assert (record["threads"], record["blas_threads"]) == (threads, 1)
    seen = {line for line in done.stdout.splitlines() if " had " in line}
    assert seen == {f"{part} had 1" for part in ({"whole", "block"} if optimizer == MINIBATCH else {"whole"})}


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


def small_parts(monkeypatch):
    """Let data of some dozens of columns be cut into parts as long ones are, and entries be shared out."""
    monkeypatch.setattr(linalg, "PART", 7)
    monkeypatch.setattr(linalg, "ENTRIES", 200)
    monkeypatch.setattr(linalg, "WORTHWHILE", 50)
    monkeypatch.setattr(tensor, "FIBRES", 20)
    for module in (nnls_module, updates):
        monkeypatch.setattr(module, "PART", 7)


X = sparse.random_array((30, 40), density=0.4, rng=np.random.default_rng(0), format="csr")
CUBE = sparse.random_array((24, 6, 5), density=0.4, rng=np.random.default_rng(1), format="coo")
OPTIMIZED = [f"NeuralNMF-{name}" for name in OPTIMIZERS]
FITS = [*ESTIMATORS, *OPTIMIZED, "HierarchicalNMF-mu", "HierarchicalNMF-anls"]


def fitted(name, dense, labels):
    """Everything that a short fit gives, and the codes of its data once more."""
    name, _, option = name.partition("-")
    kind = ESTIMATORS[name]
    options = {} if not option else {"solver": option} if kind._method.name == "hier" else {"optimizer": option}
    if not (dense or kind._method().takes_sparse):
        pytest.skip("takes no sparse data")
    data = CUBE if kind._method.tensors else X.T
    data, y = data.toarray() if dense else data, np.arange(data.shape[0]) % 2
    most = kind._method.most_layers or 2
    model = kind(layers=(4, 2)[:most], max_iter=3, random_state=0, **options)
    with warnings.catch_warnings(action="ignore"):
        model.fit(data, y if labels else None)
    return [*model.factors_, *model.codes_, model.history_["cost"], model.transform(data)]


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", FITS)
def test_fits_do_not_depend_on_the_number_of_threads(monkeypatch, name, dense, labels):
    small_parts(monkeypatch)
    found = []
    for n in (1, 2, 3):
        with threads(n):
            found.append(fitted(name, dense, labels))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))
