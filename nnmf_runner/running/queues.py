"""What schedulers can be asked of the jobs of a sweep."""

from __future__ import annotations

import logging
import re
import subprocess

from nnmf_runner.core.checks import InputError

log = logging.getLogger(__name__)


class SlurmQueue:
    """The jobs of one sweep in Slurm's queue.

    A job that Slurm kills leaves no result, and without accounting its launcher waits for it for ever.

    Parameters
    ----------
    name : str
        Name of all jobs of the sweep.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def count(self, *, ended: bool = False) -> int | None:
        """Lines of jobs that wait or run, with `ended` of those too that have just ended; None if nobody answers."""
        command = ["squeue", "--noheader", "--me", f"--name={self.name}", "--format=%i"]
        if ended:
            command.append("--states=all")
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            log.debug("squeue: %s", error)
            return None
        return len(found.stdout.split())

    def check(self, jobs: int, runs: int) -> None:
        """Refuse more jobs than one array may have, where that can be found out.

        Raises
        ------
        InputError
        """
        try:
            command = ["scontrol", "show", "config"]
            found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            log.debug("scontrol: %s", error)
            return
        limit = re.search(r"^MaxArraySize\s*=\s*(\d+)", found.stdout, re.MULTILINE)
        if limit and jobs > (most := int(limit[1])):
            raise InputError(
                f"{jobs} jobs are more than the {most} that this Slurm takes at once (MaxArraySize). "
                f"Let more runs share a job: runs_per_job={-(-runs // most)} or more."
            )

    def cancel(self, *states: str) -> None:
        """Take the jobs of these states out of the queue, as far as that can be done."""
        command = ["scancel", "--me", f"--name={self.name}"]
        for state in states:
            try:
                subprocess.run([*command, f"--state={state}"], capture_output=True, timeout=60, check=True)
            except (OSError, subprocess.SubprocessError) as error:
                log.debug("scancel: %s", error)


# By the name of the scheduler, see `nnmf_runner.config.launchers.Launcher`.
QUEUES = {"slurm": SlurmQueue}
