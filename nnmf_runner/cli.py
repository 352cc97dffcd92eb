"""Command lines, such as `nnmf-run`, `nnmf-status` and `nnmf-collect`.  Arguments to functions, no logic."""

from __future__ import annotations

import io
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnmf_runner.config.composition import Sweep
    from nnmf_runner.config.schema import RunConfig
    from nnmf_runner.running.listeners import Listener
    from nnmf_runner.running.trials import Outcomes
    from nnmf_runner.store.status import Status

# Threads are those of a fit, beside which BLAS has one, whatever the environment says: its own would wait for each
# other at every product.  It has to be told before numpy is loaded.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

OK, FAILED, BAD_INPUT, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141
# What is said when several runs are interrupted.
OTHERS_REMAIN = "Runs that are over stay recorded; the same command goes on with the others."


def run() -> int:
    """Run what the command line composes: one configuration, or a sweep of them."""
    return _guarded(_run, "nnmf-run")


def collect() -> int:
    """Make tables, figures and a page from the records below a folder."""
    return _guarded(_collect, "nnmf-collect")


def rank() -> int:
    """Choose the ranks of the layers for data."""
    return _guarded(_rank, "nnmf-rank")


def shards() -> int:
    """Cut data into a folder of shards."""
    return _guarded(_shards, "nnmf-shards")


def status() -> int:
    """Print how far the sweeps into a folder are, or list its runs and remove those that can go."""
    return _guarded(_status, "nnmf-status")


def export() -> int:
    """Write topics, codes and tree of a run or a saved model as CSV."""
    return _guarded(_export, "nnmf-export")


def apply() -> int:
    """Apply a run or a saved model to new data."""
    return _guarded(_apply, "nnmf-apply")


def compare() -> int:
    """Print what tells runs apart: their configurations, metrics and topics."""
    return _guarded(_compare, "nnmf-compare")


def _guarded(command: Callable[[], int], program: str) -> int:
    """Turn bad input into one line on standard error and an exit status."""
    interrupts = signal.getsignal(signal.SIGINT)
    if interrupts is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        return _ended(command, program)
    signal.signal(signal.SIGINT, _end_at_once)
    try:
        return _ended(command, program)
    finally:
        signal.signal(signal.SIGINT, interrupts)


def _end_at_once(number: int, frame: object) -> None:
    """End while modules are loaded, where nothing has begun and an exception could come out as any other."""
    os.write(sys.stderr.fileno(), b"interrupted.\n")
    os._exit(INTERRUPTED)


def _begin() -> None:
    """Print the log, and have Ctrl-C raised from here on, as what the command does can undo what it has begun."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _ended(command: Callable[[], int], program: str) -> int:
    """The exit status of a command; see `_guarded`."""
    from nnmf_runner.core.checks import InputError

    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have letters that the terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command()
        sys.stdout.flush()
        return status
    except InputError as error:
        from nnmf_runner.config.messages import as_options

        message = as_options(str(error))
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except OSError as error:
        # What is written names its file; what is printed cannot.
        message = f"{error.filename or 'standard output'} cannot be used: {error.strerror or error}."
    except KeyboardInterrupt as interrupt:
        print(f"interrupted. {interrupt}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    from nnmf_runner.config.messages import one_line

    with suppress(OSError):  # as of a full disk, where the status has to do
        print(f"{program}: {one_line(message)}", file=sys.stderr, flush=True)
    return BAD_INPUT


def _run() -> int:
    from nnmf_runner.config.composition import Sweep, read, read_callbacks

    logging.captureWarnings(True)
    asked = read(sys.argv[1:])
    if isinstance(asked, str):
        print(asked)
        return OK
    if isinstance(asked, Sweep):
        return _run_sweep(asked)

    from nnmf_runner.report.tracking import Tracking
    from nnmf_runner.running.objective import described, objective
    from nnmf_runner.running.trials import run_and_wait
    from nnmf_runner.store.trackers import Tracker

    _begin()
    with _telling(lambda: _kept(asked)), read_callbacks(sys.argv[1:]) or nullcontext() as callbacks:
        tracking = None if type(asked.tracking) is Tracker else Tracking()
        outcomes = run_and_wait(asked, [each for each in (callbacks, tracking) if each is not None])
    status = _report(outcomes)
    if asked.objective is not None and status == OK:
        print(f"objective: {described(asked)} {objective(asked):.6g}")
    return status


def _run_sweep(asked: Sweep) -> int:
    from nnmf_runner.running.search import run_asked

    _begin()
    with _telling(lambda: OTHERS_REMAIN), _listening(asked) as listeners:
        found = run_asked(asked, listeners)
    status = _report_sweep(found.status)
    if (line := found.best_line(asked)) is not None:
        print(line)
    return status


@contextmanager
def _telling(kept: Callable[[], str]) -> Iterator[None]:
    """Let a Ctrl-C in the block say what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept()) from None


def _kept(asked: RunConfig) -> str:
    """What a Ctrl-C leaves of the trials of one configuration."""
    from nnmf_runner.store import record as records

    if len(asked.runs) > 1:
        return OTHERS_REMAIN
    folder, status = records.run_folder(asked.folder, asked.identity(asked.seed)), None
    with suppress(ValueError, OSError):
        status = records.read_record(folder / records.RECORD)["status"]
    if status in records.COUNTED:
        return f"The run is recorded in {folder}."
    then = "goes on from the last checkpoint" if asked.engine.shares_data else "begins anew"
    if status == records.INTERRUPTED:
        return f"The record, with the factors so far, is kept in {folder}; the same command {then}."
    return f"There is no record of the run; the same command {then}."


@contextmanager
def _listening(asked: Sweep) -> Iterator[list[Listener]]:
    """What is told of the jobs of a sweep while the block lasts."""
    from nnmf_runner.config.engine import JobCallbacks
    from nnmf_runner.report.tracking import Tracking

    with ExitStack() as until_the_end:
        callbacks = [until_the_end.enter_context(JobCallbacks(asked.fixed, multirun=True))] if asked.callbacks else []
        yield [*callbacks, *([Tracking()] if asked.tracking else [])]


def _rank() -> int:
    from nnmf_runner.config.ranks import read_rank_sweep

    logging.captureWarnings(True)
    asked = read_rank_sweep(sys.argv[1:])

    from nnmf_runner.running.ranks import run_ranking

    _begin()
    with _telling(lambda: OTHERS_REMAIN), _listening(asked.sweep) as listeners:
        ranking = run_ranking(asked, listeners)
    if ranking.profile is None:
        return _print_status(ranking.status)
    from nnmf_runner.report.ranks import rank_table, write_ranking

    print(rank_table(ranking.profile))
    for path in write_ranking(ranking.profile, ranking.title, ranking.folder):
        print(path)
    print(ranking.profile.verdict)
    return OK


def _shards() -> int:
    from nnmf_runner.config.shards import read_cut
    from nnmf_runner.datasets.files.sharding import shard

    logging.captureWarnings(True)
    asked = read_cut(sys.argv[1:])
    _begin()
    with asked.named():
        written = shard(asked.source, asked.folder, asked.seed, asked.sizes, asked.dtype)
    print(written, written.folder, sep="\n")
    return OK


def _report(outcomes: Outcomes) -> int:
    """Print what came of the trials of one configuration; the status says whether all ended with numbers."""
    from nnmf_runner.report.summary import layer_table
    from nnmf_runner.report.topics import consensus_text, legend_of, samples_legend, samples_text, tree_text
    from nnmf_runner.store.record import COUNTED, experiment_folder

    found = [outcome for outcome in outcomes.values() if outcome is not None]
    trials = [outcome for seed, outcome in outcomes.items() if outcome is not None and seed is not None]
    agreed = outcomes.get(None)
    shown = agreed or (trials[0] if len(outcomes) == len(trials) == 1 else None)
    if trials:
        print(layer_table([outcome.record for outcome in trials]))
    if agreed and (consensus := agreed.record.get("consensus")):
        print(f"\n{layer_table([agreed.record])}\n{consensus_text(consensus)}")
    if shown and (topics := shown.record.get("topics")):
        about = shown.record.get("consensus"), shown.record.get("strongest")
        print(f"\n{tree_text(topics, *about)}\n\n{legend_of(*about)}\n")
    elif shown and (samples := samples_text(shown.record.get("strongest"))):
        print(f"\n{samples}\n\n{samples_legend(shown.record['strongest'])}\n")
    if found:
        print(shown.folder if shown else experiment_folder(found[0].folder))
    failed = [(outcome.folder, outcome.record) for outcome in found if outcome.record["status"] not in COUNTED]
    faults = [f"{record['status']}: {folder} {record['message'] or ''}".rstrip() for folder, record in failed]
    absent = [seed for seed, outcome in outcomes.items() if outcome is None]
    faults += ["missing: consensus" if seed is None else f"missing: seed {seed}" for seed in absent]
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    return FAILED if faults else OK


def _report_sweep(status: Status) -> int:
    """Print what came of a sweep, and what to do with it."""
    from nnmf_runner.report.collect import error_table

    if table := error_table(status.counted):
        print(table)
    code = _print_status(status)
    if status.done:
        print(
            *(f"nnmf-collect {shlex.quote(str(folder))} writes all tables and figures." for folder in status.folders),
            sep="\n",
        )
    return code


def _print_status(status: Status) -> int:
    print(status.headline())
    for line in status.lines():
        print(line, file=sys.stderr)
    return OK if status.complete else FAILED


def _status() -> int:
    from nnmf_runner.config.arguments import Parser
    from nnmf_runner.store.files import user_path
    from nnmf_runner.store.status import folder_status

    parser = Parser(
        "nnmf-status",
        "Print which runs of a sweep are done, running, failed or missing; end with status 0 if all are done.",
    )
    add = parser.add_argument
    add("folder", help="folder of an experiment, such as outputs/table1")
    add("--runs", action="store_true", help="list all runs that are there, with their sizes and ages")
    add(
        "--prune",
        action="store_true",
        help="list the runs that can go: those that failed, that were interrupted or cannot be read (stale), and that "
        "a newer version of the code has repeated (superseded)",
    )
    add("--forget", action="store_true", help="list the sweeps with missing runs that no process is at")
    add("--yes", action="store_true", help="let --prune remove the runs, and --forget what the sweeps have not run")
    arguments = parser.parse_args()
    if arguments.yes and not (arguments.prune or arguments.forget):
        parser.error("--yes is only for --prune or --forget")
    folder = user_path(arguments.folder, "folder")
    if not (arguments.runs or arguments.prune or arguments.forget):
        return _print_status(folder_status(folder))

    from nnmf_runner.report.runs import forgotten_text, pruned_text, runs_text
    from nnmf_runner.store.prune import abandoned, drop, find_runs, forget

    _begin()
    if arguments.runs or arguments.prune:
        runs = find_runs(folder)
        chosen = [run for run in runs if run.kind] if arguments.prune else runs
        if chosen:
            print(runs_text(chosen))
    if arguments.prune:
        print(pruned_text(chosen, drop(folder, chosen) if arguments.yes else None))
    if arguments.forget:
        sweeps = abandoned(folder)
        if arguments.yes:
            forget(folder, sweeps)
        print(forgotten_text(sweeps, gone=arguments.yes))
    return OK


def _collect() -> int:
    from nnmf_runner.config.arguments import Parser

    parser = Parser(
        "nnmf-collect",
        "Write tables (CSV, Markdown, LaTeX), figures (PNG, PDF) and a page (HTML) of all runs below a folder into it.",
    )
    parser.add_argument("folder", help="folder that holds runs, such as outputs/table1")
    parser.add_argument("--no-figures", action="store_true", help="write no figures, and a page without them")
    arguments = parser.parse_args()

    from nnmf_runner.report.collect import collect as collect_folder
    from nnmf_runner.store.files import user_path

    _begin()
    print(collect_folder(user_path(arguments.folder, "folder"), figures=not arguments.no_figures))
    return OK


def _export() -> int:
    from nnmf_runner.config.arguments import Parser

    parser = Parser(
        "nnmf-export", "Write a run or a saved model as CSV: topics.csv, codes.csv and tree.csv, or those asked for."
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="folder of a run, such as nnmf-run prints, or of a saved model")
    add("--topics", action="store_true", help="the weights of every feature in every topic")
    add("--codes", action="store_true", help="the codes of every sample, with its classes")
    add("--tree", action="store_true", help="what share of every topic each topic below has")
    add("--output", metavar="FOLDER", help="a new folder; by default RUN-export in the working directory")
    arguments = parser.parse_args()

    from nnmf_runner.report.export import TABLES, export
    from nnmf_runner.store.files import user_path

    _begin()
    folder = user_path(arguments.run, "run")
    output = user_path(arguments.output or f"{folder.resolve().name}-export", "output")
    for path in export(folder, output, [name for name in TABLES if getattr(arguments, name)]):
        print(path)
    return OK


def _apply() -> int:
    from nnmf_runner.config.applying import read_application

    logging.captureWarnings(True)
    asked = read_application(sys.argv[1:])

    from nnmf_runner.estimators.applying import apply as apply_model

    _begin()
    written = apply_model(asked.run, asked.source, asked.seed, asked.output)
    print(written.summary, *written.paths, sep="\n")
    return OK


def _compare() -> int:
    from nnmf_runner.config.arguments import Parser

    parser = Parser(
        "nnmf-compare",
        "Print what tells runs apart: options, metrics of every layer, and topics that have moved or have no match.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run; others are compared with the first")
    arguments = parser.parse_args()

    from nnmf_runner.report.compare import compare as compare_runs
    from nnmf_runner.store.files import user_path

    _begin()
    print(compare_runs([user_path(run, "run") for run in arguments.runs]))
    return OK
