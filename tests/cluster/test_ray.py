"""Sweeps through a Ray on this machine, which the launcher starts and stops itself."""

from __future__ import annotations

import dataclasses
import os

import pytest

from tests.cluster.sweeps import Site, SweepTests


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    launcher = ("hydra/launcher=ray", "hydra.launcher.ray.remote.max_retries=0")
    return Site(tmp_path_factory.mktemp("site"), launcher, os.environ)


class TestRay(SweepTests):
    def test_by_default_a_killed_job_is_tried_again_at_once(self, site):
        patient = dataclasses.replace(site, launcher=("hydra/launcher=ray",))
        running = self.begin_pair(patient, "tried-again")
        self.kill(patient, "tried-again")
        done = running.finish()
        assert done.status == 0, done.text
        assert "2 done, 0 failed" in done.text
        assert len(site.records("tried-again")) == 2


def test_no_process_is_left_of_these_sweeps(site):
    site.wait_for_silence()
