"""Messages of one line for what Hydra and OmegaConf refuse: the name, what was expected and what came."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from nnmf_runner.config.launchers import check_launcher
from nnmf_runner.config.published import conf_files
from nnmf_runner.config.schema import GROUPS, RunConfig, fields_of, is_of_sides, option_types, parts
from nnmf_runner.config.sweepers import check_callbacks, check_sampler, check_sweeper
from nnmf_runner.core.checks import LARGEST, InputError, check_choice, instead_of
from nnmf_runner.methods.supervision import PARAMETERS
from nnmf_runner.store.files import without_passwords

# Groups of options that Python has not.
_OWN = ("dataset", "engine", "tracking")
# What is said for messages of Hydra and OmegaConf that do not name the option, or not what to do.
_INSTEAD = {
    r"Ambiguous value for argument '(.*)'": r"\1 is several values, and this is a single run. "
    "Add -m to sweep; a list has brackets, such as 'layers=[9,4,2]', and text with a comma has quotes of its own.",
    r"Sweep parameters '(.*)' requires --multirun": r"\1 is a sweep, and this is a single run. Add -m to sweep.",
    r"Multiple values for (\w+)\..*|Could not append to config\. .* already at '(.*)'\.": r"\1\2 has a value already. "
    r"Expected \1\2=..., without a plus.",
    r".*missing mandatory value: (\S+)": r"\1 has to be given a value.",
    r"Interpolation key '(.*)' not found": r"${\1} is not known. "
    r"Expected the name of an option in it, or \\${\1} for the text itself.",
    r"Could not delete from config\. The value of '(.*)' is (.*) and not .*": r"~\1 needs no value. Its value is \2.",
}
# What is said for the reasons why OmegaConf refuses the value of an option.
_REASONS = {
    r"is not a ListConfig": "Expected a list, such as 'KEY=[VALUE]'",
    r"not be converted to Integer": "Expected an integer",
    r"not be converted to Float": "Expected a number",
    r"is not a valid bool": "Expected true or false",
    r"is not Optional": "Expected a value other than null",
    r"Cannot convert 'dict'": "Expected a value for the whole option",
    r"Cannot merge": "Expected a list in brackets, or values for its options alone",
    r"is not a subclass of": "Expected values for its options alone, which nnmf-run --help lists",
}
# Where all options and parts are listed.
_LISTED = "nnmf-run --help lists all."
# How the command line writes values that Python writes in another way.
VALUES = {"True": "true", "False": "false", "None": "null"}


def no_option(group: str) -> str:
    """Say that a part has to be chosen, and from what."""
    return f"{group} has to be chosen. Expected one of: {', '.join(sorted(GROUPS[group]))}."


def is_choice(override: Override) -> bool:
    """Whether an override chooses a part, an experiment or a launcher, and sets no value."""
    key = override.key_or_group
    return key in (*GROUPS, "experiment", "hydra", "") or "/" in key or override.package is not None


def refuse_unnamed(overrides: Iterable[Override]) -> None:
    """Raise an `InputError` if an override chooses by anything but names: Hydra does not say by which."""
    for override in filter(is_choice, overrides):
        group, value = override.key_or_group, override.value()
        if not group:
            raise InputError(_unreadable(override.input_line))
        if value is None and group in GROUPS:
            raise InputError(no_option(group))
        if group == "hydra/callbacks" and isinstance(value, list):
            check_callbacks(value)
        elif not isinstance(value, str | Sweep) and not (override.is_delete() and group == "experiment"):
            raise InputError(f"{override.input_line} is not valid. Expected a name, such as {group}=NAME.")
        if isinstance(value, str):
            _check_name(group, value)


def _check_name(group: str, name: str) -> None:
    """Raise an `InputError` unless a group has an option of this name: Hydra would look for files anywhere."""
    if group in _OF_HYDRA:
        _OF_HYDRA[group](name)
    elif group in (*GROUPS, "experiment"):
        check_choice(name, {*GROUPS.get(group, ()), *conf_files(group)}, group, _LISTED)


_OF_HYDRA: dict[str, Callable[[str], object]] = {
    "hydra/launcher": check_launcher,
    "hydra/sweeper": check_sweeper,
    "hydra/sweeper/sampler": check_sampler,
    "hydra/callbacks": check_callbacks,
}


def refuse_numbers_as_flags(overrides: Iterable[Override]) -> None:
    """Raise an `InputError` for any number but 0 and 1 as a flag, which OmegaConf takes for true."""
    for override in overrides:
        value = override.value()
        is_flag = {bool, bool | None}.intersection(option_types(override.key_or_group))
        if isinstance(value, int) and value not in (0, 1) and is_flag:
            raise InputError(f"{override.input_line} is not valid. Expected true or false.")


def refuse_unknown_keys(config: DictConfig, part: type, prefix: str = "") -> None:
    """Raise an `InputError` if a key is no field of a part."""
    for key in map(str, config):
        if key not in fields_of(part):
            raise InputError(_unknown_key(f"{prefix}{key}", part))


def explain(error: Exception) -> str:
    """Say in one line what Hydra or OmegaConf refused: the name, what was expected and what came."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if isinstance(error, OverflowError):  # of Python, at an integer beyond the range of doubles
        named = re.search(r"full_key: (\S+)", str(error))
        return f"{named[1] if named else 'a number'} is too large. Expected a number of at most {LARGEST:g}."
    message = first_line(error)
    if match := re.match(r"Could not (?:override|append to config\.|delete from config\.) '([^']+)'", message):
        inside = re.search(r"full_key: (\S+)\s(?:.*\n)*?.*object_type=(\w+)", str(error.__cause__))
        key, owner = inside.groups() if inside else (match[1], "")
        return _unknown_key(key, {part.__name__: part for _, part in parts()}.get(owner, RunConfig))
    if match := re.match(r"Error merging override (.+)", str(error), re.DOTALL):  # which may have more than one line
        reason = re.split(r"\n\s*full_key:", str(error.__cause__ or error))[0].strip().rstrip(".")
        reason = next((said for pattern, said in _REASONS.items() if re.search(pattern, reason)), reason)
        key, _, value = match[1].partition("=")
        value = re.sub(r"\A'([^'\\]*)'\Z", r"\1", value)  # as it was typed, mostly
        return f"{key}={value} is not valid. {reason.replace('KEY', key).replace('VALUE', _elements(key, value))}."
    for pattern, said in _INSTEAD.items():
        message = re.sub(pattern, said, message)
    return message


def _elements(key: str, value: str) -> str:
    """A value as the elements of a list that its option takes."""
    numbers = re.findall(r"\d+", value)
    if not numbers or not {list[int], list[int] | None}.intersection(option_types(key)):
        return value
    return ",".join(numbers * 2 if len(numbers) == 1 and is_of_sides(key) else numbers)


def _unreadable(override: str | None) -> str:
    return f"{override} cannot be read. Expected name=value, such as method=neural or 'layers=[9,4,2]'."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty, without the passwords of addresses."""
    lines = (without_passwords(line).strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def one_line(text: str) -> str:
    """A text with what would break its line, steer the terminal, or is no letter, written as Python does: ``\\n``."""
    return re.sub(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda found: repr(found[0])[1:-1], text)


def _unknown_option(error: MissingConfigException) -> str:
    """Name the group, the options it has and the nearest of them."""
    group, _, value = str(error.missing_cfg_file).rpartition("/")
    try:
        _check_name(group, value)
    except InputError as refused:
        return str(refused)
    return first_line(error)


def _unknown_key(key: str, part: type) -> str:
    """Name the nearest legal key, or the parts of the configuration that do have one of this name.

    The key is none of this part, of which all are listed where none is near.
    """
    group, _, name = key.partition(".")
    if group == "hydra":
        what = key.split(".")[1]
        return f"{key} is not an option of the chosen {what}. Choose another by hydra/{what}=NAME."
    if owners := [f"{group}={option}" for option, part in GROUPS.get(group, {}).items() if name in fields_of(part)]:
        return f"{key} is not an option of the chosen {group}. It is one of: {', '.join(owners)}."
    below = f"{group}." if name else ""
    own = [f"{below}{each}" for each in fields_of(part)] + ([] if name else ["experiment"])
    chosen = f"{group}={part.name}" if name and group in GROUPS else ""  # type: ignore[attr-defined]
    what = f"{key} is not an option{chosen and f' of {chosen}'}."
    every = {f"{owner}.{each}".removeprefix(".") for owner, part in parts() for each in fields_of(part)}
    names = {each.removeprefix(below): each for each in every if each.startswith(below)}
    near = sorted(each for each in every if each.endswith(f".{key}")) or [
        names[each] for each in _nearest(name or key, names, [each.removeprefix(below) for each in own])
    ]
    if not near:
        return f"{what} {instead_of('', own)}"
    return f"{what} Did you mean {near[0]!r}{_owners(near[0], own)}? {_LISTED.replace('--', f'{chosen} --'.lstrip())}"


def _nearest(name: str, names: Iterable[str], own: Iterable[str]) -> list[str]:
    """The nearest of the names, if there is one near; of those that are none of its own one that is very near."""
    return difflib.get_close_matches(name, [*names], n=1, cutoff=0.8) or difflib.get_close_matches(name, [*own], n=1)


def _owners(option: str, own: Iterable[str]) -> str:
    """The parts that have an option which is none of those of the chosen part."""
    group, _, name = option.partition(".")
    having = [f"{group}={part}" for part, kind in GROUPS.get(group, {}).items() if name in fields_of(kind)]
    return "" if option in own or not having else f" of {' or '.join(having)}"


def as_options(message: str) -> str:
    """Rewrite a message with Python names, such as ``solver=mu``, with option names: ``method.solver=mu``."""
    # Those below the top level that Python has, supervision by other names.
    named = [(group, part) for group, part in parts() if group not in ("", *_OWN, "supervision")]
    options = {name: f"{group}.{name}" for group, part in named for name in fields_of(part)}
    options |= {parameter: f"supervision.{name}" for name, parameter in PARAMETERS.items()}
    said = re.sub(r"(?<![^\s(])(\w+)(?=(?:\[\d+\])?=)", lambda found: options.get(found[1], found[1]), message)
    return re.sub(r"(?<![^\s=(\[])(True|False|None)(?![\w'/])", lambda found: VALUES[found[1]], said)
