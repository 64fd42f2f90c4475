"""Proof that a checksum is the CRC-32: what a net is, as an exclusive or of other nets.

Whether two sums modulo 2 are equal is hard for a solver that knows nothing of them, and easy for
one that does. `Parities` goes through the cells once and gives each net as a set of variables, of
which it is the exclusive or, and a constant. Two nets are the same function if and only if both are
equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convexon.plan.image import WORD_BITS
from convexon_hdl.folded.loader import Loader
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Netlist, require

CRC_POLYNOMIAL = 0xEDB88320
"""That of Ethernet, its bits in the order in which they are sent."""


class Parities:
    """Nets as exclusive ors of ``variables``.

    A function is an integer: bit 0 is its constant, bit k + 1 says whether variable k counts.

    Parameters
    ----------
    netlist : Netlist
    variables : sequence of Bit
    assumed : mapping of Bit to int
        Nets that are constant in the case at hand.
    """

    def __init__(
        self, netlist: Netlist, variables: Sequence[Bit], *, assumed: Mapping[Bit, int]
    ) -> None:
        self._netlist = netlist
        self._known: dict[Bit, int] = {"0": 0, "1": 1}
        self._known |= {bit: 2 << k for k, bit in enumerate(variables)}
        self._known |= assumed

    def of(self, bit: Bit) -> int:
        """The function that a net is; `RefutedError` if it is no exclusive or."""
        if bit not in self._known:
            self._known[bit] = self._driven(bit)
        return self._known[bit]

    def _driven(self, bit: Bit) -> int:
        cell, index = self._netlist.driver(bit)
        ports, where = cell.ports, self._netlist.described(bit)
        if cell.kind == "$mux":
            select = self.of(ports["S"][0])
            require(select in (0, 1), f"{where} must be chosen by a net that is known")
            return self.of(ports["B" if select else "A"][index])
        require(cell.kind in ("$xor", "$not"), f"{where} must be an exclusive or, not {cell.kind}")
        reads = [ports[name] for name in ("A", "B") if name in ports]
        require(all(index < len(r) for r in reads), f"{where} must read as many bits as it has")
        value = int(cell.kind == "$not")
        for bits in reads:
            value ^= self.of(bits[index])
        return value


def check_checksum(emitted: Emitted, loader: Loader) -> None:
    """The CRC-32 of the words since ``start``, bit after bit by the polynomial's definition.

    ``crc`` is the complement of a register that begins with ones; a word's bits are shifted through
    it, the lowest one first.
    """
    netlist, where = emitted.netlist, f"{emitted.path(loader)}.checksum"
    start, valid, data, crc, register = (
        emitted.local(loader, f"checksum.{name}")
        for name in ("start", "valid", "data", "crc", "crc_reg")
    )
    register = _complemented(emitted, crc, register, where)
    registers = [netlist.register(bit) for bit in register]
    require(all(own.init == "1" for own in registers), f"{where} must begin with ones")
    for case in range(4):
        starts, takes = case & 1, case >> 1
        assumed = {start[0]: starts, valid[0]: takes}
        parities = Parities(netlist, [*register, *data], assumed=assumed)
        expected = _shifted(starts=bool(starts), takes=bool(takes))
        for place, (own, value) in enumerate(zip(registers, expected, strict=True)):
            what = f"{where} bit {place} with start {starts} and valid {takes}"
            require(parities.of(own.after) == value, f"{what} must follow the polynomial")


def _complemented(emitted: Emitted, crc: Bits, register: Bits, where: str) -> Bits:
    """Bits of ``register`` whose complements are those of ``crc``."""
    parities = Parities(emitted.netlist, register, assumed={})
    found = []
    for place, bit in enumerate(crc):
        function = parities.of(bit)
        single = [own for k, own in enumerate(register) if function == 1 | 2 << k]
        require(len(single) == 1, f"{where} bit {place} must be the complement of a register's")
        found += single
    return tuple(found)


def _shifted(*, starts: bool, takes: bool) -> list[int]:
    """The register after a clock, as functions of its own bits and those of the word."""
    value = [1 if starts else 2 << k for k in range(WORD_BITS)]
    for k in range(WORD_BITS if takes else 0):
        feedback = value[0] ^ 2 << (WORD_BITS + k)
        value = [*value[1:], 0]
        for place in range(WORD_BITS):
            if CRC_POLYNOMIAL >> place & 1:
                value[place] ^= feedback
    return value
