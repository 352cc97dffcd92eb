"""The queues of schedulers: how many jobs of a sweep they hold, and taking them out."""

from __future__ import annotations

import logging
import re
import subprocess

from nnmf_runner.core.checks import InputError

log = logging.getLogger(__name__)


class SlurmQueue:
    """The jobs of one sweep in Slurm's queue.

    A job that Slurm kills leaves no result, and without accounting its launcher waits for it for ever.
    """

    def __init__(self, name: str) -> None:
        self.name = name  # of all its jobs

    def count(self, *, ended: bool = False) -> int | None:
        """Number of jobs that wait or run, with `ended` also of those that have just ended; None if nobody answers."""
        states = ["--states=all"] if ended else []
        found = _answer("squeue", "--noheader", "--me", f"--name={self.name}", "--format=%i", *states)
        return None if found is None else len(found.split())

    def check(self, jobs: int, runs: int) -> None:
        """Raise an `InputError` at more jobs than one array may have, where that can be found out."""
        limit = re.search(r"^MaxArraySize\s*=\s*(\d+)", _answer("scontrol", "show", "config") or "", re.MULTILINE)
        if limit and jobs > (most := int(limit[1])):
            raise InputError(
                f"{jobs} jobs are more than the {most} that this Slurm takes at once (MaxArraySize). "
                f"Let more runs share a job: runs_per_job={-(-runs // most)} or more."
            )

    def cancel(self, *states: str) -> None:
        """Take the jobs of these states out of the queue, as far as that can be done."""
        for state in states:
            _answer("scancel", "--me", f"--name={self.name}", f"--state={state}")


def _answer(*command: str) -> str | None:
    """What a command prints; None if it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("%s: %s", command[0], error)
        return None


# By the name of the scheduler, see `nnmf_runner.config.launchers.Launcher`.
QUEUES = {"slurm": SlurmQueue}
