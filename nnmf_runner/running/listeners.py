"""What is told of the jobs of a sweep: each configuration, as its first run begins and when its last one has ended.

All of it happens in the process that was started, whatever runs the jobs: the records tell how they ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from nnmf_runner.config.cells import Cell
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.running.objective import FailedRunError, NoObjectiveError, metric_of, objective
from nnmf_runner.running.work import Key, Work, key_of

T = TypeVar("T")


class Listener(Protocol):
    """Who is told of jobs, of each by its number, and of no job twice."""

    def awaits(self, config: RunConfig) -> None:
        """Jobs such as this one are to come; an `InputError` says why they cannot be taken."""

    def begins(self, number: int, overrides: Sequence[str], config: RunConfig) -> None:
        """A job begins; the overrides compose its configuration."""

    def ends(self, number: int, config: RunConfig, result: float | Exception) -> None:
        """A job has ended, with its objective or with why it has none."""


class Best:
    """A listener that remembers the job with the best objective."""

    def __init__(self) -> None:
        self.found: tuple[float, Cell] | None = None
        self.error: NoObjectiveError | None = None
        self._overrides: dict[int, list[str]] = {}

    def awaits(self, config: RunConfig) -> None:
        """Take any job."""

    def begins(self, number: int, overrides: Sequence[str], config: RunConfig) -> None:
        """Remember what it is made of."""
        self._overrides[number] = [*overrides]

    def ends(self, number: int, config: RunConfig, result: float | Exception) -> None:
        """Compare it with the best one so far; of jobs that are as good it is the first that ended."""
        cell = Cell(self._overrides.pop(number), config)
        if isinstance(result, NoObjectiveError):
            self.error = result
        if isinstance(result, Exception):
            return
        sign = 1.0 if metric_of(config).better == "lower" else -1.0
        if self.found is None or sign * result < sign * self.found[0]:
            self.found = result, cell


class Jobs:
    """The jobs of one command, told to listeners in the order of their numbers as far as they run in it."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self.listeners = listeners
        self.count = 0
        self._waiting: dict[int, tuple[Cell, set[Key]]] = {}  # until they have ended, with their runs that have not
        self._begun: set[int] = set()
        self._numbers: dict[Key, list[int]] = {}

    def awaits(self, cells: Sequence[Cell]) -> None:
        """Let listeners say what is in the way of jobs of each experiment, before anything is written of them."""
        for config in {cell.config.folder: cell.config for cell in cells}.values():
            for listener in self.listeners:
                listener.awaits(config)

    def add(self, cells: Sequence[Cell], work: Work) -> None:
        """Take in the configurations of a sweep, of which some may be done."""
        if not self.listeners:
            return
        self._work = work
        for number, cell in enumerate(cells, self.count):
            keys = {key_of(cell.config, seed) for seed in cell.config.runs}
            self._waiting[number] = cell, keys
            for key in keys:
                self._numbers.setdefault(key, []).append(number)
        self.count += len(cells)
        self._end(work.over)

    def begun(self, config: RunConfig, seed: int | None) -> None:
        """Take note that a run has begun in a process of this machine."""
        self._begin([key_of(config, seed)] if self._waiting else [])

    def ended(self, config: RunConfig, seed: int | None) -> None:
        """Take note that a run has ended."""
        self._end({key_of(config, seed)} if self._waiting else set())

    def look(self) -> None:
        """Take note of what the work of a launcher has come to by the last look."""
        if self._waiting:
            self._begin(self._work.claimed())
            self._end(self._work.over)

    def close(self) -> None:
        """Tell that all jobs have ended whose runs have not."""
        for number in [*self._waiting]:
            self._tell_end(number)

    def _begin(self, keys: Sequence[Key]) -> None:
        for number in sorted({number for key in keys for number in self._numbers.get(key, ())}):
            self._tell_begin(number)

    def _end(self, over: set[Key]) -> None:
        for number, (_, left) in [*self._waiting.items()]:
            left -= over
            if not left:
                self._tell_end(number)

    def _tell_begin(self, number: int) -> None:
        if number in self._waiting and number not in self._begun:
            self._begun.add(number)
            cell, _ = self._waiting[number]
            for listener in self.listeners:
                listener.begins(number, cell.overrides, cell.config)

    def _tell_end(self, number: int) -> None:
        self._tell_begin(number)
        cell, _ = self._waiting.pop(number)
        result = result_of(cell.config)
        for listener in self.listeners:
            listener.ends(number, cell.config, result)


def tell_of_one(config: RunConfig, listeners: Sequence[Listener], run: Callable[[], T]) -> T:
    """Run a single configuration, as the one job that there is; return what comes of it."""
    for listener in listeners:
        listener.awaits(config)
    for listener in listeners:
        listener.begins(0, [], config)
    try:
        return run()
    finally:
        for listener in listeners:
            listener.ends(0, config, result_of(config))


def result_of(config: RunConfig) -> float | Exception:
    """The objective of a configuration, or why it has none."""
    try:
        return objective(config)
    except (FailedRunError, InputError) as error:
        return error.with_traceback(None)  # which would say nothing to a reader of a log
