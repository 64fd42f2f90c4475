"""Small tasks for the tests of surrogate training."""

import itertools

import numpy as np

from convexon.data.dataset import SpikeDataset
from convexon.snn.models.simulate import accuracy
from convexon.snn.neuron import MEMORYLESS, Reset
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import Guide, WitnessFamily


def dataset(inputs, labels, *, n_classes=2, input_bits=1):
    return SpikeDataset(
        inputs=np.asarray(inputs, dtype=np.uint8),
        labels=np.asarray(labels),
        n_classes=n_classes,
        input_bits=input_bits,
        name="toy",
    )


def strings(length):
    """All binary strings, shape (2**length, length)."""
    return np.array(list(itertools.product((0, 1), repeat=length)), dtype=np.uint8)


def parity(n_inputs=4):
    """Parity of bits that come at once: no single threshold unit computes it."""
    bits = strings(n_inputs)
    return dataset(bits[:, None, :], bits.sum(axis=1) % 2)


def majority(n_inputs=5):
    """Whether most of the bits are set: one threshold unit computes it."""
    bits = strings(n_inputs)
    return dataset(bits[:, None, :], (2 * bits.sum(axis=1) > n_inputs).astype(np.int64))


def running_and(length=5):
    """At every step, whether this bit and the one before are set: it takes a memory."""
    bits = strings(length)
    before = np.pad(bits, ((0, 0), (1, 0)))[:, :-1]
    return dataset(bits[:, :, None], (bits & before).astype(np.int64))


def first_and_last(length=3):
    """Whether the first bit of a string equals the last."""
    bits = strings(length)
    return dataset(bits[:, :, None], (bits[:, 0] == bits[:, -1]).astype(np.int64))


def family(n_inputs, *, alphabet=None, **changes):
    members = {
        "fan_in": n_inputs,
        "alphabet": alphabet or Alphabet.integers(4),
        "leak": MEMORYLESS,
        "reset": Reset.NONE,
        "guide": Guide.BLIND,
    }
    return WitnessFamily(**{**members, **changes})


def right(network, data):
    """Share of right decisions."""
    return accuracy(network, data.inputs, data.labels)
