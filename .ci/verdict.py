"""Read pytest's JUnit file: print the counts; fail if a simulator's tests did not all run."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree

SIMULATORS = ("verilator", "icarus")


def main(path: str) -> int:
    """Return the exit code: 1 if anything failed, was skipped, or a simulator ran nothing."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    failed = [case for case in cases if has(case, "failure") or has(case, "error")]
    skipped = [case for case in cases if has(case, "skipped")]
    for case in skipped:
        reason = case.find("skipped")
        print(f"skipped: {name(case)}: {reason.get('message') if reason is not None else ''}")
    idle = [s for s in SIMULATORS if not any(s in name(case).lower() for case in cases)]
    for simulator in idle:
        print(f"no test ran on {simulator}")
    passed = len(cases) - len(failed) - len(skipped)
    print(f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return int(bool(failed or skipped or idle))


def has(case: ElementTree.Element, tag: str) -> bool:
    """Whether the test has an outcome of this tag."""
    return case.find(tag) is not None


def name(case: ElementTree.Element) -> str:
    """Full name of a test."""
    return f"{case.get('classname')}.{case.get('name')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
