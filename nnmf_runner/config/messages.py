"""What Hydra and OmegaConf refuse, said in one line: the name, what was expected and what came."""

from __future__ import annotations

import dataclasses
import difflib
import re

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from nnmf_runner.config.launchers import unknown_launcher
from nnmf_runner.config.schema import GROUPS, RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.regularisation import Regularisation
from nnmf_runner.methods import Supervision
from nnmf_runner.methods.supervision import PARAMETERS


def no_option(group: str) -> str:
    """One line on a part that was not chosen."""
    return f"{group} has to be chosen. Expected one of: {', '.join(sorted(GROUPS[group]))}."


def refuse_unknown_keys(config: DictConfig, prefix: str, legal: list[str]) -> None:
    """Raise an `InputError` at a key that is not legal."""
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
    """The first line of what an error says that is not empty."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _unknown_option(error: MissingConfigException) -> str:
    """Name the group, the options it has and the nearest of them."""
    group, _, value = str(error.missing_cfg_file).rpartition("/")
    if group == "hydra/launcher":
        return unknown_launcher(value)
    options = sorted(set(error.options or []))
    near = difflib.get_close_matches(value, options, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{group}={value} is not known. Expected one of: {', '.join(options)}.{hint}"


def _unknown_key(key: str) -> str:
    """Name the nearest legal key, or the parts of the configuration that do have one of this name."""
    owners, group = _owners_of(key), key.partition(".")[0]
    if group == "hydra":
        return f"{key} is not an option. `--cfg hydra` in place of -m lists those of Hydra and of the chosen launcher."
    if owners:
        return f"{key} is not an option of the chosen {group}. It is one of: {', '.join(owners)}."
    near = difflib.get_close_matches(key, _legal_keys(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    here = [legal for legal in _legal_keys() if legal.startswith(f"{group}.")] if "." in key else []
    top = [f.name for f in dataclasses.fields(RunConfig)]
    return f"{key} is not an option. Expected one of: {', '.join(here or top)}.{hint}"


def _owners_of(key: str) -> list[str]:
    group, _, name = key.partition(".")
    registry = GROUPS.get(group, {})
    return [f"{group}={option}" for option, part in registry.items() if name in _fields(part)]


def _fields(part: type) -> list[str]:
    return [f.name for f in dataclasses.fields(part)]


def _legal_keys() -> list[str]:
    nested = [
        f"{group}.{name}" for group, registry in GROUPS.items() for part in registry.values() for name in _fields(part)
    ]
    parts = {"supervision": Supervision, "regularisation": Regularisation}
    options = [f"{part}.{name}" for part, of in parts.items() for name in _fields(of)]
    return [*_fields(RunConfig), "experiment", *sorted(set(nested)), *options]


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
