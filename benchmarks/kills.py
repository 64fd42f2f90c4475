"""Kills at random moments, and a hostile environment: `python benchmarks/kills.py [--seed N]`.

Each stage of the chain is ended by SIGTERM, SIGHUP, SIGINT or SIGKILL at random moments, and the
same command is given again: its result must be that of a run which nobody disturbed, and neither a
process nor a temporary folder nor a half written file may be left. Then the hardware is emitted,
proved, simulated and built with all of `hostile.HOSTILE` in the environment, and where that changes
anything with one after the other. Writes the figures trust.kills, trust.signals and
trust.environment into benchmarks/results/trust.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hostile import HOSTILE

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.tools.environment import cache_folder

RESULT = Path(__file__).parent / "results" / "trust.json"

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)

SOLVE = ("--steps", "4", "--witnesses", "60", "--fan-in", "3", "--rho", "0.02")
EXPLORE = ("--rho", "0.02", "--rho", "0.05", "--steps", "4", "--witnesses", "40", "--jobs", "2")
BUILD = ("--board", "ulx3s-85f")

STAGES: Mapping[str, tuple[str, ...]] = {
    "solve": ("solve", "RUN", *SOLVE),
    "map": ("map", "RUN"),
    "emit": ("emit", "RUN"),
    "prove": ("prove", "RUN"),
    "verify icarus": ("verify", "RUN", "--simulator", "icarus"),
    "verify verilator": ("verify", "RUN", "--simulator", "verilator"),
    "report": ("report", "RUN"),
    "explore": ("explore", "RUN", *EXPLORE),
    "build": ("build", "RUN", *BUILD),
}
"""Commands, each on a folder that the ones before it have made."""

LATER = ("explore", "build")
"""Stages whose results no other stage needs."""

ORPHAN_SECONDS = 5.0
"""How long processes may take to end after the command has."""

Files = dict[str, str]


@dataclass
class Place:
    """Where a command runs: run folder, cache and temporary files of its own."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.root / "run"

    def copy(self, root: Path) -> Place:
        """Return a copy of everything; YoWASP's compiled tools are shared."""
        shutil.copytree(self.root, root, symlinks=True)
        return Place(root, self.environment)

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command in a session of its own."""
        own = {"CONVEXON_CACHE": str(self.root / "cache"), "TMPDIR": str(self.root / "tmp")}
        words = [str(self.run) if word == "RUN" else word for word in command]
        return subprocess.Popen(
            [sys.executable, "-m", "convexon", *words],
            env={**os.environ, **self.environment, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # A shell in the background switches it off for all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def files(self) -> Files:
        """Return what the run folder holds, and the digest of each file."""
        return {
            path.relative_to(self.run).as_posix(): digest_of(path)
            for path in sorted(self.run.rglob("*"))
            if path.is_file()
        }

    def leftovers(self) -> list[str]:
        """Return temporary folders and drafts, wherever they may lie."""
        found = list((self.root / "tmp").iterdir())
        found += (self.root / "cache").glob("convexon-scratch-*")
        found += self.run.rglob(".*.draft")
        return [path.relative_to(self.root).as_posix() for path in found]


PAGES_OF_TIMES = ("timing.json", "report.md", "report.html")
"""Files that state how long stages took, of which two runs may by chance say the same."""


def digest_of(path: Path) -> str:
    """Digest of a file, of report.json without its seconds; of `PAGES_OF_TIMES` always the same."""
    if path.name in PAGES_OF_TIMES:
        return ""
    content = path.read_bytes()
    if path.name == "report.json":
        figures = json.loads(content)["figures"]
        kept = [figure for figure in figures if figure["unit"] != "seconds"]
        content = json.dumps(kept).encode()
    return hashlib.sha256(content).hexdigest()


def made(root: Path) -> Place:
    """Make an empty place."""
    for name in ("cache", "tmp"):
        (root / name).mkdir(parents=True)
    shared = cache_folder() / "yowasp"
    shared.mkdir(parents=True, exist_ok=True)
    (root / "cache" / "yowasp").symlink_to(shared)
    return Place(root)


def processes_of(session: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(own) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def orphans_of(session: int) -> int:
    """Return how many processes of a session do not end by themselves, and end them."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return len(left)


def finished(place: Place, command: Sequence[str]) -> float:
    """Run a command to its end, and return the seconds that it took; it must succeed."""
    began = time.monotonic()
    running = place.start(command)
    output, _ = running.communicate()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}: {output}")
    return time.monotonic() - began


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run of a stage leaves, and how long it takes.

    Members
    -------
    files : Files
        Those that two runs leave with the same bytes; of the others (times, pages that state times)
        only that they are there.
    names : set of str
    seconds : float
    """

    files: Files
    names: set[str]
    seconds: float

    def differences(self, place: Place) -> list[str]:
        """Files that a run folder has too many or too few, or with other bytes."""
        found = place.files()
        changed = {n for n, digest in self.files.items() if found.get(n, digest) != digest}
        return sorted(changed | (set(found) ^ self.names))


def reference_of(before: Place, command: Sequence[str], scratch: Path) -> tuple[Reference, Place]:
    """Run a stage twice, undisturbed; return what it leaves, and one of the places."""
    places = [before.copy(scratch / f"reference{k}") for k in range(2)]
    seconds = [finished(place, command) for place in places]
    one, other = (place.files() for place in places)
    shutil.rmtree(places[1].root)
    if set(one) != set(other):
        raise RuntimeError(f"{' '.join(command)} leaves other files each time")
    same = {name: digest for name, digest in one.items() if other[name] == digest}
    return Reference(same, set(one), min(seconds)), places[0]


@dataclass
class Counted:
    """What the kills did."""

    total: int = 0
    wrong: int = 0
    leftovers: int = 0
    orphans: int = 0
    by_stage: dict[str, int] = field(default_factory=dict)


def kill_once(
    before: Place,
    command: Sequence[str],
    reference: Reference,
    number: signal.Signals,
    moment: float,
    root: Path,
    counted: Counted,
) -> str:
    """Kill a stage once, run it again, and count what is not as it should be; say what happened."""
    place = before.copy(root)
    try:
        running = place.start(command)
        try:
            output, _ = running.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.kill(running.pid, number)
            output, _ = running.communicate(timeout=120)
        if "runpy" in output and "_run_code" not in output:  # no line of the command had run
            return f"{number.name} after {moment:.2f} s: too early"
        allowed = {0, -number, 128 + number}
        told = [line for line in output.splitlines() if line.startswith("Traceback")]
        orphans = orphans_of(running.pid)
        faults = []
        if running.returncode not in allowed or told:
            faults.append(f"ended with {running.returncode}: {output[-2000:]}")
        again = place.start(command)
        output, _ = again.communicate()
        orphans += orphans_of(again.pid)
        differing = ", ".join(reference.differences(place))
        if again.returncode or differing:
            faults.append(
                f"the next run, {again.returncode}, differs in {differing}: {output[-500:]}"
            )
        left = place.leftovers()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    counted.total += 1
    counted.wrong += bool(faults)
    counted.leftovers += len(left)
    counted.orphans += orphans
    problems = [*faults, *left, *([f"{orphans} orphans"] if orphans else [])]
    return f"{number.name} after {moment:.2f} s: {'; '.join(problems) or 'fine'}"


def kills(scratch: Path, generator: random.Random, each: int) -> Counted:
    """Kill every stage ``each`` times."""
    counted = Counted()
    before = made(scratch / "begin")
    for stage, command in STAGES.items():
        reference, after = reference_of(before, command, scratch / stage)
        print(f"{stage}: {reference.seconds:.1f} s, {len(reference.files)} files", flush=True)
        wanted = counted.total + each
        while (k := each - wanted + counted.total) < each:
            number = SIGNALS[k % len(SIGNALS)]
            moment = generator.uniform(0.0, reference.seconds)
            root = scratch / f"{stage} {k}"
            print(
                f"  {kill_once(before, command, reference, number, moment, root, counted)}",
                flush=True,
            )
        counted.by_stage[stage] = each
        if stage not in LATER:
            before = after
    return counted


HARDWARE = ("emit", "prove", "verify icarus", "verify verilator", "build")
"""Stages that start programs; the environment is changed for all of them."""


def left_by(before: Place, stages: Iterable[str], root: Path) -> dict[str, str]:
    """Return what stages leave in a run folder, and what was compiled for it, by name."""
    place = before.copy(root)
    try:
        for stage in stages:
            finished(place, STAGES[stage])
        keys = {f"cache/{path.name}": "" for path in (root / "cache").glob("[0-9a-f]*")}
        return {**place.files(), **keys}
    except RuntimeError as error:
        return {"failed": str(error)}
    finally:
        shutil.rmtree(root, ignore_errors=True)


def environment(scratch: Path) -> list[str]:
    """Return the variables that change what is built or run."""
    before = made(scratch / "plain")
    for stage in ("solve", "map"):
        finished(before, STAGES[stage])

    def changed(variables: Iterable[str], stages: Sequence[str], expected: Files) -> bool:
        hostile = Place(before.root, {name: HOSTILE[name] for name in variables})
        found = left_by(hostile, stages, scratch / "hostile")
        if "failed" in found:
            print(found["failed"], file=sys.stderr)
        return set(found) != set(expected) or any(found[n] != d for n, d in expected.items() if d)

    def stable(stages: Sequence[str]) -> Files:
        one, other = (left_by(before, stages, scratch / f"clean{k}") for k in range(2))
        if "failed" in one:
            raise RuntimeError(one["failed"])
        return {name: digest * (other.get(name) == digest) for name, digest in one.items()}

    expected = stable(HARDWARE)
    if not changed(HOSTILE, HARDWARE, expected):
        return []
    return [name for name in HOSTILE if changed([name], HARDWARE, expected)] or list(HOSTILE)


def main() -> None:
    """Kill, try the environment, and write the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=8, help="kills of a stage; 0 for none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        affected = environment(Path(name) / "environment")
        keep("environment.variables", len(HOSTILE), "variables", f"{', '.join(HARDWARE)}")
        keep("environment.affected", len(affected), "variables", ", ".join(affected) or "none")
        if not arguments.each:
            return
        scratch = Path(name)
        counted = kills(scratch / "kills", random.Random(arguments.seed), arguments.each)
        stages = ", ".join(f"{count} of {stage}" for stage, count in counted.by_stage.items())
        signals = ", ".join(number.name for number in SIGNALS)
        keep("kills.total", counted.total, "kills", f"{signals} at random moments: {stages}")
        keep("kills.wrong", counted.wrong, "kills", "exit code, or the result of the next run")
        keep("kills.leftovers", counted.leftovers, "files", "after the next run")
        keep("signals.orphans", counted.orphans, "processes", f"{ORPHAN_SECONDS:g} s after the end")


def keep(name: str, value: int, unit: str, source: str) -> None:
    """Write a figure beside those of other benchmarks."""
    figure = Figure(
        name=f"trust.{name}",
        value=value,
        unit=unit,
        kind=FigureKind.MEASURED,
        source=f"benchmarks/kills.py, {source}",
    )
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures(dict(sorted({**known, figure.name: figure}.items())).values(), RESULT)
    print(figure.name, figure.value, flush=True)


if __name__ == "__main__":
    main()
