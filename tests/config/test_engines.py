"""Engines: what they carry out, and what they refuse in one line."""

from __future__ import annotations

import importlib.util

import pytest

from nnmf_runner.config import engines
from nnmf_runner.core.checks import InputError

REFUSED = {
    "method=hier": "method=hier. Expected method=neural",
    "init=greedy": "init=greedy. Expected init=nndsvd or init=random",
    "optimizer=sgd": "optimizer=sgd. Expected an optimizer of all samples",
    "optimizer=adam optimizer.batch=10": "optimizer=adam. Expected an optimizer of all samples",
    "holdout=0.1": "holdout=0.1. Expected holdout=0",
    "mask=known.npy": "mask=",
    "dtype=float32": "dtype=float32. Expected dtype=float64",
    "normalise=true": "normalise=True. Expected normalise=False",
    "workers=2": "workers=2. Expected workers=1: engine.workers share every fit",
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_not_shared_out_is_refused(configure, given):
    with pytest.raises(InputError) as error:
        configure("engine=dask", *given.split())
    assert f"engine=dask has no {REFUSED[given]}" in str(error.value)
    assert str(error.value).endswith("or engine=local.")
    configure(*(option for option in given.split() if "mask" not in option))


@pytest.mark.parametrize(
    "option",
    [
        "engine.workers=0",
        "engine.workers=1.5",
        "engine.address=somewhere",
        "engine.address=tcp://host:port",
        "engine.address=://host:8786",
    ],
)
def test_options_are_checked(configure, option):
    with pytest.raises(InputError, match=option.partition("=")[0]):
        configure("engine=dask", option)


def test_workers_are_started_or_there(configure):
    with pytest.raises(InputError, match=r"engine\.workers=2 starts workers.*Expected one of them"):
        configure("engine=dask", "engine.workers=2", "engine.address=tcp://host:8786")


def test_an_engine_is_part_of_what_determines_a_result_and_its_workers_are_not(configure):
    one, many = configure().identity(0), configure("engine=dask").identity(0)
    assert many == one | {"engine": {"name": "dask"}}
    assert "engine" not in one  # so that records keep their folders
    for where in ("engine.workers=3", "engine.address=tcp://host:8786"):
        assert configure("engine=dask", where).identity(0) == many


def test_records_tell_how_many_workers_there_were(configure):
    assert configure().engine.described(1) == {"name": "local"}
    assert configure("engine=dask", "engine.workers=3").engine.described(2) == {"name": "dask", "workers": 3}
    assert configure("engine=dask").engine.described(10**6) == {"name": "dask", "workers": 1}


def test_without_dask_one_line_says_what_to_install(configure, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'nnmf-runner\[dask\]'"):
        configure("engine=dask")
    assert configure().engine == engines.OneProcess()
