"""Neural NMF of data that are shared out: overhead, time and memory of an evaluation, beside one process.

``python -m tests.benchmarks.distributed FOLDER [ENTRIES]`` writes shards of sparse text into the folder, which needs
12 bytes for every entry, and times a few evaluations with two workers, then those of one process on a tenth of it.
No process ever holds all.
"""

from __future__ import annotations

import shutil
import statistics
import sys
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
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Anonymous:"))) / 2048


def peak_private_mb(shard):
    return [private_mb()]


def moved(A, step):
    rng = np.random.default_rng(step)
    return [factor * (1.0 + 1e-3 * rng.random(factor.shape)) for factor in A]


def evaluations(network, A, count=6):
    seconds = []
    for step in range(count):
        variables = moved(A, step)
        begun = time.perf_counter()
        network.evaluate(variables)
        seconds.append(time.perf_counter() - begun)
    return seconds


def main(folder, entries):
    folder, columns = Path(folder), int(entries // 65)  # of 100 draws, about 65 words are distinct
    A = Random().start(np.empty((FEATURES, 0)), RANKS, np.random.default_rng(0))
    begun = time.perf_counter()
    source = Shards.open(folder / "all") if (folder / "all").exists() else write(folder / "all", columns, 20)
    nnz = sum(Shards.open(folder / "all").files[f"{i:05}.data.npy"][0] for i in range(source.n)) // 8
    print(f"{nnz:,} entries, {FEATURES:,} x {columns:,}, written or found in {time.perf_counter() - begun:.0f} s")
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    with cluster(DaskWorkers(workers=2), scratch, 1) as workers, computed_by(workers):
        begun = time.perf_counter()
        pids = workers.client.run(__import__("os").getpid)
        base = [private_mb(pid) for pid in pids.values()]
        network = ShardedNetwork(ShardedMatrix(Folder.of(source)), Reconstruction())
        first = evaluations(network, A, 1)
        seconds = evaluations(network, A)
        computed = [max(each) for each in workers.seconds[-len(seconds) :]]
        over = [1e3 * (wall - own) for wall, own in zip(seconds, computed, strict=True)]
        print(
            f"two workers: first evaluation {first[0]:.2f} s, then {statistics.median(seconds):.3f} s; overhead "
            f"{min(over):.0f} / {statistics.median(over):.0f} ms (least / median) at {sum(a.size for a in A):,} variables"
        )
        memory = [private_mb(pid) for pid in pids.values()]
        share = 12e-6 * nnz / 2
        print(f"private memory of a worker {max(memory):.0f} MB, at rest {max(base):.0f} MB, its share {share:.0f} MB")
    tenth = sparse.hstack([text(columns // 20, i) for i in range(2)], format="csr")
    rest = private_mb()
    network = Network(tenth, Reconstruction())
    evaluations(network, A, 1)
    seconds = evaluations(network, A)
    print(
        f"one process on {tenth.nnz:,} entries: {statistics.median(seconds):.3f} s an evaluation, {private_mb():.0f} MB "
        f"private, of which {rest:.0f} MB with the data before the first"
    )
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3e8)
