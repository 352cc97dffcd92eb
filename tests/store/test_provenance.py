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
from nnmf_runner.methods import METHODS
from nnmf_runner.store import provenance


def test_facts_of_the_machine_are_complete():
    facts = provenance.provenance()
    assert {"versions", "commit", "blas_threads", "peak_memory_mb", "host", "finished"} <= facts.keys()
    assert {"python", "numpy", "scipy", "nnmf-runner"} <= facts["versions"].keys()
    assert 10 < facts["peak_memory_mb"] < 100_000
    assert facts["blas_threads"] >= 1


def code_of(method):
    return provenance.code.__wrapped__(method)


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A copy of the package that stands for this one."""
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(Path(provenance.__file__).parents[1], tmp_path / "copy", ignore=ignored)
    monkeypatch.setattr(provenance, "_ROOT", copy)
    monkeypatch.setattr(sys.modules[METHODS["sparse_coding"].__module__], "__file__", str(copy / SPARSE_CODING))
    return copy


SPARSE_CODING = "methods/sparse_coding.py"


@pytest.mark.parametrize(
    "path",
    ["report/table.py", "running/run.py", "methods/deep.py", "store/record.py", "cli.py", "estimators/making.py"],
)
def test_a_change_of_what_computes_no_run_leaves_the_code_as_it_is(package, path):
    before = code_of("sparse_coding")
    (package / path).write_text("# another")
    assert code_of("sparse_coding") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "core/nnls.py",
        "datasets/generated/toy.py",
        "metrics/errors.py",
        "task.py",
        "store/start.py",
        "methods/base.py",
        "methods/encoding.py",
        "methods/neural.py",
        SPARSE_CODING,
    ],
)
def test_a_change_of_what_computes_a_run_changes_the_code(package, path):
    before = code_of("sparse_coding")
    (package / path).write_text((package / path).read_text() + "# another\n")
    assert code_of("sparse_coding") != before


@pytest.mark.parametrize(
    "statement",
    [
        "from nnmf_runner.methods import semi",
        "import nnmf_runner.methods.semi",
        "from . import semi",
        "from .semi import Semi",
        "from ..methods.semi import Semi",
    ],
)
def test_modules_that_a_method_imports_in_any_way_are_part_of_its_code(package, statement):
    (package / SPARSE_CODING).write_text(statement)
    before = code_of("sparse_coding")
    (package / "methods" / "semi.py").write_text("# another")
    assert code_of("sparse_coding") != before


def test_a_record_is_of_this_code_if_its_method_is_and_says_so_in_the_same_words():
    record = {"commit": provenance.commit(), "code": provenance.code("hier")}
    other = {**record, "code": "hier-" + "0" * 16}
    assert provenance.same_code(record)
    assert not any(map(provenance.same_code, [other, {"code": "mine-" + "0" * 16}, {"code": None}, {}]))
    assert provenance.this_code(other) == provenance.described_code(record) != provenance.described_code(other)
    assert len({provenance.code(method) for method in METHODS}) == len(METHODS)


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
    monkeypatch.setattr(provenance, "_ROOT", module.parents[1])
    return module, git


def test_the_commit_is_that_of_the_repository_and_changes_are_told(repository):
    module, git = repository
    commit = git("rev-parse", "--short=12", "HEAD")
    assert provenance.commit.__wrapped__() == commit
    module.write_text("changed")
    assert provenance.commit.__wrapped__() == f"{commit}-dirty"


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_ROOT", tmp_path / "site-packages" / "nnmf_runner")
    assert provenance.commit.__wrapped__() is None


def printed(code, **environment):
    """Numbers that a process of its own prints."""
    environment |= {"PYTHONPATH": str(Path(nnmf_runner.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"OPENBLAS_NUM_THREADS": "1"}, 1),
        ({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "2"}, 2),
        ({"MKL_NUM_THREADS": "4"}, 4),
        ({"OMP_NUM_THREADS": "many"}, os.cpu_count()),
        ({}, os.cpu_count()),
    ],
)
def test_threads_are_those_asked_for_when_the_process_began_and_those_that_blas_has(environment, threads):
    code = (
        "import os; from nnmf_runner.store import provenance; os.environ['OPENBLAS_NUM_THREADS'] = '7'; "
        "from threadpoolctl import threadpool_info; "
        "true = {pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'}; "
        "print(provenance.asked_threads(), provenance.blas_threads(), *true)"
    )
    kept = {name: value for name, value in os.environ.items() if name not in provenance.THREAD_VARIABLES}
    asked, found, true = printed(code, **kept, **environment)
    assert (asked, found) == (threads, true)  # of which BLAS has at most one a core, and may read one variable alone


def test_a_library_that_does_not_tell_its_threads_is_taken_to_have_those_asked_for(monkeypatch):
    monkeypatch.setattr(provenance, "THREAD_FUNCTIONS", ("none_of_this_name",))
    monkeypatch.setattr(provenance, "asked_threads", lambda: 5)
    assert provenance.blas_threads() == 5


@pytest.mark.parametrize(("system", "megabytes"), [("linux", 2048.0), ("darwin", 2.0)])
def test_the_peak_of_memory_is_in_megabytes_whatever_the_system_counts_in(monkeypatch, system, megabytes):
    monkeypatch.setattr(provenance.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2_000_000))
    monkeypatch.setattr(provenance.sys, "platform", system)
    assert provenance.peak_memory_mb() == megabytes
