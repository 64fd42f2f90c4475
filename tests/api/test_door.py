"""The front door as its example writes it, on the digits, up to a simulated board."""

from __future__ import annotations

import gc
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import convexon as cx
from convexon.api import accelerator
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.errors import ArtefactError, InputError, LinkError, MismatchError
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.verify import verify_stage
from convexon.snn.models.trace import SpikeTrace
from convexon_hdl.emit.emitter import emit
from convexon_sim.simulator import SimulatorKind
from toy import toy_arrays, toy_file, toy_settings

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notices on pixels that are dark


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.reshape(-1, 8, 8), y, test_size=0.3, random_state=0, stratify=y
    )
    return X_train, X_test, y_train, y_test


@pytest.fixture(scope="module")
def clf(data: Any) -> cx.SpikingClassifier:
    X_train, _, y_train, _ = data
    clf = cx.SpikingClassifier(
        steps=4,
        coding="threshold",
        loss="softmax",
        max_neurons=32,
        fan_in=4,
        witnesses=300,
        rho=0.01,
        readout_bits=5,
        random_state=0,
    )
    return clf.fit(X_train, y_train)


@pytest.fixture(scope="module")
def net(clf: cx.SpikingClassifier) -> cx.Network:
    return clf.network_


@pytest.fixture(scope="module")
def acc(net: cx.Network, build_cache: Path) -> cx.Accelerator:
    del build_cache  # simulations are compiled there
    return cx.compile(net, target="icebreaker", clock="12 MHz")


def test_fit_predict_and_score(clf: cx.SpikingClassifier, data: Any) -> None:
    _, X_test, _, y_test = data
    assert set(clf.predict(X_test)) <= set(range(10))
    assert clf.predict_proba(X_test).shape == (len(X_test), 10)
    assert clf.score(X_test, y_test) > 0.7


def test_the_certificate_is_printed_and_checked(
    clf: cx.SpikingClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    print(clf.certificate_)  # noqa: T201
    assert capsys.readouterr().out.startswith("over its own ")
    assert clf.certificate_.check()


def test_the_network_is_applied_saved_and_loaded(
    clf: cx.SpikingClassifier, net: cx.Network, data: Any, tmp_path: Path
) -> None:
    X_new = data[1]
    figure = net.trace(X_new[:1]).plot()
    assert figure.data[0].name == "inputs"
    assert len(figure.data[0].x) == net.card.encode(X_new[:1]).sum()
    with pytest.raises(InputError, match=r"^sample must be 0 to 0, not 1$"):
        net.trace(X_new[:1]).plot(1)
    net.save(tmp_path / "digits.card.json")
    again = cx.load(tmp_path / "digits.card.json")
    np.testing.assert_array_equal(again.predict(X_new), clf.predict(X_new))
    np.testing.assert_array_equal(again.scores(X_new), net.scores(X_new))
    assert again.classes == tuple(range(10))


def test_a_mapping_that_fits_the_board_is_chosen(acc: cx.Accelerator) -> None:
    assert acc.latency.cycles > 0
    assert acc.latency.seconds == acc.latency.cycles / 12e6
    assert 0 < acc.resources.lut_sites <= 5280


def test_the_verilog_is_written_verified_and_proved(
    acc: cx.Accelerator, data: Any, tmp_path: Path
) -> None:
    _, X_test, _, _ = data
    acc.write(tmp_path / "rtl", host="axi")
    assert {"accelerator.v", "ports.json", "manifest.json"} <= {
        path.name for path in (tmp_path / "rtl").iterdir()
    }
    assert any("axi" in path.name for path in (tmp_path / "rtl").iterdir())
    acc.verify(X_test[:20], simulator="verilator").raise_if_different()
    assert acc.prove()


def test_a_simulated_board_says_what_the_network_says(
    acc: cx.Accelerator, net: cx.Network, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, X_test, _, _ = data
    build = acc.build(seeds=1)
    assert build.bitstream.stat().st_size > 1000
    with build.connect(simulate=True) as board:
        np.testing.assert_array_equal(board.predict(X_test[:10]), net.predict(X_test[:10]))
        wrong = SpikeTrace(layers=(), scores=np.zeros((1, 1, 1)), labels=np.array([[15]]))
        monkeypatch.setattr(accelerator, "send", lambda *_: wrong)
        with pytest.raises(LinkError, match=r"^the board must answer with a class below"):
            board.predict(X_test[:1])
    with pytest.raises(InputError, match=r"^port must be given, or simulate instead: "):
        build.connect().__enter__()


def test_a_sweep_has_a_front_in_a_table(clf: cx.SpikingClassifier, data: Any) -> None:
    X_train, _, y_train, _ = data
    small = clf.__class__(**{**clf.get_params(), "witnesses": 60, "max_neurons": 12})
    explored = cx.explore(small, X_train[:300], y_train[:300], targets=["icebreaker"], steps=[2, 4])
    table = explored.front.to_pandas()
    assert set(table["steps"]) <= {2, 4}
    assert set(table["board"]) == {"icebreaker"}
    assert {"accuracy.test", "latency.cycles.mean", "estimate.luts"} <= set(table.columns)
    assert len(table) == len(explored.front.points) > 0


def test_a_sweep_takes_any_labels_strengths_and_axes(tmp_path: Path) -> None:
    X, y = toy_arrays()
    names = pd.Series(np.array(["a", "b", "c"])[y])
    clf = cx.SpikingClassifier(witnesses=40, fan_in=3, max_neurons=6, random_state=None)
    explored = cx.explore(
        clf, pd.DataFrame(X), names, folder=tmp_path / "sweep", rho=0.01, luts=9999
    )
    (point,) = explored.exploration.points
    assert (point.settings["rho"], point.settings["budget"]) == ([0.01], {"luts": 9999})
    assert (tmp_path / "sweep" / "explore.html").exists()
    with pytest.raises(InputError, match=r"^\[sweep\] must have the keys .*, not 'neurons'$"):
        cx.explore(clf, X, y, neurons=[4])


# What does not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": "icebraker"},
            r"must be one of .*, not 'icebraker' \(did you mean 'icebreaker'",
        ),
        ({"clock": "fast"}, "clock must be a frequency such as \"12 MHz\", not 'fast'"),
        ({"clock": "12 parsec"}, 'clock must be a frequency such as "12 MHz", not '),
        ({"clock": -1}, 'clock must be a frequency such as "12 MHz", not -1'),
        ({"luts": 20}, "budget must hold the smallest mapping"),
        ({"luts": 0}, "luts must be an integer of at least 1, not 0"),
        ({"lutz": 20}, ".*lutz"),
    ],
    ids=str,
)
def test_a_target_that_does_not_fit_is_refused(
    net: cx.Network, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, TypeError), match=message):
        cx.compile(net, **{"target": "ice40", **options})


def test_its_folder_goes_with_the_accelerator(net: cx.Network) -> None:
    """And no warning is given, which pytest would make an error of."""
    accelerator = cx.compile(net, target="ecp5")
    folder = accelerator.run.path
    assert folder.is_dir()
    del accelerator
    gc.collect()
    assert not folder.exists()


def test_a_family_has_no_bitstream(net: cx.Network) -> None:
    with pytest.raises(InputError, match=r"^target must be a board to build for, not a family$"):
        cx.compile(net, target="ecp5").build()


def test_samples_make_time_multiplexed_layers_faster_or_equal(net: cx.Network, data: Any) -> None:
    without = cx.compile(net, target="ice40", luts=1500)
    known = cx.compile(net, target="ice40", luts=1500, samples=data[1][:50])
    assert known.resources.lut_sites <= 1500
    assert without.resources.lut_sites <= 1500


def test_hardware_of_other_weights_is_found(acc: cx.Accelerator, data: Any) -> None:
    """The Verilog of another network, under the manifest of this one."""
    card = acc.network.card
    mutant = replace(card, readout_weights=card.readout_weights[:, ::-1])
    folder = acc.run
    emit_stage(folder)
    bundle = folder.bundle()
    parents = dict(bundle.record.parents)
    emit(mutant, acc.mapping, parents=parents).write(folder.rtl)
    inputs = card.encode(data[1][:3])
    folder.keep(
        "test",
        DATASET,
        SpikeDataset(
            inputs=inputs,
            labels=np.arange(3),
            n_classes=10,
            input_bits=1,
            name="samples",
        ),
        parents={},
        recipe={},
    )
    result = verify_stage(replace(folder, edited=True), SimulatorKind.ICARUS)
    bundle.value.write(folder.rtl)
    with pytest.raises(MismatchError, match=r"^icarus: 3 of 3 inferences differ; first score at "):
        result.raise_if_different()


# A run folder


def test_a_run_keeps_reuses_and_reports(tmp_path: Path, build_cache: Path) -> None:
    del build_cache
    X, y = toy_arrays()
    names = np.array(["a", "b", "c"])[y]
    run = cx.Run(tmp_path / "run")
    with pytest.raises(ArtefactError, match=r"card\.json is missing: run `convexon solve "):
        _ = run.network
    first = run.solve(X, names, toy_settings(max_neurons=6))
    again = cx.Run(str(tmp_path / "run")).solve(X, names, toy_settings(max_neurons=6))
    assert (first.card.reused, again.card.reused) == (False, True)
    assert run.network.classes == ("a", "b", "c")
    assert float((run.network.predict(X) == names).mean()) > 0.9
    assert "none fails" in run.certify().summary
    run.emit(host="axi")
    run.verify(["icarus"])[0].raise_if_different()
    assert re.match(r"report: ", run.report().summary)
    assert (tmp_path / "run" / "report.html").exists()
    assert repr(run) == f"Run({str(tmp_path / 'run')!r})"
    with pytest.raises(InputError, match=r" holds other samples "):
        run.solve(X[1:], names[1:], toy_settings())


def test_a_run_takes_a_file_by_its_text_or_its_path(tmp_path: Path) -> None:
    file = toy_file(tmp_path)
    run = cx.Run(tmp_path / "run")
    first = run.solve(file, settings=toy_settings(max_neurons=6))
    again = run.solve(str(file), settings=toy_settings(max_neurons=6))
    assert (first.card.reused, again.card.reused) == (False, True)
