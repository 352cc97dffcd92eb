"""Configurations, and command lines inside this process or as one of their own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from nnmf_runner import cli, material
from nnmf_runner import config as schema
from nnmf_runner.datasets.base import Loader

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Result:
    """What came of a command line; `files` are the paths below its working directory."""

    status: int
    out: str
    err: str
    files: list[str]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="session")
def configure():
    """A checked configuration by its overrides."""
    schema.register_schema()

    def make(*overrides: str) -> schema.RunConfig:
        with initialize_config_dir(schema.conf_dir(), version_base="1.3"):
            return schema.resolve(compose("config", list(overrides)))

    return make


@pytest.fixture(autouse=True)
def _new_loader(monkeypatch):
    """No dataset is remembered from another test."""
    monkeypatch.setattr(material, "_loader", Loader())


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Call a console script's function with arguments, from an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it; this unsets it again
    root = logging.getLogger()
    program_of = {"nnmf-run": cli.run, "nnmf-status": cli.status, "nnmf-collect": cli.collect}
    handlers, level = list(root.handlers), root.level

    def call(*arguments: str, program: str = "nnmf-run") -> Result:
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        monkeypatch.setattr(material, "_loader", Loader())  # as in a process of its own
        try:
            status = program_of[program]()
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err, files_below(tmp_path))

    yield call
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    GlobalHydra.instance().clear()


@pytest.fixture
def script(tmp_path):
    """Run an installed console script as a process of its own, from an empty working directory."""

    def call(program: str, *arguments: str, cwd: Path = tmp_path) -> Result:
        done = subprocess.run(
            [BIN / program, *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        return Result(done.returncode, done.stdout, done.stderr, files_below(cwd))

    return call
