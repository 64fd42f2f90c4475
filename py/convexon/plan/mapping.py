"""How a network is laid out in hardware: the choice for every layer, and its file form.

`convexon.plan.schedule` says how many cycles follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from convexon.data.encoder import Encoder
from convexon.errors import InputError, require_within
from convexon.snn.decision import Decision
from convexon.snn.network import FixedPointNetwork
from convexon.store.codec import Codec

MAX_REGISTERS = 8
"""Most pipeline registers inside one sum: beyond, not even a single adder stands between two."""

MAX_LANES = 2048
"""Most lanes of one layer: far more than any part has room for."""

MAX_BANKS = 8
"""Most memory banks of one layer, so most spikes that it takes in a clock."""


class Sums(Enum):
    """How the logic of a spatial layer adds its constant weights.

    ``TABLES``: four inputs at a time address a table of their weighted sums; a balanced tree adds
    the tables. ``TREE``: a balanced tree of shifted inputs, neuron by neuron. ``SHARED``: sums
    as other sums plus differences where that is cheaper, and terms that occur in several neurons
    are added once. ``AUTO``: whichever is estimated to take the fewest LUTs for a layer. Fewer LUTs
    may mean more adders in a row.
    """

    TABLES = "tables"
    TREE = "tree"
    SHARED = "shared"
    AUTO = "auto"


class Style(Enum):
    """Where layers may stand.

    ``ANY``: each where it is best. ``SPATIAL``: all in logic. ``FOLDED``: all in block RAM, the
    readout too.
    """

    ANY = "any"
    SPATIAL = "spatial"
    FOLDED = "folded"


class Weights(Enum):
    """Where a folded layer has its weights from.

    ``FIXED``: block RAM that is filled when the part is configured. ``LOADED``: block RAM that the
    host fills at run time. ``SEEDED``: no memory; logic that makes them from a seed
    (`convexon.snn.seeded`).
    """

    FIXED = "fixed"
    LOADED = "loaded"
    SEEDED = "seeded"


@dataclass(frozen=True, kw_only=True)
class Spatial:
    """Weights are constants in the logic; all neurons take a step in the same clock.

    Branches of one depth move in lockstep, so that the most registers of a depth count for all.
    With any, a buffer follows the stage (`Mapping.is_buffered`), which is one register more.
    """

    registers: int = 0  # inside the sum of the inputs, 0 to 8
    sums: Sums = Sums.AUTO

    def __post_init__(self) -> None:
        require_within("registers", self.registers, 0, MAX_REGISTERS)


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Weights lie in block RAM, and are read for spikes only.

    A layer of n neurons takes ceil(n / lanes) passes over the spikes of a step. Membranes are
    updated beside the accumulation of the next pass. Input i is in bank i mod banks.
    """

    lanes: int  # neurons whose weights one read brings
    banks: int = 1  # memories that are read side by side, so spikes that are taken per clock
    updates: int = 1  # neurons whose membranes are updated per clock, a divisor of `lanes`
    weights: Weights = Weights.FIXED
    seed: int | None = None  # of `Weights.SEEDED`, for which it must be given, 0 to 2**32 - 1

    def __post_init__(self) -> None:
        require_within("lanes", self.lanes, 1, MAX_LANES)
        require_within("banks", self.banks, 1, MAX_BANKS)
        require_within("updates", self.updates, 1, self.lanes)
        if self.lanes % self.updates:
            raise InputError(
                f"updates must divide the {self.lanes} lanes, which {self.updates!r} does not"
            )
        if (self.seed is not None) != (self.weights is Weights.SEEDED):
            raise InputError(
                "seed must be given for seeded weights, and for no others, "
                f"not {self.seed!r} with {self.weights.value} weights"
            )
        if self.seed is not None:
            require_within("seed", self.seed, 0, (1 << 32) - 1)


LayerMapping = Spatial | Folded

PLAIN = Spatial()
"""Spatial, with nothing but the register that every stage has."""


def registers_in(choice: LayerMapping) -> int:
    """Pipeline registers inside the sum of a layer's inputs; a folded one has none to choose."""
    return choice.registers if isinstance(choice, Spatial) else 0


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """The choice for every layer, by branch and layer, and for what follows.

    Raises `InputError` from `check`, if the choices are not one per layer of the network, the
    decision or the encoder does not suit it, or scores are membranes of a layer whose weights are
    loaded, or which a folded readout would weigh.
    """

    layers: tuple[tuple[LayerMapping, ...], ...]  # by branch and layer
    readout: LayerMapping = PLAIN  # of the scores
    decision_registers: int = 0  # between the rounds of the decision's tournament, 0 to 8
    decision: Decision = Decision()  # noqa: RUF009  (frozen)
    encoder: Encoder | None = None  # what makes the steps on chip; None where the host gives them

    def __post_init__(self) -> None:
        require_within("decision_registers", self.decision_registers, 0, MAX_REGISTERS)

    @classmethod
    def spatial(cls, network: FixedPointNetwork, choice: Spatial = PLAIN) -> Mapping:
        """Map every layer and the readout spatially, all in the same way."""
        return cls(
            layers=tuple(tuple(choice for _ in branch.layers) for branch in network.branches),
            readout=choice,
            decision_registers=min(choice.registers, 1),
        )

    @property
    def is_spatial(self) -> bool:
        """Whether no layer, and not the readout, is folded."""
        choices = [choice for layers in self.layers for choice in layers]
        return all(isinstance(choice, Spatial) for choice in [*choices, self.readout])

    def at_depth(self, depth: int) -> dict[int, LayerMapping]:
        """Return the choices of all layers at ``depth``, by branch."""
        return {b: layers[depth] for b, layers in enumerate(self.layers) if depth < len(layers)}

    def folded_at(self, depth: int) -> dict[int, Folded]:
        """Return the choices of the folded layers at ``depth``, by branch."""
        choices = self.at_depth(depth).items()
        return {b: choice for b, choice in choices if isinstance(choice, Folded)}

    def is_buffered(self, depth: int) -> bool:
        """Whether a buffer of two steps stands behind the stage at ``depth``.

        It does where all layers there are spatial and one has registers, so that no ``ready`` has
        to pass through all stages within one clock.
        """
        choices = self.at_depth(depth).values()
        return all(isinstance(choice, Spatial) for choice in choices) and any(
            isinstance(choice, Spatial) and choice.registers for choice in choices
        )

    @property
    def makes_steps(self) -> bool:
        """Whether all steps of an inference are made on chip, of one transfer."""
        return self.encoder is not None and not self.encoder.per_step

    def check(self, network: FixedPointNetwork) -> None:
        """Raise `InputError` unless this mapping suits ``network``, with a choice per layer."""
        own = [len(layers) for layers in self.layers]
        needed = [branch.depth for branch in network.branches]
        if own != needed:
            raise InputError(f"mapping must have {needed} layers by branch, not {own}")
        if network.reads_membranes:
            self._check_membranes()
        self.decision.check(network)
        if self.encoder is not None:
            self.encoder.check(network)

    def _check_membranes(self) -> None:
        """Raise `InputError` unless scores can be the membranes of the last layers."""
        if isinstance(self.readout, Folded):
            raise InputError(
                "readout must be Spatial where membranes are the scores, not Folded: there are no "
                "weights to store"
            )
        for b, layers in enumerate(self.layers):
            if isinstance(layers[-1], Folded) and layers[-1].weights is Weights.LOADED:
                raise InputError(
                    f"weights of branch {b} layer {len(layers) - 1} must be fixed, not loaded: its "
                    "membranes are the scores, whose width follows from them"
                )


MAPPING: Codec[Mapping] = Codec(Mapping, "convexon.mapping", 3, made_by="convexon map")
"""File form of a `Mapping`."""
