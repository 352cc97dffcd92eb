"""From composed configurations to checked ones: that of a single run, and the many of a sweep."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnmf_runner.config.engine import compose, parse, plain_errors, set_values
from nnmf_runner.config.help import written
from nnmf_runner.config.messages import is_choice, no_option, refuse_unknown_keys
from nnmf_runner.config.schema import GROUPS, RunConfig, types_of
from nnmf_runner.config.values import TEXTS
from nnmf_runner.core.checks import InputError


@dataclass(frozen=True)
class Cell:
    """One configuration of a sweep, and the overrides that compose it."""

    overrides: list[str]
    config: RunConfig


@plain_errors()
def resolve(config: DictConfig, *, of_job: bool = False) -> RunConfig:
    """Turn a composed configuration into a checked `RunConfig`; raise an `InputError` if that cannot be done.

    Only that `of_job` may have further `cells`, which nothing else would run.
    """
    if not of_job:
        _refuse_cells(config.get("cells"))
    kinds = _kinds(config)
    # `OmegaConf.to_object` would do what follows, in many times the time.
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    _refuse_nested(values, RunConfig)
    return RunConfig(**values | {name: _part(values[name], name, kind) for name, kind in kinds.items()})


def _refuse_cells(cells: Any) -> None:
    if cells:
        raise InputError("cells cannot be set: a sweep writes it for its jobs. Expected -m and values to sweep over.")


def _kinds(config: DictConfig) -> dict[str, Any]:
    """The classes of the parts of a configuration by their names; an `InputError` if there are keys of no class."""
    refuse_unknown_keys(config, RunConfig)
    typed = {name: kind for name, kind in types_of(RunConfig).items() if name in config}  # unless it has been removed
    kinds: dict[str, Any] = {name: kind for name, kind in typed.items() if dataclasses.is_dataclass(kind)}
    kinds |= {group: OmegaConf.get_type(config, group) for group in GROUPS}
    for name, kind in kinds.items():
        if kind is None:
            raise InputError(no_option(name))
        if OmegaConf.is_dict(config[name]):
            refuse_unknown_keys(config[name], kind, f"{name}.")
    return kinds


def _part(values: dict[str, Any], name: str, kind: Any) -> Any:
    """A part of a configuration from the values of its options."""
    _refuse_nested(values, kind, f"{name}.")
    return kind(**values)


def _refuse_nested(values: dict[str, Any], part: type, prefix: str = "") -> None:
    """Raise an `InputError` if the value of an option is neither single nor a list of single ones, as its type says.

    OmegaConf compares a list with the type of its option only where it is written, not where ``${name}`` stands for it.
    """
    for name, value in values.items():
        kind = types_of(part)[name]
        if name in GROUPS or kind == list[Any] or (dataclasses.is_dataclass(kind) and isinstance(value, dict)):
            continue
        several = value if isinstance(value, list) else [value]
        if dataclasses.is_dataclass(kind):
            expected = "values for its options alone"
        elif kind in TEXTS and value is not None and several is not value:
            expected = "a list of single values"
        elif any(isinstance(each, dict | list) for each in several):
            expected = "a single value or a list of single values"
        else:
            continue
        raise InputError(f"{prefix}{name}={written(value)} is not valid. Expected {expected}.")


def compose_cells(jobs: Iterable[list[str]]) -> Iterator[Cell]:
    """Compose and check configurations from their overrides.

    Composing reads a dozen files, so it is done once for all that choose the same parts and differ in the values of the
    same options alone.
    """
    known: dict[str, _Given] = {}
    families: dict[tuple[str, ...], _Family] = {}
    for job in jobs:
        for text in job:
            if text not in known:
                known[text] = _Given(*parse([text]))
        given = [known[text] for text in job]
        shared = tuple(each.shared for each in given)
        if shared not in families:
            families[shared] = _Family(given)
        yield Cell(job, families[shared].config_of(job, given))


class _Given:
    """An override, and what configurations must share to be composed together: its key, or all that sets no value."""

    def __init__(self, override: Override) -> None:
        self.override, self.line, self.value = override, str(override.input_line), override.value()
        # Others choose a part, or add or remove a key.
        self.sets_value = override.type is OverrideType.CHANGE and not is_choice(override)
        self.shared = override.key_or_group if self.sets_value else f"={self.line}"
        self.part, _, self.name = override.key_or_group.rpartition(".")


class _Family:
    """Configurations that choose the same parts and set the same options, each to values of its own.

    As long as no value refers to others, they differ in these values alone, which OmegaConf converts to the types of
    their options one by one, whatever the others are.
    """

    def __init__(self, given: Sequence[_Given]) -> None:
        self.composed = compose([each.line for each in given if not each.sets_value])
        self.values: dict[str, Any] = {}  # of one of them, in which nothing refers to others
        self.kinds: dict[str, Any] = {}
        self._converted: dict[str, Any] = {}
        self._parts: dict[tuple[str, ...], Any] = {}

    def config_of(self, job: Sequence[str], given: Sequence[_Given]) -> RunConfig:
        """The configuration that the overrides of a job compose."""
        given = [each for each in given if each.sets_value]
        if self.values and all(self._stands_alone(each) for each in given):
            return self._made(given)
        # A mapping is merged with what it finds there.
        merges = any(isinstance(each.value, dict) for each in given)
        config = copy.deepcopy(self.composed) if merges else self.composed
        config = set_values(config, [each.override for each in given], job)
        found, values = resolve(config), OmegaConf.to_container(config)
        if isinstance(values, dict) and not _refers(values):
            self.values, self.kinds = {str(name): value for name, value in values.items()}, _kinds(config)
        return found

    def _stands_alone(self, each: _Given) -> bool:
        """Whether a value can be converted by itself: it refers to no other, and is not merged with what is there."""
        if each.line not in self._converted:
            self._converted[each.line] = self._convert(each)
        return self._converted[each.line] is not ...

    def _convert(self, each: _Given) -> Any:
        """A value as its option has it; an ellipsis if it does not stand alone, or is refused."""
        if isinstance(each.value, dict) or _refers(each.value) or each.part not in ("", *self.kinds):
            return ...
        try:
            OmegaConf.update(self.composed, each.shared, each.value)
        except (OmegaConfBaseException, OverflowError):
            return ...
        found = OmegaConf.select(self.composed, each.shared)
        return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found

    @plain_errors()
    def _made(self, given: Sequence[_Given]) -> RunConfig:
        """The configuration with these values.  Parts that have the same are one."""
        values = self.values | self._new(given, "")
        _refuse_cells(values.get("cells"))
        _refuse_nested(values, RunConfig)
        for name, kind in self.kinds.items():
            key = (name, *(each.line for each in given if each.part == name))
            if key not in self._parts:
                self._parts[key] = _part(self.values[name] | self._new(given, name), name, kind)
            values[name] = self._parts[key]
        return RunConfig(**values)

    def _new(self, given: Sequence[_Given], part: str) -> dict[str, Any]:
        """The values of the options of a part."""
        return {each.name: self._converted[each.line] for each in given if each.part == part}


def _refers(value: Any) -> bool:
    """Whether a value, or one in it, stands for that of another option, or for one that has yet to be given."""
    if isinstance(value, dict | list):
        return any(map(_refers, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and ("${" in value or value == "???")
