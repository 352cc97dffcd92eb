"""The table that a run prints when it is over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from statistics import fmean, stdev
from typing import Any

from nnmf_runner.metrics.registry import METRICS


def layer_table(records: Sequence[dict[str, Any]]) -> str:
    """Errors and accuracies of every layer in aligned columns: means over runs of one configuration that have them."""
    records = [record for record in records if record["layers"]]
    runs = [record["layers"] for record in records]
    if not runs:
        return "no layers to show"
    shown = {"layer": "layer", "rank": "rank"} | {
        metric.name: metric.heading
        for metric in METRICS.values()
        if metric.terminal == "always"
        or (metric.terminal == "if any" and any(layer.get(metric.name) is not None for layer in runs[0]))
    }
    rows = [list(shown.values())]
    rows += [[spread_text([run[i].get(name) for run in runs]) for name in shown] for i in range(len(runs[0]))]
    return aligned(rows) + _about(records)


def _about(records: Sequence[dict[str, Any]]) -> str:
    """What the numbers of several trials are."""
    if len(records) == 1:
        return ""
    if len({numbers_of(record) for record in records}) == 1:
        return f"\nThe {len(records)} trials have the same numbers: seeds change nothing here, and they count as one."
    return f"\nmean ± standard deviation of {len(records)} trials"


def numbers_of(record: dict[str, Any]) -> str:
    """A digest of all numbers that came of a run, but for time and memory."""
    numbers = json.dumps([record["layers"], record.get("n_iter"), record.get("consensus")], sort_keys=True)
    return hashlib.sha256(numbers.encode()).hexdigest()[:16]


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


def spread_text(values: Sequence[float | None]) -> str:
    """The mean of the values that there are, and their standard deviation where they differ."""
    present = [value for value in values if value is not None]
    if len(set(present)) < 2:
        return mean_text(values[:1] if present else [])
    return f"{mean_text([float(value) for value in present])} ± {stdev(present):.4f}"
