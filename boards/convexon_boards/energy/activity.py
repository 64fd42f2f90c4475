"""What a simulator is to count in a mapped netlist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convexon.plan.energy.switching import Watch
from convexon_boards.energy.nets import Nets
from convexon_boards.tools.netlist_model import WATCHED, simulation_model
from convexon_boards.tools.synthesis import Netlist


def watch_of(netlist: Netlist, nets: Nets, ports: Mapping[str, Any]) -> Watch:
    """Return the netlist with models of its cells, and a port that shows all of its nets.

    Parameters
    ----------
    netlist : Netlist
    nets : Nets
        Of the netlist.
    ports : mapping
        Its clock, and where it has them reset and streams, as ports.json states them.

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    return Watch(
        verilog=simulation_model(netlist, watched=nets.bits),
        top=netlist.top,
        ports=ports,
        port=WATCHED,
        n_nets=len(nets.bits),
        together=nets.accesses,
    )
