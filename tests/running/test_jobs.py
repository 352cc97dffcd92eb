"""Jobs: how runs are shared out, and that the process of a job runs what its overrides say."""

from __future__ import annotations

from urllib.parse import unquote

import numpy as np
import pytest

from nnmf_runner.config import composition, engine, schema
from nnmf_runner.config.launchers import LAUNCHERS, Launcher
from nnmf_runner.methods.hier import Hierarchical
from nnmf_runner.running import jobs
from nnmf_runner.running.jobs import make_jobs
from nnmf_runner.running.work import Run
from nnmf_runner.store.record import find_records, read_factors, read_record


@pytest.fixture(autouse=True)
def registered():
    composition.register_schema()


class Jobs:
    """The jobs that a command line makes, without running them."""

    def __init__(self, *arguments):
        asked = composition.read_sweep([*arguments], multirun=True)
        cells = list(asked.cells)
        self.runs = [Run(cell, cell.config.seed + i) for cell in cells for i in range(cell.config.trials)]

    def made(self, runs=None):
        return make_jobs(self.runs if runs is None else runs)


@pytest.mark.slow
def test_trials_share_a_job_and_jobs_hold_as_many_runs_as_asked():
    assert [job[-2:] for job in Jobs("method=hier,deep", "trials=4").made()] == [["seed=0", "trials=4"]] * 2
    jobs = Jobs("method=hier,deep", "trials=4", "runs_per_job=3").made()
    assert [(job[2:4], "cells" in job[-1]) for job in jobs] == [
        (["seed=0", "trials=3"], False),
        (["seed=3", "trials=1"], True),
        (["seed=2", "trials=2"], False),
    ]


def test_only_missing_trials_are_launched():
    some = Jobs("method=hier", "trials=6", "workers=null")
    jobs = some.made([run for run in some.runs if run.seed not in (1, 2)])
    assert len(jobs) == 1
    assert jobs[0][-4:-1] == ["seed=0", "trials=1", "workers=1"]
    assert "'seed=3','trials=3','workers=1'" in jobs[0][-1]


@pytest.mark.slow
def test_jobs_have_one_worker_unless_asked():
    assert "workers=1" in Jobs("workers=null", "seed=0,1").made()[0]
    assert "workers=3" in Jobs("workers=3", "seed=0,1").made()[0]


@pytest.mark.parametrize("value", ["a b", "it's", r"back\slash", "a,b=[c]", "100%", "${name}", "~x", "{y}"])
def test_awkward_values_survive_in_a_batch(value):
    """As Hydra parses the override of a job, and the job its value."""
    cell = composition.Cell([f"mask={value}"], schema.RunConfig.__new__(schema.RunConfig))
    cell.config.runs_per_job, cell.config.workers = 2, 1
    [job] = make_jobs([Run(cell, 0), Run(cell, 5)])
    [parsed] = engine.parse(job[-1:])
    assert unquote(str(parsed.value()[0][0])) == f"mask={value}"


@pytest.fixture
def through_hydra(monkeypatch):
    """Let Hydra's own launcher run the jobs, in this process, as those of a cluster run elsewhere."""
    monkeypatch.setitem(LAUNCHERS, "basic", Launcher(LAUNCHERS["basic"].target))


@pytest.mark.slow
@pytest.mark.parametrize("runs_per_job", [1, 3, 5, 100])
def test_any_number_of_runs_in_a_job_makes_the_records_of_a_local_sweep(command, tmp_path, request, runs_per_job):
    line = ["-m", "method=hier,deep", "layers=[9],[9,4]", "init=random", "trials=2", "max_iter=3"]
    command(*line, "name=plain")
    request.getfixturevalue("through_hydra")
    result = command(*line, "name=shared", f"runs_per_job={runs_per_job}")
    assert "8 done, 0 failed" in result.out
    ours, theirs = (
        {path.parent.name: path.parent for path in find_records(tmp_path / "outputs" / name)}
        for name in ("shared", "plain")
    )
    assert ours.keys() == theirs.keys()
    for name, folder in ours.items():
        one, two = read_factors(folder), read_factors(theirs[name])
        assert all(np.array_equal(one[key], two[key]) for key in two)


@pytest.mark.slow
def test_jobs_find_home_and_text_as_it_was_typed(command, through_hydra, monkeypatch, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    np.savez(home / "arrays (1).npz", **{"größe": np.eye(4), "a,b=c": np.ones((4, 4)), "it's": np.eye(4) + 1})
    line = ["dataset=file", "dataset.path=~/arrays (1).npz", "dataset.x=größe,'a,b=c',it's", "layers=2", "max_iter=2"]
    result = command("-m", *line, "output=~/a b,c", "runs_per_job=2")
    assert result.out == f"3 done, 0 failed: {home}/a b,c/runs\n"
    assert result.files == []
    names = {read_record(path)["config"]["dataset"]["x"] for path in find_records(home)}
    assert names == {"größe", "a,b=c", "it's"}


@pytest.mark.slow
def test_a_job_whose_blas_has_threads_of_its_own_is_refused(command, through_hydra, monkeypatch):
    monkeypatch.setattr(jobs, "asked_threads", lambda: 7)
    result = command("-m", "seed=0,1", "layers=9", "max_iter=2")
    assert result.status == 2
    assert result.err.splitlines()[-1] == (
        "nnmf-run: hydra/launcher=basic could not run a job: The job was started with 7 threads of BLAS. "
        "Expected OPENBLAS_NUM_THREADS=1."
    )


@pytest.mark.slow
def test_a_job_with_fail_fast_runs_nothing_after_a_failure(command, through_hydra, monkeypatch):
    def raise_it(self, problem, plan):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Hierarchical, "fit", raise_it)
    line = ["-m", "method=hier,deep", "trials=2", "layers=9", "max_iter=2"]
    result = command(*line, "fail_fast=true", "runs_per_job=4")
    assert "0 done, 1 failed, 3 missing" in result.out
    assert not [name for name in result.files if name.endswith(".stop")]
