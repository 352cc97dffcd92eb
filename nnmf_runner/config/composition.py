"""From a command line to checked configurations."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.config.arguments import read_arguments
from nnmf_runner.config.engine import ask_hydra, compose, parse, part_of, plain_errors, register_schema, with_values
from nnmf_runner.config.help import help_text, written
from nnmf_runner.config.launchers import BASIC
from nnmf_runner.config.messages import first_line, no_option, refuse_unknown_keys
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.store.start import INITIALISATIONS, Saved

# Options whose value is a path.
PATHS = ("dataset.path", "init.path", "mask", "output")


@dataclass(frozen=True)
class Cell:
    """One configuration of a sweep, and the overrides that compose it."""

    overrides: list[str]
    config: RunConfig


@dataclass(frozen=True)
class Sweep:
    """What a command line asks for that has several configurations.

    Attributes
    ----------
    fixed : list of str
        Overrides that all cells share, those of Hydra's own options among them.
    over : list of str
        Overrides that are swept over, such as ``seed=0,1``.
    launcher : str
        The option of `hydra/launcher`.
    target : str
        The class that the launcher's configuration names.
    threads : int
        BLAS threads of every process.
    cells : iterator of Cell
    """

    fixed: list[str]
    over: list[str]
    launcher: str
    target: str
    threads: int
    cells: Iterator[Cell]


@dataclass(frozen=True)
class Job:
    """What a process runs that a launcher has started: its name, and the configuration that it begins with."""

    name: str
    config: RunConfig


def read(arguments: Sequence[str]) -> str | Sweep | RunConfig:
    """Read a command line, which asks for a text to be printed, for a sweep, or for a single run.

    Raises
    ------
    InputError
        If anything of it is not acceptable.  What is wrong in a cell of a sweep is found when the cells are read.
    """
    known = read_arguments(arguments)
    register_schema()
    if known.help:
        return help_text(known.overrides)
    if known.hydra_help:
        return ask_hydra(["--hydra-help"])
    if known.info or known.shell_completion:
        return ask_hydra([*(["--info", known.info] if known.info else ["-sc"]), *known.overrides])
    overrides = expanded(known.overrides)
    sweep = read_sweep(["-m", *overrides] if known.multirun else overrides)
    if known.cfg:
        return _shown(sweep, overrides, known.cfg, known.package, resolve_values=known.resolve)
    return sweep or resolve(compose(overrides))


@plain_errors()
def _shown(
    sweep: Sweep | None, overrides: Sequence[str], kind: str, package: str | None, *, resolve_values: bool
) -> str:
    """Show the configuration as YAML, with the name of every part and what is swept over."""
    composed = compose(sweep.fixed if sweep else overrides, with_hydra=True)
    HydraConfig.instance().set_config(composed)  # which values may refer to
    choices = composed.hydra.runtime.choices
    named = {group: {"name": part_of(composed, group).name} for group in GROUPS if choices.get(group)}
    shown: Any = OmegaConf.to_container(composed, resolve=resolve_values, enum_to_str=True)
    shown = {key: named.get(key, {}) | value if key in named else value for key, value in shown.items()}
    engine = {key: value for key, value in shown.pop("hydra").items() if key not in ("help", "hydra_help")}
    shown = {"job": shown, "hydra": {"hydra": engine}, "all": {"hydra": engine, **shown}}[kind]
    lines = ["# " + " ".join(f"{group}={choices[group]}" for group in ("experiment", *GROUPS) if choices.get(group))]
    lines += [f"# sweep over {' '.join(sweep.over)}"] if sweep else []
    if package is not None:
        part = OmegaConf.select(OmegaConf.create(shown), package, default=...)
        if part is ...:
            raise InputError(f"--package {package} is not in the configuration. Expected one of: {', '.join(shown)}.")
        if not OmegaConf.is_config(part):
            return written(part)
        shown = part
        lines.append(f"# @package {package}")
    return "\n".join([*lines, OmegaConf.to_yaml(shown)]).rstrip("\n")


def resolve(config: DictConfig) -> RunConfig:
    """Turn a composed configuration into a checked `RunConfig`.

    Raises
    ------
    InputError
        If a value or a combination of values is not acceptable.
    """
    refuse_unknown_keys(config, "", [f.name for f in dataclasses.fields(RunConfig)])
    for group in GROUPS:
        if part_of(config, group) is None:
            raise InputError(no_option(group))
        fields = [f.name for f in dataclasses.fields(part_of(config, group))]
        refuse_unknown_keys(config[group], f"{group}.", fields)
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise InputError(first_line(error)) from None


def expanded(arguments: Sequence[str]) -> list[str]:
    """Write ``init=path/to/run`` out as ``init=saved init.path=path/to/run``, and quote paths that Hydra cannot read.

    A value that is not an option of the group `init` is a path if it is a folder or holds a path separator.

    Raises
    ------
    InputError
        If a sweep over paths has other options among them, which have no `path`.
    """
    return [full for argument in arguments for full in _written_out(_with_quotes(argument))]


def _written_out(argument: str) -> list[str]:
    value = argument.removeprefix("init=")
    values = [value] if Path(value).is_dir() else value.split(",")
    paths = [each for each in values if _is_path(each)]
    if value == argument or not paths:
        return [argument]
    if len(paths) < len(values):
        raise InputError(f"{argument} mixes folders with other options. Expected either, in sweeps of their own.")
    return [f"init={Saved.name}", f"init.path={_quoted(paths)}"]


def _with_quotes(argument: str) -> str:
    """A path of spaces, brackets, letters of other alphabets and the like as Hydra reads it; anything else as it is."""
    key, _, value = argument.partition("=")
    if key not in PATHS or re.fullmatch(r"[\w./-]*", value, re.ASCII):
        return argument
    exists = os.path.exists(value)
    try:
        parse([argument])
    except InputError:
        pass
    else:
        if not exists:  # quoted already, or a sweep
            return argument
    return f"{key}={_quoted([value] if exists else value.split(','))}"


def _quoted(paths: Sequence[str]) -> str:
    return ",".join("'" + path.replace("'", r"\'") + "'" for path in paths)


def _is_path(value: str) -> bool:
    return bool(value) and value not in INITIALISATIONS and (os.sep in value or Path(value).is_dir())


def read_sweep(arguments: Sequence[str]) -> Sweep | None:
    """The sweep that ``-m`` or an experiment asks for; None for a single run.

    All of it is composed before any of it runs, which finds what is wrong in the last configuration before the first
    one has run.

    Raises
    ------
    InputError
        Also while the cells are iterated over.
    """
    known = read_arguments(arguments)
    given = parse(known.overrides)
    for override in given:
        if override.key_or_group in GROUPS and override.value() is None:
            raise InputError(no_option(override.key_or_group))
    # Composing takes a tenth of a second: not for what cannot be a sweep.
    if not known.multirun and not any(override.key_or_group.startswith(("experiment", "hydra")) for override in given):
        return None
    fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
    composed = compose(fixed, with_hydra=True)
    hydra = composed.hydra
    launcher = hydra.runtime.choices["hydra/launcher"]
    if not (known.multirun or hydra.mode == RunMode.MULTIRUN):
        if launcher != BASIC:
            raise InputError(f"hydra/launcher={launcher} is for sweeps, and this is a single run. Add -m to sweep.")
        return None
    params = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
    overrides = parse([*params, *known.overrides])
    for override in filter(Override.is_sweep_override, overrides):
        if override.is_hydra_override():
            raise InputError(f"{override.input_line} cannot be swept over. Expected one value for the whole sweep.")
        if not override.is_discrete_sweep():
            raise InputError(f"{override.input_line} is not a list of values. Expected some, such as seed=0,1,2.")
        if not list(override.sweep_string_iterator()):
            raise InputError(f"{override.input_line} has no values. Expected at least one to sweep over.")
    values = _values([each for each in overrides if not each.is_hydra_override()])
    over = [f"{key}={','.join(some)}" for key, some in values.items() if len(some) > 1]
    jobs = itertools.product(*([f"{key}={value}" for value in some] for key, some in values.items()))
    target = str(hydra.launcher.get("_target_"))
    return Sweep(fixed, over, launcher, target, composed.threads, compose_cells(map(list, jobs)))


def _values(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """The values of every key, of which the last override counts."""
    return {
        override.get_key_element(): list(override.sweep_string_iterator())
        if override.is_sweep_override()
        else [override.get_value_element_as_str()]
        for override in overrides
    }


def compose_cells(jobs: Iterable[list[str]]) -> Iterator[Cell]:
    """Compose and check configurations from their overrides.

    Composing reads a dozen files, so it is done once for all that choose the same parts and differ in values alone.

    Raises
    ------
    InputError
    """
    composed: dict[tuple[str, ...], DictConfig] = {}
    for job in jobs:
        overrides = parse(job)
        values = [override for override in overrides if _is_value(override)]
        parts = tuple(line for line, override in zip(job, overrides, strict=True) if not _is_value(override))
        if parts not in composed:
            composed[parts] = compose(parts)
        yield Cell(job, resolve(with_values(composed[parts], values, job)))


def begin_job(composed: DictConfig) -> Job:
    """Read what a launcher hands to a job, and go where the sweep was started.

    Raises
    ------
    InputError
        If the configuration is not acceptable here.
    """
    here = HydraConfig.get()
    os.chdir(here.runtime.cwd)
    register_schema()
    return Job(here.job.name, resolve(composed))


def _is_value(override: Override) -> bool:
    """Whether an override sets a value, and neither chooses a part nor adds or removes a key."""
    key = override.key_or_group
    is_part = key in GROUPS or key == "experiment" or "/" in key or override.package is not None
    return override.type is OverrideType.CHANGE and not is_part
