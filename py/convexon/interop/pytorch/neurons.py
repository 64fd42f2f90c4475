"""Neuron modules of other tools, as what they do in a step: snnTorch, SpikingJelly, sinabs, Norse.

No framework is imported: a neuron is known by its class and its members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.snn.models.real import Real
from convexon.snn.neuron import Reset


@dataclass(frozen=True, eq=False, kw_only=True)
class Neurons:
    """What a neuron module does in a step; arrays are broadcast to the shape of its neurons.

    ``gain`` multiplies what comes in, and ``offset`` is added to it. Leaky integrators, which give
    their membranes, have infinite thresholds.
    """

    leak: Real
    thresholds: Real
    reset: Reset
    strict: bool = True
    late: bool = False
    several: bool = False
    gain: Real | float = 1.0
    offset: Real | float = 0.0
    floor: Real | None = None
    synapse: Real | None = None
    resets: Real | None = None
    lateral: Callable[[int], Real] | None = None

    @property
    def integrate(self) -> bool:
        """Whether they never spike."""
        return bool(np.isinf(self.thresholds).all())

    def as_integrators(self, name: str) -> Neurons:
        """What neurons do whose membranes are read; raises `InputError` if a spike changes them."""
        told = "must have no reset (reset_mechanism='none') for its membranes to be the scores"
        _require(self.reset is Reset.NONE, name, told)
        told = "must not read its own spikes for its membranes to be the scores"
        _require(self.lateral is None, name, told)
        return replace(self, thresholds=np.full(1, np.inf))


Reader = Callable[[Any, str], Neurons]


class _Bare:
    """A class that defines nothing but how it is made."""

    size: int

    def __init__(self, size: int) -> None:
        self.size = size


_OWN = frozenset(vars(_Bare))
"""What a class may define and still be the neuron that it is a sub-class of."""


def kind_of(module: Any) -> type | None:
    """The neuron's class that is known here, of which a module is a sub-class or itself."""
    return next((kind for kind in type(module).__mro__ if _key(kind) in _READERS), None)


def _key(kind: type) -> tuple[str, str]:
    return kind.__module__.partition(".")[0], kind.__name__


def reader(module: Any, name: str) -> Reader | None:
    """How a module's neurons are read; None for one that is no neuron known here."""
    known = kind_of(module)
    if known is None:
        return None
    for kind in type(module).__mro__:
        if kind is known:
            break
        if set(vars(kind)) - _OWN:
            raise InputError(
                f"{name} is a {type(module).__name__}, which changes what it is a sub-class of: "
                f"{known.__name__} itself is known here"
            )
    return _READERS[_key(known)]


def steps_inside(module: Any) -> bool:
    """Whether the module takes all steps in one call, samples and steps ahead of features."""
    kind = kind_of(module)
    return getattr(module, "step_mode", None) == "m" or (
        kind is not None and _key(kind) in (("sinabs", "LIF"), ("sinabs", "IAF"), ("norse", "LI"))
    )


def array(value: Any) -> Real:
    """A parameter as an array, of its own type."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _require(holds: bool, name: str, told: str) -> None:
    if not holds:
        raise InputError(f"{name} {told}")


_SNNTORCH_RESETS = {"subtract": Reset.SUBTRACT, "zero": Reset.ZERO, "none": Reset.NONE}


def _snntorch(module: Any, name: str) -> Neurons:
    """Leaky and its kin: the reset follows the membrane of the step before, unless told not to."""
    _require(not module.inhibition, name, "must not inhibit all but one neuron (inhibition=True)")
    _require(not module.state_quant, name, "must not quantize its state (state_quant)")
    factor = array(module.graded_spikes_factor)
    _require(bool((factor == 1).all()), name, "must have graded_spikes_factor 1: spikes are bits")
    kind = _called(kind_of(module))
    reset = _SNNTORCH_RESETS[str(module.reset_mechanism)]
    if reset is Reset.SUBTRACT and not getattr(module, "reset_delay", True):
        raise InputError(
            f"{name} has reset_delay=False, which gives a threshold back to a membrane that is "
            "still above it: train it with reset_delay=True, or with reset_mechanism='zero'"
        )
    if reset is Reset.ZERO and kind in ("Lapicque", "Synaptic", "RSynaptic"):
        raise InputError(
            f"{name} is a {kind} with reset_mechanism='zero', which drops the input of the step "
            "after a spike too: train it with 'subtract' or 'none'"
        )
    gain: Real | float = 1.0
    if kind == "Lapicque":
        time_step, resistance, capacity = (
            array(each) for each in (module.time_step, module.R, module.C)
        )
        gain = time_step / capacity
        leak = 1 - time_step / (resistance * capacity)
    else:
        leak = np.clip(array(module.beta), 0, 1)
    lateral, offset = None, 0.0
    if kind.startswith("R"):
        lateral, offset = _snntorch_lateral(module.recurrent, name)
    return Neurons(
        leak=leak,
        thresholds=array(module.threshold),
        reset=reset,
        strict=True,
        # Setting to zero before the next leak or after this fire is the same.
        late=reset is Reset.SUBTRACT,
        gain=gain,
        offset=offset,
        synapse=np.clip(array(module.alpha), 0, 1) if kind.endswith("Synaptic") else None,
        lateral=lateral,
    )


def _snntorch_lateral(recurrent: Any, name: str) -> tuple[Callable[[int], Real], Any]:
    """Lateral weights, and the bias that comes with them from the first step on."""
    if hasattr(recurrent, "V"):
        own = array(recurrent.V)
        return lambda size: np.diag(np.broadcast_to(own, (size,))), 0.0
    _require(type(recurrent).__name__ == "Linear", name, "must have linear lateral weights")
    weights = recurrent.weight.detach().cpu().numpy().T
    bias = 0.0 if recurrent.bias is None else array(recurrent.bias)
    return lambda size: weights, bias


def _spikingjelly(module: Any, name: str) -> Neurons:
    """IF, LIF and PLIF nodes: v >= threshold fires; v_reset None subtracts."""
    value = module.v_reset
    base = 0.0 if value is None else float(value)
    thresholds = array(module.v_threshold)
    reset = Reset.SUBTRACT if value is None else Reset.ZERO
    kind = _called(kind_of(module))
    if kind == "IFNode":
        return Neurons(leak=np.ones(1), thresholds=thresholds - base, reset=reset, strict=False)
    if kind == "ParametricLIFNode":
        share = 1 / (1 + np.exp(-array(module.w)))
    else:
        share = 1 / array(module.tau)
    # Measured from v_reset, where it starts and to which it leaks, the membrane is one of ours.
    return Neurons(
        leak=1 - share,
        thresholds=thresholds - base,
        reset=reset,
        strict=False,
        gain=share if module.decay_input else 1.0,
    )


def _sinabs(module: Any, name: str) -> Neurons:
    """LIF and IAF: several spikes a step, each subtracted; a least membrane where one is set."""
    told = "must fire by sinabs' MultiSpike or SingleSpike and reset by MembraneSubtract"
    fires, resets = (_called(each) for each in (module.spike_fn, module.reset_fn))
    _require(fires in ("MultiSpike", "SingleSpike") and resets == "MembraneSubtract", name, told)
    subtract = getattr(module.reset_fn, "subtract_value", None)
    _require(subtract is None, name, "must subtract its threshold (subtract_value=None)")
    _require(not hasattr(module, "rec_connect"), name, "must have no recurrent connection")
    gain: Real | float = 1.0
    leak = np.ones(1)
    synapse = None
    if module.tau_mem is not None:
        leak = array(module.alpha_mem_calculated)
        gain = 1 - leak if module.norm_input else 1.0
        if module.tau_syn is not None:
            synapse = array(module.alpha_syn_calculated)
            _require(not module.norm_input, name, "must not scale its input twice (norm_input)")
            gain = synapse  # the current decays after it was added to
    floor = None if module.min_v_mem is None else array(module.min_v_mem)
    return Neurons(
        leak=leak,
        thresholds=array(module.spike_threshold),
        reset=Reset.SUBTRACT,
        strict=False,
        several=fires == "MultiSpike",
        gain=gain,
        floor=floor,
        synapse=synapse,
    )


def _called(thing: Any) -> str:
    """Name of a class, or of the class of an instance."""
    return str(thing.__name__ if isinstance(thing, type) else type(thing).__name__)


def _norse(module: Any, name: str) -> Neurons:
    """LIF without a synaptic current, and IAF; what a spike resets to must be 0."""
    p = module.p
    _require(not array(p.v_reset).any(), name, "must have v_reset 0")
    reset = Reset.ZERO
    if "subtract" in getattr(getattr(p, "reset_method", None), "__name__", ""):
        reset = Reset.SUBTRACT
    if _called(kind_of(module)).startswith("IAF"):
        return Neurons(leak=np.ones(1), thresholds=array(p.v_th), reset=reset, strict=True)
    share = _share(module, p.tau_mem_inv)
    base = array(p.v_leak)
    if base.any():
        told = "must have v_leak 0, or a reset to zero"
        _require(reset is Reset.ZERO, name, told)
    # Measured from v_leak, where it starts and to which it leaks, the membrane is one of ours.
    return Neurons(
        leak=1 - share,
        thresholds=array(p.v_th) - base,
        reset=reset,
        strict=True,
        gain=share,
        resets=-base if base.any() else None,
    )


def _share(module: Any, inverse: Any) -> Real:
    """Share of a time constant that a step takes."""
    return np.asarray((float(module.dt) * array(inverse)).astype(np.float64))


def _norse_integrator(module: Any, name: str) -> Neurons:
    """Leaky integrators: the current is added to before it moves the membrane, and then decays."""
    p = module.p
    _require(not array(p.v_leak).any(), name, "must have v_leak 0")
    share = _share(module, p.tau_mem_inv)
    has_current = hasattr(p, "tau_syn_inv")
    return Neurons(
        leak=1 - share,
        thresholds=np.full(1, np.inf),
        reset=Reset.NONE,
        gain=share,
        synapse=1 - _share(module, p.tau_syn_inv) if has_current else None,
    )


_READERS: Mapping[tuple[str, str], Reader] = {
    **{
        ("snntorch", kind): _snntorch
        for kind in ("Leaky", "RLeaky", "Lapicque", "Synaptic", "RSynaptic")
    },
    **{
        ("spikingjelly", kind): _spikingjelly for kind in ("IFNode", "LIFNode", "ParametricLIFNode")
    },
    **{("sinabs", kind): _sinabs for kind in ("LIF", "IAF", "LIFSqueeze", "IAFSqueeze")},
    **{("norse", kind): _norse for kind in ("LIFBoxCell", "IAFCell")},
    **{("norse", kind): _norse_integrator for kind in ("LICell", "LIBoxCell", "LI")},
}
"""Neuron modules by their framework and class."""
