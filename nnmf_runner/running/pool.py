"""The engine of all runs on one machine: one after the other in this process, or shared out to several processes."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import cast

from tqdm import tqdm

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.threads import NAME
from nnmf_runner.running.interrupt import interruptible, is_stopped, stop_all, stopped_by, undisturbed
from nnmf_runner.running.run import Outcome, run_one
from nnmf_runner.running.run import log as runs_log
from nnmf_runner.store.record import INTERRUPTED

# A configuration and the seed of one trial of it; None for the consensus of all trials.
Task = tuple[RunConfig, int | None]
Ended = tuple[Task, Outcome | None]


def _ignore(config: RunConfig, seed: int | None) -> None:
    """Take no note of a task that begins."""


def run_tasks(
    tasks: Sequence[Task],
    workers: int,
    *,
    alone: bool = False,
    begun: Callable[[RunConfig, int | None], None] = _ignore,
) -> Iterator[Ended]:
    """Run tasks, and yield each with what came of it (see `run_one`) as soon as it has ended.

    A process that is killed takes the task with it that it was at; another process takes its place.

    Parameters
    ----------
    tasks : sequence of (RunConfig, int)
        Neighbours should share their data: every process remembers the dataset that it loaded last.
    workers : int
        Number of processes.  With one, the tasks run in this process.
    alone : bool
        Whether the tasks are all that is asked for, and none of a sweep: then data that do not fit are an error, and a
        run in this process has a progress bar.
    begun : callable
        Called in this process with every task that is handed out.

    Raises
    ------
    InputError, OSError
        See `run_one`.  The first error stops all tasks.
    KeyboardInterrupt
        If the user has told this process to stop.
    """
    workers = min(workers, len(tasks))
    return _Crew(tasks, workers, alone, begun).run() if workers > 1 else _in_turn(tasks, alone, begun)


def _in_turn(tasks: Sequence[Task], alone: bool, begun: Callable[[RunConfig, int | None], None]) -> Iterator[Ended]:
    for config, seed in tasks:
        begun(config, seed)
        outcome = run_one(config, seed, bar=alone, refuse=alone)
        yield (config, seed), outcome
        if is_stopped():
            return
        if outcome and outcome.record["status"] == INTERRUPTED:
            raise KeyboardInterrupt


class _Crew:
    """Processes that are handed tasks over connections, the next one when they have sent what came of the last."""

    def __init__(
        self, tasks: Sequence[Task], size: int, refuse: bool, begun: Callable[[RunConfig, int | None], None] = _ignore
    ) -> None:
        self.waiting, self.size, self.refuse, self.begun = deque(tasks), size, refuse, begun
        self.processes: dict[Connection, BaseProcess] = {}
        self.tasks: dict[Connection, Task] = {}  # in flight
        self.error: Exception | None = None
        self.ends = False

    def run(self) -> Iterator[Ended]:
        """Run all tasks; the first Ctrl-C lets the iterations in flight end, the second one kills the processes."""
        with interruptible() as interrupted:
            try:
                while self.waiting or self.processes:
                    while self.waiting and len(self.processes) < self.size:
                        self._start()
                    for connection in wait([*self.processes], timeout=0.05):
                        yield from self._collect(cast(Connection, connection))
                    if not self.ends and (self.error or interrupted.is_set() or is_stopped()):
                        self._stop()
            finally:
                for connection in [*self.processes]:
                    self._end(connection)
        if self.error:
            raise self.error
        if interrupted.is_set():
            raise KeyboardInterrupt

    def _start(self) -> None:
        context = get_context("spawn")
        connection, theirs = context.Pipe()
        options = (theirs, self.refuse, runs_log.getEffectiveLevel())
        process = context.Process(target=_serve, args=options, daemon=True)
        with undisturbed():
            process.start()
        theirs.close()
        self.processes[connection] = process
        self._hand_out(connection)

    def _hand_out(self, connection: Connection) -> None:
        """Send the next task to a process, or None where there are no more."""
        if self.waiting:
            self.tasks[connection] = self.waiting.popleft()
            self.begun(*self.tasks[connection])
        with suppress(OSError):  # it has been killed, which `_collect` finds out
            connection.send(self.tasks.get(connection))

    def _collect(self, connection: Connection) -> Iterator[Ended]:
        """Receive what came of a task, or the end of the process."""
        task = self.tasks.pop(connection, None)
        try:
            outcome, error, stopped = connection.recv()
        except (EOFError, OSError):
            self._end(connection)
            return
        if stopped and not self.ends:  # by a run that failed, with fail_fast
            stop_all()
        self.error = self.error or error
        self._hand_out(connection)
        if task and not error:
            yield task, outcome

    def _stop(self) -> None:
        """Ask all processes to end."""
        self.ends = True
        self.waiting.clear()
        for connection in self.processes:
            with suppress(OSError):
                connection.send(None)

    def _end(self, connection: Connection) -> None:
        """Close the connection to a process, which kills it if it has not ended yet."""
        connection.close()
        self.processes.pop(connection).join()


def _serve(connection: Connection, refuse: bool, level: int) -> None:
    """Run the tasks that come over a connection; None stops the one in flight, and is the last."""
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    tqdm.set_lock(threading.RLock())  # by default a semaphore, which is warned of when a killed process has left it
    tasks: SimpleQueue[Task | None] = SimpleQueue()
    stop = threading.Event()

    def listen() -> None:
        try:
            while True:
                tasks.put(task := connection.recv())
                if task is None:
                    stop.set()
        finally:
            os._exit(1)  # the parent has been killed, maybe as it wrote, or does not wait

    threading.Thread(target=listen, name=f"{NAME}-listen", daemon=True).start()
    with stopped_by(stop):
        while task := tasks.get():
            outcome = error = None
            try:
                outcome = run_one(*task, refuse=refuse)
            except Exception as caught:
                error = caught
            connection.send((outcome, error, stop.is_set()))
