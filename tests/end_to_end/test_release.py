"""What a release says of itself: one version everywhere, a citation, a changelog, the Pythons that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import nnmf_runner

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
VERSION = PROJECT["project"]["version"]


def test_all_places_name_the_same_version():
    readme = (REPOSITORY / "README.md").read_text()
    assert nnmf_runner.__version__ == VERSION
    assert CITATION["version"] == VERSION
    assert re.search(r"This program: nnmf-runner (\S+),", readme)[1] == VERSION


def test_the_citation_is_complete_and_agrees_with_the_project_and_its_licence():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "references"} <= CITATION.keys()
    assert (CITATION["title"], CITATION["license"]) == (PROJECT["project"]["name"], PROJECT["project"]["license"])
    assert CITATION["abstract"] == PROJECT["project"]["description"]
    assert f"Copyright (c) 2026 {CITATION['authors'][0]['name']}" in (REPOSITORY / "LICENSE").read_text()
    cited = re.findall(r"arXiv:\d+\.\d+", (REPOSITORY / "README.md").read_text())
    assert {entry["value"] for source in CITATION["references"] for entry in source.get("identifiers", ())} >= {*cited}


def test_the_changelog_has_a_section_for_what_is_to_come():
    headings = re.findall(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])


def test_lint_and_tests_run_on_every_python_that_the_project_allows():
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "tests.yml").read_text())
    job = workflow["jobs"]["tests"]
    pythons = [tuple(map(int, version.split("."))) for version in job["strategy"]["matrix"]["python"]]
    lowest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"]).groups()
    assert pythons == [(3, minor) for minor in range(int(lowest), int(above))]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command.partition(" PYTHON=")[0] for command in commands] == ["make lint", "make test"]


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", ".github/workflows"])
def test_the_source_distribution_has_what_its_tests_read(name):
    assert name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert (REPOSITORY / name).exists()
