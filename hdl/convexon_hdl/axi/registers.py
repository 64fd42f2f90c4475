"""The register map: one table, from which hardware, registers.json and the C header are made.

Registers are 32 bits wide. A counter has 64: reading its low word latches its high word, which the
next address then gives, so the two belong together whatever happens between the reads.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth.utils import ceil_log2

from convexon.errors import InputError

SCHEMA = "convexon.registers"
SCHEMA_VERSION = 1

MAP_VERSION = 2
"""Version of the register map, in register VERSION; it changes with an address, a bit, or what an
access does."""

IDENTITY = int.from_bytes(b"CVXN", "little")
"""Content of register ID: the letters CVXN, the first in the lowest byte."""

MIN_ADDRESS_BITS = 12
"""Bits of an address: 4 KiB, the least that a bus maps, and more where there are many counters."""

COUNTERS_OFFSET = 0x80
SPIKES_OFFSET = 0x100


class Access(Enum):
    """What a host may do with a register; anything else is answered with SLVERR."""

    READ = "ro"
    WRITE = "wo"
    BOTH = "rw"

    @property
    def reads(self) -> bool:
        """Whether reading is allowed."""
        return self is not Access.WRITE


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits ``offset .. offset + width - 1`` of a register."""

    name: str
    offset: int
    width: int = 1
    text: str

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width) - 1) << self.offset


@dataclass(frozen=True, kw_only=True)
class Register:
    """One address of the map, at ``offset`` bytes, a multiple of 4."""

    name: str
    offset: int
    access: Access = Access.READ
    text: str
    fields: tuple[Field, ...] = ()

    def content(self, **values: int) -> int:
        """The register where its fields hold ``values``; `InputError` if one does not fit."""
        word = 0
        for field in self.fields:
            value = values[field.name]
            if not 0 <= value < 1 << field.width:
                raise InputError(
                    f"field {field.name} of register {self.name} must hold {field.width} bits, "
                    f"not {value!r}"
                )
            word |= value << field.offset
        return word

    def to_json(self) -> dict[str, Any]:
        """Return the register as JSON."""
        fields = [dict(vars(field)) for field in self.fields]
        return {**vars(self), "access": self.access.value, "fields": fields}


def _fields(*fields: tuple[str, int, str]) -> tuple[Field, ...]:
    """Fields side by side, the first one lowest: each a name, a width and a text."""
    offsets = itertools.accumulate((width for _, width, _ in fields), initial=0)
    return tuple(
        Field(name=name, offset=offset, width=width, text=text)
        for offset, (name, width, text) in zip(offsets, fields, strict=False)
    )


STREAM = Register(
    name="STREAM",
    offset=0x28,
    text="Widths of the streams.",
    fields=_fields(
        ("WORD_BITS", 16, "Bits of a word, tdata."),
        ("SLOT_BITS", 16, "Bits of a label or score in a result."),
    ),
)

WORDS = Register(
    name="WORDS",
    offset=0x2C,
    text="Lengths in words.",
    fields=_fields(
        ("TRANSFER", 16, "Words of one transfer of inputs."),
        ("RESULT", 16, "Words of one result."),
    ),
)

CONTROL = Register(
    name="CONTROL",
    offset=0x30,
    access=Access.BOTH,
    text="Commands; reads as 0.",
    fields=_fields(
        (
            "RESET",
            1,
            "Give up the inference under way, and that one alone, and a load of weights.",
        ),
        ("CLEAR", 1, "Set all counters and ERRORS to 0."),
    ),
)

STATUS = Register(
    name="STATUS",
    offset=0x34,
    text="What goes on at this moment.",
    fields=_fields(
        ("BUSY", 1, "An inference is under way or inside."),
        ("RESULT", 1, "A word of a result waits to be taken."),
        ("LOADABLE", 1, "Weights are loaded at run time."),
        ("LOADED", 1, "Weights are there; always 1 where they are fixed."),
        ("REFUSED", 1, "The weights loaded last were refused."),
        ("READY", 1, "WEIGHTS takes a word; all words before are taken."),
    ),
)

WEIGHTS = Register(
    name="WEIGHTS",
    offset=0x40,
    access=Access.WRITE,
    text="Push a word of weights, all four bytes; refused while READY of STATUS is 0.",
)

REGISTERS = (
    Register(name="ID", offset=0x00, text="The letters CVXN, the first in the lowest byte."),
    Register(name="VERSION", offset=0x04, text="Version of this map."),
    Register(name="DIGEST_HIGH", offset=0x08, text="Bits 63..32 of the first 64 of the digest."),
    Register(name="DIGEST_LOW", offset=0x0C, text="Bits 31..0 of the first 64 of the digest."),
    Register(name="N_INPUTS", offset=0x10, text="Inputs of a transfer."),
    Register(name="INPUT_BITS", offset=0x14, text="Bits of one input, or of its level."),
    Register(name="N_STEPS", offset=0x18, text="Time steps of an inference."),
    Register(name="N_CLASSES", offset=0x1C, text="Classes, and so scores of a result."),
    Register(name="N_BRANCHES", offset=0x20, text="Parallel branches."),
    Register(name="N_LAYERS", offset=0x24, text="Layers of all branches, and so spike counters."),
    STREAM,
    WORDS,
    CONTROL,
    STATUS,
    Register(
        name="ERRORS", offset=0x38, text="Packets with tlast at a wrong word, 2^32-1 at most."
    ),
    Register(name="SCRATCH", offset=0x3C, access=Access.BOTH, text="Free for a test of the link."),
    WEIGHTS,
    Register(
        name="N_TRANSFERS",
        offset=0x44,
        text="Transfers of an inference: N_STEPS, or 1 where an encoder makes the steps.",
    ),
)
"""All but counters. WEIGHTS is there where weights are loaded at run time."""

COUNTERS = (
    ("INFERENCES", "Inferences whose last result has been taken; none that was given up."),
    ("CYCLES", "Clocks since reset or CLEAR."),
    ("INPUT_STALLS", "Clocks in which a word was offered to s_axis and refused."),
    ("RESULT_STALLS", "Clocks in which a word was offered by m_axis and not taken."),
)
"""Names and texts of the counters that every accelerator has; those of spikes follow."""


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """All registers of one accelerator."""

    layers: tuple[tuple[int, int], ...]
    """Branch and layer of each spike counter."""
    loadable: bool = False
    """Whether weights are loaded at run time."""

    @property
    def counters(self) -> tuple[tuple[str, int, str], ...]:
        """Name, offset of the low word, and text of every counter."""
        fixed = [(name, COUNTERS_OFFSET + 8 * k, text) for k, (name, text) in enumerate(COUNTERS)]
        spikes = [
            (f"SPIKES_{b}_{layer}", SPIKES_OFFSET + 8 * k, f"Spikes of branch {b}, layer {layer}.")
            for k, (b, layer) in enumerate(self.layers)
        ]
        return (*fixed, *spikes)

    @property
    def registers(self) -> tuple[Register, ...]:
        """Every register, by address."""
        counters: list[Register] = []
        for name, offset, text in self.counters:
            low, high = f"{text} Low word; latches the high word.", f"{text} High word, latched."
            counters.append(Register(name=f"{name}_LOW", offset=offset, text=low))
            counters.append(Register(name=f"{name}_HIGH", offset=offset + 4, text=high))
        fixed = (r for r in REGISTERS if self.loadable or r is not WEIGHTS)
        return (*fixed, *counters)

    @property
    def address_bits(self) -> int:
        """Bits of an address in bytes."""
        return max(MIN_ADDRESS_BITS, ceil_log2(self.registers[-1].offset + 4))

    def to_json(self) -> dict[str, Any]:
        """Content of registers.json."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "map_version": MAP_VERSION,
            "identity": IDENTITY,
            "address_bits": self.address_bits,
            "registers": [register.to_json() for register in self.registers],
            "counters": [
                {"name": name, "low": offset, "high": offset + 4, "text": text}
                for name, offset, text in self.counters
            ],
        }

    def c_header(self) -> str:
        """Offsets and bit masks as macros of C."""
        lines = ["/* Registers of an accelerator made by Convexon. Offsets are in bytes. */"]
        lines += ["#ifndef CONVEXON_REGISTERS_H", "#define CONVEXON_REGISTERS_H", ""]
        lines.append(_macro("CONVEXON_IDENTITY", IDENTITY, "Content of CONVEXON_ID."))
        lines.append(_macro("CONVEXON_MAP_VERSION", MAP_VERSION, "Content of CONVEXON_VERSION."))
        for register in self.registers:
            name = f"CONVEXON_{register.name}"
            access = f"{register.access.value}: {register.text}"
            lines.append(_macro(f"{name}_OFFSET", register.offset, access))
            for field in register.fields:
                lines.append(_macro(f"{name}_{field.name}_MASK", field.mask, field.text))
                lines.append(f"#define {name}_{field.name}_SHIFT {field.offset}")
        return "\n".join([*lines, "", "#endif", ""])


def _macro(name: str, value: int, text: str) -> str:
    return f"#define {name} {value:#010x}u /* {text} */"
