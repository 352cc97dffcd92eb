"""What a sweep wants, kept in the folder of its experiment so that what is missing can be told from what was never
asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnmf_runner.store.files import whole_file

# Hidden in an experiment's folder: what sweeps keep beside the runs.
SWEEP_FOLDER = ".sweep"


@dataclass(frozen=True)
class Wanted:
    """A run that a sweep wants: the name of its folder, and how a reader tells it from the others."""

    name: str
    label: str


def plan_folder(experiment: Path) -> Path:
    """Where the plans of an experiment stand, one file per sweep."""
    return experiment / SWEEP_FOLDER / "plans"


def write_plan(experiment: Path, wanted: Sequence[Wanted]) -> Path:
    """Write the plan of a sweep whole; the same sweep has the same file."""
    names = "".join(sorted(run.name for run in wanted))
    path = plan_folder(experiment) / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.json"
    with whole_file(path) as scratch:
        scratch.write_text(json.dumps({run.name: run.label for run in wanted}, indent=0))
    return path


def read_plans(experiment: Path) -> list[Wanted]:
    """The runs that any sweep into this folder wants; damaged plans are ignored."""
    labels: dict[str, str] = {}
    for path in sorted(plan_folder(experiment).glob("*.json")):
        try:
            labels |= json.loads(path.read_text())
        except (ValueError, TypeError):
            continue
    return [Wanted(name, label) for name, label in labels.items()]


def labels_of(jobs: Iterable[Sequence[str]]) -> list[str]:
    """What tells each of several lists of overrides from the others: those that they do not all have."""
    lists = [list(job) for job in jobs]
    shared = set.intersection(*map(set, lists)) if len(lists) > 1 else set()
    return [" ".join(override for override in job if override not in shared) for job in lists]
