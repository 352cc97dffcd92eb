"""Timing of alternatives in turns, and the table of what came out."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import scipy

from tests.benchmarks import THREAD_VARIABLES


@dataclass
class Times:
    """Seconds that calls of one thing took."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median, in seconds."""
        return float(np.median(self.seconds))

    @property
    def total(self) -> float:
        """Sum, in seconds."""
        return float(sum(self.seconds))

    def __str__(self) -> str:
        if len(self.seconds) == 1:
            return _duration(self.seconds[0])
        low, middle, high = np.percentile(self.seconds, [25, 50, 75])
        return f"{_duration(middle)} [{_duration(low)}, {_duration(high)}]"


@contextmanager
def clock(times: Times) -> Iterator[None]:
    """Append the seconds that the block takes to `times`; the garbage collector waits."""
    gc.disable()
    start = time.perf_counter()
    try:
        yield
    finally:
        times.seconds.append(time.perf_counter() - start)
        gc.enable()


def take_turns(tasks: list[Callable[[], object]], rounds: int, calls: list[int] | None = None) -> list[Times]:
    """Time `tasks` in turns, so that the noise of a shared machine meets all of them alike.

    Parameters
    ----------
    tasks : list of callable
        Each is called once untimed first.
    rounds : int
    calls : list of int, optional
        Calls of every task in a round, so that short ones are timed as long as others; their mean is one
        measurement.  One by default.

    Returns
    -------
    list of Times
        One a task, with as many measurements as rounds.
    """
    results = [Times() for _ in tasks]
    for task in tasks:
        task()
    for _ in range(rounds):
        for task, times, number in zip(tasks, results, calls or [1] * len(tasks), strict=True):
            with clock(times):
                for _ in range(number):
                    task()
            times.seconds[-1] /= number
    return results


@dataclass
class Row:
    """One comparison.

    Attributes
    ----------
    what : str
    ours : Times
    theirs : Times, or str where there is none and the text says why
    wanted : float, optional
        Ratio of theirs to ours that we want to reach.
    bound : bool
        Whether theirs ended at its budget without getting there, so that the ratio is a lower bound.
    limit : float, optional
        Seconds that ours may take, for rows that want a time.
    most : float, optional
        How many times theirs ours may take, for rows whose other side is a part of ours.
    """

    what: str
    ours: Times
    theirs: Times | str
    wanted: float | None = None
    bound: bool = False
    limit: float | None = None
    most: float | None = None

    def cells(self) -> list[str]:
        """The row as text: what, ours, theirs, ratio, wanted, met."""
        if self.limit is not None:
            met = "yes" if self.ours.median <= self.limit else "no"
            return [self.what, str(self.ours), "", "", f"<= {_duration(self.limit)}", met]
        wanted = f"{self.wanted:g}x" if self.wanted else ""
        if isinstance(self.theirs, str):
            return [self.what, str(self.ours), self.theirs, "", wanted, ""]
        ratio = self.theirs.median / self.ours.median
        if self.most is not None:
            times = 1.0 / ratio
            met = "yes" if times <= self.most else "no"
            return [self.what, str(self.ours), str(self.theirs), f"1/{times:.3g}", f">= 1/{self.most:g}", met]
        # A lower bound below what is wanted decides nothing.
        missed = "not shown" if self.bound else "no"
        met = ("yes" if ratio >= self.wanted else missed) if self.wanted else ""
        return [self.what, str(self.ours), str(self.theirs), f"{'> ' * self.bound}{ratio:.3g}x", wanted, met]


def table(rows: list[Row]) -> str:
    """Rows under their heads, in columns of equal width."""
    head = ["what", "ours (median [quartiles])", "theirs (median [quartiles])", "ratio", "wanted", "met"]
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def machine() -> str:
    """Facts about the machine and the libraries, one a line."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    names = sorted(name for name in os.environ if name.startswith("OPENBLAS_") or name in THREAD_VARIABLES)
    variables = ", ".join(f"{name}={os.environ[name]}" for name in names)
    packages = " ".join(f"{name} {_version(name)}" for name in ("torch", "NeuralNMF", "scikit-learn", "tensorly"))
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "not known"
    facts = {
        "cpu": f"{_cpu()}, {os.cpu_count()} cores, load {load}",
        "python": f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}",
        "blas": f"{blas['name']} {blas['version']}, 1 thread, set by {variables}",
        "peers": packages,
    }
    return "\n".join(f"{name:7} {fact}" for name, fact in facts.items())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
