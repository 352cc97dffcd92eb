"""The help of `nnmf-run`: the default, type and meaning of every option, from the docstrings of the schema."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nnmf_runner.config import numpydoc
from nnmf_runner.config.arguments import WIDTH, run_parser
from nnmf_runner.config.engine import compose
from nnmf_runner.config.launchers import BASIC, LAUNCHERS
from nnmf_runner.config.messages import VALUES, as_options
from nnmf_runner.config.published import conf_dir, conf_files
from nnmf_runner.config.schema import GROUPS, RunConfig, fields_of
from nnmf_runner.config.sweepers import BASIC_SWEEPER, CALLBACKS, SWEEPERS
from nnmf_runner.core.checks import InputError, hint
from nnmf_runner.methods import METHODS

COLUMN, NARROW = 28, 25  # in which the second column begins, of options and of names

# Groups of which a method brings a default of its own, and where it names what it has of them, the default first.
BROUGHT = {"cost": "costs", "init": "inits"}
ABOUT = """\
Fit multilayer nonnegative matrix factorisations to data, score them, and keep a record of every run. A run is made of
a dataset, a method, a cost, an optimizer and an initialisation; options are given as name=value, in any order. With -m,
or with an experiment, it is a sweep over several values, and finished runs are skipped."""

EXAMPLES = {
    "nnmf-run": "run the defaults on toy data",
    "nnmf-run method=hier layers=9-4 label_fraction=0.4 seed=3": "fit two layers to some labels",
    "nnmf-run -m method=hier,deep,neural layers=9,9-4 trials=10": "compare methods, ten seeds each",
    "nnmf-run experiment=table1": "run a predefined sweep",
    "nnmf-run dataset=file dataset.path=my.npz --cfg job": "print a configuration in full",
}


@dataclass(frozen=True)
class Parameter:
    """What a docstring says of a parameter: its type, and its meaning in plain text."""

    kind: str
    meaning: str


def parameters(docstring: str | None) -> dict[str, Parameter]:
    """Read the section `Parameters` of a numpydoc docstring, by name; those that share an entry share its text."""
    found = {}
    for name, entry in numpydoc.parameters(docstring).items():
        head, _, text = entry.partition("\n")
        found[name] = Parameter(_kind(head.partition(" : ")[2]), _plain(text))
    return found


def parameters_of(part: type) -> dict[str, Parameter]:
    """Parameters of a dataclass by name, with those that the docstrings of its base classes describe."""
    found: dict[str, Parameter] = {}
    for owner in reversed(part.__mro__):
        described = parameters(owner.__doc__)
        found |= {name: each for name, each in described.items() if not each.meaning.startswith("See ")}
    return found


def help_text(overrides: Sequence[str]) -> str:
    """Describe the parts that the overrides choose with all of their options; the whole program if there are none.

    An `InputError` is raised at one of no option.
    """
    for override in overrides:
        _refuse_unknown(override)
    pairs = [override.partition("=")[::2] for override in overrides]
    chosen = [(group, name) for group, names in pairs if group in GROUPS for name in names.split(",")]
    return "\n\n".join(_part(group, name) for group, name in chosen) or _overview()


def _refuse_unknown(override: str) -> None:
    """Raise an `InputError` at what can be no option by its first name."""
    legal = [*fields_of(RunConfig), "experiment", "hydra"]
    name, is_option = re.split(r"[=./@]", override.lstrip("+~"))[0], "=" in override or override.startswith("~")
    if name not in legal or not is_option:
        expected = f"Expected name=value, such as method=neural.{hint(name, legal) if name not in legal else ''}"
        raise InputError(f"{override} cannot be described. {expected}")


def options_of(group: str) -> dict[str, str]:
    """What each option of a group is, by its name: the parts, and the presets in `conf/`."""
    parts = {name: _paragraphs(part)[0] for name, part in GROUPS.get(group, {}).items()}
    return parts | {name: _comment(path) for name, path in conf_files(group).items()}


def default_parts() -> dict[str, str]:
    """The option of each group that a run has if it names no other."""
    defaults = OmegaConf.load(Path(conf_dir(), "config.yaml")).defaults
    return {str(key): value for entry in defaults if isinstance(entry, DictConfig) for key, value in entry.items()}


def _overview() -> str:
    parser = run_parser()
    of_hydra = [
        f"hydra/launcher: What runs the jobs of a sweep: {', '.join(LAUNCHERS)}. By default it is {BASIC}.",
        f"hydra/sweeper: What chooses them: {', '.join(SWEEPERS)}. By default it is {BASIC_SWEEPER}.",
        f"hydra/callbacks: What is told of them: {', '.join(CALLBACKS)}. By default there is none.",
    ]
    commands = [_row(command, meaning, 64) for command, meaning in EXAMPLES.items()]
    parser.description = "\n".join([textwrap.fill(ABOUT, WIDTH), "", "examples:", *commands])
    parser.epilog = "\n\n".join([*_top_options(), *map(_group, GROUPS), _experiments(), "\n".join(of_hydra)])
    return parser.format_help()


def _top_options() -> list[str]:
    """One section for every class that has fields of `RunConfig`, and one for each part of fixed type."""
    sections, defaults = [], _defaults(RunConfig)
    for owner in reversed(RunConfig.__mro__):
        own = {name: defaults[name] for name in inspect.get_annotations(owner) if name in defaults.keys() - GROUPS}
        parts = {name: type(value) for name, value in own.items() if dataclasses.is_dataclass(value)}
        if plain := {name: value for name, value in own.items() if name not in parts}:
            sections.append([f"{_paragraphs(owner)[0].rstrip('.')}:", *_entries(RunConfig, plain)])
        for name, part in parts.items():  # which have no page of their own
            rows = _entries(part, _defaults(part), f"{name}.", whole=True)
            sections.append([f"{name}: {_paragraphs(part)[0]}", *rows])
    return ["\n".join(lines) for lines in sections]


def _defaults(part: type) -> dict[str, Any]:
    """The defaults of a dataclass by field."""
    factories = {f.name: f.default_factory for f in dataclasses.fields(part)}
    defaults = {f.name: f.default for f in dataclasses.fields(part)}
    return defaults | {name: make() for name, make in factories.items() if make is not dataclasses.MISSING}


def _group(group: str) -> str:
    rows = [_row(name, meaning, NARROW) for name, meaning in options_of(group).items()]
    default = f"{group}={(usual := default_parts()[group])}"
    if group in BROUGHT:
        own = {name: legal[0] for name, method in METHODS.items() if (legal := getattr(method, BROUGHT[group]))}
        others = [f"with method={name} {group}={value}" for name, value in own.items() if value != usual]
        default = ", ".join([default, *others])
    head = f"{group}: {parameters_of(RunConfig)[group].meaning} By default {default}; "
    return "\n".join([_filled(f"{head}the options of another are listed by nnmf-run {group}=NAME --help."), *rows])


def _experiments() -> str:
    files = {name: path for name, path in conf_files("experiment").items() if "\n# nnmf-run exp" in path.read_text()}
    rows = [_row(name, _comment(path), NARROW) for name, path in files.items()]
    return "\n".join(["experiment: A predefined sweep. By default there is none.", *rows])


def _part(group: str, name: str) -> str:
    """Describe an option of a group in full, with the defaults that it has when it is chosen."""
    config = compose([f"{group}={name}"])
    part: Any = OmegaConf.get_type(config, group)
    rows = _entries(part, config[group], f"{group}.", whole=True)
    preset = conf_files(group).get(name)
    about = [_comment(preset, whole=True)] if preset else _paragraphs(part)
    if costs := getattr(part, "costs", ()):
        cost: Any = OmegaConf.get_type(config, "cost")
        about.append(f"Costs: {', '.join(costs)}. By default cost={cost.name}.")
    return "\n".join([f"{group}={name}", *(_filled(text, "  ") for text in about), *(rows or ["  It has no options."])])


def _entries(part: type, values: Mapping[Any, Any], prefix: str = "", *, whole: bool = False) -> list[str]:
    """Options of a part: name and default, type, and the first sentence of the meaning or all of it."""
    described = parameters_of(part)
    meanings = {name: each.meaning if whole else _first_sentence(each.meaning) for name, each in described.items()}
    return [
        _row(f"{prefix}{name}={written(value)}", f"{described[name].kind}: {meanings[name]}")
        for name, value in values.items()
    ]


def _row(head: str, text: str, column: int = COLUMN) -> str:
    """Two columns; the second begins on a line of its own where the first is too wide."""
    head = f"  {head}".ljust(column)
    body = textwrap.wrap(text, WIDTH - column, break_on_hyphens=False)
    gap = " " * column
    first = [head + body.pop(0)] if head.endswith(" ") and body else [head.rstrip()]
    return "\n".join([*first, *(gap + line for line in body)])


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _paragraphs(part: type) -> list[str]:
    """The description of a class before the first section of its docstring."""
    return [_plain(paragraph) for paragraph in numpydoc.summary(part.__doc__).split("\n\n")]


def _comment(path: Path, *, whole: bool = False) -> str:
    """What the comments at the head of a file say, without the directives and commands among them."""
    lines = re.match(r"(#.*\n)*", path.read_text())[0].splitlines()  # type: ignore[index]
    said = [line.removeprefix("#").strip() for line in lines if not re.match(r"# (@package|nnmf-run)", line)]
    text = _plain(" ".join(said))
    return text if whole else _first_sentence(text)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.?]) (?=[A-Z])", text, maxsplit=1)[0]


def _plain(text: str) -> str:
    """Text in one line, without marks of code."""
    text = re.sub(r",? see `[^`]+`", "", text)
    text = re.sub(r'="(\w+)"', r"=\1", text.replace("`", ""))
    return as_options(" ".join(text.split()))


def _kind(text: str) -> str:
    """The type as numpydoc has it, with values as they are written on the command line."""
    return _plain(re.sub(r"[{}\"]", "", text)).replace(", optional", " or null")


def written(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{written(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(written, value))}]"
    text = VALUES.get(str(value), str(value))
    return text if re.fullmatch(r"[\w./-]+", text) else f"'{text}'"
