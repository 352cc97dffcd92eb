"""The help of `nnmf-run`: the default, type and meaning of every option, from the docstrings of the schema."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nnmf_runner.config import numpydoc
from nnmf_runner.config.arguments import WIDTH, run_parser
from nnmf_runner.config.engine import compose, conf_dir, part_of
from nnmf_runner.config.launchers import BASIC, LAUNCHERS
from nnmf_runner.config.schema import GROUPS, RunConfig

COLUMN, NARROW = 28, 25  # in which the second column begins, of options and of names

ABOUT = """\
Fit multilayer nonnegative matrix factorisations to data, score them, and keep a record of every run. A run is made of
a dataset, a method, a cost, an optimizer and an initialisation; options are given as name=value, in any order. With -m,
or with an experiment, it is a sweep over several values, which runs what is not done yet."""

EXAMPLES = {
    "nnmf-run": "run the defaults on toy data",
    "nnmf-run method=hier layers=9-4 label_fraction=0.4 seed=3": "fit two layers to some labels",
    "nnmf-run -m method=hier,deep,neural layers=9,9-4 trials=10": "compare methods, ten seeds each",
    "nnmf-run experiment=table1": "run a sweep that is kept in a file",
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

    Raises
    ------
    InputError
        If a part is chosen that does not exist.
    """
    pairs = [override.partition("=")[::2] for override in overrides]
    chosen = [(group, name) for group, names in pairs if group in GROUPS for name in names.split(",")]
    return "\n\n".join(_part(group, name) for group, name in chosen) or _overview()


def options_of(group: str) -> dict[str, str]:
    """What each option of a group is, by its name: the parts, and the presets in `conf/`."""
    parts = {name: _paragraphs(part)[0] for name, part in GROUPS.get(group, {}).items()}
    return parts | {path.stem: _comment(path) for path in sorted(Path(conf_dir(), group).glob("*.yaml"))}


def default_parts() -> dict[str, str]:
    """The option of each group that a run has if it names no other."""
    defaults = OmegaConf.load(Path(conf_dir(), "config.yaml")).defaults
    return {str(key): value for entry in defaults if isinstance(entry, DictConfig) for key, value in entry.items()}


def _overview() -> str:
    parser = run_parser()
    commands = [_row(command, meaning, 64) for command, meaning in EXAMPLES.items()]
    parser.description = "\n".join([textwrap.fill(ABOUT, WIDTH), "", "examples:", *commands])
    parser.epilog = "\n\n".join([*_top_options(), *map(_group, GROUPS), _experiments(), _launchers()])
    return parser.format_help()


def _top_options() -> list[str]:
    """One section for every class that has fields of `RunConfig`, and one for each part of fixed type."""
    described, sections = parameters_of(RunConfig), []
    fields = {f.name: _default(f) for f in dataclasses.fields(RunConfig)}
    for owner in reversed(RunConfig.__mro__):
        own = [name for name in inspect.get_annotations(owner) if name in fields and name not in GROUPS]
        plain = [_entry(name, fields[name], described[name]) for name in own if not _is_part(fields[name])]
        sections += ["\n".join([f"{_paragraphs(owner)[0].rstrip('.')}:", *plain])] if plain else []
        for name in filter(lambda name: _is_part(fields[name]), own):
            part = type(fields[name])
            meant = parameters_of(part)
            rows = [_entry(f"{name}.{f.name}", _default(f), meant[f.name]) for f in dataclasses.fields(part)]
            sections.append("\n".join([f"{name}: {_paragraphs(part)[0]}", *rows]))
    return sections


def _group(group: str) -> str:
    rows = [_row(name, meaning, NARROW) for name, meaning in options_of(group).items()]
    head = f"{group}: {parameters_of(RunConfig)[group].meaning} By default {group}={default_parts()[group]}; "
    return "\n".join([_filled(f"{head}the options of another are listed by nnmf-run {group}=NAME --help."), *rows])


def _experiments() -> str:
    files = sorted(Path(conf_dir(), "experiment").glob("*.yaml"))
    rows = [_row(file.stem, _comment(file), NARROW) for file in files if "\n# nnmf-run experiment" in file.read_text()]
    return "\n".join(["experiment: A sweep that is kept in a file. By default there is none.", *rows])


def _launchers() -> str:
    return f"hydra/launcher: What runs the jobs of a sweep: {', '.join(LAUNCHERS)}. By default it is {BASIC}."


def _part(group: str, name: str) -> str:
    """Describe an option of a group in full, with the defaults that it has when it is chosen."""
    config = compose([f"{group}={name}"])
    part, values = part_of(config, group), config[group]
    described = parameters_of(part)
    rows = [_entry(f"{group}.{key}", values[key], described[key], whole=True) for key in values]
    preset = Path(conf_dir(), group, f"{name}.yaml")
    about = [_comment(preset, whole=True)] if preset.exists() else _paragraphs(part)
    if costs := getattr(part, "costs", ()):
        about.append(f"Costs: {', '.join(costs)}. By default cost={part_of(config, 'cost').name}.")
    return "\n".join([f"{group}={name}", *(_filled(text, "  ") for text in about), *(rows or ["  It has no options."])])


def _entry(name: str, value: Any, parameter: Parameter, *, whole: bool = False) -> str:
    """One option: its name and default, its type, and the first sentence of its meaning or all of it."""
    meaning = parameter.meaning if whole else _first_sentence(parameter.meaning)
    return _row(f"{name}={written(value)}", f"{parameter.kind}: {meaning}")


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
    text = re.sub(r"\b(True|False)\b", lambda found: found[0].lower(), text.replace("`", "").replace("None", "null"))
    return " ".join(text.split())


def _kind(text: str) -> str:
    """The type as numpydoc has it, with values as they are written on the command line."""
    return _plain(re.sub(r"[{}\"]", "", text)).replace(", optional", " or null")


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _is_part(value: Any) -> bool:
    return dataclasses.is_dataclass(value)


def written(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(written, value))}]"
    text = {"True": "true", "False": "false", "None": "null"}.get(str(value), str(value))
    return text if re.fullmatch(r"[\w./-]+", text) else f"'{text}'"
