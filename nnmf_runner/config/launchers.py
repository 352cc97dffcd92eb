"""Hydra's launchers, which run the jobs of a sweep."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from nnmf_runner.core.checks import InputError, check_choice


@dataclass(frozen=True)
class Launcher:
    """One of Hydra's launchers.

    Attributes
    ----------
    target : str
        Its class, as its configuration names it.
    extra : str or None
        The extra of this package that installs it; None if it comes with Hydra.
    scheduler : str or None
        The scheduler in whose queue the jobs wait; None if they end with the launch.
    in_process : bool
        Whether jobs run in the process that launches them.
    """

    target: str
    extra: str | None = None
    scheduler: str | None = None
    in_process: bool = False


# The launcher of a sweep that names no other: it runs one job after the other, in its own process.
BASIC = "basic"
LAUNCHERS = {
    BASIC: Launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher", in_process=True),
    "joblib": Launcher("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "joblib"),
    "slurm": Launcher("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "slurm", "slurm"),
    "ray": Launcher("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", "ray"),
}


def choose_launcher(name: str, target: str) -> Launcher:
    """Return the launcher of this name, if it is installed.

    Parameters
    ----------
    name : str
        The option of `hydra/launcher`.
    target : str
        The class that the composed configuration names.

    Raises
    ------
    InputError
        If there is no such launcher, if it is not installed, or if the configuration names another class.
    """
    check_choice(name, LAUNCHERS, "hydra/launcher")
    launcher = LAUNCHERS[name]
    if target != launcher.target:
        raise InputError(f"hydra.launcher._target_={target} is not valid. Expected {launcher.target}.")
    if not _has_module(launcher.target):
        raise InputError(
            f"hydra/launcher={name} needs a package that is not installed: pip install 'nnmf-runner[{launcher.extra}]'"
        )
    return launcher


def _has_module(target: str) -> bool:
    try:
        return importlib.util.find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
