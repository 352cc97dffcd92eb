"""The page is one file that needs no other, holds what the tables hold, and takes text for text."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.report.collect import collect
from nnmf_runner.report.page import build
from nnmf_runner.report.page.render import PAGE, missing_packages
from nnmf_runner.store.record import RECORD, write_record

pytestmark = [
    pytest.mark.skipif(bool(missing_packages()), reason="what the page is made with is not installed"),
    pytest.mark.usefixtures("one_format"),
]

NASTY = "<img src=x onerror=alert(1)> & \"quotes\" '{{ 7 * 7 }}'"
# Elements that have no end.
VOID = {"meta", "img", "input", "link", "br"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text outside of scripts and styles."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.words = [], [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and tag not in ("path", "svg"):
            while self.open and self.open[-1] in ("path", "svg"):
                self.open.pop()
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(folder):
    """The page that collecting writes into a folder."""
    collect(folder, figures=False)
    return parsed((folder / "report" / PAGE).read_text(encoding="utf-8"))


def parsed(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.fixture
def folder(tmp_path, record_of):
    for method in ("hier", "neural"):
        for seed in range(3):
            write_record(tmp_path / f"{method}{seed}", record_of(method, seed=seed, error=0.1 * (seed + 1)))
    return tmp_path


def test_the_page_holds_tables_runs_and_how_to_run_again(folder):
    page = read(folder)
    assert page.open == []
    assert "6: 6 done" in page.text
    assert "0.2000 ± 0.1000" in page.text
    assert "nnmf-run dataset=toy method=neural method.solver=hals cost=reconstruction layers=9-4" in page.text
    assert sum(tag == "tr" for tag, _ in page.elements) > 6


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(folder, run_of):
    outcome = run_of("method=hier", "layers=9-4", "label_fraction=0.4")
    shutil.copytree(outcome.folder, folder / "real")
    collect(folder)
    text = (folder / "report" / PAGE).read_text(encoding="utf-8")
    page = parsed(text)
    sources = [attributes.get(name) for _, attributes in page.elements for name in ("src", "href", "srcset", "data")]
    assert all(source.startswith(("data:", "#")) for source in sources if source)
    assert not re.search(r"@import|url\(", text[: text.index('id="packed-plotly"')])
    assert "default-src 'none'" in next(each["content"] for each in page.all("meta") if "http-equiv" in each)


def test_headings_stand_in_order_and_names_are_given_once(folder):
    page = read(folder)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= level + 1 for level, later in itertools.pairwise(levels))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    assert {each["href"][1:] for each in page.all("a")} <= set(names)


def test_text_of_names_options_and_messages_is_text(tmp_path, record_of):
    topic = {
        "words": [NASTY],
        "weights": [0.5],
        "distinctive": [NASTY],
        "children": [],
        "child_weights": [],
        "parent": None,
    }
    samples = [[{"samples": [0], "strengths": [1.0], "names": [NASTY]}]]
    changes = {"experiment": NASTY, "dataset": {"title": NASTY}, "dataset.name": NASTY, "versions": {NASTY: NASTY}}
    done = record_of(layers=(1,), topics=[[topic]], strongest=samples, **changes)
    failed = record_of(seed=1, status="failed", message=NASTY, traceback=NASTY, **changes)
    (tmp_path / "damaged <b>").mkdir()
    (tmp_path / "damaged <b>" / RECORD).write_text("{")
    for name, record in (("done <i>", done), ("failed <i>", failed)):
        write_record(tmp_path / name, record)
    page = read(tmp_path)
    assert page.text.count(NASTY) > 12
    assert "damaged <b>" in page.text
    assert not page.all("img")
    assert {tag for tag, _ in page.elements} & {"i"} == set()
    assert all("onerror" not in attributes for _, attributes in page.elements)


@pytest.mark.slow
def test_the_charts_are_packed_as_json_with_the_program_that_draws_them(tmp_path, run_of):
    outcome = run_of("method=hier", "layers=9-4", "label_fraction=0.4")
    shutil.copytree(outcome.folder, tmp_path / "run")
    collect(tmp_path)
    text = (tmp_path / "report" / PAGE).read_text(encoding="utf-8")
    packed = dict(re.findall(r'id="packed-(\w+)">([^<]*)</script>', text))
    charts = json.loads(gzip.decompress(base64.b64decode(packed["charts"])))
    assert charts.keys() == {each["id"] for each in parsed(text).all("div") if each.get("class") == "chart"}
    assert b"Plotly" in gzip.decompress(base64.b64decode(packed["plotly"]))[:1000]
    assert all(each["aria-label"] for each in parsed(text).all("div") if each.get("class") == "chart")


def test_a_page_without_charts_has_not_the_program_that_draws_them(tmp_path, record_of):
    write_record(tmp_path / "run", record_of())
    read(tmp_path)
    assert (tmp_path / "report" / PAGE).stat().st_size < 100_000


@pytest.mark.slow
def test_collecting_again_writes_the_same_page(folder):
    read(folder)
    before = (folder / "report" / PAGE).read_bytes()
    read(folder)
    assert (folder / "report" / PAGE).read_bytes() == before


@pytest.mark.slow
def test_pictures_of_the_figures_are_in_the_page(tmp_path, run_of, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    outcome = run_of("dataset=digits", "method=hier", "layers=4")
    shutil.copytree(outcome.folder, tmp_path / "run")
    collect(tmp_path)
    images = parsed((tmp_path / "report" / PAGE).read_text(encoding="utf-8")).all("img")
    assert [each["alt"] for each in images] == [build.PICTURES["images"], build.PICTURES["samples"]]
    assert all(each["src"].startswith("data:image/webp;base64,") for each in images)
    monkeypatch.setattr(build, "MOST_CHARACTERS", 0)
    collect(tmp_path)
    page = parsed((tmp_path / "report" / PAGE).read_text(encoding="utf-8"))
    assert page.all("img") == []
    assert "Left out: figures/runs_hier_samples.png." in page.text


def test_a_folder_without_runs_has_no_page(tmp_path):
    with pytest.raises(InputError, match="holds no record"):
        collect(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_of_failures_alone_has_a_page_of_them(tmp_path, record_of):
    for seed, status in enumerate(("failed", "diverged", "timed_out")):
        write_record(
            tmp_path / status, record_of(seed=seed, status=status, message=f"reason {seed}", traceback="line 1")
        )
    page = read(tmp_path)
    for words in ("diverged", "stopped by the time limit", "reason 0", "Where failed failed line 1"):
        assert words in page.text


def test_records_of_an_earlier_version_are_told(folder):
    record = json.loads((folder / "hier0" / RECORD).read_text())
    (folder / "hier0" / RECORD).write_text(json.dumps(record | {"schema": 1}))
    assert f"{folder}/hier0/record.json has schema version 1" in read(folder).text


def test_a_run_whose_record_cannot_be_shown_is_left_out_alone(folder, caplog):
    for name in ("hier0", "hier1", "hier2"):
        record = json.loads((folder / name / RECORD).read_text())
        (folder / name / RECORD).write_text(json.dumps(record | {"dataset": {"n_samples": [], "n_features": 1}}))
    page = read(folder)
    assert "hier0 is not in the page" in caplog.text
    assert "Neural NMF, reconstruction cost" in page.text


@pytest.mark.slow
def test_what_there_is_no_room_for_is_told(folder, record_of, monkeypatch):
    monkeypatch.setattr(build, "MOST_RUNS", 1)
    assert (
        "Left out: 1 of 2 runs that stand for all others; nnmf-collect RUN makes the page of any of them."
        in read(folder).text
    )
    monkeypatch.setattr(build, "MOST_CELLS", 0)
    assert "The first 0 of 1 rows; table.csv and layers.csv have all." in read(folder).text
    monkeypatch.setattr(build, "MOST_TOPICS", 0)
    assert "Left out: topics, which topics.md has" in read(folder).text
    write_record(folder / "further", record_of(experiment="further"))
    monkeypatch.setattr(build, "MOST_GROUPS", 1)
    assert "1 further groups of runs" in read(folder).text


def test_of_many_damaged_records_the_first_are_told(folder, monkeypatch):
    for name in ("hier0", "hier1", "hier2"):
        (folder / name / RECORD).write_text("{")
    monkeypatch.setattr(build, "MOST_FAILURES", 1)
    text = read(folder).text
    assert "hier0/record.json" in text
    assert "hier1/record.json" not in text
    assert "and 2 more, which the log names." in text


@pytest.mark.slow
def test_heatmaps_without_room_are_told_with_the_figure_that_has_them(tmp_path, run_of, monkeypatch):
    monkeypatch.setattr(build, "MOST_PIXELS", 0)
    outcome = run_of("method=hier", "layers=9-4", "label_fraction=0.4")
    shutil.copytree(outcome.folder, tmp_path / "run")
    collect(tmp_path)
    page = parsed((tmp_path / "report" / PAGE).read_text(encoding="utf-8"))
    assert (
        "Left out: heatmaps that are too large for the page, which are in figures/runs_hier_heatmaps.png." in page.text
    )
    assert (tmp_path / "report" / "figures" / "runs_hier_heatmaps.png").exists()


@pytest.mark.slow
def test_topics_of_few_runs_stand_beside_each_other(tmp_path, run_of, monkeypatch):
    for method in ("hier", "neural"):
        outcome = run_of(f"method={method}", "layers=9-4", "label_fraction=0.4")
        shutil.copytree(outcome.folder, tmp_path / method)
    text = read(tmp_path).text
    assert "Layer 0 of hier and neural: " in text
    assert "Topics of a cosine of 0.8 at least are the same." in text
    (tmp_path / "hier" / "factors.npz").unlink()
    assert "Layer 0 of hier and neural: " not in read(tmp_path).text
    monkeypatch.setattr(build, "MOST_COMPARED", 1)
    assert "Layer 0" not in read(tmp_path).text


@pytest.mark.slow
def test_a_page_of_several_experiments_has_a_part_for_each(tmp_path, record_of):
    for name in ("one", "other"):
        write_record(tmp_path / name, record_of(experiment=name))
    page = read(tmp_path)
    assert [each["href"] for each in page.all("a")] == ["#main", "#group-1", "#group-2", "#runs", "#environment"]
    assert "one on toy" in page.text
    assert "other on toy" in page.text
