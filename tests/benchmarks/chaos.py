"""Kill runs, sweeps and collections at random instants: ``python -m tests.benchmarks.chaos [KILLS] [--seed N]``.

Every command is killed several times, its launcher alone, one of its workers or all at once, and given again until it
has ended.  The last line counts what the program promises never to happen; the status is 1 if any of it did.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nnmf_runner.store.files import read_arrays
from nnmf_runner.store.record import COUNTED, FACTORS, HISTORY, RECORD, START, find_records, read_history, read_run

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
# Seconds that processes may outlive the one that started them: they see its end once Python has been loaded.
FAREWELL = 15.0
# Kills that a command meets at most before it is left in peace.
KILLS = 5
# Eight runs of about a tenth of a second each, so that many kills meet a write.
RUNS = 8
FIT = ["method=deep", "layers=[9,4]", "max_iter=100", "label_fraction=0"]
COMMANDS = {
    "run": ["nnmf-run", *FIT, f"trials={RUNS}", "workers=1"],
    "run, 2 workers": ["nnmf-run", *FIT, f"trials={RUNS}", "workers=2"],
    "sweep": ["nnmf-run", "-m", *FIT, f"seed=range(0,{RUNS})", "workers=1"],
    "sweep, 2 workers": ["nnmf-run", "-m", *FIT, f"seed=range(0,{RUNS})", "workers=2"],
    "repetition, 2 workers": ["nnmf-run", "-m", *FIT, f"seed=range(0,{RUNS})", "workers=2", "force=true"],
    "consensus, 2 workers": [
        *("nnmf-run", "-m", *FIT, "init=random", f"trials={RUNS - 1}", "consensus=true", "workers=2"),
    ],
    "collection": ["nnmf-collect", "outputs/runs"],
}
FAULTS = ("lost", "doubled", "damaged", "debris", "processes left", "refused")


def processes(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if state != "Z" and int(of) == session:
            found.append(int(path.parent.name))
    return found


def outlived(session: int) -> list[int]:
    """The processes of a session that are still there after some time."""
    end = time.monotonic() + FAREWELL
    while (left := processes(session)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


class Ground:
    """A folder in which commands are killed, and the faults that were found there."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.kills = 0
        self.faults: Counter[str] = Counter()
        self.known: dict[str, int] = {}  # runs that were recorded, by the inode of their folder
        self.slowest = 3.0  # seconds that a command takes if it is left in peace

    def fault(self, kind: str, what: object) -> None:
        """Count a fault, and say what it is."""
        self.faults[kind] += 1
        print(f"{kind}: {what}", flush=True)

    def attack(self, command: list[str]) -> bool:
        """Start a command and kill it at some instant; False if it had ended by then."""
        with (self.folder / "log").open("w") as log:
            running = subprocess.Popen(
                [BIN / command[0], *command[1:]],
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        time.sleep(self.rng.uniform(0.0, self.slowest))
        inside = processes(running.pid)
        target = self.rng.choice(["launcher", "worker", "all"])
        if target == "worker" and len(inside) > 1:
            doomed = [self.rng.choice(sorted(set(inside) - {running.pid}))]
        else:
            doomed = inside if target == "all" else [running.pid]
        was_alive = running.poll() is None
        for pid in doomed if was_alive else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        running.wait(120.0)  # a launcher that has lost a worker goes on
        for pid in outlived(running.pid):
            self.fault("processes left", Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
            os.kill(pid, signal.SIGKILL)
        self.kills += was_alive
        return was_alive

    def finish(self, command: list[str]) -> None:
        """Let a command come to its end, after which nothing may be missing or left over."""
        started = time.monotonic()
        options = {"cwd": self.folder, "env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 300.0}
        done = subprocess.run([BIN / command[0], *command[1:]], check=False, **options)
        self.slowest = 1.2 * (time.monotonic() - started)
        if done.returncode or "Traceback" in done.stderr:
            self.fault("refused", done.stderr)
        for path in self.left():
            self.fault("debris", path)

    def left(self) -> Iterator[Path]:
        """What a sweep, a run or a collection that has ended does not leave: hidden files, and empty folders."""
        plans = self.folder / "outputs" / "runs" / ".sweep"
        for path in (self.folder / "outputs").rglob("*"):
            is_plan = path in (plans, plans / "plans") or (path.parent == plans / "plans" and path.suffix == ".json")
            if (path.name.startswith(".") and not is_plan) or (path.is_dir() and not any(path.iterdir())):
                yield path

    def look(self, *, repeats: bool) -> None:
        """Check all records, also against those of before, which are others only where a command `repeats` runs."""
        found = {}
        for path in find_records(self.folder / "outputs"):
            run = path.parent
            found[run.name] = run.stat().st_ino
            try:
                record, _, _ = read_run(run), read_arrays(run / FACTORS), read_history(run)
            except ValueError as error:
                self.fault("damaged", f"{path}: {error}")
                continue
            files = {RECORD, FACTORS, HISTORY} | ({START} if "consensus" in record["config"] else set())
            if record["status"] not in COUNTED or {entry.name for entry in run.iterdir()} != files:
                self.fault("damaged", path)
        for name, inode in self.known.items():
            if name not in found:
                self.fault("lost", name)
            elif found[name] != inode and not repeats:
                self.fault("doubled", name)
        self.known = found


def campaign(kills: int, seed: int) -> Counter[str]:
    """Kill until there have been that many kills; the faults by their kind."""
    rng, faults, done = random.Random(seed), Counter(dict.fromkeys(FAULTS, 0)), 0
    ways = list(COMMANDS)
    pace = 3.0
    while done < kills:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            ground = Ground(Path(folder), rng)
            ground.slowest = pace
            name = ways[done % len(ways)] if done < len(ways) else rng.choice(ways)
            command = COMMANDS[name]
            repeats = "force=true" in command
            if name == "collection" or repeats:
                ground.finish(COMMANDS["sweep"])
                ground.look(repeats=False)
            while ground.kills < min(KILLS, kills - done) and ground.attack(command):
                # What was put aside for a successor is no loss yet: the next command puts it back.
                if not repeats:
                    ground.look(repeats=False)
            ground.finish(command)
            ground.look(repeats=repeats)
            if len(ground.known) != RUNS:
                ground.fault("lost", f"{RUNS - len(ground.known)} runs of {name}")
            pace, done = ground.slowest, done + ground.kills
            faults.update(ground.faults)
            print(f"{done} of {kills} kills: {name}", flush=True)
    return faults


def main() -> int:
    """Run the campaign and print its count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kills", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the instants and of what is killed")
    options = parser.parse_args()
    started = time.monotonic()
    faults = campaign(options.kills, options.seed)
    print(f"{options.kills} kills in {time.monotonic() - started:.0f} s:", end=" ")
    print(", ".join(f"{count} {kind}" for kind, count in faults.items()))
    return 1 if faults.total() else 0


if __name__ == "__main__":
    sys.exit(main())
