"""The numbers that runs print are those of other processors, as far as this one can pass for them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# `nnmf-run` without its log, after the kernels that BLAS computes with.
RUN = """
import sys
import numpy
import scipy.linalg
from threadpoolctl import threadpool_info
import nnmf_runner.cli as cli

print(sorted({pool.get("architecture") for pool in threadpool_info() if pool["user_api"] == "blas"}))
sys.exit(cli.run())
"""


def run(kernels, *arguments):
    """The kernels of BLAS, and the table that a run prints."""
    environment = os.environ | ({"OPENBLAS_CORETYPE": kernels} if kernels else {})
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    used, *table = done.stdout.splitlines()
    return used, [line for line in table if line[:5].strip().isdigit()]


@pytest.mark.parametrize("kernels", ["Nehalem", "Sandybridge", "Haswell"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["layers=9-4-2", "trials=2"],
        ["layers=9-4-2", "label_fraction=0.4"],
        ["dataset=swimmer", "layers=13-4", "method=hier", "max_iter=20"],
    ],
)
def test_a_run_prints_the_same_numbers_with_the_kernels_of_another_processor(tmp_path, kernels, arguments):
    here, expected = run(None, *arguments, f"output={tmp_path / 'here'}")
    there, found = run(kernels, *arguments, f"output={tmp_path / 'there'}")
    if here == there:
        pytest.skip(f"BLAS has no other kernels of {kernels} on this machine")
    assert expected
    assert found == expected
