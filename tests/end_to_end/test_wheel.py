"""The wheel: it carries its configuration and runs from anywhere, without the repository."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", str(REPOSITORY), "--no-deps", "-q", "-w", str(folder), *offline]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode and "hatchling" in done.stderr and not offline:
        pytest.skip("no build backend within reach")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_it_holds_the_package_its_configuration_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nnmf_runner"}
    conf = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "conf").rglob("*.yaml")}
    assert {f"nnmf_runner/{name}" for name in conf} <= set(names)
    assert {"nnmf_runner/conf/config.yaml", "nnmf_runner/py.typed"} <= set(names)
    assert not [name for name in names if "test" in name]
    scripts = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(scripts).decode()
    assert "nnmf-run = nnmf_runner.cli:run" in text
    assert "nnmf-collect = nnmf_runner.cli:collect" in text


def test_it_runs_from_another_directory(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys, nnmf_runner; from nnmf_runner.cli import run, collect\n"
        f"assert nnmf_runner.__file__.startswith({str(site)!r}), nnmf_runner.__file__\n"
        "sys.argv = ['nnmf-run', 'layers=9-4', 'max_iter=3', 'label_fraction=0.4']; assert run() == 0\n"
        "sys.argv = ['nnmf-collect', 'outputs/runs', '--no-figures']; assert collect() == 0"
    )
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (work / "outputs" / "runs" / "report" / "table.md").exists()
    assert not (site / "outputs").exists()
