"""The fits that a choice of ranks needs: what is done is found again, and what is damaged is named."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from nnmf_runner.config.ranks import read_rank_sweep
from nnmf_runner.core.checks import InputError
from nnmf_runner.running.ranks import run_ranking
from nnmf_runner.store.record import FACTORS, find_records, read_record

SMALL = ["dataset=planted", "dataset.branching=[2,2]", "dataset.features=12", "dataset.samples=16"]


@pytest.fixture
def rank(tmp_path):
    def call(*overrides):
        return run_ranking(read_rank_sweep([*SMALL, "max_iter=5", "workers=1", f"output={tmp_path}/out", *overrides]))

    return call


@pytest.mark.slow
def test_fits_are_records_that_are_found_again(rank):
    first = rank("ranks=2..4")
    times = {path: path.stat().st_mtime_ns for path in find_records(first.folder)}
    assert first.status.done == len(times) == 3 * 10 + 4 * 9
    # Of a wider range only what is new is fitted.
    wider = rank("ranks=2..5")
    assert wider.status.done == len(find_records(first.folder)) == 66 + 19
    assert rank("ranks=2..4").profile.as_dict() == first.profile.as_dict()
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_fits_that_failed_leave_no_choice(rank):
    found = rank("ranks=2..4", "time_limit=1e-9", "tol=0", "max_iter=100")
    assert found.profile is None
    assert found.status.failed


@pytest.mark.slow
def test_a_damaged_record_is_named(rank):
    found = rank("ranks=2..4")
    paths = find_records(found.folder)
    damaged = next(path.parent for path in paths if read_record(path)["config"]["resample"]["name"] == "halves")
    (damaged / FACTORS).write_bytes(b"nothing")
    with pytest.raises(InputError, match=f"{damaged.name} .*{FACTORS}.* Remove the folder"):
        rank("ranks=2..4")


@pytest.mark.slow
def test_ranks_above_what_the_data_allow_are_refused_before_anything_is_written(rank, tmp_path):
    with pytest.raises(InputError, match=r"ranks go up to 9, .* Expected ranks of at most 8\."):
        rank("ranks=2..9")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6, 4, 30), (40, 30)])
def test_what_data_say_of_themselves_stands_before_no_error(tmp_path, caplog, shape):
    caplog.set_level(logging.INFO)
    X = np.zeros(shape)  # of a matrix, most parts hold nothing
    X[0, 0] = 1.0
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(InputError, match="takes a part of a matrix" if len(shape) > 2 else "only zeros"):
        run_ranking(read_rank_sweep(["dataset=file", f"dataset.path={tmp_path}/X.npy", "ranks=2..4"]))
    assert caplog.messages == []


@pytest.mark.slow
def test_what_the_spectrum_proposes_is_said_before_the_fits_and_not_of_data_that_do_not_fit(rank, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(InputError, match="resample=halves takes a part of a matrix"):
        run_ranking(read_rank_sweep(["dataset=blocks", "ranks=2..4"]))
    assert caplog.messages == []
    rank("ranks=2..4", "dataset.features=40", "dataset.samples=48", "time_limit=1e-9")
    assert "The spectrum proposes ranks 2; the fits follow." in caplog.messages
