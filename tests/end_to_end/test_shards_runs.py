"""From `nnmf-shards` to a run on the shards, which is that on the file they were cut from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nnmf_runner.datasets.files.shards import META
from nnmf_runner.store.record import find_records, read_factors, read_record


@pytest.fixture
def file(tmp_path_factory, rng):
    """Samples by features with labels in two levels, one of which is not known everywhere."""

    def write(form):
        path = tmp_path_factory.mktemp("data") / "a.npz"
        X = rng.random((60, 3)) ** 4 @ rng.random((3, 12)) + 0.1 * (rng.random((60, 12)) < 0.2)
        X *= rng.random((60, 12)) < 0.7
        labels = {"fine": np.arange(60) % 4, "coarse": np.where(np.arange(60) % 5, np.arange(60) % 2, -1)}
        if form == "dense":
            np.savez(path, X=X, names=[*"abcdefghijkl"], **labels)
        else:
            rows = sparse.csr_array(X)
            parts = {"X_data": rows.data, "X_indices": rows.indices, "X_indptr": rows.indptr, "X_shape": rows.shape}
            np.savez(path, **parts, names=[*"abcdefghijkl"], **labels)
        return path

    return write


def run_of(command, output, *arguments):
    result = command(*arguments, f"output={output}", "max_iter=5")
    assert (result.status, result.err.count("Traceback")) == (0, 0)
    (path,) = find_records(output)
    return read_record(path), read_factors(path.parent)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [["method=neural", "layers=[4,2]", "label_fraction=0.5"], ["method=hier", "layers=[4,2]"]]
)
@pytest.mark.parametrize(("form", "shards"), [("dense", 1), ("dense", 7), ("sparse", 1), ("sparse", 7)])
def test_a_run_on_shards_is_the_run_on_their_file(command, tmp_path, file, method, form, shards):
    path = file(form)
    labels = "dataset.labels=[fine,coarse]"
    made = command(str(path), str(tmp_path / "shards"), labels, f"shards={shards}", program="nnmf-shards")
    assert (made.status, made.err) == (0, "dataset=file: coarse has no label for 12 of 60 samples.\n")
    assert made.out.splitlines()[-1] == str(tmp_path / "shards")
    expected, factors = run_of(command, tmp_path / "file", *method, "dataset=file", f"dataset.path={path}", labels)
    found, ours = run_of(command, tmp_path / "run", *method, "dataset=shards", f"dataset.path={tmp_path / 'shards'}")
    timeless = [{**record["metrics"], "seconds": None} for record in (found, expected)]
    assert timeless[0] == timeless[1]
    assert found.get("topics") == expected.get("topics")
    assert found["dataset"]["fingerprint"] == expected["dataset"]["fingerprint"]
    assert factors.keys() == ours.keys()
    for name in factors:
        np.testing.assert_array_equal(ours[name], factors[name])


@pytest.mark.slow
def test_tables_and_figures_are_drawn_of_runs_on_shards(command, tmp_path, file):
    command(str(file("sparse")), "shards", "columns=17", "dataset.labels=[fine]", program="nnmf-shards")
    run_of(command, tmp_path / "out", "dataset=shards", "dataset.path=shards", "layers=[4,2]")
    result = command("out", program="nnmf-collect")
    assert result.status == 0
    assert {"out/report/table.csv", "out/report/figures/runs_neural_heatmaps.png"} <= {*result.files}


@pytest.mark.parametrize("damaged", [META, "00001.npy", "00001.labels.npy"])
@pytest.mark.parametrize("how", ["missing", "short", "changed"])
def test_damage_ends_in_one_line(command, tmp_path_factory, file, damaged, how):
    folder = tmp_path_factory.mktemp("made") / "shards"
    assert command(file("dense"), folder, "shards=3", "dataset.labels=[fine]", program="nnmf-shards").status == 0
    content = (folder / damaged).read_bytes()
    (folder / damaged).unlink()
    if how != "missing":
        (folder / damaged).write_bytes(
            content[: len(content) // 2] if how == "short" else content[:-3] + b"7" + content[-2:]
        )
    result = command("dataset=shards", f"dataset.path={folder}", "layers=3")
    assert (result.status, result.out, result.err.count("\n"), result.files) == (2, "", 1, [])
    assert result.err.startswith(f"nnmf-run: dataset.path={folder}")
    assert damaged in result.err


def test_what_cannot_be_cut_ends_in_one_line(command, file):
    path = file("dense")
    for arguments in (
        [path, "a", "shards=61"],
        [path, path.parent],
        [path],
        ["none.npy", "a"],
        [path, "a", "max_iter=3"],
    ):
        result = command(*arguments, program="nnmf-shards")
        assert (result.status, result.out, result.files) == (2, "", [])
        [error] = [line for line in result.err.splitlines() if not line.startswith("dataset=file: ")]
        assert error.startswith("nnmf-shards: ")


def test_errors_name_the_source_as_the_command_line_does(command):
    result = command("none.npy", "a", program="nnmf-shards")
    assert result.err.startswith("nnmf-shards: SOURCE=none.npy does not exist.")
