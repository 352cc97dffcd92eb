"""What carries out a fit: one process, or several that share the data."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from nnmf_runner.core.checks import InputError, check_number
from nnmf_runner.datasets.resample import Whole

# Protocol, host and port of a scheduler; some protocols have a path as well.
ADDRESS = re.compile(r"[a-z]+://([^\s:/\[\]]+|\[[0-9a-f:.]+\])(:\d{1,5})?(/\S*)?")


@dataclass
class OneProcess:
    """One process, whose `threads` share the work."""

    name: ClassVar[str] = "local"
    shares_data: ClassVar[bool] = False

    def check(self, config: Any) -> None:
        """Raise an `InputError` for a run that it cannot carry out."""

    def described(self, threads: int) -> dict[str, Any]:
        """What a record says of it."""
        return {"name": self.name}


@dataclass
class DaskWorkers:
    """Processes that Dask shares the data out to, in shards of their samples: for data larger than a machine.

    It pays where an evaluation of the cost takes more than half a second.  Needs ``pip install 'nnmf-runner[dask]'``.

    Parameters
    ----------
    workers : int, optional
        Number of processes that are started on this machine for the time of the fit, each with `threads` of its own;
        None for as many as there are cores for.
    address : str, optional
        Address of a Dask scheduler whose workers are used instead, such as ``tcp://host:8786``.  They have to see
        the files of the data and the folder `output`, and need this version of the program.
    """

    name: ClassVar[str] = "dask"
    shares_data: ClassVar[bool] = True
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_number(self.workers, "engine.workers", low=1, high=10_000, integer=True)
        if self.address is not None and not ADDRESS.fullmatch(self.address):
            raise InputError(
                f"engine.address={self.address} is not valid. Expected the address of a Dask scheduler, such as "
                "tcp://host:8786."
            )
        if self.workers is not None and self.address is not None:
            raise InputError(
                f"engine.workers={self.workers} starts workers of its own, but those of engine.address={self.address} "
                "are there already. Expected one of them."
            )

    def processes(self, threads: int) -> int:
        """Number of workers that are started on this machine."""
        return self.workers or max(1, (os.cpu_count() or 1) // threads)

    def identity(self) -> dict[str, Any]:
        """What determines a result beside its name: nothing, for the shards are the same with any workers."""
        return {}

    def described(self, threads: int) -> dict[str, Any]:
        """What a record says of it."""
        where = {"workers": self.processes(threads)} if self.address is None else {"address": self.address}
        return {"name": self.name, **where}

    def check(self, config: Any) -> None:
        """Raise an `InputError` for a run that it cannot carry out, or if Dask is not installed."""
        if importlib.util.find_spec("distributed") is None:
            raise InputError("engine=dask needs a package that is not installed: pip install 'nnmf-runner[dask]'.")
        refused = {
            f"method={config.method.name}": (not config.method.takes_shards, "method=neural"),
            f"init={config.init.name}": (not config.init.takes_shards, "init=nndsvd or init=random"),
            f"optimizer={config.optimizer.name}": (
                config.optimizer.takes_blocks,
                "an optimizer of all samples, such as optimizer=auto",
            ),
            f"holdout={config.holdout:g}": (config.holdout > 0, "holdout=0"),
            f"mask={config.mask}": (config.mask is not None, "mask=null"),
            f"resample={config.resample.name}": (not isinstance(config.resample, Whole), "resample=none"),
            f"dtype={config.dtype}": (config.dtype != "float64", "dtype=float64"),
            f"normalise={config.normalise}": (config.normalise, "normalise=False"),
            f"fixed={config.fixed}": (len(config.fixed) == len(config.layers), "at least one layer that is not fixed"),
            f"workers={config.workers}": (config.workers != 1, "workers=1: engine.workers share every fit"),
        }
        for given, (is_refused, instead) in refused.items():
            if is_refused:
                raise InputError(f"engine=dask has no {given}. Expected {instead}, or engine=local.")


ENGINES: dict[str, type] = {engine.name: engine for engine in (OneProcess, DaskWorkers)}
