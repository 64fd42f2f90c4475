"""Networks that were trained elsewhere, through the front door and ``convexon import``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.dom.minidom import parse

import nir
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import convexon as cx
from convexon.cli import app
from convexon.errors import InputError
from convexon.flow.run import Run
from convexon.snn.card import CARD
from convexon.snn.models.real import RealLayer, RealNetwork, stack_spikes
from nir_graphs import graph_of, lif
from tiers import exhaustive

Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def digits() -> Data:
    X, y = load_digits(n_class=4, return_X_y=True)
    return X[:400] / 16.0, np.array(["zero", "one", "two", "three"])[y[:400]]


@pytest.fixture(scope="module")
def graph(digits: Data) -> nir.NIRGraph:
    """A random layer, and a trained one on its spike counts; both spike."""
    X, y = digits
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.12, (30, 64))
    hidden = graph_of(nir.Affine(weight, np.zeros(30)), lif(30))
    real = cx.from_nir(hidden)
    counts = stack_spikes(real.layers, np.repeat(X[:, None], 8, axis=1))[0].sum(axis=1)
    names, labels = np.unique(y, return_inverse=True)
    top = LogisticRegression(C=0.1, max_iter=500).fit(counts, labels)
    return graph_of(
        nir.Affine(weight, np.zeros(30)),
        lif(30),
        nir.Affine(top.coef_, top.intercept_ / 8 + 0.2),
        lif(len(names), tau=0.1, r=100.0),
    )


@pytest.fixture(scope="module")
def quantized(graph: nir.NIRGraph, digits: Data) -> Any:
    X, y = digits
    net = cx.from_nir(graph)
    return cx.quantize(net, calibrate=X[:200], labels=y[:200], steps=8, bits=6, input_bits=4)


def test_a_graph_becomes_a_network_that_names_classes(quantized: Any, digits: Data) -> None:
    X, y = digits
    found = quantized.compare(X[200:], y[200:])
    assert found.real > 0.8
    assert found.integer > found.real - 0.04
    assert found.same > 0.9
    assert found.disagreement.shape == (2, 8)
    assert set(quantized.network.predict(X[200:])) <= set(y)
    lines = str(quantized).splitlines()
    assert lines[0].startswith("n1: 30 neurons, ")
    assert lines[-2].startswith("on the calibration samples: accuracy ")
    assert lines[-1].startswith("first difference there: sample ")


def test_it_goes_on_to_hardware(tmp_path: Path) -> None:
    """A late reset and lateral weights among it, which are one matrix on the chip."""
    rng = np.random.default_rng(1)
    hidden = RealLayer(
        name="hidden",
        weights=rng.normal(0, 0.8, (5, 4)),
        biases=np.zeros(4),
        leak=np.full(4, 0.8),
        thresholds=np.ones(4),
        late=True,
        lateral=rng.normal(0, 0.3, (4, 4)),
    )
    net = RealNetwork(
        layers=(hidden,), readout_weights=np.eye(4)[:, :2], readout_biases=np.zeros(2)
    )
    spikes = rng.integers(0, 2, (12, 6, 5))
    found = cx.quantize(net, calibrate=spikes, bits=4)
    accelerator = cx.compile(found.network, target="ecp5")
    accelerator.write(tmp_path / "rtl")
    accelerator.verify(spikes, simulator="verilator").raise_if_different()


def test_bits_are_taken_away_within_the_bound(graph: nir.NIRGraph, digits: Data) -> None:
    X, y = digits
    front = cx.bit_widths(
        cx.from_nir(graph),
        calibrate=X[:120],
        labels=y[:120],
        steps=8,
        bits=3,
        rounding="nearest",
        most_lost=0.3,
    )
    assert len(front) > 1
    assert min(sum(choice.bits) for choice in front) < 6
    assert all(choice.accuracy >= front[0].accuracy - 0.3 for choice in front)
    for more, fewer in pairwise(front):
        assert more.weight_bits > fewer.weight_bits
        assert more.accuracy > fewer.accuracy


def test_weight_bits_are_those_that_are_stored(graph: nir.NIRGraph, digits: Data) -> None:
    X, y = digits
    common = {"calibrate": X[:60], "labels": y[:60], "steps": 4, "bits": 3, "least_rate": 0.0}
    front = cx.bit_widths(cx.from_nir(graph), most_lost=0.0, rounding="nearest", **common)
    last = front[-1]
    stored = (
        cx.quantize(cx.from_nir(graph), rounding="nearest", **{**common, "bits": last.bits})
        .network.card.branches[0]
        .layers
    )
    assert last.weight_bits == sum(
        int((layer.weights != 0).sum()) * layer.weight_format.width for layer in stored
    )


def test_classes_that_do_not_occur_are_not_guessed(graph: nir.NIRGraph, digits: Data) -> None:
    X, y = digits
    net = cx.from_nir(graph)
    some = y != "two"
    common = {"steps": 4, "bits": 4, "rounding": "nearest", "least_rate": 0.0}
    with pytest.raises(InputError, match=r"^samples must have all 4 classes of the network, "):
        cx.quantize(net, calibrate=X[some], labels=y[some], **common)
    numbers = np.array([["zero", "one", "two", "three"].index(name) for name in y[some]])
    found = cx.quantize(net, calibrate=X[some], labels=numbers, **common)
    assert found.network.classes == (0, 1, 2, 3)
    with pytest.raises(InputError, match=r"^samples must have all 4 classes of the network, "):
        cx.quantize(net, calibrate=X[some], labels=numbers + 1, **common)


def test_samples_that_do_not_fit_are_refused(graph: nir.NIRGraph, digits: Data) -> None:
    X, _ = digits
    net = cx.from_nir(graph)
    with pytest.raises(InputError, match=r"^steps must be given: "):
        cx.quantize(net, calibrate=X)
    with pytest.raises(InputError, match=r"^samples must have 64 inputs, as the network, not 63"):
        cx.quantize(net, calibrate=X[:, :63], steps=4)
    with pytest.raises(InputError, match=r"^bitz is no setting: did you mean bits\?$"):
        cx.quantize(net, calibrate=X, steps=4, bitz=4)
    with pytest.raises(InputError, match=r"^bits must be an integer of 1 to 16, not 17"):
        cx.quantize(net, calibrate=X, steps=4, bits=17)


def test_spikes_come_in_as_they_are(graph: nir.NIRGraph) -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (60, 5, 64))
    found = cx.quantize(cx.from_nir(graph), calibrate=spikes, bits=8, least_rate=0.0)
    assert (found.network.interface.coding, found.network.card.input_bits) == ("direct", 1)
    assert found.network.classes == (0, 1, 2, 3)
    short = cx.quantize(cx.from_nir(graph), calibrate=spikes[:, :1], bits=8, least_rate=0.0)
    assert (short.network.interface.coding, short.network.card.n_steps) == ("direct", 1)
    series = np.random.default_rng(0).normal(size=(60, 5, 64))
    other = cx.quantize(cx.from_nir(graph), calibrate=series, bits=8, least_rate=0.0)
    assert (other.network.interface.coding, other.network.card.input_bits) == ("series", 8)


def test_the_command_brings_a_graph_into_a_run(
    graph: nir.NIRGraph, digits: Data, tmp_path: Path
) -> None:
    file, data, run = tmp_path / "net.nir", tmp_path / "data.npz", tmp_path / "run"
    nir.write(file, graph)
    X, y = digits
    np.savez(data, features=X, labels=y)

    def convexon(*arguments: object) -> tuple[int, str, str]:
        found = CliRunner().invoke(app, [str(each) for each in arguments])
        return found.exit_code, found.stdout, found.stderr

    common = ("import", file, run, "--steps", 8, "--bits", 5, "--input-bits", 4)
    code, out, err = convexon(*common)
    assert (code, out) == (2, "")
    assert err == (
        "convexon: --data must be given: a network of real numbers is quantized by its spikes on "
        "samples\n"
    )
    code, out, err = convexon(*common, "--data", data, "--profile", "nestml")
    assert (code, out) == (2, "")
    assert err.startswith("convexon: --profile must be one of nir-euler, ")
    code, out, _ = convexon(*common, "--data", data)
    assert code == 0
    assert out.startswith("quantize: net.nir by nir-euler, dt = 0.001 s\nquantize: n1: ")
    assert "quantize: on 120 test samples: accuracy " in out
    assert Run(run).read("card", CARD).value.interface.classes == ("one", "three", "two", "zero")
    assert convexon("map", run)[0] == 0


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a graph under a readout that knows nothing, and spikes of three classes."""
    folder = tmp_path_factory.mktemp("streams")
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 120)
    rates = np.where(rng.random((3, 12)) < 0.4, 0.6, 0.08)
    spikes = (rng.random((120, 8, 12)) < rates[labels][:, None]).astype(np.uint8)
    np.savez(folder / "data.npz", spikes=spikes, labels=labels)
    hidden = nir.Affine(rng.normal(0, 0.5, (10, 12)), np.zeros(10))
    top = nir.Affine(rng.normal(0, 0.5, (3, 10)), np.zeros(3))
    nir.write(folder / "net.nir", graph_of(hidden, lif(10), top))
    return folder


def told(*arguments: object) -> str:
    """What a command says that ends well."""
    found = CliRunner().invoke(app, [str(each) for each in arguments])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_the_readout_is_solved_for_the_quantized_spikes(streams: Path) -> None:
    data = np.load(streams / "data.npz")
    net = cx.from_nir(streams / "net.nir")
    given = {"calibrate": data["spikes"], "labels": data["labels"], "bits": 3}
    trained, solved = (cx.quantize(net, readout=way, **given) for way in ("trained", "solve"))
    assert trained.certificate is None
    assert solved.certificate is not None
    assert solved.certificate.gap < 1e-6
    assert solved.calibration.integer > trained.calibration.integer + 0.3
    assert (solved.calibration.disagreement == trained.calibration.disagreement).all()
    with pytest.raises(InputError, match=r"^readout must be trained where samples have not labels"):
        cx.quantize(net, calibrate=data["spikes"], readout="solve")


def test_the_first_difference_is_the_first(streams: Path) -> None:
    spikes = np.load(streams / "data.npz")["spikes"]
    net = cx.from_nir(streams / "net.nir")
    found = cx.quantize(net, calibrate=spikes, bits=8, rounding="nearest")
    first = found.calibration.first
    assert first is not None
    assert first.sample > 0
    assert found.compare(spikes[: first.sample]).first is None
    assert first.real is not first.integer
    assert first.real is (first.membrane > first.threshold)


def test_what_came_in_goes_through_the_whole_house(streams: Path) -> None:
    run, data, plot = streams / "run", streams / "data.npz", streams / "front.svg"
    chosen = ("--data", data, "--bits", 4, "--most-lost", 0.1, "--rounding", "nearest")
    shown = told("quantize", streams / "net.nir", "--plot", plot, *chosen)
    alone = CliRunner().invoke(
        app, ["quantize", str(streams / "net.nir"), "--data", str(data), "--plot", str(plot)]
    )
    assert alone.exit_code == 2
    assert alone.stderr == "convexon: --plot must come with --most-lost, whose search it draws\n"
    assert "n1, by step, rounded alone -> as delivered: " in shown
    assert parse(str(plot)).documentElement.tagName == "svg"
    assert not run.exists()
    brought = told("import", streams / "net.nir", run, "--readout", "solve", *chosen)
    assert "quantize: first difference there: sample " in brought
    assert told("certify", run).splitlines()[-1] == "certify: 18 of 18 claims checked, none fails"
    told("map", run)
    told("emit", run)
    assert told("verify", run, "--simulator", "icarus").endswith("all equal\n")
    folded = ("--mapping", "spatial", "--mapping", "folded")
    swept = told("explore", streams / "sweep", "--network", run, *folded, "--jobs", 1)
    assert "explore: 2 points (2 computed, 0 reused), 0 do not fit, " in swept
    told("report", run, "--no-synthesize")
    page = (run / "report.md").read_text()
    assert "\n## Float and integer\n" in page
    assert "First difference there: sample " in page
    assert "\n## Bits of the layers\n" in page
    assert '"quantization.layer0.spike_disagreement"' in (run / "report.json").read_text()


@exhaustive
def test_what_came_in_is_proved_and_runs_on_a_board(streams: Path) -> None:
    run = streams / "board"
    chosen = ("--data", streams / "data.npz", "--bits", 4, "--readout", "solve")
    told("import", streams / "net.nir", run, *chosen)
    told("emit", run)
    assert "obligations proved" in told("prove", run)
    told("energy", run, "--part", "iCE40UP5K-SG48", "--freq", 12, "--samples", 1)
    told("build", run, "--board", "icebreaker")
    assert ", all equal, " in told("run", run, "--simulate", "--samples", 2)
