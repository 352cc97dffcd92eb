"""What trackers are told, when, and how often; and that no run depends on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hydra.core.config_store import ConfigStore

from nnmf_runner.report import tracking
from nnmf_runner.store.record import RECORD
from nnmf_runner.store.trackers import TRACKERS, Tracker

pytestmark = pytest.mark.slow
SHORT = ["max_iter=2", "tracking=book"]


class Pages:
    """What the tracker of these tests has been told, and how often it is to fail first."""

    def __init__(self):
        self.told, self.failures = [], 0

    def has(self, run):
        return run.key in [each.key for each in self.told]

    def add(self, run):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no ink\nat all")
        self.told.append(run)


@dataclass
class Book(Tracker):
    """A tracker of one's own: a class, and a line in the registry."""

    name: ClassVar[str] = "book"
    kept: ClassVar[Pages]

    def open(self, experiment):
        return self.kept


@pytest.fixture
def pages(monkeypatch):
    Book.kept = Pages()
    monkeypatch.setitem(TRACKERS, "book", Book)
    yield Book.kept
    ConfigStore.instance().repo["tracking"].pop("book.yaml", None)


def records():
    return {path.parent.resolve(): json.loads(path.read_text()) for path in Path().rglob(RECORD)}


def told(pages):
    return {run.folder.resolve(): run.record for run in pages.told}


def test_every_run_of_a_sweep_is_told_once_and_none_again(command, pages, place):
    for layers, runs in (("9", 2), ("9,9-4", 4), ("9,9-4", 4)):
        assert command("-m", f"layers={layers}", "trials=2", *SHORT, *place).status == 0
        assert len(pages.told) == runs
        assert told(pages) == records()


def test_a_run_that_is_repeated_is_told_again(command, pages):
    for _ in range(2):
        assert command("layers=9", *SHORT, "force=true").status == 0
    first, second = pages.told
    assert (first.folder, first.key == second.key) == (second.folder, first.record == second.record)


def test_the_consensus_is_told_with_its_trials(command, pages, place):
    asked = ["layers=9", "init=random", "trials=2", "consensus=true", *SHORT]
    assert command("-m", *asked, "dataset.noise=0,1", *place).status == 0
    assert len(pages.told) == 6
    assert sum(run.title == "neural 9 seeds 0 to 1" for run in pages.told) == 2


def test_what_is_told_of_a_run_is_what_its_record_says(command, pages, tmp_path):
    assert command("layers=9-4", *SHORT).status == 0
    [run] = pages.told
    [record] = records().values()
    assert run.title == "neural 9-4 seed 0"
    assert run.options["method.name"] == "neural"
    assert {f"layer{i}/{name}" for i in (0, 1) for name in ("relative_error", "floor", "purity")} <= set(run.metrics)
    assert run.metrics["excess"] == pytest.approx(
        record["layers"][-1]["relative_error"] - record["layers"][-1]["floor"]
    )
    assert set(run.history) == {"fit/cost", "fit/projected_gradient", "fit/seconds"}
    (tmp_path / "drawn").mkdir()
    assert sorted(path.name for path in run.draw(tmp_path / "drawn")) == ["convergence.png", "heatmaps.png"]


def test_a_run_that_is_to_be_repeated_is_not_told(command, pages):
    command("layers=9", "max_iter=2")
    [path] = Path().rglob(RECORD)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"status": "interrupted"}))
    assert tracking._tracked(path.parent) is None
    path.write_text(json.dumps(record))
    assert tracking._tracked(path.parent).record == record


def test_a_tracker_changes_neither_the_folder_nor_the_record_of_a_run(command, pages):
    command("layers=9", "max_iter=2")
    before = records()
    result = command("layers=9", *SHORT)
    assert "is done already" in result.err
    assert records() == before == told(pages)


def test_a_tracker_that_fails_costs_no_run_and_is_told_of_the_rest_later(command, pages, place):
    pages.failures = 1
    asked = ["-m", "layers=9,9-4,9-5", *SHORT, *place]
    result = command(*asked)
    assert (result.status, len(records()), pages.told) == (0, 3, [])
    assert result.err.count("tracking=book has failed and is told no more: no ink. The records are whole; ") == 1
    assert command(*asked).status == 0
    assert told(pages) == records()
    assert len(pages.told) == 3


def test_a_tracker_that_cannot_be_opened_is_one_line_before_anything_runs(command, pages, monkeypatch):
    monkeypatch.setattr(Book, "open", lambda self, experiment: open("/nowhere/at/all"))  # noqa: SIM115
    for sweep in ([], ["-m", "seed=0,1"]):
        result = command("layers=9", *SHORT, *sweep)
        assert (result.status, result.files, result.err.count("\n")) == (2, [], 1)
        assert result.err.startswith("nnmf-run: tracking=book cannot be used: [Errno 2]")


def test_a_sweep_over_experiments_is_told_whole(command, pages):
    assert command("-m", "layers=9", "name=choice(one,two)", *SHORT).status == 0
    assert told(pages) == records()
    assert {run.folder.parents[1].name for run in pages.told} == {"one", "two"}


def test_a_sweep_over_trackers_is_refused(command, pages):
    result = command("-m", "layers=9", "tracking=none,book")
    assert (result.status, records()) == (2, {})
    assert result.err.splitlines()[-1].startswith("nnmf-run: tracking differs within the sweep. Expected one value")


def test_the_fits_of_a_choice_of_ranks_are_told(command, pages):
    assert command("ranks=2..4", "dataset=planted", *SHORT, program="nnmf-rank").status == 0
    assert told(pages) == records()
    assert len(pages.told) > 20
