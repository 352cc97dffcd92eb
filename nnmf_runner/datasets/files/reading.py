"""What datasets that come from files or other packages share: optional packages, paths, labels, digests."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets.base import Labels
from nnmf_runner.store.files import user_path


def required(module: str, extra: str, dataset: str) -> Any:
    """Import a module of an optional package, or raise InputError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"dataset={dataset} needs a package that is missing ({reason}): pip install 'nnmf-runner[{extra}]'"
        ) from None


def class_indices(names: Sequence[Any]) -> Labels:
    """Indices of names in their sorted order, shape (n,)."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)


def existing(path: str | None, expected: str) -> Path:
    """The path that an option names; InputError if there is none, or nothing is there."""
    if not path:
        raise InputError(f"dataset.path is missing. Expected {expected}.")
    found = user_path(path, "dataset.path")
    try:
        exists = found.exists()
    except (OSError, ValueError) as error:  # too long a name, a null character
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise InputError(f"dataset.path={path!r} is not valid: {reason}.") from None
    if not exists:
        raise InputError(f"dataset.path={path} does not exist. Expected {expected}.")
    return found


def existing_file(path: str | None, expected: str) -> Path:
    """The file that an option names, see `existing`."""
    found = existing(path, expected)
    if not found.is_file():
        raise InputError(f"dataset.path={path} is not a file. Expected {expected}.")
    return found


def files_below(root: Path) -> list[Path]:
    """Files at any depth in the order of their names, without hidden ones."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return sorted(found)


def read_bytes(path: Path, option: str) -> bytes:
    """The content of a file; InputError with the option that named it if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, option, error) from None


def decoded(content: bytes, path: Path, option: str, encoding: str) -> str:
    """The text of a file, without a byte order mark; InputError if it is not of this encoding."""
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except ValueError as error:
        raise InputError(f"{option}: {path} is not {encoding} text ({error}).") from None


def content_digest(paths: Iterable[Path], root: Path, option: str) -> str:
    """A short hash of names and contents of files: it matters what they hold, not where they are.

    A process reads a file for it once, and again only if its size or time of change is another.  One that cannot be
    read is an InputError with the option that named it.
    """
    found = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
            content = _file_digest(os.path.abspath(path), status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise unreadable(path, option, error) from None
        found.update(f"{path.relative_to(root)} {content}\n".encode(errors="surrogateescape"))
    return found.hexdigest()[:16]


@functools.lru_cache(maxsize=2**16)
def _file_digest(path: str, size: int, changed: int) -> str:
    """Hash of a file as it stands with this size and time of change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreadable(path: Path, option: str, error: OSError) -> InputError:
    """What is said of a file that the system does not let us read."""
    return InputError(f"{option}: {path} cannot be read: {error.strerror or error}.")
