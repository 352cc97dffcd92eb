"""Claims: a file beside a run's folder says that a process is at work on it, as long as that process lives.

A claim never outlasts its holder for long: the holder touches the file all the time, so that one left by a process that
was killed is told by its age, and on the holder's own host at once by the process that is no longer there.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnmf_runner.store.files import named

# Seconds between two touches, and the age at which a claim is taken for left behind: network file systems show
# changes late.
BEAT, STALE = 10.0, 120.0

_SUFFIX = ".claim"
# A claim, or the scratch folder of a write: `.` and the name of the run, then what it is.
_LEFT = re.compile(r"\.([0-9a-f]{16})[.-]")


def claim_path(run: Path) -> Path:
    """The file that claims a run, beside its folder; hidden, so that it is no run itself."""
    return run.with_name(f".{run.name}{_SUFFIX}")


def claimed_run(file_name: str) -> str | None:
    """Name of the run that a file claims by its name; None if it is no claim."""
    match = _LEFT.match(file_name)
    return match[1] if match and file_name.endswith(_SUFFIX) else None


@contextmanager
def claimed(run: Path) -> Iterator[bool]:
    """Hold a run, whose folder need not exist, while the block lasts; the value is False where another process does."""
    path = claim_path(run)
    holder = json.dumps({"host": platform.node(), "pid": os.getpid(), "key": uuid.uuid4().hex})
    absent = [folder for folder in path.parents if not folder.exists()]
    if not _take(path, holder):
        yield False
        return
    ended = threading.Event()
    threading.Thread(target=_beat, args=(path, ended), daemon=True).start()
    try:
        yield True
    finally:
        ended.set()
        if _read(path) == holder:  # else it was taken for dead, and another holds the run
            path.unlink(missing_ok=True)
        for folder in absent:  # a run that was refused leaves nothing
            with suppress(OSError):
                folder.rmdir()


def is_held(run: Path) -> bool:
    """Whether a living process is at work on a run."""
    return is_alive(claim_path(run))


def clear_left(experiment: Path) -> None:
    """Remove what killed processes left in an experiment's folder: claims, and the scratch folders of their writes.

    A folder that was put aside when its successor was about to take its place is put back.
    """
    hidden = [(match[1], Path(entry.path)) for entry in entries(experiment) if (match := _LEFT.match(entry.name))]
    for name, path in hidden:
        run = path.with_name(name)
        if is_held(run):
            continue
        if path.name.endswith(_SUFFIX):
            _drop(path, _read(path))
            continue
        if not run.exists() and (path / name).is_dir():
            os.rename(path / name, run)
        shutil.rmtree(path, ignore_errors=True)


def entries(experiment: Path) -> Iterator[os.DirEntry[str]]:
    """List the entries of an experiment's folder that may be runs or claims."""
    shards = [entry for entry in _listed(experiment) if entry.is_dir() and not entry.name.startswith(".")]
    for shard in shards:
        yield from _listed(shard)


def _listed(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """The entries of a folder, none if it does not exist: an empty one is removed by whoever was refused a run."""
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _take(path: Path, holder: str) -> bool:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.touch(exist_ok=False)
        except FileNotFoundError:  # the folder was empty, and has just been removed
            continue
        except FileExistsError:
            found = _read(path)
            if is_alive(path):
                return False
            _drop(path, found)
        else:
            _fill(path, holder)
            return True


def _fill(path: Path, holder: str) -> None:
    """Write a claim that has just been made; on a full disk no empty one may stay, which is taken for a living one."""
    try:
        with named(path):
            path.write_text(holder)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _drop(path: Path, holder: str | None) -> None:
    """Remove the claim of a dead holder, and no other that has come in its place meanwhile."""
    aside = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if _read(aside) != holder and not path.exists():
        os.rename(aside, path)
    else:
        aside.unlink()


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        try:
            os.utime(path)
        except OSError:  # another took it for dead, or the file system is away
            continue


def is_alive(path: Path) -> bool:
    """Whether the process that wrote a claim is alive, as far as can be told."""
    try:
        age = abs(time.time() - path.stat().st_mtime)  # clocks differ between hosts, in either direction
        holder = json.loads(path.read_text())
        host, pid = holder["host"], holder["pid"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):  # about to be written, or its holder was killed then
        host, pid = None, None
    if age > STALE:
        return False
    return host != platform.node() or _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a killed process stays in the table until its parent asks for it
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
