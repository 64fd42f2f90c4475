"""Reads pytest's JUnit file: prints the counts, and fails if a simulator's tests did not all run."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree

SIMULATORS = ("verilator", "icarus")


def main(path: str) -> int:
    """Return the exit code: 1 if anything failed, was skipped, or a simulator ran nothing."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    failed = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    for case in skipped:
        reason = case.find("skipped")
        print(f"skipped: {name(case)}: {reason.get('message') if reason is not None else ''}")
    idle = [s for s in SIMULATORS if not any(s in name(case).lower() for case in cases)]
    for simulator in idle:
        print(f"no test ran on {simulator}")
    passed = len(cases) - len(failed) - len(skipped)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return int(bool(failed or skipped or idle))


def name(case: ElementTree.Element) -> str:
    """Full name of a test."""
    return f"{case.get('classname')}.{case.get('name')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
