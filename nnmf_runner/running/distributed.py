"""A fit whose data are shared out to the workers of a Dask cluster, in plain tasks.

A worker keeps the shards that it has opened and the warm starts of its network, but only as a cache: a task names its
shards by their folder and brings the factors with it, so that any worker can do it, in place of one that is gone.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnmf_runner.config.engines import DaskWorkers
from nnmf_runner.config.schema import RunConfig
from nnmf_runner.core.checks import InputError
from nnmf_runner.core.journal import Journal
from nnmf_runner.core.linalg import Distributed, parts
from nnmf_runner.core.sharded import ShardedMatrix, Source, Sum, aligned, combined, computed_by, evaluation
from nnmf_runner.core.threads import threaded
from nnmf_runner.datasets.files.shards import Folder, write_shards
from nnmf_runner.running.interrupt import undisturbed
from nnmf_runner.store.provenance import THREAD_VARIABLES, code
from nnmf_runner.task import Material

log = logging.getLogger(__name__)

# Shards that data are cut into which are none yet, whatever the workers: the sums of a fit depend on it.
SHARDS = 8
# Seconds until workers are looked for that have gone or come, until a result that is there has to have come, and until
# a scheduler has to have answered.
LOOK, FETCH, ANSWER = 1.0, 10.0, 10.0
# How often a task is given to another worker after one has died of it.
ATTEMPTS = 5
# Seconds from which on an evaluation is worth being shared out, and evaluations that tell.
WORTHWHILE, TELLING = 0.5, 5
# Settings of Dask.  A worker that was killed may have been any; its memory is mostly that of mapped files.
SETTINGS = {
    "distributed.scheduler.allowed-failures": 100,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    # Dask would add a threshold at which memory goes back to the system, and at every array comes from there again.
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREAD_VARIABLES, "1"),
    "distributed.admin.large-graph-warning-threshold": "100GB",
}


@contextmanager
def shared_out(config: RunConfig, material: Material, folder: Path) -> Iterator[Material]:
    """The material of a run whose data are where the engine of the run wants them, in the block.

    Raises
    ------
    InputError
        If the data have missing entries, or no workers can be had.
    """
    if not config.engine.shares_data:
        yield material
        return
    if material.task.mask is not None:
        raise InputError(
            f"dataset={material.dataset.name} has missing entries, which engine=dask has not. "
            "Expected data without, or engine=local."
        )
    work = checkpoint(folder)
    scratch = work / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir(parents=True)
    try:
        X = material.task.X
        if not isinstance(X, Distributed):
            cut = (X[:, part] for part in parts(X.shape[1], -(-X.shape[1] // SHARDS)))
            X = ShardedMatrix(Folder.of(write_shards(scratch / "shards", X.shape, cut)))
            material = replace(material, task=replace(material.task, X=X))
        with cluster(config.engine, scratch, config.threads) as workers, computed_by(workers):
            if (count := len(X.source.ends) - 1) < len(workers.live):
                log.warning(
                    "dataset=%s is in %d shards, so %d of %d workers have nothing to do: cut it into more shards.",
                    material.dataset.name, count, len(workers.live) - count, len(workers.live),
                )  # fmt: skip
            if (evaluations := work / "evaluations").exists():
                log.info("%s: goes on from the checkpoint of a fit that was interrupted.", folder)
            workers.journal = Journal(evaluations, f"{code(config.method.name)} {X.source.key}")
            yield material
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):  # which has evaluations
            work.rmdir()


def checkpoint(folder: Path) -> Path:
    """The folder from which the fit of a run goes on that was killed, beside that of the run."""
    return folder.with_name(f".checkpoint-{folder.name}")


@contextmanager
def cluster(engine: DaskWorkers, folder: Path, threads: int) -> Iterator[Workers]:
    """Workers of an engine, which are started and stopped unless they are there already."""
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        if engine.address is None:
            with undisturbed():  # Ctrl-C is for this process, which decides what to do
                started = LocalCluster(
                    n_workers=engine.processes(threads),
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    host="127.0.0.1",
                    dashboard_address=None,
                    local_directory=str(folder / "dask"),
                    silence_logs=logging.CRITICAL,
                )
            stack.enter_context(started)
        try:
            with undisturbed():
                client = Client(engine.address or started, timeout=ANSWER, direct_to_workers=True)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=ANSWER)
        except (OSError, ValueError) as error:
            raise InputError(
                f"engine.address={engine.address} has no workers: {str(error).splitlines()[0]}. Expected the address "
                "of a Dask scheduler with workers, or engine.workers=N to start some here."
            ) from None
        yield Workers(client, folder, threads)


class Workers:
    """The workers of a cluster as a `nnmf_runner.core.sharded.Mapper`.

    Each is given the same shards as before, as long as it lives.
    """

    journal: Journal | None = None

    def __init__(self, client: Any, folder: Path, threads: int) -> None:
        self.client, self.folder, self.threads = client, folder.absolute(), threads
        self.seconds: list[list[float]] = []  # of computation, by evaluation and task
        self.waited: list[float] = []  # for every evaluation, in seconds
        self.look()
        self.depth = math.ceil(math.log2(len(self.live)))

    def sum(self, source: Source, asked: Sum) -> Any:
        """See `nnmf_runner.core.sharded.Mapper.sum`."""
        if time.monotonic() > self._looked + 10.0 * LOOK:
            self.look()
        shards = range(len(source.ends) - 1)
        spans = combined(shards, lambda span: [span], lambda some, others: some + others, self.depth)
        begun = time.perf_counter()
        found = _Errand(self, source, asked, spans).done()
        if asked.of is evaluation:
            self.seconds.append([seconds for seconds, _ in found.values()])
            self._note(time.perf_counter() - begun)
        return combined(shards, lambda span: found[span][1], asked.add, self.depth)

    def look(self) -> None:
        """See which workers there are now."""
        self.live = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        self._looked = time.monotonic()

    def of(self, place: int, places: int) -> str | None:
        """The worker that has a place in the row of spans; None while there is none, and any that comes may have it."""
        return self.live[place * len(self.live) // places] if self.live else None

    def _note(self, seconds: float) -> None:
        """Say so if evaluations take too little to be shared out."""
        self.waited.append(seconds)
        if len(self.waited) == TELLING and (least := min(self.waited)) < WORTHWHILE:
            log.warning(
                "An evaluation of the cost takes %.2g seconds, below half a second: one process is faster "
                "(engine=local).",
                least,
            )


class _Errand:
    """One sum that the workers are asked for, in tasks that are sent again where a worker is gone."""

    def __init__(self, workers: Workers, source: Source, asked: Sum, spans: list[range]) -> None:
        self.workers, self.source, self.asked, self.spans = workers, source, asked, spans
        self.pending: dict[range, Any] = {}
        self.owner: dict[range, str | None] = {}
        self.attempts = dict.fromkeys(spans, 0)

    def done(self) -> dict[range, tuple[float, Any]]:
        """Seconds of computation and result for every span."""
        from distributed import wait

        found = {}
        try:
            for span in self.spans:
                self._send(span)
            while self.pending:
                try:
                    wait([*self.pending.values()], timeout=LOOK, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    self._send_again()
                for span, future in [*self.pending.items()]:
                    if future.done() and (result := self._taken(span, future)) is not None:
                        found[span] = result
        finally:
            for future in self.pending.values():
                future.cancel()
        return found

    def _send(self, span: range) -> None:
        owner = self.owner[span] = self.workers.of(self.spans.index(span), len(self.spans))
        where = {} if owner is None else {"workers": [owner], "allow_other_workers": False}
        arguments = (self.source, span, self.asked, self.workers.threads)
        self.pending[span] = self.workers.client.submit(_sum, *arguments, pure=False, **where)

    def _send_again(self) -> None:
        """Send those tasks to other workers whose own is gone: they would wait for it for ever."""
        self.workers.look()
        for span, future in [*self.pending.items()]:
            if self.owner[span] is not None and self.owner[span] not in self.workers.live:
                future.cancel()
                self._send(span)

    def _taken(self, span: range, future: Any) -> Any:
        """The result of a task, or None if it was lost with its worker and is sent again."""
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            result = future.result(timeout=FETCH)
        except (KilledWorker, FutureCancelledError, OSError) as error:
            self.attempts[span] += 1
            if self.attempts[span] > ATTEMPTS:
                raise RuntimeError(f"Workers die of shards {span.start} to {span.stop - 1}: {error}") from None
            self.workers.look()
            self._send(span)
            return None
        del self.pending[span]
        return result


def _sum(source: Source, span: range, asked: Sum, threads: int) -> tuple[float, Any]:
    """Done by a worker: the sum over a span of shards, and the seconds that it took."""
    started = time.perf_counter()
    with threaded(threads):
        result = replace(asked, arguments=aligned(asked.arguments)).over(source, span)
    return time.perf_counter() - started, result
