"""Records to make tables and figures of: invented ones, and those of short runs."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nnmf_runner import config as schema
from nnmf_runner.results.record import SCHEMA_VERSION, folder_name
from nnmf_runner.run import run_one


def make_record(method="hier", layers=(9, 4), seed=0, error=0.5, **changes) -> dict:
    """A record as a run would write it; `changes` replace its fields, those with a dot in the configuration."""
    config = {
        "schema": SCHEMA_VERSION,
        "dataset": {"name": "toy", "noise": 0.15},
        "method": {"name": method, "solver": "hals"},
        "cost": {"name": "reconstruction"},
        "layers": list(layers),
        "label_fraction": {"unsupervised": 0.0, "supervised": 1.0}.get(changes.get("regime"), 0.4),
        "tol": 1e-4,
        "seed": seed,
    }
    record = {
        "schema": SCHEMA_VERSION,
        "experiment": "trial",
        "regime": "semisupervised",
        "config": config,
        "reported": {},
        "status": "done",
        "stop": "converged",
        "message": None,
        "layers": [{"layer": i, "rank": rank, "floor": 0.1 + i / 10} for i, rank in enumerate(layers)],
        "metrics": {
            "relative_error": error,
            "accuracy": 0.9,
            "accuracy_unknown": 0.8,
            "accuracy_fit": None,
            "seconds": 1.0 + seed,
        },
        "n_iter": 10,
    }
    for name, value in changes.items():
        if "." in name:
            group, option = name.split(".")
            config[group][option] = value
        else:
            record[name] = value
    if record["status"] not in ("done", "max_iter"):
        record |= {"metrics": {}, "layers": []}
    return record


@pytest.fixture
def record_of():
    """A record by its fields, see `make_record`."""
    return make_record


@pytest.fixture
def records_of():
    """Records by their folders."""

    def make(*records: dict) -> dict[Path, dict]:
        return {Path("out") / f"{i}-{folder_name(record['config'])}": record for i, record in enumerate(records)}

    return make


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """A short run with real factors by its overrides: its folder and record."""
    output = tmp_path_factory.mktemp("short_runs")
    schema.register_schema()

    def make(*overrides: str):
        given = [f"output={output}", "max_iter=3", "force=true", *overrides]
        with initialize_config_dir(schema.conf_dir(), version_base="1.3"):
            config = schema.resolve(compose("config", given))
        return run_one(config, config.seed)

    return make


@pytest.fixture
def full_disk():
    """A block in which no file may grow, as on a full disk."""

    @contextmanager
    def block():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return block
