"""The table that a run prints when it is over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from nnmf_runner.core.monitor import StoppingRule
from nnmf_runner.metrics.registry import METRICS
from nnmf_runner.store.record import COUNTED

# A run is unsettled whose projected gradient is above this many times its tolerance at the end.
FAR = 10.0


def layer_table(records: Sequence[dict[str, Any]]) -> str:
    """Errors and accuracies of every layer in aligned columns: of one run, or means over the trials that count.

    As in the tables of a report, those that repeat all numbers of another count once.
    """
    counted = [record for record in records if record["layers"] and (len(records) == 1 or record["status"] in COUNTED)]
    distinct = list({numbers_of(record): record for record in counted}.values())
    runs = [record["layers"] for record in distinct]
    if not runs:
        return (
            "no layers to show" if len(records) < 2 else f"none of the {len(records)} trials counts: no means to show"
        )
    shown = {"layer": "layer", "rank": "rank"} | {
        metric.name: metric.heading
        for metric in METRICS.values()
        if metric.terminal == "always"
        or (metric.terminal == "if any" and any(layer.get(metric.name) is not None for layer in runs[0]))
    }
    rows = [list(shown.values())]
    rows += [[spread_text([run[i].get(name) for run in runs]) for name in shown] for i in range(len(runs[0]))]
    return "\n".join([aligned(rows), *_about(counted, len(distinct), len(records))])


def _about(counted: Sequence[dict[str, Any]], distinct: int, trials: int) -> Iterator[str]:
    """What the numbers of some trials are, of which so many are distinct."""
    if distinct > 1:
        yield f"mean ± standard deviation of {distinct} trials"
    if len(counted) < trials:
        yield f"{trials - len(counted)} of {trials} trials did not end well and are left out."
    if distinct < len(counted):
        yield (
            f"Of {len(counted)} trials {len(counted) - distinct} have the same numbers as another: there seeds change "
            "nothing, and they count as one."
        )
    if unsettled := sum(map(is_unsettled, counted)):
        those = "The fit" if len(counted) == 1 else f"{unsettled} of {len(counted)} fits"
        yield f"{those} ended far from a minimum, at over {FAR:g} times the tolerance."


def is_unsettled(record: dict[str, Any]) -> bool:
    """Whether a run ended far from a minimum."""
    return (record.get("projected_gradient") or 0.0) > FAR * (record["config"].get("tol") or StoppingRule.tol)


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
        return mean_text(present[:1])
    return f"{mean_text([float(value) for value in present])} ± {stdev(present):.4f}"
