"""Sweeps through a Ray on this machine, which the launcher starts and stops itself."""

from __future__ import annotations

import os

import pytest

from tests.cluster.sweeps import Site, SweepTests


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"), ("hydra/launcher=ray",), os.environ)


class TestRay(SweepTests):
    pass
