"""What people type as the value of an option, told to Hydra, whose grammar is one of programs: text is taken as typed.

The types in the schema say which options are text.  Of these a value is read as follows:

- Quotes around all of it, or around an element of a list, are Hydra's: they come off.  A backslash before one of
  ``\\()[]{}:=,`` or a space comes off, too, and one before a ``t`` that is all there is stands for a tab.
- ``null`` is no text, but in a list, where every element is a name.
- A comma divides several values, of which a sweep makes a run each, unless it stands in brackets, has nothing on one
  side, belongs to a path of something that is there, or the option is none that is computed with, such as `output`.
- ``${name}`` stands for another option, and ``choice(a,b)`` and the like are Hydra's.

Options of other types are Hydra's to read; what it cannot is text as well, so that the option itself refuses it.  One
that is said to be text or a list of it, beside the type Any, is either.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

from nnmf_runner.config.engine import parse
from nnmf_runner.config.schema import Execution, fields_of, option_types
from nnmf_runner.core.checks import InputError
from nnmf_runner.store.files import user_path

TEXT: tuple[Any, ...] = (str, str | None)
TEXTS: tuple[Any, ...] = (list[str], list[str] | None)
# Options of which a value with commas may be the name of one thing that is there.
PATHS = ("dataset.path", "dataset.cache", "init.path", "mask")
# What Hydra reads as a text of the same letters, whatever the option.
_PLAIN = re.compile(r"(?!(?:null|true|false|inf|nan)\Z)[a-z_/][\w./-]*", re.ASCII | re.IGNORECASE)
# What Hydra reads as an integer, or refuses as one of too many digits.
_INTEGER = re.compile(r"[+-]?[0-9]+")
_QUOTED = r"""(?:'(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)'|"(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)")"""
# A quoted element from the comma or bracket before it to the one behind it, a letter with its backslash, or any letter.
_TOKEN = re.compile(rf"(?:\A|(?<=[,(\[{{]))\s*{_QUOTED}(?=\s*(?:[,)\]}}]|\Z))|\\.|.", re.DOTALL)


def readable(argument: str) -> str:
    """An argument as Hydra reads what it means; an `InputError` if a list of names holds anything else."""
    found = re.fullmatch(r"(\+{0,2}([\w.$-]+)=)(.+)", argument, re.DOTALL)
    if not found:
        return argument
    head, key, value = found.groups()
    types = option_types(key)
    known = [each for each in types if each is not Any]
    has_text = bool(known) and all(each in TEXT + TEXTS for each in known)
    if (not has_text or re.match(r"\w+\(", value)) and (_INTEGER.fullmatch(value) or _parsed(value)):
        return argument
    if _is_list(value.strip()) and not (types and all(each in TEXT for each in types)):
        return head + _lists(argument, value.strip())
    if types and all(each in TEXTS for each in types):
        return head + (value if _parsed(value) else quoted(value))  # which the option refuses
    return head + ",".join(map(_element, _values(key, value)))


def quoted(text: str) -> str:
    """A text as Hydra reads it, in quotes where it needs some."""
    if _PLAIN.fullmatch(text):
        return text
    try:
        OmegaConf.create({"text": text})
    except GrammarParseError:  # no reference to an option
        text = text.replace("${", r"\${")
    # Hydra takes a backslash as it is, but before a quote, where it needs one of its own.
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + (r"\'" if found[2] else ""), text) + "'"


def _parsed(value: str) -> Override | None:
    """What Hydra makes of a value; None if it cannot read it."""
    try:
        return parse([f"value={value}"])[0]
    except InputError:
        return None


def _lists(argument: str, value: str) -> str:
    """A list of names, or several of them."""
    lists = _parts(value)
    lists = lists if all(map(_is_list, lists)) else [value]
    return ",".join(f"[{','.join(quoted(name) for name in _names(argument, some))}]" for some in lists)


def _names(argument: str, some: str) -> list[str]:
    """The elements of a list in brackets."""
    inner = some[1:-1].strip()
    names = _parts(inner) if inner else []
    for name in names:
        if not name:
            raise InputError(f"{argument} is not valid. Expected a name on both sides of every comma.")
        if _is_list(name):
            raise InputError(f"{argument} is not valid. Expected a list without lists in it, or quotes around {name}.")
    return [_text(name) for name in names]


def _values(key: str, value: str) -> list[str]:
    """The values of an option of text: one, or several to sweep over."""
    if key in PATHS and _exists(value):
        return [quoted(value)]
    values = _parts(value)
    return values if all(values) and key not in fields_of(Execution) else [value]


def _exists(value: str) -> bool:
    try:
        return user_path(value, "path").exists()
    except (OSError, ValueError):  # no name of a file
        return False


def _element(value: str) -> str:
    return value if value.lower() == "null" else quoted(_text(value))


def _text(value: str) -> str:
    """The text that a value means."""
    if re.fullmatch(_QUOTED, value.strip(), re.DOTALL) and (parsed := _parsed(value)):
        value = str(parsed.value())
    else:
        value = re.sub(r"\\([\\()\[\]{}:=, \t])", r"\1", value)
    return "\t" if value == r"\t" else value


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]")


def _parts(text: str) -> list[str]:
    """The parts of a text between its commas; those in quotes do not count, nor those in brackets that are closed."""
    tokens = _TOKEN.findall(text)
    depths = list(itertools.accumulate((token in set("([{")) - (token in set(")]}")) for token in tokens))
    balanced = min(depths) >= 0 == depths[-1]
    parts = [""]
    for token, depth in zip(tokens, depths, strict=True):
        if token == "," and (depth == 0 or not balanced):
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]
