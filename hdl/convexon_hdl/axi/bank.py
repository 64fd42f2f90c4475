"""The registers behind AXI4-Lite."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon_hdl.axi.counters import COUNTER_BITS
from convexon_hdl.axi.registers import CONTROL, STATUS, WEIGHTS, RegisterMap, offsets


class RegisterBank(wiring.Component):
    """Answers reads and writes as `RegisterMap` says.

    Reads of unknown and write-only addresses, and writes to unknown and read-only ones, are
    refused and change nothing. Where a write's strobes leave out a byte, that byte keeps its value,
    and a command in it is not given; a word of weights needs all four.

    Latency: none towards `LiteSlave`, 1 clock to ``restart`` and ``clear``. Resources: the
    multiplexer of reads, and 64 flip-flops.

    Parameters
    ----------
    register_map : RegisterMap
    constants : mapping of str to int
        Content of the registers that never change, by name.

    Members
    -------
    write_valid, write_word, write_data, write_strobe, read_valid, read_word : In
    write_ready, write_error, read_data, read_error : Out
        As `LiteSlave` has them.
    status : In(5)
        Fields of register STATUS.
    errors : In(32)
    counters : In(array of 64 bits)
        In the order of ``register_map.counters``.
    restart, clear : Out(1)
        Commands of register CONTROL, high for one clock each.
    load : Out(stream.Signature(32))
        Words of weights, where the map is loadable.
    """

    def __init__(self, register_map: RegisterMap, *, constants: Mapping[str, int]) -> None:
        self._map = register_map
        self._constants = dict(constants)
        for name, value in self._constants.items():
            if not 0 <= value < 1 << 32:
                raise InputError(f"register {name} must hold 32 bits, not {value!r}")
        counters = data.ArrayLayout(unsigned(COUNTER_BITS), len(register_map.counters))
        word = register_map.address_bits - 2
        load = {"load": Out(stream.Signature(unsigned(32)))} if register_map.loadable else {}
        super().__init__(
            {
                "write_valid": In(1),
                "write_word": In(word),
                "write_data": In(32),
                "write_strobe": In(4),
                "write_ready": Out(1),
                "write_error": Out(1),
                "read_valid": In(1),
                "read_word": In(word),
                "read_data": Out(32),
                "read_error": Out(1),
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
        at = offsets(self._map.registers)
        m.d.comb += [self.write_ready.eq(1), self.write_error.eq(1)]
        m.d.sync += [self.restart.eq(0), self.clear.eq(0)]
        strobe = self.write_strobe
        with m.Switch(self.write_word):
            with m.Case(at[CONTROL.name] >> 2):
                m.d.comb += self.write_error.eq(0)
                with m.If(self.write_valid & strobe[0]):
                    m.d.sync += [
                        command.eq(self.write_data[field.offset])
                        for command, field in zip(
                            (self.restart, self.clear), CONTROL.fields, strict=True
                        )
                    ]
            with m.Case(at["SCRATCH"] >> 2):
                m.d.comb += self.write_error.eq(0)
                for k in range(4):
                    with m.If(self.write_valid & strobe[k]):
                        m.d.sync += scratch.word_select(k, 8).eq(self.write_data.word_select(k, 8))
            if self._map.loadable:
                with m.Case(at[WEIGHTS.name] >> 2), m.If(strobe.all()):
                    m.d.comb += [
                        self.load.valid.eq(self.write_valid),
                        self.load.payload.eq(self.write_data),
                        self.write_ready.eq(self.load.ready),
                        self.write_error.eq(0),
                    ]

    def _reads(self, m: Module, scratch: Signal) -> None:
        """Decode reads, and latch the high word of a counter whose low word is read."""
        latched = Signal(32)
        values: dict[str, Value | int] = {
            **self._constants,
            CONTROL.name: 0,
            STATUS.name: self.status,
            "ERRORS": self.errors,
            "SCRATCH": scratch,
        }
        counts = {name: self.counters[k] for k, (name, _, _) in enumerate(self._map.counters)}
        m.d.comb += self.read_error.eq(1)
        with m.Switch(self.read_word):
            for register in self._map.registers:
                if not register.access.reads:
                    continue
                with m.Case(register.offset >> 2):
                    m.d.comb += self.read_error.eq(0)
                    base, _, half = register.name.rpartition("_")
                    if base in counts:
                        value = counts[base][:32] if half == "LOW" else latched
                        with m.If(self.read_valid & (half == "LOW")):
                            m.d.sync += latched.eq(counts[base][32:])
                    else:
                        value = values[register.name]
                    m.d.comb += self.read_data.eq(value)
