"""Run the fits that a choice of ranks needs, and read what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.config.ranks import RankSweep
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.ranks import spectrum_peaks
from nnmf_runner.datasets.resample import Halves, Whole, check_highest
from nnmf_runner.datasets.visible import Entries
from nnmf_runner.metrics.rank_profile import Pair, RankProfile, make_profile, ranks_text, spectrum_ratios
from nnmf_runner.running.launch import run_sweep
from nnmf_runner.running.listeners import Jobs, Listener
from nnmf_runner.store.record import read_factors, read_run, run_folder
from nnmf_runner.store.status import Status
from nnmf_runner.task import check_sweep, notes_after_checks, prepare


@dataclass(frozen=True)
class Ranking:
    """What came of the fits: how far they are, and the profile once all are done."""

    status: Status
    folder: Path
    title: str
    profile: RankProfile | None


def run_ranking(asked: RankSweep, listeners: Sequence[Listener] = ()) -> Ranking:
    """Run what is not done yet of the fits of a `RankSweep`, and compare them if all are done; listeners are told.

    Raises
    ------
    InputError, OSError
        As `run_sweep` does.
    """
    config = asked.cells[0].config
    whole = dataclasses.replace(config, resample=Whole())
    with ExitStack() as until_checked:
        until_checked.enter_context(notes_after_checks())
        entries = _checked(config, whole, asked.ranks)

        def check(configs: Iterable[RunConfig]) -> str:
            """Check the parts of the data; say what the spectrum proposes."""
            check_sweep(configs)
            proposed = spectrum_peaks(spectrum_ratios(entries.X, entries.mask, asked.ranks), asked.ranks)
            said = f"ranks {ranks_text(proposed)}" if len(proposed) else "no rank"
            until_checked.close()
            return f"The spectrum proposes {said}; the fits follow."

        status = run_sweep(asked.sweep, check, Jobs(listeners))
    configs = [cell.config for cell in asked.cells]
    profile = _profile(prepare(whole, whole.seed).entries, configs) if status.complete else None
    return Ranking(status, config.folder, getattr(config.dataset, "title", config.dataset.name), profile)


def _checked(config: RunConfig, whole: RunConfig, ranks: Sequence[int]) -> Entries:
    """The data, if they have so high ranks: what is refused is so before thousands of configurations are."""
    material = prepare(whole, whole.seed)
    config.resample.check(material.dataset, material.entries)
    check_highest(ranks, material.entries.X.shape)
    return material.entries


def _profile(entries: Entries, configs: Sequence[RunConfig]) -> RankProfile:
    """Compare fits that are all done."""
    halves: dict[int, dict[int, list[Path]]] = {}
    errors: dict[int, list[float | None]] = {}
    for config in configs:
        [rank], part = config.layers, config.resample
        folder = run_folder(config.folder, config.identity(config.seed))
        if isinstance(part, Halves):
            halves.setdefault(rank, {}).setdefault(part.pair, []).append(folder)
        else:
            errors.setdefault(rank, []).append(_read(folder, read_run)["layers"][-1]["left_out_error"])
    pairs = ((rank, [_pair(folders) for folders in halves[rank].values()]) for rank in sorted(halves))
    return make_profile(entries.X, entries.mask, pairs, errors)


def _pair(folders: Sequence[Path]) -> Pair:
    first, second = (_read(folder, read_factors)["A0"] for folder in folders)
    return Pair(first, second)


def _read(folder: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What a run wrote; an `InputError` if it has been damaged since."""
    try:
        return read(folder)
    except ValueError as error:
        raise InputError(f"{folder} {error}. Remove the folder to have it made again.") from None
