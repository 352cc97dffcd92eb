"""Launch a sweep and follow it to its end.

A launcher may wait for ever for a job that was killed, or end when one worker of many was: what became of the runs is
read from their records alone.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence

from tqdm import tqdm

from nnmf_runner.config.composition import Sweep
from nnmf_runner.config.launchers import Launcher, choose_launcher
from nnmf_runner.config.messages import as_options
from nnmf_runner.core.checks import InputError
from nnmf_runner.running.jobs import launch_jobs, make_jobs
from nnmf_runner.running.queues import QUEUES, SlurmQueue
from nnmf_runner.running.work import Work
from nnmf_runner.store.status import Status
from nnmf_runner.task import check_sweep

log = logging.getLogger(__name__)

# Seconds between two looks at the records, between two questions to a scheduler, between two lines in a log, and until
# jobs that were asked to stop are left alone.
LOOK, ASK, LINE, FAREWELL = 1.0, 10.0, 60.0, 30.0


def run_sweep(sweep: Sweep) -> Status:
    """Run what a sweep wants and is not done yet.

    Raises
    ------
    InputError
        If the launcher or a configuration is not acceptable, before anything runs; or if no job could be launched.
    OSError
        If records cannot be written.
    """
    launcher = choose_launcher(sweep.launcher, sweep.target)
    cells = list(sweep.cells)
    if any(cell.config.threads != sweep.threads for cell in cells):
        raise InputError("threads differs within the sweep. Expected one number for all: make it several sweeps.")
    check_sweep(cell.config for cell in cells)
    work = Work(cells)
    log.info("%s", work.opening(sweep.launcher))
    try:
        with Progress(work) as progress:
            _launch_all(sweep, launcher, work, progress)
    finally:
        work.remove_stop_files()
    status = work.status()
    if status.complete:
        work.remove_logs()
    for folder in work.logs():
        log.info("What the jobs printed is in %s", folder)
    return status


def _launch_all(sweep: Sweep, launcher: Launcher, work: Work, progress: Progress) -> None:
    """Launch what is pending; again where a killed worker took jobs with it that had not begun."""
    stalls = 0  # launches of which nothing came, such as when a worker is killed while it loads the data
    while stalls < 2 and not work.is_stopped():
        pending = work.pending()
        if pending:
            launch = Launch(sweep, launcher, work.name, make_jobs(pending, launcher))
            if launch.queue:
                launch.queue.check(len(launch.jobs), len(pending))
            launch.run(work, progress)
            work.look()
            stalled = len(work.pending()) == len(pending)
            stalls += stalled
            if launcher.scheduler or not stalled or stalls == 2:
                launch.raise_errors(nothing_ran=stalled)
        while work.others_at_work():  # another launcher, on the same folder
            time.sleep(LOOK)
            work.look()
            progress.show()
        if launcher.scheduler or not work.pending():
            break


class Launch:
    """One call of a Hydra launcher, and what it returned or raised.

    Parameters
    ----------
    sweep : Sweep
    launcher : Launcher
    name : str
        Of all jobs.
    jobs : sequence of list of str
        The overrides of each.
    """

    def __init__(self, sweep: Sweep, launcher: Launcher, name: str, jobs: Sequence[list[str]]) -> None:
        self.sweep, self.launcher, self.name, self.jobs = sweep, launcher, name, jobs
        self.queue: SlurmQueue | None = QUEUES[launcher.scheduler](name) if launcher.scheduler else None
        self.ended = threading.Event()
        self.error: Exception | None = None  # of the launcher
        self.errors: list[Exception] = []  # of the jobs

    def run(self, work: Work, progress: Progress) -> None:
        """Launch and wait, following the records meanwhile; the first Ctrl-C asks the jobs to stop."""
        if self.launcher.in_process:
            follower = threading.Thread(target=self._follow_quietly, args=(work, progress), daemon=True)
            follower.start()
            self._launch()
            follower.join()
            return
        threading.Thread(target=self._launch, daemon=True).start()
        try:
            self._follow(work, progress)
        except KeyboardInterrupt:
            work.stop()
            if self.queue:
                self.queue.cancel("PENDING", "RUNNING")
            self.ended.wait(FAREWELL)
            raise

    def _launch(self) -> None:
        try:
            self.errors += launch_jobs(self.sweep, self.name, self.jobs)
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    def _follow(self, work: Work, progress: Progress) -> None:
        """Show how far the runs are until the launcher has returned, or until its queue has been emptied."""
        period, asked, queued, empty = LOOK, time.monotonic(), False, 0
        while not self.ended.wait(period) or self._leaves_jobs():
            started = time.monotonic()
            work.look()
            progress.show()
            period = max(LOOK, 20 * (time.monotonic() - started))  # a slow file system is left alone most of the time
            if work.fail_fast and work.failed and not work.is_stopped():
                work.stop()
                if self.queue:
                    self.queue.cancel("PENDING")
            if self.queue and started - asked > ASK:
                asked, count = started, self.queue.count()
                queued = queued or bool(count or self.queue.count(ended=True))  # it may have ended since the last time
                empty = empty + 1 if queued and count == 0 else 0
                if empty == 2:  # a job that is about to enter or to leave may be seen nowhere for a moment
                    return

    def _leaves_jobs(self) -> bool:
        """Whether a launcher that has ended at the first job that was lost has others in the queue."""
        if not (self.error and self.queue and self.queue.count()):
            return False
        time.sleep(ASK)
        return True

    def _follow_quietly(self, work: Work, progress: Progress) -> None:
        try:
            self._follow(work, progress)
        except (InputError, OSError) as error:  # which whoever launched finds, too
            log.debug("%s", error)

    def raise_errors(self, *, nothing_ran: bool) -> None:
        """Raise what kept records from being written, or all jobs from running; report the rest."""
        for error in self.errors:
            if isinstance(error, OSError):
                raise error
        for error in filter(None, [self.error, *self.errors]):
            line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if nothing_ran:
                raise InputError(f"hydra/launcher={self.sweep.launcher} could not run a job: {line}")
            log.warning("%s: %s", type(error).__name__, as_options(line))


class Progress:
    """One live line on a terminal, one line a minute in a log."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.started, self.done_before = time.monotonic(), len(work.over)
        self._next_line = self.started + LINE

    def __enter__(self) -> Progress:
        terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=len(self.work.runs), initial=self.done_before, unit="run", disable=not terminal, leave=False
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def show(self) -> None:
        """Bring it up to date."""
        over, failed = len(self.work.over), self.work.failed
        self.bar.set_postfix_str(f"{self.work.running()} running, {failed} failed", refresh=False)
        self.bar.update(over - self.bar.n)
        self.bar.refresh()
        if self.bar.disable and time.monotonic() >= self._next_line:
            self._next_line += LINE
            log.info("%d of %d done, %d failed, %s left", over - failed, len(self.work.runs), failed, self._left())

    def _left(self) -> str:
        """Time that the rest takes at the pace so far."""
        finished = len(self.work.over) - self.done_before
        if not finished:
            return "unknown time"
        seconds = (time.monotonic() - self.started) / finished * (len(self.work.runs) - len(self.work.over))
        return str(tqdm.format_interval(seconds))
