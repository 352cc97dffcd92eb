"""From a folder of records to its tables and figures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from nnmf_runner.core.checks import InputError
from nnmf_runner.results.record import COUNTED, find_records, read_record
from nnmf_runner.results.topics import topics_markdown

log = logging.getLogger(__name__)

Records = dict[Path, dict[str, Any]]


def collect(folder: Path, *, figures: bool = True) -> str:
    """Write ``records.csv``, ``table.csv``, ``table.md``, ``table.tex`` and figures of the records below `folder`.

    ``topics.md`` too, where the features of the data have names.

    Parameters
    ----------
    folder : Path
        The files are written into it.
    figures : bool

    Returns
    -------
    str
        The table as Markdown.

    Raises
    ------
    InputError
        If the folder does not exist or holds no readable record.
    OSError
        If a file cannot be written.
    """
    from nnmf_runner.results import table  # pandas is needed from here on only

    records = load_records(folder)
    rows = table.rows_of(records)
    summary = table.summarise(rows)
    markdown = table.to_markdown(summary, rows)
    files = {
        "records.csv": rows.to_csv(index=False),
        "table.csv": summary[table.COLUMNS].to_csv(index=False),
        "table.md": markdown,
        "table.tex": table.to_latex(summary, rows),
    }
    if (trees := topics_markdown(representatives(records))) is not None:
        files["topics.md"] = trees
    for name, text in files.items():
        write_whole(folder / name, text)
    if figures:
        from nnmf_runner.results.figure import draw_all

        for path in draw_all(records, folder / "figures"):
            log.info("%s", path)
    return markdown


def load_records(folder: Path) -> Records:
    """Records by their folder; a damaged one is named in the log and left out.

    Raises
    ------
    InputError
        If there is no folder, or no readable record in it, or one of a later version of this program.
    """
    if not folder.is_dir():
        raise InputError(f"folder={folder} does not exist. Expected a folder with records, such as outputs/table1.")
    records, damaged = {}, 0
    for path in find_records(folder):
        try:
            records[path.parent] = read_record(path)
        except InputError:  # of a later version of this program
            raise
        except ValueError as error:
            damaged += 1
            log.warning("%s %s; left out.", path, error)
    if not records:
        found = f"{damaged} damaged ones" if damaged else "none"
        raise InputError(f"folder={folder} holds no record. Expected record.json files below it, found {found}.")
    return records


def counted(records: Records) -> Records:
    """Those that ended with numbers."""
    return {path: record for path, record in records.items() if record["status"] in COUNTED}


def representatives(records: Records) -> dict[str, Records]:
    """Of every experiment and method the run with most layers, semisupervised if there is any, of the lowest seed."""

    def rank(item: tuple[Path, dict[str, Any]]) -> tuple[Any, ...]:
        path, record = item
        return -len(record["config"]["layers"]), record["regime"] != "semisupervised", record["config"]["seed"], path

    chosen: dict[str, Records] = {}
    for path, record in sorted(counted(records).items(), key=rank):
        runs = chosen.setdefault(record["experiment"], {})
        if record["config"]["method"]["name"] not in {run["config"]["method"]["name"] for run in runs.values()}:
            runs[path] = record
    return chosen


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(text)
    scratch.replace(path)
