# amaranth: UnusedElaboratable=no
"""Wrappers for VHDL and SystemVerilog, compiled by GHDL and Verilator against the real ports."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hdl_bench import random_layer, random_network

from convexon.plan.mapping import Mapping
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import Host, emit
from convexon_hdl.emit.wrappers import systemverilog, vhdl
from convexon_sim.lint import UNITS, lint

PACKAGE = "accelerator_sv_pkg.sv"


def network(n_classes: int = 3, input_bits: int = 2, n_inputs: int = 3) -> FixedPointNetwork:
    rng = np.random.default_rng(3)
    layers = (random_layer(rng, n_inputs, 4), random_layer(rng, 4, 2))
    return random_network(
        rng, (layers,), mode=ReadoutMode.STEP, n_classes=n_classes, input_bits=input_bits
    )


def bundle_of(net: FixedPointNetwork) -> RtlBundle:
    return emit(net, Mapping.spatial(net), host=Host.AXI, parents={"card": "sha256:" + "ab" * 32})


@pytest.fixture(scope="module")
def bundle() -> RtlBundle:
    return bundle_of(network())


@pytest.fixture(scope="module")
def smallest() -> RtlBundle:
    """Every vector that can be a single bit is one."""
    return bundle_of(network(n_classes=1, input_bits=1, n_inputs=1))


def changed(bundle: RtlBundle, name: str, old: str, new: str) -> RtlBundle:
    text = bundle.others[name]
    assert old in text
    return dataclasses.replace(bundle, others={**bundle.others, name: text.replace(old, new)})


def test_every_top_module_passes_verilator(bundle: RtlBundle, smallest: RtlBundle) -> None:
    assert {top for top, files in UNITS.items() if set(files) <= set(bundle.files)} == set(UNITS)
    assert lint(bundle) == ()
    assert lint(smallest) == ()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (PACKAGE, "[HIGH:0] scores_t", "[HIGH+1:0] scores_t"),
        (PACKAGE, "[HIGH:0] scores_t", "[HIGH-1:0] scores_t"),
        (PACKAGE, "[2:0] scores;", "[3:0] scores;"),
        (PACKAGE, "[2:0][1:0] step_t", "[3:0][1:0] step_t"),
        (PACKAGE, "[2:0][1:0] step_t", "[2:0][0:0] step_t"),
        (PACKAGE, "    last_t last;\n", ""),
        ("accelerator_sv_example.sv", ".i__valid", ".i_valid"),
        ("accelerator_vhdl.v", ".o__ready", ".o_ready"),
        ("accelerator_vhdl.v", "input [5:0] i_payload", "input [4:0] i_payload"),
        ("accelerator_vhdl.v", "output o_valid", "output [1:0] o_valid"),
    ],
)
def test_wrong_wrapper_is_caught_by_verilator(
    bundle: RtlBundle, name: str, old: str, new: str
) -> None:
    scores = bundle.ports["streams"]["o"]["fields"][1]
    high = str(scores["width"] - 1)
    assert lint(changed(bundle, name, old.replace("HIGH", high), new.replace("HIGH", high)))


def test_structure_has_every_field_where_the_ports_have_it(bundle: RtlBundle) -> None:
    """Read the text back: widths of types, order of members, and the parameters."""
    text = bundle.others[PACKAGE]
    types = {
        name: (int(high) + 1, bool(sign))
        for sign, high, name in re.findall(r"typedef logic( signed)? \[(\d+):0\] (\w+);", text)
    }
    members = re.search(r"struct packed \{(.*?)\} result_t;", text, re.DOTALL)
    assert members
    offset, found = 0, []
    lines = re.findall(r"(\w+_t)(?: \[(\d+):0\])? (\w+);", members[1])
    for kind, high, name in reversed(lines):  # the first member is the highest
        (width, sign), count = types[kind], int(high or 0) + 1
        found.append(
            {"name": name, "offset": offset, "width": width, "count": count, "signed": sign}
        )
        offset += width * count
    assert found == bundle.ports["streams"]["o"]["fields"]
    parameters = dict(re.findall(r"localparam int unsigned (\w+) = (\d+);", text))
    for field in found:
        assert int(parameters[f"O_{field['name'].upper()}_OFFSET"]) == field["offset"]
        assert int(parameters[f"O_{field['name'].upper()}_WIDTH"]) == field["width"]
    assert int(parameters["O_WIDTH"]) == offset
    assert (parameters["LATENCY_CYCLES"], parameters["INTERVAL_CYCLES"]) == ("7", "4")


def black_boxes(bundle: RtlBundle) -> str:
    """Empty VHDL entities with the ports that Yosys finds in the Verilog."""
    entities = []
    for top, files in ((vhdl.SHIM, UNITS[vhdl.SHIM]), ("accelerator_axi", ("accelerator_axi.v",))):
        script = [*(f"read_verilog {file}" for file in files), f"hierarchy -top {top}", "proc"]
        inputs = {file: bundle.files[file] for file in files}
        script.append("write_json ports.json")
        result = yosys.run(script, inputs=inputs, outputs=["ports.json"])
        design = json.loads(result.files["ports.json"])
        ports = []
        for name, port in design["modules"][top]["ports"].items():
            width = len(port["bits"])
            kind = "std_logic" if width == 1 else f"std_logic_vector({width - 1} downto 0)"
            ports.append(f"{name} : {port['direction'].removesuffix('put')} {kind}")
        entities.append(
            "library ieee;\nuse ieee.std_logic_1164.all;\n"
            f"entity {top} is port ({'; '.join(ports)}); end {top};\n"
            f"architecture empty of {top} is begin end empty;\n"
        )
    return "\n".join(entities)


@pytest.fixture(scope="module")
def boxes(bundle: RtlBundle) -> str:
    return black_boxes(bundle)


def ghdl(bundle: RtlBundle, boxes: str, folder: Path, standard: str) -> str:
    """Analyse package and example, elaborate both examples; what GHDL complains of."""
    if shutil.which("ghdl") is None:
        pytest.skip("GHDL is not installed, so no VHDL was compiled: apt-get install ghdl")
    files = {"boxes.vhd": boxes}
    for name in ("accelerator.vhd", "accelerator_example.vhd"):
        files[name] = bundle.others[name]
    for name, text in files.items():
        (folder / name).write_text(text)
    common = [f"--std={standard}", f"--workdir={folder}"]
    commands = [["ghdl", "-a", *common, *(str(folder / name) for name in files)]]
    for entity in ("accelerator_vhdl_example", "accelerator_axi_example"):
        # Names are checked when the design is bound, bounds when it starts. By the letter of
        # VHDL-93 the component would hide the entity from default binding, hence --syn-binding.
        run = ["ghdl", "--elab-run", *common, "--syn-binding", entity]
        commands.append([*run, "--stop-time=1ns"])
    output = ""
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        output += done.stdout + done.stderr + ("failed\n" if done.returncode else "")
    return output


@pytest.mark.parametrize("standard", ["93", "08"])
def test_ghdl_elaborates_the_examples_on_the_real_ports(
    bundle: RtlBundle, smallest: RtlBundle, tmp_path: Path, standard: str
) -> None:
    for k, each in enumerate((bundle, smallest)):
        folder = tmp_path / str(k)
        folder.mkdir()
        assert ghdl(each, black_boxes(each), folder, standard) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("i_payload", "i_payloads"),
        ("o_valid", "o_vaild"),
        ("s_axis_tlast", "s_axis_last"),
        ("i_payload : in std_logic_vector(5 ", "i_payload : in std_logic_vector(6 "),
        ("i_valid : in std_logic", "i_valid : in std_logic_vector(0 downto 0)"),
        ("i_ready : out std_logic", "i_ready : in std_logic"),
        ("component accelerator_vhdl", "component accelerator_core"),
    ],
)
def test_wrong_component_is_caught_by_ghdl(
    bundle: RtlBundle, boxes: str, tmp_path: Path, old: str, new: str
) -> None:
    """The fault is in package and example alike, so only the real ports can tell."""
    both = changed(bundle, "accelerator.vhd", old, new)
    old, new = old.replace("component", "core :"), new.replace("component", "core :")
    example = both.others["accelerator_example.vhd"].replace(old, new)
    both = dataclasses.replace(both, others={**both.others, "accelerator_example.vhd": example})
    assert ghdl(both, boxes, tmp_path, "08") != ""


RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        abs access after alias all and architecture array assert attribute begin block
        body buffer bus case component configuration constant disconnect downto else elsif
        end entity exit file for function generate generic group guarded if impure in
        inertial inout is label library linkage literal loop map mod nand new next nor not
        null of on open or others out package port postponed procedure process pure range
        record register reject rem report return rol ror select severity signal shared sla
        sll sra srl subtype then to transport type unaffected units until use variable
        wait when while with xnor xor always assign automatic bit bits byte class const
        cover do edge enum event final force forever fork inside input int interface join
        local logic module output packed parameter priority property reg repeat sequence
        static string struct table task this time unique unsigned void wire
        """,
    )
)
"""Words that VHDL or SystemVerilog reserves."""


def test_names_are_legal_in_both_languages(bundle: RtlBundle) -> None:
    text = bundle.others["accelerator.vhd"]
    names = re.findall(r"(\w+) : (?:in|out|natural)\b", text)
    names += [*re.findall(r"component (\w+)", text), vhdl.PACKAGE, systemverilog.PACKAGE]
    assert len(names) > 30
    for name in names:
        assert re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name), name
        assert name.lower() not in RESERVED, name


def test_bundle_without_a_bus_has_no_file_of_it(bundle: RtlBundle) -> None:
    net = network()
    plain = emit(net, Mapping.spatial(net), parents=bundle.parents)
    assert plain.verilog == bundle.verilog
    extra = set(bundle.files) - set(plain.files)
    assert extra == {"accelerator_axi.v", "accelerator_axi.h", "registers.json"}
    assert "accelerator_axi" not in plain.others["accelerator.vhd"]


def test_header_of_c_says_what_the_map_says(bundle: RtlBundle, tmp_path: Path) -> None:
    """A C compiler reads every macro back."""
    registers = json.loads(bundle.others["registers.json"])["registers"]
    expected = []
    lines = ["#include <stdio.h>", '#include "accelerator_axi.h"', "int main(void) {"]
    for register in registers:
        lines.append(f'printf("%u\\n", CONVEXON_{register["name"]}_OFFSET);')
        expected.append(register["offset"])
        for field in register["fields"]:
            lines.append(f'printf("%u\\n", CONVEXON_{register["name"]}_{field["name"]}_MASK);')
            expected.append(((1 << field["width"]) - 1) << field["offset"])
    (tmp_path / "main.c").write_text("\n".join([*lines, "return 0; }", ""]))
    (tmp_path / "accelerator_axi.h").write_text(bundle.others["accelerator_axi.h"])
    command = ["g++", "-x", "c", "-Wall", "-Werror", "-o", "main", "main.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert [int(line) for line in done.stdout.split()] == expected
