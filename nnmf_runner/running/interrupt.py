"""How a run is asked to end: by Ctrl-C, by the parent of a worker process, or by whoever started the sweep."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
# Those that what runs in this process obeys beside Ctrl-C.
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
    """Ask all to stop that obey one of the events that are obeyed here."""
    for event in _events:
        event.set()


def is_stopped() -> bool:
    """Whether what runs in this process has been asked to stop."""
    return any(event.is_set() for event in _events)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that an iteration ends whole; a second one raises as usual.

    Where Ctrl-C is ignored it stays so: in worker processes, which their parent stops.
    """
    event = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    with nullcontext() if ignored else _handled_by(on_signal):
        yield event


def undisturbed() -> AbstractContextManager[None]:
    """Ignore Ctrl-C, as the processes do that are started meanwhile: their parent alone decides when to stop."""
    return _handled_by(signal.SIG_IGN)


@contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    """Let a handler have Ctrl-C while the block lasts, if this is the thread that gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
