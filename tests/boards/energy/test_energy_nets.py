"""The nets of a netlist, and their toggles: both counted by hand for a small circuit."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from convexon.errors import InputError, MismatchError
from convexon.plan.cost.resources import CellReport
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.snn.models.simulate import run
from convexon_boards.energy.device import device_of
from convexon_boards.energy.estimate import energy_of
from convexon_boards.energy.nets import Driver, nets_of, watch_of
from convexon_boards.families import part_of
from convexon_boards.tools.synthesis import Netlist, synthesize, synthesize_verilog
from convexon_hdl.emit.emitter import emit
from convexon_sim.programs.activity import count_free, count_switching
from small_run import small_network
from tiers import leading

ICE40UP5K = part_of("iCE40UP5K-SG48")

pytestmark = pytest.mark.usefixtures("build_cache")

PORTS = {"clock": "clk"}


def circuit(family: Family) -> Netlist:
    """A counter of two bits and a LUT of both: it gives 0, 0, 0, 1 and so on."""
    verilog = """
module two(input clk, output both);
  reg [1:0] count = 0;
  always @(posedge clk) count <= {count[1] ^ count[0], ~count[0]};
  assign both = &count;
endmodule
"""
    return synthesize_verilog(verilog, "two", family)


@pytest.mark.parametrize("family", [Family.ICE40, Family.ECP5])
def test_a_circuit_counted_by_hand(family: Family) -> None:
    netlist = circuit(family)
    nets = nets_of(netlist)
    assert netlist.cells.lut4 == 3
    assert sorted(d.value for d in nets.drivers) == ["logic"] * 3 + ["registers"] * 2
    assert nets.clocked == 2
    counted = count_free(watch_of(netlist, nets, PORTS), 400)
    assert counted.clocks == 400
    # Bit 0 and its inverse toggle at every clock, bit 1 and its next value at every second, and
    # both is 1 in one clock of four: two toggles in four.
    assert sorted(counted.toggles.tolist()) == [200, 200, 200, 400, 400]
    pins = dict.fromkeys(Driver, 0)
    for driver, n in zip(nets.drivers, nets.pins, strict=True):
        pins[driver] += int(n)
    # Bit 0 leads to three LUTs, bit 1 to two; of the LUTs, only what leaves the circuit is routed.
    assert (pins[Driver.REGISTER], pins[Driver.LOGIC]) == (5, 1)


def test_a_wrong_table_is_counted_otherwise() -> None:
    netlist = circuit(Family.ICE40)
    nets = nets_of(netlist)
    module = json.loads(netlist.json)
    luts = [c for c in module["modules"]["two"]["cells"].values() if c["type"] == "SB_LUT4"]
    (last,) = module["modules"]["two"]["ports"]["both"]["bits"]
    (lut,) = (c for c in luts if c["connections"]["O"] == [last])
    lut["parameters"]["LUT_INIT"] = "0" * 16
    mutant = dataclasses.replace(netlist, json=json.dumps(module))
    counted = count_free(watch_of(mutant, nets, PORTS), 400)
    assert sorted(counted.toggles.tolist()) == [0, 200, 200, 400, 400]


def test_a_net_that_many_flip_flops_are_enabled_by_counts_once_for_each_block() -> None:
    verilog = """
module shared(input clk, input enable, input [15:0] d, output reg [15:0] q);
  always @(posedge clk) if (enable) q <= d;
endmodule
"""
    netlist = synthesize_verilog(verilog, "shared", Family.ICE40)
    nets = nets_of(netlist)
    (enable,) = json.loads(netlist.json)["modules"]["shared"]["ports"]["enable"]["bits"]
    assert nets.pins[nets.bits.index(enable)] == 2
    inputs = [n for d, n in zip(nets.drivers, nets.pins, strict=True) if d is Driver.INPUT]
    assert sorted(int(n) for n in inputs) == [1] * 16 + [2]


def test_the_accesses_of_a_block_memory_are_counted() -> None:
    verilog = """
module stored(input clk, output reg [15:0] word);
  reg [15:0] memory [0:255];
  reg [7:0] at = 0;
  integer k;
  initial for (k = 0; k < 256; k = k + 1) memory[k] = k * 40503;
  always @(posedge clk) begin
    at <= at + 1;
    if (at[1:0] == 0) word <= memory[at];
  end
endmodule
"""
    netlist = synthesize_verilog(verilog, "stored", Family.ICE40)
    assert netlist.cells.block_ram == 1
    nets = nets_of(netlist)
    assert len(nets.accesses) == 1, "a memory that is never written has one port"
    counted = count_free(watch_of(netlist, nets, PORTS), 400)
    assert counted.highs.tolist() == [100]
    device = device_of(ICE40UP5K)
    energy = energy_of(nets, counted, device, clock_mhz=12.0)
    without = dataclasses.replace(counted, highs=np.array([0]))
    less = energy_of(nets, without, device, clock_mhz=12.0)
    gone = energy.resources["block RAM"].high - less.resources["block RAM"].high
    scale = (device.constants["supply"].high / device.volts) ** 2
    assert gone == pytest.approx(100 * device.constants["memory"].high * scale)


def test_a_cell_without_energies_is_refused_by_name() -> None:
    netlist = circuit(Family.ICE40)
    text = re.sub("SB_LUT4", "SB_MAC16", netlist.json)
    with pytest.raises(InputError, match=r"^no energy is known of a cell SB_MAC16: map"):
        nets_of(dataclasses.replace(netlist, json=text))


def test_a_family_without_energies_is_refused() -> None:
    netlist = circuit(Family.ICE40)
    cells = CellReport(**{**vars(netlist.cells), "family": Family.GOWIN})
    with pytest.raises(InputError, match=r"^energy must be of a part of ecp5, ice40, not of gowin"):
        nets_of(dataclasses.replace(netlist, cells=cells))


@pytest.mark.parametrize("family", leading([Family.ICE40, Family.ECP5]))
def test_the_netlist_that_is_counted_is_the_network(family: Family) -> None:
    network = small_network()
    bundle = emit(network, Mapping.spatial(network))
    netlist = synthesize(bundle, family)
    nets = nets_of(netlist)
    inputs = np.random.default_rng(3).integers(0, 2, (6, 4, 6)).astype(np.uint8)
    expected = run(network, inputs)
    watch = watch_of(netlist, nets, bundle.ports)
    counted = count_switching(watch, inputs, expected)
    assert (counted.samples, counted.clocks) == (6, 6 * network.n_steps + 2)
    wrong = run(network, 1 - inputs)
    with pytest.raises(MismatchError, match=r"^the netlist differs from the golden model: "):
        count_switching(watch, inputs, wrong)
