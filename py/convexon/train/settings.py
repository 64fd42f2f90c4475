"""Every choice of ``solve``: from samples to a certified network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from convexon.convex.model.loss import LOSSES
from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.quantizer.settings import ReadoutRounding
from convexon.settings import Settings, setting
from convexon.snn.coding import CODINGS, INTENSITY, THRESHOLD, require_bits
from convexon.snn.network import MAX_STEPS
from convexon.snn.neuron import INTEGRATE, Leak, ReadoutMode, Reset
from convexon.train.cost import CostKind
from convexon.train.jitter import require_jitter
from convexon.train.pricing.oracle import Windowed
from convexon.train.pricing.oracles import ORACLES
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import Field, Guide, WitnessFamily


class WitnessGuide(Enum):
    """What a drawn witness follows: two samples' difference, or the direction of a class."""

    DIFFERENCE = "difference"
    DIRECTION = "direction"


class ProgramSolver(Enum):
    """What solves the certified program: Convexon's solver, or a cone solver behind CVXPY."""

    CONVEXON = "convexon"
    CLARABEL = "clarabel"
    SCS = "scs"


class Sight(Enum):
    """Inputs that one witness may see: all, or a rectangle of the image that samples are."""

    ALL = "all"
    RECTANGLE = "rectangle"


class Selection(Enum):
    """How the drawn columns become the neurons: by the row-group program, or by the residual."""

    PROGRAM = "program"
    RESIDUAL = "residual"


_TABLE_BITS = 8
"""Bits of a table's values, where they are left open."""

_FAN_IN, _DIRECTION_FAN_IN = 8, 64
"""Synapses where they are left open: of a difference, and, at most, of a direction."""


@dataclass(frozen=True, kw_only=True)
class SolveSettings(Settings):
    """Every choice of the stage; what a step reads of them is part of what it makes.

    Raises `InputError` if a member is out of its range.
    """

    coding: str | None = setting(
        None,
        "What a value becomes over the steps; by default intensity where samples are a table and "
        "nothing is priced, else threshold.",
        names=CODINGS.__iter__,
    )
    steps: int = setting(8, "T, the steps of an inference.", least=1, most=MAX_STEPS)
    bits: int | None = setting(
        None,
        "Bits of an input; 1 for spikes. By default 8 where coding is left open and becomes "
        "intensity, else 1.",
        least=1,
        most=8,
    )
    jitter: int = setting(
        0,
        "Copies of each training sample that join it, each moved, stretched and, if an image, "
        "turned a little at random; series move along time.",
        least=0,
        most=1000,
    )
    loss: str = setting(
        "squared",
        "Loss of the certified program. Squared separates each class by regression; logistic is "
        "for two classes.",
        names=LOSSES.__iter__,
    )
    readout: ReadoutMode = setting(
        ReadoutMode.COUNT, "What the readout weighs: last, sign or count, where it is solved for."
    )
    witnesses: int = setting(2000, "Witnesses to draw, over all families.", least=1, most=1 << 24)
    fan_in: int | None = setting(
        None,
        "Synapses of a neuron, at most; clipped to the inputs. By default 64 along directions, "
        "else 8.",
        least=1,
    )
    sight: Sight | None = setting(
        None,
        "Inputs that a witness may see; by default a rectangle where samples are images, else all.",
    )
    guide: WitnessGuide | None = setting(
        None,
        "What a witness follows: the difference of two samples, or the direction in which a class "
        "lies; by default direction where samples are a table and nothing is priced, else "
        "difference.",
    )
    depth: int = setting(1, "Layers of a branch.", least=1, most=64)
    hidden: int = setting(128, "Neurons of each layer below the last.", least=1, most=1 << 16)
    alphabet: str | None = setting(
        None,
        "Hidden weights: ternary, intB or pow2-B of B bits; by default int6 along directions, else "
        "ternary.",
    )
    refine_sweeps: int = setting(
        0,
        "Sweeps of refinement: the neurons that the drawn witnesses would give change a synapse at "
        "a time, as far as the loss falls, and join them.",
        least=0,
    )
    pricing_rounds: int = setting(
        0, "Rounds of column generation that add to the drawn witnesses.", least=0
    )
    oracle: str = setting(
        "local",
        "How pricing looks for witnesses that the drawn ones lack.",
        names=ORACLES.__iter__,
    )
    cost: CostKind | None = setting(None, "Penalty weights by what a neuron costs in silicon.")
    max_neurons: int = setting(256, "Neurons to keep at most.", least=1, most=1 << 16)
    selection: Selection = setting(
        Selection.PROGRAM,
        "How drawn columns become neurons: by the row-group program, or by what the ones before "
        "leave unexplained.",
    )
    selection_rho: float = setting(
        0.003, "Regularisation strength of the selecting program.", above=0
    )
    rho: tuple[float, ...] = setting(
        (5e-3, 2e-3, 1e-3),
        "Regularisation strength of the l1 penalty; of several, validation chooses.",
        above=0,
    )
    readout_bits: int = setting(8, "Bits of a readout weight.", least=2, most=24)
    readout_rounding: ReadoutRounding = setting(
        ReadoutRounding.NEAREST,
        "How the readout becomes integers: the nearest, or those from which no single step lowers "
        "the objective.",
    )
    bit_penalty: float = setting(
        0.0,
        "What a bit of a readout weight adds to the objective: descent then takes as few of the "
        "readout's bits as that is worth.",
        least=0,
    )
    solver: ProgramSolver = setting(
        ProgramSolver.CONVEXON, "What solves the certified program; the others are second opinions."
    )
    tolerance: float = setting(1e-6, "Duality gap to reach, absolute and relative.", above=0)
    seed: int = setting(0, "Seed of the split and of the witnesses.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coding is not None:  # else `on` knows
            require_bits(self.coding, self.known_bits)
        fan_in = self.known_fan_in
        if self.depth > 1 and fan_in > self.hidden:
            raise InputError(
                f"fan_in must be at most the {self.hidden} hidden neurons below, not {fan_in}"
            )
        _ = self.families(fan_in)  # they check fan_in and alphabet
        if self.bit_penalty > 0.0 and self.readout_rounding is not ReadoutRounding.DESCENT:
            raise InputError("bit_penalty must be 0 where readout_rounding is not descent")
        if self.refine_sweeps and self.readout is ReadoutMode.SIGN:
            raise InputError(
                f"refine_sweeps must be 0 for a readout of signs, not {self.refine_sweeps}"
            )
        windowed = issubclass(ORACLES[self.oracle], Windowed)  # which bound what was drawn too
        if not (self.pricing_rounds or windowed or self.oracle == type(self).oracle):
            raise InputError(
                f"pricing_rounds must be 1 or more where the oracle is {self.oracle}: it would not "
                "be asked"
            )
        if self.cost is not None and windowed:
            raise InputError(
                f"cost must be left out with oracle {self.oracle}, whose neurons have one weight"
            )
        if self.readout not in (ReadoutMode.LAST, ReadoutMode.SIGN, ReadoutMode.COUNT):
            raise InputError(
                "readout must be last, sign or count, which give one decision a sample and are "
                f"weighed, not {self.readout.value}"
            )

    def on(self, samples: Samples) -> SolveSettings:
        """Return the settings for these samples: what is left open is chosen.

        A table's values come in as levels, and its witnesses follow directions. Pricing, and
        oracles over windows, look for neurons of few small weights: with them a table is like other
        samples.

        Raises `InputError` if the coding of such samples does not give inputs of so many bits, or
        they cannot be jittered.
        """
        require_jitter(self.jitter, samples, self.known_coding)
        windows = issubclass(ORACLES[self.oracle], Windowed)
        table = samples.is_table and not windows and not self.pricing_rounds
        levels = table and self.coding is None and self.bits != 1  # one bit is a spike
        chosen = replace(
            self,
            coding=INTENSITY if levels else self.known_coding,
            bits=_TABLE_BITS if levels and self.bits is None else self.known_bits,
            guide=self.guide or (WitnessGuide.DIRECTION if table else WitnessGuide.DIFFERENCE),
        )
        fan_in = chosen.known_fan_in
        if self.fan_in is None and chosen.guide is WitnessGuide.DIRECTION:
            fan_in = min(fan_in, samples.values[0].size)  # no notice of what nobody asked for
        return replace(chosen, alphabet=chosen.known_alphabet, fan_in=fan_in)

    @property
    def known_coding(self) -> str:
        """The coding; that of other samples than tables where it is left open."""
        return THRESHOLD if self.coding is None else self.coding

    @property
    def known_bits(self) -> int:
        """Bits of an input; 1 where they are left open."""
        return 1 if self.bits is None else self.bits

    @property
    def known_fan_in(self) -> int:
        """Synapses of a neuron; those of the guide where they are left open."""
        if self.fan_in is not None:
            return self.fan_in
        if self.guide is not WitnessGuide.DIRECTION:
            return _FAN_IN
        return _DIRECTION_FAN_IN if self.depth == 1 else min(_DIRECTION_FAN_IN, self.hidden)

    @property
    def known_alphabet(self) -> str:
        """The hidden weights; those of the guide where they are left open."""
        along = self.guide is WitnessGuide.DIRECTION
        return self.alphabet or ("int6" if along else "ternary")

    def families(self, n_inputs: int, shape: tuple[int, ...] = ()) -> tuple[WitnessFamily, ...]:
        """Families of witnesses, a branch each: one integrates, one leaks a quarter a step.

        ``shape`` is that of a sample, where the witnesses read its features one by one.
        """
        field = None if self.sight is Sight.ALL else Field.of(shape)
        if self.sight is Sight.RECTANGLE and shape and field is None:
            raise InputError(f"sight must be all for samples of shape {shape}, which is no image")
        often = 6.0 if self.readout is ReadoutMode.COUNT else 1.0
        return tuple(
            WitnessFamily(
                fan_in=min(self.known_fan_in, n_inputs),
                alphabet=Alphabet.parse(self.known_alphabet),
                leak=leak,
                reset=Reset.SUBTRACT,
                at_last=self.readout is ReadoutMode.LAST,
                spikes_per_sample=often,
                field=field,
                guide=Guide.DIFFERENCE if self.guide is None else Guide(self.guide.value),
            )
            for leak in (INTEGRATE, Leak(1, 2))
        )
