"""How far a sweep is: what is done, running, failed and missing, told from the folders of its runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnmf_runner.core.checks import InputError
from nnmf_runner.store.claims import claimed_run, entries, is_alive
from nnmf_runner.store.plan import Wanted, read_plans
from nnmf_runner.store.provenance import same_code
from nnmf_runner.store.record import COUNTED, INTERRUPTED, RECORD, factors_digest, read_run

# Lines of a kind that are shown before the rest is only counted.
SHOWN = 20
EXPECTED = "Expected the folder of an experiment, such as outputs/table1."


class Ledger:
    """What is known of the runs of an experiment, brought up to date by a look at its folder.

    A look lists folders and opens only the records that are new or another than before, so that looking again costs
    little where there are 100,000 of them.
    """

    def __init__(self, experiment: Path) -> None:
        self.experiment = experiment
        self.heads: dict[str, dict[str, Any]] = {}
        self.claims: dict[str, Path] = {}
        self._folders: dict[str, os.DirEntry[str]] = {}

    def look(self, *, afresh: bool = False) -> set[str]:
        """Names of the runs whose record is new since the last look, or gone; InputError at one of a later version.

        With `afresh`, all records are read again: one may have been changed in its place.
        """
        before = {} if afresh else self._folders
        known, self._folders, self.claims = self.heads, {}, {}
        for entry in entries(self.experiment):
            if (claimed := claimed_run(entry.name)) is not None:
                self.claims[claimed] = Path(entry.path)
            elif not entry.name.startswith("."):
                self._folders[entry.name] = entry
        # A record is replaced with its folder, which has another inode then.
        same = {name for name in known if name in before and _are_one(before[name], self._folders.get(name))}
        self.heads = {name: known[name] for name in same}
        for name in self._folders.keys() - same:
            if (head := read_head(self.folder(name))) is not None:
                self.heads[name] = head
        return (known.keys() | self.heads.keys()) - same

    def is_held(self, name: str) -> bool:
        """Whether a living process was at work on a run at the last look."""
        return name in self.claims and is_alive(self.claims[name])

    def stands(self, name: str) -> bool:
        """Whether the trials that a run is the consensus of are what they were then; any other run stands."""
        members = self.heads[name].get("members", {})
        return all(each in self._folders and factors_digest(self.folder(each)) == was for each, was in members.items())

    def folder(self, name: str) -> Path:
        """Folder of a run that was there at the last look."""
        return Path(self._folders[name].path)


def _are_one(folder: os.DirEntry[str], other: os.DirEntry[str] | None) -> bool:
    return other is not None and folder.inode() == other.inode()


def read_head(run: Path) -> dict[str, Any] | None:
    """How a run ended, what code made it, and a label; its status is None if that cannot be read; None if no record."""
    try:
        record = read_run(run)
    except InputError:
        raise
    except ValueError as error:
        return {"status": None, "message": f"its record {error}"} if (run / RECORD).exists() else None
    members = {"members": record["consensus"]["members"]} if record.get("consensus") else {}
    head = {name: record.get(name) for name in ("status", "message", "code", "commit")}
    return head | {"label": _label(record["config"])} | members


def _label(config: dict[str, Any]) -> str:
    """What tells a run from others where no plan calls it anything."""
    first, count = config["seed"], config.get("consensus", 0)
    trial = f"consensus of seeds {first} to {first + count - 1}" if count else f"seed={first}"
    return f"{config['method']['name']} {'-'.join(map(str, config['layers']))} {trial}"


@dataclass(frozen=True)
class Problem:
    """A run without numbers: how it is called, why, and where its record is if it has one."""

    label: str
    reason: str
    folder: Path | None = None

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}" + (f" ({self.folder})" if self.folder else "")


@dataclass
class Status:
    """What came of the runs that were wanted."""

    done: int = 0
    other_code: int = 0
    running: list[str] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    missing: list[Problem] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    counted: list[Path] = field(default_factory=list)  # the runs that are done

    @property
    def complete(self) -> bool:
        """Whether all that was wanted is done."""
        return not (self.running or self.queued or self.failed or self.missing)

    def add(self, other: Status) -> None:
        """Take another experiment's runs in."""
        for name, own in vars(self).items():
            setattr(self, name, own + getattr(other, name))

    def headline(self) -> str:
        """Counts, and the folder."""
        counts = [f"{self.done} done"]
        counts += [f"{len(self.running)} running"] if self.running else []
        counts += [f"{len(self.queued)} queued"] if self.queued else []
        counts += [f"{len(self.failed)} failed"]
        counts += [f"{len(self.missing)} missing"] if self.missing else []
        note = f" ({self.other_code} done by another version of the code)" if self.other_code else ""
        return f"{', '.join(counts)}: {', '.join(map(str, self.folders))}{note}"

    def lines(self) -> list[str]:
        """One line for each run that failed or is missing, with the reason; of very many the first ones."""
        return [*_listed("failed", self.failed), *_listed("missing", self.missing)]


def _listed(kind: str, problems: Sequence[Problem]) -> list[str]:
    lines = [f"{kind}: {problem}" for problem in problems[:SHOWN]]
    return lines + ([f"{kind}: {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])


def status_of(ledger: Ledger, wanted: Sequence[Wanted]) -> Status:
    """Sort the runs that are wanted by what their records say; `ledger` has been brought up to date."""
    status = Status(folders=[ledger.experiment])
    for run in wanted:
        head = ledger.heads.get(run.name, {})
        stands = head.get("status") in COUNTED and ledger.stands(run.name)
        if stands:  # whoever may still, or again, hold it
            status.done += 1
            status.counted.append(ledger.folder(run.name))
            status.other_code += not same_code(head)
        elif ledger.is_held(run.name):
            status.running.append(run.label)
        elif head.get("status") not in (None, INTERRUPTED, *COUNTED):
            reason = head["message"] or head["status"]
            status.failed.append(Problem(run.label, reason, ledger.folder(run.name)))
        elif run.live:
            status.queued.append(run.label)
        elif head.get("status") in COUNTED:
            status.missing.append(Problem(run.label, "its trials have changed"))
        else:
            was_left = "its process was killed" if run.name in ledger.claims else "not run"
            status.missing.append(Problem(run.label, head.get("status") or head.get("message") or was_left))
    return status


def folder_status(experiment: Path) -> Status:
    """The state of all runs that sweeps into a folder want, and of those that are there beside them.

    Raises
    ------
    InputError
        If the folder does not exist, holds no runs, or has a record of a later version of this program.
    """
    wanted, ledger = read_plans(experiment), look_into(experiment)
    planned = {run.name for run in wanted}
    wanted += [Wanted(name, head.get("label", name)) for name, head in ledger.heads.items() if name not in planned]
    if not wanted:
        raise InputError(f"folder={experiment} holds no runs. {EXPECTED}")
    return status_of(ledger, wanted)


def look_into(experiment: Path) -> Ledger:
    """What is known of the runs of an experiment; InputError if its folder does not exist."""
    if not experiment.is_dir():
        raise InputError(f"folder={experiment} does not exist. {EXPECTED}")
    ledger = Ledger(experiment)
    ledger.look()
    return ledger
