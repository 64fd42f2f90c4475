"""Executors beyond threads: the processes of this machine, and a Dask cluster.

Both carry out calls of `convexon.train.columns.parallel.Executor`, and do not change what a call
returns.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from convexon.errors import InputError, MissingToolError, ToolError
from convexon.tools.process import end_with
from convexon.train.columns.parallel import Executor, Task, on_cores, usable_cores

T = TypeVar("T")

CONNECT_SECONDS = 10
"""How long a cluster may take to answer."""

LOST = "the cluster was lost: start it again; the same command goes on where it was"

WORKERLESS_SECONDS = 120
"""How long a cluster may be without any worker."""

LOOK_SECONDS = 1
"""How long no call may end before workers are looked for, and between two looks."""


class ProcessExecutor:
    """Processes of this machine, each on one core; an `Executor`.

    Parameters
    ----------
    jobs : processes; one for each core that this one may use where None

    Raises
    ------
    InputError
        If ``jobs`` is not positive.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"jobs must be at least 1, not {jobs!r}")
        self._jobs = usable_cores() if jobs is None else jobs

    def each(self, work: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T]]:
        """Run the calls; one process alone is this one.

        Raises
        ------
        ToolError
            If a process is killed: what it did is lost.
        """
        if self._jobs == 1 or len(tasks) <= 1:
            yield from (_on_one_core(k, work, task) for k, task in enumerate(tasks))
            return
        with parallel_config(backend="loky", inner_max_num_threads=1):
            pool = Parallel(
                n_jobs=min(self._jobs, len(tasks)),
                batch_size=1,
                return_as="generator_unordered",
                initializer=end_with,
                initargs=(os.getpid(),),
            )
            running = pool(delayed(_on_one_core)(k, work, task) for k, task in enumerate(tasks))
        try:
            yield from running
        except BrokenProcessPool as error:
            raise ToolError(
                "a process was killed, as happens where memory runs out: take fewer --jobs; "
                "the same command goes on where it was"
            ) from error
        finally:
            running.close()


class ClusterExecutor:
    """A Dask cluster; an `Executor`, to be closed after use.

    Calls of a worker that is lost are made by another. Workers need this version of Convexon, and
    the same folders under the same names.

    Parameters
    ----------
    address : of the scheduler, such as ``tcp://host:8786``

    Raises
    ------
    MissingToolError
        If Dask is not installed.
    ToolError
        If no scheduler answers, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError:
            raise MissingToolError(
                "Dask is missing, which a cluster needs: pip install 'convexon[cluster]'"
            ) from None
        self._dask: Any = distributed
        # What the client would log beside, with tracebacks, is raised in one line.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL + 1)
        # Asked first, as a client that is not answered goes on asking, and complains of it later.
        try:
            has_workers = asyncio.run(_answers(distributed, address))
            self._client = distributed.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise ToolError(
                f"no Dask scheduler answers at {address}: start one with dask scheduler"
            ) from error
        if not has_workers:
            self._client.close()
            raise ToolError(
                f"the cluster at {address} has no workers: start some with dask worker {address}"
            )

    def each(self, work: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T]]:
        """Run the calls on the workers, each call on one core.

        Raises
        ------
        ToolError
            If a call ends several workers, one after the other, or the cluster is lost, or it has
            no workers for long.
        """
        run = uuid.uuid4().hex
        futures = [
            self._client.submit(_on_one_core, k, work, task, key=f"convexon-{run}-{k}", pure=False)
            for k, task in enumerate(tasks)
        ]
        try:
            for future in self._completed(futures):
                if future.cancelled():
                    raise ToolError(LOST)
                yield future.result()
        except OSError as error:
            raise ToolError(LOST) from error
        except self._dask.KilledWorker as error:
            raise ToolError(
                "one call ended several workers, as happens where their memory runs out: give "
                "them more; the same command goes on where it was"
            ) from error
        finally:
            if self._client.status == "running":
                self._client.cancel(futures)

    def _completed(self, futures: Sequence[Any]) -> Iterator[Any]:
        """Futures as they end; raises `ToolError` where no worker is left that could end them."""
        completed = self._dask.as_completed(futures, loop=self._client.loop)
        looked = seen = time.monotonic()
        while not completed.is_empty():
            if completed.has_ready():
                yield next(completed)
                looked = seen = time.monotonic()
                continue
            time.sleep(0.02)
            now = time.monotonic()
            if now - looked < LOOK_SECONDS:
                continue
            looked = now
            if self._client.status != "running" or self._client.ncores():
                seen = now  # of a client that is not running, the futures are cancelled
            elif now - seen > WORKERLESS_SECONDS:
                raise ToolError(
                    f"the cluster has had no workers for {WORKERLESS_SECONDS:g} seconds: start "
                    "some; the same command goes on where it was"
                )

    def __enter__(self) -> ClusterExecutor:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()


async def _answers(distributed: Any, address: str) -> bool:
    """Whether a scheduler has workers, after waiting for the first one.

    Raises
    ------
    OSError, ValueError, TimeoutError
        If no scheduler answers in `CONNECT_SECONDS`.
    """

    async def workers() -> bool:
        async with distributed.rpc(address, timeout=CONNECT_SECONDS) as scheduler:
            identity = await scheduler.identity()
            if identity["type"] != "Scheduler":
                raise ValueError(f"{address} is a {identity['type']}")
            return bool(await scheduler.ncores())

    end = time.monotonic() + CONNECT_SECONDS
    while not (found := await asyncio.wait_for(workers(), CONNECT_SECONDS)):
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.1)
    return found


@contextmanager
def executor_for(*, jobs: int | None = None, cluster: str | None = None) -> Iterator[Executor]:
    """Give the cluster at an address, or the processes of this machine where there is none.

    Raises
    ------
    InputError
        If both are asked for, or ``jobs`` is not positive.
    ToolError
        As `ClusterExecutor`.
    """
    if cluster is None:
        yield ProcessExecutor(jobs)
        return
    if jobs is not None:
        raise InputError("jobs must be left out with a cluster, whose workers have their own")
    with ClusterExecutor(cluster) as executor:
        yield executor


def _on_one_core(k: int, work: Callable[..., T], task: Task) -> tuple[int, T]:
    """Return ``k`` and what the call returns; the calls beside it have the other cores."""
    with on_cores(1):
        return k, work(*task)
