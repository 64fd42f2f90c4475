"""The accelerator with AXI4-Stream for data and AXI4-Lite for control."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import (
    Cat,
    ClockDomain,
    Const,
    DomainRenamer,
    Fragment,
    Module,
    Mux,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.accelerator import Accelerator, input_width
from convexon_hdl.axi.bank import RegisterBank
from convexon_hdl.axi.counters import COUNTER_BITS, Popcount, WideCounter
from convexon_hdl.axi.framing import (
    InferenceGuard,
    PacketFormat,
    ResultWordLayout,
    WordLayout,
    require_width,
)
from convexon_hdl.axi.lite import LiteSlave, lite_members
from convexon_hdl.axi.packing import RecordFormat, ResultPacker
from convexon_hdl.axi.registers import IDENTITY, MAP_VERSION, STREAM, WORDS, RegisterMap
from convexon_hdl.axi.taps import ActivityTap, activity_taps
from convexon_hdl.ports import probes
from convexon_hdl.streams import SkidBuffer

EXTRA_LATENCY = 3
"""Clocks that the word streams add: a register before the accelerator and two behind it."""

CORE = "core"
"""Clock domain of the accelerator: the clock of all, and a reset that restarts it alone."""


class AxiAccelerator(wiring.Component):
    """An accelerator behind AXI.

    ``s_axis`` takes packets, one an inference, as `PacketFormat` lays them out: its time steps, or
    with an encoder its levels, ``tlast`` on the packet's last word. ``m_axis`` gives the results as
    `RecordFormat` lays them out, ``tlast`` on the last word of an inference's last result.
    ``s_axil`` holds the registers of `RegisterMap`. ::

        s_axis -> skid -> guard -> accelerator -> packer -> skid -> m_axis

    A packet of the wrong length, or command RESET in the middle of one, loses that inference and no
    other (`InferenceGuard`); ``aresetn`` forgets everything but loaded weights. Outputs come from
    flip-flops. With a rule that decides early, a result may leave before its packet ends. A fault
    after it counts as an error, and the result stands.

    RESET also abandons a load of weights. Words that come after it wait until it is over, so none
    of them is lost; a broken packet leaves a load alone.

    Latency: where nothing stalls and the accelerator has L clocks from an inference's last transfer
    to its result, L + EXTRA_LATENCY clocks from a packet's last word to the first word of its
    result. A transfer of one word is taken in every clock in which the accelerator takes one.
    Resources: the accelerator's and the parts'; a spike counter for each layer.

    tdata has ``width`` bits: 32, 64 or 128. ``digest`` is that of the card, ``sha256:`` and
    hexadecimal digits; registers hold its first 64 bits, or 0 where there is none. Where the
    accelerator has the stream ``load``, weights are loaded through register WEIGHTS.

    Raises `InputError` if the accelerator, the width or the digest is none, or a length does not
    fit its register.
    """

    def __init__(self, accelerator: Accelerator, *, width: int = 32, digest: str = "") -> None:
        if not isinstance(accelerator, Accelerator):
            kind = type(accelerator).__name__
            raise InputError(f"accelerator must be an Accelerator, not {kind}")
        self.accelerator = accelerator
        self.width = require_width(width)
        self.packet = PacketFormat.of(accelerator, width)
        self._digest = _first_bits(digest)
        self._probes = probes(accelerator)
        layers = tuple((probe["branch"], probe["layer"]) for probe in self._probes)
        self.register_map = RegisterMap(layers=layers, loadable=hasattr(accelerator, "load"))
        self.constants = self._described()
        lite = lite_members(self.register_map.address_bits)
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(width),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(width),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
                **{f"s_axil_{name}": member for name, member in lite.items()},
            }
        )

    def _described(self) -> Mapping[str, int]:
        """Make the registers that never change; `InputError` if a length does not fit."""
        network, packet = self.accelerator.network, self.packet
        record = RecordFormat.of(network, self.width)
        return {
            "ID": IDENTITY,
            "VERSION": MAP_VERSION,
            "DIGEST_HIGH": self._digest >> 32,
            "DIGEST_LOW": self._digest & 0xFFFFFFFF,
            "N_INPUTS": network.n_inputs,
            "INPUT_BITS": input_width(self.accelerator.mapping, network),
            "N_STEPS": network.n_steps,
            "N_CLASSES": network.n_classes,
            "N_BRANCHES": len(network.branches),
            "N_LAYERS": len(self._probes),
            "STREAM": STREAM.content(WORD_BITS=self.width, SLOT_BITS=record.slot_bits),
            "WORDS": WORDS.content(TRANSFER=packet.n_words, RESULT=record.n_words),
            "N_TRANSFERS": packet.n_transfers,
        }

    def elaborate(self, platform: object) -> Module:
        """Build the path of the words, and the registers beside it."""
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.domains.core = core = ClockDomain()
        core_reset = Signal()
        m.d.comb += [
            sync.clk.eq(self.aclk),
            sync.rst.eq(~self.aresetn),
            core.clk.eq(self.aclk),
            core.rst.eq(~self.aresetn | core_reset),
        ]
        per_step = self.accelerator.network.readout_mode is ReadoutMode.STEP
        m.submodules.guard = guard = InferenceGuard(self.packet, per_step=per_step)
        m.d.comb += core_reset.eq(guard.reset)
        taps, aborted = self._datapath(m, guard, platform)
        self._registers(m, guard, taps, aborted)
        return m

    def _datapath(
        self, m: Module, guard: InferenceGuard, platform: object
    ) -> tuple[tuple[ActivityTap, ...], Value]:
        """Words in, inferences through the accelerator, words out.

        Returns the layers' taps, and whether the word on ``m_axis`` is of an aborted inference.
        """
        m.submodules.input_skid = before = SkidBuffer(WordLayout(self.width))
        m.submodules.output_skid = behind = SkidBuffer(ResultWordLayout(self.width))
        m.submodules.packer = packer = ResultPacker(self.accelerator.network, width=self.width)
        # Elaborated here and now, so that the signals of its parts can be found.
        fragment = Fragment.get(self.accelerator, platform)
        taps = activity_taps(fragment, self._probes)
        m.submodules.accelerator = DomainRenamer(CORE)(fragment)
        result = self.accelerator.o
        wiring.connect(m, before.o, guard.i)
        wiring.connect(m, packer.o, behind.i)
        m.d.comb += [
            before.i.payload.data.eq(self.s_axis_tdata),
            before.i.payload.last.eq(self.s_axis_tlast),
            before.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(before.i.ready),
            self.accelerator.i.payload.eq(guard.o.payload),
            self.accelerator.i.valid.eq(guard.o.valid),
            guard.o.ready.eq(self.accelerator.i.ready),
            packer.i.payload.eq(result.payload),
            packer.i.valid.eq(result.valid & ~guard.shut),
            result.ready.eq(packer.i.ready & ~guard.shut),
            guard.given.eq(result.valid & result.ready),
            guard.given_last.eq(result.payload.last),
            packer.abort.eq(guard.aborted),
            guard.aborted_ready.eq(packer.abort_ready),
            self.m_axis_tdata.eq(behind.o.payload.data),
            self.m_axis_tlast.eq(behind.o.payload.last),
            self.m_axis_tvalid.eq(behind.o.valid),
            behind.o.ready.eq(self.m_axis_tready),
        ]
        return taps, behind.o.payload.aborted

    def _registers(
        self, m: Module, guard: InferenceGuard, taps: tuple[ActivityTap, ...], aborted: Value
    ) -> None:
        """AXI4-Lite, the bank, and the counters."""
        m.submodules.lite = lite = LiteSlave(address_bits=self.register_map.address_bits)
        m.submodules.bank = bank = RegisterBank(self.register_map, constants=self.constants)
        for name, member in lite_members(self.register_map.address_bits).items():
            outer, inner = getattr(self, f"s_axil_{name}"), getattr(lite, name)
            m.d.comb += inner.eq(outer) if member.flow is In else outer.eq(inner)
        wiring.connect(m, lite.access, bank.access)
        m.d.comb += [
            guard.restart.eq(bank.restart),
            bank.status.eq(Cat(guard.busy, self.m_axis_tvalid, *self._weights(m, guard, bank))),
        ]
        self._errors(m, guard, bank)
        self._counters(m, bank, taps, aborted)

    def _weights(self, m: Module, guard: InferenceGuard, bank: RegisterBank) -> tuple[Value, ...]:
        """Connect the loading of weights, if there is any; returns the last fields of STATUS."""
        if not self.register_map.loadable:
            return Const(0), Const(1), Const(0), Const(0)
        source, load = self.accelerator, bank.load
        passes = guard.running  # not while a reset is due, which would lose the words
        m.d.comb += [
            source.load.payload.eq(load.payload),
            source.load.valid.eq(load.valid & passes),
            load.ready.eq(source.load.ready & passes),
        ]
        return Const(1), source.loaded, source.refused, ~load.valid

    def _errors(self, m: Module, guard: InferenceGuard, bank: RegisterBank) -> None:
        """Count broken packets, up to what a register holds."""
        errors = Signal(32)
        m.d.comb += bank.errors.eq(errors)
        with m.If(bank.clear):
            m.d.sync += errors.eq(0)
        with m.Elif(guard.broken & ~errors.all()):
            m.d.sync += errors.eq(errors + 1)

    def _counters(
        self, m: Module, bank: RegisterBank, taps: tuple[ActivityTap, ...], aborted: Value
    ) -> None:
        """One counter for each of the map's, in its order."""
        given = self.m_axis_tvalid & self.m_axis_tready & self.m_axis_tlast & ~aborted
        amounts = [
            given,
            Const(1, 1),
            self.s_axis_tvalid & ~self.s_axis_tready,
            self.m_axis_tvalid & ~self.m_axis_tready,
            *(self._spikes(m, tap) for tap in taps),
        ]
        pairs = zip(self.register_map.counters, amounts, strict=True)
        for k, ((name, _, _), amount) in enumerate(pairs):
            counter = WideCounter(amount_bits=len(amount), bits=COUNTER_BITS)
            m.submodules[f"counter_{name.lower()}"] = counter
            m.d.comb += [
                counter.amount.eq(amount),
                counter.clear.eq(bank.clear),
                bank.counters[k].eq(counter.count),
            ]

    def _spikes(self, m: Module, tap: ActivityTap) -> Signal:
        """Spikes of one layer in a step, counted behind registers."""
        place = f"{tap.branch}_{tap.layer}"
        spikes = Signal(len(tap.spikes), name=f"spikes_{place}")
        m.d.sync += spikes.eq(Mux(tap.completes, tap.spikes, 0))
        m.submodules[f"popcount_{place}"] = popcount = Popcount(n_bits=len(tap.spikes))
        m.d.comb += popcount.bits.eq(spikes)
        return popcount.count


def _first_bits(digest: str) -> int:
    """First 64 bits of a digest; 0 of an empty one."""
    if not digest:
        return 0
    try:
        return int(digest.removeprefix("sha256:")[:16].ljust(16, "0"), 16)
    except ValueError:
        raise InputError(f"digest must be sha256: and hexadecimal digits, not {digest!r}") from None
