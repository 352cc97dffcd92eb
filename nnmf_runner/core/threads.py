"""One pool of threads for the parts of a computation, whose results do not depend on how many threads there are.

Work is cut into the same parts whatever their number, and what the parts give is added up in one order.  Numpy and
scipy let go of the interpreter while they compute, so parts that are arrays of some size run side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# What the names of threads begin with that hold no lock which a fork takes.
NAME = "nnmf"


@dataclass(frozen=True)
class _Pool:
    executor: ThreadPoolExecutor
    size: int


_pool: ContextVar[_Pool | None] = ContextVar("pool", default=None)


@contextmanager
def threaded(n: int) -> Iterator[None]:
    """Give what is computed in the block `n` threads, a positive number; elsewhere there is one."""
    # The executor starts no thread before it is given work, and none for the share of the thread that asks.
    with ThreadPoolExecutor(max(1, n - 1), NAME) as executor:
        token = _pool.set(_Pool(executor, n) if n > 1 else None)
        try:
            yield
        finally:
            _pool.reset(token)


def n_threads() -> int:
    """How many threads there are here; one within a part that a thread works on."""
    pool = _pool.get()
    return 1 if pool is None else pool.size


class _Call(Generic[R]):
    """A call that is made by a thread of the pool, or by the one that waits for it: who comes first."""

    def __init__(self, pool: _Pool, function: Callable[[T], R], item: T) -> None:
        self._work: Callable[[], R] = partial(copy_context().run, _alone, function, item)
        self.future = pool.executor.submit(self._work)

    def made_here(self) -> bool:
        """Make the call, unless it is begun or over."""
        if not self.future.cancel():
            return False
        made: Future[R] = Future()
        try:
            made.set_result(self._work())
        except Exception as error:
            made.set_exception(error)  # raised when it is its turn
        self.future = made
        return True


def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map(function, items)`` by the threads of the pool and the one that asks, in the order of the items.

    No more items than there are threads, and one that is next, are begun before the first of their results is taken,
    which bounds the memory.
    """
    pool, items = _pool.get(), list(items)
    if pool is None or len(items) == 1:
        yield from map(function, items)
        return
    begun: deque[_Call[R]] = deque()

    def first() -> R:
        # A thread that only waited would have to be woken up, in place of others that have work to do.
        while not begun[0].future.done() and any(call.made_here() for call in begun):
            pass
        return begun.popleft().future.result()

    try:
        for item in items:
            if len(begun) > pool.size:
                yield first()
            begun.append(_Call(pool, function, item))
        while begun:
            yield first()
    finally:  # no part goes on behind the back of who was interrupted
        for call in begun:
            call.future.cancel()
        wait([call.future for call in begun])


def each(function: Callable[[T], object], items: Iterable[T]) -> None:
    """Call a function, which writes its results where they belong, for every item."""
    deque(mapped(function, items), maxlen=0)


def _alone(function: Callable[[T], R], item: T) -> R:
    _pool.set(None)  # in the context of this call: a part that waited for parts of its own could wait for ever
    return function(item)
