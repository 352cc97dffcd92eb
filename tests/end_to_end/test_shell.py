"""Runs whose files, folders and columns are called as people call theirs, from shells that expand little."""

from __future__ import annotations

import csv
import shlex
import subprocess

import numpy as np
import pytest

from nnmf_runner import HierarchicalNMF, load
from nnmf_runner.core.checks import InputError
from nnmf_runner.store.record import find_records, read_record
from tests.fixtures.commands import BIN

pytestmark = pytest.mark.slow

SHORT = ["layers=2", "max_iter=3"]
COLUMNS = ["Cell type (broad)", "größe", "2019", "null", "a=b", "1_1"]


@pytest.fixture
def home(monkeypatch, tmp_path_factory):
    """A home folder with a table, an array, and a mask of it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    X = np.random.default_rng(0).random((12, 5)).round(3)
    with (folder / "my table (1).csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "d", "e", *COLUMNS])
        writer.writerows([*row, *("xy"[(i + j) % 2] for j in range(len(COLUMNS)))] for i, row in enumerate(X))
    np.savez(folder / "arrays.npz", **dict.fromkeys(("a=b", "名前", "1_1", "a,b", "$x"), X))
    np.save(folder / "mask.npy", np.ones((5, 12), bool))
    return folder


def record_below(folder):
    [path] = find_records(folder)
    return read_record(path)


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[::-1]], ids=["forwards", "backwards"])
def test_columns_are_found_by_the_names_that_they_have(command, tmp_path, home, columns):
    result = command("dataset=file", "dataset.path=~/my table (1).csv", f"dataset.labels=[{','.join(columns)}]", *SHORT)
    assert result.status == 0
    record = record_below(tmp_path)
    assert record["config"]["dataset"]["labels"] == columns
    assert record["dataset"]["classes"] == [2] * len(columns)
    assert record["dataset"]["options"]["path"] == str(home / "my table (1).csv")


@pytest.mark.parametrize("key", ["a=b", "名前", "1_1", "'a,b'", "$x"])
def test_arrays_are_found_by_their_names(command, tmp_path, home, key):
    data = ["dataset=file", "dataset.path=~/arrays.npz", f"dataset.x={key}", "mask=~/mask.npy"]
    assert command(*data, *SHORT).status == 0
    assert record_below(tmp_path)["config"]["dataset"]["x"] == key.strip("'")


def test_all_programs_find_home_and_nothing_is_called_by_its_sign(command, home):
    """Also a second time, where the run is found done."""
    for said in (f"{home}/out, here [1]/runs", "is done already"):
        result = command("output=~/out, here [1]", *SHORT)
        assert (result.status, result.files) == (0, [])
        assert said in result.out + result.err
    swept = command("-m", "seed=0,1", "output=~/out, here [1]", *SHORT)
    counts, what_next = swept.out.splitlines()[-2:]
    assert counts == f"2 done, 0 failed: {home}/out, here [1]/runs"
    assert shlex.split(what_next)[:2] == ["nnmf-collect", f"{home}/out, here [1]/runs"]  # to be pasted
    assert command("~/out, here [1]/runs", program="nnmf-status").out == f"{counts}\n"
    assert command("~/out, here [1]", "--no-figures", program="nnmf-collect").status == 0
    assert swept.files == []


def test_a_sweep_over_folders_at_home_starts_from_each(command, tmp_path, home):
    for name in ("a b", "c"):
        assert command(f"output=~/{name}", "init=random", *SHORT, f"seed={len(name)}").status == 0
    paths = [f"~/{find_records(home / name)[0].parent.relative_to(home)}" for name in ("a b", "c")]
    result = command("-m", f"init={','.join(paths)}", *SHORT)
    assert "2 done, 0 failed" in result.out
    started = {read_record(path)["start"] for path in find_records(tmp_path)}
    assert started == {path.replace("~", str(home)) for path in paths}


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("dataset=text dataset.delimiter=';'", ";"),
        ('dataset=text dataset.delimiter=";"', ";"),
        (r"dataset=text dataset.delimiter='\t'", "\t"),
        ("dataset=text dataset.delimiter=,", ","),
        ("dataset=text dataset.delimiter='|'", "|"),
    ],
)
def test_delimiters_come_through_a_shell(shell, typed, shown, tmp_path):
    line = f"{shlex.quote(str(BIN / 'nnmf-run'))} {typed} --cfg job -p dataset.delimiter"
    done = subprocess.run([shell, "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.rstrip("\n").strip("'"), done.stderr) == (shown, "")


def test_models_are_saved_and_loaded_at_home(home):
    X = np.random.default_rng(0).random((9, 5))
    model = HierarchicalNMF(layers=(2,), random_state=0, max_iter=3).fit(X)
    model.save("~/a model")
    assert (home / "a model" / "factors.npz").exists()
    np.testing.assert_array_equal(load("~/a model").transform(X), model.transform(X))
    for refused in (load, model.save):
        with pytest.raises(InputError, match=r"^path=~nobodyhere/x is not valid: ~nobodyhere is the home folder of no"):
            refused("~nobodyhere/x")
