"""The runs of an experiment as a table of their sizes and ages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnmf_runner.report.summary import aligned
from nnmf_runner.store.prune import Found

# Seconds in each unit of an age.
UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}


def runs_text(runs: Sequence[Found]) -> str:
    """A row for every run."""
    now = time.time()
    rows = [
        [run.kind or "-", run.state, size_text(run.size), age_text(now - run.written), run.label, str(run.folder)]
        for run in runs
    ]
    return aligned([["can go", "state", "size", "age", "run", "folder"], *rows], left=[0, 1, 4, 5])


def pruned_text(chosen: Sequence[Found], gone: Sequence[Found] | None) -> str:
    """How many runs can go, or have gone."""
    counted = chosen if gone is None else gone
    if not chosen:
        return "No run can go."
    told = f"{len(counted)} run{'s' * (len(counted) != 1)}, {size_text(sum(run.size for run in counted))}"
    if gone is None:
        return f"Can go: {told}. --prune --yes removes what can go."
    left = len(chosen) - len(gone)
    return f"Removed: {told}." + (f" Held by a process, or run again meanwhile: {left}." if left else "")


def forgotten_text(plans: Mapping[Path, int], *, gone: bool) -> str:
    """How many sweeps that were abandoned can be forgotten, or have been."""
    if not plans:
        return "No sweep with missing runs is without a process."
    runs = sum(plans.values())
    told = f"{len(plans)} sweep{'s' * (len(plans) != 1)} with {runs} missing run{'s' * (runs != 1)}"
    return f"Forgotten: {told}." if gone else f"Can be forgotten: {told}. --forget --yes does so."


def size_text(size: float) -> str:
    """A number of bytes."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def age_text(seconds: float) -> str:
    """An age in the largest unit of which it has one."""
    unit = next((unit for unit, length in UNITS.items() if seconds >= length), "s")
    return f"{max(0, int(seconds // UNITS[unit]))} {unit}"
