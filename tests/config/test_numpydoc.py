"""Sections of numpydoc docstrings."""

from __future__ import annotations

import inspect

import pytest

from nnmf_runner.config.numpydoc import parameters, section, summary
from nnmf_runner.config.schema import GROUPS, RunConfig

DOCSTRING = """Do something.

    In two paragraphs.

    Parameters
    ----------
    kind : {"one", "two"}
        Which of them:

        on another line.
    low, high : float
        Bounds.
    bare

    References
    ----------
    A : thing
    """


def test_parameters_are_whole_entries_and_those_that_share_one_have_it_each():
    found = parameters(DOCSTRING)
    assert list(found) == ["kind", "low", "high", "bare"]
    assert found["kind"] == 'kind : {"one", "two"}\n    Which of them:\n\n    on another line.'
    assert found["low"] == found["high"] == "low, high : float\n    Bounds."


def test_sections_are_found_by_name():
    assert summary(DOCSTRING) == "Do something.\n\nIn two paragraphs."
    assert section(DOCSTRING, "References") == "References\n----------\nA : thing"
    assert section(DOCSTRING, "Raises") is None


@pytest.mark.parametrize("docstring", [None, "", "One line."])
def test_what_has_no_sections_has_no_parameters(docstring):
    assert summary(docstring) == (docstring or "")
    assert parameters(docstring) == {}


@pytest.mark.parametrize("part", [RunConfig, *(part for registry in GROUPS.values() for part in registry.values())])
def test_summary_and_sections_are_all_of_a_docstring_and_entries_all_of_their_section(part):
    whole = inspect.cleandoc(part.__doc__)
    names = [lines[0] for text in whole.split("\n\n") if (lines := text.splitlines())[1:] and set(lines[1]) == {"-"}]
    assert "\n\n".join([summary(whole), *(section(whole, name) for name in names)]) == whole
    entries = list(dict.fromkeys(parameters(whole).values()))
    assert not entries or "\n".join(["Parameters", "-" * 10, *entries]) == section(whole, "Parameters")
