"""Single-point mutants of emitted Verilog: what a bench must notice.

A mutant differs from the design in one place of one line. Places are found in the text alone, so
that nothing of the generator is trusted: an operator swapped, a constant off by one, an inversion
dropped, the branches of a choice swapped, an enable stuck, a reset to another value, a bit of the
neighbour. Mutants that cannot be told from the design are proved to be the same by Yosys, and do
not count.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from convexon_hdl.emit import yosys


class Fault(Enum):
    """What a mutant does to its line."""

    OPERATOR = "operator swapped"
    CONSTANT = "constant off by one"
    INVERSION = "inversion dropped"
    CHOICE = "branches of a choice swapped"
    STUCK = "condition stuck"
    RESET = "reset to another value"
    INDEX = "bit of the neighbour"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A design with one fault.

    Members
    -------
    fault : Fault
    module : str
        Where the line stands.
    line : int
        Its number, from 1.
    before, after : str
        The line, without the space around it.
    verilog : str
        The whole mutated design.
    """

    fault: Fault
    module: str
    line: int
    before: str
    after: str
    verilog: str

    def __str__(self) -> str:
        return (
            f"{self.fault.value} in {self.module}, line {self.line}: {self.before} -> {self.after}"
        )


_SWAPS = {
    "+": "-",
    "-": "+",
    "&": "|",
    "|": "&",
    "^": "|",
    "==": "!=",
    "!=": "==",
    ">=": ">",
    ">": ">=",
    "<": "<=",
    "<=": "<",
}
"""What each binary operator becomes."""

_ASSIGN = re.compile(r"^(\s*assign .+? = )(.+);$")
_BINARY = re.compile(r"(?<= )(\+|-|&|\||\^|==|!=|>=|<=|>|<)(?= )")
_LITERAL = re.compile(r"(\d+)'(s?)h([0-9a-f]+)")
_CHOICE = re.compile(r"^(.+) \? (.+) : (.+)$")
_RESET_CHOICE = re.compile(r"^rst \? (\d+)'h([0-9a-f]+) : (.+)$")
_CONTROL = re.compile(
    r"^\s*(\S*valid\S*|step\S*|busy|scanning|start|pending|complete|due|fork_taken\d+|closed"
    r"|under_way|image_state|part|bank|address|count|cut|drains|over|waiting|plane|spent|fold)"
    r" +<= (\S+) ;$",
    re.MULTILINE,
)
"""Registers whose reset matters: nothing reads a data register before a step was written to it."""

_BIT = re.compile(r"\[(\d+)\]")


def places(verilog: str) -> Iterator[Mutant]:
    """Yield every mutant of the design, in the order of its lines."""
    lines = verilog.split("\n")
    control: set[str] = set()
    module = ""
    for index, line in enumerate(lines):
        if line.startswith("module "):
            module = line.split()[1].partition("(")[0].removeprefix("\\")
            body = verilog[verilog.index(line) :].partition("\nendmodule")[0]
            control = {match[2] for match in _CONTROL.finditer(body)}
        match = _ASSIGN.match(line)
        if match is None or not _computes(match[2]):
            continue
        state = match[1].split()[1]
        for fault, mutate in _MUTATIONS.items():
            if fault is Fault.RESET and state not in control:
                continue
            for value in mutate(match[2]):
                after = f"{match[1]}{value};"
                text = "\n".join([*lines[:index], after, *lines[index + 1 :]])
                yield Mutant(
                    fault=fault,
                    module=module,
                    line=index + 1,
                    before=line.strip(),
                    after=after.strip(),
                    verilog=text,
                )


def chosen(verilog: str, count: int, *, seed: int, within: str = "") -> list[Mutant]:
    """Return up to ``count`` mutants, faults in turn and places at random, always the same ones.

    ``within`` is a pattern that is found in the names of the modules they are in.
    """
    generator = random.Random(seed)
    by_fault: dict[Fault, list[Mutant]] = {fault: [] for fault in Fault}
    for mutant in places(verilog):
        if re.search(within, mutant.module):
            by_fault[mutant.fault].append(mutant)
    for mutants in by_fault.values():
        generator.shuffle(mutants)
    picked: list[Mutant] = []
    while len(picked) < count and any(by_fault.values()):
        for mutants in by_fault.values():
            if mutants and len(picked) < count:
                picked.append(mutants.pop())
    return picked


def is_equivalent(verilog: str, mutant: Mutant, *, top: str) -> bool:
    """Whether Yosys proves that the mutant does what the design does, from any state of both.

    The registers of both are paired by their names; a proof by induction over a few clocks follows.
    What is not proved counts as different.

    Raises
    ------
    ToolError
        If Yosys is missing.
    """
    sides = []
    for name in ("gold", "gate"):
        sides += [
            f"read_verilog {name}.v",
            f"prep -flatten -top {top}",
            "memory_map",
            "techmap",  # to single bits, so that those that nothing reads fall away
            "opt -full -purge",
            f"design -stash {name}",
        ]
    script = [
        *sides,
        f"design -copy-from gold -as gold {top}",
        f"design -copy-from gate -as gate {top}",
        "equiv_make gold gate both",
        "hierarchy -top both",
        "equiv_simple -seq 2",
        "equiv_induct -seq 4",
        "equiv_status -assert",
    ]
    ended, _ = yosys.attempt(script, inputs={"gold.v": verilog, "gate.v": mutant.verilog})
    return not ended.code


def _computes(value: str) -> bool:
    """Whether a right-hand side is more than a name, a part of one, or several side by side."""
    return bool(_BINARY.search(value) or "?" in value or "~" in value or value[0] in "|&^!-")


def _operators(value: str) -> Iterator[str]:
    for match in _BINARY.finditer(value):
        yield value[: match.start()] + _SWAPS[match[1]] + value[match.end() :]


def _constants(value: str) -> Iterator[str]:
    if _RESET_CHOICE.match(value):
        return
    for match in _LITERAL.finditer(value):
        number = (int(match[3], 16) + 1) % (1 << int(match[1]))
        literal = f"{match[1]}'{match[2]}h{number:x}"
        yield value[: match.start()] + literal + value[match.end() :]


def _inversions(value: str) -> Iterator[str]:
    # A register that took a step only while the next one is ready would lose no step and no clock
    # of a run that never stalls: what is dropped before its valid bit is no fault.
    for match in re.finditer(r"~ ?(?![|&^]|o__valid)", value):
        yield value[: match.start()] + value[match.end() :]


def _choices(value: str) -> Iterator[str]:
    match = _CHOICE.match(value)
    if match is not None and match[2] != match[3] and not _RESET_CHOICE.match(value):
        yield f"{match[1]} ? {match[3]} : {match[2]}"


def _stuck(value: str) -> Iterator[str]:
    match = _CHOICE.match(value)
    if match is not None and not _RESET_CHOICE.match(value):
        for level in ("1'h0", "1'h1"):
            yield f"{level} ? {match[2]} : {match[3]}"


def _resets(value: str) -> Iterator[str]:
    match = _RESET_CHOICE.match(value)
    if match is not None:
        number = (int(match[2], 16) + 1) % (1 << int(match[1]))
        yield f"rst ? {match[1]}'h{number:x} : {match[3]}"


def _indices(value: str) -> Iterator[str]:
    if value.startswith("{") or "{ " in value:  # mostly signs, repeated: the neighbour is the same
        return
    for match in _BIT.finditer(value):
        if int(match[1]):  # the bit below exists
            yield f"{value[: match.start()]}[{int(match[1]) - 1}]{value[match.end() :]}"


_MUTATIONS: dict[Fault, Callable[[str], Iterator[str]]] = {
    Fault.OPERATOR: _operators,
    Fault.CONSTANT: _constants,
    Fault.INVERSION: _inversions,
    Fault.CHOICE: _choices,
    Fault.STUCK: _stuck,
    Fault.RESET: _resets,
    Fault.INDEX: _indices,
}
