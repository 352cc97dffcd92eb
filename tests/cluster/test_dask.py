"""Fits whose data are shared out by a real Dask on this machine, whose processes are killed."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy import sparse

from nnmf_runner.datasets.files.shards import write_shards

RUN = [sys.executable, "-m", "nnmf_runner"]
DASK = ["engine=dask", "engine.workers=2"]
# Some seconds of evaluations, none of which converge before.
LONG = ["dataset=shards", "layers=[6,3]", "init=random", "optimizer=spg", "tol=0", "max_iter=80", "label_fraction=0.5"]


class Fit:
    """A command line that is at work."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder
        self.process = subprocess.Popen(
            [*RUN, *arguments, f"output={folder}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

        begun.append(self)

    def wait_for(self, evaluations: int, most: float = 60.0) -> None:
        """Return in the middle of the fit, as soon as so many evaluations are noted."""
        end = time.monotonic() + most
        while self.noted() < evaluations:
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.005)

    def noted(self) -> int:
        sizes = [path.stat().st_size for path in self.output.glob("runs/*/.checkpoint-*/evaluations")]
        return sizes[0] // ENTRY if sizes else 0

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def end(self) -> tuple[dict, dict[str, np.ndarray], str]:
        """Record, factors, and what was said."""
        out, _ = self.process.communicate(timeout=100)
        assert self.process.returncode in (0, 1), out
        (record,) = self.output.glob("runs/*/*/record.json")
        with np.load(record.with_name("factors.npz")) as factors:
            return json.loads(record.read_text()), dict(factors), out


# Bytes of an evaluation in a journal: hash, value, gradient, sum.
FEATURES, SAMPLES = 400, 3000
ENTRY = 32 + 8 * (1 + FEATURES * 6 + 6 * 3) + 4


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Sparse data with labels in five shards."""
    rng = np.random.default_rng(0)
    A, S = rng.random((FEATURES, 6)) ** 4, rng.dirichlet(np.full(6, 0.3), SAMPLES).T
    X = sparse.csr_array(rng.poisson(3.0 * A @ S).astype(float))
    ends = [0, 500, 501, 1300, 2400, SAMPLES]
    cut = (X[:, a:b] for a, b in itertools.pairwise(ends))
    folder = tmp_path_factory.mktemp("data") / "shards"
    write_shards(folder, X.shape, cut, labels=[S.argmax(axis=0) // 2], class_names=[["a", "b", "c"]])
    return folder


@pytest.fixture(scope="module")
def undisturbed(shards, tmp_path_factory):
    """Factors of a fit in which nothing happens."""
    record, factors, _ = Fit(tmp_path_factory.mktemp("plain"), *LONG, f"dataset.path={shards}", *DASK).end()
    assert record["n_iter"] == 80
    return factors


@pytest.fixture(autouse=True)
def _nothing_is_left():
    begun.clear()
    yield
    for fit in begun:
        fit.process.kill()
        fit.process.communicate()


begun = []


def assert_same(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=0, atol=tolerance * np.abs(array).max(), err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["label_fraction=0.4"],
        ["label_fraction=0.4", "cost=energy", "supervision.loss=cross_entropy", "max_iter=30"],
    ],
)
def test_toy_data_end_with_the_factors_of_one_process(options, tmp_path):
    one, theirs, _ = Fit(tmp_path / "one", *options).end()
    many, ours, said = Fit(tmp_path / "many", *options, *DASK).end()
    assert_same(ours, theirs, 1e-6)
    assert many["engine"] == {"name": "dask", "workers": 2}
    assert one["engine"] == {"name": "local"}
    assert many["config"] == one["config"] | {"engine": {"name": "dask"}}  # in a folder of its own
    for mine, other in zip(many["layers"], one["layers"], strict=True):
        assert mine == pytest.approx(other, abs=1e-6)
    assert re.search(r"takes .* seconds, below half a second: one process is faster", said)
    assert len([*(tmp_path / "many" / "runs").rglob("*")]) == 5  # a folder, that of the run, and its three files


def test_shards_are_scored_as_by_one_process(shards, tmp_path):
    given = ["dataset=shards", f"dataset.path={shards}", "layers=[6,3]", "label_fraction=0.5", "max_iter=20"]
    one, theirs, _ = Fit(tmp_path / "one", *given).end()
    many, ours, _ = Fit(tmp_path / "many", *given, *DASK).end()
    assert_same(ours, theirs, 1e-6)
    for mine, other in zip(many["layers"], one["layers"], strict=True):
        told = {name for name, value in mine.items() if value is not None}
        assert {"relative_error", "floor", "accuracy", "accuracy_unknown", "purity"} <= told
        assert {name: mine[name] for name in told} == pytest.approx({name: other[name] for name in told}, abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_a_fit_goes_on_without_workers_that_are_killed(count, shards, undisturbed, tmp_path):
    fit = Fit(tmp_path, *LONG, f"dataset.path={shards}", *DASK)
    fit.wait_for(30)
    for worker in fit.workers()[:count]:
        worker.kill()
    killed, before = time.monotonic(), fit.noted()
    fit.wait_for(before + 3)
    assert time.monotonic() - killed < 30
    assert_same(fit.end()[1], undisturbed, 0.0)


@pytest.mark.parametrize("optimizer", ["spg", "lbfgs"])
def test_a_fit_whose_own_process_is_killed_goes_on_from_its_checkpoint(optimizer, shards, undisturbed, tmp_path):
    given = [*LONG, f"dataset.path={shards}", *DASK, f"optimizer={optimizer}"]
    theirs = undisturbed if optimizer == "spg" else Fit(tmp_path / "plain", *given).end()[1]
    fit = Fit(tmp_path / "killed", *given)
    fit.wait_for(40)
    workers = fit.workers()
    fit.process.kill()
    fit.process.wait()
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() for worker in workers)
    (journal,) = fit.output.glob("runs/*/.checkpoint-*/evaluations")
    noted = journal.read_bytes()
    again = Fit(tmp_path / "killed", *given)
    again.wait_for(len(noted) // ENTRY + 1)
    with suppress(FileNotFoundError):  # of a fit that has ended meanwhile
        assert journal.read_bytes()[: len(noted) // ENTRY * ENTRY] == noted[: len(noted) // ENTRY * ENTRY]
    _, ours, said = again.end()
    assert "goes on from the checkpoint" in said
    assert_same(ours, theirs, 0.0)
    assert not journal.exists()


def test_workers_of_an_address_may_all_go_and_others_come(shards, undisturbed, tmp_path):
    from distributed import LocalCluster

    where = {"n_workers": 0, "processes": True, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(**where, local_directory=str(tmp_path / "dask"), silence_logs=50) as cluster:
        cluster.scale(2)
        address = f"engine.address={cluster.scheduler_address}"
        fit = Fit(tmp_path / "out", *LONG, f"dataset.path={shards}", "engine=dask", address)
        fit.wait_for(30)
        cluster.scale(0)
        time.sleep(3)
        before = fit.noted()
        cluster.scale(1)
        fit.wait_for(before + 3)
        record, factors, _ = fit.end()
    assert_same(factors, undisturbed, 0.0)
    assert record["engine"]["address"] == cluster.scheduler_address


def test_an_address_without_a_scheduler_is_refused_in_one_line(tmp_path, monkeypatch):
    fit = Fit(tmp_path / "out", "engine=dask", "engine.address=tcp://127.0.0.1:9")
    said, _ = fit.process.communicate(timeout=60)
    assert fit.process.returncode == 2
    assert said.startswith("nnmf-run: engine.address=tcp://127.0.0.1:9 has no workers")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def private(process: psutil.Process) -> float:
    """Memory of a process that is its own, rather than mapped from files, in bytes."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"Anonymous: +(\d+)", text)[1])


def test_a_worker_takes_little_more_than_its_share(tmp_path):
    X = np.random.default_rng(0).random((400, 40_000))  # 128 MB
    write_shards(tmp_path / "shards", X.shape, (X[:, i : i + 10_000] for i in range(0, 40_000, 10_000)))
    given = ["dataset=shards", f"dataset.path={tmp_path / 'shards'}", "layers=[10,3]", "init=random", "tol=0"]
    fit = Fit(tmp_path / "out", *given, "max_iter=12", *DASK)
    base, highest = {}, {}
    while fit.process.poll() is None:
        with suppress(OSError, psutil.Error, TypeError):  # of processes that have just ended
            for worker in fit.workers():
                highest[worker.pid] = max(highest.get(worker.pid, 0.0), own := private(worker))
                if not fit.noted():
                    base[worker.pid] = own
        time.sleep(0.02)
    assert fit.end()[0]["n_iter"] == 12
    assert len(highest) == 2
    share = X.nbytes / 2
    assert all(high - 80e6 <= 1.2 * share for high in highest.values()), (base, highest)


def test_ctrl_c_ends_the_fit_and_its_workers(shards, tmp_path):
    fit = Fit(tmp_path, *LONG, f"dataset.path={shards}", *DASK)
    fit.wait_for(20)
    workers = fit.workers()
    fit.process.send_signal(signal.SIGINT)
    said, _ = fit.process.communicate(timeout=30)
    assert fit.process.returncode == 130
    assert "interrupted after" in said
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() for worker in workers)
