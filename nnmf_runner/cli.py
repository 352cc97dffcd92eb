"""Command lines: `nnmf-run` and `nnmf-collect`.  Arguments to functions, no logic of their own."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnmf_runner.run import Outcome

# The matrices of most fits are small, where more threads make BLAS slower.  Has to be said before numpy is loaded.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run() -> int:
    """Run what the command line composes: one configuration, or a sweep of them."""
    return _guarded(_run)


def collect() -> int:
    """Make tables and figures from the records below a folder."""
    return _guarded(_collect)


def _guarded(command: Callable[[], int]) -> int:
    """Turn bad input into one line on standard error and an exit status."""
    from nnmf_runner.core.checks import InputError

    try:
        return command()
    except InputError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'file'} cannot be used: {error.strerror or error}."
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    return BAD_INPUT


def _run() -> int:
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    from nnmf_runner import config
    from nnmf_runner.core.checks import InputError
    from nnmf_runner.run import check_sweep, run_trials

    outcomes: list[list[Outcome]] = []  # of every configuration that was run
    refused: list[Exception] = []

    def job(composed: DictConfig) -> None:
        if refused:
            return
        try:
            outcomes.append(run_trials(config.resolve(composed)))
        except (InputError, OSError) as error:  # Hydra would print it in its own way
            refused.append(error)
        else:
            if any(outcome.interrupted for outcome in outcomes[-1]):
                raise KeyboardInterrupt

    sys.argv[1:] = config.expanded(sys.argv[1:])  # which Hydra reads
    logging.captureWarnings(True)
    config.register_schema()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    try:
        check_sweep(config.sweep_configs(sys.argv[1:]))
        hydra.main(version_base="1.3", config_path=config.conf_dir(), config_name="config")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(config.explain(error)) from None
    if refused:
        raise refused[0]
    return _report(outcomes)


def _report(outcomes: list[list[Outcome]]) -> int:
    """Print what came of the runs; the status says whether all ended with numbers."""
    from nnmf_runner.results.record import COUNTED, experiment_folder
    from nnmf_runner.results.summary import layer_table
    from nnmf_runner.results.topics import LEGEND, tree_text

    everything = [outcome for trials in outcomes for outcome in trials]
    failed = [outcome for outcome in everything if outcome.record["status"] not in COUNTED]
    if len(outcomes) == 1:
        print(layer_table([outcome.record for outcome in everything]))
        if len(everything) == 1 and (topics := everything[0].record.get("topics")):
            print(f"\n{tree_text(topics)}\n\n{LEGEND}\n")
        print(everything[0].folder if len(everything) == 1 else experiment_folder(everything[0].folder))
    elif outcomes:
        print(f"{len(everything) - len(failed)} done, {len(failed)} failed: {experiment_folder(everything[0].folder)}")
    for outcome in failed:
        print(
            f"{outcome.record['status']}: {outcome.folder} {outcome.record['message'] or ''}".rstrip(), file=sys.stderr
        )
    return FAILED if failed else OK


def _collect() -> int:
    parser = argparse.ArgumentParser(
        prog="nnmf-collect", description="Write tables and figures from the records below a folder."
    )
    parser.add_argument("folder", type=Path, help="folder with records, such as outputs/table1")
    parser.add_argument("--no-figures", action="store_true", help="write tables only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    from nnmf_runner.results.collect import collect as collect_folder

    print(collect_folder(arguments.folder, figures=not arguments.no_figures))
    return OK
