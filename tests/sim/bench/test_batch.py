"""Several accelerators in one design: names stay apart, and each is judged by its own."""

from __future__ import annotations

import dataclasses
import re

import pytest

from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Reset
from convexon_sim.bench.batch import Instance, combine, renamed
from convexon_sim.bench.runner import simulate_all
from convexon_sim.trial import Trial
from sim_bench import bundle_of, cycles_of, icarus, inputs_of, small_network, with_first_layer

pytestmark = pytest.mark.usefixtures("build_cache")

TEXT = """\
module top(clk);
  input clk;
  \\top.part  part (
    .clk(clk)
  );
  memory #(.width(3)) memory (clk);
endmodule
module \\top.part (clk);
  input clk;
  top_like other (clk);
endmodule
module memory(clk);
  input clk;
endmodule
"""


def test_every_module_of_a_design_is_renamed_and_nothing_else() -> None:
    text = renamed(TEXT, "n1.")
    assert re.findall(r"module (\S+)", text) == ["\\n1.top", "\\n1.top.part", "\\n1.memory"]
    assert "  \\n1.top.part  part (" in text
    assert "  \\n1.memory  #(.width(3)) memory (clk);" in text
    assert "  top_like other (clk);" in text, "declared elsewhere"


def test_one_accelerator_stays_as_it_is() -> None:
    bundle = bundle_of(small_network())
    batch = combine([bundle, bundle])
    assert (batch.top, batch.verilog, batch.digest) == (bundle.top, bundle.verilog, bundle.digest)
    assert batch.instances[bundle.digest] == Instance()


def trial_of(network: FixedPointNetwork, emitted: FixedPointNetwork) -> Trial:
    inputs = inputs_of(network, 6)
    expected = golden.run(network, inputs)
    return Trial(
        bundle=bundle_of(emitted),
        inputs=inputs,
        expected=expected,
        cycles=cycles_of(network, inputs, expected),
    )


def test_the_wrong_one_of_several_is_named_and_the_others_pass() -> None:
    network = small_network()
    other = dataclasses.replace(network, n_steps=6)
    wrong = with_first_layer(network, reset=Reset.ZERO)
    pairs = [(network, network), (network, wrong), (other, other), (wrong, wrong)]
    verdicts = simulate_all([trial_of(*pair) for pair in pairs], icarus())
    assert [verdict.passed for verdict in verdicts] == [True, False, True, True]
    assert verdicts[1].first is not None
    assert verdicts[1].first.startswith("membrane at sample ")
