"""Collecting many runs: what a further one costs does not depend on what its record holds beside the numbers."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from nnmf_runner.report.collect import collect
from nnmf_runner.store.record import RECORD, TOPIC, find_records, run_folder

# 100,000 runs at this many bytes each take 400 MB.
MOST_BYTES = 4_000


def write_runs(folder, record_of, first, last):
    """Runs of a few cells whose records hold topics of 50 kB and a long traceback."""
    topic = dict.fromkeys(TOPIC, "a word " * 200)
    for i in range(first, last):
        record = record_of(("hier", "deep", "neural")[i % 3], seed=i, error=1e-4 * i, topics=[[topic] * 6])
        record |= {"traceback": "line\n" * 200, "message": None if i % 5 else f"reason {i}"}
        run = run_folder(folder, record["config"])
        run.mkdir(parents=True)
        (run / RECORD).write_text(json.dumps(record))


def peak_of(function):
    """Largest number of bytes that a call holds at once."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_grows_by_a_row_a_run_and_not_by_a_record(tmp_path, record_of):
    few, many = 500, 2500
    write_runs(tmp_path, record_of, 0, few)
    assert find_records(tmp_path)[0].stat().st_size > 8 * MOST_BYTES
    collect(tmp_path, figures=False)  # what is imported and cached once is no cost of a run
    small = peak_of(lambda: collect(tmp_path, figures=False))
    write_runs(tmp_path, record_of, few, many)
    large = peak_of(lambda: collect(tmp_path, figures=False))
    assert len((tmp_path / "records.csv").read_text().splitlines()) == 1 + many
    assert (large - small) / (many - few) < MOST_BYTES
