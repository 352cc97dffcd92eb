"""What `nnmf-collect` takes for many runs: ``python -m tests.benchmarks.collecting [RUNS]``, 100,000 by default.

The runs are invented: one real run whose record is varied as a sweep would vary it.  The status is 1 where collecting
takes longer or more memory than it may.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnmf_runner.store.record import HISTORY, RECORD, run_folder

BIN = Path(sys.executable).parent
# For 100,000 runs.
MOST_SECONDS, MOST_MB = 60.0, 1000.0
REGIMES = {0.0: "unsupervised", 0.4: "semisupervised", 1.0: "supervised"}


def main() -> int:
    """Invent runs, collect them and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.collecting", description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=100_000)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        folder = invent(Path(place), runs)
        print(f"{runs} runs invented in {time.perf_counter() - began:.0f} s: {on_disk(folder)}", flush=True)
        seconds, peak = measured([BIN / "nnmf-collect", folder], Path(place) / "log")
        print(f"collected in {seconds:.1f} s (at most {MOST_SECONDS:g}), peak {peak:.0f} MB (at most {MOST_MB:g})")
        collected = sum(1 for _ in (folder / "report" / "records.csv").open()) - 1
        print(f"{collected} rows in records.csv, {len(list((folder / 'figures').iterdir()))} figures")
    return int(seconds > MOST_SECONDS or peak > MOST_MB or collected != runs)


def invent(place: Path, runs: int) -> Path:
    """Folders of many runs, and that of their experiment."""
    command = [BIN / "nnmf-run", "label_fraction=0.4", f"output={place}", "name=model"]
    subprocess.run(command, check=True, capture_output=True)
    (model,) = (place / "model").glob(f"*/*/{RECORD}")
    for record in itertools.islice(varied(json.loads(model.read_text())), runs):
        write(run_folder(place / "sweep", record["config"]), record, model.parent)
    return place / "sweep"


def varied(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Records of a sweep: 27 cells, 40 values of an option and 100 seeds."""
    options = itertools.product(range(40), REGIMES, ("neural", "deep", "hier"), ([9, 4, 2], [9, 4], [9]), range(100))
    for at, fraction, method, layers, seed in options:
        record = copy.deepcopy(model)
        changes = {"method": {"name": method}, "layers": layers, "label_fraction": fraction, "seed": seed}
        record["config"] |= changes | {"tol": 3e-4 / (1 + at)}
        record |= {"experiment": "sweep", "regime": REGIMES[fraction], "layers": record["layers"][: len(layers)]}
        record["metrics"] |= {"relative_error": 0.3 + 0.001 * seed + 0.01 * at, "seconds": 0.1 + 0.001 * seed}
        yield record


def write(folder: Path, record: dict[str, Any], model: Path) -> None:
    """A run's folder; the files beside the record are shared by the runs of a shard, which saves time and disk."""
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    shared = model.parent / f"shared-{folder.parent.name}"
    if not shared.exists():
        shutil.copytree(model, shared)
    for name in (HISTORY, "factors.npz"):
        os.link(shared / name, folder / name)


def on_disk(folder: Path) -> str:
    """Files and folders below a folder, and the disk that they take where nothing is shared."""
    entries = [Path(root) / name for root, folders, files in os.walk(folder) for name in (*folders, *files)]
    blocks = sum(entry.stat().st_blocks for entry in entries)
    return f"{len(entries)} files and folders, {blocks * 512 / 1e9:.2f} GB on disk if none were shared"


def measured(command: list[Any], log: Path) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of a command that succeeds."""
    began = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command[0]} failed: {log.read_text()}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
