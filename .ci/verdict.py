"""Read pytest's JUnit file: print the counts; fail if a simulator's tests did not all run."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree

SIMULATORS = ("verilator", "icarus")


def main(path: str) -> int:
    """Return the exit code: 1 if anything failed, was skipped, or a simulator ran nothing."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    failed = [case for case in cases if has(case, "failure") or has(case, "error")]
    skipped = [case for case in cases if has(case, "skipped") and case not in failed]
    for case in skipped:
        reason = case.find("skipped")
        print(f"skipped: {name(case)}: {reason.get('message') if reason is not None else ''}")
    passed = [case for case in cases if case not in failed and case not in skipped]
    ran = {simulator: simulations(passed, simulator) for simulator in SIMULATORS}
    for simulator, (n_simulations, n_tests) in ran.items():
        print(f"{simulator}: {n_simulations} simulations in {n_tests} tests that passed")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    idle = [simulator for simulator, (n_simulations, _) in ran.items() if not n_simulations]
    for simulator in idle:
        print(f"no simulation ran on {simulator}")
    return int(bool(failed or skipped or idle))


def simulations(cases: list[ElementTree.Element], simulator: str) -> tuple[int, int]:
    """Return how often the tests simulated, by the bench's own record, and how many of them did.

    The name of a test says nothing: tests/sim/bench/test_bench.py notes each run that compared a
    sample.
    """
    path = f"./properties/property[@name='simulations.{simulator}']"
    counts = [int(note.get("value", "0")) for case in cases for note in case.findall(path)]
    return sum(counts), len(counts)


def has(case: ElementTree.Element, tag: str) -> bool:
    """Whether the test has an outcome of this tag."""
    return case.find(tag) is not None


def name(case: ElementTree.Element) -> str:
    """Full name of a test."""
    return f"{case.get('classname')}.{case.get('name')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
