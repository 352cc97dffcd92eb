"""The command line that makes a run again, from its record."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.config.values import quoted

# What stands for the path of a file that the record does not tell.
PATH = "PATH"
_RANKS = re.compile(r"\d+(-\d+)+")


@dataclass(frozen=True)
class Command:
    """A command line, and the options in it whose values the record does not tell, so that `PATH` stands for them."""

    text: str
    unknown: list[str]


def command_of(record: Mapping[str, Any]) -> Command:
    """The command line of `nnmf-run` that makes a run again: all parts by name, and the options that are no defaults.

    Of masks and seed words, and of data that could not be had, the record does not tell the paths.
    """
    options = dict(_options(_settings(record)))
    given = [f"{name}={_written(value)}" for name, value in options.items()]
    return Command(shlex.join(["nnmf-run", *given]), [name for name, value in options.items() if value == PATH])


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a record as one gives it, where the identity of a run says it otherwise."""
    config, about = record["config"], record.get("dataset", {})
    source = GROUPS["dataset"].get(config["dataset"]["name"])
    told = about.get("options", {"path": PATH} if hasattr(source, "portable") else {})
    given: dict[str, Any] = {**config, "dataset": {**config["dataset"], **told}, "name": record["experiment"]}
    given["published"] = record.get("published")
    ranks = config["layers"]
    given["layers"] = "-".join(map(str, ranks)) if len(ranks) > 1 else ranks[0]  # which a shell takes as it is
    given["allow_growing_ranks"] = sorted(ranks, reverse=True) != ranks
    if given.get("mask") is not None:
        given["mask"] = PATH
    if given.pop("seed_words", None) is not None:
        given["dataset"]["seed_words"] = PATH
    if "digest" in given.get("init", {}):
        kept = {name: value for name, value in given["init"].items() if name not in ("digest", "layers")}
        given["init"] = {**kept, "path": record.get("start") or PATH}
    if "supervision" in given:  # there are labels, of which those may be listed that are known
        given.setdefault("label_fraction", 1.0)
    if "consensus" in config:
        given |= {"trials": config["consensus"], "consensus": True}
    return given


def _options(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted names and values: every part by its name, and what differs from the defaults."""
    for each in sorted(dataclasses.fields(RunConfig), key=lambda option: option.name != "dataset"):
        if each.name not in settings:
            continue
        value, default = settings[each.name], _default(each)
        if each.name in GROUPS:
            part = GROUPS[each.name].get(value["name"])
            yield each.name, value["name"]
            options = {name: option for name, option in value.items() if name != "name"}
            yield from _changed(options, _defaults(part) if part else {}, each.name)
        elif dataclasses.is_dataclass(default):
            yield from _changed(value, _defaults(type(default)), each.name)
        elif value != default or each.name in ("layers", "seed"):
            yield each.name, value


def _changed(options: Mapping[str, Any], defaults: Mapping[str, Any], below: str) -> Iterator[tuple[str, Any]]:
    yield from ((f"{below}.{name}", value) for name, value in options.items() if value != defaults.get(name, ...))


def _defaults(part: Any) -> dict[str, Any]:
    return {each.name: _default(each) for each in dataclasses.fields(part)}


def _default(option: dataclasses.Field[Any]) -> Any:
    """The default of an option as JSON; `...` where it has none."""
    made = option.default_factory() if option.default_factory is not dataclasses.MISSING else option.default
    return ... if made is dataclasses.MISSING else list(made) if isinstance(made, tuple) else made


def _written(value: Any) -> str:
    """A value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if not isinstance(value, str) or _RANKS.fullmatch(value):
        return str(value)
    return quoted(value.replace("${", r"\${"))  # which refers to no option
