"""From a command line to checked configurations."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnmf_runner.config.arguments import read_arguments
from nnmf_runner.config.cells import Cell, compose_cells, resolve
from nnmf_runner.config.closed import CHOSEN
from nnmf_runner.config.engine import JobCallbacks, ask_hydra, compose, parse, plain_errors, register_schema
from nnmf_runner.config.help import help_text, written
from nnmf_runner.config.launchers import BASIC
from nnmf_runner.config.messages import refuse_unnamed
from nnmf_runner.config.schema import GROUPS, Execution, RunConfig, fields_of
from nnmf_runner.config.sweepers import BASIC_SWEEPER
from nnmf_runner.config.values import quoted, readable
from nnmf_runner.core.checks import InputError, hint
from nnmf_runner.store.files import user_path
from nnmf_runner.store.start import Saved, is_path
from nnmf_runner.store.trackers import Tracker

# What a shell may ask for: to complete a word, or what makes it ask.
COMPLETIONS = [f"{task}={shell}" for task in ("query", "install", "uninstall") for shell in ("bash", "zsh", "fish")]

# Each of them takes milliseconds to compose and check.
MOST_CELLS = 100_000


@dataclass(frozen=True)
class Sweep:
    """What a command line asks for that has several configurations."""

    fixed: list[str]  # overrides that all cells share, those of Hydra's own options among them
    over: list[str]  # overrides that are swept over, such as `seed=0,1`
    launcher: str  # the option of `hydra/launcher`
    threads: int  # of every fit
    size: int  # number of cells
    cells: Iterator[Cell]  # of a search those that change one option at a time, from the first value of each
    callbacks: bool = False  # whether Hydra's callbacks are to be told of the jobs
    tracking: bool = False  # whether a tracker is
    objective: bool = False  # whether one has been set, so that the best is to be named
    # Of a search: the option of `hydra/sweeper`, its own options, and the overrides that jobs are made of.
    sweeper: str = BASIC_SWEEPER
    settings: Mapping[str, Any] = field(default_factory=dict)
    space: Sequence[str] = ()

    def searched(self, overrides: Sequence[str]) -> str:
        """What tells a configuration from the others: those of its overrides that are swept over."""
        keys = {each.partition("=")[0] for each in self.over}
        return " ".join(each for each in overrides if each.partition("=")[0] in keys)


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
    if known.shell_completion:
        return _complete(known.overrides)
    overrides = expanded(known.overrides)
    if known.info:
        compose(_fixed(parse(overrides)), with_hydra=True)  # which refuses what Hydra would not
        return ask_hydra(["--info", known.info, *overrides])
    sweep = read_sweep(overrides, multirun=known.multirun)
    if known.cfg:
        return _shown(sweep, overrides, known.cfg, known.package, resolve_values=known.resolve)
    return sweep or _single(resolve(compose(overrides)))


def _single(config: RunConfig) -> RunConfig:
    """Return the configuration of a single run; an `InputError` is raised at what only the jobs of a sweep heed."""
    if config.runs_per_job is not None:
        raise InputError(
            f"runs_per_job={config.runs_per_job} is for the jobs of a sweep on a cluster, and this is a single run. "
            "Expected runs_per_job=null, or -m to sweep."
        )
    return config


def _complete(asked: Sequence[str]) -> str:
    """Complete the last word of a line in a shell, or print what makes a shell ask for that.

    Of the words before it Hydra gets those that choose parts, which decide what may follow; it would have to read the
    others as they stand in the line, with the quotes of the shell.
    """
    if len(asked) != 1 or asked[0] not in COMPLETIONS:
        raise InputError(f"-sc {' '.join(asked)} is not known. Expected one of: {', '.join(COMPLETIONS)}.")
    program, *words = os.environ.setdefault("COMP_LINE", "nnmf-run ").split(" ")
    if words and words[-1].startswith("-"):  # Hydra's flags are none of this program
        return ""
    if words:
        choices = [word for word in words[:-1] if word.partition("=")[0] in (*GROUPS, "experiment", *CHOSEN)]
        refuse_unnamed(parse(choices))
        os.environ["COMP_LINE"] = " ".join([program, *choices, words[-1]])
    return ask_hydra(["-sc", *asked])


@plain_errors()
def _shown(
    sweep: Sweep | None, overrides: Sequence[str], kind: str, package: str | None, *, resolve_values: bool
) -> str:
    """Show the configuration as YAML, with the name of every part and what is swept over."""
    composed = compose(sweep.fixed if sweep else overrides, with_hydra=True)
    HydraConfig.instance().set_config(composed)  # which values may refer to
    choices = composed.hydra.runtime.choices
    parts: dict[str, Any] = {group: OmegaConf.get_type(composed, group) for group in GROUPS if choices.get(group)}
    shown: Any = OmegaConf.to_container(composed, resolve=resolve_values, enum_to_str=True)
    shown |= {group: {"name": part.name, **shown[group]} for group, part in parts.items()}
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


def expanded(arguments: Sequence[str]) -> list[str]:
    """Write ``init=path/to/run`` out as ``init=saved init.path=path/to/run``, and all values as Hydra reads them.

    A value that is not an option of the group `init` is a path if it is a folder, holds a path separator, or ends like
    the name of a ``.npz`` file.

    Raises
    ------
    InputError
        If a sweep over paths has other options among them, which have no `path`; or as `readable` does.
    """
    return [full for argument in arguments for full in _written_out(argument)]


def _written_out(argument: str) -> list[str]:
    if not argument.startswith("init="):
        return [readable(argument)]
    value = argument.removeprefix("init=")
    values = [value] if is_path(value) and os.path.exists(user_path(value, "init")) else value.split(",")
    paths = [each for each in values if is_path(each)]
    if not paths:
        for each in values:
            _refuse_unknown_start(each)
        return [readable(argument)]
    if len(paths) < len(values):
        raise InputError(f"{argument} mixes paths with other options. Expected either, in sweeps of their own.")
    return [f"init={Saved.name}", f"init.path={','.join(map(quoted, paths))}"]


def _refuse_unknown_start(name: str) -> None:
    """Raise an `InputError` at a name of no start, which may be meant for a path."""
    if re.fullmatch(r"\w+", name) and name not in {*GROUPS["init"], "null"}:
        starts = sorted({*GROUPS["init"]} - {Saved.name})
        raise InputError(
            f"init={name} is not known. Expected one of: {', '.join(starts)}; or a path that is there, of a run, a "
            f"saved model or a .npz file.{hint(name, starts)}"
        )


@plain_errors()
def read_sweep(given: Sequence[str], *, multirun: bool = False) -> Sweep | None:
    """The sweep that `multirun` or an experiment asks for; None for a single run.

    All of it is composed before any of it runs, which finds what is wrong in the last configuration before the first
    one has run.  An `InputError` is raised also while the cells are iterated over.
    """
    overrides = parse(given)
    # Composing takes a tenth of a second: not for what cannot be a sweep.
    if not multirun and not any(override.key_or_group.startswith(("experiment", "hydra")) for override in overrides):
        return None
    fixed = _fixed(overrides)
    composed = compose(fixed, with_hydra=True)
    hydra = composed.hydra
    launcher, sweeper = (str(hydra.runtime.choices[f"hydra/{part}"]) for part in ("launcher", "sweeper"))
    single = not (multirun or hydra.mode == RunMode.MULTIRUN)
    for part, name, usual in (("launcher", launcher, BASIC), ("sweeper", sweeper, BASIC_SWEEPER)):
        if single and name != usual:
            raise InputError(f"hydra/{part}={name} is for sweeps, and this is a single run. Add -m to sweep.")
    if hydra.verbose and (launcher, sweeper) == (BASIC, BASIC_SWEEPER):
        raise InputError(
            "hydra.verbose=true tells more of a launcher or a search, and there is none here. "
            "Expected hydra/launcher=NAME or hydra/sweeper=NAME with it."
        )
    if single:
        return None
    searches = sweeper != BASIC_SWEEPER
    params = [readable(f"{key}={value}") for key, value in (hydra.sweeper.params or {}).items()]
    overrides = parse([*params, *given])
    for override in filter(Override.is_sweep_override, overrides):
        if override.key_or_group == "experiment":  # which has a sweep of its own
            raise InputError(f"{override.input_line} cannot be swept over. Expected one value for the whole sweep.")
        if searches and override.key_or_group in fields_of(Execution):
            raise InputError(f"{override.input_line} cannot be searched over. Expected one value for the whole search.")
        if not (override.is_discrete_sweep() or (searches and override.is_interval_sweep())) or isinstance(
            override.value(), Glob
        ):
            raise InputError(f"{override.input_line} is not a list of values. Expected some, such as seed=0,1,2.")
        _refuse_many(_count(override), override.input_line)
        if not _values(override):
            raise InputError(f"{override.input_line} has no values. Expected at least one to sweep over.")
    kept = {each.get_key_element(): each for each in overrides if not each.is_hydra_override()}  # the last counts
    values = {key: _values(each) for key, each in kept.items()}
    if searches:
        return _search(fixed, sweeper, composed, kept, values)
    size = math.prod(map(len, values.values()))
    _refuse_many(size, ", ".join(key for key, some in values.items() if len(some) > 1))
    over = [f"{key}={','.join(some)}" for key, some in values.items() if len(some) > 1]
    jobs = itertools.product(*([f"{key}={value}" for value in some] for key, some in values.items()))
    cells = compose_cells(map(list, jobs))
    return Sweep(fixed, over, launcher, composed.threads, size, cells, *_listened(composed))


def _search(
    fixed: list[str],
    sweeper: str,
    composed: DictConfig,
    overrides: Mapping[str, Override],
    values: Mapping[str, Sequence[str]],
) -> Sweep:
    """A sweep whose configurations a sweeper chooses: of all of them only some are composed before any of them runs."""
    over = {key: each for key, each in overrides.items() if each.is_sweep_override()}
    for each in over.values():
        _refuse_unsearchable(each)
    if not over:
        raise InputError(
            f"hydra/sweeper={sweeper} has nothing to search over. Expected values such as layers=9-4,9-3 or "
            "'regularisation.l1=interval(0,1)'."
        )
    first = {key: some[0] for key, some in values.items()}
    changed = [first, *(first | {key: value} for key in over for value in values[key][1:])]
    return Sweep(
        fixed,
        [str(each.input_line) for each in over.values()],
        str(composed.hydra.runtime.choices["hydra/launcher"]),
        composed.threads,
        len(changed),
        compose_cells([f"{key}={value}" for key, value in each.items()] for each in changed),
        *_listened(composed),
        sweeper,
        OmegaConf.to_container(composed.hydra.sweeper, enum_to_str=True),  # type: ignore[arg-type]
        [str(each.input_line) for each in overrides.values()],
    )


def _refuse_unsearchable(override: Override) -> None:
    """Raise an `InputError` at values that Optuna has no distribution for, and at tags that it would not heed."""
    value: Any = override.value()
    interval = isinstance(value, IntervalSweep)
    if unknown := value.tags - ({"log"} if interval else set()):
        raise InputError(
            f"{override.input_line} has the tag {min(unknown)}. Expected none, or 'log' of an interval: "
            "tag(log,interval(0.001,1))."
        )
    if not interval and (not isinstance(value, RangeSweep) or value.shuffle):
        return
    low, high = value.start, value.end if interval else value.stop
    if low > high:
        raise InputError(f"{override.input_line} is not valid. Expected its low end first, then its high one.")
    if value.tags and low <= 0:
        raise InputError(f"{override.input_line} is not valid. Expected ends above 0, of which there is a logarithm.")


def _listened(composed: DictConfig) -> tuple[bool, bool, bool]:
    """Whether there are callbacks, whether there is a tracker, and whether an objective is set."""
    tracked = OmegaConf.get_type(composed, "tracking") is not Tracker
    return bool(composed.hydra.callbacks), tracked, composed.objective is not None


def _values(override: Override) -> list[str]:
    """The values of an override as they are written; of an interval its ends."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    return (
        [*override.sweep_string_iterator()] if override.is_sweep_override() else [override.get_value_element_as_str()]
    )


def read_callbacks(arguments: Sequence[str]) -> JobCallbacks | None:
    """Hydra's callbacks for the single run that a command line asks for, which `read` has accepted; None if none."""
    overrides = expanded(read_arguments(arguments).overrides)
    if not any(each.key_or_group.startswith(("experiment", "hydra")) for each in parse(overrides)):
        return None
    listen = compose(overrides, with_hydra=True).hydra.callbacks
    return JobCallbacks(overrides, multirun=False) if listen else None


def _count(override: Override) -> float:
    """How many values a sweep has, without making them; nan for a range that does not move."""
    values = override.value()
    if not isinstance(values, RangeSweep):
        return len(_values(override))
    start, stop, step = (float(each or 0) for each in (values.start, values.stop, values.step))
    return (stop - start) / step if step else math.nan


def _refuse_many(count: float, what: str | None) -> None:
    """Raise an `InputError` at more configurations than anybody waits for: all are checked before any of them runs."""
    if not count <= MOST_CELLS:
        raise InputError(
            f"{what} cannot be swept over at once. Expected at most {MOST_CELLS} configurations: split the sweep."
        )


def _fixed(overrides: Iterable[Override]) -> list[str]:
    """Overrides that are not swept over, as they were given."""
    return [str(override.input_line) for override in overrides if not override.is_sweep_override()]


def begin_job(composed: DictConfig) -> tuple[str, RunConfig]:
    """Go where the sweep was started; return the name of the job, and the configuration that it begins with."""
    here = HydraConfig.get()
    os.chdir(here.runtime.cwd)
    register_schema()
    return here.job.name, resolve(composed, of_job=True)
