"""Addition in a base, digit by digit: `python examples/addition.py RUN --base 2 [--no-carry]`.

After arXiv:2605.08022. Least significant digits come first: at step t the network reads two digits,
and in the teacher-forced form the carry too; it names the digit of the sum and the next carry, both
at once: class ``k`` means ``digit = k mod base`` and ``carry = k // base``. Autoregressive
evaluation feeds back the carry that the network named, at up to ten times the training length.

With the carry as an input the task has no memory: whether ``a + b + c >= k`` is one threshold unit,
and the leak is chosen on validation. Without it the network has to carry by itself: units beside
the readout units excite themselves (`convexon.train.witnesses.threshold.self_exciting`), and
pricing finds which of them is the carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from run_folder import keep, parser, script, watch

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import decisions, scores
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.rows import Rows
from convexon.train.fit import Fitted, Plan, fit
from convexon.train.generation import GenerationBudget, Round
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.site import Site, site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.threshold import self_exciting
from convexon.train.witnesses.witness import WitnessFamily

IntArray = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]

Decide = Callable[[UInt8Array], IntArray]
"""Classes (samples, steps) of inputs (samples, steps, inputs); none looks at a later step."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """The task in one base.

    Members
    -------
    base : int
        2 to 16.
    carry_input : bool
        Whether the carry is an input. Without it the network has to remember it.

    Raises
    ------
    InputError
        If the base is out of its range.
    """

    base: int
    carry_input: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.base <= 16:
            raise InputError(f"base must be 2 to 16, not {self.base!r}")

    @property
    def n_classes(self) -> int:
        """Sums of two digits and a carry: 0 to ``2 base - 1``."""
        return 2 * self.base

    @property
    def input_bits(self) -> int:
        """Bits of a digit."""
        return (self.base - 1).bit_length()

    def digits(
        self, n_samples: int, n_steps: int, generator: np.random.Generator
    ) -> tuple[UInt8Array, IntArray]:
        """Return pairs of random numbers (samples, steps, 2), and the first carries (samples,).

        The first carry is random where it is an input, and zero where nothing could tell it.
        """
        pairs = generator.integers(0, self.base, (n_samples, n_steps, 2), dtype=np.uint8)
        first = generator.integers(0, 2, n_samples) if self.carry_input else np.zeros(n_samples)
        return pairs, first.astype(np.int64)

    def sums(self, pairs: UInt8Array, first: IntArray) -> tuple[IntArray, IntArray]:
        """Return the right classes and the carry into each step, both (samples, steps)."""
        n, n_steps, _ = pairs.shape
        classes = np.empty((n, n_steps), dtype=np.int64)
        carries = np.empty((n, n_steps), dtype=np.int64)
        carry = first
        for t in range(n_steps):
            carries[:, t] = carry
            classes[:, t] = pairs[:, t].sum(axis=1, dtype=np.int64) + carry
            carry = classes[:, t] // self.base
        return classes, carries

    def dataset(
        self, n_samples: int, n_steps: int, generator: np.random.Generator, *, name: str
    ) -> SpikeDataset:
        """Return a teacher-forced data set with a label for every step.

        Raises
        ------
        InputError
            If so few samples leave a class out.
        """
        pairs, first = self.digits(n_samples, n_steps, generator)
        classes, carries = self.sums(pairs, first)
        return SpikeDataset(
            inputs=self._inputs(pairs, carries),
            labels=classes,
            n_classes=self.n_classes,
            input_bits=self.input_bits,
            name=f"addition in base {self.base}, {name}",
        )

    def _inputs(self, pairs: UInt8Array, carries: IntArray) -> UInt8Array:
        if not self.carry_input:
            return pairs
        return np.concatenate([pairs, carries[:, :, None].astype(np.uint8)], axis=2)

    def accuracy(
        self, decide: Decide, n_steps: int, *, n_samples: int, generator: np.random.Generator
    ) -> tuple[float, float]:
        """Return shares of right tokens and of wholly right sums, fed back its own carries.

        A token is right where both digit and carry are. ``decide`` is asked again about the sums
        whose carries it has just changed. As it is causal, each pass settles at least one more
        step, so that the outcome is that of one step after another.

        Sums are drawn from all there are, training sums among them. At the training length these
        are a good part in base 2: 2**12 pairs of 6 digits, 2**13 with the carry, so that there the
        shares say as much of recall as of new sums; at greater lengths next to none recur.
        """
        pairs, first = self.digits(n_samples, n_steps, generator)
        right, _ = self.sums(pairs, first)
        named = np.empty_like(right)
        carries = np.zeros_like(right)
        carries[:, 0] = first
        unsettled = np.arange(n_samples)
        for _ in range(n_steps):
            named[unsettled] = decide(self._inputs(pairs[unsettled], carries[unsettled]))
            fed_back = named[unsettled, :-1] // self.base
            changed = (fed_back != carries[unsettled, 1:]).any(axis=1)
            carries[unsettled, 1:] = fed_back
            unsettled = unsettled[changed & self.carry_input]
            if not len(unsettled):
                break
        correct = named == right
        return float(correct.mean()), float(correct.all(axis=1).mean())


LEAKS = (MEMORYLESS, Leak(1, 2), Leak(10, 10))
"""Leaks to choose from on validation; the last is about the paper's 0.99."""

N_TRAIN, N_VALIDATION, N_TEST, N_STEPS = 2304, 256, 1000, 6
"""Sums to train on, as in the paper; to choose on; to test on; and their digits."""


def data_of(task: Addition, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Return training and validation sums, teacher-forced."""
    generator = np.random.default_rng([seed, 11])
    train = task.dataset(N_TRAIN, N_STEPS, generator, name="train")
    return train, task.dataset(N_VALIDATION, N_STEPS, generator, name="validation")


def fresh_sums(task: Addition, *, seed: int) -> SpikeDataset:
    """Return fresh sums of the training length, teacher-forced: they have no say in any choice.

    In a small base some of them are training sums too, as there are few sums of that length.
    """
    generator = np.random.default_rng([seed, 17])
    return task.dataset(N_TEST, N_STEPS, generator, name="test")


def plan(task: Addition, leak: Leak, *, readout_bits: int = 8) -> Plan:
    """Return the plan for units of a leak; without the carry as an input they have none."""
    mode = ReadoutMode.STEP
    family = WitnessFamily(
        fan_in=3,
        alphabet=TERNARY,
        leak=leak,
        reset=Reset.NONE if leak == MEMORYLESS else Reset.SUBTRACT,
    )

    def sites(data: SpikeDataset, rows: Rows) -> list[Site]:
        if task.carry_input:
            return [site_on(data, rows, family)]
        units = self_exciting(data.inputs[:256], data.input_range, alphabet=TERNARY)
        name = "beside self-exciting units"
        return [site_on(data, rows, family, beside=units, name=name)]

    return Plan(
        mode=mode,
        sites=sites,
        oracles=[
            Enumeration()
            if task.carry_input
            else LocalSearch(n_candidates=64, n_moves=20, n_rows=4096)
        ],
        loss=Softmax(),
        penalty=GroupL2(),
        rhos=(1e-3,),
        budget=GenerationBudget(max_rounds=40, columns_per_round=64, tolerance=1e-5),
        readout_bits=readout_bits,
    )


def fit_addition(
    task: Addition,
    *,
    seed: int,
    readout_bits: int = 8,
    progress: Callable[[Round], None] | None = None,
) -> tuple[Fitted, Leak]:
    """Fit a base; of the leaks the one that does best on validation is kept.

    Leaks are tried in order, from none of the past to most of it, and of equals the first is kept.
    """
    train, validation = data_of(task, seed=seed)
    fits: list[tuple[Fitted, Leak]] = []
    for leak in LEAKS if task.carry_input else LEAKS[:1]:
        chosen = plan(task, leak, readout_bits=readout_bits)
        fits.append((fit(chosen, train, validation, seed=seed, progress=progress), leak))
        if fits[-1][0].score == 1.0:
            break  # nothing can be better
    return max(fits, key=lambda pair: pair[0].score)


def decider(network: Network | FixedPointNetwork) -> Decide:
    """Return what `Addition.accuracy` asks: classes at every step of inputs of any length."""

    def decide(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        longer = replace(network, n_steps=inputs.shape[1])
        return decisions(scores(longer, inputs))

    return decide


LENGTHS = (1, 2, 5, 10)
"""Multiples of the training length at which the card is tested."""


def main() -> None:
    """Fit, test at greater lengths, and write the run folder."""
    options = parser(__doc__)
    options.add_argument("--base", type=int, default=2, help="of the numbers, 2 to 16")
    options.add_argument("--no-carry", action="store_true", help="the carry is to be remembered")
    given = options.parse_args()
    task = Addition(base=given.base, carry_input=not given.no_carry)
    train, _ = data_of(task, seed=given.seed)
    test = fresh_sums(task, seed=given.seed)
    fitted, leak = fit_addition(
        task, seed=given.seed, readout_bits=given.readout_bits, progress=watch
    )
    print(f"leak factor {leak.factor:g}")

    def measure(card: FixedPointNetwork) -> dict[str, float]:
        figures = {}
        for times in LENGTHS:
            token, sequence = task.accuracy(
                decider(card),
                times * N_STEPS,
                n_samples=N_TEST,
                generator=np.random.default_rng([given.seed, 13]),
            )
            figures |= {f"joint {times}x": token, f"sequence {times}x": sequence}
        return figures

    keep(given, train, test, fitted, measure)


if __name__ == "__main__":
    script(main)
