"""Sweeps through a real Slurm of one node, which is installed where it is missing."""

from __future__ import annotations

import subprocess

import pytest

from tests.cluster import slurm
from tests.cluster.sweeps import Site, SweepTests, wait_for


@pytest.fixture(scope="module")
def installed():
    try:
        slurm.install()
    except slurm.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def cluster(installed, tmp_path_factory):
    with slurm.one_node(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def site(cluster, tmp_path_factory):
    launcher = ("hydra/launcher=slurm", "hydra.launcher.partition=main")
    return Site(tmp_path_factory.mktemp("site"), launcher, cluster.environment)


class TestSlurm(SweepTests):
    def test_a_cancelled_job_is_listed_and_the_same_sweep_again_runs_it_alone(self, site, cluster, plain):
        def cancel(site, name):
            (process,) = site.in_flight(name)
            cluster.ask("scancel", cluster.job_of(process))

        self.check_kill(site, plain, "cancelled", cancel)

    def test_more_jobs_than_an_array_may_have_are_refused_with_what_to_do(self, site, cluster):
        done = site.call("-m", "seed=range(0,50)", "runs_per_job=1", "name=many", *site.launcher)
        assert done.status == 2, done.text
        assert "50 jobs are more than the 20 " in done.text
        assert "runs_per_job=3 or more" in done.text
        assert cluster.jobs() == []


def test_no_job_and_no_process_is_left_of_these_sweeps(cluster, site):
    assert cluster.jobs() == []
    site.wait_for_silence()


def fail_with_a_running_job(folder):
    with slurm.one_node(folder) as running:
        running.ask("sbatch", "--wrap=sleep 1000", "--output=/dev/null")
        wait_for(lambda: running.jobs("RUNNING"), "a running job")
        assert len(running.processes()) > 3  # the daemons
        raise ZeroDivisionError


def test_nothing_is_left_of_a_slurm_whose_test_fails(installed, tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail_with_a_running_job(tmp_path)
    assert slurm.Slurm(tmp_path).processes() == []


def test_nothing_is_left_of_a_slurm_that_does_not_come_up(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "CONFIGURATION", slurm.CONFIGURATION + "NoSuchOption=1\n")
    with pytest.raises(RuntimeError, match=r"slurm(ctl)?d ended with 1: .*NoSuchOption"), slurm.one_node(tmp_path):
        pass
    assert slurm.Slurm(tmp_path).processes() == []


@pytest.mark.parametrize(
    ("found", "reason"),
    [((), "there is no apt-get"), (("apt-get",), "needs root"), (("apt-get", "sudo"), "needs root")],
)
def test_what_keeps_slurm_from_being_installed_is_said(monkeypatch, found, reason):
    refused = subprocess.CompletedProcess([], returncode=1)
    monkeypatch.setattr(slurm.shutil, "which", lambda name, path=None: name if name in found else None)
    monkeypatch.setattr(slurm.os, "getuid", lambda: 1000)
    monkeypatch.setattr(slurm.subprocess, "run", lambda *args, **kwargs: refused)
    with pytest.raises(slurm.Unavailable, match=f"munged not found.*{reason}"):
        slurm.install()
