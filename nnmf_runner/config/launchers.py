"""Where the runs of a sweep run: on this machine, or as the jobs of one of Hydra's launchers."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass

from nnmf_runner.core.checks import InputError


@dataclass(frozen=True)
class Launcher:
    """An option of `hydra/launcher`.

    Attributes
    ----------
    target : str
        Its class, as its configuration names it.
    extra : str or None
        The extra of this package that installs it; None if it comes with Hydra.
    scheduler : str or None
        The scheduler in whose queue the jobs wait; None if they end with the launch.
    local : bool
        Whether processes of this machine share the runs, with no need of Hydra's launcher.
    """

    target: str
    extra: str | None = None
    scheduler: str | None = None
    local: bool = False


# The launcher of a sweep that names no other.
BASIC = "basic"
LAUNCHERS = {
    BASIC: Launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher", local=True),
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
    """Say that there is no such launcher, and what to ask for instead."""
    if name == "joblib":
        return "hydra/launcher=joblib is not needed. Expected workers=N instead, or workers=null for one per core."
    near = difflib.get_close_matches(name, LAUNCHERS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"hydra/launcher={name} is not known. Expected one of: {', '.join(sorted(LAUNCHERS))}.{hint}"


def _has_module(target: str) -> bool:
    try:
        return importlib.util.find_spec(target.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False
