"""Where the runs of a sweep run: on this machine, or as the jobs of one of Hydra's launchers."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from nnmf_runner.core.checks import InputError, check_choice


@dataclass(frozen=True)
class Launcher:
    """An option of `hydra/launcher`."""

    target: str  # its class, as its configuration names it
    extra: str | None = None  # the extra of this package that installs it; None if it comes with Hydra
    scheduler: str | None = None  # in whose queue the jobs wait; None if they end with the launch
    local: bool = False  # whether processes of this machine share the runs, with no need of Hydra's launcher


# The launcher of a sweep that names no other.
BASIC = "basic"
LAUNCHERS = {
    BASIC: Launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher", local=True),
    "slurm": Launcher("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", "slurm", "slurm"),
    "ray": Launcher("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", "ray"),
}


def choose_launcher(name: str, target: str) -> Launcher:
    """Return the launcher of this name; `target` is the class that the composed configuration names.

    Raises
    ------
    InputError
        If there is no such launcher, if it is not installed, or if the configuration names another class.
    """
    launcher = LAUNCHERS[check_launcher(name)]
    if target != launcher.target:
        raise InputError(f"hydra.launcher._target_={target} is not valid. Expected {launcher.target}.")
    if not _has_module(launcher.target):
        raise InputError(
            f"hydra/launcher={name} needs a package that is not installed: pip install 'nnmf-runner[{launcher.extra}]'"
        )
    return launcher


def check_launcher(name: str) -> str:
    """Return the name of a launcher, or raise an `InputError` that says what to ask for instead."""
    if name == "joblib":
        raise InputError(
            "hydra/launcher=joblib is not needed. Expected workers=N instead, or workers=null for one per core."
        )
    return check_choice(name, LAUNCHERS, "hydra/launcher")


def _has_module(target: str) -> bool:
    try:
        return importlib.util.find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
