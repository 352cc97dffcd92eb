"""The page in its parts, of which templates make HTML: what there is to show of runs, and has room."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnmf_runner.config.commands import Command, command_of
from nnmf_runner.report import table
from nnmf_runner.report.compare import Compared, LayerMatch, match_runs, read_compared, topic_rows
from nnmf_runner.report.data import attempt, data_title, trial_of
from nnmf_runner.report.figures import comparison, convergence
from nnmf_runner.report.figures.draw import comparable, looks_of_group
from nnmf_runner.report.figures.material import View
from nnmf_runner.report.figures.style import Look
from nnmf_runner.report.page.charts import (
    Chart,
    Sign,
    comparison_charts,
    convergence_charts,
    heatmaps,
    parts_of,
    signs_of,
)
from nnmf_runner.report.page.tables import (
    MOST_FAILURES,
    STATUS_WORDS,
    Cell,
    Table,
    configuration_table,
    environment_table,
    failures_table,
    layers_table,
    listed,
    metric_tables,
    options_table,
    runs_table,
)
from nnmf_runner.report.page.trees import Node, tree_of
from nnmf_runner.report.topics import consensus_text
from nnmf_runner.report.variants import (
    MOST_SHOWN,
    Shown,
    costs_of,
    file_part,
    groups_of,
    in_words,
    method_of,
    method_order,
)
from nnmf_runner.store.record import COUNTED, RECORD, ending, iterations_text, read_record

# Of a whole page: experiments and runs with parts of their own, topics in trees, cells of tables of results and of
# heatmaps, and characters of pictures.
MOST_GROUPS, MOST_RUNS, MOST_TOPICS = 40, 40, 800
MOST_CELLS, MOST_PIXELS, MOST_CHARACTERS = 25_000, 400_000, 1_200_000
LAYERS = "The layers of a hierarchical fit, which follow each other, go from faint to full colour."
# Of an experiment with more variants, topics are not compared.  Failures whose traceback is told.
MOST_COMPARED, MOST_TRACEBACKS = 4, 10
# The widest picture, in pixels, and its quality in per cent.
WIDEST, QUALITY = 1400, 80
# What pictures show that the page has no charts of, by the ends of their files.
PICTURES = {
    "images": "topics as pictures",
    "samples": "topics beside the pictures that they are strongest in",
    "abundances": "where topics are in the picture",
    "spectra": "spectra of the topics",
    "projections": "topics of the tensor in pairs of modes",
    "map": "map of the sweep: the best methods at every setting",
}


@dataclass(frozen=True)
class Picture:
    """A picture of a figure: its title, and what it holds as the address of an image."""

    title: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class ChartSet:
    """Charts by the names that the page draws them by, with a title and what is to be known of them."""

    title: str
    charts: dict[str, Chart]
    notes: list[str]


@dataclass(frozen=True)
class Run:
    """A run with a part of its own."""

    name: str
    folder: str
    about: list[str]
    command: Command
    layers: Table
    tables: list[Table]
    tree: list[Node]
    consensus: list[str]
    charts: dict[str, Chart]
    pictures: list[Picture]
    left_out: list[str]


@dataclass(frozen=True)
class Group:
    """The runs that figures go together by, see `groups_of`: results, charts, runs and how their topics differ."""

    title: str
    tables: list[Table]
    notes: list[str]
    signs: list[Sign]
    charts: list[ChartSet]
    pictures: list[Picture]
    runs: list[Run]
    options: Table | None
    matches: list[Table]
    left_out: list[str]


@dataclass(frozen=True)
class Fact:
    """Something about the whole page, with its name."""

    name: str
    value: str


@dataclass(frozen=True)
class Page:
    """All that the template shows, and the charts that it draws, by their names."""

    title: str
    facts: list[Fact]
    unread: list[str]
    failures: Table | None
    tracebacks: list[Fact]
    groups: list[Group]
    runs: Table
    environment: Table | None
    left_out: list[str]
    charts: dict[str, Chart]


class Budget:
    """Room for parts of a page."""

    def __init__(self, size: int):
        self.left = size

    def takes(self, size: int) -> bool:
        """Whether there is room for a part, which then is taken."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


@dataclass
class Material:
    """What a folder of runs holds for its page.

    Parameters
    ----------
    folder : Path
    rows, summary, layers, comparisons : DataFrame
        From `nnmf_runner.report.table` and `nnmf_runner.report.regimes`.
    shown : mapping
        The runs that stand for variants, by group.
    unread : list of str
        Records that cannot be used, and why.
    figures : list of Path, optional
        The figures that were drawn; None where none were to be.
    heatmaps : dict
        Of runs by their folders, as many as there is room for; `cut` has those of which some are left out.
    """

    folder: Path
    rows: pd.DataFrame
    summary: pd.DataFrame
    layers: pd.DataFrame
    comparisons: pd.DataFrame
    shown: Mapping[str, Sequence[Shown]]
    unread: Sequence[str] = ()
    figures: list[Path] | None = None
    heatmaps: dict[Path, list[Chart]] = field(default_factory=dict)
    cut: set[Path] = field(default_factory=set)
    room: Budget = field(default_factory=lambda: Budget(MOST_PIXELS))

    def see(self, run: Shown, view: View) -> None:
        """Keep what heatmaps show of a run while its data are at hand, where there is room."""
        rows = parts_of(view)
        charts = heatmaps(rows)
        charts = charts if self.room.takes(sum(chart.cells for chart in charts)) else []
        self.heatmaps[run.folder] = charts
        if len(charts) < sum(map(len, rows)):
            self.cut.add(run.folder)


class Assembly:
    """A page while it is put together: what there is room for, and the charts so far."""

    def __init__(self, material: Material):
        self.material = material
        self.charts: dict[str, Chart] = {}
        self.cells, self.characters, self.topics = map(Budget, (MOST_CELLS, MOST_CHARACTERS, MOST_TOPICS))
        self.keys: dict[str, set[tuple[str, str]]] = {}
        for name, key in zip(groups_of(material.summary), _keys(material.summary), strict=True):
            self.keys.setdefault(name, set()).add(key)
        self.names = [name for name in material.shown if name in self.keys][:MOST_GROUPS]
        self.runs_of_group = max(1, min(MOST_SHOWN, MOST_RUNS // max(1, len(self.names))))

    def page(self) -> Page:
        """The whole page."""
        material = self.material
        records = [run.record for name in self.names for run in material.shown[name][: self.runs_of_group]]
        return Page(
            material.folder.resolve().name,
            _facts(material.rows),
            _some(material.unread),
            failures_table(material.rows),
            _tracebacks(material),
            [self.group(name) for name in self.names],
            runs_table(material.rows),
            environment_table(records) if records else None,
            self.left_out(),
            self.charts,
        )

    def left_out(self) -> list[str]:
        """What the page as a whole does not show."""
        told = []
        if (more := len(self.material.shown) - len(self.names)) > 0:
            told.append(f"{more} further groups of runs: the page of each experiment's own folder shows them.")
        if self.material.figures is None:
            told.append("Heatmaps and pictures, which come with the figures: collect without --no-figures.")
        return told

    def put(self, charts: Iterable[Chart]) -> dict[str, Chart]:
        """Charts by the names that the page draws them by."""
        placed = {f"chart-{len(self.charts) + i}": chart for i, chart in enumerate(charts)}
        self.charts |= placed
        return placed

    def group(self, name: str) -> Group:
        """The part of a group of runs."""
        material = self.material
        rows, summary, layers = (
            _of(frame, self.keys[name]) for frame in (material.rows, material.summary, material.layers)
        )
        pairs = material.comparisons[material.comparisons["experiment"] == name]
        everything = material.shown[name]
        runs, drawn = everything[: self.runs_of_group], everything[:MOST_SHOWN]
        looks = looks_of_group(drawn, summary, pairs)
        left_out = []
        if len(runs) > MOST_COMPARED:
            left_out.append("the topics of the runs beside each other, which nnmf-compare RUN RUN shows.")
        if len(everything) > len(runs):
            more = len(everything) - len(runs)
            rest = f"{more} of {len(everything)} runs that stand for all others"
            left_out.append(f"{rest}; nnmf-collect RUN makes the page of any of them.")
        parts = [attempt(functools.partial(self.run, name, run), f"{run.folder} is not in the page") for run in runs]
        return Group(
            " on ".join(next(iter(sorted(self.keys[name])))),
            [self.cut(each) for each in metric_tables(summary, layers)],
            [table.legend(summary, rows), *table.footnotes(rows)],
            signs_of(looks, everything, summary),
            [*filter(None, (self.compared(summary, looks, everything), self.converged(looks, drawn, everything)))],
            self.pictures([f"{name}_map"], left_out),
            [part for part in parts if part],
            options_table({run.label: run.record for run in runs}),
            _matches(runs),
            left_out,
        )

    def compared(self, summary: pd.DataFrame, looks: Mapping[str, Look], runs: Sequence[Shown]) -> ChartSet | None:
        """The charts of the methods side by side; None where there are not several of one dataset."""
        if not comparable(summary):
            return None
        title = comparison.about(summary, costs_of(runs)[0])
        return ChartSet(
            title, self.put(comparison_charts(summary, looks, runs)), comparison.notes_on(comparison.parts_of(summary))
        )

    def converged(
        self, looks: Mapping[str, Look], runs: Sequence[Shown], everything: Sequence[Shown]
    ) -> ChartSet | None:
        """The charts of convergence; None where no run has a history that can be drawn."""
        lines = convergence.lines_of(runs, quietly=True)
        if not convergence.panels_of(lines):
            return None
        notes = [LAYERS] if any(line.alpha < 1.0 for line in lines) else []
        notes += [convergence.BEGUN] if any(line.begun for line in lines) else []
        without = [run.label for run in runs if run.label not in {line.label for line in lines}]
        notes += [f"Without a history that can be read: {', '.join(without)}."] if without else []
        charts = convergence_charts(lines, convergence.tolerances_of(runs), looks)
        return ChartSet(convergence.about(runs, len(everything)), self.put(charts), notes)

    def cut(self, found: Table) -> Table:
        """A table with as many of its rows as there is room for."""
        fits = self.cells.takes(found.cells)
        return found if fits else found.cut(self.cells.left, "rows; table.csv and layers.csv have all")

    def run(self, group: str, run: Shown) -> Run:
        """The part of a run."""
        record = run.record
        charts = self.material.heatmaps.get(run.folder, [])
        stem = f"{group}_{file_part(run.label)}"
        consensus, left_out = record.get("consensus"), self.lacks(run, stem)
        has_room = self.topics.takes(sum(record["config"]["layers"]))
        if not has_room:
            left_out.append("topics, which topics.md has where they have names.")
        return Run(
            in_words(run.label, record["config"].get("cost", {}).get("name")),
            str(run.folder),
            _about(record),
            command_of(record),
            layers_table(record),
            [configuration_table(record), environment_table([record])],
            tree_of(record) if has_room else [],
            consensus_text(consensus).splitlines() if consensus else [],
            self.put(charts),
            self.pictures([f"{stem}_{end}" for end in PICTURES], left_out),
            left_out,
        )

    def lacks(self, run: Shown, stem: str) -> list[str]:
        """What is not shown of a run, and where it is."""
        if self.material.figures is None:
            return []
        if run.folder not in self.material.heatmaps:
            return ["heatmaps, since the data are too large for pictures, or cannot be had any more."]
        drawn = {path.stem for path in self.material.figures} & {f"{stem}_heatmaps", f"{stem}_factors"}
        where = "".join(f", which are in figures/{name}.png" for name in drawn)
        return [f"heatmaps that are too large for the page{where}."] if run.folder in self.material.cut else []

    def pictures(self, stems: Sequence[str], left_out: list[str]) -> list[Picture]:
        """The figures of these names that were drawn; those that there is no room for are told to be left out."""
        drawn = {path.stem: path for path in self.material.figures or [] if path.suffix == ".png"}
        found = {stem: _picture(drawn[stem], PICTURES[stem.rpartition("_")[2]]) for stem in stems if stem in drawn}
        fits = {stem: self.characters.takes(len(picture.source)) for stem, picture in found.items()}
        left_out += [f"figures/{stem}.png." for stem in found if not fits[stem]]
        return [picture for stem, picture in found.items() if fits[stem]]


def _of(frame: pd.DataFrame, keys: Collection[tuple[str, str]]) -> pd.DataFrame:
    """The rows of some experiments and data."""
    return frame[np.array([key in keys for key in _keys(frame)], dtype=bool)]


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The experiment and the data of every row."""
    return [*zip(frame["experiment"], frame["dataset"].map(method_of), strict=True)]


def _facts(rows: pd.DataFrame) -> list[Fact]:
    """What is told of all runs together."""
    ends = rows["status"].value_counts()
    methods = dict.fromkeys(in_words(method_of(label)) for label in sorted(rows["method"].unique(), key=method_order))
    return [
        Fact("runs", f"{len(rows):,}: {', '.join(f'{n:,} {STATUS_WORDS[status]}' for status, n in ends.items())}"),
        Fact("experiments", listed([*dict.fromkeys(rows["experiment"])])),
        Fact("data", listed([*dict.fromkeys(rows["dataset"].map(method_of))])),
        Fact("methods", ", ".join(methods)),
    ]


def _some(lines: Sequence[str]) -> list[str]:
    """The first lines of many."""
    more = len(lines) - MOST_FAILURES
    return [*lines[:MOST_FAILURES], *([f"and {more:,} more, which the log names."] if more > 0 else [])]


def _about(record: Mapping[str, Any]) -> list[str]:
    """What a run is of, and how it ended."""
    config, about = record["config"], record.get("dataset", {})
    data = data_title(dict(record))
    if "n_samples" in about:
        data = f"{data}, {about['n_samples']:,} samples of {about['n_features']:,} features"
    ended = f"{STATUS_WORDS.get(how := ending(record), how)} after {iterations_text(record)}"
    return [data, f"ranks {'-'.join(map(str, config['layers']))}", record["regime"], trial_of(dict(record)), ended]


def _tracebacks(material: Material) -> list[Fact]:
    """Where the first runs that failed did so, by their folders."""
    failed = material.rows[~material.rows["status"].isin(COUNTED)]["folder"].head(MOST_TRACEBACKS)
    paths = {folder: material.folder / folder / RECORD for folder in failed}
    found = {folder: attempt(functools.partial(read_record, path), None) for folder, path in paths.items()}
    return [Fact(folder, record["traceback"]) for folder, record in found.items() if record and "traceback" in record]


def _matches(runs: Sequence[Shown]) -> list[Table]:
    """The topics of runs beside those of the first, where they are few, and have factors and the same data."""
    data = [run.record.get("dataset", {}).get("fingerprint") for run in runs]
    if not 2 <= len(runs) <= MOST_COMPARED or len(set(data)) > 1:
        return []
    read = [attempt(functools.partial(read_compared, run.folder), None) for run in runs]
    found = [(each, run.label) for each, run in zip(read, runs, strict=True) if each]
    tables: list[Table] = []
    for other, name in found[1:]:
        first, label = found[0]
        layers = attempt(functools.partial(match_runs, first, other), None) or []
        tables += [_match_table(first, other, (label, name), level, match) for level, match in enumerate(layers)]
    return tables


def _match_table(first: Compared, other: Compared, names: tuple[str, str], level: int, match: LayerMatch) -> Table:
    rows = [
        [Cell(mine), Cell(theirs), Cell(cosine, float(cosine)), Cell(what or "the same")]
        for mine, theirs, cosine, what in topic_rows(first, other, level, match)
    ]
    title = f"Layer {level} of {names[0]} and {names[1]}: {match.told()}"
    return Table(title, [*names, "cosine", "what became of it"], rows, 0)


def _picture(path: Path, title: str) -> Picture:
    """A figure as a picture that is small enough for a page."""
    from PIL import Image

    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((WIDEST, 20 * WIDEST))
    data = io.BytesIO()
    shown.save(data, "WEBP", quality=QUALITY, method=6)
    return Picture(title, f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}", *shown.size)
