"""Forks of this process, for what is computed again and again by many short calls of numpy.

Threads take turns in the interpreter, and one whose call is over may wait longer for its turn than a short call takes.
Processes do not wait for each other.  A fork begins with all that its parent has, such as data of any size, which both
share at no cost until one of them changes them.

A lock that another thread holds stays locked in a fork.  So there is none beside other threads of Python than our own
and that of tqdm, whose locks no fork takes.  Those of BLAS hold nothing between two calls, and its libraries prepare
for forks.  Systems other than Linux have some that do not bear forks.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from nnmf_runner.core.linalg import Matrix
from nnmf_runner.core.threads import NAME, mapped, n_threads, threaded

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

# No descriptor of the parent is at or above it: all below are closed, one by one on some systems.
DESCRIPTORS = 2**16


def may_fork() -> bool:
    """Whether this process can be forked."""
    others = {*threading.enumerate()} - {threading.current_thread()}
    idle = all(other.name.startswith(NAME) or type(other).__name__ == "TMonitor" for other in others)
    return sys.platform == "linux" and idle


def forked(work: Callable[[], object], theirs: int) -> int:
    """A fork of this process that does some work, with a descriptor as its standard input, and ends; return its id."""
    with warnings.catch_warnings(action="ignore"):  # of threads, which are those of libraries
        process = os.fork()
    if process:
        return process
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the parent to handle
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        gc.freeze()  # what is left over in the parent is for the parent to finish
        os.dup2(theirs, 0)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        work()
    finally:
        os._exit(1)


class Forks(Generic[T, R]):
    """Calls a function for each of some items again and again, in as many processes as there are threads.

    Every process has items of its own, and keeps what the function leaves there for the next call.  Where no process
    can be started, threads share the items.

    Parameters
    ----------
    function : callable
        Of an item, the arrays, and the other arguments of a call.
    items : sequence
    arrays : sequence of ndarray
        Of the types, shapes and orders in memory of those of all calls.
    """

    def __init__(self, function: Callable[..., R], items: Sequence[T], arrays: Sequence[Matrix]) -> None:
        self._items, self._arrays = items, [_shared(array) for array in arrays]
        self._others: list[tuple[int, Connection]] = []
        n = min(n_threads(), len(items)) if may_fork() else 1
        try:
            for i in range(1, n):
                self._others.append(_started(partial(_serve, function, items[i::n], self._arrays)))
        except OSError:  # there is no memory for another process, or they may not be more
            self.close()

    def shared(self, arrays: Sequence[Matrix]) -> Sequence[Matrix]:
        """Copies of the arrays for the next call, in memory that all processes read and write."""
        if not self._others:
            return arrays
        for own, given in zip(self._arrays, arrays, strict=True):
            own[...] = given
        return self._arrays

    def results(self, function: Callable[..., R], arrays: Sequence[Matrix], *others: Any) -> Iterator[R]:
        """Results of a call for all items in their order, for the function of the start and `shared` arrays.

        Raises
        ------
        ChildProcessError
            If a process has been killed.
        """

        def call(item: T) -> R:
            return function(item, arrays, *others)

        return self._collected(call, others) if self._others else mapped(call, self._items)

    def _collected(self, call: Callable[[T], R], others: tuple[Any, ...]) -> Iterator[R]:
        left = len(self._items)
        try:
            for _, connection in self._others:
                connection.send(others)
            for i, item in enumerate(self._items):
                process = i % (len(self._others) + 1)
                found = self._received(process) if process else call(item)
                left -= 1
                yield found
        except (EOFError, ConnectionError):
            raise ChildProcessError(
                "A process that computed a share was killed, as where the memory is full. Expected fewer threads."
            ) from None
        finally:
            if left:  # results that no one waits for are under way
                self.close()

    def _received(self, process: int) -> R:
        """The next result of a fork."""
        found, error = self._others[process - 1][1].recv()
        if error is not None:
            raise error
        return found

    def close(self) -> None:
        """End the forks; threads take their place."""
        while self._others:
            process, connection = self._others.pop()
            connection.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)

    __del__ = close


def _shared(M: Matrix) -> Matrix:
    """An array like M in memory that is shared with all forks that come later."""
    order: Any = "C" if M.flags.c_contiguous else "F"
    return np.frombuffer(mmap.mmap(-1, max(M.nbytes, 1)), M.dtype, M.size).reshape(M.shape, order=order)


def _started(work: Callable[[], object]) -> tuple[int, Connection]:
    """A fork that does some work, and the connection to its standard input."""
    from multiprocessing.connection import Connection  # which the many that need no fork do not wait for

    ours, theirs = socket.socketpair()
    with ours, theirs:
        return forked(work, theirs.fileno()), Connection(ours.detach())


def _serve(function: Callable[..., R], items: Sequence[T], arrays: Sequence[Matrix]) -> None:
    """What a fork does: at every call send the results for its items."""
    from multiprocessing.connection import Connection

    os.closerange(3, DESCRIPTORS)
    with Connection(0) as connection, threaded(1):
        while True:
            others = connection.recv()
            for item in items:
                try:
                    connection.send((function(item, arrays, *others), None))
                except Exception as error:
                    connection.send((None, error))
