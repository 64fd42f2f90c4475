"""Work in chunks side by side: on the threads of this process, unless another executor is given.

NumPy leaves the interpreter lock in its heavy loops, so threads are enough for one stage.
`convexon.sweeps.executor` has processes and a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with (chunks done, chunks in all)."""

Task = tuple[Any, ...]
"""Arguments of one call."""


class Executor(Protocol):
    """Something that runs calls side by side."""

    def each(self, work: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T]]:
        """Yield the index and the result of ``work(*task)`` for every task, as they end.

        A call may be run again where a machine was lost, so it must be harmless to repeat. An
        error or an interrupt cancels the calls that have not begun.
        """


class ThreadExecutor:
    """The threads of this process; an `Executor`.

    Linear algebra is kept to one thread each meanwhile: the calls share the cores already.
    """

    def each(self, work: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T]]:
        """Run the calls, as many at once as there are cores (`on_cores`)."""
        with (
            threadpool_limits(limits=1, user_api="blas"),
            ThreadPoolExecutor(max_workers=usable_cores()) as pool,
        ):
            running = {pool.submit(work, *task): k for k, task in enumerate(tasks)}
            try:
                for future in as_completed(running):
                    yield running[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


THREADS = ThreadExecutor()
"""What runs the chunks of a stage unless another executor is asked for."""


def on_all_cores(work: Callable[..., T], chunks: Sequence[Task]) -> list[T]:
    """Return ``work(*chunk)`` of every chunk on threads, in the order of the chunks."""
    results = dict(THREADS.each(work, chunks))
    return [results[k] for k in range(len(chunks))]


_CORES: ContextVar[int | None] = ContextVar("cores", default=None)


@contextmanager
def on_cores(cores: int) -> Iterator[None]:
    """Keep what runs inside to a number of cores: its chunks, and the threads of linear algebra.

    Stages that run side by side share the machine by it.
    """
    token = _CORES.set(cores)
    try:
        with threadpool_limits(limits=cores, user_api="blas"):
            yield
    finally:
        _CORES.reset(token)


def usable_cores() -> int:
    """Return the cores that this call may use, which may be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    own = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(own, _CORES.get() or own)
