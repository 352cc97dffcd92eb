"""Data that are larger than the memory: a run in a process that may not have as much as its file is large."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from nnmf_runner.datasets.files import readers
from nnmf_runner.running.run import run_one
from nnmf_runner.store.record import RECORD, read_factors, read_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems limit the address space, which maps are part of"),
]

# Samples and features, 300 MB, of which a single copy exceeds the limit; the codes of all samples take 14 MB.
SHAPE = 187_500, 200
LIMIT = 150  # MB beside what imports need

# `nnmf-run` in a process whose own memory is limited; what is mapped from files does not count.
LIMITED = f"""
import re, resource, sys
import hydra, nnmf_runner.running.run
from nnmf_runner import cli
from nnmf_runner.datasets.files import readers
if sys.argv.pop(1) == "read":
    readers.MAPPED = float("inf")
with open("/proc/self/status") as status:
    imported = int(re.search(r"VmData:\\s+(\\d+)", status.read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (imported + {LIMIT} * 10**6,) * 2)
sys.exit(cli.run())
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Six topics and noise."""
    path, rng = tmp_path_factory.mktemp("large") / "large.npy", np.random.default_rng(0)
    X = np.lib.format.open_memmap(path, "w+", np.float64, SHAPE)
    topics = rng.random((6, SHAPE[1])) ** 4
    for start in range(0, SHAPE[0], 12_500):
        X[start : start + 12_500] = rng.random((12_500, 6)) @ topics + 0.1 * rng.random((12_500, SHAPE[1]))
    return path


def limited(how, *arguments):
    """Run the command under the limit, on a file that is mapped or read."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, how, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def overrides(file, output, *more):
    return ["dataset=file", f"dataset.path={file}", "layers=[6,3]", "max_iter=2", f"output={output}", *more]


@pytest.mark.parametrize(
    "options",
    [
        ("init=random", "optimizer=sgd", "optimizer.batch=500"),
        ("init=random", "optimizer=sgd", "optimizer.batch=500", "optimizer.step=0.1", "cost=kl"),
        ("init=greedy", "init.sweeps=2", "optimizer=spg"),
    ],
    ids=["sgd", "kl", "spg"],
)
def test_data_larger_than_the_memory_give_what_they_give_in_memory(configure, tmp_path, monkeypatch, file, options):
    done = limited("map", *overrides(file, tmp_path / "limited", *options))
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(readers, "MAPPED", np.inf)
    theirs = run_one(configure(*overrides(file, tmp_path / "free", *options)), 0)
    ours = tmp_path / "limited" / theirs.folder.relative_to(tmp_path / "free")
    record, expected = read_record(ours / RECORD), theirs.record
    assert record["dataset"]["fingerprint"] == expected["dataset"]["fingerprint"]
    for layer, other in zip(record["layers"], expected["layers"], strict=True):
        assert layer["relative_error"] == pytest.approx(other["relative_error"], rel=1e-8)
        assert layer["floor"] == pytest.approx(other["floor"], rel=1e-8)
    factors = read_factors(ours)
    for name, array in read_factors(theirs.folder).items():
        np.testing.assert_allclose(factors[name], array, rtol=0, atol=1e-8 * np.abs(array).max(), err_msg=name)


def test_the_limit_does_not_let_the_data_be_read(tmp_path, file):
    done = limited("read", *overrides(file, tmp_path, "init=random"))
    assert done.returncode == 2
    assert done.stderr.endswith("its contents do not fit into memory.\n")
