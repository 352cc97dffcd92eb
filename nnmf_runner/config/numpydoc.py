"""What numpydoc docstrings say of parameters: the one place where they are described, for help and estimators."""

from __future__ import annotations

import inspect
import re


def summary(thing: object) -> str:
    """What a docstring says before its first section."""
    return re.split(r"\n\n(?=[A-Z][a-z ]+\n-{3,}\n)", inspect.getdoc(thing) or "", maxsplit=1)[0]


def section(thing: object, name: str) -> str | None:
    """A section of a docstring with its heading; None where there is none."""
    parts = re.split(r"\n\n(?=[A-Z][a-z ]+\n-{3,}\n)", inspect.getdoc(thing) or "")
    return next((part for part in parts if part.startswith(f"{name}\n---")), None)


def parameters(thing: object) -> dict[str, str]:
    """The entries of the section of parameters by name, as they stand; one of several names under each of them."""
    lines = (section(thing, "Parameters") or "").split("\n")[2:]
    entries: list[list[str]] = []
    for line in lines:
        if line and not line.startswith(" "):
            entries.append([line])
        else:
            entries[-1].append(line)
    found = {}
    for first, *rest in entries:
        found |= dict.fromkeys(first.partition(" : ")[0].split(", "), "\n".join([first, *rest]))
    return found
