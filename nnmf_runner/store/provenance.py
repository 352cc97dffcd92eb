"""What a run was made with: versions, commit, machine."""

from __future__ import annotations

import ast
import ctypes
import functools
import hashlib
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nnmf_runner.methods import METHODS

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


# What every result depends on, beside the method that was run.
_COMPUTING = ("core", "datasets", "metrics", "task.py", "store/start.py")
_ROOT, _NAME = Path(__file__).resolve().parents[1], __name__.partition(".")[0]


def same_code(record: dict[str, Any]) -> bool:
    """Whether the code that computes what a record holds is this very code, committed or not."""
    method = _method_of(record)
    return method in METHODS and record["code"] == code(method)


@functools.cache
def code(method: str) -> str:
    """The name of a method and a short hash of the source that computes its runs.

    It takes in the method's own module and those of other methods that it is built on, but no other method, nor the
    tables, figures and sweeps: a change there leaves the result of a run as it is.
    """
    paths = [path for part in _COMPUTING for path in (_ROOT / part, *(_ROOT / part).rglob("*.py")) if path.is_file()]
    found = hashlib.sha256()
    for path in sorted({*paths, *_modules_of(METHODS[method])}):
        found.update(f"{path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path.name} ".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{method}-{found.hexdigest()[:16]}"


def _modules_of(method: type) -> set[Path]:
    """The files of a method's module and of all modules of this package that it imports, by any way."""
    found: set[Path] = set()
    pending = [Path(str(sys.modules[method.__module__].__file__)).resolve(), _ROOT / "methods" / "base.py"]
    while pending:
        path = pending.pop()
        found.add(path)
        if path.is_relative_to(_ROOT / "core"):
            continue  # it imports no other room, and all of it counts
        names = [name for node in _statements(ast.parse(path.read_bytes())) for name in _imports(node, path)]
        parts = [name.split(".")[1:] for name in names if name.startswith(f"{_NAME}.")]
        used = [_ROOT.joinpath(*part).with_suffix(".py") for part in parts]
        pending += [module for module in used if module not in found and module.is_file()]
    return found


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a module or a statement, and those in them; there are far fewer than nodes of a tree."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for each in getattr(node, field, ()):
            yield each
            yield from _statements(each)


def _imports(node: ast.AST, path: Path) -> list[str]:
    """Full names of the modules that a statement in a file of this package may import."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level and path.is_relative_to(_ROOT):  # a relative import, which begins at the file's own package
        above = path.parents[node.level - 1].relative_to(_ROOT).parts
        module = ".".join([_NAME, *above, *filter(None, [node.module])])
    return [module, *(f"{module}.{alias.name}" for alias in node.names)]


def _method_of(record: dict[str, Any]) -> str:
    return str(record.get("code")).rpartition("-")[0]


def described_code(record: dict[str, Any]) -> str:
    """What code made a record, as a reader tells it from another."""
    return f"commit {record.get('commit')}, source {record.get('code')}"


def this_code(record: dict[str, Any]) -> str:
    """What code would make a record of the same method now, in the same words."""
    method = _method_of(record)
    return described_code({"commit": commit(), "code": code(method) if method in METHODS else None})


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = {name: metadata.version(name) for name in (PACKAGE, "numpy", "scipy", "hydra-core")}
    return {"python": platform.python_version(), **packages}


@functools.cache
def commit() -> str | None:
    """Commit of the repository that the package runs from, with "-dirty" for changes; None for an installed one."""
    root = _ROOT.parent
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
    """Threads that the environment asked BLAS for when it was loaded, or one per core; it may have fewer cores."""
    return next((int(value) for value in _ASKED if value.isdigit()), os.cpu_count() or 1)


# A BLAS library reads its variables when numpy loads it, and what they are set to later changes nothing.
_ASKED = [os.environ.get(name, "") for name in THREAD_VARIABLES]


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
