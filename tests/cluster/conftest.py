"""What all launchers are held to.  Tests that need a cluster run when they are named, and not otherwise."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.cluster.sweeps import PAIR, STUDY, Site

# Named by `make test-slurm`, `make test-ray` and `make test-dask`.
collect_ignore = ["test_slurm.py", "test_ray.py", "test_dask.py"]


@pytest.fixture(scope="module")
def plain(site: Site) -> dict[str, pd.DataFrame]:
    """Tables of the launcher that comes with Hydra, which runs one job after the other."""
    for name, sweep in (("plain-study", STUDY), ("plain-pair", PAIR)):
        done = site.call(*sweep, f"name={name}")
        assert done.status == 0, done.text
    return {"study": site.table("plain-study"), "pair": site.table("plain-pair")}
