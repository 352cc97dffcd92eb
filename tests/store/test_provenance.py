"""What a run says of its machine and of the code that made it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import nnmf_runner
from nnmf_runner.store import provenance


def test_facts_of_the_machine_are_complete():
    facts = provenance.provenance()
    assert {"versions", "commit", "blas_threads", "peak_memory_mb", "host", "finished"} <= facts.keys()
    assert {"python", "numpy", "scipy", "nnmf-runner"} <= facts["versions"].keys()
    assert 10 < facts["peak_memory_mb"] < 100_000
    assert facts["blas_threads"] >= 1


def test_code_is_told_by_the_source_of_the_package_alone(monkeypatch, tmp_path):
    assert provenance.same_code({"code": provenance.code()})
    assert not provenance.same_code({"code": "0" * 16})
    assert not provenance.same_code({})
    package = Path(provenance.__file__).parents[1]
    copy = shutil.copytree(package, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(copy / "store" / "provenance.py"))
    assert provenance.code.__wrapped__() == provenance.code()
    (copy / "core" / "nnls.py").write_text("# another")
    assert provenance.code.__wrapped__() != provenance.code()


def test_a_record_tells_its_code_in_the_words_in_which_this_code_tells_its_own():
    record = {"commit": provenance.commit(), "code": provenance.code()}
    assert provenance.described_code(record) == provenance.this_code()
    assert provenance.described_code({**record, "code": "other"}) != provenance.this_code()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit with a file in the package's place, and a function that calls git in it."""

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / "package" / "store" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.write_text("first")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(module))
    return module, git


def test_the_commit_is_that_of_the_repository_and_changes_are_told(repository):
    module, git = repository
    commit = git("rev-parse", "--short=12", "HEAD")
    assert provenance.commit.__wrapped__() == commit
    module.write_text("changed")
    assert provenance.commit.__wrapped__() == f"{commit}-dirty"


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "nnmf_runner" / "store" / "a.py"))
    assert provenance.commit.__wrapped__() is None


def printed(code, **environment):
    """Numbers that a process of its own prints."""
    environment |= {"PYTHONPATH": str(Path(nnmf_runner.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2),
        ({"MKL_NUM_THREADS": "4"}, 4),
        ({"OMP_NUM_THREADS": "many"}, os.cpu_count()),
        ({}, os.cpu_count()),
    ],
)
def test_threads_are_those_that_the_environment_asked_for_when_the_process_began(environment, threads):
    code = (
        "import os; from nnmf_runner.store import provenance; os.environ['OPENBLAS_NUM_THREADS'] = '7'; "
        "print(provenance.asked_threads(), provenance.blas_threads())"
    )
    kept = {name: value for name, value in os.environ.items() if name not in provenance.THREAD_VARIABLES}
    assert printed(code, **kept, **environment) == [threads] * 2  # the same as BLAS says where it is not loaded


@pytest.mark.parametrize(("system", "megabytes"), [("linux", 2048.0), ("darwin", 2.0)])
def test_the_peak_of_memory_is_in_megabytes_whatever_the_system_counts_in(monkeypatch, system, megabytes):
    monkeypatch.setattr(provenance.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2_000_000))
    monkeypatch.setattr(provenance.sys, "platform", system)
    assert provenance.peak_memory_mb() == megabytes
