"""Messages of one line for what Hydra and OmegaConf refuse: the name, what was expected and what came."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from nnmf_runner.config.launchers import unknown_launcher
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import Supervision
from nnmf_runner.methods.supervision import PARAMETERS


def no_option(group: str) -> str:
    """Say that a part has to be chosen, and from what."""
    return f"{group} has to be chosen. Expected one of: {', '.join(sorted(GROUPS[group]))}."


def refuse_unknown_keys(config: DictConfig, prefix: str, legal: list[str]) -> None:
    """Raise an `InputError` if a key is not legal."""
    for key in config:
        if key not in legal:
            raise InputError(_unknown_key(f"{prefix}{key}"))


def explain(error: Exception) -> str:
    """Say in one line what Hydra or OmegaConf refused: the name, what was expected and what came."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read. Expected name=value, such as method=neural or 'layers=[9,4,2]'."
    message = str(error)
    if match := re.match(r"Could not (?:override|append to config|delete from config)\W+([\w./]+)", message):
        return _unknown_key(match.group(1))
    if match := re.match(r"Ambiguous value for argument '(.*)'", message):
        what = f"{match.group(1)} is several values, and this is a single run."
        return f"{what} Add -m to sweep; a list has brackets, such as 'layers=[9,4,2]'."
    if match := re.match(r"Error merging override (\S+)", message):
        reason = first_line(error.__cause__ or error).rstrip(".")
        if "is not a ListConfig" in reason:
            key, _, value = match.group(1).partition("=")
            return f"{match.group(1)} is not valid. Expected a list, such as '{key}=[{value}]'."
        return f"{match.group(1)} is not valid. {reason}."
    return first_line(error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _unknown_option(error: MissingConfigException) -> str:
    """Name the group, the options it has and the nearest of them."""
    group, _, value = str(error.missing_cfg_file).rpartition("/")
    if group == "hydra/launcher":
        return unknown_launcher(value)
    options = sorted(set(error.options or []))
    return f"{group}={value} is not known. Expected one of: {', '.join(options)}.{_hint(value, options)}"


def _unknown_key(key: str) -> str:
    """Name the nearest legal key, or the parts of the configuration that do have one of this name."""
    group, _, name = key.partition(".")
    if group == "hydra":
        return f"{key} is not an option. `--cfg hydra` in place of -m lists those of Hydra and of the chosen launcher."
    if owners := [f"{group}={option}" for option, part in GROUPS.get(group, {}).items() if name in _fields(part)]:
        return f"{key} is not an option of the chosen {group}. It is one of: {', '.join(owners)}."
    legal = _legal_keys()
    here = [each for each in legal if each.startswith(f"{group}.")] if name else []
    expected = here or [each for each in legal if "." not in each]
    return f"{key} is not an option. Expected one of: {', '.join(expected)}.{_hint(key, legal)}"


def _hint(word: str, legal: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, legal, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _fields(part: type) -> list[str]:
    return [f.name for f in dataclasses.fields(part)]


def _legal_keys() -> list[str]:
    """Every key of the command line, those of all parts among them."""
    parts = [(group, part) for group, registry in GROUPS.items() for part in registry.values()]
    parts += [("supervision", Supervision), ("regularisation", Regularisation)]
    nested = sorted({f"{group}.{name}" for group, part in parts for name in _fields(part)})
    return [*_fields(RunConfig), "experiment", *nested]


# How the command line writes values that Python writes in another way.
_VALUES = {"True": "true", "False": "false", "None": "null"}


def as_options(message: str) -> str:
    """Say a message that names parameters as Python does, such as ``solver=mu``, in options: ``method.solver=mu``."""
    options = _options_by_parameter()
    named = re.sub(r"(?<![^\s(])(\w+)(?=(?:\[\d+\])?=)", lambda found: options.get(found[1], found[1]), message)
    return re.sub(r"(?<![^\s=\[])(True|False|None)(?![\w'/])", lambda found: _VALUES[found[1]], named)


def _options_by_parameter() -> dict[str, str]:
    """The options of the command line below the top level by their parameters in Python; data sets have none there."""
    options = {
        name: f"{group}.{name}"
        for group in ("method", "cost", "optimizer", "init")
        for part in GROUPS[group].values()
        for name in _fields(part)
    }
    options |= {name: f"regularisation.{name}" for name in _fields(Regularisation)}
    return options | {parameter: f"supervision.{name}" for name, parameter in PARAMETERS.items()}
