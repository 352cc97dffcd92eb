"""Foreign binary formats, read in a process of its own, where a crash or a hang becomes a line.

The compiled readers of such files trust what these say of themselves: a changed byte can end the process or keep it
busy for ever, which no handler of exceptions sees.  The process has limits of time and memory.  It hands over plain
arrays through a socket, which are copied once and leave nothing behind, and ends if the process that waits for it does.

It is a fork where that is safe, since to start Python and import the libraries takes longer than to read a small file.
Libraries that are only read with start their threads in the fork.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

import nnmf_runner
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.forks import DESCRIPTORS, forked, may_fork
from nnmf_runner.datasets.files.bounds import MEMORY, in_units, most_unpacked, size_of
from nnmf_runner.datasets.files.cells import NUMERIC
from nnmf_runner.datasets.files.contents import ContentError, Contents, Grid, Layout, Refused, Table

# Seconds of processor time that reading may take, and bytes for every one more; the clock may show some times as many.
SECONDS, SPEED, PATIENCE = 30, 2**20, 10
# Bytes of memory that a process needs for the libraries.  The contents may stand in it twice, unpacked and taken apart.
LIBRARIES = 2**31
PLAIN = Layout()
START = f"import sys; from {__name__} import serve_named; serve_named(*sys.argv[1:])"
# One thread, since each would reserve memory that counts.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
# The types of arrays that are handed over.
KINDS = NUMERIC + "cSU"
# Of prctl(2): the signal to send when the parent ends.
PR_SET_PDEATHSIG = 1

Reader = Callable[..., Contents]


def guarded(reader: Reader) -> Reader:
    """A reader, a function of a module, that does its work in a process of its own.

    Whatever kind of error it raises there is raised here: a ContentError, an InputError, or a ValueError for others.  A
    ContentError says as well that the process crashed or exceeded a limit.
    """

    def read_guarded(path: Path, layout: Layout = PLAIN) -> Contents:
        seconds = _seconds(path)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(PATIENCE * seconds)
            process = (_forked if may_fork() else _started)(reader, path, theirs.fileno())
            theirs.close()
            try:
                outcome, arrays = _received(ours)
            except (EOFError, ConnectionError):
                outcome = None
            except TimeoutError:
                raise _too_slow(seconds) from None
            finally:
                # One that has closed the socket has ended, and keeps its status.
                os.kill(process, signal.SIGKILL)
                status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if outcome is None:
            raise _failure(status, seconds)
        return _contents(outcome, arrays, path, layout)

    return read_guarded


def _seconds(path: Path) -> int:
    """Processor time that reading a file may take."""
    return SECONDS + size_of(path) // SPEED


def _bytes(path: Path) -> int:
    """Memory that reading a file may take."""
    return LIBRARIES + min(2 * most_unpacked(path), MEMORY)


def _forked(reader: Reader, path: Path, theirs: int) -> int:
    """A fork of this process that reads a file, see `serve`, with a descriptor as its standard input."""

    def work() -> None:
        os.environ.update(THREADS)
        serve(reader, path)

    return forked(work, theirs)


def _started(reader: Reader, path: Path, theirs: int) -> int:
    """A new process that reads a file, see `serve`, with a descriptor as its standard input."""
    # Not the working directory, which `-P` leaves out: modules in it would be imported.
    places = [place for place in sys.path if place] + [str(Path(nnmf_runner.__file__).parents[1])]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-c", START, reader.__module__, reader.__name__, os.path.abspath(path)],
        os.environ | THREADS | {"PYTHONPATH": os.pathsep.join(places)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,  # Ctrl-C is for this process to handle
    )


def serve_named(module: str, name: str, path: str) -> NoReturn:
    """What a new process does: `serve` with a function of a module."""
    serve(getattr(importlib.import_module(module), name), Path(path))


def serve(reader: Reader, path: Path) -> NoReturn:
    """What the process does: read a file within limits, and send what it holds, or the error, to standard input."""
    os.closerange(3, DESCRIPTORS)
    _end_with_parent()
    for kind, most in (
        (resource.RLIMIT_CPU, _seconds(path)),
        (resource.RLIMIT_AS, _present_bytes() + _bytes(path)),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    arrays: list[NDArray[Any]] = []
    try:
        with warnings.catch_warnings(action="ignore"):
            outcome = _described(reader(path), arrays)
    except Exception as error:  # what parsers raise for damaged files is of every kind
        reason = str(getattr(error, "strerror", None) or error) or type(error).__name__
        kinds = [kind.__name__ for kind in type(error).__mro__]
        outcome, arrays = {"error": reason, "kinds": kinds}, []
    _send(outcome, arrays)
    os._exit(0)  # at once: nothing is left to put in order


def _end_with_parent() -> None:
    """Let this process end when its standard input is closed, as it is where the parent has been killed."""

    def listen() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    if sys.platform == "linux":  # for a library that never lets another thread of Python run
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _present_bytes() -> int:
    """Memory that this process has reserved, where the system says so."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 0


def _described(contents: Contents, arrays: list[NDArray[Any]]) -> dict[str, Any]:
    """Contents as what JSON can say, with places in a list to which their arrays are added."""

    def place_of(array: Any) -> int:
        arrays.append(np.asarray(array))
        return len(arrays) - 1

    def described(value: Any) -> dict[str, Any]:
        if isinstance(value, Grid):
            grid = described(value.values)
            return {"grid": grid, "rows": value.rows, "columns": value.columns, "notes": value.notes}
        if sparse.issparse(value):
            value = value if value.format in ("csr", "csc") else value.tocsr()
            parts = [place_of(part) for part in (value.data, value.indices, value.indptr)]
            return {"sparse": value.format, "parts": parts, "shape": [*map(int, value.shape)]}
        if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
            return {"array": place_of(value)}
        reason = value.reason if isinstance(value, Refused) else "is of a type that is not read: expected plain values"
        return {"refused": reason}

    named = {key: described(value) for key, value in contents.arrays.items()}
    index = [*contents.index] if isinstance(contents, Table) else None
    return {"arrays": named, "index_base": contents.index_base, "index": index}


def _send(outcome: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Send a line of JSON, and the bytes of arrays of which it says type, shape and order."""
    orders = ["C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F" for array in arrays]
    outcome["sent"] = [(array.dtype.str, array.shape, order) for array, order in zip(arrays, orders, strict=True)]
    with socket.socket(fileno=0) as standard_input:
        standard_input.sendall(json.dumps(outcome).encode() + b"\n")
        for array, order in zip(arrays, orders, strict=True):
            standard_input.sendall(_bytes_of(array, order))


def _received(ours: socket.socket) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What `_send` sends; an EOFError where it is not whole."""
    with ours.makefile("rb") as stream:
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        outcome = json.loads(line)
        return outcome, [_array(stream, *said) for said in outcome["sent"]]


def _array(stream: IO[bytes], dtype: str, shape: list[int], order: Any) -> NDArray[Any]:
    """An array whose bytes come next."""
    found: NDArray[Any] = np.empty(shape, dtype, order)
    content = _bytes_of(found, order)
    if stream.readinto(content) < content.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return found


def _bytes_of(array: NDArray[Any], order: Any) -> memoryview:
    """The bytes of an array, as they stand in memory if it has that order; a TypeError for objects."""
    return array.ravel(order).view(np.uint8).data


def _too_slow(seconds: int) -> ContentError:
    return ContentError(f"it was not read within {seconds} seconds: it may be damaged")


def _failure(status: int, seconds: int) -> ContentError:
    """What is said of a process that ended before it had sent what it read."""
    if status == -signal.SIGXCPU:
        return _too_slow(seconds)
    if status in (-signal.SIGKILL, -signal.SIGTERM):
        return ContentError("the process that read it was killed, as where the memory is full")
    if status < 0:
        return ContentError(f"reading it crashes ({signal.Signals(-status).name}): it is damaged")
    return ContentError(f"the process that read it ended with status {status}")


def _contents(outcome: dict[str, Any], arrays: list[NDArray[Any]], path: Path, layout: Layout) -> Contents:
    """Contents of which `_described` tells, or an error that is raised."""
    if "error" in outcome:
        if "MemoryError" in outcome["kinds"]:
            raise ContentError(f"reading it takes more than {in_units(_bytes(path))} of memory: it may be damaged")
        kinds: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ContentError, InputError)}
        raise next((kinds[kind] for kind in outcome["kinds"] if kind in kinds), ValueError)(outcome["error"])

    def restored(value: dict[str, Any]) -> Any:
        if "grid" in value:
            return Grid(restored(value["grid"]), value["rows"], value["columns"], tuple(value["notes"]))
        if "sparse" in value:
            kind = {"csr": sparse.csr_array, "csc": sparse.csc_array}[value["sparse"]]
            return kind(tuple(arrays[place] for place in value["parts"]), shape=tuple(value["shape"]))
        return Refused(value["refused"]) if "refused" in value else arrays[value["array"]]

    named = {key: restored(value) for key, value in outcome["arrays"].items()}
    if outcome["index"] is None:
        return Contents(named, outcome["index_base"])
    return Table(named, outcome["index_base"], layout=layout, index=tuple(outcome["index"]))
