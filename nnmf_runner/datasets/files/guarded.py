"""Foreign binary formats, read in a process of its own, where a crash or a hang becomes a line.

The compiled readers of such files trust what these say of themselves: a changed byte can end the process or keep it
busy for ever, which no handler of exceptions sees.  The process has limits of time and memory.  It hands over plain
arrays through a temporary folder, and ends if the process that waits for it does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import nnmf_runner
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.files.bounds import MEMORY, in_units, most_unpacked
from nnmf_runner.datasets.files.contents import ContentError, Contents, Grid, Layout, Refused, Table

# Seconds of processor time that reading may take, and bytes for every one more; the clock may show some times as many.
SECONDS, SPEED, PATIENCE = 30, 2**20, 10
# Bytes of memory that a process needs for the libraries.  The contents may stand in it twice, unpacked and taken apart.
LIBRARIES = 2**31
PLAIN = Layout()
# The file in the temporary folder that says what became of the reading.
OUTCOME = "outcome.json"
START = f"import sys; from {__name__} import serve; serve(*sys.argv[1:])"
# One thread, since each would reserve memory that counts.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")


def guarded(reader: Callable[..., Contents]) -> Callable[..., Contents]:
    """A reader, a function of a module, that does its work in a process of its own.

    Whatever kind of error it raises there is raised here: a ContentError, an InputError, or a ValueError for others.  A
    ContentError says as well that the process crashed or exceeded a limit.
    """

    def read_guarded(path: Path, layout: Layout = PLAIN) -> Contents:
        with tempfile.TemporaryDirectory(prefix="nnmf-read-") as folder:
            _run(reader, path, folder)
            return _received(Path(folder), path, layout)

    return read_guarded


def _run(reader: Callable[..., Contents], path: Path, folder: str) -> None:
    """Read a file in a process that puts what it holds into a folder."""
    # Not the working directory, which `-P` leaves out: modules in it would be imported.
    places = [place for place in sys.path if place] + [str(Path(nnmf_runner.__file__).parents[1])]
    seconds = _seconds(path)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", START, reader.__module__, reader.__name__, os.path.abspath(path), folder],
        stdin=subprocess.PIPE,  # never written to: it is closed when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | THREADS | {"PYTHONPATH": os.pathsep.join(places)},
        process_group=0,  # Ctrl-C is for this process to handle
    ) as process:
        try:
            status = process.wait(PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            status = -signal.SIGXCPU
        finally:
            process.kill()
    if status == -signal.SIGXCPU:
        raise ContentError(f"it was not read within {seconds} seconds: it may be damaged")
    if status == -signal.SIGKILL:
        raise ContentError("the process that read it was killed, as where the memory is full")
    if status < 0:
        raise ContentError(f"reading it crashes ({signal.Signals(-status).name}): it is damaged")
    if not Path(folder, OUTCOME).exists():
        raise ContentError(f"the process that read it ended with status {status}")


def _seconds(path: Path) -> int:
    """Processor time that reading a file may take."""
    return SECONDS + path.stat().st_size // SPEED


def _bytes(path: Path) -> int:
    """Memory that reading a file may take."""
    return LIBRARIES + min(2 * most_unpacked(path), MEMORY)


def serve(module: str, name: str, path: str, folder: str) -> None:
    """What the process does: read a file within limits, and put what it holds, or the error, into a folder."""
    reader = getattr(importlib.import_module(module), name)
    _end_with_parent(folder)
    for kind, most in (
        (resource.RLIMIT_CPU, _seconds(Path(path))),
        (resource.RLIMIT_AS, _bytes(Path(path))),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        with warnings.catch_warnings(action="ignore"):
            outcome = _sent(reader(Path(path)), Path(folder))
    except Exception as error:  # what parsers raise for damaged files is of every kind
        reason = str(getattr(error, "strerror", None) or error) or type(error).__name__
        kinds = [kind.__name__ for kind in type(error).__mro__]
        outcome = {"error": reason, "kinds": kinds}
    Path(folder, OUTCOME).write_text(json.dumps(outcome))
    os._exit(0)  # at once: nothing is left to put in order


def _end_with_parent(folder: str) -> None:
    """End this process, and remove its folder, when its standard input is closed."""

    def listen() -> None:
        os.read(0, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()


def _sent(contents: Contents, folder: Path) -> dict[str, Any]:
    """Contents as what JSON can say, with their arrays as files in a folder."""

    def file_of(array: Any) -> str:
        name = f"{len(os.listdir(folder))}.npy"
        np.save(folder / name, array, allow_pickle=False)
        return name

    def sent(value: Any) -> dict[str, Any]:
        if isinstance(value, Grid):
            return {"grid": sent(value.values), "rows": value.rows, "columns": value.columns, "notes": value.notes}
        if sparse.issparse(value):
            value = value if value.format in ("csr", "csc") else value.tocsr()
            parts = [file_of(part) for part in (value.data, value.indices, value.indptr)]
            return {"sparse": value.format, "parts": parts, "shape": [*map(int, value.shape)]}
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return {"array": file_of(value)}
        reason = value.reason if isinstance(value, Refused) else "is of a type that is not read: expected plain values"
        return {"refused": reason}

    arrays = {key: sent(value) for key, value in contents.arrays.items()}
    index = [*contents.index] if isinstance(contents, Table) else None
    return {"arrays": arrays, "index_base": contents.index_base, "index": index}


def _received(folder: Path, path: Path, layout: Layout) -> Contents:
    """What `serve` has put into a folder: contents, or an error that is raised."""
    outcome = json.loads((folder / OUTCOME).read_text())
    if "error" in outcome:
        if "MemoryError" in outcome["kinds"]:
            raise ContentError(f"reading it takes more than {in_units(_bytes(path))} of memory: it may be damaged")
        kinds: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ContentError, InputError)}
        raise next((kinds[kind] for kind in outcome["kinds"] if kind in kinds), ValueError)(outcome["error"])

    def array(name: str) -> Any:
        return np.load(folder / name, allow_pickle=False)

    def received(value: dict[str, Any]) -> Any:
        if "grid" in value:
            return Grid(received(value["grid"]), value["rows"], value["columns"], tuple(value["notes"]))
        if "sparse" in value:
            kind = {"csr": sparse.csr_array, "csc": sparse.csc_array}[value["sparse"]]
            return kind(tuple(map(array, value["parts"])), shape=tuple(value["shape"]))
        return Refused(value["refused"]) if "refused" in value else array(value["array"])

    arrays = {key: received(value) for key, value in outcome["arrays"].items()}
    if outcome["index"] is None:
        return Contents(arrays, outcome["index_base"])
    return Table(arrays, outcome["index_base"], layout=layout, index=tuple(outcome["index"]))
