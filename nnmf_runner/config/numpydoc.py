"""What numpydoc docstrings say of parameters, for the help of the command line and the estimators' docstrings."""

from __future__ import annotations

import inspect
import re


def summary(docstring: str | None) -> str:
    """Return what a docstring says before its first section."""
    return _sections(docstring)[0]


def section(docstring: str | None, name: str) -> str | None:
    """Return a section of a docstring with its heading; None where there is none."""
    return next((part for part in _sections(docstring) if part.startswith(f"{name}\n---")), None)


def parameters(docstring: str | None) -> dict[str, str]:
    """Return the entries of the section `Parameters` by name, see `entries`."""
    return entries(docstring, "Parameters")


def entries(docstring: str | None, name: str) -> dict[str, str]:
    """Return the entries of a section by name; one of several names stands under each of them."""
    text = (section(docstring, name) or "\n").split("\n", 2)[-1]
    found = re.split(r"\n(?=\S)", text) if text else []
    return {name: entry for entry in found for name in re.split(r" :|\n", entry)[0].split(", ")}


def _sections(docstring: str | None) -> list[str]:
    return re.split(r"\n\n(?=[A-Z][a-z ]+\n-{3,}\n)", inspect.cleandoc(docstring or ""))
