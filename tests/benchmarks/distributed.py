"""Neural NMF of data that are shared out: overhead, time and memory of an evaluation, beside one process.

``python -m tests.benchmarks.distributed FOLDER [ENTRIES [EVALUATIONS]]`` writes shards of sparse text into the folder,
which needs 12 bytes for every entry, and times a few evaluations with two workers, then those of one process on a tenth
of it.
No process ever holds all.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from nnmf_runner.config.engines import DaskWorkers
from nnmf_runner.core.costs import Reconstruction
from nnmf_runner.core.init import Random
from nnmf_runner.core.network import Network
from nnmf_runner.core.sharded import ShardedMatrix, ShardedNetwork, computed_by
from nnmf_runner.datasets.files.shards import Folder, Shards, write_shards
from nnmf_runner.running.distributed import cluster

FEATURES, RANKS, WORDS = 20_000, (20, 6), 100


def text(columns, seed):
    """Documents of words whose frequencies fall as their ranks rise, shape (FEATURES, columns)."""
    rng = np.random.default_rng(seed)
    words = np.sort((FEATURES ** rng.random((columns, WORDS), dtype=np.float32)).astype(np.int32) - 1, axis=1)
    first = np.ones(words.shape, bool)
    first[:, 1:] = words[:, 1:] != words[:, :-1]  # a word counts once
    counts = first.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64 if counts.sum() > 2**31 - 1 else np.int32)
    data = (1.0 + rng.integers(0, 3, int(ends[-1]))).astype(np.float64)
    return sparse.csr_array((data, words[first], ends), shape=(columns, FEATURES)).T


def write(folder, columns, shards):
    ends = np.linspace(0, columns, shards + 1).astype(int)
    cut = (text(int(ends[i + 1] - ends[i]), i) for i in range(shards))
    return write_shards(folder, (FEATURES, columns), cut)


def private_mb(pid="self"):
    """Memory of a process that is its own, rather than mapped from files."""
    return int(re.search(r"Anonymous: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[1]) / 1024


class Peaks(threading.Thread):
    """The most that processes take while the block lasts, by their ids."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.found, self.ended = dict.fromkeys(pids, 0.0), threading.Event()

    def __enter__(self):
        self.start()
        return self.found

    def __exit__(self, *error):
        self.ended.set()
        self.join()

    def run(self):
        while not self.ended.wait(0.02):
            self.found.update({pid: max(most, private_mb(pid)) for pid, most in self.found.items()})


def moved(A, step):
    rng = np.random.default_rng(step)
    return [factor * (1.0 + 1e-3 * rng.random(factor.shape)) for factor in A]


def evaluations(network, A, count):
    seconds = []
    for step in range(count):
        variables = moved(A, step)
        begun = time.perf_counter()
        network.evaluate(variables)
        seconds.append(time.perf_counter() - begun)
    return seconds


def main(folder, entries, count=6):
    folder, columns = Path(folder), int(entries // 80)  # of 100 draws, about 80 words are distinct
    A = Random().start(np.empty((FEATURES, 0)), RANKS, np.random.default_rng(0))
    begun = time.perf_counter()
    source = (
        Shards.open(folder / "all")
        if (folder / "all").exists()
        else write(folder / "all", columns, 2 if entries < 1e7 else 20)
    )
    nnz = sum(Shards.open(folder / "all").files[f"{i:05}.data.npy"][0] for i in range(source.n)) // 8
    print(f"{nnz:,} entries, {FEATURES:,} x {columns:,}, written or found in {time.perf_counter() - begun:.0f} s")
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    variables = sum(factor.size for factor in A)
    with cluster(DaskWorkers(workers=2), scratch, 1) as workers, computed_by(workers):
        pids = [*workers.client.run(os.getpid).values()]
        rest = max(map(private_mb, pids))
        network = ShardedNetwork(ShardedMatrix(Folder.of(source)), Reconstruction())
        with Peaks(pids) as peaks:
            (first,), seconds = evaluations(network, A, 1), evaluations(network, A, count)
        computed = [max(each) for each in workers.seconds[-len(seconds) :]]
        over = [1e3 * (wall - own) for wall, own in zip(seconds, computed, strict=True)]
    print(f"two workers: {statistics.median(seconds):.3f} s an evaluation, the first {first:.1f} s")
    print(f"  overhead {min(over):.0f} ms at least, {statistics.median(over):.0f} median, at {variables:,} variables")
    share = 12e-6 * nnz / len(pids)
    print(f"  a worker's own memory {max(peaks.values()):.0f} MB, {rest:.0f} at rest; its share is {share:.0f}, mapped")
    tenth = sparse.hstack([text(columns // 20, i) for i in range(2)], format="csr")
    network, rest = Network(tenth, Reconstruction()), private_mb()
    with Peaks([os.getpid()]) as peaks:
        evaluations(network, A, 1)
        seconds = evaluations(network, A, count)
    print(f"one process on {tenth.nnz:,} entries: {statistics.median(seconds):.3f} s an evaluation")
    print(f"  its own memory {max(peaks.values()):.0f} MB, {rest:.0f} with the data before the first")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3e8, *map(int, sys.argv[3:]))
