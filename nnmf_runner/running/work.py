"""The runs that a sweep wants, and how far they are: the records tell, whatever a launcher says."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.config.cells import Cell
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.running.interrupt import StopFile
from nnmf_runner.store.claims import claimed, clear_left
from nnmf_runner.store.plan import SWEEP_FOLDER, Wanted, labels_of, write_plan
from nnmf_runner.store.provenance import described_code, same_code, this_code
from nnmf_runner.store.record import COUNTED, folder_name
from nnmf_runner.store.status import Ledger, Status, status_of

# Of a run: the folder of its experiment, and the name of its own.
Key = tuple[Path, str]


def key_of(config: RunConfig, seed: int | None) -> Key:
    """What tells the run of a configuration with this seed from all others."""
    return config.folder, folder_name(config.identity(seed))


@dataclass(frozen=True)
class Run:
    """One trial of one configuration; without a seed the consensus of its trials."""

    cell: Cell
    seed: int | None


class Work:
    """The runs that a sweep wants, and how far they are; an `OSError` is raised if its plan cannot be written."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.name = f"nnmf-{secrets.token_hex(4)}"  # of all jobs
        self.runs: dict[Key, Run] = {}
        self.wanted: dict[Path, list[Wanted]] = {}
        for cell, label in zip(cells, labels_of(cell.overrides for cell in cells), strict=True):
            self._want(cell, " ".join(part for part in label.split() if not part.startswith("seed=")))
        self.ledgers = {experiment: Ledger(experiment) for experiment in self.wanted}
        self.plans: list[Path] = []
        for experiment, wanted in self.wanted.items():
            clear_left(experiment)
            self.plans.append(write_plan(experiment, wanted))
        for ledger in self.ledgers.values():
            ledger.look()
        # Runs at which others were at work when this sweep began.
        self.begun_elsewhere = set(self.claimed())
        heads = {key: self._head(*key) for key in self.runs}
        counted = [key for key, head in heads.items() if head.get("status") in COUNTED]
        self.outdated = [heads[key] for key in counted if not same_code(heads[key])]
        # Runs that need no record, or have got one since this sweep began.
        self.over = {key for key in counted if same_code(heads[key]) and not self.runs[key].cell.config.force}
        self.over -= {key for key in self.over if not (self._trials_stand(key) and self.ledgers[key[0]].stands(key[1]))}
        self._failed: set[Key] = set()
        self.fail_fast = any(cell.config.fail_fast for cell in cells)

    def _want(self, cell: Cell, label: str) -> None:
        config = cell.config
        for seed in config.runs:
            _, name = key_of(config, seed)
            if (config.folder, name) not in self.runs:  # two cells may be the same runs
                self.runs[config.folder, name] = Run(cell, seed)
                text = f"{label} consensus" if seed is None else f"{label} seed={seed}"
                self.wanted.setdefault(config.folder, []).append(Wanted(name, text.strip()))

    def _trials_stand(self, key: Key) -> bool:
        """Whether all trials of a consensus have numbers and are not to be run again; a trial waits for no other."""
        config, seed = self.runs[key].cell.config, self.runs[key].seed
        if seed is not None:
            return True
        trials = [key_of(config, each) for each in config.seeds]
        return all(trial in self.over and self._head(*trial).get("status") in COUNTED for trial in trials)

    def _head(self, experiment: Path, name: str) -> dict[str, Any]:
        return self.ledgers[experiment].heads.get(name, {})

    def look(self) -> None:
        """Take note of the records that are new, and of those that are gone: their runs are to be run again."""
        for experiment, ledger in self.ledgers.items():
            for name in ledger.look():
                if (key := (experiment, name)) not in self.runs:
                    continue
                status = self._head(*key).get("status")
                for keys, belongs in ((self.over, True), (self._failed, status not in COUNTED)):
                    (keys.add if status and belongs else keys.discard)(key)

    @property
    def failed(self) -> int:
        """Number of runs that have failed since this sweep began."""
        return len(self._failed)

    @property
    def gives_up(self) -> bool:
        """Whether a run has failed that stops all others."""
        return self.fail_fast and self.failed > 0

    def pending(self) -> list[Run]:
        """Runs that have no record yet and were not in flight in a process of this sweep that was killed.

        A consensus is among them when all of its trials stand.
        """
        wanted = [key for key in self.runs if key not in self.over and self._is_free(*key)]
        return [self.runs[key] for key in wanted if self._trials_stand(key)]

    def _is_free(self, experiment: Path, name: str) -> bool:
        """Whether no process holds a run, and none of this sweep has come to its end with it."""
        ledger = self.ledgers[experiment]
        if (experiment, name) in self.begun_elsewhere:
            return not ledger.is_held(name)
        return name not in ledger.claims

    def others_at_work(self) -> bool:
        """Whether a living process holds a run that this sweep wants, maybe only until it lets go of what is done."""
        return any(key in self.runs and self.ledgers[key[0]].is_held(key[1]) for key in self.claimed())

    def running(self) -> int:
        """Runs in flight, in this sweep's jobs or elsewhere."""
        return len(self.claimed())

    def claimed(self) -> list[Key]:
        """The runs that some process holds, by the experiment's folder and the name."""
        return [(experiment, name) for experiment, ledger in self.ledgers.items() for name in ledger.claims]

    def opening(self, option: str) -> str:
        """One line on what there is to do, with the option that says where it runs."""
        text = f"{', '.join(map(str, self.wanted))}: {len(self.over)} of {len(self.runs)} runs are done"
        if self.outdated:
            was, this = described_code(self.outdated[0]), this_code(self.outdated[0])
            text += f", {len(self.outdated)} by another version of the code ({was}, this is {this}) are run again"
        return f"{text}; {len(self.runs) - len(self.over)} to run ({option})."

    @contextmanager
    def held(self) -> Iterator[None]:
        """Say in every experiment's folder that a process is at the sweep while the block lasts."""
        with ExitStack() as stack:
            for plan in self.plans:
                stack.enter_context(claimed(plan))
            yield

    def stop_files(self) -> list[StopFile]:
        """Files that stop the jobs of this sweep, one in each experiment's folder."""
        return [StopFile(stop_path(experiment, self.name)) for experiment in self.wanted]

    def stop(self) -> None:
        """Ask all jobs to end."""
        for file in self.stop_files():
            file.set()

    def status(self) -> Status:
        """Count the runs by how their records say they ended, with the reasons of those that are not done."""
        status = Status()
        for experiment, wanted in self.wanted.items():
            self.ledgers[experiment].look(afresh=True)
            status.add(status_of(self.ledgers[experiment], wanted))
        return status

    def remove_stop_files(self) -> None:
        """Let a later sweep begin without them; by now all jobs have ended, or been told to."""
        for file in self.stop_files():
            file.path.unlink(missing_ok=True)

    def logs(self) -> list[Path]:
        """Folders that hold what the jobs of a scheduler printed and were handed."""
        folders = [experiment / SWEEP_FOLDER / self.name for experiment in self.wanted]
        return [folder for folder in folders if folder.is_dir()]

    def remove_logs(self) -> None:
        """Remove the folders that `logs` names."""
        for folder in self.logs():
            shutil.rmtree(folder, ignore_errors=True)


def stop_path(experiment: Path, name: str) -> Path:
    """The file that stops the jobs of a sweep."""
    return experiment / SWEEP_FOLDER / f"{name}.stop"
