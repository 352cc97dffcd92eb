"""Where the runs of a sweep run: on this machine, or as the jobs of one of Hydra's launchers."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnmf_runner.core.checks import InputError, check_choice, check_flag, check_number, instead_of


@dataclass(frozen=True)
class Text:
    """An option of a launcher that is one line of text, or null."""

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else, and at references: what they stand for may be anything."""
        if value is not None and not (isinstance(value, str | int | float) and _is_line(str(value))):
            raise InputError(f"{name}={value} is not valid. Expected text in one line, without references.")


@dataclass(frozen=True)
class Number:
    """An option of a launcher that is an integer in a range, or null where it need not be set."""

    low: int
    high: float | None = None
    optional: bool = False

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else."""
        if not (self.optional and value is None):
            check_number(value, name, low=self.low, high=self.high, integer=True)


@dataclass(frozen=True)
class Flag:
    """An option of a launcher that is true or false."""

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else."""
        check_flag(value, name)


@dataclass(frozen=True)
class Launcher:
    """An option of `hydra/launcher`."""

    target: str  # its class, as its configuration names it
    # What may be set of it.  All else of its configuration is the program's own: it could name code or files.
    options: Mapping[str, Text | Number | Flag] = field(default_factory=dict)
    extra: str | None = None  # the extra of this package that installs it; None if it comes with Hydra
    scheduler: str | None = None  # in whose queue the jobs wait; None if they end with the launch
    local: bool = False  # whether processes of this machine share the runs, with no need of Hydra's launcher


# The launcher of a sweep that names no other.
BASIC = "basic"
LAUNCHERS = {
    BASIC: Launcher("hydra._internal.core_plugins.basic_launcher.BasicLauncher", local=True),
    "slurm": Launcher(
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
        {
            **dict.fromkeys(("timeout_min", "cpus_per_task", "array_parallelism"), Number(1)),
            **dict.fromkeys(("nodes", "tasks_per_node"), Number(1)),
            **dict.fromkeys(("max_num_timeout", "signal_delay_s"), Number(0)),
            "mem_gb": Number(1, optional=True),
            "gpus_per_node": Number(0, optional=True),
            **dict.fromkeys(("partition", "account", "qos", "constraint", "exclude", "comment"), Text()),
        },
        extra="slurm",
        scheduler="slurm",
    ),
    "ray": Launcher(
        "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
        {
            **dict.fromkeys(("ray.init.address", "ray.init.logging_level"), Text()),
            **dict.fromkeys(("ray.init.include_dashboard", "ray.init.log_to_driver"), Flag()),
            "ray.remote.num_cpus": Number(0),
            "ray.remote.memory": Number(1, 1e15, optional=True),
            "ray.remote.max_retries": Number(-1),
        },
        extra="ray",
    ),
}


def check_launcher_option(option: str, value: Any, name: Any) -> None:
    """Raise an `InputError` unless an option may be set to a value.

    `name` is the launcher that has to have the option; any may where it is none of their names.
    """
    some = [LAUNCHERS[name]] if name in LAUNCHERS else list(LAUNCHERS.values())
    options = {key: kind for launcher in some for key, kind in launcher.options.items()}
    key = f"hydra.launcher.{option}"
    if option not in options:
        owner = f"hydra/launcher={name}" if name in LAUNCHERS else "any launcher"
        expected = instead_of(option, options, below="hydra.launcher.")
        raise InputError(f"{key} is not an option of {owner} that can be set. {expected}")
    options[option].check(value, key)


def _is_line(text: str) -> bool:
    return text.isprintable() and "${" not in text


def choose_launcher(name: str) -> Launcher:
    """Return the launcher of this name; raise an `InputError` if there is none, or if it is not installed."""
    launcher = LAUNCHERS[check_launcher(name)]
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
