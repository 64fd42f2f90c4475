"""Running programs: they end with us, whatever ends us, and nothing of them is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from convexon.errors import ToolError
from convexon.tools import process
from convexon.tools.process import (
    ended_together,
    in_python,
    run,
    side_by_side,
    with_deep_stack,
)
from processes import ends, pid_in

FAMILY = """#!/bin/sh
# A program with a child and a grandchild, none of which ends by itself.
trap '' TERM HUP INT
sh -c 'sh -c "echo \\$\\$ >grandchild.part; mv grandchild.part grandchild; exec sleep 60" &
       echo $$ >child.part; mv child.part child; exec sleep 60' &
echo $$ >program.part; mv program.part program
exec sleep 60
"""
MEMBERS = ("program", "child", "grandchild")


@pytest.fixture
def family(tmp_path: Path) -> Path:
    file = tmp_path / "family"
    file.write_text(FAMILY)
    file.chmod(0o755)
    return file


def test_output_and_exit_status_are_what_the_program_left() -> None:
    ended = run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout=10)
    assert (ended.name, ended.code, ended.output) == ("sh", 7, "out\nerr\n")
    assert run(["sh", "-c", "kill -9 $$"], timeout=10).code == -9


def test_a_program_that_is_not_there_is_told_in_a_line() -> None:
    with pytest.raises(ToolError, match=r"^nothing cannot be run: No such file or directory$"):
        run(["/no/such/nothing"], timeout=10)


def test_input_is_empty() -> None:
    assert run(["cat"], timeout=10).output == ""


def test_time_runs_out_for_the_whole_family(family: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^tool did not end within 3 seconds$"):
        run([str(family)], name="tool", folder=tmp_path, timeout=3)
    assert ends(*(pid_in(tmp_path / name) for name in MEMBERS))


def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    script = "sleep 60 >/dev/null 2>&1 & echo $! >child"
    assert run(["sh", "-c", script], folder=tmp_path, timeout=10).code == 0
    assert ends(pid_in(tmp_path / "child"))


def test_what_a_program_leaves_running_is_not_waited_for() -> None:
    began = time.monotonic()
    assert run(["sh", "-c", "sleep 8 & echo done"], timeout=6).output == "done\n"
    assert time.monotonic() - began < 4


def test_output_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_OUTPUT", 1 << 20)
    with pytest.raises(ToolError, match=r"^yes wrote more than 1 MiB of messages, and was stopped"):
        run(["yes"], timeout=30)


@pytest.mark.parametrize("how", ["run", "started", "side_by_side"])
@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGABRT]
)
def test_the_family_ends_with_its_parent(
    number: signal.Signals, how: str, family: Path, tmp_path: Path
) -> None:
    command = f"[{str(family)!r}], folder=Path({str(tmp_path)!r})"
    bodies = {
        "run": f"run({command}, timeout=60)",
        "started": f"with started({command}):\n        time.sleep(60)",
        "side_by_side": f"side_by_side(lambda k: run({command}, timeout=60), [1])",
    }
    script = textwrap.dedent(f"""
    import signal, time
    from pathlib import Path
    from convexon.tools.process import run, side_by_side, started
    from convexon.tools.signals import as_interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off
    as_interrupts()
    {bodies[how]}
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    pids = [pid_in(tmp_path / name) for name in MEMBERS]
    began = time.monotonic()
    os.kill(parent.pid, number)
    parent.wait(20)
    assert ends(*pids)
    assert time.monotonic() - began < 15


def test_where_one_fails_the_others_are_ended(family: Path, tmp_path: Path) -> None:
    def work(fails: bool) -> None:
        if not fails:
            run([str(family)], folder=tmp_path, timeout=60)
        for name in MEMBERS:
            pid_in(tmp_path / name)
        raise ValueError("mine")

    began = time.monotonic()
    with pytest.raises(ValueError, match=r"^mine$"):
        side_by_side(work, [False, True])
    assert time.monotonic() - began < 20
    assert ends(*(pid_in(tmp_path / name) for name in MEMBERS))
    assert run(["true"], timeout=10).code == 0  # and what comes later is not affected


def test_side_by_side_keeps_the_order() -> None:
    def echoed(k: int) -> str:
        return run(["sh", "-c", f"sleep 0.0{5 - k}; echo {k}"], timeout=10).output

    assert side_by_side(echoed, range(5)) == [f"{k}\n" for k in range(5)]


def test_a_scope_that_ended_starts_nothing_more() -> None:
    found: list[BaseException] = []
    go = threading.Event()

    def later() -> None:
        go.wait(10)
        try:
            run(["true"], timeout=10)
        except ToolError as error:
            found.append(error)

    with contextlib.suppress(KeyError), ended_together() as scope:
        thread = threading.Thread(target=scope.within(later))
        thread.start()
        raise KeyError
    go.set()
    thread.join()
    assert [str(error) for error in found] == [
        "nothing more is started: what this was for has ended"
    ]


def test_temporary_files_of_a_program_lie_where_it_runs(tmp_path: Path) -> None:
    run(["sh", "-c", "mktemp"], folder=tmp_path, timeout=10).checked()
    assert [path.name[:4] for path in tmp_path.iterdir()] == ["tmp."]


def test_python_of_a_child_imports_from_where_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "only_here.py").write_text("VALUE = 41\n")
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("ours")  # relative, as PYTHONPATH=py:hdl is
    code = "import random, sys, only_here; print(only_here.VALUE + len(sys.argv[1:]))"
    ended = run(in_python(code, "more"), folder=Path("/"), timeout=20)
    assert ended.checked() == "42\n"


def test_the_stack_is_as_deep_as_it_may_be() -> None:
    hard = run(["sh", "-c", "ulimit -H -s"], timeout=10).output
    assert run(with_deep_stack(["sh", "-c", "ulimit -s"]), timeout=10).output == hard


def test_a_worker_ends_with_what_started_it(tmp_path: Path) -> None:
    worker = textwrap.dedent(f"""
    import os, sys, time
    from pathlib import Path
    from convexon.tools.process import end_with, run
    end_with(int(sys.argv[1]))
    place = Path({str(tmp_path)!r})
    (place / "worker.part").write_text(str(os.getpid()))
    (place / "worker.part").rename(place / "worker")
    tool = "echo $$ >tool.part; mv tool.part tool; exec sleep 60"
    run(["sh", "-c", tool], folder=place, timeout=60)
    """)
    parent = f"""
import os, subprocess, sys
subprocess.run([sys.executable, "-c", {worker!r}, str(os.getpid())])
"""
    running = subprocess.Popen([sys.executable, "-c", parent])
    pids = [pid_in(tmp_path / name) for name in ("worker", "tool")]
    running.kill()
    running.wait()
    assert ends(*pids)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_the_command_line_in_a_line_and_with_the_code_of_shells(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    script = textwrap.dedent("""
    import signal, sys, time
    from pathlib import Path
    import click
    from convexon.__main__ import main
    from convexon.cli import Command, app
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    @click.command(cls=Command)
    def waiting():
        print("ready", flush=True)
        time.sleep(60)
    type(app).get_command = lambda self, ctx, name: waiting
    sys.argv = ["convexon", "verify"]
    main()
    """)
    running = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    _, told = running.communicate(timeout=20)
    what = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert told == f"convexon: {what}: the same command goes on where it was\n"
    assert running.returncode == code


def test_nohup_is_respected() -> None:
    script = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from convexon.tools.signals import as_interrupts; as_interrupts()\n"
        "os.kill(os.getpid(), signal.SIGHUP); print('still here')"
    )
    assert run(in_python(script), timeout=20).checked() == "still here\n"


def test_a_signal_while_the_command_line_is_loaded_ends_in_a_line() -> None:
    script = """
import builtins, os, signal, sys
found = builtins.__import__
def importing(name, *rest):
    if name == "click":
        os.kill(os.getpid(), signal.SIGTERM)
    return found(name, *rest)
builtins.__import__ = importing
from convexon.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "convexon: ended by SIGTERM\n")


def test_output_that_cannot_be_written_is_told_in_a_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "convexon", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("convexon: No space left on device")
    assert done.stderr.count("\n") == 1
