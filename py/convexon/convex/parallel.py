"""Work in chunks on all cores: NumPy leaves the interpreter lock in its heavy loops."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from threadpoolctl import threadpool_limits

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Called with (chunks done, chunks in all)."""


def on_all_cores(
    work: Callable[..., T],
    chunks: Sequence[tuple[object, ...]],
    progress: Progress | None = None,
) -> list[T]:
    """Return ``work(*chunk)`` of every chunk, in order, whatever the order of their ends.

    An error or an interrupt cancels the chunks that have not begun. Linear algebra is kept to one
    thread each meanwhile: the chunks share the cores already.
    """
    with (
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(max_workers=_cores()) as pool,
    ):
        running = [pool.submit(work, *chunk) for chunk in chunks]
        try:
            for done, future in enumerate(as_completed(running), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(chunks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in running]


def _cores() -> int:
    """Return the cores that this process may use, which may be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
