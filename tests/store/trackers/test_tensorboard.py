"""TensorBoard's events: everything of a run is read from them again."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest

# Whose import takes seconds, and no time where none of these tests is run.
absent = importlib.util.find_spec("tensorboardX") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent, reason="tensorboardX is not installed")]
RUN = ["layers=9-4", "max_iter=3", "tracking=tensorboard"]


def events(folder):
    """The summaries in a folder of events, as their own format has them: length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    [path] = folder.glob("events*")
    data, found = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        found.append(Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    return [(event.step, value) for event in found for value in event.summary.value]


def test_a_run_is_kept_with_options_metrics_history_figures_and_record(command):
    image = pytest.importorskip("PIL.Image")
    result = command(*RUN)
    assert result.status == 0, result.err
    [record_path] = Path("outputs/runs").rglob("record.json")
    record = json.loads(record_path.read_text())
    [folder] = Path("outputs/tensorboard/runs").iterdir()
    assert folder.name == f"neural_9-4_seed_0_{record_path.parent.name[:8]}"
    found = events(folder)
    scalars = {(value.tag, step): value.simple_value for step, value in found if value.WhichOneof("value")}
    for index, layer in enumerate(record["layers"]):
        assert scalars[f"layer{index}/relative_error", 0] == pytest.approx(layer["relative_error"], rel=1e-6)
    with (record_path.parent / "history.csv").open() as file:
        for step, row in enumerate(csv.DictReader(file)):
            assert scalars["fit/cost", step] == pytest.approx(float(row["cost"]), rel=1e-6)
    options = [value for _, value in found if value.tag == "_hparams_/session_start_info"]
    assert b"dataset.noise" in options[0].metadata.plugin_data.content
    pictures = {value.tag: value.image for _, value in found if value.WhichOneof("value") == "image"}
    assert set(pictures) == {"figures/heatmaps", "figures/convergence"}
    for picture in pictures.values():
        assert image.open(io.BytesIO(picture.encoded_image_string)).size == (picture.width, picture.height)
    assert json.loads((folder / "run.json").read_text()) == record


def test_a_run_that_is_repeated_takes_the_place_of_the_first(command):
    for _ in range(2):
        assert command(*RUN, "tracking.figures=false", "tracking.folder=elsewhere", "force=true").status == 0
    [folder] = Path("elsewhere/runs").iterdir()
    [record] = Path("outputs/runs").rglob("record.json")
    assert (folder / "run.json").read_text() == record.read_text()
    assert not Path("outputs/tensorboard").exists()


def test_what_fails_half_way_leaves_nothing(command, monkeypatch):
    monkeypatch.setattr("shutil.copy", lambda *given: (_ for _ in ()).throw(OSError("no space")))
    result = command(*RUN, "tracking.figures=false")
    assert result.status == 0
    assert "tracking=tensorboard has failed and is told no more: no space. The records are whole" in result.err
    assert not Path("outputs/tensorboard").exists()
    assert len([*Path("outputs/runs").rglob("record.json")]) == 1


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_a_folder_that_cannot_be_written_is_one_line_before_anything_runs(command, sweep):
    Path("file").touch()
    result = command(*RUN, *sweep, "tracking.folder=file")
    assert (result.status, result.err.count("\n"), result.files) == (2, 1, ["file"])
    assert result.err.startswith("nnmf-run: tracking=tensorboard cannot be used: ")


def test_a_package_that_cannot_be_loaded_is_one_line_before_anything_runs(command, monkeypatch):
    Path("tensorboardX.py").write_text("raise ImportError('half of it is missing')")
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "tensorboardX", raising=False)
    result = command(*RUN)
    assert (result.status, result.err) == (2, "nnmf-run: tracking=tensorboard cannot be used: half of it is missing\n")
    assert not list(Path().rglob("record.json"))
