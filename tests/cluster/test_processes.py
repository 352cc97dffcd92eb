"""Sweeps over the processes of this machine."""

from __future__ import annotations

import os

import pytest

from tests.cluster.sweeps import Site, SweepTests


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"), ("workers=2",), os.environ)


@pytest.mark.slow
class TestProcesses(SweepTests):
    pass


@pytest.mark.slow
def test_no_process_is_left_of_these_sweeps(site):
    site.wait_for_silence()
