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
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Pool:
    executor: ThreadPoolExecutor
    size: int


_pool: ContextVar[_Pool | None] = ContextVar("pool", default=None)


@contextmanager
def threaded(n: int) -> Iterator[None]:
    """Give what is computed in the block `n` threads, a positive number; elsewhere there is one."""
    with ThreadPoolExecutor(n, "nnmf") as executor:  # which starts no thread before it is given work
        token = _pool.set(_Pool(executor, n) if n > 1 else None)
        try:
            yield
        finally:
            _pool.reset(token)


def n_threads() -> int:
    """How many threads there are here; one within a part that a thread works on."""
    pool = _pool.get()
    return 1 if pool is None else pool.size


def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``map(function, items)`` by the threads of the pool, in the order of the items.

    No more items than there are threads, and one that is next, are begun before the first of their results is taken,
    which bounds the memory.
    """
    pool, items = _pool.get(), list(items)
    if pool is None or len(items) == 1:
        yield from map(function, items)
        return
    begun: deque[Future[R]] = deque()
    try:
        for item in items:
            if len(begun) > pool.size:
                yield begun.popleft().result()
            begun.append(pool.executor.submit(copy_context().run, _alone, function, item))
        while begun:
            yield begun.popleft().result()
    finally:  # no part goes on behind the back of who was interrupted
        for future in begun:
            future.cancel()
        wait(begun)


def each(function: Callable[[T], object], items: Iterable[T]) -> None:
    """Call a function, which writes its results where they belong, for every item."""
    deque(mapped(function, items), maxlen=0)


def _alone(function: Callable[[T], R], item: T) -> R:
    _pool.set(None)  # in the context of this call: a part that waited for parts of its own could wait for ever
    return function(item)
