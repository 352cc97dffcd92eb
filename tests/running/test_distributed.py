"""What is shared out, without a cluster; fits that are shared out for real are in tests/cluster."""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys

import numpy as np
import pytest

from nnmf_runner.core.sharded import Sum, evaluation
from nnmf_runner.datasets import Dataset
from nnmf_runner.running import distributed
from nnmf_runner.running.distributed import Workers
from nnmf_runner.running.run import run_one


class Scheduler:
    """Stands in for a client whose workers are those that it is told."""

    def __init__(self, *live):
        self.live = live

    def scheduler_info(self, n_workers):
        return {"workers": {name: {} for name in self.live}}


@pytest.mark.parametrize(("live", "depth"), [("a", 0), ("ab", 1), ("abc", 2), ("abcd", 2), ("abcde", 3)])
def test_there_are_at_least_as_many_tasks_as_workers(live, depth, tmp_path):
    assert Workers(Scheduler(*live), tmp_path, 1).depth == depth


def test_a_worker_has_neighbouring_shards_as_long_as_it_lives(tmp_path):
    scheduler = Scheduler("a", "b", "c")
    workers = Workers(scheduler, tmp_path, 1)
    assert [workers.of(place, 4) for place in range(4)] == ["a", "a", "b", "c"]
    scheduler.live = ("c",)
    workers.look()
    assert workers.live == ["c"]
    assert [workers.of(place, 4) for place in range(4)] == ["c"] * 4
    scheduler.live = ()
    workers.look()
    assert workers.of(0, 4) is None


@pytest.mark.parametrize("seconds", [0.28, 0.6])
def test_evaluations_that_take_little_are_told_of_once(tmp_path, caplog, monkeypatch, seconds):
    """What counts is the time of an evaluation, for whose sums the workers compute longer together."""
    now = itertools.count(step=seconds)  # looked at before and after an evaluation
    monkeypatch.setattr(distributed.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(distributed._Errand, "done", lambda self: {span: (seconds, [0.0]) for span in self.spans})
    workers = Workers(Scheduler("a", "b"), tmp_path, 1)

    class Source:
        ends = (0, 5, 9)

    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            workers.sum(Source(), Sum(evaluation, lambda one, other: one))
    told = [record.getMessage() for record in caplog.records]
    expected = "An evaluation of the cost takes 0.28 seconds, below half a second: one process is faster"
    assert [message.startswith(expected) for message in told] == [True] * (seconds < 0.5)


def test_missing_entries_are_refused(given, tmp_path):
    X = np.random.default_rng(0).random((6, 9))
    X[2, 3] = np.nan
    with pytest.raises(ValueError, match="dataset=given has missing entries, which engine=dask has not"):
        run_one(given(Dataset("given", X), "layers=[2]", "engine=dask", f"output={tmp_path / 'out'}"), 0)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dask_is_loaded_where_it_is_asked_for_alone(tmp_path):
    code = "import sys; from nnmf_runner.cli import run; sys.argv = ['nnmf-run', 'max_iter=2']; assert run() == 0"
    code += "; assert not {'dask', 'distributed'} & {name.partition('.')[0] for name in sys.modules}"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
