"""MLflow in a folder: everything of a run is found there again, by MLflow's own client."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from pathlib import Path

import pytest

# Whose import takes seconds, and no time where none of these tests is run.
absent = importlib.util.find_spec("mlflow") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent, reason="mlflow is not installed")]
RUN = ["layers=9-4", "max_iter=3", "tracking=mlflow", "label_fraction=0.5"]


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """MLflow's settings are those of before after a test."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.get(name, "true"))


def client(folder="outputs/mlruns"):
    import mlflow

    return mlflow.MlflowClient(Path(folder).resolve().as_uri())


def runs_of(found, experiment="runs"):
    return [*found.search_runs([found.get_experiment_by_name(experiment).experiment_id])]


def test_a_run_is_kept_with_options_metrics_history_figures_and_record(command):
    assert command(*RUN).status == 0
    [record_path] = Path("outputs/runs").rglob("record.json")
    record = json.loads(record_path.read_text())
    found = client()
    [run] = runs_of(found)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "neural 9-4 seed 0")
    assert run.data.params["layers"] == "[9, 4]"
    assert run.data.params["dataset.noise"] == str(record["config"]["dataset"]["noise"])
    for index, layer in enumerate(record["layers"]):
        for name in ("relative_error", "accuracy_unknown"):
            assert run.data.metrics[f"layer{index}/{name}"] == layer[name]
    assert run.data.metrics["relative_error"] == record["metrics"]["relative_error"]
    with (record_path.parent / "history.csv").open() as file:
        costs = [float(row["cost"]) for row in csv.DictReader(file)]
    history = found.get_metric_history(run.info.run_id, "fit/cost")
    assert [(each.step, each.value) for each in sorted(history, key=lambda each: each.step)] == [*enumerate(costs)]
    kept = Path(found.download_artifacts(run.info.run_id, ""))
    assert json.loads((kept / "run.json").read_text()) == record
    assert {path.name for path in (kept / "figures").iterdir()} == {"heatmaps.png", "convergence.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (kept / "figures").iterdir())


def test_the_place_may_be_any_folder_and_figures_may_be_left_out(command):
    assert command(*RUN, "tracking.uri=elsewhere", "tracking.figures=false", "name=mine").status == 0
    found = client("elsewhere")
    [run] = runs_of(found, "mine")
    assert {each.path for each in found.list_artifacts(run.info.run_id)} == {"run.json", "history.csv"}
    assert not Path("outputs/mlruns").exists()


def test_a_failed_run_is_kept_as_one(command):
    assert command(*RUN, "time_limit=1e-9", "max_iter=100").status == 1
    [run] = runs_of(client())
    assert run.info.status == "FAILED"


def test_an_attempt_that_was_killed_gives_way_to_a_whole_one(command, monkeypatch):
    def kill(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.log_artifacts", kill)
        assert command(*RUN, "tracking.figures=false").status == 130
    assert [run.info.status for run in runs_of(client())] == ["RUNNING"]
    assert command(*RUN, "tracking.figures=false").status == 0
    assert [run.info.status for run in runs_of(client())] == ["FINISHED"]


def test_a_server_that_is_not_there_is_one_line_before_anything_runs(command):
    result = command(*RUN, "tracking.uri=http://me:secret@127.0.0.1:9")
    assert "secret" not in result.err
    assert result.status == 2
    assert result.err.startswith("nnmf-run: tracking=mlflow cannot be used: API request to http://127.0.0.1:9")
    assert result.err.count("\n") == 1
    assert not result.files


def test_a_database_that_cannot_be_opened_is_one_line_and_soon(command):
    pytest.importorskip("mlflow.store.db.utils", reason="mlflow-skinny opens no databases")
    Path("no.db").mkdir()
    began = time.monotonic()
    result = command(*RUN, "tracking.uri=sqlite:///no.db")
    assert (result.status, result.err.count("\n"), result.files) == (2, 1, ["no.db"])
    assert result.err.startswith("nnmf-run: tracking=mlflow cannot be used: ")
    assert time.monotonic() - began < 20
