"""Collecting: what cannot be used is named and left out, the rest makes tables and figures."""

from __future__ import annotations

import io
import json
import logging
import shutil
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.report import collect as collecting
from nnmf_runner.report.collect import collect, read_records, representatives, write_whole
from nnmf_runner.report.figures import draw
from nnmf_runner.report.page.render import PAGE, missing_packages
from nnmf_runner.report.table import rows_of
from nnmf_runner.store.record import RECORD, experiment_folder, find_records, run_folder, write_record

# 100,000 runs at this many bytes each take 400 MB.
MOST_BYTES = 4_000
TABLES = ["contents.txt", "layers.csv", "records.csv", "table.csv", "table.md", "table.tex"]
PAGES = [] if missing_packages() else [PAGE]


@pytest.fixture
def folder(tmp_path, record_of):
    for seed in range(3):
        write_record(tmp_path / f"run{seed}", record_of(seed=seed, error=0.1 * (seed + 1)))
    return tmp_path


def test_tables_are_written_and_the_markdown_returned(folder):
    text = collect(folder, figures=False)
    assert sorted(path.name for path in (folder / "report").iterdir() if path.is_file()) == sorted([*TABLES, *PAGES])
    assert (folder / "report" / "table.md").read_text() == text
    table = pd.read_csv(folder / "report" / "table.csv", dtype={"layers": str})
    row = table[table["metric"] == "relative_error"].iloc[0]
    assert (row["layers"], row["n"], row["mean"]) == ("9-4", 3, pytest.approx(0.2))
    assert len(pd.read_csv(folder / "report" / "records.csv")) == 3


@pytest.mark.slow
def test_collecting_again_changes_nothing(folder):
    collect(folder, figures=False)
    before = {name: (folder / "report" / name).read_bytes() for name in TABLES}
    collect(folder, figures=False)
    assert {name: (folder / "report" / name).read_bytes() for name in TABLES} == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_a_damaged_record_is_named_and_the_rest_is_collected(folder, caplog, text):
    (folder / "run1" / "record.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert len(list(read_records(folder))) == 2
    assert str(folder / "run1" / "record.json") in caplog.text


def damaged(record, where, value):
    """A record of which one part is missing (value None) or something else."""
    *path, last = where.split(".")
    part = record
    for name in path:
        part = part[name]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return record


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("config.dataset", None),
        ("config.method", None),
        ("config.layers", None),
        ("config.seed", None),
        ("config", "lost"),
        ("config.method.name", "a method of another program"),
        ("metrics", [1.0]),
        ("metrics.relative_error", "low"),
        ("layers", "9-4"),
        ("layers", [1, 2]),
        ("published", 3),
        ("regime", "other"),
        ("status", ["done"]),
        ("dataset", 3),
        ("dataset", {"classes": 9}),
        ("tree_agreement", "high"),
    ],
)
def test_a_record_damaged_inside_is_named_and_the_rest_is_collected(folder, record_of, caplog, where, value):
    text = json.dumps(damaged(record_of(seed=1), where, value))
    (folder / "run1" / "record.json").write_text(text)
    with caplog.at_level(logging.WARNING):
        collect(folder, figures=False)
    assert "run1" in caplog.text
    table = pd.read_csv(folder / "report" / "table.csv")
    assert (table[table["metric"] == "relative_error"]["n"] == 2).all()


def test_folders_without_records_are_refused_by_name(tmp_path):
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=f"folder={folder}") as caught:
            collect(folder)
        assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder="):
        collect(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_folder_of_damaged_records_alone_is_refused_and_nothing_written(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text("{")
    with pytest.raises(InputError, match="1 damaged"):
        collect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_layers_of_one_rank_stay_text_in_the_table(tmp_path, record_of):
    write_record(tmp_path / "run", record_of(layers=(9,)))
    collect(tmp_path, figures=False)
    assert ",semisupervised,9,hier,relative_error," in (tmp_path / "report" / "table.csv").read_text()


@pytest.mark.slow
def test_figures_can_be_drawn_from_moved_folders(tmp_path, run_of):
    outcome = run_of("method=hier", "label_fraction=0.4", "layers=9-4-2")
    shutil.copytree(outcome.folder, tmp_path / "elsewhere" / "run")
    collect(tmp_path)
    figures = sorted(path.name for path in (tmp_path / "report" / "figures").iterdir())
    assert len(figures) == 4
    assert all((tmp_path / "report" / "figures" / name).stat().st_size > 1000 for name in figures)


@pytest.mark.slow
@pytest.mark.usefixtures("one_format")
@pytest.mark.parametrize("broken", ["factors.npz", "history.csv"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_factors_or_history_are_named_and_the_rest_is_collected(tmp_path, run_of, caplog, broken, damage):
    for seed in (0, 1):
        outcome = run_of("method=hier", "label_fraction=0.4", "layers=9-4-2", f"seed={seed}")
        shutil.copytree(outcome.folder, tmp_path / f"run{seed}")
    path = tmp_path / "run0" / broken
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[: data.rindex(b",")] if broken == "history.csv" else data[: len(data) // 2])
    elif damage == "other" and broken == "history.csv":
        path.write_bytes(data.replace(b"cost", b"price"))
    elif damage == "other":
        np.savez(path, A0=np.ones((2, 2)), A1=np.ones(3), S0=np.ones((2, 2)))
    with caplog.at_level(logging.WARNING):
        collect(tmp_path)
    assert "run0" in caplog.text
    assert not list(tmp_path.glob("**/.*"))
    table = pd.read_csv(io.StringIO((tmp_path / "report" / "table.csv").read_text()))
    assert (table[table["metric"] == "relative_error"]["n"] == 2).all()


def chosen_of(records):
    """What `representatives` chooses, as tuples of group, variant, setting and folder."""
    chosen = representatives(rows_of(records.items()))[["group", "method", "setting", "folder"]]
    return [*chosen.itertuples(index=False, name=None)]


def test_every_setting_is_represented_by_its_run_of_the_lowest_seed(record_of, records_of):
    kinds = [
        {"layers": (9, 4, 2)},
        {"layers": (9, 4)},
        {"layers": (9, 4), "regime": "unsupervised"},
        {"layers": (9, 4), "dataset.noise": 1},
    ]
    records = records_of(*(record_of("hier", seed=s, **kind) for s in (1, 0) for kind in kinds), record_of("deep"))
    *_, a, b, c, d, deep = map(str, records)
    assert chosen_of(records) == [
        ("trial", "hier", "noise 0.15, semisupervised, 9-4-2", a),
        ("trial", "hier", "noise 0.15, semisupervised, 9-4", b),
        ("trial", "hier", "noise 1, semisupervised, 9-4", d),
        ("trial", "hier", "noise 0.15, unsupervised, 9-4", c),
        ("trial", "deep", "", deep),
    ]


def test_of_very_many_settings_every_method_is_represented_by_one(record_of, records_of, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_SHOWN", 3)
    several = records_of(*(record_of("deep", **{"dataset.noise": x}) for x in (10, 2, 3, 4)))
    assert chosen_of(several) == [("trial", "deep", "", [*map(str, several)][1])]  # of the first data, by number

    def three(method, **changes):
        return record_of(method, layers=(9, 4, 2), **changes)

    wanted = [three("hier", seed=1), three("deep", seed=0, regime="supervised")]
    others = [
        record_of("hier", seed=0),
        three("hier", seed=0, regime="unsupervised"),
        three("hier", seed=2),
        three("hier", seed=0, status="failed"),
        three("deep", seed=1, regime="supervised"),
    ]
    records = records_of(*others, *wanted)
    hier, deep = map(str, [*records][-2:])
    assert chosen_of(records) == [
        ("trial", "hier", "", hier),
        ("trial", "deep", "", deep),
    ]


def test_every_variant_is_represented_by_a_run_of_its_own(record_of, records_of):
    costs = [{}, {"cost.name": "multilevel", "cost.weights": []}]
    records = records_of(*(record_of(m, seed=s, **cost) for s in (0, 1) for m in ("deep", "neural") for cost in costs))
    names = [f"{m}, {c}" for m in ("deep", "neural") for c in ("reconstruction", "multilevel")]
    first = map(str, [*records][:4])  # of the first seed
    assert chosen_of(records) == [("trial", name, "", run) for name, run in zip(names, first, strict=True)]


@pytest.mark.slow
def test_what_an_earlier_collection_wrote_of_runs_that_are_gone_goes_and_nothing_else(tmp_path, run_of):
    for layers in ("9-4", "9"):
        folder = run_of("method=hier", f"layers={layers}").folder
        shutil.copytree(folder, tmp_path / layers)
    collect(tmp_path)
    figures = tmp_path / "report" / "figures"
    assert (figures / "runs_hier_9_heatmaps.png").exists()
    (figures / "mine_heatmaps.png").touch()
    (tmp_path / "kept.txt").touch()
    with (tmp_path / "report" / "contents.txt").open("a") as manifest:
        manifest.write("../kept.txt\n../9-4/record.json\n")
    shutil.rmtree(tmp_path / "9")
    collect(tmp_path, figures=False)
    assert (figures / "runs_hier_9_heatmaps.png").exists()  # figures were not asked for
    collect(tmp_path)
    assert {path.name for path in figures.glob("*heatmaps.png")} == {"mine_heatmaps.png", "runs_hier_heatmaps.png"}
    assert (tmp_path / "kept.txt").exists()
    assert (tmp_path / "9-4" / "record.json").exists()


@pytest.mark.parametrize("limit", ["FEW", "MOST_SHOWN"])
def test_errors_of_few_runs_of_few_variants_are_printed(tmp_path, record_of, monkeypatch, limit):
    for name in ("hier", "neural"):
        write_record(tmp_path / name, record_of(name))
    runs = [tmp_path / "hier", tmp_path / "neural"]
    assert "| hier | neural |" in collecting.error_table(runs)
    monkeypatch.setattr(collecting, limit, 1)
    assert collecting.error_table(runs) is None


def test_a_run_that_is_recorded_twice_counts_once_by_its_latest_record(tmp_path, record_of, caplog):
    """As where outputs of an earlier layout, or a copy of them, stand beside those of today."""
    for name, seed, error, day in (("new", 0, 0.2, 2), ("old", 0, 0.4, 1), ("other", 1, 0.3, 1)):
        write_record(tmp_path / name, record_of(seed=seed, error=error, finished=f"2026-01-0{day}T00:00:00+00:00"))
    with caplog.at_level(logging.WARNING):
        collect(tmp_path, figures=False)
    rows = pd.read_csv(tmp_path / "report" / "records.csv")
    assert list(zip(rows["folder"], rows["relative_error"], strict=True)) == [("new", 0.2), ("other", 0.3)]
    assert "old repeats a run, and 0 others do" in caplog.text


def test_one_configuration_under_two_names_is_two_runs(tmp_path, record_of, caplog):
    for name in ("first", "second"):
        write_record(tmp_path / name, record_of(experiment=name))
    collect(tmp_path, figures=False)
    assert len(pd.read_csv(tmp_path / "report" / "records.csv")) == 2
    assert caplog.text == ""


def test_rows_tell_where_their_run_stands(tmp_path, run_of):
    outcome = run_of("name=sought", "seed=7")
    experiment = experiment_folder(outcome.folder)
    collect(experiment, figures=False)
    (folder,) = pd.read_csv(experiment / "report" / "records.csv")["folder"]
    assert experiment / folder == outcome.folder
    assert outcome.folder == run_folder(experiment, outcome.record["config"])


def test_a_table_that_does_not_fit_on_the_disk_is_named_and_the_earlier_one_stays(tmp_path, full_disk):
    write_whole(path := tmp_path / "table.md", "earlier")
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        write_whole(path, "later")
    assert caught.value.filename == str(path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.md", "earlier")]


def write_runs(folder, record_of, first, last):
    """Runs of a few cells whose records hold topics of 50 kB and a long traceback."""
    topic = {"words": ["a word " * 400], "weights": [1.0], "distinctive": ["a word " * 800]}
    topic |= {"children": [], "child_weights": [], "parent": None}
    for i in range(first, last):
        record = record_of(("hier", "deep", "neural")[i % 3], seed=i, error=1e-4 * i, topics=[[topic] * 6])
        record |= {"traceback": "line\n" * 200, "message": None if i % 5 else f"reason {i}"}
        run = run_folder(folder, record["config"])
        run.mkdir(parents=True)
        (run / RECORD).write_text(json.dumps(record))


def peak_of(function):
    """Largest number of bytes that a call holds at once."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_grows_by_a_row_a_run_and_not_by_a_record(tmp_path, record_of):
    few, many = 500, 2500
    write_runs(tmp_path, record_of, 0, few)
    assert find_records(tmp_path)[0].stat().st_size > 8 * MOST_BYTES
    collect(tmp_path, figures=False)  # what is imported and cached once is no cost of a run
    small = peak_of(lambda: collect(tmp_path, figures=False))
    write_runs(tmp_path, record_of, few, many)
    large = peak_of(lambda: collect(tmp_path, figures=False))
    assert len((tmp_path / "report" / "records.csv").read_text().splitlines()) == 1 + many
    assert (large - small) / (many - few) < MOST_BYTES


def test_a_consensus_is_a_variant_of_its_own_and_no_trial(record_of, tmp_path):
    records = [record_of(seed=seed, error=error) for seed, error in enumerate([0.2, 0.4, 0.1])]
    records[2]["config"] |= {"seed": 0, "consensus": 2}
    for i, record in enumerate(records):
        write_record(tmp_path / f"run{i}", record)
    collect(tmp_path, figures=False)
    table = pd.read_csv(tmp_path / "report" / "table.csv")
    errors = table[table["metric"] == "relative_error"].set_index("method")
    assert errors["n"].to_dict() == {"hier": 2, "hier, consensus 2": 1}
    assert errors["mean"].to_dict() == pytest.approx({"hier": 0.3, "hier, consensus 2": 0.1})


def test_runs_on_several_data_have_figures_of_each(record_of, tmp_path, monkeypatch, caplog):
    """As where single runs stand in one folder."""
    data = {"toy": "toy", "some.csv": "file", "other.csv": "file"}
    for seed, (title, name) in enumerate(data.items()):
        record = record_of(seed=seed, dataset={"title": title}, **{"dataset.name": name})
        write_record(tmp_path / title, record)
    drawn = {}
    monkeypatch.setattr(draw, "load_view", lambda run: None)
    monkeypatch.setattr(draw, "convergence", lambda runs, looks, *_: drawn.update({runs[0].folder.name: len(runs)}))
    with caplog.at_level("INFO"):
        collect(tmp_path)
    assert drawn == dict.fromkeys(data, 1)
    for name in ("toy", "some.csv", "other.csv"):
        assert f"trial_{name}: single runs that are drawn: hier ({name})." in caplog.text
