"""The table that a run prints when it is over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any

from nnmf_runner.metrics.registry import METRICS


def layer_table(records: Sequence[dict[str, Any]]) -> str:
    """Errors and accuracies of every layer in aligned columns: means over runs of one configuration that have them."""
    runs = [record["layers"] for record in records if record["layers"]]
    if not runs:
        return "no layers to show"
    shown = {"layer": "layer", "rank": "rank"} | {
        metric.name: metric.heading
        for metric in METRICS.values()
        if metric.terminal == "always"
        or (metric.terminal == "if any" and any(layer.get(metric.name) is not None for layer in runs[0]))
    }
    rows = [list(shown.values())]
    rows += [[mean_text([run[i].get(name) for run in runs]) for name in shown] for i in range(len(runs[0]))]
    note = f"\nmean of {len(runs)} trials" if len(runs) > 1 else ""
    return aligned(rows) + note


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Lines of cells in columns, of which those whose numbers are in `left` begin below each other, others end so."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [cell.ljust(width) if j in left else cell.rjust(width) for j, (cell, width) in enumerate(cells)]
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def mean_text(values: Sequence[float | None]) -> str:
    """The mean of the values that there are, as a cell."""
    present = [value for value in values if value is not None]
    if not present:
        return "-"
    mean = fmean(present)
    return str(int(mean)) if all(isinstance(value, int) for value in present) else f"{mean:.4f}"
