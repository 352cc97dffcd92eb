"""The trials of a configuration and what they have in common: where the fit begins that stands for all of them."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.consensus import Consensus
from nnmf_runner.core.init import Random
from nnmf_runner.core.monitor import History, Stop
from nnmf_runner.datasets import Dataset
from nnmf_runner.methods import Fit
from nnmf_runner.methods.fit import fit_from_arrays
from nnmf_runner.metrics.consensus import consensus_of, consensus_tree
from nnmf_runner.store.provenance import same_code
from nnmf_runner.store.record import factors_digest, read_factors, read_numbers, run_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trials:
    """The trials of a configuration, all of which have ended with numbers.

    Attributes
    ----------
    config : RunConfig
    stops : dict of Path to str
        Why every fit ended, by the folder of its run.
    members : dict of str to str
        A hash of the factors of every run by the name of its folder, by which a change is noticed.
    """

    config: RunConfig
    stops: dict[Path, str]
    members: dict[str, str]

    @classmethod
    def of(cls, config: RunConfig) -> Trials | None:
        """The trials of a configuration; None unless this version of the code has finished all of them."""
        stops = {}
        for seed in config.seeds:
            folder = run_folder(config.folder, config.identity(seed))
            record = read_numbers(folder)
            if record is None or not same_code(record):
                return None
            stops[folder] = record["stop"]
        return cls(config, stops, {folder.name: str(factors_digest(folder)) for folder in stops})

    def consensus(self) -> Consensus:
        """What the fits have in common; InputError if one of them cannot be read."""
        if len(set(self.members.values())) == 1:
            said = f"All {len(self.stops)} trials are one and the same fit, so that their consensus says nothing"
            fixed = (
                f"init={self.config.init.name} does not depend on the seed. Expected another start, such as init=random"
            )
            log.warning("%s.", said if self.config.init.name == Random.name else f"{said}: {fixed}")
        fits = [_read(folder, stop) for folder, stop in self.stops.items()]
        return consensus_of(self.config.method, fits, self.config.fixed)

    def described(self, found: Consensus, dataset: Dataset) -> dict[str, Any]:
        """What the record of the consensus holds of it."""
        return {
            "members": self.members,
            "stability": [layer.tolist() for layer in found.stability],
            "votes": [layer.tolist() for layer in found.votes],
            "tree_agreement": consensus_tree(found, dataset),
        }


def _read(folder: Path, stop: str) -> Fit:
    """The fit of a run without its codes, which topics do not need and of which there may be many."""
    try:
        return dataclasses.replace(fit_from_arrays(read_factors(folder), History(), Stop(stop)), S=[])
    except ValueError as error:
        raise InputError(f"The trial {folder} cannot be read: {error}. Expected force=true, to run it again.") from None
