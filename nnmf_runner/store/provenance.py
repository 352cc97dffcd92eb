"""What a run was made with: versions, commit, machine."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = "nnmf-runner"
# Read by the BLAS libraries that numpy is built with, in this order.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# What they say their number of threads by.
THREAD_FUNCTIONS = (
    "scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_", "openblas_get_num_threads",
    "MKL_Get_Max_Threads",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """Versions, commit, threads, host and peak memory of this process, as the record keeps them."""
    return {
        "versions": dict(versions()),
        "commit": commit(),
        "blas_threads": blas_threads(),
        "peak_memory_mb": peak_memory_mb(),
        "host": platform.node(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def same_code(record: dict[str, Any]) -> bool:
    """Whether a record was made by this very code, committed or not."""
    return record.get("code") == code()


@functools.cache
def code() -> str:
    """A short hash of the source of this package: two copies that differ nowhere have the same."""
    package, found = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package).as_posix()} ".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def described_code(record: dict[str, Any]) -> str:
    """What code made a record, as a reader tells it from another."""
    return f"commit {record.get('commit')}, source {record.get('code')}"


def this_code() -> str:
    """What code this is, in the same words."""
    return described_code({"commit": commit(), "code": code()})


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = {name: metadata.version(name) for name in (PACKAGE, "numpy", "scipy", "hydra-core")}
    return {"python": platform.python_version(), **packages}


@functools.cache
def commit() -> str | None:
    """Commit of the repository that the package runs from, with "-dirty" for changes; None for an installed one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def blas_threads() -> int:
    """Threads that the BLAS library of numpy uses, by its own account; what was asked for, if it gives none."""
    module = sys.modules.get("numpy._core._multiarray_umath")
    if module is not None and module.__file__:
        library = ctypes.CDLL(module.__file__)  # finds the functions of what it is linked to as well
        for name in THREAD_FUNCTIONS:
            if hasattr(library, name):
                return int(getattr(library, name)())
    return asked_threads()


def asked_threads() -> int:
    """Threads that the environment asked BLAS for when it was loaded, or one a core; it may have fewer cores."""
    return _ASKED_THREADS


def _threads_of_environment() -> int:
    values = (os.environ.get(name, "") for name in THREAD_VARIABLES)
    return next((int(value) for value in values if value.isdigit()), os.cpu_count() or 1)


# A BLAS library reads its variables when numpy loads it, and what they are set to later changes nothing.
_ASKED_THREADS = _threads_of_environment()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
