"""What a tracker is told of a run, and what it has to do."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from nnmf_runner.core.checks import InputError

# What a tracker keeps the record of a run as: below its own name it would be another run to whoever collects them.
RECORD_COPY = "run.json"


@dataclass(frozen=True)
class Tracked:
    """A run that has ended, as its record has it.

    Attributes
    ----------
    folder : Path
        The folder of the run.
    record : dict
    title : str
        What readers call the run.
    options : dict of str to str
        What determines its result, by the full names of the options.
    metrics : dict of str to float
        By their names, those of a layer as ``layer0/relative_error``.
    history : dict of str to sequence of float
        One value per iteration, of ``fit/cost`` and others.
    draw : callable
        Draws figures into a folder, which is there, and returns their paths: PNG.
    """

    folder: Path
    record: dict[str, Any]
    title: str
    options: dict[str, str]
    metrics: dict[str, float]
    history: dict[str, Iterable[float]]
    draw: Callable[[Path], list[Path]]

    @property
    def key(self) -> str:
        """Tells this run, as it ended now, from all others: one that is run again is told of again."""
        # How long a run took, which the record says, has more digits than are equal twice.
        text = json.dumps(self.record, sort_keys=True)
        return f"{self.folder.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Kept(Protocol):
    """What a tracker has of an experiment.  Any `Exception` may be raised: the runs do not depend on it."""

    def has(self, run: Tracked) -> bool:
        """Whether it has been told of a run, all of it."""

    def add(self, run: Tracked) -> None:
        """Take a run in; what an attempt left that was killed goes."""


def check_place(place: str | None, option: str) -> None:
    """Raise an `InputError` if the place of a tracker is an empty text, which would be the working directory."""
    if place is not None and not place.strip():
        raise InputError(f"{option}={place} is empty. Expected a folder, or null for one in output.")


@dataclass
class Tracker:
    """Nowhere else: the records tell everything."""

    name: ClassVar[str] = "none"
    package: ClassVar[str | None] = None  # the module that it needs, which the extra of the tracker's name installs

    def check(self) -> None:
        """Raise an `InputError` if the package that it needs is not installed."""
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            raise InputError(
                f"tracking={self.name} needs a package that is not installed: pip install 'nnmf-runner[{self.name}]'."
            )

    def open(self, experiment: Path) -> Kept | None:
        """What it has of the experiment whose runs are in a folder; None if it does not care."""
        return None
