"""Signals inside the accelerator, found at the paths of ports.json's probes.

So counters in the hardware and monitors in a bench watch the very same nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from amaranth.hdl import Fragment, Value

from convexon.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivityTap:
    """Spikes of one layer: where ``completes`` is high, ``spikes`` are those of one more step.

    Members
    -------
    branch, layer : int
    completes : Value, 1 bit
    spikes : Value
        Neuron j at bit j.
    """

    branch: int
    layer: int
    completes: Value
    spikes: Value


def activity_taps(fragment: Fragment, probes: Sequence[dict[str, Any]]) -> tuple[ActivityTap, ...]:
    """Taps of an elaborated accelerator, one for each probe.

    Parameters
    ----------
    fragment : Fragment
        What ``Fragment.get`` made of the accelerator.
    probes : sequence of dict
        Those of `convexon_hdl.ports.describe`.

    Raises
    ------
    InputError
        If a probe's path leads to no member of a component.
    """
    return tuple(
        ActivityTap(
            branch=probe["branch"],
            layer=probe["layer"],
            completes=find(fragment, probe["valid"]) & find(fragment, probe["ready"]),
            spikes=find(fragment, probe["spikes"]["path"]),
        )
        for probe in probes
    )


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
