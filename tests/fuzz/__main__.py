"""Fuzz for a number of seconds, and say what was tried and which seeds failed."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tests.fuzz.targets import TARGETS, is_slow

# Of so many seeds, slow targets are tried with one.
RARELY = 20


def main() -> int:
    """Try one target after the other; the status is 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to try (60)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="the first one (by the clock)")
    parser.add_argument("--target", default="", help="no more than the targets whose names begin so")
    arguments = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    targets = {name: target for name, target in TARGETS.items() if name.startswith(arguments.target)}
    end, tried, failed = time.monotonic() + arguments.seconds, Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in itertools.count(arguments.seed):
            if time.monotonic() > end:
                break
            for name, target in targets.items():
                if is_slow(name) and seed % RARELY:
                    continue
                tried[name] += 1
                with tempfile.TemporaryDirectory(dir=scratch) as folder:
                    try:
                        target(np.random.default_rng(seed), Path(folder))
                    except Exception:
                        failed[name] += 1
                        print(f"{name}, seed {seed}:\n{traceback.format_exc()}", flush=True)
    print("\n".join(f"{name:20} {tried[name]:7} tried {failed[name]:5} failed" for name in tried))
    print(f"{sum(tried.values())} tried, {sum(failed.values())} failed, from seed {arguments.seed}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
