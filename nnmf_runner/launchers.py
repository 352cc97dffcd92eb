"""Where the jobs of a sweep run: Hydra's own launchers, and what can be asked of them."""

from __future__ import annotations

import difflib
import importlib.util
import logging
import re
import subprocess
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Launcher:
    """One of Hydra's launchers.

    Attributes
    ----------
    target : str
        Its class, as its configuration names it.
    extra : str or None
        The extra of this package that installs it; None if it comes with Hydra.
    queue : type or None
        How to ask a scheduler for its jobs; None if they end with the launch.
    in_process : bool
        Whether jobs run in the process that launches them.
    """

    target: str
    extra: str | None = None
    queue: type[SlurmQueue] | None = None
    in_process: bool = False


# The one that a sweep has if it names no other: one job after the other, in the same process.
BASIC = "basic"
LAUNCHERS = {
    BASIC: Launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher", in_process=True),
    "joblib": Launcher("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "joblib"),
    "slurm": Launcher("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "slurm", SlurmQueue),
    "ray": Launcher("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", "ray"),
}


def choose_launcher(name: str, target: str) -> Launcher:
    """The launcher of this name, if it is installed.

    Parameters
    ----------
    name : str
        The option of `hydra/launcher`.
    target : str
        The class that the composed configuration names.

    Raises
    ------
    InputError
        If there is none of this name, if it is not installed, or if its class is not the one it should be.
    """
    if name not in LAUNCHERS:
        raise InputError(unknown_launcher(name))
    launcher = LAUNCHERS[name]
    if target != launcher.target:
        raise InputError(f"hydra.launcher._target_={target} is not valid. Expected {launcher.target}.")
    if not _has_module(launcher.target):
        raise InputError(
            f"hydra/launcher={name} needs a package that is not installed: pip install 'nnmf-runner[{launcher.extra}]'"
        )
    return launcher


def unknown_launcher(name: str) -> str:
    """One line on a launcher that does not exist."""
    near = difflib.get_close_matches(name, LAUNCHERS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"hydra/launcher={name} is not known. Expected one of: {', '.join(sorted(LAUNCHERS))}.{hint}"


def _has_module(target: str) -> bool:
    try:
        return importlib.util.find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
