"""Records: whole or absent, read back as written, refused with a reason."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter

import numpy as np
import pytest

from nnmf_runner.store import files
from nnmf_runner.store.record import (
    RECORD,
    SCHEMA_VERSION,
    experiment_folder,
    find_records,
    folder_name,
    read_factors,
    read_history,
    read_names,
    read_record,
    run_folder,
    write_record,
)


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_round_trip(tmp_path, record_of):
    record = record_of()
    factors = {"A0": np.random.default_rng(0).random((4, 2)), "S0": np.zeros((2, 3))}
    history = {"layer": [-1, -1], "iteration": [0, 1], "cost": [1.0, 1 / 3]}
    write_record(tmp_path / "deep" / "run", record, factors, history)
    assert read_record(tmp_path / "deep" / "run" / RECORD) == record
    again = read_factors(tmp_path / "deep" / "run")
    assert again.keys() == factors.keys()
    assert all(np.array_equal(again[name], factors[name]) for name in factors)
    columns = read_history(tmp_path / "deep" / "run")
    assert {name: list(column) for name, column in columns.items()} == history
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "run"]  # nothing left beside it


def test_names_of_what_there_is_are_kept(tmp_path, record_of):
    nothing = {"features": None, "classes": {}, "samples": None, "weights": None}
    write_record(tmp_path / "bare", record_of(), names=nothing)
    assert visible(tmp_path / "bare") == [RECORD]
    assert read_names(tmp_path / "bare", 2) == nothing
    weights = {"options": {"idf": True}, "idf": [1 / 3, 2.0]}
    names = {"features": ["a", "b"], "classes": {"0": ["x", "y"]}, "samples": ["s", "t", "u"], "weights": weights}
    write_record(tmp_path / "run", record_of(), names=names)
    assert read_names(tmp_path / "run", 2) == names
    write_record(tmp_path / "other", record_of(), names={"features": ["a", "b"]})
    with pytest.raises(ValueError, match="2 names of 3 features"):
        read_names(tmp_path / "other", 3)


def test_history_without_rows_keeps_its_columns(tmp_path, record_of):
    write_record(tmp_path / "run", record_of(), None, {"cost": [], "layer": []})
    assert {name: len(column) for name, column in read_history(tmp_path / "run").items()} == {"cost": 0, "layer": 0}


@pytest.mark.parametrize("crash", ["savez", "dumps", "replace"])
def test_a_crash_in_the_middle_leaves_nothing(tmp_path, record_of, monkeypatch, crash):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr({"savez": np, "dumps": json, "replace": os}[crash], crash, fail)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path / "run", record_of(), {"A0": np.ones((2, 2))}, {"cost": [1.0]})
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_nothing_visible(tmp_path, record_of, monkeypatch):
    """What a kill leaves: the scratch folder is not cleaned up."""
    monkeypatch.setattr(files.shutil, "rmtree", lambda *args, **kwargs: None)
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        write_record(tmp_path / "run", record_of())
    assert visible(tmp_path) == []
    assert find_records(tmp_path) == []


def test_a_record_takes_the_place_of_an_earlier_one_whole(tmp_path, record_of):
    write_record(tmp_path / "run", record_of(), {"A0": np.ones((2, 2))}, {"cost": [1.0]})
    write_record(tmp_path / "run", record_of(status="failed"))
    assert read_record(tmp_path / "run" / RECORD)["status"] == "failed"
    assert [path.name for path in (tmp_path / "run").iterdir()] == [RECORD]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("failing", [1, 2])
def test_an_earlier_record_survives_a_crash_while_it_is_replaced(tmp_path, record_of, monkeypatch, failing):
    write_record(tmp_path / "run", record_of(seed=1))
    calls, replace = [], os.replace

    def fail_once(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError("disk")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(OSError, match="disk"):
        write_record(tmp_path / "run", record_of(seed=2))
    assert [read_record(path)["config"]["seed"] for path in find_records(tmp_path)] == [1]


def test_numbers_that_json_lacks_are_not_written(tmp_path, record_of):
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path / "run", record_of(n_iter=float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_folders_have_the_permissions_that_the_user_gives(tmp_path, record_of):
    before = os.umask(0o027)
    try:
        write_record(tmp_path / "run", record_of())
        assert os.umask(0o027) == 0o027  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o750


def test_a_folder_that_is_a_file_is_refused(tmp_path, record_of):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_record(tmp_path / "file" / "run", record_of())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ('{"schema": 1, "stat', "cannot be read"),
        ("[1, 2]", "no schema"),
        ("{}", "no schema"),
        (
            '{"schema": 1}',
            r"schema version 1, .* no longer reads; the command .* given again, makes",
        ),
        (f'{{"schema": {SCHEMA_VERSION}, "status": "done"}}', "incomplete.*config"),
    ],
)
def test_damaged_newer_and_partial_records_are_refused_with_a_reason(tmp_path, text, reason):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_record(tmp_path / RECORD)


def test_binary_rubbish_and_missing_files_are_refused(tmp_path):
    (tmp_path / RECORD).write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / RECORD, tmp_path / "absent"):
        with pytest.raises(ValueError, match="cannot be read"):
            read_record(path)


def test_finding_passes_over_hidden_folders(tmp_path, record_of):
    for name in ("b", "a/c", ".b-scratch", "a/.hidden/d"):
        write_record(tmp_path / name, record_of())
    assert find_records(tmp_path) == [tmp_path / "a" / "c" / RECORD, tmp_path / "b" / RECORD]
    assert find_records(tmp_path / "b") == [tmp_path / "b" / RECORD]
    assert find_records(tmp_path / "absent") == []


def test_factors_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "factors.npz", A0=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        read_factors(tmp_path)


def test_folder_name_depends_on_values_not_on_their_order():
    name = folder_name({"a": 1, "b": {"c": 2.5, "d": [1, 2]}})
    assert name == folder_name({"b": {"d": [1, 2], "c": 2.5}, "a": 1})
    assert name != folder_name({"a": 1, "b": {"c": 2.5, "d": [2, 1]}})
    assert name.isalnum()


@pytest.mark.slow
def test_runs_of_an_experiment_are_spread_evenly_and_found_wherever_they_stand(tmp_path, record_of):
    configs = [record_of(seed=seed)["config"] for seed in range(5000)]
    folders = [run_folder(tmp_path, config) for config in configs]
    assert len(set(folders)) == len(folders)
    assert {experiment_folder(folder) for folder in folders} == {tmp_path}
    shards = Counter(folder.parent for folder in folders)
    assert len(shards) == 256
    assert max(shards.values()) < 50  # 20 on average, deviation 4.4
    flat = tmp_path / folder_name(configs[1])
    for folder, seed in ((folders[0], 0), (flat, 1)):
        write_record(folder, record_of(seed=seed))
    assert find_records(tmp_path) == sorted([folders[0] / RECORD, flat / RECORD])


def test_a_folder_that_cannot_be_read_is_an_error_and_one_that_vanishes_is_not(tmp_path, record_of, monkeypatch):
    for name in ("a", "b", "c"):
        write_record(tmp_path / name, record_of())
    scan, failure = os.scandir, PermissionError(13, "Permission denied", "b")

    def scandir(path):
        if os.path.basename(path) == "b":
            raise failure
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        find_records(tmp_path)
    failure = FileNotFoundError(2, "No such file or directory", "b")
    assert find_records(tmp_path) == [tmp_path / "a" / RECORD, tmp_path / "c" / RECORD]
