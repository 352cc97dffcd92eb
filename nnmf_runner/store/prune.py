"""The runs of an experiment with their sizes and ages, which of them can go, and how they do: whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.core.checks import InputError
from nnmf_runner.store.claims import claimed, clear_left, is_held, remove_shard
from nnmf_runner.store.files import FACTORS, remove_whole
from nnmf_runner.store.plan import plans, read_plans
from nnmf_runner.store.provenance import same_code
from nnmf_runner.store.record import CONTENTS, COUNTED, HISTORY, INTERRUPTED, NAMES, RECORD, REPORT, START, read_run
from nnmf_runner.store.status import EXPECTED, Ledger, look_into, read_head, status_of

FAILED, STALE, SUPERSEDED = "failed", "stale", "superseded"
# What is written into the folder of a run: one that holds anything else, or is called otherwise, is none that may go.
_FILES = {RECORD, FACTORS, HISTORY, START, NAMES, REPORT}
_NAME = re.compile("[0-9a-f]{16}")
# What a configuration has only where it is not as usual, so that a run without it is another one and no earlier one.
_LEFT_OUT = ("consensus", "data_seed", "dtype", "engine", "fixed", "resample", "seed_words")


@dataclass(frozen=True)
class Found:
    """A run that is there.

    Attributes
    ----------
    label : str
        How a plan calls it; else its method, ranks and seed, or the name of its folder if its record cannot be read.
    state : str
        How it ended, or why it can go.
    size : int
        Bytes of its files.
    written : float
        When its record was written, in seconds since the epoch.
    kind : str or None
        ``failed``, without numbers; ``stale``, interrupted, of a record that cannot be read, or the consensus of trials
        that have changed; ``superseded``, of another version of the code where a run of this version has all of its
        options; None for a run that has to stay.
    """

    folder: Path
    label: str
    state: str
    size: int
    written: float
    kind: str | None
    head: dict[str, Any]


def find_runs(experiment: Path) -> list[Found]:
    """All runs of an experiment that have a record, oldest first; InputError if there is none."""
    ledger = look_into(experiment)
    labels = {run.name: run.label for run in read_plans(experiment)}
    older = _superseded(ledger)
    runs = [
        found
        for name, head in ledger.heads.items()
        if (
            found := _found(
                ledger.folder(name), labels.get(name, head.get("label", name)), head, *_judged(ledger, name, older)
            )
        )
    ]
    if not runs:
        raise InputError(f"folder={experiment} holds no runs. {EXPECTED}")
    return sorted(runs, key=lambda run: (run.written, run.folder))


def drop(experiment: Path, runs: Sequence[Found]) -> list[Found]:
    """Remove runs that can go, and what killed processes left; return those that have gone.

    Those that another process holds, or that have been run again since they were found, stay.
    """
    clear_left(experiment)
    return [run for run in runs if run.kind and _drop(run)]


def abandoned(experiment: Path) -> dict[Path, int]:
    """Plans of sweeps at which no process is, with how many of their runs are missing; none without any."""
    ledger = look_into(experiment)
    missing = {path: len(status_of(ledger, wanted).missing) for path, wanted in plans(experiment) if not is_held(path)}
    return {path: count for path, count in missing.items() if count}


def forget(experiment: Path, found: Iterable[Path]) -> None:
    """Remove plans, but for those at which a process is by now, and what killed processes left; what was run stays."""
    clear_left(experiment)
    for path in found:
        with claimed(path) as is_mine:
            if is_mine:
                path.unlink(missing_ok=True)


def _drop(run: Found) -> bool:
    with claimed(run.folder) as is_mine:
        goes = is_mine and read_head(run.folder) == run.head and _may_go(run.folder)
        if goes:
            remove_whole(run.folder)
    remove_shard(run.folder.parent)
    return goes


def _found(folder: Path, label: str, head: dict[str, Any], state: str, kind: str | None) -> Found | None:
    """A run by its files; None where it has gone meanwhile."""
    try:
        written = (folder / RECORD).stat().st_mtime
        size = sum((Path(root) / file).lstat().st_size for root, _, files in os.walk(folder) for file in files)
        may_go = _may_go(folder)
    except FileNotFoundError:
        return None
    return Found(folder, label, state, size, written, kind if may_go else None, head)


def _judged(ledger: Ledger, name: str, older: Collection[str]) -> tuple[str, str | None]:
    """The state of a run at the last look, and why it can go if it can."""
    head = ledger.heads[name]
    status = head["status"]
    if ledger.is_held(name):
        return "running", None
    if status is None:
        return head["message"], STALE
    if status == INTERRUPTED:
        return status, STALE
    if status not in COUNTED:
        return status, FAILED
    if not ledger.stands(name):
        return "its trials have changed", STALE
    return status, SUPERSEDED if name in older else None


def _may_go(folder: Path) -> bool:
    """Whether a folder is that of a run and nothing else, and stands in the folder of its experiment."""
    if not _NAME.fullmatch(folder.name) or folder.parent.name != folder.name[:2]:
        return False
    if folder.is_symlink() or folder.parent.is_symlink() or not set(os.listdir(folder)) <= _FILES:
        return False
    return _is_as_collected(folder / REPORT)


def _is_as_collected(report: Path) -> bool:
    """Whether a report, if there is one, holds nothing but what `nnmf-collect` has written into it."""
    if not report.is_dir():
        return not report.exists()
    files = {path.relative_to(report).as_posix() for path in report.rglob("*") if not path.is_dir()} - {CONTENTS}
    try:
        return files <= set((report / CONTENTS).read_text("utf-8", "replace").splitlines())
    except OSError:
        return not files


def _superseded(ledger: Ledger) -> set[str]:
    """Runs of another version of the code whose options a run of this one has, but for those that a consensus needs."""
    counted = {name: head for name, head in ledger.heads.items() if head["status"] in COUNTED}
    older = {name for name, head in counted.items() if not same_code(head)}
    if not older:
        return set()
    needed = {member for name, head in counted.items() if ledger.stands(name) for member in head.get("members", {})}
    current: dict[Any, list[Any]] = {}
    for config in map(_config, (ledger.folder(name) for name in counted.keys() - older)):
        current.setdefault(_gist(config), []).append(config)
    return {
        name
        for name in older - needed
        if any(_has_all(new, own) for own in [_config(ledger.folder(name))] for new in current.get(_gist(own), []))
    }


def _config(run: Path) -> dict[str, Any]:
    return read_run(run)["config"]


def _gist(config: dict[str, Any]) -> tuple[Any, ...]:
    """What configurations have to have in common, so that few have to be compared."""
    usual = tuple(str(config.get(name)) for name in _LEFT_OUT)
    return config["method"]["name"], tuple(config["layers"]), config["seed"], *usual


def _has_all(config: Any, options: Any) -> bool:
    """Whether a configuration has all options of another, and maybe more."""
    if not isinstance(config, dict) or not isinstance(options, dict):
        return bool(config == options)
    return all(name in config and _has_all(config[name], value) for name, value in options.items())
