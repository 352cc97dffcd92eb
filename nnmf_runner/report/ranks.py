"""The choice of ranks as table, JSON and figure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnmf_runner.metrics.rank_profile import RankProfile
from nnmf_runner.report.summary import aligned
from nnmf_runner.store.files import whole_file
from nnmf_runner.store.record import REPORT

# Columns of the table in the terminal: heading, name, digits.
COLUMNS = {
    "spectrum": ("singular_ratio", 2),
    "split halves": ("halves_cosine", 3),
    "left-out error": ("left_out_error", 4),
    "cNMF": ("silhouette", 2),
    "NMFk": ("least_silhouette", 2),
    "Brunet": ("cophenetic", 2),
}


def rank_table(profile: RankProfile) -> str:
    """One line per rank: its scores, and which criteria speak for it; the ranks that are chosen have a star."""
    lines = [["", "rank", *COLUMNS, "proposed by"]]
    for row in profile.rows():
        numbers = [f"{row[name]:.{digits}f}" for name, digits in COLUMNS.values()]
        lines.append(["*" if row["chosen"] else "", str(row["rank"]), *numbers, ", ".join(row["agree"])])
    return aligned(lines, left=[len(lines[0]) - 1])


def write_ranking(profile: RankProfile, title: str, folder: Path) -> Iterator[Path]:
    """Write ``ranks.json``, ``ranks.csv`` and the figure into ``report`` within a folder; yield each file."""
    folder = folder / REPORT
    for name, text in (("ranks.json", _as_json(profile, title)), ("ranks.csv", _as_csv(profile))):
        with whole_file(folder / name) as scratch:
            scratch.write_text(text, encoding="utf-8")
        yield folder / name
    from nnmf_runner.report.figures.ranks import rank_figure
    from nnmf_runner.report.figures.style import drawing, save

    with drawing():
        yield from save(rank_figure(profile, title), folder / "figures" / "ranks")


def _as_json(profile: RankProfile, title: str) -> str:
    return json.dumps({"dataset": title, **profile.as_dict()}, indent=1, allow_nan=False) + "\n"


def _as_csv(profile: RankProfile) -> str:
    rows: list[dict[str, Any]] = [{**row, "agree": "; ".join(row["agree"])} for row in profile.rows()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
