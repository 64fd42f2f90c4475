"""Executors: processes and a Dask cluster do what one call after the other does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore_bench import (
    N_DICTIONARIES,
    N_NETWORKS,
    N_POINTS,
    calls_in,
    logged,
    name_of,
    results,
    toy_sweep,
)

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError, ToolError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.snn.neuron import ReadoutMode
from convexon.sweeps.executor import ClusterExecutor, ProcessExecutor, executor_for
from convexon.sweeps.stage import ExploreResult, explore_stage
from convexon.train.columns.dictionary import DICTIONARY, build_dictionary
from convexon.train.columns.parallel import THREADS, Executor, on_cores, usable_cores
from convexon.train.witnesses.witness import draw_branch
from strategies import WEIGHED
from tiers import leading
from toy import N_INPUTS, toy_samples, toy_settings, toy_spikes

Explored = tuple[Path, ExploreResult]


@pytest.fixture(params=["threads", "processes", "cluster"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        yield THREADS
    elif request.param == "processes":
        yield ProcessExecutor(2)
    else:
        with ClusterExecutor(request.getfixturevalue("cluster")) as found:
            yield found


def power(base: int, exponent: int) -> int:
    time.sleep(0.01 * (exponent % 3))  # results come out of order
    return base**exponent


def refusing(value: int) -> int:
    if value == 3:
        raise InputError(f"value must not be {value}")
    return value


def test_each_call_gives_its_result(executor: Executor) -> None:
    tasks = [(3, k) for k in range(20)]
    found = list(executor.each(power, tasks))
    assert sorted(found) == [(k, 3**k) for k in range(20)]
    assert list(executor.each(power, [])) == []


def test_an_error_of_a_call_is_the_one_that_is_raised(executor: Executor) -> None:
    with pytest.raises(InputError, match=r"^value must not be 3$"):
        list(executor.each(refusing, [(k,) for k in range(6)]))
    assert sorted(executor.each(refusing, [(k,) for k in (4, 5)])) == [(0, 4), (1, 5)]


def test_a_sweep_has_the_same_bytes_whatever_runs_it(
    executor: Executor, explored: Explored, data: Path, tmp_path: Path
) -> None:
    result = explore_stage(tmp_path, toy_sweep(data), executor=executor)
    assert (result.computed, result.repeated) == (N_POINTS, 0)
    assert results(tmp_path) == results(explored[0])


@pytest.mark.parametrize("mode", WEIGHED, ids=str)
def test_a_dictionary_is_the_same_whatever_builds_it(executor: Executor, mode: ReadoutMode) -> None:
    encoded = toy_spikes(n_steps=5)
    labels = encoded.labels
    if mode is ReadoutMode.STEP:
        labels = np.repeat(labels[:, None], encoded.n_steps, axis=1)
    # Enough samples for several chunks, the last of them no multiple of 8.
    many = np.tile(np.arange(len(labels)), 20)[:2051]
    train = SpikeDataset(
        inputs=encoded.inputs[many], labels=labels[many], n_classes=3, input_bits=1, name="many"
    )
    families = toy_settings().families(N_INPUTS)
    branches = [
        draw_branch([f], train, widths=[30], generator=np.random.default_rng(k))
        for k, f in enumerate(families)
    ]
    seen: list[tuple[int, int]] = []
    made = build_dictionary(
        branches, train, mode, executor=executor, progress=lambda *done: seen.append(done)
    )
    alone = build_dictionary(branches, train, mode, executor=ProcessExecutor(1))
    for found, expected in zip(DICTIONARY.encode(made), DICTIONARY.encode(alone), strict=True):
        assert set(found) == set(expected)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert seen == [(k, 6) for k in range(1, 7)]


def test_stage_solve_has_the_same_bytes_whatever_builds_its_dictionary(
    executor: Executor, tmp_path: Path
) -> None:
    digests = [
        solve(Run(tmp_path / name), toy_samples(), toy_settings(), executor=used)
        .certificate.record.digest
        for name, used in (("a", THREADS), ("b", executor))
    ]  # fmt: skip
    assert digests[0] == digests[1]


# A worker that is lost


def dying(log: Path, doomed: str, after: bool, work: Callable[..., Any], *task: Any) -> Any:
    """Call; but the first time that it is ``doomed``'s turn, lose this process."""
    marker = log.with_suffix(".died")
    lost = name_of(work, task) == doomed and not marker.exists()
    if lost:
        marker.touch()
    if lost and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    result = logged(log, work, *task)
    if lost:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


@dataclass
class Losing:
    """A cluster that loses a worker in the call number ``k`` of ``kind``, before or after it."""

    inner: Executor
    log: Path
    kind: str
    after: bool
    k: int = 1
    doomed: str = ""

    def each(
        self, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        names = [name_of(work, task) for task in tasks]
        if work.__name__ == self.kind:
            self.doomed = names[min(self.k, len(names) - 1)]
        called = [(self.log, self.doomed, self.after, work, *task) for task in tasks]
        return self.inner.each(dying, called)


@pytest.mark.parametrize("after", leading([False, True]), ids=["before", "after"])
@pytest.mark.parametrize("kind", leading(["solve", "draw", "measure"]))
def test_a_sweep_survives_the_loss_of_a_worker(
    cluster: str, explored: Explored, data: Path, tmp_path: Path, kind: str, after: bool
) -> None:
    root, log = tmp_path / "root", tmp_path / "calls"
    with ClusterExecutor(cluster) as inner:
        losing = Losing(inner, log, kind, after)
        result = explore_stage(root, toy_sweep(data), executor=losing)
    assert log.with_suffix(".died").exists()
    # Nothing is lost: the same files, to the byte; and nothing half written lies about.
    assert results(root) == results(explored[0])
    assert not list(root.rglob(".*"))
    # Nothing twice: a call whose result was lost is made again, and finds what it had written.
    calls = calls_in(log)
    wrote = [call for call in calls if call.endswith(" wrote")]
    assert len(set(wrote)) == len(wrote) == N_DICTIONARIES + N_NETWORKS + N_POINTS
    assert f"{losing.doomed} wrote" in wrote
    assert (losing.doomed in calls) == after
    assert (result.computed, result.repeated) == (N_POINTS, 0)


def fatal(value: int) -> int:
    if value == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def test_a_process_that_is_killed_ends_in_one_line() -> None:
    with pytest.raises(ToolError, match=r"^a process was killed, .*: take fewer --jobs; the same"):
        list(ProcessExecutor(2).each(fatal, [(k,) for k in range(4)]))
    assert sorted(ProcessExecutor(2).each(refusing, [(k,) for k in (4, 5)])) == [(0, 4), (1, 5)]


def test_a_call_that_ends_every_worker_ends_in_one_line() -> None:
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    # One worker that is lost is enough: nothing here waits for others to begin.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as local,
        ClusterExecutor(local.scheduler_address) as executor,
        pytest.raises(ToolError, match=r"^one call ended several workers, as happens"),
    ):
        list(executor.each(fatal, [(k,) for k in range(2)]))


def test_a_cluster_that_is_lost_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("convexon.sweeps.executor.CONNECT_SECONDS", 0.5)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as local,
        ClusterExecutor(local.scheduler_address) as executor,
    ):
        running = executor.each(power, [(3, 3), *[(3, 300 + k) for k in range(200)]])
        next(running)
        local.close()
        with pytest.raises(ToolError, match=r"^the cluster was lost: start it again; the same com"):
            list(running)


# Which executor, and how many cores


def slow(value: int) -> int:
    """Take far longer than the test waits."""
    time.sleep(60)
    return value


def test_a_cluster_without_workers_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    for name, seconds in (("WORKERLESS_SECONDS", 0.5), ("LOOK_SECONDS", 0.1)):
        monkeypatch.setattr(f"convexon.sweeps.executor.{name}", seconds)
    began = time.monotonic()
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as local,
        ClusterExecutor(local.scheduler_address) as executor,
    ):
        running = executor.each(slow, [(1,), (2,)])
        local.scale(0)
        with pytest.raises(ToolError, match=r"^the cluster has had no workers for 0\.5 seconds"):
            next(running)
    assert time.monotonic() - began < 30  # and not until the calls have ended


def cores() -> tuple[int, int, list[int]]:
    from threadpoolctl import threadpool_info

    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return os.getpid(), usable_cores(), blas


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_process_has_one_core(jobs: int) -> None:
    found = [result for _, result in ProcessExecutor(jobs).each(cores, [()] * 4)]
    for pid, usable, blas in found:
        assert (pid == os.getpid()) == (jobs == 1)
        assert usable == 1
        assert set(blas) == {1}


def test_cores_are_given_back() -> None:
    before = usable_cores()
    with on_cores(1):
        assert usable_cores() == 1
    with on_cores(10_000):
        assert usable_cores() == before
    assert usable_cores() == before


def test_a_cluster_or_processes(cluster: str) -> None:
    with executor_for(jobs=2) as executor:
        assert isinstance(executor, ProcessExecutor)
    with executor_for(cluster=cluster) as executor:
        assert isinstance(executor, ClusterExecutor)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"^jobs must be at least 1, not 0$"), executor_for(jobs=0):
        pass
    with (
        pytest.raises(InputError, match=r"^jobs must be left out with a cluster"),
        executor_for(jobs=2, cluster="tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "nowhere"])
def test_a_cluster_that_does_not_answer_is_told_in_a_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("convexon.sweeps.executor.CONNECT_SECONDS", 0.5)
    with pytest.raises(ToolError, match=f"^no Dask scheduler answers at {address}: start one"):
        ClusterExecutor(address)


@pytest.mark.parametrize("listens", leading([True, False]))
def test_a_cluster_that_never_answers_ends_the_command_in_one_line(
    listens: bool, tmp_path: Path
) -> None:
    """What accepts a connection and says nothing, or nobody: no waiting, and nothing besides."""
    pytest.importorskip("distributed")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        if listens:
            silent.listen()
        script = (
            "import sys; import convexon.sweeps.executor as e; e.CONNECT_SECONDS = 1; "
            f"sys.argv = ['convexon', 'explore', {str(tmp_path)!r}, '--cluster', {address!r}]; "
            "from convexon.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
    line = f"convexon: no Dask scheduler answers at {address}: start one with dask scheduler\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_scheduler_without_workers_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("convexon.sweeps.executor.CONNECT_SECONDS", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as local,
        pytest.raises(ToolError, match=r" has no workers: start some with dask worker tcp://"),
    ):
        ClusterExecutor(local.scheduler_address)
