"""What a process takes beside the fit: to start, to run one of many, and to compose the cells of a large sweep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nnmf_runner.config.composition import Sweep, read
from nnmf_runner.running.launch import read_cells
from nnmf_runner.store.record import find_records
from tests.benchmarks.timing import Row, Times, clock

RUNS = 300
# 1296 settings, 3 methods and 10 seeds.
LARGE = ["-m", "experiment=regimes", "method=hier,deep,neural", "trials=1", "seed=range(10)"]


def starting_rows() -> list[Row]:
    """Times of whole processes, and of composing."""
    whole = Times(
        [_seconds("method=neural", "layers=[9,4,2]")[0] for _ in range(6)][1:]
    )  # the first one reads the disk
    swept, fits = _seconds("-m", f"seed=range({RUNS})")
    beside = Times([(swept - whole.median - fits) / RUNS])
    composing, sweep = Times(), read(LARGE)
    assert isinstance(sweep, Sweep)
    with clock(composing):
        read_cells(sweep)
    return [
        Row("whole process, neural [9,4,2]", whole, ""),
        Row(f"each of {RUNS} toy runs of a sweep, beside its fit", beside, "", limit=0.015),
        Row(f"composing {sweep.size} configurations", composing, "", limit=10.0),
    ]


def _seconds(*arguments: str) -> tuple[float, float]:
    """Seconds of a command line as a whole, and those of its fits."""
    with tempfile.TemporaryDirectory() as place:
        command = [Path(sys.executable).with_name("nnmf-run"), *arguments, f"output={place}/outputs"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ)
        seconds = time.perf_counter() - began
        records = [json.loads(path.read_text()) for path in find_records(Path(place))]
    return seconds, sum(record["metrics"]["seconds"] for record in records)
