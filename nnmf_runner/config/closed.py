"""What may be set of Hydra's own options, which can name any class to be called and any file to be written: little.

A configuration runs no code.  It comes from the files of this package alone, and of Hydra's section these and the
command line may choose a launcher, a sweeper and callbacks of a table, set plain options of them, and say whether there
is a sweep and over what.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, Sweep
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnmf_runner.config.launchers import BASIC, check_launcher_option
from nnmf_runner.config.published import conf_dir
from nnmf_runner.config.sweepers import BASIC_SWEEPER, TPE, check_callback_option, check_sweeper_option
from nnmf_runner.core.checks import InputError, check_choice, check_flag, hint

# What may be chosen by name, and what has it where nobody has.
LAUNCHER, SWEEPER, SAMPLER, CALLBACKS = (
    "hydra/launcher",
    "hydra/sweeper",
    "hydra/sweeper/sampler",
    "hydra/callbacks",
)
CHOSEN = {LAUNCHER: BASIC, SWEEPER: BASIC_SWEEPER, SAMPLER: TPE, CALLBACKS: None}
# What is part of a name below `hydra.launcher` and of no other option, and so on.
_LAUNCHER, _SWEEPER, _CALLBACKS = "launcher.", "sweeper.", "callbacks."
# What Hydra notes of a composition, and what a sweep is over: the overrides made of it are checked like all others.
_NOTED = ("runtime.", "job.name", "job.override_dirname", "sweeper.params.")


def refuse_closed(overrides: Iterable[Override]) -> None:
    """Raise an `InputError` at an override that sets what is closed, or that puts a part in another one's place."""
    overrides = list(overrides)
    named = {override.key_or_group: override.value() for override in overrides}
    defaults = dict.fromkeys(CHOSEN) if "experiment" in named else CHOSEN  # which may choose some, too
    chosen = {**defaults, **named}
    for override in overrides:
        key, value = override.key_or_group, override.value()
        if override.package is not None or ("/" in key and key not in CHOSEN):
            raise InputError(
                f"{override.input_line} cannot be set. Expected name=value, as nnmf-run --help lists."
                f"{hint(key, CHOSEN)}"
            )
        if not override.is_hydra_override():
            continue
        if isinstance(value, Sweep):
            raise InputError(f"{override.input_line} cannot be swept over. Expected one value for the whole sweep.")
        if key not in CHOSEN:
            _check(key.removeprefix("hydra."), value, chosen, removed=override.is_delete())


def refuse_changes(section: DictConfig, own: DictConfig, overrides: Sequence[str]) -> None:
    """Raise an `InputError` if a composed section `hydra` is not the program's own but for what may be set.

    Hydra composes jobs from the overrides that it notes there, which have to be those that were given.
    """
    chosen = {group: section.runtime.choices.get(group) for group in CHOSEN}
    composed, expected = (dict(_leaves(OmegaConf.to_container(each))) for each in (section, own))
    noted = composed.pop("overrides.hydra"), composed.pop("overrides.task")
    if sorted(itertools.chain(*noted)) != sorted(overrides):
        _check("overrides", noted, chosen)
    del expected["overrides.hydra"], expected["overrides.task"]
    expected.pop("callbacks")  # none, of which nothing is left where there are some
    if composed.get("callbacks") == {}:
        del composed["callbacks"]
    for key in sorted(composed.keys() | expected.keys()):
        value = composed.get(key)
        if value != expected.get(key, ...) and not key.startswith(_NOTED):
            _check(key, value, chosen)


def _check(key: str, value: Any, chosen: Mapping[str, Any], *, removed: bool = False) -> None:
    """Raise an `InputError` unless an option of Hydra may be set to a value, with what is chosen by name."""
    if removed:
        raise InputError(f"~hydra.{key} is not valid. Expected a value, as in hydra.{key}=VALUE.")
    if key == "mode":
        if value is not None:
            check_choice(getattr(value, "name", value), [mode.name for mode in RunMode], "hydra.mode")
    elif key == "verbose":
        if value is not None:
            check_flag(value, "hydra.verbose")
    elif key.startswith(_LAUNCHER):
        check_launcher_option(key.removeprefix(_LAUNCHER), value, chosen[LAUNCHER])
    elif key.startswith(_SWEEPER):
        check_sweeper_option(key.removeprefix(_SWEEPER), value, chosen[SWEEPER], chosen[SAMPLER])
    elif key.startswith(_CALLBACKS):
        check_callback_option(key.removeprefix(_CALLBACKS), value)
    elif key == "searchpath":
        raise InputError(
            f"hydra.searchpath cannot be set: configurations come from {conf_dir()} alone. "
            "An experiment of your own is a file in its folder experiment."
        )
    else:
        raise InputError(
            f"hydra.{key} cannot be set: it could name code to run or a file to write. "
            f"Expected {', '.join(CHOSEN)}, hydra.launcher.OPTION, hydra.sweeper.OPTION, hydra.mode or hydra.verbose."
        )


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by their dotted names; an empty mapping is a value."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
