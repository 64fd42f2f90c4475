"""The bench's agents: each owns one port or one layer, and one idea.

All agents act at the same rising edge: first every monitor reads what the edge takes, then source
and sink decide what the next one will see. One loop calls them in that order, so no agent depends
on the scheduling of another.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, MismatchError
from convexon_sim.bench.packing import unpack
from convexon_sim.bench.record import LayerRecord, begin_of


class StreamMonitor:
    """Watches a stream: counts transfers, and holds the stream to its rules.

    A stream must keep ``valid`` and its payload until ``ready`` takes them.
    """

    def __init__(self, dut: Any, stream: Mapping[str, Any], name: str) -> None:
        self._name = name
        self._payload = getattr(dut, stream["payload"])
        self._valid = getattr(dut, stream["valid"])
        self._ready = getattr(dut, stream["ready"])
        self._offered: int | None = None

    def sample(self, cycle: int) -> int | None:
        """Return the payload that this edge transfers, or None; `MismatchError` on a breach."""
        valid = read(self._valid, f"valid of stream {self._name}")
        payload = read(self._payload, self._name) if valid else None
        if self._offered is not None and payload != self._offered:
            what = "dropped valid" if payload is None else "changed its payload"
            raise MismatchError(f"stream {self._name} {what} before the transfer, in clock {cycle}")
        taken = bool(valid and read(self._ready, f"ready of stream {self._name}"))
        self._offered = None if taken else payload
        return payload if taken else None

    def forget(self) -> None:
        """A reset may drop what was offered."""
        self._offered = None


class LayerMonitor:
    """Records what one layer did, as ports.json describes its probe.

    A layer of kind "registers" holds a whole step, and moves on at valid and ready: it is one
    group. One of kind "updates" keeps its neurons in a memory. At an edge with ``valid``, group
    ``base`` gets its spikes and membranes: neurons ``base * U`` to ``base * U + U - 1`` of those
    that are updated together. The layer's own begin at ``offset``; before and after them are other
    branches', or none. The ``groups`` of a step come in order, each once, and the last one
    completes it. Where ``spread`` neurons share the weights of one of ``lanes``, those of a lane
    are numbered first: neuron ``(p / lanes / spread * lanes + p % lanes) * spread + p / lanes %
    spread`` stands at place p.

    Members
    -------
    membrane_width : bits of a membrane, two's complement
    spikes, membranes : a vector for each completed step, place p at bits ``p`` and ``p *
        membrane_width`` and up
    begins : where inferences may end early: the steps, from 0, that begin one

    Raises
    ------
    InputError
        If the kind of the probe is unknown.
    """

    def __init__(self, dut: Any, probe: Mapping[str, Any]) -> None:
        kind = probe.get("kind", "registers")
        if kind not in ("registers", "updates"):
            raise InputError(
                f"kind of a probe must be one of registers, updates, not {kind!r}: "
                "emit the network with this version of Convexon"
            )
        self.branch: int = probe["branch"]
        self.layer: int = probe["layer"]
        self.membrane_width: int = probe["membranes"]["width"]
        self.name = f"branch {self.branch} layer {self.layer}"
        self.spikes: list[int] = []
        self.membranes: list[int] = []
        self._at_once: int = probe["spikes"]["count"]
        self._groups: list[tuple[int, int]] = []
        paths = {"valid": probe["valid"], "spikes": probe["spikes"]["path"]}
        paths["membranes"] = probe["membranes"]["path"]
        if kind == "registers":
            self.n_neurons: int = self._at_once
            self._n_groups, self._offset = 1, 0
            paths["ready"] = probe["ready"]
        else:
            self.n_neurons = probe["neurons"]
            self._n_groups, self._offset = probe["groups"], probe["offset"]
            paths["base"] = probe["base"]["path"]
        lanes, spread = probe.get("lanes", 1), probe.get("spread", 1)
        rest, lane = np.divmod(np.arange(self.n_neurons), lanes)
        self._neurons = (rest // spread * lanes + lane) * spread + rest % spread
        tag = probe.get("first")
        self.begins: list[int] | None = None if tag is None else []
        if tag is not None:
            paths["first"] = tag["path"]
        self._first_bit: int = 0 if tag is None else tag["bit"]
        self._handles = {name: descend(dut, path) for name, path in paths.items()}

    def _read(self, name: str, absent: int = 0) -> int:
        """Return the value of a signal of the probe, or ``absent`` where it has none such."""
        handle = self._handles.get(name)
        return absent if handle is None else read(handle, f"{name} of {self.name}")

    def sample(self, cycle: int) -> None:
        """Record what this edge completes, if anything; `MismatchError` on a breach."""
        if not (self._read("valid") and self._read("ready", absent=1)):
            return
        base = self._read("base")
        if base != len(self._groups):
            raise MismatchError(
                f"{self.name} updated group {base} in clock {cycle}, where group "
                f"{len(self._groups)} of {self._n_groups} was due"
            )
        self._groups.append((self._read("spikes"), self._read("membranes")))
        if len(self._groups) < self._n_groups:
            return
        if self.begins is not None and self._read("first") >> self._first_bit & 1:
            self.begins.append(len(self.spikes))
        self.spikes.append(self._joined(0, 1))
        self.membranes.append(self._joined(1, self.membrane_width))
        self._groups.clear()

    def _joined(self, part: int, width: int) -> int:
        """Return the layer's own neurons of all groups of the step as one vector."""
        vector = 0
        for base, group in enumerate(self._groups):
            vector |= group[part] << (base * self._at_once * width)
        return (vector >> (self._offset * width)) & ((1 << (self.n_neurons * width)) - 1)

    def steps_before(self, sample: int, n_steps: int) -> int:
        """Return the steps before ``sample``: ``n_steps`` each, unless some may end early."""
        return begin_of(sample, n_steps, self.begins, len(self.spikes))

    def rewind(self, n_steps: int) -> None:
        """Forget all but the first ``n_steps`` whole steps: a reset discarded it."""
        del self.spikes[n_steps:], self.membranes[n_steps:]
        if self.begins is not None:
            self.begins = [begin for begin in self.begins if begin < n_steps]
        self._groups.clear()

    def record(self) -> LayerRecord:
        """Return what was seen."""
        count = self.n_neurons
        spikes = unpack(self.spikes, width=1, count=count, signed=False)
        membranes = unpack(self.membranes, width=self.membrane_width, count=count, signed=True)
        return LayerRecord(
            branch=self.branch,
            layer=self.layer,
            spikes=self._by_neuron(spikes.astype(np.uint8)),
            membranes=self._by_neuron(membranes),
            begins=self.begins,
        )

    def _by_neuron(self, by_place: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values by place, (steps, places), in the order of the neurons."""
        ordered = np.empty_like(by_place)
        ordered[:, self._neurons] = by_place
        return ordered


class Source:
    """Offers vectors one after the other, idle at random."""

    def __init__(self, dut: Any, stream: Mapping[str, Any], idle: float, seed: int) -> None:
        self._payload = getattr(dut, stream["payload"])
        self._valid = getattr(dut, stream["valid"])
        self._idle = coin(idle, seed)
        self._vectors: Iterator[int] = iter(())
        self._offering = False
        self.stop()

    def send(self, vectors: list[int]) -> None:
        """Replace what is left to send."""
        self._vectors = iter(vectors)

    def stop(self) -> None:
        """Send nothing more."""
        self._vectors = iter(())
        self._offering = False
        self._valid.value = 0

    def drive(self, taken: bool) -> None:
        """Choose what the next edge sees; an offer that was not ``taken`` stays."""
        if self._offering and not taken:
            return
        vector = None if next(self._idle) else next(self._vectors, None)
        self._offering = vector is not None
        self._valid.value = int(self._offering)
        if vector is not None:
            self._payload.value = vector


class Loader:
    """Sends an image of weights, and sees what becomes of it."""

    def __init__(self, dut: Any, ports: Mapping[str, Any]) -> None:
        stream = ports["streams"]["load"]
        self._source = Source(dut, stream, 0.0, 0)
        self._monitor = StreamMonitor(dut, stream, "load")
        self._loaded = getattr(dut, ports["weights"]["loaded"])
        self._refused = getattr(dut, ports["weights"]["refused"])
        self._left = 0

    def send(self, words: list[int]) -> None:
        """Send ``words``."""
        self._source.send(words)
        self._left = len(words)

    def is_done(self, cycle: int) -> bool:
        """Whether all words were taken before this edge, and the weights are there."""
        sent = not self._left
        taken = self._monitor.sample(cycle) is not None
        self._left -= taken
        self._source.drive(taken)
        if sent and read(self._refused, "refused"):
            raise MismatchError(f"the image was refused, in clock {cycle}")
        return sent and bool(read(self._loaded, "loaded"))


class Sink:
    """Takes results, refusing at random."""

    def __init__(
        self, dut: Any, stream: Mapping[str, Any], back_pressure: float, seed: int
    ) -> None:
        self._ready = getattr(dut, stream["ready"])
        self._refuse = coin(back_pressure, seed)
        self.closed = False

    def refuse(self) -> None:
        """Refuse at the next edge."""
        self._ready.value = 0

    def drive(self) -> None:
        """Choose whether the next edge may transfer."""
        self._ready.value = int(not self.closed and not next(self._refuse))


def coin(probability: float, seed: int) -> Iterator[bool]:
    """Return endless tosses that are true with ``probability``."""
    generator = random.Random(seed)
    while True:
        yield generator.random() < probability


def descend(dut: Any, path: Sequence[str]) -> Any:
    """Return the handle at ``path`` below ``dut``."""
    for name in path:
        dut = getattr(dut, name)
    return dut


def read(handle: Any, name: str) -> int:
    """Return the value as an unsigned integer; an unknown bit is a mismatch, never masked."""
    value = handle.value  # of one bit or of many: both convert, and neither if a bit is unknown
    try:
        return int(value)
    except ValueError:
        raise MismatchError(f"{name} has unknown bits: {value}") from None
