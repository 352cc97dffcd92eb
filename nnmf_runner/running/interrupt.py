"""How a run is asked to end: by Ctrl-C, by the parent of a worker process, or by whoever launched its job."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any


class StopFile:
    """An event for every process that sees a file system: whether a file is there."""

    # Seconds between two looks: iterations may take microseconds, and a look at a network file system milliseconds.
    PERIOD = 0.5

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found = False
        self._next_look = 0.0

    def is_set(self) -> bool:
        """Whether to stop."""
        if not self._found and time.monotonic() >= self._next_look:
            self._found = self.path.exists()
            self._next_look = time.monotonic() + self.PERIOD
        return self._found

    def set(self) -> None:
        """Ask to stop."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._found = True


StopEvent = threading.Event | StopFile
# Events that the runs in this process obey, beside Ctrl-C.
_events: list[StopEvent] = []


@contextmanager
def stopped_by(event: StopEvent) -> Iterator[None]:
    """Obey an event while the block lasts."""
    _events.append(event)
    try:
        yield
    finally:
        _events.remove(event)


def stop_all() -> None:
    """Ask everything to stop that obeys one of the events that this process obeys."""
    for event in _events:
        event.set()


def is_stopped() -> bool:
    """Whether what runs in this process has been asked to stop."""
    return any(event.is_set() for event in _events)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that an iteration ends whole; a second one raises as usual.

    Where Ctrl-C is ignored it stays so.
    """
    event = threading.Event()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield event
        return

    def on_signal(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started meanwhile never get it, since their parent decides when to stop."""
    resource_tracker.ensure_running()  # or the first process to start would start it, which lets Ctrl-C through
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
