"""From a folder of records to its tables, its figures and its page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnmf_runner.core.checks import InputError
from nnmf_runner.report.topics import topics_markdown
from nnmf_runner.report.variants import (
    MOST_SHOWN,
    SETTING,
    Shown,
    file_part,
    groups_of,
    method_order,
    numbered,
    settings_of,
)
from nnmf_runner.store.files import whole_file
from nnmf_runner.store.record import CONTENTS, COUNTED, RECORD, REPORT, OutdatedRecord, find_records, read_record

# Runs whose errors are printed when they are over.
FEW = 200

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def collect(folder: Path, *, figures: bool = True) -> str:
    """Write tables, figures and a page of the records below `folder` into its folder ``report``.

    The tables are ``records.csv``, ``table.csv``, ``layers.csv``, ``table.md`` and ``table.tex``; ``topics.md`` where
    the features or the samples of the data have names; ``<experiment>_<variant>_codes.csv`` where the samples have and
    are not too many, of the runs that are drawn; and ``map.csv`` and ``map.md``, where options of the data
    were varied.  ``report.html`` shows what they hold, where the packages are installed that it is made with.  Every
    record is read once and reduced to its row of the table; the few runs that figures show are read again, and no run
    is repeated.

    Returns
    -------
    str
        The table as Markdown, and the map if there is one.

    Raises
    ------
    InputError
        If the folder does not exist or holds no readable record.
    OSError
        If a file cannot be written.
    """
    from nnmf_runner.report import codes, panels, regimes, regimes_table, table  # pandas is needed from here on only

    observations: list[panels.Observation] = []
    unread: list[str] = []
    rows = table.rows_of(panels.observed(read_records(folder, unread), observations))
    summary = table.summarise(rows)
    layers = table.summarise(table.layer_rows(rows), table.LAYER_CELL)
    comparisons = regimes.compare(observations)
    files = {
        "records.csv": rows.to_csv(index=False),
        "table.csv": summary.to_csv(index=False),
        "layers.csv": layers.to_csv(index=False),
        "table.md": table.to_markdown(summary, rows, layers),
        "table.tex": table.to_latex(summary, rows, layers),
    }
    shown = shown_runs(folder, rows)
    if (trees := topics_markdown(shown)) is not None:
        files["topics.md"] = trees
    if len(comparisons):
        files |= {"map.csv": comparisons.to_csv(index=False), "map.md": regimes_table.to_markdown(comparisons)}
    for group, runs in shown.items():
        for run in runs[:MOST_SHOWN]:
            if (of_samples := codes.codes_table(run)) is not None:
                files[f"{group}_{file_part(run.label)}_codes.csv"] = of_samples
    report = folder / REPORT
    for name, text in files.items():
        write_whole(report / name, text)
    from nnmf_runner.report.page import render  # which needs what this module has
    from nnmf_runner.report.page.build import Material

    drawn: list[Path] | None = [] if figures else None
    material = Material(folder, rows, summary, layers, comparisons, shown, unread, drawn)
    if drawn is not None:
        from nnmf_runner.report.figures.draw import draw_all

        for path in draw_all(shown, summary, comparisons, report / "figures", material.see):
            log.info("%s", path)
            drawn.append(path)
    if (page := render.page_text(material)) is not None:
        files[render.PAGE] = page
        write_whole(report / render.PAGE, page)
        log.info("%s", report / render.PAGE)
    _drop_earlier(report, {*files, *(path.relative_to(report).as_posix() for path in drawn or ())}, figures=figures)
    return "\n".join(files[name] for name in ("table.md", "map.md") if name in files)


def _drop_earlier(report: Path, written: set[str], *, figures: bool) -> None:
    """Remove what an earlier collection wrote and this one did not, such as figures of runs that are gone.

    Figures stay where none were to be drawn, and so does what others have put there.
    """
    manifest = report / CONTENTS
    there = {path.relative_to(report).as_posix() for path in [*report.glob("*.*"), *report.glob("figures/*")]}
    earlier = there.intersection(manifest.read_text("utf-8", "replace").splitlines()) if manifest.exists() else set()
    drawn_earlier = set() if figures else {name for name in earlier if "/" in name}
    for name in earlier - drawn_earlier - written:
        (report / name).unlink(missing_ok=True)
    write_whole(manifest, "".join(f"{name}\n" for name in sorted(written | drawn_earlier)))


def error_table(runs: Sequence[Path]) -> str | None:
    """The errors of runs as Markdown; None without any, or of more than `FEW` runs or `MOST_SHOWN` variants."""
    from nnmf_runner.report import table

    found = list(_readable([run / RECORD for run in runs], [], [])) if len(runs) <= FEW else []
    if not found:
        return None
    rows = table.rows_of(found)
    if rows["method"].nunique() > MOST_SHOWN:  # as in a search
        return None
    summary = table.summarise(rows)
    return table.to_markdown(summary[summary["metric"] == "relative_error"], rows)


def read_records(folder: Path, unread: list[str] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Read one record after the other, with its folder as seen from `folder`; the log names those that are damaged.

    What is the matter with these is added to `unread`, if it is given.

    Raises
    ------
    InputError
        If there is no folder, no readable record in it, or one of a later version of this program.
    OSError
        If a folder cannot be looked into.
    """
    if not folder.is_dir():
        raise InputError(f"folder={folder} does not exist. Expected a folder with records, such as outputs/table1.")
    paths, readable = find_records(folder), 0
    outdated: list[str] = []
    for path, record in _readable(paths, outdated, [] if unread is None else unread):
        readable += 1
        yield path.relative_to(folder), record
    left_out = f"{outdated[0]}; it is left out, with {len(outdated) - 1} others" if outdated else ""
    if not readable:
        found = left_out or (f"{len(paths)} damaged ones" if paths else "none")
        raise InputError(f"folder={folder} holds no record. Expected record.json files below it, found {found}.")
    if outdated:
        log.warning("%s.", left_out)
        if unread is not None:
            unread += outdated


def _readable(paths: Iterable[Path], outdated: list[str], damaged: list[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folders and records of the files that can be read; add the others to two lists, and log damaged ones."""
    for path in paths:
        try:
            yield path.parent, read_record(path)
        except InputError:
            raise
        except OutdatedRecord as error:
            outdated.append(f"{path} {error}")
        except ValueError as error:
            log.warning("%s %s; it is left out.", path, error)
            damaged.append(f"{path} {error}")


def shown_runs(folder: Path, rows: pd.DataFrame) -> dict[str, list[Shown]]:
    """The runs that figures show, by group, see `representatives`, but for those that cannot be read any more."""
    shown: dict[str, list[Shown]] = {}
    for chosen in representatives(rows).itertuples():
        found = _readable([folder / chosen.folder / RECORD], [], [])
        shown.setdefault(chosen.group, []).extend(
            Shown(chosen.method, *run, chosen.setting, chosen.dataset) for run in found
        )
    return shown


def representatives(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose the runs that figures show: for each what `Shown` has of it, its ``group``, see `groups_of`, and folder.

    It is the run of lowest seed of every setting, which are variants of the method and the data, ranks and regimes,
    where a group has at most `MOST_SHOWN` of them.  Otherwise it is one of every variant of a method, with most layers,
    semisupervised if there is any, of the first variant of the data.  The rows are from
    `nnmf_runner.report.table.rows_of`.
    """
    counted = rows[rows["status"].isin(COUNTED)].astype({"regime": str})
    depth = -counted["layers"].str.count("-")
    other = ~counted["regime"].str.startswith("semisupervised")
    order = counted["method"].map(method_order)
    place = counted["dataset"].map(numbered)
    ranked = counted.assign(group=groups_of(counted), order=order, depth=depth, other=other, place=place)
    ranked = ranked.sort_values(["group", "order", "depth", "other", "place", "seed", "folder"])
    settings = ranked.drop_duplicates(["group", "method", *SETTING])
    many = settings.groupby("group")["method"].transform("size") > MOST_SHOWN
    chosen = settings[~(many & settings.duplicated(["group", "method"]))]
    return chosen.assign(setting=settings_of(chosen)).loc[:, ["group", "method", "setting", "dataset", "folder"]]


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
