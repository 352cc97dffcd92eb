"""The table that a run prints when it is over."""

from __future__ import annotations

from collections.abc import Sequence
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
    rows += [[_mean([run[i].get(name) for run in runs]) for name in shown] for i in range(len(runs[0]))]
    widths = [max(len(row[j]) for row in rows) for j in range(len(shown))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if len(runs) > 1:
        lines.append(f"mean of {len(runs)} trials")
    return "\n".join(lines)


def _mean(values: Sequence[float | None]) -> str:
    present = [value for value in values if value is not None]
    if not present:
        return "-"
    mean = fmean(present)
    return str(int(mean)) if all(isinstance(value, int) for value in present) else f"{mean:.4f}"
