"""The registers behind AXI4-Lite."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon_hdl.axi.counters import COUNTER_BITS
from convexon_hdl.axi.lite import AccessSignature
from convexon_hdl.axi.registers import CONTROL, STATUS, WEIGHTS, RegisterMap


class RegisterBank(wiring.Component):
    """Answers reads and writes as `RegisterMap` says, each in its clock.

    Reads of unknown and write-only addresses, and writes to unknown and read-only ones, are
    refused and change nothing. Where a write's strobes leave out a byte, that byte keeps its value,
    and a command in it is not given.

    A word of weights needs all four bytes. It waits on ``load`` until it is taken, and as long as
    one waits, a further word is refused. A restart forgets it.

    ``constants`` has the content of the registers that never change, by name. ``status`` are the
    fields of STATUS; ``restart`` and ``clear`` are the commands of CONTROL, high for one clock.

    Latency: none towards `LiteSlave`, 1 clock to ``restart`` and ``clear`` and to ``load``.
    Resources: the multiplexer of reads, and 64 flip-flops; 33 more where weights are loaded.
    """

    def __init__(self, register_map: RegisterMap, *, constants: Mapping[str, int]) -> None:
        self._map = register_map
        self._constants = dict(constants)
        for name, value in self._constants.items():
            if not 0 <= value < 1 << 32:
                raise InputError(f"register {name} must hold 32 bits, not {value!r}")
        counters = data.ArrayLayout(unsigned(COUNTER_BITS), len(register_map.counters))
        load = {"load": Out(stream.Signature(unsigned(32)))} if register_map.loadable else {}
        super().__init__(
            {
                "access": In(AccessSignature(register_map.address_bits)),
                "status": In(len(STATUS.fields)),
                "errors": In(32),
                "counters": In(counters),
                "restart": Out(1),
                "clear": Out(1),
                **load,
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the decoders."""
        m = Module()
        scratch = Signal(32)
        self._writes(m, scratch)
        self._reads(m, scratch)
        return m

    def _writes(self, m: Module, scratch: Signal) -> None:
        """Decode writes; whatever is not decoded is refused at once."""
        access = self.access
        at = {register.name: register.offset >> 2 for register in self._map.registers}
        m.d.comb += access.write_error.eq(1)
        m.d.sync += [self.restart.eq(0), self.clear.eq(0)]
        if self._map.loadable:
            with m.If(self.restart | self.load.ready):
                m.d.sync += self.load.valid.eq(0)
        strobe, commands = access.write_strobe, (self.restart, self.clear)
        with m.Switch(access.write_word):
            with m.Case(at[CONTROL.name]):
                m.d.comb += access.write_error.eq(0)
                with m.If(access.write_valid & strobe[0]):
                    for command, field in zip(commands, CONTROL.fields, strict=True):
                        m.d.sync += command.eq(access.write_data[field.offset])
            with m.Case(at["SCRATCH"]):
                m.d.comb += access.write_error.eq(0)
                for k in range(4):
                    with m.If(access.write_valid & strobe[k]):
                        m.d.sync += scratch.word_select(k, 8).eq(
                            access.write_data.word_select(k, 8)
                        )
            if self._map.loadable:
                with m.Case(at[WEIGHTS.name]):
                    self._push(m)

    def _push(self, m: Module) -> None:
        """Take a word of weights, if there is room for it."""
        access, load = self.access, self.load
        with m.If(access.write_strobe.all() & ~load.valid):
            m.d.comb += access.write_error.eq(0)
            with m.If(access.write_valid):
                m.d.sync += [load.valid.eq(1), load.payload.eq(access.write_data)]

    def _reads(self, m: Module, scratch: Signal) -> None:
        """Decode reads, and latch the high word of a counter whose low word is read."""
        access = self.access
        latched = Signal(32)
        values: dict[str, Value | int] = {
            **self._constants,
            CONTROL.name: 0,
            STATUS.name: self.status,
            "ERRORS": self.errors,
            "SCRATCH": scratch,
        }
        counts = {name: self.counters[k] for k, (name, _, _) in enumerate(self._map.counters)}
        m.d.comb += access.read_error.eq(1)
        with m.Switch(access.read_word):
            for register in self._map.registers:
                if not register.access.reads:
                    continue
                with m.Case(register.offset >> 2):
                    m.d.comb += access.read_error.eq(0)
                    base, _, half = register.name.rpartition("_")
                    if base in counts:
                        value = counts[base][:32] if half == "LOW" else latched
                        with m.If(access.read_valid & (half == "LOW")):
                            m.d.sync += latched.eq(counts[base][32:])
                    else:
                        value = values[register.name]
                    m.d.comb += access.read_data.eq(value)
