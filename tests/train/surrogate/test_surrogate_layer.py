"""The forward pass in torch is the integer contract, whatever training did to the latent floats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import FormatError, InputError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models.simulate import branch_trace, features
from convexon.snn.network import Branch
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from strategies import branches, layer_of

torch = pytest.importorskip("torch")

from convexon.train.surrogate.grid import WeightGrid  # noqa: E402  # needs torch
from convexon.train.surrogate.layer import Drive, slope  # noqa: E402
from convexon.train.surrogate.model import SpikingBranch  # noqa: E402

ALPHABETS = [TERNARY, Alphabet.integers(4), Alphabet.powers_of_two(3), Alphabet.powers_of_two(4)]


def spiking(branch, *, n_steps, input_bits=1, grids=None, keep_formats=True):
    drive = Drive(inputs=Interval(0, (1 << input_bits) - 1), n_steps=n_steps)
    grids = grids or [WeightGrid.holding(layer) for layer in branch.layers]
    model = SpikingBranch(branch, grids=grids, drive=drive, keep_formats=keep_formats)
    wide = any(layer.exact_dtype is torch.float64 for layer in model.layers)
    return model.to(torch.float64 if wide else torch.float32)


def dtype_of(model):
    return model.layers[0].latent_weights.dtype


@st.composite
def samples(draw):
    """A random branch, moved latent values, and inputs for it."""
    n_inputs, bits = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 6)), n_inputs)
    inputs = draw(npst.arrays(np.uint8, shape, elements=st.integers(0, (1 << bits) - 1)))
    return draw(branches(n_inputs)), inputs, bits, draw(st.integers(0, 99))


def assert_equal_to_simulation(model, branch, inputs, bits):
    traces = branch_trace(branch, inputs, Interval(0, (1 << bits) - 1))
    floats = torch.from_numpy(inputs.copy()).to(dtype_of(model))
    with torch.no_grad():
        for (spikes, membranes), trace in zip(model.traces(floats), traces, strict=True):
            assert np.array_equal(spikes.numpy(), trace.spikes)
            assert np.array_equal(membranes.numpy(), trace.membranes)
        for mode in ReadoutMode:
            assert np.array_equal(model(floats, mode).numpy(), features(mode, traces[-1]))


@given(samples())
def test_a_branch_starts_as_the_integers_it_was_made_from(case):
    branch, inputs, bits, _ = case
    model = spiking(branch, n_steps=inputs.shape[1], input_bits=bits)
    assert_equal_to_simulation(model, branch, inputs, bits)
    back = model.to_branch()
    for one, other in zip(branch.layers, back.layers, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.thresholds, other.thresholds)
        assert (one.recurrent is None) == (other.recurrent is None)
        assert (one.weight_format, one.threshold_format) == (
            other.weight_format,
            other.threshold_format,
        )


@given(samples(), st.booleans())
@settings(max_examples=100)
def test_every_iterate_is_its_integers(case, keep_formats):
    """Latent values anywhere, thresholds far out of their limits: still the same spikes."""
    branch, inputs, bits, seed = case
    model = spiking(branch, n_steps=inputs.shape[1], input_bits=bits, keep_formats=keep_formats)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 9.0 * torch.randn(parameter.shape, generator=generator)
    for layer in model.layers:
        layer.constrain()
    moved = model.to_branch()
    assert_equal_to_simulation(model, moved, inputs, bits)
    for start, layer in zip(branch.layers, moved.layers, strict=True):
        assert (layer.thresholds >= np.minimum(start.thresholds, 1)).all()


@pytest.mark.parametrize("alphabet", ALPHABETS, ids=lambda a: a.name)
@pytest.mark.parametrize("fan_in", [None, 1, 3])
def test_weights_are_of_the_alphabet_and_within_the_fan_in(alphabet, fan_in):
    grid = WeightGrid(alphabet=alphabet, fan_in=fan_in)
    latent = 3.0 * torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    weights = grid.feed_forward(latent).numpy()
    if fan_in is None:
        assert np.array_equal(weights, alphabet.nearest(latent.numpy().astype(np.float64)))
    else:
        assert ((weights != 0).sum(axis=1) <= fan_in).all()
        largest = np.sort(np.abs(latent.numpy()), axis=1)[:, -fan_in:]
        kept = np.sort(np.abs(weights), axis=1)[:, -fan_in:]
        assert np.array_equal(kept, alphabet.nearest(largest.astype(np.float64)))
    assert np.isin(weights, alphabet.values).all()


def test_the_gradient_passes_rounding_and_fan_in_unchanged():
    latent = torch.tensor([[0.2, -1.4, 0.7]], requires_grad=True)
    pull = torch.tensor([[1.0, 2.0, 3.0]])
    (WeightGrid(alphabet=TERNARY, fan_in=1).feed_forward(latent) * pull).sum().backward()
    assert torch.equal(latent.grad, pull)


def test_the_slope_is_that_of_a_step_from_0_to_1():
    """The integral over a grid much wider than the slope is 1, and the peak is at the threshold."""
    excess = torch.linspace(-1.0, 1.0, 200_001, dtype=torch.float64)[:, None] * 1e3
    found = slope(excess, relative_width=0.01)
    assert float(torch.trapezoid(found[:, 0], excess[:, 0])) == pytest.approx(1.0, abs=0.02)
    assert int(found.argmax()) == 100_000


def test_the_slope_follows_the_scale_of_the_membrane():
    excess = torch.tensor([[-4.0], [2.0], [8.0]])
    assert torch.allclose(slope(100 * excess), slope(excess) / 100)


def test_the_leak_rounds_down_and_its_gradient_is_the_real_factor():
    layer = layer_of([[1]], [100], leak=Leak(1, 2), reset=Reset.NONE)
    model = spiking(Branch((layer,)), n_steps=3)
    inputs = torch.tensor([[[5.0], [0.0], [0.0]]], requires_grad=True)
    _, membranes = model.traces(inputs)[0]
    assert membranes[0, :, 0].tolist() == [5.0, 4.0, 3.0]  # 5 - floor(5/4), 4 - floor(4/4)
    membranes[0, 2, 0].backward()
    assert inputs.grad[0, :, 0].tolist() == [0.75**2, 0.75, 1.0]


@pytest.mark.parametrize(
    ("bits", "dtype"), [(8, torch.float32), (16, torch.float64)], ids=["narrow", "wide"]
)
def test_the_float_type_holds_what_training_may_reach(bits, dtype):
    layer = layer_of([[1] * 2] * 9, [3, 3], weight_format=QFormat(bits), reset=Reset.NONE)
    grid = WeightGrid(alphabet=Alphabet.integers(bits))
    model = spiking(Branch((layer,)), n_steps=70, grids=[grid])
    assert dtype_of(model) is dtype
    with torch.no_grad():
        model.layers[0].latent_weights.fill_(grid.alphabet.largest)
    inputs = np.ones((2, 70, 9), dtype=np.uint8)
    assert_equal_to_simulation(model, model.to_branch(), inputs, 1)


def test_reduced_precision_products_are_not_trusted():
    layer = Branch((layer_of([[1]], [1]),))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert dtype_of(spiking(layer, n_steps=1)) is torch.float64
    finally:
        torch.set_float32_matmul_precision(before)


def test_membranes_that_no_float_holds_are_refused():
    branch = Branch((layer_of([[1]], [1], leak=INTEGRATE, weight_format=QFormat(16)),))
    with pytest.raises(FormatError, match="2\\*\\*53"):
        spiking(branch, n_steps=1 << 40)


@pytest.mark.parametrize("reset", [Reset.SUBTRACT, Reset.ZERO, Reset.NONE])
@pytest.mark.parametrize("mode", [ReadoutMode.LAST, ReadoutMode.SIGN])
def test_without_memory_earlier_steps_are_not_computed(reset, mode):
    layer = layer_of([[3, -2], [1, 2]], [2, 1], leak=MEMORYLESS, reset=reset)
    model = spiking(Branch((layer,)), n_steps=5)
    inputs = np.random.default_rng(0).integers(0, 2, (8, 5, 2)).astype(np.uint8)
    seen = []
    model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    weighed = model(torch.from_numpy(inputs).float(), mode)
    trace = branch_trace(Branch((layer,)), inputs, Interval(0, 1))[-1]
    assert np.array_equal(weighed.detach().numpy(), features(mode, trace))
    assert seen == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": WeightGrid(alphabet=TERNARY)}, "alphabet ternary"),
        ({"grid": WeightGrid(alphabet=Alphabet.integers(8), fan_in=1)}, "at most 1"),
    ],
)
def test_weights_off_the_grid_are_refused(change, words):
    branch = Branch((layer_of([[3, 0], [2, 1]], [1, 1]),))
    with pytest.raises(InputError, match=words):
        spiking(branch, n_steps=1, grids=[change["grid"]])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: WeightGrid(alphabet=TERNARY, fan_in=0), "fan_in must be at least 1"),
        (lambda: WeightGrid(alphabet=TERNARY, lateral=0), "lateral must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(build, words):
    with pytest.raises(InputError, match=words):
        build()
