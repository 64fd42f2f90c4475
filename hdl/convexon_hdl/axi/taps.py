"""Signals inside the accelerator, found at the paths of ports.json's probes.

So counters in the hardware and monitors in a bench watch the very same nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from amaranth.hdl import Cat, Const, Fragment, Value

from convexon.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivityTap:
    """Spikes of one layer: where ``completes`` is high, ``spikes`` are those of one more step.

    They have a bit for each neuron. A layer that updates its neurons a group at a time shows those
    of one group more, a bit for each place, 0 at a place that has no neuron.
    """

    branch: int
    layer: int
    completes: Value
    spikes: Value


def activity_taps(fragment: Fragment, probes: Sequence[dict[str, Any]]) -> tuple[ActivityTap, ...]:
    """Taps of an elaborated accelerator, one for each of the probes of `convexon_hdl.ports`.

    Raises `InputError` if a probe's path leads to no member of a component.
    """
    return tuple(_tap(fragment, probe) for probe in probes)


def _tap(fragment: Fragment, probe: dict[str, Any]) -> ActivityTap:
    """Tap of one probe, of either kind."""
    completes = find(fragment, probe["valid"])
    spikes = find(fragment, probe["spikes"]["path"])
    if "ready" in probe:
        completes &= find(fragment, probe["ready"])
    if "base" in probe:
        spikes &= Cat(_places(probe, find(fragment, probe["base"]["path"])))
    return ActivityTap(
        branch=probe["branch"], layer=probe["layer"], completes=completes, spikes=spikes
    )


def _places(probe: dict[str, Any], group: Value) -> list[Value]:
    """Whether each place of ``group`` has a neuron of the probe's layer.

    A bound that no place can pass is not compared with.
    """
    at_once, first = probe["spikes"]["count"], probe["offset"]
    end = first + probe["neurons"]
    places = []
    for k in range(at_once):
        index = group * at_once + k
        highest = (probe["groups"] - 1) * at_once + k
        place: Value = Const(1)
        if k < first:
            place &= index >= first
        if highest >= end:
            place &= index < end
        places.append(place)
    return places


def find(fragment: Fragment, path: Sequence[str]) -> Value:
    """Return the member of a component at ``path``: names of submodules, then that of the net."""
    *instances, net = path
    try:
        for name in instances:
            fragment = fragment.find_subfragment(name)
        (component, *_) = fragment.origins
        # Amaranth joins the names of nested members by two underscores, as in o__valid.
        return Value.cast(reduce(getattr, net.split("__"), component))
    except (NameError, AttributeError, TypeError, ValueError):
        raise InputError(f"probe {'.'.join(path)} must lead to a member of a component") from None
