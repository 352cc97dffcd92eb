"""What chooses the configurations of a sweep, and what listens to its jobs: names in a table, whose classes are known.

Of a sweeper or callback that is in no table nobody knows what it would do: it is refused.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnmf_runner.config.launchers import Flag, Number, Text
from nnmf_runner.core.checks import InputError, check_choice, check_number, instead_of
from nnmf_runner.store.files import without_passwords

BASIC_SWEEPER, TPE = "basic", "tpe"
DIRECTIONS = ("minimize", "maximize")
# File of SQLite, and the databases that have a server.
_FILE = re.compile(r"sqlite:///([^?#]+\.(?:db|sqlite3?))")
_SERVER = re.compile(r"(?:postgresql|mysql)(?:\+\w+)?://.+")


@dataclass(frozen=True)
class Real:
    """An option that is a number in a range, or null where it need not be set."""

    low: float
    high: float | None = None
    optional: bool = False

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else."""
        if not (self.optional and value is None):
            check_number(value, name, low=self.low, high=self.high)


@dataclass(frozen=True)
class Direction:
    """Whether the objective is to be low or high; null for what its metric says."""

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else, several directions among it."""
        if value is not None:
            check_choice(getattr(value, "name", value), DIRECTIONS, name)


@dataclass(frozen=True)
class Storage:
    """A database in a file, or on a server; null for the one of the program."""

    def check(self, value: Any, name: str) -> None:
        """Raise an `InputError` at anything else: Optuna would make a database of any file."""
        Text().check(value, name)
        if value is not None and not (_FILE.fullmatch(str(value)) or _SERVER.fullmatch(str(value))):
            raise InputError(
                f"{name}={without_passwords(str(value))} is not valid. Expected sqlite:///FILE.db, the address of a "
                "server such as postgresql://host/name, or null for a file in the experiment's folder."
            )


@dataclass(frozen=True)
class Sweeper:
    """An option of `hydra/sweeper`, with what may be set of it: all else could name code or files."""

    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: str | None = None  # the extra of this package that installs it; None if it comes with Hydra


_TREE = {
    "seed": Number(0, optional=True),
    "n_startup_trials": Number(0),
    "n_ei_candidates": Number(1),
    "prior_weight": Real(0),
    **dict.fromkeys(("consider_prior", "consider_magic_clip", "consider_endpoints", "multivariate"), Flag()),
}
_CMAES = {"seed": Number(0, optional=True), "sigma0": Real(0, optional=True), "use_separable_cma": Flag()}
_NSGAII = {
    "seed": Number(0, optional=True),
    "population_size": Number(2),
    "mutation_prob": Real(0, 1, optional=True),
    **dict.fromkeys(("crossover_prob", "swapping_prob"), Real(0, 1)),
}
# Options of `hydra/sweeper/sampler`, each with what may be set of it.
SAMPLERS: dict[str, dict[str, Any]] = {
    TPE: _TREE,
    "random": {"seed": Number(0, optional=True)},
    "cmaes": _CMAES,
    "nsgaii": _NSGAII,
}
SWEEPERS = {
    BASIC_SWEEPER: Sweeper("hydra._internal.core_plugins.basic_sweeper"),
    "optuna": Sweeper(
        "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper",
        {
            **dict.fromkeys(("n_trials", "n_jobs"), Number(1)),
            "direction": Direction(),
            "storage": Storage(),
            "study_name": Text(),
            "max_failure_rate": Real(0, 1),
        },
        extra="optuna",
    ),
}
# What a sweeper is by default, where that is not what its plugin says.
PRESETS = {
    "optuna": {
        "defaults": [{"sampler": TPE}],
        "_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
        # That in which the metric of the objective is better.
        "direction": None,
        # A file in the folder of the experiment, and a name that the search determines.
        "storage": None,
        "study_name": None,
        # Trials with a number, those of earlier calls among them, and how many are asked for at once.
        "n_trials": 20,
        "n_jobs": 2,
        # A run may fail, as in any sweep.
        "max_failure_rate": 1.0,
        "search_space": None,
        "custom_search_space": None,
        "params": None,
    }
}
# Callbacks of `hydra.callbacks` by what names their class; none of them takes any option.
CALLBACKS = {"log_job_return": "hydra.experimental.callbacks.LogJobReturnCallback"}


def check_sweeper(name: Any) -> str:
    """Return the name of a sweeper; raise an `InputError` if there is none, or if it is not installed."""
    sweeper = SWEEPERS[check_choice(name, SWEEPERS, "hydra/sweeper")]
    try:
        found = importlib.util.find_spec(sweeper.module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise InputError(
            f"hydra/sweeper={name} needs a package that is not installed: pip install 'nnmf-runner[{sweeper.extra}]'"
        )
    return str(name)


def check_sampler(name: Any) -> str:
    """Return the name of a sampler of Optuna's, or raise an `InputError` that says what there is."""
    if name == "grid":
        raise InputError(
            f"hydra/sweeper/sampler=grid is not needed. Expected hydra/sweeper={BASIC_SWEEPER}, which runs every "
            "combination."
        )
    return check_choice(name, SAMPLERS, "hydra/sweeper/sampler")


def check_callbacks(name: Any) -> None:
    """Raise an `InputError` unless `hydra/callbacks` names callbacks of this program."""
    for each in name if isinstance(name, list) else [name]:
        check_choice(each, CALLBACKS, "hydra/callbacks")


def check_sweeper_option(option: str, value: Any, sweeper: Any, sampler: Any) -> None:
    """Raise an `InputError` unless an option may be set to a value.

    `sweeper` and `sampler` are the names of what has to have it; any may where it is none of them.
    """
    key, head = f"hydra.sweeper.{option}", "sampler."
    own: dict[str, Any] = {}
    for each in [SWEEPERS[sweeper]] if sweeper in SWEEPERS else SWEEPERS.values():
        own |= each.options
    if own:
        for some in [SAMPLERS[sampler]] if sampler in SAMPLERS else SAMPLERS.values():
            own |= {f"{head}{name}": kind for name, kind in some.items()}
    if option not in own:
        owner = f"hydra/sweeper={sweeper}" if sweeper in SWEEPERS else "any sweeper"
        expected = instead_of(option, own, below="hydra.sweeper.")
        raise InputError(f"{key} is not an option of {owner} that can be set. {expected}")
    own[option].check(value, key)


def check_callback_option(option: str, value: Any) -> None:
    """Raise an `InputError` unless an option of `hydra.callbacks` names the class of a callback of this program."""
    key = f"hydra.callbacks.{option}"
    whole = value if isinstance(value, Mapping) else {"_target_": value} if option.endswith("._target_") else None
    if whole is None or set(whole) != {"_target_"} or whole["_target_"] not in CALLBACKS.values():
        known = ", ".join(f"hydra/callbacks={name}" for name in CALLBACKS)
        raise InputError(
            f"{key} cannot be set to {value}: it could name code to run. Expected a callback of this program: {known}."
        )
