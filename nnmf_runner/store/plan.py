"""What a sweep wants, kept in the folder of its experiment so that what is missing can be told from what was never
asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnmf_runner.store.claims import is_held
from nnmf_runner.store.files import whole_file

# Hidden in an experiment's folder: what sweeps keep beside the runs.
SWEEP_FOLDER = ".sweep"


@dataclass(frozen=True)
class Wanted:
    """A run that a sweep wants: the name of its folder, how a reader tells it from the others, and whether it is live.

    A living process is at a live sweep, and will come to the run if it has not yet.
    """

    name: str
    label: str
    live: bool = False


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
    """The runs that any sweep into this folder wants, live if one of these is; damaged plans are ignored."""
    found: dict[str, Wanted] = {}
    for run in (run for _, wanted in plans(experiment) for run in wanted):
        if run.live or run.name not in found:
            found[run.name] = run
    return [*found.values()]


def plans(experiment: Path) -> Iterator[tuple[Path, list[Wanted]]]:
    """Every plan that can be read, and what it wants."""
    for path in sorted(plan_folder(experiment).glob("*.json")):
        with suppress(ValueError, TypeError, AttributeError):
            live = is_held(path)
            yield path, [Wanted(name, label, live) for name, label in json.loads(path.read_text()).items()]


def labels_of(jobs: Iterable[Sequence[str]]) -> list[str]:
    """What tells each of several lists of overrides from the others: those that they do not all have."""
    lists = [list(job) for job in jobs]
    shared = set.intersection(*map(set, lists)) if len(lists) > 1 else set()
    return [" ".join(override for override in job if override not in shared) for job in lists]
